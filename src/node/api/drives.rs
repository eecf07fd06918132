//! What can be done with drives?

use super::Answer;
use super::body::{self, Object};
use super::clone::{self, Image, Source};
use super::describe::{media_in, name_in, size_in, storage_type_in};
use super::fault::Fault;
use super::page::Page;
use super::quota::STORAGE_TYPES;
use super::routes::Asked;
use super::sharing::Permission;
use super::shelf::OwnDrive;
use super::wire::{self, State};
use crate::node::attributes::Attributes;
use crate::node::jobs::{Description, Operation, Step};
use crate::node::service::objects::{present, take_pins};
use crate::node::timestamp::Timestamp;
use serde_json::json;
use std::collections::BTreeMap;
use uuid::Uuid;

/// `GET /drives/`
pub fn list(asked: &Asked<'_>) -> Result<Answer, Fault> {
    // Whoever names fields may name any: the short list is short for those who do not.
    let named = Page::of(&asked.call.parameters)?.names_fields();
    listing(asked, |own| if named { asked.drive(own, State::Now) } else { Ok(Some(asked.drive_in_short(own))) })
}

/// `GET /drives/detail/`
pub fn list_whole(asked: &Asked<'_>) -> Result<Answer, Fault> {
    listing(asked, |own| asked.drive(own, State::Now))
}

fn listing(asked: &Asked<'_>, object: impl Fn(&OwnDrive) -> Result<Option<Object>, Fault>) -> Result<Answer, Fault> {
    asked.listing(asked.view.all(&asked.api.drives), object, |own| asked.more_of_drive(own))
}

/// `GET /drives/{uuid}/`
pub fn show(asked: &Asked<'_>) -> Result<Answer, Fault> {
    one(asked, &*asked.view.find(&asked.api.drives, asked.uuid()?, Permission::List)?, State::Now)
}

fn one(asked: &Asked<'_>, own: &OwnDrive, state: State) -> Result<Answer, Fault> {
    Ok(Answer::json(200, definition(asked, own, state)?.into()))
}

fn definition(asked: &Asked<'_>, own: &OwnDrive, state: State) -> Result<Object, Fault> {
    asked.drive(own, state)?.ok_or_else(|| Fault::no_object(own.handle.uuid()))
}

/// A drive that is asked for.
pub struct Wanted {
    /// Its identity.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
    /// Its size.
    pub size_bytes: u64,
    /// Its class of storage.
    pub storage_type: &'static str,
    /// What is written about it.
    pub attributes: Attributes,
}

impl Wanted {
    /// What an object asks for.
    ///
    /// # Errors
    /// 400
    pub fn of(asked: &Asked<'_>, uuid: Uuid, object: &Object) -> Result<Self, Fault> {
        let (api, owner) = (asked.api, asked.caller.uuid);
        let mut attributes = Attributes::made_at(Timestamp::now());
        attributes.set_owner(owner);
        api.describe_drive(owner, &mut attributes, object)?;
        let storage_type = storage_type_in(object)?;
        let storage_type =
            STORAGE_TYPES.into_iter().find(|known| Some(*known) == storage_type.as_deref()).unwrap_or(STORAGE_TYPES[0]);
        attributes.set_storage_type(storage_type);
        let name = name_in(object)?.ok_or_else(|| Fault::missing("name"))?;
        let size_bytes = size_in(api, object)?.ok_or_else(|| Fault::missing("size"))?;
        media_in(object)?.ok_or_else(|| Fault::missing("media"))?;
        Ok(Self { uuid, name, size_bytes, storage_type, attributes })
    }

    /// What makes it.
    pub fn into_step(self) -> Step {
        let attributes = self.attributes.to_text().unwrap_or_default();
        Step::CreateDrive { uuid: self.uuid, name: self.name, size_bytes: self.size_bytes, attributes }
    }
}

/// Nobody takes a part of an image for the whole.
///
/// # Errors
/// 403
pub fn refuse_unfinished(own: &OwnDrive, doing: &str) -> Result<(), Fault> {
    wire::unfinished(own).map_or(Ok(()), |state| Err(wrong_state(doing, state)))
}

/// What is not there yet is filled in where it belongs: meanwhile a drive keeps its size, and nobody sends an image.
///
/// # Errors
/// 403
pub fn refuse_filling(own: &OwnDrive, doing: &str) -> Result<(), Fault> {
    if own.attributes.filling().is_some() { refuse_unfinished(own, doing) } else { Ok(()) }
}

/// Nobody writes, or deletes, what somebody else works with.
///
/// # Errors
/// 403
pub fn refuse_mounted(asked: &Asked<'_>, drive: Uuid, doing: &str) -> Result<(), Fault> {
    if (asked.api.connections)(drive) > 0 { Err(wrong_state(doing, "mounted")) } else { Ok(()) }
}

fn wrong_state(doing: &str, state: &str) -> Fault {
    Fault::forbidden(format!("Cannot {doing} drive in state \"{state}\". Drive should be in state \"unmounted\""))
}

/// `POST /drives/`: all that the body asks for, or none.
pub fn create(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let (api, owner) = (asked.api, asked.caller.uuid);
    let objects = asked.objects()?;
    let deciding = api.deciding(owner);
    let _deciding = deciding.lock();
    let mut bytes: BTreeMap<&str, u64> = BTreeMap::new();
    let mut steps = Vec::new();
    let mut uuids = Vec::new();
    for object in objects {
        let wanted = Wanted::of(asked, Uuid::new_v4(), &object)?;
        let sum = bytes.entry(wanted.storage_type).or_default();
        *sum = sum.saturating_add(wanted.size_bytes);
        uuids.push(wanted.uuid);
        steps.push(wanted.into_step());
    }
    api.allow_bytes(asked.caller, &bytes)?;
    asked.run(Operation::DriveCreate, wire::uris("drives", &uuids), steps)?;
    let mut objects = Vec::new();
    for uuid in &uuids {
        if let Some(own) = api.put(&api.drives, api.store.drive(*uuid)?)? {
            objects.push(definition(asked, &own, State::Creating)?);
        }
    }
    let location = uuids.first().map(|first| wire::uri("drives", *first));
    Ok(Answer { location, ..Answer::json(201, json!({"objects": objects})) })
}

/// `PUT /drives/{uuid}/`
pub fn edit(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let (api, uuid) = (asked.api, asked.uuid()?);
    let object = body::object(&asked.call.body)?;
    let owner = asked.view.find(&api.drives, uuid, Permission::Edit)?.owner;
    let deciding = api.deciding(owner);
    let _deciding = deciding.lock();
    let own = asked.view.find(&api.drives, uuid, Permission::Edit)?;
    let mut attributes = own.attributes.clone();
    api.describe_drive(owner, &mut attributes, asked.without_foreign_tags(&own, &object).as_ref())?;
    if storage_type_in(&object)?.is_some_and(|word| word != own.attributes.storage_type()) {
        return Err(Fault::invalid("storage_type", "a drive stays where it is; a clone may go elsewhere"));
    }
    let to = Description { name: name_in(&object)?.unwrap_or_else(|| own.name.clone()), attributes: attributes.to_text() };
    let from = Description { name: own.name.clone(), attributes: own.attributes.to_text() };
    let mut steps = Vec::new();
    if to != from {
        steps.push(Step::DescribeDrive { drive: uuid, to, from });
    }
    let larger = larger(asked, &own, size_in(api, &object)?)?;
    steps.extend(larger.map(|size_bytes| Step::Resize { drive: uuid, size_bytes }));
    if steps.is_empty() {
        return one(asked, &own, State::Now);
    }
    let result = asked.run(Operation::DriveEdit, vec![wire::uri("drives", uuid)], steps);
    let own = api.put(&api.drives, own.handle.clone())?.ok_or_else(|| Fault::no_object(uuid))?;
    result?;
    one(asked, &own, if larger.is_some() { State::Resizing } else { State::Now })
}

/// The size that a drive is to get, if it is another one than it has.
fn larger(asked: &Asked<'_>, own: &OwnDrive, size: Option<u64>) -> Result<Option<u64>, Fault> {
    let now = own.handle.size_bytes()?;
    match size {
        Some(size) if size < now => {
            Err(Fault::invalid("size", format!("the drive has {now} bytes, and does not become smaller")))
        }
        Some(size) if size > now => {
            refuse_filling(own, "resize")?;
            let account = asked.api.accounts.find(own.owner);
            let more = BTreeMap::from([(own.attributes.storage_type(), size - now)]);
            account.map_or(Ok(()), |account| asked.api.allow_bytes(&account, &more))?;
            Ok(Some(size))
        }
        _ => Ok(None),
    }
}

/// `DELETE /drives/{uuid}/`: its snapshots go with it.
pub fn delete(asked: &Asked<'_>) -> Result<Answer, Fault> {
    delete_all(asked, &[asked.uuid()?])
}

/// `DELETE /drives/`: nothing is deleted if one of them is not there, or in use.
pub fn delete_many(asked: &Asked<'_>) -> Result<Answer, Fault> {
    delete_all(asked, &asked.uuids_to_delete()?)
}

fn delete_all(asked: &Asked<'_>, uuids: &[Uuid]) -> Result<Answer, Fault> {
    let api = asked.api;
    let mut steps = Vec::new();
    let (drives, snapshots): (Vec<_>, Vec<_>) = {
        let deciding = api.deciding(asked.caller.uuid);
        let _deciding = deciding.lock();
        let mut snapshots = Vec::new();
        for uuid in uuids {
            let own = asked.view.find_own(&api.drives, *uuid)?;
            refuse_mounted(asked, *uuid, "delete")?;
            let mut of_drive = present(own.handle.snapshots())?.unwrap_or_default();
            // What is on its way to a location arrives there without its drive.
            take_pins(&mut of_drive)?;
            snapshots.extend(of_drive.iter().map(crate::Snapshot::uuid));
            steps.extend(of_drive.iter().map(|snapshot| Step::DeleteSnapshot { snapshot: snapshot.uuid() }));
            steps.push(Step::DeleteDrive { drive: *uuid });
        }
        // From here on nobody sees any of them.
        let snapshots = snapshots.iter().filter_map(|uuid| api.snapshots.remove(*uuid)).collect();
        (uuids.iter().filter_map(|uuid| api.drives.remove(*uuid)).collect(), snapshots)
    };
    let deleted = asked.delete(Operation::DriveDelete, wire::uris("drives", uuids), steps, drives, snapshots);
    // Without their drive, the sizes of remote snapshots are other ones.
    (api.wake)();
    deleted
}

/// `POST /drives/{uuid}/action/?do=clone`, `?do=resize`
pub fn act(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let object = body::object(&asked.call.body)?;
    match asked.call.parameter("do") {
        Some("clone") => clone(asked, &object),
        Some("resize") => resize(asked, &object),
        Some(other) => Err(Fault::invalid("do", format!("there is no action {other:?} of a drive"))),
        None => Err(Fault::missing("do")),
    }
}

fn clone(asked: &Asked<'_>, object: &Object) -> Result<Answer, Fault> {
    let own = asked.view.find(&asked.api.drives, asked.uuid()?, Permission::Clone)?;
    refuse_unfinished(&own, "clone")?;
    let source = Source {
        uri: wire::uri("drives", own.handle.uuid()),
        name: &own.name,
        media: own.attributes.media(),
        storage_type: own.attributes.storage_type(),
        size_bytes: own.handle.size_bytes()?,
        image: Image::Drive(own.handle.uuid()),
    };
    let definition = clone::into_drive(asked, &source, object)?;
    Ok(Answer::json(202, json!({"objects": [definition]})))
}

fn resize(asked: &Asked<'_>, object: &Object) -> Result<Answer, Fault> {
    let (api, uuid) = (asked.api, asked.uuid()?);
    let owner = asked.view.find(&api.drives, uuid, Permission::Edit)?.owner;
    let deciding = api.deciding(owner);
    let _deciding = deciding.lock();
    let own = asked.view.find(&api.drives, uuid, Permission::Edit)?;
    let size = size_in(api, object)?.ok_or_else(|| Fault::missing("size"))?;
    // The answer shows the size that the drive still has.
    let definition = definition(asked, &own, State::Resizing)?;
    if let Some(size) = larger(asked, &own, Some(size))? {
        own.handle.resize(size)?;
    }
    Ok(Answer::json(202, json!({"objects": [definition]})))
}
