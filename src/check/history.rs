//! Who descends from whom, and does everything in the history belong to something?

use std::collections::{BTreeMap, HashMap};

use super::catalog::Catalog;
use super::report::{Findings, ProblemKind};
use crate::format::page::Root;
use crate::format::record::{VersionRecord, VersionState};
use crate::format::superblock::Superblock;

/// Index of a version within [`History::versions`].
pub type Index = usize;

/// A version and its place in the forest.
pub struct Version<'a> {
    pub id: u64,
    pub record: &'a VersionRecord,
    /// For people: `version 7 (snapshot "before")`.
    pub name: String,
    /// The last epoch of its interval: when it was frozen, or the store's epoch while it is written to.
    pub end: u64,
    /// How many versions stand above it.
    pub depth: usize,
    pub parent: Option<Index>,
    /// The nearest snapshot above it: all that is older than that one is held by it too.
    pub above: Option<Index>,
    children: Vec<Index>,
}

/// The forest of versions.
pub struct History<'a> {
    pub versions: Vec<Version<'a>>,
    /// All versions, parents before their children, each tree and branch in one piece.
    pub order: Vec<Index>,
    bookmarks: BTreeMap<u64, Vec<u64>>,
}

impl<'a> History<'a> {
    /// Builds the forest and judges it. A version whose parent is missing or in a cycle is taken as one without a parent.
    pub fn judge(catalog: &'a Catalog, superblock: &Superblock, findings: &mut Findings) -> Self {
        let mut history = Self::plant(catalog, superblock, findings);
        history.put_in_order(findings);
        for version in &history.versions {
            history.judge_version(version, catalog, findings);
        }
        judge_drives(catalog, findings);
        judge_bookmarks(catalog, findings);
        for id in catalog.snapshots.keys() {
            if catalog.versions.get(id).is_none_or(|record| record.state != VersionState::Snapshot) {
                findings.add(ProblemKind::DanglingHistory, format_args!("snapshot {id}"), "no frozen version has its number");
            }
        }
        history
    }

    /// Epochs of a drive's bookmarks, rising.
    pub fn bookmarks_of(&self, drive: u64) -> &[u64] {
        self.bookmarks.get(&drive).map_or(&[], Vec::as_slice)
    }

    /// How many versions are deleted and not yet gone.
    pub fn condemned(&self) -> u64 {
        self.versions.iter().filter(|version| version.record.state == VersionState::Condemned).count() as u64
    }

    fn plant(catalog: &'a Catalog, superblock: &Superblock, findings: &mut Findings) -> Self {
        let index_of: HashMap<u64, Index> = catalog.versions.keys().enumerate().map(|(index, id)| (*id, index)).collect();
        let mut versions = Vec::with_capacity(index_of.len());
        for (id, record) in &catalog.versions {
            let name = name(*id, record, catalog);
            let parent = match record.parent.0 {
                0 => None,
                parent => {
                    let found = index_of.get(&parent).copied();
                    if found.is_none() {
                        findings.add(
                            ProblemKind::DanglingHistory,
                            &name,
                            format_args!("its parent, version {parent}, is missing"),
                        );
                    }
                    found
                }
            };
            let end = if record.epoch == 0 { superblock.epoch.0 } else { record.epoch };
            versions.push(Version { id: *id, record, name, end, depth: 0, parent, above: None, children: Vec::new() });
        }
        for index in 0..versions.len() {
            if let Some(parent) = versions[index].parent {
                versions[parent].children.push(index);
            }
        }
        let mut bookmarks: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for record in catalog.bookmarks.values() {
            bookmarks.entry(record.drive.0).or_default().push(record.epoch);
        }
        bookmarks.values_mut().for_each(|epochs| epochs.sort_unstable());
        Self { versions, order: Vec::new(), bookmarks }
    }

    fn put_in_order(&mut self, findings: &mut Findings) {
        let mut placed = vec![false; self.versions.len()];
        let roots: Vec<Index> = (0..placed.len()).filter(|index| self.versions[*index].parent.is_none()).collect();
        roots.into_iter().for_each(|root| self.place_from(root, &mut placed));
        // Whatever no root leads to stands in a cycle or below one.
        for index in 0..placed.len() {
            if !placed[index] {
                let version = &mut self.versions[index];
                version.parent = None;
                findings.add(ProblemKind::DanglingHistory, &version.name, "it descends from itself, or from one that does");
                self.place_from(index, &mut placed);
            }
        }
    }

    fn place_from(&mut self, root: Index, placed: &mut [bool]) {
        let mut open = vec![root];
        while let Some(index) = open.pop() {
            if std::mem::replace(&mut placed[index], true) {
                continue;
            }
            self.order.push(index);
            if let Some(parent) = self.versions[index].parent {
                let above = &self.versions[parent];
                let snapshot = above.record.state == VersionState::Snapshot;
                let (depth, nearest) = (above.depth + 1, if snapshot { Some(parent) } else { above.above });
                (self.versions[index].depth, self.versions[index].above) = (depth, nearest);
            }
            open.extend(self.versions[index].children.iter().rev());
        }
    }

    fn judge_version(&self, version: &Version<'_>, catalog: &Catalog, findings: &mut Findings) {
        let record = version.record;
        let mut dangling = |detail: &str| findings.add(ProblemKind::DanglingHistory, &version.name, detail);
        if let Some(parent) = version.parent.map(|parent| &self.versions[parent]) {
            let parent_epoch = parent.record.epoch;
            if parent_epoch == 0 {
                dangling(&format!("its parent, {}, was never frozen", parent.name));
            } else if record.epoch != 0 && parent_epoch >= record.epoch {
                dangling(&format!("frozen in epoch {}, its parent, {}, not before ({parent_epoch})", record.epoch, parent.name));
            }
        }
        match record.state {
            VersionState::Head => {
                if catalog.drives.get(&record.drive.0).is_none_or(|drive| drive.head.0 != version.id) {
                    dangling(&format!("the head of drive {}, which does not name it", record.drive.0));
                }
            }
            VersionState::Snapshot => match catalog.snapshots.get(&version.id) {
                None => dangling("no record names it"),
                Some(snapshot) => {
                    if catalog.drives.get(&record.drive.0).is_some_and(|drive| drive.uuid != snapshot.drive_uuid) {
                        dangling("its record names another drive than its version");
                    }
                }
            },
            VersionState::Condemned => {
                let empty = [record.table, record.histogram].into_iter().all(|root| Root::from(root) == Root::EMPTY);
                if empty && version.children.len() < 2 {
                    dangling("deleted and empty, it joins fewer than two versions");
                }
            }
        }
    }
}

fn name(id: u64, record: &VersionRecord, catalog: &Catalog) -> String {
    let drive = || catalog.drives.get(&record.drive.0).map_or("", |drive| drive.name.as_str());
    match record.state {
        VersionState::Head => format!("version {id} (head of drive {} {:?})", record.drive.0, drive()),
        VersionState::Snapshot => {
            format!("version {id} (snapshot {:?})", catalog.snapshots.get(&id).map_or("", |snapshot| snapshot.name.as_str()))
        }
        VersionState::Condemned => format!("version {id} (deleted)"),
    }
}

fn judge_drives(catalog: &Catalog, findings: &mut Findings) {
    for (id, drive) in &catalog.drives {
        let head = catalog.versions.get(&drive.head.0);
        if head.is_none_or(|head| head.state != VersionState::Head || head.drive.0 != *id) {
            let detail = format_args!("its head, version {}, is missing or not its head", drive.head.0);
            findings.add(ProblemKind::DanglingHistory, format_args!("drive {id} {:?}", drive.name), detail);
        }
    }
}

fn judge_bookmarks(catalog: &Catalog, findings: &mut Findings) {
    for (id, bookmark) in &catalog.bookmarks {
        if !catalog.drives.contains_key(&bookmark.drive.0) {
            let detail = format_args!("its drive {} does not exist", bookmark.drive.0);
            findings.add(ProblemKind::DanglingHistory, format_args!("bookmark {id} {:?}", bookmark.name), detail);
        }
    }
}
