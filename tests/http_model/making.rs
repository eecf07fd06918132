//! What is done with drives and snapshots, and what must come of it?

use floe::Uuid;
use serde_json::{Value, json};
use std::collections::BTreeMap;

use super::caller::{World, uuid_of};
use super::model::{BLOCK, Drive, FORBIDDEN, Image, Model, NOT_FOUND, OK, STORAGE_TYPES, Snapshot, Thing};
use super::shown::{reference, uri};

const SECTOR: u64 = 512;
const DRIVE_BLOCKS: u64 = 8;

fn rounded(size: u64) -> u64 {
    size.next_multiple_of(SECTOR)
}

/// Something that cannot be meant: what is put into an object, and how that is answered.
fn faults() -> [(&'static str, Value, u16); 11] {
    [
        ("name", json!(7), 400),
        ("name", json!("x".repeat(256)), 400),
        ("name", json!("zero\0"), 400),
        ("size", json!(511), 400),
        ("size", json!("many"), 400),
        ("size", json!(-4096), 400),
        ("media", json!("tape"), 400),
        ("storage_type", json!("paper"), 400),
        ("meta", json!({"key": 1}), 400),
        ("meta", json!({"k".repeat(33): "x"}), 400),
        ("tags", json!([Uuid::from_u128(7)]), NOT_FOUND),
    ]
}

impl World {
    fn size(&mut self) -> u64 {
        BLOCK + self.dice.below(BLOCK * (DRIVE_BLOCKS - 1))
    }

    /// A size that something of `now` bytes may get; often the largest that its owner's limit allows, or the next one.
    fn size_at_the_limit(&mut self, owner: Uuid, now: u64) -> u64 {
        let class = STORAGE_TYPES[0];
        let max = self.model.person(owner).limits.bytes.get(class).copied();
        let left = max.map_or(0, |max| max.saturating_sub(self.model.using(owner, class)));
        let size = (now + left) / SECTOR * SECTOR + SECTOR * self.dice.below(2);
        if left == 0 || size < BLOCK || self.chance(2) { self.size() } else { size }
    }

    /// Spoils an object now and then; what it is answered then.
    fn spoil(&mut self, object: &mut Value, among: &[&str]) -> Option<u16> {
        if !self.chance(8) {
            return None;
        }
        let fitting: Vec<_> = faults().into_iter().filter(|(field, ..)| among.contains(field)).collect();
        let (field, value, status) = self.one_of(&fitting)?;
        object[field] = value;
        Some(status)
    }

    // --- drives ------------------------------------------------------------------------------------------------

    pub fn create_drives(&mut self) {
        let who = self.anybody();
        let mut drives = Vec::new();
        let mut objects = Vec::new();
        let mut status = None;
        for _ in 0..1 + self.dice.below(3) {
            let (name, meta, tags, size) = (self.name(), self.meta(), self.tags_of(who), self.size_at_the_limit(who, 0));
            let storage_type = STORAGE_TYPES[self.dice.below(3) as usize].to_owned();
            let media = ["disk", "cdrom"][self.dice.below(2) as usize].to_owned();
            let mut object = json!({
                "name": name, "size": size, "media": media, "storage_type": storage_type, "meta": meta, "tags": tags,
            });
            if status.is_none() && self.chance(20) {
                let field = ["name", "size", "media"][self.dice.below(3) as usize];
                object.as_object_mut().expect("an object").remove(field);
                status = Some(400);
            } else if status.is_none() {
                status = self.spoil(&mut object, &["name", "size", "media", "storage_type", "meta", "tags"]);
            }
            // Numbers may be text.
            if object["size"].is_u64() && self.chance(3) {
                object["size"] = object["size"].to_string().into();
            }
            objects.push(object);
            let thing = Thing { uuid: Uuid::nil(), owner: who, name, meta, tags };
            let (size, image) = (rounded(size), Image::new());
            drives.push(Drive { thing, size, media, storage_type, allow_multimount: false, image });
        }
        let mut more: BTreeMap<&str, u64> = BTreeMap::new();
        drives.iter().for_each(|drive| *more.entry(&drive.storage_type).or_default() += drive.size);
        let fits = more.iter().all(|(class, more)| self.model.allows_bytes(who, class, *more));
        let status = status.unwrap_or(if fits { 201 } else { FORBIDDEN });
        let body = self.in_some_form(objects);
        let answer = self.answer(who, "POST /drives/", &[], &body, status);
        if status == 201 {
            let made = answer.body.expect("an answer")["objects"].as_array().expect("a list").clone();
            assert_eq!(made.len(), drives.len());
            for (drive, made) in drives.iter_mut().zip(&made) {
                drive.thing.uuid = uuid_of(made);
                assert_eq!(*made, self.model.busy_drive(who, drive, "creating"));
            }
            assert_eq!(answer.location, Some(uri("drives", drives[0].thing.uuid)));
            self.model.drives.extend(drives);
        }
    }

    /// In one of the three forms that collections take.
    pub fn in_some_form(&mut self, mut objects: Vec<Value>) -> Value {
        match self.dice.below(3) {
            0 if objects.len() == 1 => objects.remove(0),
            1 => objects.into(),
            _ => json!({"objects": objects}),
        }
    }

    pub fn edit_drive(&mut self) {
        let (who, uuid) = (self.anybody(), self.any_drive());
        let found = self.model.drive(uuid).cloned();
        let access = self.model.may(who, found.as_ref().map(|drive| &drive.thing), "EDIT");
        let Some(found) = found.filter(|_| access == OK) else {
            self.call(who, &format!("PUT /drives/{uuid}/"), &json!({"name": "x"}), access);
            return;
        };
        let mut drive = found.clone();
        let own = drive.thing.owner == who;
        // Half of the time everything that was read is sent back, with the changes.
        let mut body = if self.chance(2) { self.model.shown_drive(who, &found) } else { json!({}) };
        if self.chance(2) {
            drive.thing.name = self.name();
            body["name"] = drive.thing.name.clone().into();
        }
        if self.chance(2) {
            drive.thing.meta = self.meta();
            body["meta"] = drive.thing.meta.clone().into();
        }
        if self.chance(2) {
            // Whoever was let in by tags sees none, and changes none.
            let tags = self.tags_of(who);
            body["tags"] = tags.iter().map(Uuid::to_string).collect();
            drive.thing.tags = if own { tags } else { drive.thing.tags };
        }
        if own && self.chance(4) {
            drive.allow_multimount = !drive.allow_multimount;
            body["allow_multimount"] = drive.allow_multimount.into();
        }
        let mut status = OK;
        if self.chance(3) {
            let size = self.size_at_the_limit(found.thing.owner, found.size);
            body["size"] = size.into();
            status = self.may_become(&found, rounded(size));
            drive.size = rounded(size);
        }
        if let Some(spoiled) = self.spoil(&mut body, &["name", "size", "media", "storage_type", "meta"]) {
            status = spoiled;
        }
        let answer = self.call(who, &format!("PUT /drives/{uuid}/"), &body, status);
        if status == OK {
            let grown = drive.size != found.size;
            self.replace_drive(drive.clone());
            let shown = if grown { self.model.busy_drive(who, &drive, "resizing") } else { self.model.shown_drive(who, &drive) };
            assert_eq!(answer, shown);
        }
    }

    fn replace_drive(&mut self, drive: Drive) {
        let there = self.model.drives.iter_mut().find(|there| there.thing.uuid == drive.thing.uuid);
        *there.expect("it is there") = drive;
    }

    /// How it is answered that a drive is to get a size.
    fn may_become(&self, drive: &Drive, size: u64) -> u16 {
        match size.checked_sub(drive.size) {
            None => 400,
            Some(0) => OK,
            Some(more) if self.model.allows_bytes(drive.thing.owner, &drive.storage_type, more) => OK,
            Some(_) => FORBIDDEN,
        }
    }

    pub fn resize(&mut self) {
        let (who, uuid) = (self.anybody(), self.any_drive());
        let found = self.model.drive(uuid).cloned();
        let size = found.as_ref().map_or(BLOCK, |drive| self.size_at_the_limit(drive.thing.owner, drive.size));
        let mut status = self.model.may(who, found.as_ref().map(|drive| &drive.thing), "EDIT");
        if let Some(found) = found.as_ref().filter(|_| status == OK) {
            status = self.may_become(found, rounded(size));
        }
        let status = if status == OK { 202 } else { status };
        let parameters = [("do".to_owned(), "resize".to_owned())];
        let line = format!("POST /drives/{uuid}/action/");
        let answer = self.answer(who, &line, &parameters, &json!({"size": size}), status);
        if let Some(found) = found.filter(|_| status == 202) {
            let shown = self.model.busy_drive(who, &found, "resizing");
            assert_eq!(answer.body, Some(json!({"objects": [shown]})), "the size is still the old one");
            self.replace_drive(Drive { size: rounded(size), ..found });
        }
    }

    /// Deletes one or several, by the call for one or by that for several.
    fn delete(&mut self, collection: &str, who: Uuid, uuids: Vec<Uuid>, may: impl Fn(&Model, Uuid) -> u16) -> bool {
        // The first that cannot be deleted decides, in the order of uuids.
        let mut sorted = uuids.clone();
        sorted.sort_unstable();
        let refused = sorted.iter().map(|uuid| may(&self.model, *uuid)).find(|status| *status != OK);
        let status = refused.unwrap_or(204);
        if uuids.len() == 1 && self.chance(2) {
            self.call(who, &format!("DELETE /{collection}/{}/", uuids[0]), &Value::Null, status);
        } else {
            let objects: Vec<Value> = uuids.iter().map(|uuid| json!({"uuid": uuid.to_string()})).collect();
            self.call(who, &format!("DELETE /{collection}/"), &json!({"objects": objects}), status);
        }
        status == 204
    }

    pub fn delete_drives(&mut self) {
        let (who, count) = (self.anybody(), 1 + self.dice.below(2));
        let uuids: Vec<Uuid> = (0..count).map(|_| self.any_drive()).collect();
        let may = |model: &Model, uuid: Uuid| match model.may_own(who, model.drive(uuid).map(|drive| &drive.thing)) {
            OK if model.mounted.contains(&uuid) => FORBIDDEN,
            status => status,
        };
        if self.delete("drives", who, uuids.clone(), may) {
            uuids.into_iter().for_each(|uuid| self.model.delete_drive(uuid));
        }
    }

    // --- snapshots ---------------------------------------------------------------------------------------------

    pub fn create_snapshots(&mut self) {
        let who = self.anybody();
        let mut wanted: Vec<(Uuid, Option<String>, Thing)> = Vec::new();
        let mut objects = Vec::new();
        let mut refused = None;
        for _ in 0..1 + self.dice.below(3) {
            let (drive, name, meta, tags) = (self.any_drive(), self.name(), self.meta(), self.tags_of(who));
            let name = (!self.chance(3)).then_some(name);
            let mut object = json!({"name": name, "drive": drive.to_string(), "meta": meta, "tags": tags});
            match self.dice.below(3) {
                0 => object["drive"] = reference("drives", drive),
                1 => object["drive"] = uri("drives", drive).into(),
                _ => {}
            }
            let access = self.model.may_own(who, self.model.drive(drive).map(|drive| &drive.thing));
            if refused.is_none() {
                refused = if access == OK { self.spoil(&mut object, &["name", "meta", "tags"]) } else { Some(access) };
            }
            objects.push(object);
            let thing = Thing { uuid: Uuid::nil(), owner: who, name: name.clone().unwrap_or_default(), meta, tags };
            wanted.push((drive, name, thing));
        }
        let limits = &self.model.person(who).limits;
        let (max, max_per_drive) = (limits.snapshots.unwrap_or(700), limits.snapshots_per_drive.unwrap_or(90));
        let own = self.model.snapshots.iter().filter(|snapshot| snapshot.thing.owner == who).count() + wanted.len();
        let of_drive =
            |drive: Uuid| self.model.snapshots_of(drive).count() + wanted.iter().filter(|(other, ..)| *other == drive).count();
        let fits = own as u64 <= max && wanted.iter().all(|(drive, ..)| of_drive(*drive) as u64 <= max_per_drive);
        let status = refused.unwrap_or(if fits { 201 } else { FORBIDDEN });
        let body = self.in_some_form(objects);
        let answer = self.answer(who, "POST /snapshots/", &[], &body, status);
        if status == 201 {
            let made = answer.body.expect("an answer")["objects"].as_array().expect("a list").clone();
            assert_eq!(made.len(), wanted.len());
            assert_eq!(answer.location, Some(uri("snapshots", uuid_of(&made[0]))));
            for ((drive, name, mut thing), made) in wanted.into_iter().zip(&made) {
                let timestamp = made["timestamp"].as_str().expect("text").to_owned();
                let moment = format!("{drive}__{}__{}", &timestamp[..10], timestamp[11..19].replace(':', "_"));
                thing.name = name.unwrap_or(moment);
                thing.uuid = uuid_of(made);
                let Drive { size, image, .. } = self.model.drive(drive).expect("it was found").clone();
                self.model.snapshots.push(Snapshot { thing, drive, size, timestamp, image });
            }
            for made in &made {
                let snapshot = self.model.snapshot(uuid_of(made)).expect("it was made");
                let mut shown = self.model.shown_snapshot(who, snapshot);
                (shown["status"], shown["allocated_size"]) = ("creating".into(), Value::Null);
                assert_eq!(*made, shown);
            }
        }
    }

    pub fn edit_snapshot(&mut self) {
        let (who, uuid) = (self.anybody(), self.any_snapshot());
        let found = self.model.snapshot(uuid).cloned();
        let access = self.model.may(who, found.as_ref().map(|snapshot| &snapshot.thing), "EDIT");
        let Some(mut snapshot) = found.filter(|_| access == OK) else {
            self.call(who, &format!("PUT /snapshots/{uuid}/"), &json!({"name": "x"}), access);
            return;
        };
        let mut body = if self.chance(2) { self.model.shown_snapshot(who, &snapshot) } else { json!({}) };
        if self.chance(2) {
            snapshot.thing.name = self.name();
            body["name"] = snapshot.thing.name.clone().into();
        }
        if self.chance(2) {
            snapshot.thing.meta = self.meta();
            body["meta"] = snapshot.thing.meta.clone().into();
        }
        if self.chance(2) {
            let tags = self.tags_of(who);
            body["tags"] = tags.iter().map(|tag| reference("tags", *tag)).collect();
            snapshot.thing.tags = if snapshot.thing.owner == who { tags } else { snapshot.thing.tags };
        }
        let mut status = OK;
        if self.chance(10) {
            body["drive"] = Uuid::new_v4().to_string().into();
            status = 400;
        } else if let Some(spoiled) = self.spoil(&mut body, &["name", "meta"]) {
            status = spoiled;
        }
        let answer = self.call(who, &format!("PUT /snapshots/{uuid}/"), &body, status);
        if status == OK {
            let there = self.model.snapshots.iter_mut().find(|there| there.thing.uuid == uuid).expect("it is there");
            *there = snapshot.clone();
            assert_eq!(answer, self.model.shown_snapshot(who, &snapshot));
        }
    }

    pub fn delete_snapshots(&mut self) {
        let (who, count) = (self.anybody(), 1 + self.dice.below(3));
        let uuids: Vec<Uuid> = (0..count).map(|_| self.any_snapshot()).collect();
        let may = |model: &Model, uuid: Uuid| model.may_own(who, model.snapshot(uuid).map(|snapshot| &snapshot.thing));
        if self.delete("snapshots", who, uuids.clone(), may) {
            self.model.snapshots.retain(|snapshot| !uuids.contains(&snapshot.thing.uuid));
        }
    }

    // --- clones ------------------------------------------------------------------------------------------------

    pub fn clone_something(&mut self) {
        let who = self.anybody();
        let of_drive = self.chance(2);
        let uuid = if of_drive { self.any_drive() } else { self.any_snapshot() };
        let collection = if of_drive { "drives" } else { "snapshots" };
        let source = if of_drive { self.model.drive(uuid).cloned() } else { self.snapshot_as_drive(uuid) };
        let mut status = self.model.may(who, source.as_ref().map(|drive| &drive.thing), "CLONE");
        let mut body = Value::Null;
        let mut clone = None;
        if let Some(source) = source.filter(|_| status == OK) {
            let mut drive = Drive { allow_multimount: false, ..source.clone() };
            drive.thing = Thing {
                uuid: Uuid::nil(),
                owner: who,
                meta: json!({}).as_object().expect("it is").clone(),
                tags: vec![],
                ..drive.thing
            };
            if self.model.person(who).counts_clones {
                drive.thing.name = counted(&drive.thing.name);
            }
            if self.chance(2) {
                (drive.thing.name, drive.thing.meta, drive.thing.tags) = (self.name(), self.meta(), self.tags_of(who));
                body = json!({"name": drive.thing.name, "meta": drive.thing.meta, "tags": drive.thing.tags});
                if self.chance(2) {
                    let size = self.size();
                    body["size"] = size.into();
                    drive.size = rounded(size);
                }
                if self.chance(3) {
                    drive.storage_type = STORAGE_TYPES[self.dice.below(3) as usize].to_owned();
                    body["storage_type"] = drive.storage_type.clone().into();
                }
            }
            if drive.size < source.size {
                status = 400;
            } else if !self.model.allows_bytes(who, &drive.storage_type, drive.size) {
                status = FORBIDDEN;
            }
            if !body.is_null()
                && let Some(spoiled) = self.spoil(&mut body, &["name", "media", "storage_type", "meta", "tags"])
            {
                status = if status == 400 { 400 } else { spoiled };
            }
            clone = Some(drive);
        }
        let status = if status == OK { 202 } else { status };
        let parameters = [("do".to_owned(), "clone".to_owned()), ("avoid".to_owned(), uuid.to_string())];
        let answer = self.answer(who, &format!("POST /{collection}/{uuid}/action/"), &parameters, &body, status);
        let Some(mut drive) = clone.filter(|_| status == 202) else { return };
        let answer = answer.body.expect("an answer");
        let shown = if of_drive { answer["objects"][0].clone() } else { answer };
        drive.thing.uuid = uuid_of(&shown);
        let mut expected = self.model.busy_drive(who, &drive, "cloning_dst");
        let job = shown["jobs"][0].clone();
        expected["jobs"] = json!([reference("jobs", uuid_of(&job))]);
        if !of_drive {
            expected["resource_uri"] = reference("drives", drive.thing.uuid);
        }
        assert_eq!(shown, expected);
        let job = self.get(who, &format!("/jobs/{}/", uuid_of(&job)), &[]);
        assert_eq!((&job["state"], &job["operation"]), (&json!("success"), &json!("drive_clone")));
        assert_eq!(job["resources"], json!([uri(collection, uuid), uri("drives", drive.thing.uuid)]));
        self.model.drives.push(drive);
    }

    /// The drive that a snapshot was once.
    fn snapshot_as_drive(&self, uuid: Uuid) -> Option<Drive> {
        let snapshot = self.model.snapshot(uuid)?;
        let (thing, size, image) = (snapshot.thing.clone(), snapshot.size, snapshot.image.clone());
        Some(Drive { thing, size, image, ..self.model.drive(snapshot.drive)?.clone() })
    }

    // --- bytes -------------------------------------------------------------------------------------------------

    /// Somebody writes to a drive, or discards what is there.
    pub fn write(&mut self) {
        let drive = self.any_drive();
        let Some(size) = self.model.drive(drive).map(|drive| drive.size) else { return };
        // The last block may be cut off: whole ones are enough here.
        let blocks = size / BLOCK;
        let (block, discards) = (self.dice.below(blocks), self.chance(4));
        self.model.writes += 1;
        let write = self.model.writes;
        let handle = self.store.drive(drive).expect("it is in the store");
        let model = self.model.drives.iter_mut().find(|there| there.thing.uuid == drive).expect("it is there");
        if discards {
            handle.discard(block * BLOCK..(block + 1) * BLOCK).expect("it discards");
            model.image.remove(&block);
        } else {
            handle.write_at(&write.to_le_bytes().repeat(BLOCK as usize / 8), block * BLOCK).expect("it writes");
            model.image.insert(block, write);
        }
        self.story.push(format!("block {block} of {drive}: write {write}, discarded: {discards}"));
    }
}

/// `x`, `x_1`, `x_2`
fn counted(name: &str) -> String {
    match name.rsplit_once('_').and_then(|(stem, number)| Some((stem, number.parse::<u64>().ok()?))) {
        Some((stem, number)) => format!("{stem}_{}", number + 1),
        None => format!("{name}_1"),
    }
}
