//! What is there of a caller's, and what may he do with it?

use super::fault::Fault;
use super::filter::Filtered;
use super::{Api, body};
use crate::node::accounts::Account;
use crate::node::attributes::Attributes;
use crate::node::service::objects::present;
use crate::{Drive, Snapshot};
use serde_json::{Map, Value};
use uuid::Uuid;

/// The longest key of what an owner writes about a thing, in characters.
const META_KEY_CHARS_MAX: usize = 32;

/// A drive of a caller's, and what its attributes say.
pub struct OwnDrive {
    /// The drive.
    pub drive: Drive,
    /// Its name.
    pub name: String,
    /// Its attributes.
    pub attributes: Attributes,
    tags: Vec<Uuid>,
}

/// A snapshot of a caller's, and what its attributes say.
pub struct OwnSnapshot {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Its name.
    pub name: String,
    /// Its attributes.
    pub attributes: Attributes,
    tags: Vec<Uuid>,
}

impl Filtered for OwnDrive {
    fn uuid(&self) -> Uuid {
        self.drive.uuid()
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn tags(&self) -> &[Uuid] {
        &self.tags
    }

    fn drive(&self) -> Option<Uuid> {
        None
    }
}

impl Filtered for OwnSnapshot {
    fn uuid(&self) -> Uuid {
        self.snapshot.uuid()
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn tags(&self) -> &[Uuid] {
        &self.tags
    }

    fn drive(&self) -> Option<Uuid> {
        Some(self.snapshot.drive_uuid())
    }
}

impl Api {
    /// All drives of the caller's, in order of creation.
    pub(super) fn drives_of(&self, caller: &Account) -> Result<Vec<OwnDrive>, Fault> {
        let mut own = Vec::new();
        for drive in self.store.drives() {
            own.extend(self.own_drive(caller, drive)?);
        }
        Ok(own)
    }

    /// The drive of that uuid, if it is the caller's.
    pub(super) fn drive_of(&self, caller: &Account, uuid: Uuid) -> Result<OwnDrive, Fault> {
        let drive = present(self.store.drive(uuid))?;
        let own = drive.map(|drive| self.own_drive(caller, drive)).transpose()?.flatten();
        own.ok_or_else(|| Fault::no_object(uuid))
    }

    fn own_drive(&self, caller: &Account, drive: Drive) -> Result<Option<OwnDrive>, Fault> {
        let read = drive.attributes().and_then(|bytes| Ok((bytes, drive.name()?)));
        let Some((bytes, name)) = present(read)? else { return Ok(None) };
        let attributes = Attributes::read(&bytes);
        let tags = attributes.tags();
        Ok((attributes.owner() == Some(caller.uuid)).then_some(OwnDrive { drive, name, attributes, tags }))
    }

    /// All snapshots of the caller's, in order of creation.
    pub(super) fn snapshots_of(&self, caller: &Account) -> Result<Vec<OwnSnapshot>, Fault> {
        let mut own = Vec::new();
        for snapshot in self.store.snapshots() {
            own.extend(self.own_snapshot(caller, snapshot)?);
        }
        Ok(own)
    }

    /// The snapshot of that uuid, if it is the caller's.
    pub(super) fn snapshot_of(&self, caller: &Account, uuid: Uuid) -> Result<OwnSnapshot, Fault> {
        let snapshot = present(self.store.snapshot(uuid))?;
        let own = snapshot.map(|snapshot| self.own_snapshot(caller, snapshot)).transpose()?.flatten();
        own.ok_or_else(|| Fault::no_object(uuid))
    }

    fn own_snapshot(&self, caller: &Account, snapshot: Snapshot) -> Result<Option<OwnSnapshot>, Fault> {
        let read = snapshot.attributes().and_then(|bytes| Ok((bytes, snapshot.name()?)));
        let Some((bytes, name)) = present(read)? else { return Ok(None) };
        let attributes = Attributes::read(&bytes);
        let tags = attributes.tags();
        Ok((attributes.owner() == Some(caller.uuid)).then_some(OwnSnapshot { snapshot, name, attributes, tags }))
    }
}

/// The `meta` of a body, if it is there: texts under short keys.
pub fn meta_in(object: &body::Object) -> Result<Option<Map<String, Value>>, Fault> {
    let meta = match object.get("meta") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(meta)) => meta,
        Some(_) => return Err(Fault::invalid("meta", "it is no object")),
    };
    for (key, value) in meta {
        if key.chars().count() > META_KEY_CHARS_MAX {
            return Err(Fault::invalid("meta", format!("a key of more than {META_KEY_CHARS_MAX} characters: {key:?}")));
        }
        if !value.is_string() {
            return Err(Fault::invalid("meta", format!("the value of {key:?} is no text")));
        }
    }
    Ok(Some(meta.clone()))
}

/// The `tags` of a body, if they are there: uuids, or objects that have one.
pub fn tags_in(object: &body::Object) -> Result<Option<Vec<Uuid>>, Fault> {
    let tags = match object.get("tags") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(tags)) => tags,
        Some(_) => return Err(Fault::invalid("tags", "it is no list")),
    };
    let uuid = |tag: &Value| uuid_in(tag).ok_or_else(|| Fault::invalid("tags", "it holds what is no uuid"));
    tags.iter().map(uuid).collect::<Result<_, _>>().map(Some)
}

/// The uuid that a value names: itself, the `uuid` of an object, or the end of a URI.
pub fn uuid_in(value: &Value) -> Option<Uuid> {
    let text = match value {
        Value::String(text) => text,
        Value::Object(object) => object.get("uuid")?.as_str()?,
        _ => return None,
    };
    Uuid::try_parse(text.trim_end_matches('/').rsplit('/').next()?).ok()
}
