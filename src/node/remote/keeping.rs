//! What do schedules want to be done now?
//!
//! Each drive of a schedule gets a remote snapshot when it is time, and what the schedule does not keep is deleted; only what it made itself.

use super::known::{Known, State};
use super::remotes::{Remotes, Wanted};
use super::repository::manifest::Description;
use super::schedule::{Made, Policy, Verdict};
use crate::Drive;
use crate::node::attributes::Attributes;
use crate::node::failure::{Failure, FailureKind};
use crate::node::service::objects::present;
use crate::node::service::remotes::drive_meta;
use crate::node::timestamp::Timestamp;
use std::collections::BTreeSet;
use uuid::Uuid;

/// What a schedule means for a drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// The drive, which may be gone.
    pub drive: Uuid,
    /// Its name, if it lives.
    pub name: Option<String>,
    /// Whether it is time for the next one.
    pub due: bool,
    /// What is to become of those that there are, newest first.
    pub verdicts: Vec<Verdict>,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Begun.
    pub begun: Vec<Uuid>,
    /// Deleted.
    pub deleted: Vec<Uuid>,
    /// What could not be done.
    pub failures: Vec<String>,
}

impl Remotes {
    /// What a schedule means now, for each drive that it is about or that it has remote snapshots of.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn outlook(&self, name: &str, policy: &Policy) -> Result<Vec<Outlook>, Failure> {
        let now = Timestamp::now();
        let mut outlooks = Vec::new();
        let mut drives: BTreeSet<Uuid> = BTreeSet::new();
        for drive in self.store().drives() {
            let Some((drive_name, attributes)) = present(drive.name().and_then(|name| Ok((name, drive.attributes()?))))? else {
                continue;
            };
            let is_meant = policy.drives.is_empty()
                || policy.drives.iter().any(|word| *word == drive_name || *word == drive.uuid().to_string());
            if is_meant && !Attributes::read(&attributes).is_unfinished() {
                drives.insert(drive.uuid());
            }
        }
        let made_by = |known: &Known| known.policy.as_deref() == Some(name);
        let all = self.some(made_by);
        let others: BTreeSet<Uuid> = all.iter().map(|(_, known)| known.drive).filter(|drive| !drives.contains(drive)).collect();
        for drive in drives.iter().chain(&others) {
            let of_drive: Vec<Made> = all
                .iter()
                .filter(|(_, known)| known.drive == *drive)
                .map(|(uuid, known)| Made { uuid: *uuid, timestamp: known.timestamp, available: known.state == State::Available })
                .collect();
            let newest = of_drive.iter().map(|made| made.timestamp).max();
            let due = drives.contains(drive) && policy.is_due(newest, now);
            let name = present(self.store().drive(*drive).and_then(|drive| drive.name()))?;
            outlooks.push(Outlook { drive: *drive, name, due, verdicts: policy.judge(&of_drive) });
        }
        Ok(outlooks)
    }

    /// Does what a schedule wants now. `wanted` says what is said of a drive's remote snapshot, and whose it is.
    ///
    /// # Errors
    /// Those of the engine; what fails for one drive is told, and others are done.
    pub fn keep(&self, name: &str, policy: &Policy, wanted: &dyn Fn(&Drive) -> Result<Wanted, Failure>) -> Result<Kept, Failure> {
        let mut kept = Kept::default();
        for outlook in self.outlook(name, policy)? {
            if outlook.due {
                let begun = self.store().drive(outlook.drive).map_err(Failure::from).and_then(|drive| {
                    let wanted = Wanted { location: policy.location.clone(), policy: Some(name.to_owned()), ..wanted(&drive)? };
                    let uuid = wanted.uuid;
                    self.begin(&drive, wanted).map(|_| uuid)
                });
                match begun {
                    Ok(uuid) => kept.begun.push(uuid),
                    // Somebody else made one lately: the next look finds it is time still.
                    Err(failure) if failure.kind() == FailureKind::NotNow => {}
                    Err(failure) => kept.failures.push(failure.to_string()),
                }
            }
            for verdict in outlook.verdicts.iter().filter(|verdict| verdict.reasons.is_empty()) {
                match self.delete(verdict.uuid) {
                    Ok(()) => kept.deleted.push(verdict.uuid),
                    Err(failure) => kept.failures.push(failure.to_string()),
                }
            }
        }
        Ok(kept)
    }
}

/// What a schedule says of a drive without a node.
///
/// # Errors
/// Those of the engine.
pub fn nobodys(drive: &Drive) -> Result<Wanted, Failure> {
    let description = Description::default();
    let (uuid, drive_meta) = (Uuid::new_v4(), drive_meta(drive)?);
    Ok(Wanted { uuid, location: None, owner: None, description, drive_meta, policy: None })
}
