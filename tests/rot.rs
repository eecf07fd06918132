//! Is rot found, whatever it hits, and is nothing called rot that is none?
//!
//! Promises: bytes that are not what was written are never returned, from a frozen block least of all; after a power cut no
//! block is refused that is merely unfinished.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use floe::sim::{Loss, SimDevice};
use floe::{Device, Drive, DriveOptions, Error, ErrorKind, Snapshot, SnapshotOptions, Store, StoreOptions};

const BLOCK: u64 = 4096;
const BLOCKS: u64 = 64;

/// The block of zeroes but for its first bytes.
fn block(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(BLOCK as usize, 0);
    bytes
}

fn new_store() -> (Arc<SimDevice>, Store, Drive) {
    let device = Arc::new(SimDevice::new(StoreOptions::CAPACITY_MIN).unwrap());
    let store = Store::options().create_on(device.clone()).unwrap();
    let drive = store.create_drive(DriveOptions::new(BLOCKS * BLOCK).name("db")).unwrap();
    (device, store, drive)
}

/// Where on the device a block that begins with `text` lies.
fn find(device: &SimDevice, text: &str) -> u64 {
    let mut bytes = vec![0; BLOCK as usize];
    let found = (0..device.len_bytes()).step_by(BLOCK as usize).find(|at| {
        device.read_at(&mut bytes, *at).unwrap();
        bytes.starts_with(text.as_bytes())
    });
    found.unwrap_or_else(|| panic!("no block begins with {text:?}"))
}

fn rot(device: &SimDevice, text: &str) {
    device.rot(find(device, text) + 1000, 3).unwrap();
}

fn reopened(device: &Arc<SimDevice>, store: &Store) -> (Store, Drive) {
    store.close().unwrap();
    opened(device)
}

fn opened(device: &Arc<SimDevice>) -> (Store, Drive) {
    let store = Store::options().open_on(device.clone()).unwrap();
    let drive = store.drives().into_iter().find(|drive| drive.name().unwrap() == "db").unwrap();
    (store, drive)
}

fn after_cut(device: &SimDevice, loss: Loss, seed: u64) -> (Arc<SimDevice>, Store, Drive) {
    let device = Arc::new(device.power_cut(loss, seed).unwrap());
    let (store, drive) = opened(&device);
    (device, store, drive)
}

fn read(drive: &Drive, number: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; BLOCK as usize];
    drive.read_at(&mut bytes, number * BLOCK).map(|()| bytes)
}

fn read_frozen(snapshot: &Snapshot, number: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; BLOCK as usize];
    snapshot.read_at(&mut bytes, number * BLOCK).map(|()| bytes)
}

#[track_caller]
fn refused<T>(result: Result<T, Error>, names: &[&str]) {
    let error = result.err().expect("rot is not returned");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    for name in names {
        assert!(error.to_string().contains(name), "{error:?} does not name {name}");
    }
}

#[test]
fn rot_in_a_frozen_block_is_named_at_its_first_read_and_by_scrub() {
    let (device, store, drive) = new_store();
    drive.write_at(&block("frozen"), 2 * BLOCK).unwrap();
    drive.write_at(&block("sound"), 3 * BLOCK).unwrap();
    let monday = drive.snapshot(SnapshotOptions::named("monday")).unwrap();
    let tuesday = drive.snapshot(SnapshotOptions::named("tuesday")).unwrap();
    drive.write_at(&block("newer"), 2 * BLOCK).unwrap();
    drop((monday, tuesday));
    rot(&device, "frozen");
    let (store, drive) = reopened(&device, &store);
    for snapshot in store.snapshots() {
        refused(read_frozen(&snapshot, 2), &["\"monday\"", "\"tuesday\"", "offset 8192"]);
        refused(snapshot.read_at(&mut [0; 10], 2 * BLOCK + 5), &["\"monday\"", "offset 8192"]);
        refused(snapshot.fingerprint(), &["\"monday\""]);
        refused(snapshot.extents().collect::<Result<Vec<_>, _>>(), &["\"monday\""]);
        assert_eq!(read_frozen(&snapshot, 3).unwrap(), block("sound"));
    }
    assert_eq!(read(&drive, 2).unwrap(), block("newer"));
    let report = store.scrub().unwrap();
    assert_eq!((report.rotten_total, report.finished, report.bytes), (1, true, 3 * BLOCK));
    let names: Vec<_> = report.rotten[0].holders.iter().map(|holder| holder.name.as_str()).collect();
    assert_eq!((report.rotten[0].offset, names), (2 * BLOCK, vec!["monday", "tuesday"]));
}

#[test]
fn rot_in_a_live_block_is_found_and_a_whole_write_mends_it() {
    let (device, store, drive) = new_store();
    drive.write_at(&block("live"), 0).unwrap();
    drive.write_at(&[block("left"), block("right")].concat(), BLOCK).unwrap();
    rot(&device, "live");
    rot(&device, "right");
    let (store, drive) = reopened(&device, &store);
    refused(read(&drive, 0), &["drive \"db\"", "offset 0"]);
    refused(drive.read_at(&mut vec![0; 3 * BLOCK as usize], 0), &["offset 0"]);
    assert_eq!(store.scrub().unwrap().rotten_total, 2);
    // Bytes that stay are vouched for by the new checksum, so they must be right.
    refused(drive.write_at(b"part", 10), &["offset 0"]);
    refused(drive.write_zeroes(2 * BLOCK + 1..2 * BLOCK + 9), &["offset 8192"]);
    drive.write_at(&block("mended"), 0).unwrap();
    drive.discard(2 * BLOCK..3 * BLOCK).unwrap();
    assert_eq!(read(&drive, 0).unwrap(), block("mended"));
    assert_eq!(read(&drive, 1).unwrap(), block("left"));
    assert!(store.scrub().unwrap().is_clean());
    store.flush().unwrap();
    assert!(store.check().unwrap().is_clean());
}

#[test]
fn rot_under_a_partial_write_to_a_shared_block_is_not_copied() {
    let (device, store, drive) = new_store();
    drive.write_at(&block("shared"), 0).unwrap();
    let snapshot = drive.snapshot(SnapshotOptions::named("s")).unwrap();
    drop(snapshot);
    rot(&device, "shared");
    let (store, drive) = reopened(&device, &store);
    refused(drive.write_at(b"part", 10), &["snapshot \"s\"", "drive \"db\""]);
    drive.write_at(&block("whole"), 0).unwrap();
    assert_eq!(read(&drive, 0).unwrap(), block("whole"));
    refused(read_frozen(&store.snapshots()[0], 0), &["snapshot \"s\""]);
}

#[test]
fn block_that_cannot_be_read_is_in_the_report() {
    let (device, store, drive) = new_store();
    drive.write_at(&block("one"), 0).unwrap();
    let first = device.operations();
    device.fail(Some(floe::sim::Fault { operation: first, lasts: floe::sim::Lasts::ForEver, error: std::io::ErrorKind::Other }));
    let report = store.scrub().unwrap();
    assert_eq!((report.rotten_total, report.rotten[0].offset), (1, 0));
    device.fail(None);
    assert!(store.scrub().unwrap().is_clean());
}

/// A block that was overwritten in place has its checksum on the disk only after the next commit.
#[test]
fn unfinished_write_is_no_rot_and_a_scrub_settles_it() {
    for (loss, seed) in Loss::ALL.into_iter().flat_map(|loss| (0..20).map(move |seed| (loss, seed))) {
        let (device, _store, drive) = new_store();
        drive.write_at(&vec![1; 8 * BLOCK as usize], 0).unwrap();
        drive.flush().unwrap();
        for number in 0..8 {
            drive.write_at(&vec![2 + number as u8; BLOCK as usize], number * BLOCK).unwrap();
        }
        let (_, store, drive) = after_cut(&device, loss, seed);
        let whole = |drive: &Drive| (0..8).map(|number| read(drive, number).unwrap()).collect::<Vec<_>>();
        let before = whole(&drive);
        assert!(store.info().unsettled);
        let report = store.scrub().unwrap();
        assert!(report.is_clean() && report.finished, "{loss:?} {seed}: {report:?}");
        if loss == Loss::Nothing {
            assert_eq!(report.accepted, 8);
        }
        assert!(!store.info().unsettled);
        assert_eq!(whole(&drive), before);
    }
}

/// The exception for unfinished writes ends where a freeze begins, whatever a cut leaves of them.
#[test]
fn rot_in_what_was_frozen_before_a_cut_is_never_accepted() {
    for (loss, seed) in Loss::ALL.into_iter().flat_map(|loss| (0..20).map(move |seed| (loss, seed))) {
        let (device, store, drive) = new_store();
        drive.write_at(&block("frozen"), 0).unwrap();
        drive.write_at(&block("marked"), BLOCK).unwrap();
        drop(drive.snapshot(SnapshotOptions::named("s")).unwrap());
        drive.bookmark("b").unwrap();
        drive.write_at(&[block("live"), block("busy")].concat(), 2 * BLOCK).unwrap();
        store.flush().unwrap();
        drive.write_at(&[8; BLOCK as usize], 3 * BLOCK).unwrap();
        drive.write_at(&block("newer"), 0).unwrap();
        let (device, store, drive) = after_cut(&device, loss, seed);
        for text in ["frozen", "marked", "live"] {
            rot(&device, text);
        }
        refused(read_frozen(&store.snapshots()[0], 0), &["snapshot \"s\""]);
        refused(read(&drive, 1), &["snapshot \"s\"", "drive \"db\""]);
        // A live block could be an unfinished write.
        assert!(read(&drive, 2).is_ok() && read(&drive, 3).is_ok());
        let report = store.scrub().unwrap();
        assert_eq!(report.rotten_total, 2, "{loss:?} {seed}");
        assert!((1..=2).contains(&report.accepted), "{loss:?} {seed}");
        // Deleting the snapshot changes nothing about it.
        store.snapshots()[0].delete().unwrap();
        while !store.reclaim(100).unwrap().done {}
        store.flush().unwrap();
        refused(read(&drive, 1), &["drive \"db\""]);
    }
}

#[test]
fn drive_cut_off_more_often_than_its_record_can_note_stays_exact() {
    let (mut device, mut store, mut drive) = new_store();
    for round in 0..40_u64 {
        drive.write_at(&block(&format!("first {round}")), round * BLOCK).unwrap();
        store.flush().unwrap();
        drive.write_at(&block(&format!("in place {round}")), round * BLOCK).unwrap();
        (device, store, drive) = after_cut(&device, Loss::Nothing, round);
        // What was cut off is frozen now, with a checksum that is not its own.
        drop(drive.snapshot(SnapshotOptions::named(format!("s{round}"))).unwrap());
        for earlier in 0..=round {
            assert_eq!(read(&drive, earlier).unwrap(), block(&format!("in place {earlier}")));
        }
        assert!(store.check().unwrap().is_clean());
    }
    drive.write_at(&block("settled"), 50 * BLOCK).unwrap();
    drop(drive.snapshot(SnapshotOptions::named("last")).unwrap());
    rot(&device, "settled");
    refused(read(&drive, 50), &["snapshot \"last\""]);
    assert_eq!(store.scrub().unwrap().rotten_total, 1);
}

/// Reclaim took a deleted snapshot out of the history, and the blocks it had frozen were overwritten in place before that was
/// durable. The cut brought the snapshot back, so their checksums counted as evidence, and they were called rotten.
#[test]
fn deleted_snapshot_that_a_cut_brings_back_raises_no_alarm() {
    let (device, store, drive) = new_store();
    drive.write_at(&block("old"), 0).unwrap();
    drive.write_at(&block("other"), BLOCK).unwrap();
    let snapshot = drive.snapshot(SnapshotOptions::named("s")).unwrap();
    snapshot.delete().unwrap();
    drop(snapshot);
    while !store.reclaim(100).unwrap().done {}
    drive.write_at(&block("new"), 0).unwrap();
    let (_, store, drive) = after_cut(&device, Loss::Nothing, 1);
    assert!(read(&drive, 0).is_ok());
    assert!(store.scrub().unwrap().is_clean());
}

/// A disk can acknowledge a write and lose it. The older page that is then found there is whole, with a right checksum of its own;
/// a bitmap of that kind had been believed, and blocks in use would have been given to others.
#[test]
fn write_that_the_disk_acknowledged_and_lost_is_found() {
    let (device, store, drive) = new_store();
    for round in 0..4_u64 {
        for number in round..round + 6 {
            drive.write_at(&block(&format!("round {round} block {number}")), number * BLOCK).unwrap();
        }
        drive.discard(round * BLOCK..(round + 1) * BLOCK).unwrap();
        drop(drive.snapshot(SnapshotOptions::named(format!("s{round}"))).unwrap());
    }
    store.snapshots()[1].delete().unwrap();
    while !store.reclaim(100).unwrap().done {}
    let answers = ask(&store);
    store.close().unwrap();
    let disk = device.disk();
    let (mut found, mut harmless) = (0, 0);
    for at in (0..device.len_bytes()).step_by(BLOCK as usize) {
        if !device.lose_last_write(at).unwrap() {
            continue;
        }
        let damaged = SimDevice::over(disk.clone()).unwrap();
        damaged.lose_last_write(at).unwrap();
        let Ok(store) = Store::options().open_on(Arc::new(damaged)) else {
            found += 1;
            continue;
        };
        let now = ask(&store);
        let right = now.len() == answers.len() && now.iter().zip(&answers).all(|(now, then)| now.is_err() || now == then);
        assert!(right, "block {}: {now:?}", at / BLOCK);
        let noticed = now != answers || !store.check().unwrap().is_clean() || !store.scrub().unwrap().is_clean();
        if noticed {
            found += 1;
        } else {
            harmless += 1;
        }
        // Whoever does not look goes on, and may be refused, but gets nobody else's blocks.
        let drive = store.drives().remove(0);
        if (0..20).all(|number| drive.write_at(&block("more"), number * BLOCK).is_ok()) && drive.flush().is_ok() {
            let frozen = ask(&store).split_off(1);
            assert!(frozen.iter().zip(&answers[1..]).all(|(now, then)| is_same_image(now, then)), "block {}", at / BLOCK);
        }
    }
    println!("{found} lost writes were found, {harmless} were harmless");
    assert!(found > 10);
}

type Answer = Result<(String, String), ErrorKind>;

/// The image of the drive and of each snapshot; of a snapshot its sizes too.
fn ask(store: &Store) -> Vec<Answer> {
    let of_drive = |drive: &Drive| {
        let mut image = vec![0; (BLOCKS * BLOCK) as usize];
        drive.read_at(&mut image, 0)?;
        Ok((String::from_utf8_lossy(&image).into_owned(), format!("{:?}", drive.info()?)))
    };
    let of_snapshot = |snapshot: &Snapshot| Ok((snapshot.fingerprint()?.to_string(), format!("{:?}", snapshot.info()?)));
    let kind = |error: Error| error.kind();
    let drives = store.drives().iter().map(|drive| of_drive(drive).map_err(kind)).collect::<Vec<_>>();
    drives.into_iter().chain(store.snapshots().iter().map(|snapshot| of_snapshot(snapshot).map_err(kind))).collect()
}

fn is_same_image(now: &Answer, then: &Answer) -> bool {
    match (now, then) {
        (Ok((now, _)), Ok((then, _))) => now == then,
        _ => true,
    }
}

#[test]
fn scrub_goes_on_where_it_was_stopped() {
    let (device, store, drive) = new_store();
    for number in 0..BLOCKS {
        drive.write_at(&block(&format!("number {number}.")), number * BLOCK).unwrap();
    }
    // The data lies in one run, which is read at once; holes cut it.
    for number in (1..BLOCKS).step_by(2) {
        drive.discard(number * BLOCK..(number + 1) * BLOCK).unwrap();
    }
    let mut steps = 0;
    let report = store.scrub_with(false, &mut |_| {
        steps += 1;
        if steps == 10 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let report = report.unwrap();
    assert_eq!((report.finished, report.bytes), (false, 10 * BLOCK));
    let (store, _drive) = reopened(&device, &store);
    let report = store.scrub().unwrap();
    assert_eq!((report.finished, report.bytes), (true, 22 * BLOCK));
    assert_eq!(store.scrub().unwrap().bytes, 32 * BLOCK);
    let stopped = store.scrub_with(false, &mut |_| ControlFlow::Break(())).unwrap();
    assert!(!stopped.finished);
    assert_eq!(store.scrub_with(true, &mut |_| ControlFlow::Continue(())).unwrap().bytes, 32 * BLOCK);
}

#[test]
fn writers_readers_and_a_scrub_side_by_side_raise_no_alarm() {
    let (_device, store, drive) = new_store();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..2_u64 {
            let (drive, stop) = (&drive, &stop);
            scope.spawn(move || {
                let mut round = writer;
                while !stop.load(Ordering::Relaxed) {
                    round += 1;
                    drive.write_at(&[round as u8 | 1; 6000], round * 811 % (BLOCKS * BLOCK - 6000)).unwrap();
                }
            });
            scope.spawn(move || {
                let mut bytes = vec![0; 5 * BLOCK as usize];
                let mut round = writer;
                while !stop.load(Ordering::Relaxed) {
                    round += 1;
                    drive.read_at(&mut bytes, round * 997 % (BLOCKS - 5) * BLOCK + round % 3 * 100).unwrap();
                }
            });
        }
        let _stops = StopsThem(&stop);
        for _ in 0..300 {
            drop(drive.snapshot(SnapshotOptions::default()).unwrap());
            let report = store.scrub().unwrap();
            assert!(report.is_clean(), "{report:?}");
            store.snapshots().iter().for_each(|snapshot| snapshot.delete().unwrap());
            while !store.reclaim(1000).unwrap().done {}
        }
    });
    assert!(store.check().unwrap().is_clean());
}

/// Ends the threads, even if the test fails in between.
struct StopsThem<'a>(&'a AtomicBool);

impl Drop for StopsThem<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
