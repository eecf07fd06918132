//! How is one operation done to the store and to its model alike?

use std::path::PathBuf;
use std::sync::Arc;

use floe::{Device, Drive, DriveOptions, ErrorKind, MemoryDevice, Snapshot, SnapshotOptions, Store, StoreOptions, Uuid};
use tempfile::TempDir;

use crate::judge::{Outcome, Reading, changed_blocks, done, judge, judge_range, judge_snapshot, mapped_ranges, same};
use crate::model::{BLOCK, Image, Model, NewSnapshot};
use crate::operation::{Fill, Operation, Settings, Shape, Spot};

const CAPACITY_BYTES: u64 = 1 << 30;
/// Large images are read as a whole after so many operations.
const THOROUGH_EVERY: usize = 40;
const HELD_MAX: usize = 2;
const BOOKMARKS_MAX: usize = 4;
const NOTES_MAX: usize = 6;
/// More calls of `reclaim` than any deletion here takes.
const RECLAIMS_MAX: usize = 100_000;
/// "At most about `budget`": the budget may be overstepped by a few pages full of entries.
const BUDGET_OVERSTEP_MAX: u64 = 1024;

/// Where the store lives while it is closed.
enum Home {
    Memory(Arc<MemoryDevice>),
    File(TempDir),
}

impl Home {
    fn path(directory: &TempDir) -> PathBuf {
        directory.path().join("store.floe")
    }

    fn create(&self, options: StoreOptions) -> Result<Store, floe::Error> {
        match self {
            Self::Memory(device) => options.create_on(Arc::clone(device) as Arc<dyn Device>),
            Self::File(directory) => options.capacity(CAPACITY_BYTES).create(Self::path(directory)),
        }
    }

    fn open(&self, options: StoreOptions) -> Result<Store, floe::Error> {
        match self {
            Self::Memory(device) => options.open_on(Arc::clone(device) as Arc<dyn Device>),
            Self::File(directory) => options.open(Self::path(directory)),
        }
    }
}

/// A store, its model, and what was done so far.
pub struct Machine {
    home: Home,
    settings: Settings,
    /// `None` only while it is closed.
    open: Option<Store>,
    model: Model,
    /// Handles that pin a snapshot's blocks, whether it was deleted since or not.
    held: Vec<(Snapshot, Image)>,
    names: u64,
    steps: usize,
    drives_max: usize,
    snapshots_max: usize,
    /// What was done, in words, for the report of a failure.
    pub log: Vec<String>,
}

fn options(settings: &Settings) -> StoreOptions {
    let options = Store::options().background_reclaim(settings.background_reclaim);
    match settings.dirty_bytes_max {
        Some(bytes) => options.dirty_bytes_max(bytes),
        None => options,
    }
}

/// `count` taken modulo what exists.
fn choose(number: u8, count: usize) -> Option<usize> {
    (count > 0).then(|| usize::from(number) % count)
}

fn text(bytes: &[u8]) -> String {
    match bytes.first() {
        Some(first) if bytes.iter().all(|byte| byte == first) => format!("{} times {first}", bytes.len()),
        _ => format!("{} bytes", bytes.len()),
    }
}

fn options_of(new: &NewSnapshot) -> SnapshotOptions {
    let options = SnapshotOptions::named(&new.name).uuid(new.uuid).attributes(new.attributes.clone());
    match &new.bookmark {
        Some((uuid, name)) => options.bookmark(*uuid, name),
        None => options,
    }
}

impl Machine {
    pub fn new(shape: Shape, size: u64, settings: Settings) -> Outcome<Self> {
        let home = if settings.in_file {
            Home::File(TempDir::new().expect("a temporary directory"))
        } else {
            Home::Memory(Arc::new(MemoryDevice::new(CAPACITY_BYTES).expect("memory for a device")))
        };
        let store = done("create", home.create(options(&settings)))?;
        let (drives_max, snapshots_max) = if shape == Shape::Deep { (3, 8) } else { (5, 14) };
        let mut machine = Self {
            home,
            settings,
            open: Some(store),
            model: Model::new(),
            held: Vec::new(),
            names: 0,
            steps: 0,
            drives_max,
            snapshots_max,
            log: vec![format!("{settings:?}")],
        };
        machine.create_drive(size)?;
        Ok(machine)
    }

    /// Does the operation and compares everything.
    pub fn step(&mut self, operation: &Operation) -> Outcome {
        self.steps += 1;
        self.apply(operation)?;
        let thorough = self.steps.is_multiple_of(THOROUGH_EVERY) || matches!(operation, Operation::Reopen);
        let reading = if thorough { Reading::Thorough } else { Reading::Light };
        judge(self.store(), &self.model, reading)?;
        for (snapshot, image) in &self.held {
            judge_snapshot(snapshot, image, reading).map_err(|difference| format!("pinned snapshot: {difference}"))?;
        }
        if self.steps.is_multiple_of(self.settings.check_every) {
            self.check()?;
        }
        Ok(())
    }

    /// Reopens, looks at everything once more, and deletes everything, in an order that differs from run to run.
    pub fn finish(&mut self) -> Outcome {
        self.tell("the end");
        self.check()?;
        self.reopen()?;
        judge(self.store(), &self.model, Reading::Thorough)?;
        let mut dice = self.steps as u8;
        while !self.model.drives.is_empty() || !self.model.snapshots.is_empty() {
            dice = dice.wrapping_mul(37).wrapping_add(11);
            if dice.is_multiple_of(3) || self.model.snapshots.is_empty() {
                self.delete_drive(dice / 3)?;
            } else {
                self.delete_snapshot(dice / 3)?;
            }
            judge(self.store(), &self.model, Reading::Light)?;
            self.check()?;
            if dice.is_multiple_of(5) {
                self.drain()?;
            }
        }
        while !self.model.notes.is_empty() {
            self.delete_note(dice)?;
            judge(self.store(), &self.model, Reading::Light)?;
            self.check()?;
        }
        self.drain()?;
        same("A6: data bytes after everything was deleted", &self.store().usage().data_bytes, &0)?;
        self.check()?;
        done("close", self.store().close())
    }

    fn apply(&mut self, operation: &Operation) -> Outcome {
        match *operation {
            Operation::CreateDrive { size } => self.create_drive(size),
            Operation::Write { drive, spot, fill } => self.write(drive, spot, fill),
            Operation::Comb { drive, spot, stride, count, fill } => self.comb(drive, spot, stride.into(), count.into(), fill),
            Operation::WriteZeroes { drive, spot } => self.write_zeroes(drive, spot),
            Operation::Discard { drive, spot } => self.discard(drive, spot),
            Operation::Resize { drive, size } => self.resize(drive, size),
            Operation::ReadDrive { drive, spot } => self.read_drive(drive, spot),
            Operation::ReadSnapshot { snapshot, spot } => self.read_snapshot(snapshot, spot),
            Operation::Snapshot { drive, marks } => self.snapshot(drive, marks),
            Operation::Group { first, count, marks } => self.group(first, count.into(), marks),
            Operation::Clone { snapshot, size } => self.clone_drive(snapshot, size),
            Operation::Revert { drive, snapshot, to_any } => self.revert(drive, snapshot, to_any),
            Operation::DeleteSnapshot { snapshot } => self.delete_snapshot(snapshot),
            Operation::DeleteSnapshotAndCount { snapshot } => self.delete_snapshot_and_count(snapshot),
            Operation::DeleteDrive { drive } => self.delete_drive(drive),
            Operation::Bookmark { drive } => self.bookmark(drive),
            Operation::DeleteBookmark { drive, bookmark } => self.delete_bookmark(drive, bookmark),
            Operation::RenameDrive { drive, name } => self.rename_drive(drive, name),
            Operation::RenameSnapshot { snapshot, name } => self.rename_snapshot(snapshot, name),
            Operation::DriveAttributes { drive, length } => self.set_drive_attributes(drive, length),
            Operation::SnapshotAttributes { snapshot, length } => self.set_snapshot_attributes(snapshot, length),
            Operation::SetNote { note, length } => self.set_note(note, length),
            Operation::DeleteNote { note } => self.delete_note(note),
            Operation::FlushDrive { drive } => self.flush_drive(drive),
            Operation::FlushStore => self.flush_store(),
            Operation::Reclaim { budget } => self.reclaim(budget.into()),
            Operation::Drain => self.drain(),
            Operation::Check => self.check(),
            Operation::Reopen => self.reopen(),
            Operation::Hold { snapshot } => self.hold(snapshot),
            Operation::LetGo => {
                self.tell("let go of the oldest held handle");
                self.held.drain(..self.held.len().min(1));
                Ok(())
            }
            Operation::Diff { older, newer } => self.diff(older, newer),
            Operation::DiffDrive { older, drive } => self.diff_drive(older, drive),
            Operation::Fingerprint { snapshot } => self.fingerprint(snapshot),
        }
    }

    // --- writing -----------------------------------------------------------------------------------------------

    fn write(&mut self, drive: u8, spot: Spot, fill: Fill) -> Outcome {
        let Some((index, handle)) = self.drive(drive)? else { return Ok(()) };
        let range = spot.on(self.model.drives[index].image.size);
        let bytes = self.fill(index, range.clone(), fill);
        self.tell(format!("write {} at {}+{} of {}", text(&bytes), range.start / BLOCK, range.start % BLOCK, self.named(index)));
        done("write_at", handle.write_at(&bytes, range.start))?;
        let undecided = self.model.write(index, range.start, &bytes);
        self.decide(index, &handle, undecided)
    }

    fn comb(&mut self, drive: u8, spot: Spot, stride: u64, count: u64, fill: Fill) -> Outcome {
        let Some((index, handle)) = self.drive(drive)? else { return Ok(()) };
        let size = self.model.drives[index].image.size;
        let first = spot.first_block(size);
        let blocks = size.div_ceil(BLOCK);
        self.tell(format!("comb of {count} every {stride} blocks from {first}, {fill:?}, on {}", self.named(index)));
        for block in (first..blocks).step_by(stride as usize).take(count as usize) {
            let range = block * BLOCK..size.min((block + 1) * BLOCK);
            let bytes = self.fill(index, range.clone(), fill);
            done("write_at", handle.write_at(&bytes, range.start))?;
            let undecided = self.model.write(index, range.start, &bytes);
            self.decide(index, &handle, undecided)?;
        }
        Ok(())
    }

    fn write_zeroes(&mut self, drive: u8, spot: Spot) -> Outcome {
        let Some((index, handle)) = self.drive(drive)? else { return Ok(()) };
        let range = spot.stretched_on(self.model.drives[index].image.size);
        self.tell(format!("write zeroes to {range:?} of {}", self.named(index)));
        done("write_zeroes", handle.write_zeroes(range.clone()))?;
        let undecided = self.model.write_zeroes(index, range);
        self.decide(index, &handle, undecided)
    }

    fn discard(&mut self, drive: u8, spot: Spot) -> Outcome {
        let Some((index, handle)) = self.drive(drive)? else { return Ok(()) };
        let range = spot.stretched_on(self.model.drives[index].image.size);
        self.tell(format!("discard {range:?} of {}", self.named(index)));
        done("discard", handle.discard(range.clone()))?;
        self.model.discard(index, range);
        Ok(())
    }

    fn resize(&mut self, drive: u8, size: u64) -> Outcome {
        let Some((index, handle)) = self.drive(drive)? else { return Ok(()) };
        self.tell(format!("resize {} to {}+{}", self.named(index), size / BLOCK, size % BLOCK));
        done("resize", handle.resize(size))?;
        let undecided = self.model.resize(index, size);
        self.decide(index, &handle, undecided)
    }

    /// A block of zeroes that nobody shares any more may be a hole or data: the drive says which.
    fn decide(&mut self, index: usize, handle: &Drive, undecided: Vec<u64>) -> Outcome {
        if undecided.is_empty() {
            return Ok(());
        }
        let mapped = mapped_ranges(handle)?;
        for address in undecided {
            if !mapped.iter().any(|range| range.contains(&(address * BLOCK))) {
                self.model.decide_hole(index, address);
            }
        }
        Ok(())
    }

    fn fill(&self, index: usize, range: std::ops::Range<u64>, fill: Fill) -> Vec<u8> {
        let length = (range.end - range.start) as usize;
        match fill {
            Fill::Letter(letter) => vec![b'A' + letter; length],
            Fill::Zero => vec![0; length],
            Fill::Stamp => self.model.next_write().to_le_bytes().iter().copied().cycle().take(length).collect(),
            Fill::Same => self.model.drives[index].image.bytes(range),
            Fill::Nearly => {
                let mut bytes = self.model.drives[index].image.bytes(range);
                bytes[length - 1] = bytes[length - 1].wrapping_add(1);
                bytes
            }
            Fill::Old(number) => match choose(number, self.model.snapshots.len()) {
                Some(snapshot) => self.model.snapshots[snapshot].image.bytes(range),
                None => vec![b'Z'; length],
            },
        }
    }

    // --- reading -----------------------------------------------------------------------------------------------

    fn read_drive(&mut self, drive: u8, spot: Spot) -> Outcome {
        let Some((index, handle)) = self.drive(drive)? else { return Ok(()) };
        let image = &self.model.drives[index].image;
        judge_range(image, spot.on(image.size), |buf, offset| handle.read_at(buf, offset))
    }

    fn read_snapshot(&mut self, snapshot: u8, spot: Spot) -> Outcome {
        let Some((index, handle)) = self.snapshot_handle(snapshot)? else { return Ok(()) };
        let image = &self.model.snapshots[index].image;
        judge_range(image, spot.on(image.size), |buf, offset| handle.read_at(buf, offset))
    }

    fn diff(&mut self, older: u8, newer: u8) -> Outcome {
        let Some((older, older_handle)) = self.snapshot_handle(older)? else { return Ok(()) };
        let Some((newer, newer_handle)) = self.snapshot_handle(newer)? else { return Ok(()) };
        let (older, newer) = (&self.model.snapshots[older], &self.model.snapshots[newer]);
        let changed = changed_blocks(done("diff", older_handle.diff(&newer_handle))?, &newer.image)?;
        same(format!("diff from {} to {}", older.name, newer.name), &changed, &older.image.changes_to(&newer.image))
    }

    fn diff_drive(&mut self, older: u8, drive: u8) -> Outcome {
        let Some((older, older_handle)) = self.snapshot_handle(older)? else { return Ok(()) };
        let Some((drive, drive_handle)) = self.drive(drive)? else { return Ok(()) };
        let (older, newer) = (&self.model.snapshots[older], &self.model.drives[drive]);
        let changed = changed_blocks(done("diff_drive", older_handle.diff_drive(&drive_handle))?, &newer.image)?;
        same(format!("diff from {} to {}", older.name, newer.name), &changed, &older.image.changes_to(&newer.image))
    }

    fn fingerprint(&mut self, snapshot: u8) -> Outcome {
        let Some((index, handle)) = self.snapshot_handle(snapshot)? else { return Ok(()) };
        let snapshot = &self.model.snapshots[index];
        let fingerprint = done("fingerprint", handle.fingerprint())?;
        same(format!("fingerprint of {}", snapshot.name), &fingerprint, &snapshot.image.fingerprint())
    }

    // --- what exists -------------------------------------------------------------------------------------------

    fn create_drive(&mut self, size: u64) -> Outcome {
        if self.model.drives.len() >= self.drives_max {
            return Ok(());
        }
        let (name, attributes) = (self.next_name("d"), self.some_attributes());
        self.tell(format!("create drive {name} of {}+{}", size / BLOCK, size % BLOCK));
        let options = DriveOptions::new(size).name(&name).attributes(attributes.clone());
        let drive = done("create_drive", self.store().create_drive(options))?;
        self.model.create_drive(drive.uuid(), name, attributes, size);
        Ok(())
    }

    fn clone_drive(&mut self, snapshot: u8, size: Option<u64>) -> Outcome {
        let Some((index, handle)) = self.snapshot_handle(snapshot)? else { return Ok(()) };
        if self.model.drives.len() >= self.drives_max {
            return Ok(());
        }
        // A clone may be larger than its origin from the start; smaller it becomes by a resize.
        let size = size.filter(|size| *size > self.model.snapshots[index].image.size);
        let (name, uuid, attributes) = (self.next_name("c"), Uuid::new_v4(), self.some_attributes());
        self.tell(format!("clone {} as {name}, size {size:?}", self.model.snapshots[index].name));
        let options = match size {
            Some(size) => DriveOptions::new(size).name(&name),
            None => DriveOptions::named(&name),
        };
        let drive = done("clone_drive", handle.clone_drive(options.uuid(uuid).attributes(attributes.clone())))?;
        same("uuid of the clone", &drive.uuid(), &uuid)?;
        self.model.clone_drive(index, uuid, name, attributes);
        if let Some(size) = size {
            let index = self.model.drives.len() - 1;
            self.model.resize(index, size);
        }
        Ok(())
    }

    fn snapshot(&mut self, drive: u8, marks: bool) -> Outcome {
        if self.model.snapshots.len() >= self.snapshots_max {
            return Ok(());
        }
        let Some((index, handle)) = self.drive(drive)? else { return Ok(()) };
        let new = NewSnapshot { attributes: self.some_attributes(), ..self.new_snapshot(index, "s", marks) };
        let left = new.bookmark.as_ref().map_or(String::new(), |(_, name)| format!(", leaving {name}"));
        self.tell(format!("snapshot {} as {}{left}", self.named(index), new.name));
        let snapshot = done("snapshot", handle.snapshot(options_of(&new)))?;
        // A2: a fresh snapshot is 0.
        same("allocated size of a fresh snapshot", &done("allocated_size", snapshot.allocated_size())?, &0)?;
        same("uuid of the snapshot", &snapshot.uuid(), &new.uuid)?;
        self.model.snapshot_group(vec![new]);
        Ok(())
    }

    fn group(&mut self, first: u8, count: usize, marks: u8) -> Outcome {
        let drives = self.model.drives.len();
        let count = count.min(drives);
        if count == 0 || self.model.snapshots.len() + count > self.snapshots_max {
            return Ok(());
        }
        let mut members = Vec::new();
        let mut handles = Vec::new();
        for place in 0..count {
            let index = (usize::from(first) + place) % drives;
            members.push(self.new_snapshot(index, "g", marks >> place & 1 == 1));
            handles.push(done("finding a drive", self.store().drive(self.model.drives[index].uuid))?);
        }
        let words: Vec<_> = members.iter().map(|new| (&new.name, new.bookmark.as_ref().map(|(_, name)| name))).collect();
        self.tell(format!("snapshot a group as {words:?}"));
        let group: Vec<_> = handles.iter().zip(members.iter().map(options_of)).collect();
        let snapshots = done("snapshot_group", self.store().snapshot_group(&group))?;
        let uuids: Vec<_> = members.iter().map(|new| new.uuid).collect();
        same("uuids of the group", &snapshots.iter().map(Snapshot::uuid).collect(), &uuids)?;
        self.model.snapshot_group(members);
        Ok(())
    }

    fn new_snapshot(&mut self, drive: usize, prefix: &str, marks: bool) -> NewSnapshot {
        let marks = marks && self.model.drives[drive].bookmarks.len() < BOOKMARKS_MAX;
        let bookmark = marks.then(|| (Uuid::new_v4(), self.next_name("b")));
        NewSnapshot { drive, uuid: Uuid::new_v4(), name: self.next_name(prefix), attributes: Vec::new(), bookmark }
    }

    fn revert(&mut self, drive: u8, snapshot: u8, to_any: bool) -> Outcome {
        let Some((drive, drive_handle)) = self.drive(drive)? else { return Ok(()) };
        let uuid = self.model.drives[drive].uuid;
        let eligible: Vec<usize> =
            (0..self.model.snapshots.len()).filter(|index| to_any || self.model.snapshots[*index].drive == uuid).collect();
        let Some(snapshot) = choose(snapshot, eligible.len()).map(|index| eligible[index]) else { return Ok(()) };
        self.tell(format!("revert {} to {}", self.named(drive), self.model.snapshots[snapshot].name));
        let handle = done("finding a snapshot", self.store().snapshot(self.model.snapshots[snapshot].uuid))?;
        let survivors = self.model.survivors(drive, snapshot);
        done("revert_to", drive_handle.revert_to(&handle))?;
        let bookmarks = done("bookmarks", drive_handle.bookmarks())?.iter().map(floe::Bookmark::uuid).collect();
        if !survivors.surely.is_subset(&bookmarks) || !survivors.at_most.is_superset(&bookmarks) {
            return Err(format!(
                "bookmarks {bookmarks:?} after a revert: {:?} should be there, and no other than {:?}",
                survivors.surely, survivors.at_most
            ));
        }
        self.model.revert(drive, snapshot, &bookmarks);
        Ok(())
    }

    fn delete_drive(&mut self, drive: u8) -> Outcome {
        let Some((index, handle)) = self.drive(drive)? else { return Ok(()) };
        self.tell(format!("delete drive {}", self.named(index)));
        done("delete drive", handle.delete())?;
        self.model.delete_drive(index);
        self.gone("reading a deleted drive", handle.read_at(&mut [0; 16], 0))?;
        self.gone("finding a deleted drive", self.store().drive(handle.uuid()))
    }

    fn delete_snapshot(&mut self, snapshot: u8) -> Outcome {
        let Some((index, handle)) = self.snapshot_handle(snapshot)? else { return Ok(()) };
        self.tell(format!("delete snapshot {}", self.model.snapshots[index].name));
        done("delete snapshot", handle.delete())?;
        let deleted = self.model.delete_snapshot(index);
        self.gone("the size of a deleted snapshot", handle.allocated_size())?;
        self.gone("finding a deleted snapshot", self.store().snapshot(handle.uuid()))?;
        judge_snapshot(&handle, &deleted.image, Reading::Light)
            .map_err(|difference| format!("snapshot {} was deleted under a handle: {difference}", deleted.name))
    }

    fn delete_snapshot_and_count(&mut self, snapshot: u8) -> Outcome {
        let Some((index, handle)) = self.snapshot_handle(snapshot)? else { return Ok(()) };
        self.held.clear();
        self.drain()?;
        let before = self.store().usage().data_bytes;
        let exclusive = done("exclusive_size", handle.exclusive_size())?;
        drop(handle);
        let (name, others) = (self.model.snapshots[index].name.clone(), self.allocated_of_living(index)?);
        self.delete_snapshot(snapshot)?;
        same(format!("A4: sizes after {name} was deleted"), &self.allocated_of_living(usize::MAX)?, &others)?;
        self.drain()?;
        let given_back = before - self.store().usage().data_bytes;
        same(format!("A6: deleting {name} gave back"), &given_back, &exclusive)
    }

    /// What the store says of all snapshots but one whose drives live.
    fn allocated_of_living(&self, but: usize) -> Outcome<Vec<(Uuid, u64)>> {
        let mut sizes = Vec::new();
        for (index, snapshot) in self.model.snapshots.iter().enumerate() {
            if index != but && self.model.drive_at(snapshot.drive).is_some() {
                let handle = done("finding a snapshot", self.store().snapshot(snapshot.uuid))?;
                sizes.push((snapshot.uuid, done("allocated_size", handle.allocated_size())?));
            }
        }
        Ok(sizes)
    }

    fn bookmark(&mut self, drive: u8) -> Outcome {
        let Some((index, handle)) = self.drive(drive)? else { return Ok(()) };
        if self.model.drives[index].bookmarks.len() >= BOOKMARKS_MAX {
            return Ok(());
        }
        let name = self.next_name("b");
        self.tell(format!("bookmark {} as {name}", self.named(index)));
        let bookmark = done("bookmark", handle.bookmark(&name))?;
        same("allocated size of a fresh bookmark", &done("allocated_size", bookmark.allocated_size())?, &0)?;
        self.model.bookmark(index, bookmark.uuid(), name);
        Ok(())
    }

    fn delete_bookmark(&mut self, drive: u8, bookmark: u8) -> Outcome {
        let Some((index, handle)) = self.drive(drive)? else { return Ok(()) };
        let Some(bookmark) = choose(bookmark, self.model.drives[index].bookmarks.len()) else { return Ok(()) };
        self.tell(format!("delete bookmark {}", self.model.drives[index].bookmarks[bookmark].name));
        let bookmarks = done("bookmarks", handle.bookmarks())?;
        let Some(found) = bookmarks.get(bookmark) else { return Err("a bookmark is missing".to_owned()) };
        done("delete bookmark", found.delete())?;
        self.model.delete_bookmark(index, bookmark);
        self.gone("the size of a deleted bookmark", found.allocated_size())
    }

    fn rename_drive(&mut self, drive: u8, name: u8) -> Outcome {
        let Some((index, handle)) = self.drive(drive)? else { return Ok(()) };
        // Names need not differ.
        let name = format!("renamed {}", name % 4);
        self.tell(format!("rename {} to {name}", self.named(index)));
        done("rename", handle.rename(&name))?;
        self.model.drives[index].name = name;
        Ok(())
    }

    fn rename_snapshot(&mut self, snapshot: u8, name: u8) -> Outcome {
        let Some((index, handle)) = self.snapshot_handle(snapshot)? else { return Ok(()) };
        let name = format!("renamed {}", name % 4);
        self.tell(format!("rename {} to {name}", self.model.snapshots[index].name));
        done("rename", handle.rename(&name))?;
        self.model.snapshots[index].name = name;
        Ok(())
    }

    fn set_drive_attributes(&mut self, drive: u8, length: u16) -> Outcome {
        let Some((index, handle)) = self.drive(drive)? else { return Ok(()) };
        self.tell(format!("{length} bytes of attributes to {}", self.named(index)));
        let bytes = vec![length as u8; length.into()];
        if length.is_multiple_of(2) {
            done("set_attributes", handle.set_attributes(&bytes))?;
        } else {
            let name = format!("described {}", length % 8);
            done("describe", handle.describe(&name, &bytes))?;
            self.model.drives[index].name = name;
        }
        self.model.drives[index].attributes = bytes;
        Ok(())
    }

    fn set_snapshot_attributes(&mut self, snapshot: u8, length: u16) -> Outcome {
        let Some((index, handle)) = self.snapshot_handle(snapshot)? else { return Ok(()) };
        self.tell(format!("{length} bytes of attributes to {}", self.model.snapshots[index].name));
        let bytes = vec![length as u8; length.into()];
        if length.is_multiple_of(2) {
            done("set_attributes", handle.set_attributes(&bytes))?;
        } else {
            let name = format!("described {}", length % 8);
            done("describe", handle.describe(&name, &bytes))?;
            self.model.snapshots[index].name = name;
        }
        self.model.snapshots[index].attributes = bytes;
        Ok(())
    }

    fn set_note(&mut self, note: u8, length: u32) -> Outcome {
        let notes = &self.model.notes;
        let uuid = match choose(note, (notes.len() + 1).min(NOTES_MAX)) {
            Some(index) if index < notes.len() => notes[index].uuid,
            // Notes have a name space of their own.
            _ => {
                let is_free = |uuid: &Uuid| notes.iter().all(|note| note.uuid != *uuid);
                self.model.drives.iter().map(|drive| drive.uuid).find(is_free).unwrap_or_else(Uuid::new_v4)
            }
        };
        self.tell(format!("{length} bytes to note {uuid}"));
        // No two chunks hold the same, nor does one twice.
        let bytes: Vec<u8> = (0..length as usize).map(|at| (at / 100 + self.steps * 7) as u8).collect();
        done("set_note", self.store().set_note(uuid, &bytes))?;
        self.model.set_note(uuid, bytes);
        Ok(())
    }

    fn delete_note(&mut self, note: u8) -> Outcome {
        let Some(index) = choose(note, self.model.notes.len()) else { return Ok(()) };
        let uuid = self.model.notes[index].uuid;
        self.tell(format!("delete note {uuid}"));
        done("delete_note", self.store().delete_note(uuid))?;
        self.model.delete_note(uuid);
        self.gone("reading a deleted note", self.store().note(uuid))?;
        self.gone("deleting a deleted note", self.store().delete_note(uuid))
    }

    fn hold(&mut self, snapshot: u8) -> Outcome {
        let Some((index, handle)) = self.snapshot_handle(snapshot)? else { return Ok(()) };
        if self.held.len() < HELD_MAX {
            self.tell(format!("hold {}", self.model.snapshots[index].name));
            self.held.push((handle, self.model.snapshots[index].image.clone()));
        }
        Ok(())
    }

    // --- the store as a whole ----------------------------------------------------------------------------------

    fn flush_drive(&mut self, drive: u8) -> Outcome {
        let Some((index, handle)) = self.drive(drive)? else { return Ok(()) };
        self.tell(format!("flush {}", self.named(index)));
        done("flush", handle.flush())
    }

    fn flush_store(&mut self) -> Outcome {
        self.tell("flush the store");
        done("flush", self.store().flush())
    }

    fn reclaim(&mut self, budget: u64) -> Outcome {
        self.tell(format!("reclaim {budget}"));
        let reclaimed = done("reclaim", self.store().reclaim(budget))?;
        if reclaimed.visited > budget + BUDGET_OVERSTEP_MAX {
            return Err(format!("reclaim visited {} extents for a budget of {budget}", reclaimed.visited));
        }
        Ok(())
    }

    /// Reclaims to the end, after which space used and space reachable are the same (A7).
    fn drain(&mut self) -> Outcome {
        self.tell("drain");
        let mut calls = 0;
        while !done("reclaim", self.store().reclaim(1 + calls as u64 % 97))?.done {
            calls += 1;
            if calls > RECLAIMS_MAX {
                return Err("reclaim never ends".to_owned());
            }
        }
        let usage = self.store().usage();
        let pinned = self.held.iter().any(|(held, _)| self.store().snapshot(held.uuid()).is_err());
        if pinned {
            return Ok(());
        }
        same("A7: bytes in use and bytes reachable", &usage.data_bytes, &self.model.reachable())?;
        same("deleted things left to reclaim", &usage.reclaiming, &0)
    }

    fn check(&mut self) -> Outcome {
        self.tell("check");
        let report = done("check", self.store().check())?;
        if !report.is_clean() {
            return Err(format!("check found {} problems: {:#?}", report.problems_total, report.problems));
        }
        same("drives that check saw", &report.drives, &(self.model.drives.len() as u64))?;
        same("snapshots that check saw", &report.snapshots, &(self.model.snapshots.len() as u64))?;
        same("notes that check saw", &report.notes, &(self.model.notes.len() as u64))
    }

    fn reopen(&mut self) -> Outcome {
        self.tell("close and open");
        done("close", self.store().close())?;
        // A handle that may have lent bytes keeps the file from others; any other keeps nothing.
        let pinned = !self.held.is_empty();
        for (snapshot, _) in self.held.drain(..) {
            match snapshot.read_at(&mut [0; 16], 0) {
                Err(error) if error.kind() == ErrorKind::Closed => {}
                other => return Err(format!("reading through a handle of a closed store: {other:?}")),
            }
        }
        if pinned {
            self.open = None;
        }
        self.open = Some(done("open", self.home.open(options(&self.settings)))?);
        same("clean after close", &self.store().info().was_clean, &true)
    }

    // --- private -----------------------------------------------------------------------------------------------

    fn drive(&self, number: u8) -> Outcome<Option<(usize, Drive)>> {
        match choose(number, self.model.drives.len()) {
            Some(index) => Ok(Some((index, done("finding a drive", self.store().drive(self.model.drives[index].uuid))?))),
            None => Ok(None),
        }
    }

    fn snapshot_handle(&self, number: u8) -> Outcome<Option<(usize, Snapshot)>> {
        match choose(number, self.model.snapshots.len()) {
            Some(index) => {
                let uuid = self.model.snapshots[index].uuid;
                Ok(Some((index, done("finding a snapshot", self.store().snapshot(uuid))?)))
            }
            None => Ok(None),
        }
    }

    fn gone<T>(&self, what: &str, result: Result<T, floe::Error>) -> Outcome {
        match result {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(format!("{what}: {error}, which is not NotFound")),
            Ok(_) => Err(format!("{what} succeeded")),
        }
    }

    fn store(&self) -> &Store {
        self.open.as_ref().expect("it is closed only while it is reopened")
    }

    fn named(&self, index: usize) -> &str {
        &self.model.drives[index].name
    }

    fn next_name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    fn some_attributes(&self) -> Vec<u8> {
        vec![7; self.names as usize % 5 * 300]
    }

    fn tell(&mut self, what: impl Into<String>) {
        self.log.push(format!("{:4}  {}", self.steps, what.into()));
    }
}
