//! How do entries stand in a page?
//!
//! Branches and entry leaves hold entries of fixed length, record leaves hold records. What differs between the two is in
//! the [`Layout`] trait; everything that searches, splits and merges pages is written once, for any layout.

use crate::format::entry::{self, ENTRIES_PER_PAGE, ENTRY_LEN, Value};
use crate::format::page::{self, PAYLOAD_LEN, Page, PageKind};
use crate::format::record::{leaf_check, leaf_cost, leaf_fill, leaf_key, leaf_put, leaf_value};

/// Where a key stands in a page, or where it would have to be put.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The number of keys before it.
    pub index: usize,
    /// Does the page hold the key?
    pub found: bool,
}

/// The way in which the entries of a page are laid out.
pub trait Layout {
    /// The kind of the leaves that are laid out like this.
    const LEAF: PageKind;
    /// No page holds more entries.
    const COUNT_MAX: usize;
    /// What stands under a key.
    type Item: ?Sized;
    /// The same, taken out of a page.
    type Owned;

    /// Checks what must hold before any other of these functions may see the page: it is not empty, and all lies within it.
    fn check(page: &Page) -> Result<(), &'static str>;
    /// The key of entry `index`.
    fn key(page: &Page, index: usize) -> u64;
    /// The bytes of the payload that are in use.
    fn used(page: &Page) -> usize;
    /// Adds or replaces an entry. Returns false, having changed nothing, if it does not fit.
    #[must_use]
    fn put(page: &mut Page, place: Place, key: u64, item: &Self::Item) -> bool;
    /// Puts an entry that does not fit into `left`, and moves what is behind the middle into the empty page `right`: only
    /// the new entry if `keep_left` says so.
    fn split(left: &mut Page, right: &mut Page, place: Place, key: u64, item: &Self::Item, keep_left: bool);
    /// Removes entry `index`.
    fn take(page: &mut Page, index: usize) -> Self::Owned;
    /// Moves all of `right` behind the entries of `left`, where it must fit.
    fn append(left: &mut Page, right: &mut Page);
}

/// Entries of 24 bytes.
pub struct Fixed;

impl Layout for Fixed {
    const LEAF: PageKind = PageKind::EntryLeaf;
    const COUNT_MAX: usize = ENTRIES_PER_PAGE;
    type Item = Value;
    type Owned = Value;

    fn check(page: &Page) -> Result<(), &'static str> {
        match page::count(page) {
            0 => Err("a page of a tree is empty"),
            1..=ENTRIES_PER_PAGE => Ok(()),
            _ => Err("more entries than fit into a page"),
        }
    }

    fn key(page: &Page, index: usize) -> u64 {
        entry::key(page, index)
    }

    fn used(page: &Page) -> usize {
        page::count(page) * ENTRY_LEN
    }

    fn put(page: &mut Page, place: Place, key: u64, item: &Value) -> bool {
        let count = page::count(page);
        if !place.found {
            if count == ENTRIES_PER_PAGE {
                return false;
            }
            entry::open_gap(page, place.index, count);
            page::set_count(page, count + 1);
        }
        entry::put(page, place.index, key, item);
        true
    }

    fn split(left: &mut Page, right: &mut Page, place: Place, key: u64, item: &Value, keep_left: bool) {
        let count = page::count(left);
        let middle = if keep_left { count } else { count.div_ceil(2) };
        entry::move_tail(left, middle, count, right, 0);
        page::set_count(left, middle);
        page::set_count(right, count - middle);
        let fits = if place.index < middle {
            Self::put(left, place, key, item)
        } else {
            Self::put(right, Place { index: place.index - middle, found: false }, key, item)
        };
        assert!(fits, "half a page has room for one more entry");
    }

    fn take(page: &mut Page, index: usize) -> Value {
        let count = page::count(page);
        let value = entry::value(page, index);
        entry::close_gap(page, index, count);
        page::set_count(page, count - 1);
        value
    }

    fn append(left: &mut Page, right: &mut Page) {
        let (left_count, right_count) = (page::count(left), page::count(right));
        entry::move_tail(right, 0, right_count, left, left_count);
        page::set_count(left, left_count + right_count);
        page::set_count(right, 0);
    }
}

/// Records of varying length; only leaves are laid out like this.
pub struct Records;

impl Records {
    fn all(page: &Page) -> impl Iterator<Item = (u64, &[u8])> {
        (0..page::count(page).min(Self::COUNT_MAX)).map(|index| (leaf_key(page, index), leaf_value(page, index)))
    }

    fn all_with<'a>(page: &'a Page, place: Place, key: u64, item: &'a [u8]) -> Vec<(u64, &'a [u8])> {
        let mut records: Vec<_> = Self::all(page).collect();
        if place.found {
            records[place.index] = (key, item);
        } else {
            records.insert(place.index, (key, item));
        }
        records
    }

    fn cost(records: &[(u64, &[u8])]) -> usize {
        records.iter().map(|(_, bytes)| leaf_cost(bytes.len())).sum()
    }
}

impl Layout for Records {
    const LEAF: PageKind = PageKind::RecordLeaf;
    const COUNT_MAX: usize = PAYLOAD_LEN / leaf_cost(0);
    type Item = [u8];
    type Owned = Vec<u8>;

    fn check(page: &Page) -> Result<(), &'static str> {
        if page::count(page) == 0 {
            return Err("a page of a tree is empty");
        }
        leaf_check(page)
    }

    fn key(page: &Page, index: usize) -> u64 {
        leaf_key(page, index)
    }

    fn used(page: &Page) -> usize {
        Self::all(page).map(|(_, bytes)| leaf_cost(bytes.len())).sum()
    }

    fn put(page: &mut Page, place: Place, key: u64, item: &[u8]) -> bool {
        // A page that cannot be read any more may have changed since it was checked: whoever relies on it is told above.
        (page::count(page) == 0 || leaf_check(page).is_ok()) && leaf_put(page, place.index, place.found, key, item)
    }

    fn split(left: &mut Page, right: &mut Page, place: Place, key: u64, item: &[u8], keep_left: bool) {
        let old = *left;
        let records = Self::all_with(&old, place, key, item);
        // The longest half that starts on the left. No record is longer than a third of a page, so both sides fit.
        let half = Self::cost(&records) / 2;
        let mut cost = 0;
        let fitting = records.iter().take_while(|(_, bytes)| {
            cost += leaf_cost(bytes.len());
            cost <= half
        });
        let middle = if keep_left { records.len() - 1 } else { fitting.count().max(1) };
        leaf_fill(left, records[..middle].iter().copied());
        leaf_fill(right, records[middle..].iter().copied());
    }

    fn take(page: &mut Page, index: usize) -> Vec<u8> {
        let old = *page;
        leaf_fill(page, Self::all(&old).enumerate().filter(|(at, _)| *at != index).map(|(_, record)| record));
        leaf_value(&old, index).to_vec()
    }

    fn append(left: &mut Page, right: &mut Page) {
        let old = *left;
        leaf_fill(left, Self::all(&old).chain(Self::all(right)));
        leaf_fill(right, std::iter::empty());
    }
}
