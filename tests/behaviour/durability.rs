//! Is what returned there after a kill (D2, D5)?

use floe::{DriveOptions, SnapshotOptions, Store, StoreOptions};

use crate::picture::{BLOCK, drive_named, expect_clean, picture_of_drive, picture_of_snapshot, write_picture};

/// The bytes as they are in the file at this moment, opened as a store of their own: what a killed process leaves.
fn left_by_a_kill(path: &std::path::Path) -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy.floe");
    std::fs::copy(path, &copy).unwrap();
    let store = Store::options().open(&copy).unwrap();
    expect_clean(&store);
    (directory, store)
}

#[test]
fn what_returned_is_there_after_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.floe");
    let store = Store::options().capacity(StoreOptions::CAPACITY_MIN).create(&path).unwrap();
    let drive = store.create_drive(DriveOptions::new(4 * BLOCK).name("d").attributes("mine")).unwrap();
    let (_guard, left) = left_by_a_kill(&path);
    assert_eq!(drive_named(&left, "d").attributes().unwrap(), b"mine", "D5: create");
    assert!(!left.info().was_clean);

    write_picture(&drive, 0, "ABCD");
    drive.flush().unwrap();
    let (_guard, left) = left_by_a_kill(&path);
    assert_eq!(picture_of_drive(&drive_named(&left, "d")), "ABCD", "D2: flush");

    write_picture(&drive, 0, "X");
    let snapshot = drive.snapshot(SnapshotOptions::named("s")).unwrap();
    let (_guard, left) = left_by_a_kill(&path);
    assert_eq!(picture_of_snapshot(&left.snapshot(snapshot.uuid()).unwrap()), "XBCD", "D4: snapshot");

    let clone = snapshot.clone_drive(DriveOptions::named("c")).unwrap();
    let (_guard, left) = left_by_a_kill(&path);
    assert_eq!(picture_of_drive(&drive_named(&left, "c")), "XBCD", "D5: clone");

    clone.rename("e").unwrap();
    clone.resize(2 * BLOCK).unwrap();
    let (_guard, left) = left_by_a_kill(&path);
    assert_eq!(picture_of_drive(&drive_named(&left, "e")), "XB", "D5: rename and resize");

    clone.delete().unwrap();
    let (_guard, left) = left_by_a_kill(&path);
    assert_eq!(left.drives().len(), 1, "D5: delete");

    write_picture(&drive, 1, "Y");
    drive.revert_to(&snapshot).unwrap();
    drive.flush().unwrap();
    let (_guard, left) = left_by_a_kill(&path);
    assert_eq!(picture_of_drive(&drive_named(&left, "d")), "XBCD", "D2: revert, then flush");
}
