//! What stands in the entries of a tree's pages?
//!
//! Branch entries, extents, histogram buckets and group records are all 24 bytes: a 64-bit key and 16 bytes of value,
//! 169 to a page, in strictly rising order of keys.

use std::ops::Range;

use super::codec::{put_u32, put_u48, put_u64, u32_at, u48_at, u64_at};
use super::page::{HEADER_LEN, PAYLOAD_LEN, Page, PagePointer};
use crate::units::{BLOCK_LEN, Epoch, LogicalBlock, PhysicalBlock};

/// Bytes of one entry.
pub const ENTRY_LEN: usize = 24;
/// Entries in one page.
pub const ENTRIES_PER_PAGE: usize = PAYLOAD_LEN / ENTRY_LEN;
/// The bytes of an entry that are not its key.
pub type Value = [u8; 16];

const _: () = assert!(ENTRIES_PER_PAGE == 169);

const fn at(index: usize) -> usize {
    HEADER_LEN + index * ENTRY_LEN
}

/// The key of entry `index`.
pub fn key(page: &Page, index: usize) -> u64 {
    u64_at(page, at(index))
}

/// The value of entry `index`.
pub fn value(page: &Page, index: usize) -> Value {
    page[at(index) + 8..at(index) + ENTRY_LEN].try_into().expect("a value is 16 bytes long")
}

/// Sets key and value of entry `index`.
pub fn put(page: &mut Page, index: usize, key: u64, value: &Value) {
    put_u64(page, at(index), key);
    page[at(index) + 8..at(index) + ENTRY_LEN].copy_from_slice(value);
}

/// Moves entries `from..count` by one place to the right, which frees entry `from`.
pub fn open_gap(page: &mut Page, from: usize, count: usize) {
    page.copy_within(at(from)..at(count), at(from + 1));
}

/// Moves the entries after `index` by one place to the left and zeroes the last of the `count` entries.
pub fn close_gap(page: &mut Page, index: usize, count: usize) {
    page.copy_within(at(index + 1)..at(count), at(index));
    page[at(count - 1)..at(count)].fill(0);
}

/// Moves entries `from..count` of `left` to the start of `right`, behind its first `right_count` entries.
pub fn move_tail(left: &mut Page, from: usize, count: usize, right: &mut Page, right_count: usize) {
    right[at(right_count)..at(right_count + count - from)].copy_from_slice(&left[at(from)..at(count)]);
    left[at(from)..at(count)].fill(0);
}

/// How many of the entries in two rows of places are, from the first on and one after the other, bit by bit the same?
pub fn same_run(left: &Page, left_places: Range<usize>, right: &Page, right_places: Range<usize>) -> usize {
    let (left, right) = (entries(left, left_places), entries(right, right_places));
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

fn entries(page: &Page, places: Range<usize>) -> &[[u8; ENTRY_LEN]] {
    page[at(places.start)..at(places.end)].as_chunks().0
}

/// Are all bytes behind the first `count` entries zero?
pub fn padding_is_zero(page: &Page, count: usize) -> bool {
    count <= ENTRIES_PER_PAGE && page[at(count)..BLOCK_LEN].iter().all(|byte| *byte == 0)
}

/// A pointer as the value of a branch entry.
pub fn encode_pointer(pointer: PagePointer) -> Value {
    let mut value = [0; 16];
    put_u48(&mut value, 0, pointer.page.0);
    put_u48(&mut value, 6, pointer.birth.0);
    put_u32(&mut value, 12, pointer.crc);
    value
}

/// The checksum in the pointer of branch entry `index`.
pub fn pointer_crc(page: &Page, index: usize) -> u32 {
    u32_at(page, at(index) + 20)
}

/// The pointer in a branch entry's value.
pub fn decode_pointer(value: &Value) -> PagePointer {
    PagePointer { page: PhysicalBlock(u48_at(value, 0)), birth: Epoch(u48_at(value, 6)), crc: u32_at(value, 12) }
}

/// A run of a drive's blocks: where it lies in the drive, where in the store, how long it is, and when it was born.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// First block within the drive: the entry's key.
    pub logical: LogicalBlock,
    /// First block within the store; `None` says that the run was data and became a hole at `birth` (kept only for bookmarks).
    pub physical: Option<PhysicalBlock>,
    /// Length in blocks, at least 1.
    pub blocks: u32,
    /// The epoch in which the run was written.
    pub birth: Epoch,
}

impl Extent {
    /// The block behind the last one, within the drive.
    pub fn end(&self) -> LogicalBlock {
        self.logical.plus(u64::from(self.blocks))
    }

    /// The part of the extent that lies within `from..to`, which must overlap it.
    #[must_use]
    pub fn part(&self, from: LogicalBlock, to: LogicalBlock) -> Self {
        let start = from.max(self.logical);
        let end = to.min(self.end());
        debug_assert!(start < end, "the part is empty");
        Self {
            logical: start,
            physical: self.physical.map(|block| block.plus(start.0 - self.logical.0)),
            blocks: (end.0 - start.0) as u32,
            birth: self.birth,
        }
    }

    /// Does `next` continue this extent in the drive, in the store and in birth?
    pub fn continues_with(&self, next: &Self) -> bool {
        let blocks = u64::from(self.blocks);
        self.end() == next.logical
            && self.birth == next.birth
            && self.physical.map(|block| block.plus(blocks)) == next.physical
            && self.blocks.checked_add(next.blocks).is_some()
    }

    /// The entry's value.
    pub fn encode(&self) -> Value {
        let mut value = [0; 16];
        put_u48(&mut value, 0, self.physical.map_or(0, |block| block.0));
        put_u48(&mut value, 6, self.birth.0);
        put_u32(&mut value, 12, self.blocks);
        value
    }

    /// The extent under `key`.
    pub fn decode(key: u64, value: &Value) -> Self {
        let physical = u48_at(value, 0);
        Self {
            logical: LogicalBlock(key),
            physical: (physical != 0).then_some(PhysicalBlock(physical)),
            blocks: u32_at(value, 12),
            birth: Epoch(u48_at(value, 6)),
        }
    }
}

/// A histogram bucket as an entry's value; its key is the birth.
pub fn encode_bucket(blocks: u64) -> Value {
    let mut value = [0; 16];
    put_u64(&mut value, 0, blocks);
    value
}

/// How many blocks the bucket counts.
pub fn decode_bucket(value: &Value) -> u64 {
    u64_at(value, 0)
}
