//! What stands under a key in a tree of fixed entries, and which entries are near it?
//!
//! Extent tables, birth histograms and the group tree are trees of 24-byte entries. Looking up reads one page a level and
//! allocates nothing.

use std::cmp::Ordering;
use std::ops::{ControlFlow, Range};

use super::layout::Fixed;
use super::search::{self, child, child_index, count, place, read, top};
use super::{Dropped, Pages, PagesMut, edit};
use crate::error::{Error, Result};
use crate::format::entry::{self, Value};
use crate::format::page::{Page, PagePointer, Root};
use crate::units::{Epoch, PhysicalBlock};

/// The value under `key`.
pub fn get(pages: &impl Pages, root: &Root, key: u64) -> Result<Option<Value>> {
    let Some(leaf) = search::leaf::<Fixed>(pages, root, key)? else { return Ok(None) };
    let place = place::<Fixed>(leaf, key);
    Ok(place.found.then(|| entry::value(leaf, place.index)))
}

/// The entry with the greatest key that is not above `key`.
pub fn floor(pages: &impl Pages, root: &Root, key: u64) -> Result<Option<(u64, Value)>> {
    let Some((mut pointer, level)) = top(root)? else { return Ok(None) };
    // A branch's key for a child may be lower than the child's first: then the floor is the last entry of the page before.
    let mut before = None;
    for level in (1..=level).rev() {
        let branch = read::<Fixed>(pages, pointer, level)?;
        let index = child_index(branch, key);
        if index > 0 {
            before = Some((child(branch, index - 1), level - 1));
        }
        pointer = child(branch, index);
    }
    let leaf = read::<Fixed>(pages, pointer, 0)?;
    let place = place::<Fixed>(leaf, key);
    let found = match (place.found, place.index.checked_sub(1), before) {
        (true, _, _) => entry_at(leaf, place.index),
        (false, Some(index), _) => entry_at(leaf, index),
        (false, None, Some((pointer, level))) => edge(pages, pointer, level, |page| count::<Fixed>(page, 0).saturating_sub(1))?,
        (false, None, None) => return Ok(None),
    };
    if found.0 <= key { Ok(Some(found)) } else { Err(out_of_order(found.0)) }
}

/// The entry with the smallest key that is not below `key`.
pub fn ceiling(pages: &impl Pages, root: &Root, key: u64) -> Result<Option<(u64, Value)>> {
    let Some((mut pointer, level)) = top(root)? else { return Ok(None) };
    let mut behind = None;
    for level in (1..=level).rev() {
        let branch = read::<Fixed>(pages, pointer, level)?;
        let index = child_index(branch, key);
        if index + 1 < count::<Fixed>(branch, level) {
            behind = Some((child(branch, index + 1), level - 1));
        }
        pointer = child(branch, index);
    }
    let leaf = read::<Fixed>(pages, pointer, 0)?;
    let place = place::<Fixed>(leaf, key);
    let found = match behind {
        _ if place.index < count::<Fixed>(leaf, 0) => entry_at(leaf, place.index),
        Some((pointer, level)) => edge(pages, pointer, level, |_| 0)?,
        None => return Ok(None),
    };
    if found.0 >= key { Ok(Some(found)) } else { Err(out_of_order(found.0)) }
}

/// Who asks for what comes next relies on getting ahead.
fn out_of_order(key: u64) -> Error {
    Error::corrupt(format!("a page of a tree has key {key} where it cannot stand"))
}

/// One thing that stands in a page.
pub enum Part {
    /// A page of the next level, in a branch. Its entries have keys of at least `key`.
    Child {
        /// The branch's key for it.
        key: u64,
        /// The page.
        pointer: PagePointer,
        /// Its level.
        level: u8,
    },
    /// An entry, in a leaf.
    Entry {
        /// Its key.
        key: u64,
        /// Its value.
        value: Value,
    },
}

/// What stands in the page behind `pointer`, in order, less what lies before the key `from`.
pub fn parts<'p, P: Pages>(
    pages: &'p P,
    pointer: PagePointer,
    level: u8,
    from: u64,
) -> Result<impl DoubleEndedIterator<Item = Part> + use<'p, P>> {
    let (page, places) = places_from(pages, pointer, level, from)?;
    Ok(places.map(move |index| part_at(page, level, index)))
}

/// What stands in each of two pages of that level, in order, less what lies before a key, and less what stands in both just the same.
pub fn differing_parts(pages: &impl Pages, pointers: [PagePointer; 2], level: u8, from: [u64; 2]) -> Result<[Vec<Part>; 2]> {
    let (left, mut left_places) = places_from(pages, pointers[0], level, from[0])?;
    let (right, mut right_places) = places_from(pages, pointers[1], level, from[1])?;
    let mut parts = [Vec::new(), Vec::new()];
    loop {
        let run = entry::same_run(left, left_places.clone(), right, right_places.clone());
        left_places.start += run;
        right_places.start += run;
        let order = match (left_places.is_empty(), right_places.is_empty()) {
            (true, true) => return Ok(parts),
            (false, true) => Ordering::Less,
            (true, false) => Ordering::Greater,
            (false, false) => entry::key(left, left_places.start).cmp(&entry::key(right, right_places.start)),
        };
        if order.is_le() {
            parts[0].extend(left_places.next().map(|index| part_at(left, level, index)));
        }
        if order.is_ge() {
            parts[1].extend(right_places.next().map(|index| part_at(right, level, index)));
        }
    }
}

/// The page behind `pointer`, and the places in it that do not lie before the key `from`.
fn places_from(pages: &impl Pages, pointer: PagePointer, level: u8, from: u64) -> Result<(&Page, Range<usize>)> {
    let page = read::<Fixed>(pages, pointer, level)?;
    let first = if level == 0 { place::<Fixed>(page, from).index } else { child_index(page, from) };
    let end = count::<Fixed>(page, level);
    Ok((page, first.min(end)..end))
}

fn part_at(page: &Page, level: u8, index: usize) -> Part {
    match level {
        0 => Part::Entry { key: entry::key(page, index), value: entry::value(page, index) },
        _ => Part::Child { key: entry::key(page, index), pointer: child(page, index), level: level - 1 },
    }
}

fn entry_at(leaf: &Page, index: usize) -> (u64, Value) {
    (entry::key(leaf, index), entry::value(leaf, index))
}

/// The entry on one side of the tree beneath `pointer`.
fn edge(pages: &impl Pages, mut pointer: PagePointer, level: u8, side: fn(&Page) -> usize) -> Result<(u64, Value)> {
    for level in (1..=level).rev() {
        let branch = read::<Fixed>(pages, pointer, level)?;
        pointer = child(branch, side(branch));
    }
    let leaf = read::<Fixed>(pages, pointer, 0)?;
    Ok(entry_at(leaf, side(leaf)))
}

/// Adds an entry or replaces its value. Fails with `NoSpace` if there is no page to be had, with `Corrupt` if one cannot be
/// read; the tree may then be left half changed, unless it was the path down that could not be read.
pub fn insert<P: PagesMut>(pages: &mut P, root: &Root, key: u64, value: &Value, dropped: &mut Vec<Dropped>) -> Result<Root> {
    edit::insert::<Fixed, P>(pages, root, key, value, dropped)
}

/// Removes an entry and returns its value; nothing is copied if there is none. Fails as [`insert`] does.
pub fn remove<P: PagesMut>(pages: &mut P, root: &Root, key: u64, dropped: &mut Vec<Dropped>) -> Result<(Root, Option<Value>)> {
    edit::remove::<Fixed, P>(pages, root, key, dropped)
}

/// Calls `found` with each entry in order, starting at the floor of `from`, which may cover it, else at its ceiling.
pub fn visit(
    pages: &impl Pages,
    root: &Root,
    from: u64,
    found: &mut impl FnMut(u64, &Value) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let from = floor(pages, root, from)?.map_or(from, |(key, _)| key);
    search::visit::<Fixed, _>(pages, root, from, None, &mut |page, index| {
        found(entry::key(page, index), &entry::value(page, index))
    })
}

/// Calls `found` with each entry of each page born after `epoch`, in order, starting where [`visit`] does. Pages born earlier are not read, nor is what is
/// beneath them; entries born earlier may stand in a later page and are the caller's to leave out.
pub fn visit_born_after(
    pages: &impl Pages,
    root: &Root,
    epoch: Epoch,
    from: u64,
    found: &mut impl FnMut(u64, &Value) -> Result<ControlFlow<()>>,
) -> Result<()> {
    // From the very start there is no way down to search first, whose pages may all be older.
    let from = if from == 0 { 0 } else { floor(pages, root, from)?.map_or(from, |(key, _)| key) };
    search::visit::<Fixed, _>(pages, root, from, Some(epoch), &mut |page, index| {
        found(entry::key(page, index), &entry::value(page, index))
    })
}

/// How many entries of `page` from the first of `places` on stand just the same, one after the other, in one page of the tree?
pub fn same_run(pages: &impl Pages, root: &Root, page: &Page, level: u8, places: Range<usize>) -> Result<usize> {
    let key = entry::key(page, places.start);
    let Some(other) = search::page_of_level::<Fixed>(pages, root, key, level)? else { return Ok(0) };
    let end = count::<Fixed>(other, level);
    let from = place::<Fixed>(other, key).index.min(end);
    Ok(entry::same_run(page, places, other, from..end))
}

/// Those entries of `leaf` that do not stand just the same in the tree, in order.
pub fn not_in(pages: &impl Pages, root: &Root, leaf: &Page) -> Result<Vec<(u64, Value)>> {
    let mut missing = Vec::new();
    let mut index = 0;
    let leaf_end = count::<Fixed>(leaf, 0);
    while index < leaf_end {
        let first = entry::key(leaf, index);
        let Some(other) = search::leaf::<Fixed>(pages, root, first)? else {
            missing.extend((index..leaf_end).map(|index| entry_at(leaf, index)));
            break;
        };
        let end = count::<Fixed>(other, 0);
        let mut at = place::<Fixed>(other, first).index.min(end);
        if at == end {
            // Nothing of the tree lies between here and its next leaf.
            let next = ceiling(pages, root, first)?.map(|(key, _)| key);
            missing.push(entry_at(leaf, index));
            index += 1;
            while index < leaf_end && next.is_none_or(|next| entry::key(leaf, index) < next) {
                missing.push(entry_at(leaf, index));
                index += 1;
            }
        }
        while index < leaf_end && at < end {
            let run = entry::same_run(leaf, index..leaf_end, other, at..end);
            (index, at) = (index + run, at + run);
            if index == leaf_end || at == end {
                break;
            }
            let order = entry::key(leaf, index).cmp(&entry::key(other, at));
            at += usize::from(order.is_ge());
            if order.is_le() {
                missing.push(entry_at(leaf, index));
                index += 1;
            }
        }
    }
    Ok(missing)
}

/// Does the tree hold `page`, which is of level `level` and starts with `first_key`? Reads the pages above it, never it.
pub fn holds_page(pages: &impl Pages, root: &Root, page: PhysicalBlock, level: u8, first_key: u64) -> Result<bool> {
    let Some((mut pointer, top_level)) = top(root)? else { return Ok(false) };
    if level > top_level {
        return Ok(false);
    }
    for level in (level + 1..=top_level).rev() {
        let branch = read::<Fixed>(pages, pointer, level)?;
        pointer = child(branch, child_index(branch, first_key));
    }
    Ok(pointer.page == page)
}
