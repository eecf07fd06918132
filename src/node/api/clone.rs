//! How does a snapshot, or a drive, become another drive?

use super::Answer;
use super::body::Object;
use super::describe::{media_in, name_in, size_in, storage_type_in, uuid_in};
use super::fault::Fault;
use super::naming::CloneNaming;
use super::routes::Asked;
use super::wire::{self, State};
use crate::node::attributes::Attributes;
use crate::node::jobs::{Operation, Step};
use crate::node::remote::filling::NewDrive;
use crate::node::timestamp::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use uuid::Uuid;

/// What is cloned, and what the clone gets if nothing else is asked for.
pub struct Source<'a> {
    /// Where it is found.
    pub uri: String,
    /// Its name, before the profile's clone naming.
    pub name: &'a str,
    /// Its medium.
    pub media: &'a str,
    /// Its class of storage.
    pub storage_type: &'a str,
    /// Its size.
    pub size_bytes: u64,
    /// What has its image.
    pub image: Image,
}

/// What can be cloned.
#[derive(Clone, Copy)]
pub enum Image {
    /// A drive, of which a snapshot is taken first, for the clone alone.
    Drive(Uuid),
    /// A snapshot.
    Snapshot(Uuid),
    /// A remote snapshot.
    Remote(Uuid),
}

/// The same as the documentation of snapshots has it: with nothing around the definition.
///
/// # Errors
/// As for [`into_drive`].
pub fn into_bare_drive(asked: &Asked<'_>, source: &Source<'_>, object: &Object) -> Result<Answer, Fault> {
    let mut definition = into_drive(asked, source, object)?;
    // Nowhere else is this field an object; clients know it.
    let uuid = definition.get("uuid").and_then(uuid_in).ok_or_else(|| Fault::no_object(&source.uri))?;
    definition.insert("resource_uri".into(), wire::reference("drives", uuid));
    Ok(Answer::json(202, Value::Object(definition)))
}

/// Makes the clone that a body asks for; its definition, with the job that made it.
///
/// # Errors
/// 400 for what cannot be meant, 403 for what is too much, and what making it can raise.
pub fn into_drive(asked: &Asked<'_>, source: &Source<'_>, object: &Object) -> Result<Object, Fault> {
    let (api, owner) = (asked.api, asked.caller.uuid);
    let now = Timestamp::now();
    let size_bytes = size_in(api, object)?.unwrap_or(source.size_bytes);
    if size_bytes < source.size_bytes {
        return Err(Fault::invalid("size", "a clone is as large as its source, or larger"));
    }
    let mut attributes = Attributes::made_at(now);
    attributes.set_owner(owner);
    attributes.set_media(media_in(object)?.as_deref().unwrap_or(source.media));
    let storage_type = storage_type_in(object)?.unwrap_or_else(|| source.storage_type.to_owned());
    attributes.set_storage_type(&storage_type);
    api.describe_drive(owner, &mut attributes, object)?;
    let naming = asked.caller.profile.get("clone_naming").and_then(Value::as_str).and_then(CloneNaming::named);
    let name = name_in(object)?.unwrap_or_else(|| naming.unwrap_or_default().apply(source.name, now));

    let deciding = api.deciding(owner);
    let _deciding = deciding.lock();
    api.allow_bytes(asked.caller, &BTreeMap::from([(storage_type.as_str(), size_bytes)]))?;
    let (job, uuid) = (Uuid::new_v4(), Uuid::new_v4());
    let step = |snapshot, name: &str| Step::Clone {
        snapshot,
        uuid,
        name: name.to_owned(),
        size_bytes,
        attributes: attributes.to_text().unwrap_or_default(),
    };
    let steps = match source.image {
        Image::Snapshot(snapshot) => vec![step(snapshot, &name)],
        Image::Drive(drive) => {
            let between = Uuid::new_v4();
            let freeze = Step::Freeze { drive, uuid: between, name: String::new(), attributes: String::new() };
            vec![freeze, step(between, &name), Step::DeleteSnapshot { snapshot: between }]
        }
        Image::Remote(remote) => {
            api.remotes.clone_drive(remote, NewDrive { uuid, name, size_bytes, attributes })?;
            // It is there, and what is still to be done is not the job's.
            Vec::new()
        }
    };
    let resources = vec![source.uri.clone(), wire::uri("drives", uuid)];
    asked.run_as(job, Operation::DriveClone, resources, steps)?;
    let own = api.put(&api.drives, api.store.drive(uuid)?)?.ok_or_else(|| Fault::no_object(uuid))?;
    let mut definition = asked.drive(&own, State::Cloning)?.ok_or_else(|| Fault::no_object(uuid))?;
    definition.insert("jobs".into(), vec![wire::reference("jobs", job)].into());
    Ok(definition)
}
