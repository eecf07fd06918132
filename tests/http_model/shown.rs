//! How does everything look to an account?

use floe::Uuid;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

use super::model::{Acl, Drive, Model, PERMISSIONS, STORAGE_TYPES, Snapshot, Tag, Thing};

pub fn uri(collection: &str, uuid: Uuid) -> String {
    format!("/api/2.0/{collection}/{uuid}/")
}

pub fn reference(collection: &str, uuid: Uuid) -> Value {
    json!({"resource_uri": uri(collection, uuid), "uuid": uuid.to_string()})
}

fn references<'a>(collection: &str, uuids: impl IntoIterator<Item = &'a Uuid>) -> Value {
    uuids.into_iter().map(|uuid| reference(collection, *uuid)).collect()
}

/// Permissions in the order in which they are shown.
fn words(permissions: &BTreeSet<&'static str>) -> Vec<&'static str> {
    PERMISSIONS.into_iter().filter(|permission| permissions.contains(permission)).collect()
}

impl Model {
    /// What drives and snapshots show alike.
    fn thing(&self, who: Uuid, thing: &Thing) -> Map<String, Value> {
        let own = thing.owner == who;
        let granted = self.granted(thing);
        let grantee = |(user, permissions): (&Uuid, &BTreeSet<&'static str>)| {
            let user = json!({"email": null, "resource_uri": uri("user", *user), "uuid": user.to_string()});
            json!({"permissions": words(permissions), "user": user})
        };
        let shown = json!({
            "grantees": if own { granted.iter().map(grantee).collect::<Vec<_>>() } else { Vec::new() },
            "meta": thing.meta,
            "name": thing.name,
            "owner": reference("user", thing.owner),
            "permissions": words(&self.permissions(who, thing)),
            "tags": if own { references("tags", &thing.tags) } else { json!([]) },
            "uuid": thing.uuid.to_string(),
        });
        shown.as_object().expect("an object").clone()
    }

    pub fn shown_drive(&self, who: Uuid, drive: &Drive) -> Value {
        let uuid = drive.thing.uuid;
        let mut shown = self.thing(who, &drive.thing);
        let seen = self.snapshots_of(uuid).rev().map(|snapshot| &snapshot.thing).filter(|snapshot| self.sees(who, snapshot));
        let more = json!({
            "affinities": [],
            "allow_multimount": drive.allow_multimount,
            "jobs": [],
            "licenses": [],
            "media": drive.media,
            "mounted_on": [],
            "remote_snapshots": [],
            "resource_uri": uri("drives", uuid),
            "runtime": {
                "is_snapshotable": true,
                "snapshots_allocated_size": self.allocated_of_drive(uuid),
                "storage_type": drive.storage_type,
            },
            "size": drive.size,
            "snapshots": references("snapshots", seen.map(|snapshot| &snapshot.uuid)),
            "status": if self.mounted.contains(&uuid) { "mounted" } else { "unmounted" },
            "storage_type": drive.storage_type,
        });
        shown.extend(more.as_object().expect("an object").clone());
        shown.into()
    }

    /// As the answers to what takes its time show it.
    pub fn busy_drive(&self, who: Uuid, drive: &Drive, status: &str) -> Value {
        let mut shown = self.shown_drive(who, drive);
        shown["status"] = status.into();
        if status != "resizing" {
            shown["runtime"]["is_snapshotable"] = Value::Null;
        }
        shown
    }

    pub fn shown_drive_in_short(&self, who: Uuid, drive: &Drive) -> Value {
        let mut shown = self.shown_drive(who, drive);
        let fields = shown.as_object_mut().expect("an object");
        fields.retain(|field, _| ["owner", "resource_uri", "status", "uuid"].contains(&field.as_str()));
        shown
    }

    pub fn shown_snapshot(&self, who: Uuid, snapshot: &Snapshot) -> Value {
        let mut shown = self.thing(who, &snapshot.thing);
        let more = json!({
            "allocated_size": self.allocated(snapshot),
            "drive": reference("drives", snapshot.drive),
            "resource_uri": uri("snapshots", snapshot.thing.uuid),
            "status": "available",
            "timestamp": snapshot.timestamp,
        });
        shown.extend(more.as_object().expect("an object").clone());
        shown.into()
    }

    pub fn shown_tag(&self, tag: &Tag) -> Value {
        let has = |thing: &&Thing| thing.tags.contains(&tag.uuid);
        let resource = |thing: &Thing| {
            let collection = if self.drive(thing.uuid).is_some() { "drives" } else { "snapshots" };
            json!({
                "owner": reference("user", tag.owner),
                "res_type": collection,
                "resource_uri": uri(collection, thing.uuid),
                "uuid": thing.uuid.to_string(),
            })
        };
        json!({
            "meta": tag.meta,
            "name": tag.name,
            "owner": reference("user", tag.owner),
            "resource_uri": uri("tags", tag.uuid),
            "resources": self.things().filter(has).map(resource).collect::<Vec<_>>(),
            "uuid": tag.uuid.to_string(),
        })
    }

    pub fn shown_acl(&self, acl: &Acl) -> Value {
        let grantee = |user: &Uuid| json!({"email": self.person(*user).email, "resource_uri": uri("user", *user), "uuid": user.to_string()});
        json!({
            "grantees": acl.grantees.iter().map(grantee).collect::<Vec<_>>(),
            "meta": acl.meta,
            "name": acl.name,
            "owner": reference("user", acl.owner),
            "resource_uri": uri("acls", acl.uuid),
            "rules": words(&acl.permissions).into_iter().map(|word| json!({"permission": word})).collect::<Vec<_>>(),
            "tags": references("tags", &acl.tags),
            "uuid": acl.uuid.to_string(),
        })
    }

    pub fn shown_usage(&self, who: Uuid) -> Value {
        let class = |class: &str| {
            let using = self.using(who, class);
            let subscribed = self.person(who).limits.subscribed.get(class).copied().unwrap_or_default();
            (class.to_owned(), json!({"burst": using.saturating_sub(subscribed), "subscribed": subscribed, "using": using}))
        };
        STORAGE_TYPES.into_iter().chain(["backup"]).map(class).collect::<Map<_, _>>().into()
    }

    /// Everything of a kind that an account sees: its own, then what others let it see.
    pub fn seen<'a, T>(&'a self, who: Uuid, all: &'a [T], thing: impl Fn(&T) -> &Thing) -> Vec<&'a T> {
        let mut owners: Vec<Uuid> = self.people.iter().map(|person| person.uuid).collect();
        owners.sort_unstable_by_key(|owner| (*owner != who, *owner));
        let mut seen: Vec<&T> = Vec::new();
        for owner in owners {
            seen.extend(all.iter().filter(|one| thing(one).owner == owner && self.sees(who, thing(one))));
        }
        seen
    }
}
