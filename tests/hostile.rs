//! What happens when a store says things that no floe would write?
//!
//! Errors are fine. A panic, a hang, memory without bound, or a look outside the store are not. The fuzzers of `fuzz/` ask the same
//! with coverage; here their corpus is played again, and as many seeded inputs as there is time for (`FLOE_SEED`, `FLOE_HOSTILE_CASES`).

mod forgery;

use std::env;
use std::fs;
use std::path::Path;
use std::thread;

use forgery::{furnish, operations, trial};

const SEED: u64 = 20_261_122;

/// Whatever takes any bytes.
type Target<'a> = &'a dyn Fn(&[u8]);

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {value}")))
}

/// Says which input it was if the test fails at it.
struct ToldIfPanicking(String);

impl Drop for ToldIfPanicking {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

/// Plays the corpus of a target, and then seeded inputs of up to `longest` bytes.
fn feed(name: &str, cases: u64, longest: u64, target: Target<'_>) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(&corpus).expect("there is a corpus").map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", corpus.display());
    for file in &files {
        let _told = ToldIfPanicking(format!("input: {}", file.display()));
        target(&fs::read(file).unwrap());
    }
    let first = number("FLOE_SEED", SEED);
    for seed in first..first + number("FLOE_HOSTILE_CASES", cases) {
        let _told = ToldIfPanicking(format!(
            "replay: FLOE_SEED={seed} FLOE_HOSTILE_CASES=1 cargo test --all-features --test hostile {name}"
        ));
        let mut state = seed;
        let mut next = || {
            // SplitMix64.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        };
        let length = next() % longest;
        let bytes: Vec<u8> = (0..length).map(|_| next() as u8).collect();
        target(&bytes);
    }
    println!("{name}: {} files of the corpus and {cases} seeded inputs", files.len());
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
