//! What do all pages of metadata have in common?
//!
//! A 32-byte header: magic, checksum, kind, level, count, own number, birth and generation. The checksum is the CRC-32
//! (IEEE) of the whole page with the checksum field taken as zero, started from the store's own seed, so that a page of
//! another store never passes for one of this.

use super::codec::{put_u16, put_u32, put_u48, put_u64, u8_at, u16_at, u32_at, u48_at, u64_at};
use crate::units::{BLOCK_LEN, Epoch, Generation, PhysicalBlock};

/// One page of metadata.
pub type Page = [u8; BLOCK_LEN];

/// Bytes before the payload.
pub const HEADER_LEN: usize = 32;
/// Bytes of payload.
pub const PAYLOAD_LEN: usize = BLOCK_LEN - HEADER_LEN;
/// "FLPG"
pub const PAGE_MAGIC: u32 = u32::from_le_bytes(*b"FLPG");

const MAGIC: usize = 0;
const CRC: usize = 4;
const KIND: usize = 8;
const LEVEL: usize = 9;
const COUNT: usize = 10;
const NUMBER: usize = 12;
const BIRTH: usize = 18;
const GENERATION: usize = 24;

/// What a page holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PageKind {
    /// Pointers to child pages.
    Branch = 1,
    /// Entries of a fixed 24 bytes: an extent table, a histogram or the group tree.
    EntryLeaf = 2,
    /// Records of varying length: the catalog.
    RecordLeaf = 3,
    /// A group's allocation bitmap.
    Bitmap = 4,
    /// A page of a group's checksum table.
    Checksums = 5,
}

impl PageKind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Branch, Self::EntryLeaf, Self::RecordLeaf, Self::Bitmap, Self::Checksums]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// Where a page is, when its table wrote it, and what its bytes must sum to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PagePointer {
    /// The page's place in the store.
    pub page: PhysicalBlock,
    /// The birth in the page's own header.
    pub birth: Epoch,
    /// The checksum in the page's own header. Not known (0) while the page is being changed in memory.
    pub crc: u32,
}

/// The topmost page of a tree, or nothing for an empty one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Root {
    /// The topmost page.
    pub pointer: Option<PagePointer>,
    /// Its level; leaves are level 0.
    pub level: u8,
}

impl Root {
    /// The root of a tree without entries.
    pub const EMPTY: Self = Self { pointer: None, level: 0 };
}

/// No tree is higher: 169 children a page and 2^51 blocks a drive need 7 levels, the bound leaves room for sparse pages.
pub const LEVEL_MAX: u8 = 15;

/// A page of zeroes with its header filled in, all but the checksum.
pub fn blank(kind: PageKind, level: u8, number: PhysicalBlock, birth: Epoch, generation: Generation) -> Page {
    let mut page = [0; BLOCK_LEN];
    put_u32(&mut page, MAGIC, PAGE_MAGIC);
    page[KIND] = kind as u8;
    page[LEVEL] = level;
    put_u48(&mut page, NUMBER, number.0);
    put_u48(&mut page, BIRTH, birth.0);
    put_u64(&mut page, GENERATION, generation.0);
    page
}

/// Gives the page a new place, birth and generation; what it holds stays.
pub fn readdress(page: &mut Page, number: PhysicalBlock, birth: Epoch, generation: Generation) {
    put_u48(page, NUMBER, number.0);
    put_u48(page, BIRTH, birth.0);
    put_u64(page, GENERATION, generation.0);
}

/// How many entries the page holds.
pub fn count(page: &Page) -> usize {
    usize::from(u16_at(page, COUNT))
}

/// Sets how many entries the page holds.
pub fn set_count(page: &mut Page, count: usize) {
    put_u16(page, COUNT, u16::try_from(count).expect("a page holds fewer than 65,536 entries"));
}

/// The page's level: 0 for leaves.
pub fn level(page: &Page) -> u8 {
    u8_at(page, LEVEL)
}

/// What the page holds, if its kind is known.
pub fn kind(page: &Page) -> Option<PageKind> {
    PageKind::from_byte(u8_at(page, KIND))
}

/// The page's own number.
pub fn number(page: &Page) -> PhysicalBlock {
    PhysicalBlock(u48_at(page, NUMBER))
}

/// The epoch in which the page was written.
pub fn birth(page: &Page) -> Epoch {
    Epoch(u48_at(page, BIRTH))
}

/// The commit that wrote the page.
pub fn generation(page: &Page) -> Generation {
    Generation(u64_at(page, GENERATION))
}

/// Stores the page's checksum and returns it.
pub fn seal(page: &mut Page, seed: u32) -> u32 {
    let crc = checksum(page, seed);
    put_u32(page, CRC, crc);
    crc
}

/// The checksum stored in the page.
pub fn stored_crc(page: &Page) -> u32 {
    u32_at(page, CRC)
}

fn checksum(page: &Page, seed: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(&page[..CRC]);
    hasher.update(&[0; 4]);
    hasher.update(&page[CRC + 4..]);
    hasher.finalize()
}

/// Checks what every page must satisfy; the error says which check failed.
pub fn verify(page: &Page, seed: u32, at: PhysicalBlock, kinds: &[PageKind]) -> Result<(), String> {
    if u32_at(page, MAGIC) != PAGE_MAGIC {
        return Err(format!("page {at}: it is no page of floe's (wrong magic)"));
    }
    if checksum(page, seed) != stored_crc(page) {
        return Err(format!("page {at}: wrong checksum"));
    }
    if number(page) != at {
        return Err(format!("page {at}: it says that it is page {}", number(page)));
    }
    match kind(page) {
        Some(kind) if kinds.contains(&kind) => Ok(()),
        other => Err(format!("page {at}: its kind is {other:?}, expected one of {kinds:?}")),
    }
}

/// Checks a page of a tree against the pointer that led to it.
pub fn verify_pointed(page: &Page, seed: u32, pointer: PagePointer, expected_level: u8, leaf: PageKind) -> Result<(), String> {
    let at = pointer.page;
    let expected = if expected_level == 0 { leaf } else { PageKind::Branch };
    verify(page, seed, at, &[expected])?;
    if stored_crc(page) != pointer.crc || birth(page) != pointer.birth {
        return Err(format!("page {at}: it is not the version that its parent points to"));
    }
    if level(page) != expected_level {
        return Err(format!("page {at}: it is of level {}, expected {expected_level}", level(page)));
    }
    Ok(())
}
