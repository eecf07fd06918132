//! What can be done with snapshots?

use super::Answer;
use super::body::{self, Object};
use super::drives::clone_into;
use super::fault::Fault;
use super::filter::{Filter, Filtered};
use super::page::Page;
use super::resources::{OwnDrive, OwnSnapshot, meta_in, tags_in, uuid_in};
use super::routes::Asked;
use super::wire::{self, State};
use crate::SnapshotOptions;
use crate::node::attributes::Attributes;
use crate::node::service::objects::present;
use crate::node::timestamp::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

/// `GET /snapshots/`, `GET /snapshots/detail/`
pub fn list(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let page = Page::of(&asked.call.parameters)?;
    let filter = Filter::of(&asked.call.parameters);
    let mut own = asked.api.snapshots_of(asked.caller)?;
    own.retain(|own| filter.fits(own));
    Ok(Answer::json(200, page.envelope(&own, |own| wire::snapshot(own, State::Now))?))
}

/// `GET /snapshots/{uuid}/`
pub fn show(asked: &Asked<'_>) -> Result<Answer, Fault> {
    one(&asked.api.snapshot_of(asked.caller, asked.uuid()?)?)
}

fn one(own: &OwnSnapshot) -> Result<Answer, Fault> {
    let object = wire::snapshot(own, State::Now)?;
    object.map(|object| Answer::json(200, object.into())).ok_or_else(|| Fault::no_object(own.uuid()))
}

/// A snapshot that is asked for.
struct Wanted {
    drive: OwnDrive,
    name: Option<String>,
    attributes: Attributes,
}

/// `POST /snapshots/`: all that the body asks for, at one instant, or none.
pub fn create(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let now = Timestamp::now();
    let mut wanted = Vec::new();
    for object in body::objects(&asked.call.body)? {
        let drive = object.get("drive").filter(|drive| !drive.is_null()).ok_or_else(|| Fault::missing("drive"))?;
        let drive = uuid_in(drive).ok_or_else(|| Fault::invalid("drive", "it is no uuid"))?;
        let drive = asked.api.drive_of(asked.caller, drive)?;
        let mut attributes = Attributes::made_at(now);
        attributes.set_owner(asked.caller.uuid);
        describe(&mut attributes, &object)?;
        attributes.set_storage_type(drive.attributes.storage_type());
        wanted.push(Wanted { drive, name: name_in(&object)?, attributes });
    }
    let options = |wanted: &Wanted| {
        let name = wanted.name.clone().unwrap_or_else(|| now.snapshot_name(wanted.drive.uuid()));
        SnapshotOptions::named(name).attributes(wanted.attributes.to_bytes())
    };
    let made = match &wanted[..] {
        [one] => vec![one.drive.drive.snapshot(options(one))?],
        several => {
            let drives: Vec<_> = several.iter().map(|one| (&one.drive.drive, options(one))).collect();
            asked.api.store.snapshot_group(&drives)?
        }
    };
    let mut objects = Vec::new();
    for snapshot in &made {
        let own = asked.api.snapshot_of(asked.caller, snapshot.uuid())?;
        objects.extend(wire::snapshot(&own, State::Creating)?);
    }
    let location = made.first().map(|first| wire::uri("snapshots", first.uuid()));
    Ok(Answer { location, ..Answer::json(201, json!({"objects": objects})) })
}

fn name_in(object: &Object) -> Result<Option<String>, Fault> {
    Ok(body::text(object, "name")?.filter(|name| !name.is_empty()))
}

/// Takes over what a body says of a thing.
pub fn describe(attributes: &mut Attributes, object: &Object) -> Result<(), Fault> {
    if let Some(meta) = meta_in(object)? {
        attributes.set_meta(meta);
    }
    if let Some(tags) = tags_in(object)? {
        attributes.set_tags(&tags);
    }
    Ok(())
}

/// `PUT /snapshots/{uuid}/`
pub fn edit(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let mut own = asked.api.snapshot_of(asked.caller, asked.uuid()?)?;
    let object = body::object(&asked.call.body)?;
    let drive = object.get("drive").filter(|drive| !drive.is_null());
    if drive.is_some_and(|drive| uuid_in(drive) != Some(own.snapshot.drive_uuid())) {
        return Err(Fault::invalid("drive", "a snapshot stays its drive's"));
    }
    let before = own.attributes.clone();
    describe(&mut own.attributes, &object)?;
    if own.attributes != before {
        own.snapshot.set_attributes(&own.attributes.to_bytes())?;
    }
    if let Some(name) = name_in(&object)?.filter(|name| *name != own.name) {
        own.snapshot.rename(&name)?;
        own.name = name;
    }
    one(&own)
}

/// `DELETE /snapshots/{uuid}/`
pub fn delete(asked: &Asked<'_>) -> Result<Answer, Fault> {
    asked.api.snapshot_of(asked.caller, asked.uuid()?)?.snapshot.delete()?;
    Ok(Answer::nothing())
}

/// The uuids in the body of a bulk deletion, each once.
pub fn uuids_to_delete(body: &[u8]) -> Result<Vec<Uuid>, Fault> {
    let mut uuids = Vec::new();
    for object in body::objects_to_delete(body)? {
        let uuid = object.get("uuid").ok_or_else(|| Fault::missing("uuid"))?;
        let uuid = uuid_in(uuid).ok_or_else(|| Fault::invalid("uuid", "it is no uuid"))?;
        if !uuids.contains(&uuid) {
            uuids.push(uuid);
        }
    }
    Ok(uuids)
}

/// `DELETE /snapshots/`: nothing is deleted if one of them is not there.
pub fn delete_many(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let uuids = uuids_to_delete(&asked.call.body)?;
    let own: Vec<_> = uuids.iter().map(|uuid| asked.api.snapshot_of(asked.caller, *uuid)).collect::<Result<_, _>>()?;
    for own in own {
        present(own.snapshot.delete())?;
    }
    Ok(Answer::nothing())
}

/// `POST /snapshots/{uuid}/action/?do=clone`
pub fn act(asked: &Asked<'_>) -> Result<Answer, Fault> {
    match asked.call.parameter("do") {
        Some("clone") => {}
        Some(other) => return Err(Fault::invalid("do", format!("there is no action {other:?} of a snapshot"))),
        None => return Err(Fault::missing("do")),
    }
    let own = asked.api.snapshot_of(asked.caller, asked.uuid()?)?;
    let object = body::object(&asked.call.body)?;
    let media = asked.api.drive_of(asked.caller, own.snapshot.drive_uuid()).ok().map(|drive| drive.attributes.media().to_owned());
    let source = clone_into::Source {
        snapshot: &own.snapshot,
        name: &own.name,
        media: media.as_deref().unwrap_or("disk"),
        storage_type: own.attributes.storage_type(),
        size_bytes: own.snapshot.size_bytes(),
    };
    let drive = clone_into::drive(asked, &source, &object)?;
    let Some(mut definition) = asked.api.drive(&drive, State::Cloning)? else { return Err(Fault::no_object(drive.uuid())) };
    // Nowhere else is this field an object; clients know it.
    definition.insert("resource_uri".into(), wire::reference("drives", drive.uuid()));
    Ok(Answer::json(202, Value::Object(definition)))
}
