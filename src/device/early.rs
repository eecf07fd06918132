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

/// Runs that are written at a time: a copying program has several connections, each with a part of the image.
const RUNS_MAX: usize = 16;

/// Pieces of the file that the disk may begin with between two syncs.
const BEGUN_MAX: usize = 64;

/// What was written in order, and what of it the disk has begun with.
#[derive(Default)]
pub struct Early(Mutex<Progress>);

#[derive(Default)]
struct Progress {
    /// Writes that lie side by side; the run that grew last comes last.
    runs: Vec<Range<u64>>,
    /// What the disk was asked to begin with since the last sync; no two share a byte.
    begun: Vec<Range<u64>>,
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
        let run = self.grown(range);
        if run.end - run.start < RUN_BYTES_MIN {
            return None;
        }
        let begun_until = self.begun.iter().map(|begun| begun.end).filter(|end| (run.start..=run.end).contains(end)).max();
        let next = begun_until.unwrap_or(run.start)..run.end;
        let is_again = self.begun.iter().any(|begun| next.start < begun.end && begun.start < next.end);
        if is_again || next.end - next.start < STEP_BYTES {
            return None;
        }
        match self.begun.iter().position(|begun| begun.end == next.start) {
            Some(at) => self.begun[at].end = next.end,
            None if self.begun.len() < BEGUN_MAX => self.begun.push(next.clone()),
            None => return None,
        }
        Some(next)
    }

    /// The run that the write belongs to. Writers at one time pass each other, so it may lie before the run as well.
    fn grown(&mut self, range: Range<u64>) -> Range<u64> {
        let mut take = |touches: &dyn Fn(&Range<u64>) -> bool| {
            let at = self.runs.iter().position(touches)?;
            Some(self.runs.remove(at))
        };
        let before = take(&|run| run.end == range.start);
        let behind = take(&|run| run.start == range.end);
        let run = before.map_or(range.start, |run| run.start)..behind.map_or(range.end, |run| run.end);
        if self.runs.len() == RUNS_MAX {
            self.runs.remove(0);
        }
        self.runs.push(run.clone());
        run
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
    fn runs_that_are_written_at_one_time_are_begun_with_each() {
        let turns = (0..6).flat_map(|mib| [10 + mib..11 + mib, 50 + mib..51 + mib]);
        assert_eq!(begun(&turns.collect::<Vec<_>>()), [10..14, 50..54, 14..15, 54..55, 15..16, 55..56]);
    }

    #[test]
    fn writes_that_pass_each_other_make_one_run() {
        assert_eq!(begun(&[11..12, 10..11, 13..14, 12..13, 15..16, 14..15]), [10..14, 14..16]);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut progress = Progress::default();
        for run in 0..1000 {
            for mib in 0..4 {
                let start = (run * 8 + mib) * MIB;
                let next = progress.wrote(start..start + MIB);
                assert_eq!(next.is_some(), mib == 3 && run < BEGUN_MAX as u64);
            }
        }
        assert_eq!((progress.runs.len(), progress.begun.len()), (RUNS_MAX, BEGUN_MAX));
    }

    #[test]
    fn sync_leaves_nothing_behind() {
        let early = Early::default();
        early.0.lock().wrote(0..8 * MIB);
        early.forget();
        assert_eq!(early.0.lock().wrote(0..8 * MIB), Some(0..8 * MIB));
    }
}
