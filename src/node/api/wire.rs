//! How does an object look to a client?

use super::body::Object;
use super::fault::Fault;
use super::resources::{OwnDrive, OwnSnapshot};
use super::{Api, BASE};
use crate::node::service::objects::present;
use serde_json::{Value, json};
use uuid::Uuid;

/// What is going on with a drive or snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As it is now.
    Now,
    /// It is being made: that is what whoever made it sees first.
    Creating,
    /// It is being cloned.
    Cloning,
    /// It is getting another size.
    Resizing,
}

/// `{"resource_uri", "uuid"}`
pub fn reference(collection: &str, uuid: Uuid) -> Value {
    json!({"resource_uri": uri(collection, uuid), "uuid": uuid.to_string()})
}

/// Where an object is found.
pub fn uri(collection: &str, uuid: Uuid) -> String {
    format!("{BASE}/{collection}/{uuid}/")
}

fn tags(uuids: &[Uuid]) -> Value {
    uuids.iter().map(|uuid| reference("tags", *uuid)).collect()
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

/// A snapshot; nothing if it was deleted meanwhile.
///
/// # Errors
/// What reading its size can raise.
pub fn snapshot(own: &OwnSnapshot, state: State) -> Result<Option<Object>, Fault> {
    let Some(allocated) = present(own.snapshot.allocated_size())? else { return Ok(None) };
    let attributes = &own.attributes;
    let creating = state == State::Creating;
    Ok(Some(object(json!({
        "allocated_size": if creating { Value::Null } else { allocated.into() },
        "drive": reference("drives", own.snapshot.drive_uuid()),
        "grantees": [],
        "meta": attributes.meta(),
        "name": own.name,
        "owner": attributes.owner().map(|owner| reference("user", owner)),
        "permissions": [],
        "resource_uri": uri("snapshots", own.snapshot.uuid()),
        "status": if creating { "creating" } else { "available" },
        "tags": tags(&attributes.tags()),
        "timestamp": attributes.timestamp().map(|timestamp| timestamp.to_string()),
        "uuid": own.snapshot.uuid().to_string(),
    }))))
}

impl Api {
    /// A drive as the short list has it.
    pub(super) fn drive_in_short(&self, own: &OwnDrive) -> Object {
        let attributes = &own.attributes;
        object(json!({
            "owner": attributes.owner().map(|owner| reference("user", owner)),
            "resource_uri": uri("drives", own.drive.uuid()),
            "status": self.status(own, State::Now),
            "uuid": own.drive.uuid().to_string(),
        }))
    }

    /// A drive; nothing if it was deleted meanwhile.
    ///
    /// # Errors
    /// What reading its sizes can raise.
    pub(super) fn drive(&self, own: &OwnDrive, state: State) -> Result<Option<Object>, Fault> {
        let read = own.drive.info().and_then(|info| Ok((info, own.drive.snapshots()?)));
        let Some((info, mut snapshots)) = present(read)? else { return Ok(None) };
        snapshots.reverse();
        let attributes = &own.attributes;
        let busy = matches!(state, State::Creating | State::Cloning);
        Ok(Some(object(json!({
            "affinities": attributes.affinities(),
            "allow_multimount": attributes.allows_multimount(),
            "grantees": [],
            "jobs": [],
            "licenses": [],
            "media": attributes.media(),
            "meta": attributes.meta(),
            "mounted_on": [],
            "name": own.name,
            "owner": attributes.owner().map(|owner| reference("user", owner)),
            "permissions": [],
            "remote_snapshots": [],
            "resource_uri": uri("drives", own.drive.uuid()),
            "runtime": {
                "is_snapshotable": if busy { Value::Null } else { true.into() },
                "snapshots_allocated_size": info.snapshots_allocated_bytes,
                "storage_type": attributes.storage_type(),
            },
            "size": info.size_bytes,
            "snapshots": snapshots.iter().map(|snapshot| reference("snapshots", snapshot.uuid())).collect::<Vec<_>>(),
            "status": self.status(own, state),
            "storage_type": attributes.storage_type(),
            "tags": tags(&attributes.tags()),
            "uuid": own.drive.uuid().to_string(),
        }))))
    }

    fn status(&self, own: &OwnDrive, state: State) -> &'static str {
        match state {
            State::Creating => "creating",
            State::Cloning => "cloning_dst",
            State::Resizing => "resizing",
            State::Now if (self.connections)(own.drive.uuid()) > 0 => "mounted",
            State::Now => "unmounted",
        }
    }
}
