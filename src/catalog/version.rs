//! What is known of one point of the history while the store is open?

use std::sync::OnceLock;

use crate::canary::{self, Canary};
use crate::format::page::Root;
use crate::format::record::{ObjectId, RECORD_VERSION, VersionRecord, VersionState};
use crate::units::{Epoch, Generation};

use super::histogram::Histogram;
use super::pin::PinPlace;

/// The version above everything: it has no table, no record and epoch 0.
pub const ROOT: ObjectId = ObjectId(0);

/// A head, a snapshot, or a deleted one that is still being freed or joins others.
pub struct Version {
    /// Head, snapshot or condemned.
    pub state: VersionState,
    /// What it descends from.
    pub parent: ObjectId,
    /// What descends from it.
    pub children: Vec<ObjectId>,
    /// The drive it is or was an image of.
    pub drive: ObjectId,
    /// When it was frozen; 0 for a head.
    pub epoch: Epoch,
    /// Length of the image in bytes.
    pub size_bytes: u64,
    /// Blocks that the table maps.
    pub referenced_blocks: u64,
    /// The extent table.
    pub table: Root,
    /// The birth histogram as the trees hold it.
    pub histogram_root: Root,
    /// A head's histogram, once somebody needed it.
    pub histogram: OnceLock<Box<Histogram>>,
    /// Births whose checksums are not settled.
    pub unsettled: Vec<(Epoch, Epoch)>,
    /// Entries behind the end are still to be removed.
    pub trimming: bool,
    /// Heads: blocks and pages born later than this are this head's alone, and younger than every bookmark.
    pub floor: Epoch,
    /// Snapshots of a living drive: does the drive's head descend from it?
    pub on_trunk: bool,
    /// The commit that deletes it; it is left alone until that is durable, for a crash before brings it back.
    pub condemned_in: Generation,
    /// What keeps the version's blocks from being freed.
    pub pin: PinPlace,
}

impl Version {
    /// A version without descendants and without a history of its own yet.
    pub fn new(state: VersionState, parent: ObjectId, drive: ObjectId, size_bytes: u64) -> Self {
        Self {
            state,
            parent,
            children: Vec::new(),
            drive,
            epoch: Epoch(0),
            size_bytes,
            referenced_blocks: 0,
            table: Root::EMPTY,
            histogram_root: Root::EMPTY,
            histogram: OnceLock::new(),
            unsettled: Vec::new(),
            trimming: false,
            floor: Epoch(0),
            on_trunk: false,
            condemned_in: Generation(0),
            pin: PinPlace::default(),
        }
    }

    /// A version with the same image, further down in the history.
    pub fn with_image_of(&self, state: VersionState, parent: ObjectId, drive: ObjectId) -> Self {
        Self {
            referenced_blocks: self.referenced_blocks,
            table: self.table,
            histogram_root: self.histogram_root,
            unsettled: self.unsettled.clone(),
            ..Self::new(state, parent, drive, self.size_bytes)
        }
    }

    /// The version in a record; its place among others is found later.
    pub fn from_record(record: VersionRecord) -> Self {
        Self {
            epoch: Epoch(record.epoch),
            referenced_blocks: record.referenced_blocks,
            table: record.table.into(),
            histogram_root: record.histogram.into(),
            unsettled: record.unsettled.into_iter().map(|(first, last)| (Epoch(first), Epoch(last))).collect(),
            trimming: record.trimming,
            ..Self::new(record.state, record.parent, record.drive, record.size_bytes)
        }
    }

    /// The record of this version.
    pub fn record(&self) -> VersionRecord {
        VersionRecord {
            version: RECORD_VERSION,
            state: self.state,
            parent: self.parent,
            drive: self.drive,
            epoch: self.epoch.0,
            size_bytes: self.size_bytes,
            referenced_blocks: self.referenced_blocks,
            table: self.table.into(),
            histogram: self.histogram_root.into(),
            unsettled: self.unsettled.iter().map(|(first, last)| (first.0, last.0)).collect(),
            trimming: self.trimming,
        }
    }

    /// Sets how long the image is; what a shorter one leaves behind its end is still to be removed.
    pub fn resize(&mut self, size_bytes: u64) {
        self.trimming |= size_bytes < self.size_bytes && !canary::makes(Canary::TrimForgotten);
        self.size_bytes = size_bytes;
    }

    /// Is it deleted?
    pub fn is_condemned(&self) -> bool {
        self.state == VersionState::Condemned
    }

    /// Is nothing of its trees left?
    pub fn is_empty(&self) -> bool {
        self.table.pointer.is_none() && self.histogram_root.pointer.is_none()
    }
}
