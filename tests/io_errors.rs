//! What happens when an operation of the device fails?
//!
//! The loop that SQLite is tested with: of a workload of all operations the first operation of the device fails, then the second,
//! and so on, once and for ever, with a medium error and with a full disk. Each time the engine says what happened, poisons itself
//! where D6 says so, and never panics or hangs; then the store is opened again, after a power cut and without, and is at a moment
//! that D2 to D5 allow.
//!
//! `FLOE_SEED`: the seed of the first run. `FLOE_IO_RUNS`: how many runs. `FLOE_FAULT`: look at that error of the first run alone.

#[path = "io_errors/aftermath.rs"]
mod aftermath;
#[path = "io_errors/beside.rs"]
mod beside;
#[path = "oracle/caught.rs"]
mod caught;
#[path = "io_errors/creation.rs"]
mod creation;
#[path = "crash/dice.rs"]
mod dice;
#[path = "crash/epilogue.rs"]
#[allow(dead_code)] // What is shared with tests/crash.rs is used here in part.
mod epilogue;
#[path = "io_errors/full_disk.rs"]
mod full_disk;
#[path = "io_errors/injection.rs"]
mod injection;
#[path = "oracle/judge.rs"]
mod judge;
#[path = "oracle/model.rs"]
mod model;
#[path = "io_errors/opening.rs"]
mod opening;
#[path = "crash/operation.rs"]
#[allow(dead_code)]
mod operation;
#[path = "io_errors/poisoned.rs"]
mod poisoned;
#[path = "crash/runner.rs"]
#[allow(dead_code)]
mod runner;
#[path = "io_errors/script.rs"]
mod script;
#[path = "io_errors/stories.rs"]
mod stories;
#[path = "crash/story.rs"]
#[allow(dead_code)]
mod story;
#[path = "io_errors/strike.rs"]
mod strike;
#[path = "crash/verdict.rs"]
#[allow(dead_code)]
mod verdict;
#[path = "io_errors/watch.rs"]
mod watch;
#[path = "crash/workload.rs"]
#[allow(dead_code)]
mod workload;

use std::env;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use strike::{Count, explore, replay};
use watch::Watch;

const SEED: u64 = 20_261_122;
const RUNS: u64 = 10;
const THREADS: usize = 2;

#[test]
fn every_io_error_is_survived() {
    let seed = number("FLOE_SEED", SEED);
    let watch = Watch::new();
    if let Ok(fault) = env::var("FLOE_FAULT") {
        let fault = fault.parse().unwrap_or_else(|error: String| panic!("FLOE_FAULT: {error}"));
        match replay(seed, fault, &watch) {
            Ok(()) => return println!("nothing is wrong"),
            Err(failure) => panic!("{}", failure.told(seed)),
        }
    }
    let (next, end) = (AtomicU64::new(seed), seed + number("FLOE_IO_RUNS", RUNS));
    let (total, failure) = (Mutex::new(Count::default()), Mutex::new(None));
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let mut count = Count::default();
                    if let Err(found) = explore(seed, &mut count, &watch) {
                        next.store(end, Ordering::Relaxed);
                        failure.lock().unwrap().get_or_insert((seed, found));
                    }
                    total.lock().unwrap().add(&count);
                }
            });
        }
    });
    if let Some((seed, failure)) = failure.into_inner().unwrap() {
        panic!("{}", failure.told(seed));
    }
    println!("{} in {:?}", total.into_inner().unwrap(), begun.elapsed());
}

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {value}")))
}
