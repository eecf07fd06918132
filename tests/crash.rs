//! What does a power cut leave?
//!
//! A seeded workload of all operations runs on a simulated disk that remembers every write and sync. Then the power is cut at each of
//! them, with several kinds of loss; what is left is opened, checked and compared with a model that knows what was acknowledged (D2
//! to D5, A1 to A7). Some of the recovered stores work on and lose power again, in their recovery or later.
//!
//! `FLOE_SEED`: the seed of the first run. `FLOE_CRASH_RUNS`: how many runs. `FLOE_CUT`: look at that cut of the first run alone.

#[path = "oracle/caught.rs"]
mod caught;
#[path = "crash/cuts.rs"]
mod cuts;
#[path = "crash/dice.rs"]
mod dice;
#[path = "crash/epilogue.rs"]
mod epilogue;
#[path = "oracle/judge.rs"]
mod judge;
#[path = "oracle/model.rs"]
mod model;
#[path = "crash/operation.rs"]
mod operation;
#[path = "crash/runner.rs"]
mod runner;
#[path = "crash/story.rs"]
mod story;
#[path = "crash/verdict.rs"]
mod verdict;
#[path = "crash/workload.rs"]
mod workload;

use std::env;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use floe::sim::{Disk, Loss, SimDevice};
use floe::{DriveOptions, ErrorKind, Store, StoreOptions};

use cuts::{Count, Cuts, Failure, explore, replay};

const SEED: u64 = 20_261_122;
const RUNS: u64 = 100;
const THREADS: u64 = 2;
/// Fewer would be no test.
const CUTS_MIN: u64 = 20_000;
/// What power cuts must have met: every kind of operation in flight, and stores that were found at moments of every kind.
const MET: [&str; 30] = [
    "rotted",
    "CreateDrive",
    "Write",
    "WriteZeroes",
    "Discard",
    "Resize",
    "RenameDrive",
    "DriveAttributes",
    "DescribeDrive",
    "Revert",
    "DeleteDrive",
    "Bookmark",
    "DeleteBookmark",
    "Snapshot",
    "Clone",
    "RenameSnapshot",
    "SnapshotAttributes",
    "DescribeSnapshot",
    "DeleteSnapshot",
    "SetNote",
    "DeleteNote",
    "Flush",
    "Reclaim",
    "Check",
    "Grow",
    "Reopen",
    "found later",
    "found in the middle",
    "found overwritten",
    "found torn",
];
/// So many seeds are tried for each loss while a store is created.
const SEEDS_OF_CREATION: u64 = 8;

#[test]
fn every_power_cut_leaves_what_was_acknowledged() {
    let (seed, runs) = (number("FLOE_SEED"), number("FLOE_CRASH_RUNS"));
    if let Ok(cuts) = env::var("FLOE_CUT") {
        let cuts: Cuts = cuts.parse().unwrap_or_else(|error: String| panic!("FLOE_CUT: {error}"));
        match replay(seed.unwrap_or(SEED), &cuts) {
            Ok(story) => return println!("{story}\nnothing is wrong"),
            Err(story) => panic!("\n{story}\n"),
        }
    }
    let begun = Instant::now();
    let count = explore_all(seed.unwrap_or(SEED), runs.unwrap_or(RUNS));
    let (cuts, Count { events, first_runs, later_runs, .. }) = (count.all(), &count);
    println!("{cuts} power cuts in {:?}; {:?} by how many went before", begun.elapsed(), count.cuts);
    println!("at {events} events of {first_runs} runs and of {later_runs} recovered stores that worked on");
    println!("in flight, and found: {:?}", count.kinds);
    if seed.is_none() && runs.is_none() {
        assert!(cuts >= CUTS_MIN, "{cuts} cuts are too few");
        let unmet: Vec<_> = MET.iter().filter(|kind| !count.kinds.contains_key(*kind)).collect();
        assert!(unmet.is_empty(), "no power cut met {unmet:?}");
    }
}

/// Looks at all cuts of all runs, in several threads.
fn explore_all(seed: u64, runs: u64) -> Count {
    let (next, end) = (AtomicU64::new(seed), seed + runs);
    let (total, failed) = (Mutex::new(Count::default()), Mutex::new(None));
    let explore_some = || {
        let mut count = Count::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                break;
            }
            if let Err(failure) = explore(seed, &mut count) {
                next.store(end, Ordering::Relaxed);
                failed.lock().unwrap().get_or_insert((seed, failure));
            }
        }
        total.lock().unwrap().add(&count);
    };
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(explore_some);
        }
    });
    if let Some((seed, Failure { cuts, difference })) = failed.into_inner().unwrap() {
        let story = replay(seed, &cuts).err().unwrap_or_else(|| format!("a replay finds nothing:\n{difference}"));
        let cuts = if cuts == Cuts::default() { String::new() } else { format!(" FLOE_CUT={cuts}") };
        panic!(
            "\n{story}\n\nreplay: FLOE_SEED={seed} FLOE_CRASH_RUNS=1{cuts} \
             cargo test --all-features --test crash every_power_cut_leaves_what_was_acknowledged\n"
        );
    }
    total.into_inner().unwrap()
}

/// A power cut during the creation of a store leaves an empty store, or none; then one can be created there.
#[test]
fn new_store_is_there_whole_or_not_at_all() {
    let device = Arc::new(SimDevice::new(StoreOptions::CAPACITY_MIN).unwrap());
    device.record();
    let store = Store::options().create_on(device.clone()).unwrap();
    let acknowledged = device.recorded();
    store.close().unwrap();
    let events = device.take_events();
    let (mut disk, mut cuts, mut without) = (Disk::new(StoreOptions::CAPACITY_MIN), 0, 0);
    for position in 0..=events.len() {
        position.checked_sub(1).inspect(|index| disk.apply(&events[*index]));
        for (loss, seed) in Loss::ALL.into_iter().flat_map(|loss| (0..SEEDS_OF_CREATION).map(move |seed| (loss, seed))) {
            let device = Arc::new(SimDevice::over(disk.clone().after_power_cut(loss, seed)).unwrap());
            let place = format!("after {position} of {} events, {loss:?} {seed}", events.len());
            let store = Store::options().open_on(device.clone()).unwrap_or_else(|error| {
                assert!(position < acknowledged, "{place}: {error}");
                without += 1;
                // Half a superblock could be all that is left of a store, and is not taken for nothing.
                let device = if error.kind() == ErrorKind::Corrupt && loss == Loss::Lines {
                    Arc::new(SimDevice::new(StoreOptions::CAPACITY_MIN).unwrap())
                } else {
                    assert_eq!(error.kind(), ErrorKind::NotAStore, "{place}: {error}");
                    device
                };
                Store::options().create_on(device).unwrap_or_else(|error| panic!("{place}: {error}"))
            });
            cuts += 1;
            assert_eq!(store.info().drives, 0, "{place}");
            assert!(store.check().unwrap().is_clean(), "{place}");
            store.create_drive(DriveOptions::new(1 << 20)).unwrap();
        }
    }
    println!("{cuts} power cuts; after {without} of them there was no store yet");
}

fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {value}")))
}
