//! Which extents does a table hold, in order?

use std::ops::ControlFlow;

use super::extent;
use crate::error::Result;
use crate::format::entry::Extent;
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
    entries::visit(pages, root, from.0, &mut |key, value| match extent(key, value)? {
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
    entries::visit_born_after(pages, root, epoch, from.0, &mut |key, value| match extent(key, value)? {
        extent if extent.birth > epoch && extent.end() > from => found(extent),
        _ => Ok(ControlFlow::Continue(())),
    })
}
