//! Is a request served where it was read, or by another thread?
//!
//! Handing a request over costs some microseconds and a wake-up, and its bytes go through memory that another processor has to fetch. If its
//! data is in memory, serving it takes less. If not, the thread that reads requests must not wait for the disk while others come in. Which of
//! the two it is, the last requests of the kind tell.

use super::protocol::request::{Command, Request};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A kind of request is slow if more than about half of the last ones took longer than this, not counting what copying their bytes takes.
const QUICK: Duration = Duration::from_micros(40);

/// What copying takes: 2 GB/s, which the page cache does on a busy machine too, and few disks do.
const COPIED_BYTES_PER_NANOSECOND: u64 = 2;

/// Longer ones go to other threads in any case, if others wait behind them.
const QUICK_BYTES_MAX: u64 = 512 << 10;

/// How much of the average the newest request is: one part in so many.
const WEIGHT: u32 = 8;

/// What requests of each kind took lately beside copying, in nanoseconds.
#[derive(Default)]
pub struct Pace([AtomicU32; 3]);

impl Pace {
    /// Shall the request be served at once? `others` says whether any are waiting or being served.
    pub fn is_for_reader(&self, request: &Request, others: bool) -> bool {
        let quick = u128::from(self.of(request).load(Ordering::Relaxed)) < QUICK.as_nanos();
        if matches!(request.command, Command::Read | Command::Write) {
            !others || (quick && request.length <= QUICK_BYTES_MAX)
        } else {
            // What a flush waits for is worth a thread: others may come meanwhile.
            quick
        }
    }

    /// Notes what a request took.
    pub fn took(&self, request: &Request, time: Duration) {
        let copied = if matches!(request.command, Command::Read | Command::Write) { request.length } else { 0 };
        // What is long anyway says nothing of what is short.
        if copied > QUICK_BYTES_MAX {
            return;
        }
        let copying = Duration::from_nanos(copied / COPIED_BYTES_PER_NANOSECOND);
        // Cut off, so that a single one that had to wait for a processor does not count for many.
        let time = time.saturating_sub(copying).min(2 * QUICK).as_nanos() as u32;
        let average = self.of(request);
        let old = average.load(Ordering::Relaxed);
        average.store(old - old / WEIGHT + time / WEIGHT, Ordering::Relaxed);
    }

    fn of(&self, request: &Request) -> &AtomicU32 {
        match request.command {
            Command::Read => &self.0[0],
            Command::Write => &self.0[1],
            _ => &self.0[2],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Pace, QUICK};
    use crate::node::nbd::protocol::request::{Command, Request};
    use std::time::Duration;

    fn request(command: Command, length: u64) -> Request {
        Request { command, flags: 0, cookie: 0, offset: 0, length }
    }

    #[test]
    fn slow_kinds_go_to_other_threads_while_others_wait() {
        let pace = Pace::default();
        let (read, write) = (request(Command::Read, 4096), request(Command::Write, 4096));
        assert!(pace.is_for_reader(&read, true));
        for _ in 0..20 {
            pace.took(&read, 3 * QUICK);
        }
        assert!(!pace.is_for_reader(&read, true));
        assert!(pace.is_for_reader(&read, false), "nobody waits behind it");
        assert!(pace.is_for_reader(&write, true), "writes are another kind");
        for _ in 0..20 {
            pace.took(&read, Duration::from_micros(1));
        }
        assert!(pace.is_for_reader(&read, true));
    }

    #[test]
    fn one_that_waited_for_a_processor_changes_nothing() {
        let pace = Pace::default();
        let read = request(Command::Read, 4096);
        for _ in 0..100 {
            (0..4).for_each(|_| pace.took(&read, Duration::from_micros(2)));
            pace.took(&read, Duration::from_millis(10));
            assert!(pace.is_for_reader(&read, true));
        }
    }

    #[test]
    fn long_requests_are_handed_over_while_others_wait() {
        let pace = Pace::default();
        let read = request(Command::Read, 1 << 20);
        assert!(pace.is_for_reader(&read, false));
        assert!(!pace.is_for_reader(&read, true));
        pace.took(&read, Duration::from_secs(1));
        assert!(pace.is_for_reader(&request(Command::Read, 4096), true), "it says nothing of short ones");
    }

    #[test]
    fn what_copying_takes_makes_no_request_slow() {
        let pace = Pace::default();
        let (length, hot, disk) = (256 << 10, Duration::from_micros(120), Duration::from_micros(300));
        let (read, trim) = (request(Command::Read, length), request(Command::Trim, 1 << 40));
        (0..100).for_each(|_| pace.took(&read, hot));
        assert!(pace.is_for_reader(&read, true));
        (0..100).for_each(|_| pace.took(&read, disk));
        assert!(!pace.is_for_reader(&read, true), "a disk is waited for elsewhere");
        (0..100).for_each(|_| pace.took(&trim, disk));
        assert!(!pace.is_for_reader(&trim, true), "a trim copies nothing, however long it is");
    }
}
