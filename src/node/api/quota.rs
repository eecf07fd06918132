//! How much may an account have?
//!
//! The node's limits hold for every account that has none of its own. A count is compared where the thing is made, by one call of an account
//! at a time: two calls never both get the last place.

use super::Api;
use super::fault::Fault;
use super::shelf::Item;
use crate::node::accounts::Account;
use crate::node::failure::Failure;
use crate::node::service::objects::present;
use crate::{DRIVE_BYTES_MAX, Drive, DriveInfo, Result, Snapshot};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

/// What a drive can be bought as.
pub const STORAGE_TYPES: [&str; 3] = ["dssd", "nvme", "zadara"];

/// As what remote snapshots are paid for.
pub const BACKUP: &str = "backup";

/// Sizes of drives are rounded up to this: what block devices of 512-byte sectors can have.
pub const SIZE_GRANULE_BYTES: u64 = 512;

/// What every account may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Snapshots of an account. Default: 700.
    pub snapshots: u64,
    /// Snapshots of one drive. Default: 90.
    pub snapshots_per_drive: u64,
    /// Remote snapshots of an account. Default: 600.
    pub remote_snapshots: u64,
    /// Bytes of the smallest drive. Default: 4096.
    pub drive_bytes_min: u64,
    /// Bytes of the largest drive. Default: the most that the engine and clients who count in signed numbers can have.
    pub drive_bytes_max: u64,
    /// Objects that one call makes or deletes. Default: 10,000.
    pub objects: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            snapshots: 700,
            snapshots_per_drive: 90,
            remote_snapshots: 600,
            drive_bytes_min: 4096,
            drive_bytes_max: DRIVE_BYTES_MAX - SIZE_GRANULE_BYTES,
            objects: 10_000,
        }
    }
}

/// The snapshots of a drive that are somebody's to see. What a job or a transfer took for itself alone is not among them, and does not count.
pub struct Shown {
    /// In order of creation.
    pub snapshots: Vec<Snapshot>,
    /// What they hold beyond the drive, each for itself.
    pub allocated_bytes: u64,
    /// What they hold beyond the drive, all together.
    pub charged_bytes: u64,
}

impl Api {
    /// The snapshots of a drive that are somebody's to see.
    pub(super) fn shown_snapshots(&self, drive: &Drive, info: &DriveInfo) -> Result<Shown> {
        let mut snapshots = drive.snapshots()?;
        let count = snapshots.len();
        snapshots.retain(|snapshot| self.snapshots.find(snapshot.uuid()).is_some());
        if snapshots.len() == count {
            let (allocated_bytes, charged_bytes) = (info.snapshots_allocated_bytes, info.snapshots_charged_bytes);
            return Ok(Shown { snapshots, allocated_bytes, charged_bytes });
        }
        let mut shown = Shown { snapshots, allocated_bytes: 0, charged_bytes: 0 };
        for snapshot in &shown.snapshots {
            if let Some(info) = present(snapshot.info())? {
                shown.allocated_bytes = shown.allocated_bytes.saturating_add(info.allocated_bytes);
                shown.charged_bytes = shown.charged_bytes.saturating_add(info.charged_bytes);
            }
        }
        Ok(shown)
    }

    /// Remote snapshots that an account may have.
    pub(super) fn remote_snapshots_max(&self, account: &Account) -> u64 {
        account.limits.remote_snapshots.unwrap_or(self.limits.remote_snapshots)
    }

    /// Refuses what would be too many remote snapshots. How large they will be nobody knows: whoever has used up what he may have gets no more.
    pub(super) fn allow_remote_snapshots(&self, account: &Account, count: usize) -> Result<(), Fault> {
        let max = self.remote_snapshots_max(account);
        if (self.remote_snapshots.count(account.uuid) + count) as u64 > max {
            return Err(Fault::forbidden(format!("An account may have {max} remote snapshots; delete some, or ask for more")));
        }
        let Some(max) = account.limits.bytes.get(BACKUP) else { return Ok(()) };
        let using = self.using(account.uuid)?.get(BACKUP).copied().unwrap_or_default();
        if using >= *max {
            let message =
                format!("The account uses {using} of {max} bytes of {BACKUP}; delete remote snapshots, or ask for more");
            return Err(Fault::forbidden(message));
        }
        Ok(())
    }

    /// Snapshots that an account may have.
    pub(super) fn snapshots_max(&self, account: &Account) -> u64 {
        account.limits.snapshots.unwrap_or(self.limits.snapshots)
    }

    /// Snapshots that an account may have of one drive.
    pub(super) fn snapshots_per_drive_max(&self, account: &Account) -> u64 {
        account.limits.snapshots_per_drive.unwrap_or(self.limits.snapshots_per_drive)
    }

    /// Refuses what would be too many snapshots. `drives` has each drive as often as it is to be frozen.
    pub(super) fn allow_snapshots(&self, account: &Account, drives: &[Uuid]) -> Result<(), Fault> {
        let max = self.snapshots_max(account);
        if (self.snapshots.count(account.uuid) + drives.len()) as u64 > max {
            return Err(Fault::forbidden(format!("An account may have {max} snapshots; delete some, or ask for more")));
        }
        let mut wanted: BTreeMap<Uuid, u64> = BTreeMap::new();
        for drive in drives {
            *wanted.entry(*drive).or_default() += 1;
        }
        let max = self.snapshots_per_drive_max(account);
        for (drive, count) in wanted {
            // What a job took for itself alone is not on the shelf, and does not count.
            let shown = |snapshot: &Snapshot| self.snapshots.find(snapshot.uuid()).is_some();
            let there = self.store.drive(drive)?.snapshots()?.into_iter().filter(shown).count() as u64;
            if there + count > max {
                return Err(Fault::forbidden(format!(
                    "Drive {drive} has {there} snapshots, and may have {max}; delete some, or ask for more"
                )));
            }
        }
        Ok(())
    }

    /// Refuses what would be too many bytes of a class of storage.
    pub(super) fn allow_bytes(&self, account: &Account, more: &BTreeMap<&str, u64>) -> Result<(), Fault> {
        let limited: Vec<_> =
            more.iter().filter_map(|(class, more)| Some((class, more, account.limits.bytes.get(*class)?))).collect();
        if limited.is_empty() {
            return Ok(());
        }
        let using = self.using(account.uuid)?;
        for (class, more, max) in limited {
            let using = using.get(*class).copied().unwrap_or_default();
            if using.saturating_add(*more) > *max {
                let message = format!("The account uses {using} of {max} bytes of {class}; {more} more are too many");
                return Err(Fault::forbidden(message));
            }
        }
        Ok(())
    }

    /// Bytes that an account uses, by class of storage: drives by their size, snapshots and remote snapshots by what they hold beyond their
    /// drive.
    pub(super) fn using(&self, owner: Uuid) -> Result<BTreeMap<String, u64>, Failure> {
        let mut using: BTreeMap<String, u64> = BTreeMap::new();
        // Sizes are only promised: some large drives are more than can be counted.
        let mut add = |class: &str, bytes: u64| {
            let sum = using.entry(class.to_owned()).or_default();
            *sum = sum.saturating_add(bytes);
        };
        for own in self.drives.of(owner) {
            let read = own.handle.info().and_then(|info| Ok((self.shown_snapshots(&own.handle, &info)?, info)));
            if let Some((shown, info)) = present(read)? {
                add(own.attributes.storage_type(), info.size_bytes.saturating_add(shown.allocated_bytes));
            }
        }
        for own in self.remote_snapshots.of(owner) {
            add(BACKUP, self.remotes.allocated_size(own.handle.uuid)?.unwrap_or_default());
        }
        // Those whose drive is there are in its sum.
        for own in self.snapshots.of(owner) {
            if Item::drive(&own.handle).is_none_or(|drive| self.drives.find(drive).is_none())
                && let Some(bytes) = present(own.handle.allocated_size())?
            {
                add(own.attributes.storage_type(), bytes);
            }
        }
        Ok(using)
    }

    /// What an account uses and pays for, as the API shows it.
    pub(super) fn usage(&self, account: &Account) -> Result<Map<String, Value>, Failure> {
        let using = self.using(account.uuid)?;
        let classes = STORAGE_TYPES.into_iter().chain([BACKUP]);
        Ok(classes
            .map(|class| {
                let using = using.get(class).copied().unwrap_or_default();
                let subscribed = account.limits.subscribed.get(class).copied().unwrap_or_default();
                let burst = using.saturating_sub(subscribed);
                (class.to_owned(), json!({"burst": burst, "subscribed": subscribed, "using": using}))
            })
            .collect())
    }
}
