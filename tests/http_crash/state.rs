//! What does a client have, as it knows itself?
//!
//! Things are known by an id that the client writes into their meta, so that it knows those whose creation was not answered, too.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

pub type Id = String;

/// Everything a client has.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub shown: Shown,
    /// What was written to the first block of a drive, and is in that of a snapshot; 0 for nothing.
    pub stamps: BTreeMap<Id, u64>,
    /// The sizes of snapshots.
    pub sizes: BTreeMap<Id, u64>,
}

/// What the API shows of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    pub drives: BTreeMap<Id, Drive>,
    pub snapshots: BTreeMap<Id, Snapshot>,
    pub tags: BTreeMap<Id, Tag>,
    pub acls: BTreeMap<Id, Acl>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drive {
    pub name: String,
    pub note: String,
    pub size: u64,
    pub media: String,
    pub storage_type: String,
    pub tags: BTreeSet<Id>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub name: String,
    pub note: String,
    pub drive: Id,
    pub tags: BTreeSet<Id>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    pub name: String,
    pub note: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    pub name: String,
    pub note: String,
    pub tags: BTreeSet<Id>,
}

/// What a client writes into the meta of a thing.
pub fn meta(id: &Id, note: &str) -> Value {
    json!({"id": id, "note": note})
}

impl State {
    pub fn stamp(&self, id: &Id) -> u64 {
        self.stamps.get(id).copied().unwrap_or_default()
    }

    /// A thing gets the image of another.
    pub fn copy_stamp(&mut self, from: &Id, to: &Id) {
        self.stamps.insert(to.clone(), self.stamp(from));
    }

    pub fn delete_drive(&mut self, id: &Id) {
        self.shown.drives.remove(id);
        self.shown.snapshots.retain(|_, snapshot| snapshot.drive != *id);
    }

    pub fn delete_tag(&mut self, id: &Id) {
        self.shown.tags.remove(id);
        self.tagged().for_each(|(_, tags)| tags.retain(|tag| tag != id));
        self.shown.acls.values_mut().for_each(|acl| acl.tags.retain(|tag| tag != id));
    }

    /// Exactly those have the tag from now on.
    pub fn put_tag(&mut self, tag: &Id, on: &BTreeSet<Id>) {
        for (id, tags) in self.tagged() {
            if on.contains(id) {
                tags.insert(tag.clone());
            } else {
                tags.remove(tag);
            }
        }
    }

    fn tagged(&mut self) -> impl Iterator<Item = (&Id, &mut BTreeSet<Id>)> {
        let drives = self.shown.drives.iter_mut().map(|(id, drive)| (id, &mut drive.tags));
        drives.chain(self.shown.snapshots.iter_mut().map(|(id, snapshot)| (id, &mut snapshot.tags)))
    }
}

impl Shown {
    /// Where this differs from what is expected; nothing if it does not.
    pub fn difference(&self, expected: &Self) -> Option<String> {
        let parts = [
            differences("drive", &self.drives, &expected.drives),
            differences("snapshot", &self.snapshots, &expected.snapshots),
            differences("tag", &self.tags, &expected.tags),
            differences("acl", &self.acls, &expected.acls),
        ];
        let lines: Vec<String> = parts.into_iter().flatten().collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

fn differences<T: PartialEq + std::fmt::Debug>(kind: &str, found: &BTreeMap<Id, T>, wanted: &BTreeMap<Id, T>) -> Vec<String> {
    let ids: BTreeSet<&Id> = found.keys().chain(wanted.keys()).collect();
    let differs = ids.into_iter().filter(|id| found.get(*id) != wanted.get(*id));
    differs.map(|id| format!("  {kind} {id}: found {:?}, expected {:?}", found.get(id), wanted.get(id))).collect()
}
