//! Which page, and which place in it, belongs to a key?
//!
//! Nothing here allocates: keys are compared where they lie in the page. That may be in the memory map, where a page turns into
//! zeroes at any moment if it cannot be read any more. So nothing here takes two looks at a page for granted to agree: whatever
//! the bytes are, every index lies within the page and every loop ends, and what was found is thrown away above.

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

/// The page behind `pointer`, with a count and slots that are as they must be.
pub fn read<L: Layout>(pages: &impl Pages, pointer: PagePointer, level: u8) -> Result<&Page> {
    let page = pages.read(pointer, level, L::LEAF)?;
    let checked = if level == 0 { L::check(page) } else { Fixed::check(page) };
    checked.map_err(|failed| Error::corrupt(format!("page {}: {failed}", pointer.page)))?;
    Ok(page)
}

/// How many entries a page holds, never more than fit.
pub fn count<L: Layout>(page: &Page, level: u8) -> usize {
    page::count(page).min(if level == 0 { L::COUNT_MAX } else { Fixed::COUNT_MAX })
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
    let count = count::<L>(leaf, 0);
    let index = partition(count, |index| L::key(leaf, index) < key);
    Place { index, found: index < count && L::key(leaf, index) == key }
}

/// Which child of a branch holds `key`, if any does: the last one that does not start behind it, else the first.
pub fn child_index(branch: &Page, key: u64) -> usize {
    partition(count::<Fixed>(branch, 0), |index| entry::key(branch, index) <= key).saturating_sub(1)
}

/// The pointer to child `index` of a branch.
pub fn child(branch: &Page, index: usize) -> PagePointer {
    entry::decode_pointer(&entry::value(branch, index))
}

/// A page's first key, by which other trees are searched for it.
pub fn first_key<L: Layout>(page: &Page, level: u8) -> u64 {
    if level == 0 { L::key(page, 0) } else { entry::key(page, 0) }
}

/// A page that is changed does not hold what was read of it a moment before.
pub fn lost_entries(pointer: PagePointer) -> Error {
    Error::corrupt(format!("page {}: it does not hold any more what it held", pointer.page))
}

/// What the caller needs to know of a page that its tree is about to drop.
pub fn dropped<L: Layout>(pages: &impl Pages, pointer: PagePointer, level: u8) -> Result<Dropped> {
    Ok(Dropped { pointer, level, first_key: first_key::<L>(read::<L>(pages, pointer, level)?, level) })
}

/// The leaf that holds `key`, if any does.
pub fn leaf<'p, L: Layout>(pages: &'p impl Pages, root: &Root, key: u64) -> Result<Option<&'p Page>> {
    page_of_level::<L>(pages, root, key, 0)
}

/// The page of that level on the way to `key`, if the tree is so high.
pub fn page_of_level<'p, L: Layout>(pages: &'p impl Pages, root: &Root, key: u64, level: u8) -> Result<Option<&'p Page>> {
    let Some((mut pointer, top_level)) = top(root)? else { return Ok(None) };
    if level > top_level {
        return Ok(None);
    }
    for level in (level + 1..=top_level).rev() {
        let branch = read::<L>(pages, pointer, level)?;
        pointer = child(branch, child_index(branch, key));
    }
    read::<L>(pages, pointer, level).map(Some)
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
        let _done = Visit { pages, from, born_after, least: 0 }.page::<L>(pointer, level, found)?;
    }
    Ok(())
}

struct Visit<'p, P> {
    pages: &'p P,
    from: u64,
    born_after: Option<Epoch>,
    /// No key that is still to come is less. In a damaged tree several pointers could lead to one page, and the visit would
    /// last for ever; but nothing is visited twice as long as keys rise.
    least: u128,
}

impl<'p, P: Pages> Visit<'p, P> {
    fn page<L: Layout>(
        &mut self,
        pointer: PagePointer,
        level: u8,
        found: &mut impl FnMut(&'p Page, usize) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        if self.born_after.is_some_and(|epoch| pointer.birth <= epoch) {
            return Ok(ControlFlow::Continue(()));
        }
        let page = read::<L>(self.pages, pointer, level)?;
        let start = if level == 0 { place::<L>(page, self.from).index } else { child_index(page, self.from) };
        for index in start..count::<L>(page, level) {
            let key = u128::from(if level == 0 { L::key(page, index) } else { entry::key(page, index) });
            if key < self.least {
                return Err(Error::corrupt(format!("page {}: its keys do not rise", pointer.page)));
            }
            let flow = if level == 0 {
                found(page, index)?
            } else {
                self.least = key;
                self.page::<L>(child(page, index), level - 1, found)?
            };
            if flow.is_break() {
                return Ok(flow);
            }
            self.least = self.least.max(key + 1);
        }
        Ok(ControlFlow::Continue(()))
    }
}
