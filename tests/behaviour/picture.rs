//! How is a case of copy-on-write drawn?
//!
//! Images are pictures, a character per block: a letter is a block full of it, `0` a block of zeroes, `.` a hole. Every
//! picture is played three times: in one go, with a commit after each step, and with the store reopened after each step.

use std::sync::Arc;

use floe::{Bookmark, Change, ChangeKind, Device, Drive, DriveOptions, MemoryDevice, Snapshot, SnapshotOptions, Store};

pub const BLOCK: u64 = 4096;
pub const BLOCK_LEN: usize = BLOCK as usize;

/// Something that is done to the drive "d", or to another with [`on`].
#[derive(Clone, Debug)]
pub enum Step {
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
pub fn write(block: u64, picture: &'static str) -> Step {
    Step::Write(block, picture)
}
pub fn write_zeroes(block: u64, count: u64) -> Step {
    Step::WriteZeroes(block, count)
}
pub fn discard(block: u64, count: u64) -> Step {
    Step::Discard(block, count)
}
pub fn resize(blocks: u64) -> Step {
    Step::Resize(blocks)
}
pub fn snapshot(name: &'static str) -> Step {
    Step::Snapshot(name)
}
pub fn bookmark(name: &'static str) -> Step {
    Step::Bookmark(name)
}
pub fn revert(snapshot: &'static str) -> Step {
    Step::Revert(snapshot)
}
pub fn delete_drive(name: &'static str) -> Step {
    on(name, Step::DeleteDrive)
}
pub fn clone(snapshot: &'static str, name: &'static str) -> Step {
    Step::Clone(snapshot, name)
}
/// Snapshots "d" and another drive at one instant, as `name` and `name` with a stroke.
pub fn group(other: &'static str, name: &'static str) -> Step {
    Step::Group(other, name)
}
pub fn delete(snapshot: &'static str) -> Step {
    Step::DeleteSnapshot(snapshot)
}
pub fn delete_bookmark(name: &'static str) -> Step {
    Step::DeleteBookmark(name)
}
pub fn create(name: &'static str, picture: &'static str) -> Step {
    Step::Create(name, picture)
}
pub fn on(drive: &'static str, step: Step) -> Step {
    Step::On(drive, Box::new(step))
}

/// What must be true at the end. Sizes are in blocks.
#[derive(Clone, Debug)]
pub enum Expectation {
    Drive(&'static str, &'static str),
    Snapshot { name: &'static str, picture: &'static str, exclusive_charged_allocated: Option<[u64; 3]> },
    Bookmark { name: &'static str, allocated: u64, changed: &'static str },
    Data(u64),
    Nothing(&'static str),
}

pub fn drive(picture: &'static str) -> Expectation {
    Expectation::Drive("d", picture)
}
pub fn other(name: &'static str, picture: &'static str) -> Expectation {
    Expectation::Drive(name, picture)
}
pub fn snap(name: &'static str, picture: &'static str) -> Expectation {
    Expectation::Snapshot { name, picture, exclusive_charged_allocated: None }
}
/// A snapshot with its exclusive, charged and allocated size.
pub fn sized(name: &'static str, picture: &'static str, exclusive_charged_allocated: [u64; 3]) -> Expectation {
    Expectation::Snapshot { name, picture, exclusive_charged_allocated: Some(exclusive_charged_allocated) }
}
/// A bookmark with its allocated size; `changed` marks the blocks that changed since with a letter.
pub fn marked(name: &'static str, allocated: u64, changed: &'static str) -> Expectation {
    Expectation::Bookmark { name, allocated, changed }
}
/// Blocks that the store uses once everything deleted is reclaimed (A7).
pub fn data(blocks: u64) -> Expectation {
    Expectation::Data(blocks)
}
/// No bookmark of this name is left.
pub fn no_bookmark(name: &'static str) -> Expectation {
    Expectation::Nothing(name)
}

pub fn check(initial: &'static str, steps: impl IntoIterator<Item = Step>, expected: impl IntoIterator<Item = Expectation>) {
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
pub const CAPACITY_BYTES: u64 = 1 << 30;

pub struct Stage {
    device: Arc<MemoryDevice>,
    pub store: Store,
}

impl Stage {
    pub fn new() -> Self {
        Self::of_capacity(CAPACITY_BYTES)
    }

    pub fn of_capacity(bytes: u64) -> Self {
        let device = Arc::new(MemoryDevice::new(bytes).unwrap());
        let store = Store::options().create_on(Arc::clone(&device) as Arc<dyn Device>).unwrap();
        Self { device, store }
    }

    pub fn reopen(&mut self) {
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

    pub fn drive(&self, name: &str) -> Drive {
        drive_named(&self.store, name)
    }

    pub fn snapshot(&self, name: &str) -> Snapshot {
        self.store.snapshots().into_iter().find(|snapshot| snapshot.name().unwrap() == name).unwrap()
    }

    pub fn bookmark(&self, name: &str) -> Option<Bookmark> {
        let bookmarks = self.store.drives().into_iter().flat_map(|drive| drive.bookmarks().unwrap());
        bookmarks.into_iter().find(|bookmark| bookmark.name().unwrap() == name)
    }

    pub fn play(&self, step: &Step) {
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

    pub fn expect(&self, expected: &[Expectation], place: &str) {
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

pub fn memory_store() -> Store {
    Stage::new().store
}

pub fn drive_named(store: &Store, name: &str) -> Drive {
    store.drives().into_iter().find(|drive| drive.name().unwrap() == name).unwrap()
}

pub fn drain(store: &Store) {
    const CALLS_MAX: usize = 100_000;
    assert!((0..CALLS_MAX).any(|_| store.reclaim(1000).unwrap().done), "reclaim never ends");
}

pub fn expect_clean(store: &Store) {
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{:#?}", report.problems);
}

fn block_of(letter: char) -> Vec<u8> {
    vec![if letter == '0' { 0 } else { letter as u8 }; BLOCK_LEN]
}

/// Neighbours go down in one call; a `.` is skipped.
pub fn write_picture(drive: &Drive, block: u64, picture: &str) {
    for (index, run) in runs_of_data(picture) {
        let bytes: Vec<u8> = run.chars().flat_map(block_of).collect();
        drive.write_at(&bytes, (block + index as u64) * BLOCK).unwrap();
    }
}

/// The first picture of a drive. Zeroes written over a hole leave a hole, so a `0` is written over something else.
pub fn lay_picture(drive: &Drive, picture: &str) {
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

pub fn picture_of_drive(drive: &Drive) -> String {
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

pub fn picture_of_snapshot(snapshot: &Snapshot) -> String {
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
pub fn picture_of_changes(changes: impl Iterator<Item = floe::Result<Change>>, blocks: usize) -> String {
    let mut picture = vec!['.'; blocks];
    for change in changes {
        let Change { range, kind } = change.unwrap();
        let blocks = (range.start / BLOCK) as usize..range.end.div_ceil(BLOCK) as usize;
        picture[blocks].fill(if kind == ChangeKind::Data { 'D' } else { 'H' });
    }
    picture.into_iter().collect()
}

/// Exclusive, charged and allocated size in blocks.
pub fn sizes_of(snapshot: &Snapshot) -> [u64; 3] {
    [snapshot.exclusive_size(), snapshot.charged_size(), snapshot.allocated_size()].map(|bytes| bytes.unwrap() / BLOCK)
}

/// A block full of one number.
pub fn stamp(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(BLOCK_LEN / 8)
}

/// The number that a block is full of.
pub fn stamped(block: &[u8]) -> u64 {
    let first = u64::from_le_bytes(block[..8].try_into().unwrap());
    assert!(block.chunks(8).all(|word| word == &block[..8]), "a torn block: it begins with stamp {first}");
    first
}
