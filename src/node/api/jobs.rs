//! What is going on, and what went on lately?
//!
//! What the node remembers as jobs, and two things that go on by themselves: a remote snapshot's way to its location, of which the remote
//! snapshot itself is the record, and what is still missing of a drive that was cloned from one.

use super::Answer;
use super::body::Object;
use super::describe::uuid_in;
use super::fault::Fault;
use super::page::Page;
use super::routes::Asked;
use super::shelf::OwnRemote;
use super::wire::{REMOTE, object, uri};
use crate::node::jobs::{Job, JobState, Operation, REMEMBERED};
use crate::node::remote::known::State;
use crate::node::timestamp::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

const DONE: u64 = 100;

/// `GET /jobs/`, `GET /jobs/detail/`
pub fn list(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let page = Page::of(&asked.call.parameters)?;
    let states: Vec<&str> = asked.call.parameter("state").map(|states| states.split(',').collect()).unwrap_or_default();
    let kept = asked.api.jobs.some(|job| job.owner == asked.caller.uuid);
    let mut all: Vec<Seen> = kept.into_iter().map(|(uuid, job)| seen(asked, uuid, job)).collect();
    let limit = Timestamp::now().before(REMEMBERED);
    let transfers = asked.api.remote_snapshots.of(asked.caller.uuid);
    let transfers = transfers.iter().filter_map(|own| transfer(asked, own));
    all.extend(transfers.filter(|seen| seen.job.state == JobState::Started || seen.job.modified >= limit));
    all.sort_by_key(|seen| seen.job.created);
    all.retain(|seen| states.is_empty() || states.contains(&seen.job.state.name().as_str()));
    Ok(Answer::json(200, page.envelope(&all, |seen| Ok(Some(shown(seen))))?))
}

/// `GET /jobs/{uuid}/`
pub fn show(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let uuid = asked.uuid()?;
    let kept = asked.api.jobs.find(uuid).map(|job| seen(asked, uuid, job));
    let found = kept.or_else(|| transfer(asked, &*asked.api.remote_snapshots.find(beside(uuid))?));
    let found = found.filter(|seen| seen.job.owner == asked.caller.uuid).ok_or_else(|| Fault::no_object(uuid))?;
    Ok(Answer::json(200, shown(&found).into()))
}

/// A job as it stands now.
struct Seen {
    uuid: Uuid,
    job: Job,
    progress: u64,
}

/// A job that is remembered.
fn seen(asked: &Asked<'_>, uuid: Uuid, mut job: Job) -> Seen {
    let drives = job.resources.iter().filter_map(|uri| asked.api.drives.find(uuid_in(&Value::from(uri.as_str()))?));
    let filling = drives.into_iter().find(|own| own.attributes.filling().is_some()).map(|own| own.handle.uuid());
    if let Some(drive) = filling.filter(|_| job.operation == Operation::DriveClone && job.state == JobState::Success) {
        job.state = JobState::Started;
        return Seen { uuid, job, progress: progress(asked, drive) };
    }
    let progress = if job.state == JobState::Started { 0 } else { DONE };
    Seen { uuid, job, progress }
}

/// A remote snapshot's way to its location; nothing if it was found there.
fn transfer(asked: &Asked<'_>, own: &OwnRemote) -> Option<Seen> {
    let known = own.handle.known().ok()?;
    let state = match known.state {
        State::Creating | State::Transferring => JobState::Started,
        State::Available if known.changed == known.timestamp => return None,
        State::Available => JobState::Success,
        State::Unavailable => JobState::Error,
        State::Deleting | State::Deleted => return None,
    };
    let resources = vec![uri(REMOTE, own.handle.uuid), uri("drives", known.drive)];
    let mut job = Job::new(own.owner, Operation::RemoteSnapshotCreate, resources, Vec::new());
    (job.state, job.created, job.modified, job.error) = (state, known.timestamp, known.changed, known.error);
    let progress = if state == JobState::Started { progress(asked, own.handle.uuid) } else { DONE };
    Some(Seen { uuid: beside(own.handle.uuid), job, progress })
}

/// The uuid of the job of a remote snapshot, and of the remote snapshot of a job: for ever the same, and written down nowhere.
fn beside(uuid: Uuid) -> Uuid {
    Uuid::from_u128(uuid.as_u128() ^ 1)
}

/// In percent of what was found to do; all of it is done when it is said to be.
fn progress(asked: &Asked<'_>, uuid: Uuid) -> u64 {
    let done = asked.api.remotes.progress(uuid).and_then(|progress| {
        u64::try_from(u128::from(progress.done_bytes) * u128::from(DONE) / u128::from(progress.total_bytes).max(1)).ok()
    });
    done.unwrap_or_default().min(DONE - 1)
}

fn shown(Seen { uuid, job, progress }: &Seen) -> Object {
    let mut data = json!({"progress": progress});
    if let Some(error) = &job.error {
        data["error"] = error.as_str().into();
    }
    object(json!({
        "children": [],
        "created": job.created.to_iso(),
        "data": data,
        "last_modified": job.modified.to_iso(),
        "operation": job.operation.name(),
        "resource_uri": uri("jobs", *uuid),
        "resources": job.resources,
        "state": job.state.name(),
        "uuid": uuid.to_string(),
    }))
}
