//! Who collects garbage at a location?
//!
//! Whoever holds the lease: the object `lease/N` with the highest N. To take, renew or give it back is to create the next one, which at
//! a store that enforces conditions only one can. Nothing is ever deleted and created again under the same name: between the two anybody
//! could come.
//!
//! 1. Numbers only rise: a lease that was given back stays, as a note that it was.
//! 2. A lease counts for an hour, by the object store's clock; for its own store, until the process that took it ends.

use super::alive::{Alive, is_left};
use super::bucket::{Bucket, Created, Object};
use super::session::MARGIN_SECONDS;
use crate::node::failure::{Failure, FailureKind};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Where the lease is.
pub const DIRECTORY: &str = "lease";
/// Where objects are that only ask the store something.
pub const PROBES: &str = "probe";
/// For how long a lease counts that nobody renews.
const VALID_SECONDS: i64 = 60 * 60;
/// How old a lease becomes before it is renewed.
const RENEW: Duration = Duration::from_secs(15 * 60);

/// What a store does with a conditional put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conditions {
    /// Of two that create the same object, one does.
    Enforced,
    /// Both do, and the second wins.
    Ignored,
    /// It knows no conditions, and says so.
    Refused,
}

/// What does this store do with a conditional put?
///
/// # Errors
/// `Io`, `Denied`
pub fn probe(bucket: &Bucket) -> Result<Conditions, Failure> {
    let name = format!("{PROBES}/{}", Uuid::new_v4());
    let asked =
        bucket.create(&name, &Bytes::from_static(b"first")).and_then(|_| bucket.create(&name, &Bytes::from_static(b"second")));
    bucket.delete(&name)?;
    match asked {
        Ok(Created::Taken) => Ok(Conditions::Enforced),
        Ok(Created::New) => Ok(Conditions::Ignored),
        Err(failure) if failure.kind() == FailureKind::InvalidArgument => Ok(Conditions::Refused),
        Err(failure) => Err(failure),
    }
}

/// What time is it, by the clock of the store?
///
/// # Errors
/// `Io`, `Denied`
pub fn time(bucket: &Bucket) -> Result<i64, Failure> {
    let directory = format!("{PROBES}/{}", Uuid::new_v4());
    let name = format!("{directory}/time");
    bucket.put(&name, Bytes::new())?;
    let put = bucket.list(&directory)?;
    bucket.delete(&name)?;
    put.first().map(|object| object.modified).ok_or_else(|| {
        let message =
            format!("location {}: an object that was just put is in no list: is its store consistent?", bucket.location());
        Failure::new(FailureKind::Io, message)
    })
}

/// Removes the probes of those who crashed while they asked.
///
/// # Errors
/// `Io`, `Denied`
pub fn remove_probes(bucket: &Bucket, now: i64) -> Result<(), Failure> {
    let probes = bucket.list(PROBES)?.into_iter();
    let mut old = probes.filter(|probe| probe.modified + VALID_SECONDS < now);
    old.try_for_each(|probe| bucket.delete(&probe.name))
}

#[derive(Serialize, Deserialize)]
struct Written {
    holder: String,
    nonce: Uuid,
    released: bool,
    #[serde(default)]
    store: Option<Uuid>,
}

/// The right to collect, until it is dropped or somebody finds it too old.
#[derive(Debug)]
pub struct Lease {
    bucket: Bucket,
    holder: String,
    alive: Alive,
    /// None if somebody promised that he is alone.
    number: Option<u64>,
    renewed: Instant,
}

impl Lease {
    /// Takes it. `alone` is somebody's promise that no other node collects; it counts only where the store cannot see to it.
    ///
    /// # Errors
    /// `Locked` if another one has it, `InvalidArgument` if the store ignores conditions and nobody promised; `Io`, `Denied`.
    pub fn take(bucket: &Bucket, holder: &str, alone: bool) -> Result<Self, Failure> {
        let (alive, renewed) = (Alive::new(), Instant::now());
        let mut lease = Self { bucket: bucket.clone(), holder: holder.to_owned(), alive, number: None, renewed };
        let conditions = probe(bucket)?;
        if conditions != Conditions::Enforced {
            if alone {
                return Ok(lease);
            }
            let message = "its store does not enforce conditions, so nothing keeps two nodes from collecting at the same time: \
                           say that no other node collects here, if that is so";
            return Err(lease.failure(FailureKind::InvalidArgument, message));
        }
        let now = time(bucket)?;
        let mut next = 0;
        if let Some((number, object)) = highest(bucket)? {
            if let Some(other) = lease.holder_of(&object)?
                && now <= object.modified + VALID_SECONDS + MARGIN_SECONDS
            {
                return Err(lease.failure(FailureKind::Locked, &format!("{other} is collecting")));
            }
            next = number + 1;
        }
        lease.create(next, false)?;
        Ok(lease)
    }

    /// Makes sure that nobody took it over, and renews it if it is time to.
    ///
    /// # Errors
    /// `Locked` if somebody did; `Io`, `Denied`.
    pub fn hold(&mut self) -> Result<(), Failure> {
        let Some(number) = self.number else { return Ok(()) };
        if highest(&self.bucket)?.map(|(highest, _)| highest) != Some(number) {
            return Err(self.failure(FailureKind::Locked, "another node took over"));
        }
        if self.renewed.elapsed() < RENEW { Ok(()) } else { self.create(number + 1, false) }
    }

    /// Gives it back.
    ///
    /// # Errors
    /// `Io`, `Denied`
    pub fn release(mut self) -> Result<(), Failure> {
        match self.number {
            Some(number) => self.create(number + 1, true),
            None => Ok(()),
        }
    }

    fn create(&mut self, number: u64, released: bool) -> Result<(), Failure> {
        let written = Written { holder: self.holder.clone(), nonce: self.alive.uuid(), released, store: self.bucket.user() };
        let bytes = serde_json::to_vec(&written).expect("it is plain data");
        let begun = Instant::now();
        let created = self.bucket.create(&name(number), &bytes.into())?;
        // Whoever looked long ago may have created a number that others have passed.
        if created == Created::Taken || highest(&self.bucket)?.map(|(highest, _)| highest) != Some(number) {
            return Err(self.failure(FailureKind::Locked, "another node was faster"));
        }
        (self.number, self.renewed) = (Some(number), begun);
        for object in self.bucket.list(DIRECTORY)? {
            if number_of(&object.name).is_some_and(|other| other < number) {
                self.bucket.delete(&object.name)?;
            }
        }
        Ok(())
    }

    /// Who has that one; nobody if it was given back, or is left of a process of the same store that was killed.
    fn holder_of(&self, object: &Object) -> Result<Option<String>, Failure> {
        let bytes = match self.bucket.get(&object.name) {
            Ok(bytes) => bytes,
            Err(failure) if failure.kind() == FailureKind::NotFound => return Ok(Some("another node".into())),
            Err(failure) => return Err(failure),
        };
        // One that cannot be read counts for as long as any other.
        let written: Option<Written> = serde_json::from_slice(&bytes).ok();
        let Some(written) = written else { return Ok(Some("somebody".into())) };
        let is_over = written.released || is_left(written.nonce, written.store, self.bucket.user());
        Ok((!is_over).then_some(written.holder))
    }

    fn failure(&self, kind: FailureKind, why: &str) -> Failure {
        Failure::new(kind, format!("location {}: collecting garbage: {why}", self.bucket.location()))
    }
}

fn name(number: u64) -> String {
    format!("{DIRECTORY}/{number:020}")
}

/// The number of a lease.
#[must_use]
pub fn number_of(object: &str) -> Option<u64> {
    object.strip_prefix(DIRECTORY)?.strip_prefix('/')?.parse().ok()
}

fn highest(bucket: &Bucket) -> Result<Option<(u64, Object)>, Failure> {
    let objects = bucket.list(DIRECTORY)?.into_iter();
    Ok(objects.filter_map(|object| Some((number_of(&object.name)?, object))).max_by_key(|(number, _)| *number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;
    use object_store::path::Path;
    use std::sync::Arc;

    #[test]
    fn a_lease_whose_process_was_killed_is_its_stores_at_once_and_anothers_when_it_is_old() {
        let objects = Arc::new(InMemory::new());
        let (own, other) = (Uuid::new_v4(), Uuid::new_v4());
        let bucket = |store: Option<Uuid>| {
            let bucket = Bucket::new("GVA", objects.clone(), Path::default());
            store.map_or(bucket.clone(), |store| bucket.used_by(store))
        };
        let refused = |store| Lease::take(&bucket(store), "somebody", false).err().map(|failure| failure.kind());
        let lease = Lease::take(&bucket(Some(own)), "us", false).expect("it is free");
        // This process still has it.
        assert_eq!(refused(Some(own)), Some(FailureKind::Locked));
        drop(lease);
        for another in [Some(other), None] {
            assert_eq!(refused(another), Some(FailureKind::Locked));
        }
        let mut lease = Lease::take(&bucket(Some(own)), "us", false).expect("nobody has it any more");
        lease.hold().expect("it holds");
        lease.release().expect("it is given back");
        // Those who do not say whose they are have nothing to take over.
        drop(Lease::take(&bucket(None), "nobody", false).expect("it is free"));
        assert_eq!(refused(None), Some(FailureKind::Locked));
    }
}
