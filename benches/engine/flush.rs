//! What does a flush cost, after how many writes?
//!
//! A time is that of all the writes and the flush after them.

use std::os::unix::fs::FileExt;
use std::time::Duration;

use criterion::Criterion;

use crate::growth::{each, timed};
use crate::setup::{BLOCK, Dice, Fresh, GIB, file_store, forget, freeze, plain_file, written_drive};

const BLOCKS: u64 = 1 << 16;

pub fn benches(criterion: &mut Criterion) {
    let file = plain_file("plain-write", BLOCKS);
    let store = file_store("write.floe", 8 * GIB);
    let drive = written_drive(&store, BLOCKS);
    let mut dice = Dice(1);
    let mut place = || dice.below(BLOCKS) * BLOCK;
    let mut bytes = Fresh::new(BLOCK);
    for writes in [1, 32, 4096_u64] {
        let mut group = criterion.benchmark_group(format!("{writes} random writes of 4 KiB, and a flush"));
        group.bench_function("plain file", |bencher| {
            bencher.iter(|| {
                (0..writes).for_each(|_| file.write_all_at(bytes.next(), place()).expect("a write"));
                file.sync_data().expect("a sync");
            });
        });
        let mut write_and_flush = || {
            (0..writes).for_each(|_| drive.write_at(bytes.next(), place()).expect("a write"));
            drive.flush().expect("a flush");
        };
        group.bench_function("unshared", |bencher| bencher.iter(&mut write_and_flush));
        group.bench_function("just after a snapshot", |bencher| {
            let mut once = each(|| -> Duration {
                let before = freeze(&drive);
                let ((), time) = timed(&mut write_and_flush);
                forget(&store, before);
                time
            });
            bencher.iter_custom(&mut once);
        });
        group.finish();
    }
}
