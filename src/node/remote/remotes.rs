//! Which remote snapshots are there, and what may be done with them?
//!
//! 1. At most one remote snapshot of a drive is under way, and none begins before an interval has passed since the one before.
//! 2. While one is under way it is neither edited, deleted nor cloned.
//! 3. What was acknowledged is written down first: a node that ends goes on where it was.

use super::filling::{Filling, Told};
use super::known::{Known, State};
use super::leftovers::pin_name;
use super::location::Locations;
use super::repository::Repository;
use super::repository::manifest::{Description, Manifest, Owner};
use super::repository::map;
use crate::node::attributes::Attributes;
use crate::node::failure::{Failure, FailureKind};
use crate::node::records::{Records, written};
use crate::node::service::objects::present;
use crate::node::timestamp::Timestamp;
use crate::{BLOCK_BYTES, Drive, SnapshotOptions, Store};
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use uuid::Uuid;

/// How long after a remote snapshot of a drive the next one may be made, unless the configuration says something else.
pub const INTERVAL: Duration = Duration::from_secs(30 * 60);

/// A remote snapshot that is to be made.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its identity.
    pub uuid: Uuid,
    /// The code of its location; the usual one if nobody says which.
    pub location: Option<String>,
    /// Whose it is.
    pub owner: Option<Owner>,
    /// What people say about it; without a name it gets the usual one.
    pub description: Description,
    /// The drive's definition.
    pub drive_meta: Value,
    /// The schedule that wants it.
    pub policy: Option<String>,
}

/// What came of looking for what a location has.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// What this node did not know.
    pub found: Vec<Uuid>,
    /// What the location does not have any more.
    pub lost: Vec<Uuid>,
    /// What cannot be read there.
    pub damaged: Vec<String>,
}

/// What is done of what is under way.
pub use super::upload::Progress;

/// The size of one whose drive is gone, and beside which younger one that was counted.
type Counted = (Option<Uuid>, u64);

/// The remote snapshots of a node, or of a store that is open.
pub struct Remotes {
    pub(super) store: Store,
    pub(super) records: Records<Known>,
    locations: Locations,
    interval: Duration,
    repositories: Mutex<HashMap<String, Arc<Repository>>>,
    stop: Arc<AtomicBool>,
    /// Of those whose drive is gone.
    sizes: Mutex<HashMap<Uuid, Counted>>,
    pub(super) progress: Mutex<HashMap<Uuid, Progress>>,
    beginning: Mutex<()>,
    pub(super) fillings: Mutex<HashMap<Uuid, Arc<Filling>>>,
    pub(super) told: Mutex<Option<Told>>,
}

impl Remotes {
    /// Those that a store's notes tell of. What was being pinned when the node ended, and was not, is forgotten.
    ///
    /// # Errors
    /// `Io`, `Corrupt`
    pub fn of(store: &Store, locations: Locations, interval: Duration) -> Result<Self, Failure> {
        let remotes = Self {
            store: store.clone(),
            records: Records::of(store)?,
            locations,
            interval,
            repositories: Mutex::default(),
            stop: Arc::default(),
            sizes: Mutex::default(),
            progress: Mutex::default(),
            beginning: Mutex::default(),
            fillings: Mutex::default(),
            told: Mutex::default(),
        };
        for (uuid, known) in remotes.records.some(|known| known.state == State::Creating) {
            match known.pin.map(|pin| present(store.snapshot(pin))).transpose()?.flatten() {
                Some(_) => remotes.records.set(uuid, known.in_state(State::Transferring))?,
                None => drop(remotes.records.delete(uuid)?),
            }
        }
        remotes.remove_leftovers()?;
        remotes.go_on_filling()?;
        Ok(remotes)
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The locations.
    #[must_use]
    pub fn locations(&self) -> &Locations {
        &self.locations
    }

    /// Gives up whatever waits for a location.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Is it to stop?
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The repository of a location.
    ///
    /// # Errors
    /// `NotFound` for a code or a repository that is not there, `Denied`, `Io`.
    pub fn repository(&self, code: &str) -> Result<Arc<Repository>, Failure> {
        if let Some(repository) = self.repositories.lock().get(code) {
            return Ok(Arc::clone(repository));
        }
        let location = self.locations.find(code)?;
        let bucket = location.bucket(code)?.stopped_by(Arc::clone(&self.stop)).used_by(self.store.info().uuid);
        let repository = Arc::new(location.repository(bucket)?);
        Ok(Arc::clone(self.repositories.lock().entry(code.to_owned()).or_insert(repository)))
    }

    /// The one of that uuid.
    #[must_use]
    pub fn find(&self, uuid: Uuid) -> Option<Known> {
        self.records.find(uuid).filter(|known| !known.state.is_gone())
    }

    /// Those that are wanted, in the order in which this node came to know them.
    #[must_use]
    pub fn some(&self, wanted: impl Fn(&Known) -> bool) -> Vec<(Uuid, Known)> {
        self.records.some(|known| !known.state.is_gone() && wanted(known))
    }

    /// What is done of one that is under way.
    #[must_use]
    pub fn progress(&self, uuid: Uuid) -> Option<Progress> {
        self.progress.lock().get(&uuid).copied()
    }

    /// May a remote snapshot of that drive be made now?
    ///
    /// # Errors
    /// `NotNow` with the rule that forbids it.
    pub fn allow(&self, drive: Uuid) -> Result<(), Failure> {
        let of_drive = self.records.some(|known| known.drive == drive);
        if let Some((uuid, known)) = of_drive.iter().find(|(_, known)| known.state.is_under_way()) {
            let message =
                format!("drive {drive}: its remote snapshot {uuid} is {}; wait until it is available", known.state.name());
            return Err(Failure::new(FailureKind::NotNow, message));
        }
        let newest = of_drive.iter().map(|(_, known)| known.timestamp).max();
        let since = Timestamp::now().before(self.interval);
        let Some(newest) = newest.filter(|newest| *newest > since) else { return Ok(()) };
        let spelt = |seconds: u64| format!("{} min {} s", seconds / 60, seconds % 60);
        let (interval, rest) = (spelt(self.interval.as_secs()), spelt(newest.seconds_since(since)));
        let message = format!("drive {drive}: at most one remote snapshot in {interval}; the next one in {rest}");
        Err(Failure::new(FailureKind::NotNow, message))
    }

    /// Pins this moment of a drive; [`Remotes::transfer`] does the rest.
    ///
    /// # Errors
    /// As for [`Remotes::begin_all`].
    pub fn begin(&self, drive: &Drive, wanted: Wanted) -> Result<Known, Failure> {
        Ok(self.begin_all(vec![(drive, wanted)])?.remove(0))
    }

    /// Pins one moment of several drives: all of them, or none.
    ///
    /// # Errors
    /// `NotNow`, also for a drive that stands twice; `NotFound` for a location that is not there; those of the engine.
    pub fn begin_all(&self, all: Vec<(&Drive, Wanted)>) -> Result<Vec<Known>, Failure> {
        let _beginning = self.beginning.lock();
        let mut drives = HashSet::new();
        for (drive, wanted) in &all {
            self.locations.find(self.code_of(wanted))?;
            self.allow(drive.uuid())?;
            if !drives.insert(drive.uuid()) {
                let message = format!("drive {}: one remote snapshot at a time", drive.uuid());
                return Err(Failure::new(FailureKind::NotNow, message));
            }
        }
        self.forget()?;
        let timestamp = Timestamp::now();
        let mut some = Vec::with_capacity(all.len());
        for (drive, wanted) in all {
            some.push((drive, wanted.uuid, self.described(drive, wanted, timestamp)?));
        }
        match self.pin(&some) {
            Ok(known) => Ok(known),
            Err(failure) => {
                for (_, uuid, known) in &some {
                    if let Some(pin) = known.pin.map(|pin| present(self.store.snapshot(pin))).transpose()?.flatten() {
                        pin.delete()?;
                    }
                    self.forget_bookmark(*uuid)?;
                    self.records.delete(*uuid)?;
                }
                Err(failure)
            }
        }
    }

    fn code_of<'a>(&'a self, wanted: &'a Wanted) -> &'a str {
        wanted.location.as_deref().or(self.locations.default_code()).unwrap_or_default()
    }

    fn described(&self, drive: &Drive, wanted: Wanted, timestamp: Timestamp) -> Result<Known, Failure> {
        let location = self.code_of(&wanted).to_owned();
        let mut description = wanted.description;
        if description.name.is_empty() {
            description.name = timestamp.snapshot_name(drive.uuid());
        }
        Ok(Known {
            location,
            drive: drive.uuid(),
            drive_meta: wanted.drive_meta,
            owner: wanted.owner,
            description,
            timestamp,
            state: State::Creating,
            changed: timestamp,
            size_bytes: drive.size_bytes()?,
            referenced_bytes: None,
            revision: 0,
            pin: Some(Uuid::new_v4()),
            error: None,
            policy: wanted.policy,
        })
    }

    /// Notes first what is to be pinned, so that nothing is ever pinned that nobody remembers. Nobody works on what is not pinned yet.
    fn pin(&self, some: &[(&Drive, Uuid, Known)]) -> Result<Vec<Known>, Failure> {
        let mut freezing = Vec::with_capacity(some.len());
        for (drive, uuid, known) in some {
            self.records.set(*uuid, known.clone())?;
            let mut attributes = Attributes::made_at(known.timestamp);
            attributes.set_pins(*uuid);
            let name = pin_name(*uuid);
            let options = SnapshotOptions::named(&name).uuid(known.pin.unwrap_or_default()).attributes(attributes.to_bytes());
            freezing.push((*drive, options.bookmark(*uuid, name)));
        }
        let frozen = self.store.snapshot_group(&freezing)?;
        let pinned = some.iter().zip(frozen).map(|((_, uuid, known), frozen)| {
            let known = Known { size_bytes: frozen.size_bytes(), ..known.clone() }.in_state(State::Transferring);
            self.records.set(*uuid, known.clone())?;
            Ok(known)
        });
        pinned.collect()
    }

    /// Gives one another description.
    ///
    /// # Errors
    /// `NotFound`, `NotNow`, and those of the location.
    pub fn edit(&self, uuid: Uuid, description: Description) -> Result<Known, Failure> {
        let known = self.settled(uuid, "edited")?;
        let repository = self.repository(&known.location)?;
        let mut manifest = repository.manifest(uuid)?.ok_or_else(|| lost(uuid, &known))?;
        // An edit that was interrupted may have changed it there and not here.
        if manifest.description != description {
            manifest.revision += 1;
            manifest.description = description.clone();
            repository.put_manifest(&manifest)?;
        }
        let changed = self.records.change(uuid, |known| {
            known.description = description;
            known.revision = manifest.revision;
        })?;
        changed.ok_or_else(|| no_remote(uuid))
    }

    /// Deletes one: nobody sees it any more, and the location is told by [`Remotes::forget_there`].
    ///
    /// # Errors
    /// `NotFound`, `NotNow`, and those of the engine.
    pub fn delete(&self, uuid: Uuid) -> Result<(), Failure> {
        let (_, to) = self.deletion(uuid)?;
        self.store.set_note(uuid, to.as_bytes())?;
        self.deleted(uuid)
    }

    /// What the note of one says, and what it is to say for it to be deleted: for whoever deletes several, all or none.
    ///
    /// # Errors
    /// `NotFound`, `NotNow`
    pub fn deletion(&self, uuid: Uuid) -> Result<(String, String), Failure> {
        let known = self.settled(uuid, "deleted")?;
        if self.is_filled_from(uuid) {
            let message =
                format!("a drive is still being filled from remote snapshot {uuid}: wait until it has all, or delete it");
            return Err(Failure::new(FailureKind::NotNow, message));
        }
        Ok((written(&known), written(&known.in_state(State::Deleting))))
    }

    /// The note of one was changed so, or was not.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn deleted(&self, uuid: Uuid) -> Result<(), Failure> {
        self.records.read_again(uuid)?;
        if self.find(uuid).is_none() {
            self.forget_bookmark(uuid)?;
        }
        Ok(())
    }

    /// Nothing is compared with one that is gone.
    pub(super) fn forget_bookmark(&self, uuid: Uuid) -> Result<(), Failure> {
        if let Some(bookmark) = present(self.store.bookmark(uuid))? {
            present(bookmark.delete())?;
        }
        Ok(())
    }

    /// One that is not under way.
    ///
    /// # Errors
    /// `NotFound`, `NotNow`
    pub fn settled(&self, uuid: Uuid, done: &str) -> Result<Known, Failure> {
        let known = self.find(uuid).ok_or_else(|| no_remote(uuid))?;
        if known.state.is_under_way() {
            let message = format!("remote snapshot {uuid} is {}: it can be {done} once it is available", known.state.name());
            return Err(Failure::new(FailureKind::NotNow, message));
        }
        Ok(known)
    }

    /// What a location has of one, to make a drive of it.
    ///
    /// # Errors
    /// `NotFound`, `NotNow`, and those of the location.
    pub fn manifest(&self, uuid: Uuid) -> Result<(Arc<Repository>, Manifest), Failure> {
        let known = self.settled(uuid, "cloned")?;
        let repository = self.repository(&known.location)?;
        repository.refresh()?;
        let manifest = repository.manifest(uuid)?.ok_or_else(|| lost(uuid, &known))?;
        Ok((repository, manifest))
    }

    /// Takes notice of what a location has. `account` says whose what somebody else's node made is.
    ///
    /// # Errors
    /// Those of the location.
    pub fn import(&self, code: &str, account: &dyn Fn(&Owner) -> Option<Uuid>) -> Result<Imported, Failure> {
        let repository = self.repository(code)?;
        let before: Vec<Uuid> = self
            .records
            .some(|known| known.location == code && known.state == State::Available)
            .into_iter()
            .map(|(uuid, _)| uuid)
            .collect();
        let (manifests, damaged) = repository.manifests()?;
        let mut imported = Imported { damaged: damaged.iter().map(ToString::to_string).collect(), ..Imported::default() };
        let there: BTreeMap<Uuid, &Manifest> = manifests.iter().map(|manifest| (manifest.uuid, manifest)).collect();
        for manifest in &manifests {
            match self.records.find(manifest.uuid) {
                Some(known) if known.state == State::Available && known.revision < manifest.revision => {
                    self.records.set(manifest.uuid, Known { owner: known.owner, ..Known::of(code, manifest) })?;
                }
                Some(_) => {}
                None => {
                    let mut known = Known::of(code, manifest);
                    if let Some(owner) = &mut known.owner
                        && let Some(uuid) = account(owner)
                    {
                        owner.uuid = uuid;
                    }
                    self.records.set(manifest.uuid, known)?;
                    imported.found.push(manifest.uuid);
                }
            }
        }
        let names = if damaged.is_empty() { BTreeMap::new() } else { repository.manifest_names()? };
        for uuid in before {
            if !there.contains_key(&uuid) && !names.contains_key(&uuid) && self.records.delete(uuid)? {
                self.forget_bookmark(uuid)?;
                imported.lost.push(uuid);
            }
        }
        Ok(imported)
    }

    /// How much of what one holds its drive does not hold any more (A1): exact at every moment, without asking the location, as long as the drive
    /// lives. Of a drive that is gone the next younger one takes the drive's place, and the youngest holds all; `None` until that was counted by
    /// [`Remotes::count_sizes`], while it is under way, and for one that the drive was reverted behind.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn allocated_size(&self, uuid: Uuid) -> Result<Option<u64>, Failure> {
        let Some(known) = self.find(uuid).filter(|known| known.state == State::Available) else { return Ok(None) };
        if let Some(bookmark) = present(self.store.bookmark(uuid))?
            && let Some(bytes) = present(bookmark.allocated_size())?
        {
            return Ok(Some(bytes));
        }
        if present(self.store.drive(known.drive))?.is_some() {
            return Ok(None);
        }
        let Some(younger) = self.younger(uuid, &known) else { return Ok(known.referenced_bytes) };
        let counted = self.sizes.lock().get(&uuid).copied();
        Ok(counted.filter(|(beside, _)| *beside == Some(younger)).map(|(_, bytes)| bytes))
    }

    /// The next younger one of the same drive at the same location.
    fn younger(&self, uuid: Uuid, known: &Known) -> Option<Uuid> {
        let is_younger = |other: &Known| {
            other.drive == known.drive
                && other.location == known.location
                && other.state == State::Available
                && other.timestamp >= known.timestamp
        };
        let mut younger = self.some(is_younger);
        younger.retain(|(other, other_known)| (other_known.timestamp, *other) > (known.timestamp, uuid));
        younger.into_iter().min_by_key(|(other, other_known)| (other_known.timestamp, *other)).map(|(other, _)| other)
    }

    /// Counts the sizes of those whose drive is gone, which takes reading their maps.
    ///
    /// # Errors
    /// Those of the location.
    pub fn count_sizes(&self) -> Result<(), Failure> {
        for (uuid, known) in self.some(|known| known.state == State::Available) {
            if present(self.store.drive(known.drive))?.is_some() {
                continue;
            }
            let Some(younger) = self.younger(uuid, &known) else { continue };
            if self.sizes.lock().get(&uuid).is_some_and(|(beside, _)| *beside == Some(younger)) {
                continue;
            }
            let repository = self.repository(&known.location)?;
            repository.refresh()?;
            let (Some(this), Some(next)) = (repository.manifest(uuid)?, repository.manifest(younger)?) else { continue };
            let mut blocks = 0;
            map::diff(&*repository, this.map.as_ref(), next.map.as_ref(), &mut |_, this, next| {
                blocks += map::blocks_not_in(this, next);
                Ok(())
            })?;
            self.sizes.lock().insert(uuid, (Some(younger), blocks * BLOCK_BYTES));
        }
        Ok(())
    }

    /// Forgets those that are gone, once the next one of their drive need not wait for them.
    fn forget(&self) -> Result<(), Failure> {
        let since = Timestamp::now().before(self.interval);
        for (uuid, _) in self.records.some(|known| known.state == State::Deleted && known.timestamp <= since) {
            self.records.delete(uuid)?;
        }
        Ok(())
    }
}

pub(super) fn no_remote(uuid: Uuid) -> Failure {
    Failure::new(FailureKind::NotFound, format!("there is no remote snapshot {uuid}"))
}

pub(super) fn lost(uuid: Uuid, known: &Known) -> Failure {
    let message = format!("location {} does not have remote snapshot {uuid} any more", known.location);
    Failure::new(FailureKind::NotFound, message)
}
