//! How does a node keep drives and snapshots, as far as its HTTP API lets others?
//!
//! What the documented fields do not tell is in the field `floe`, which the API has for those who ask for it by name.

use super::connection::{Connection, unclear};
use super::images::{self, RemoteImage};
use crate::Store;
use crate::node::failure::{Failure, FailureKind};
use crate::node::service::drives::DeletedDrive;
use crate::node::service::export::Exportable;
use crate::node::service::import::Imported;
use crate::node::service::keeper::{Keeper, Progress};
use crate::node::service::objects::{DriveView, SnapshotView};
use crate::node::service::plain;
use crate::node::service::select::{self, Named};
use crate::node::service::source::ImageSource;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// Where the things of a node are, for people.
const NODE: &str = "on this node";

const DRIVES: &str = "/drives/detail/";
const SNAPSHOTS: &str = "/snapshots/detail/";

/// A node that runs elsewhere.
pub struct Node(pub Connection);

/// A snapshot, as far as words need it.
struct Frozen {
    uuid: Uuid,
    name: String,
    drive: Uuid,
}

impl Node {
    fn listed(&self, path: &str, query: &[(&str, &str)]) -> Result<Vec<Value>, Failure> {
        let mut page = self.0.get(path, &[&[("limit", "0")], query].concat())?;
        match page["objects"].take() {
            Value::Array(objects) => Ok(objects),
            _ => Err(unclear()),
        }
    }

    fn drive_views(&self, more: &[(&str, &str)]) -> Result<Vec<DriveView>, Failure> {
        let objects = self.listed(DRIVES, &[&[("fields", "floe")], more].concat())?;
        // What was deleted meanwhile is null.
        let there = objects.iter().map(|object| &object["floe"]).filter(|object| !object.is_null());
        there.map(plain::read_drive).collect::<Option<_>>().ok_or_else(unclear)
    }

    fn snapshot_views(&self, more: &[(&str, &str)]) -> Result<Vec<SnapshotView>, Failure> {
        let objects = self.listed(SNAPSHOTS, &[&[("fields", "floe")], more].concat())?;
        let there = objects.iter().map(|object| &object["floe"]).filter(|object| !object.is_null());
        there.map(plain::read_snapshot).collect::<Option<_>>().ok_or_else(unclear)
    }

    /// The drive of that uuid, as it is now.
    pub(super) fn drive_of(&self, uuid: Uuid) -> Result<DriveView, Failure> {
        let mut found = self.drive_views(&[("uuid", &uuid.to_string())])?;
        found.pop().ok_or_else(|| Failure::new(FailureKind::NotFound, format!("drive {uuid} was deleted meanwhile")))
    }

    fn snapshot_of(&self, uuid: Uuid) -> Result<SnapshotView, Failure> {
        let mut found = self.snapshot_views(&[("uuid", &uuid.to_string())])?;
        found.pop().ok_or_else(|| Failure::new(FailureKind::NotFound, format!("snapshot {uuid} was deleted meanwhile")))
    }

    fn named_drives(&self) -> Result<Vec<Named<Uuid>>, Failure> {
        let objects = self.listed(DRIVES, &[("fields", "uuid,name")])?;
        let drives = objects.iter().map(|object| {
            let uuid = uuid_in(&object["uuid"])?;
            Some(Named::drive(uuid, object["name"].as_str()?.to_owned(), uuid))
        });
        drives.collect::<Option<_>>().ok_or_else(unclear)
    }

    fn frozen(&self) -> Result<Vec<Frozen>, Failure> {
        let objects = self.listed(SNAPSHOTS, &[("fields", "uuid,name,drive")])?;
        let snapshots = objects.iter().map(|object| {
            let name = object["name"].as_str()?.to_owned();
            Some(Frozen { uuid: uuid_in(&object["uuid"])?, name, drive: uuid_in(&object["drive"]["uuid"])? })
        });
        snapshots.collect::<Option<_>>().ok_or_else(unclear)
    }

    fn named_snapshots(&self) -> Result<Vec<Named<Uuid>>, Failure> {
        let names = self.drive_names()?;
        let named = |one: Frozen| Named::snapshot(one.uuid, one.name, one.drive, names.get(&one.drive).cloned(), one.uuid);
        Ok(self.frozen()?.into_iter().map(named).collect())
    }

    /// The uuid of the drive that a word means.
    pub(super) fn drive_named(&self, word: &str) -> Result<Uuid, Failure> {
        select::one(word, "drive", NODE, self.named_drives()?)
    }

    fn snapshot_named(&self, word: &str) -> Result<Uuid, Failure> {
        select::one(word, "snapshot", NODE, self.named_snapshots()?)
    }

    /// Changes a drive; what it is then.
    pub(super) fn change_drive(&self, uuid: Uuid, change: &Value) -> Result<DriveView, Failure> {
        self.0.put(&format!("/drives/{uuid}/"), change)?;
        self.drive_of(uuid)
    }

    fn take_snapshots(&self, wanted: &[Value]) -> Result<Vec<SnapshotView>, Failure> {
        let made = self.0.post("/snapshots/", &[], &json!({"objects": wanted}))?;
        let uuids = made["objects"].as_array().and_then(|made| made.iter().map(|one| uuid_in(&one["uuid"])).collect());
        let uuids: Vec<Uuid> = uuids.ok_or_else(unclear)?;
        uuids.into_iter().map(|uuid| self.snapshot_of(uuid)).collect()
    }
}

/// The uuid that JSON is.
pub fn uuid_in(json: &Value) -> Option<Uuid> {
    json.as_str()?.parse().ok()
}

impl Keeper for Node {
    fn store(&self) -> Option<&Store> {
        None
    }

    fn drives(&self) -> Result<Vec<DriveView>, Failure> {
        self.drive_views(&[])
    }

    fn drive_names(&self) -> Result<HashMap<Uuid, String>, Failure> {
        Ok(self.named_drives()?.into_iter().map(Named::into_name).collect())
    }

    fn drives_named(&self, name: &str) -> Result<Vec<Uuid>, Failure> {
        let names = self.named_drives()?.into_iter().map(Named::into_name);
        Ok(names.filter(|(_, other)| other == name).map(|(uuid, _)| uuid).collect())
    }

    fn drive(&self, word: &str) -> Result<DriveView, Failure> {
        self.drive_of(self.drive_named(word)?)
    }

    fn create_drive(&self, name: &str, size_bytes: u64) -> Result<DriveView, Failure> {
        let made = self.0.post("/drives/", &[], &json!({"name": name, "size": size_bytes, "media": "disk"}))?;
        self.drive_of(uuid_in(&made["objects"][0]["uuid"]).ok_or_else(unclear)?)
    }

    fn rename_drive(&self, word: &str, name: &str) -> Result<DriveView, Failure> {
        self.change_drive(self.drive_named(word)?, &json!({"name": name}))
    }

    fn resize_drive(&self, word: &str, size_bytes: u64, _shrink: bool) -> Result<DriveView, Failure> {
        self.change_drive(self.drive_named(word)?, &json!({"size": size_bytes}))
    }

    fn allow_multimount(&self, word: &str, allow: bool) -> Result<DriveView, Failure> {
        self.change_drive(self.drive_named(word)?, &json!({"allow_multimount": allow}))
    }

    fn delete_drive(&self, word: &str, with_snapshots: bool) -> Result<DeletedDrive, Failure> {
        let drive = self.drive(word)?;
        if !with_snapshots && !drive.snapshots.is_empty() {
            let message = format!(
                "drive {:?} has {} snapshots, and a node deletes them with it: --snapshots says that they may go",
                drive.name,
                drive.snapshots.len()
            );
            return Err(Failure::new(FailureKind::InvalidArgument, message));
        }
        let uuid = drive.uuid.to_string();
        let snapshots = if with_snapshots { self.snapshot_views(&[("drive", &uuid)])? } else { Vec::new() };
        self.0.delete(&format!("/drives/{uuid}/"), None)?;
        Ok(DeletedDrive { drive, snapshots, remaining: Vec::new() })
    }

    fn snapshots(&self, drive: Option<&str>) -> Result<Vec<SnapshotView>, Failure> {
        let Some(word) = drive else { return self.snapshot_views(&[]) };
        let frozen = self.frozen()?.into_iter().map(|one| one.drive);
        let drive = select::one(word, "drive", NODE, select::with_deleted(self.named_drives()?, frozen))?;
        self.snapshot_views(&[("drive", &drive.to_string())])
    }

    fn snapshot(&self, word: &str) -> Result<SnapshotView, Failure> {
        self.snapshot_of(self.snapshot_named(word)?)
    }

    fn create_snapshot(&self, drive: &str, name: Option<&str>) -> Result<SnapshotView, Failure> {
        let drive = self.drive_named(drive)?;
        self.take_snapshots(&[json!({"drive": drive.to_string(), "name": name})])?.pop().ok_or_else(unclear)
    }

    fn create_group(&self, drives: &[String], name: &str) -> Result<Vec<SnapshotView>, Failure> {
        let drives = drives.iter().map(|word| self.drive_named(word)).collect::<Result<Vec<_>, _>>()?;
        let mut seen = HashSet::new();
        if let Some(twice) = drives.iter().find(|drive| !seen.insert(**drive)) {
            return Err(Failure::new(FailureKind::InvalidArgument, format!("drive {twice} is named twice")));
        }
        let wanted: Vec<_> = drives.iter().map(|drive| json!({"drive": drive.to_string(), "name": name})).collect();
        self.take_snapshots(&wanted)
    }

    fn rename_snapshot(&self, word: &str, name: &str) -> Result<SnapshotView, Failure> {
        let uuid = self.snapshot_named(word)?;
        self.0.put(&format!("/snapshots/{uuid}/"), &json!({"name": name}))?;
        self.snapshot_of(uuid)
    }

    fn delete_snapshots(&self, words: &[String]) -> Result<Vec<SnapshotView>, Failure> {
        let named = self.named_snapshots()?;
        let mut uuids = Vec::new();
        for word in words {
            let uuid = select::one(word, "snapshot", NODE, named.clone())?;
            if !uuids.contains(&uuid) {
                uuids.push(uuid);
            }
        }
        let views = uuids.iter().map(|uuid| self.snapshot_of(*uuid)).collect::<Result<_, _>>()?;
        let objects: Vec<_> = uuids.iter().map(|uuid| json!({"uuid": uuid.to_string()})).collect();
        self.0.delete("/snapshots/", Some(&json!({"objects": objects})))?;
        Ok(views)
    }

    fn clone_snapshot(&self, word: &str, name: &str) -> Result<DriveView, Failure> {
        let path = format!("/snapshots/{}/action/", self.snapshot_named(word)?);
        let made = self.0.post(&path, &[("do", "clone")], &json!({"name": name}))?;
        self.drive_of(uuid_in(&made["uuid"]).ok_or_else(unclear)?)
    }

    fn image(&self, word: &str) -> Result<Box<dyn Exportable + '_>, Failure> {
        let drives = self.named_drives()?.into_iter().map(|named| named.map(|uuid| ("drives", uuid)));
        let snapshots = self.named_snapshots()?.into_iter().map(|named| named.map(|uuid| ("snapshots", uuid)));
        let (collection, uuid) = select::one(word, "drive or snapshot", NODE, drives.chain(snapshots).collect())?;
        let size_bytes = match collection {
            "drives" => self.drive_of(uuid)?.size_bytes,
            _ => self.snapshot_of(uuid)?.size_bytes,
        };
        Ok(Box::new(RemoteImage { connection: &self.0, path: format!("/{collection}/{uuid}/download/"), size_bytes }))
    }

    fn import_new(
        &self,
        name: &str,
        size_bytes: Option<u64>,
        source: &mut dyn ImageSource,
        progress: Progress<'_>,
    ) -> Result<Imported, Failure> {
        images::into_new(self, name, size_bytes, source, progress)
    }

    fn import_over(&self, word: &str, source: &mut dyn ImageSource, progress: Progress<'_>) -> Result<Imported, Failure> {
        images::over(self, self.drive_named(word)?, source, progress)
    }
}
