//! How does the space map differ from its pages?
//!
//! A commit of little writes neither bitmaps nor checksums nor the group tree. Its superblock lists how the space map differs from those
//! pages as they were last written; the list grows from commit to commit until it is too long, and the pages are written again.

use super::codec::{put_u16, put_u32, put_u48, u16_at, u32_at, u48_at};
use super::group::are_places;
use super::page::Page;
use crate::units::{BLOCK_LEN, PhysicalBlock};

const RUN_BYTES: usize = 8;
const CHECKSUM_BYTES: usize = 4;
/// Set in the length of a run of places that are in use now.
const IN_USE: u16 = 1 << 15;

/// Consecutive places of a group that are in use, and free in its bitmap; or the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnedRun {
    /// The block behind the first of them.
    pub start: PhysicalBlock,
    /// How many; at least one.
    pub blocks: u16,
    /// They are in use now.
    pub in_use: bool,
}

/// Checksums of consecutive blocks of data, whatever the page of checksums says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChecksumRun {
    /// The first block.
    pub start: PhysicalBlock,
    /// One for each block; at least one.
    pub checksums: Vec<u32>,
}

/// How the space map differs from its pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpaceChanges {
    /// Places that were taken or freed, in the order in which they lie.
    pub places: Vec<TurnedRun>,
    /// Checksums that were noted, in the order in which their blocks lie.
    pub checksums: Vec<ChecksumRun>,
}

impl SpaceChanges {
    /// Is the space map what its pages say?
    pub fn is_empty(&self) -> bool {
        self.places.is_empty() && self.checksums.is_empty()
    }

    /// Bytes that the list takes in a superblock.
    pub fn len_bytes(&self) -> usize {
        let checksums: usize = self.checksums.iter().map(|run| RUN_BYTES + run.checksums.len() * CHECKSUM_BYTES).sum();
        self.places.len() * RUN_BYTES + checksums
    }

    /// Writes how long the list is to byte `counts` of a page, and the list to byte `at`.
    pub fn put(&self, page: &mut Page, counts: usize, mut at: usize) {
        put_u16(page, counts, self.places.len() as u16);
        put_u16(page, counts + 2, self.checksums.len() as u16);
        for run in &self.places {
            put_u48(page, at, run.start.0);
            put_u16(page, at + 6, run.blocks | if run.in_use { IN_USE } else { 0 });
            at += RUN_BYTES;
        }
        for run in &self.checksums {
            put_u48(page, at, run.start.0);
            put_u16(page, at + 6, run.checksums.len() as u16);
            at += RUN_BYTES;
            for checksum in &run.checksums {
                put_u32(page, at, *checksum);
                at += CHECKSUM_BYTES;
            }
        }
    }

    /// The list at byte `at` of a page, whose length stands at byte `counts`; or which check failed.
    pub fn decode(page: &Page, counts: usize, at: usize) -> Result<Self, &'static str> {
        let mut cursor = Cursor { page, at, end: 0 };
        let mut changes = Self::default();
        for _ in 0..u16_at(page, counts) {
            let (start, blocks) = cursor.run(!IN_USE)?;
            let in_use = u16_at(page, cursor.at - 2) & IN_USE != 0;
            changes.places.push(TurnedRun { start, blocks, in_use });
        }
        cursor.end = 0;
        for _ in 0..u16_at(page, counts + 2) {
            let (start, blocks) = cursor.run(u16::MAX)?;
            let checksums = (0..blocks).map(|_| cursor.checksum()).collect::<Result<_, _>>()?;
            changes.checksums.push(ChecksumRun { start, checksums });
        }
        Ok(changes)
    }
}

/// Where the next run is read.
struct Cursor<'a> {
    page: &'a Page,
    at: usize,
    /// Where the last run ended.
    end: u64,
}

impl Cursor<'_> {
    fn advance(&mut self, bytes: usize) -> Result<usize, &'static str> {
        let at = self.at;
        self.at += bytes;
        if self.at > BLOCK_LEN { Err("a list of changes that is too long") } else { Ok(at) }
    }

    fn run(&mut self, length: u16) -> Result<(PhysicalBlock, u16), &'static str> {
        let at = self.advance(RUN_BYTES)?;
        let (start, blocks) = (PhysicalBlock(u48_at(self.page, at)), u16_at(self.page, at + 6) & length);
        if blocks == 0 || start.0 < self.end || !are_places(start, u32::from(blocks)) {
            return Err("an impossible change of the space map");
        }
        self.end = start.0 + u64::from(blocks);
        Ok((start, blocks))
    }

    fn checksum(&mut self) -> Result<u32, &'static str> {
        Ok(u32_at(self.page, self.advance(CHECKSUM_BYTES)?))
    }
}
