//! What do writes and discards cost that nobody waits for?

use std::os::unix::fs::FileExt;
use std::time::Duration;

use criterion::Criterion;
use floe::{Drive, Snapshot, Store};
use rustix::fs::{FallocateFlags, fallocate};

use crate::growth::timed;
use crate::setup::{BLOCK, Dice, Fresh, GIB, MIB, file_store, forget, freeze, plain_file, written_drive};

const BLOCKS: u64 = 1 << 16;

pub fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("4 KiB write");
    let file = plain_file("plain-write", BLOCKS);
    let store = file_store("write.floe", 8 * GIB);
    let drive = written_drive(&store, BLOCKS);
    let mut dice = Dice(1);
    let (mut bytes, mut part) = (Fresh::new(BLOCK), Fresh::new(512));
    let mut place = || dice.below(BLOCKS) * BLOCK;
    group.bench_function("plain file", |bencher| bencher.iter(|| file.write_all_at(bytes.next(), place()).expect("a write")));
    group.bench_function("overwrite, unshared", |bencher| {
        bencher.iter(|| drive.write_at(bytes.next(), place()).expect("a write"))
    });
    group.bench_function("512 bytes within a block, plain file", |bencher| {
        bencher.iter(|| file.write_all_at(part.next(), place() + 1024).expect("a write"));
    });
    group.bench_function("512 bytes within a block, unshared", |bencher| {
        bencher.iter(|| drive.write_at(part.next(), place() + 1024).expect("a write"));
    });
    for (name, length) in [("first overwrite after a snapshot", BLOCK), ("512 bytes, first after a snapshot", 512)] {
        let mut bytes = Fresh::new(length);
        let mut passes = Passes::new(&store, &drive);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| passes.times(rounds, |drive, place| drive.write_at(bytes.next(), place)));
        });
    }
    let mut passes = Passes::new(&store, &drive);
    group.bench_function("second overwrite after a snapshot", |bencher| {
        bencher.iter_custom(|rounds| {
            passes.times(rounds, |drive, place| drive.write_at(bytes.next(), place));
            passes.again(rounds, |drive, place| drive.write_at(bytes.next(), place))
        });
    });
    // A snapshot every 1,000 writes, of which the newest is kept: first and further overwrites as they come.
    let mut kept = None;
    let mut writes = 0_u64;
    group.bench_function("steady overwrite, a snapshot every 1,000 writes", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut time = Duration::ZERO;
            for _ in 0..rounds {
                if writes.is_multiple_of(1000) {
                    kept.replace(freeze(&drive)).into_iter().for_each(|old| forget(&store, old));
                }
                writes += 1;
                time += timed(|| drive.write_at(bytes.next(), place()).expect("a write")).1;
            }
            time
        });
    });
    drop(kept);
    group.finish();
    discards(criterion);
}

/// Every block once in each pass, in an order without a pattern; a pass begins with a new snapshot in place of the old one.
struct Passes<'a> {
    store: &'a Store,
    drive: &'a Drive,
    blocks: Vec<u64>,
    next: usize,
    kept: Option<Snapshot>,
}

impl<'a> Passes<'a> {
    fn new(store: &'a Store, drive: &'a Drive) -> Self {
        Self { store, drive, blocks: Dice(2).shuffled(BLOCKS), next: 0, kept: None }
    }

    /// How long it takes to do it to so many blocks, each for the first time since a snapshot.
    fn times(&mut self, rounds: u64, mut what: impl FnMut(&Drive, u64) -> floe::Result<()>) -> Duration {
        let mut time = Duration::ZERO;
        for _ in 0..rounds {
            if self.next.is_multiple_of(self.blocks.len()) {
                self.kept.take().into_iter().for_each(|old| forget(self.store, old));
                self.kept = Some(freeze(self.drive));
            }
            let place = self.blocks[self.next % self.blocks.len()] * BLOCK;
            self.next += 1;
            time += timed(|| what(self.drive, place).expect("a change")).1;
        }
        time
    }

    /// The same to the last of these once more.
    fn again(&self, rounds: u64, mut what: impl FnMut(&Drive, u64) -> floe::Result<()>) -> Duration {
        let last = self.next - 1;
        let of_this_pass = (last % self.blocks.len()) as u64 + 1;
        let mut time = Duration::ZERO;
        for back in 0..rounds {
            // More rounds than blocks: then some come for the third time, which costs as much as the second.
            let place = self.blocks[(last - (back % of_this_pass) as usize) % self.blocks.len()] * BLOCK;
            time += timed(|| what(self.drive, place).expect("a change")).1;
        }
        time
    }
}

impl Drop for Passes<'_> {
    fn drop(&mut self) {
        self.kept.take().into_iter().for_each(|old| forget(self.store, old));
    }
}

/// Discards of what is written again outside the measurement.
fn discards(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("discard");
    let file = plain_file("plain-write", BLOCKS);
    let store = file_store("write.floe", 8 * GIB);
    let drive = written_drive(&store, BLOCKS);
    let mut dice = Dice(3);
    for (name, length) in [("4 KiB", BLOCK), ("1 MiB", MIB)] {
        let mut bytes = Fresh::new(length);
        let mut place = || dice.below(BLOCKS * BLOCK / length) * length;
        group.bench_function(format!("{name}, plain file, a hole"), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut once = || {
                    let place = place();
                    file.write_all_at(bytes.next(), place).expect("a write");
                    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                    timed(|| fallocate(&file, hole, place, length).expect("a hole")).1
                };
                (0..rounds).map(|_| once()).sum()
            });
        });
        for (kind, frozen) in [("unshared", false), ("of what a snapshot holds", true)] {
            let mut once = || {
                let place = place();
                drive.write_at(bytes.next(), place).expect("a write");
                let kept = frozen.then(|| freeze(&drive));
                let time = timed(|| drive.discard(place..place + length).expect("a discard")).1;
                kept.into_iter().for_each(|old| forget(&store, old));
                time
            };
            group.bench_function(format!("{name}, {kind}"), |bencher| {
                bencher.iter_custom(|rounds| (0..rounds).map(|_| once()).sum());
            });
        }
    }
    group.finish();
}
