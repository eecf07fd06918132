//! Do all lists, filters, pages, single objects and figures show what there is, to whoever may see it, and to nobody else?

use floe::Uuid;
use serde_json::{Value, json};

use super::caller::{World, uuid_of};
use super::model::{NOT_FOUND, OK, Thing};
use super::shown::uri;

/// Everything, whatever there is.
const ALL: &[(&str, &str)] = &[("limit", "0")];

/// A filter, and whether it fits a thing that belongs to a drive.
type Fits = Box<dyn Fn(&Thing, Option<Uuid>) -> bool>;

fn envelope(objects: &[Value]) -> Value {
    json!({"meta": {"limit": 0, "offset": 0, "total_count": objects.len()}, "objects": objects})
}

/// Commas part alternatives: those within a value are escaped.
fn joined(values: &[String]) -> String {
    let escaped = values.iter().map(|value| value.replace('\\', r"\\").replace(',', r"\,"));
    escaped.collect::<Vec<_>>().join(",")
}

impl World {
    /// Everything that everybody sees.
    pub fn check_all(&mut self) {
        for at in 0..self.model.people.len() {
            let who = self.model.people[at].uuid;
            let model = self.model.clone();
            let drives = model.seen(who, &model.drives, |drive| &drive.thing);
            let snapshots = model.seen(who, &model.snapshots, |snapshot| &snapshot.thing);
            let whole: Vec<Value> = drives.iter().map(|drive| model.shown_drive(who, drive)).collect();
            let short: Vec<Value> = drives.iter().map(|drive| model.shown_drive_in_short(who, drive)).collect();
            let shown: Vec<Value> = snapshots.iter().map(|snapshot| model.shown_snapshot(who, snapshot)).collect();
            let tags: Vec<Value> = model.tags.iter().filter(|tag| tag.owner == who).map(|tag| model.shown_tag(tag)).collect();
            let acls: Vec<Value> = model.acls.iter().filter(|acl| acl.owner == who).map(|acl| model.shown_acl(acl)).collect();
            for (path, expected) in [
                ("/drives/detail/", &whole),
                ("/drives", &short),
                ("/snapshots/", &shown),
                ("/snapshots/detail", &shown),
                ("/tags/", &tags),
                ("/acls/", &acls),
            ] {
                assert_eq!(self.get(who, path, ALL), envelope(expected), "{path}");
            }
            for (collection, expected) in [("drives", whole), ("snapshots", shown), ("tags", tags), ("acls", acls)] {
                for object in expected {
                    assert_eq!(self.get(who, &format!("/{collection}/{}/", uuid_of(&object)), &[]), object);
                }
            }
            assert_eq!(self.get(who, "/currentusage/", &[])["usage"], model.shown_usage(who));
            let own = model.snapshots.iter().filter(|snapshot| snapshot.thing.owner == who).count();
            assert_eq!(self.get(who, "/capabilities/", &[])["snapshots"]["current"], own);
            let jobs = self.get(who, "/jobs/", ALL);
            let states = jobs["objects"].as_array().expect("a list").iter().map(|job| &job["state"]);
            assert!(states.into_iter().all(|state| state == "success"), "{jobs}");
            self.check_hidden(who);
        }
        self.check_engine();
    }

    /// What an account does not see is not there, whatever it tries.
    fn check_hidden(&mut self, who: Uuid) {
        let (model, told) = (self.model.clone(), self.story.len());
        for thing in model.things().filter(|thing| model.may(who, Some(thing), "LIST") != OK) {
            let uuid = thing.uuid;
            let collection = if model.drive(uuid).is_some() { "drives" } else { "snapshots" };
            self.call(who, &format!("GET /{collection}/{uuid}/"), &Value::Null, NOT_FOUND);
            self.call(who, &format!("DELETE /{collection}/{uuid}/"), &Value::Null, NOT_FOUND);
            let listed = self.get(who, &format!("/{collection}/"), &[("uuid", &uuid.to_string())]);
            assert_eq!(listed["objects"], json!([]));
        }
        for tag in model.tags.iter().filter(|tag| tag.owner != who) {
            self.call(who, &format!("GET /tags/{}/", tag.uuid), &Value::Null, NOT_FOUND);
        }
        for acl in model.acls.iter().filter(|acl| acl.owner != who) {
            self.call(who, &format!("GET /acls/{}/", acl.uuid), &Value::Null, NOT_FOUND);
        }
        self.story.truncate(told);
    }

    /// The engine has what the model has, of these sizes, and nothing more.
    fn check_engine(&self) {
        let found = (self.store.drives().len(), self.store.snapshots().len());
        assert_eq!(found, (self.model.drives.len(), self.model.snapshots.len()), "drives and snapshots in the store");
        for snapshot in &self.model.snapshots {
            let handle = self.store.snapshot(snapshot.thing.uuid).expect("it is in the store");
            assert_eq!(handle.allocated_size().expect("a size"), self.model.allocated(snapshot));
            assert_eq!(handle.size_bytes(), snapshot.size);
        }
        for drive in &self.model.drives {
            let info = self.store.drive(drive.thing.uuid).expect("it is in the store").info().expect("what it is");
            assert_eq!((info.size_bytes, &info.name), (drive.size, &drive.thing.name));
            assert_eq!(info.snapshots_allocated_bytes, self.model.allocated_of_drive(drive.thing.uuid));
        }
    }

    /// A list with random filters, a random page, and random fields.
    pub fn look(&mut self) {
        let who = self.anybody();
        let of_drives = self.chance(2);
        let mut parameters: Vec<(String, String)> = Vec::new();
        let mut filters: Vec<Fits> = Vec::new();
        for _ in 0..self.dice.below(3) {
            let (name, values, fits) = self.filter(who);
            parameters.push((name.to_owned(), joined(&values)));
            filters.push(fits);
        }
        let model = self.model.clone();
        let fits = |thing: &Thing, drive: Option<Uuid>| filters.iter().all(|filter| filter(thing, drive));
        let mut expected: Vec<Value> = if of_drives {
            let seen = model.seen(who, &model.drives, |drive| &drive.thing).into_iter();
            seen.filter(|drive| fits(&drive.thing, None)).map(|drive| model.shown_drive(who, drive)).collect()
        } else {
            let seen = model.seen(who, &model.snapshots, |snapshot| &snapshot.thing).into_iter();
            let fitting = seen.filter(|snapshot| fits(&snapshot.thing, Some(snapshot.drive)));
            fitting.map(|snapshot| model.shown_snapshot(who, snapshot)).collect()
        };
        let total = expected.len();
        let (limit, offset) = (self.dice.below(5), self.dice.below(4));
        let pages = self.chance(2);
        if pages {
            parameters.push(("limit".to_owned(), limit.to_string()));
            parameters.push(("offset".to_owned(), offset.to_string()));
        }
        let (limit, offset) = if pages { (limit as usize, offset as usize) } else { (20, 0) };
        let count = if limit == 0 { usize::MAX } else { limit };
        expected = expected.into_iter().skip(offset).take(count).collect();
        if self.chance(2) {
            let fields = ["name", "uuid", "size", "allocated_size", "nonsense", "drive", "status"];
            let some: Vec<&str> = fields.into_iter().filter(|_| self.chance(2)).collect();
            parameters.push(("fields".to_owned(), some.join(",")));
            if !some.is_empty() {
                let cut =
                    |object: &mut Value| object.as_object_mut().expect("it is").retain(|name, _| some.contains(&name.as_str()));
                expected.iter_mut().for_each(cut);
            }
        }
        let path = if of_drives { "/drives/detail/" } else { "/snapshots/" };
        let answer = self.answer(who, &format!("GET {path}"), &parameters, &Value::Null, OK).body.expect("an answer");
        let meta = json!({"limit": limit, "offset": offset, "total_count": total});
        assert_eq!(answer, json!({"meta": meta, "objects": expected}), "{path} {parameters:?}");
    }

    /// A filter: its name, its alternatives, and what it fits.
    fn filter(&mut self, who: Uuid) -> (&'static str, Vec<String>, Fits) {
        let count = 1 + self.dice.below(2);
        match self.dice.below(5) {
            0 => {
                let names: Vec<String> = (0..count).map(|_| self.name()).collect();
                let wanted = names.clone();
                ("name", names, Box::new(move |thing, _| wanted.contains(&thing.name)))
            }
            1 => {
                let parts: Vec<String> =
                    (0..count).map(|_| self.one_of(&["W", "b", ",", "\\", "ÜBER", "_", "9"]).unwrap_or("").to_owned()).collect();
                let wanted = parts.clone();
                let fits =
                    move |thing: &Thing, _| wanted.iter().any(|part| thing.name.to_lowercase().contains(&part.to_lowercase()));
                ("name__contains", parts, Box::new(fits))
            }
            2 => {
                let uuids: Vec<Uuid> =
                    (0..count).map(|_| if self.chance(2) { self.any_drive() } else { self.any_snapshot() }).collect();
                let texts = uuids.iter().map(Uuid::to_string).collect();
                ("uuid", texts, Box::new(move |thing, _| uuids.contains(&thing.uuid)))
            }
            3 => {
                // Tags of things that are somebody else's are nobody's to see.
                let tags: Vec<Uuid> = self.model.tags.iter().map(|tag| tag.uuid).collect();
                let tags: Vec<Uuid> = (0..count).map(|_| self.one_of(&tags).unwrap_or_else(Uuid::new_v4)).collect();
                let texts = tags.iter().map(Uuid::to_string).collect();
                ("tag", texts, Box::new(move |thing, _| thing.owner == who && tags.iter().any(|tag| thing.tags.contains(tag))))
            }
            _ => {
                let drives: Vec<Uuid> = (0..count).map(|_| self.any_drive()).collect();
                let texts = drives.iter().map(Uuid::to_string).collect();
                ("drive", texts, Box::new(move |_, drive| drive.is_some_and(|drive| drives.contains(&drive))))
            }
        }
    }

    /// What has a tag, as the tag's own lists have it.
    pub fn look_at_a_tag(&mut self) {
        let all: Vec<_> = self.model.tags.iter().map(|tag| (tag.uuid, tag.owner)).collect();
        let Some((tag, owner)) = self.one_of(&all) else { return };
        let model = self.model.clone();
        let drives = model.drives.iter().filter(|drive| drive.thing.tags.contains(&tag));
        let drives: Vec<Value> = drives.map(|drive| model.shown_drive(owner, drive)).collect();
        let snapshots = model.snapshots.iter().filter(|snapshot| snapshot.thing.tags.contains(&tag));
        let snapshots: Vec<Value> = snapshots.map(|snapshot| model.shown_snapshot(owner, snapshot)).collect();
        assert_eq!(self.get(owner, &format!("/tags/{tag}/drives/"), ALL), envelope(&drives));
        assert_eq!(self.get(owner, &format!("/tags/{tag}/snapshots/"), ALL), envelope(&snapshots));
    }

    /// What cannot be meant is answered so, and changes nothing.
    pub fn call_nonsense(&mut self) {
        let (who, drive) = (self.anybody(), self.any_drive());
        for (line, body, status) in [
            ("GET /nothing/".to_owned(), Value::Null, 404),
            ("GET /drives/nonsense/".to_owned(), Value::Null, 404),
            (format!("GET /snapshots/{drive}/"), Value::Null, 404),
            ("PUT /drives/".to_owned(), json!({}), 405),
            ("DELETE /drives/".to_owned(), Value::Null, 400),
            ("DELETE /snapshots/".to_owned(), json!({"objects": []}), 400),
            ("POST /drives/".to_owned(), json!([]), 400),
            ("POST /snapshots/".to_owned(), json!({"name": "of nothing"}), 400),
            ("POST /snapshots/".to_owned(), json!({"drive": "nonsense"}), 400),
        ] {
            self.call(who, &line, &body, status);
        }
        let absent = Uuid::new_v4();
        let answer = self.call(who, &format!("GET /drives/{absent}/"), &Value::Null, NOT_FOUND);
        assert_eq!(answer[0]["error_message"], format!("Object with uuid {absent} does not exist"));
        assert_eq!(self.get(who, "/profile/", &[])["uuid"], who.to_string(), "{}", uri("user", who));
    }
}
