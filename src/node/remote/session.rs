//! Who is putting something at a location at this moment?
//!
//! A session: small objects `uploads/UUID/N`, the first put before anything is looked at, another one every few minutes. Whoever collects
//! garbage sees by them what may still be needed although no manifest needs it yet. All times are the object store's own.
//!
//! 1. A session's first object is put before the lists of doomed packs and the index are read.
//! 2. A session lives from its first object until [`DEAD_SECONDS`] after its last one, or until it ends.
//! 3. A manifest stays only if, behind it, its session still lives and what it builds on is still there.

use super::bucket::{Bucket, Object};
use super::repository::Repository;
use super::repository::manifest::{self, Manifest};
use crate::node::failure::{Failure, FailureKind};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Where sessions are.
pub const DIRECTORY: &str = "uploads";
/// How often a session says that it lives.
const BEAT: Duration = Duration::from_secs(5 * 60);
/// A session that said nothing for so long is dead. No option: who uploads and who collects must mean the same.
pub const DEAD_SECONDS: i64 = 24 * 60 * 60;
/// By how much the clocks of an object store's machines may differ.
pub const MARGIN_SECONDS: i64 = 5 * 60;

/// An upload that is not over. Dropped without an end it counts as alive until it is dead.
#[derive(Debug)]
pub struct Session {
    bucket: Bucket,
    uuid: Uuid,
    /// The remote snapshot that the upload builds on.
    base: Option<Uuid>,
    beats: u32,
    /// When the last object was put.
    last: i64,
    beaten: Instant,
}

impl Session {
    /// Begins one; `base` is the remote snapshot that the upload builds on.
    ///
    /// # Errors
    /// `NotFound` if the base is not there any more; `Io`, `Denied`.
    pub fn begin(bucket: &Bucket, base: Option<Uuid>) -> Result<Self, Failure> {
        let mut session = Self { bucket: bucket.clone(), uuid: Uuid::new_v4(), base, beats: 0, last: 0, beaten: Instant::now() };
        session.last = session.put(0)?.iter().map(|object| object.modified).max().unwrap_or_default();
        match session.check_base() {
            Ok(()) => Ok(session),
            Err(failure) => {
                session.end()?;
                Err(failure)
            }
        }
    }

    /// Its identity.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// Says that it lives, if it is time to.
    ///
    /// # Errors
    /// As [`Session::beat`].
    pub fn beat_if_due(&mut self) -> Result<(), Failure> {
        if self.beaten.elapsed() < BEAT { Ok(()) } else { self.beat() }
    }

    /// Says that it lives.
    ///
    /// # Errors
    /// `Io` if it counts as dead already: what it relied on may be gone. `Denied`.
    pub fn beat(&mut self) -> Result<(), Failure> {
        let next = self.beats + 1;
        let there = self.put(next)?;
        let modified = |number: u32| there.iter().find(|object| object.name == self.name(number)).map(|object| object.modified);
        let alive = |now: i64| now - self.last <= DEAD_SECONDS - MARGIN_SECONDS;
        match (modified(0), modified(self.beats), modified(next)) {
            (Some(_), Some(_), Some(now)) if alive(now) => self.last = now,
            _ => return Err(self.failure("it slept for so long that what it relied on may be gone: upload again")),
        }
        if self.beats > 0 {
            self.bucket.delete(&self.name(self.beats))?;
        }
        (self.beats, self.beaten) = (next, Instant::now());
        Ok(())
    }

    /// Puts the manifest of what was uploaded, and ends. If it fails, the manifest is not there.
    ///
    /// # Errors
    /// `Io` if the session counts as dead, or what it builds on was deleted meanwhile: upload again, from nothing. `Denied`.
    pub fn end_with(mut self, repository: &Repository, manifest: &Manifest) -> Result<(), Failure> {
        self.beat()?;
        let kept = repository.put_manifest(manifest).and_then(|()| self.beat()).and_then(|()| self.check_base());
        if kept.is_err() {
            repository.delete_manifest(manifest.uuid)?;
        }
        // Whatever became of it, it is over; what is left of it is dead one day.
        self.end().unwrap_or_else(|failure| tracing::debug!(%failure, "an upload did not end"));
        kept
    }

    /// Ends, because nothing comes of it.
    ///
    /// # Errors
    /// `Io`, `Denied`; it will be dead one day then.
    pub fn end(self) -> Result<(), Failure> {
        remove(&self.bucket, self.uuid)
    }

    fn put(&self, number: u32) -> Result<Vec<Object>, Failure> {
        self.bucket.put(&self.name(number), format!("{{\"session\":\"{}\",\"beat\":{number}}}", self.uuid).into())?;
        self.bucket.list(&format!("{DIRECTORY}/{}", self.uuid))
    }

    fn name(&self, number: u32) -> String {
        format!("{DIRECTORY}/{}/{number}", self.uuid)
    }

    /// While the base is listed, nobody deletes what its map leads to, whoever doomed it before.
    fn check_base(&self) -> Result<(), Failure> {
        let Some(base) = self.base else { return Ok(()) };
        if !self.bucket.list(&format!("{}/{base}", manifest::DIRECTORY))?.is_empty() {
            return Ok(());
        }
        let message =
            format!("location {}: remote snapshot {base}, which the upload builds on, was deleted", self.bucket.location());
        Err(Failure::new(FailureKind::NotFound, message))
    }

    fn failure(&self, why: &str) -> Failure {
        Failure::new(FailureKind::Io, format!("location {}: upload {}: {why}", self.bucket.location(), self.uuid))
    }
}

/// A session, as whoever lists it sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its identity.
    pub uuid: Uuid,
    /// When its first object was put.
    pub started: i64,
    /// When its last one was.
    pub last: i64,
}

impl Seen {
    /// Whether it still counts at that time.
    #[must_use]
    pub fn is_alive(&self, now: i64) -> bool {
        now - self.last <= DEAD_SECONDS
    }
}

/// All sessions that did not end.
///
/// # Errors
/// `Io`, `Denied`
pub fn list(bucket: &Bucket) -> Result<Vec<Seen>, Failure> {
    let mut seen: BTreeMap<Uuid, Seen> = BTreeMap::new();
    for Object { name, modified, .. } in bucket.list(DIRECTORY)? {
        let Some(uuid) = uuid_of(&name) else { continue };
        let session = seen.entry(uuid).or_insert(Seen { uuid, started: modified, last: modified });
        session.started = session.started.min(modified);
        session.last = session.last.max(modified);
    }
    Ok(seen.into_values().collect())
}

/// The session that an object's name is about.
#[must_use]
pub fn uuid_of(name: &str) -> Option<Uuid> {
    let (uuid, number) = name.strip_prefix(DIRECTORY)?.strip_prefix('/')?.split_once('/')?;
    number.parse::<u32>().ok()?;
    uuid.parse().ok()
}

/// Removes what is left of a session.
///
/// # Errors
/// `Io`, `Denied`
pub fn remove(bucket: &Bucket, uuid: Uuid) -> Result<(), Failure> {
    bucket.list(&format!("{DIRECTORY}/{uuid}"))?.iter().try_for_each(|object| bucket.delete(&object.name))
}
