//! What does a drive's logical block map to?
//!
//! An extent table is a tree whose entries are [`Extent`]s under their first logical block. What no extent covers is a
//! hole; so is what a tombstone covers, an extent without a physical place that says when the hole came to be.
//!
//! Invariants:
//! 1. Extents do not overlap, and none is empty.
//! 2. Where two extents meet, they differ in place or birth, or are too long to be one. (A neighbour that was too long and
//!    then cut may be left unmerged; readers do not mind.)

mod diff;
mod edit;
mod lookup;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod unreadable;
mod walk;

pub use diff::{Change, diff};
pub use edit::{insert, pages_for, remove};
pub use lookup::{next, parts_not_held};
pub use walk::{walk, walk_born_after};

use crate::error::{Error, Result};
use crate::format::codec::U48_END;
use crate::format::entry::{Extent, Value};
use crate::units::{BLOCK_BYTES, DRIVE_BYTES_MAX};

/// The extent in an entry that was read, once it is certain that it can be reckoned with.
///
/// # Errors
/// `Corrupt` if no drive can have it.
pub fn extent(key: u64, value: &Value) -> Result<Extent> {
    let extent = Extent::decode(key, value);
    let blocks = u64::from(extent.blocks);
    let within_drive = key < DRIVE_BYTES_MAX / BLOCK_BYTES && key + blocks <= DRIVE_BYTES_MAX / BLOCK_BYTES;
    let within_store = extent.physical.is_none_or(|block| block.0 + blocks <= U48_END);
    if blocks == 0 || !within_drive || !within_store {
        return Err(Error::corrupt(format!("no drive can have an extent of {blocks} blocks at {key}")));
    }
    Ok(extent)
}
