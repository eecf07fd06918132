//! What can be done with snapshots?

use super::Answer;
use super::body::{self, Object};
use super::clone::{self, Image, Source};
use super::describe::{name_in, uuid_in};
use super::drives::refuse_unfinished;
use super::fault::Fault;
use super::filter::Filter;
use super::routes::Asked;
use super::sharing::Permission;
use super::shelf::{OwnDrive, OwnSnapshot};
use super::wire::{self, State};
use crate::node::attributes::Attributes;
use crate::node::jobs::{Operation, Step};
use crate::node::service::objects::present;
use crate::node::timestamp::Timestamp;
use crate::{Snapshot, SnapshotOptions};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

/// `GET /snapshots/`, `GET /snapshots/detail/`
pub fn list(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let found = candidates(asked)?;
    asked.listing(found, |own| asked.snapshot(own, State::Now), |own| asked.more_of_snapshot(own))
}

/// Everything that filters can leave: of drives that are asked for, only those drives' snapshots are looked at.
fn candidates(asked: &Asked<'_>) -> Result<Vec<Arc<OwnSnapshot>>, Fault> {
    let Some(drives) = Filter::of(&asked.call.parameters).drives() else { return Ok(asked.view.all(&asked.api.snapshots)) };
    let mut found = Vec::new();
    for drive in drives {
        // Snapshots can outlive a drive that was deleted without the API.
        let Some(drive) = present(asked.api.store.drive(drive))? else { return Ok(asked.view.all(&asked.api.snapshots)) };
        for snapshot in present(drive.snapshots())?.unwrap_or_default() {
            found.extend(asked.view.find(&asked.api.snapshots, snapshot.uuid(), Permission::List));
        }
    }
    asked.view.sort(&asked.api.snapshots, &mut found);
    Ok(found)
}

/// `GET /snapshots/{uuid}/`
pub fn show(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let own = asked.view.find(&asked.api.snapshots, asked.uuid()?, Permission::List)?;
    one(asked, &own)
}

fn one(asked: &Asked<'_>, own: &OwnSnapshot) -> Result<Answer, Fault> {
    let object = asked.snapshot(own, State::Now)?;
    object.map(|object| Answer::json(200, object.into())).ok_or_else(|| Fault::no_object(own.handle.uuid()))
}

/// A snapshot that is asked for.
struct Wanted {
    drive: Arc<OwnDrive>,
    name: Option<String>,
    attributes: Attributes,
}

/// `POST /snapshots/`: all that the body asks for, at one instant if it asks for one of each drive, or none.
pub fn create(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let (api, owner) = (asked.api, asked.caller.uuid);
    let objects = asked.objects()?;
    let deciding = api.deciding(owner);
    let _deciding = deciding.lock();
    let now = Timestamp::now();
    let mut wanted = Vec::new();
    for object in objects {
        let drive = asked.drive_to_snapshot(&object)?;
        let mut attributes = Attributes::made_at(now);
        attributes.set_owner(owner);
        api.describe(owner, &mut attributes, &object)?;
        attributes.set_storage_type(drive.attributes.storage_type());
        wanted.push(Wanted { drive, name: name_in(&object)?, attributes });
    }
    let drives: Vec<_> = wanted.iter().map(|one| one.drive.handle.uuid()).collect();
    api.allow_snapshots(asked.caller, &drives)?;
    let made = take(asked, &wanted, now)?;
    let location = made.first().map(|first| wire::uri("snapshots", first.uuid()));
    let mut objects = Vec::new();
    for snapshot in made {
        if let Some(own) = api.put(&api.snapshots, snapshot)? {
            objects.extend(asked.snapshot(&own, State::Creating)?);
        }
    }
    Ok(Answer { location, ..Answer::json(201, json!({"objects": objects})) })
}

impl Asked<'_> {
    /// The drive that a body wants a snapshot of.
    ///
    /// # Errors
    /// 400, 403, 404
    pub(super) fn drive_to_snapshot(&self, object: &Object) -> Result<Arc<OwnDrive>, Fault> {
        let drive = object.get("drive").filter(|drive| !drive.is_null()).ok_or_else(|| Fault::missing("drive"))?;
        let drive = uuid_in(drive).ok_or_else(|| Fault::invalid("drive", "it is no uuid"))?;
        let drive = self.view.find_own(&self.api.drives, drive)?;
        refuse_unfinished(&drive, "snapshot")?;
        Ok(drive)
    }

    /// The one action of snapshots.
    ///
    /// # Errors
    /// 400
    pub(super) fn is_clone(&self) -> Result<(), Fault> {
        match self.call.parameter("do") {
            Some("clone") => Ok(()),
            Some(other) => Err(Fault::invalid("do", format!("there is no action {other:?} of a snapshot"))),
            None => Err(Fault::missing("do")),
        }
    }
}

/// Clients send a whole definition to change a part of it.
///
/// # Errors
/// 400 if it names another drive.
pub fn stays_its_drives(object: &Object, drive: Uuid) -> Result<(), Fault> {
    let said = object.get("drive").filter(|drive| !drive.is_null());
    if said.is_some_and(|said| uuid_in(said) != Some(drive)) {
        return Err(Fault::invalid("drive", "a snapshot stays its drive's"));
    }
    Ok(())
}

/// Takes all that is wanted, or nothing.
fn take(asked: &Asked<'_>, wanted: &[Wanted], now: Timestamp) -> Result<Vec<Snapshot>, Fault> {
    let name = |one: &Wanted| one.name.clone().unwrap_or_else(|| now.snapshot_name(one.drive.handle.uuid()));
    let options = |one: &Wanted| SnapshotOptions::named(name(one)).attributes(one.attributes.to_bytes());
    if let [one] = wanted {
        return Ok(vec![one.drive.handle.snapshot(options(one))?]);
    }
    let drives: BTreeSet<Uuid> = wanted.iter().map(|one| one.drive.handle.uuid()).collect();
    if drives.len() == wanted.len() {
        let drives: Vec<_> = wanted.iter().map(|one| (&one.drive.handle, options(one))).collect();
        return Ok(asked.api.store.snapshot_group(&drives)?);
    }
    // One instant has one snapshot of a drive: several of one are taken one after the other.
    let (mut uuids, mut steps) = (Vec::new(), Vec::new());
    for one in wanted {
        let (drive, uuid) = (one.drive.handle.uuid(), Uuid::new_v4());
        uuids.push(uuid);
        steps.push(Step::Freeze { drive, uuid, name: name(one), attributes: one.attributes.to_text().unwrap_or_default() });
    }
    asked.run(Operation::SnapshotCreate, wire::uris("snapshots", &uuids), steps)?;
    Ok(uuids.iter().map(|uuid| asked.api.store.snapshot(*uuid)).collect::<crate::Result<_>>()?)
}

/// `PUT /snapshots/{uuid}/`
pub fn edit(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let (api, uuid) = (asked.api, asked.uuid()?);
    let object = body::object(&asked.call.body)?;
    let owner = asked.view.find(&api.snapshots, uuid, Permission::Edit)?.owner;
    let deciding = api.deciding(owner);
    let _deciding = deciding.lock();
    let own = asked.view.find(&api.snapshots, uuid, Permission::Edit)?;
    stays_its_drives(&object, own.handle.drive_uuid())?;
    let mut attributes = own.attributes.clone();
    api.describe(owner, &mut attributes, asked.without_foreign_tags(&own, &object).as_ref())?;
    let name = name_in(&object)?.unwrap_or_else(|| own.name.clone());
    if attributes == own.attributes && name == own.name {
        return one(asked, &own);
    }
    own.handle.describe(&name, &attributes.to_bytes())?;
    let own = api.put(&api.snapshots, own.handle.clone())?.ok_or_else(|| Fault::no_object(uuid))?;
    one(asked, &own)
}

/// `DELETE /snapshots/{uuid}/`
pub fn delete(asked: &Asked<'_>) -> Result<Answer, Fault> {
    delete_all(asked, &[asked.uuid()?])
}

/// `DELETE /snapshots/`: nothing is deleted if one of them is not there.
pub fn delete_many(asked: &Asked<'_>) -> Result<Answer, Fault> {
    delete_all(asked, &asked.uuids_to_delete()?)
}

fn delete_all(asked: &Asked<'_>, uuids: &[Uuid]) -> Result<Answer, Fault> {
    let api = asked.api;
    let taken: Vec<_> = {
        let deciding = api.deciding(asked.caller.uuid);
        let _deciding = deciding.lock();
        for uuid in uuids {
            asked.view.find_own(&api.snapshots, *uuid)?;
        }
        // From here on nobody sees any of them.
        uuids.iter().filter_map(|uuid| api.snapshots.remove(*uuid)).collect()
    };
    let steps = uuids.iter().map(|uuid| Step::DeleteSnapshot { snapshot: *uuid }).collect();
    asked.delete(Operation::SnapshotDelete, wire::uris("snapshots", uuids), steps, Vec::new(), taken)
}

/// `POST /snapshots/{uuid}/action/?do=clone`
pub fn act(asked: &Asked<'_>) -> Result<Answer, Fault> {
    asked.is_clone()?;
    let own = asked.view.find(&asked.api.snapshots, asked.uuid()?, Permission::Clone)?;
    let object = body::object(&asked.call.body)?;
    let drive = asked.api.drives.find(own.handle.drive_uuid());
    let source = Source {
        uri: wire::uri("snapshots", own.handle.uuid()),
        name: &own.name,
        media: drive.as_ref().map_or("disk", |drive| drive.attributes.media()),
        storage_type: own.attributes.storage_type(),
        size_bytes: own.handle.size_bytes(),
        image: Image::Snapshot(own.handle.uuid()),
    };
    clone::into_bare_drive(asked, &source, &object)
}
