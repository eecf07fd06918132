//! What does SIGKILL leave of remote snapshots, here and at their location?
//!
//! Commands work on a store and a location in one directory, and each is killed at a random moment of the time that such a command usually
//! takes. What was acknowledged must be there, byte for byte; what was interrupted is there wholly or not at all; and when everything was
//! deleted and collected, nothing is left that nobody needs.
//!
//! `FLOE_REMOTE_KILLS`: how many kills. `FLOE_SEED`: what decides.

mod cli_support;
#[path = "threads/dice.rs"]
mod dice;
#[path = "remote_kill/images.rs"]
mod images;
#[path = "remote_kill/judge.rs"]
mod judge;
#[path = "remote_kill/killer.rs"]
mod killer;
#[path = "remote_kill/steps.rs"]
mod steps;
#[path = "remote_kill/world.rs"]
mod world;

use std::{env, thread};
use world::World;

const SEED: u64 = 20_261_122;
const KILLS: u64 = 100;
/// After so many kills everything is finished, got back and compared.
const KILLS_PER_JUDGEMENT: u64 = 10;

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {value}")))
}

/// Says how a run that failed is repeated.
struct Replay {
    seed: u64,
    kills: u64,
}

impl Drop for Replay {
    fn drop(&mut self) {
        if thread::panicking() {
            let Self { seed, kills } = self;
            eprintln!(
                "replay (a kill may come at another moment): FLOE_SEED={seed} FLOE_REMOTE_KILLS={kills} \
                 cargo test --features node --test remote_kill"
            );
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_leaks_whenever_a_kill_comes() {
    let (seed, wanted) = (number("FLOE_SEED", SEED), number("FLOE_REMOTE_KILLS", KILLS));
    let mut replay = Replay { seed, kills: 0 };
    let mut world = World::new(seed);
    world.learn();
    while replay.kills < wanted {
        if !world.step() {
            continue;
        }
        replay.kills += 1;
        world.look();
        if replay.kills.is_multiple_of(KILLS_PER_JUDGEMENT) {
            world.judge();
        }
    }
    world.judge();
    world.end();
    println!("{}\n{:?}", world.killer.summary(), world.seen);
}
