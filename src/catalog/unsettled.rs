//! Which checksums are no evidence?
//!
//! A block that is overwritten where it lies has its new checksum on the device only after the next commit. If the store is not
//! closed, nobody knows afterwards which of a head's own blocks that happened to, so all births that the head could
//! overwrite are noted as unsettled. Whatever was frozen before the cut was born earlier and stays evidence.

use crate::canary::{self, Canary};
use crate::format::record::{ObjectId, RecordKind, UNSETTLED_MAX};
use crate::units::Epoch;

use super::{Catalog, Version};

impl Catalog {
    /// After an unclean shutdown: whatever a head could overwrite in place may have a checksum that is not its own. Returns the heads
    /// with more marks of that kind than a record holds: their oldest must be settled before the next commit.
    pub fn unsettle_heads(&mut self) -> Vec<ObjectId> {
        if canary::makes(Canary::UnsettledForgotten) {
            return Vec::new();
        }
        let epoch = self.epoch;
        let mut heads: Vec<ObjectId> = self.drives.values().map(|drive| drive.head).collect();
        heads.retain(|head| {
            let version = self.versions.at_mut(*head);
            let crowded = version.unsettle(version.floor.next(), epoch);
            self.touch(RecordKind::Version, *head);
            crowded
        });
        heads
    }

    /// The oldest births of a version whose checksums are no evidence.
    pub fn oldest_unsettled(&self, id: ObjectId) -> Option<(Epoch, Epoch)> {
        self.versions.find(id)?.unsettled.first().copied()
    }

    /// Is there a version with blocks whose checksums are no evidence?
    pub fn is_unsettled(&self) -> bool {
        self.versions.ids().into_iter().any(|id| self.versions.find(id).is_some_and(|version| !version.unsettled.is_empty()))
    }

    /// The checksums of these births of a version are evidence again.
    pub fn settle(&mut self, id: ObjectId, births: (Epoch, Epoch)) {
        self.versions.at_mut(id).unsettled.retain(|other| *other != births);
        self.touch(RecordKind::Version, id);
    }

    /// All checksums are evidence again.
    pub fn settle_all(&mut self) {
        for id in self.versions.ids() {
            let version = self.versions.at_mut(id);
            if !version.unsettled.is_empty() {
                version.unsettled.clear();
                self.touch(RecordKind::Version, id);
            }
        }
    }
}

impl Version {
    /// Is the stored checksum of a block of that birth evidence?
    pub fn is_settled(&self, birth: Epoch) -> bool {
        !self.unsettled.iter().any(|(first, last)| (*first..=*last).contains(&birth))
    }

    /// The checksums of births `first..=last` are no evidence from now on. True if there are more marks than a record holds.
    pub fn unsettle(&mut self, first: Epoch, last: Epoch) -> bool {
        self.unsettled.push((first, last));
        self.unsettled.sort_unstable();
        let mut merged: Vec<(Epoch, Epoch)> = Vec::new();
        for (first, last) in self.unsettled.drain(..) {
            match merged.last_mut() {
                Some(before) if first <= before.1.next() => before.1 = before.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        self.unsettled = merged;
        self.unsettled.len() > UNSETTLED_MAX
    }
}
