//! What does a node remember of a remote snapshot?
//!
//! A note of the store for each: where it is, whose, and where it stands. What the location has is the truth about its content; the note is
//! the truth about what is still to be done here.

use super::repository::manifest::{Description, Manifest, Owner, Tag};
use crate::node::attributes::Attributes;
use crate::node::records::{Record, word};
use crate::node::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// Where a remote snapshot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its moment is being pinned.
    Creating,
    /// Its image is on the way to the location.
    Transferring,
    /// The location has it.
    Available,
    /// It will never be there: what it was to hold cannot be read.
    Unavailable,
    /// The location is to forget it.
    Deleting,
    /// It is gone; remembered because the next one of the drive has to wait.
    Deleted,
}

impl State {
    /// Its name.
    #[must_use]
    pub fn name(self) -> String {
        word(self)
    }

    /// Is it on its way to the location?
    #[must_use]
    pub fn is_under_way(self) -> bool {
        matches!(self, Self::Creating | Self::Transferring)
    }

    /// Does nobody see it any more?
    #[must_use]
    pub fn is_gone(self) -> bool {
        matches!(self, Self::Deleting | Self::Deleted)
    }
}

/// A remote snapshot, as a node remembers it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// The code of its location.
    pub location: String,
    /// The drive it is of, which may be gone.
    pub drive: Uuid,
    /// The drive's definition at its moment.
    pub drive_meta: Value,
    /// Whose it is.
    pub owner: Option<Owner>,
    /// What people say about it.
    #[serde(flatten)]
    pub description: Description,
    /// Its moment.
    pub timestamp: Timestamp,
    /// Where it stands.
    pub state: State,
    /// Since when.
    pub changed: Timestamp,
    /// The drive's size at its moment.
    pub size_bytes: u64,
    /// How much of it is not zeroes; known once it is there.
    pub referenced_bytes: Option<u64>,
    /// How often its description was changed.
    #[serde(default)]
    pub revision: u32,
    /// The snapshot that holds its moment until it is there.
    pub pin: Option<Uuid>,
    /// Why it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The schedule that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

impl Record for Known {
    const KIND: &'static str = "remote_snapshot";
}

impl Known {
    /// What a location says of one.
    #[must_use]
    pub fn of(location: &str, manifest: &Manifest) -> Self {
        Self {
            location: location.to_owned(),
            drive: manifest.drive,
            drive_meta: manifest.drive_meta.clone(),
            owner: manifest.owner.clone(),
            description: manifest.description.clone(),
            timestamp: manifest.timestamp,
            state: State::Available,
            changed: manifest.timestamp,
            size_bytes: manifest.size_bytes,
            referenced_bytes: Some(manifest.referenced_bytes),
            revision: manifest.revision,
            pin: None,
            error: None,
            policy: manifest.policy.clone(),
        }
    }

    /// The same in another state.
    #[must_use]
    pub fn in_state(mut self, state: State) -> Self {
        self.state = state;
        self.changed = Timestamp::now();
        self
    }

    /// What a drive's or snapshot's attributes would say.
    #[must_use]
    pub fn attributes(&self) -> Attributes {
        let mut attributes = Attributes::made_at(self.timestamp);
        if let Some(owner) = &self.owner {
            attributes.set_owner(owner.uuid);
        }
        attributes.set_meta(self.description.meta.clone());
        attributes.set_tags(&self.description.tags.iter().map(|tag: &Tag| tag.uuid).collect::<Vec<_>>());
        attributes
    }
}
