//! How does what takes several commits happen wholly, or not at all?
//!
//! A job is written down before its first step, with all of its steps. Every step can be done again: one that was done does nothing the
//! second time. So a node that ended in the middle goes on where it was, and a step that cannot be done undoes those before it.
//!
//! 1. A job that began is finished, or undone, before the node that begins next serves anybody.
//! 2. What a job deleted is not undeleted: deletion fails by the device alone, and goes on at the next start.

use crate::node::failure::{Failure, FailureKind};
use crate::node::records::{Record, Records, word};
use crate::node::timestamp::Timestamp;
use crate::{Drive, DriveOptions, Error, ErrorKind, SnapshotOptions, Store};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// How long a job that ended is remembered.
pub const REMEMBERED: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// What a job is about, as the API names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Drives are made.
    DriveCreate,
    /// A drive, or snapshot, becomes another drive.
    DriveClone,
    /// A drive gets another description and another size.
    DriveEdit,
    /// Several snapshots of one drive are taken.
    SnapshotCreate,
    /// Drives are deleted, and their snapshots.
    DriveDelete,
    /// Snapshots are deleted.
    SnapshotDelete,
    /// A remote snapshot is on its way to its location.
    RemoteSnapshotCreate,
    /// Remote snapshots are deleted.
    RemoteSnapshotDelete,
    /// Tags are made or changed, and objects get them or lose them.
    TagEdit,
    /// ACLs are made.
    AclCreate,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It began.
    Started,
    /// All was done.
    Success,
    /// Something could not be done, and the rest was undone.
    Error,
}

impl Operation {
    /// Its name.
    #[must_use]
    pub fn name(self) -> String {
        word(self)
    }
}

impl JobState {
    /// Its name.
    #[must_use]
    pub fn name(self) -> String {
        word(self)
    }
}

/// A part of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Step {
    /// Makes a drive.
    CreateDrive {
        /// Its identity.
        uuid: Uuid,
        /// Its name.
        name: String,
        /// Its size.
        size_bytes: u64,
        /// Its attributes.
        attributes: String,
    },
    /// Takes a snapshot.
    Freeze {
        /// Of which drive.
        drive: Uuid,
        /// Its identity.
        uuid: Uuid,
        /// Its name.
        name: String,
        /// Its attributes.
        attributes: String,
    },
    /// Makes a drive of a snapshot.
    Clone {
        /// Of which snapshot.
        snapshot: Uuid,
        /// Its identity.
        uuid: Uuid,
        /// Its name.
        name: String,
        /// Its size.
        size_bytes: u64,
        /// Its attributes.
        attributes: String,
    },
    /// Gives a drive a size.
    Resize {
        /// Which.
        drive: Uuid,
        /// Its size.
        size_bytes: u64,
    },
    /// Gives a drive a name and attributes.
    DescribeDrive {
        /// Which.
        drive: Uuid,
        /// What it is to be.
        to: Description,
        /// What it was.
        from: Description,
    },
    /// Gives a snapshot a name and attributes.
    DescribeSnapshot {
        /// Which.
        snapshot: Uuid,
        /// What it is to be.
        to: Description,
        /// What it was.
        from: Description,
    },
    /// Keeps a record as a note of the store.
    Keep {
        /// Its identity.
        uuid: Uuid,
        /// What it is to be.
        to: String,
        /// What it was; nothing if it is new.
        from: Option<String>,
    },
    /// Deletes a drive; its snapshots are deleted by steps of their own.
    DeleteDrive {
        /// Which.
        drive: Uuid,
    },
    /// Deletes a snapshot.
    DeleteSnapshot {
        /// Which.
        snapshot: Uuid,
    },
}

/// A name and attributes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The name.
    pub name: String,
    /// The attributes; none if they are somebody else's, and stay as they are.
    pub attributes: Option<String>,
}

/// Something that takes several steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Whose it is.
    pub owner: Uuid,
    /// What it is about.
    pub operation: Operation,
    /// Where it stands.
    pub state: JobState,
    /// The drives and snapshots that it is about, as URIs.
    pub resources: Vec<String>,
    /// When it began.
    pub created: Timestamp,
    /// When it last got further.
    pub modified: Timestamp,
    /// Why it could not be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What is to be done; nothing once it ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    steps: Vec<Step>,
}

impl Record for Job {
    const KIND: &'static str = "job";
}

impl Job {
    /// A job that begins now.
    #[must_use]
    pub fn new(owner: Uuid, operation: Operation, resources: Vec<String>, steps: Vec<Step>) -> Self {
        let now = Timestamp::now();
        Self { owner, operation, state: JobState::Started, resources, created: now, modified: now, error: None, steps }
    }
}

/// The jobs of a node.
pub struct Jobs {
    store: Store,
    records: Records<Job>,
}

impl Jobs {
    /// Reads the jobs of a store, and ends those that began and did not end.
    ///
    /// # Errors
    /// `Io`, `Corrupt`, `NoSpace`
    pub fn of(store: &Store) -> Result<Self, Failure> {
        let jobs = Self { store: store.clone(), records: Records::of(store)? };
        for (uuid, job) in jobs.records.some(|job| job.state == JobState::Started) {
            tracing::info!(job = %uuid, operation = ?job.operation, "going on with a job that was interrupted");
            // Whether it was undone, and why, the job itself says.
            if let Err(failure) = jobs.execute(uuid, job)
                && jobs.records.find(uuid).is_some_and(|job| job.state == JobState::Started)
            {
                return Err(failure);
            }
        }
        jobs.forget()?;
        Ok(jobs)
    }

    /// Does a job, and remembers it under that uuid.
    ///
    /// # Errors
    /// Those of its steps; then nothing was changed, but by what had been deleted.
    pub fn run(&self, uuid: Uuid, job: Job) -> Result<(), Failure> {
        self.forget()?;
        self.records.set(uuid, job.clone())?;
        self.execute(uuid, job)
    }

    /// Does what takes but one step: the engine's own commit makes it whole.
    ///
    /// # Errors
    /// Those of the step.
    pub fn step(&self, step: &Step) -> Result<(), Failure> {
        Ok(step.apply(&self.store)?)
    }

    /// The job of that uuid.
    #[must_use]
    pub fn find(&self, uuid: Uuid) -> Option<Job> {
        self.records.find(uuid)
    }

    /// The jobs that are wanted, in order of creation.
    #[must_use]
    pub fn some(&self, wanted: impl Fn(&Job) -> bool) -> Vec<(Uuid, Job)> {
        self.records.some(wanted)
    }

    fn execute(&self, uuid: Uuid, mut job: Job) -> Result<(), Failure> {
        let steps = std::mem::take(&mut job.steps);
        let error = self.all_or_none(&steps)?;
        job.state = if error.is_none() { JobState::Success } else { JobState::Error };
        job.error = error.as_ref().map(ToString::to_string);
        job.modified = Timestamp::now();
        self.end(uuid, job)?;
        error.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Remembers that a job ended. What there is no space to remember is forgotten: the next start must not do it again.
    fn end(&self, uuid: Uuid, job: Job) -> Result<(), Failure> {
        match self.records.set(uuid, job) {
            Err(failure) if failure.kind() == FailureKind::NoSpace => self.records.delete(uuid).map(drop),
            other => other,
        }
    }

    /// Does all steps, or undoes them and says why. Fails if neither can be: then the next start tries again.
    fn all_or_none(&self, steps: &[Step]) -> Result<Option<Error>, Failure> {
        for (index, step) in steps.iter().enumerate() {
            if let Err(error) = step.apply(&self.store) {
                if steps[..=index].iter().any(Step::is_deletion) {
                    return Err(error.into());
                }
                for done in steps[..=index].iter().rev() {
                    done.undo(&self.store)?;
                }
                return Ok(Some(error));
            }
        }
        Ok(None)
    }

    /// Forgets jobs that ended long ago.
    fn forget(&self) -> Result<(), Failure> {
        let limit = Timestamp::now().before(REMEMBERED);
        let old = |job: &Job| job.state != JobState::Started && job.modified < limit;
        for (uuid, _) in self.records.some(old) {
            self.records.delete(uuid)?;
        }
        Ok(())
    }
}

impl Step {
    fn apply(&self, store: &Store) -> Result<(), Error> {
        match self {
            Self::CreateDrive { uuid, name, size_bytes, attributes } => {
                let options = DriveOptions::new(*size_bytes).name(name).attributes(attributes.as_bytes()).uuid(*uuid);
                unless(ErrorKind::AlreadyExists, store.create_drive(options).map(drop))
            }
            Self::Freeze { drive, uuid, name, attributes } => {
                let options = SnapshotOptions::named(name).attributes(attributes.as_bytes()).uuid(*uuid);
                unless(ErrorKind::AlreadyExists, store.drive(*drive)?.snapshot(options).map(drop))
            }
            Self::Clone { snapshot, uuid, name, size_bytes, attributes } => match store.drive(*uuid) {
                Ok(drive) => resize(&drive, *size_bytes),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let options = DriveOptions::new(*size_bytes).name(name).attributes(attributes.as_bytes()).uuid(*uuid);
                    store.snapshot(*snapshot)?.clone_drive(options).map(drop)
                }
                Err(error) => Err(error),
            },
            Self::Resize { drive, size_bytes } => resize(&store.drive(*drive)?, *size_bytes),
            Self::DescribeDrive { drive, to, .. } => describe_drive(store, *drive, to),
            Self::DescribeSnapshot { snapshot, to, .. } => describe_snapshot(store, *snapshot, to),
            Self::Keep { uuid, to, .. } => store.set_note(*uuid, to.as_bytes()),
            Self::DeleteDrive { drive } => unless(ErrorKind::NotFound, store.drive(*drive).and_then(|drive| drive.delete())),
            Self::DeleteSnapshot { snapshot } => {
                unless(ErrorKind::NotFound, store.snapshot(*snapshot).and_then(|snapshot| snapshot.delete()))
            }
        }
    }

    fn is_deletion(&self) -> bool {
        matches!(self, Self::DeleteDrive { .. } | Self::DeleteSnapshot { .. })
    }

    /// Takes back what the step did. A size stays: whoever makes a drive smaller loses what is in it.
    fn undo(&self, store: &Store) -> Result<(), Error> {
        match self {
            Self::CreateDrive { uuid, .. } | Self::Clone { uuid, .. } => Self::DeleteDrive { drive: *uuid }.apply(store),
            Self::Freeze { uuid, .. } => Self::DeleteSnapshot { snapshot: *uuid }.apply(store),
            Self::DescribeDrive { drive, from, .. } => unless(ErrorKind::NotFound, describe_drive(store, *drive, from)),
            Self::DescribeSnapshot { snapshot, from, .. } => {
                unless(ErrorKind::NotFound, describe_snapshot(store, *snapshot, from))
            }
            Self::Keep { uuid, from: Some(from), .. } => store.set_note(*uuid, from.as_bytes()),
            Self::Keep { uuid, from: None, .. } => unless(ErrorKind::NotFound, store.delete_note(*uuid)),
            Self::Resize { .. } | Self::DeleteDrive { .. } | Self::DeleteSnapshot { .. } => Ok(()),
        }
    }
}

fn describe_drive(store: &Store, drive: Uuid, description: &Description) -> Result<(), Error> {
    let drive = store.drive(drive)?;
    match &description.attributes {
        Some(attributes) => drive.describe(&description.name, attributes.as_bytes()),
        None => drive.rename(&description.name),
    }
}

fn describe_snapshot(store: &Store, snapshot: Uuid, description: &Description) -> Result<(), Error> {
    let snapshot = store.snapshot(snapshot)?;
    match &description.attributes {
        Some(attributes) => snapshot.describe(&description.name, attributes.as_bytes()),
        None => snapshot.rename(&description.name),
    }
}

fn resize(drive: &Drive, size_bytes: u64) -> Result<(), Error> {
    if drive.size_bytes()? == size_bytes { Ok(()) } else { drive.resize(size_bytes) }
}

/// An error of that kind says that it was done before.
fn unless(kind: ErrorKind, result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(error) if error.kind() == kind => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::{Description, Job, JobState, Jobs, Operation, Step};
    use crate::node::records::Records;
    use crate::{DriveOptions, MemoryDevice, SnapshotOptions, Store};
    use std::sync::Arc;
    use uuid::Uuid;

    const NODE: Uuid = Uuid::from_u128(1);
    const SOURCE: Uuid = Uuid::from_u128(2);
    const KEPT: Uuid = Uuid::from_u128(3);
    const MADE: Uuid = Uuid::from_u128(4);
    const OTHER: Uuid = Uuid::from_u128(5);
    const BETWEEN: Uuid = Uuid::from_u128(6);
    const JOB: Uuid = Uuid::from_u128(7);
    const NOTE: Uuid = Uuid::from_u128(8);

    fn store() -> Store {
        let device = MemoryDevice::new(1 << 30).expect("memory");
        let store = Store::options().create_on(Arc::new(device)).expect("a store");
        let source = store.create_drive(DriveOptions::new(1 << 20).name("source").uuid(SOURCE)).expect("a drive");
        source.write_at(b"content", 4096).expect("a write");
        source.snapshot(SnapshotOptions::named("kept").uuid(KEPT)).expect("a snapshot");
        store
    }

    fn description(name: &str) -> Description {
        Description { name: name.into(), attributes: Some("{}".into()) }
    }

    fn freeze(drive: Uuid) -> Step {
        Step::Freeze { drive, uuid: BETWEEN, name: String::new(), attributes: String::new() }
    }

    fn clone(snapshot: Uuid, size_bytes: u64) -> Step {
        Step::Clone { snapshot, uuid: MADE, name: "made".into(), size_bytes, attributes: "{}".into() }
    }

    fn create(uuid: Uuid, size_bytes: u64) -> Step {
        Step::CreateDrive { uuid, name: "made".into(), size_bytes, attributes: "{}".into() }
    }

    fn keep(uuid: Uuid, to: &str, from: Option<&str>) -> Step {
        Step::Keep { uuid, to: to.into(), from: from.map(str::to_owned) }
    }

    /// What is there: names and sizes of drives, names of snapshots, and the notes that no job is.
    fn picture(store: &Store) -> String {
        let drives = store.drives().into_iter().map(|drive| {
            let info = drive.info().expect("a drive");
            format!("{} {} KiB", info.name, info.size_bytes >> 10)
        });
        let snapshots = store.snapshots().into_iter().map(|snapshot| snapshot.name().expect("a snapshot"));
        let mut picture = format!("{} | {}", drives.collect::<Vec<_>>().join(", "), snapshots.collect::<Vec<_>>().join(", "));
        for note in store.notes().into_iter().filter(|note| *note != JOB) {
            picture += &format!(" | {}", String::from_utf8(store.note(note).expect("a note")).expect("text"));
        }
        picture
    }

    /// Whatever was done when the node ended, and then once more within each step, the next start makes it the same.
    fn check(steps: &[Step], expected: &str) {
        for done in 0..=steps.len() {
            let store = store();
            let records = Records::of(&store).expect("no jobs");
            records.set(JOB, Job::new(NODE, Operation::DriveClone, Vec::new(), steps.to_vec())).expect("a note");
            for step in &steps[..done] {
                // One that cannot be done is where the node ended.
                if step.apply(&store).is_err() {
                    break;
                }
            }
            for start in 0..2 {
                let jobs = Jobs::of(&store).expect("jobs");
                assert_eq!(picture(&store), expected, "{done} steps were done, start {start}");
                assert_ne!(jobs.find(JOB).map(|job| job.state), Some(JobState::Started));
            }
            assert!(store.check().expect("a check").is_clean());
        }
    }

    #[test]
    fn what_was_interrupted_is_finished() {
        let freeze = freeze(SOURCE);
        let thaw = Step::DeleteSnapshot { snapshot: BETWEEN };
        check(&[freeze, clone(BETWEEN, 2 << 20), thaw], "source 1024 KiB, made 2048 KiB | kept");
        check(&[clone(KEPT, 1 << 20)], "source 1024 KiB, made 1024 KiB | kept");
        check(&[create(MADE, 1 << 20), create(OTHER, 4096)], "source 1024 KiB, made 1024 KiB, made 4 KiB | kept");
        check(&[Step::DeleteSnapshot { snapshot: KEPT }, Step::DeleteDrive { drive: SOURCE }], " | ");
        let described = Step::DescribeDrive { drive: SOURCE, to: description("new"), from: description("source") };
        check(&[described, Step::Resize { drive: SOURCE, size_bytes: 2 << 20 }], "new 2048 KiB | kept");
        let described = Step::DescribeSnapshot { snapshot: KEPT, to: description("new"), from: description("kept") };
        check(&[described], "source 1024 KiB | new");
        check(&[keep(NOTE, "one", None), keep(OTHER, "other", None)], "source 1024 KiB | kept | one | other");
        check(&[keep(NOTE, "one", None), keep(NOTE, "other", Some("one"))], "source 1024 KiB | kept | other");
    }

    #[test]
    fn what_cannot_be_finished_is_undone() {
        let unchanged = "source 1024 KiB | kept";
        check(&[create(MADE, 4096), create(OTHER, 0)], unchanged);
        check(&[freeze(SOURCE), clone(BETWEEN, 0)], unchanged);
        check(&[freeze(MADE), clone(BETWEEN, 4096)], unchanged);
        let described = Step::DescribeDrive { drive: SOURCE, to: description("new"), from: description("source") };
        check(&[described, Step::Resize { drive: SOURCE, size_bytes: 0 }], unchanged);
        check(&[keep(NOTE, "one", None), keep(NOTE, "other", Some("one")), create(OTHER, 0)], unchanged);
    }
}
