//! What does it cost to delete a snapshot, and to give its space back?

use criterion::{Criterion, Throughput};
use floe::{Drive, Store};

use crate::growth::{Growth, each, timed};
use crate::setup::{BLOCK, Fresh, GIB, dropping_store, fill, freeze, reclaim_all};

pub fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("delete a snapshot, without a disk");
    let store = dropping_store(64 * GIB);
    let drive = store.create_drive(floe::DriveOptions::new(16 * GIB)).expect("a drive");
    fill(&drive, 16 * GIB);
    let mut call = Growth::of("the call, snapshot with blocks of its own");
    let cases = [("1", 1), ("1,000", 1000), ("1,000,000", 1_000_000)];
    for (name, blocks) in cases {
        call.case(
            &mut group,
            name,
            each(|| {
                let old = overwritten_after_a_snapshot(&drive, blocks);
                let ((), time) = timed(|| old.delete().expect("a deletion"));
                drop(old);
                reclaim_all(&store);
                time
            }),
        );
    }
    drop(call);
    for (name, blocks) in cases {
        group.throughput(Throughput::Elements(blocks));
        group.bench_function(format!("reclaim, {name} blocks"), |bencher| {
            bencher.iter_custom(each(|| {
                overwritten_after_a_snapshot(&drive, blocks).delete().expect("a deletion");
                timed(|| reclaim_all(&store)).1
            }));
        });
    }
    group.throughput(Throughput::Elements(SCATTERED));
    group.bench_function("reclaim, 100,000 blocks apart", |bencher| {
        bencher.iter_custom(each(|| scattered(&store, &drive)));
    });
    group.finish();
}

/// A snapshot whose first blocks the drive has overwritten since. That is committed: whoever deletes it commits nothing else.
fn overwritten_after_a_snapshot(drive: &Drive, blocks: u64) -> floe::Snapshot {
    let snapshot = freeze(drive);
    fill(drive, blocks * BLOCK);
    drive.flush().expect("a flush");
    snapshot
}

const SCATTERED: u64 = 100_000;

fn scattered(store: &Store, drive: &Drive) -> std::time::Duration {
    let mut bytes = Fresh::new(BLOCK);
    let snapshot = freeze(drive);
    for index in 0..SCATTERED {
        drive.write_at(bytes.next(), index * 41 * BLOCK).expect("a write");
    }
    drive.flush().expect("a flush");
    snapshot.delete().expect("a deletion");
    drop(snapshot);
    timed(|| reclaim_all(store)).1
}
