//! What must be on the device for a commit to count?
//!
//! A small commit is written with one sync: its superblock may reach the device before the rest. So the superblock lists what else was
//! written, and recovery believes it only if all of that is there. A stale page may be there from an attempt at the same commit, so a page
//! is named with its checksum; data was written by anybody, so a digest that nobody can hit on purpose vouches for it.

use super::codec::{put_u16, put_u32, put_u48, u16_at, u32_at, u48_at};
use super::page::Page;
use crate::units::{BLOCK_LEN, PhysicalBlock};

/// A record lists at most so many blocks of data: the digest of more would cost what a sync does.
pub const DATA_BLOCKS_MAX: u64 = 64;

/// Bytes of a BLAKE3 digest.
pub const DIGEST_LEN: usize = 32;

/// Where it stands in the superblock.
pub const START: usize = 160;
const PAGES: usize = START;
const RUNS: usize = START + 2;
const DIGEST: usize = START + 8;
/// Where it stands how long the list of changes of the space map is, which follows the record's own.
pub const SPACE_COUNTS: usize = START + 4;
/// Where the lists begin.
pub const LIST: usize = DIGEST + DIGEST_LEN;
const PAGE_BYTES: usize = 10;
const RUN_BYTES: usize = 8;

/// Consecutive blocks of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataRun {
    /// The first of them.
    pub start: PhysicalBlock,
    /// How many; at least one.
    pub blocks: u16,
}

/// What a commit wrote beside its superblock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRecord {
    /// Pages of metadata, each with its checksum.
    pub pages: Vec<(PhysicalBlock, u32)>,
    /// Blocks of data that the commit is the first to name.
    pub data: Vec<DataRun>,
    /// The BLAKE3 digest of those blocks, one behind the other; zero if there are none.
    pub digest: [u8; DIGEST_LEN],
}

impl CommitRecord {
    /// Bytes that lists of so many pages and runs take in a superblock.
    pub const fn len_bytes(pages: usize, runs: usize) -> usize {
        pages * PAGE_BYTES + runs * RUN_BYTES
    }

    /// Writes the record into the page of a superblock; where it ends.
    pub fn put(&self, page: &mut Page) -> usize {
        put_u16(page, PAGES, self.pages.len() as u16);
        put_u16(page, RUNS, self.data.len() as u16);
        page[DIGEST..LIST].copy_from_slice(&self.digest);
        let mut at = LIST;
        for (number, crc) in &self.pages {
            put_u48(page, at, number.0);
            put_u32(page, at + 6, *crc);
            at += PAGE_BYTES;
        }
        for run in &self.data {
            put_u48(page, at, run.start.0);
            put_u16(page, at + 6, run.blocks);
            at += RUN_BYTES;
        }
        at
    }

    /// The record in the page of a superblock and where it ends, or which check failed.
    pub fn decode(page: &Page) -> Result<(Self, usize), &'static str> {
        let (pages, runs) = (usize::from(u16_at(page, PAGES)), usize::from(u16_at(page, RUNS)));
        let end = LIST + Self::len_bytes(pages, runs);
        if end > BLOCK_LEN {
            return Err("a commit record that is too long");
        }
        let data_at = LIST + pages * PAGE_BYTES;
        let page_at = |index: usize| LIST + index * PAGE_BYTES;
        let run_at = |index: usize| data_at + index * RUN_BYTES;
        let record = Self {
            pages: (0..pages).map(page_at).map(|at| (PhysicalBlock(u48_at(page, at)), u32_at(page, at + 6))).collect(),
            data: (0..runs)
                .map(run_at)
                .map(|at| DataRun { start: PhysicalBlock(u48_at(page, at)), blocks: u16_at(page, at + 6) })
                .collect(),
            digest: page[DIGEST..LIST].try_into().expect("a digest is as long as its field"),
        };
        let blocks: u64 = record.data.iter().map(|run| u64::from(run.blocks)).sum();
        let vouches_for_nothing = record.data.is_empty() && record.digest != [0; DIGEST_LEN];
        if vouches_for_nothing || blocks > DATA_BLOCKS_MAX || record.data.iter().any(|run| run.blocks == 0) {
            return Err("an impossible commit record");
        }
        Ok((record, end))
    }

    /// Does the page of a superblock have no record?
    pub fn is_none(page: &Page) -> bool {
        page[PAGES..SPACE_COUNTS].iter().chain(&page[DIGEST..LIST]).all(|byte| *byte == 0)
    }
}
