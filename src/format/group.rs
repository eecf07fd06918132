//! Which block of the store serves which purpose?
//!
//! The store is cut into groups of 128 MiB. The first MiB of each is its header: the two superblocks (group 0 alone),
//! the two slots of the allocation bitmap, and the two slots of each page of the checksum table. The 32,512 blocks that
//! follow are the group's *places*; they hold either data or tree pages, never both.

use std::ops::Range;

use crate::units::PhysicalBlock;

/// Blocks in a group, header included: 128 MiB.
pub const GROUP_BLOCKS: u64 = 32_768;
/// Blocks in a group's header: 1 MiB.
pub const HEADER_BLOCKS: u64 = 256;
/// Places in a whole group: as many as one bitmap page has bits.
pub const GROUP_PLACES: u32 = 32_512;
/// Pages in a group's checksum table.
pub const CHECKSUM_PAGES: u32 = 32;
/// Checksums in one page of the table.
pub const CHECKSUMS_PER_PAGE: u32 = 1016;
/// Where in the header the two bitmap slots lie.
pub const BITMAP_SLOT: u64 = 2;
/// Where in the header the checksum slots begin: page `i` has `4 + 2 i` and `5 + 2 i`.
pub const CHECKSUM_SLOT: u64 = 4;
/// Blocks of the header that are in use today; the rest is reserved.
pub const HEADER_BLOCKS_USED: u64 = CHECKSUM_SLOT + 2 * CHECKSUM_PAGES as u64;
/// The smallest store: one whole group for tree pages, and a second one with 256 places for data.
pub const STORE_BLOCKS_MIN: u64 = GROUP_BLOCKS + 2 * HEADER_BLOCKS;
/// The largest store: 2^60 bytes, what a 48-bit block number reaches.
pub const STORE_BLOCKS_MAX: u64 = 1 << 48;

const _: () = assert!(HEADER_BLOCKS + GROUP_PLACES as u64 == GROUP_BLOCKS);
const _: () = assert!(CHECKSUM_PAGES * CHECKSUMS_PER_PAGE == GROUP_PLACES);
const _: () = assert!(GROUP_PLACES as usize / 8 == super::page::PAYLOAD_LEN);
const _: () = assert!(HEADER_BLOCKS_USED <= HEADER_BLOCKS);

/// Index of a group within the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group(pub u64);

/// Index of a block among the places of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub u32);

impl Group {
    /// The group that block `block` lies in.
    pub const fn of(block: PhysicalBlock) -> Self {
        Self(block.0 / GROUP_BLOCKS)
    }

    /// The first block of the group.
    pub const fn start(self) -> PhysicalBlock {
        PhysicalBlock(self.0 * GROUP_BLOCKS)
    }

    /// The block behind `place`.
    pub const fn block(self, place: Place) -> PhysicalBlock {
        PhysicalBlock(self.start().0 + HEADER_BLOCKS + place.0 as u64)
    }

    /// The block that holds slot `slot` (0 or 1) of the group's bitmap.
    pub const fn bitmap_slot(self, slot: u8) -> PhysicalBlock {
        PhysicalBlock(self.start().0 + BITMAP_SLOT + slot as u64)
    }

    /// The block that holds slot `slot` (0 or 1) of page `page` of the group's checksum table.
    pub const fn checksum_slot(self, page: u32, slot: u8) -> PhysicalBlock {
        PhysicalBlock(self.start().0 + CHECKSUM_SLOT + 2 * page as u64 + slot as u64)
    }

    /// The bytes of the store where the group's checksum table lies.
    pub const fn checksum_bytes(self) -> Range<u64> {
        self.checksum_slot(0, 0).offset()..self.checksum_slot(CHECKSUM_PAGES, 0).offset()
    }

    /// How many places the group has in a store of `store_blocks` blocks: fewer in the last group, which may be cut off.
    pub const fn places(self, store_blocks: u64) -> u32 {
        let rest = store_blocks.saturating_sub(self.start().0 + HEADER_BLOCKS);
        if rest > GROUP_PLACES as u64 { GROUP_PLACES } else { rest as u32 }
    }

    /// How many groups with at least one place a store of `store_blocks` blocks has.
    pub const fn count(store_blocks: u64) -> u64 {
        let whole = store_blocks / GROUP_BLOCKS;
        if store_blocks % GROUP_BLOCKS > HEADER_BLOCKS { whole + 1 } else { whole }
    }
}

/// The place that block `block` has in its group, or `None` if it lies in the group's header.
pub const fn place_of(block: PhysicalBlock) -> Option<Place> {
    let within = block.0 % GROUP_BLOCKS;
    if within < HEADER_BLOCKS { None } else { Some(Place((within - HEADER_BLOCKS) as u32)) }
}

/// Are these blocks places of one group?
pub const fn are_places(first: PhysicalBlock, blocks: u32) -> bool {
    match place_of(first) {
        Some(place) => place.0 as u64 + blocks as u64 <= GROUP_PLACES as u64,
        None => false,
    }
}

/// What a group's places hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupKind {
    /// Blocks of drives.
    Data,
    /// Pages of trees.
    Tree,
}

/// What the group tree says of a group: a 16-byte value under the group's index. A group without one was never used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupRecord {
    /// What its places hold.
    pub kind: GroupKind,
    /// Which slot of the bitmap is current.
    pub bitmap_slot: u8,
    /// How many places are in use.
    pub used: u16,
    /// Bit `i`: which slot of checksum page `i` is current.
    pub checksum_slots: u32,
    /// Bit `i`: checksum page `i` has been written; otherwise neither slot means anything.
    pub checksum_present: u32,
    /// The checksum of the bitmap: the page of an older commit, which a disk may have kept, is not it.
    pub bitmap_crc: u32,
}

impl GroupRecord {
    const KIND: usize = 0;
    const BITMAP: usize = 1;
    const USED: usize = 2;
    const SLOTS: usize = 4;
    const PRESENT: usize = 8;
    const BITMAP_CRC: usize = 12;

    /// The record's 16 bytes.
    pub fn encode(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[Self::KIND] = match self.kind {
            GroupKind::Data => 1,
            GroupKind::Tree => 2,
        };
        bytes[Self::BITMAP] = self.bitmap_slot;
        super::codec::put_u16(&mut bytes, Self::USED, self.used);
        super::codec::put_u32(&mut bytes, Self::SLOTS, self.checksum_slots);
        super::codec::put_u32(&mut bytes, Self::PRESENT, self.checksum_present);
        super::codec::put_u32(&mut bytes, Self::BITMAP_CRC, self.bitmap_crc);
        bytes
    }

    /// The record in `bytes`, or which check it fails.
    pub fn decode(bytes: &[u8; 16]) -> Result<Self, &'static str> {
        let kind = match bytes[Self::KIND] {
            1 => GroupKind::Data,
            2 => GroupKind::Tree,
            _ => return Err("unknown kind of group"),
        };
        let record = Self {
            kind,
            bitmap_slot: bytes[Self::BITMAP],
            used: super::codec::u16_at(bytes, Self::USED),
            checksum_slots: super::codec::u32_at(bytes, Self::SLOTS),
            checksum_present: super::codec::u32_at(bytes, Self::PRESENT),
            bitmap_crc: super::codec::u32_at(bytes, Self::BITMAP_CRC),
        };
        if record.bitmap_slot > 1 {
            return Err("bitmap slot is neither 0 nor 1");
        }
        if u32::from(record.used) > GROUP_PLACES {
            return Err("more places in use than a group has");
        }
        if record.checksum_slots & !record.checksum_present != 0 {
            return Err("reserved bits of a group record are set");
        }
        Ok(record)
    }
}
