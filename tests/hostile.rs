//! What happens when a store says things that no floe would write?
//!
//! Errors are fine. A panic, a hang, memory without bound, or a look outside the store are not. The fuzzers of `fuzz/` ask the same
//! with coverage; here their corpus is played again, and as many seeded inputs as there is time for (`FLOE_SEED`, `FLOE_HOSTILE_CASES`).

mod feeding;
mod forgery;

use feeding::Target;
use forgery::{furnish, operations, trial};

fn feed(name: &str, cases: u64, longest: u64, target: Target<'_>) {
    feeding::feed(name, "hostile", cases, longest, target);
}

#[test]
fn superblock_takes_any_bytes() {
    feed("superblock", 20_000, 200, &floe::fuzzing::superblock);
}

#[test]
fn page_takes_any_bytes() {
    feed("page", 20_000, 4096, &floe::fuzzing::page);
}

#[test]
fn record_takes_any_bytes() {
    feed("record", 50_000, 300, &floe::fuzzing::record);
}

#[test]
fn tree_takes_any_bytes() {
    feed("tree", 5_000, 600, &floe::fuzzing::tree);
}

#[test]
fn open_takes_stores_that_no_floe_wrote() {
    let stores = furnish::all();
    feed("open", 4_000, 60, &|bytes| trial::run(&stores, bytes));
}

#[test]
fn operations_agree_with_a_model() {
    let empty = furnish::empty();
    feed("operations", 1_000, 300, &|bytes| operations::run(&empty, bytes));
}
