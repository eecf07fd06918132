//! How is a store's data compared with its checksums without getting in anybody's way?

use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

use crate::node::failure::Failure;
use crate::{ScrubProgress, ScrubReport, Store};

/// Whoever waits looks this often whether he should stop.
const NAP: Duration = Duration::from_millis(100);

/// How a scrub goes about it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// Forget what an interrupted scrub did.
    pub from_beginning: bool,
    /// At most so many bytes per second are read.
    pub bytes_per_second: Option<u64>,
}

/// Compares all data with its checksums; ends early, to be continued by the next one, when `stop` says so.
///
/// # Errors
/// `Corrupt` if metadata cannot be read, `Io`, `Poisoned`.
pub fn scrub(
    store: &Store,
    pace: Pace,
    stop: &dyn Fn() -> bool,
    progress: &mut dyn FnMut(ScrubProgress),
) -> Result<ScrubReport, Failure> {
    let begun = Instant::now();
    let report = store.scrub_with(pace.from_beginning, &mut |step| {
        progress(step);
        let due = pace.bytes_per_second.map_or(Duration::ZERO, |rate| time_for(step.bytes_done, rate));
        loop {
            if stop() {
                return ControlFlow::Break(());
            }
            match due.checked_sub(begun.elapsed()) {
                None | Some(Duration::ZERO) => return ControlFlow::Continue(()),
                Some(early) => thread::sleep(early.min(NAP)),
            }
        }
    });
    Ok(report?)
}

/// How long reading `bytes` takes at `rate` bytes per second.
fn time_for(bytes: u64, rate: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64)
}
