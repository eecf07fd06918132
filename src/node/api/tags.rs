//! What can be done with tags?
//!
//! Which tags a thing has stands with the thing: a tag is deleted in one step, and what still names it names nothing.

use super::Answer;
use super::body::{self, Object};
use super::describe::{meta_in, name_in, uuids_in};
use super::fault::Fault;
use super::page::Page;
use super::routes::Asked;
use super::sharing::Tag;
use super::shelf::{Item, Own, Shelf};
use super::wire::{self, object, reference, uri};
use super::{drives, snapshots};
use crate::node::attributes::Attributes;
use crate::node::jobs::{Description, Operation, Step};
use crate::node::records::written;
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;
use uuid::Uuid;

/// `GET /tags/`, `GET /tags/detail/`
pub fn list(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let page = Page::of(&asked.call.parameters)?;
    let all = asked.api.tags.some(|tag| tag.owner == asked.caller.uuid);
    Ok(Answer::json(200, page.envelope(&all, |(uuid, tag)| Ok(Some(shown(asked, *uuid, tag))))?))
}

/// `GET /tags/{uuid}/`
pub fn show(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let (uuid, tag) = asked_for(asked)?;
    Ok(Answer::json(200, shown(asked, uuid, &tag).into()))
}

/// `GET /tags/{uuid}/drives/`
pub fn list_drives(asked: &Asked<'_>) -> Result<Answer, Fault> {
    drives::list_whole(&asked.with_parameter("tag", &asked_for(asked)?.0.to_string()))
}

/// `GET /tags/{uuid}/snapshots/`
pub fn list_snapshots(asked: &Asked<'_>) -> Result<Answer, Fault> {
    snapshots::list(&asked.with_parameter("tag", &asked_for(asked)?.0.to_string()))
}

/// `POST /tags/`: all that the body asks for, or none.
pub fn create(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let owner = asked.caller.uuid;
    let mut wanted = Vec::new();
    for object in asked.objects()? {
        let name = name_in(&object)?.ok_or_else(|| Fault::missing("name"))?;
        let tag = Tag { owner, name, meta: meta_in(&object)?.unwrap_or_default() };
        let on = resources_in(asked, &object)?.unwrap_or_default();
        wanted.push(Wanted { uuid: Uuid::new_v4(), tag, on: Some(on) });
    }
    let deciding = asked.api.deciding(owner);
    let _deciding = deciding.lock();
    set(asked, &wanted)?;
    let objects: Vec<Object> = wanted.iter().map(|wanted| shown(asked, wanted.uuid, &wanted.tag)).collect();
    let location = wanted.first().map(|first| uri("tags", first.uuid));
    Ok(Answer { location, ..Answer::json(201, json!({"objects": objects})) })
}

/// `PUT /tags/{uuid}/`
pub fn edit(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let object = body::object(&asked.call.body)?;
    let (name, meta) = (name_in(&object)?, meta_in(&object)?);
    let deciding = asked.api.deciding(asked.caller.uuid);
    let _deciding = deciding.lock();
    let (uuid, tag) = asked_for(asked)?;
    let tag = Tag { owner: tag.owner, name: name.unwrap_or(tag.name), meta: meta.unwrap_or(tag.meta) };
    let wanted = [Wanted { uuid, tag, on: resources_in(asked, &object)? }];
    set(asked, &wanted)?;
    Ok(Answer::json(200, shown(asked, uuid, &wanted[0].tag).into()))
}

/// `DELETE /tags/{uuid}/`
pub fn delete(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let deciding = asked.api.deciding(asked.caller.uuid);
    let _deciding = deciding.lock();
    let (uuid, _) = asked_for(asked)?;
    asked.api.tags.delete(uuid)?;
    Ok(Answer::nothing())
}

fn asked_for(asked: &Asked<'_>) -> Result<(Uuid, Tag), Fault> {
    let uuid = asked.uuid()?;
    let own = asked.api.tags.find(uuid).filter(|tag| tag.owner == asked.caller.uuid);
    own.map(|tag| (uuid, tag)).ok_or_else(|| Fault::no_object(uuid))
}

fn shown(asked: &Asked<'_>, uuid: Uuid, tag: &Tag) -> Object {
    let owner = reference("user", tag.owner);
    let tagged = |collection: &str, thing: Uuid| json!({"owner": owner, "res_type": collection, "resource_uri": uri(collection, thing), "uuid": thing.to_string()});
    let mut resources = Vec::new();
    for own in asked.api.drives.of(tag.owner).iter().filter(|own| own.tags.contains(&uuid)) {
        resources.push(tagged("drives", own.handle.uuid()));
    }
    for own in asked.api.snapshots.of(tag.owner).iter().filter(|own| own.tags.contains(&uuid)) {
        resources.push(tagged("snapshots", own.handle.uuid()));
    }
    object(json!({
        "meta": tag.meta,
        "name": tag.name,
        "owner": owner,
        "resource_uri": uri("tags", uuid),
        "resources": resources,
        "uuid": uuid.to_string(),
    }))
}

/// What is to have a tag, if the body says it: it must be there, and the caller's own.
fn resources_in(asked: &Asked<'_>, object: &Object) -> Result<Option<HashSet<Uuid>>, Fault> {
    let Some(resources) = uuids_in(object, "resources")? else { return Ok(None) };
    for uuid in &resources {
        if asked.api.drives.find(*uuid).is_some() {
            asked.view.find_own(&asked.api.drives, *uuid)?;
        } else {
            asked.view.find_own(&asked.api.snapshots, *uuid)?;
        }
    }
    Ok(Some(resources.into_iter().collect()))
}

/// A tag as it is to be.
struct Wanted {
    uuid: Uuid,
    tag: Tag,
    /// Exactly what is to have it, if that is to change.
    on: Option<HashSet<Uuid>>,
}

/// Makes or changes tags, and whatever gets or loses them: all or none. The caller's things must be nobody else's to decide about.
fn set(asked: &Asked<'_>, wanted: &[Wanted]) -> Result<(), Fault> {
    let api = asked.api;
    let (drives, snapshots) = (changes(asked, &api.drives, wanted), changes(asked, &api.snapshots, wanted));
    let mut steps = Vec::new();
    for Wanted { uuid, tag, .. } in wanted {
        let there = api.tags.find(*uuid);
        if there.as_ref() != Some(tag) {
            steps.push(Step::Keep { uuid: *uuid, to: written(tag), from: there.as_ref().map(written) });
        }
    }
    for (own, from, to) in &drives {
        steps.push(Step::DescribeDrive { drive: own.handle.uuid(), to: to.clone(), from: from.clone() });
    }
    for (own, from, to) in &snapshots {
        steps.push(Step::DescribeSnapshot { snapshot: own.handle.uuid(), to: to.clone(), from: from.clone() });
    }
    if steps.is_empty() {
        return Ok(());
    }
    let uuids: Vec<Uuid> = wanted.iter().map(|wanted| wanted.uuid).collect();
    let result = asked.run(Operation::TagEdit, wire::uris("tags", &uuids), steps);
    uuids.iter().try_for_each(|uuid| api.tags.read_again(*uuid))?;
    for (own, ..) in drives {
        api.put(&api.drives, own.handle.clone())?;
    }
    for (own, ..) in snapshots {
        api.put(&api.snapshots, own.handle.clone())?;
    }
    result
}

type Redescribed<H> = (Arc<Own<H>>, Description, Description);

fn changes<H: Item>(asked: &Asked<'_>, shelf: &Shelf<H>, wanted: &[Wanted]) -> Vec<Redescribed<H>> {
    let mut changes = Vec::new();
    for own in shelf.of(asked.caller.uuid) {
        let uuid = own.handle.uuid();
        let changed =
            |Wanted { uuid: tag, on, .. }: &&Wanted| on.as_ref().is_some_and(|on| own.tags.contains(tag) != on.contains(&uuid));
        if !wanted.iter().any(|wanted| changed(&wanted)) {
            continue;
        }
        let mut tags = asked.view.tags(&own);
        for Wanted { uuid: tag, on, .. } in wanted.iter().filter(changed) {
            tags.retain(|other| other != tag);
            tags.extend(on.as_ref().filter(|on| on.contains(&uuid)).map(|_| *tag));
        }
        let mut attributes = own.attributes.clone();
        attributes.set_tags(&tags);
        let description = |attributes: &Attributes| Description { name: own.name.clone(), attributes: attributes.to_text() };
        let (from, to) = (description(&own.attributes), description(&attributes));
        changes.push((own, from, to));
    }
    changes
}
