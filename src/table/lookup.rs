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

/// Appends to `parts` what of `pieces`, which are in order, the table does not map, at the same addresses, to the very same blocks of the
/// store. Of a tombstone there is nothing to hold, hence no part.
pub fn parts_not_held(pages: &impl Pages, root: &Root, pieces: &[Extent], parts: &mut Vec<Extent>) -> Result<()> {
    let mut rest = Comparison { pieces: pieces.iter(), current: None, parts };
    rest.go_on();
    while let Some((piece, _)) = rest.current {
        let mut passed = 0;
        walk(pages, root, piece.logical, |held| {
            passed = if rest.is_behind(&held) { passed + 1 } else { 0 };
            Ok(if rest.meet(&held) || passed > PASSED_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        if passed <= PASSED_MAX {
            // The table has no more.
            while rest.current.is_some() {
                rest.finish();
            }
        }
    }
    Ok(())
}

/// Between two pieces so many extents are passed by before the next piece is looked up from the root.
const PASSED_MAX: u32 = 16;

/// Pieces beside the extents of a table.
struct Comparison<'a> {
    pieces: std::slice::Iter<'a, Extent>,
    /// The piece that is compared, and up to where that is done.
    current: Option<(Extent, LogicalBlock)>,
    parts: &'a mut Vec<Extent>,
}

impl Comparison<'_> {
    fn go_on(&mut self) {
        let next = self.pieces.find(|piece| piece.physical.is_some());
        self.current = next.map(|piece| (*piece, piece.logical));
    }

    fn is_behind(&self, held: &Extent) -> bool {
        self.current.is_some_and(|(piece, _)| held.end() <= piece.logical)
    }

    /// Nobody holds the rest of the piece.
    fn finish(&mut self) {
        if let Some((piece, done)) = self.current
            && done < piece.end()
        {
            self.parts.push(piece.part(done, piece.end()));
        }
        self.go_on();
    }

    /// The table's next extent; true if there is no piece left.
    fn meet(&mut self, held: &Extent) -> bool {
        while let Some((piece, done)) = &mut self.current {
            if held.end() <= piece.logical {
                return false;
            }
            if held.logical < piece.end() {
                let both = held.part(piece.logical, piece.end());
                let wanted = piece.physical.map(|start| start.plus(both.logical.0 - piece.logical.0));
                if both.physical == wanted {
                    if *done < both.logical {
                        self.parts.push(piece.part(*done, both.logical));
                    }
                    *done = both.end();
                }
                if held.end() < piece.end() {
                    return false;
                }
            }
            self.finish();
        }
        true
    }
}
