//! What does a node write into the engine's opaque attributes?
//!
//! One JSON object per drive or snapshot, `{"timestamp": "...", "importing": true}`.
//!
//! 1. Fields that this version does not know are kept as they are, in their order.
//! 2. Empty attributes are an empty object: drives made by a program without a clock are welcome.
//! 3. Attributes that are no JSON object belong to somebody else: they are never changed.

use crate::node::timestamp::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

const TIMESTAMP: &str = "timestamp";
const IMPORTING: &str = "importing";
const UPLOADING: &str = "uploading";
const ALLOW_MULTIMOUNT: &str = "allow_multimount";
const OWNER: &str = "owner";
const META: &str = "meta";
const TAGS: &str = "tags";
const MEDIA: &str = "media";
const AFFINITIES: &str = "affinities";
const STORAGE_TYPE: &str = "storage_type";
const PINS: &str = "pins";
const FILLING: &str = "filling";

/// The attributes of one drive or snapshot.
///
/// ```
/// use floe::node::attributes::Attributes;
///
/// let mut attributes = Attributes::read(br#"{"colour": "blue"}"#);
/// attributes.set_importing(true);
/// assert_eq!(attributes.to_bytes(), br#"{"colour":"blue","importing":true}"#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes(Content);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Object(Map<String, Value>),
    Foreign(Vec<u8>),
}

impl Attributes {
    /// The attributes of something made at `instant`.
    #[must_use]
    pub fn made_at(instant: Timestamp) -> Self {
        let mut object = Map::new();
        object.insert(TIMESTAMP.into(), instant.to_string().into());
        Self(Content::Object(object))
    }

    /// Whatever the engine kept; any bytes can be read.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self(Content::Object(Map::new()));
        }
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(object)) => Self(Content::Object(object)),
            _ => Self(Content::Foreign(bytes.to_vec())),
        }
    }

    /// When it was made, if its maker had a clock.
    #[must_use]
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.field(TIMESTAMP)?.as_str()?.parse().ok()
    }

    /// Whether an import into the drive began and has not finished.
    #[must_use]
    pub fn importing(&self) -> bool {
        self.field(IMPORTING).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Notes that an import began, or that it finished.
    pub fn set_importing(&mut self, importing: bool) {
        self.mark(IMPORTING, importing);
    }

    /// Whether the drive is made by an upload that has not finished. Nobody can go on with it: if the node ends, the drive goes.
    #[must_use]
    pub fn uploading(&self) -> bool {
        self.field(UPLOADING).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Notes that an upload makes the drive, or that it finished.
    pub fn set_uploading(&mut self, uploading: bool) {
        self.mark(UPLOADING, uploading);
    }

    /// Whether the drive has only a part of the image that it is to have.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.importing() || self.uploading() || self.filling().is_some()
    }

    /// Whether several clients may write the drive at the same time.
    #[must_use]
    pub fn allows_multimount(&self) -> bool {
        self.field(ALLOW_MULTIMOUNT).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Allows, or forbids, several clients to write the drive at the same time.
    pub fn set_allow_multimount(&mut self, allow: bool) {
        self.mark(ALLOW_MULTIMOUNT, allow);
    }

    /// Whose it is, if a node made it.
    #[must_use]
    pub fn owner(&self) -> Option<Uuid> {
        self.field(OWNER)?.as_str()?.parse().ok()
    }

    /// Says whose it is.
    pub fn set_owner(&mut self, owner: Uuid) {
        self.set(OWNER, owner.to_string().into());
    }

    /// What its owner wrote about it: texts under keys.
    #[must_use]
    pub fn meta(&self) -> Map<String, Value> {
        self.field(META).and_then(Value::as_object).cloned().unwrap_or_default()
    }

    /// Replaces what its owner wrote about it.
    pub fn set_meta(&mut self, meta: Map<String, Value>) {
        self.set(META, meta.into());
    }

    /// The uuids of its tags.
    #[must_use]
    pub fn tags(&self) -> Vec<Uuid> {
        let tags = self.field(TAGS).and_then(Value::as_array).into_iter().flatten();
        tags.filter_map(|tag| tag.as_str()?.parse().ok()).collect()
    }

    /// Replaces its tags.
    pub fn set_tags(&mut self, tags: &[Uuid]) {
        self.set(TAGS, tags.iter().map(|tag| Value::from(tag.to_string())).collect());
    }

    /// What kind of medium a drive is: `disk` or `cdrom`.
    #[must_use]
    pub fn media(&self) -> &str {
        self.field(MEDIA).and_then(Value::as_str).unwrap_or("disk")
    }

    /// Says what kind of medium a drive is.
    pub fn set_media(&mut self, media: &str) {
        self.set(MEDIA, media.into());
    }

    /// What a drive wants to be near to.
    #[must_use]
    pub fn affinities(&self) -> Vec<Value> {
        self.field(AFFINITIES).and_then(Value::as_array).cloned().unwrap_or_default()
    }

    /// Says what a drive wants to be near to.
    pub fn set_affinities(&mut self, affinities: Vec<Value>) {
        self.set(AFFINITIES, affinities.into());
    }

    /// The class of storage that a drive was bought in.
    #[must_use]
    pub fn storage_type(&self) -> &str {
        self.field(STORAGE_TYPE).and_then(Value::as_str).unwrap_or("dssd")
    }

    /// Says which class of storage a drive was bought in.
    pub fn set_storage_type(&mut self, storage_type: &str) {
        self.set(STORAGE_TYPE, storage_type.into());
    }

    /// The remote snapshot whose moment a snapshot holds until it has arrived; such a snapshot is nobody's to see.
    #[must_use]
    pub fn pins(&self) -> Option<Uuid> {
        self.field(PINS)?.as_str()?.parse().ok()
    }

    /// Says which remote snapshot's moment it holds.
    pub fn set_pins(&mut self, remote: Uuid) {
        self.set(PINS, remote.to_string().into());
    }

    /// The remote snapshot that a drive is being filled from: what it has not got yet is zeroes in the store, and not in its image.
    #[must_use]
    pub fn filling(&self) -> Option<Uuid> {
        self.field(FILLING)?.as_str()?.parse().ok()
    }

    /// Notes that a drive is being filled from a remote snapshot, or that it has got all.
    pub fn set_filling(&mut self, remote: Option<Uuid>) {
        match remote {
            Some(remote) => self.set(FILLING, remote.to_string().into()),
            None => self.mark(FILLING, false),
        }
    }

    /// What the engine shall keep.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.0 {
            Content::Object(object) => serde_json::to_vec(object).expect("a map of JSON values is JSON"),
            Content::Foreign(bytes) => bytes.clone(),
        }
    }

    /// The same as text; nothing if the attributes belong to somebody else.
    #[must_use]
    pub fn to_text(&self) -> Option<String> {
        match &self.0 {
            Content::Object(object) => Some(serde_json::to_string(object).expect("a map of JSON values is JSON")),
            Content::Foreign(_) => None,
        }
    }

    /// A mark is there, or it is not.
    fn mark(&mut self, name: &str, marked: bool) {
        match &mut self.0 {
            Content::Object(object) if !marked => {
                object.shift_remove(name);
            }
            _ => self.set(name, true.into()),
        }
    }

    fn set(&mut self, name: &str, value: Value) {
        if let Content::Object(object) = &mut self.0 {
            object.insert(name.into(), value);
        }
    }

    fn field(&self, name: &str) -> Option<&Value> {
        match &self.0 {
            Content::Object(object) => object.get(name),
            Content::Foreign(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Attributes;
    use crate::node::timestamp::Timestamp;

    #[test]
    fn nothing_and_foreign_bytes_have_no_timestamp_and_stay_as_they_are() {
        for bytes in [&b"\xff\x00"[..], b"[1,2]", b"{broken"] {
            let mut attributes = Attributes::read(bytes);
            attributes.set_importing(true);
            assert_eq!(attributes.timestamp(), None);
            assert_eq!(attributes.to_bytes(), bytes);
        }
        assert_eq!(Attributes::read(b"").timestamp(), None);
    }

    #[test]
    fn unknown_fields_survive_a_change() {
        let mut attributes = Attributes::read(br#"{"z":1,"importing":true,"a":{"b":[null]}}"#);
        assert!(attributes.importing());
        attributes.set_importing(false);
        assert_eq!(attributes.to_bytes(), br#"{"z":1,"a":{"b":[null]}}"#);
    }

    #[test]
    fn the_instant_reads_back() {
        let now = Timestamp::now();
        assert_eq!(Attributes::read(&Attributes::made_at(now).to_bytes()).timestamp(), Some(now));
    }
}
