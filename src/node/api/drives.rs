//! What can be done with drives?

use super::Answer;
use super::body::{self, Object};
use super::fault::Fault;
use super::filter::{Filter, Filtered};
use super::page::Page;
use super::resources::OwnDrive;
use super::routes::Asked;
use super::snapshots::{describe, uuids_to_delete};
use super::wire::{self, State};
use crate::node::attributes::Attributes;
use crate::node::service::drives as service;
use crate::node::timestamp::Timestamp;
use crate::{DRIVE_BYTES_MAX, DriveOptions, SnapshotOptions};
use serde_json::{Value, json};

/// Sizes are rounded up to this: what block devices of 512-byte sectors can have.
const SIZE_GRANULE_BYTES: u64 = 512;

/// The smallest drive: what the smallest file systems and clients expect to fit.
pub const SIZE_MIN_BYTES: u64 = 4096;

/// What a drive can be bought as.
pub const STORAGE_TYPES: [&str; 3] = ["dssd", "nvme", "zadara"];

/// `GET /drives/`
pub fn list(asked: &Asked<'_>) -> Result<Answer, Fault> {
    listing(asked, |own| Ok(Some(asked.api.drive_in_short(own))))
}

/// `GET /drives/detail/`
pub fn list_whole(asked: &Asked<'_>) -> Result<Answer, Fault> {
    listing(asked, |own| asked.api.drive(own, State::Now))
}

fn listing(asked: &Asked<'_>, object: impl Fn(&OwnDrive) -> Result<Option<Object>, Fault>) -> Result<Answer, Fault> {
    let page = Page::of(&asked.call.parameters)?;
    let filter = Filter::of(&asked.call.parameters);
    let mut own = asked.api.drives_of(asked.caller)?;
    own.retain(|own| filter.fits(own));
    Ok(Answer::json(200, page.envelope(&own, object)?))
}

/// `GET /drives/{uuid}/`
pub fn show(asked: &Asked<'_>) -> Result<Answer, Fault> {
    one(asked, &asked.api.drive_of(asked.caller, asked.uuid()?)?, State::Now)
}

fn one(asked: &Asked<'_>, own: &OwnDrive, state: State) -> Result<Answer, Fault> {
    Ok(Answer::json(200, definition(asked, own, state)?.into()))
}

fn definition(asked: &Asked<'_>, own: &OwnDrive, state: State) -> Result<Object, Fault> {
    asked.api.drive(own, state)?.ok_or_else(|| Fault::no_object(own.uuid()))
}

/// A size as a drive can have it.
fn size_in(object: &Object) -> Result<Option<u64>, Fault> {
    let Some(bytes) = body::bytes(object, "size")? else { return Ok(None) };
    let rounded = bytes.checked_next_multiple_of(SIZE_GRANULE_BYTES).filter(|bytes| *bytes <= DRIVE_BYTES_MAX);
    match rounded {
        Some(bytes) if bytes >= SIZE_MIN_BYTES => Ok(Some(bytes)),
        _ => Err(Fault::invalid("size", format!("a drive has {SIZE_MIN_BYTES} to {DRIVE_BYTES_MAX} bytes"))),
    }
}

fn media_in(object: &Object) -> Result<Option<String>, Fault> {
    match body::text(object, "media")? {
        Some(media) if !["disk", "cdrom"].contains(&media.as_str()) => Err(Fault::invalid("media", "it is disk or cdrom")),
        media => Ok(media),
    }
}

/// Takes over what a body says of a drive alone.
fn describe_drive(attributes: &mut Attributes, object: &Object) -> Result<(), Fault> {
    describe(attributes, object)?;
    if let Some(media) = media_in(object)? {
        attributes.set_media(&media);
    }
    if let Some(allow) = body::flag(object, "allow_multimount")? {
        attributes.set_allow_multimount(allow);
    }
    match object.get("affinities") {
        None | Some(Value::Null) => {}
        Some(Value::Array(affinities)) => attributes.set_affinities(affinities.clone()),
        Some(_) => return Err(Fault::invalid("affinities", "it is no list")),
    }
    Ok(())
}

fn storage_type_in(object: &Object) -> Result<Option<String>, Fault> {
    match body::text(object, "storage_type")? {
        Some(word) if !STORAGE_TYPES.contains(&word.as_str()) => {
            Err(Fault::invalid("storage_type", format!("it is one of {}", STORAGE_TYPES.join(", "))))
        }
        word => Ok(word),
    }
}

/// `POST /drives/`: the drives are checked before the first is made; if making one fails, those made before it go again.
pub fn create(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let mut wanted = Vec::new();
    for object in body::objects(&asked.call.body)? {
        let mut attributes = Attributes::made_at(Timestamp::now());
        attributes.set_owner(asked.caller.uuid);
        describe_drive(&mut attributes, &object)?;
        attributes.set_storage_type(storage_type_in(&object)?.as_deref().unwrap_or(STORAGE_TYPES[0]));
        let name = body::text(&object, "name")?.ok_or_else(|| Fault::missing("name"))?;
        let size = size_in(&object)?.ok_or_else(|| Fault::missing("size"))?;
        media_in(&object)?.ok_or_else(|| Fault::missing("media"))?;
        wanted.push(DriveOptions::new(size).name(name).attributes(attributes.to_bytes()));
    }
    let mut made = Vec::new();
    for options in wanted {
        match asked.api.store.create_drive(options) {
            Ok(drive) => made.push(drive),
            Err(error) => {
                for drive in made {
                    drive.delete()?;
                }
                return Err(error.into());
            }
        }
    }
    let location = made.first().map(|first| wire::uri("drives", first.uuid()));
    let objects = made.iter().map(|drive| {
        let own = asked.api.drive_of(asked.caller, drive.uuid())?;
        definition(asked, &own, State::Creating)
    });
    let objects: Vec<Object> = objects.collect::<Result<_, _>>()?;
    Ok(Answer { location, ..Answer::json(201, json!({"objects": objects})) })
}

/// `PUT /drives/{uuid}/`
pub fn edit(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let mut own = asked.api.drive_of(asked.caller, asked.uuid()?)?;
    let object = body::object(&asked.call.body)?;
    let size = size_in(&object)?;
    let before = own.attributes.clone();
    describe_drive(&mut own.attributes, &object)?;
    if storage_type_in(&object)?.is_some_and(|word| word != own.attributes.storage_type()) {
        return Err(Fault::invalid("storage_type", "a drive stays where it is; a clone may go elsewhere"));
    }
    let state = if grow(&own, size)? { State::Resizing } else { State::Now };
    if own.attributes != before {
        own.drive.set_attributes(&own.attributes.to_bytes())?;
    }
    if let Some(name) = body::text(&object, "name")?.filter(|name| *name != own.name) {
        own.drive.rename(&name)?;
        own.name = name;
    }
    one(asked, &own, state)
}

/// Gives a drive a size; whether that is another one than it had.
fn grow(own: &OwnDrive, size: Option<u64>) -> Result<bool, Fault> {
    let now = own.drive.size_bytes()?;
    match size {
        Some(size) if size < now => {
            Err(Fault::invalid("size", format!("the drive has {now} bytes, and does not become smaller")))
        }
        Some(size) if size > now => {
            own.drive.resize(size)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// `DELETE /drives/{uuid}/`: its snapshots go with it.
pub fn delete(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let own = asked.api.drive_of(asked.caller, asked.uuid()?)?;
    refuse_mounted(asked, &own)?;
    service::delete(own.drive, true)?;
    Ok(Answer::nothing())
}

/// `DELETE /drives/`: nothing is deleted if one of them is not there, or in use.
pub fn delete_many(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let uuids = uuids_to_delete(&asked.call.body)?;
    let own: Vec<_> = uuids.iter().map(|uuid| asked.api.drive_of(asked.caller, *uuid)).collect::<Result<_, _>>()?;
    own.iter().try_for_each(|own| refuse_mounted(asked, own))?;
    for own in own {
        service::delete(own.drive, true)?;
    }
    Ok(Answer::nothing())
}

fn refuse_mounted(asked: &Asked<'_>, own: &OwnDrive) -> Result<(), Fault> {
    if (asked.api.connections)(own.uuid()) > 0 {
        return Err(Fault::forbidden("Cannot delete drive in state \"mounted\". Drive should be in state \"unmounted\""));
    }
    Ok(())
}

/// `POST /drives/{uuid}/action/?do=clone`, `?do=resize`
pub fn act(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let own = asked.api.drive_of(asked.caller, asked.uuid()?)?;
    let object = body::object(&asked.call.body)?;
    match asked.call.parameter("do") {
        Some("clone") => clone(asked, &own, &object),
        Some("resize") => {
            // The answer shows the size that the drive still has.
            let definition = definition(asked, &own, State::Resizing)?;
            grow(&own, Some(size_in(&object)?.ok_or_else(|| Fault::missing("size"))?))?;
            Ok(Answer::json(202, json!({"objects": [definition]})))
        }
        Some(other) => Err(Fault::invalid("do", format!("there is no action {other:?} of a drive"))),
        None => Err(Fault::missing("do")),
    }
}

fn clone(asked: &Asked<'_>, own: &OwnDrive, object: &Object) -> Result<Answer, Fault> {
    // A snapshot in between, which nobody sees: it has no owner, and goes when the clone is there.
    let between = own.drive.snapshot(SnapshotOptions::named("clone"))?;
    let source = clone_into::Source {
        snapshot: &between,
        name: &own.name,
        media: own.attributes.media(),
        storage_type: own.attributes.storage_type(),
        size_bytes: between.size_bytes(),
    };
    let made = clone_into::drive(asked, &source, object);
    between.delete()?;
    let definition = definition(asked, &made?, State::Cloning)?;
    Ok(Answer::json(202, json!({"objects": [definition]})))
}

/// How is a clone made of a snapshot?
pub mod clone_into {
    use super::{describe_drive, media_in, size_in, storage_type_in};
    use crate::node::api::body::{self, Object};
    use crate::node::api::fault::Fault;
    use crate::node::api::naming::CloneNaming;
    use crate::node::api::resources::OwnDrive;
    use crate::node::api::routes::Asked;
    use crate::node::attributes::Attributes;
    use crate::node::timestamp::Timestamp;
    use crate::{DriveOptions, Snapshot};
    use serde_json::Value;

    /// What is cloned, and what the clone gets if nothing else is asked for.
    pub struct Source<'a> {
        /// Its image.
        pub snapshot: &'a Snapshot,
        /// Its name, before the profile's clone naming.
        pub name: &'a str,
        /// Its medium.
        pub media: &'a str,
        /// Its class of storage.
        pub storage_type: &'a str,
        /// Its size.
        pub size_bytes: u64,
    }

    /// Makes the clone that a body asks for.
    ///
    /// # Errors
    /// 400 for what cannot be meant, and what making it can raise.
    pub fn drive(asked: &Asked<'_>, source: &Source<'_>, object: &Object) -> Result<OwnDrive, Fault> {
        let now = Timestamp::now();
        let size = size_in(object)?.unwrap_or(source.size_bytes);
        if size < source.size_bytes {
            return Err(Fault::invalid("size", "a clone is as large as its source, or larger"));
        }
        let mut attributes = Attributes::made_at(now);
        attributes.set_owner(asked.caller.uuid);
        attributes.set_media(media_in(object)?.as_deref().unwrap_or(source.media));
        attributes.set_storage_type(storage_type_in(object)?.as_deref().unwrap_or(source.storage_type));
        describe_drive(&mut attributes, object)?;
        let naming = asked.caller.profile.get("clone_naming").and_then(Value::as_str).and_then(CloneNaming::named);
        let name = body::text(object, "name")?.filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| naming.unwrap_or_default().apply(source.name, now));
        let options = DriveOptions::new(size).name(name).attributes(attributes.to_bytes());
        let clone = source.snapshot.clone_drive(options)?;
        asked.api.drive_of(asked.caller, clone.uuid())
    }
}
