//! How is a store made to look whole again after somebody wrote into its pages?
//!
//! Every checksum is made to fit what the page says now, and every pointer to fit the page that it leads to, from the leaves up
//! to both superblocks. What the engine then finds wrong, it finds by what the pages say. Written from docs/format.md alone.

use std::collections::{BTreeMap, BTreeSet};

use super::bench::{BLOCK, Bytes, Picture};

const GROUP_BLOCKS: u64 = 32_768;
const HEADER: usize = 32;
const ENTRY: usize = 24;
const SLOT: usize = 12;

/// Offsets within a superblock.
const SUPERBLOCK_CRC: usize = 8;
const SEED: usize = 80;
const CATALOG_ROOT: usize = 104;
const GROUPS_ROOT: usize = 124;

/// Offsets within a page.
const CRC: usize = 4;
const KIND: usize = 8;
const LEVEL: usize = 9;
const COUNT: usize = 10;
const NUMBER: usize = 12;
const BIRTH: usize = 18;

const RECORD_LEAF: u8 = 3;
const HEADER_KINDS: [u8; 2] = [4, 5];

/// A version's record, and where its two roots stand in it.
const VERSION_RECORD: u64 = 1;
const RECORD_ROOTS: [usize; 2] = [45, 66];
const RECORD_ROOT_LEN: usize = 21;

/// What a pointer says of a page beside its number: birth and checksum.
type Sealed = ([u8; 6], [u8; 4]);

/// A picture with changes on top.
pub struct Mutant<'a> {
    /// What was there before.
    pub base: &'a Picture,
    /// What is there instead.
    pub changes: Picture,
}

impl<'a> Mutant<'a> {
    /// The picture itself.
    pub fn of(base: &'a Picture) -> Self {
        Self { base, changes: Picture::new() }
    }

    /// The bytes of a block.
    pub fn block(&self, number: u64) -> Bytes {
        self.changes.get(&number).or_else(|| self.base.get(&number)).map_or([0; BLOCK], |bytes| **bytes)
    }

    /// The bytes of a block, to be changed.
    pub fn change(&mut self, number: u64) -> &mut Bytes {
        let before = self.base.get(&number);
        self.changes.entry(number).or_insert_with(|| before.cloned().unwrap_or_else(|| Box::new([0; BLOCK])))
    }

    /// Makes all checksums and pointers fit; returns the superblocks and all pages that something leads to.
    pub fn seal(&mut self) -> BTreeSet<u64> {
        let mut found = BTreeSet::from([0, 1]);
        let headers: Vec<u64> = self.numbers().into_iter().filter(|number| number % GROUP_BLOCKS < 256 && *number > 1).collect();
        for slot in 0..2 {
            let mut superblock = self.block(slot);
            let seed = u32_at(&superblock, SEED);
            for number in &headers {
                let page = self.block(*number);
                if page.starts_with(b"FLPG") && HEADER_KINDS.contains(&page[KIND]) {
                    self.seal_page(*number, page, seed);
                    found.insert(*number);
                }
            }
            self.repeat_bitmaps(number_at(&superblock, GROUPS_ROOT, 6), superblock[GROUPS_ROOT + 16], &mut BTreeSet::new());
            let mut sealed = BTreeMap::new();
            for root in [CATALOG_ROOT, GROUPS_ROOT] {
                let page = number_at(&superblock, root, 6);
                if let Some((birth, crc)) = self.seal_tree(page, superblock[root + 16], seed, &mut sealed) {
                    superblock[root + 6..root + 12].copy_from_slice(&birth);
                    superblock[root + 12..root + 16].copy_from_slice(&crc);
                }
            }
            found.extend(sealed.keys());
            superblock[SUPERBLOCK_CRC..SUPERBLOCK_CRC + 4].fill(0);
            let crc = crc32fast::hash(&superblock).to_le_bytes();
            superblock[SUPERBLOCK_CRC..SUPERBLOCK_CRC + 4].copy_from_slice(&crc);
            if superblock != self.block(slot) {
                *self.change(slot) = superblock;
            }
        }
        found
    }

    /// Lets each record of a group repeat the checksum of the bitmap that it names.
    fn repeat_bitmaps(&mut self, number: u64, level: u8, seen: &mut BTreeSet<u64>) {
        let mut page = self.block(number);
        if number < 2 || !page.starts_with(b"FLPG") || !seen.insert(number) {
            return;
        }
        let count = usize::from(u16_at(&page, COUNT));
        for entry in page[HEADER..].chunks_exact_mut(ENTRY).take(count) {
            if level > 0 {
                self.repeat_bitmaps(number_at(entry, 8, 6), level - 1, seen);
                continue;
            }
            let first = number_at(entry, 0, 8).wrapping_mul(GROUP_BLOCKS);
            let bitmap = self.block(first.wrapping_add(2 + u64::from(entry[9])));
            if bitmap.starts_with(b"FLPG") {
                entry[20..24].copy_from_slice(&bitmap[CRC..CRC + 4]);
            }
        }
        if page != self.block(number) {
            *self.change(number) = page;
        }
    }

    fn numbers(&self) -> BTreeSet<u64> {
        self.base.keys().chain(self.changes.keys()).copied().collect()
    }

    /// Seals a page and all below it; returns what a pointer must say of it, unless the page is being sealed already or is none.
    fn seal_tree(&mut self, number: u64, level: u8, seed: u32, sealed: &mut BTreeMap<u64, Option<Sealed>>) -> Option<Sealed> {
        if let Some(known) = sealed.get(&number) {
            return *known;
        }
        let mut page = self.block(number);
        // A superblock has a checksum of another kind, and a block that is no page is left as it is.
        if number < 2 || !page.starts_with(b"FLPG") {
            return None;
        }
        sealed.insert(number, None);
        let count = usize::from(u16_at(&page, COUNT));
        if level > 0 {
            for entry in page[HEADER..].chunks_exact_mut(ENTRY).take(count) {
                if let Some((birth, crc)) = self.seal_tree(number_at(entry, 8, 6), level - 1, seed, sealed) {
                    entry[14..20].copy_from_slice(&birth);
                    entry[20..24].copy_from_slice(&crc);
                }
            }
        } else if page[KIND] == RECORD_LEAF {
            for (key, start, len) in slots(&page) {
                if key >> 56 != VERSION_RECORD {
                    continue;
                }
                for root in RECORD_ROOTS.into_iter().filter(|root| root + RECORD_ROOT_LEN <= len).map(|root| start + root) {
                    let page_number = number_at(&page, root, 8);
                    if let Some((birth, crc)) = self.seal_tree(page_number, page[root + 20], seed, sealed) {
                        page[root + 8..root + 14].copy_from_slice(&birth);
                        page[root + 14..root + 16].fill(0);
                        page[root + 16..root + 20].copy_from_slice(&crc);
                    }
                }
            }
        }
        let crc = self.seal_page(number, page, seed);
        let pointer = Some((page[BIRTH..BIRTH + 6].try_into().expect("six bytes"), crc));
        sealed.insert(number, pointer);
        pointer
    }

    fn seal_page(&mut self, number: u64, mut page: Bytes, seed: u32) -> [u8; 4] {
        page[NUMBER..NUMBER + 6].copy_from_slice(&number.to_le_bytes()[..6]);
        page[CRC..CRC + 4].fill(0);
        let mut hasher = crc32fast::Hasher::new_with_initial(seed);
        hasher.update(&page);
        let crc = hasher.finalize().to_le_bytes();
        page[CRC..CRC + 4].copy_from_slice(&crc);
        if page != self.block(number) {
            *self.change(number) = page;
        }
        crc
    }
}

/// Key, start and length of each record of a record leaf whose slot leads into the page.
pub fn slots(page: &Bytes) -> Vec<(u64, usize, usize)> {
    let all = page[HEADER..].chunks_exact(SLOT).take(u16_at(page, COUNT).into());
    let slot = |slot: &[u8]| (number_at(slot, 0, 8), usize::from(u16_at(slot, 8)), usize::from(u16_at(slot, 10)));
    all.map(slot).filter(|(_, start, len)| start + len <= BLOCK).collect()
}

/// Is it a page of a tree, and of which kind and level?
pub fn kind_and_level(page: &Bytes) -> Option<(u8, u8)> {
    page.starts_with(b"FLPG").then_some((page[KIND], page[LEVEL]))
}

/// A little-endian number of up to eight bytes.
pub fn number_at(bytes: &[u8], at: usize, width: usize) -> u64 {
    bytes[at..at + width].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    number_at(bytes, at, 2) as u16
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    number_at(bytes, at, 4) as u32
}
