//! How many instructions do the hot paths take?
//!
//! Counted by callgrind, which noise cannot fool; what the kernel does for a call is not in it. `.ci/instructions` runs this and compares
//! with what `benches/instructions.json` has recorded. A name ends with the number of operations that one count is for: the seeds of hash
//! tables differ from run to run, and over many operations that evens out.

#![allow(missing_docs, reason = "what the macros make is public and has no docs")]

mod setup;

use std::hint::black_box;

use floe::{Drive, DriveOptions, Snapshot};
use gungraun::prelude::*;
use gungraun::{Callgrind, EventKind};
use setup::{BLOCK, Dice, GIB, freeze, freeze_often, memory_store, written_drive};

/// 64 MiB: a table that is more than its root once it is in pieces, and yet is there in no time under valgrind.
const BLOCKS: u64 = 1 << 14;
const READS: u64 = 1000;

/// A drive in pieces: every fourth block was overwritten on its own, in an order without a pattern.
fn drive_in_pieces() -> Drive {
    let store = memory_store(2 * GIB);
    let drive = written_drive(&store, BLOCKS);
    drop(freeze(&drive));
    for block in &Dice(1).shuffled(BLOCKS)[..BLOCKS as usize / 4] {
        drive.write_at(&[3; BLOCK as usize], block * BLOCK).expect("a write");
    }
    drive.flush().expect("a flush");
    drive
}

fn places() -> Vec<u64> {
    Dice(2).shuffled(BLOCKS).into_iter().take(READS as usize).map(|block| block * BLOCK).collect()
}

type Bytes = Vec<u8>;

fn block_of(value: u8) -> Bytes {
    vec![value; BLOCK as usize]
}

/// A drive, where it is read or written, and the bytes that come or go.
type Case = (Drive, Vec<u64>, Bytes);

fn live() -> Case {
    (drive_in_pieces(), places(), block_of(5))
}

/// Reads every place once, so that its checksum needs no second look.
fn prove(read_at: impl Fn(&mut [u8], u64) -> floe::Result<()>, places: &[u64]) {
    for place in places {
        read_at(&mut block_of(0), *place).expect("a read");
    }
}

fn proven() -> Case {
    proven_under(0)
}

fn proven_under(snapshots: u64) -> Case {
    let (drive, places, bytes) = live();
    freeze_often(&drive, &mut Dice(3), BLOCKS, snapshots);
    prove(|buf, place| drive.read_at(buf, place), &places);
    (drive, places, bytes)
}

#[library_benchmark]
#[bench::first_x1000(setup = live)]
#[bench::again_x1000(setup = proven)]
#[bench::again_under_1000_snapshots_x1000(args = (1000), setup = proven_under)]
fn read((drive, places, mut bytes): Case) -> Case {
    for place in &places {
        drive.read_at(&mut bytes, *place).expect("a read");
        black_box(&bytes);
    }
    (drive, places, bytes)
}

/// A snapshot, where it is read, and the bytes that come.
type FrozenCase = (Snapshot, Vec<u64>, Bytes);

fn proven_frozen() -> FrozenCase {
    let oldest = thousand_snapshots().swap_remove(0);
    let places = places();
    prove(|buf, place| oldest.read_at(buf, place), &places);
    (oldest, places, block_of(0))
}

#[library_benchmark]
#[bench::again_x1000(setup = proven_frozen)]
fn read_frozen((snapshot, places, mut bytes): FrozenCase) -> FrozenCase {
    for place in &places {
        snapshot.read_at(&mut bytes, *place).expect("a read");
        black_box(&bytes);
    }
    (snapshot, places, bytes)
}

/// Every place of `places` was written once since the newest snapshot, and that is durable.
fn unshared() -> Case {
    let (drive, places, bytes) = live();
    for place in &places {
        drive.write_at(&block_of(4), *place).expect("a write");
    }
    drive.flush().expect("a flush");
    (drive, places, bytes)
}

fn just_frozen() -> Case {
    let (drive, places, bytes) = live();
    drop(freeze(&drive));
    (drive, places, bytes)
}

#[library_benchmark]
#[bench::in_place_x1000(setup = unshared)]
#[bench::redirected_x1000(setup = just_frozen)]
fn overwrite((drive, places, bytes): Case) -> Case {
    for place in &places {
        drive.write_at(&bytes, *place).expect("a write");
    }
    (drive, places, bytes)
}

#[library_benchmark]
#[bench::unchanged_x100(setup = drive_in_pieces)]
fn snapshot(drive: Drive) -> Drive {
    for _ in 0..100 {
        black_box(freeze(&drive));
    }
    drive
}

#[library_benchmark]
#[bench::of_one_block_x100(setup = live)]
fn write_and_snapshot((drive, places, bytes): Case) -> Case {
    for place in &places[..100] {
        drive.write_at(&bytes, *place).expect("a write");
        black_box(freeze(&drive));
    }
    (drive, places, bytes)
}

fn origin() -> Snapshot {
    freeze(&drive_in_pieces())
}

#[library_benchmark]
#[bench::of_a_snapshot_x100(setup = origin)]
fn clone(origin: Snapshot) -> Snapshot {
    for _ in 0..100 {
        black_box(origin.clone_drive(DriveOptions::default()).expect("a clone"));
    }
    origin
}

fn thousand_snapshots() -> Vec<Snapshot> {
    freeze_often(&drive_in_pieces(), &mut Dice(3), BLOCKS, 1000)
}

#[library_benchmark]
#[bench::of_1000_snapshots_x1000(setup = thousand_snapshots)]
fn allocated_size(all: Vec<Snapshot>) -> Vec<Snapshot> {
    for snapshot in &all {
        black_box(snapshot.allocated_size().expect("a size"));
    }
    all
}

/// Drives of stores of their own, each with 32 blocks that were overwritten since a snapshot and are not committed.
fn with_32_blocks() -> Vec<Drive> {
    let mut dice = Dice(5);
    let mut pending = |_| {
        let drive = drive_in_pieces();
        drop(freeze(&drive));
        for _ in 0..32 {
            drive.write_at(&block_of(6), dice.below(BLOCKS) * BLOCK).expect("a write");
        }
        drive
    };
    (0..10).map(&mut pending).collect()
}

#[library_benchmark]
#[bench::of_32_blocks_x10(setup = with_32_blocks)]
fn commit(drives: Vec<Drive>) -> Vec<Drive> {
    for drive in &drives {
        drive.flush().expect("a flush");
    }
    drives
}

library_benchmark_group!(
    name = hot_paths,
    benchmarks = [read, read_frozen, overwrite, snapshot, write_and_snapshot, clone, allocated_size, commit]
);

main!(
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"]).format([EventKind::Ir])),
    library_benchmark_groups = hot_paths
);
