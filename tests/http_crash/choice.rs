//! What does a client do next?
//!
//! Every call comes with what the client has after it, if it happens.

use serde_json::{Value, json};
use std::collections::BTreeSet;

use super::dice::Dice;
use super::seen::Uuids;
use super::state::{Acl, Drive, Id, Snapshot, State, Tag, meta};

/// So many drives and snapshots are enough: then things are deleted.
const DRIVES_MAX: usize = 14;
const SNAPSHOTS_MAX: usize = 30;
const TAGS_MAX: usize = 5;
/// The most objects that one call is about.
const TOGETHER_MAX: u64 = 6;
const GRANULE: u64 = 512;
const MEDIA: [&str; 3] = ["disk", "disk", "cdrom"];
const STORAGE_TYPES: [&str; 3] = ["dssd", "nvme", "zadara"];

/// A call, and what there is once it happened.
#[derive(Clone, Debug)]
pub struct Call {
    pub line: String,
    pub body: Value,
    pub after: State,
}

/// Who chooses.
pub struct Chooser<'a> {
    pub state: &'a State,
    pub uuids: &'a Uuids,
    pub dice: &'a mut Dice,
    /// What the ids of its things begin with.
    pub prefix: &'a str,
    /// Things that it made so far.
    pub made: &'a mut u64,
}

impl Chooser<'_> {
    pub fn choose(&mut self) -> Call {
        let (drives, snapshots) = (self.state.shown.drives.len(), self.state.shown.snapshots.len());
        let tags = self.state.shown.tags.len();
        if drives == 0 {
            return self.create_drives();
        }
        if drives > DRIVES_MAX {
            return self.delete_drives();
        }
        if snapshots > SNAPSHOTS_MAX {
            return self.delete_snapshots();
        }
        match self.dice.below(19) {
            0 | 1 => self.create_drives(),
            2 | 3 => self.create_snapshots(),
            4 => self.create_snapshots_of_one(),
            5 | 6 => self.clone_drive(),
            7 if snapshots > 0 => self.clone_snapshot(),
            8 | 9 => self.edit_drive(),
            10 => self.resize(),
            11 if snapshots > 0 => self.edit_snapshot(),
            12 if tags < TAGS_MAX => self.create_tags(),
            13 | 14 if tags > 0 => self.edit_tag(),
            15 if tags > 0 => self.delete_tag(),
            16 => self.change_acls(),
            17 => self.delete_drives(),
            18 if snapshots > 0 => self.delete_snapshots(),
            _ => self.create_snapshots(),
        }
    }

    // --- what calls are made of --------------------------------------------------------------------------------

    fn call(&self, line: impl Into<String>, body: Value, after: State) -> Call {
        Call { line: line.into(), body, after }
    }

    fn new_id(&mut self) -> Id {
        *self.made += 1;
        format!("{}{}", self.prefix, self.made)
    }

    fn word(&mut self) -> String {
        format!("{:x}", self.dice.below(1 << 30))
    }

    fn size(&mut self) -> u64 {
        4096 + self.dice.below(400) * GRANULE
    }

    fn some(&mut self) -> u64 {
        1 + self.dice.below(TOGETHER_MAX)
    }

    fn one_of(&mut self, ids: Vec<&Id>) -> Id {
        ids[self.dice.below(ids.len() as u64) as usize].clone()
    }

    fn drive(&mut self) -> Id {
        self.one_of(self.state.shown.drives.keys().collect())
    }

    fn snapshot(&mut self) -> Id {
        self.one_of(self.state.shown.snapshots.keys().collect())
    }

    fn subset<'b>(&mut self, ids: impl Iterator<Item = &'b Id>) -> BTreeSet<Id> {
        let parts = 2 + self.dice.below(3);
        ids.filter(|_| self.dice.below(parts) == 0).cloned().collect()
    }

    fn tags(&mut self) -> BTreeSet<Id> {
        self.subset(self.state.shown.tags.keys())
    }

    fn things(&mut self) -> BTreeSet<Id> {
        self.subset(self.state.shown.drives.keys().chain(self.state.shown.snapshots.keys()))
    }

    fn uuid(&self, id: &Id) -> &str {
        self.uuids.get(id).unwrap_or_else(|| panic!("{id} has no uuid"))
    }

    fn all_uuids(&self, ids: &BTreeSet<Id>) -> Value {
        ids.iter().map(|id| self.uuid(id)).collect()
    }

    /// In one of the three forms that collections take.
    fn objects(&mut self, mut objects: Vec<Value>) -> Value {
        match self.dice.below(3) {
            0 if objects.len() == 1 => objects.remove(0),
            1 => objects.into(),
            _ => json!({"objects": objects}),
        }
    }

    // --- drives ------------------------------------------------------------------------------------------------

    fn create_drives(&mut self) -> Call {
        let mut after = self.state.clone();
        let mut objects = Vec::new();
        for _ in 0..self.some() {
            let (id, name, note) = (self.new_id(), self.word(), self.word());
            let media = MEDIA[self.dice.below(3) as usize].to_owned();
            let storage_type = STORAGE_TYPES[self.dice.below(3) as usize].to_owned();
            let drive = Drive { name, note, size: self.size(), media, storage_type, tags: self.tags() };
            objects.push(json!({
                "name": drive.name, "size": drive.size, "media": drive.media, "storage_type": drive.storage_type,
                "meta": meta(&id, &drive.note), "tags": self.all_uuids(&drive.tags),
            }));
            after.shown.drives.insert(id, drive);
        }
        let body = self.objects(objects);
        self.call("POST /drives/", body, after)
    }

    /// A new drive with the image of something.
    fn clone_of(&mut self, line: String, source: &Id, drive: Drive) -> Call {
        let mut after = self.state.clone();
        let id = self.new_id();
        let grows = self.dice.below(2) == 0;
        let size = if grows { drive.size + self.dice.below(100) * GRANULE } else { drive.size };
        let drive = Drive { name: self.word(), note: self.word(), size, tags: self.tags(), ..drive };
        let mut body = json!({
            "name": drive.name, "meta": meta(&id, &drive.note), "tags": self.all_uuids(&drive.tags),
            "media": drive.media, "storage_type": drive.storage_type,
        });
        if grows {
            body["size"] = drive.size.into();
        }
        after.copy_stamp(source, &id);
        after.shown.drives.insert(id, drive);
        self.call(line, body, after)
    }

    fn clone_drive(&mut self) -> Call {
        let source = self.drive();
        let line = format!("POST /drives/{}/action/?do=clone", self.uuid(&source));
        self.clone_of(line, &source, self.state.shown.drives[&source].clone())
    }

    fn clone_snapshot(&mut self) -> Call {
        let source = self.snapshot();
        let snapshot = &self.state.shown.snapshots[&source];
        let line = format!("POST /snapshots/{}/action/?do=clone", self.uuid(&source));
        let drive = Drive { size: self.state.sizes[&source], ..self.state.shown.drives[&snapshot.drive].clone() };
        self.clone_of(line, &source, drive)
    }

    fn edit_drive(&mut self) -> Call {
        let id = self.drive();
        let mut after = self.state.clone();
        let (name, note, more, tags) = (self.word(), self.word(), self.dice.below(3) * GRANULE, self.tags());
        let drive = after.shown.drives.get_mut(&id).expect("it was chosen");
        *drive = Drive { name, note, size: drive.size + more, tags, ..drive.clone() };
        let body = json!({
            "name": drive.name, "size": drive.size, "meta": meta(&id, &drive.note), "tags": self.all_uuids(&drive.tags),
        });
        self.call(format!("PUT /drives/{}/", self.uuid(&id)), body, after)
    }

    fn resize(&mut self) -> Call {
        let id = self.drive();
        let mut after = self.state.clone();
        let drive = after.shown.drives.get_mut(&id).expect("it was chosen");
        drive.size += self.dice.below(20) * GRANULE;
        let body = json!({"size": drive.size});
        self.call(format!("POST /drives/{}/action/?do=resize", self.uuid(&id)), body, after)
    }

    /// One or several, by the call for one or by that for several.
    fn delete(&mut self, collection: &str, all: Vec<Id>, delete: impl Fn(&mut State, &Id)) -> Call {
        let mut after = self.state.clone();
        let count = self.some();
        let gone: BTreeSet<Id> = (0..count).map(|_| self.one_of(all.iter().collect())).collect();
        gone.iter().for_each(|id| delete(&mut after, id));
        if let (1, Some(only)) = (count, gone.first()) {
            return self.call(format!("DELETE /{collection}/{}/", self.uuid(only)), Value::Null, after);
        }
        let objects: Vec<Value> = gone.iter().map(|id| json!({"uuid": self.uuid(id)})).collect();
        self.call(format!("DELETE /{collection}/"), json!({"objects": objects}), after)
    }

    fn delete_drives(&mut self) -> Call {
        self.delete("drives", self.state.shown.drives.keys().cloned().collect(), State::delete_drive)
    }

    // --- snapshots ---------------------------------------------------------------------------------------------

    fn snapshots_of(&mut self, drives: Vec<Id>) -> Call {
        let mut after = self.state.clone();
        let mut objects = Vec::new();
        for drive in drives {
            let id = self.new_id();
            let snapshot = Snapshot { name: self.word(), note: self.word(), drive, tags: self.tags() };
            objects.push(json!({
                "drive": self.uuid(&snapshot.drive), "name": snapshot.name, "meta": meta(&id, &snapshot.note),
                "tags": self.all_uuids(&snapshot.tags),
            }));
            after.copy_stamp(&snapshot.drive, &id);
            after.sizes.insert(id.clone(), self.state.shown.drives[&snapshot.drive].size);
            after.shown.snapshots.insert(id, snapshot);
        }
        let body = self.objects(objects);
        self.call("POST /snapshots/", body, after)
    }

    fn create_snapshots(&mut self) -> Call {
        let drives = (0..self.some()).map(|_| self.drive()).collect();
        self.snapshots_of(drives)
    }

    fn create_snapshots_of_one(&mut self) -> Call {
        let drive = self.drive();
        let count = self.some() as usize + 1;
        self.snapshots_of(vec![drive; count])
    }

    fn edit_snapshot(&mut self) -> Call {
        let id = self.snapshot();
        let mut after = self.state.clone();
        let (name, note, tags) = (self.word(), self.word(), self.tags());
        let snapshot = after.shown.snapshots.get_mut(&id).expect("it was chosen");
        *snapshot = Snapshot { name, note, tags, ..snapshot.clone() };
        let body = json!({"name": snapshot.name, "meta": meta(&id, &snapshot.note), "tags": self.all_uuids(&snapshot.tags)});
        self.call(format!("PUT /snapshots/{}/", self.uuid(&id)), body, after)
    }

    fn delete_snapshots(&mut self) -> Call {
        let delete = |state: &mut State, id: &Id| drop(state.shown.snapshots.remove(id));
        self.delete("snapshots", self.state.shown.snapshots.keys().cloned().collect(), delete)
    }

    // --- tags and ACLs -----------------------------------------------------------------------------------------

    fn create_tags(&mut self) -> Call {
        let mut after = self.state.clone();
        let mut objects = Vec::new();
        for _ in 0..1 + self.dice.below(3) {
            let (id, tag, on) = (self.new_id(), Tag { name: self.word(), note: self.word() }, self.things());
            objects.push(json!({"name": tag.name, "meta": meta(&id, &tag.note), "resources": self.all_uuids(&on)}));
            after.shown.tags.insert(id.clone(), tag);
            after.put_tag(&id, &on);
        }
        let body = self.objects(objects);
        self.call("POST /tags/", body, after)
    }

    fn edit_tag(&mut self) -> Call {
        let id = self.one_of(self.state.shown.tags.keys().collect());
        let mut after = self.state.clone();
        let (tag, on) = (Tag { name: self.word(), note: self.word() }, self.things());
        let mut body = json!({"resources": self.all_uuids(&on)});
        if self.dice.below(2) == 0 {
            body["name"] = tag.name.clone().into();
            body["meta"] = meta(&id, &tag.note);
            after.shown.tags.insert(id.clone(), tag);
        }
        after.put_tag(&id, &on);
        self.call(format!("PUT /tags/{}/", self.uuid(&id)), body, after)
    }

    fn delete_tag(&mut self) -> Call {
        let id = self.one_of(self.state.shown.tags.keys().collect());
        let mut after = self.state.clone();
        after.delete_tag(&id);
        self.call(format!("DELETE /tags/{}/", self.uuid(&id)), Value::Null, after)
    }

    fn change_acls(&mut self) -> Call {
        let mut after = self.state.clone();
        if after.shown.acls.is_empty() {
            let mut objects = Vec::new();
            for _ in 0..1 + self.dice.below(3) {
                let (id, acl) = (self.new_id(), Acl { name: self.word(), note: self.word(), tags: self.tags() });
                objects.push(json!({"name": acl.name, "meta": meta(&id, &acl.note), "tags": self.all_uuids(&acl.tags)}));
                after.shown.acls.insert(id, acl);
            }
            let body = self.objects(objects);
            return self.call("POST /acls/", body, after);
        }
        let id = self.one_of(self.state.shown.acls.keys().collect());
        if self.dice.below(2) == 0 {
            after.shown.acls.remove(&id);
            return self.call(format!("DELETE /acls/{}/", self.uuid(&id)), Value::Null, after);
        }
        let acl = Acl { name: self.word(), note: self.word(), tags: self.tags() };
        let body = json!({"name": acl.name, "meta": meta(&id, &acl.note), "tags": self.all_uuids(&acl.tags)});
        after.shown.acls.insert(id.clone(), acl);
        self.call(format!("PUT /acls/{}/", self.uuid(&id)), body, after)
    }
}
