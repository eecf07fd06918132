//! What does a store file say to someone who has read docs/format.md and nothing else?
//!
//! This reader shares no code with the engine. It finds every page that the last commit uses, so that tests can damage
//! exactly those, and it reads drives and notes, so that the page is known to be enough.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

pub const PAGE: usize = 4096;
const GROUP_BLOCKS: u64 = 32_768;
const FIRST_PLACE: u64 = 256;
const CHECKSUMS_PER_PAGE: u64 = 1016;

/// Offsets within a superblock.
pub const CRC: usize = 8;
pub const VERSION: usize = 12;
pub const FEATURES_OPTIONAL: usize = 16;
pub const FEATURES_REQUIRED: usize = 24;
/// The required feature of a store with notes.
#[allow(dead_code)] // For the test of refusals.
pub const FEATURE_NOTES: u64 = 1;
pub const FEATURE_COMMIT_RECORD: u64 = 2;
/// Required feature: the superblock lists changes of the space map.
pub const FEATURE_SPACE_CHANGES: u64 = 4;
pub const GENERATION: usize = 48;
const SEED: usize = 80;
const CATALOG: usize = 104;
const GROUPS: usize = 124;

/// Offsets within a page.
const COUNT: usize = 10;
const HEADER: usize = 32;

/// The record of a version, and offsets within it.
const VERSION_RECORD: u64 = 1;
const STATE: usize = 1;
const STATE_HEAD: u32 = 0;
const SIZE: usize = 29;
const TABLE: usize = 45;
const HISTOGRAM: usize = 66;

/// Kinds of records, and offsets within that of a note.
const ATTRIBUTES_RECORD: u64 = 5;
const NOTE_RECORD: u64 = 6;
const NOTE_UUID: usize = 1;
const NOTE_LENGTH: usize = 17;

/// A file as the blocks in it that are not all zeroes; the rest is holes.
#[derive(Clone)]
pub struct Picture {
    pub length: u64,
    pub blocks: BTreeMap<u64, Vec<u8>>,
}

/// What a page is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    Superblock,
    Catalog,
    GroupTree,
    ExtentTable,
    Histogram,
    Bitmap,
    Checksums,
}

#[derive(Clone, Copy)]
struct Pointer {
    page: u64,
    birth: u64,
    crc: u32,
    level: u8,
}

impl Picture {
    pub fn of(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut blocks = BTreeMap::new();
        let mut chunk = vec![0; 256 * PAGE];
        let mut at = 0_u64;
        loop {
            let length = fill(&mut file, &mut chunk)?;
            if length == 0 {
                return Ok(Self { length: fs::metadata(path)?.len(), blocks });
            }
            for block in chunk[..length].chunks(PAGE) {
                if block.iter().any(|byte| *byte != 0) {
                    blocks.insert(at, block.to_vec());
                }
                at += 1;
            }
        }
    }

    /// Makes a file of this at `path`, holes as holes.
    pub fn write_to(&self, path: &Path) -> io::Result<()> {
        let mut file = File::create(path)?;
        file.set_len(self.length)?;
        for (block, bytes) in &self.blocks {
            file.write_all_at(bytes, block * PAGE as u64)?;
        }
        file.flush()
    }

    pub fn block(&self, number: u64) -> Vec<u8> {
        self.blocks.get(&number).cloned().unwrap_or_else(|| vec![0; PAGE])
    }

    /// Changes a superblock and makes its checksum right again.
    pub fn patch_superblock(&mut self, slot: u64, patch: impl Fn(&mut [u8])) {
        let mut page = self.block(slot);
        patch(&mut page);
        page[CRC..CRC + 4].fill(0);
        let crc = crc32fast::hash(&page);
        page[CRC..CRC + 4].copy_from_slice(&crc.to_le_bytes());
        self.blocks.insert(slot, page);
    }

    /// The superblock that counts.
    pub fn superblock(&self) -> Vec<u8> {
        let valid = [0, 1].into_iter().map(|slot| self.block(slot)).filter(|page| {
            let mut zeroed = page.clone();
            zeroed[CRC..CRC + 4].fill(0);
            page.starts_with(b"FLOESTOR") && u32_at(page, CRC) == crc32fast::hash(&zeroed)
        });
        valid.max_by_key(|page| u64_at(page, GENERATION)).expect("a superblock")
    }

    /// Every page of metadata that the last commit uses.
    pub fn used_pages(&self) -> Vec<(u64, Use)> {
        let superblock = self.superblock();
        let mut used = vec![(0, Use::Superblock), (1, Use::Superblock)];
        for (group, value) in self.entries_of(&root_at(&superblock, GROUPS), Use::GroupTree, &mut used) {
            let first = group * GROUP_BLOCKS;
            let (bitmap_slot, checksum_slots, present) = (value[1], u32_at(&value, 4), u32_at(&value, 8));
            used.push((first + 2 + u64::from(bitmap_slot), Use::Bitmap));
            for page in (0..32_u32).filter(|page| present >> page & 1 == 1) {
                used.push((first + 4 + 2 * u64::from(page) + u64::from(checksum_slots >> page & 1), Use::Checksums));
            }
        }
        for (_, version) in self.records(VERSION_RECORD, &mut used) {
            for (root, what) in [(TABLE, Use::ExtentTable), (HISTOGRAM, Use::Histogram)] {
                self.leaves(&record_root_at(&version, root), what, &mut used);
            }
        }
        used.sort_unstable();
        used.dedup();
        used
    }

    /// Every block of data that some version of the last commit holds.
    #[allow(dead_code)] // For the test of every bit.
    pub fn used_data(&self) -> BTreeSet<u64> {
        let mut unused = Vec::new();
        let mut blocks = BTreeSet::new();
        for (_, version) in self.records(VERSION_RECORD, &mut unused) {
            for (_, value) in self.entries_of(&record_root_at(&version, TABLE), Use::ExtentTable, &mut unused) {
                let (physical, count) = (u48_at(&value, 0), u64::from(u32_at(&value, 12)));
                blocks.extend((0..count).filter(|_| physical != 0).map(|index| physical + index));
            }
        }
        blocks
    }

    /// The live image of the only drive that has this many bytes, read block by block, each checked against its checksum.
    pub fn drive_of(&self, size: u64) -> Vec<u8> {
        let mut unused = Vec::new();
        let superblock = self.superblock();
        let groups: BTreeMap<u64, Vec<u8>> =
            self.entries_of(&root_at(&superblock, GROUPS), Use::GroupTree, &mut unused).into_iter().collect();
        let is_it = |(_, version): &(u64, Vec<u8>)| u32_at(version, STATE) == STATE_HEAD && u64_at(version, SIZE) == size;
        let (_, version) = self.records(VERSION_RECORD, &mut unused).into_iter().find(is_it).expect("a drive of that size");
        let mut image = vec![0; size.next_multiple_of(PAGE as u64) as usize];
        for (logical, value) in self.entries_of(&record_root_at(&version, TABLE), Use::ExtentTable, &mut unused) {
            let (physical, count) = (u48_at(&value, 0), u64::from(u32_at(&value, 12)));
            for index in (0..count).filter(|_| physical != 0) {
                let block = self.block(physical + index);
                assert_eq!(self.checksum_of(&groups, physical + index), crc32fast::hash(&block), "block {}", physical + index);
                let at = (logical + index) as usize * PAGE;
                image[at..at + PAGE].copy_from_slice(&block);
            }
        }
        image.truncate(size as usize);
        image
    }

    /// The bytes of all notes by uuid.
    #[allow(dead_code)] // For the test of refusals.
    pub fn notes(&self) -> BTreeMap<[u8; 16], Vec<u8>> {
        let mut unused = Vec::new();
        let object = |key: u64| key >> 16 & ((1 << 40) - 1);
        let chunks = self.records(ATTRIBUTES_RECORD, &mut unused);
        let notes = self.records(NOTE_RECORD, &mut unused).into_iter().map(|(key, note)| {
            let bytes: Vec<u8> =
                chunks.iter().filter(|(chunk, _)| object(*chunk) == object(key)).flat_map(|(_, bytes)| bytes.clone()).collect();
            assert_eq!(bytes.len(), u32_at(&note, NOTE_LENGTH) as usize, "length of note {}", object(key));
            (note[NOTE_UUID..NOTE_UUID + 16].try_into().expect("sixteen bytes"), bytes)
        });
        notes.collect()
    }

    fn checksum_of(&self, groups: &BTreeMap<u64, Vec<u8>>, block: u64) -> u32 {
        let group = block / GROUP_BLOCKS;
        let place = block % GROUP_BLOCKS - FIRST_PLACE;
        let (page, index) = (place / CHECKSUMS_PER_PAGE, place % CHECKSUMS_PER_PAGE);
        let slot = u32_at(&groups[&group], 4) >> page & 1;
        let page = self.block(group * GROUP_BLOCKS + 4 + 2 * page + u64::from(slot));
        u32_at(&page, HEADER + 4 * index as usize)
    }

    /// The catalog's records of one kind by key, in rising order.
    fn records(&self, kind: u64, used: &mut Vec<(u64, Use)>) -> Vec<(u64, Vec<u8>)> {
        let mut records = Vec::new();
        for leaf in self.leaves(&root_at(&self.superblock(), CATALOG), Use::Catalog, used) {
            for slot in leaf[HEADER..].chunks(12).take(u16_at(&leaf, COUNT).into()) {
                let (offset, length) = (usize::from(u16_at(slot, 8)), usize::from(u16_at(slot, 10)));
                if u64_at(slot, 0) >> 56 == kind {
                    records.push((u64_at(slot, 0), leaf[offset..offset + length].to_vec()));
                }
            }
        }
        records
    }

    /// Keys and values of a tree of entries.
    fn entries_of(&self, root: &Pointer, what: Use, used: &mut Vec<(u64, Use)>) -> Vec<(u64, Vec<u8>)> {
        let leaves = self.leaves(root, what, used);
        leaves.iter().flat_map(|leaf| entries(leaf)).map(|entry| (u64_at(entry, 0), entry[8..].to_vec())).collect()
    }

    /// The leaves of a tree in order; all its pages are checked and noted.
    fn leaves(&self, root: &Pointer, what: Use, used: &mut Vec<(u64, Use)>) -> Vec<Vec<u8>> {
        let mut leaves = Vec::new();
        let mut pointers = VecDeque::from([*root]);
        while let Some(pointer) = pointers.pop_front().filter(|pointer| pointer.page != 0) {
            used.push((pointer.page, what));
            let page = self.block(pointer.page);
            self.expect_sound(&page, &pointer);
            if pointer.level == 0 {
                leaves.push(page);
                continue;
            }
            pointers.extend(entries(&page).map(|entry| Pointer {
                page: u48_at(entry, 8),
                birth: u48_at(entry, 14),
                crc: u32_at(entry, 20),
                level: pointer.level - 1,
            }));
        }
        leaves
    }

    fn expect_sound(&self, page: &[u8], pointer: &Pointer) {
        let mut zeroed = page.to_vec();
        zeroed[4..8].fill(0);
        let mut crc = crc32fast::Hasher::new_with_initial(u32_at(&self.superblock(), SEED));
        crc.update(&zeroed);
        assert_eq!(&page[..4], b"FLPG", "page {}", pointer.page);
        assert_eq!(crc.finalize(), pointer.crc, "crc of page {} against its pointer", pointer.page);
        assert_eq!(u32_at(page, 4), pointer.crc, "crc in page {}", pointer.page);
        assert_eq!(page[9], pointer.level, "level of page {}", pointer.page);
        assert_eq!(u48_at(page, 12), pointer.page, "own number of page {}", pointer.page);
        assert_eq!(u48_at(page, 18), pointer.birth, "birth of page {}", pointer.page);
    }
}

/// The entries of a branch or entry leaf.
fn entries(page: &[u8]) -> impl Iterator<Item = &[u8]> {
    page[HEADER..].chunks(24).take(u16_at(page, COUNT).into())
}

fn root_at(superblock: &[u8], at: usize) -> Pointer {
    Pointer {
        page: u48_at(superblock, at),
        birth: u48_at(superblock, at + 6),
        crc: u32_at(superblock, at + 12),
        level: superblock[at + 16],
    }
}

fn record_root_at(record: &[u8], at: usize) -> Pointer {
    Pointer { page: u64_at(record, at), birth: u64_at(record, at + 8), crc: u32_at(record, at + 16), level: record[at + 20] }
}

/// Reads until `buf` is full or the file ends.
fn fill(file: &mut File, buf: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buf.len() {
        match file.read(&mut buf[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u48_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u16_at(bytes, at + 4)) << 32
}

pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
