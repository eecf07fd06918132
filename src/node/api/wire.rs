//! How does an object look to a client?

use super::BASE;
use super::body::Object;
use super::fault::Fault;
use super::routes::Asked;
use super::sharing::Permission;
use super::shelf::{Item, Own, OwnDrive, OwnRemote, OwnSnapshot};
use crate::Snapshot;
use crate::node::service::objects::{DriveView, SnapshotView, present};
use crate::node::service::plain;
use serde_json::{Value, json};
use uuid::Uuid;

/// A field that only those get who name it: objects are as documented for everybody else.
pub const MORE: &str = "floe";

/// The collection of remote snapshots.
pub const REMOTE: &str = "remotesnapshots";

const CREATING: &str = "creating";
const CLONING: &str = "cloning_dst";

/// What a drive is called that has only a part of its image.
pub fn unfinished(own: &OwnDrive) -> Option<&'static str> {
    let filling = own.attributes.filling().is_some();
    own.attributes.is_unfinished().then_some(if filling { CLONING } else { "uploading" })
}

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

/// Where several objects are found.
pub fn uris(collection: &str, uuids: &[Uuid]) -> Vec<String> {
    uuids.iter().map(|uuid| uri(collection, *uuid)).collect()
}

/// Those of several objects.
pub fn references(collection: &str, uuids: &[Uuid]) -> Value {
    uuids.iter().map(|uuid| reference(collection, *uuid)).collect()
}

/// An object of JSON.
pub fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

impl Asked<'_> {
    /// A snapshot; nothing if it was deleted meanwhile.
    ///
    /// # Errors
    /// What reading its size can raise.
    pub(super) fn snapshot(&self, own: &OwnSnapshot, state: State) -> Result<Option<Object>, Fault> {
        let Some(allocated) = present(own.handle.allocated_size())? else { return Ok(None) };
        let available = (state != State::Creating).then_some(allocated);
        let status = if available.is_some() { "available" } else { CREATING };
        Ok(Some(self.frozen("snapshots", own, available, status)))
    }

    /// A remote snapshot; nothing if it was deleted meanwhile.
    ///
    /// # Errors
    /// What reading its size can raise.
    pub(super) fn remote_snapshot(&self, own: &OwnRemote, state: State) -> Result<Option<Object>, Fault> {
        let Some(known) = present(own.handle.known())? else { return Ok(None) };
        let mut shown = match state {
            State::Creating => self.frozen(REMOTE, own, None, CREATING),
            _ => self.frozen(REMOTE, own, own.handle.remotes.allocated_size(own.handle.uuid)?, &known.state.name()),
        };
        shown.insert("drive_meta".into(), object(known.drive_meta).into());
        shown.insert("last_state_change".into(), known.changed.to_string().into());
        shown.insert("location".into(), known.location.into());
        Ok(Some(shown))
    }

    /// What all kinds of snapshots have.
    fn frozen<H: Item>(&self, collection: &str, own: &Own<H>, allocated_bytes: Option<u64>, status: &str) -> Object {
        let (attributes, uuid) = (&own.attributes, own.handle.uuid());
        object(json!({
            "allocated_size": allocated_bytes,
            "drive": own.handle.drive().map(|drive| reference("drives", drive)),
            "grantees": self.grantees(own),
            "meta": attributes.meta(),
            "name": own.name,
            "owner": reference("user", own.owner),
            "permissions": self.permissions(own),
            "resource_uri": uri(collection, uuid),
            "status": status,
            "tags": references("tags", &self.view.tags(own)),
            "timestamp": attributes.timestamp().map(|timestamp| timestamp.to_string()),
            "uuid": uuid.to_string(),
        }))
    }

    /// A drive as the short list has it.
    pub(super) fn drive_in_short(&self, own: &OwnDrive) -> Object {
        let uuid = own.handle.uuid();
        object(json!({
            "owner": reference("user", own.owner),
            "resource_uri": uri("drives", uuid),
            "status": self.status(own, State::Now),
            "uuid": uuid.to_string(),
        }))
    }

    /// A drive; nothing if it was deleted meanwhile.
    ///
    /// # Errors
    /// What reading its sizes can raise.
    pub(super) fn drive(&self, own: &OwnDrive, state: State) -> Result<Option<Object>, Fault> {
        let read = own.handle.info().and_then(|info| Ok((self.api.shown_snapshots(&own.handle, &info)?, info)));
        let Some((shown, info)) = present(read)? else { return Ok(None) };
        let snapshots = shown.snapshots.iter().rev().map(Snapshot::uuid);
        let snapshots: Vec<Uuid> = snapshots.filter(|uuid| self.sees_snapshot(*uuid)).collect();
        let (attributes, uuid) = (&own.attributes, own.handle.uuid());
        let busy = matches!(state, State::Creating | State::Cloning) || attributes.is_unfinished();
        Ok(Some(object(json!({
            "affinities": attributes.affinities(),
            "allow_multimount": attributes.allows_multimount(),
            "grantees": self.grantees(own),
            "jobs": [],
            "licenses": [],
            "media": attributes.media(),
            "meta": attributes.meta(),
            "mounted_on": [],
            "name": own.name,
            "owner": reference("user", own.owner),
            "permissions": self.permissions(own),
            "remote_snapshots": references(REMOTE, &self.remote_snapshots_of(uuid)),
            "resource_uri": uri("drives", uuid),
            "runtime": {
                "is_snapshotable": if busy { Value::Null } else { true.into() },
                "snapshots_allocated_size": shown.allocated_bytes,
                "storage_type": attributes.storage_type(),
            },
            "size": info.size_bytes,
            "snapshots": references("snapshots", &snapshots),
            "status": self.status(own, state),
            "storage_type": attributes.storage_type(),
            "tags": references("tags", &self.view.tags(own)),
            "uuid": uuid.to_string(),
        }))))
    }

    /// What floe knows of a snapshot beyond the documented fields, for those who name [`MORE`].
    ///
    /// # Errors
    /// What reading its sizes can raise.
    pub(super) fn more_of_snapshot(&self, own: &OwnSnapshot) -> Result<Value, Fault> {
        Ok(present(SnapshotView::of(&own.handle))?.map_or(Value::Null, |view| plain::snapshot(&view)))
    }

    /// What floe knows of a remote snapshot beyond the documented fields, for those who name [`MORE`].
    ///
    /// # Errors
    /// None but that it was deleted meanwhile.
    pub(super) fn more_of_remote_snapshot(&self, own: &OwnRemote) -> Result<Value, Fault> {
        let Some(known) = present(own.handle.known())? else { return Ok(Value::Null) };
        let progress = own
            .handle
            .remotes
            .progress(own.handle.uuid)
            .map(|progress| json!({"done": progress.done_bytes, "total": progress.total_bytes, "sent": progress.sent_bytes}));
        Ok(json!({
            "size": known.size_bytes,
            "referenced_size": known.referenced_bytes,
            "progress": progress,
            "error": known.error,
        }))
    }

    /// What floe knows of a drive beyond the documented fields, for those who name [`MORE`].
    ///
    /// # Errors
    /// What reading its sizes can raise.
    pub(super) fn more_of_drive(&self, own: &OwnDrive) -> Result<Value, Fault> {
        let read = DriveView::of(&own.handle).and_then(|view| Ok((view, own.handle.info()?)));
        let Some((mut view, info)) = present(read)? else { return Ok(Value::Null) };
        let Some(shown) = present(self.api.shown_snapshots(&own.handle, &info))? else { return Ok(Value::Null) };
        (view.snapshots_allocated_bytes, view.snapshots_charged_bytes) = (shown.allocated_bytes, shown.charged_bytes);
        view.snapshots.retain(|uuid| self.sees_snapshot(*uuid));
        Ok(plain::drive(&view))
    }

    fn sees_snapshot(&self, uuid: Uuid) -> bool {
        self.view.find(&self.api.snapshots, uuid, Permission::List).is_ok()
    }

    fn status(&self, own: &OwnDrive, state: State) -> &'static str {
        match state {
            State::Creating => CREATING,
            State::Cloning => CLONING,
            State::Resizing => "resizing",
            State::Now if (self.api.connections)(own.handle.uuid()) > 0 => "mounted",
            State::Now => unfinished(own).unwrap_or("unmounted"),
        }
    }

    /// What the caller may do with what is somebody else's.
    fn permissions<H: Item>(&self, own: &Own<H>) -> Value {
        self.view.permissions(own).into_iter().map(Permission::name).collect()
    }

    /// Whom the caller lets do what.
    fn grantees<H: Item>(&self, own: &Own<H>) -> Value {
        if !self.view.is_own(own) {
            return Value::Array(Vec::new());
        }
        let grantees = self.view.grantees(own).into_iter();
        grantees
            .map(|(user, permissions)| {
                let permissions: Value = permissions.into_iter().map(Permission::name).collect();
                let user = json!({"email": null, "resource_uri": uri("user", user), "uuid": user.to_string()});
                json!({"permissions": permissions, "user": user})
            })
            .collect()
    }
}
