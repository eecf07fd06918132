//! What do the checksum of a block that is read first, and a caught bus error, cost?

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::Criterion;
use floe::{DriveOptions, Store};

use crate::setup::{BLOCK, Dice, Fresh, GIB, directory, file_store, freeze_often, written_drive};

const BLOCKS: u64 = 1 << 14;
const STORE: &str = "reopened.floe";

pub fn benches(criterion: &mut Criterion) {
    let path = directory().join(STORE);
    let store = file_store(STORE, 2 * GIB);
    let drive = written_drive(&store, BLOCKS);
    freeze_often(&drive, &mut Dice(3), BLOCKS, 1000);
    store.close().expect("a clean end");
    drop((drive, store));
    let mut dice = Dice(4);
    let mut bytes = [0; BLOCK as usize];
    let mut group = criterion.benchmark_group("4 KiB read, cached, after opening again");
    for caught in [true, false] {
        let store = Store::options().catch_bus_errors(caught).open(&path).expect("a store");
        let drive = store.drives().swap_remove(0);
        let name = if caught { "bus errors caught" } else { "bus errors not caught" };
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                drive.read_at(&mut bytes, dice.below(BLOCKS) * BLOCK).expect("a read");
                black_box(bytes[0])
            });
        });
        store.close().expect("a clean end");
    }
    for (name, passes) in [("first read of every block", 1), ("second read of every block", 2)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for pass in 0..rounds.div_ceil(BLOCKS) {
                    let store = Store::options().open(&path).expect("a store");
                    let drive = store.drives().swap_remove(0);
                    let blocks = (rounds - pass * BLOCKS).min(BLOCKS);
                    for turn in 1..=passes {
                        // An odd factor visits every block once, far from the one before.
                        let begun = Instant::now();
                        for round in 0..blocks {
                            drive.read_at(&mut bytes, round * 7919 % BLOCKS * BLOCK).expect("a read");
                            black_box(bytes[0]);
                        }
                        if turn == passes {
                            spent += begun.elapsed();
                        }
                    }
                }
                spent
            });
        });
    }
    group.finish();
    guards(criterion, &path);
    std::fs::remove_file(&path).expect("a file to remove");
}

/// With bus errors caught and without.
fn guards(criterion: &mut Criterion, path: &Path) {
    let (mut block, mut part) = (Fresh::new(BLOCK), Fresh::new(512));
    let mut group = criterion.benchmark_group("open and close, a file");
    for (name, caught) in [("bus errors caught", true), ("bus errors not caught", false)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| Store::options().catch_bus_errors(caught).open(path).expect("a store").close().expect("a clean end"));
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("512 bytes written and flushed, unshared");
    for (name, caught) in [("bus errors caught", true), ("bus errors not caught", false)] {
        let store = Store::options().catch_bus_errors(caught).open(path).expect("a store");
        let drive = store.create_drive(DriveOptions::new(GIB)).expect("a drive");
        drive.write_at(block.next(), 0).expect("a write");
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                drive.write_at(part.next(), 0).expect("a write");
                drive.flush().expect("a flush");
            });
        });
        drive.delete().expect("a deletion");
        store.close().expect("a clean end");
    }
    group.finish();
}
