//! What happens when the file is cut off?

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use floe::{Drive, ErrorKind, Snapshot, Store};

use crate::child::{Ending, here, in_child};
use crate::memory::PAGE;
use crate::stage::{BLOCK, DRIVE_BLOCKS, LONG, Stage, content, expect_whole, freeze, image, place_of, read, snapshot_of};

#[test]
fn a_cut_file_is_an_io_error_where_it_is_cut_and_nowhere_else() {
    in_child(here!(), Ending::Lives, || {
        let stage = Stage::new();
        let (kept, unshared, lost) = (stage.drive("k"), stage.drive("u"), stage.drive("l"));
        let (kept_snapshot, lost_snapshot) = (freeze(&kept), freeze(&lost));
        let fingerprint = kept_snapshot.fingerprint().unwrap();
        expect_whole(&lost, "l");
        stage.cut(place_of(&lost_snapshot));

        for _ in 0..2 {
            assert_eq!(read(&lost, 3, PAGE), Err(ErrorKind::Io), "a copy out of the map");
            assert_eq!(read(&lost, 3, LONG), Err(ErrorKind::Io), "a read of the file");
            assert_eq!(lost_snapshot.read_at(&mut [0; 100], 0).unwrap_err().kind(), ErrorKind::Io);
            assert_eq!(image(&lost_snapshot), Err(ErrorKind::Io));
            assert_eq!(lost_snapshot.fingerprint().unwrap_err().kind(), ErrorKind::Io);
            expect_whole(&kept, "k");
            assert!(image(&kept_snapshot).unwrap() == content("k", 0..DRIVE_BLOCKS));
            assert_eq!(kept_snapshot.fingerprint().unwrap(), fingerprint);
            assert_eq!(kept_snapshot.allocated_size().unwrap(), 0);
        }

        // A file that is too short keeps nothing, so nothing is acknowledged any more (D6).
        unshared.write_at(b"new", 0).unwrap();
        let error = stage.store.flush().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.to_string().contains("cut off to"), "{error}");
        for refused in [kept.write_at(b"newer", 0), stage.store.flush(), kept_snapshot.delete(), stage.store.close()] {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::Poisoned);
        }
    });
}

#[test]
fn a_flush_that_overwrites_in_place_notices_a_cut_too() {
    in_child(here!(), Ending::Lives, || {
        let stage = Stage::new();
        let drive = stage.drive("d");
        drive.write_at(b"once", 0).unwrap();
        stage.store.flush().unwrap();
        drive.write_at(b"more", 0).unwrap();
        stage.cut((512 << 20) - 1);
        assert_eq!(stage.store.flush().unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(stage.store.flush().unwrap_err().kind(), ErrorKind::Poisoned);
        assert!(read(&drive, 1, PAGE).unwrap() == content("d", 1..2));
    });
}

#[test]
fn holes_that_a_write_behind_the_cut_leaves_are_not_taken_for_data() {
    in_child(here!(), Ending::Lives, || {
        let stage = Stage::new();
        let (kept, lost, last) = (stage.drive("k"), stage.drive("l"), stage.drive("w"));
        last.write_at(b"first", 0).unwrap();
        stage.store.flush().unwrap();
        let place = place_of(&freeze(&lost));
        last.write_at(b"again", 0).unwrap();
        stage.cut(place);
        // Each of these lengthens the file again, until one of them looks at its length.
        let refused = (0..100).find_map(|turn| last.write_at(b"again", turn % DRIVE_BLOCKS * BLOCK).err());
        assert_eq!(refused.expect("a cut file is noticed within some writes").kind(), ErrorKind::Io);
        for _ in 0..2 {
            for len in [PAGE, LONG] {
                assert_eq!(read(&lost, 3, len), Err(ErrorKind::Io));
            }
            assert_eq!(image(&snapshot_of(&lost)), Err(ErrorKind::Io));
            expect_whole(&kept, "k");
        }
        // What was refused had changed nothing; the flush is the first to write.
        assert_eq!(stage.store.flush().unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(stage.store.flush().unwrap_err().kind(), ErrorKind::Poisoned);
    });
}

#[test]
fn slices_that_were_lent_before_a_cut_are_told_of_at_the_next_step() {
    in_child(here!(), Ending::Lives, || {
        let stage = Stage::new();
        let drive = stage.drive("d");
        // Two extents: the one in the middle is a hole.
        drive.discard(8 * BLOCK..16 * BLOCK).unwrap();
        let snapshot = freeze(&drive);
        let kept: Vec<_> = snapshot.extents().map(Result::unwrap).collect();
        assert_eq!(kept.len(), 2);
        let mut extents = snapshot.extents();
        let first = extents.next().unwrap().unwrap();
        first.confirm().unwrap();
        stage.cut(place_of(&snapshot) + 4 * BLOCK);

        // Read by another thread, as an export would: it gets zeroes, and the process lives.
        let zeroes = thread::scope(|scope| scope.spawn(|| first.data[4 * PAGE..].iter().all(|byte| *byte == 0)).join().unwrap());
        assert!(zeroes, "what is gone reads as zeroes");
        assert!(first.data[..4 * PAGE] == content("d", 0..4), "what is there is what it was");
        assert_eq!(extents.next().unwrap().unwrap_err().kind(), ErrorKind::Io);
        assert!(extents.next().is_none(), "an iterator ends with its error");
        for extent in kept {
            assert_eq!(extent.confirm().unwrap_err().kind(), ErrorKind::Io);
        }
        // The zeroes stay in the map, and nobody takes them for data.
        assert_eq!(snapshot.extents().next().unwrap().unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(snapshot.fingerprint().unwrap_err().kind(), ErrorKind::Io);
    });
}

#[test]
fn the_last_extent_is_told_of_too() {
    in_child(here!(), Ending::Lives, || {
        let stage = Stage::new();
        let snapshot = freeze(&stage.drive("d"));
        let mut extents = snapshot.extents();
        let only = extents.next().unwrap().unwrap();
        assert_eq!(only.data.len() as u64, DRIVE_BLOCKS * BLOCK);
        stage.cut(place_of(&snapshot) + 9 * BLOCK);
        assert_eq!(only.data.last(), Some(&0));
        assert_eq!(extents.next().unwrap().unwrap_err().kind(), ErrorKind::Io);
        assert!(extents.next().is_none());
    });
}

#[test]
fn threads_that_read_while_the_file_is_cut_get_the_bytes_or_an_io_error() {
    in_child(here!(), Ending::Lives, || {
        for turn in 0..4_u64 {
            let stage = Stage::new();
            let names = ["a", "b", "c", "d"];
            let drives: Vec<Drive> = names.iter().map(|name| stage.drive(name)).collect();
            let snapshots: Vec<Snapshot> = drives.iter().map(freeze).collect();
            let begin = place_of(&snapshots[0]);
            let length = begin + turn * 300 * BLOCK;
            let (cut, reads) = (AtomicBool::new(false), AtomicU64::new(0));
            thread::scope(|scope| {
                for worker in 0..4_usize {
                    let (stage, drives, snapshots, cut, reads) = (&stage, &drives, &snapshots, &cut, &reads);
                    scope.spawn(move || {
                        let mut after = 0;
                        while after < 40 {
                            after += u64::from(cut.load(Ordering::Relaxed));
                            let index = (reads.fetch_add(1, Ordering::Relaxed) as usize + worker) % names.len();
                            look_around(&stage.store, &drives[index], &snapshots[index], names[index], after);
                        }
                    });
                }
                while reads.load(Ordering::Relaxed) < 40 {
                    thread::yield_now();
                }
                stage.cut(length);
                cut.store(true, Ordering::Relaxed);
            });
            assert!(matches!(stage.store.flush().map_err(|error| error.kind()), Ok(()) | Err(ErrorKind::Io)));
        }
    });
}

/// Everything that reads says what was written, or `Io`.
fn look_around(store: &Store, drive: &Drive, snapshot: &Snapshot, name: &str, turn: u64) {
    let block = turn * 31 % (DRIVE_BLOCKS - 32);
    for len in [PAGE, LONG] {
        match read(drive, block, len) {
            Ok(bytes) => assert!(bytes == content(name, block..block + len as u64 / BLOCK), "block {block} of {name}"),
            Err(kind) => assert_eq!(kind, ErrorKind::Io),
        }
    }
    let expect_io = |result: floe::Result<()>| {
        if let Err(error) = result {
            assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        }
    };
    if turn.is_multiple_of(8) {
        match image(snapshot) {
            Ok(bytes) => assert!(bytes == content(name, 0..DRIVE_BLOCKS), "the image of {name}"),
            Err(kind) => assert_eq!(kind, ErrorKind::Io),
        }
    }
    expect_io(snapshot.info().map(drop));
    expect_io(drive.info().map(drop));
    expect_io(snapshot.diff_drive(drive).and_then(|mut changes| changes.try_for_each(|change| change.map(drop))));
    expect_io(drive.mapped_ranges().try_for_each(|range| range.map(drop)));
    assert!(store.usage().capacity_bytes > 0);
}
