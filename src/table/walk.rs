//! Which extents does a table hold, in order?

use std::ops::ControlFlow;

use super::extent;
use crate::error::{Error, Result};
use crate::format::entry::{Extent, Value};
use crate::format::page::Root;
use crate::tree::{Pages, entries};
use crate::units::{Epoch, LogicalBlock};

/// Calls `found` with each extent that ends behind `from`, whole and in order, tombstones included.
pub fn walk(
    pages: &impl Pages,
    root: &Root,
    from: LogicalBlock,
    mut found: impl FnMut(Extent) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let mut end = LogicalBlock(0);
    entries::visit(pages, root, from.0, &mut |key, value| match next_extent(key, value, &mut end)? {
        extent if extent.end() > from => found(extent),
        _ => Ok(ControlFlow::Continue(())),
    })
}

/// Calls `found` with each extent born after `epoch` that ends behind `from`, in order, tombstones included. Pages born earlier
/// are not read.
pub fn walk_born_after(
    pages: &impl Pages,
    root: &Root,
    epoch: Epoch,
    from: LogicalBlock,
    mut found: impl FnMut(Extent) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let mut end = LogicalBlock(0);
    entries::visit_born_after(pages, root, epoch, from.0, &mut |key, value| match next_extent(key, value, &mut end)? {
        extent if extent.birth > epoch && extent.end() > from => found(extent),
        _ => Ok(ControlFlow::Continue(())),
    })
}

/// The extent in an entry; it must begin behind the `end` of the one before.
fn next_extent(key: u64, value: &Value, end: &mut LogicalBlock) -> Result<Extent> {
    let extent = extent(key, value)?;
    if extent.logical < *end {
        return Err(Error::corrupt(format!("two extents of one table hold block {key}")));
    }
    *end = extent.end();
    Ok(extent)
}
