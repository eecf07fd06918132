//! How does a table change when blocks are written, or when they become holes?

use std::ops::{ControlFlow, Range};

use super::lookup::next;
use super::walk::walk;
use crate::error::Result;
use crate::format::entry::Extent;
use crate::format::page::Root;
use crate::tree::{Dropped, Pages, PagesMut, entries};
use crate::units::{Epoch, LogicalBlock};

/// Pages that changing one run of an image takes at most, besides some for the way down: `pieces` extents are put in or taken out.
/// They lie side by side. Of two neighbouring leaves one is at least a quarter full, else they would have been merged, so it takes
/// more than 20 to touch another leaf, and more than that to split one.
pub const fn pages_for(pieces: u64) -> u64 {
    pieces.div_ceil(8)
}

/// Maps the extent's blocks to where it says. What lay there before is appended to `removed`, piece by piece, tombstones
/// too; the extent is merged with its neighbours.
pub fn insert<P: PagesMut>(
    pages: &mut P,
    root: &Root,
    extent: Extent,
    removed: &mut Vec<Extent>,
    dropped: &mut Vec<Dropped>,
) -> Result<Root> {
    let (start, end) = (extent.logical, extent.end());
    let mut root = *root;
    let mut merged = extent;
    // What is left behind the end of the last extent that reaches into the range.
    let mut behind = None;
    for near in all_near(pages, &root, start, end)? {
        if near.logical == end {
            if merged.continues_with(&near) {
                merged = joined(&merged, &near);
                root = cut(pages, &root, near.logical, dropped)?;
            }
            break;
        }
        if near.end() > start {
            removed.push(near.part(start, end));
        }
        if near.end() > end {
            behind = Some(near.part(end, near.end()));
        }
        if near.logical < start {
            let rest = near.part(near.logical, start);
            if rest.continues_with(&merged) {
                merged = joined(&rest, &merged);
            } else if rest != near {
                root = put(pages, &root, rest, dropped)?;
            }
        } else if near.logical != merged.logical {
            // An extent that starts where the new one will stand is overwritten below.
            root = cut(pages, &root, near.logical, dropped)?;
        }
    }
    if let Some(behind) = behind {
        if merged.continues_with(&behind) {
            merged = joined(&merged, &behind);
        } else {
            root = put(pages, &root, behind, dropped)?;
        }
    }
    put(pages, &root, merged, dropped)
}

/// The extents that reach into a range or touch it, in order.
fn all_near(pages: &impl Pages, root: &Root, start: LogicalBlock, end: LogicalBlock) -> Result<Vec<Extent>> {
    let mut near = Vec::new();
    walk(pages, root, LogicalBlock(start.0.saturating_sub(1)), |extent| {
        if extent.logical > end {
            return Ok(ControlFlow::Break(()));
        }
        near.push(extent);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(near)
}

/// Makes holes of up to `limit` extents that reach into `range`, from the left, and returns up to where that is done:
/// `range.end` if nothing is left to do. What was mapped is appended to `removed`, piece by piece.
///
/// With a `tombstone`, the pieces that were data become tombstones of that birth, and tombstones that are there already
/// stay as they are (each counts against the limit all the same). Without, they are removed like data.
pub fn remove<P: PagesMut>(
    pages: &mut P,
    root: &Root,
    range: Range<LogicalBlock>,
    limit: usize,
    tombstone: Option<Epoch>,
    removed: &mut Vec<Extent>,
    dropped: &mut Vec<Dropped>,
) -> Result<(Root, LogicalBlock)> {
    let mut root = *root;
    let mut done = range.start;
    let mut count = 0;
    while done < range.end {
        let Some(extent) = next(pages, &root, done)?.filter(|extent| extent.logical < range.end) else { break };
        if count == limit {
            return Ok((root, done.max(extent.logical)));
        }
        count += 1;
        let piece = extent.part(done, range.end);
        match tombstone {
            Some(birth) if piece.physical.is_some() => {
                root = insert(pages, &root, Extent { physical: None, birth, ..piece }, removed, dropped)?;
            }
            Some(_) => {}
            None => {
                removed.push(piece);
                root = cut_out(pages, &root, &extent, &piece, dropped)?;
            }
        }
        done = piece.end();
    }
    Ok((root, range.end))
}

/// Removes `piece` from `extent`, of which it is a part, and keeps what is left on either side.
fn cut_out<P: PagesMut>(pages: &mut P, root: &Root, extent: &Extent, piece: &Extent, dropped: &mut Vec<Dropped>) -> Result<Root> {
    let root = if extent.logical < piece.logical {
        put(pages, root, extent.part(extent.logical, piece.logical), dropped)?
    } else {
        cut(pages, root, extent.logical, dropped)?
    };
    if piece.end() < extent.end() { put(pages, &root, extent.part(piece.end(), extent.end()), dropped) } else { Ok(root) }
}

/// Two extents of which the second continues the first, as one.
fn joined(first: &Extent, second: &Extent) -> Extent {
    Extent { blocks: first.blocks + second.blocks, ..*first }
}

fn put<P: PagesMut>(pages: &mut P, root: &Root, extent: Extent, dropped: &mut Vec<Dropped>) -> Result<Root> {
    entries::insert(pages, root, extent.logical.0, &extent.encode(), dropped)
}

fn cut<P: PagesMut>(pages: &mut P, root: &Root, key: LogicalBlock, dropped: &mut Vec<Dropped>) -> Result<Root> {
    Ok(entries::remove(pages, root, key.0, dropped)?.0)
}
