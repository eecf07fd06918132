//! What happens when a page of the map cannot be read?

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use floe::{Drive, DriveOptions, ErrorKind, Snapshot, SnapshotOptions, Store};

use crate::child::{Ending, here, in_child};
use crate::memory::{PAGE, break_pages, fill_up_maps, maps_of};
use crate::stage::{BLOCK, DRIVE_BLOCKS, Stage, content, expect_whole, freeze, image, place_of, read, snapshot_of};

#[test]
fn a_page_of_data_that_cannot_be_read_through_the_map_is_read_from_the_file() {
    in_child(here!(), Ending::Lives, || {
        let stage = Stage::new();
        let (broken, other) = (stage.drive("b"), stage.drive("o"));
        let (snapshot, other_snapshot) = (freeze(&broken), freeze(&other));
        let mut extents = snapshot.extents();
        let extent = extents.next().unwrap().unwrap();
        let place = place_of(&snapshot);
        break_pages(extent.data[7 * PAGE..].as_ptr().addr(), 1);

        // The copy out of the map meets the fault in its middle.
        assert!(read(&broken, 4, 8 * PAGE).unwrap() == content("b", 4..12));
        assert!(read(&broken, 7, PAGE).unwrap() == content("b", 7..8));
        expect_whole(&broken, "b");
        // What is lent cannot be mended.
        assert!(extent.data[7 * PAGE..8 * PAGE].iter().all(|byte| *byte == 0));
        assert_eq!(extents.next().unwrap().unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(snapshot.fingerprint().unwrap_err().kind(), ErrorKind::Io);
        assert!(image(&other_snapshot).unwrap() == content("o", 0..DRIVE_BLOCKS), "other data is lent as before");

        // It is no reason to refuse anything.
        broken.write_at(b"new", 7 * BLOCK).unwrap();
        stage.store.flush().unwrap();
        assert!(stage.store.check().unwrap().is_clean());

        stage.cut(place + 2 * BLOCK);
        assert_eq!(snapshot.read_at(&mut [0; 10], 7 * BLOCK).unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(read(&other, 0, PAGE), Err(ErrorKind::Io));
        assert_eq!(read(&broken, 0, PAGE).map(|bytes| bytes == content("b", 0..1)), Ok(true));

        drop(extents);
        let path = stage.path();
        assert_eq!(maps_of(&path).len(), 2 + 1, "pages, data, and data behind the page that was replaced");
        drop((snapshot, other_snapshot, broken, other, stage.store));
        assert!(maps_of(&path).is_empty(), "a store that is gone is not mapped");
    });
}

/// The pages of the store's trees in group 0, where a store of this size has all of them.
fn tree_pages(path: &Path) -> Vec<(u64, [u8; PAGE])> {
    let file = File::open(path).unwrap();
    let mut pages = Vec::new();
    for number in 256..4096 {
        let mut page = [0; PAGE];
        file.read_exact_at(&mut page, number * BLOCK).unwrap();
        if page[..4] == *b"FLPG" {
            pages.push((number, page));
        }
    }
    pages
}

/// Where the engine looks at pages of metadata: the map of the store that lends no data.
fn metadata_map(path: &Path, snapshot: &Snapshot) -> usize {
    let data = snapshot.extents().next().unwrap().unwrap().data.as_ptr().addr();
    let maps: Vec<_> = maps_of(path).into_iter().filter(|map| !map.contains(&data)).collect();
    assert_eq!(maps.len(), 1, "pages and data are mapped apart");
    maps[0].start
}

const SCATTERED: u64 = 1 << 40;

/// A store with a drive "a" whose table has keys from `SCATTERED` blocks on, and a drive "b", opened anew so that nothing of it is
/// on the heap.
fn two_drives() -> (Stage, Drive, Drive) {
    let stage = Stage::new();
    let size = 2 * SCATTERED * BLOCK;
    let a = stage.store.create_drive(DriveOptions::new(size).name("a")).unwrap();
    for index in 0..600 {
        a.write_at(b"scattered", (SCATTERED + index * 3) * BLOCK).unwrap();
    }
    a.snapshot(SnapshotOptions::named("of a")).unwrap();
    a.write_at(b"later", SCATTERED * BLOCK).unwrap();
    let b = stage.drive("b");
    b.snapshot(SnapshotOptions::named("of b")).unwrap();
    stage.store.close().unwrap();
    drop((a, b));
    reopened(stage.directory)
}

fn reopened(directory: tempfile::TempDir) -> (Stage, Drive, Drive) {
    let store = Store::options().open(directory.path().join("store.floe")).unwrap();
    let named = |name: &str| store.drives().into_iter().find(|drive| drive.name().unwrap() == name).unwrap();
    let (a, b) = (named("a"), named("b"));
    (Stage { directory, store }, a, b)
}

#[test]
fn a_page_of_a_table_that_cannot_be_read_is_an_io_error_for_its_drive_alone() {
    in_child(here!(), Ending::Lives, || {
        let (stage, a, b) = two_drives();
        let map = metadata_map(&stage.path(), &snapshot_of(&b));
        let at = |index: u64| (SCATTERED + index * 3) * BLOCK;
        let mut bytes = [0; 9];
        a.read_at(&mut bytes, at(400)).unwrap();
        assert_eq!(&bytes, b"scattered");

        // All leaves of a's table; they have been read and found right.
        let is_a = |page: &[u8; PAGE]| page[8] == 2 && u64::from_le_bytes(page[32..40].try_into().unwrap()) >= SCATTERED;
        let leaves: Vec<u64> = tree_pages(&stage.path()).iter().filter(|(_, page)| is_a(page)).map(|(page, _)| *page).collect();
        assert!(leaves.len() > 3, "{leaves:?}");
        for page in leaves {
            break_pages(map + (page * BLOCK) as usize, 1);
        }
        for _ in 0..2 {
            let error = a.read_at(&mut bytes, at(400)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io, "{error}");
            assert!(error.to_string().contains("page"), "{error}");
            assert_eq!(a.write_at(b"new", at(400)).unwrap_err().kind(), ErrorKind::Io);
            assert_eq!(a.mapped_ranges().next().unwrap().unwrap_err().kind(), ErrorKind::Io);
            expect_whole(&b, "b");
        }
        // Everything else goes on.
        b.write_at(b"new", 0).unwrap();
        let snapshot = b.snapshot(SnapshotOptions::named("new")).unwrap();
        b.write_at(b"newer", 0).unwrap();
        stage.store.flush().unwrap();
        assert_eq!(snapshot.allocated_size().unwrap(), BLOCK);
        assert!(stage.store.check().unwrap().is_clean(), "what is on the device is in order");
        stage.store.close().unwrap();
        drop((a, b, snapshot));
        let (_stage, a, b) = reopened(stage.directory);
        a.read_at(&mut bytes, at(400)).unwrap();
        assert_eq!(&bytes, b"scattered", "a new map reads what the old one could not");
        assert_eq!(&read(&b, 0, 5).unwrap(), b"newer");
    });
}

/// Whatever the operation is, it works, or says one of these.
fn is_honest<T>(result: floe::Result<T>, doing: &str, page: u64) -> Option<T> {
    match result {
        Ok(done) => Some(done),
        Err(error) => {
            let kind = error.kind();
            assert!(matches!(kind, ErrorKind::Io | ErrorKind::Poisoned), "page {page}, {doing}: {kind:?}: {error}");
            None
        }
    }
}

#[test]
fn threads_that_look_at_tables_while_all_pages_go_get_the_truth_or_an_io_error() {
    in_child(here!(), Ending::Lives, || {
        let (stage, ..) = two_drives();
        stage.store.close().unwrap();
        let kept = stage.directory.path().join("kept.floe");
        copy_sparse(&stage.path(), &kept);
        let mut failed = 0;
        for turn in 0..60_u64 {
            let directory = quick_directory();
            copy_sparse(&kept, &directory.path().join("store.floe"));
            let (stage, a, b) = reopened(directory);
            let snapshot = snapshot_of(&a);
            let (cut, looks, errors) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
            thread::scope(|scope| {
                for worker in 0..3 {
                    let (store, a, b, snapshot, cut, looks, errors) = (&stage.store, &a, &b, &snapshot, &cut, &looks, &errors);
                    scope.spawn(move || {
                        let mut after = 0;
                        while after < 5 {
                            after += u64::from(cut.load(Ordering::Relaxed));
                            looks.fetch_add(1, Ordering::Relaxed);
                            let is_true = look_at_tables(store, a, b, snapshot, worker == 0);
                            errors.fetch_add(u64::from(!is_true), Ordering::Relaxed);
                        }
                    });
                }
                while looks.load(Ordering::Relaxed) < 10 + turn % 7 {
                    thread::yield_now();
                }
                stage.cut(2 * BLOCK);
                cut.store(true, Ordering::Relaxed);
            });
            failed += u64::from(errors.load(Ordering::Relaxed) > 0);
        }
        assert_eq!(failed, 60, "without its pages no store can be read");
    });
}

/// Looks at all that is in tables, or changes them; false if something could not be read.
fn look_at_tables(store: &Store, a: &Drive, b: &Drive, snapshot: &Snapshot, writes: bool) -> bool {
    let mut is_true = true;
    let mut note = |is_ok: bool| is_true &= is_ok;
    if writes {
        note(is_honest(b.discard(0..BLOCK), "discard", 0).is_some());
        note(is_honest(a.write_at(b"more", (SCATTERED + 1) * BLOCK), "write", 0).is_some());
        note(is_honest(a.discard((SCATTERED + 1) * BLOCK..(SCATTERED + 2) * BLOCK), "discard", 0).is_some());
        note(is_honest(store.flush(), "flush", 0).is_some());
        return is_true;
    }
    note(is_honest(snapshot.info(), "info", 0).map(|info| assert_eq!(info.referenced_bytes, 600 * BLOCK)).is_some());
    let changes = snapshot.diff_drive(a).unwrap().collect::<floe::Result<Vec<_>>>();
    note(is_honest(changes, "diff", 0).map(|changes| assert!((1..=2).contains(&changes.len()), "{changes:?}")).is_some());
    let extents = snapshot.extents().map(|extent| extent.map(drop)).collect::<floe::Result<Vec<_>>>();
    note(is_honest(extents, "extents", 0).map(|extents| assert_eq!(extents.len(), 600)).is_some());
    note(is_honest(snapshot.allocated_size(), "size", 0).map(|size| assert_eq!(size, BLOCK)).is_some());
    is_true
}

#[test]
fn no_page_of_metadata_that_cannot_be_read_leads_to_a_panic_or_a_wrong_answer() {
    in_child(here!(), Ending::Lives, || {
        let (stage, ..) = two_drives();
        let mut pages: Vec<u64> = tree_pages(&stage.path()).iter().map(|(page, _)| *page).collect();
        // The slots of the bitmaps and checksums of groups 0 and 1.
        pages.extend((2..68).chain(32_768 + 2..32_768 + 68));
        let kept = stage.directory.path().join("kept.floe");
        stage.store.close().unwrap();
        copy_sparse(&stage.path(), &kept);
        let (mut failed, mut worked) = (0, 0);
        for page in pages {
            let directory = quick_directory();
            copy_sparse(&kept, &directory.path().join("store.floe"));
            let (stage, a, b) = reopened(directory);
            let store = &stage.store;
            // Known as right, before it cannot be read any more.
            let (of_a, of_b) = (snapshot_of(&a), snapshot_of(&b));
            of_a.info().unwrap();
            a.read_at(&mut [0; 9], SCATTERED * BLOCK).unwrap();
            let map = metadata_map(&stage.path(), &of_b);
            break_pages(map + (page * BLOCK) as usize, 1);

            let mut seen = 0;
            let mut note = |is_ok: bool| seen += u64::from(!is_ok);
            for index in [0, 599] {
                let mut bytes = [0; 9];
                let result = of_a.read_at(&mut bytes, (SCATTERED + index * 3) * BLOCK);
                note(is_honest(result, "read", page).map(|()| assert_eq!(&bytes, b"scattered")).is_some());
            }
            note(is_honest(of_a.info(), "info", page).map(|info| assert_eq!(info.allocated_bytes, BLOCK)).is_some());
            let ranges = is_honest(a.mapped_ranges().collect::<floe::Result<Vec<_>>>(), "ranges", page);
            note(ranges.map(|ranges| assert_eq!(ranges.len(), 600)).is_some());
            let changes = of_a.diff_drive(&a).unwrap().collect::<floe::Result<Vec<_>>>();
            note(is_honest(changes, "diff", page).map(|changes| assert_eq!(changes.len(), 1)).is_some());
            note(is_honest(of_a.fingerprint(), "fingerprint", page).is_some());
            note(is_honest(a.write_at(b"over", SCATTERED * BLOCK), "overwrite", page).is_some());
            note(is_honest(a.write_at(b"new", (SCATTERED + 1) * BLOCK), "write", page).is_some());
            note(is_honest(b.write_at(&content("b", 0..9), 0), "write the same", page).is_some());
            note(is_honest(store.flush(), "flush", page).is_some());
            note(is_honest(a.snapshot(SnapshotOptions::named("late")), "snapshot", page).is_some());
            note(is_honest(a.discard(0..(SCATTERED + 300) * BLOCK), "discard", page).is_some());
            note(is_honest(of_a.clone_drive(DriveOptions::named("c")), "clone", page).is_some());
            drop(of_a.clone());
            note(is_honest(of_a.delete(), "delete", page).is_some());
            drop(of_a);
            note(is_honest(store.reclaim(10_000), "reclaim", page).is_some());
            note(is_honest(store.check(), "check", page).map(|report| assert!(report.is_clean(), "{report:?}")).is_some());
            note(is_honest(store.close(), "close", page).is_some());
            let directory = stage.directory;
            drop((a, b, of_b));
            let store = Store::options().open(directory.path().join("store.floe")).unwrap();
            assert!(store.check().unwrap().is_clean(), "page {page}: what was committed is whole");
            *if seen > 0 { &mut failed } else { &mut worked } += 1;
        }
        assert!(failed > 10 && worked > 10, "{failed} pages made a difference, {worked} did not");
    });
}

/// In memory, where there is such a place: many commits wait for many syncs.
fn quick_directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn copy_sparse(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("--sparse=always").args([from, to]).status().unwrap();
    assert!(status.success());
}

#[test]
fn more_faults_than_the_system_allows_maps_end_nobody() {
    in_child(here!(), Ending::Lives, || {
        const PAGES: u64 = 8000;
        let stage = Stage::new();
        let other = stage.drive("o");
        let broken = stage.store.create_drive(DriveOptions::new(PAGES * BLOCK)).unwrap();
        broken.write_at(&content("b", 0..PAGES), 0).unwrap();
        let snapshot = freeze(&broken);
        let mut extents = snapshot.extents();
        let extent = extents.next().unwrap().unwrap();
        assert_eq!(extent.data.len() as u64, PAGES * BLOCK);
        stage.cut(place_of(&snapshot));
        // Each page that is replaced costs up to two maps, and each second one, so that no two become one map.
        let filled = fill_up_maps(PAGES as usize / 2);
        for page in extent.data.chunks(2 * PAGE) {
            assert_eq!(page[0], 0);
        }
        drop(filled);
        assert_eq!(extents.next().unwrap().unwrap_err().kind(), ErrorKind::Io);
        expect_whole(&other, "o");
    });
}
