//! What happens at the ends: of a drive, of the space, of what an argument may be?

use floe::{DriveOptions, ErrorKind, SnapshotOptions, Store, StoreOptions, Uuid};

use crate::picture::{
    BLOCK, BLOCK_LEN, Stage, drain, expect_clean, memory_store, picture_of_drive, sizes_of, stamp, stamped, write_picture,
};

// --- D1: a read returns the last completed write ---------------------------------------------------------------------

#[test]
fn read_returns_the_last_write_at_any_offset_and_length() {
    let store = memory_store();
    let drive = store.create_drive(DriveOptions::new(10 * BLOCK + 77)).unwrap();
    let mut wanted = vec![0; 10 * BLOCK_LEN + 77];
    for turn in 0..400_usize {
        let offset = turn * 7919 % wanted.len();
        let length = (turn * 104_729 % 9000).clamp(1, wanted.len() - offset);
        let bytes = vec![turn as u8; length];
        drive.write_at(&bytes, offset as u64).unwrap();
        wanted[offset..offset + length].copy_from_slice(&bytes);
        if turn % 50 == 0 {
            drive.snapshot(SnapshotOptions::named("between")).unwrap();
        }
        let start = turn * 31 % wanted.len();
        let mut found = vec![1; wanted.len() - start];
        drive.read_at(&mut found, start as u64).unwrap();
        assert!(found == wanted[start..], "after write {turn}");
    }
    expect_clean(&store);
}

#[test]
fn largest_drive_is_written_and_read_at_both_ends() {
    let store = memory_store();
    let size = 1 << 63;
    let drive = store.create_drive(DriveOptions::new(size)).unwrap();
    drive.write_at(b"first", 0).unwrap();
    drive.write_at(b"last", size - 4).unwrap();
    let snapshot = drive.snapshot(SnapshotOptions::named("s")).unwrap();
    drive.discard(0..size).unwrap();
    assert_eq!(sizes_of(&snapshot), [2, 2, 2]);
    let mut bytes = [1; 4];
    drive.read_at(&mut bytes, size - 4).unwrap();
    assert_eq!(bytes, [0; 4]);
    snapshot.read_at(&mut bytes, size - 4).unwrap();
    assert_eq!(&bytes, b"last");
    drive.resize(BLOCK).unwrap();
    expect_clean(&store);
}

// --- D7: a full store ------------------------------------------------------------------------------------------------

#[test]
fn full_store_refuses_the_write_and_keeps_what_was_there() {
    const CHUNK: usize = 64 * BLOCK_LEN;
    let stage = Stage::of_capacity(StoreOptions::CAPACITY_MIN);
    let store = &stage.store;
    let drive = store.create_drive(DriveOptions::new(1 << 40)).unwrap();
    let mut chunks = 0_u64;
    let refused = loop {
        match drive.write_at(&stamp(chunks + 1).repeat(64), chunks * CHUNK as u64) {
            Ok(()) => chunks += 1,
            Err(error) => break error,
        }
        assert!(chunks * CHUNK as u64 <= StoreOptions::CAPACITY_MIN, "more was written than the store can hold");
    };
    assert_eq!(refused.kind(), ErrorKind::NoSpace);
    assert!(chunks > 0, "nothing fits");
    let last = (chunks - 1) * CHUNK as u64;
    let mut bytes = vec![0; CHUNK];
    drive.read_at(&mut bytes, last).unwrap();
    bytes.chunks(BLOCK_LEN).for_each(|block| assert_eq!(stamped(block), chunks));
    store.flush().expect("flushing a full store");
    expect_clean(store);

    drive.discard(0..4 * CHUNK as u64).expect("discarding in a full store");
    store.flush().unwrap();
    drive.write_at(&stamp(9).repeat(64), 0).expect("writing what was given back");
    drive.delete().expect("deleting in a full store");
    drop(drive);
    drain(store);
    assert_eq!(store.usage().data_bytes, 0);
    expect_clean(store);
    store.close().expect("closing");
}

// --- what cannot be meant --------------------------------------------------------------------------------------------

#[test]
fn arguments_out_of_range_are_refused_and_change_nothing() {
    let store = memory_store();
    let drive = store.create_drive(DriveOptions::new(2 * BLOCK).name("d")).unwrap();
    write_picture(&drive, 0, "AB");
    let invalid = |result: floe::Result<()>| assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidArgument);
    invalid(drive.read_at(&mut [0; 2], 2 * BLOCK - 1));
    invalid(drive.write_at(&[0; 2], 2 * BLOCK - 1));
    invalid(drive.write_at(&[0; 2], u64::MAX));
    invalid(drive.discard(0..2 * BLOCK + 1));
    invalid(drive.write_zeroes(BLOCK..2 * BLOCK + 1));
    invalid(drive.resize(BLOCK - 1));
    invalid(drive.resize((1 << 63) + 1));
    invalid(drive.rename(&"n".repeat(256)));
    invalid(store.create_drive(DriveOptions::new(BLOCK - 1)).map(drop));
    invalid(store.create_drive(DriveOptions::new((1 << 63) + 1)).map(drop));
    invalid(store.snapshot_group(&[(&drive, SnapshotOptions::named("a")), (&drive, SnapshotOptions::named("b"))]).map(drop));
    drive.rename(&"n".repeat(255)).unwrap();
    assert_eq!(picture_of_drive(&drive), "AB");
    assert_eq!(store.info().drives, 1);
    assert_eq!(store.info().snapshots, 0);
}

#[test]
fn identities_are_unique_and_handles_of_deleted_things_say_not_found() {
    let store = memory_store();
    let drive = store.create_drive(DriveOptions::new(2 * BLOCK).name("d")).unwrap();
    let twin = store.create_drive(DriveOptions::new(2 * BLOCK).uuid(drive.uuid()));
    assert_eq!(twin.map(drop).unwrap_err().kind(), ErrorKind::AlreadyExists);
    let snapshot = drive.snapshot(SnapshotOptions::named("s")).unwrap();
    let twin = drive.snapshot(SnapshotOptions::named("s").uuid(snapshot.uuid()));
    assert_eq!(twin.map(drop).unwrap_err().kind(), ErrorKind::AlreadyExists);
    drive.delete().unwrap();
    for kind in [
        drive.write_at(&[1], 0).unwrap_err().kind(),
        drive.snapshot(SnapshotOptions::named("late")).map(drop).unwrap_err().kind(),
        drive.resize(BLOCK).unwrap_err().kind(),
        drive.delete().unwrap_err().kind(),
        store.drive(drive.uuid()).map(drop).unwrap_err().kind(),
    ] {
        assert_eq!(kind, ErrorKind::NotFound);
    }
    assert_eq!(store.snapshots().len(), 1, "snapshots stay when their drive goes");
}

#[test]
fn handles_of_a_closed_store_say_closed() {
    let store = memory_store();
    let drive = store.create_drive(DriveOptions::new(2 * BLOCK)).unwrap();
    let snapshot = drive.snapshot(SnapshotOptions::named("s")).unwrap();
    store.close().unwrap();
    for kind in [
        drive.write_at(&[1], 0).unwrap_err().kind(),
        drive.read_at(&mut [1], 0).unwrap_err().kind(),
        drive.flush().unwrap_err().kind(),
        snapshot.read_at(&mut [1], 0).unwrap_err().kind(),
        snapshot.clone_drive(DriveOptions::named("c")).map(drop).unwrap_err().kind(),
        store.create_drive(DriveOptions::new(BLOCK)).map(drop).unwrap_err().kind(),
        store.check().map(drop).unwrap_err().kind(),
        store.note(Uuid::nil()).map(drop).unwrap_err().kind(),
        store.set_note(Uuid::nil(), b"late").unwrap_err().kind(),
        store.delete_note(Uuid::nil()).unwrap_err().kind(),
    ] {
        assert_eq!(kind, ErrorKind::Closed);
    }
}

#[test]
fn store_grows_and_then_takes_what_did_not_fit() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.floe");
    let store = Store::options().capacity(StoreOptions::CAPACITY_MIN).create(&path).unwrap();
    let before = store.usage();
    store.grow(StoreOptions::CAPACITY_MIN * 3).unwrap();
    assert_eq!(store.usage().capacity_bytes, StoreOptions::CAPACITY_MIN * 3);
    assert!(store.usage().free_bytes > before.free_bytes);
    assert_eq!(store.grow(StoreOptions::CAPACITY_MIN).unwrap_err().kind(), ErrorKind::InvalidArgument);
    store.close().unwrap();
    let store = Store::options().open(&path).unwrap();
    assert_eq!(store.usage().capacity_bytes, StoreOptions::CAPACITY_MIN * 3);
    expect_clean(&store);
}
