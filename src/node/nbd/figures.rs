//! What has a server done so far, and how fast?
//!
//! Counted while requests are served, by many threads, some hundred thousand times a second: every count is one relaxed addition, and
//! connections are spread over several sets of counters, so that they do not wait for each other's caches. Whoever asks adds them up.

use super::protocol::request::Command;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// What clients ask for, by name.
pub const KINDS: [&str; 8] = ["read", "write", "flush", "trim", "write_zeroes", "cache", "block_status", "other"];

/// Up to how many nanoseconds the requests of a step took; those of one more step took longer.
pub const STEPS: [u64; 19] = [
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
];

const SETS: usize = 8;

/// The counters of a server.
#[derive(Debug, Default)]
pub struct Figures {
    sets: [Set; SETS],
    next: AtomicUsize,
    present: AtomicU64,
    came: AtomicU64,
    turned_away: AtomicU64,
}

/// Counters of some connections.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Set([Counters; KINDS.len()]);

#[derive(Debug, Default)]
struct Counters {
    steps: [AtomicU64; STEPS.len() + 1],
    nanoseconds: AtomicU64,
    bytes: AtomicU64,
    errors: AtomicU64,
}

/// What requests of one kind came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// How many were served within each of [`STEPS`], and not within the one before; last, those that took longer than all.
    pub steps: [u64; STEPS.len() + 1],
    /// How long they took together.
    pub nanoseconds: u64,
    /// Bytes of the images that they were about, as far as they went well.
    pub bytes: u64,
    /// How many failed.
    pub errors: u64,
}

impl Counted {
    /// How many were served.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.steps.iter().sum()
    }
}

impl Set {
    /// A request was served. `bytes` is how many it was about.
    pub fn served(&self, command: Command, bytes: u64, time: Duration, well: bool) {
        let counters = &self.0[kind(command)];
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let step = STEPS.iter().position(|step| nanoseconds <= *step).unwrap_or(STEPS.len());
        counters.steps[step].fetch_add(1, Ordering::Relaxed);
        counters.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        if well {
            counters.bytes.fetch_add(bytes, Ordering::Relaxed);
        } else {
            counters.errors.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Figures {
    /// The counters for one more connection.
    pub fn set(&self) -> &Set {
        &self.sets[self.next.fetch_add(1, Ordering::Relaxed) % SETS]
    }

    /// A client was let in.
    pub fn client_came(&self) {
        self.present.fetch_add(1, Ordering::Relaxed);
        self.came.fetch_add(1, Ordering::Relaxed);
    }

    /// A client that was let in is gone.
    pub fn client_left(&self) {
        self.present.fetch_sub(1, Ordering::Relaxed);
    }

    /// A client was not let in: there are too many.
    pub fn client_turned_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    /// Connections at this moment, all there were, and those that were not let in.
    #[must_use]
    pub fn connections(&self) -> [u64; 3] {
        [&self.present, &self.came, &self.turned_away].map(|count| count.load(Ordering::Relaxed))
    }

    /// What the requests of one of [`KINDS`] came to.
    #[must_use]
    pub fn counted(&self, kind: usize) -> Counted {
        let mut sum = Counted::default();
        for set in &self.sets {
            let counters = &set.0[kind];
            for (total, count) in sum.steps.iter_mut().zip(&counters.steps) {
                *total += count.load(Ordering::Relaxed);
            }
            sum.nanoseconds += counters.nanoseconds.load(Ordering::Relaxed);
            sum.bytes += counters.bytes.load(Ordering::Relaxed);
            sum.errors += counters.errors.load(Ordering::Relaxed);
        }
        sum
    }
}

/// The place of a command in [`KINDS`].
fn kind(command: Command) -> usize {
    match command {
        Command::Read => 0,
        Command::Write => 1,
        Command::Flush => 2,
        Command::Trim => 3,
        Command::WriteZeroes => 4,
        Command::Cache => 5,
        Command::BlockStatus => 6,
        Command::Disconnect | Command::Other(_) => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::{Counted, Figures, STEPS};
    use crate::node::nbd::protocol::request::Command;
    use std::time::Duration;

    #[test]
    fn what_all_connections_did_is_added_up() {
        let figures = Figures::default();
        for _ in 0..20 {
            figures.set().served(Command::Read, 4096, Duration::from_micros(10), true);
        }
        figures.set().served(Command::Read, 4096, Duration::from_nanos(10_001), false);
        figures.set().served(Command::Read, 1, Duration::from_secs(60), true);
        let mut steps = [0; STEPS.len() + 1];
        (steps[0], steps[1], steps[STEPS.len()]) = (20, 1, 1);
        let nanoseconds = 20 * 10_000 + 10_001 + 60_000_000_000;
        assert_eq!(figures.counted(0), Counted { steps, nanoseconds, bytes: 20 * 4096 + 1, errors: 1 });
        assert_eq!(figures.counted(0).operations(), 22);
        assert_eq!(figures.counted(1), Counted::default());
    }
}
