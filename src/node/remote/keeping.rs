//! What do schedules want to be done now?
//!
//! Each drive of a schedule gets a remote snapshot when it is time, and what the schedule does not keep is deleted; only what it made itself.

use super::collect::{Options, collect};
use super::known::{Known, State};
use super::location::Location;
use super::remotes::{Remotes, Wanted};
use super::repository::manifest::{Description, Owner};
use super::schedule::{Made, Policy, Verdict};
use crate::Drive;
use crate::node::attributes::Attributes;
use crate::node::failure::{Failure, FailureKind};
use crate::node::service::objects::present;
use crate::node::service::remotes::drive_meta;
use crate::node::timestamp::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
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

/// Whoever knows whose drives are, and wants to know what schedules did.
pub trait Keeper: Send + Sync {
    /// What is said of a drive's next remote snapshot.
    ///
    /// # Errors
    /// What speaks against it.
    fn wanted(&self, drive: &Drive) -> Result<Wanted, Failure>;

    /// Whose what another node made is here.
    fn account(&self, owner: &Owner) -> Option<Uuid>;

    /// Remote snapshots came, or went.
    fn changed(&self);
}

/// How often schedules are looked at.
const TICK: Duration = Duration::from_secs(5);
/// How often garbage is collected: half of the grace period.
const COLLECT: Duration = Duration::from_secs(12 * 60 * 60);
/// How often locations are asked what others put there.
const LOOK_AROUND: Duration = Duration::from_secs(60 * 60);

/// A thread that does what schedules want, and takes notice of what locations have.
pub struct Schedules {
    remotes: Arc<Remotes>,
    thread: Option<JoinHandle<()>>,
}

impl Schedules {
    /// Starts it.
    ///
    /// # Errors
    /// `Io` if no thread can be started.
    pub fn start(remotes: &Arc<Remotes>, policies: BTreeMap<String, Policy>, keeper: Arc<dyn Keeper>) -> Result<Self, Failure> {
        let mine = Arc::clone(remotes);
        let thread = thread::Builder::new().name("schedules".into());
        let thread = thread.spawn(move || run(&mine, &policies, &*keeper));
        let thread = thread.map_err(|error| Failure::io("starting a thread", error))?;
        Ok(Self { remotes: Arc::clone(remotes), thread: Some(thread) })
    }
}

impl Drop for Schedules {
    fn drop(&mut self) {
        self.remotes.stop();
        let Some(thread) = self.thread.take() else { return };
        thread.thread().unpark();
        if thread.join().is_err() {
            tracing::error!("the thread that does what schedules want ended");
        }
    }
}

fn run(remotes: &Remotes, policies: &BTreeMap<String, Policy>, keeper: &dyn Keeper) {
    let mut looked: Option<Instant> = None;
    let mut collected = Instant::now();
    while !remotes.is_stopped() {
        if looked.is_none_or(|looked| looked.elapsed() > LOOK_AROUND) {
            look_around(remotes, keeper);
            looked = Some(Instant::now());
        }
        for (name, policy) in policies {
            match remotes.keep(name, policy, &|drive| keeper.wanted(drive)) {
                Ok(kept) => {
                    kept.failures.iter().for_each(|failure| tracing::warn!(schedule = name, failure, "not done"));
                    if !kept.begun.is_empty() || !kept.deleted.is_empty() {
                        tracing::info!(schedule = name, made = kept.begun.len(), deleted = kept.deleted.len(), "kept");
                        keeper.changed();
                    }
                }
                Err(failure) => tracing::warn!(schedule = name, %failure, "not done"),
            }
        }
        if collected.elapsed() > COLLECT {
            collect_garbage(remotes);
            collected = Instant::now();
        }
        thread::park_timeout(TICK);
    }
}

/// Gives back what nobody needs at those locations that have a repository.
fn collect_garbage(remotes: &Remotes) {
    let options = Options { holder: format!("store {}", remotes.store().info().uuid), ..Options::default() };
    for code in remotes.locations().codes() {
        if remotes.is_stopped() || !remotes.locations().find(code).is_ok_and(Location::may_be_there) {
            continue;
        }
        match remotes.repository(code).and_then(|repository| collect(&repository, &options, false, &mut |_| ())) {
            Ok(collected) => tracing::info!(
                location = code,
                freed = collected.freed_bytes,
                doomed = collected.doomed_bytes,
                packed_again = collected.repacked_bytes,
                "garbage collected"
            ),
            // Somebody else collects, or there is no repository yet.
            Err(failure) if matches!(failure.kind(), FailureKind::Locked | FailureKind::NotFound) => {
                tracing::debug!(location = code, %failure, "garbage is not collected");
            }
            Err(failure) => tracing::warn!(location = code, %failure, "garbage is not collected"),
        }
    }
}

/// Takes notice of what is at those locations that have a repository.
fn look_around(remotes: &Remotes, keeper: &dyn Keeper) {
    let codes: Vec<&str> = remotes.locations().codes().collect();
    for code in codes {
        if remotes.is_stopped() || !remotes.locations().find(code).is_ok_and(Location::may_be_there) {
            continue;
        }
        match remotes.import(code, &|owner| keeper.account(owner)) {
            Ok(imported) => {
                imported.damaged.iter().for_each(|damage| tracing::error!(location = code, damage, "a manifest is damaged"));
                if !imported.found.is_empty() || !imported.lost.is_empty() {
                    keeper.changed();
                }
            }
            Err(failure) if failure.kind() == FailureKind::NotFound => {}
            Err(failure) => tracing::warn!(location = code, %failure, "it cannot be looked at"),
        }
    }
}
