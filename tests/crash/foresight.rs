//! What does an operation lead to?

use std::sync::Arc;

use floe::{Bookmark, Store, Uuid};

use super::{Member, Operation, State};
use crate::judge::{Outcome, done, mapped_ranges};
use crate::model::{BLOCK, Model, NewSnapshot};

impl Operation {
    /// What the operation leads to, a state for each of its durable steps. Where the model leaves a choice, the store, which
    /// did the operation or failed at it, is asked what it took.
    pub fn foresee(&self, before: &State, store: &Store) -> Outcome<Vec<State>> {
        let mut state = before.clone();
        let model = &mut state.model;
        match self {
            Self::CreateDrive { uuid, name, attributes, size } => {
                model.create_drive(*uuid, name.clone(), attributes.clone(), *size);
            }
            Self::Write { drive, offset, bytes } => {
                let index = model.index_of(*drive);
                let undecided = model.write(index, *offset, bytes);
                decide(model, index, undecided, store)?;
            }
            Self::WriteZeroes { drive, range } => {
                let index = model.index_of(*drive);
                let undecided = model.write_zeroes(index, range.clone());
                decide(model, index, undecided, store)?;
            }
            Self::Discard { drive, range } => {
                let index = model.index_of(*drive);
                model.discard(index, range.clone());
            }
            Self::Resize { drive, size } => {
                let index = model.index_of(*drive);
                let undecided = model.resize(index, *size);
                decide(model, index, undecided, store)?;
            }
            Self::RenameDrive { drive, name } => {
                let index = model.index_of(*drive);
                model.drives[index].name.clone_from(name);
            }
            Self::DriveAttributes { drive, bytes } => {
                let index = model.index_of(*drive);
                model.drives[index].attributes.clone_from(bytes);
            }
            Self::DescribeDrive { drive, name, bytes } => {
                let index = model.index_of(*drive);
                model.drives[index].name.clone_from(name);
                model.drives[index].attributes.clone_from(bytes);
            }
            Self::Revert { drive, snapshot } => foresee_revert(model, *drive, *snapshot, store)?,
            Self::DeleteDrive { drive } => {
                let index = model.index_of(*drive);
                model.delete_drive(index);
            }
            Self::Bookmark { drive, name } => {
                let index = model.index_of(*drive);
                let known: Vec<Uuid> = model.drives[index].bookmarks.iter().map(|bookmark| bookmark.uuid).collect();
                if let Some(new) = bookmarks_of(store, *drive)?.into_iter().find(|uuid| !known.contains(uuid)) {
                    model.bookmark(index, new, name.clone());
                }
            }
            Self::DeleteBookmark { drive, bookmark } => {
                let index = model.index_of(*drive);
                let bookmark = model.drives[index].bookmarks.iter().position(|found| found.uuid == *bookmark);
                model.delete_bookmark(index, bookmark.expect("a bookmark of the model exists"));
            }
            Self::Snapshot { members } => {
                let member = |member: &Member| {
                    let Member { drive, uuid, name, attributes, bookmark } = member.clone();
                    NewSnapshot { drive: model.index_of(drive), uuid, name, attributes, bookmark }
                };
                let group = members.iter().map(member).collect();
                model.snapshot_group(group);
            }
            Self::Clone { snapshot, uuid, name, size } => {
                let snapshot = model.snapshot_index_of(*snapshot);
                model.clone_drive(snapshot, *uuid, name.clone(), Vec::new());
                if let Some(size) = size {
                    let clone = state.clone();
                    let index = state.model.drives.len() - 1;
                    let undecided = state.model.resize(index, *size);
                    decide(&mut state.model, index, undecided, store)?;
                    return Ok(vec![clone, state]);
                }
            }
            Self::RenameSnapshot { snapshot, name } => {
                let index = model.snapshot_index_of(*snapshot);
                model.snapshots[index].name.clone_from(name);
            }
            Self::SnapshotAttributes { snapshot, bytes } => {
                let index = model.snapshot_index_of(*snapshot);
                model.snapshots[index].attributes.clone_from(bytes);
            }
            Self::DescribeSnapshot { snapshot, name, bytes } => {
                let index = model.snapshot_index_of(*snapshot);
                model.snapshots[index].name.clone_from(name);
                model.snapshots[index].attributes.clone_from(bytes);
            }
            Self::DeleteSnapshot { snapshot } => {
                let index = model.snapshot_index_of(*snapshot);
                model.delete_snapshot(index);
            }
            Self::SetNote { note, bytes } => model.set_note(*note, Arc::clone(bytes)),
            Self::DeleteNote { note } => model.delete_note(*note),
            Self::Flush | Self::Reclaim { .. } | Self::Check => {}
            Self::Grow { capacity } => state.capacity = *capacity,
        }
        Ok(vec![state])
    }
}

/// A block of zeroes that nobody shares any more may be a hole or data: the drive says which.
fn decide(model: &mut Model, index: usize, undecided: Vec<u64>, store: &Store) -> Outcome {
    if undecided.is_empty() {
        return Ok(());
    }
    let drive = done("finding a drive", store.drive(model.drives[index].uuid))?;
    let mapped = mapped_ranges(&drive)?;
    for address in undecided {
        if !mapped.iter().any(|range| range.contains(&(address * BLOCK))) {
            model.decide_hole(index, address);
        }
    }
    Ok(())
}

fn foresee_revert(model: &mut Model, drive: Uuid, snapshot: Uuid, store: &Store) -> Outcome {
    let (index, snapshot) = (model.index_of(drive), model.snapshot_index_of(snapshot));
    let survivors = model.survivors(index, snapshot);
    let kept = bookmarks_of(store, drive)?.into_iter().collect();
    if !survivors.surely.is_subset(&kept) {
        return Err(format!("bookmarks {kept:?} after a revert: {:?} should be there", survivors.surely));
    }
    // An operation that failed before it changed anything keeps more; nobody can tell from here.
    let kept = kept.intersection(&survivors.at_most).copied().collect();
    model.revert(index, snapshot, &kept);
    Ok(())
}

fn bookmarks_of(store: &Store, drive: Uuid) -> Outcome<Vec<Uuid>> {
    let drive = done("finding a drive", store.drive(drive))?;
    Ok(done("bookmarks", drive.bookmarks())?.iter().map(Bookmark::uuid).collect())
}

impl Model {
    /// Where in the list of drives that one stands, which exists.
    pub fn index_of(&self, uuid: Uuid) -> usize {
        self.drives.iter().position(|drive| drive.uuid == uuid).expect("the drive exists")
    }

    /// Where in the list of snapshots that one stands, which exists.
    pub fn snapshot_index_of(&self, uuid: Uuid) -> usize {
        self.snapshots.iter().position(|snapshot| snapshot.uuid == uuid).expect("the snapshot exists")
    }
}
