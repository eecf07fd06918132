//! What can be done with remote snapshots?
//!
//! What can be done with snapshots, and less at times: [`Remotes`](crate::node::remote::remotes::Remotes) knows when, and says why not.

use super::body::{self, Object};
use super::clone::{self, Image, Source};
use super::describe::name_in;
use super::fault::Fault;
use super::quota::STORAGE_TYPES;
use super::routes::Asked;
use super::sharing::Permission;
use super::shelf::{OwnDrive, OwnRemote};
use super::snapshots::stays_its_drives;
use super::wire::{self, REMOTE, State};
use super::{Answer, Api};
use crate::Drive;
use crate::node::attributes::Attributes;
use crate::node::failure::{Failure, FailureKind};
use crate::node::jobs::{Operation, Step};
use crate::node::remote::keeping::Keeper;
use crate::node::remote::known::{Known, State as Stand};
use crate::node::remote::remotes::Wanted;
use crate::node::remote::repository::manifest::{Description, Owner, Tag};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

/// `GET /remotesnapshots/`, `GET /remotesnapshots/detail/`
pub fn list(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let found = asked.view.all(&asked.api.remote_snapshots);
    asked.listing(found, |own| asked.remote_snapshot(own, State::Now), |own| asked.more_of_remote_snapshot(own))
}

/// `GET /remotesnapshots/{uuid}/`
pub fn show(asked: &Asked<'_>) -> Result<Answer, Fault> {
    one(asked, &*asked.view.find(&asked.api.remote_snapshots, asked.uuid()?, Permission::List)?)
}

fn one(asked: &Asked<'_>, own: &OwnRemote) -> Result<Answer, Fault> {
    let object = asked.remote_snapshot(own, State::Now)?;
    object.map(|object| Answer::json(200, object.into())).ok_or_else(|| Fault::no_object(own.handle.uuid))
}

/// `POST /remotesnapshots/`: all that the body asks for, at one instant, or none.
pub fn create(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let api = asked.api;
    let objects = asked.objects()?;
    let deciding = api.deciding(asked.caller.uuid);
    let _deciding = deciding.lock();
    let wanted = objects.iter().map(|object| wanted(asked, object)).collect::<Result<Vec<_>, _>>()?;
    api.allow_remote_snapshots(asked.caller, wanted.len())?;
    let uuids: Vec<Uuid> = wanted.iter().map(|(_, wanted)| wanted.uuid).collect();
    api.remotes.begin_all(wanted.iter().map(|(drive, wanted)| (&drive.handle, wanted.clone())).collect())?;
    let mut objects = Vec::new();
    for uuid in &uuids {
        if let Some(own) = api.put_remote(*uuid)? {
            objects.extend(asked.remote_snapshot(&own, State::Creating)?);
        }
    }
    (api.wake)();
    let location = uuids.first().map(|first| wire::uri(REMOTE, *first));
    Ok(Answer { location, ..Answer::json(201, json!({"objects": objects})) })
}

/// What an object asks for, and of which drive.
fn wanted(asked: &Asked<'_>, object: &Object) -> Result<(Arc<OwnDrive>, Wanted), Fault> {
    let (api, caller) = (asked.api, asked.caller);
    let drive = asked.drive_to_snapshot(object)?;
    let location = body::text(object, "location")?.filter(|code| !code.is_empty());
    if let Some(code) = &location {
        api.remotes.locations().find(code).map_err(|failure| Fault::invalid("location", failure.to_string()))?;
    }
    let mut attributes = Attributes::read(b"");
    api.describe(caller.uuid, &mut attributes, object)?;
    let drive_meta = drive_meta(&drive)?;
    let description = described(asked, name_in(object)?.unwrap_or_default(), &attributes, Vec::new());
    let owner = Some(Owner { uuid: caller.uuid, email: caller.email.clone() });
    Ok((drive, Wanted { uuid: Uuid::new_v4(), location, owner, description, drive_meta, policy: None }))
}

/// What outlives a drive.
fn drive_meta(drive: &OwnDrive) -> Result<Value, Fault> {
    Ok(json!({
        "media": drive.attributes.media(),
        "name": drive.name,
        "size": drive.handle.size_bytes()?,
        "src_uuid": drive.handle.uuid().to_string(),
        "storage_type": drive.attributes.storage_type(),
    }))
}

impl Api {
    /// What a schedule says of a drive's next remote snapshot: its owner's, as far as the owner may have one more.
    ///
    /// # Errors
    /// `NotFound` for a drive that is gone, `Denied` for one too many.
    fn scheduled(&self, drive: &Drive) -> Result<Wanted, Failure> {
        let gone = || Failure::new(FailureKind::NotFound, format!("there is no drive {}", drive.uuid()));
        let own = self.drives.find(drive.uuid()).ok_or_else(gone)?;
        let owner = self.accounts.find(own.owner).ok_or_else(gone)?;
        let allowed = self.allow_remote_snapshots(&owner, 1).and_then(|()| drive_meta(&own));
        let drive_meta = allowed.map_err(|fault| {
            let words = fault.errors.into_iter().map(|error| error.message).collect::<Vec<_>>().join("; ");
            Failure::new(FailureKind::Denied, format!("drive {}: {words}", drive.uuid()))
        })?;
        let owner = Some(Owner { uuid: owner.uuid, email: owner.email });
        let description = Description::default();
        Ok(Wanted { uuid: Uuid::new_v4(), location: None, owner, description, drive_meta, policy: None })
    }
}

/// A name, and what attributes say, in the words of locations; tags that are gone here have the names they `had`.
fn described(asked: &Asked<'_>, name: String, attributes: &Attributes, had: Vec<Tag>) -> Description {
    let named = |uuid: Uuid| match asked.api.tags.find(uuid) {
        Some(tag) => Some(Tag { uuid, name: tag.name }),
        None => had.iter().find(|tag| tag.uuid == uuid).cloned(),
    };
    Description { name, meta: attributes.meta(), tags: attributes.tags().into_iter().filter_map(named).collect() }
}

/// `PUT /remotesnapshots/{uuid}/`
pub fn edit(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let (api, uuid) = (asked.api, asked.uuid()?);
    let object = body::object(&asked.call.body)?;
    let owner = asked.view.find(&api.remote_snapshots, uuid, Permission::Edit)?.owner;
    let deciding = api.deciding(owner);
    let _deciding = deciding.lock();
    let own = asked.view.find(&api.remote_snapshots, uuid, Permission::Edit)?;
    stays_its_drives(&object, own.handle.drive)?;
    let mut attributes = own.attributes.clone();
    api.describe(owner, &mut attributes, asked.without_foreign_tags(&own, &object).as_ref())?;
    let name = name_in(&object)?.unwrap_or_else(|| own.name.clone());
    let known = there(asked, uuid, "edited")?;
    // Whoever changes nothing does not change the names that tags had then either.
    if attributes != own.attributes || name != own.name {
        api.remotes.edit(uuid, described(asked, name, &attributes, known.description.tags))?;
    }
    one(asked, &*api.put_remote(uuid)?.ok_or_else(|| Fault::no_object(uuid))?)
}

/// One that its location has.
fn there(asked: &Asked<'_>, uuid: Uuid, done: &str) -> Result<Known, Fault> {
    let known = asked.api.remotes.settled(uuid, done)?;
    if known.state == Stand::Unavailable {
        let why = known.error.unwrap_or_default();
        return Err(Fault::forbidden(format!("Remote snapshot {uuid} is unavailable, and can only be deleted: {why}")));
    }
    Ok(known)
}

/// `DELETE /remotesnapshots/{uuid}/`
pub fn delete(asked: &Asked<'_>) -> Result<Answer, Fault> {
    delete_all(asked, &[asked.uuid()?])
}

/// `DELETE /remotesnapshots/`: nothing is deleted if one of them is not there, or under way.
pub fn delete_many(asked: &Asked<'_>) -> Result<Answer, Fault> {
    delete_all(asked, &asked.uuids_to_delete()?)
}

fn delete_all(asked: &Asked<'_>, uuids: &[Uuid]) -> Result<Answer, Fault> {
    let api = asked.api;
    let deciding = api.deciding(asked.caller.uuid);
    let _deciding = deciding.lock();
    for uuid in uuids {
        asked.view.find_own(&api.remote_snapshots, *uuid)?;
    }
    let mut steps = Vec::new();
    for uuid in uuids {
        let (from, to) = api.remotes.deletion(*uuid)?;
        steps.push(Step::Keep { uuid: *uuid, to, from: Some(from) });
    }
    // From here on nobody sees any of them.
    let taken = uuids.iter().filter_map(|uuid| api.remote_snapshots.remove(*uuid)).collect();
    let result = asked.run(Operation::RemoteSnapshotDelete, wire::uris(REMOTE, uuids), steps);
    uuids.iter().try_for_each(|uuid| api.remotes.deleted(*uuid))?;
    api.put_back(&api.remote_snapshots, taken)?;
    (api.wake)();
    result.map(|()| Answer::nothing())
}

/// `POST /remotesnapshots/{uuid}/action/?do=clone`
pub fn act(asked: &Asked<'_>) -> Result<Answer, Fault> {
    asked.is_clone()?;
    let own = asked.view.find(&asked.api.remote_snapshots, asked.uuid()?, Permission::Clone)?;
    let object = body::object(&asked.call.body)?;
    let uuid = own.handle.uuid;
    let known = there(asked, uuid, "cloned")?;
    // Another node, or no node at all, may have written it.
    let said = |field: &str| known.drive_meta.get(field).and_then(Value::as_str);
    let storage_type = STORAGE_TYPES.into_iter().find(|class| said("storage_type") == Some(class));
    let source = Source {
        uri: wire::uri(REMOTE, uuid),
        name: &own.name,
        media: if said("media") == Some("cdrom") { "cdrom" } else { "disk" },
        storage_type: storage_type.unwrap_or(STORAGE_TYPES[0]),
        size_bytes: known.size_bytes,
        image: Image::Remote(uuid),
    };
    clone::into_bare_drive(asked, &source, &object)
}

impl Keeper for Api {
    fn wanted(&self, drive: &Drive) -> Result<Wanted, Failure> {
        self.scheduled(drive)
    }

    fn account(&self, owner: &Owner) -> Option<Uuid> {
        let all = self.accounts.all();
        all.iter()
            .find(|account| account.uuid == owner.uuid)
            .or_else(|| all.iter().find(|account| account.email == owner.email))
            .map(|account| account.uuid)
    }

    fn changed(&self) {
        if let Err(error) = self.look_for_remotes() {
            tracing::error!(%error, "what is remembered of remote snapshots cannot be read");
        }
        (self.wake)();
    }
}
