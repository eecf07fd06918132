//! What does a crash find that comes in the middle of something?
//!
//! Each case was found by a reader of the code and has its story. The device holds its syncs back, so that others act while
//! something is not durable yet; then its bytes are opened as a crash would leave them.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use floe::{Device, Drive, DriveOptions, ErrorKind, Lend, MemoryDevice, SnapshotOptions, Store, StoreOptions};

const BLOCK: u64 = 4096;

/// Memory whose syncs wait as long as they are held back.
struct SlowToSync {
    inner: MemoryDevice,
    held: AtomicBool,
    waiting: AtomicBool,
}

impl SlowToSync {
    fn new() -> Arc<Self> {
        let inner = MemoryDevice::new(StoreOptions::CAPACITY_MIN).unwrap();
        Arc::new(Self { inner, held: AtomicBool::new(false), waiting: AtomicBool::new(false) })
    }

    /// Runs `change` in a thread that gets no further than its sync, and `meanwhile` while it waits; returns what a crash at that
    /// moment leaves.
    fn crash_during(&self, change: impl FnOnce() + Send, meanwhile: impl FnOnce()) -> Store {
        self.held.store(true, Ordering::SeqCst);
        thread::scope(|scope| {
            scope.spawn(change);
            let _goes_on = LetsGo(&self.held);
            while !self.waiting.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(1));
            }
            meanwhile();
            self.crash()
        })
    }

    /// A store of the bytes as they are now. Only what was written is copied: the device is sparse.
    fn crash(&self) -> Store {
        let copy = MemoryDevice::new(self.len_bytes()).unwrap();
        let mut block = [0; BLOCK as usize];
        for at in (0..self.len_bytes()).step_by(BLOCK as usize) {
            self.read_at(&mut block, at).unwrap();
            if block != [0; BLOCK as usize] {
                copy.write_at(&block, at).unwrap();
            }
        }
        Store::options().open_on(Arc::new(copy)).unwrap()
    }
}

/// Lets the syncs go on, even if the test fails in between: the thread that waits for them must end.
struct LetsGo<'a>(&'a AtomicBool);

impl Drop for LetsGo<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Device for SlowToSync {
    fn len_bytes(&self) -> u64 {
        self.inner.len_bytes()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.inner.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.inner.write_at(buf, offset)
    }

    fn sync(&self) -> io::Result<()> {
        while self.held.load(Ordering::SeqCst) {
            self.waiting.store(true, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn allocate(&self, _range: Range<u64>) -> io::Result<()> {
        Ok(())
    }

    fn grow(&self, len_bytes: u64) -> io::Result<()> {
        self.inner.grow(len_bytes)
    }

    fn mapped(&self, range: Range<u64>, lend: Lend) -> &[u8] {
        self.inner.mapped(range, lend)
    }
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
    let device = SlowToSync::new();
    let store = Store::options().create_on(device.clone()).unwrap();
    assert_eq!(store.info().generation, 1);
    assert_eq!(device.crash().info().uuid, store.info().uuid);
}

/// Reclaim took the deleted clone out of the history before its deletion was durable. Its sibling, alone now, overwrote in place what
/// the clone still held when the crash brought it back.
#[test]
fn deletion_that_a_crash_undoes_finds_the_drive_as_it_was() {
    let device = SlowToSync::new();
    let store = Store::options().create_on(device.clone()).unwrap();
    let base = store.create_drive(DriveOptions::new(1 << 20).name("base")).unwrap();
    base.write_at(&[b'A'; 8192], 0).unwrap();
    let snapshot = base.snapshot(SnapshotOptions::named("s")).unwrap();
    let clone = snapshot.clone_drive(DriveOptions::named("clone")).unwrap();
    snapshot.delete().unwrap();
    drop(snapshot);
    drain(&store);
    let after = device.crash_during(
        || clone.delete().unwrap(),
        || {
            assert!(!store.reclaim(1000).unwrap().done, "something waits for its deletion to be durable");
            base.write_at(&[b'X'; 4096], 0).unwrap();
        },
    );
    assert_eq!(first_bytes(&named(&after, "clone")), *b"AAAA");
    assert!(after.check().unwrap().is_clean());
    drain(&store);
    assert_eq!(store.usage().data_bytes, 2 * BLOCK);
}

/// The same with a revert: the image that it gave up was freed, and came back with others' bytes in it.
#[test]
fn revert_that_a_crash_undoes_finds_the_image_as_it_was() {
    let device = SlowToSync::new();
    let store = Store::options().create_on(device.clone()).unwrap();
    let drive = store.create_drive(DriveOptions::new(1 << 20).name("d")).unwrap();
    let empty = drive.snapshot(SnapshotOptions::named("empty")).unwrap();
    drive.write_at(&[b'A'; 4096], 0).unwrap();
    drive.flush().unwrap();
    let after = device.crash_during(
        || drive.revert_to(&empty).unwrap(),
        || {
            assert!(!store.reclaim(1000).unwrap().done);
        },
    );
    assert_eq!(first_bytes(&named(&after, "d")), *b"AAAA");
    assert!(after.check().unwrap().is_clean());
}

/// A bookmark's deletion let blocks be overwritten in place before it was durable; the crash brought the bookmark back, and it had
/// missed the change.
#[test]
fn bookmark_that_a_crash_brings_back_has_missed_nothing() {
    let device = SlowToSync::new();
    let store = Store::options().create_on(device.clone()).unwrap();
    let drive = store.create_drive(DriveOptions::new(1 << 20).name("d")).unwrap();
    drive.write_at(&[b'A'; 4096], 0).unwrap();
    let bookmark = drive.bookmark("m").unwrap();
    let after = device.crash_during(|| bookmark.delete().unwrap(), || drive.write_at(&[b'X'; 4096], 0).unwrap());
    let drive = named(&after, "d");
    let bookmark = drive.bookmarks().unwrap().remove(0);
    let changed = first_bytes(&drive) == *b"XXXX";
    assert_eq!(bookmark.allocated_size().unwrap(), if changed { BLOCK } else { 0 });
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
