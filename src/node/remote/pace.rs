//! How fast may bytes go out?

use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Whoever is told to stop does within so long.
const TICK: Duration = Duration::from_millis(50);

/// A limit of bytes per second, for all who share it; none by default.
#[derive(Debug, Default)]
pub struct Pace {
    bytes_per_second: Option<u64>,
    /// When the next bytes may go.
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// So many bytes in a second, or as many as there are.
    #[must_use]
    pub fn new(bytes_per_second: Option<u64>) -> Self {
        Self { bytes_per_second: bytes_per_second.filter(|rate| *rate > 0), next: Mutex::default() }
    }

    /// Waits until so many more bytes may go, or everybody is told to stop.
    pub fn wait(&self, bytes: u64, stop: &AtomicBool) {
        let Some(rate) = self.bytes_per_second else { return };
        let turn = {
            let mut next = self.next.lock();
            let turn = next.unwrap_or_else(Instant::now).max(Instant::now());
            *next = Some(turn + Duration::from_secs_f64(bytes as f64 / rate as f64));
            turn
        };
        while let Some(rest) = turn.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero()) {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            thread::sleep(rest.min(TICK));
        }
    }
}
