//! What stands under a key in a tree of records?
//!
//! The catalog is one such tree. Its branches are those of any tree; its leaves hold records of varying length, none longer
//! than [`RECORD_LEN_MAX`].

use std::ops::ControlFlow;

use super::layout::Records;
use super::search::{self, place};
use super::{Dropped, Pages, PagesMut, edit};
use crate::error::Result;
use crate::format::page::Root;
use crate::format::record::{RECORD_LEN_MAX, leaf_key, leaf_value};

/// The record under `key`, lent by the page that it stands in.
pub fn get<'p>(pages: &'p impl Pages, root: &Root, key: u64) -> Result<Option<&'p [u8]>> {
    let Some(leaf) = search::leaf::<Records>(pages, root, key)? else { return Ok(None) };
    let place = place::<Records>(leaf, key);
    Ok(place.found.then(|| leaf_value(leaf, place.index)))
}

/// Adds a record or replaces it. Fails with `NoSpace` if there is no page to be had, with `Corrupt` if one cannot be read;
/// the tree may then be left half changed, unless it was the path down that could not be read.
pub fn put<P: PagesMut>(pages: &mut P, root: &Root, key: u64, record: &[u8], dropped: &mut Vec<Dropped>) -> Result<Root> {
    assert!(record.len() <= RECORD_LEN_MAX, "a record is {} bytes long, {RECORD_LEN_MAX} are allowed", record.len());
    edit::insert::<Records, P>(pages, root, key, record, dropped)
}

/// Removes a record and returns it; nothing is copied if there is none. Fails as [`put`] does.
pub fn remove<P: PagesMut>(pages: &mut P, root: &Root, key: u64, dropped: &mut Vec<Dropped>) -> Result<(Root, Option<Vec<u8>>)> {
    edit::remove::<Records, P>(pages, root, key, dropped)
}

/// Calls `found` with each record whose key is at least `from`, in order.
pub fn visit<'p, P: Pages>(
    pages: &'p P,
    root: &Root,
    from: u64,
    found: &mut impl FnMut(u64, &'p [u8]) -> Result<ControlFlow<()>>,
) -> Result<()> {
    search::visit::<Records, P>(pages, root, from, None, &mut |page, index| found(leaf_key(page, index), leaf_value(page, index)))
}
