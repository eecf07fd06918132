//! What do snapshots, clones, reads and writes cost, beside a plain file that does the same?
//!
//! Run `cargo bench`. Ratios within one run are what counts; `docs/benchmarks.md` has a run and what it means.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use floe::{Device, Drive, DriveOptions, Lend, MemoryDevice, Snapshot, SnapshotOptions, Store};

const BLOCK: u64 = 4096;
const GIB: u64 = 1 << 30;

/// Where stores and plain files of the benchmarks go: `FLOE_BENCH_DIR`, else the target directory's file system.
fn directory() -> PathBuf {
    let path = std::env::var_os("FLOE_BENCH_DIR").map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    std::fs::create_dir_all(&path).expect("a directory for the benchmarks");
    path
}

/// A store without a disk under it: what remains is the engine's own work.
fn memory_store(bytes: u64) -> Store {
    let device = Arc::new(MemoryDevice::new(bytes).expect("memory for a store"));
    Store::options().create_on(device).expect("a new store")
}

fn file_store(name: &str, bytes: u64) -> Store {
    let path = directory().join(name);
    std::fs::remove_file(&path).unwrap_or_default();
    Store::options().capacity(bytes).create(&path).expect("a new store")
}

/// A plain file of `blocks` written blocks.
fn plain_file(name: &str, blocks: u64) -> File {
    let path = directory().join(name);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).expect("a plain file");
    let chunk = vec![7; 1 << 20];
    for start in (0..blocks * BLOCK).step_by(chunk.len()) {
        file.write_all_at(&chunk, start).expect("room for a plain file");
    }
    file.sync_data().expect("a sync");
    file
}

/// Numbers without a pattern, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// A drive of `size` bytes with `extents` extents of one block each.
fn comb(store: &Store, size: u64, extents: u64) -> Drive {
    let drive = store.create_drive(DriveOptions::new(size).name("comb")).expect("a drive");
    for index in 0..extents {
        drive.write_at(&[1; BLOCK as usize], index * 2 * BLOCK).expect("a write");
    }
    drive.flush().expect("a flush");
    drive
}

/// Snapshots and clones that are deleted again outside the measurement.
fn snapshot_and_clone(criterion: &mut Criterion) {
    let cases = [
        ("1 GiB, 1 extent", GIB, 1, 0),
        ("16 TiB, 1 extent", 16 << 40, 1, 0),
        ("16 TiB, 1,000,000 extents", 16 << 40, 1_000_000, 0),
        ("1 GiB, 1,000 snapshots", GIB, 1, 1000),
    ];
    let mut group = criterion.benchmark_group("snapshot without a disk");
    for (name, size, extents, snapshots) in cases {
        let store = memory_store(64 * GIB);
        let drive = comb(&store, size, extents);
        for _ in 0..snapshots {
            drive.snapshot(SnapshotOptions::default()).expect("a snapshot");
        }
        group.bench_function(BenchmarkId::new("snapshot", name), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut time = Duration::ZERO;
                for _ in 0..rounds {
                    drive.write_at(&[rounds as u8; 512], 0).expect("a write");
                    let start = Instant::now();
                    let snapshot = drive.snapshot(SnapshotOptions::default()).expect("a snapshot");
                    time += start.elapsed();
                    snapshot.delete().expect("a deletion");
                    drop(snapshot);
                    while !store.reclaim(u64::MAX).expect("space back").done {}
                }
                time
            });
        });
        let origin = drive.snapshot(SnapshotOptions::default()).expect("a snapshot");
        group.bench_function(BenchmarkId::new("clone", name), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut time = Duration::ZERO;
                for _ in 0..rounds {
                    let start = Instant::now();
                    let clone = origin.clone_drive(DriveOptions::default()).expect("a clone");
                    time += start.elapsed();
                    clone.delete().expect("a deletion");
                    while !store.reclaim(u64::MAX).expect("space back").done {}
                }
                time
            });
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("durable, on a file");
    let file = plain_file("plain-sync", 256);
    group.bench_function("plain file: write one block, fdatasync", |bencher| {
        bencher.iter(|| {
            file.write_all_at(&[2; BLOCK as usize], 8 * BLOCK).expect("a write");
            file.sync_data().expect("a sync");
        });
    });
    let store = file_store("durable.floe", 4 * GIB);
    let drive = comb(&store, GIB, 1000);
    group.bench_function("snapshot", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut time = Duration::ZERO;
            for _ in 0..rounds {
                let start = Instant::now();
                let snapshot = drive.snapshot(SnapshotOptions::default()).expect("a snapshot");
                time += start.elapsed();
                snapshot.delete().expect("a deletion");
            }
            time
        });
    });
    group.finish();
}

fn write(criterion: &mut Criterion) {
    const BLOCKS: u64 = 1 << 16;
    let mut group = criterion.benchmark_group("4 KiB write");
    let file = plain_file("plain-write", BLOCKS);
    let mut dice = Dice(1);
    let bytes = [9; BLOCK as usize];
    group.bench_function("plain file", |bencher| {
        bencher.iter(|| file.write_all_at(&bytes, dice.below(BLOCKS) * BLOCK).expect("a write"));
    });
    let store = file_store("write.floe", 8 * GIB);
    let drive = store.create_drive(DriveOptions::new(BLOCKS * BLOCK)).expect("a drive");
    for start in (0..BLOCKS * BLOCK).step_by(1 << 20) {
        drive.write_at(&vec![7; 1 << 20], start).expect("a write");
    }
    drive.flush().expect("a flush");
    group.bench_function("overwrite, unshared", |bencher| {
        bencher.iter(|| drive.write_at(&bytes, dice.below(BLOCKS) * BLOCK).expect("a write"));
    });
    group.bench_function("512 bytes within a block, unshared", |bencher| {
        bencher.iter(|| drive.write_at(&bytes[..512], dice.below(BLOCKS) * BLOCK + 1024).expect("a write"));
    });
    // Each round begins with a fresh snapshot, so every write is the first one to its block.
    let mut round = 0_u8;
    let mut blocks: Vec<u64> = (0..BLOCKS).collect();
    for index in (1..blocks.len()).rev() {
        blocks.swap(index, dice.below(index as u64 + 1) as usize);
    }
    let mut next = blocks.len();
    let mut kept = None;
    let mut first = |rounds: u64| {
        let mut time = Duration::ZERO;
        for _ in 0..rounds {
            if next == blocks.len() {
                if let Some(old) = Option::<Snapshot>::take(&mut kept) {
                    old.delete().expect("a deletion");
                    drop(old);
                    while !store.reclaim(u64::MAX).expect("space back").done {}
                }
                kept = Some(drive.snapshot(SnapshotOptions::default()).expect("a snapshot"));
                store.flush().expect("a flush");
                next = 0;
                round = round.wrapping_add(1);
            }
            let bytes = [round | 1; BLOCK as usize];
            let start = Instant::now();
            drive.write_at(&bytes, blocks[next] * BLOCK).expect("a write");
            time += start.elapsed();
            next += 1;
        }
        time
    };
    group.bench_function("first overwrite after a snapshot", |bencher| bencher.iter_custom(&mut first));
    group.finish();

    let mut group = criterion.benchmark_group("write and flush");
    group.bench_function("plain file", |bencher| {
        bencher.iter(|| {
            file.write_all_at(&bytes, dice.below(BLOCKS) * BLOCK).expect("a write");
            file.sync_data().expect("a sync");
        });
    });
    drop(kept);
    let flushed = store.create_drive(DriveOptions::new(BLOCKS * BLOCK)).expect("a drive");
    flushed.write_at(&vec![7; 64 << 20], 0).expect("a write");
    flushed.flush().expect("a flush");
    group.bench_function("unshared", |bencher| {
        bencher.iter(|| {
            flushed.write_at(&bytes, dice.below(1 << 14) * BLOCK).expect("a write");
            flushed.flush().expect("a flush");
        });
    });
    group.finish();
}

fn read(criterion: &mut Criterion) {
    const BLOCKS: u64 = 1 << 14;
    let mut group = criterion.benchmark_group("4 KiB read, cached");
    let file = plain_file("plain-read", BLOCKS);
    let mut dice = Dice(2);
    let mut bytes = [0; BLOCK as usize];
    group.bench_function("plain file", |bencher| {
        bencher.iter(|| {
            file.read_exact_at(&mut bytes, dice.below(BLOCKS) * BLOCK).expect("a read");
            black_box(bytes[0])
        });
    });
    let store = file_store("read.floe", 2 * GIB);
    let drive = store.create_drive(DriveOptions::new(BLOCKS * BLOCK)).expect("a drive");
    drive.write_at(&vec![7; (BLOCKS * BLOCK) as usize], 0).expect("a write");
    for snapshots in [0, 1000] {
        for round in 0..snapshots {
            drive.write_at(&[round as u8; BLOCK as usize], dice.below(BLOCKS) * BLOCK).expect("a write");
            drive.snapshot(SnapshotOptions::default()).expect("a snapshot");
        }
        group.bench_function(BenchmarkId::new("drive, snapshots", snapshots), |bencher| {
            bencher.iter(|| {
                drive.read_at(&mut bytes, dice.below(BLOCKS) * BLOCK).expect("a read");
                black_box(bytes[0])
            });
        });
    }
    let oldest = store.snapshots().swap_remove(0);
    group.bench_function("oldest of 1,000 snapshots", |bencher| {
        bencher.iter(|| {
            oldest.read_at(&mut bytes, dice.below(BLOCKS) * BLOCK).expect("a read");
            black_box(bytes[0])
        });
    });
    group.finish();
    drop((drive, oldest));
    store.close().expect("a clean end");
    drop(store);
    read_again(criterion);
}

/// What catching bus errors costs, and what the first read of a block pays for its checksum: on the store that `read` left behind.
fn read_again(criterion: &mut Criterion) {
    const BLOCKS: u64 = 1 << 14;
    let path = directory().join("read.floe");
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
    let mut group = criterion.benchmark_group("open and close, a file");
    for (name, caught) in [("bus errors caught", true), ("bus errors not caught", false)] {
        group.bench_function(name, |bencher| {
            bencher
                .iter(|| Store::options().catch_bus_errors(caught).open(&path).expect("a store").close().expect("a clean end"));
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("512 bytes written and flushed, unshared");
    for (name, caught) in [("bus errors caught", true), ("bus errors not caught", false)] {
        let store = Store::options().catch_bus_errors(caught).open(&path).expect("a store");
        let drive = store.create_drive(DriveOptions::new(GIB)).expect("a drive");
        drive.write_at(&bytes, 0).expect("a write");
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                drive.write_at(&bytes[..512], 0).expect("a write");
                drive.flush().expect("a flush");
            });
        });
        drive.delete().expect("a deletion");
        store.close().expect("a clean end");
    }
    group.finish();
}

/// Memory that keeps metadata and drops the data that `fill` writes: what remains is as large as a table, not as an image.
struct DropsFilling(MemoryDevice);

const FILLING: u8 = 0xF7;

impl Device for DropsFilling {
    fn len_bytes(&self) -> u64 {
        self.0.len_bytes()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        if buf.first() == Some(&FILLING) && buf.last() == Some(&FILLING) { Ok(()) } else { self.0.write_at(buf, offset) }
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn allocate(&self, _range: Range<u64>) -> io::Result<()> {
        Ok(())
    }

    fn grow(&self, len_bytes: u64) -> io::Result<()> {
        self.0.grow(len_bytes)
    }

    fn mapped(&self, range: Range<u64>, lend: Lend) -> &[u8] {
        self.0.mapped(range, lend)
    }
}

/// Writes `bytes` of data from the start of the drive on.
fn fill(drive: &Drive, bytes: u64) {
    let chunk = vec![FILLING; 4 << 20];
    for start in (0..bytes).step_by(chunk.len()) {
        drive.write_at(&chunk, start).expect("a write");
    }
}

fn sizes(criterion: &mut Criterion) {
    const SNAPSHOTS: u64 = 1000;
    let mut group = criterion.benchmark_group("size of one of 1,000 snapshots");
    // A terabyte takes minutes to write, even to nowhere: set FLOE_BENCH_TERABYTE to have it.
    let large = if std::env::var_os("FLOE_BENCH_TERABYTE").is_some() { 1 << 40 } else { 16 << 30 };
    let cases = [
        ("40 KiB of data", 40 << 10, 0),
        ("1,000,000 extents", 0, 1_000_000),
        (if large == 1 << 40 { "1 TiB of data" } else { "16 GiB of data" }, large, 0),
    ];
    for (name, bytes, extents) in cases {
        let device = DropsFilling(MemoryDevice::new(2 << 40).expect("memory for a store"));
        let store = Store::options().create_on(Arc::new(device)).expect("a new store");
        let drive = comb(&store, 2 << 40, extents);
        fill(&drive, bytes);
        let blocks = if extents > 0 { 2 * extents } else { bytes / BLOCK };
        let mut dice = Dice(3);
        let mut all = Vec::new();
        for round in 0..SNAPSHOTS {
            drive.write_at(&[round as u8 | 1; BLOCK as usize], dice.below(blocks) * BLOCK).expect("a write");
            all.push(drive.snapshot(SnapshotOptions::default()).expect("a snapshot"));
        }
        let mut size = |what: &str, of: &dyn Fn(&Snapshot) -> floe::Result<u64>| {
            group.bench_function(BenchmarkId::new(what, name), |bencher| {
                bencher.iter(|| of(&all[dice.below(SNAPSHOTS) as usize]).expect("a size"));
            });
        };
        size("allocated_size", &Snapshot::allocated_size);
        size("charged_size", &Snapshot::charged_size);
        size("exclusive_size", &Snapshot::exclusive_size);
    }
    group.finish();
}

fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open and close");
    for (name, capacity, extents) in [("1 GiB, 1 extent", GIB, 1), ("16 TiB, 1,000,000 extents", 16 << 40, 1_000_000)] {
        let device = Arc::new(MemoryDevice::new(capacity).expect("memory for a store"));
        let store = Store::options().create_on(device.clone()).expect("a new store");
        comb(&store, 16 << 40, extents);
        store.close().expect("a clean end");
        drop(store);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let store = Store::options().open_on(device.clone()).expect("a store");
                store.close().expect("a clean end");
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = snapshot_and_clone, write, read, sizes, open
}
criterion_main!(benches);
