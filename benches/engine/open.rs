//! What do opening a store and a commit cost?

use criterion::Criterion;
use floe::{Device, Store};

use crate::growth::{Growth, each, timed, together};
use crate::setup::{BLOCK, Dice, Fresh, GIB, TIB, comb, dropping_device, dropping_store, forget, freeze, freeze_often};

pub fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open and close, without a disk");
    let mut extents = Growth::of("one drive, extents");
    for (name, capacity, count) in [("1", GIB, 1), ("1,000,000, of 16 TiB", 16 * TIB, 1_000_000)] {
        let device = dropping_device(capacity);
        let store = Store::options().create_on(device.clone()).expect("a new store");
        comb(&store, 16 * TIB, count);
        store.close().expect("a clean end");
        extents.case(&mut group, name, together(|| open_and_close(&device)));
    }
    drop(extents);
    let mut snapshots = Growth::of("snapshots, which are loaded");
    for (name, count) in [("1", 1), ("1,000", 1000), ("10,000", 10_000)] {
        let device = dropping_device(64 * GIB);
        let store = Store::options().create_on(device.clone()).expect("a new store");
        freeze_often(&comb(&store, GIB, 1000), &mut Dice(8), 2000, count);
        store.close().expect("a clean end");
        snapshots.case(&mut group, name, together(|| open_and_close(&device)));
    }
    drop(snapshots);
    group.finish();
    commits(criterion);
}

fn open_and_close(device: &std::sync::Arc<dyn Device>) {
    Store::options().open_on(device.clone()).expect("a store").close().expect("a clean end");
}

/// What a flush commits: the first overwrites of so many blocks.
fn commits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commit, without a disk");
    let store = dropping_store(64 * GIB);
    let drive = comb(&store, 16 * TIB, 100_000);
    let (mut dice, mut bytes) = (Dice(9), Fresh::new(BLOCK));
    for count in [1, 32, 1024] {
        group.bench_function(format!("of {count} first overwrites"), |bencher| {
            bencher.iter_custom(each(|| {
                let before = freeze(&drive);
                for _ in 0..count {
                    drive.write_at(bytes.next(), dice.below(100_000) * 2 * BLOCK).expect("a write");
                }
                let ((), time) = timed(|| drive.flush().expect("a flush"));
                forget(&store, before);
                time
            }));
        });
    }
    group.finish();
}
