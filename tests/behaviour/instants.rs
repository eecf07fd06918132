//! Is a snapshot one instant while others write (D4)?

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use floe::{Drive, DriveOptions, Snapshot, SnapshotOptions};

use crate::picture::{
    BLOCK, BLOCK_LEN, check, create, data, drain, drive, expect_clean, group, memory_store, on, other, sized, stamp, stamped,
    write,
};

// --- D4: one instant -------------------------------------------------------------------------------------------------

#[test]
fn group_snapshot_holds_each_drive_at_the_same_moment() {
    check(
        "AAAA",
        [create("e", "EEEE"), write(0, "B"), group("e", "g"), write(1, "C"), on("e", write(1, "F"))],
        [drive("BCAA"), other("e", "EFEE"), sized("g", "BAAA", [1, 1, 1]), sized("g'", "EEEE", [1, 1, 1]), data(10)],
    );
}

/// Stops the writers when the test is done, by a failure too: a scope waits for its threads.
pub struct Stop<'a>(pub &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A writer that stamps one block after the other, round after round, and says how far it is.
struct Stamper {
    begun: AtomicU64,
    completed: AtomicU64,
}

impl Stamper {
    fn new() -> Self {
        Self { begun: AtomicU64::new(0), completed: AtomicU64::new(0) }
    }

    fn stamp_until(&self, stop: &AtomicBool, blocks: u64, mut write: impl FnMut(u64, &[u8])) {
        for number in 1.. {
            if stop.load(Ordering::SeqCst) {
                return;
            }
            self.begun.store(number, Ordering::SeqCst);
            write((number - 1) % blocks, &stamp(number));
            self.completed.store(number, Ordering::SeqCst);
        }
    }
}

/// The blocks must be what the first `n` writes of one stamper leave, for one `n`; returns it.
fn prefix_of(blocks: &[u64]) -> u64 {
    let newest = blocks.iter().copied().max().unwrap_or_default();
    let count = blocks.len() as u64;
    for (block, &found) in blocks.iter().enumerate() {
        // The last number up to the newest that falls on this block.
        let wanted =
            (0..count).map(|back| newest.saturating_sub(back)).find(|number| *number > 0 && (number - 1) % count == block as u64);
        assert_eq!(found, wanted.unwrap_or_default(), "block {block} of {blocks:?} is not of one instant (D4)");
    }
    newest
}

fn stamps_of(snapshot: &Snapshot) -> Vec<u64> {
    let mut bytes = vec![0; snapshot.size_bytes() as usize];
    snapshot.read_at(&mut bytes, 0).unwrap();
    bytes.chunks(BLOCK_LEN).map(stamped).collect()
}

#[test]
fn snapshot_under_writes_holds_what_completed_before_and_nothing_begun_after() {
    const BLOCKS: u64 = 24;
    const SNAPSHOTS: usize = 150;
    let store = memory_store();
    let drives: Vec<Drive> = (0..2).map(|_| store.create_drive(DriveOptions::new(BLOCKS * BLOCK)).unwrap()).collect();
    let stampers = [Stamper::new(), Stamper::new()];
    let stop = AtomicBool::new(false);
    let mut kept = HashMap::new();
    thread::scope(|scope| {
        let _stop = Stop(&stop);
        for (drive, stamper) in drives.iter().zip(&stampers) {
            scope.spawn(|| stamper.stamp_until(&stop, BLOCKS, |block, bytes| drive.write_at(bytes, block * BLOCK).unwrap()));
        }
        for turn in 0..SNAPSHOTS {
            let (drive, stamper) = (&drives[turn % 2], &stampers[turn % 2]);
            let completed = stamper.completed.load(Ordering::SeqCst);
            let snapshot = drive.snapshot(SnapshotOptions::named("instant")).unwrap();
            let begun = stamper.begun.load(Ordering::SeqCst);
            let stamps = stamps_of(&snapshot);
            let prefix = prefix_of(&stamps);
            assert!(completed <= prefix && prefix <= begun, "D4: {completed} <= {prefix} <= {begun}");
            if turn % 3 == 0 {
                snapshot.delete().unwrap();
            } else {
                kept.insert(snapshot.uuid(), stamps);
            }
            if turn % 10 == 0 {
                store.reclaim(100).unwrap();
                drive.flush().unwrap();
            }
        }
    });
    for (uuid, stamps) in kept {
        assert_eq!(stamps_of(&store.snapshot(uuid).unwrap()), stamps, "a frozen image changed");
    }
    expect_clean(&store);
}

/// One call writes all blocks: a freeze that does not wait for it shows a drive that never was.
#[test]
fn snapshot_waits_for_writes_in_flight() {
    const BLOCKS: u64 = 512;
    const SNAPSHOTS: usize = 60;
    let store = memory_store();
    let drives: Vec<Drive> = (0..2).map(|_| store.create_drive(DriveOptions::new(BLOCKS * BLOCK)).unwrap()).collect();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = Stop(&stop);
        for drive in &drives {
            let stop = &stop;
            scope.spawn(move || {
                for number in (1..).take_while(|_| !stop.load(Ordering::SeqCst)) {
                    drive.write_at(&stamp(number).repeat(BLOCKS as usize), 0).unwrap();
                }
            });
        }
        let expect_whole = |snapshot: &Snapshot| {
            let stamps = stamps_of(snapshot);
            assert!(stamps.iter().all(|stamp| *stamp == stamps[0]), "one write is in the snapshot in part (D4): {stamps:?}");
            thread::sleep(Duration::from_millis(2));
            assert!(stamps_of(snapshot) == stamps, "a frozen image changed");
        };
        for turn in 0..SNAPSHOTS {
            let snapshots = if turn % 2 == 0 {
                vec![drives[turn / 2 % 2].snapshot(SnapshotOptions::named("one")).unwrap()]
            } else {
                let members: Vec<_> = drives.iter().map(|drive| (drive, SnapshotOptions::named("group"))).collect();
                store.snapshot_group(&members).unwrap()
            };
            snapshots.iter().for_each(expect_whole);
            snapshots.iter().for_each(|snapshot| snapshot.delete().unwrap());
            drop(snapshots);
            drain(&store);
        }
    });
    expect_clean(&store);
}

#[test]
fn group_snapshot_under_writes_is_one_instant_of_all_its_drives() {
    const BLOCKS: u64 = 8;
    const SNAPSHOTS: usize = 100;
    let store = memory_store();
    let drives: Vec<Drive> = (0..3).map(|_| store.create_drive(DriveOptions::new(BLOCKS * BLOCK)).unwrap()).collect();
    let stamper = Stamper::new();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = Stop(&stop);
        // One writer goes round all three drives: block 0 of each, then block 1 of each.
        scope.spawn(|| {
            stamper.stamp_until(&stop, 3 * BLOCKS, |place, bytes| {
                drives[place as usize % 3].write_at(bytes, place / 3 * BLOCK).unwrap();
            });
        });
        for _ in 0..SNAPSHOTS {
            let completed = stamper.completed.load(Ordering::SeqCst);
            let members: Vec<_> = drives.iter().map(|drive| (drive, SnapshotOptions::named("group"))).collect();
            let snapshots = store.snapshot_group(&members).unwrap();
            let begun = stamper.begun.load(Ordering::SeqCst);
            let stamps: Vec<Vec<u64>> = snapshots.iter().map(stamps_of).collect();
            let places: Vec<u64> = (0..3 * BLOCKS as usize).map(|place| stamps[place % 3][place / 3]).collect();
            let prefix = prefix_of(&places);
            assert!(completed <= prefix && prefix <= begun, "D4: {completed} <= {prefix} <= {begun}");
            snapshots.iter().for_each(|snapshot| snapshot.delete().unwrap());
        }
    });
    drain(&store);
    assert_eq!(store.usage().data_bytes, drives.iter().map(|drive| drive.info().unwrap().referenced_bytes).sum::<u64>());
    expect_clean(&store);
}

#[test]
fn writers_racing_on_the_same_blocks_tear_none() {
    const BLOCKS: u64 = 4;
    const WRITES: u64 = 1500;
    let store = memory_store();
    let drive = store.create_drive(DriveOptions::new(BLOCKS * BLOCK)).unwrap();
    thread::scope(|scope| {
        for writer in 0..3_u64 {
            let drive = &drive;
            scope.spawn(move || {
                for write in 0..WRITES {
                    drive.write_at(&stamp(writer << 32 | (write + 1)), write * 7 % BLOCKS * BLOCK).unwrap();
                }
            });
        }
        let drive = &drive;
        scope.spawn(move || {
            for _ in 0..60 {
                let snapshot = drive.snapshot(SnapshotOptions::named("racing")).unwrap();
                let stamps = stamps_of(&snapshot);
                assert_eq!(stamps_of(&snapshot), stamps);
                snapshot.delete().unwrap();
            }
        });
    });
    let mut bytes = vec![0; (BLOCKS * BLOCK) as usize];
    drive.read_at(&mut bytes, 0).unwrap();
    for block in bytes.chunks(BLOCK_LEN) {
        assert!(stamped(block) > 0);
    }
    drain(&store);
    assert_eq!(store.usage().data_bytes, BLOCKS * BLOCK);
    expect_clean(&store);
}

#[test]
fn drives_are_used_by_several_threads_at_once() {
    const BLOCKS: u64 = 16;
    let store = memory_store();
    thread::scope(|scope| {
        for worker in 0..4_u64 {
            let store = &store;
            scope.spawn(move || {
                let drive = store.create_drive(DriveOptions::new(BLOCKS * BLOCK).name(format!("drive {worker}"))).unwrap();
                let mut wanted = vec![0; BLOCKS as usize];
                for turn in 1..300_u64 {
                    let block = turn * 5 % BLOCKS;
                    wanted[block as usize] = turn << 8 | worker;
                    drive.write_at(&stamp(turn << 8 | worker), block * BLOCK).unwrap();
                    if turn % 20 == 0 {
                        let snapshot = drive.snapshot(SnapshotOptions::named("mine")).unwrap();
                        assert_eq!(stamps_of(&snapshot), wanted);
                        let clone = snapshot.clone_drive(DriveOptions::named("copy")).unwrap();
                        clone.write_at(&stamp(7), 0).unwrap();
                        snapshot.delete().unwrap();
                        clone.delete().unwrap();
                        store.reclaim(10).unwrap();
                    }
                }
            });
        }
    });
    drain(&store);
    assert_eq!(store.usage().data_bytes, 4 * BLOCKS * BLOCK);
    expect_clean(&store);
}
