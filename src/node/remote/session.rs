//! Who is putting something at a location at this moment?
//!
//! A session: small objects `uploads/UUID/N`, the first put before anything is looked at, another one every few minutes. Whoever collects
//! garbage sees by them what may still be needed although no manifest needs it yet. All times are the object store's own.
//!
//! 1. A session's first object is put before the lists of doomed packs and the index are read.
//! 2. A session lives from its first object until [`DEAD_SECONDS`] after its last one, or until it ends.
//! 3. A session of a store whose process was killed is ended by the next process that collects for that store.
//! 4. A manifest stays only if, behind it, its session still lives and what it builds on is still there.

use super::alive::{Alive, is_left};
use super::bucket::{Bucket, Object};
use super::repository::Repository;
use super::repository::manifest::{self, Manifest};
use crate::node::failure::{Failure, FailureKind};
use serde::{Deserialize, Serialize};
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

#[derive(Serialize, Deserialize)]
struct Written {
    session: Uuid,
    beat: u32,
    #[serde(default)]
    store: Option<Uuid>,
}

/// An upload that is not over. Dropped without an end it counts as alive until it is dead.
#[derive(Debug)]
pub struct Session {
    bucket: Bucket,
    alive: Alive,
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
        let mut session = Self { bucket: bucket.clone(), alive: Alive::new(), base, beats: 0, last: 0, beaten: Instant::now() };
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
        self.alive.uuid()
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
        remove(&self.bucket, self.uuid())
    }

    fn put(&self, number: u32) -> Result<Vec<Object>, Failure> {
        let written = Written { session: self.uuid(), beat: number, store: self.bucket.user() };
        self.bucket.put(&self.name(number), serde_json::to_vec(&written).expect("it is plain data").into())?;
        self.bucket.list(&format!("{DIRECTORY}/{}", self.uuid()))
    }

    fn name(&self, number: u32) -> String {
        format!("{DIRECTORY}/{}/{number}", self.uuid())
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
        Failure::new(FailureKind::Io, format!("location {}: upload {}: {why}", self.bucket.location(), self.uuid()))
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

/// Ends the sessions of the bucket's own store that are left of a process that was killed; which they were.
///
/// # Errors
/// `Io`, `Denied`
pub fn end_own(bucket: &Bucket) -> Result<Vec<Uuid>, Failure> {
    let objects = bucket.list(DIRECTORY)?.into_iter();
    let newest: BTreeMap<Uuid, String> = objects.filter_map(|object| Some((uuid_of(&object.name)?, object.name))).collect();
    let mut ended = Vec::new();
    for (uuid, name) in newest {
        let bytes = match bucket.get(&name) {
            Ok(bytes) => bytes,
            Err(failure) if failure.kind() == FailureKind::NotFound => continue,
            Err(failure) => return Err(failure),
        };
        // What cannot be read is dead one day.
        let written = serde_json::from_slice::<Written>(&bytes).ok();
        if written.is_some_and(|written| is_left(uuid, written.store, bucket.user())) {
            remove(bucket, uuid)?;
            ended.push(uuid);
        }
    }
    Ok(ended)
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

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;
    use object_store::path::Path;
    use std::sync::Arc;

    #[test]
    fn only_sessions_of_the_own_store_that_no_process_has_are_ended() {
        let objects = Arc::new(InMemory::new());
        let bucket = Bucket::new("GVA", objects, Path::default());
        let own = bucket.clone().used_by(Uuid::new_v4());
        let other = bucket.clone().used_by(Uuid::new_v4());
        let begin = |bucket: &Bucket| Session::begin(bucket, None).expect("a session");
        let (mut killed, running, nobodys, anothers) = (begin(&own), begin(&own), begin(&bucket), begin(&other));
        killed.beat().expect("it lives");
        let uuids = [killed.uuid(), running.uuid(), nobodys.uuid(), anothers.uuid()];
        drop((killed, nobodys, anothers));
        assert_eq!(end_own(&bucket).expect("a list"), Vec::<Uuid>::new());
        assert_eq!(end_own(&own).expect("a list"), [uuids[0]]);
        let mut left: Vec<Uuid> = list(&bucket).expect("a list").iter().map(|session| session.uuid).collect();
        left.sort_unstable();
        let mut expected = uuids[1..].to_vec();
        expected.sort_unstable();
        assert_eq!(left, expected);
        running.end().expect("it ends");
    }
}
