//! What does a store keep beside drives?

use std::thread;

use floe::{DriveOptions, ErrorKind, SnapshotOptions, Uuid};

use crate::picture::{BLOCK, Stage, expect_clean, memory_store};

/// A note is kept in pieces of so many bytes.
const PIECE: usize = 1024;
const LONGEST: usize = 1 << 20;
/// Around the bounds of pieces, and the ends of what a note may be.
const LENGTHS: [usize; 13] = [
    0,
    1,
    PIECE - 1,
    PIECE,
    PIECE + 1,
    2 * PIECE - 1,
    2 * PIECE,
    3 * PIECE,
    3 * PIECE + 1,
    70_000,
    LONGEST - PIECE,
    LONGEST - 1,
    LONGEST,
];

fn named(number: usize) -> Uuid {
    Uuid::from_u128(number as u128 + 1)
}

/// Bytes of which no two pieces are alike.
fn bytes(length: usize, stamp: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 97 + stamp) as u8).collect()
}

#[test]
fn note_holds_what_was_last_set() {
    let mut stage = Stage::new();
    for (index, length) in LENGTHS.into_iter().enumerate() {
        stage.store.set_note(named(index), &bytes(length, index)).unwrap();
    }
    // From each length to each other one: longer, shorter and the same.
    for turn in 0..LENGTHS.len() {
        for index in 0..LENGTHS.len() {
            let length = LENGTHS[(index + turn) % LENGTHS.len()];
            stage.store.set_note(named(index), &bytes(length, index * turn)).unwrap();
        }
        if turn % 4 == 1 {
            stage.reopen();
        }
        for index in 0..LENGTHS.len() {
            let length = LENGTHS[(index + turn) % LENGTHS.len()];
            assert!(stage.store.note(named(index)).unwrap() == bytes(length, index * turn), "note {index} in turn {turn}");
        }
        expect_clean(&stage.store);
    }
}

#[test]
fn notes_are_listed_in_order_of_creation() {
    let mut stage = Stage::new();
    for index in [3, 1, 2, 0] {
        stage.store.set_note(named(index), b"first").unwrap();
    }
    stage.store.set_note(named(2), b"again").unwrap();
    assert_eq!(stage.store.notes(), [3, 1, 2, 0].map(named));
    stage.store.delete_note(named(1)).unwrap();
    stage.store.set_note(named(1), b"anew").unwrap();
    for _ in 0..2 {
        assert_eq!(stage.store.notes(), [3, 2, 0, 1].map(named));
        assert_eq!(stage.store.info().notes, 4);
        stage.reopen();
    }
    expect_clean(&stage.store);
}

#[test]
fn deleted_note_is_not_found() {
    let mut stage = Stage::new();
    for (index, length) in LENGTHS.into_iter().enumerate() {
        stage.store.set_note(named(index), &bytes(length, index)).unwrap();
    }
    for index in (0..LENGTHS.len()).step_by(2) {
        stage.store.delete_note(named(index)).unwrap();
    }
    for _ in 0..2 {
        for (index, length) in LENGTHS.into_iter().enumerate() {
            if index % 2 == 0 {
                assert_eq!(stage.store.note(named(index)).unwrap_err().kind(), ErrorKind::NotFound);
                assert_eq!(stage.store.delete_note(named(index)).unwrap_err().kind(), ErrorKind::NotFound);
            } else {
                assert!(stage.store.note(named(index)).unwrap() == bytes(length, index));
            }
        }
        expect_clean(&stage.store);
        stage.reopen();
    }
}

#[test]
fn notes_give_back_all_that_they_took() {
    let stage = Stage::new();
    let metadata = || {
        stage.store.flush().unwrap();
        stage.store.usage().metadata_bytes
    };
    stage.store.set_note(named(0), b"the first").unwrap();
    let before = metadata();
    for (index, length) in LENGTHS.into_iter().enumerate() {
        stage.store.set_note(named(index + 1), &bytes(length, index)).unwrap();
    }
    assert!(metadata() > before + 3 * LONGEST as u64);
    (0..LENGTHS.len()).for_each(|index| stage.store.delete_note(named(index + 1)).unwrap());
    assert_eq!(metadata(), before);
    expect_clean(&stage.store);
}

#[test]
fn notes_have_a_name_space_of_their_own() {
    let mut stage = Stage::new();
    let [drive, snapshot] = [0, 1].map(named);
    let options = |uuid| SnapshotOptions::named("s").uuid(uuid);
    stage.store.set_note(snapshot, b"note").unwrap();
    let made = stage.store.create_drive(DriveOptions::new(BLOCK).uuid(drive).attributes(b"of the drive")).unwrap();
    stage.store.set_note(drive, b"note of the same uuid").unwrap();
    made.snapshot(options(snapshot)).unwrap();
    drop(made);
    stage.reopen();
    assert_eq!(stage.store.note(drive).unwrap(), b"note of the same uuid");
    stage.store.delete_note(snapshot).unwrap();
    let made = stage.store.drive(drive).unwrap();
    assert_eq!(made.attributes().unwrap(), b"of the drive");
    assert_eq!(stage.store.snapshot(snapshot).unwrap().attributes().unwrap(), b"");
    made.delete().unwrap();
    assert_eq!(stage.store.notes(), [drive], "the note stays when the drive goes");
    expect_clean(&stage.store);
}

#[test]
fn note_that_is_too_long_is_refused_and_nothing_changes() {
    let store = memory_store();
    store.set_note(named(0), b"short").unwrap();
    for index in [0, 1] {
        let error = store.set_note(named(index), &vec![1; LONGEST + 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains(&named(index).to_string()), "the message does not name the note: {error}");
    }
    assert_eq!((store.notes(), store.note(named(0)).unwrap()), (vec![named(0)], b"short".to_vec()));
}

#[test]
fn threads_set_notes_side_by_side() {
    const THREADS: usize = 4;
    let mut stage = Stage::new();
    let store = &stage.store;
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                for turn in 0..20 {
                    store.set_note(named(thread), &bytes(turn * 300, thread + turn)).unwrap();
                    store.set_note(named(THREADS), &vec![thread as u8; 3000]).unwrap();
                }
            });
        }
    });
    for _ in 0..2 {
        assert_eq!(stage.store.info().notes, THREADS as u64 + 1);
        for thread in 0..THREADS {
            assert!(stage.store.note(named(thread)).unwrap() == bytes(19 * 300, thread + 19));
        }
        let common = stage.store.note(named(THREADS)).unwrap();
        assert!(common == vec![common[0]; 3000], "the note is of several calls");
        stage.reopen();
    }
    expect_clean(&stage.store);
}
