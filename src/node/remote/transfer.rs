//! How does a remote snapshot get to its location, and how is it forgotten there?
//!
//! Each can be done again from its beginning: what was done before is found, and not done twice.

use super::known::{Known, State};
use super::remotes::{Remotes, no_remote};
use super::repository::Repository;
use super::repository::manifest::Manifest;
use super::upload::{Progress, Source, upload};
use crate::node::failure::{Failure, FailureKind};
use crate::node::service::objects::present;
use crate::{Bookmark, Snapshot};
use parking_lot::{Condvar, Mutex};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How many are worked on at the same time.
const WORKERS: usize = 2;
/// How often is looked for work that nobody told of.
const TICK: Duration = Duration::from_secs(5);
/// After what failed: the first pause, and the longest.
const PAUSE_MIN: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(300);

impl Remotes {
    /// Takes one to its location, and lets go of its moment then.
    ///
    /// # Errors
    /// Those of the location, after which it can be tried again; `Corrupt` if the store cannot read what it holds.
    pub fn transfer(&self, uuid: Uuid, progress: &mut dyn FnMut(Progress)) -> Result<Known, Failure> {
        let known = self.find(uuid).ok_or_else(|| no_remote(uuid))?;
        let pin = known.pin.ok_or_else(|| no_remote(uuid))?;
        let pin = self.store.snapshot(pin)?;
        let repository = self.repository(&known.location)?;
        // It may have arrived before this node ended, and the note may not say so.
        let manifest = match repository.manifest(uuid)? {
            Some(manifest) => manifest,
            None => self.send(uuid, &known, &repository, &pin, progress)?,
        };
        let known = self.records.change(uuid, |known| {
            known.referenced_bytes = Some(manifest.referenced_bytes);
            known.pin = None;
            *known = known.clone().in_state(State::Available);
        })?;
        present(pin.delete())?;
        known.ok_or_else(|| no_remote(uuid))
    }

    fn send(
        &self,
        uuid: Uuid,
        known: &Known,
        repository: &Repository,
        pin: &Snapshot,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Manifest, Failure> {
        let base = self.base(known, repository, pin)?;
        let since = base.as_ref().map(|(bookmark, manifest)| (bookmark, manifest));
        match self.send_since(uuid, known, repository, &Source { snapshot: pin, since }, progress) {
            // What it builds on was deleted meanwhile, by this node or another one.
            Err(failure) if since.is_some() && failure.kind() == FailureKind::NotFound => {
                tracing::info!(remote_snapshot = %uuid, %failure, "sending all of it");
                self.send_since(uuid, known, repository, &Source { snapshot: pin, since: None }, progress)
            }
            sent => sent,
        }
    }

    fn send_since(
        &self,
        uuid: Uuid,
        known: &Known,
        repository: &Repository,
        source: &Source<'_>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Manifest, Failure> {
        let uploaded = upload(repository, source, progress)?;
        let mut manifest = Manifest::new(uuid, known.timestamp, known.drive, known.drive_meta.clone(), &uploaded.image);
        manifest.owner = known.owner.clone();
        manifest.description = known.description.clone();
        manifest.added = uploaded.added;
        manifest.policy = known.policy.clone();
        uploaded.session.end_with(repository, &manifest)?;
        Ok(manifest)
    }

    /// The newest one of the drive that the location has, and since which the engine knows what changed.
    fn base(&self, known: &Known, repository: &Repository, pin: &Snapshot) -> Result<Option<(Bookmark, Manifest)>, Failure> {
        let is_base = |other: &Known| {
            other.drive == known.drive
                && other.location == known.location
                && other.state == State::Available
                && other.timestamp < known.timestamp
        };
        let mut candidates = self.some(is_base);
        candidates.sort_by_key(|(_, other)| std::cmp::Reverse(other.timestamp));
        for (uuid, _) in candidates {
            let Some(bookmark) = present(self.store.bookmark(uuid))? else { continue };
            match pin.changes_since(&bookmark) {
                Ok(_) => {}
                // The drive was reverted behind it.
                Err(error) if matches!(error.kind(), crate::ErrorKind::InvalidArgument | crate::ErrorKind::NotFound) => continue,
                Err(error) => return Err(error.into()),
            }
            if let Some(manifest) = repository.manifest(uuid)? {
                return Ok(Some((bookmark, manifest)));
            }
        }
        Ok(None)
    }

    /// Tells a location to forget one that was deleted.
    ///
    /// # Errors
    /// Those of the location, after which it can be tried again.
    pub fn forget_there(&self, uuid: Uuid) -> Result<(), Failure> {
        let Some(known) = self.records.find(uuid).filter(|known| known.state == State::Deleting) else { return Ok(()) };
        // Whoever deleted it may have been interrupted before that.
        self.forget_bookmark(uuid)?;
        match self.repository(&known.location) {
            Ok(repository) => repository.delete_manifest(uuid)?,
            // A location that has no repository has nothing to forget.
            Err(failure) if failure.kind() == FailureKind::NotFound => {}
            Err(failure) => return Err(failure),
        }
        self.records.set(uuid, known.in_state(State::Deleted))
    }

    /// Tells locations to forget whatever they were not told of yet.
    ///
    /// # Errors
    /// As [`Remotes::forget_there`].
    pub fn forget_all_there(&self) -> Result<(), Failure> {
        let deleting = self.records.some(|known| known.state == State::Deleting);
        deleting.into_iter().try_for_each(|(uuid, _)| self.forget_there(uuid))
    }

    fn settle(&self, uuid: Uuid) -> Result<(), Failure> {
        let Some(known) = self.records.find(uuid) else { return Ok(()) };
        match known.state {
            State::Transferring => {
                let done = self.transfer(uuid, &mut |progress| {
                    self.progress.lock().insert(uuid, progress);
                });
                self.progress.lock().remove(&uuid);
                match done {
                    Ok(_) => Ok(()),
                    // Trying again does not help: what was to be sent is not there, or is not what it was.
                    Err(failure)
                        if matches!(failure.kind(), FailureKind::Corrupt | FailureKind::NotFound)
                            && self.pin_is_lost(&known)? =>
                    {
                        self.give_up(uuid, &failure)
                    }
                    Err(failure) => Err(failure),
                }
            }
            State::Deleting => self.forget_there(uuid),
            _ => Ok(()),
        }
    }

    /// Can what a pin holds be read?
    fn pin_is_lost(&self, known: &Known) -> Result<bool, Failure> {
        let Some(pin) = known.pin.map(|pin| present(self.store.snapshot(pin))).transpose()?.flatten() else { return Ok(true) };
        Ok(pin.fingerprint().is_err_and(|error| error.kind() == crate::ErrorKind::Corrupt))
    }

    fn give_up(&self, uuid: Uuid, failure: &Failure) -> Result<(), Failure> {
        let known = self.records.change(uuid, |known| {
            known.error = Some(failure.to_string());
            *known = known.clone().in_state(State::Unavailable);
        })?;
        if let Some(pin) = known.and_then(|known| known.pin).map(|pin| present(self.store.snapshot(pin))).transpose()?.flatten() {
            present(pin.delete())?;
        }
        Ok(())
    }

    fn work(&self) -> Vec<Uuid> {
        let to_do = |known: &Known| matches!(known.state, State::Transferring | State::Deleting);
        self.records.some(to_do).into_iter().map(|(uuid, _)| uuid).collect()
    }
}

/// Threads that do what is to be done, and do again what failed.
pub struct Workers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    remotes: Arc<Remotes>,
    plan: Mutex<Plan>,
    woken: Condvar,
}

#[derive(Default)]
struct Plan {
    busy: HashSet<Uuid>,
    /// When what failed is tried again, and how long was waited.
    later: HashMap<Uuid, (Instant, Duration)>,
}

impl Workers {
    /// Starts them.
    ///
    /// # Errors
    /// `Io` if threads cannot be started.
    pub fn start(remotes: Arc<Remotes>) -> Result<Self, Failure> {
        let shared = Arc::new(Shared { remotes, plan: Mutex::default(), woken: Condvar::new() });
        let start = |number| {
            let shared = Arc::clone(&shared);
            let thread = thread::Builder::new().name(format!("remote {number}"));
            thread.spawn(move || shared.run()).map_err(|error| Failure::io("starting a thread", error))
        };
        let mut threads: Vec<_> = (0..WORKERS).map(start).collect::<Result<_, _>>()?;
        let remotes = Arc::clone(&shared.remotes);
        let filler = thread::Builder::new().name("filling".into()).spawn(move || remotes.fill_for_ever());
        threads.push(filler.map_err(|error| Failure::io("starting a thread", error))?);
        Ok(Self { shared, threads })
    }

    /// There is something to do.
    pub fn wake(&self) {
        self.shared.woken.notify_all();
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shared.remotes.stop();
        self.shared.woken.notify_all();
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("a thread that looks after remote snapshots ended");
            }
        }
    }
}

impl Shared {
    fn run(&self) {
        while !self.remotes.is_stopped() {
            let Some(uuid) = self.next() else {
                if let Err(failure) = self.remotes.count_sizes() {
                    tracing::debug!(%failure, "sizes are counted later");
                }
                let mut plan = self.plan.lock();
                if !self.remotes.is_stopped() {
                    self.woken.wait_for(&mut plan, TICK);
                }
                continue;
            };
            let done = self.remotes.settle(uuid);
            let mut plan = self.plan.lock();
            plan.busy.remove(&uuid);
            match done {
                Ok(()) => drop(plan.later.remove(&uuid)),
                Err(_) if self.remotes.is_stopped() => {}
                Err(failure) => {
                    let waited = plan.later.get(&uuid).map_or(PAUSE_MIN / 2, |(_, waited)| *waited);
                    let pause = (waited * 2).min(PAUSE_MAX);
                    tracing::warn!(remote_snapshot = %uuid, %failure, seconds = pause.as_secs(), "trying again later");
                    plan.later.insert(uuid, (Instant::now() + pause, pause));
                }
            }
        }
    }

    fn next(&self) -> Option<Uuid> {
        let work = self.remotes.work();
        let mut plan = self.plan.lock();
        let now = Instant::now();
        let is_due = |uuid: &Uuid| !plan.busy.contains(uuid) && plan.later.get(uuid).is_none_or(|(when, _)| *when <= now);
        let uuid = work.into_iter().find(is_due)?;
        plan.busy.insert(uuid);
        Some(uuid)
    }
}
