//! What does a bookmark tell of snapshots, and one that a snapshot left with it?

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use floe::{Bookmark, ChangeKind, Drive, DriveOptions, ErrorKind, Snapshot, SnapshotOptions, Store, Uuid};

use crate::instants::Stop;
use crate::picture::{BLOCK, drain, expect_clean, memory_store, stamp};

const BLOCKS: u64 = 16;

fn new_drive(store: &Store) -> Drive {
    store.create_drive(DriveOptions::new(BLOCKS * BLOCK).name("db")).unwrap()
}

fn write(drive: &Drive, block: u64, number: u64) {
    drive.write_at(&stamp(number), block * BLOCK).unwrap();
}

fn discard(drive: &Drive, blocks: Range<u64>) {
    drive.discard(blocks.start * BLOCK..blocks.end * BLOCK).unwrap();
}

fn take(drive: &Drive, name: &str) -> Snapshot {
    drive.snapshot(SnapshotOptions::named(name)).unwrap()
}

/// A snapshot and the bookmark that it leaves.
fn take_marked(store: &Store, drive: &Drive, name: &str) -> (Snapshot, Bookmark) {
    let uuid = Uuid::new_v4();
    let snapshot = drive.snapshot(SnapshotOptions::named(name).bookmark(uuid, format!("mark of {name}"))).unwrap();
    (snapshot, store.bookmark(uuid).unwrap())
}

/// In blocks; true where there is data.
fn blocks(changes: floe::Changes) -> Vec<(Range<u64>, bool)> {
    let in_blocks =
        |change: floe::Change| (change.range.start / BLOCK..change.range.end / BLOCK, change.kind == ChangeKind::Data);
    changes.map(|change| in_blocks(change.unwrap())).collect()
}

fn since(snapshot: &Snapshot, bookmark: &Bookmark) -> Vec<(Range<u64>, bool)> {
    blocks(snapshot.changes_since(bookmark).unwrap())
}

fn refused(snapshot: &Snapshot, bookmark: &Bookmark, kind: ErrorKind) {
    assert_eq!(snapshot.changes_since(bookmark).map(drop).unwrap_err().kind(), kind);
}

#[test]
fn changes_since_a_bookmark_are_those_up_to_the_snapshot_and_no_later_ones() {
    let store = memory_store();
    let drive = new_drive(&store);
    (0..6).for_each(|block| write(&drive, block, 1));
    let mark = drive.bookmark("mark").unwrap();
    write(&drive, 1, 2);
    discard(&drive, 3..4);
    drive.write_zeroes(4 * BLOCK..5 * BLOCK).unwrap();
    write(&drive, 9, 2);
    let first = take(&drive, "first");
    write(&drive, 0, 3);
    discard(&drive, 1..2);
    let second = take(&drive, "second");
    write(&drive, 5, 4);
    discard(&drive, 0..BLOCKS);
    assert_eq!(since(&first, &mark), [(1..2, true), (3..5, false), (9..10, true)]);
    assert_eq!(since(&second, &mark), [(0..1, true), (1..2, false), (3..5, false), (9..10, true)]);
    let cut = second.changes_since(&mark).unwrap().within(BLOCK..4 * BLOCK);
    assert_eq!(blocks(cut), [(1..2, false), (3..4, false)]);
    expect_clean(&store);
}

#[test]
fn bookmark_of_a_snapshot_is_its_very_moment() {
    let store = memory_store();
    let drive = new_drive(&store);
    (0..4).for_each(|block| write(&drive, block, 1));
    let epoch = store.info().epoch;
    let (base, mark) = take_marked(&store, &drive, "base");
    assert_eq!(store.info().epoch, epoch + 1, "one freeze");
    assert_eq!(mark.name().unwrap(), "mark of base");
    assert_eq!((mark.size_bytes().unwrap(), mark.referenced_size().unwrap()), (BLOCKS * BLOCK, 4 * BLOCK));
    assert_eq!(since(&base, &mark), []);
    // The bookmark is there from that instant on: what is discarded leaves a trace at once.
    discard(&drive, 0..1);
    write(&drive, 1, 2);
    assert_eq!(mark.allocated_size().unwrap(), base.allocated_size().unwrap());
    assert_eq!(mark.allocated_size().unwrap(), 2 * BLOCK);
    assert_eq!(blocks(mark.changed_ranges().unwrap()), [(0..1, false), (1..2, true)]);
    assert_eq!(since(&take(&drive, "next"), &mark), [(0..1, false), (1..2, true)]);
    expect_clean(&store);
}

#[test]
fn snapshot_and_its_bookmark_go_without_each_other() {
    for snapshot_first in [true, false] {
        let store = memory_store();
        let drive = new_drive(&store);
        (0..4).for_each(|block| write(&drive, block, 1));
        let (base, mark) = take_marked(&store, &drive, "base");
        write(&drive, 0, 2);
        if snapshot_first {
            base.delete().unwrap();
        } else {
            mark.delete().unwrap();
            refused(&base, &mark, ErrorKind::NotFound);
            assert_eq!(store.bookmark(mark.uuid()).map(drop).unwrap_err().kind(), ErrorKind::NotFound);
        }
        drop(base);
        drain(&store);
        expect_clean(&store);
        write(&drive, 1, 2);
        discard(&drive, 2..3);
        let next = take(&drive, "next");
        if snapshot_first {
            assert_eq!(since(&next, &mark), [(0..2, true), (2..3, false)]);
            mark.delete().unwrap();
        } else {
            store.snapshots()[0].delete().unwrap();
        }
        write(&drive, 3, 3);
        drain(&store);
        expect_clean(&store);
        next.delete().unwrap();
        drop(next);
        drain(&store);
        assert_eq!(store.usage().data_bytes, 3 * BLOCK);
        expect_clean(&store);
    }
}

#[test]
fn group_leaves_its_bookmarks_at_its_one_moment_or_nothing() {
    let store = memory_store();
    let (one, two) = (new_drive(&store), new_drive(&store));
    let [a, b, mark] = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()];
    let option = |uuid, mark| SnapshotOptions::named("g").uuid(uuid).bookmark(mark, "of g");
    // Every way in which a uuid stands twice.
    for second in [option(b, mark), option(b, a), option(b, b), option(a, Uuid::new_v4())] {
        let group = [(&one, option(a, mark)), (&two, second)];
        assert_eq!(store.snapshot_group(&group).map(drop).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    let taken = [(&one, option(a, mark)), (&two, option(b, one.uuid()))];
    assert_eq!(store.snapshot_group(&taken).map(drop).unwrap_err().kind(), ErrorKind::AlreadyExists);
    let long = [(&one, SnapshotOptions::named("g").bookmark(mark, "x".repeat(256)))];
    assert_eq!(store.snapshot_group(&long).map(drop).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!((store.info().snapshots, store.info().bookmarks), (0, 0));

    let group = [(&one, option(a, mark)), (&two, SnapshotOptions::named("g"))];
    let snapshots = store.snapshot_group(&group).unwrap();
    assert_eq!((one.info().unwrap().bookmarks, two.info().unwrap().bookmarks), (1, 0));
    let mark = store.bookmark(mark).unwrap();
    assert_eq!(since(&snapshots[0], &mark), []);
    refused(&snapshots[1], &mark, ErrorKind::InvalidArgument);
    expect_clean(&store);
}

#[test]
fn changes_since_refuses_what_it_cannot_tell() {
    let (store, elsewhere) = (memory_store(), memory_store());
    let drive = new_drive(&store);
    let old = take(&drive, "old");
    let mark = drive.bookmark("mark").unwrap();
    refused(&old, &mark, ErrorKind::InvalidArgument);
    let clone = old.clone_drive(DriveOptions::named("clone")).unwrap();
    refused(&take(&clone, "of the clone"), &mark, ErrorKind::InvalidArgument);
    refused(&take(&new_drive(&elsewhere), "elsewhere"), &mark, ErrorKind::InvalidArgument);
    refused(&take(&drive, "new"), &new_drive(&elsewhere).bookmark("elsewhere").unwrap(), ErrorKind::InvalidArgument);
    let new = take(&drive, "new");
    let begun = new.changes_since(&mark).unwrap();
    mark.delete().unwrap();
    refused(&new, &mark, ErrorKind::NotFound);
    assert_eq!(blocks(begun), []);
    let mark = drive.bookmark("again").unwrap();
    let newest = take(&drive, "newest");
    newest.delete().unwrap();
    refused(&newest, &mark, ErrorKind::NotFound);
}

#[test]
fn snapshot_that_a_revert_left_behind_still_tells_all_since_a_bookmark() {
    let store = memory_store();
    let drive = new_drive(&store);
    (0..6).for_each(|block| write(&drive, block, 1));
    let (base, mark) = take_marked(&store, &drive, "base");
    write(&drive, 0, 2);
    discard(&drive, 1..2);
    let (left, lost) = take_marked(&store, &drive, "left");
    // The bookmark of the meeting point is older than both lines, the one on the old line is of neither.
    drive.revert_to(&base).unwrap();
    refused(&left, &lost, ErrorKind::NotFound);
    assert_eq!(blocks(mark.changed_ranges().unwrap()), []);
    write(&drive, 2, 3);
    discard(&drive, 3..4);
    let (kept, _) = take_marked(&store, &drive, "kept");
    assert_eq!(since(&left, &mark), [(0..1, true), (1..2, false)]);
    assert_eq!(since(&kept, &mark), [(2..3, true), (3..4, false)]);
    // And back to the line that was left.
    drive.revert_to(&left).unwrap();
    discard(&drive, 4..5);
    assert_eq!(since(&take(&drive, "back"), &mark), [(0..1, true), (1..2, false), (4..5, false)]);
    expect_clean(&store);
}

#[test]
fn revert_to_what_another_drive_wrote_takes_even_the_bookmark_of_the_meeting_point() {
    let store = memory_store();
    let drive = new_drive(&store);
    (0..4).for_each(|block| write(&drive, block, 1));
    let (base, mark) = take_marked(&store, &drive, "base");
    let clone = base.clone_drive(DriveOptions::named("clone")).unwrap();
    // The clone has no bookmark, so this leaves no trace.
    discard(&clone, 0..2);
    drive.revert_to(&take(&clone, "thinned")).unwrap();
    refused(&take(&drive, "after"), &mark, ErrorKind::NotFound);
    expect_clean(&store);
}

#[test]
fn bookmarks_survive_a_reopening_with_their_snapshots() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.floe");
    let uuid = Uuid::new_v4();
    {
        let store = Store::options().capacity(1 << 30).create(&path).unwrap();
        let drive = new_drive(&store);
        write(&drive, 0, 1);
        drive.snapshot(SnapshotOptions::named("base").bookmark(uuid, "mark")).unwrap();
        discard(&drive, 0..1);
        take(&drive, "next");
        store.close().unwrap();
    }
    let store = Store::options().open(&path).unwrap();
    let mark = store.bookmark(uuid).unwrap();
    let told: Vec<_> = store.snapshots().iter().map(|snapshot| since(snapshot, &mark)).collect();
    assert_eq!(told, [vec![], vec![(0..1, false)]]);
    expect_clean(&store);
}

/// Whoever applies the changes from bookmark to bookmark has each image, however the drive is written and discarded meanwhile.
#[test]
fn increments_taken_under_writes_and_discards_rebuild_every_image() {
    const ROUNDS: usize = 60;
    let store = memory_store();
    let drive = new_drive(&store);
    let (stop, number) = (AtomicBool::new(false), AtomicU64::new(1));
    let whole = |snapshot: &Snapshot| {
        let mut bytes = vec![0; (BLOCKS * BLOCK) as usize];
        snapshot.read_at(&mut bytes, 0).unwrap();
        bytes
    };
    thread::scope(|scope| {
        let _stop = Stop(&stop);
        for writer in 0..2 {
            let (drive, stop, number) = (&drive, &stop, &number);
            scope.spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    let number = number.fetch_add(1, Ordering::SeqCst);
                    let block = number * 7 % BLOCKS;
                    if writer == 0 { write(drive, block, number) } else { discard(drive, block..(block + 3).min(BLOCKS)) }
                }
            });
        }
        let (mut base, mut mark) = take_marked(&store, &drive, "base");
        let mut copy = whole(&base);
        for _ in 0..ROUNDS {
            let (next, next_mark) = take_marked(&store, &drive, "next");
            base.delete().unwrap();
            for change in next.changes_since(&mark).unwrap() {
                let range = change.unwrap().range;
                next.read_at(&mut copy[range.start as usize..range.end as usize], range.start).unwrap();
            }
            assert!(copy == whole(&next), "an increment lacks something");
            mark.delete().unwrap();
            (base, mark) = (next, next_mark);
        }
    });
    drain(&store);
    expect_clean(&store);
}
