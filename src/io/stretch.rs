//! When does a long write go to new space though it could stay where it is?
//!
//! Random writes after a snapshot leave each block of a drive at a place of its own. A long write over them would be many short ones,
//! and so would the next. So it goes to one run of new space, and the image is whole again there.

use std::ops::Range;

use crate::units::{LogicalBlock, PhysicalBlock};

/// Blocks that are looked at together: 256 KiB, what copying programs write at once. A longer run makes nothing faster.
pub const STRETCH_BLOCKS: u64 = 64;

/// Writes of fewer blocks are short: they fill gaps, and stay where they are.
pub const LONG_BLOCKS: u64 = 16;

/// Runs that are longer than this on average stay: up to here even the first write pays, be it to space that never was used. Decision 65 has the
/// measurements: in runs of 4 blocks an image costs 0.95 of staying, in runs of 8 1.07.
const SCATTERED_RUN_BLOCKS: u64 = 7;

/// Consecutive blocks of an image.
#[derive(Clone, Copy)]
pub struct Run {
    pub first: LogicalBlock,
    pub blocks: u64,
}

/// What becomes of some consecutive blocks of a write.
#[derive(Default)]
pub struct Stretch {
    /// Runs that must go to new space.
    pub redirected: Vec<Run>,
    /// Runs that can be overwritten where they lie.
    pub alone: Vec<(Range<LogicalBlock>, PhysicalBlock)>,
}

impl Stretch {
    /// Its runs if they all went to new space, in case that is worth it: it is long and scattered, and would be whole, or nearly so.
    pub fn made_whole(&self) -> Option<Vec<Run>> {
        let alone: u64 = self.alone.iter().map(|(range, _)| range.end.0 - range.start.0).sum();
        let redirected: u64 = self.redirected.iter().map(|run| run.blocks).sum();
        let is_scattered = |blocks: u64, runs: usize| blocks <= SCATTERED_RUN_BLOCKS * runs as u64;
        if self.alone.is_empty() || alone + redirected < LONG_BLOCKS || !is_scattered(alone, self.alone.len()) {
            return None;
        }
        // Blocks that stay as they are may lie between.
        Some(self.runs()).filter(|runs| !is_scattered(alone + redirected, runs.len()))
    }

    /// All its blocks that are written, in order.
    fn runs(&self) -> Vec<Run> {
        let alone = self.alone.iter().map(|(range, _)| Run { first: range.start, blocks: range.end.0 - range.start.0 });
        let mut all: Vec<Run> = self.redirected.iter().copied().chain(alone).collect();
        all.sort_unstable_by_key(|run| run.first);
        let mut runs = Vec::new();
        for run in all {
            append(&mut runs, run);
        }
        runs
    }
}

/// Appends a run to others, or to the last of them if it goes on there.
pub fn append(runs: &mut Vec<Run>, next: Run) {
    match runs.last_mut() {
        Some(run) if run.first.plus(run.blocks) == next.first => run.blocks += next.blocks,
        _ => runs.push(next),
    }
}
