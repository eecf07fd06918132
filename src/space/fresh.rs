//! Which data does a commit name that may not be durable?
//!
//! A small commit lists the data that it is the first to name, and counts after a power cut only if that is there. So it must not change
//! until a newer commit is durable.

use crate::format::commit_record::DATA_BLOCKS_MAX;
use crate::units::PhysicalBlock;

/// Data that was first named by the commit that comes next, the one that is being written, and the last one.
#[derive(Default)]
pub(super) struct Fresh {
    next: Listed,
    written: Listed,
    last: Listed,
    is_writing: bool,
}

#[derive(Default)]
struct Listed {
    runs: Vec<(PhysicalBlock, u32)>,
    blocks: u64,
    /// It was too much, or was overwritten, so that it cannot be listed.
    must_be_durable: bool,
}

impl Listed {
    fn add(&mut self, start: PhysicalBlock, blocks: u32) {
        self.blocks += u64::from(blocks);
        if self.must_be_durable || self.blocks > DATA_BLOCKS_MAX {
            self.give_up();
            return;
        }
        match self.runs.last_mut() {
            Some((first, count)) if first.plus(u64::from(*count)) == start => *count += blocks,
            _ => self.runs.push((start, blocks)),
        }
    }

    fn remove(&mut self, start: PhysicalBlock, blocks: u32) {
        let (from, until) = (start.0, start.0 + u64::from(blocks));
        let mut left = Vec::new();
        for (first, count) in self.runs.drain(..) {
            let end = first.0 + u64::from(count);
            for (piece, piece_end) in [(first.0, end.min(from)), (first.0.max(until), end)] {
                if piece < piece_end {
                    left.push((PhysicalBlock(piece), (piece_end - piece) as u32));
                }
            }
        }
        self.runs = left;
    }

    fn give_up(&mut self) {
        self.must_be_durable = true;
        self.runs.clear();
    }

    fn touches(&self, start: PhysicalBlock, blocks: u64) -> bool {
        self.runs.iter().any(|(first, count)| first.0 < start.0 + blocks && start.0 < first.0 + u64::from(*count))
    }
}

impl Fresh {
    /// The last commit, with which a store was opened, lists these.
    pub fn listed(runs: impl Iterator<Item = (PhysicalBlock, u32)>) -> Self {
        let mut fresh = Self::default();
        runs.for_each(|(start, blocks)| fresh.last.add(start, blocks));
        fresh
    }

    /// A table names blocks that it did not name before.
    pub fn add(&mut self, start: PhysicalBlock, blocks: u32) {
        self.next.add(start, blocks);
    }

    /// No table names these blocks any more: somebody else may get them while the commit that comes next is the last one.
    pub fn remove(&mut self, start: PhysicalBlock, blocks: u32) {
        if self.next.touches(start, u64::from(blocks)) {
            self.next.remove(start, blocks);
        }
    }

    /// How many runs of data the next commit may list; `None` if they must be made durable first.
    pub fn next_runs(&self) -> Option<usize> {
        (!self.next.must_be_durable).then_some(self.next.runs.len())
    }

    /// A commit begins: the data that it may list; `None` if it must be made durable first.
    pub fn seal(&mut self) -> Option<Vec<(PhysicalBlock, u32)>> {
        self.is_writing = true;
        self.written = std::mem::take(&mut self.next);
        (!self.written.must_be_durable).then(|| self.written.runs.clone())
    }

    /// The commit that was sealed is durable, and lists its data or does not.
    pub fn committed(&mut self, is_listed: bool) {
        self.is_writing = false;
        let written = std::mem::take(&mut self.written);
        self.last = if is_listed { written } else { Listed::default() };
    }

    /// Is there anything that must stay, or that the next commit may list?
    pub fn lists_any(&self) -> bool {
        [&self.next, &self.written, &self.last].into_iter().any(|listed| !listed.runs.is_empty())
    }

    /// May somebody overwrite these blocks where they lie? The next commit cannot list them any more then.
    pub fn may_change(&mut self, start: PhysicalBlock, blocks: u64) -> bool {
        if self.next.touches(start, blocks) {
            self.next.give_up();
        }
        !self.written.touches(start, blocks) && !self.last.touches(start, blocks)
    }

    /// Would he have to wait until a commit is done that is being written?
    pub fn must_stay(&mut self, start: PhysicalBlock, blocks: u64) -> bool {
        !self.may_change(start, blocks) && self.is_writing
    }
}
