//! What does it cost to find what changed between two snapshots?

use criterion::{Criterion, Throughput};

use crate::growth::timed;
use crate::setup::{BLOCK, Dice, Fresh, TIB, comb, dropping_store, freeze};

const EXTENTS: u64 = 1_000_000;

pub fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("diff of two snapshots of 1,000,000 extents");
    let store = dropping_store(TIB);
    let drive = comb(&store, TIB, EXTENTS);
    let (mut dice, mut bytes) = (Dice(7), Fresh::new(BLOCK));
    for (name, changes) in [("1 change", 1), ("100 changes", 100), ("10,000 changes", 10_000), ("100,000 changes", 100_000)] {
        let older = freeze(&drive);
        // Far from one another, so that no two are one change.
        for index in 0..changes {
            let block = EXTENTS / changes * 2 * index + dice.below(EXTENTS / changes) / 2 * 2;
            drive.write_at(bytes.next(), block * BLOCK).expect("a write");
        }
        let newer = freeze(&drive);
        group.throughput(Throughput::Elements(changes));
        group.bench_function(name, |bencher| {
            let diff = || older.diff(&newer).expect("a diff").filter(Result::is_ok).count();
            bencher.iter_custom(|rounds| {
                let (found, time) = timed(|| (0..rounds).map(|_| diff()).sum::<usize>());
                assert_eq!(found as u64, rounds * changes, "each change is found");
                time
            });
        });
    }
    group.finish();
}
