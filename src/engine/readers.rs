//! Is somebody still reading what was freed?
//!
//! Readers of live drives find out where their blocks lie, let go of the lock, and copy. They are counted in one of two counters;
//! after a commit the other one is used, and when the first has run empty, nobody can be reading what was freed before.

use crate::sync::{AtomicUsize, Ordering};
use crate::units::Generation;

/// Counts readers of live drives.
#[derive(Default)]
pub struct Readers {
    active: AtomicUsize,
    counts: [AtomicUsize; 2],
}

/// Somebody reads until this is dropped.
pub struct Reading<'a>(&'a AtomicUsize);

/// Commits whose freed blocks wait for readers.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// Everything freed up to here may be handed out when they are done.
    pub until: Generation,
    counter: usize,
}

impl Readers {
    /// Somebody begins to read. The caller holds the catalog's lock, so the counters do not change roles meanwhile.
    pub fn enter(&self) -> Reading<'_> {
        let count = &self.counts[self.active.load(Ordering::Relaxed)];
        count.fetch_add(1, Ordering::Acquire);
        Reading(count)
    }

    /// From now on readers are counted elsewhere. The caller holds the catalog's lock for writing, and nobody is waiting.
    pub fn turn(&self, until: Generation) -> Waiting {
        let counter = self.active.load(Ordering::Relaxed);
        self.active.store(1 - counter, Ordering::Relaxed);
        Waiting { until, counter }
    }

    /// Are all who read before the turn done?
    pub fn are_gone(&self, waiting: Waiting) -> bool {
        self.counts[waiting.counter].load(Ordering::Acquire) == 0
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}
