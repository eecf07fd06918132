//! What does each call cost in one store?

use std::hint::black_box;

use floe::{DriveOptions, Snapshot, SnapshotOptions, StoreUsage};

use crate::counting;
use crate::deletion::{self, reclaim};
use crate::figures::{Figure, Unit, nanoseconds};
use crate::world::{BLOCK, Spread, World};

/// The name of a figure.
pub const HEAP_PEAK: &str = "heap at the most, all of this";

/// Samples of what takes microseconds or more, and of batches of what takes less.
pub const SAMPLES: u64 = 9;
const BATCH: u64 = 1000;

/// All figures of a store of so many `things`, which took `built` nanoseconds to build.
pub fn all(mut world: World, things: u64, built: f64) -> Vec<Figure> {
    let (heap, heap_peak) = (world.heap(), world.heap_peak());
    let mut found = vec![one("building it, in all", Unit::Time, built)];
    counting::forget_peak();
    let StoreUsage { metadata_bytes, .. } = world.store.usage();
    found.extend(snapshot_and_clone(&mut world));
    found.extend(overwrites(&mut world));
    found.push(read(&world));
    found.extend(sizes(&world));
    found.push(diff(&mut world));
    found.extend(deletion::all(&mut world));
    let heap_peak = heap_peak.max(world.heap_peak());
    found.extend(open(&mut world));
    found.extend([
        one("heap, store open", Unit::Bytes, heap as f64),
        one(HEAP_PEAK, Unit::Bytes, heap_peak as f64),
        one("metadata: what the page cache may hold", Unit::Bytes, metadata_bytes as f64),
        one("the same for each", Unit::Bytes, metadata_bytes as f64 / things as f64),
    ]);
    found
}

fn one(name: &'static str, unit: Unit, value: f64) -> Figure {
    Figure::new(name, unit, vec![value])
}

/// A figure of which each sample is a call's time.
pub fn timed(name: &'static str, mut sample: impl FnMut() -> f64) -> Figure {
    Figure::new(name, Unit::Time, (0..SAMPLES).map(|_| sample()).collect())
}

pub fn freeze(world: &World) -> Snapshot {
    world.drive.snapshot(SnapshotOptions::default()).expect("a snapshot")
}

fn snapshot_and_clone(world: &mut World) -> Vec<Figure> {
    let snapshot = timed("snapshot, after one write", || {
        world.overwrite(1, Spread::Far);
        let (time, snapshot) = nanoseconds(|| freeze(world));
        snapshot.delete().expect("a deletion");
        drop(snapshot);
        reclaim(&world.store);
        time
    });
    let origin = freeze(world);
    let clone = timed("clone", || {
        let (time, clone) = nanoseconds(|| origin.clone_drive(DriveOptions::default()).expect("a clone"));
        clone.delete().expect("a deletion");
        reclaim(&world.store);
        time
    });
    origin.delete().expect("a deletion");
    drop(origin);
    reclaim(&world.store);
    vec![snapshot, clone]
}

/// Each sample is the mean of a batch.
fn overwrites(world: &mut World) -> Vec<Figure> {
    let [mut first, mut second, mut flush] = [const { Vec::new() }; 3];
    for _ in 0..SAMPLES {
        let snapshot = freeze(world);
        first.push(nanoseconds(|| world.overwrite(BATCH, Spread::Far)).0 / BATCH as f64);
        second.push(nanoseconds(|| world.overwrite_again(BATCH, Spread::Far)).0 / BATCH as f64);
        flush.push(nanoseconds(|| world.store.flush().expect("a flush")).0);
        snapshot.delete().expect("a deletion");
        drop(snapshot);
        reclaim(&world.store);
    }
    vec![
        Figure::new("4 KiB overwrite, first after a snapshot", Unit::Time, first),
        Figure::new("4 KiB overwrite, second", Unit::Time, second),
        Figure::new("flush of 1,000 such blocks", Unit::Time, flush),
    ]
}

fn read(world: &World) -> Figure {
    let mut bytes = [0; BLOCK as usize];
    let mut extent = 0;
    timed("4 KiB read", || {
        let batch = || {
            for _ in 0..BATCH {
                extent += 7919;
                world.drive.read_at(&mut bytes, world.offset(extent)).expect("a read");
                black_box(bytes[0]);
            }
        };
        nanoseconds(batch).0 / BATCH as f64
    })
}

/// Of snapshots at random, where there are some; else of one.
fn sizes(world: &World) -> Vec<Figure> {
    let own = freeze(world);
    let mut all = world.store.snapshots();
    let step = (all.len() / 1000).max(1);
    all = all.into_iter().step_by(step).collect();
    let size = |name, of: &dyn Fn(&Snapshot) -> floe::Result<u64>| {
        let mut next = 0;
        timed(name, || {
            let batch = || {
                for _ in 0..BATCH {
                    next = (next + 7919) % all.len();
                    black_box(of(&all[next]).expect("a size"));
                }
            };
            nanoseconds(batch).0 / BATCH as f64
        })
    };
    let found = vec![
        size("allocated_size", &Snapshot::allocated_size),
        size("charged_size", &Snapshot::charged_size),
        size("exclusive_size", &Snapshot::exclusive_size),
        size("referenced_size", &Snapshot::referenced_size),
    ];
    drop(all);
    own.delete().expect("a deletion");
    drop(own);
    reclaim(&world.store);
    found
}

fn diff(world: &mut World) -> Figure {
    timed("diff of two snapshots, 1,000 changes", || {
        let older = freeze(world);
        world.overwrite(BATCH, Spread::Far);
        let newer = freeze(world);
        let (time, changed) = nanoseconds(|| {
            let changes = older.diff(&newer).expect("a diff").map(|change| change.expect("a change").range);
            changes.map(|range| range.end - range.start).sum::<u64>()
        });
        assert_eq!(changed, BATCH * BLOCK);
        for snapshot in [older, newer] {
            snapshot.delete().expect("a deletion");
        }
        reclaim(&world.store);
        time
    })
}

fn opened(world: &mut World) -> f64 {
    nanoseconds(|| world.open_again()).0
}

/// After a clean end, and after a power cut with changes that no commit knows.
fn open(world: &mut World) -> Vec<Figure> {
    let [mut close, mut clean, mut crashed] = [const { Vec::new() }; 3];
    for _ in 0..SAMPLES {
        close.push(nanoseconds(|| world.store.close().expect("a clean end")).0);
        clean.push(opened(world));
        assert!(world.store.info().was_clean);
        world.overwrite(BATCH, Spread::Far);
        world.store.flush().expect("a flush");
        world.overwrite(BATCH, Spread::Far);
        world.powered.cut();
        crashed.push(opened(world));
        assert!(!world.store.info().was_clean);
    }
    vec![
        Figure::new("close", Unit::Time, close),
        Figure::new("open, closed before", Unit::Time, clean),
        Figure::new("open after a power cut", Unit::Time, crashed),
    ]
}
