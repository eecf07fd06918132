//! What did the loop, and those who wrote it, find?

use std::io;
use std::sync::Arc;

use floe::sim::{Fault, Lasts, Loss, SimDevice};
use floe::{Device, Drive, DriveOptions, Error, ErrorKind, SnapshotOptions, Store, StoreOptions};

use crate::strike::ADVICE;

const BLOCK: u64 = 4096;

fn new_store() -> (Arc<SimDevice>, Store, Drive) {
    let device = Arc::new(SimDevice::new(StoreOptions::CAPACITY_MIN).unwrap());
    let store = Store::options().create_on(device.clone()).unwrap();
    let drive = store.create_drive(DriveOptions::new(1 << 20).name("d")).unwrap();
    (device, store, drive)
}

/// The operation that comes after `skipped` others fails.
fn fail(device: &SimDevice, skipped: u64, lasts: Lasts, error: io::ErrorKind) {
    device.fail(Some(Fault { operation: device.operations() + skipped, lasts, error }));
}

#[track_caller]
fn refused<T>(result: Result<T, Error>) -> Error {
    result.err().expect("it cannot be done")
}

/// A file system without `fallocate` says at the write that it is full. That was told as `NoSpace`, which means that nothing was changed
/// and that deleting helps, but the store was poisoned; and because space was then looked for, the first to hear of it only heard
/// that the store had been poisoned earlier.
#[test]
fn full_disk_at_a_write_is_no_lack_of_space() {
    for (words, skipped) in [("write", 0), ("sync", 1)] {
        let (device, store, drive) = new_store();
        drive.write_at(&[1; 4096], 0).unwrap();
        drive.flush().unwrap();
        fail(&device, skipped, Lasts::Once, io::ErrorKind::StorageFull);
        let result = drive.write_at(&[2; 4096], 0).and_then(|()| drive.flush());
        let error = refused(result);
        assert_eq!(error.kind(), ErrorKind::Io, "{words}: {error}");
        assert!(error.to_string().contains(words) && error.to_string().contains(ADVICE), "{error}");
        assert_eq!(refused(store.flush()).kind(), ErrorKind::Poisoned);
    }
}

/// A device that cannot become longer, as no block device can, poisoned the store that was to grow.
#[test]
fn device_that_cannot_grow_leaves_the_store_as_it_is() {
    let (device, store, drive) = new_store();
    let capacity = store.usage().capacity_bytes;
    fail(&device, 0, Lasts::Once, io::ErrorKind::Unsupported);
    assert_eq!(refused(store.grow(capacity + (1 << 20))).kind(), ErrorKind::Io);
    assert!(device.has_failed());
    assert_eq!(store.usage().capacity_bytes, capacity);
    drive.write_at(&[1; 4096], 0).unwrap();
    store.flush().unwrap();
    store.grow(capacity + (1 << 20)).unwrap();
}

/// A commit asked the file system for space when it was half done; if there was none, the store was poisoned. After a store is opened
/// a rename is enough: it takes no page itself.
#[test]
fn commit_that_finds_no_space_can_be_tried_again() {
    let (device, store, _) = new_store();
    store.close().unwrap();
    let store = Store::options().open_on(device.clone()).unwrap();
    let drive = store.drives().remove(0);
    fail(&device, 0, Lasts::ForEver, io::ErrorKind::StorageFull);
    assert_eq!(refused(drive.rename("new")).kind(), ErrorKind::NoSpace);
    assert_eq!(drive.name().unwrap(), "d");
    device.fail(None);
    drive.rename("new").unwrap();
    store.flush().unwrap();
}

/// A clone that could not get its size was deleted again, and it was told why that failed.
#[test]
fn clone_that_cannot_be_resized_says_why() {
    let (device, _store, drive) = new_store();
    let snapshot = drive.snapshot(SnapshotOptions::named("s")).unwrap();
    let before = device.operations();
    snapshot.clone_drive(DriveOptions::named("without a size")).unwrap();
    let of_clone = device.operations() - before;
    fail(&device, of_clone + 1, Lasts::Once, io::ErrorKind::Other);
    let error = refused(snapshot.clone_drive(DriveOptions::new(2 << 20).name("with one")));
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert!(error.to_string().contains(ADVICE), "{error}");
}

/// A scrub declared all checksums evidence again, those of blocks that it could not read too. When they could be read again, a write
/// that a power cut had cut off was called rot.
#[test]
fn scrub_settles_nothing_that_it_could_not_read() {
    let (device, _store, drive) = new_store();
    drive.write_at(&[1; 4096], 0).unwrap();
    drive.flush().unwrap();
    drive.write_at(&[2; 4096], 0).unwrap();
    let device = Arc::new(device.power_cut(Loss::Nothing, 0).unwrap());
    let store = Store::options().open_on(device.clone()).unwrap();
    fail(&device, 0, Lasts::ForEver, io::ErrorKind::Other);
    assert_eq!(store.scrub().unwrap().rotten_total, 1);
    device.fail(None);
    let mut byte = [0];
    store.drives()[0].read_at(&mut byte, 0).unwrap();
    assert_eq!(byte, [2]);
    assert!(store.info().unsettled);
    let report = store.scrub().unwrap();
    assert_eq!((report.rotten_total, report.accepted), (0, 1));
    assert!(!store.info().unsettled);
}

/// The sync of a superblock failed, and the disk had lost it, but the system went on to show it. The store was opened again with that
/// commit, used what it had freed, and then the power failed: the older superblock that was found led to pages that were used again.
#[test]
fn superblock_that_only_the_page_cache_holds_is_not_built_upon() {
    for luck in 0..16 {
        let device = store_whose_superblock_could_not_be_synced(luck);
        device.record();
        let mut disk = device.disk();
        let store = Store::options().open_on(device.clone()).unwrap();
        store.drives()[0].write_at(&[3; 32 * 4096], 0).unwrap();
        store.flush().unwrap();
        for (position, event) in device.take_events().iter().enumerate() {
            disk.apply(event);
            let after = SimDevice::over(disk.clone().after_power_cut(Loss::Nothing, 0)).unwrap();
            let store = Store::options().open_on(Arc::new(after));
            let store = store.unwrap_or_else(|error| panic!("luck {luck}, event {position}: {error}"));
            assert!(store.check().unwrap().is_clean(), "luck {luck}, event {position}");
        }
    }
}

/// Its last commit has just freed most of what it held. The system goes on; the disk may have lost the superblock.
fn store_whose_superblock_could_not_be_synced(luck: u64) -> Arc<SimDevice> {
    for skipped in 0.. {
        let (device, _store, drive) = new_store();
        for block in 0..32 {
            drive.write_at(&[1; 4096], block * 2 * BLOCK).unwrap();
        }
        drive.flush().unwrap();
        drive.discard(0..1 << 20).unwrap();
        // What a failed sync loses is decided by the number of the operation.
        (0..luck).for_each(|_| device.read_at(&mut [0], 0).unwrap());
        fail(&device, skipped, Lasts::Once, io::ErrorKind::Other);
        if refused(drive.flush()).to_string().contains("sync the superblock") {
            return Arc::new(SimDevice::over(device.disk()).unwrap());
        }
    }
    unreachable!("a commit ends with the sync of a superblock")
}
