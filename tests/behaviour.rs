//! What does each promise of docs/durability.md and docs/accounting.md look like in a case small enough to see?
//!
//! Images are pictures, a character per block: a letter is a block full of it, `0` a block of zeroes, `.` a hole. Every
//! picture is played three times: in one go, with a commit after each step, and with the store reopened after each step.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use floe::{
    Bookmark, Change, ChangeKind, Device, Drive, DriveOptions, ErrorKind, MemoryDevice, Snapshot, SnapshotOptions, Store,
    StoreOptions,
};

const BLOCK: u64 = 4096;
const BLOCK_LEN: usize = BLOCK as usize;

// --- the language of pictures ----------------------------------------------------------------------------------------

/// Something that is done to the drive "d", or to another with [`on`].
#[derive(Clone, Debug)]
enum Step {
    Write(u64, &'static str),
    WriteZeroes(u64, u64),
    Discard(u64, u64),
    Resize(u64),
    Snapshot(&'static str),
    Bookmark(&'static str),
    Revert(&'static str),
    DeleteDrive,
    Clone(&'static str, &'static str),
    Group(&'static str, &'static str),
    DeleteSnapshot(&'static str),
    DeleteBookmark(&'static str),
    Create(&'static str, &'static str),
    On(&'static str, Box<Step>),
}

/// Writes the picture from `block` on.
fn write(block: u64, picture: &'static str) -> Step {
    Step::Write(block, picture)
}
fn write_zeroes(block: u64, count: u64) -> Step {
    Step::WriteZeroes(block, count)
}
fn discard(block: u64, count: u64) -> Step {
    Step::Discard(block, count)
}
fn resize(blocks: u64) -> Step {
    Step::Resize(blocks)
}
fn snapshot(name: &'static str) -> Step {
    Step::Snapshot(name)
}
fn bookmark(name: &'static str) -> Step {
    Step::Bookmark(name)
}
fn revert(snapshot: &'static str) -> Step {
    Step::Revert(snapshot)
}
fn delete_drive(name: &'static str) -> Step {
    on(name, Step::DeleteDrive)
}
fn clone(snapshot: &'static str, name: &'static str) -> Step {
    Step::Clone(snapshot, name)
}
/// Snapshots "d" and another drive at one instant, as `name` and `name` with a stroke.
fn group(other: &'static str, name: &'static str) -> Step {
    Step::Group(other, name)
}
fn delete(snapshot: &'static str) -> Step {
    Step::DeleteSnapshot(snapshot)
}
fn delete_bookmark(name: &'static str) -> Step {
    Step::DeleteBookmark(name)
}
fn create(name: &'static str, picture: &'static str) -> Step {
    Step::Create(name, picture)
}
fn on(drive: &'static str, step: Step) -> Step {
    Step::On(drive, Box::new(step))
}

/// What must be true at the end. Sizes are in blocks.
#[derive(Clone, Debug)]
enum Expectation {
    Drive(&'static str, &'static str),
    Snapshot { name: &'static str, picture: &'static str, exclusive_charged_allocated: Option<[u64; 3]> },
    Bookmark { name: &'static str, allocated: u64, changed: &'static str },
    Data(u64),
    Nothing(&'static str),
}

fn drive(picture: &'static str) -> Expectation {
    Expectation::Drive("d", picture)
}
fn other(name: &'static str, picture: &'static str) -> Expectation {
    Expectation::Drive(name, picture)
}
fn snap(name: &'static str, picture: &'static str) -> Expectation {
    Expectation::Snapshot { name, picture, exclusive_charged_allocated: None }
}
/// A snapshot with its exclusive, charged and allocated size.
fn sized(name: &'static str, picture: &'static str, exclusive_charged_allocated: [u64; 3]) -> Expectation {
    Expectation::Snapshot { name, picture, exclusive_charged_allocated: Some(exclusive_charged_allocated) }
}
/// A bookmark with its allocated size; `changed` marks the blocks that changed since with a letter.
fn marked(name: &'static str, allocated: u64, changed: &'static str) -> Expectation {
    Expectation::Bookmark { name, allocated, changed }
}
/// Blocks that the store uses once everything deleted is reclaimed (A7).
fn data(blocks: u64) -> Expectation {
    Expectation::Data(blocks)
}
/// No bookmark of this name is left.
fn no_bookmark(name: &'static str) -> Expectation {
    Expectation::Nothing(name)
}

fn check(initial: &'static str, steps: impl IntoIterator<Item = Step>, expected: impl IntoIterator<Item = Expectation>) {
    let steps: Vec<Step> = steps.into_iter().collect();
    let expected: Vec<Expectation> = expected.into_iter().collect();
    for between in [Between::Nothing, Between::Flush, Between::Reopen] {
        let mut stage = Stage::new();
        stage.play(&create("d", initial));
        for step in &steps {
            stage.between(between);
            stage.play(step);
        }
        let place = format!("{steps:?} with {between:?} between");
        stage.expect(&expected, &place);
        stage.reopen();
        stage.expect(&expected, &format!("{place}, reopened"));
    }
}

#[derive(Clone, Copy, Debug)]
enum Between {
    Nothing,
    Flush,
    Reopen,
}

/// Enough for everything but the test that fills it.
const CAPACITY_BYTES: u64 = 1 << 30;

struct Stage {
    device: Arc<MemoryDevice>,
    store: Store,
}

impl Stage {
    fn new() -> Self {
        Self::of_capacity(CAPACITY_BYTES)
    }

    fn of_capacity(bytes: u64) -> Self {
        let device = Arc::new(MemoryDevice::new(bytes).unwrap());
        let store = Store::options().create_on(Arc::clone(&device) as Arc<dyn Device>).unwrap();
        Self { device, store }
    }

    fn reopen(&mut self) {
        self.store.close().unwrap();
        self.store = Store::options().open_on(Arc::clone(&self.device) as Arc<dyn Device>).unwrap();
    }

    fn between(&mut self, between: Between) {
        match between {
            Between::Nothing => {}
            Between::Flush => self.store.flush().unwrap(),
            Between::Reopen => self.reopen(),
        }
    }

    fn drive(&self, name: &str) -> Drive {
        drive_named(&self.store, name)
    }

    fn snapshot(&self, name: &str) -> Snapshot {
        self.store.snapshots().into_iter().find(|snapshot| snapshot.name().unwrap() == name).unwrap()
    }

    fn bookmark(&self, name: &str) -> Option<Bookmark> {
        let bookmarks = self.store.drives().into_iter().flat_map(|drive| drive.bookmarks().unwrap());
        bookmarks.into_iter().find(|bookmark| bookmark.name().unwrap() == name)
    }

    fn play(&self, step: &Step) {
        self.play_on("d", step);
    }

    fn play_on(&self, name: &str, step: &Step) {
        let drive = || self.drive(name);
        match step {
            Step::Write(block, picture) => write_picture(&drive(), *block, picture),
            Step::WriteZeroes(block, count) => drive().write_zeroes(block * BLOCK..(block + count) * BLOCK).unwrap(),
            Step::Discard(block, count) => drive().discard(block * BLOCK..(block + count) * BLOCK).unwrap(),
            Step::Resize(blocks) => drive().resize(blocks * BLOCK).unwrap(),
            Step::Snapshot(snapshot) => drop(drive().snapshot(SnapshotOptions::named(*snapshot)).unwrap()),
            Step::Bookmark(bookmark) => drop(drive().bookmark(bookmark).unwrap()),
            Step::Revert(snapshot) => drive().revert_to(&self.snapshot(snapshot)).unwrap(),
            Step::DeleteDrive => drive().delete().unwrap(),
            Step::Clone(snapshot, copy) => drop(self.snapshot(snapshot).clone_drive(DriveOptions::named(*copy)).unwrap()),
            Step::Group(other, snapshot) => {
                let (one, two) = (drive(), self.drive(other));
                let second = SnapshotOptions::named(format!("{snapshot}'"));
                drop(self.store.snapshot_group(&[(&one, SnapshotOptions::named(*snapshot)), (&two, second)]).unwrap());
            }
            Step::DeleteSnapshot(snapshot) => self.snapshot(snapshot).delete().unwrap(),
            Step::DeleteBookmark(bookmark) => self.bookmark(bookmark).unwrap().delete().unwrap(),
            Step::Create(name, picture) => {
                let size = picture.len() as u64 * BLOCK;
                let drive = self.store.create_drive(DriveOptions::new(size).name(*name)).unwrap();
                lay_picture(&drive, picture);
            }
            Step::On(name, step) => self.play_on(name, step),
        }
    }

    fn expect(&self, expected: &[Expectation], place: &str) {
        for expectation in expected {
            match expectation {
                Expectation::Drive(name, picture) => {
                    assert_eq!(picture_of_drive(&self.drive(name)), *picture, "drive {name} after {place}");
                }
                Expectation::Snapshot { name, picture, exclusive_charged_allocated } => {
                    let snapshot = self.snapshot(name);
                    assert_eq!(picture_of_snapshot(&snapshot), *picture, "snapshot {name} after {place}");
                    let blocks = picture.chars().filter(|block| *block != '.').count() as u64;
                    assert_eq!(snapshot.referenced_size().unwrap(), blocks * BLOCK, "referenced by {name} after {place}");
                    if let Some(sizes) = exclusive_charged_allocated {
                        assert_eq!(sizes_of(&snapshot), *sizes, "exclusive, charged, allocated of {name} after {place}");
                    }
                }
                Expectation::Bookmark { name, allocated, changed } => {
                    let bookmark = self.bookmark(name).unwrap();
                    assert_eq!(bookmark.allocated_size().unwrap(), allocated * BLOCK, "bookmark {name} after {place}");
                    let found = picture_of_changes(bookmark.changed_ranges().unwrap(), changed.len());
                    assert_eq!(found, *changed, "changes since bookmark {name} after {place}");
                }
                Expectation::Data(blocks) => {
                    drain(&self.store);
                    assert_eq!(self.store.usage().data_bytes, blocks * BLOCK, "A7: data in use after {place}");
                }
                Expectation::Nothing(name) => assert!(self.bookmark(name).is_none(), "bookmark {name} after {place}"),
            }
        }
        expect_clean(&self.store);
    }
}

fn memory_store() -> Store {
    Stage::new().store
}

fn drive_named(store: &Store, name: &str) -> Drive {
    store.drives().into_iter().find(|drive| drive.name().unwrap() == name).unwrap()
}

fn drain(store: &Store) {
    const CALLS_MAX: usize = 100_000;
    assert!((0..CALLS_MAX).any(|_| store.reclaim(1000).unwrap().done), "reclaim never ends");
}

fn expect_clean(store: &Store) {
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{:#?}", report.problems);
}

fn block_of(letter: char) -> Vec<u8> {
    vec![if letter == '0' { 0 } else { letter as u8 }; BLOCK_LEN]
}

/// Neighbours go down in one call; a `.` is skipped.
fn write_picture(drive: &Drive, block: u64, picture: &str) {
    for (index, run) in runs_of_data(picture) {
        let bytes: Vec<u8> = run.chars().flat_map(block_of).collect();
        drive.write_at(&bytes, (block + index as u64) * BLOCK).unwrap();
    }
}

/// The first picture of a drive. Zeroes written over a hole leave a hole, so a `0` is written over something else.
fn lay_picture(drive: &Drive, picture: &str) {
    write_picture(drive, 0, &picture.replace('0', "!"));
    write_picture(drive, 0, picture);
}

fn runs_of_data(picture: &str) -> Vec<(usize, &str)> {
    let mut at = 0;
    let mut runs = Vec::new();
    for run in picture.split('.') {
        if !run.is_empty() {
            runs.push((at, run));
        }
        at += run.len() + 1;
    }
    runs
}

fn character_of(block: &[u8]) -> char {
    assert!(block.iter().all(|byte| *byte == block[0]), "a torn block: {:?}...", &block[..16]);
    if block[0] == 0 { '0' } else { block[0].into() }
}

fn picture_of_drive(drive: &Drive) -> String {
    let mut picture = vec!['.'; (drive.size_bytes().unwrap() / BLOCK) as usize];
    let mut bytes = vec![0xEE; picture.len() * BLOCK_LEN];
    drive.read_at(&mut bytes, 0).unwrap();
    for range in drive.mapped_ranges() {
        let range = range.unwrap();
        for block in (range.start / BLOCK) as usize..(range.end / BLOCK) as usize {
            picture[block] = character_of(&bytes[block * BLOCK_LEN..(block + 1) * BLOCK_LEN]);
        }
    }
    expect_zero_holes(&picture, &bytes);
    picture.into_iter().collect()
}

fn picture_of_snapshot(snapshot: &Snapshot) -> String {
    let mut picture = vec!['.'; (snapshot.size_bytes() / BLOCK) as usize];
    let mut bytes = vec![0xEE; picture.len() * BLOCK_LEN];
    snapshot.read_at(&mut bytes, 0).unwrap();
    for extent in snapshot.extents() {
        let extent = extent.unwrap();
        for (index, block) in extent.data.chunks(BLOCK_LEN).enumerate() {
            let at = extent.offset as usize / BLOCK_LEN + index;
            assert_eq!(block, &bytes[at * BLOCK_LEN..(at + 1) * BLOCK_LEN], "borrowed and read bytes of block {at}");
            picture[at] = character_of(block);
        }
    }
    expect_zero_holes(&picture, &bytes);
    picture.into_iter().collect()
}

fn expect_zero_holes(picture: &[char], bytes: &[u8]) {
    for (block, bytes) in picture.iter().zip(bytes.chunks(BLOCK_LEN)) {
        assert!(*block != '.' || bytes.iter().all(|byte| *byte == 0), "a hole does not read as zeroes");
    }
}

/// `D` where the newer image has other data, `H` where it has a hole instead, `.` where nothing changed.
fn picture_of_changes(changes: impl Iterator<Item = floe::Result<Change>>, blocks: usize) -> String {
    let mut picture = vec!['.'; blocks];
    for change in changes {
        let Change { range, kind } = change.unwrap();
        let blocks = (range.start / BLOCK) as usize..range.end.div_ceil(BLOCK) as usize;
        picture[blocks].fill(if kind == ChangeKind::Data { 'D' } else { 'H' });
    }
    picture.into_iter().collect()
}

/// Exclusive, charged and allocated size in blocks.
fn sizes_of(snapshot: &Snapshot) -> [u64; 3] {
    [snapshot.exclusive_size(), snapshot.charged_size(), snapshot.allocated_size()].map(|bytes| bytes.unwrap() / BLOCK)
}

// --- A1: what the snapshot holds and its reference does not ----------------------------------------------------------

#[test]
fn snapshot_keeps_old_block_after_overwrite() {
    check("AAAA", [write(1, "B"), snapshot("s"), write(2, "C")], [drive("ABCA"), sized("s", "ABAA", [1, 1, 1]), data(5)]);
}

#[test]
fn allocated_size_compares_with_the_live_image_while_the_drive_lives() {
    check(
        "AAAA",
        [snapshot("s"), write(0, "B"), snapshot("t"), write(1, "C")],
        [drive("BCAA"), sized("s", "AAAA", [1, 1, 2]), sized("t", "BAAA", [0, 1, 1]), data(6)],
    );
}

#[test]
fn allocated_size_compares_with_the_next_younger_snapshot_after_the_drive_is_deleted() {
    check(
        "AAAA",
        [snapshot("s"), write(0, "B"), snapshot("t"), write(1, "CC"), snapshot("u"), write(3, "D"), delete_drive("d")],
        [sized("s", "AAAA", [1, 1, 1]), sized("t", "BAAA", [0, 2, 2]), sized("u", "BCCA", [2, 4, 4]), data(7)],
    );
    check(
        "AAAA",
        [snapshot("s"), write(0, "B"), snapshot("t"), write(1, "CC"), snapshot("u"), delete_drive("d"), delete("t")],
        [sized("s", "AAAA", [3, 3, 3]), sized("u", "BCCA", [3, 4, 4]), data(7)],
    );
}

#[test]
fn allocated_size_is_exact_on_a_side_branch() {
    check(
        "AAAA",
        [snapshot("s"), write(0, "B"), snapshot("t"), revert("s"), write(1, "C")],
        [drive("ACAA"), sized("s", "AAAA", [0, 0, 1]), sized("t", "BAAA", [1, 2, 2]), data(6)],
    );
}

#[test]
fn allocated_size_is_exact_after_a_revert_forwards() {
    check(
        "AAAA",
        [snapshot("s"), write(0, "B"), snapshot("t"), revert("s"), write(1, "C"), snapshot("u"), revert("t"), write(2, "D")],
        [drive("BADA"), sized("s", "AAAA", [0, 0, 2]), sized("t", "BAAA", [0, 0, 1]), sized("u", "ACAA", [1, 3, 3]), data(7)],
    );
}

// --- A2: what counts -------------------------------------------------------------------------------------------------

#[test]
fn fresh_snapshot_counts_nothing() {
    check("AB.C", [snapshot("s")], [drive("AB.C"), sized("s", "AB.C", [0, 0, 0]), data(3)]);
}

#[test]
fn block_rewritten_often_counts_once() {
    check(
        "AAAA",
        [snapshot("s"), write(1, "B"), write(1, "C"), write(1, "D")],
        [drive("ADAA"), sized("s", "AAAA", [1, 1, 1]), data(5)],
    );
}

#[test]
fn discarded_zeroed_and_cut_off_blocks_count_as_overwritten_ones_do() {
    check("ABCD", [snapshot("s"), discard(1, 1)], [drive("A.CD"), sized("s", "ABCD", [1, 1, 1]), data(4)]);
    check("ABCD", [snapshot("s"), write_zeroes(1, 2)], [drive("A..D"), sized("s", "ABCD", [2, 2, 2]), data(4)]);
    check("ABCD", [snapshot("s"), write(2, "0")], [drive("AB.D"), sized("s", "ABCD", [1, 1, 1]), data(4)]);
    check("ABCD", [snapshot("s"), resize(2)], [drive("AB"), sized("s", "ABCD", [2, 2, 2]), data(4)]);
    check("ABCD", [snapshot("s"), discard(1, 2), write(1, "BC")], [drive("ABCD"), sized("s", "ABCD", [2, 2, 2]), data(6)]);
}

#[test]
fn hole_counts_nothing_when_it_is_written_later() {
    check("A..D", [snapshot("s"), write(1, "BC")], [drive("ABCD"), sized("s", "A..D", [0, 0, 0]), data(4)]);
}

#[test]
fn zeroes_over_a_hole_stay_a_hole() {
    let store = memory_store();
    let drive = store.create_drive(DriveOptions::new(8 * BLOCK)).unwrap();
    drive.write_at(&vec![0; 5000], 100).unwrap();
    drive.write_zeroes(BLOCK..3 * BLOCK).unwrap();
    assert_eq!(drive.mapped_ranges().count(), 0);
    assert_eq!(store.usage().data_bytes, 0);
}

#[test]
fn zeroes_over_an_unshared_block_overwrite_it_in_place() {
    check("AAAA", [write(1, "0")], [drive("A0AA"), data(4)]);
    check("AAAA", [write(1, "0"), snapshot("s")], [drive("A0AA"), snap("s", "A0AA"), data(4)]);
}

#[test]
fn shrink_then_growth_reads_as_zeroes() {
    check("ABCD", [resize(2), resize(4)], [drive("AB.."), data(2)]);
    check("ABCD", [snapshot("s"), resize(2), resize(4)], [drive("AB.."), sized("s", "ABCD", [2, 2, 2]), data(4)]);
}

#[test]
fn tail_cut_off_within_a_block_reads_as_zeroes_after_growth() {
    let store = memory_store();
    let drive = store.create_drive(DriveOptions::new(2 * BLOCK)).unwrap();
    drive.write_at(&[b'A'; 2 * BLOCK_LEN], 0).unwrap();
    let snapshot = drive.snapshot(SnapshotOptions::named("s")).unwrap();
    drive.resize(BLOCK + 100).unwrap();
    let after_shrink = sizes_of(&snapshot);
    assert_eq!(after_shrink, [1, 1, 1], "the cut block is another one now");
    drive.resize(2 * BLOCK).unwrap();
    assert_eq!(sizes_of(&snapshot), after_shrink, "A4: growing changes no size");
    let mut bytes = [1; 2 * BLOCK_LEN];
    drive.read_at(&mut bytes, 0).unwrap();
    assert!(bytes[..BLOCK_LEN + 100].iter().all(|byte| *byte == b'A'));
    assert!(bytes[BLOCK_LEN + 100..].iter().all(|byte| *byte == 0));
    expect_clean(&store);
}

#[test]
fn discard_spares_blocks_it_covers_in_part_but_not_the_last_one_of_the_drive() {
    let store = memory_store();
    let drive = store.create_drive(DriveOptions::new(3 * BLOCK + 10)).unwrap();
    drive.write_at(&[b'A'; 3 * BLOCK_LEN + 10], 0).unwrap();
    drive.discard(1..2 * BLOCK - 1).unwrap();
    assert_eq!(store.usage().data_bytes, 4 * BLOCK);
    drive.discard(BLOCK + 1..3 * BLOCK + 10).unwrap();
    let mapped: Vec<_> = drive.mapped_ranges().map(Result::unwrap).collect();
    assert_eq!(mapped, std::iter::once(0..2 * BLOCK).collect::<Vec<_>>());
}

// --- A3: an equal write is not a change ------------------------------------------------------------------------------

#[test]
fn equal_write_counts_nothing() {
    check("ABCD", [snapshot("s"), write(0, "ABCD")], [drive("ABCD"), sized("s", "ABCD", [0, 0, 0]), data(4)]);
    check("ABCD", [snapshot("s"), write(0, "AXCY")], [drive("AXCY"), sized("s", "ABCD", [2, 2, 2]), data(6)]);
    check("A0CD", [snapshot("s"), write(0, "A")], [drive("A0CD"), sized("s", "A0CD", [0, 0, 0]), data(4)]);
}

#[test]
fn equal_zeroes_over_a_shared_block_of_zeroes_are_no_change() {
    let store = memory_store();
    let drive = store.create_drive(DriveOptions::new(2 * BLOCK)).unwrap();
    lay_picture(&drive, "00");
    let snapshot = drive.snapshot(SnapshotOptions::named("s")).unwrap();
    drive.write_at(&[0; BLOCK_LEN], 0).unwrap();
    drive.write_at(&[0; 100], BLOCK + 7).unwrap();
    assert_eq!(sizes_of(&snapshot), [0, 0, 0]);
    assert_eq!(picture_of_drive(&drive), "00");
}

#[test]
fn equal_write_in_part_of_a_shared_block_counts_nothing() {
    let store = memory_store();
    let drive = store.create_drive(DriveOptions::new(4 * BLOCK)).unwrap();
    write_picture(&drive, 0, "ABCD");
    let snapshot = drive.snapshot(SnapshotOptions::named("s")).unwrap();
    drive.write_at(&[b'B'; 1000], BLOCK + 700).unwrap();
    drive.write_at(&[[b'B'; 10], [b'C'; 10]].concat(), 2 * BLOCK - 10).unwrap();
    assert_eq!(sizes_of(&snapshot), [0, 0, 0]);
    drive.write_at(&[[b'B'; 10], [b'D'; 10]].concat(), 2 * BLOCK - 10).unwrap();
    assert_eq!(sizes_of(&snapshot), [1, 1, 1]);
}

#[test]
fn second_write_of_the_old_letter_is_a_new_block() {
    check("A", [snapshot("s"), write(0, "B"), write(0, "A")], [drive("A"), sized("s", "A", [1, 1, 1]), data(2)]);
}

/// CRC-32 is linear: its own polynomial, added anywhere, changes the bytes and not the sum.
#[test]
fn other_bytes_of_the_same_checksum_are_a_change() {
    const POLYNOMIAL: u64 = 1 | 0xEDB8_8320 << 1;
    let one: Vec<u8> = (0..BLOCK_LEN).map(|index| (index % 251) as u8).collect();
    let mut two = one.clone();
    for (byte, change) in two[1000..].iter_mut().zip(POLYNOMIAL.to_le_bytes()) {
        *byte ^= change;
    }
    assert_ne!(one, two);
    assert_eq!(crc32fast::hash(&one), crc32fast::hash(&two), "the test's own arithmetic");

    let store = memory_store();
    let drive = store.create_drive(DriveOptions::new(BLOCK)).unwrap();
    drive.write_at(&one, 0).unwrap();
    let snapshot = drive.snapshot(SnapshotOptions::named("s")).unwrap();
    drive.write_at(&two, 0).unwrap();
    assert_eq!(sizes_of(&snapshot), [1, 1, 1]);
    let mut found = vec![0; BLOCK_LEN];
    drive.read_at(&mut found, 0).unwrap();
    assert!(found == two);
    snapshot.read_at(&mut found, 0).unwrap();
    assert!(found == one);
}

#[test]
fn equal_write_after_a_bookmark_is_no_change() {
    check("ABCD", [bookmark("b"), write(0, "ABXD"), discard(3, 1)], [drive("ABX."), marked("b", 2, "..DH"), data(3)]);
}

// --- A4: what others do changes no allocated size --------------------------------------------------------------------

#[test]
fn other_snapshots_clones_and_growth_change_no_allocated_size() {
    let steps = [snapshot("s"), write(0, "B"), snapshot("t"), write(1, "C"), snapshot("u"), write(2, "D")];
    let with = |more: Vec<Step>| steps.iter().cloned().chain(more).collect::<Vec<_>>();
    check("AAAA", with(vec![]), [sized("s", "AAAA", [1, 1, 3]), sized("t", "BAAA", [0, 1, 2]), sized("u", "BCAA", [0, 1, 1])]);
    check("AAAA", with(vec![delete("t")]), [sized("s", "AAAA", [2, 2, 3]), sized("u", "BCAA", [0, 1, 1]), data(7)]);
    check("AAAA", with(vec![delete("s"), delete("u")]), [sized("t", "BAAA", [2, 2, 2]), data(6)]);
    check(
        "AAAA",
        with(vec![clone("s", "c"), on("c", write(0, "XYZ")), on("c", snapshot("cs")), delete("s"), delete("u")]),
        [sized("t", "BAAA", [2, 2, 2]), other("c", "XYZA"), sized("cs", "XYZA", [0, 0, 0]), data(9)],
    );
    check("AAAA", with(vec![resize(6)]), [drive("BCDA.."), sized("t", "BAAA", [0, 1, 2])]);
}

// --- A5: companions --------------------------------------------------------------------------------------------------

#[test]
fn charged_sizes_sum_to_what_the_snapshots_hold_beyond_the_live_image() {
    let stage = Stage::new();
    stage.play(&create("d", "AAAAAAAA"));
    for (block, name) in ["s", "t", "u", "v"].into_iter().enumerate() {
        stage.play(&snapshot(name));
        stage.play(&write(block as u64, "BCD"));
    }
    let charged: u64 = stage.store.snapshots().iter().map(|snapshot| snapshot.charged_size().unwrap()).sum();
    let info = stage.drive("d").info().unwrap();
    assert_eq!(info.snapshots_allocated_bytes, charged);
    assert_eq!(stage.store.usage().data_bytes, info.referenced_bytes + charged);
    for snapshot in stage.store.snapshots() {
        let info = snapshot.info().unwrap();
        assert!(info.exclusive_bytes <= info.charged_bytes, "{info:?}");
        assert!(info.charged_bytes <= info.allocated_bytes, "{info:?}");
        assert!(info.allocated_bytes <= info.referenced_bytes, "{info:?}");
    }
}

#[test]
fn block_held_by_a_clone_is_not_exclusive() {
    check(
        "AAAA",
        [snapshot("s"), write(0, "BB"), clone("s", "c"), on("c", write(1, "C"))],
        [drive("BBAA"), other("c", "ACAA"), sized("s", "AAAA", [1, 2, 2]), data(7)],
    );
}

// --- A6: deleting gives back exactly the exclusive size --------------------------------------------------------------

#[test]
fn deleting_in_any_order_gives_back_exactly_the_exclusive_size() {
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
        let stage = Stage::new();
        stage.play(&create("d", "AAAAAAAA"));
        for (block, name) in ["s", "t", "u", "v"].into_iter().enumerate() {
            stage.play(&snapshot(name));
            stage.play(&write(block as u64, "BCD"));
        }
        stage.play(&clone("t", "c"));
        stage.play(&on("c", write(0, "EEEEE")));
        let uuids: Vec<_> = stage.store.snapshots().iter().map(Snapshot::uuid).collect();
        for index in order {
            let before = stage.store.usage().data_bytes;
            let snapshot = stage.store.snapshot(uuids[index]).unwrap();
            let exclusive = snapshot.exclusive_size().unwrap();
            snapshot.delete().unwrap();
            drop(snapshot);
            drain(&stage.store);
            assert_eq!(before - stage.store.usage().data_bytes, exclusive, "deleting {index} of {order:?}");
            expect_clean(&stage.store);
        }
        stage.play(&delete_drive("d"));
        stage.play(&delete_drive("c"));
        stage.expect(&[data(0)], "deleting everything");
    }
}

#[test]
fn emptied_store_holds_no_data() {
    check("AAAA", [snapshot("s"), write(0, "B"), delete("s"), delete_drive("d")], [data(0)]);
    check("AAAA", [snapshot("s"), write(0, "B"), clone("s", "c"), delete_drive("c"), delete_drive("d"), delete("s")], [data(0)]);
}

// --- A7: only what is reachable is in use ----------------------------------------------------------------------------

#[test]
fn bookmark_holds_nothing() {
    check("AAAA", [bookmark("b"), write(0, "BC"), discard(3, 1)], [drive("BCA."), marked("b", 3, "DD.H"), data(3)]);
    check("AAAA", [bookmark("b"), write(0, "B"), delete_bookmark("b")], [drive("BAAA"), no_bookmark("b"), data(4)]);
}

#[test]
fn hole_written_after_a_bookmark_counts_nothing_though_it_changed() {
    check("A..D", [bookmark("b"), write(1, "B"), bookmark("c")], [marked("b", 0, ".D.."), marked("c", 0, "....")]);
}

#[test]
fn junction_holds_nothing() {
    // s joins d and c once it is deleted. What neither holds goes at once, what one gives up later goes then.
    check(
        "AAAA",
        [snapshot("s"), clone("s", "c"), write(0, "B"), on("c", write(0, "C")), delete("s")],
        [drive("BAAA"), other("c", "CAAA"), data(5)],
    );
    check(
        "AAAA",
        [snapshot("s"), clone("s", "c"), delete("s"), write(1, "B"), on("c", write(1, "C"))],
        [drive("ABAA"), other("c", "ACAA"), data(5)],
    );
    check(
        "AAAA",
        [
            snapshot("s"),
            clone("s", "c"),
            clone("s", "e"),
            delete("s"),
            write(0, "B"),
            on("c", discard(0, 2)),
            on("e", discard(0, 4)),
        ],
        [drive("BAAA"), other("c", "..AA"), other("e", "...."), data(4)],
    );
}

#[test]
fn revert_gives_up_what_only_the_old_image_held() {
    check("AAAA", [snapshot("s"), write(0, "BCD"), revert("s")], [drive("AAAA"), sized("s", "AAAA", [0, 0, 0]), data(4)]);
}

// --- freedom ---------------------------------------------------------------------------------------------------------

#[test]
fn clone_needs_neither_its_origin_nor_the_drive_of_its_origin() {
    check(
        "ABCD",
        [snapshot("s"), write(0, "X"), clone("s", "c"), on("c", write(3, "Y")), delete_drive("d"), delete("s")],
        [other("c", "ABCY"), data(4)],
    );
    check(
        "ABCD",
        [snapshot("s"), clone("s", "c"), on("c", snapshot("t")), clone("t", "e"), delete("t"), delete_drive("c"), delete("s")],
        [drive("ABCD"), other("e", "ABCD"), data(4)],
    );
}

#[test]
fn revert_goes_to_snapshots_of_other_drives() {
    check(
        "AAAA",
        [
            snapshot("s"),
            create("e", "EE"),
            on("e", write(0, "F")),
            on("e", snapshot("t")),
            write(1, "B"),
            revert("t"),
            delete_drive("e"),
        ],
        [drive("FE"), sized("s", "AAAA", [4, 4, 4]), sized("t", "FE", [0, 2, 2]), data(6)],
    );
}

#[test]
fn bookmarks_survive_a_revert_only_on_the_common_way() {
    check(
        "AAAA",
        [bookmark("old"), write(0, "B"), snapshot("s"), bookmark("young"), write(1, "C"), revert("s"), write(2, "D")],
        [drive("BADA"), marked("old", 2, "D.D."), no_bookmark("young"), data(5)],
    );
}

#[test]
fn golden_image_goes_before_its_two_hundred_clones() {
    const CLONES: u64 = 200;
    const BLOCKS: u64 = 64;
    let store = memory_store();
    let base = store.create_drive(DriveOptions::new(BLOCKS * BLOCK).name("base")).unwrap();
    base.write_at(&vec![u8::MAX; (BLOCKS * BLOCK) as usize], 0).unwrap();
    let golden = base.snapshot(SnapshotOptions::named("golden")).unwrap();
    let mut clones: Vec<(u64, Drive)> =
        (0..CLONES).map(|index| (index, golden.clone_drive(DriveOptions::named(format!("clone {index}"))).unwrap())).collect();
    for (index, clone) in &clones {
        clone.write_at(&[*index as u8 + 1; BLOCK_LEN], index % BLOCKS * BLOCK).unwrap();
    }
    assert_eq!(store.usage().data_bytes, (BLOCKS + CLONES) * BLOCK);
    base.delete().unwrap();
    golden.delete().unwrap();
    drop((base, golden));
    drain(&store);
    assert_eq!(store.usage().data_bytes, (BLOCKS + CLONES) * BLOCK, "every block of the base has a clone that holds it");
    expect_clean(&store);

    // 77 and 200 have no common divisor: every clone goes once, in an order without a pattern.
    for turn in 0..CLONES {
        let wanted = turn * 77 % CLONES;
        let at = clones.iter().position(|(index, _)| *index == wanted).unwrap();
        let (_, clone) = clones.swap_remove(at);
        clone.delete().unwrap();
        drop(clone);
        if turn % 20 == 19 {
            drain(&store);
            expect_clean(&store);
            expect_clones(&clones, BLOCKS);
            let base_blocks = (0..BLOCKS).filter(|block| clones.iter().any(|(index, _)| index % BLOCKS != *block)).count();
            assert_eq!(store.usage().data_bytes, (base_blocks as u64 + clones.len() as u64) * BLOCK, "A7 after {turn}");
        }
    }
    assert_eq!(store.usage().data_bytes, 0);
}

fn expect_clones(clones: &[(u64, Drive)], blocks: u64) {
    for (index, clone) in clones {
        let mut bytes = vec![0; (blocks * BLOCK) as usize];
        clone.read_at(&mut bytes, 0).unwrap();
        for (block, bytes) in bytes.chunks(BLOCK_LEN).enumerate() {
            let wanted = if block as u64 == index % blocks { *index as u8 + 1 } else { u8::MAX };
            assert!(bytes.iter().all(|byte| *byte == wanted), "block {block} of clone {index}");
        }
    }
}

// --- what differs between images -------------------------------------------------------------------------------------

#[test]
fn diff_names_exactly_the_blocks_that_differ() {
    let stage = Stage::new();
    stage.play(&create("d", "AAAA."));
    stage.play(&snapshot("s"));
    for step in
        [write(0, "AB"), discard(2, 1), write(4, "E"), snapshot("t"), write(3, "D"), create("e", "AAAA"), on("e", snapshot("u"))]
    {
        stage.play(&step);
    }
    let diff = |older: &str, newer: &str| picture_of_changes(stage.snapshot(older).diff(&stage.snapshot(newer)).unwrap(), 5);
    assert_eq!(diff("s", "t"), ".DH.D");
    assert_eq!(diff("t", "s"), ".DD.H");
    assert_eq!(diff("s", "s"), ".....");
    assert_eq!(diff("s", "u"), "DDDD.", "equal bytes of unrelated images are other blocks");
    assert_eq!(picture_of_changes(stage.snapshot("s").diff_drive(&stage.drive("d")).unwrap(), 5), ".DHDD");
}

#[test]
fn fingerprint_tells_images_apart_and_not_histories() {
    let stage = Stage::new();
    stage.play(&create("d", "AB.D"));
    stage.play(&snapshot("s"));
    stage.play(&create("e", "XXXX"));
    for step in [snapshot("other"), write(0, "ABCD"), write(2, "0"), snapshot("again")] {
        stage.play(&on("e", step));
    }
    stage.play(&resize(5));
    stage.play(&snapshot("longer"));
    let of = |name: &str| stage.snapshot(name).fingerprint().unwrap();
    assert_eq!(of("s"), of("again"), "a block of zeroes is as good as a hole");
    assert_ne!(of("s"), of("other"));
    assert_ne!(of("s"), of("longer"));
}

#[test]
fn deleted_snapshot_is_readable_through_a_handle_and_goes_with_it() {
    let stage = Stage::new();
    stage.play(&create("d", "ABCD"));
    stage.play(&snapshot("s"));
    stage.play(&write(0, "XXXX"));
    let handle = stage.snapshot("s");
    handle.delete().unwrap();
    while !stage.store.reclaim(1000).unwrap().done {}
    stage.play(&write(0, "YYYY"));
    stage.store.flush().unwrap();
    assert_eq!(picture_of_snapshot(&handle), "ABCD");
    assert_eq!(handle.info().unwrap_err().kind(), ErrorKind::NotFound);
    drop(handle);
    stage.expect(&[drive("YYYY"), data(4)], "letting go");
}

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

// --- D4: one instant -------------------------------------------------------------------------------------------------

#[test]
fn group_snapshot_holds_each_drive_at_the_same_moment() {
    check(
        "AAAA",
        [create("e", "EEEE"), write(0, "B"), group("e", "g"), write(1, "C"), on("e", write(1, "F"))],
        [drive("BCAA"), other("e", "EFEE"), sized("g", "BAAA", [1, 1, 1]), sized("g'", "EEEE", [1, 1, 1]), data(10)],
    );
}

/// A writer that stamps one block after the other, round after round, and says how far it is.
struct Stamper {
    begun: AtomicU64,
    completed: AtomicU64,
}

impl Stamper {
    fn new() -> Self {
        Self { begun: AtomicU64::new(0), completed: AtomicU64::new(0) }
    }

    fn stamp_until(&self, stop: &AtomicBool, blocks: u64, mut write: impl FnMut(u64, &[u8])) {
        for number in 1.. {
            if stop.load(Ordering::SeqCst) {
                return;
            }
            self.begun.store(number, Ordering::SeqCst);
            write((number - 1) % blocks, &stamp(number));
            self.completed.store(number, Ordering::SeqCst);
        }
    }
}

fn stamp(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(BLOCK_LEN / 8)
}

/// The number that a block is full of.
fn stamped(block: &[u8]) -> u64 {
    let first = u64::from_le_bytes(block[..8].try_into().unwrap());
    assert!(block.chunks(8).all(|word| word == &block[..8]), "a torn block: it begins with stamp {first}");
    first
}

/// The blocks must be what the first `n` writes of one stamper leave, for one `n`; returns it.
fn prefix_of(blocks: &[u64]) -> u64 {
    let newest = blocks.iter().copied().max().unwrap_or_default();
    let count = blocks.len() as u64;
    for (block, &found) in blocks.iter().enumerate() {
        // The last number up to the newest that falls on this block.
        let wanted =
            (0..count).map(|back| newest.saturating_sub(back)).find(|number| *number > 0 && (number - 1) % count == block as u64);
        assert_eq!(found, wanted.unwrap_or_default(), "block {block} of {blocks:?} is not of one instant (D4)");
    }
    newest
}

fn stamps_of(snapshot: &Snapshot) -> Vec<u64> {
    let mut bytes = vec![0; snapshot.size_bytes() as usize];
    snapshot.read_at(&mut bytes, 0).unwrap();
    bytes.chunks(BLOCK_LEN).map(stamped).collect()
}

#[test]
fn snapshot_under_writes_holds_what_completed_before_and_nothing_begun_after() {
    const BLOCKS: u64 = 24;
    const SNAPSHOTS: usize = 150;
    let store = memory_store();
    let drives: Vec<Drive> = (0..2).map(|_| store.create_drive(DriveOptions::new(BLOCKS * BLOCK)).unwrap()).collect();
    let stampers = [Stamper::new(), Stamper::new()];
    let stop = AtomicBool::new(false);
    let mut kept = HashMap::new();
    thread::scope(|scope| {
        for (drive, stamper) in drives.iter().zip(&stampers) {
            scope.spawn(|| stamper.stamp_until(&stop, BLOCKS, |block, bytes| drive.write_at(bytes, block * BLOCK).unwrap()));
        }
        for turn in 0..SNAPSHOTS {
            let (drive, stamper) = (&drives[turn % 2], &stampers[turn % 2]);
            let completed = stamper.completed.load(Ordering::SeqCst);
            let snapshot = drive.snapshot(SnapshotOptions::named("instant")).unwrap();
            let begun = stamper.begun.load(Ordering::SeqCst);
            let stamps = stamps_of(&snapshot);
            let prefix = prefix_of(&stamps);
            assert!(completed <= prefix && prefix <= begun, "D4: {completed} <= {prefix} <= {begun}");
            if turn % 3 == 0 {
                snapshot.delete().unwrap();
            } else {
                kept.insert(snapshot.uuid(), stamps);
            }
            if turn % 10 == 0 {
                store.reclaim(100).unwrap();
                drive.flush().unwrap();
            }
        }
        stop.store(true, Ordering::SeqCst);
    });
    for (uuid, stamps) in kept {
        assert_eq!(stamps_of(&store.snapshot(uuid).unwrap()), stamps, "a frozen image changed");
    }
    expect_clean(&store);
}

#[test]
fn group_snapshot_under_writes_is_one_instant_of_all_its_drives() {
    const BLOCKS: u64 = 8;
    const SNAPSHOTS: usize = 100;
    let store = memory_store();
    let drives: Vec<Drive> = (0..3).map(|_| store.create_drive(DriveOptions::new(BLOCKS * BLOCK)).unwrap()).collect();
    let stamper = Stamper::new();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        // One writer goes round all three drives: block 0 of each, then block 1 of each.
        scope.spawn(|| {
            stamper.stamp_until(&stop, 3 * BLOCKS, |place, bytes| {
                drives[place as usize % 3].write_at(bytes, place / 3 * BLOCK).unwrap();
            });
        });
        for _ in 0..SNAPSHOTS {
            let completed = stamper.completed.load(Ordering::SeqCst);
            let members: Vec<_> = drives.iter().map(|drive| (drive, SnapshotOptions::named("group"))).collect();
            let snapshots = store.snapshot_group(&members).unwrap();
            let begun = stamper.begun.load(Ordering::SeqCst);
            let stamps: Vec<Vec<u64>> = snapshots.iter().map(stamps_of).collect();
            let places: Vec<u64> = (0..3 * BLOCKS as usize).map(|place| stamps[place % 3][place / 3]).collect();
            let prefix = prefix_of(&places);
            assert!(completed <= prefix && prefix <= begun, "D4: {completed} <= {prefix} <= {begun}");
            snapshots.iter().for_each(|snapshot| snapshot.delete().unwrap());
        }
        stop.store(true, Ordering::SeqCst);
    });
    drain(&store);
    assert_eq!(store.usage().data_bytes, drives.iter().map(|drive| drive.info().unwrap().referenced_bytes).sum::<u64>());
    expect_clean(&store);
}

#[test]
fn writers_racing_on_the_same_blocks_tear_none() {
    const BLOCKS: u64 = 4;
    const WRITES: u64 = 1500;
    let store = memory_store();
    let drive = store.create_drive(DriveOptions::new(BLOCKS * BLOCK)).unwrap();
    thread::scope(|scope| {
        for writer in 0..3_u64 {
            let drive = &drive;
            scope.spawn(move || {
                for write in 0..WRITES {
                    drive.write_at(&stamp(writer << 32 | (write + 1)), write * 7 % BLOCKS * BLOCK).unwrap();
                }
            });
        }
        let drive = &drive;
        scope.spawn(move || {
            for _ in 0..60 {
                let snapshot = drive.snapshot(SnapshotOptions::named("racing")).unwrap();
                let stamps = stamps_of(&snapshot);
                assert_eq!(stamps_of(&snapshot), stamps);
                snapshot.delete().unwrap();
            }
        });
    });
    let mut bytes = vec![0; (BLOCKS * BLOCK) as usize];
    drive.read_at(&mut bytes, 0).unwrap();
    for block in bytes.chunks(BLOCK_LEN) {
        assert!(stamped(block) > 0);
    }
    drain(&store);
    assert_eq!(store.usage().data_bytes, BLOCKS * BLOCK);
    expect_clean(&store);
}

#[test]
fn drives_are_used_by_several_threads_at_once() {
    const BLOCKS: u64 = 16;
    let store = memory_store();
    thread::scope(|scope| {
        for worker in 0..4_u64 {
            let store = &store;
            scope.spawn(move || {
                let drive = store.create_drive(DriveOptions::new(BLOCKS * BLOCK).name(format!("drive {worker}"))).unwrap();
                let mut wanted = vec![0; BLOCKS as usize];
                for turn in 1..300_u64 {
                    let block = turn * 5 % BLOCKS;
                    wanted[block as usize] = turn << 8 | worker;
                    drive.write_at(&stamp(turn << 8 | worker), block * BLOCK).unwrap();
                    if turn % 20 == 0 {
                        let snapshot = drive.snapshot(SnapshotOptions::named("mine")).unwrap();
                        assert_eq!(stamps_of(&snapshot), wanted);
                        let clone = snapshot.clone_drive(DriveOptions::named("copy")).unwrap();
                        clone.write_at(&stamp(7), 0).unwrap();
                        snapshot.delete().unwrap();
                        clone.delete().unwrap();
                        store.reclaim(10).unwrap();
                    }
                }
            });
        }
    });
    drain(&store);
    assert_eq!(store.usage().data_bytes, 4 * BLOCKS * BLOCK);
    expect_clean(&store);
}

#[test]
fn background_reclaim_needs_no_call() {
    let device = Arc::new(MemoryDevice::new(CAPACITY_BYTES).unwrap());
    let store = Store::options().background_reclaim(true).create_on(device as Arc<dyn Device>).unwrap();
    let drive = store.create_drive(DriveOptions::new(64 * BLOCK)).unwrap();
    drive.write_at(&vec![1; 64 * BLOCK_LEN], 0).unwrap();
    drop(drive.snapshot(SnapshotOptions::named("s")).unwrap());
    drive.write_at(&vec![2; 64 * BLOCK_LEN], 0).unwrap();
    store.snapshots()[0].delete().unwrap();
    let waited = (0..500).any(|_| {
        thread::sleep(std::time::Duration::from_millis(10));
        store.usage().data_bytes == 64 * BLOCK
    });
    assert!(waited, "still {:?}", store.usage());
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

// --- D2 and D5: durable when they return -----------------------------------------------------------------------------

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
