//! What happens in a run, and how is it told when it fails?

use floe::Uuid;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

use super::caller::World;

const SEED: u64 = 20_261_124;
const RUNS: u64 = 600;
const STEPS: u64 = 60;
/// Everything is looked at after one in so many calls, and at the end.
const CALLS_PER_LOOK: u64 = 6;
/// The last calls before a failure that are told.
const TOLD: usize = 15;

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {value}")))
}

impl World {
    fn step(&mut self) {
        match self.dice.below(40) {
            0..=3 => self.create_drives(),
            4..=8 => self.create_snapshots(),
            9..=12 => self.edit_drive(),
            13 => self.resize(),
            14 | 15 => self.edit_snapshot(),
            16..=18 => self.clone_something(),
            19 => self.delete_drives(),
            20 => self.delete_snapshots(),
            21..=23 => self.create_tags(),
            24 | 25 => self.edit_tag(),
            26 => self.delete_tag(),
            27..=30 => self.create_acl(),
            31 | 32 => self.edit_acl(),
            33 => self.delete_acl(),
            34 => self.edit_profile(),
            35 => self.call_nonsense(),
            36 => self.come_or_go(),
            37 => self.look_at_a_tag(),
            38 => {
                self.check_all();
                self.restart();
                self.check_all();
            }
            _ => self.look(),
        }
    }

    fn come_or_go(&mut self) {
        let drives: Vec<Uuid> = self.model.drives.iter().map(|drive| drive.thing.uuid).collect();
        if let Some(drive) = self.one_of(&drives) {
            let comes = !self.model.mounted.contains(&drive);
            self.mount(drive, comes);
        }
    }

    fn run(&mut self, steps: u64) {
        // Something that can be shared, and somebody who may share it.
        for first in [Self::create_drives, Self::create_drives, Self::create_snapshots, Self::create_tags, Self::create_acl] {
            first(self);
        }
        for _ in 0..steps {
            self.step();
            self.look();
            self.write();
            if self.chance(CALLS_PER_LOOK) {
                self.check_all();
            }
        }
        self.check_all();
        assert!(self.store.check().expect("a check").is_clean());
    }
}

#[test]
fn the_api_agrees_with_a_model_of_what_accounts_have() {
    let (first, runs, steps) = (number("FLOE_SEED", SEED), number("FLOE_MODEL_RUNS", RUNS), number("FLOE_STEPS", STEPS));
    let begun = Instant::now();
    let mut calls = 0;
    for seed in first..first + runs {
        let mut world = World::new(seed);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| world.run(steps))) {
            let from = world.story.len().saturating_sub(TOLD);
            world.story[from..].iter().for_each(|line| eprintln!("{line}"));
            eprintln!(
                "replay: FLOE_SEED={seed} FLOE_MODEL_RUNS=1 FLOE_STEPS={steps} cargo test --all-features --test http_model"
            );
            resume_unwind(panic);
        }
        calls += world.story.len();
    }
    println!("{runs} runs, {calls} changes, {:.1} s", begun.elapsed().as_secs_f64());
}
