//! Which blocks of a drive is somebody writing right now?
//!
//! Two writes to one block come one after the other, data and checksum together. Writes to different blocks do not wait
//! for each other.

use std::ops::Range;

use crate::sync::{Condvar, Mutex};
use crate::units::LogicalBlock;

/// The ranges of one drive that are being written.
#[derive(Default)]
pub struct RangeLock {
    taken: Mutex<Vec<Range<LogicalBlock>>>,
    freed: Condvar,
}

/// A range that is ours until this is dropped.
pub struct RangeGuard<'a> {
    lock: &'a RangeLock,
    range: Range<LogicalBlock>,
}

impl RangeLock {
    /// Waits until nobody else writes any block of `range`.
    pub fn lock(&self, range: Range<LogicalBlock>) -> RangeGuard<'_> {
        let mut taken = self.taken.lock();
        while taken.iter().any(|other| other.start < range.end && range.start < other.end) {
            self.freed.wait(&mut taken);
        }
        taken.push(range.clone());
        RangeGuard { lock: self, range }
    }
}

impl Drop for RangeGuard<'_> {
    fn drop(&mut self) {
        let mut taken = self.lock.taken.lock();
        let index = taken.iter().position(|range| *range == self.range).expect("a locked range is listed");
        taken.swap_remove(index);
        drop(taken);
        self.lock.freed.notify_all();
    }
}
