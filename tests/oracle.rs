//! Does the engine agree with a model that keeps everything and counts with sets?
//!
//! Random operations are done to a store and to the model; after each one every size, every image and the list of what
//! exists are compared, and `check` is asked (D1, D4, D5, A1-A7). A run that fails is shrunk, told in words, and printed
//! with the line that replays it.
//!
//! `FLOE_SEED`: the seed of the first run. `FLOE_STEPS`: the longest run. `FLOE_ORACLE_CASES`: how many runs.

#[path = "oracle/caught.rs"]
mod caught;
#[path = "oracle/judge.rs"]
mod judge;
#[path = "oracle/machine.rs"]
mod machine;
#[path = "oracle/model.rs"]
mod model;
#[path = "oracle/operation.rs"]
mod operation;

use std::env;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use caught::caught;
use judge::Outcome;
use machine::Machine;
use operation::{Operation, Settings, Shape, runs};

const SEED: u64 = 20_261_121;
const SHRINK_STEPS_MAX: u32 = 3000;
const SHRINK_MILLISECONDS_MAX: u32 = 120_000;

#[test]
fn small_drives_agree_with_the_oracle() {
    agree("small_drives_agree_with_the_oracle", Shape::Small, 700, 160);
}

#[test]
fn deep_tables_agree_with_the_oracle() {
    agree("deep_tables_agree_with_the_oracle", Shape::Deep, 250, 100);
}

#[test]
fn vast_drives_agree_with_the_oracle() {
    agree("vast_drives_agree_with_the_oracle", Shape::Vast, 600, 120);
}

fn agree(test: &str, shape: Shape, cases: u64, steps: u64) {
    let seed = number("FLOE_SEED", SEED);
    let steps = number("FLOE_STEPS", steps);
    for seed in seed..seed + number("FLOE_ORACLE_CASES", cases) {
        if let Err(failure) = run(shape, seed, steps as usize) {
            panic!(
                "{failure}\n\nreplay: FLOE_SEED={seed} FLOE_STEPS={steps} FLOE_ORACLE_CASES=1 \
                 cargo test --test oracle {test}\n"
            );
        }
    }
}

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {value}")))
}

/// One run of up to `steps` operations; the error tells the shortest one that fails.
fn run(shape: Shape, seed: u64, steps: usize) -> Result<(), String> {
    let config = Config {
        cases: 1,
        failure_persistence: None,
        max_shrink_iters: SHRINK_STEPS_MAX,
        max_shrink_time: SHRINK_MILLISECONDS_MAX,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let outcome = runner.run(&runs(shape, steps), |(size, settings, operations)| {
        play(shape, size, settings, &operations).map_err(TestCaseError::fail)
    });
    match outcome {
        Ok(()) => Ok(()),
        Err(TestError::Fail(_, (size, settings, operations))) => {
            // Once more, for the words of the shortest run; threads may have made the failure go away.
            let told = play(shape, size, settings, &operations).err();
            let told = told.unwrap_or_else(|| "it fails only sometimes".to_owned());
            Err(format!("{told}\n\ndrive of {size} bytes, {settings:?}, {operations:#?}"))
        }
        Err(TestError::Abort(reason)) => Err(format!("aborted: {reason}")),
    }
}

/// The operations in words, then what differs; a panic of the engine is a difference too.
fn play(shape: Shape, size: u64, settings: Settings, operations: &[Operation]) -> Outcome {
    let mut log = Vec::new();
    let outcome = caught(|| {
        let mut machine = Machine::new(shape, size, settings)?;
        let outcome = caught(|| {
            operations.iter().try_for_each(|operation| machine.step(operation))?;
            machine.finish()
        });
        log.clone_from(&machine.log);
        outcome
    });
    outcome.map_err(|difference| format!("{}\n\n{difference}", log.join("\n")))
}

/// The model itself, on cases that can be counted by hand: accounting.md's worked examples.
mod counted_by_hand {
    use floe::Uuid;

    use crate::model::{BLOCK, Model, NewSnapshot, Sizes};

    fn sizes([exclusive, charged, allocated, referenced]: [u64; 4]) -> Sizes {
        let [exclusive, charged, allocated, referenced] =
            [exclusive * BLOCK, charged * BLOCK, allocated * BLOCK, referenced * BLOCK];
        Sizes { exclusive, charged, allocated, referenced }
    }

    fn write(model: &mut Model, drive: usize, block: u64, letter: u8) {
        model.write(drive, block * BLOCK, &[letter; BLOCK as usize]);
    }

    fn snapshot(model: &mut Model, drive: usize) {
        let (uuid, name, attributes) = (Uuid::new_v4(), String::new(), Vec::new());
        model.snapshot_group(vec![NewSnapshot { drive, uuid, name, attributes, bookmark: None }]);
    }

    #[test]
    fn two_snapshots_and_a_clone() {
        let mut model = Model::new();
        model.create_drive(Uuid::new_v4(), String::new(), Vec::new(), 4 * BLOCK);
        (0..3).for_each(|block| write(&mut model, 0, block, b'A'));
        snapshot(&mut model, 0);
        write(&mut model, 0, 0, b'B');
        write(&mut model, 0, 3, b'B');
        write(&mut model, 0, 1, b'A');
        snapshot(&mut model, 0);
        assert_eq!(model.sizes(), [sizes([1, 1, 1, 3]), sizes([0, 0, 0, 4])]);
        model.discard(0, BLOCK..3 * BLOCK);
        assert_eq!(model.sizes(), [sizes([1, 1, 3, 3]), sizes([0, 2, 2, 4])]);
        model.clone_drive(1, Uuid::new_v4(), String::new(), Vec::new());
        write(&mut model, 1, 0, b'C');
        assert_eq!(model.reachable(), 6 * BLOCK);
        model.delete_drive(0);
        assert_eq!(model.sizes(), [sizes([1, 1, 1, 3]), sizes([1, 4, 4, 4])]);
        model.delete_snapshot(1);
        assert_eq!(model.sizes(), [sizes([1, 3, 3, 3])]);
        assert_eq!(model.reachable(), 5 * BLOCK);
    }

    #[test]
    fn zeroes_over_shared_data_are_a_hole_and_over_holes_nothing() {
        let mut model = Model::new();
        model.create_drive(Uuid::new_v4(), String::new(), Vec::new(), 4 * BLOCK);
        write(&mut model, 0, 1, b'A');
        write(&mut model, 0, 2, 0);
        assert_eq!(model.drives[0].image.referenced(), BLOCK);
        snapshot(&mut model, 0);
        write(&mut model, 0, 1, 0);
        assert_eq!(model.drives[0].image.referenced(), 0);
        assert_eq!(model.sizes(), [sizes([1, 1, 1, 1])]);
    }
}
