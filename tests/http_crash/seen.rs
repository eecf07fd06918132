//! What does a node say that there is?

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

use super::node::{Node, Who};
use super::state::{Acl, Drive, Id, Shown, Snapshot, Tag};

/// The uuids of things that are there, by the ids that clients gave them.
pub type Uuids = BTreeMap<Id, String>;

/// What a client's part of an account is, and the uuids of everything in it.
pub struct Seen {
    objects: [Vec<Value>; 4],
    ids: BTreeMap<String, Id>,
}

/// The id that a client wrote into a thing.
fn id_of(object: &Value) -> Result<Id, String> {
    let id = object["meta"]["id"].as_str().map(str::to_owned);
    id.ok_or_else(|| format!("this is nothing that a client made: {object}"))
}

/// Takes the uuids from an answer of any form.
pub fn learn(answer: &Value, uuids: &mut Uuids) {
    match answer {
        Value::Object(object) => {
            if let (Ok(id), Some(uuid)) = (id_of(answer), answer["uuid"].as_str()) {
                uuids.insert(id, uuid.to_owned());
            }
            object.values().for_each(|value| learn(value, uuids));
        }
        Value::Array(values) => values.iter().for_each(|value| learn(value, uuids)),
        _ => {}
    }
}

fn text(object: &Value, field: &str) -> String {
    object[field].as_str().unwrap_or_else(|| panic!("{field} is text: {object}")).to_owned()
}

fn note(object: &Value) -> String {
    text(&object["meta"], "note")
}

impl Seen {
    /// Everything an account has. Nothing may be unfinished, and things and their tags must agree.
    pub fn of(node: &Node, who: Who) -> Result<Self, String> {
        let list = |path: &str| {
            let reply = node.call(who, &format!("GET {path}limit=0"), "");
            assert_eq!(reply.status, 200, "{path}: {}", reply.body);
            reply.json()["objects"].as_array().expect("a list").clone()
        };
        if let Some(job) = list("/jobs/?state=started&").first() {
            return Err(format!("a job was neither finished nor undone: {job}"));
        }
        let objects = ["/drives/detail/?", "/snapshots/?", "/tags/?", "/acls/?"].map(list);
        let mut ids = BTreeMap::new();
        for object in objects.iter().flatten() {
            if ids.insert(text(object, "uuid"), id_of(object)?).is_some() {
                return Err(format!("this is there twice: {object}"));
            }
        }
        let seen = Self { objects, ids };
        seen.check_tags()?;
        Ok(seen)
    }

    pub fn uuids(&self) -> Uuids {
        self.ids.iter().map(|(uuid, id)| (id.clone(), uuid.clone())).collect()
    }

    /// What belongs to the client whose ids begin like that.
    pub fn of_client(&self, prefix: &str) -> Result<Shown, String> {
        let [drives, snapshots, tags, acls] = &self.objects;
        let drive = |drive: &Value| {
            Ok(Drive {
                name: text(drive, "name"),
                note: note(drive),
                size: drive["size"].as_u64().ok_or("a drive without a size")?,
                media: text(drive, "media"),
                storage_type: text(drive, "storage_type"),
                tags: self.tags_of(drive)?,
            })
        };
        let snapshot = |snapshot: &Value| {
            let (name, drive) = (text(snapshot, "name"), text(&snapshot["drive"], "uuid"));
            let drive = self.ids.get(&drive).ok_or_else(|| format!("a snapshot of no drive: {snapshot}"))?.clone();
            Ok(Snapshot { name, note: note(snapshot), drive, tags: self.tags_of(snapshot)? })
        };
        let tag = |tag: &Value| Ok(Tag { name: text(tag, "name"), note: note(tag) });
        let acl = |acl: &Value| Ok(Acl { name: text(acl, "name"), note: note(acl), tags: self.tags_of(acl)? });
        Ok(Shown {
            drives: of_client(prefix, drives, drive)?,
            snapshots: of_client(prefix, snapshots, snapshot)?,
            tags: of_client(prefix, tags, tag)?,
            acls: of_client(prefix, acls, acl)?,
        })
    }

    fn tags_of(&self, object: &Value) -> Result<BTreeSet<Id>, String> {
        let tags = object["tags"].as_array().expect("a list").iter().map(|tag| text(tag, "uuid"));
        tags.map(|tag| self.ids.get(&tag).cloned().ok_or_else(|| format!("a tag that is not there: {object}"))).collect()
    }

    /// A tag says that a thing has it if and only if the thing says so.
    fn check_tags(&self) -> Result<(), String> {
        let [drives, snapshots, tags, _] = &self.objects;
        for tag in tags {
            let said: BTreeSet<String> =
                tag["resources"].as_array().expect("a list").iter().map(|thing| text(thing, "uuid")).collect();
            let has = |thing: &&Value| thing["tags"].as_array().expect("a list").iter().any(|one| one["uuid"] == tag["uuid"]);
            let found: BTreeSet<String> = drives.iter().chain(snapshots).filter(has).map(|thing| text(thing, "uuid")).collect();
            if said != found {
                return Err(format!("the tag and the things that have it do not agree: {tag}, {found:?}"));
            }
        }
        Ok(())
    }
}

fn of_client<T>(prefix: &str, objects: &[Value], shown: impl Fn(&Value) -> Result<T, String>) -> Result<BTreeMap<Id, T>, String> {
    let mut all = BTreeMap::new();
    for object in objects {
        let id = id_of(object)?;
        if id.starts_with(prefix) {
            let one = shown(object)?;
            if all.insert(id, one).is_some() {
                return Err(format!("this was made twice: {object}"));
            }
        }
    }
    Ok(all)
}
