//! Who collects garbage at a location?
//!
//! Whoever holds the lease: the object `lease/N` with the highest N. To take, renew or give it back is to create the next one, which at
//! a store that enforces conditions only one can. Nothing is ever deleted and created again under the same name: between the two anybody
//! could come.
//!
//! 1. Numbers only rise: a lease that was given back stays, as a note that it was.
//! 2. A lease counts for an hour, by the object store's clock.

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
}

/// The right to collect, until it is dropped or somebody finds it too old.
#[derive(Debug)]
pub struct Lease {
    bucket: Bucket,
    holder: String,
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
        let mut lease = Self { bucket: bucket.clone(), holder: holder.to_owned(), number: None, renewed: Instant::now() };
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
        let written = Written { holder: self.holder.clone(), nonce: Uuid::new_v4(), released };
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

    /// Who has that one; nobody if it was given back.
    fn holder_of(&self, object: &Object) -> Result<Option<String>, Failure> {
        let bytes = match self.bucket.get(&object.name) {
            Ok(bytes) => bytes,
            Err(failure) if failure.kind() == FailureKind::NotFound => return Ok(Some("another node".into())),
            Err(failure) => return Err(failure),
        };
        // One that cannot be read counts for as long as any other.
        let written: Option<Written> = serde_json::from_slice(&bytes).ok();
        Ok(written.map_or_else(|| Some("somebody".into()), |written| (!written.released).then_some(written.holder)))
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
