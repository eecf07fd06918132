//! Which page, and which place in it, belongs to a key?
//!
//! Nothing here allocates: keys are compared where they lie in the page.

use std::ops::ControlFlow;

use super::layout::{Fixed, Layout, Place};
use super::{Dropped, Pages};
use crate::error::{Error, Result};
use crate::format::entry;
use crate::format::page::{self, LEVEL_MAX, Page, PagePointer, Root};
use crate::units::Epoch;

/// The topmost page and its level, unless the tree is empty.
pub fn top(root: &Root) -> Result<Option<(PagePointer, u8)>> {
    if root.level > LEVEL_MAX {
        return Err(Error::corrupt(format!("a tree is {} levels high, {LEVEL_MAX} are allowed", root.level)));
    }
    Ok(root.pointer.map(|pointer| (pointer, root.level)))
}

/// The page behind `pointer`, with a count and slots that can be relied on.
pub fn read<L: Layout>(pages: &impl Pages, pointer: PagePointer, level: u8) -> Result<&Page> {
    let page = pages.read(pointer, level, L::LEAF)?;
    let checked = if level == 0 { L::check(page) } else { Fixed::check(page) };
    checked.map_err(|failed| Error::corrupt(format!("page {}: {failed}", pointer.page)))?;
    Ok(page)
}

/// The first of `count` places whose key is not `before`; keys that are come first.
fn partition(count: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low.midpoint(high);
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// Where `key` stands in a leaf.
pub fn place<L: Layout>(leaf: &Page, key: u64) -> Place {
    let count = page::count(leaf);
    let index = partition(count, |index| L::key(leaf, index) < key);
    Place { index, found: index < count && L::key(leaf, index) == key }
}

/// Which child of a branch holds `key`, if any does: the last one that does not start behind it, else the first.
pub fn child_index(branch: &Page, key: u64) -> usize {
    partition(page::count(branch), |index| entry::key(branch, index) <= key).saturating_sub(1)
}

/// The pointer to child `index` of a branch.
pub fn child(branch: &Page, index: usize) -> PagePointer {
    entry::decode_pointer(&entry::value(branch, index))
}

/// A page's first key, by which other trees are searched for it.
pub fn first_key<L: Layout>(page: &Page, level: u8) -> u64 {
    if level == 0 { L::key(page, 0) } else { entry::key(page, 0) }
}

/// What the caller needs to know of a page that its tree is about to drop.
pub fn dropped<L: Layout>(pages: &impl Pages, pointer: PagePointer, level: u8) -> Result<Dropped> {
    Ok(Dropped { pointer, level, first_key: first_key::<L>(read::<L>(pages, pointer, level)?, level) })
}

/// The leaf that holds `key`, if any does.
pub fn leaf<'p, L: Layout>(pages: &'p impl Pages, root: &Root, key: u64) -> Result<Option<&'p Page>> {
    let Some((mut pointer, level)) = top(root)? else { return Ok(None) };
    for level in (1..=level).rev() {
        let branch = read::<L>(pages, pointer, level)?;
        pointer = child(branch, child_index(branch, key));
    }
    read::<L>(pages, pointer, 0).map(Some)
}

/// Calls `found` with leaf and place of each key that is at least `from`, in order, leaving out pages born at or before
/// `born_after`.
pub fn visit<'p, L: Layout, P: Pages>(
    pages: &'p P,
    root: &Root,
    from: u64,
    born_after: Option<Epoch>,
    found: &mut impl FnMut(&'p Page, usize) -> Result<ControlFlow<()>>,
) -> Result<()> {
    if let Some((pointer, level)) = top(root)? {
        let _done = visit_page::<L, P>(pages, pointer, level, from, born_after, found)?;
    }
    Ok(())
}

fn visit_page<'p, L: Layout, P: Pages>(
    pages: &'p P,
    pointer: PagePointer,
    level: u8,
    from: u64,
    born_after: Option<Epoch>,
    found: &mut impl FnMut(&'p Page, usize) -> Result<ControlFlow<()>>,
) -> Result<ControlFlow<()>> {
    if born_after.is_some_and(|epoch| pointer.birth <= epoch) {
        return Ok(ControlFlow::Continue(()));
    }
    let page = read::<L>(pages, pointer, level)?;
    let start = if level == 0 { place::<L>(page, from).index } else { child_index(page, from) };
    for index in start..page::count(page) {
        let flow = match level {
            0 => found(page, index)?,
            _ => visit_page::<L, P>(pages, child(page, index), level - 1, from, born_after, found)?,
        };
        if flow.is_break() {
            return Ok(flow);
        }
    }
    Ok(ControlFlow::Continue(()))
}
