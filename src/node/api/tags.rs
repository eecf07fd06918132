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
use crate::node::jobs::{Description, Operation, Step};
use serde_json::json;
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

/// `POST /tags/`
pub fn create(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let owner = asked.caller.uuid;
    let mut wanted = Vec::new();
    for object in asked.objects()? {
        let name = name_in(&object)?.ok_or_else(|| Fault::missing("name"))?;
        let tag = Tag { owner, name, meta: meta_in(&object)?.unwrap_or_default() };
        let resources = uuids_in(&object, "resources")?.unwrap_or_default();
        check(asked, &resources)?;
        wanted.push((Uuid::new_v4(), tag, resources));
    }
    for (uuid, tag, resources) in &wanted {
        asked.api.tags.set(*uuid, tag.clone())?;
        put_on(asked, *uuid, resources)?;
    }
    let objects: Vec<Object> = wanted.iter().map(|(uuid, tag, _)| shown(asked, *uuid, tag)).collect();
    let location = wanted.first().map(|(uuid, ..)| uri("tags", *uuid));
    Ok(Answer { location, ..Answer::json(201, json!({"objects": objects})) })
}

/// `PUT /tags/{uuid}/`
pub fn edit(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let (uuid, _) = asked_for(asked)?;
    let object = body::object(&asked.call.body)?;
    let (name, meta, resources) = (name_in(&object)?, meta_in(&object)?, uuids_in(&object, "resources")?);
    check(asked, resources.as_deref().unwrap_or_default())?;
    let changed = asked.api.tags.change(uuid, |tag| {
        tag.name = name.unwrap_or_else(|| std::mem::take(&mut tag.name));
        tag.meta = meta.unwrap_or_else(|| std::mem::take(&mut tag.meta));
    })?;
    let tag = changed.ok_or_else(|| Fault::no_object(uuid))?;
    if let Some(resources) = resources {
        put_on(asked, uuid, &resources)?;
    }
    Ok(Answer::json(200, shown(asked, uuid, &tag).into()))
}

/// `DELETE /tags/{uuid}/`
pub fn delete(asked: &Asked<'_>) -> Result<Answer, Fault> {
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

/// What is to have a tag must be there, and the caller's own.
fn check(asked: &Asked<'_>, resources: &[Uuid]) -> Result<(), Fault> {
    for uuid in resources {
        if asked.api.drives.find(*uuid).is_some() {
            asked.view.find_own(&asked.api.drives, *uuid)?;
        } else {
            asked.view.find_own(&asked.api.snapshots, *uuid)?;
        }
    }
    Ok(())
}

/// Exactly those of the caller's drives and snapshots have the tag from now on.
fn put_on(asked: &Asked<'_>, tag: Uuid, resources: &[Uuid]) -> Result<(), Fault> {
    let api = asked.api;
    let deciding = api.deciding(asked.caller.uuid);
    let _deciding = deciding.lock();
    let drives = changes(asked, &api.drives, tag, resources);
    let snapshots = changes(asked, &api.snapshots, tag, resources);
    let mut steps = Vec::new();
    for (own, from, to) in &drives {
        steps.push(Step::DescribeDrive { drive: own.handle.uuid(), to: to.clone(), from: from.clone() });
    }
    for (own, from, to) in &snapshots {
        steps.push(Step::DescribeSnapshot { snapshot: own.handle.uuid(), to: to.clone(), from: from.clone() });
    }
    if steps.is_empty() {
        return Ok(());
    }
    let result = asked.run(Operation::TagEdit, vec![wire::uri("tags", tag)], steps);
    for (own, ..) in drives {
        api.put(&api.drives, own.handle.clone())?;
    }
    for (own, ..) in snapshots {
        api.put(&api.snapshots, own.handle.clone())?;
    }
    result
}

type Redescribed<H> = (Arc<Own<H>>, Description, Description);

fn changes<H: Item>(asked: &Asked<'_>, shelf: &Shelf<H>, tag: Uuid, resources: &[Uuid]) -> Vec<Redescribed<H>> {
    let mut changes = Vec::new();
    for own in shelf.of(asked.caller.uuid) {
        let (has, shall) = (own.tags.contains(&tag), resources.contains(&own.handle.uuid()));
        if has == shall {
            continue;
        }
        let mut tags = asked.view.tags(&own);
        tags.retain(|other| *other != tag);
        tags.extend(shall.then_some(tag));
        let mut attributes = own.attributes.clone();
        attributes.set_tags(&tags);
        let description = |attributes: &crate::node::attributes::Attributes| Description {
            name: own.name.clone(),
            attributes: attributes.to_text(),
        };
        let (from, to) = (description(&own.attributes), description(&attributes));
        changes.push((own, from, to));
    }
    changes
}
