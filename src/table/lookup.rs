//! Which extent covers a block, and which one comes next?

use std::ops::ControlFlow;

use super::extent;
use super::walk::walk;
use crate::error::Result;
use crate::format::entry::Extent;
use crate::format::page::Root;
use crate::tree::{Pages, entries};
use crate::units::LogicalBlock;

/// The whole extent that covers `block`, which may be a tombstone.
pub(super) fn lookup(pages: &impl Pages, root: &Root, block: LogicalBlock) -> Result<Option<Extent>> {
    Ok(at_or_before(pages, root, block)?.filter(|extent| extent.end() > block))
}

/// The first extent that ends behind `from`: the one that covers it, else the next one.
pub fn next(pages: &impl Pages, root: &Root, from: LogicalBlock) -> Result<Option<Extent>> {
    match lookup(pages, root, from)? {
        Some(extent) => Ok(Some(extent)),
        None => at_or_after(pages, root, from),
    }
}

/// The last extent that starts at or before `block`.
pub(super) fn at_or_before(pages: &impl Pages, root: &Root, block: LogicalBlock) -> Result<Option<Extent>> {
    entries::floor(pages, root, block.0)?.map(|(key, value)| extent(key, &value)).transpose()
}

/// The first extent that starts at or after `block`.
pub(super) fn at_or_after(pages: &impl Pages, root: &Root, block: LogicalBlock) -> Result<Option<Extent>> {
    entries::ceiling(pages, root, block.0)?.map(|(key, value)| extent(key, &value)).transpose()
}

/// Appends to `parts` what of `piece` the table does not map, at the same addresses, to the very same blocks of the store.
/// Of a tombstone there is nothing to hold, hence no part.
pub fn parts_not_held(pages: &impl Pages, root: &Root, piece: Extent, parts: &mut Vec<Extent>) -> Result<()> {
    let Some(physical) = piece.physical else { return Ok(()) };
    let mut done = piece.logical;
    walk(pages, root, piece.logical, |held| {
        if held.logical >= piece.end() {
            return Ok(ControlFlow::Break(()));
        }
        let held = held.part(piece.logical, piece.end());
        if held.physical == Some(physical.plus(held.logical.0 - piece.logical.0)) {
            if done < held.logical {
                parts.push(piece.part(done, held.logical));
            }
            done = held.end();
        }
        Ok(ControlFlow::Continue(()))
    })?;
    if done < piece.end() {
        parts.push(piece.part(done, piece.end()));
    }
    Ok(())
}
