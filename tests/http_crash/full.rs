//! Is a call all or nothing also if it finds no space, now and after the next start?

use floe::{ErrorKind, Store, Uuid};
use serde_json::{Value, json};
use std::path::Path;

use super::node::{Node, Who};
use super::process::store_of;

/// The smallest store that there is.
const CAPACITY: &str = "136314880";
const WHO: Who = ("one@example.com", "secret");
const BLOCK: usize = 4096;
/// What most of the store is filled with.
const NOTE_BYTES: usize = 1 << 20;
/// The rest is filled through the API, which takes longer.
const NOTES_TOO_MANY: usize = 4;
/// Objects that a call makes, each with so much written about it.
const TOGETHER: usize = 20;
const META_BYTES: usize = 24_000;
/// So much room is made between two attempts.
const FILLERS_AT_A_TIME: usize = 2;

fn ok(node: &Node, line: &str, body: &Value) -> Value {
    let reply = node.call(WHO, line, &body.to_string());
    assert!((200..300).contains(&reply.status), "{line}: {} {}", reply.status, reply.body);
    if reply.body.is_empty() { Value::Null } else { reply.json() }
}

/// Fills most of a store that nobody serves.
fn fill(store: &Path) {
    let store = Store::options().open(store).expect("the store is there");
    let mut notes = Vec::new();
    loop {
        let note = Uuid::new_v4();
        match store.set_note(note, &[0xA5; NOTE_BYTES]) {
            Ok(()) => notes.push(note),
            Err(error) if error.kind() == ErrorKind::NoSpace => break,
            Err(error) => panic!("{error}"),
        }
    }
    notes.iter().take(NOTES_TOO_MANY).for_each(|note| store.delete_note(*note).expect("a note"));
    store.close().expect("it closes");
}

fn drive(name: &str, meta_bytes: usize) -> Value {
    json!({"name": name, "size": BLOCK, "media": "disk", "meta": {"note": "x".repeat(meta_bytes)}})
}

/// Makes drives until there is no space for another one.
fn fill_up(node: &Node, meta_bytes: usize) -> Vec<String> {
    let mut made = Vec::new();
    loop {
        let reply = node.call(WHO, "POST /drives/", &drive("filler", meta_bytes).to_string());
        if reply.status == 503 {
            return made;
        }
        assert_eq!(reply.status, 201, "{}", reply.body);
        made.push(reply.json()["objects"][0]["uuid"].as_str().expect("a uuid").to_owned());
    }
}

/// All that the API shows of drives and snapshots.
fn picture(node: &Node) -> [Value; 3] {
    ["/drives/detail/?limit=0", "/snapshots/?limit=0", "/jobs/?limit=0&state=started"]
        .map(|path| ok(node, &format!("GET {path}"), &Value::Null))
}

/// A node whose store is full, a drive with snapshots in it, and what can be deleted.
fn full_node() -> (Node, String, Vec<String>) {
    let mut node = Node::with_capacity(&[WHO], CAPACITY);
    let frozen = ok(&node, "POST /drives/", &drive("frozen", 0))["objects"][0]["uuid"].as_str().expect("a uuid").to_owned();
    ok(&node, "POST /snapshots/", &json!([{"drive": frozen}, {"drive": frozen}, {"drive": frozen}]));
    node.stop();
    fill(&store_of(&node.data()));
    node.restart();
    let fillers = fill_up(&node, META_BYTES);
    fill_up(&node, 0);
    (node, frozen, fillers)
}

/// What is there is the same after a crash.
fn check_crash(node: &mut Node) {
    let before = picture(node);
    node.kill();
    node.restart();
    assert_eq!(picture(node), before, "after a crash");
}

#[test]
fn a_creation_that_finds_no_space_never_happens() {
    let (mut node, frozen, mut fillers) = full_node();
    let mut refused = 0;
    loop {
        let snapshots = json!({"drive": frozen, "meta": {"note": "x".repeat(META_BYTES)}});
        for (line, object) in [("POST /drives/", drive("many", META_BYTES)), ("POST /snapshots/", snapshots)] {
            let before = picture(&node);
            let reply = node.call(WHO, line, &json!({"objects": vec![object; TOGETHER]}).to_string());
            if reply.status == 201 {
                check_crash(&mut node);
                assert!(refused > 0, "it was full at first");
                node.stop();
                return;
            }
            assert_eq!(reply.status, 503, "{line}: {}", reply.body);
            refused += 1;
            assert_eq!(picture(&node), before, "{line}: {}", reply.body);
            check_crash(&mut node);
        }
        for filler in fillers.split_off(fillers.len().checked_sub(FILLERS_AT_A_TIME).expect("there is room in the end")) {
            ok(&node, &format!("DELETE /drives/{filler}/"), &Value::Null);
        }
    }
}

#[test]
fn a_deletion_that_finds_no_space_hides_nothing() {
    let (mut node, frozen, fillers) = full_node();
    let before = picture(&node);
    let uuids = before[1]["objects"].as_array().expect("a list").iter().map(|snapshot| json!({"uuid": snapshot["uuid"]}));
    let bodies = [json!({"objects": uuids.collect::<Vec<_>>()}), json!({"objects": [{"uuid": frozen}]})];
    for (collection, body) in ["/snapshots/", "/drives/"].into_iter().zip(bodies) {
        let reply = node.call(WHO, &format!("DELETE {collection}"), &body.to_string());
        assert_eq!(reply.status, 503, "{collection}: {}", reply.body);
        assert_eq!(picture(&node), before, "{collection}");
    }
    check_crash(&mut node);
    // What takes one step needs no space.
    ok(&node, &format!("DELETE /drives/{}/", fillers[0]), &Value::Null);
    ok(&node, &format!("DELETE /drives/{frozen}/"), &Value::Null);
    check_crash(&mut node);
    node.stop();
}
