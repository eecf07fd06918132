//! What does one thread's work cost while another does the same?

use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use criterion::Criterion;

use crate::growth::timed;
use crate::setup::{BLOCK, Dice, Fresh, GIB, file_store, plain_file, written_drive};

const BLOCKS: u64 = 1 << 14;

pub fn benches(criterion: &mut Criterion) {
    let files = ["plain-thread-1", "plain-thread-2"].map(|name| plain_file(name, BLOCKS));
    let store = file_store("threads.floe", 2 * GIB);
    let drives = [written_drive(&store, BLOCKS), written_drive(&store, BLOCKS)];

    let mut group = criterion.benchmark_group("4 KiB random read, two threads, of one image");
    let mut two = |name: &str, read_at: &(dyn Fn(&mut [u8], u64) + Sync)| {
        let read = |_, places: &mut dyn Iterator<Item = u64>| {
            let mut bytes = vec![0; BLOCK as usize];
            places.for_each(|place| read_at(black_box(&mut bytes), place));
        };
        group.bench_function(name, |bencher| bencher.iter_custom(|rounds| both(rounds, read)));
    };
    two("plain file", &|bytes, place| files[0].read_exact_at(bytes, place).expect("a read"));
    two("drive", &|bytes, place| drives[0].read_at(bytes, place).expect("a read"));
    group.finish();

    let mut group = criterion.benchmark_group("4 KiB random write, two threads, to an image each");
    let mut two = |name: &str, write_at: &(dyn Fn(usize, &[u8], u64) + Sync)| {
        let write = |index, places: &mut dyn Iterator<Item = u64>| {
            let mut bytes = Fresh::new(BLOCK);
            places.for_each(|place| write_at(index, bytes.next(), place));
        };
        group.bench_function(name, |bencher| bencher.iter_custom(|rounds| both(rounds, write)));
    };
    two("plain files", &|index, bytes, place| files[index].write_all_at(bytes, place).expect("a write"));
    two("drives", &|index, bytes, place| drives[index].write_at(bytes, place).expect("a write"));
    group.finish();
}

/// How long two threads take, each of which has a number and so many places.
fn both(rounds: u64, work: impl Fn(usize, &mut dyn Iterator<Item = u64>) + Sync) -> Duration {
    let thread = |index: usize| {
        let mut dice = Dice(index as u64);
        work(index, &mut (0..rounds).map(|_| dice.below(BLOCKS) * BLOCK));
    };
    let threads = || {
        std::thread::scope(|scope| {
            scope.spawn(|| thread(0));
            thread(1);
        });
    };
    timed(threads).1
}
