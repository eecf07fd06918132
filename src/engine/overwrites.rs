//! Which drives were overwritten where they lie, and may lose that again?
//!
//! A commit record lists new blocks only. What was overwritten is not held by any snapshot, so a power cut may leave either state of it,
//! unless the drive is frozen before it is durable.

use crate::format::record::ObjectId;
use crate::sync::{AtomicU64, Ordering};

/// Drives share so many marks; one that shares its mark with a busy one waits for a sync more than it must.
const MARKS: usize = 64;

/// Counts syncs, and for drives the one that makes the last overwrite durable.
pub struct Overwrites {
    begun: AtomicU64,
    done: AtomicU64,
    durable_with: [AtomicU64; MARKS],
}

impl Default for Overwrites {
    fn default() -> Self {
        Self { begun: AtomicU64::new(0), done: AtomicU64::new(0), durable_with: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

impl Overwrites {
    /// A drive was overwritten: the next sync that begins makes it durable.
    pub fn note(&self, drive: ObjectId) {
        let next = self.begun.load(Ordering::SeqCst) + 1;
        let mark = self.mark(drive);
        if mark.load(Ordering::Relaxed) < next {
            mark.fetch_max(next, Ordering::SeqCst);
        }
    }

    /// A sync begins; only one runs at a time.
    pub fn sync_begins(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// The sync that began as this is done.
    pub fn sync_is_done(&self, sync: u64) {
        self.done.store(sync, Ordering::SeqCst);
    }

    /// May a power cut take back what was overwritten? The caller keeps writers of the drive away.
    pub fn may_be_lost(&self, drive: ObjectId) -> bool {
        self.done.load(Ordering::SeqCst) < self.mark(drive).load(Ordering::SeqCst)
    }

    fn mark(&self, drive: ObjectId) -> &AtomicU64 {
        &self.durable_with[(drive.0 % MARKS as u64) as usize]
    }
}
