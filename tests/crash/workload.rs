//! Which operations does a random run choose, looking at what is there?
//!
//! It likes what makes power cuts interesting: few blocks that are written again and again, snapshots in between, deletions while
//! others still hold something, flushes now and then.

use std::ops::Range;
use std::sync::Arc;

use floe::{StoreOptions, Uuid};

use crate::dice::Dice;
use crate::model::{BLOCK, DriveModel, Model, SnapshotModel};
use crate::operation::{Member, Operation};
use crate::runner::{Runner, Settings, Step};

const DRIVES_MAX: usize = 4;
const SNAPSHOTS_MAX: usize = 8;
const BOOKMARKS_MAX: usize = 3;
const NOTES_MAX: usize = 3;
/// A note is kept in pieces of so many bytes.
const NOTE_PIECE: u64 = 1024;
const HELD_MAX: usize = 2;
const DRIVE_BLOCKS_MAX: u64 = 24;
/// Extents that a comb makes: more than a leaf of a table holds.
const COMB_BLOCKS: u64 = 200;
/// Data blocks that must be free for an operation in the middle of a commit: it cannot wait for the commit.
const FREE_FOR_MEANWHILE: u64 = 400;

/// What the runs of a test are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Room for everything.
    Roomy,
    /// A store that is nearly full, so that blocks are used again at once and some writes are refused.
    Tight,
    /// A drive whose table has several leaves, and commits in the middle of operations.
    Deep,
}

impl Shape {
    /// Seeds take turns.
    pub fn of(seed: u64) -> Self {
        [Self::Roomy, Self::Tight, Self::Roomy, Self::Deep][(seed % 4) as usize]
    }

    pub fn settings(self, dice: &mut Dice) -> Settings {
        let capacity = match self {
            Self::Tight => StoreOptions::CAPACITY_MIN,
            Self::Roomy | Self::Deep => StoreOptions::CAPACITY_MIN + 1024 * BLOCK,
        };
        let is_small = self == Self::Deep || dice.once_in(4);
        let dirty_bytes_max = is_small.then(|| (dice.within(1..16) * BLOCK) as usize);
        let changes_bytes_max = [0, 60, 300, usize::MAX][dice.within(0..4) as usize];
        Settings { capacity, dirty_bytes_max, changes_bytes_max }
    }
}

/// Chooses steps for one run.
pub struct Workload {
    dice: Dice,
    shape: Shape,
    names: u64,
    /// Never several operations at once, so that what is chosen follows from the model alone, not from what is free in the store.
    pub is_alone: bool,
}

impl Workload {
    pub fn new(shape: Shape, dice: Dice) -> Self {
        Self { dice, shape, names: 0, is_alone: false }
    }

    /// What a run begins with, before it is recorded.
    pub fn first_steps(&mut self, model: &Model) -> Vec<Step> {
        let mut steps = Vec::new();
        let (size, blocks, each) = match self.shape {
            Shape::Roomy => return steps,
            // One run that leaves little room for all others.
            Shape::Tight => (150, self.dice.within(100..140), 0),
            Shape::Deep => (4 * COMB_BLOCKS, 0, COMB_BLOCKS),
        };
        let uuid = self.dice.uuid();
        let name = self.name("base");
        steps.push(Step::Do(Operation::CreateDrive { uuid, name, attributes: Vec::new(), size: size * BLOCK }));
        if blocks > 0 {
            let bytes = self.stamp(model, blocks * BLOCK);
            steps.push(Step::Do(Operation::Write { drive: uuid, offset: 0, bytes }));
        }
        for index in 0..each {
            let bytes = self.stamp(model, BLOCK);
            steps.push(Step::Do(Operation::Write { drive: uuid, offset: index * 3 * BLOCK, bytes }));
        }
        steps
    }

    /// The next step of a runner.
    pub fn next(&mut self, runner: &Runner) -> Step {
        loop {
            if let Some(step) = self.try_next(runner) {
                return step;
            }
        }
    }

    fn try_next(&mut self, runner: &Runner) -> Option<Step> {
        let model = &runner.state().model;
        if model.drives.is_empty() {
            return Some(Step::Do(self.create(model)?));
        }
        Some(match self.dice.within(0..100) {
            0..45 => Step::Do(self.writing(model)?),
            45..59 => Step::Do(self.freezing(model)?),
            59..69 => Step::Do(self.deleting(model)?),
            69..74 => Step::Do(Operation::Reclaim { budget: self.dice.within(1..40) }),
            74..78 => Step::Do(self.describing(model)?),
            78..86 => Step::Do(Operation::Flush),
            86..92 if !self.is_alone => self.meanwhile(runner)?,
            92..94 => Step::Reopen,
            94..96 if runner.held() < HELD_MAX => Step::Hold { snapshot: self.snapshot(model)?.uuid },
            96 if runner.held() > 0 => Step::LetGo,
            97 => Step::Do(Operation::Check),
            98 if self.shape != Shape::Tight || self.dice.once_in(4) => {
                let more = self.dice.within(1..300) * BLOCK;
                Step::Do(Operation::Grow { capacity: runner.state().capacity + more })
            }
            _ => return None,
        })
    }

    /// Several at once: the others in the middle of the first one's commit. They must not need the commit's own locks.
    fn meanwhile(&mut self, runner: &Runner) -> Option<Step> {
        let model = &runner.state().model;
        let usage = runner.store().usage();
        if runner.is_fresh() || runner.settings.dirty_bytes_max.is_some() || usage.free_bytes < FREE_FOR_MEANWHILE * BLOCK {
            return None;
        }
        let outer = match self.dice.within(0..5) {
            0 => self.freezing(model)?,
            1 | 2 => self.deleting(model)?,
            3 => self.describing(model)?,
            _ => Operation::Flush,
        };
        if matches!(outer, Operation::Clone { size: Some(_), .. }) {
            return None;
        }
        let mut inner = vec![Operation::Reclaim { budget: 100 }];
        for _ in 0..self.dice.within(0..3) {
            let operation = self.writing(model)?;
            if operation.written() == outer.keeps_writers_from() || matches!(operation, Operation::Resize { .. }) {
                return None;
            }
            inner.push(operation);
        }
        if self.dice.once_in(3) {
            inner.remove(0);
        }
        Some(Step::Meanwhile { outer, inner, syncs_before: self.dice.within(0..2) })
    }

    fn writing(&mut self, model: &Model) -> Option<Operation> {
        let drive = self.drive(model)?;
        let (uuid, size) = (drive.uuid, drive.image.size);
        Some(match self.dice.within(0..20) {
            0..13 => {
                let range = self.written_range(size);
                let bytes = self.bytes(model, drive, &range);
                Operation::Write { drive: uuid, offset: range.start, bytes }
            }
            13..15 => Operation::WriteZeroes { drive: uuid, range: self.stretched_range(size) },
            15..18 => Operation::Discard { drive: uuid, range: self.stretched_range(size) },
            _ => Operation::Resize { drive: uuid, size: self.size() },
        })
    }

    fn freezing(&mut self, model: &Model) -> Option<Operation> {
        let drive = self.drive(model)?;
        let has_room = model.snapshots.len() < SNAPSHOTS_MAX;
        Some(match self.dice.within(0..14) {
            0 => self.create(model)?,
            1..6 if has_room => Operation::Snapshot { members: vec![self.member(drive)] },
            6 if has_room => {
                let count = self.dice.within(1..model.drives.len() as u64 + 1) as usize;
                Operation::Snapshot { members: model.drives.iter().rev().take(count).map(|drive| self.member(drive)).collect() }
            }
            7 | 8 if model.drives.len() < DRIVES_MAX => {
                let snapshot = self.snapshot(model)?;
                let (uuid, name) = (self.dice.uuid(), self.name("c"));
                let size = Some(self.size()).filter(|size| *size > snapshot.image.size && self.dice.once_in(3));
                Operation::Clone { snapshot: snapshot.uuid, uuid, name, size }
            }
            9 | 10 => {
                let is_own = !self.dice.once_in(3);
                let snapshots = model.snapshots.iter().filter(|snapshot| !is_own || snapshot.drive == drive.uuid);
                let snapshots: Vec<Uuid> = snapshots.map(|snapshot| snapshot.uuid).collect();
                Operation::Revert { drive: drive.uuid, snapshot: *self.dice.pick(&snapshots)? }
            }
            11 | 12 if drive.bookmarks.len() < BOOKMARKS_MAX => Operation::Bookmark { drive: drive.uuid, name: self.name("b") },
            _ => return None,
        })
    }

    fn deleting(&mut self, model: &Model) -> Option<Operation> {
        Some(match self.dice.within(0..10) {
            0..6 => Operation::DeleteSnapshot { snapshot: self.snapshot(model)?.uuid },
            6..8 => Operation::DeleteDrive { drive: self.drive(model)?.uuid },
            _ => {
                let drive = self.drive(model)?;
                Operation::DeleteBookmark { drive: drive.uuid, bookmark: self.dice.pick(&drive.bookmarks)?.uuid }
            }
        })
    }

    fn describing(&mut self, model: &Model) -> Option<Operation> {
        let bytes = vec![7; self.dice.within(0..3000) as usize];
        Some(match self.dice.within(0..9) {
            0 => Operation::RenameDrive { drive: self.drive(model)?.uuid, name: self.name("d") },
            1 => Operation::RenameSnapshot { snapshot: self.snapshot(model)?.uuid, name: self.name("s") },
            2 => Operation::DriveAttributes { drive: self.drive(model)?.uuid, bytes },
            3 => Operation::SnapshotAttributes { snapshot: self.snapshot(model)?.uuid, bytes },
            4 => Operation::DescribeDrive { drive: self.drive(model)?.uuid, name: self.name("d"), bytes },
            5 => Operation::DescribeSnapshot { snapshot: self.snapshot(model)?.uuid, name: self.name("s"), bytes },
            6 | 7 => self.set_note(model),
            _ => Operation::DeleteNote { note: self.dice.pick(&model.notes)?.uuid },
        })
    }

    /// A new note or new bytes for an old one, of a length that is often at the bounds of pieces.
    fn set_note(&mut self, model: &Model) -> Operation {
        let old = self.dice.pick(&model.notes).map(|note| note.uuid);
        let is_new = model.notes.len() < NOTES_MAX && self.dice.once_in(2);
        let note = old.filter(|_| !is_new).unwrap_or_else(|| self.dice.uuid());
        let near = (self.dice.within(0..12) * NOTE_PIECE + self.dice.within(0..3)).saturating_sub(1);
        let length = if self.dice.once_in(4) { self.dice.within(0..10 * NOTE_PIECE) } else { near };
        Operation::SetNote { note, bytes: self.stamp(model, length) }
    }

    fn create(&mut self, model: &Model) -> Option<Operation> {
        let attributes = vec![3; self.dice.within(0..3) as usize * 500];
        let has_room = model.drives.len() < DRIVES_MAX;
        let (uuid, name, size) = (self.dice.uuid(), self.name("d"), self.size());
        has_room.then_some(Operation::CreateDrive { uuid, name, attributes, size })
    }

    fn member(&mut self, drive: &DriveModel) -> Member {
        let attributes = vec![5; self.dice.within(0..3) as usize * 700];
        let marks = drive.bookmarks.len() < BOOKMARKS_MAX && self.dice.once_in(3);
        let bookmark = marks.then(|| (self.dice.uuid(), self.name("b")));
        Member { drive: drive.uuid, uuid: self.dice.uuid(), name: self.name("s"), attributes, bookmark }
    }

    // --- what and where --------------------------------------------------------------------------------------------

    fn drive<'a>(&mut self, model: &'a Model) -> Option<&'a DriveModel> {
        self.dice.pick(&model.drives)
    }

    fn snapshot<'a>(&mut self, model: &'a Model) -> Option<&'a SnapshotModel> {
        self.dice.pick(&model.snapshots)
    }

    fn size(&mut self) -> u64 {
        let blocks = self.dice.within(2..DRIVE_BLOCKS_MAX);
        blocks * BLOCK + self.odd()
    }

    /// Bytes that are often a whole number of blocks.
    fn odd(&mut self) -> u64 {
        if self.dice.once_in(3) { self.dice.within(1..BLOCK) } else { 0 }
    }

    fn range(&mut self, size: u64) -> Range<u64> {
        let length = self.dice.within(0..5) * BLOCK + self.odd();
        self.range_of(size, length)
    }

    /// Some are long enough to make a scattered image whole.
    fn written_range(&mut self, size: u64) -> Range<u64> {
        if !self.dice.once_in(6) {
            return self.range(size);
        }
        let length = self.dice.within(16..70) * BLOCK + self.odd();
        self.range_of(size, length)
    }

    fn stretched_range(&mut self, size: u64) -> Range<u64> {
        let length = if self.dice.once_in(4) { self.dice.within(1..size + 1) } else { self.dice.within(0..6) * BLOCK };
        let length = length + self.odd();
        self.range_of(size, length)
    }

    fn range_of(&mut self, size: u64, length: u64) -> Range<u64> {
        // Half of all writes meet the first few blocks.
        let blocks = size.div_ceil(BLOCK);
        let block = if self.dice.once_in(2) { self.dice.within(0..blocks.min(4)) } else { self.dice.within(0..blocks) };
        let start = (block * BLOCK + self.odd()).min(size - 1);
        start..start + length.clamp(1, size - start)
    }

    fn bytes(&mut self, model: &Model, drive: &DriveModel, range: &Range<u64>) -> Arc<[u8]> {
        let length = (range.end - range.start) as usize;
        match self.dice.within(0..16) {
            0..8 => self.stamp(model, length as u64),
            8..11 => vec![b'A' + self.dice.within(0..3) as u8; length].into(),
            11..14 => drive.image.bytes(range.clone()).into(),
            14 => vec![0; length].into(),
            _ => match self.dice.pick(&model.snapshots) {
                Some(snapshot) => snapshot.image.bytes(range.clone()).into(),
                None => self.stamp(model, length as u64),
            },
        }
    }

    /// Bytes that nobody wrote before, and that differ from sector to sector.
    fn stamp(&mut self, model: &Model, length: u64) -> Arc<[u8]> {
        let stamp = model.next_write() << 32 | self.dice.within(1..1 << 32);
        let words = (0..length.div_ceil(8)).flat_map(|index| (stamp ^ (index << 48)).to_le_bytes());
        words.take(length as usize).collect()
    }

    fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }
}
