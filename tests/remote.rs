//! Do remote snapshots hold what their drives held, whatever happens to drives, node and object store?
//!
//! `FLOE_SEED`: the seed of the first run. `FLOE_REMOTE_RUNS`: how many runs.

#[path = "remote/amounts.rs"]
mod amounts;
#[path = "bucket/mod.rs"]
mod bucket;
#[path = "crash/dice.rs"]
#[allow(dead_code)] // What is shared with tests/crash.rs is used here in part.
mod dice;
#[path = "remote/edits.rs"]
mod edits;
#[path = "remote/faults.rs"]
mod faults;
#[path = "remote/filling.rs"]
mod filling;
#[path = "remote/run.rs"]
mod run;
#[path = "remote/secrets.rs"]
mod secrets;
#[path = "remote/stage.rs"]
mod stage;

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

const SEED: u64 = 20_261_122;
const RUNS: u64 = 15;

#[test]
fn every_remote_snapshot_is_the_image_of_its_moment_whatever_comes_after() {
    let number = |name: &str, usual: u64| env::var(name).map_or(usual, |value| value.parse().expect("a number"));
    let first = number("FLOE_SEED", SEED);
    for seed in first..first + number("FLOE_REMOTE_RUNS", RUNS) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run::run(seed))) {
            eprintln!(
                "replay: FLOE_SEED={seed} FLOE_REMOTE_RUNS=1 cargo test --all-features --test remote \
                 every_remote_snapshot_is_the_image_of_its_moment_whatever_comes_after"
            );
            resume_unwind(panic);
        }
    }
}
