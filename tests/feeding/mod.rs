//! How are a fuzzer's corpus and seeded inputs fed to what takes any bytes?

use std::env;
use std::fs;
use std::path::Path;
use std::thread;

const SEED: u64 = 20_261_122;

/// Whatever takes any bytes.
pub type Target<'a> = &'a dyn Fn(&[u8]);

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

/// Plays the corpus of a target, and then seeded inputs of up to `longest` bytes; `test` is the file of the test.
pub fn feed(name: &str, test: &str, cases: u64, longest: u64, target: Target<'_>) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(&corpus).expect("there is a corpus").map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", corpus.display());
    for file in &files {
        let _told = ToldIfPanicking(format!("input: {}", file.display()));
        target(&fs::read(file).unwrap());
    }
    let first = number("FLOE_SEED", SEED);
    let cases = number("FLOE_HOSTILE_CASES", cases);
    for seed in first..first + cases {
        let _told =
            ToldIfPanicking(format!("replay: FLOE_SEED={seed} FLOE_HOSTILE_CASES=1 cargo test --all-features --test {test}"));
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
