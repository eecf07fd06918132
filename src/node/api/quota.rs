//! How much may an account have?
//!
//! The node's limits hold for every account that has none of its own. A count is compared where the thing is made, by one call of an account
//! at a time: two calls never both get the last place.

use super::Api;
use super::fault::Fault;
use super::shelf::Item;
use crate::node::accounts::Account;
use crate::node::service::objects::present;
use crate::{DRIVE_BYTES_MAX, Result, Snapshot};
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

impl Api {
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

    /// Bytes that an account uses, by class of storage: drives by their size, snapshots by what they hold beyond their drive.
    pub(super) fn using(&self, owner: Uuid) -> Result<BTreeMap<String, u64>> {
        let mut using: BTreeMap<String, u64> = BTreeMap::new();
        // Sizes are only promised: some large drives are more than can be counted.
        let mut add = |class: &str, bytes: u64| {
            let sum = using.entry(class.to_owned()).or_default();
            *sum = sum.saturating_add(bytes);
        };
        for own in self.drives.of(owner) {
            if let Some(info) = present(own.handle.info())? {
                add(own.attributes.storage_type(), info.size_bytes.saturating_add(info.snapshots_allocated_bytes));
            }
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
    pub(super) fn usage(&self, account: &Account) -> Result<Map<String, Value>> {
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
