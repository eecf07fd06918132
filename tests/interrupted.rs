//! What does a crash find that comes in the middle of something?
//!
//! Each case was found by a reader of the code, or by the crash test, and has its story. While something is being made durable others
//! act, or the power fails.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use floe::sim::{Loss, SimDevice};
use floe::{Device, Drive, DriveOptions, ErrorKind, MemoryDevice, SnapshotOptions, Store, StoreOptions};

const BLOCK: u64 = 4096;

fn new_store() -> (Arc<SimDevice>, Store) {
    let device = Arc::new(SimDevice::new(StoreOptions::CAPACITY_MIN).unwrap());
    let store = Store::options().create_on(device.clone()).unwrap();
    (device, store)
}

/// What a crash at this moment leaves, of what was not synced too.
fn crash(device: &SimDevice) -> Store {
    Store::options().open_on(Arc::new(device.power_cut(Loss::Nothing, 0).unwrap())).unwrap()
}

/// The number of the newest commit on a device, from its superblocks.
fn generation(device: &SimDevice) -> u64 {
    let of_slot = |slot: u64| {
        let mut bytes = [0; 8];
        device.read_at(&mut bytes, slot * BLOCK + 48).unwrap();
        u64::from_le_bytes(bytes)
    };
    of_slot(0).max(of_slot(1))
}

/// Runs `change`, and `meanwhile` in the middle of its first sync; returns what the latter did and what a crash then leaves that tears
/// the superblock of the change.
fn crash_during<T: Send + 'static>(
    device: &Arc<SimDevice>,
    change: impl FnOnce(),
    meanwhile: impl FnOnce() -> T + Send + 'static,
) -> (T, Store) {
    let left = Arc::new(Mutex::new(None));
    let (inner, slot) = (Arc::clone(device), Arc::clone(&left));
    let superblock = (generation(device) + 1) % 2 * BLOCK;
    device.during_sync(0, move || {
        let done = meanwhile();
        let after = inner.power_cut(Loss::Nothing, 0).unwrap();
        after.write_at(&[0xFF; 512], superblock + 512).unwrap();
        *slot.lock().unwrap() = Some((done, Store::options().open_on(Arc::new(after)).unwrap()));
    });
    change();
    left.lock().unwrap().take().expect("the change is made durable")
}

fn first_bytes(drive: &Drive) -> [u8; 4] {
    let mut bytes = [0; 4];
    drive.read_at(&mut bytes, 0).unwrap();
    bytes
}

fn named(store: &Store, name: &str) -> Drive {
    store.drives().into_iter().find(|drive| drive.name().unwrap() == name).unwrap()
}

fn drain(store: &Store) {
    while !store.reclaim(1000).unwrap().done {}
    store.flush().unwrap();
}

/// A new store was written with generation 0, which no store can have, and could not be opened until its first commit.
#[test]
fn new_store_can_be_opened_whatever_happens_next() {
    let (device, store) = new_store();
    assert_eq!(store.info().generation, 1);
    assert_eq!(crash(&device).info().uuid, store.info().uuid);
}

/// Reclaim took the deleted clone out of the history before its deletion was durable. Its sibling, alone now, overwrote in place what
/// the clone still held when the crash brought it back.
#[test]
fn deletion_that_a_crash_undoes_finds_the_drive_as_it_was() {
    let (device, store) = new_store();
    let base = store.create_drive(DriveOptions::new(1 << 20).name("base")).unwrap();
    base.write_at(&[b'A'; 8192], 0).unwrap();
    let snapshot = base.snapshot(SnapshotOptions::named("s")).unwrap();
    let clone = snapshot.clone_drive(DriveOptions::named("clone")).unwrap();
    snapshot.delete().unwrap();
    drop(snapshot);
    drain(&store);
    let meanwhile = store.clone();
    let ((reclaimed, written), after) = crash_during(
        &device,
        || clone.delete().unwrap(),
        move || (meanwhile.reclaim(1000).unwrap(), base.write_at(&[b'X'; 4096], 0)),
    );
    assert!(!reclaimed.done, "something waits for its deletion to be durable");
    written.unwrap();
    assert_eq!(first_bytes(&named(&after, "clone")), *b"AAAA");
    assert!(after.check().unwrap().is_clean());
    drain(&store);
    assert_eq!(store.usage().data_bytes, 2 * BLOCK);
}

/// The same with a revert: the image that it gave up was freed, and came back with others' bytes in it.
#[test]
fn revert_that_a_crash_undoes_finds_the_image_as_it_was() {
    let (device, store) = new_store();
    let drive = store.create_drive(DriveOptions::new(1 << 20).name("d")).unwrap();
    let empty = drive.snapshot(SnapshotOptions::named("empty")).unwrap();
    drive.write_at(&[b'A'; 4096], 0).unwrap();
    drive.flush().unwrap();
    let (reclaimed, after) = crash_during(&device, || drive.revert_to(&empty).unwrap(), move || store.reclaim(1000).unwrap());
    assert!(!reclaimed.done);
    assert_eq!(first_bytes(&named(&after, "d")), *b"AAAA");
    assert!(after.check().unwrap().is_clean());
}

/// A bookmark's deletion let blocks be overwritten in place before it was durable; the crash brought the bookmark back, and it had
/// missed the change.
#[test]
fn bookmark_that_a_crash_brings_back_has_missed_nothing() {
    let (device, store) = new_store();
    let drive = store.create_drive(DriveOptions::new(1 << 20).name("d")).unwrap();
    drive.write_at(&[b'A'; 4096], 0).unwrap();
    let bookmark = drive.bookmark("m").unwrap();
    let (written, after) = crash_during(&device, || bookmark.delete().unwrap(), move || drive.write_at(&[b'X'; 4096], 0));
    written.unwrap();
    let drive = named(&after, "d");
    let bookmark = drive.bookmarks().unwrap().remove(0);
    let changed = first_bytes(&drive) == *b"XXXX";
    assert_eq!(bookmark.allocated_size().unwrap(), if changed { BLOCK } else { 0 });
}

/// Reclaim took a deleted snapshot out of the history, so the drive overwrote in place what only the two had held; the crash brought
/// the snapshot back, though deleted. Its epoch hid that block from the note of what could have been overwritten, so the checksum of
/// the older bytes counted as evidence.
#[test]
fn block_overwritten_after_reclaim_is_not_taken_for_changed_after_a_crash() {
    let (device, store) = new_store();
    let drive = store.create_drive(DriveOptions::new(1 << 20).name("d")).unwrap();
    drive.write_at(&[b'A'; 4096], 0).unwrap();
    drive.snapshot(SnapshotOptions::named("s")).unwrap().delete().unwrap();
    assert!(store.reclaim(1000).unwrap().done);
    drive.write_at(&[b'X'; 4096], 0).unwrap();
    let after = crash(&device);
    let drive = named(&after, "d");
    let snapshot = drive.snapshot(SnapshotOptions::named("t")).unwrap();
    let mut same = [0; 4096];
    drive.read_at(&mut same, 0).unwrap();
    drive.write_at(&same, 0).unwrap();
    assert_eq!(snapshot.allocated_size().unwrap(), 0);
}

/// Shrinking into a shared block needs a new block. A full store had taken the new length before it found that out, and could not
/// be opened after a close.
#[test]
fn shrink_that_does_not_fit_changes_nothing() {
    let store = Store::options().create_on(Arc::new(MemoryDevice::new(StoreOptions::CAPACITY_MIN).unwrap())).unwrap();
    let drive = store.create_drive(DriveOptions::new(1 << 30)).unwrap();
    let full = (0..1000).find(|block| drive.write_at(&[7; BLOCK as usize], block * BLOCK).is_err());
    assert!(full.is_some(), "a store of the smallest size takes 256 blocks");
    let snapshot = drive.snapshot(SnapshotOptions::default()).unwrap();
    assert_eq!(drive.resize(10 * BLOCK + 100).unwrap_err().kind(), ErrorKind::NoSpace);
    assert_eq!(drive.size_bytes().unwrap(), 1 << 30);
    let mut byte = [0];
    drive.read_at(&mut byte, 10 * BLOCK + 200).unwrap();
    assert_eq!(byte, [7]);
    drive.resize(10 * BLOCK).unwrap();
    snapshot.delete().unwrap();
    drop(snapshot);
    drive.resize(5 * BLOCK + 100).unwrap();
    drive.resize(1 << 20).unwrap();
    drive.read_at(&mut byte, 5 * BLOCK + 200).unwrap();
    assert_eq!(byte, [0]);
    assert!(store.check().unwrap().is_clean());
}

/// Zeroing a range that begins and ends within shared blocks needs two new blocks; with room for one, the first edge was zeroed and
/// then the store said that it was full.
#[test]
fn zeroing_that_does_not_fit_changes_nothing() {
    let store = Store::options().create_on(Arc::new(MemoryDevice::new(StoreOptions::CAPACITY_MIN).unwrap())).unwrap();
    let drive = store.create_drive(DriveOptions::new(1 << 30)).unwrap();
    let full = (0..1000).find(|block| drive.write_at(&[7; BLOCK as usize], block * BLOCK).is_err()).unwrap();
    drive.discard((full - 1) * BLOCK..full * BLOCK).unwrap();
    drive.snapshot(SnapshotOptions::default()).unwrap();
    assert_eq!(drive.write_zeroes(100..3 * BLOCK + 100).unwrap_err().kind(), ErrorKind::NoSpace);
    let mut bytes = [0; 4 * BLOCK as usize];
    drive.read_at(&mut bytes, 0).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 7));
    drive.write_zeroes(100..2 * BLOCK).unwrap();
}

/// Asking the store anything from the check's progress waited for the check itself.
#[test]
fn progress_of_a_check_may_ask_the_store() {
    let store = Store::options().create_on(Arc::new(MemoryDevice::new(StoreOptions::CAPACITY_MIN).unwrap())).unwrap();
    let drive = store.create_drive(DriveOptions::new(1 << 20)).unwrap();
    drive.write_at(&[1; 4096], 0).unwrap();
    let mut asked = 0;
    store.check_with(&mut |_| asked += store.info().drives + drive.info().unwrap().snapshots).unwrap();
    assert!(asked > 0);
}

/// What a write had taken and not yet put into its table was in use for a commit that came in between, so a check beside writers
/// found leaks, and so would have a crash.
#[test]
fn check_beside_writers_and_snapshots_is_clean() {
    let store = Store::options().create_on(Arc::new(MemoryDevice::new(1 << 30).unwrap())).unwrap();
    let drive = store.create_drive(DriveOptions::new(4 << 20)).unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..2_u8 {
            let (drive, stop) = (&drive, &stop);
            scope.spawn(move || {
                let mut round = writer;
                while !stop.load(Ordering::Relaxed) {
                    round = round.wrapping_add(37);
                    let block = u64::from(round) * 4 % 1000;
                    drive.write_at(&[round | 1; 3 * BLOCK as usize], block * BLOCK + 100).unwrap();
                    drive.discard(block * BLOCK..(block + 2) * BLOCK).unwrap();
                }
            });
        }
        let (store, drive, stop) = (&store, &drive, &stop);
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let snapshot = drive.snapshot(SnapshotOptions::default()).unwrap();
                snapshot.delete().unwrap();
                drop(snapshot);
                store.reclaim(50).unwrap();
            }
        });
        let _stops = StopsThem(stop);
        for _ in 0..200 {
            let report = store.check().unwrap();
            assert!(report.is_clean(), "{report}");
        }
    });
}

/// Ends the threads, even if the test fails in between.
struct StopsThem<'a>(&'a AtomicBool);

impl Drop for StopsThem<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
