//! How does the space map differ from its pages since they were last written?
//!
//! Bitmaps say it by themselves: a group keeps the one that was written beside the one that counts. Checksums are noted here.

use std::collections::BTreeMap;

use crate::format::codec::u32_at;
use crate::format::group::Group;
use crate::format::space_changes::{ChecksumRun, SpaceChanges};
use crate::units::PhysicalBlock;

use super::checksums::Spot;
use super::map::Inner;

/// More runs of checksums than this have no room in a superblock.
const RUNS_MAX: usize = 320;
/// Pages of checksums, and groups, that may be kept on the heap so that they need not be written.
const KEPT_MAX: usize = 64;

/// Checksums that no page on the device has.
pub(super) struct Unwritten {
    /// First block and end of each run whose checksums were noted; `None` if they are too many to be listed.
    runs: Option<Vec<(u64, u64)>>,
    /// Those that the last superblock lists and no page on the heap has.
    pub listed: BTreeMap<u64, u32>,
}

impl Unwritten {
    /// What the superblock lists with which a store is opened.
    pub fn listed(changes: &SpaceChanges) -> Self {
        let blocks = |run: &ChecksumRun| run.start.0..run.start.0 + run.checksums.len() as u64;
        let listed = changes.checksums.iter().flat_map(|run| blocks(run).zip(run.checksums.iter().copied())).collect();
        let runs = changes.checksums.iter().map(|run| (blocks(run).start, blocks(run).end)).collect();
        Self { runs: Some(runs), listed }
    }

    /// Checksums of consecutive blocks are noted.
    pub fn note(&mut self, first: PhysicalBlock, blocks: u64) {
        let Some(runs) = &mut self.runs else { return };
        let end = first.0 + blocks;
        match runs.last_mut() {
            Some((start, last_end)) if *start <= first.0 && first.0 <= *last_end => *last_end = end.max(*last_end),
            _ => runs.push((first.0, end)),
        }
        if runs.len() > RUNS_MAX {
            merge(runs);
            // Half of them shall be new before they are merged again.
            if runs.len() > RUNS_MAX / 2 {
                self.runs = None;
            }
        }
    }

    /// All pages on the heap are being written.
    pub fn are_written(&mut self) {
        self.runs = Some(self.listed.keys().map(|block| (*block, block + 1)).collect());
    }
}

/// Puts runs in order, and those together that touch. Runs of two groups never do.
fn merge(runs: &mut Vec<(u64, u64)>) {
    runs.sort_unstable();
    runs.dedup_by(|next, run| {
        let touch = next.0 <= run.1;
        if touch {
            run.1 = run.1.max(next.1);
        }
        touch
    });
}

impl Inner {
    /// How the space map differs from its pages, if that can be told in so many bytes and the pages need not be written.
    pub fn list_changes(&mut self, room: usize) -> Option<SpaceChanges> {
        if self.must_write || self.checksums.len() > KEPT_MAX {
            return None;
        }
        if self.groups.values().filter(|state| state.bitmap_written.is_some()).count() > KEPT_MAX {
            return None;
        }
        let mut groups: Vec<_> = self.groups.iter().filter(|(_, state)| state.is_turned()).map(|(group, _)| *group).collect();
        groups.sort_unstable();
        let mut changes = SpaceChanges::default();
        for group in groups {
            self.groups[&group].turned(Group(group), &mut changes.places);
        }
        let runs = self.unwritten.runs.as_mut()?;
        merge(runs);
        let blocks: u64 = runs.iter().map(|(start, end)| end - start).sum();
        if blocks as usize * size_of::<u32>() > room {
            return None;
        }
        let runs = std::mem::take(runs);
        for (start, end) in &runs {
            let checksums = (*start..*end).map(|block| self.unwritten_checksum(PhysicalBlock(block)));
            changes.checksums.push(ChecksumRun { start: PhysicalBlock(*start), checksums: checksums.collect() });
        }
        self.unwritten.runs = Some(runs);
        (changes.len_bytes() <= room).then_some(changes)
    }

    fn unwritten_checksum(&self, block: PhysicalBlock) -> u32 {
        if let Some(checksum) = self.unwritten.listed.get(&block.0) {
            return *checksum;
        }
        let spot = Spot::of(block).expect("what was noted is a place");
        u32_at(&self.checksums[&spot.key()][..], spot.offset)
    }

    /// Gets what the last superblock lists into pages. What cannot be, for a page is damaged, goes on being listed.
    pub fn place_listed(&mut self) {
        let blocks: Vec<u64> = self.unwritten.listed.keys().copied().collect();
        for block in blocks.into_iter().map(PhysicalBlock) {
            if self.unwritten.listed.contains_key(&block.0) {
                let _stays_listed = Spot::of(block).and_then(|spot| self.checksums_for_change(spot).map(drop));
            }
        }
        let groups: Vec<u64> =
            self.groups.iter().filter(|(_, state)| !state.listed.is_empty()).map(|(group, _)| *group).collect();
        for group in groups {
            let _stays_listed = self.load_bitmap(Group(group));
        }
    }
}
