//! Is a kind of request quick enough to be served where it was read?
//!
//! Whoever hands a request to another thread waits some microseconds for that thread. If the data is in memory, serving it takes less; if it is
//! not, the thread that reads requests must not wait for the disk. Which of the two it is, the last requests tell.

use super::protocol::request::{Command, Request};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Requests that take longer than this on average go to other threads.
const QUICK: Duration = Duration::from_micros(40);

/// Longer requests go to other threads in any case, if others wait behind them.
const QUICK_BYTES_MAX: u64 = 128 << 10;

/// How much of the average the newest request is.
const WEIGHT: u32 = 8;

/// What requests of each kind took lately.
#[derive(Default)]
pub struct Pace {
    nanoseconds: [AtomicU32; 3],
}

impl Pace {
    /// Shall the request be served at once?
    pub fn is_quick(&self, request: &Request, others_wait: bool) -> bool {
        let long = matches!(request.command, Command::Read | Command::Write) && request.length > QUICK_BYTES_MAX;
        !(long && others_wait) && u128::from(self.of(request).load(Ordering::Relaxed)) < QUICK.as_nanos()
    }

    /// Notes what a request took.
    pub fn took(&self, request: &Request, time: Duration) {
        let average = self.of(request);
        // A long request says nothing of short ones, and one stall of a second shall be forgotten after some dozens.
        let blocks =
            if request.command == Command::Read || request.command == Command::Write { request.length / 65_536 + 1 } else { 1 };
        let time = u32::try_from(time.as_nanos() / u128::from(blocks)).unwrap_or(u32::MAX).min(20 * QUICK.as_nanos() as u32);
        let old = average.load(Ordering::Relaxed);
        average.store(old - old / WEIGHT + time / WEIGHT, Ordering::Relaxed);
    }

    fn of(&self, request: &Request) -> &AtomicU32 {
        match request.command {
            Command::Read => &self.nanoseconds[0],
            Command::Write => &self.nanoseconds[1],
            _ => &self.nanoseconds[2],
        }
    }
}
