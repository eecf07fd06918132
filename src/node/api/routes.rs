//! Which path and method is answered by what?
//!
//! One table. The OpenAPI document is made of it, and metrics count by its paths.

use super::body::{self, Object};
use super::content::{self, Content, Head};
use super::describe::{uuid_in, uuid_of};
use super::fault::{ErrorType, Fault};
use super::fields::{self, Kind};
use super::sharing::View;
use super::shelf::{Item, Own, Taken};
use super::{Answer, Api, BASE, Call, account, acls, drives, jobs, openapi, place, remote_snapshots, schema, snapshots, tags};
use crate::node::accounts::Account;
use crate::node::jobs::{Job, Operation, Step};
use crate::{Drive, Snapshot};
use std::borrow::Cow;
use std::cell::OnceCell;
use std::cmp::Reverse;
use std::collections::HashMap;
use uuid::Uuid;

/// A call with what its path says, and who makes it.
pub struct Asked<'a> {
    /// The API that was called.
    pub api: &'a Api,
    /// Who calls.
    pub caller: &'a Account,
    /// What was sent.
    pub call: Cow<'a, Call>,
    /// What the caller sees.
    pub view: View,
    /// The uuid in the path, as it was written; nothing if the path has none.
    word: &'a str,
    /// The caller's own remote snapshots by drive, once anybody asks for them.
    remote_snapshots: OnceCell<HashMap<Uuid, Vec<Uuid>>>,
}

impl Asked<'_> {
    /// A call; `word` stands for the uuid in its path.
    pub fn of<'a>(api: &'a Api, caller: &'a Account, call: &'a Call, word: &'a str) -> Asked<'a> {
        Asked { api, caller, call: Cow::Borrowed(call), view: View::of(api, caller), word, remote_snapshots: OnceCell::new() }
    }

    /// The caller's own remote snapshots of a drive, newest first.
    pub fn remote_snapshots_of(&self, drive: Uuid) -> Vec<Uuid> {
        let by_drive = self.remote_snapshots.get_or_init(|| {
            let mut own = self.api.remote_snapshots.of(self.caller.uuid);
            own.sort_by_key(|own| Reverse(own.attributes.timestamp()));
            let mut by_drive: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
            for own in own {
                by_drive.entry(own.handle.drive).or_default().push(own.handle.uuid);
            }
            by_drive
        });
        by_drive.get(&drive).cloned().unwrap_or_default()
    }

    /// The uuid in the path.
    ///
    /// # Errors
    /// 404 for what is no uuid.
    pub fn uuid(&self) -> Result<Uuid, Fault> {
        uuid_of(self.word).ok_or_else(|| Fault::no_object(self.word))
    }

    /// The objects of a POST on a collection, one at least and not too many.
    ///
    /// # Errors
    /// 400
    pub fn objects(&self) -> Result<Vec<Object>, Fault> {
        self.few(body::objects(&self.call.body)?)
    }

    /// The uuids in the body of a bulk deletion, each once.
    ///
    /// # Errors
    /// 400
    pub fn uuids_to_delete(&self) -> Result<Vec<Uuid>, Fault> {
        let mut uuids = Vec::new();
        for object in self.few(body::objects_to_delete(&self.call.body)?)? {
            let uuid = object.get("uuid").ok_or_else(|| Fault::missing("uuid"))?;
            uuids.push(uuid_in(uuid).ok_or_else(|| Fault::invalid("uuid", "it is no uuid"))?);
        }
        uuids.sort_unstable();
        uuids.dedup();
        Ok(uuids)
    }

    fn few(&self, objects: Vec<Object>) -> Result<Vec<Object>, Fault> {
        let max = self.api.limits.objects;
        if objects.len() > max {
            return Err(Fault::invalid("objects", format!("at most {max} at a time")));
        }
        Ok(objects)
    }

    /// The same call with one more parameter.
    pub fn with_parameter(&self, name: &str, value: &str) -> Self {
        let mut call = self.call.clone().into_owned();
        call.parameters.push((name.to_owned(), value.to_owned()));
        Self {
            api: self.api,
            caller: self.caller,
            call: Cow::Owned(call),
            view: View::of(self.api, self.caller),
            word: self.word,
            remote_snapshots: OnceCell::new(),
        }
    }

    /// A body without tags if the thing is not the caller's own: a caller who was let in by a tag does not see any.
    pub fn without_foreign_tags<'b, H: Item>(&self, own: &Own<H>, object: &'b Object) -> Cow<'b, Object> {
        if self.view.is_own(own) {
            return Cow::Borrowed(object);
        }
        let mut object = object.clone();
        object.shift_remove("tags");
        Cow::Owned(object)
    }

    /// Does steps, all or none: as a job, if it takes more than one.
    ///
    /// # Errors
    /// Those of the steps.
    pub fn run(&self, operation: Operation, resources: Vec<String>, steps: Vec<Step>) -> Result<(), Fault> {
        match &steps[..] {
            [step] => Ok(self.api.jobs.step(step)?),
            _ => self.run_as(Uuid::new_v4(), operation, resources, steps),
        }
    }

    /// Deletes what was taken off its shelf; what is still there afterwards is shown again.
    ///
    /// # Errors
    /// Those of the steps.
    pub fn delete(
        &self,
        operation: Operation,
        resources: Vec<String>,
        steps: Vec<Step>,
        drives: Vec<Taken<Drive>>,
        snapshots: Vec<Taken<Snapshot>>,
    ) -> Result<Answer, Fault> {
        let result = self.run(operation, resources, steps);
        if result.is_err() {
            self.api.put_back(&self.api.drives, drives)?;
            self.api.put_back(&self.api.snapshots, snapshots)?;
        }
        result.map(|()| Answer::nothing())
    }

    /// Does steps as a job that can be asked for by its uuid.
    ///
    /// # Errors
    /// Those of the steps.
    pub fn run_as(&self, job: Uuid, operation: Operation, resources: Vec<String>, steps: Vec<Step>) -> Result<(), Fault> {
        Ok(self.api.jobs.run(job, Job::new(self.caller.uuid, operation, resources, steps))?)
    }
}

type Handler = fn(&Asked<'_>) -> Result<Answer, Fault>;

/// How a method does what it does.
#[derive(Clone, Copy)]
enum Doing {
    /// It answers.
    Answers(Handler),
    /// Bytes go by.
    Streams(fn(&Asked<'_>, &Head) -> Result<Content, Fault>),
}

/// What a method wants in its body.
#[derive(Clone, Copy)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// Objects to make.
    Objects(&'static Kind),
    /// What is to be changed.
    Changes(&'static Kind),
    /// What an action wants, if anything.
    Action(&'static Kind),
    /// Uuids.
    Uuids,
    /// An image.
    Image,
    /// A part of an image.
    PartOfImage,
}

/// What a method answers.
#[derive(Clone, Copy)]
pub enum Gives {
    /// Nothing, with 204.
    Nothing,
    /// A page of objects.
    Page(&'static Kind),
    /// One object.
    One(&'static Kind),
    /// Objects that were made, with 201.
    Made(&'static Kind),
    /// Objects that an action is about, with 202.
    Accepted(&'static Kind),
    /// One object that an action makes, with 202 and nothing around it.
    Bare(&'static Kind),
    /// JSON that clients do not look into.
    Json,
    /// An image, or a part of it.
    Image,
    /// The uuid of an object that was made, or the object, with 201.
    MadeOfImage(&'static Kind),
}

/// A method of a path.
pub struct Method {
    /// In capitals.
    pub verb: &'static str,
    /// What it does.
    pub what: &'static str,
    /// What it wants.
    pub takes: Takes,
    /// What it answers.
    pub gives: Gives,
    doing: Doing,
}

const fn get(what: &'static str, gives: Gives, handler: Handler) -> Method {
    Method { verb: "GET", what, takes: Takes::Nothing, gives, doing: Doing::Answers(handler) }
}

const fn download(what: &'static str, doing: fn(&Asked<'_>, &Head) -> Result<Content, Fault>) -> Method {
    Method { verb: "GET", what, takes: Takes::Nothing, gives: Gives::Image, doing: Doing::Streams(doing) }
}

const fn post(what: &'static str, takes: Takes, gives: Gives, handler: Handler) -> Method {
    Method { verb: "POST", what, takes, gives, doing: Doing::Answers(handler) }
}

const fn put(what: &'static str, kind: &'static Kind, handler: Handler) -> Method {
    Method { verb: "PUT", what, takes: Takes::Changes(kind), gives: Gives::One(kind), doing: Doing::Answers(handler) }
}

const fn delete(what: &'static str, takes: Takes, handler: Handler) -> Method {
    Method { verb: "DELETE", what, takes, gives: Gives::Nothing, doing: Doing::Answers(handler) }
}

const UPLOAD: Method = Method {
    verb: "POST",
    what: "Make a drive of an image",
    takes: Takes::Image,
    gives: Gives::MadeOfImage(&fields::DRIVE),
    doing: Doing::Streams(content::upload),
};

/// A path below [`BASE`], `*` for a uuid and `+` for a word that means nothing, and its methods.
pub struct Route {
    /// The path.
    pub path: &'static str,
    /// Its methods.
    pub methods: &'static [Method],
}

/// All of them.
pub const ROUTES: &[Route] = {
    use fields::{
        ACL, BALANCE, CAPABILITIES, CLONE, DRIVE, DRIVE_IN_SHORT, JOB, LOCATION, PROFILE, REMOTE_SNAPSHOT, SERVER, SNAPSHOT, TAG,
        USAGE,
    };
    &[
        Route {
            path: "snapshots",
            methods: &[
                get("List snapshots", Gives::Page(&SNAPSHOT), snapshots::list),
                post(
                    "Take snapshots of drives, all at one instant",
                    Takes::Objects(&SNAPSHOT),
                    Gives::Made(&SNAPSHOT),
                    snapshots::create,
                ),
                delete("Delete several snapshots, all or none", Takes::Uuids, snapshots::delete_many),
            ],
        },
        Route { path: "snapshots/detail", methods: &[get("List snapshots", Gives::Page(&SNAPSHOT), snapshots::list)] },
        Route { path: "snapshots/schema", methods: &[get("Describe the fields of snapshots", Gives::Json, schema::snapshots)] },
        Route {
            path: "snapshots/*",
            methods: &[
                get("Show a snapshot", Gives::One(&SNAPSHOT), snapshots::show),
                put("Change a snapshot's name, meta and tags", &SNAPSHOT, snapshots::edit),
                delete("Delete a snapshot", Takes::Nothing, snapshots::delete),
            ],
        },
        Route {
            path: "snapshots/*/action",
            methods: &[post("Clone a snapshot to a drive", Takes::Action(&DRIVE), Gives::Bare(&CLONE), snapshots::act)],
        },
        Route {
            path: "snapshots/*/download",
            methods: &[download("Get the image of a snapshot, or a part of it", content::download_snapshot)],
        },
        Route {
            path: "remotesnapshots",
            methods: &[
                get("List remote snapshots", Gives::Page(&REMOTE_SNAPSHOT), remote_snapshots::list),
                post(
                    "Take remote snapshots of drives, all at one instant",
                    Takes::Objects(&REMOTE_SNAPSHOT),
                    Gives::Made(&REMOTE_SNAPSHOT),
                    remote_snapshots::create,
                ),
                delete("Delete several remote snapshots, all or none", Takes::Uuids, remote_snapshots::delete_many),
            ],
        },
        Route {
            path: "remotesnapshots/detail",
            methods: &[get("List remote snapshots", Gives::Page(&REMOTE_SNAPSHOT), remote_snapshots::list)],
        },
        Route {
            path: "remotesnapshots/schema",
            methods: &[get("Describe the fields of remote snapshots", Gives::Json, schema::remote_snapshots)],
        },
        Route {
            path: "remotesnapshots/*",
            methods: &[
                get("Show a remote snapshot", Gives::One(&REMOTE_SNAPSHOT), remote_snapshots::show),
                put("Change a remote snapshot's name, meta and tags", &REMOTE_SNAPSHOT, remote_snapshots::edit),
                delete("Delete a remote snapshot", Takes::Nothing, remote_snapshots::delete),
            ],
        },
        Route {
            path: "remotesnapshots/*/action",
            methods: &[post(
                "Clone a remote snapshot to a drive",
                Takes::Action(&DRIVE),
                Gives::Bare(&CLONE),
                remote_snapshots::act,
            )],
        },
        Route {
            path: "drives",
            methods: &[
                get("List drives in short", Gives::Page(&DRIVE_IN_SHORT), drives::list),
                post("Make drives, all or none", Takes::Objects(&DRIVE), Gives::Made(&DRIVE), drives::create),
                delete("Delete several drives and their snapshots, all or none", Takes::Uuids, drives::delete_many),
            ],
        },
        Route { path: "drives/detail", methods: &[get("List drives", Gives::Page(&DRIVE), drives::list_whole)] },
        Route { path: "drives/schema", methods: &[get("Describe the fields of drives", Gives::Json, schema::drives)] },
        Route {
            path: "drives/availability_groups",
            methods: &[get("List which drives share a host", Gives::Json, place::groups)],
        },
        Route {
            path: "drives/availability_groups/*",
            methods: &[get("List the drives that share a host with a drive", Gives::Json, place::group_of)],
        },
        Route { path: "drives/upload", methods: &[UPLOAD] },
        Route { path: "drives/upload/+", methods: &[UPLOAD] },
        Route {
            path: "drives/*",
            methods: &[
                get("Show a drive", Gives::One(&DRIVE), drives::show),
                put("Change a drive's name, size, meta, tags and the like", &DRIVE, drives::edit),
                delete("Delete a drive and its snapshots", Takes::Nothing, drives::delete),
            ],
        },
        Route {
            path: "drives/*/action",
            methods: &[post("Clone or resize a drive", Takes::Action(&DRIVE), Gives::Accepted(&DRIVE), drives::act)],
        },
        Route {
            path: "drives/*/download",
            methods: &[download("Get the image of a drive, or a part of it", content::download_drive)],
        },
        Route {
            path: "drives/*/upload",
            methods: &[Method {
                verb: "PUT",
                what: "Write an image, or a part of one, into a drive",
                takes: Takes::PartOfImage,
                gives: Gives::One(&DRIVE),
                doing: Doing::Streams(content::upload_part),
            }],
        },
        Route {
            path: "tags",
            methods: &[
                get("List tags", Gives::Page(&TAG), tags::list),
                post("Make tags", Takes::Objects(&TAG), Gives::Made(&TAG), tags::create),
            ],
        },
        Route { path: "tags/detail", methods: &[get("List tags", Gives::Page(&TAG), tags::list)] },
        Route { path: "tags/schema", methods: &[get("Describe the fields of tags", Gives::Json, schema::tags)] },
        Route {
            path: "tags/*",
            methods: &[
                get("Show a tag and what has it", Gives::One(&TAG), tags::show),
                put("Change a tag's name and meta, and what has it", &TAG, tags::edit),
                delete("Delete a tag", Takes::Nothing, tags::delete),
            ],
        },
        Route {
            path: "tags/*/drives",
            methods: &[get("List the drives that have a tag", Gives::Page(&DRIVE), tags::list_drives)],
        },
        Route {
            path: "tags/*/snapshots",
            methods: &[get("List the snapshots that have a tag", Gives::Page(&SNAPSHOT), tags::list_snapshots)],
        },
        Route {
            path: "acls",
            methods: &[
                get("List ACLs", Gives::Page(&ACL), acls::list),
                post("Make ACLs", Takes::Objects(&ACL), Gives::Made(&ACL), acls::create),
            ],
        },
        Route { path: "acls/schema", methods: &[get("Describe the fields of acls", Gives::Json, schema::acls)] },
        Route {
            path: "acls/*",
            methods: &[
                get("Show an ACL", Gives::One(&ACL), acls::show),
                put("Change an ACL", &ACL, acls::edit),
                delete("Delete an ACL", Takes::Nothing, acls::delete),
            ],
        },
        Route { path: "jobs", methods: &[get("List jobs of the last three days", Gives::Page(&JOB), jobs::list)] },
        Route { path: "jobs/schema", methods: &[get("Describe the fields of jobs", Gives::Json, schema::jobs)] },
        Route { path: "jobs/*", methods: &[get("Show a job", Gives::One(&JOB), jobs::show)] },
        Route {
            path: "profile",
            methods: &[
                get("Show the account", Gives::One(&PROFILE), account::profile),
                put("Change what the account says of itself", &PROFILE, account::edit_profile),
            ],
        },
        Route {
            path: "capabilities",
            methods: &[get(
                "Show what the node can do, and the account's limits",
                Gives::One(&CAPABILITIES),
                account::capabilities,
            )],
        },
        Route { path: "balance", methods: &[get("Show the balance", Gives::One(&BALANCE), account::balance)] },
        Route { path: "currentusage", methods: &[get("Show what the account uses", Gives::One(&USAGE), account::usage)] },
        Route { path: "currentusage/schema", methods: &[get("Describe the fields of currentusage", Gives::Json, schema::usage)] },
        Route { path: "balance/schema", methods: &[get("Describe the fields of balance", Gives::Json, schema::balance)] },
        Route {
            path: "capabilities/schema",
            methods: &[get("Describe the fields of capabilities", Gives::Json, schema::capabilities)],
        },
        Route { path: "profile/schema", methods: &[get("Describe the fields of profile", Gives::Json, schema::profile)] },
        Route { path: "locations", methods: &[get("List locations", Gives::Page(&LOCATION), place::locations)] },
        Route { path: "servers", methods: &[get("List servers: there are none", Gives::Page(&SERVER), place::no_servers)] },
        Route {
            path: "servers/detail",
            methods: &[get("List servers: there are none", Gives::Page(&SERVER), place::no_servers)],
        },
        Route {
            path: "servers/availability_groups",
            methods: &[get("List which servers share a host: there are none", Gives::Json, place::no_groups)],
        },
        Route { path: openapi::PATH, methods: &[get("Describe the API, as OpenAPI has it", Gives::Json, openapi::document)] },
    ]
};

/// Answers a call, whatever it is.
pub fn answer(api: &Api, caller: &Account, call: &Call) -> Answer {
    let Some((route, word)) = find(&call.path) else {
        return Fault::new(404, ErrorType::NotExist, format!("There is nothing at {}", call.path)).into();
    };
    let allow = || Some(route.methods.iter().map(|method| method.verb).collect::<Vec<_>>().join(","));
    if call.method == "OPTIONS" {
        let allow = allow();
        return Answer { allow: allow.clone(), ..Answer::json(200, allow.into()) };
    }
    let Some(method) = method_of(route, &call.method) else {
        let fault = Fault::new(405, ErrorType::Validation, format!("{} is not allowed here", call.method));
        return Answer { allow: allow(), ..fault.into() };
    };
    match method.doing {
        Doing::Answers(handler) => handler(&Asked::of(api, caller, call, word)).unwrap_or_else(Answer::from),
        // Whoever calls asks `streams` first.
        Doing::Streams(_) => Fault::new(500, ErrorType::Backend, "Content does not come as an answer").into(),
    }
}

/// Do bytes go out or come in by this method of this path?
pub fn streams(method: &str, path: &str) -> bool {
    let method = find(path).and_then(|(route, _)| method_of(route, method));
    method.is_some_and(|method| matches!(method.doing, Doing::Streams(_)))
}

/// What comes of a call for content.
pub fn content(api: &Api, caller: &Account, call: &Call, head: &Head) -> Result<Content, Fault> {
    let found = find(&call.path).and_then(|(route, word)| Some((method_of(route, &call.method)?.doing, word)));
    match found {
        Some((Doing::Streams(open), word)) => open(&Asked::of(api, caller, call, word), head),
        _ => Err(Fault::new(404, ErrorType::NotExist, format!("There is no content at {}", call.path))),
    }
}

/// The method of that name. HEAD is GET without what it says; whoever sends the answer leaves that out.
fn method_of(route: &'static Route, name: &str) -> Option<&'static Method> {
    let verb = if name == "HEAD" { "GET" } else { name };
    route.methods.iter().find(|method| method.verb == verb)
}

/// The path of the route that a path takes, for whoever counts calls; `*` stands for a uuid.
#[must_use]
pub fn template(path: &str) -> Option<&'static str> {
    find(path).map(|(route, _)| route.path)
}

/// The route of a path, with or without a slash at its end, and what stands for the uuid.
fn find(path: &str) -> Option<(&'static Route, &str)> {
    let rest = path.strip_prefix(BASE)?.strip_prefix('/')?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let words: Vec<&str> = rest.split('/').collect();
    let exact = |route: &&Route| route.path == rest;
    if let Some(route) = ROUTES.iter().find(exact) {
        return Some((route, ""));
    }
    let fits = |route: &&Route| {
        let parts: Vec<&str> = route.path.split('/').collect();
        parts.len() == words.len()
            && parts.iter().zip(&words).all(|(part, word)| part == word || (matches!(*part, "*" | "+") && !word.is_empty()))
    };
    let route = ROUTES.iter().find(fits)?;
    let at = route.path.split('/').position(|part| part == "*");
    Some((route, at.map_or("", |at| words[at])))
}

#[cfg(test)]
mod tests {
    use super::find;

    fn check(path: &str, expected: Option<(&str, &str)>) {
        assert_eq!(find(path).map(|(route, word)| (route.path, word)), expected, "{path}");
    }

    #[test]
    fn paths_are_found_with_and_without_a_slash_at_the_end() {
        check("/api/2.0/snapshots/", Some(("snapshots", "")));
        check("/api/2.0/snapshots", Some(("snapshots", "")));
        check("/api/2.0/snapshots/detail/", Some(("snapshots/detail", "")));
        check("/api/2.0/snapshots/x/", Some(("snapshots/*", "x")));
        check("/api/2.0/drives/x/action", Some(("drives/*/action", "x")));
        check("/api/2.0/drives/upload", Some(("drives/upload", "")));
        check("/api/2.0/drives/upload/disk.raw", Some(("drives/upload/+", "")));
        check("/api/2.0/drives/x/upload/", Some(("drives/*/upload", "x")));
        check("/api/2.0/drives/availability_groups/x/", Some(("drives/availability_groups/*", "x")));
        check("/api/2.0/", None);
        check("/api/2.0/snapshots//", None);
        check("/snapshots/", None);
        check("/api/2.0/drives/x/y/z", None);
    }
}
