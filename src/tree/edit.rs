//! How does a tree change without changing a page that someone else may hold?
//!
//! A change reads its path down to the leaf first and copies pages on the way back up, so that a key that is not there, or
//! a page that cannot be read, costs nothing.
//!
//! Invariants:
//! 1. `dropped` gains exactly the pages that the old tree held and the new one does not; a page that was made and given up
//!    within one change may come on top.
//! 2. A page that does not change keeps the key that its parent has for it. (Comparing two trees relies on it.)

use super::layout::{Fixed, Layout, Place};
use super::search::{child, child_index, count, dropped as dropped_page, first_key, lost_entries, place, read, top};
use super::{Dropped, Pages, PagesMut};
use crate::error::{Error, Result};
use crate::format::entry::{self, encode_pointer};
use crate::format::page::{self, LEVEL_MAX, PAYLOAD_LEN, Page, PageKind, PagePointer, Root};

/// A page, and the page to its right if it had to be split.
struct Placed {
    pointer: PagePointer,
    split: Option<(u64, PagePointer)>,
}

/// Adds an entry to the tree or replaces it.
pub fn insert<L: Layout, P: PagesMut>(
    pages: &mut P,
    root: &Root,
    key: u64,
    item: &L::Item,
    dropped: &mut Vec<Dropped>,
) -> Result<Root> {
    let Some((pointer, level)) = top(root)? else {
        let pointer = pages.add(L::LEAF, 0)?;
        let fits = L::put(pages.edit(pointer), Place { index: 0, found: false }, key, item);
        assert!(fits, "an empty page has room for any entry");
        return Ok(Root { pointer: Some(pointer), level: 0 });
    };
    let Placed { pointer: left, split } = insert_below::<L, P>(pages, pointer, level, true, key, item, dropped)?;
    let Some((right_key, right)) = split else { return Ok(Root { pointer: Some(left), level }) };
    if level == LEVEL_MAX {
        return Err(Error::corrupt("a tree would get higher than any tree can be"));
    }
    let left_key = first_key::<L>(pages.edit(left), level);
    let above = pages.add(PageKind::Branch, level + 1)?;
    let branch = pages.edit(above);
    entry::put(branch, 0, left_key, &encode_pointer(left));
    entry::put(branch, 1, right_key, &encode_pointer(right));
    page::set_count(branch, 2);
    Ok(Root { pointer: Some(above), level: level + 1 })
}

fn insert_below<L: Layout, P: PagesMut>(
    pages: &mut P,
    pointer: PagePointer,
    level: u8,
    rightmost: bool,
    key: u64,
    item: &L::Item,
    dropped: &mut Vec<Dropped>,
) -> Result<Placed> {
    let page = read::<L>(pages, pointer, level)?;
    if level == 0 {
        let pointer = writable::<L, P>(pages, pointer, level, dropped)?;
        let page = pages.edit(pointer);
        let place = place::<L>(page, key);
        let at_end = rightmost && place.index == page::count(page);
        let split = put::<L, P>(pages, pointer, L::LEAF, 0, place, key, item, at_end)?;
        return Ok(Placed { pointer, split });
    }
    let count = count::<L>(page, level);
    let index = child_index(page, key);
    let (child_key, child) = (entry::key(page, index), child(page, index));
    let below = insert_below::<L, P>(pages, child, level - 1, rightmost && index + 1 == count, key, item, dropped)?;
    if below.pointer == child && below.split.is_none() && child_key <= key {
        return Ok(Placed { pointer, split: None });
    }
    let pointer = branch_with::<L, P>(pages, pointer, level, index, dropped)?;
    // Only the first child may be asked to hold a key that is lower than its own.
    entry::put(pages.edit(pointer), index, child_key.min(key), &encode_pointer(below.pointer));
    let Some((right_key, right)) = below.split else { return Ok(Placed { pointer, split: None }) };
    let place = Place { index: index + 1, found: false };
    let at_end = rightmost && place.index == count;
    let split = put::<Fixed, P>(pages, pointer, PageKind::Branch, level, place, right_key, &encode_pointer(right), at_end)?;
    Ok(Placed { pointer, split })
}

/// Puts an entry into a writable page. If it has to be split, the page to its right and that page's first key are returned.
/// Whoever fills a tree in order puts each entry `at_end` and leaves full pages behind.
#[expect(clippy::too_many_arguments, reason = "a page and an entry, each described by several plain values")]
fn put<L: Layout, P: PagesMut>(
    pages: &mut P,
    pointer: PagePointer,
    kind: PageKind,
    level: u8,
    place: Place,
    key: u64,
    item: &L::Item,
    at_end: bool,
) -> Result<Option<(u64, PagePointer)>> {
    if L::put(pages.edit(pointer), place, key, item) {
        return Ok(None);
    }
    let right = pages.add(kind, level)?;
    let mut right_page = *pages.edit(right);
    L::split(pages.edit(pointer), &mut right_page, place, key, item, at_end);
    *pages.edit(right) = right_page;
    Ok(Some((L::key(&right_page, 0), right)))
}

/// A tree without the entry that was removed, and the entry.
type Removed<T> = (Root, Option<T>);

/// Removes the entry under `key`; nothing changes if there is none.
pub fn remove<L: Layout, P: PagesMut>(
    pages: &mut P,
    root: &Root,
    key: u64,
    dropped: &mut Vec<Dropped>,
) -> Result<Removed<L::Owned>> {
    let Some((pointer, mut level)) = top(root)? else { return Ok((*root, None)) };
    let Some((left, item)) = remove_below::<L, P>(pages, pointer, level, key, dropped)? else { return Ok((*root, None)) };
    let Some(mut pointer) = left else { return Ok((Root::EMPTY, Some(item))) };
    while level > 0 {
        let page = read::<L>(pages, pointer, level)?;
        if page::count(page) > 1 {
            break;
        }
        dropped.push(Dropped { pointer, level, first_key: entry::key(page, 0) });
        pointer = child(page, 0);
        level -= 1;
    }
    Ok((Root { pointer: Some(pointer), level }, Some(item)))
}

/// What became of a page, which is gone if it has no entry left, and the entry that was removed. `None`: there was none.
type Below<T> = Option<(Option<PagePointer>, T)>;

fn remove_below<L: Layout, P: PagesMut>(
    pages: &mut P,
    pointer: PagePointer,
    level: u8,
    key: u64,
    dropped: &mut Vec<Dropped>,
) -> Result<Below<L::Owned>> {
    let page = read::<L>(pages, pointer, level)?;
    let count = count::<L>(page, level);
    if level == 0 {
        if !place::<L>(page, key).found {
            return Ok(None);
        }
        let take = |page: &mut Page| match place::<L>(page, key) {
            Place { index, found: true } => Ok(L::take(page, index)),
            _ => Err(lost_entries(pointer)),
        };
        if count == 1 {
            let item = take(&mut copied::<L>(page, pointer, level)?)?;
            dropped.push(Dropped { pointer, level, first_key: key });
            return Ok(Some((None, item)));
        }
        let writable = writable::<L, P>(pages, pointer, level, dropped)?;
        return Ok(Some((Some(writable), take(pages.edit(writable))?)));
    }
    let index = child_index(page, key);
    let (page_key, child) = (entry::key(page, 0), child(page, index));
    let Some((below, item)) = remove_below::<L, P>(pages, child, level - 1, key, dropped)? else { return Ok(None) };
    let Some(below) = below else {
        if count == 1 {
            dropped.push(Dropped { pointer, level, first_key: page_key });
            return Ok(Some((None, item)));
        }
        let pointer = branch_with::<L, P>(pages, pointer, level, index, dropped)?;
        Fixed::take(pages.edit(pointer), index);
        return Ok(Some((Some(pointer), item)));
    };
    let neighbour = neighbour_to_merge::<L, P>(pages, pointer, level, index, below)?;
    if below == child && neighbour.is_none() {
        return Ok(Some((Some(pointer), item)));
    }
    let pointer = branch_with::<L, P>(pages, pointer, level, index.max(neighbour.unwrap_or(0)), dropped)?;
    let branch = pages.edit(pointer);
    entry::put(branch, index, entry::key(branch, index), &encode_pointer(below));
    if let Some(neighbour) = neighbour {
        merge::<L, P>(pages, pointer, level, index, neighbour, dropped)?;
    }
    Ok(Some((Some(pointer), item)))
}

/// Which neighbour should join child `index` of a branch, the page `below`? Less than a quarter full is too empty, and three
/// quarters is what the two may fill, so that the next few inserts do not split them again.
fn neighbour_to_merge<L: Layout, P: Pages>(
    pages: &P,
    branch: PagePointer,
    level: u8,
    index: usize,
    below: PagePointer,
) -> Result<Option<usize>> {
    let used = |pointer| -> Result<usize> {
        let page = read::<L>(pages, pointer, level - 1)?;
        Ok(if level == 1 { L::used(page) } else { Fixed::used(page) })
    };
    let own = used(below)?;
    if own * 4 >= PAYLOAD_LEN {
        return Ok(None);
    }
    let branch = read::<L>(pages, branch, level)?;
    for neighbour in [index.checked_sub(1), Some(index + 1)].into_iter().flatten() {
        if neighbour < count::<Fixed>(branch, level) && (own + used(child(branch, neighbour))?) * 4 <= PAYLOAD_LEN * 3 {
            return Ok(Some(neighbour));
        }
    }
    Ok(None)
}

/// Moves all of child `neighbour` of a writable branch into child `index` beside it. That one was changed just now, so
/// that no page need be copied.
fn merge<L: Layout, P: PagesMut>(
    pages: &mut P,
    branch: PagePointer,
    level: u8,
    index: usize,
    neighbour: usize,
    dropped: &mut Vec<Dropped>,
) -> Result<()> {
    let page = pages.edit(branch);
    let (kept, given_up) = (child(page, index), child(page, neighbour));
    let kept = writable::<L, P>(pages, kept, level - 1, dropped)?;
    let mut moved = copied::<L>(read::<L>(pages, given_up, level - 1)?, given_up, level - 1)?;
    dropped.push(Dropped { pointer: given_up, level: level - 1, first_key: first_key::<L>(&moved, level - 1) });
    let used = |page: &Page| if level == 1 { L::used(page) } else { Fixed::used(page) };
    let append = if level == 1 { L::append } else { Fixed::append };
    let joined = pages.edit(kept);
    if used(joined) + used(&moved) > PAYLOAD_LEN {
        return Err(lost_entries(given_up));
    }
    if neighbour < index {
        append(&mut moved, joined);
    }
    append(joined, &mut moved);

    let branch = pages.edit(branch);
    let left = index.min(neighbour);
    entry::put(branch, left, entry::key(branch, left), &encode_pointer(kept));
    Fixed::take(branch, left + 1);
    Ok(())
}

/// The page itself if it may be changed, else a copy in its place.
pub fn writable<L: Layout, P: PagesMut>(
    pages: &mut P,
    pointer: PagePointer,
    level: u8,
    dropped: &mut Vec<Dropped>,
) -> Result<PagePointer> {
    if pages.writable(pointer) {
        return Ok(pointer);
    }
    let old = dropped_page::<L>(pages, pointer, level)?;
    let copy = pages.copy(pointer, level, L::LEAF)?;
    // The page is looked at anew: what was checked before may have become unreadable before it was copied.
    read::<L>(pages, copy, level)?;
    dropped.push(old);
    Ok(copy)
}

/// A branch that may be changed and has a child `index`.
fn branch_with<L: Layout, P: PagesMut>(
    pages: &mut P,
    pointer: PagePointer,
    level: u8,
    index: usize,
    dropped: &mut Vec<Dropped>,
) -> Result<PagePointer> {
    let branch = writable::<L, P>(pages, pointer, level, dropped)?;
    if index < page::count(pages.edit(branch)) { Ok(branch) } else { Err(lost_entries(pointer)) }
}

/// A copy of a page, whose count and slots can be relied on.
fn copied<L: Layout>(page: &Page, pointer: PagePointer, level: u8) -> Result<Page> {
    let copy = *page;
    let checked = if level == 0 { L::check(&copy) } else { Fixed::check(&copy) };
    checked.map_err(|_| lost_entries(pointer))?;
    Ok(copy)
}
