//! When shall the disk begin with what was written, before anybody waits for it?
//!
//! What is written stays in memory until a sync asks for it, and the disk has nothing to do meanwhile. Whoever writes long runs in order
//! writes more than a sync takes in passing; so the disk begins with them while the next ones are copied and summed up.
//!
//! Invariants:
//! 1. It is a hint: what the system says to it changes nothing. A write that fails for its sake is remembered for the next sync.
//! 2. Between two syncs nothing is begun twice: bytes that are written again and again go to the disk as often as they would have.
#![allow(unsafe_code)]

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;

use crate::sync::plain::Mutex;

/// Shorter writes are no part of a run: nobody who writes little waits for a disk that was asked to begin.
const WRITE_BYTES_MIN: u64 = 64 * 1024;

/// The disk begins with a run that is this long: then it will hardly be written again at once.
const RUN_BYTES_MIN: u64 = 4 * 1024 * 1024;

/// Bytes that are begun with at a time.
const STEP_BYTES: u64 = 1024 * 1024;

/// What was written in order, and what of it the disk has begun with.
#[derive(Default)]
pub struct Early(Mutex<Progress>);

#[derive(Default)]
struct Progress {
    /// Writes of which each began where the one before ended.
    run: Range<u64>,
    /// From the first to the last byte that the disk was asked to begin with since the last sync.
    begun: Range<u64>,
}

impl Early {
    /// `range` of `file` was written.
    pub fn wrote(&self, file: &File, range: Range<u64>) {
        if range.end - range.start < WRITE_BYTES_MIN {
            return;
        }
        let Some(next) = self.0.lock().wrote(range) else { return };
        let (start, len) = (next.start.cast_signed(), (next.end - next.start).cast_signed());
        // SAFETY: a call of the kernel's about an open file; it touches no memory of the process. Invariant 1: nobody asks what it says.
        unsafe { libc::sync_file_range(file.as_raw_fd(), start, len, libc::SYNC_FILE_RANGE_WRITE) };
    }

    /// A sync begins, which leaves nothing to begin with.
    pub fn forget(&self) {
        *self.0.lock() = Progress::default();
    }
}

impl Progress {
    /// Notes what was written; returns what the disk shall begin with.
    fn wrote(&mut self, range: Range<u64>) -> Option<Range<u64>> {
        let start = if range.start == self.run.end { self.run.start } else { range.start };
        self.run = start..range.end;
        if self.run.end - self.run.start < RUN_BYTES_MIN {
            return None;
        }
        let is_continued = self.run.contains(&self.begun.end);
        let next = if is_continued { self.begun.end } else { self.run.start }..self.run.end;
        let is_again = next.start < self.begun.end && self.begun.start < next.end;
        if is_again || next.end - next.start < STEP_BYTES {
            return None;
        }
        self.begun =
            if self.begun.is_empty() { next.clone() } else { self.begun.start.min(next.start)..self.begun.end.max(next.end) };
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    /// What the disk begins with, in MiB, when these runs of MiB are written, each MiB by MiB.
    fn begun(runs: &[Range<u64>]) -> Vec<Range<u64>> {
        let mut progress = Progress::default();
        let writes = runs.iter().cloned().flatten();
        let begun = writes.filter_map(|mib| progress.wrote(mib * MIB..(mib + 1) * MIB));
        begun.map(|range| range.start / MIB..range.end / MIB).collect()
    }

    #[test]
    fn long_run_is_begun_with_as_it_goes_on() {
        assert_eq!(begun(&[10..12, 12..16]), [10..14, 14..15, 15..16]);
    }

    #[test]
    fn short_runs_are_left_to_the_sync() {
        assert_eq!(begun(&[10..13, 20..23, 10..13, 13..15]), [10..14, 14..15]);
        assert!(begun(&[10..13, 20..23, 10..13]).is_empty());
    }

    #[test]
    fn same_place_is_begun_with_once() {
        assert_eq!(begun(&[10..15, 10..15, 10..15]), [10..14, 14..15]);
        assert_eq!(begun(&[10..15, 10..17]), [10..14, 14..15, 15..16, 16..17]);
        assert_eq!(begun(&[10..14, 30..34, 10..14, 31..35, 30..36]), [10..14, 30..34, 34..35, 35..36]);
    }

    #[test]
    fn sync_leaves_nothing_behind() {
        let early = Early::default();
        early.0.lock().wrote(0..8 * MIB);
        early.forget();
        assert_eq!(early.0.lock().wrote(0..8 * MIB), Some(0..8 * MIB));
    }
}
