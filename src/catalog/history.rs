//! Who else holds a block or page that somebody no longer holds?
//!
//! There are no reference counts. A block is only ever referenced at the address where it was born, so the answer follows
//! from its birth and, where a deleted version still joins several, from a look at that address in the tables below it.
//! Tree pages follow the same rule; their address is the path to their first key.

use std::collections::HashMap;

use crate::canary::{self, Canary};
use crate::error::{Error, Result};
use crate::format::entry::Extent;
use crate::format::page::Root;
use crate::format::record::{ObjectId, RecordKind, VersionState};
use crate::space::Space;
use crate::table;
use crate::tree::{Dropped, Pages, entries};
use crate::units::Epoch;

use super::numbers::NumberHash;
use super::version::ROOT;
use super::{Catalog, Version};

/// Which of a version's two trees a page belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tree {
    /// The extent table.
    Table,
    /// The birth histogram.
    Histogram,
}

impl Version {
    pub(super) fn root(&self, tree: Tree) -> Root {
        match tree {
            Tree::Table => self.table,
            Tree::Histogram => self.histogram_root,
        }
    }
}

/// All versions of a store by number, the root included.
#[derive(Default)]
pub(super) struct Versions(HashMap<ObjectId, Version, NumberHash>);

impl Catalog {
    /// A descendant of `parent` no longer holds `piece`: gives back what nobody else holds.
    pub(super) fn release_blocks(&self, parent: ObjectId, piece: Extent) -> Result<()> {
        self.versions.release_blocks(&self.set, &self.space, parent, piece)
    }

    /// A descendant of `parent` no longer holds a page: gives it back if nobody else does.
    pub(super) fn release_page(&mut self, parent: ObjectId, tree: Tree, page: &Dropped) -> Result<()> {
        if !self.versions.is_page_held(&self.set, parent, tree, page)? {
            self.set.forget(page.pointer.page);
            self.space.free_page(page.pointer.page)?;
        }
        Ok(())
    }
}

impl Versions {
    /// The version with that number, if there is one.
    pub fn find(&self, id: ObjectId) -> Option<&Version> {
        self.0.get(&id)
    }

    /// The version with that number, which somebody names and so must exist.
    pub fn at(&self, id: ObjectId) -> Result<&Version> {
        self.0.get(&id).ok_or_else(|| Error::corrupt(format!("version {} does not exist", id.0)))
    }

    /// The version with that number, which is known to exist.
    pub fn at_mut(&mut self, id: ObjectId) -> &mut Version {
        self.find_mut(id).expect("versions that are changed exist")
    }

    /// The same, to change it.
    pub fn find_mut(&mut self, id: ObjectId) -> Option<&mut Version> {
        self.0.get_mut(&id)
    }

    /// Adds a version.
    pub fn insert(&mut self, id: ObjectId, version: Version) {
        self.0.insert(id, version);
    }

    /// Takes a version out.
    pub fn remove(&mut self, id: ObjectId) -> Option<Version> {
        self.0.remove(&id)
    }

    /// All numbers but the root's, in order of creation.
    pub fn ids(&self) -> Vec<ObjectId> {
        let mut ids: Vec<ObjectId> = self.0.keys().copied().filter(|id| *id != ROOT).collect();
        ids.sort_unstable();
        ids
    }

    /// A descendant of `parent` no longer holds `piece`: gives back to `space` what nobody else holds.
    pub fn release_blocks(&self, pages: &impl Pages, space: &Space, parent: ObjectId, piece: Extent) -> Result<()> {
        let mut work = vec![(parent, piece)];
        while let Some((parent, piece)) = work.pop() {
            let version = self.at(parent)?;
            if piece.birth > version.epoch || parent == ROOT {
                let start = piece.physical.ok_or_else(|| Error::corrupt("a hole is released"))?;
                space.free_data(start, piece.blocks)?;
                continue;
            }
            if version.state == VersionState::Snapshot {
                continue;
            }
            let above = version.parent;
            let mut rest = vec![piece];
            self.keep_unheld(pages, parent, &mut rest)?;
            work.extend(rest.into_iter().map(|piece| (above, piece)));
        }
        Ok(())
    }

    /// Does `parent`, or anybody who got the page through it, hold a page that one of its descendants dropped?
    pub fn is_page_held(&self, pages: &impl Pages, parent: ObjectId, tree: Tree, page: &Dropped) -> Result<bool> {
        let mut at = parent;
        loop {
            let version = self.at(at)?;
            if page.pointer.birth > version.epoch || at == ROOT {
                return Ok(false);
            }
            if version.state == VersionState::Snapshot || self.is_page_below(pages, at, tree, page)? {
                return Ok(true);
            }
            at = version.parent;
        }
    }

    /// Does `at` or the nearest that are alive below it hold the page?
    pub fn is_page_below(&self, pages: &impl Pages, at: ObjectId, tree: Tree, page: &Dropped) -> Result<bool> {
        let mut work = vec![at];
        while let Some(id) = work.pop() {
            let version = self.at(id)?;
            if entries::holds_page(pages, &version.root(tree), page.pointer.page, page.level, page.first_key)? {
                return Ok(true);
            }
            if version.is_condemned() {
                work.extend(&version.children);
            }
        }
        Ok(false)
    }

    /// Leaves in `pieces` what neither `at` nor the nearest that are alive below it hold.
    pub fn keep_unheld(&self, pages: &impl Pages, at: ObjectId, pieces: &mut Vec<Extent>) -> Result<()> {
        let mut work = vec![at];
        while let Some(id) = work.pop() {
            if pieces.is_empty() {
                return Ok(());
            }
            let version = self.at(id)?;
            if version.table.pointer.is_some() {
                let mut rest = Vec::new();
                table::parts_not_held(pages, &version.table, pieces, &mut rest)?;
                *pieces = rest;
            }
            if version.is_condemned() {
                work.extend(&version.children);
            }
        }
        Ok(())
    }

    /// The nearest versions below `at` that are alive.
    pub fn nearest_alive_below(&self, at: ObjectId) -> Result<Vec<ObjectId>> {
        let mut alive = Vec::new();
        let mut work = self.at(at)?.children.clone();
        while let Some(id) = work.pop() {
            let version = self.at(id)?;
            if version.is_condemned() {
                work.extend(&version.children);
            } else {
                alive.push(id);
            }
        }
        Ok(alive)
    }

    /// Is `above` on the way from `below` up to the root? Costs a step per version in between.
    pub fn descends_from(&self, below: ObjectId, above: ObjectId) -> bool {
        let Some(epoch) = self.0.get(&above).map(|version| version.epoch) else { return false };
        let mut at = below;
        while let Some(version) = self.0.get(&at) {
            if at == above {
                return true;
            }
            let is_head = version.state == VersionState::Head;
            if at == ROOT || (!is_head && version.epoch <= epoch) {
                return false;
            }
            at = version.parent;
        }
        false
    }

    /// The lowest version that both descend from (or are).
    pub fn meeting_point(&self, left: ObjectId, right: ObjectId) -> ObjectId {
        let height = |id: ObjectId| {
            let version = &self.0[&id];
            if version.state == VersionState::Head { Epoch(u64::MAX) } else { version.epoch }
        };
        let (mut left, mut right) = (left, right);
        while left != right {
            // The younger of the two cannot be above the other.
            if height(left) > height(right) || (height(left) == height(right) && right == ROOT) {
                left = self.0[&left].parent;
            } else {
                right = self.0[&right].parent;
            }
        }
        left
    }
}

impl Catalog {
    /// The epochs of the snapshots that a version descends from, the youngest first.
    pub fn snapshot_epochs_above(&self, id: ObjectId) -> Vec<Epoch> {
        let mut epochs = Vec::new();
        let mut at = self.versions.find(id).map(|version| version.parent);
        while let Some(version) = at.filter(|id| *id != ROOT).and_then(|id| self.versions.find(id)) {
            if !version.is_condemned() {
                epochs.push(version.epoch);
            }
            at = Some(version.parent);
        }
        epochs
    }

    /// Takes a version out of the history that nothing is left of and that joins nobody, and then its parents likewise.
    pub(super) fn splice(&mut self, id: ObjectId) {
        let mut at = id;
        while at != ROOT {
            let Some(version) = self.versions.find(at) else { return };
            if !version.is_condemned() || !version.is_empty() || version.children.len() > 1 {
                return;
            }
            let version = self.versions.remove(at).expect("it was just looked at");
            self.condemned.remove(&at);
            self.touch(RecordKind::Version, at);
            let siblings = &mut self.version_mut(version.parent).children;
            siblings.retain(|sibling| *sibling != at);
            siblings.extend(&version.children);
            for child in version.children {
                self.touch(RecordKind::Version, child);
                let below = self.version_mut(child);
                below.parent = version.parent;
                if below.state == VersionState::Head {
                    let drive = below.drive;
                    self.fade(drive, version.epoch);
                }
            }
            at = version.parent;
        }
    }

    /// What kept a drive's blocks up to `epoch` from being overwritten where they lie is gone, but goes on doing so until that is
    /// durable: a crash may bring it back, and it must find that they were left alone.
    pub(super) fn fade(&mut self, drive: ObjectId, epoch: Epoch) {
        let working = self.set.working();
        let Some(kept) = self.drives.get_mut(&drive) else { return };
        let head = kept.head;
        if !canary::makes(Canary::FloorForgotten) {
            kept.fading.push((epoch, working));
            self.fading.insert(drive);
        }
        self.refresh_floor(head);
    }

    /// Finds anew which births of a head are its alone.
    pub(super) fn refresh_floor(&mut self, head: ObjectId) {
        let Some(version) = self.versions.find(head) else { return };
        if version.state != VersionState::Head {
            return;
        }
        let parent = self.versions.find(version.parent).map_or(Epoch(0), |parent| parent.epoch);
        let others = self.drives.get(&version.drive).and_then(|drive| {
            let fading = drive.fading.iter().map(|(epoch, _)| *epoch);
            drive.bookmarks.keys().next_back().copied().into_iter().chain(fading).max()
        });
        self.version_mut(head).floor = others.map_or(parent, |other| other.max(parent));
    }

    /// Finds anew which of a drive's snapshots its head descends from.
    pub(super) fn refresh_trunk(&mut self, drive: ObjectId) {
        let Some(snapshots) = self.of_drive.get(&drive) else { return };
        let Some((oldest, _)) = snapshots.by_epoch.first_key_value() else { return };
        for id in snapshots.by_epoch.values() {
            self.versions.at_mut(*id).on_trunk = false;
        }
        // Nothing older than the oldest of them can be one of them.
        let mut at = self.drives.get(&drive).and_then(|drive| self.versions.find(drive.head)).map_or(ROOT, |head| head.parent);
        while at != ROOT
            && let Some(version) = self.versions.find_mut(at)
            && version.epoch >= *oldest
        {
            version.on_trunk |= version.state == VersionState::Snapshot && version.drive == drive;
            at = version.parent;
        }
    }

    /// Finds anew whether a drive's snapshots descend from each other in a line.
    pub(super) fn refresh_line(&mut self, drive: ObjectId) {
        let mut line = self.snapshots_of(drive);
        line.extend(self.drives.get(&drive).map(|drive| drive.head));
        let is_line = line.windows(2).all(|pair| self.versions.descends_from(pair[1], pair[0]));
        if let Some(snapshots) = self.of_drive.get_mut(&drive) {
            snapshots.is_line = is_line;
        }
    }
}
