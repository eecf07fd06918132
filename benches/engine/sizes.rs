//! What does it cost to ask for the size of a snapshot?

use std::hint::black_box;

use criterion::Criterion;
use floe::{Result, Snapshot};

use crate::growth::{Growth, together};
use crate::setup::{BLOCK, Dice, GIB, TIB, comb, dropping_store, fill, freeze_often, is_large};

const SNAPSHOTS: u64 = 1000;

type Size = fn(&Snapshot) -> Result<u64>;

pub fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("size of one of 1,000 snapshots");
    let mut sizes: [(Growth, Size); 4] = [
        (Growth::of("allocated_size"), Snapshot::allocated_size),
        (Growth::of("charged_size"), Snapshot::charged_size),
        (Growth::of("exclusive_size"), Snapshot::exclusive_size),
        (Growth::of("referenced_size"), Snapshot::referenced_size),
    ];
    let cases = [("40 KiB of data", 40 << 10, 0), ("16 GiB of data", 16 * GIB, 0), ("1,000,000 extents", 0, 1_000_000)];
    // A terabyte takes minutes to write, even to nowhere.
    let large = is_large().then_some(("1 TiB of data", TIB, 0));
    for (name, bytes, extents) in cases.into_iter().chain(large) {
        let store = dropping_store(2 * TIB);
        let drive = comb(&store, 2 * TIB, extents);
        fill(&drive, bytes);
        let all = freeze_often(&drive, &mut Dice(3), 2 * extents + bytes / BLOCK, SNAPSHOTS);
        let mut dice = Dice(4);
        for (growth, size) in &mut sizes {
            let mut any = || &all[dice.below(SNAPSHOTS) as usize];
            let ask = || {
                black_box(size(any()).expect("a size"));
            };
            growth.case(&mut group, name, together(ask));
        }
    }
    drop(sizes);
    group.finish();
}
