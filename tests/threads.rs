//! Do the promises hold while everything happens at once (D1, D2, D4, A7)?
//!
//! Writers stamp blocks of shared drives, in an order that follows from a seed, and say how far they are. Beside them others
//! read, flush, cut the power, take snapshots of one drive and of all, clone, revert, resize, delete, reclaim and check.
//! Whatever anybody sees must be what the writers' acts up to some moment leave.
//!
//! `FLOE_SEED`: the seed of what each thread does; the order among them is the system's. `FLOE_THREADS_SECONDS`: how long
//! each test goes on.

#[path = "threads/churn.rs"]
mod churn;
#[path = "threads/device.rs"]
mod device;
#[path = "threads/dice.rs"]
mod dice;
#[path = "threads/stamps.rs"]
mod stamps;
#[path = "threads/workers.rs"]
mod workers;

use std::cell::Cell;
use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use floe::{Drive, DriveOptions, ErrorKind, SnapshotOptions, Store, StoreOptions};

use device::SyncedDevice;
use dice::{Dice, mix};
use stamps::{Layout, Writers};
use workers::{World, bytes_of_drive, expect_clean};

const SEED: u64 = 20_261_122;
const SECONDS: u64 = 8;
const LAYOUT: Layout = Layout { drives: 2, writers: 3, own: 20, shared: 2 };
const LARGE: u64 = 512 << 20;
/// So little that writers commit now and then.
const DIRTY_BYTES_MAX: usize = 1 << 20;
const BLOCKS_PER_YIELD: u64 = 5;
const BLOCKS_PER_SLEEP: u64 = 199;
const CLOSES: u64 = 40;
const CLOSE_AFTER_MICROSECONDS: u64 = 20_000;

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {value}")))
}

/// Says how to run the same threads again, if the test fails.
struct Replay(&'static str, u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("\nreplay (threads may take turns otherwise): FLOE_SEED={} cargo test --test threads {}\n", self.1, self.0);
        }
    }
}

/// Stops everybody when one fails: a scope waits for all its threads.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}

/// How deleted things are freed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reclaim {
    /// By a thread of the store's own.
    Background,
    /// By whoever calls `reclaim`.
    InSteps,
}

/// Before some of the blocks that are read or written others go first, so that what is rare becomes common.
fn pause() {
    thread_local!(static BLOCKS: Cell<u64> = const { Cell::new(0) });
    match BLOCKS.replace(BLOCKS.get() + 1) {
        number if number % BLOCKS_PER_SLEEP == 0 => thread::sleep(Duration::from_micros(50)),
        number if number % BLOCKS_PER_YIELD == 0 => thread::yield_now(),
        _ => {}
    }
}

fn everything_at_once(test: &'static str, capacity: u64, reclaim: Reclaim) {
    let seed = number("FLOE_SEED", SEED);
    let _replay = Replay(test, seed);
    let device = Arc::new(SyncedDevice::new(capacity, pause));
    let options = Store::options().background_reclaim(reclaim == Reclaim::Background).dirty_bytes_max(DIRTY_BYTES_MAX);
    let store = options.create_on(device.clone()).unwrap();
    let world = World::new(store, device, LAYOUT, seed);
    let until = Instant::now() + Duration::from_secs(number("FLOE_THREADS_SECONDS", SECONDS));
    thread::scope(|scope| {
        let world = &world;
        let mut seed = seed;
        let mut start = |work: fn(&World, Dice)| {
            seed = mix(seed);
            let dice = Dice::new(seed);
            scope.spawn(move || {
                let _stop = Stop(&world.stop);
                work(world, dice);
            });
        };
        start(|world, _| world.write(0));
        start(|world, _| world.write(1));
        start(|world, _| world.write(2));
        start(World::read);
        start(World::read);
        start(World::snapshot);
        start(World::snapshot);
        start(World::delete);
        start(World::flush);
        start(World::cut);
        start(World::churn);
        start(|world, _| world.check());
        if reclaim == Reclaim::InSteps {
            start(World::reclaim);
        }
        while Instant::now() < until && !world.stop.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(20));
        }
        world.stop.store(true, Ordering::SeqCst);
    });
    world.delete_everything();
    println!("{test}: {}", world.tally());
}

#[test]
fn promises_hold_while_deleted_things_are_freed_in_steps() {
    everything_at_once("promises_hold_while_deleted_things_are_freed_in_steps", LARGE, Reclaim::InSteps);
}

#[test]
fn promises_hold_while_deleted_things_are_freed_in_the_background() {
    everything_at_once("promises_hold_while_deleted_things_are_freed_in_the_background", LARGE, Reclaim::Background);
}

/// Writers meet the end of the store all the time, commit and reclaim for each other, and a refused act has changed nothing (D7).
#[test]
fn promises_hold_in_a_store_that_is_too_small() {
    everything_at_once("promises_hold_in_a_store_that_is_too_small", StoreOptions::CAPACITY_MIN, Reclaim::InSteps);
}

/// Who works while the store is closed is done, or is told `Closed` and has changed nothing; what was done is there.
#[test]
fn close_keeps_what_was_done_and_refuses_the_rest() {
    let test = "close_keeps_what_was_done_and_refuses_the_rest";
    let seed = number("FLOE_SEED", SEED);
    let _replay = Replay(test, seed);
    let mut dice = Dice::new(seed);
    for round in 0..CLOSES {
        let device = Arc::new(SyncedDevice::new(LARGE, pause));
        let store = Store::options().background_reclaim(round % 2 == 0).create_on(device.clone()).unwrap();
        let writers = Writers::new(LAYOUT, seed + round);
        let create = |_| store.create_drive(DriveOptions::new(LAYOUT.drive_bytes())).unwrap();
        let drives: Vec<_> = (0..LAYOUT.drives).map(create).collect();
        thread::scope(|scope| {
            for writer in &writers.all {
                scope.spawn(|| until_closed(|| writer.work(&drives)));
            }
            scope.spawn(|| until_closed(|| drives[0].snapshot(SnapshotOptions::named("frozen")).map(drop)));
            scope.spawn(|| until_closed(|| store.flush()));
            thread::sleep(Duration::from_micros(dice.below(CLOSE_AFTER_MICROSECONDS)));
            store.close().unwrap();
        });
        let left = Store::options().open_on(Arc::new(device.cut(|_| false))).unwrap();
        assert!(left.info().was_clean);
        expect_clean(&left);
        let image = |drive: &Drive| bytes_of_drive(&left.drive(drive.uuid()).unwrap());
        let images: Vec<_> = drives.iter().map(image).enumerate().collect();
        let completed = writers.completed();
        writers.judge_instant(&images, &completed, &completed).expect("what was done before the close, and nothing else");
    }
}

/// Works until the store is closed.
fn until_closed(mut work: impl FnMut() -> floe::Result<()>) {
    let error = loop {
        if let Err(error) = work() {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
}
