//! What do reads cost that the page cache answers?

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;

use criterion::{Criterion, Throughput};
use floe::{Drive, Snapshot};

use crate::setup::{BLOCK, Dice, GIB, MIB, file_store, freeze_often, plain_file, written_drive};

const BLOCKS: u64 = 1 << 14;

pub fn benches(criterion: &mut Criterion) {
    let file = plain_file("plain-read", BLOCKS);
    let store = file_store("read.floe", 2 * GIB);
    let (shallow, deep) = (written_drive(&store, BLOCKS), written_drive(&store, BLOCKS));
    let only = freeze_often(&shallow, &mut Dice(4), BLOCKS, 1);
    let all = freeze_often(&deep, &mut Dice(5), BLOCKS, 1000);
    let images: [(&str, &dyn Image); 6] = [
        ("plain file", &file),
        ("drive under a snapshot", &shallow),
        ("its snapshot", &only[0]),
        ("drive under 1,000 snapshots", &deep),
        ("the oldest of them", &all[0]),
        ("the newest of them", &all[999]),
    ];
    for (pattern, length, random) in [("4 KiB random", BLOCK, true), ("1 MiB sequential", MIB, false)] {
        let mut group = criterion.benchmark_group(format!("{pattern} read, cached"));
        group.throughput(Throughput::Bytes(length));
        let pieces = BLOCKS * BLOCK / length;
        let mut bytes = vec![0; length as usize];
        for (name, image) in images {
            let (mut dice, mut next) = (Dice(6), 0);
            let mut place = || {
                next += 1;
                length * if random { dice.below(pieces) } else { next % pieces }
            };
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    image.read(&mut bytes, place());
                    black_box(&bytes);
                });
            });
        }
        group.finish();
    }
}

/// What can be read.
trait Image {
    fn read(&self, bytes: &mut [u8], at: u64);
}

impl Image for File {
    fn read(&self, bytes: &mut [u8], at: u64) {
        self.read_exact_at(bytes, at).expect("a read");
    }
}

impl Image for Drive {
    fn read(&self, bytes: &mut [u8], at: u64) {
        self.read_at(bytes, at).expect("a read");
    }
}

impl Image for Snapshot {
    fn read(&self, bytes: &mut [u8], at: u64) {
        self.read_at(bytes, at).expect("a read");
    }
}
