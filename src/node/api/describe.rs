//! What does a body say of a drive or snapshot?

use super::Api;
use super::body::{self, Object};
use super::fault::Fault;
use super::quota::{SIZE_GRANULE_BYTES, STORAGE_TYPES};
use crate::node::attributes::Attributes;
use serde_json::{Map, Value};
use uuid::Uuid;

/// The longest key of what an owner writes about a thing, in characters.
pub const META_KEY_CHARS_MAX: usize = 32;

/// The longest name, in bytes: the engine keeps no longer one.
pub const NAME_BYTES_MAX: usize = 255;

/// The uuid that a value names: itself, the `uuid` of an object, or the end of a URI.
pub fn uuid_in(value: &Value) -> Option<Uuid> {
    let text = match value {
        Value::String(text) => text,
        Value::Object(object) => object.get("uuid")?.as_str()?,
        _ => return None,
    };
    uuid_of(text.trim_end_matches('/').rsplit('/').next()?)
}

/// A uuid as it is always written, in small letters or large ones: a thing has one URL.
pub fn uuid_of(text: &str) -> Option<Uuid> {
    const WRITTEN: usize = uuid::fmt::Hyphenated::LENGTH;
    (text.len() == WRITTEN).then(|| Uuid::try_parse(text).ok()).flatten()
}

/// The uuids that a list names, if it is there.
pub fn uuids_in(object: &Object, field: &str) -> Result<Option<Vec<Uuid>>, Fault> {
    let values = match object.get(field) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(values)) => values,
        Some(_) => return Err(Fault::invalid(field, "it is no list")),
    };
    let mut uuids = Vec::with_capacity(values.len());
    for value in values {
        let uuid = uuid_in(value).ok_or_else(|| Fault::invalid(field, "it holds what is no uuid"))?;
        if !uuids.contains(&uuid) {
            uuids.push(uuid);
        }
    }
    Ok(Some(uuids))
}

/// The `meta` of a body, if it is there: texts under short keys.
pub fn meta_in(object: &Object) -> Result<Option<Map<String, Value>>, Fault> {
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

/// The `name` of a body, if it is there.
pub fn name_in(object: &Object) -> Result<Option<String>, Fault> {
    let name = body::text(object, "name")?.filter(|name| !name.is_empty());
    match name {
        Some(name) if name.len() > NAME_BYTES_MAX => {
            Err(Fault::invalid("name", format!("it has more than {NAME_BYTES_MAX} bytes")))
        }
        name => Ok(name),
    }
}

/// A size as a drive can have it.
pub fn size_in(api: &Api, object: &Object) -> Result<Option<u64>, Fault> {
    let Some(bytes) = body::bytes(object, "size")? else { return Ok(None) };
    let (min, max) = (api.limits.drive_bytes_min, api.limits.drive_bytes_max);
    match bytes.checked_next_multiple_of(SIZE_GRANULE_BYTES) {
        Some(bytes) if (min..=max).contains(&bytes) => Ok(Some(bytes)),
        _ => Err(Fault::invalid("size", format!("a drive has {min} to {max} bytes"))),
    }
}

/// The medium of a drive.
pub fn media_in(object: &Object) -> Result<Option<String>, Fault> {
    word_in(object, "media", &["disk", "cdrom"])
}

/// The class of storage of a drive.
pub fn storage_type_in(object: &Object) -> Result<Option<String>, Fault> {
    word_in(object, "storage_type", &STORAGE_TYPES)
}

/// One of a few words, if it is there.
pub fn word_in(object: &Object, field: &str, words: &[&str]) -> Result<Option<String>, Fault> {
    match body::text(object, field)? {
        Some(word) if !words.contains(&word.as_str()) => Err(Fault::invalid(field, format!("it is one of {}", words.join(", ")))),
        word => Ok(word),
    }
}

impl Api {
    /// Takes over what a body says of a thing of that owner's.
    pub(super) fn describe(&self, owner: Uuid, attributes: &mut Attributes, object: &Object) -> Result<(), Fault> {
        if let Some(meta) = meta_in(object)? {
            attributes.set_meta(meta);
        }
        if let Some(tags) = self.tags_in(owner, object)? {
            attributes.set_tags(&tags);
        }
        Ok(())
    }

    /// Takes over what a body says of a drive of that owner's.
    pub(super) fn describe_drive(&self, owner: Uuid, attributes: &mut Attributes, object: &Object) -> Result<(), Fault> {
        self.describe(owner, attributes, object)?;
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

    /// The tags that a body names, if it does: the owner's own.
    pub(super) fn tags_in(&self, owner: Uuid, object: &Object) -> Result<Option<Vec<Uuid>>, Fault> {
        let tags = uuids_in(object, "tags")?;
        for tag in tags.iter().flatten() {
            self.tags.find(*tag).filter(|tag| tag.owner == owner).ok_or_else(|| Fault::no_object(tag))?;
        }
        Ok(tags)
    }
}
