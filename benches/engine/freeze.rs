//! What do snapshots and clones cost, however much they freeze?
//!
//! On a device without a disk, the commit included; `benches/targets` has what a disk adds.

use criterion::Criterion;
use floe::{Drive, DriveOptions, SnapshotOptions};

use crate::growth::{Group, Growth, each, timed};
use crate::setup::{BLOCK, Dice, Fresh, GIB, TIB, comb, dropping_store, forget, freeze, freeze_often, is_large, reclaim_all};

pub fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("snapshot and clone, without a disk");
    let mut sizes = Cases::new("over drive size");
    for (name, bytes) in [("1 GiB", GIB), ("64 GiB", 64 * GIB), ("1 TiB", TIB), ("16 TiB", 16 * TIB)] {
        sizes.case(&mut group, name, bytes, 1, 0);
    }
    drop(sizes);
    let mut extents = Cases::new("over extents");
    for (name, count) in [("1", 1), ("1,000", 1000), ("1,000,000", 1_000_000), ("10,000,000", 10_000_000)] {
        if count <= 1_000_000 || is_large() {
            extents.case(&mut group, name, 16 * TIB, count, 0);
        }
    }
    drop(extents);
    let mut snapshots = Cases::new("over snapshots present");
    for (name, count) in [("0", 0), ("100", 100), ("1,000", 1000), ("10,000", 10_000)] {
        snapshots.case(&mut group, name, GIB, 1000, count);
    }
    drop(snapshots);
    group.finish();
    groups(criterion);
}

struct Cases {
    snapshot: Growth,
    clone: Growth,
}

impl Cases {
    fn new(over: &str) -> Self {
        Self { snapshot: Growth::of(format!("snapshot {over}")), clone: Growth::of(format!("clone {over}")) }
    }

    /// Snapshots and clones of a drive, deleted again outside the measurement.
    fn case(&mut self, group: &mut Group<'_>, name: &str, bytes: u64, extents: u64, snapshots: u64) {
        let store = dropping_store(32 * TIB);
        let drive = comb(&store, bytes, extents);
        freeze_often(&drive, &mut Dice(1), 2 * extents, snapshots);
        let mut bytes = Fresh::new(BLOCK);
        self.snapshot.case(
            group,
            name,
            each(|| {
                drive.write_at(bytes.next(), 0).expect("a write");
                let (snapshot, time) = timed(|| freeze(&drive));
                forget(&store, snapshot);
                time
            }),
        );
        let origin = freeze(&drive);
        self.clone.case(
            group,
            name,
            each(|| {
                let (clone, time) = timed(|| origin.clone_drive(DriveOptions::default()).expect("a clone"));
                clone.delete().expect("a deletion");
                reclaim_all(&store);
                time
            }),
        );
    }
}

/// Snapshots of several drives at one point in time.
fn groups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("group snapshot, without a disk");
    let mut growth = Growth::of("group of drives, each written to");
    for count in [1, 10, 100] {
        let store = dropping_store(TIB);
        let mut bytes = Fresh::new(BLOCK);
        let drives: Vec<Drive> = (0..count).map(|_| comb(&store, GIB, 100)).collect();
        growth.case(
            &mut group,
            &count.to_string(),
            each(|| {
                for drive in &drives {
                    drive.write_at(bytes.next(), 0).expect("a write");
                }
                let members: Vec<_> = drives.iter().map(|drive| (drive, SnapshotOptions::default())).collect();
                let (snapshots, time) = timed(|| store.snapshot_group(&members).expect("snapshots"));
                for snapshot in snapshots {
                    snapshot.delete().expect("a deletion");
                }
                reclaim_all(&store);
                time
            }),
        );
    }
    drop(growth);
    group.finish();
}
