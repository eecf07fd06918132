//! What must the store hold that a killed child left?
//!
//! The log says what was done and what was under way. All that was done before the last call that makes things durable is
//! there. Of what follows, each block may have kept any content that it had since, whole; the store is asked which one. A call
//! under way that is durable when it returns has happened or not, as a whole; the store is asked that too.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::ops::{AddAssign, Range};

use floe::{Drive, Snapshot, Store, Uuid};

use crate::judge::{Outcome, done, mapped_ranges};
use crate::model::{BLOCK, Held, Model, NewSnapshot};
use crate::operation::{Id, Line, Operation, stamped};

/// A call that the log names.
struct Call<'a> {
    operation: &'a Operation,
    begun: usize,
    done: Option<usize>,
}

/// What is known of a store, from one child to the next.
pub struct Expected {
    pub model: Model,
    pub capacity: u64,
    /// Bookmarks, by name, that a revert may have taken along.
    doubtful: BTreeSet<String>,
    pub seen: Seen,
}

/// What the kills hit, for the report: a test that hits nothing shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Durable calls under way that had happened.
    pub happened: u64,
    /// And that had not.
    pub undone: u64,
    /// Blocks written since the last flush that kept the last content.
    pub newest: u64,
    /// And that kept an older one.
    pub older: u64,
}

impl AddAssign for Seen {
    fn add_assign(&mut self, other: Self) {
        self.happened += other.happened;
        self.undone += other.undone;
        self.newest += other.newest;
        self.older += other.older;
    }
}

/// Contents that a block may have kept; `None` is a hole. The last one is what it had when the child was killed.
type Kept = BTreeMap<(Id, u64), Vec<Option<Held>>>;

impl Expected {
    pub fn new(capacity: u64) -> Self {
        Self { model: Model::new(), capacity, doubtful: BTreeSet::new(), seen: Seen::default() }
    }

    /// Takes over what the child did, as far as it is in the store it left.
    pub fn replay(&mut self, lines: &[Line], families: usize, store: &Store) -> Outcome {
        let mut calls: Vec<Vec<Call<'_>>> = (0..families).map(|family| calls_of(lines, family)).collect();
        for calls in &mut calls {
            let Some(Call { operation, done: None, .. }) = calls.last() else { continue };
            if !operation.is_seen() {
                continue;
            }
            if happened(operation, store)? {
                self.seen.happened += 1;
            } else {
                self.seen.undone += 1;
                calls.pop();
            }
        }
        // What was done before this is durable, whoever did it. Flushes and the like under way prove nothing.
        let proves = |call: &&Call<'_>| call.operation.is_durable() && (call.done.is_some() || call.operation.is_seen());
        let covered = calls.iter().flatten().filter(proves).map(|call| call.begun).max().unwrap_or(0);
        let mut kept = Kept::new();
        for calls in &calls {
            let own = calls.iter().rposition(|call| proves(&call)).map_or(0, |index| index + 1);
            let durable = own.max(calls.partition_point(|call| call.done.is_some_and(|done| done < covered)));
            for (index, call) in calls.iter().enumerate() {
                let before = self.blocks_before(call.operation);
                self.apply(call.operation);
                if index < durable {
                    continue;
                }
                for (place, before) in before {
                    let after = self.block(place);
                    kept.entry(place).or_insert_with(|| vec![before]).push(after);
                }
            }
        }
        let reopened = calls.iter().flatten().filter(|call| *call.operation == Operation::Reopen).map(|call| call.begun).max();
        let committed = |call: &Call<'_>| call.operation.is_seen() && call.done.is_some() && Some(call.begun) > reopened;
        if store.info().was_clean && calls.iter().flatten().any(committed) {
            return Err("the store says that nobody was killed".to_owned());
        }
        self.decide_bookmarks(store)?;
        self.decide_blocks(&kept, store)?;
        self.order_as(store)
    }

    // --- the model ---------------------------------------------------------------------------------------------

    fn drive(&self, id: Id) -> usize {
        self.model.drives.iter().position(|drive| drive.uuid == id.uuid()).expect("a child uses only what exists")
    }

    fn snapshot(&self, id: Id) -> usize {
        self.model.snapshots.iter().position(|snapshot| snapshot.uuid == id.uuid()).expect("a child uses only what exists")
    }

    /// Does to the model what a call does.
    fn apply(&mut self, operation: &Operation) {
        let undecided = match operation {
            Operation::Write { drive, range, stamp } => {
                self.model.write(self.drive(*drive), range.start, &stamped(*stamp, range.clone()))
            }
            Operation::Comb { drive, first, stride, count, stamp } => {
                let drive = self.drive(*drive);
                let offsets = (0..*count).map(|index| (first + index * stride) * BLOCK);
                offsets.flat_map(|offset| self.model.write(drive, offset, &stamped(*stamp, offset..offset + BLOCK))).collect()
            }
            Operation::WriteZeroes { drive, range } => self.model.write_zeroes(self.drive(*drive), range.clone()),
            Operation::Resize { drive, size } => self.model.resize(self.drive(*drive), *size),
            other => {
                self.apply_to_catalog(other);
                Vec::new()
            }
        };
        assert!(undecided.is_empty(), "the child makes no block of zeroes, but {operation:?} did");
    }

    fn apply_to_catalog(&mut self, operation: &Operation) {
        match operation.clone() {
            Operation::Discard { drive, range } => self.model.discard(self.drive(drive), range),
            Operation::CreateDrive { drive, size, name, attributes } => {
                self.model.create_drive(drive.uuid(), name, attributes, size);
            }
            Operation::Freeze { members, name, attributes } => {
                let member = |(drive, snapshot): &(Id, Id)| {
                    let (drive, name, attributes) = (self.drive(*drive), name.clone(), attributes.clone());
                    NewSnapshot { drive, uuid: snapshot.uuid(), name, attributes, bookmark: None }
                };
                self.model.snapshot_group(members.iter().map(member).collect());
            }
            Operation::Clone { snapshot, drive, name } => {
                self.model.clone_drive(self.snapshot(snapshot), drive.uuid(), name, Vec::new());
            }
            Operation::Revert { drive, snapshot } => {
                let (drive, snapshot) = (self.drive(drive), self.snapshot(snapshot));
                let survivors = self.model.survivors(drive, snapshot);
                let doubtful = self.model.drives[drive].bookmarks.iter().filter(|mark| !survivors.surely.contains(&mark.uuid));
                self.doubtful.extend(doubtful.map(|mark| mark.name.clone()));
                self.model.revert(drive, snapshot, &survivors.at_most);
            }
            Operation::DeleteDrive { drive } => self.model.delete_drive(self.drive(drive)),
            Operation::DeleteSnapshot { snapshot } => drop(self.model.delete_snapshot(self.snapshot(snapshot))),
            Operation::Bookmark { drive, name } => {
                // The engine chooses the identity; until the store is asked, any other does.
                self.model.bookmark(self.drive(drive), Uuid::new_v4(), name);
            }
            Operation::DeleteBookmark { drive, name } => {
                let index = self.drive(drive);
                self.model.drives[index].bookmarks.retain(|bookmark| bookmark.name != name);
            }
            Operation::RenameDrive { drive, name } => {
                let index = self.drive(drive);
                self.model.drives[index].name = name;
            }
            Operation::RenameSnapshot { snapshot, name } => {
                let index = self.snapshot(snapshot);
                self.model.snapshots[index].name = name;
            }
            Operation::DriveAttributes { drive, attributes } => {
                let index = self.drive(drive);
                self.model.drives[index].attributes = attributes;
            }
            Operation::SnapshotAttributes { snapshot, attributes } => {
                let index = self.snapshot(snapshot);
                self.model.snapshots[index].attributes = attributes;
            }
            Operation::Grow { capacity } => self.capacity = capacity,
            _ => {}
        }
    }

    // --- what the store is asked -------------------------------------------------------------------------------

    /// What lies at the places that a call may change without being durable.
    fn blocks_before(&self, operation: &Operation) -> Vec<((Id, u64), Option<Held>)> {
        let (drive, addresses): (Id, Vec<u64>) = match operation {
            Operation::Write { drive, range, .. }
            | Operation::WriteZeroes { drive, range }
            | Operation::Discard { drive, range } => (*drive, (range.start / BLOCK..range.end.div_ceil(BLOCK)).collect()),
            Operation::Comb { drive, first, stride, count, .. } => {
                (*drive, (0..*count).map(|index| first + index * stride).collect())
            }
            _ => return Vec::new(),
        };
        addresses.into_iter().map(|address| ((drive, address), self.block((drive, address)))).collect()
    }

    fn block(&self, (drive, address): (Id, u64)) -> Option<Held> {
        self.model.drives[self.drive(drive)].image.blocks.get(&address).cloned()
    }

    /// D2 and D3: each block holds one of the contents that it may have kept, whole; which one, the model learns here.
    fn decide_blocks(&mut self, kept: &Kept, store: &Store) -> Outcome {
        let mut mapped: BTreeMap<Id, Vec<Range<u64>>> = BTreeMap::new();
        for (&(id, address), kept) in kept {
            let handle = done("finding a drive", store.drive(id.uuid()))?;
            let mapped = match mapped.entry(id) {
                Entry::Vacant(entry) => entry.insert(mapped_ranges(&handle)?),
                Entry::Occupied(entry) => entry.into_mut(),
            };
            let size = done("size", handle.size_bytes())?;
            let found = read(&handle, address * BLOCK..size.min((address + 1) * BLOCK))?;
            let is_data = mapped.iter().any(|range| range.contains(&(address * BLOCK)));
            let fits = |held: &&Option<Held>| match held {
                None => !is_data && found.iter().all(|byte| *byte == 0),
                Some(held) => is_data && held.bytes[..found.len()] == found[..],
            };
            let mut fitting = kept.iter().rev().filter(fits);
            let Some(held) = fitting.next() else {
                let begins = &found[..found.len().min(16)];
                return Err(format!("D2, D3: block {address} of {id:?} (data: {is_data}, {begins:?}) is none of {}", kept.len()));
            };
            let identity = |held: &Option<Held>| held.as_ref().map(|held| held.identity);
            if !fitting.all(|other| identity(other) == identity(held)) {
                return Err(format!("block {address} of {id:?}: the child made it twice without a flush between"));
            }
            match kept.last().map(identity) == Some(identity(held)) {
                true => self.seen.newest += 1,
                false => self.seen.older += 1,
            }
            let index = self.drive(id);
            let blocks = &mut self.model.drives[index].image.blocks;
            match held {
                Some(held) => blocks.insert(address, held.clone()),
                None => blocks.remove(&address),
            };
        }
        Ok(())
    }

    /// Bookmarks get the identity that the engine chose; those that a revert may have taken along are there or not.
    fn decide_bookmarks(&mut self, store: &Store) -> Outcome {
        for drive in &mut self.model.drives {
            let handle = done("finding a drive", store.drive(drive.uuid))?;
            for mark in &mut drive.bookmarks {
                match bookmark_named(&handle, &mark.name)? {
                    Some(found) => {
                        mark.uuid = found;
                        self.doubtful.remove(&mark.name);
                    }
                    None if self.doubtful.contains(&mark.name) => {}
                    None => return Err(format!("bookmark {} is lost", mark.name)),
                }
            }
            drive.bookmarks.retain(|mark| !self.doubtful.contains(&mark.name));
        }
        self.doubtful.clear();
        Ok(())
    }

    /// Threads make things beside each other, and the log cannot say which came first: the store can. What one thread made must
    /// stand in its order.
    fn order_as(&mut self, store: &Store) -> Outcome {
        let drives: Vec<Uuid> = store.drives().iter().map(Drive::uuid).collect();
        let snapshots: Vec<Uuid> = store.snapshots().iter().map(Snapshot::uuid).collect();
        let at = |all: &[Uuid], uuid| all.iter().position(|other| *other == uuid).unwrap_or(usize::MAX);
        self.model.drives.sort_by_key(|drive| at(&drives, drive.uuid));
        self.model.snapshots.sort_by_key(|snapshot| at(&snapshots, snapshot.uuid));
        for all in [drives, snapshots] {
            let mut ids: Vec<Id> = all.into_iter().map(Id::of).collect();
            ids.sort_by_key(|id| id.family());
            if !ids.is_sorted() {
                return Err(format!("not in order of creation: {ids:?}"));
            }
        }
        Ok(())
    }
}

fn calls_of(lines: &[Line], family: usize) -> Vec<Call<'_>> {
    let mut calls: Vec<Call<'_>> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        match line {
            Line::Begins { family: other, operation } if *other == family => {
                calls.push(Call { operation, begun: at, done: None })
            }
            Line::Done { family: other } if *other == family => {
                calls.last_mut().expect("what is done was begun").done = Some(at);
            }
            _ => {}
        }
    }
    calls
}

/// Did a call that was under way happen?
fn happened(operation: &Operation, store: &Store) -> Outcome<bool> {
    let drive = |id: Id| done("finding a drive", store.drive(id.uuid()));
    let snapshot = |id: Id| done("finding a snapshot", store.snapshot(id.uuid()));
    Ok(match operation {
        Operation::CreateDrive { drive, .. } | Operation::Clone { drive, .. } => store.drive(drive.uuid()).is_ok(),
        Operation::DeleteDrive { drive } => store.drive(drive.uuid()).is_err(),
        Operation::DeleteSnapshot { snapshot } => store.snapshot(snapshot.uuid()).is_err(),
        Operation::Freeze { members, .. } => {
            let there = members.iter().filter(|(_, snapshot)| store.snapshot(snapshot.uuid()).is_ok()).count();
            if there != 0 && there != members.len() {
                return Err(format!("D4: {there} of {} snapshots of one group are there", members.len()));
            }
            there > 0
        }
        Operation::Resize { drive: id, size } => done("size", drive(*id)?.size_bytes())? == *size,
        Operation::Revert { drive: id, snapshot: to } => bytes_of(&drive(*id)?)? == bytes_of_snapshot(&snapshot(*to)?)?,
        Operation::Bookmark { drive: id, name } | Operation::DeleteBookmark { drive: id, name } => {
            let is_there = bookmark_named(&drive(*id)?, name)?.is_some();
            is_there == matches!(operation, Operation::Bookmark { .. })
        }
        Operation::RenameDrive { drive: id, name } => done("name", drive(*id)?.name())? == *name,
        Operation::RenameSnapshot { snapshot: id, name } => done("name", snapshot(*id)?.name())? == *name,
        Operation::DriveAttributes { drive: id, attributes } => done("attributes", drive(*id)?.attributes())? == *attributes,
        Operation::SnapshotAttributes { snapshot: id, attributes } => {
            done("attributes", snapshot(*id)?.attributes())? == *attributes
        }
        Operation::Grow { capacity } => store.usage().capacity_bytes == *capacity,
        _ => true,
    })
}

fn bookmark_named(drive: &Drive, name: &str) -> Outcome<Option<Uuid>> {
    for bookmark in done("bookmarks", drive.bookmarks())? {
        if done("name", bookmark.name())? == name {
            return Ok(Some(bookmark.uuid()));
        }
    }
    Ok(None)
}

fn read(drive: &Drive, range: Range<u64>) -> Outcome<Vec<u8>> {
    let mut bytes = vec![0xA5; (range.end - range.start) as usize];
    done("reading a drive", drive.read_at(&mut bytes, range.start))?;
    Ok(bytes)
}

fn bytes_of(drive: &Drive) -> Outcome<Vec<u8>> {
    read(drive, 0..done("size", drive.size_bytes())?)
}

fn bytes_of_snapshot(snapshot: &Snapshot) -> Outcome<Vec<u8>> {
    let mut bytes = vec![0xA5; snapshot.size_bytes() as usize];
    done("reading a snapshot", snapshot.read_at(&mut bytes, 0))?;
    Ok(bytes)
}
