//! What does a location know of a remote snapshot?
//!
//! A manifest, written last: all that is needed to make a drive of it where nobody ever heard of it. A change of its name, meta or tags is
//! another manifest with a higher revision; the highest one counts.

use super::chunk::Codec;
use super::map::{self, Root};
use crate::node::failure::{Failure, FailureKind};
use crate::node::timestamp::Timestamp;
use blake3::Hash;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// Where manifests are.
pub const DIRECTORY: &str = "snapshots";
const VERSION: u32 = 1;

/// Whose a remote snapshot is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The account.
    pub uuid: Uuid,
    /// Its address, by which another node finds it.
    pub email: String,
}

/// A tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// Its identity.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
}

/// What people say about a remote snapshot, and may change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// What its owner wrote about it.
    pub meta: Map<String, Value>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// What was put for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    /// Chunks that the location did not have.
    pub chunks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their bytes as they are stored.
    pub stored_bytes: u64,
}

/// A remote snapshot, as its location has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this format.
    version: u32,
    /// Its identity.
    pub uuid: Uuid,
    /// How often it was changed.
    pub revision: u32,
    /// Whose it is; nobody's if no node made it.
    pub owner: Option<Owner>,
    /// What people say about it.
    #[serde(flatten)]
    pub description: Description,
    /// The drive it is of.
    pub drive: Uuid,
    /// The drive's definition at that moment.
    pub drive_meta: Value,
    /// Its moment.
    pub timestamp: Timestamp,
    /// The image's size.
    pub size_bytes: u64,
    /// How much of it is not zeroes, in whole blocks.
    pub referenced_bytes: u64,
    /// The image's fingerprint.
    fingerprint: String,
    /// Its map; nothing if it is nothing but zeroes.
    pub map: Option<Root>,
    /// What was put for it.
    pub added: Added,
    /// The schedule that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// An image, as a location has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its size.
    pub size_bytes: u64,
    /// How much of it is not zeroes, in whole blocks.
    pub referenced_bytes: u64,
    /// Its map.
    pub map: Option<Root>,
}

impl Manifest {
    /// A new one.
    #[must_use]
    pub fn new(uuid: Uuid, timestamp: Timestamp, drive: Uuid, drive_meta: Value, image: &Image) -> Self {
        Self {
            version: VERSION,
            uuid,
            revision: 0,
            owner: None,
            description: Description::default(),
            drive,
            drive_meta,
            timestamp,
            size_bytes: image.size_bytes,
            referenced_bytes: image.referenced_bytes,
            fingerprint: map::fingerprint(image.size_bytes, image.map.as_ref()).to_string(),
            map: image.map,
            added: Added::default(),
            policy: None,
        }
    }

    /// The image's fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> Hash {
        map::fingerprint(self.size_bytes, self.map.as_ref())
    }

    /// The image.
    #[must_use]
    pub fn image(&self) -> Image {
        Image { size_bytes: self.size_bytes, referenced_bytes: self.referenced_bytes, map: self.map }
    }

    /// A name that no other manifest has.
    #[must_use]
    pub fn new_name(&self) -> String {
        format!("{DIRECTORY}/{}/{:010}-{}", self.uuid, self.revision, Uuid::new_v4())
    }

    /// The manifest as an object of that name.
    ///
    /// # Panics
    /// Never: it is plain data.
    #[must_use]
    pub fn to_object(&self, codec: &Codec, name: &str) -> Vec<u8> {
        let json = serde_json::to_vec_pretty(self).expect("a manifest is plain data");
        codec.seal(name.as_bytes(), json)
    }

    /// The manifest in an object of that name.
    ///
    /// # Errors
    /// `Corrupt`, `UnsupportedFormat`
    pub fn read(codec: &Codec, name: &str, object: &[u8]) -> Result<Self, Failure> {
        let damaged = |why: &str| Failure::new(FailureKind::Corrupt, format!("{name} is damaged: {why}"));
        let json = codec.open(name.as_bytes(), object).ok_or_else(|| damaged("it cannot be decrypted"))?;
        let manifest: Self = serde_json::from_slice(&json).map_err(|error| damaged(&error.to_string()))?;
        if manifest.version != VERSION {
            let message = format!("{name} is of version {}, and this floe knows {VERSION}", manifest.version);
            return Err(Failure::new(FailureKind::UnsupportedFormat, message));
        }
        if manifest.fingerprint().to_string() != manifest.fingerprint {
            return Err(damaged("its fingerprint is not that of its map"));
        }
        if parse_name(name) != Some((manifest.uuid, manifest.revision)) {
            return Err(damaged("it is another one's"));
        }
        Ok(manifest)
    }
}

/// The remote snapshot and the revision that a manifest's name is about.
#[must_use]
pub fn parse_name(name: &str) -> Option<(Uuid, u32)> {
    let (uuid, rest) = name.strip_prefix(DIRECTORY)?.strip_prefix('/')?.split_once('/')?;
    let (revision, _) = rest.split_once('-')?;
    Some((uuid.parse().ok()?, revision.parse().ok()?))
}
