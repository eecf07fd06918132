//! What is going on, and what went on lately?

use super::Answer;
use super::body::Object;
use super::fault::Fault;
use super::page::Page;
use super::routes::Asked;
use super::wire::{object, uri};
use crate::node::jobs::{Job, JobState};
use serde_json::json;
use uuid::Uuid;

/// `GET /jobs/`, `GET /jobs/detail/`
pub fn list(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let page = Page::of(&asked.call.parameters)?;
    let states: Vec<&str> = asked.call.parameter("state").map(|states| states.split(',').collect()).unwrap_or_default();
    let mut all = asked.api.jobs.some(|job| job.owner == asked.caller.uuid);
    all.retain(|(_, job)| states.is_empty() || states.contains(&job.state.name().as_str()));
    Ok(Answer::json(200, page.envelope(&all, |(uuid, job)| Ok(Some(shown(*uuid, job))))?))
}

/// `GET /jobs/{uuid}/`
pub fn show(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let uuid = asked.uuid()?;
    let job = asked.api.jobs.find(uuid).filter(|job| job.owner == asked.caller.uuid).ok_or_else(|| Fault::no_object(uuid))?;
    Ok(Answer::json(200, shown(uuid, &job).into()))
}

fn shown(uuid: Uuid, job: &Job) -> Object {
    let progress = if job.state == JobState::Started { 0 } else { 100 };
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
        "resource_uri": uri("jobs", uuid),
        "resources": job.resources,
        "state": job.state.name(),
        "uuid": uuid.to_string(),
    }))
}
