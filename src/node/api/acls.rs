//! What can be done with ACLs?

use super::Answer;
use super::body::{self, Object};
use super::describe::{meta_in, name_in, uuid_in};
use super::fault::Fault;
use super::page::Page;
use super::routes::Asked;
use super::sharing::{Acl, Permission};
use super::wire::{object, reference, references, uri, uris};
use crate::node::jobs::{Operation, Step};
use crate::node::records::written;
use serde_json::{Value, json};
use uuid::Uuid;

/// `GET /acls/`
pub fn list(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let page = Page::of(&asked.call.parameters)?;
    let all = asked.api.acls.some(|acl| acl.owner == asked.caller.uuid);
    Ok(Answer::json(200, page.envelope(&all, |(uuid, acl)| Ok(Some(shown(asked, *uuid, acl))))?))
}

/// `GET /acls/{uuid}/`
pub fn show(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let (uuid, acl) = asked_for(asked)?;
    Ok(Answer::json(200, shown(asked, uuid, &acl).into()))
}

/// `POST /acls/`: all that the body asks for, or none.
pub fn create(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let owner = asked.caller.uuid;
    let mut wanted = Vec::new();
    for object in asked.objects()? {
        let name = name_in(&object)?.ok_or_else(|| Fault::missing("name"))?;
        let mut acl = Acl { owner, name, meta: Object::new(), grantees: Vec::new(), permissions: Vec::new(), tags: Vec::new() };
        describe(asked, &mut acl, &object)?;
        wanted.push((Uuid::new_v4(), acl));
    }
    let uuids: Vec<Uuid> = wanted.iter().map(|(uuid, _)| *uuid).collect();
    let steps = wanted.iter().map(|(uuid, acl)| Step::Keep { uuid: *uuid, to: written(acl), from: None }).collect();
    asked.run(Operation::AclCreate, uris("acls", &uuids), steps)?;
    uuids.iter().try_for_each(|uuid| asked.api.acls.read_again(*uuid))?;
    let objects: Vec<Object> = wanted.iter().map(|(uuid, acl)| shown(asked, *uuid, acl)).collect();
    let location = wanted.first().map(|(uuid, _)| uri("acls", *uuid));
    Ok(Answer { location, ..Answer::json(201, json!({"objects": objects})) })
}

/// `PUT /acls/{uuid}/`
pub fn edit(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let (uuid, mut acl) = asked_for(asked)?;
    describe(asked, &mut acl, &body::object(&asked.call.body)?)?;
    let changed = asked.api.acls.change(uuid, |there| *there = acl)?;
    let acl = changed.ok_or_else(|| Fault::no_object(uuid))?;
    Ok(Answer::json(200, shown(asked, uuid, &acl).into()))
}

/// `DELETE /acls/{uuid}/`
pub fn delete(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let (uuid, _) = asked_for(asked)?;
    asked.api.acls.delete(uuid)?;
    Ok(Answer::nothing())
}

fn asked_for(asked: &Asked<'_>) -> Result<(Uuid, Acl), Fault> {
    let uuid = asked.uuid()?;
    let own = asked.api.acls.find(uuid).filter(|acl| acl.owner == asked.caller.uuid);
    own.map(|acl| (uuid, acl)).ok_or_else(|| Fault::no_object(uuid))
}

/// Takes over what a body says.
fn describe(asked: &Asked<'_>, acl: &mut Acl, object: &Object) -> Result<(), Fault> {
    if let Some(name) = name_in(object)? {
        acl.name = name;
    }
    if let Some(meta) = meta_in(object)? {
        acl.meta = meta;
    }
    if let Some(tags) = asked.api.tags_in(acl.owner, object)? {
        acl.tags = tags;
    }
    if let Some(grantees) = list_in(object, "grantees")? {
        acl.grantees = grantees.iter().map(|grantee| account_of(asked, grantee)).collect::<Result<_, _>>()?;
    }
    if let Some(rules) = list_in(object, "rules")? {
        acl.permissions = rules.iter().map(permission_of).collect::<Result<_, _>>()?;
        acl.permissions.sort_unstable();
        acl.permissions.dedup();
    }
    Ok(())
}

fn list_in<'a>(object: &'a Object, field: &str) -> Result<Option<&'a Vec<Value>>, Fault> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(values)) => Ok(Some(values)),
        Some(_) => Err(Fault::invalid(field, "it is no list")),
    }
}

/// By uuid or by email; who has no account cannot be named, and is not told from who has one and is named wrongly.
fn account_of(asked: &Asked<'_>, grantee: &Value) -> Result<Uuid, Fault> {
    let by_uuid = uuid_in(grantee).and_then(|uuid| asked.api.accounts.find(uuid));
    let by_email = || asked.api.accounts.by_email(grantee.get("email")?.as_str()?);
    let account = by_uuid.or_else(by_email);
    account.map(|account| account.uuid).ok_or_else(|| Fault::invalid("grantees", "it names somebody who has no account here"))
}

fn permission_of(rule: &Value) -> Result<Permission, Fault> {
    let name = rule.get("permission").and_then(Value::as_str).or(rule.as_str());
    name.and_then(Permission::named).ok_or_else(|| Fault::invalid("rules", "it holds what is no permission"))
}

fn shown(asked: &Asked<'_>, uuid: Uuid, acl: &Acl) -> Object {
    let grantee = |grantee: &Uuid| {
        let email = asked.api.accounts.find(*grantee).map(|account| account.email);
        json!({"email": email, "resource_uri": uri("user", *grantee), "uuid": grantee.to_string()})
    };
    let tags: Vec<Uuid> = acl.tags.iter().filter(|tag| asked.api.tags.find(**tag).is_some()).copied().collect();
    object(json!({
        "grantees": acl.grantees.iter().map(grantee).collect::<Vec<_>>(),
        "meta": acl.meta,
        "name": acl.name,
        "owner": reference("user", acl.owner),
        "resource_uri": uri("acls", uuid),
        "rules": acl.permissions.iter().map(|permission| json!({"permission": permission.name()})).collect::<Vec<_>>(),
        "tags": references("tags", &tags),
        "uuid": uuid.to_string(),
    }))
}
