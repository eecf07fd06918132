//! Would the crash test notice?
//!
//! The engine makes one deliberate mistake after the other, each of a kind that an engine like this could really make, and the crash test,
//! with few runs, must find each. With none of them the same runs are clean.

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

use floe::canary::{Canary, make};
use floe::sim::{Fault, Lasts, SimDevice};
use floe::{DriveOptions, Store, StoreOptions};

use caught::caught;
use cuts::{Count, Failure, explore, replay};
use judge::Outcome;

const SEED: u64 = 1;
/// More runs than any mistake takes to be found.
const RUNS_MAX: u64 = 200;
const TOLD_CHARS_MAX: usize = 150;

/// Mistakes are made by the whole process, so one test makes them all, one after the other.
#[test]
fn every_mistake_is_found_and_without_one_nothing_is() {
    let mut missed = Vec::new();
    let (mut runs, mut total) = (1, Count::default());
    for &mistake in Canary::ALL {
        make(Some(mistake));
        let found = match mistake {
            // Nothing fails in the crash test.
            Canary::PoisonForgotten => nothing_is_acknowledged_after_a_failed_sync().err(),
            _ => run_until_found().map(|(count, found)| {
                runs = runs.max(count.first_runs);
                total.add(&count);
                found
            }),
        };
        make(None);
        match found {
            Some(found) => println!("{mistake:?}: {}", found.chars().take(TOLD_CHARS_MAX).collect::<String>()),
            None => missed.push(mistake),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
    nothing_is_acknowledged_after_a_failed_sync().unwrap();
    let mut count = Count::default();
    for seed in SEED..SEED + runs {
        if let Err(Failure { cuts, difference }) = explore(seed, &mut count) {
            panic!("without a mistake, seed {seed}, {cuts}: {difference}\n{:?}", replay(seed, &cuts));
        }
    }
    println!("{} cuts with mistakes; without one {} cuts, and nothing found", total.all(), count.all());
}

/// Runs of the crash test until one finds something: what it took, and what that is.
fn run_until_found() -> Option<(Count, String)> {
    let mut count = Count::default();
    let Failure { cuts, difference } = (SEED..SEED + RUNS_MAX).find_map(|seed| explore(seed, &mut count).err())?;
    let how = match count.all() {
        0 => "before any cut".to_owned(),
        cuts_before => format!("after {cuts_before} cuts, by {cuts}"),
    };
    let last = difference.trim().lines().last().unwrap_or_default().trim();
    Some((count, format!("found {how}: {last}")))
}

/// D6, as small as it can be.
fn nothing_is_acknowledged_after_a_failed_sync() -> Outcome {
    caught(|| {
        let device = std::sync::Arc::new(SimDevice::new(StoreOptions::CAPACITY_MIN).expect("memory for a device"));
        let store = Store::options().create_on(device.clone()).expect("a store");
        let drive = store.create_drive(DriveOptions::new(1 << 20)).expect("a drive");
        drive.write_at(&[1; 4096], 0).expect("a write");
        store.flush().expect("a flush");
        drive.write_at(&[2; 4096], 0).expect("a write");
        let error = std::io::ErrorKind::Other;
        device.fail(Some(Fault { operation: device.operations(), lasts: Lasts::Once, error }));
        store.flush().expect_err("the sync fails");
        match store.flush() {
            Ok(()) => Err("a flush was acknowledged after one that had failed".to_owned()),
            Err(_) => Ok(()),
        }
    })
}
