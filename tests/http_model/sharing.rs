//! What is done with tags, ACLs and profiles, and what must come of it?

use floe::Uuid;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

use super::caller::{World, uuid_of};
use super::model::{Acl, NOT_FOUND, OK, PERMISSIONS, Tag};
use super::shown::{reference, uri};

impl World {
    fn any_tag(&mut self) -> Uuid {
        let all: Vec<Uuid> = self.model.tags.iter().map(|tag| tag.uuid).collect();
        self.one_of(&all).unwrap_or_else(Uuid::new_v4)
    }

    fn any_acl(&mut self) -> Uuid {
        let all: Vec<Uuid> = self.model.acls.iter().map(|acl| acl.uuid).collect();
        self.one_of(&all).unwrap_or_else(Uuid::new_v4)
    }

    /// Some of the caller's things, now and then with one that may be somebody else's; how that is answered.
    fn resources(&mut self, who: Uuid) -> (Vec<Uuid>, u16) {
        let all: Vec<Uuid> = self.model.things().filter(|thing| thing.owner == who).map(|thing| thing.uuid).collect();
        let mut some: Vec<Uuid> = all.into_iter().filter(|_| self.chance(2)).collect();
        if self.chance(8) {
            let other = if self.chance(2) { self.any_drive() } else { self.any_snapshot() };
            if !some.contains(&other) {
                some.push(other);
            }
        }
        let status = |uuid: &Uuid| self.model.may_own(who, self.model.things().find(|thing| thing.uuid == *uuid));
        let refused = some.iter().map(status).find(|status| *status != OK);
        (some, refused.unwrap_or(OK))
    }

    pub fn create_tags(&mut self) {
        let who = self.anybody();
        let mut wanted = Vec::new();
        let mut objects = Vec::new();
        let mut refused = None;
        for _ in 0..1 + self.dice.below(2) {
            let (name, meta, (on, status)) = (self.name(), self.meta(), self.resources(who));
            let mut object = json!({"name": name, "meta": meta, "resources": on});
            if refused.is_none() && self.chance(12) {
                object.as_object_mut().expect("an object").remove("name");
                refused = Some(400);
            }
            refused = refused.or((status != OK).then_some(status));
            objects.push(object);
            wanted.push((Tag { uuid: Uuid::nil(), owner: who, name, meta }, on));
        }
        let status = refused.unwrap_or(201);
        let body = self.in_some_form(objects);
        let answer = self.answer(who, "POST /tags/", &[], &body, status);
        if status == 201 {
            let made = answer.body.expect("an answer")["objects"].as_array().expect("a list").clone();
            assert_eq!(answer.location, Some(uri("tags", uuid_of(&made[0]))));
            for ((mut tag, on), made) in wanted.into_iter().zip(&made) {
                tag.uuid = uuid_of(made);
                self.model.put_tag(who, tag.uuid, &on);
                self.model.tags.push(tag);
            }
            let shown: Vec<Value> = made
                .iter()
                .map(|made| {
                    self.model.shown_tag(self.model.tags.iter().find(|tag| tag.uuid == uuid_of(made)).expect("it was made"))
                })
                .collect();
            assert_eq!(made, shown);
        }
    }

    pub fn edit_tag(&mut self) {
        let (who, uuid) = (self.anybody(), self.any_tag());
        let line = format!("PUT /tags/{uuid}/");
        let Some(mut tag) = self.model.tags.iter().find(|tag| tag.uuid == uuid && tag.owner == who).cloned() else {
            self.call(who, &line, &json!({"name": "x"}), NOT_FOUND);
            return;
        };
        let mut body = if self.chance(2) { self.model.shown_tag(&tag) } else { json!({}) };
        let mut status = OK;
        if self.chance(2) {
            tag.name = self.name();
            body["name"] = tag.name.clone().into();
        }
        if self.chance(2) {
            tag.meta = self.meta();
            body["meta"] = tag.meta.clone().into();
        }
        let mut on = None;
        if !self.chance(3) {
            let (some, access) = self.resources(who);
            body["resources"] = some.iter().map(Uuid::to_string).collect();
            (on, status) = (Some(some), access);
        }
        if self.chance(12) {
            body["name"] = json!(false);
            status = 400;
        }
        let answer = self.call(who, &line, &body, status);
        if status == OK {
            if let Some(on) = on {
                self.model.put_tag(who, uuid, &on);
            }
            *self.model.tags.iter_mut().find(|there| there.uuid == uuid).expect("it is there") = tag.clone();
            assert_eq!(answer, self.model.shown_tag(&tag));
        }
    }

    pub fn delete_tag(&mut self) {
        let (who, uuid) = (self.anybody(), self.any_tag());
        let own = self.model.tags.iter().any(|tag| tag.uuid == uuid && tag.owner == who);
        self.call(who, &format!("DELETE /tags/{uuid}/"), &Value::Null, if own { 204 } else { NOT_FOUND });
        if own {
            self.model.delete_tag(uuid);
        }
    }

    /// Puts random things into an ACL and its body; how that is answered.
    fn describe_acl(&mut self, acl: &mut Acl, body: &mut Value) -> u16 {
        if !self.chance(4) {
            let own: Vec<Uuid> = self.model.tags.iter().filter(|tag| tag.owner == acl.owner).map(|tag| tag.uuid).collect();
            acl.tags = own.into_iter().filter(|_| self.chance(2)).collect();
            body["tags"] = acl.tags.iter().map(|tag| reference("tags", *tag)).collect();
        }
        if !self.chance(3) {
            let people = self.model.people.clone();
            let some: Vec<_> = people.into_iter().filter(|_| self.chance(2)).collect();
            acl.grantees = some.iter().map(|person| person.uuid).collect();
            let by_email = self.chance(2);
            let named = some
                .iter()
                .map(|person| if by_email { json!({"email": person.email}) } else { json!({"uuid": person.uuid.to_string()}) });
            body["grantees"] = named.collect();
        }
        if !self.chance(3) {
            acl.permissions = PERMISSIONS.into_iter().filter(|_| self.chance(2)).collect::<BTreeSet<_>>();
            body["rules"] = acl.permissions.iter().map(|word| json!({"permission": word})).collect();
        }
        let (field, value, status) = match self.dice.below(24) {
            0 => ("tags", json!([Uuid::new_v4()]), NOT_FOUND),
            1 => ("grantees", json!([{"email": "nobody@example.com"}]), 400),
            2 => ("rules", json!([{"permission": "EVERYTHING"}]), 400),
            _ => return OK,
        };
        body[field] = value;
        status
    }

    pub fn create_acl(&mut self) {
        let who = self.anybody();
        let (name, meta) = (self.name(), self.meta());
        let mut body = json!({"name": name, "meta": meta});
        let (uuid, owner) = (Uuid::nil(), who);
        let mut acl = Acl { uuid, owner, name, meta, grantees: vec![], permissions: BTreeSet::new(), tags: vec![] };
        let status = self.describe_acl(&mut acl, &mut body);
        let status = if status == OK { 201 } else { status };
        let body = self.in_some_form(vec![body]);
        let answer = self.call(who, "POST /acls/", &body, status);
        if status == 201 {
            acl.uuid = uuid_of(&answer["objects"][0]);
            assert_eq!(answer, json!({"objects": [self.model.shown_acl(&acl)]}));
            self.model.acls.push(acl);
        }
    }

    pub fn edit_acl(&mut self) {
        let (who, uuid) = (self.anybody(), self.any_acl());
        let line = format!("PUT /acls/{uuid}/");
        let Some(mut acl) = self.model.acls.iter().find(|acl| acl.uuid == uuid && acl.owner == who).cloned() else {
            self.call(who, &line, &json!({"name": "x"}), NOT_FOUND);
            return;
        };
        let mut body = if self.chance(2) { self.model.shown_acl(&acl) } else { json!({}) };
        let status = self.describe_acl(&mut acl, &mut body);
        let answer = self.call(who, &line, &body, status);
        if status == OK {
            assert_eq!(answer, self.model.shown_acl(&acl));
            *self.model.acls.iter_mut().find(|there| there.uuid == uuid).expect("it is there") = acl;
        }
    }

    pub fn delete_acl(&mut self) {
        let (who, uuid) = (self.anybody(), self.any_acl());
        let own = self.model.acls.iter().any(|acl| acl.uuid == uuid && acl.owner == who);
        self.call(who, &format!("DELETE /acls/{uuid}/"), &Value::Null, if own { 204 } else { NOT_FOUND });
        if own {
            self.model.acls.retain(|acl| acl.uuid != uuid);
        }
    }

    pub fn edit_profile(&mut self) {
        let who = self.anybody();
        let counts = self.chance(2);
        let naming = if counts { "COUNTER" } else { "NONE" };
        let answer = self.call(who, "PUT /profile/", &json!({"clone_naming": naming}), 200);
        assert_eq!((&answer["clone_naming"], &answer["uuid"]), (&json!(naming), &json!(who.to_string())));
        let person = self.model.people.iter_mut().find(|person| person.uuid == who).expect("everybody is known");
        person.counts_clones = counts;
        self.call(who, "PUT /profile/", &Value::Object(Map::from_iter([("clone_naming".to_owned(), json!("RANDOM"))])), 400);
    }
}
