//! Does every example of the documentation's pages get the documented answer, field by field?
//!
//! The examples are the pages' own words (`examples/`). A page's uuids and timestamps stand for whatever is met in their place first, and for
//! that from then on; names made of them stand for the names that snapshots got. All else is literal: keys, types, statuses, reasons, headers,
//! and order, where the pages have one. Rulings are all exceptions: where the pages contradict each other, and what holds.

use serde_json::{Map, Value, json};
use std::time::Duration;

use super::here::Here;
use super::node::{Answers, Node, Who};
use super::pattern::{fit, has_shape};
use super::world::World;

/// In front of what the examples speak of, and of what the remote snapshots page's examples should speak of.
const SNAPSHOTS: &str = "/snapshots/";
const REMOTE_SNAPSHOTS: &str = "/remotesnapshots/";

const LOCAL: &str = include_str!("examples/snapshots.txt");
const REMOTE: &str = include_str!("examples/remote-snapshots.txt");

/// The account in whose name the pages speak.
const AUTHOR: Who = ("If you found this, have a cookie, you deserve it ", ")");
const HEADERS: &str =
    "Content-Type: application/json\nAuthorization: Basic SWYgeW91IGZvdW5kIHRoaXMsIGhhdmUgYSBjb29raWUsIHlvdSBkZXNlcnZlIGl0IDop";

const UUID: &str = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
const TIMESTAMP: &str = "0000-00-00 00:00:00.000000+00:00";
const DEFAULT_NAME: &str = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx__0000-00-00__00_00_00";

/// What must be there before an example makes sense.
enum Given {
    Drive(&'static str),
    /// A drive's snapshot without a name.
    Snapshot(&'static str, &'static str),
    /// The first is what the second is.
    Same(&'static str, &'static str),
}
use Given::{Drive, Same, Snapshot};

/// A page's example: which, what must be there, and where the page is overruled: by what.
struct Example {
    title: &'static str,
    given: &'static [Given],
    rulings: &'static [(&'static str, &'static str)],
}

const fn plain(title: &'static str) -> Example {
    Example { title, given: &[], rulings: &[] }
}

/// The snapshots page is of early 2014: objects had no `grantees` and `permissions` yet.
const LOCAL_PAGE: &[Example] = &[
    Example {
        title: "list",
        given: &[
            Drive("59590574-cf61-4153-898f-62e4a6977ac2"),
            Drive("3f1d373d-b43f-4210-8c12-c848831212b3"),
            Drive("5d139744-60eb-49df-824d-b6f51b475c9c"),
            Snapshot("59590574-cf61-4153-898f-62e4a6977ac2", "30c62dcd-efb8-452c-acb0-5216434a3528"),
            Snapshot("59590574-cf61-4153-898f-62e4a6977ac2", "701a339b-f595-4d47-b194-1c9635c97c37"),
            Snapshot("3f1d373d-b43f-4210-8c12-c848831212b3", "8074844b-506e-4df1-b141-b675b48c5baa"),
            Snapshot("3f1d373d-b43f-4210-8c12-c848831212b3", "868ab6f9-f80a-44da-844f-c061883b6474"),
            Snapshot("5d139744-60eb-49df-824d-b6f51b475c9c", "0b15a155-5804-4639-9504-4eb3a5b70135"),
            Snapshot("5d139744-60eb-49df-824d-b6f51b475c9c", "b9191317-79fe-4488-a07f-024af910089a"),
        ],
        rulings: &[],
    },
    plain("detailed list"),
    plain("one"),
    plain("filter by drive"),
    plain("drive"),
    Example { title: "create", given: &[Drive("7a555723-d73c-45cf-9f18-21f571626d2b")], rulings: &[] },
    plain("delete"),
    Example {
        title: "delete several",
        given: &[
            Snapshot("7a555723-d73c-45cf-9f18-21f571626d2b", "b137e217-42b6-4ecf-8575-d72efc2d3dbd"),
            Snapshot("7a555723-d73c-45cf-9f18-21f571626d2b", "e035a488-8587-4a15-ab25-9b7343236bc9"),
            Snapshot("7a555723-d73c-45cf-9f18-21f571626d2b", "feded33c-106f-49fa-a1c4-be5c718ad1b5"),
        ],
        rulings: &[],
    },
    Example {
        title: "clone",
        given: &[
            Drive("1c16bdd9-8965-45e0-8625-a4738cbb3332"),
            Snapshot("1c16bdd9-8965-45e0-8625-a4738cbb3332", "a1b4059e-6006-459e-b569-a20c6ac79b3b"),
            Same("name:bb300e8d-cd6c-4941-99d9-a600bd8cabb4", "name:a1b4059e-6006-459e-b569-a20c6ac79b3b"),
        ],
        // The newer page has a job, and a type of storage.
        rulings: &[
            ("/jobs", r#"[{"resource_uri": "/api/2.0/jobs/{job}/", "uuid": "{job}"}]"#),
            ("/storage_type", r#""dssd""#),
            ("/runtime/storage_type", r#""dssd""#),
        ],
    },
    // What the page has is the inside of the program that wrote it.
    Example {
        title: "schema",
        given: &[],
        rulings: &[("/filtering", r#"{"name": "exact", "name__contains": "exact", "tag": "exact", "uuid": "exact"}"#)],
    },
];

/// The other page's examples are of local snapshots all the same, and newer.
const REMOTE_PAGE: &[Example] = &[
    Example {
        title: "list",
        given: &[
            Drive("b7cb6615-b6a5-4c31-b755-b86980c64d59"),
            Drive("cb1e0fee-7666-4cb9-ab17-9f064adf6177"),
            Drive("bb2b8f77-04ee-42c1-b142-47bc31c2824e"),
            Snapshot("b7cb6615-b6a5-4c31-b755-b86980c64d59", "3a057cc8-9b42-44f2-a8cb-c5561f2eddd3"),
            Snapshot("b7cb6615-b6a5-4c31-b755-b86980c64d59", "f69d43df-092d-4fef-9766-668cb6469f31"),
            Snapshot("cb1e0fee-7666-4cb9-ab17-9f064adf6177", "33c0b447-d545-457f-a01c-156f674095c8"),
            Snapshot("cb1e0fee-7666-4cb9-ab17-9f064adf6177", "78db3f50-945d-4795-814b-cff122f6b11f"),
            Snapshot("bb2b8f77-04ee-42c1-b142-47bc31c2824e", "62c600cf-7a25-4703-8003-b3c4445233af"),
            Snapshot("bb2b8f77-04ee-42c1-b142-47bc31c2824e", "44b7f63a-7fb7-4ea4-b32c-ed7d4873a3f1"),
        ],
        // The page saw these two at different moments; here they are ready.
        rulings: &[("/objects/2/status", r#""available""#), ("/objects/2/allocated_size", "0")],
    },
    plain("detailed list"),
    Example { title: "one", given: &[], rulings: &[("/status", r#""available""#), ("/allocated_size", "0")] },
    plain("filter by drive"),
    plain("drive"),
    Example { title: "create", given: &[Drive("450357dc-cbe1-471d-b4cc-dbdfe5f28d84")], rulings: &[] },
    plain("edit"),
    plain("delete"),
    Example {
        title: "delete several",
        given: &[
            Snapshot("450357dc-cbe1-471d-b4cc-dbdfe5f28d84", "b137e217-42b6-4ecf-8575-d72efc2d3dbd"),
            Snapshot("450357dc-cbe1-471d-b4cc-dbdfe5f28d84", "e035a488-8587-4a15-ab25-9b7343236bc9"),
            Snapshot("450357dc-cbe1-471d-b4cc-dbdfe5f28d84", "feded33c-106f-49fa-a1c4-be5c718ad1b5"),
        ],
        rulings: &[],
    },
    Example {
        title: "clone",
        given: &[
            Drive("d7da5038-ac2d-4776-9097-f60167d6e587"),
            Snapshot("d7da5038-ac2d-4776-9097-f60167d6e587", "c6368b7c-9d3d-4631-b008-83b73c05f1bd"),
            Same("name:be62f52e-0b0f-480c-89b2-73e108dd2cef", "name:c6368b7c-9d3d-4631-b008-83b73c05f1bd"),
            // The answer is a year younger than the rest of the page, and somebody else's.
            Same("c2fc9982-cf2e-434a-bf63-e22a27b39f00", "5b4a69a3-8e78-4c45-a8ba-8b13f0895e23"),
        ],
        rulings: &[],
    },
    plain("schema"),
];

/// The text of an example's request and of its answer.
fn example<'a>(page: &'a str, title: &str) -> (&'a str, &'a str) {
    let all = page.strip_prefix("=== ").expect("titles").split("\n=== ");
    let found = all.filter_map(|text| text.split_once('\n')).find(|(found, _)| *found == title);
    let text = found.unwrap_or_else(|| panic!("no example {title}")).1;
    let answer = text.find("HTTP/1.").expect("an answer");
    // A request ends at the first request line's end if it is not an answer's.
    let answer = text.find("\nHTTP/1.").map_or(answer, |at| at + 1);
    (text[..answer].trim_end(), text[answer..].trim_end())
}

impl<N: Answers> World<N> {
    fn make(&mut self, collection: &str, given: &Given) {
        match given {
            Drive(drive) => {
                // The one drive that a page shows has this name and size.
                let body = r#"{"name": "test_drive_snapshot", "size": 1073741824, "media": "disk"}"#;
                self.check(&[("POST /drives/", body, 201, &format!(r#"{{"objects": [{{"uuid": "{{{drive}}}"}}]}}"#))]);
            }
            Snapshot(drive, snapshot) => {
                let body = format!(r#"{{"drive": "{{{drive}}}"}}"#);
                let pattern = format!(r#"{{"objects": [{{"uuid": "{{{snapshot}}}"}}]}}"#);
                let made = self.call(&(&format!("POST {collection}"), &body, 201, &pattern)).json()["objects"][0].take();
                // A drive has one on its way at a time.
                self.wait_until(&format!("GET {collection}{{{snapshot}}}/"), r#"{"status": "available"}"#);
                let [name, time] = ["name", "timestamp"].map(|field| made[field].as_str().expect("text").to_owned());
                assert!(has_shape(&time, TIMESTAMP), "{time}");
                let second = time[..19].replace(' ', "__").replace(':', "_");
                assert_eq!(name, format!("{}__{second}", self.names[*drive]), "a name is the drive's uuid and its own second");
                self.names.insert(format!("name:{snapshot}"), name);
            }
            Same(one, other) => {
                let other = self.names[*other].clone();
                self.names.insert((*one).to_owned(), other);
            }
        }
    }

    /// Sends an example's request.
    ///
    /// # Errors
    /// How the answer differs from the documented one.
    fn replay(&mut self, page: &str, collection: &str, example_of_page: &Example) -> Result<(), String> {
        let Example { title, given, rulings } = example_of_page;
        given.iter().for_each(|given| self.make(collection, given));
        let (request, answer) = example(page, title);
        let request = match request {
            "" => format!("GET /api/2.0/snapshots/schema/ HTTP/1.1\n{HEADERS}"),
            body if body.starts_with('{') => format!("DELETE /api/2.0/snapshots/ HTTP/1.1\n{HEADERS}\n\n{body}"),
            request => request.to_owned(),
        };
        let (request, answer) = (of_collection(collection, &request), of_collection(collection, answer));
        let request = super::pattern::filled(&with_names(&request), &self.names);
        let (head, body) = request.split_once("\n\n").unwrap_or((&request, ""));
        let reply = self.node.send(&head.replace('\n', "\r\n"), body);

        let (head, body) = answer.split_once("\n\n").unwrap_or((&answer, ""));
        let mut head = head.lines();
        let (_version, status) = head.next().expect("a status line").split_once(' ').expect("a status");
        let found = format!("{} {}", reply.status, reply.reason);
        let mut differs = (found != status).then(|| format!("status {found}, should be {status}"));
        for (name, value) in head.map(|line| line.split_once(": ").expect("a header")) {
            let found = reply.header(&name.to_lowercase());
            differs = differs.or((found != Some(value)).then(|| format!("{name} is {found:?}, should be {value}")));
        }
        let fitted = if body.is_empty() {
            if reply.body.is_empty() { Ok(()) } else { Err("a body".to_owned()) }
        } else {
            let mut pattern: Value = serde_json::from_str(body).expect("the page's JSON");
            for (pointer, ruling) in *rulings {
                *pattern.pointer_mut(pointer).expect("it is in the page") = serde_json::from_str(ruling).expect("JSON");
            }
            fit(&pattern_of(pattern), &reply.json(), &mut self.names)
        };
        // What was made on this page is there when the next example speaks of it.
        for one in self.get(&format!("{collection}?limit=0&fields=uuid"))["objects"].as_array().expect("a list") {
            let uuid = one["uuid"].as_str().expect("a uuid");
            self.wait_until(&format!("GET {collection}{uuid}/"), r#"{"status": "available"}"#);
        }
        match differs.or(fitted.err()) {
            None => Ok(()),
            Some(difference) => Err(format!("{title}: {difference}\n{}", reply.body)),
        }
    }
}

/// What the page says, if it spoke of another collection. A drive has a field for each.
fn of_collection(collection: &str, text: &str) -> String {
    if collection == SNAPSHOTS {
        return text.to_owned();
    }
    text.replace(SNAPSHOTS, collection).replace(r#""snapshots": ["#, r#""snapshots": [], "remote_snapshots": ["#)
}

/// What the page says, with names for its uuids and timestamps.
fn pattern_of(value: Value) -> Value {
    match value {
        Value::String(text) => with_names(&text).into(),
        Value::Array(values) => values.into_iter().map(pattern_of).collect(),
        Value::Object(object) => {
            let text = |key: &str| object.get(key).and_then(Value::as_str);
            let name = text("name").filter(|name| has_shape(name, DEFAULT_NAME));
            let name = name.zip(text("uuid")).map(|(_, uuid)| format!("{{name:{uuid}}}"));
            // A page that shows nothing else shows a part.
            let is_part = object.len() == 1 && object.contains_key("snapshots");
            let extra = extra_fields(&object);
            let mut pattern: Map<String, Value> = object.into_iter().map(|(key, value)| (key, pattern_of(value))).collect();
            if let Some(name) = name {
                pattern.insert("name".into(), name.into());
            }
            if let Some(objects) = pattern.get_mut("objects") {
                *objects = json!({"$set": objects.take()});
            }
            if !is_part {
                pattern.insert("$exact".into(), extra.into());
            }
            pattern.into()
        }
        other => other,
    }
}

/// Fields that came later than the older page, which has none of them, and what remote snapshots have beside what the newer one shows: in an
/// object, and in the schema.
fn extra_fields(object: &Map<String, Value>) -> Vec<&'static str> {
    let later = ["grantees", "permissions", "remote_snapshots"];
    let remote = ["drive_meta", "last_state_change", "location"];
    let uri = object.get("resource_uri").and_then(Value::as_str);
    match object.get("owner") {
        Some(_) if object.contains_key("media") => later.to_vec(),
        Some(_) if uri.is_some_and(|uri| uri.contains(REMOTE_SNAPSHOTS)) => remote.to_vec(),
        Some(Value::Object(owner)) if owner.contains_key("help_text") => [&later[..2], &remote].concat(),
        Some(_) => later[..2].to_vec(),
        None => vec![],
    }
}

/// Uuids and timestamps in braces.
fn with_names(text: &str) -> String {
    let mut named = String::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let shaped = |shape: &str| rest.get(..shape.len()).filter(|start| has_shape(start, shape));
        let (found, prefix) = match (shaped(UUID), shaped(TIMESTAMP)) {
            (Some(uuid), _) => (uuid, ""),
            (_, Some(time)) => (time, "time:"),
            _ => {
                named.push(letter);
                rest = &rest[letter.len_utf8()..];
                continue;
            }
        };
        named += &format!("{{{prefix}{found}}}");
        rest = &rest[found.len()..];
    }
    named
}

fn replay_all(page: &str, examples: &[Example], node: impl Answers, collection: &str) {
    assert_eq!(page.matches("=== ").count(), examples.len(), "every example is replayed");
    let mut world = World::on(node);
    world.who = AUTHOR;
    let failures: Vec<String> = examples.iter().filter_map(|example| world.replay(page, collection, example).err()).collect();
    assert!(failures.is_empty(), "{} of {} examples:\n{}", failures.len(), examples.len(), failures.join("\n"));
    world.finish();
}

#[test]
fn every_example_of_the_snapshots_page_is_answered_as_documented() {
    replay_all(LOCAL, LOCAL_PAGE, Node::with(&[AUTHOR]), SNAPSHOTS);
}

#[test]
fn every_example_of_the_remote_snapshots_page_that_shows_local_ones_is_answered_as_documented() {
    replay_all(REMOTE, REMOTE_PAGE, Node::with(&[AUTHOR]), SNAPSHOTS);
}

#[test]
fn every_example_of_the_remote_snapshots_page_is_answered_as_documented() {
    replay_all(REMOTE, REMOTE_PAGE, Here::new(&[AUTHOR], Duration::ZERO), REMOTE_SNAPSHOTS);
}

#[test]
fn the_account_of_the_environment_is_the_one_of_the_pages() {
    let node = Node::with_first(AUTHOR);
    let head = format!("GET /api/2.0/snapshots/?limit=0 HTTP/1.1\r\n{}", HEADERS.replace('\n', "\r\n"));
    assert_eq!(node.send(&head, "").json(), json!({"meta": {"limit": 0, "offset": 0, "total_count": 0}, "objects": []}));
    node.finish();
}
