//! Does the lock protocol of write, snapshot, commit, reclaim and close hold under random schedules (D1, D2, D4)?
//!
//! It takes a build in which the engine's locks and atomics let a scheduler choose who goes on (`src/sync/shuttle.rs`), so
//! without that build there is no test in here:
//!
//!     RUSTFLAGS="--cfg shuttle" cargo test --test shuttle --target-dir target/shuttle
//!
//! A few threads use a tiny store that is nearly full, so that what is freed is used again at once. Half of the schedules
//! change threads at random, half change priorities at few moments (PCT).
//!
//! `FLOE_SCHEDULES`: how many schedules for each test. `FLOE_SEED`: the seed of the first ones.
#![cfg(shuttle)]

#[path = "threads/device.rs"]
mod device;
#[path = "threads/dice.rs"]
mod dice;
#[allow(dead_code, reason = "tests/threads.rs uses the rest")]
#[path = "threads/stamps.rs"]
mod stamps;

use std::env;
use std::sync::{Arc, Mutex};

use floe::{BLOCK_BYTES, Drive, DriveOptions, ErrorKind, MemoryDevice, Snapshot, SnapshotOptions, Store, StoreOptions};
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::thread::scope;
use shuttle::{Config, Runner};

use device::SyncedDevice;
use dice::Dice;
use stamps::{BLOCK_LEN, Counts, Layout, Place, Writers, expect_equal_writes_to_change_nothing, lock};

const SEED: u64 = 20_261_122;
const SCHEDULES: u64 = 6000;
/// A failure is replayed by running at most so many schedules again.
const BATCH: u64 = 50;
/// Changes of priority in one schedule, and one.
const PCT_DEPTH: usize = 4;
const STACK_BYTES: usize = 1 << 20;

const ONE_DRIVE: Layout = Layout { drives: 1, writers: 2, own: 2, shared: 1 };
/// Two writers that are in each other's way most of the time.
const NARROW_DRIVE: Layout = Layout { drives: 1, writers: 2, own: 1, shared: 2 };
const LONE_DRIVE: Layout = Layout { drives: 1, writers: 1, own: 6, shared: 0 };
const TWO_DRIVES: Layout = Layout { drives: 2, writers: 1, own: 2, shared: 0 };

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {value}")))
}

/// Says which schedules to run again, if one of them fails.
struct Replay {
    test: &'static str,
    seed: u64,
    schedules: u64,
}

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { test, seed, schedules } = self;
            eprintln!(
                "\nreplay: FLOE_SEED={seed} FLOE_SCHEDULES={schedules} RUSTFLAGS=\"--cfg shuttle\" \
                 cargo test --test shuttle --target-dir target/shuttle {test}\n"
            );
        }
    }
}

fn explore(test: &'static str, scenario: fn()) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.silence_warnings = true;
    let (mut seed, mut left) = (number("FLOE_SEED", SEED), number("FLOE_SCHEDULES", SCHEDULES));
    while left > 0 {
        let schedules = left.min(BATCH);
        let _replay = Replay { test, seed, schedules };
        let half = schedules as usize / 2;
        Runner::new(RandomScheduler::new_from_seed(seed, schedules as usize - half), config.clone()).run(scenario);
        Runner::new(PctScheduler::new_from_seed(seed, PCT_DEPTH, half), config.clone()).run(scenario);
        seed += 1;
        left -= schedules;
    }
}

/// Here the scheduler may let others go first.
fn pause() {
    AtomicBool::new(false).load(Ordering::SeqCst);
}

/// A power cut, and what must be there after it.
struct Cut {
    left: MemoryDevice,
    flushed: Counts,
    begun: Counts,
}

struct World {
    store: Store,
    device: Arc<SyncedDevice>,
    drives: Vec<Drive>,
    writers: Writers,
    /// Acts that a flush has covered.
    flushed: Mutex<Counts>,
    cuts: Mutex<Vec<Cut>>,
    /// Snapshots that nobody deletes, and what they hold.
    kept: Mutex<Vec<Frozen>>,
}

struct Frozen {
    snapshot: Snapshot,
    image: Vec<u8>,
}

impl Frozen {
    fn expect_unchanged(&self) {
        assert!(bytes_of(&self.snapshot) == self.image, "a frozen image changed");
    }
}

fn bytes_of_drive(drive: &Drive) -> Vec<u8> {
    let mut bytes = vec![0xA5; drive.size_bytes().unwrap() as usize];
    drive.read_at(&mut bytes, 0).unwrap();
    bytes
}

fn bytes_of(snapshot: &Snapshot) -> Vec<u8> {
    let mut bytes = vec![0xA5; snapshot.size_bytes() as usize];
    snapshot.read_at(&mut bytes, 0).unwrap();
    bytes
}

fn expect_clean(store: &Store) {
    let report = store.check().unwrap();
    assert!(report.is_clean(), "check found {} problems: {:#?}", report.problems_total, report.problems);
}

impl World {
    /// A store with so little space left that what is freed is used again at once, unless `free_blocks` is large.
    fn new(layout: Layout, free_blocks: u64) -> Self {
        let device = Arc::new(SyncedDevice::new(StoreOptions::CAPACITY_MIN, pause));
        let store = Store::options().create_on(device.clone()).unwrap();
        let create = |_| store.create_drive(DriveOptions::new(layout.drive_bytes())).unwrap();
        let drives = (0..layout.drives).map(create).collect();
        let filled = store.usage().free_bytes - free_blocks * BLOCK_BYTES;
        let filler = store.create_drive(DriveOptions::new(filled)).unwrap();
        filler.write_at(&vec![0xF1; filled as usize], 0).unwrap();
        let writers = Writers::new(layout, thread_rng().r#gen());
        let flushed = Mutex::new(writers.completed());
        Self { store, device, drives, writers, flushed, cuts: Mutex::default(), kept: Mutex::default() }
    }

    fn write(&self, writer: usize, acts: u64) {
        for _ in 0..acts {
            self.writers.all[writer].work(&self.drives).unwrap();
        }
    }

    /// D1
    fn read(&self, reads: u64) {
        for _ in 0..reads {
            let completed = self.writers.completed();
            let images: Vec<_> = self.drives.iter().map(bytes_of_drive).enumerate().collect();
            let begun = self.writers.begun();
            for (drive, image) in images {
                for (block, bytes) in (0..).zip(image.chunks(BLOCK_LEN)) {
                    self.writers.judge_read(Place { drive, block }, bytes, &completed, &begun).expect("D1");
                }
            }
        }
    }

    /// D4
    fn freeze(&self) -> Vec<Frozen> {
        let completed = self.writers.completed();
        let group: Vec<_> = self.drives.iter().map(|drive| (drive, SnapshotOptions::default())).collect();
        let snapshots = match &self.drives[..] {
            [single] => vec![single.snapshot(SnapshotOptions::default()).unwrap()],
            _ => self.store.snapshot_group(&group).unwrap(),
        };
        let begun = self.writers.begun();
        let images: Vec<_> = snapshots.iter().map(bytes_of).enumerate().collect();
        self.writers.judge_instant(&images, &completed, &begun).expect("D4");
        snapshots.into_iter().zip(images).map(|(snapshot, (_, image))| Frozen { snapshot, image }).collect()
    }

    fn freeze_and_keep(&self) {
        let frozen = self.freeze();
        lock(&self.kept).extend(frozen);
    }

    /// Freezes, deletes, looks again while the handles pin what was deleted, and then frees a little.
    fn freeze_and_delete(&self, times: u64) {
        for _ in 0..times {
            let frozen = self.freeze();
            frozen.iter().for_each(|frozen| frozen.snapshot.delete().unwrap());
            frozen.iter().for_each(Frozen::expect_unchanged);
            drop(frozen);
            self.store.reclaim(2).unwrap();
        }
    }

    /// Says which acts must survive a power cut from now on (D2).
    fn flush(&self, times: u64) {
        for _ in 0..times {
            let completed = self.writers.completed();
            self.store.flush().unwrap();
            let mut flushed = lock(&self.flushed);
            *flushed = flushed.iter().zip(&completed).map(|(old, new)| *old.max(new)).collect();
        }
    }

    /// Cuts the power; what is there after it is looked at when all is done.
    fn cut(&self, times: u64) {
        for _ in 0..times {
            pause();
            let flushed = lock(&self.flushed).clone();
            let mut dice = Dice::new(thread_rng().r#gen());
            let share = dice.below(3);
            let left = self.device.cut(|_| dice.below(2) < share);
            let cut = Cut { left, flushed, begun: self.writers.begun() };
            lock(&self.cuts).push(cut);
        }
    }

    fn reclaim(&self, steps: u64) {
        for _ in 0..steps {
            self.store.reclaim(1).unwrap();
        }
    }

    /// Everything is what the acts left, in memory and after each power cut; and A7.
    fn finish(self) {
        let completed = self.writers.completed();
        self.judge(&self.store, &completed);
        for Cut { left, flushed, begun } in self.cuts.into_inner().unwrap() {
            let store = Store::options().open_on(Arc::new(left)).expect("a store opens after a power cut");
            expect_clean(&store);
            let images: Vec<_> = self.drives.iter().map(|drive| bytes_of_drive(&store.drive(drive.uuid()).unwrap())).collect();
            let images: Vec<_> = images.into_iter().enumerate().collect();
            self.writers.judge_after_cut(&images, &flushed, &begun).expect("D2, D3");
        }
        lock(&self.kept).drain(..).for_each(|frozen| frozen.expect_unchanged());
        self.drives.iter().for_each(expect_equal_writes_to_change_nothing);
        self.store.drives().iter().for_each(|drive| drive.delete().unwrap());
        self.store.snapshots().iter().for_each(|snapshot| snapshot.delete().unwrap());
        while !self.store.reclaim(1000).unwrap().done {
            self.store.flush().unwrap();
        }
        assert_eq!(self.store.usage().data_bytes, 0, "A7: everything was deleted");
        expect_clean(&self.store);
    }

    fn judge(&self, store: &Store, completed: &Counts) {
        expect_clean(store);
        let images = self.drives.iter().map(|drive| bytes_of_drive(&store.drive(drive.uuid()).unwrap()));
        let images: Vec<_> = images.enumerate().collect();
        self.writers.judge_instant(&images, completed, completed).expect("D1, at the end");
    }
}

#[test]
fn writes_snapshots_and_flushes_in_any_order() {
    explore("writes_snapshots_and_flushes_in_any_order", || {
        let world = World::new(ONE_DRIVE, 12);
        // Then there are blocks to overwrite where they lie, and flushes that need no commit.
        world.write(0, 3);
        world.write(1, 3);
        world.flush(1);
        scope(|scope| {
            scope.spawn(|| world.write(0, 4));
            scope.spawn(|| world.write(1, 4));
            scope.spawn(|| world.freeze_and_keep());
            scope.spawn(|| world.flush(2));
            scope.spawn(|| world.cut(3));
            scope.spawn(|| world.read(2));
        });
        world.finish();
    });
}

#[test]
fn freed_blocks_are_used_again_in_any_order() {
    explore("freed_blocks_are_used_again_in_any_order", || {
        let world = World::new(NARROW_DRIVE, 5);
        scope(|scope| {
            scope.spawn(|| world.write(0, 6));
            scope.spawn(|| world.write(1, 6));
            scope.spawn(|| world.freeze_and_delete(2));
            scope.spawn(|| world.read(3));
            scope.spawn(|| {
                world.flush(1);
                world.reclaim(2);
                world.flush(1);
                world.cut(1);
            });
        });
        world.finish();
    });
}

#[test]
fn group_snapshots_and_writes_to_both_drives_in_any_order() {
    explore("group_snapshots_and_writes_to_both_drives_in_any_order", || {
        let world = World::new(TWO_DRIVES, 12);
        scope(|scope| {
            scope.spawn(|| world.write(0, 6));
            scope.spawn(|| world.freeze_and_delete(1));
            scope.spawn(|| world.freeze_and_keep());
            scope.spawn(|| {
                world.flush(1);
                world.cut(1);
            });
            scope.spawn(|| world.reclaim(2));
        });
        world.finish();
    });
}

/// A drive is reverted, deleted, discarded or cut off under its writer's hands, and what it held is written by another at once.
/// Nobody asks what the first one holds, but the other's blocks are his.
#[test]
fn nothing_is_written_to_blocks_that_are_somebody_elses_in_any_order() {
    explore("nothing_is_written_to_blocks_that_are_somebody_elses_in_any_order", || {
        let world = World::new(LONE_DRIVE, 6);
        let victim = world.store.create_drive(DriveOptions::new(2 * BLOCK_BYTES)).unwrap();
        let snapshot = victim.snapshot(SnapshotOptions::default()).unwrap();
        victim.write_at(&[0x5A; 2 * BLOCK_LEN], 0).unwrap();
        let taken_away = thread_rng().gen_range(0..4);
        scope(|scope| {
            scope.spawn(|| {
                for turn in 1..=3 {
                    match victim.write_at(&[turn; BLOCK_LEN], u64::from(turn % 2) * BLOCK_BYTES) {
                        // It was deleted, or is shorter now.
                        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidArgument) => return,
                        Err(error) if error.kind() != ErrorKind::NoSpace => panic!("{error}"),
                        _ => {}
                    }
                }
            });
            scope.spawn(|| {
                match taken_away {
                    0 => victim.revert_to(&snapshot).unwrap(),
                    1 => victim.delete().unwrap(),
                    2 => victim.discard(0..2 * BLOCK_BYTES).unwrap(),
                    _ => victim.resize(BLOCK_BYTES).unwrap(),
                }
                world.reclaim(4);
                world.flush(1);
                world.write(0, 6);
                world.cut(1);
            });
            scope.spawn(|| world.read(1));
        });
        world.finish();
    });
}

/// Works until the store is closed.
fn until_closed(mut work: impl FnMut() -> floe::Result<()>) {
    for _ in 0..6 {
        if let Err(error) = work() {
            assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
            return;
        }
    }
}

#[test]
fn close_in_any_order() {
    explore("close_in_any_order", || {
        let world = World::new(ONE_DRIVE, 12);
        scope(|scope| {
            scope.spawn(|| until_closed(|| world.writers.all[0].work(&world.drives)));
            scope.spawn(|| until_closed(|| world.writers.all[1].work(&world.drives)));
            scope.spawn(|| until_closed(|| world.drives[0].snapshot(SnapshotOptions::default()).map(drop)));
            scope.spawn(|| until_closed(|| world.store.flush()));
            scope.spawn(|| world.store.close().unwrap());
        });
        let left = Store::options().open_on(Arc::new(world.device.cut(|_| false))).unwrap();
        assert!(left.info().was_clean);
        world.judge(&left, &world.writers.completed());
    });
}
