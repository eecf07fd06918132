//! Can remote snapshots be made, edited, deleted and cloned as the page says, and not when it says so?

use super::here::{BLOCK_BYTES, Here};
use super::node::{Answers, Node, OWNER, STRANGER, Who};
use super::world::{Row, World};
use floe::node::accounts::AccountLimits;
use floe::node::remote::remotes::INTERVAL;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

const ROOM: u64 = 1 << 20;
const NOBODY: &str = "00000000-0000-4000-8000-00000000000a";
const FRIEND: Who = ("friend@example.com", "friendly");
const AVAILABLE: &str = r#"{"status": "available"}"#;

/// A node with drives `d` and `e`, whose remote snapshots need not wait for each other.
fn here() -> World<Here> {
    with_interval(Duration::ZERO)
}

fn with_interval(interval: Duration) -> World<Here> {
    let mut world = World::on(Here::new(&[OWNER, STRANGER, FRIEND], interval));
    ["d", "e"].iter().for_each(|drive| world.make_drive(drive, ROOM));
    world
}

impl<N: Answers> World<N> {
    /// Makes one, which has a location of its own choice if `more` says so.
    fn begin_remote(&mut self, drive: &str, name: &str, more: &str) {
        let body = format!(r#"{{"drive": "{{{drive}}}", "name": "{name}"{more}}}"#);
        self.check(&[("POST /remotesnapshots/", &body, 201, &format!(r#"{{"objects": [{{"uuid": "{{{name}}}"}}]}}"#))]);
    }

    fn wait_for_remote(&mut self, name: &str) {
        self.wait_until(&format!("GET /remotesnapshots/{{{name}}}/"), AVAILABLE);
    }

    fn make_remote(&mut self, drive: &str, name: &str) {
        self.begin_remote(drive, name, "");
        self.wait_for_remote(name);
    }

    #[track_caller]
    fn count_remotes(&mut self, expected: usize) {
        self.check(&[("GET /remotesnapshots/", "", 200, &format!(r#"{{"meta": {{"total_count": {expected}}}}}"#))]);
    }
}

impl World<Here> {
    fn write(&mut self, drive: &str, first: u64, letters: &[u8]) {
        self.node.write(&self.names[drive].clone(), first, letters);
    }

    fn content(&self, drive: &str, blocks: u64) -> Vec<u8> {
        self.node.read(&self.names[drive], blocks)
    }
}

#[test]
fn a_remote_snapshot_has_all_that_the_contract_says() {
    let mut world = here();
    let made = r#"{"objects": [{"allocated_size": null, "drive": {"uuid": "{d}", "resource_uri": "/api/2.0/drives/{d}/", "$exact": []},
        "drive_meta": {"media": "disk", "name": "d", "size": 1048576, "src_uuid": "{d}", "storage_type": "dssd", "$exact": []},
        "grantees": [], "last_state_change": "{time:created}", "location": "GVA", "meta": {"k": "v", "$exact": []}, "name": "r",
        "owner": {"resource_uri": "/api/2.0/user/{o}/", "uuid": "{o}"}, "permissions": [], "resource_uri": "/api/2.0/remotesnapshots/{r}/",
        "status": "creating", "tags": [], "timestamp": "{time:taken}", "uuid": "{r}", "$exact": []}]}"#;
    let reply = world.call(&("POST /remotesnapshots/", r#"{"drive": "{d}", "name": "r", "meta": {"k": "v"}}"#, 201, made));
    assert_eq!(reply.header("location"), Some(format!("/api/2.0/remotesnapshots/{}/", world.names["r"]).as_str()));
    world.wait_for_remote("r");
    let mut expected = reply.json()["objects"][0].take();
    let found = world.get("/remotesnapshots/{r}/");
    (expected["status"], expected["allocated_size"]) = ("available".into(), 0.into());
    let [before, after] = [&expected, &found].map(|one| one["last_state_change"].as_str().expect("text").to_owned());
    assert!(before < after, "{before} {after}");
    expected["last_state_change"] = after.into();
    assert_eq!(found, expected);
    for list in ["/remotesnapshots/", "/remotesnapshots/detail/", "/remotesnapshots/?drive={d}"] {
        assert_eq!(world.get(list)["objects"], json!([expected]), "{list}");
    }
    let [local, remote] = ["snapshots", "remotesnapshots"].map(|kind| world.get(&format!("/{kind}/schema/"))["fields"].take());
    let more = ["drive_meta", "last_state_change", "location"];
    assert!(more.iter().all(|field| local.get(field).is_none() && remote[*field]["type"] != Value::Null), "{local} {remote}");
    // Two collections: what is in one is not in the other.
    world.make_snapshot("d", "s");
    world.check(&[
        ("GET /snapshots/{r}/", "", 404, r#"[{"error_type": "notexist"}]"#),
        ("GET /remotesnapshots/{s}/", "", 404, r#"[{"error_type": "notexist"}]"#),
        ("DELETE /remotesnapshots/{s}/", "", 404, ""),
        ("POST /snapshots/{r}/action/?do=clone", "", 404, ""),
        (
            "GET /drives/{d}/",
            "",
            200,
            r#"{"snapshots": [{"uuid": "{s}"}], "remote_snapshots": [{"uuid": "{r}", "resource_uri": "/api/2.0/remotesnapshots/{r}/", "$exact": []}]}"#,
        ),
    ]);
    world.finish();
}

#[test]
fn it_is_made_from_whatever_names_a_drive_in_whatever_shape() {
    let mut world = here();
    let rows = [
        (r#"{"drive": "{d}"}"#, "GVA"),
        (r#"{"drive": {"uuid": "{d}"}, "location": "DUB", "tags": []}"#, "DUB"),
        (r#"{"objects": [{"drive": "/api/2.0/drives/{d}/", "location": null, "name": null, "meta": null}]}"#, "GVA"),
        (r#"[{"drive": "{d}", "location": "ZRH", "name": ""}]"#, "ZRH"),
    ];
    for (body, code) in rows {
        let made = format!(r#"{{"objects": [{{"uuid": "{{*}}", "status": "creating", "location": "{code}"}}]}}"#);
        let made = world.call(&("POST /remotesnapshots/", body, 201, &made)).json()["objects"][0].take();
        let time = made["timestamp"].as_str().expect("text")[..19].replace(' ', "__").replace(':', "_");
        assert_eq!(made["name"], format!("{}__{time}", world.names["d"]));
        let uuid = made["uuid"].as_str().expect("a uuid");
        world.wait_until(&format!("GET /remotesnapshots/{uuid}/"), AVAILABLE);
    }
    // Of one instant, in the order in which they were asked for.
    let two = r#"{"objects": [{"uuid": "{a}", "drive": {"uuid": "{e}"}, "timestamp": "{time:one}"}, {"uuid": "{b}", "drive": {"uuid": "{d}"}, "timestamp": "{time:one}"}]}"#;
    world.check(&[("POST /remotesnapshots/", r#"[{"drive": "{e}"}, {"drive": "{d}"}]"#, 201, two)]);
    world.count_remotes(6);
    world.finish();
}

#[test]
fn all_that_a_call_asks_for_is_made_or_nothing() {
    let mut world = here();
    let nobody = format!(r#"[{{"drive": "{{d}}"}}, {{"drive": "{NOBODY}"}}]"#);
    for (body, status, pattern) in [
        (r#"[{"drive": "{d}"}, {}]"#, 400, r#"[{"error_type": "validation", "error_point": "drive"}]"#),
        (&nobody, 404, r#"[{"error_type": "notexist"}]"#),
        (
            r#"[{"drive": "{d}"}, {"drive": "{e}", "location": "XXX"}]"#,
            400,
            r#"[{"error_type": "validation", "error_point": "location"}]"#,
        ),
        (r#"{"drive": "{d}", "location": "LOCAL"}"#, 400, r#"[{"error_point": "location"}]"#),
        (r#"{"drive": "{d}", "location": 7}"#, 400, r#"[{"error_point": "location"}]"#),
        (r#"[{"drive": "{d}"}, {"drive": "{e}", "name": 7}]"#, 400, r#"[{"error_point": "name"}]"#),
        (r#"[{"drive": "{d}"}, {"drive": "{e}", "meta": []}]"#, 400, r#"[{"error_point": "meta"}]"#),
        (&format!(r#"[{{"drive": "{{d}}"}}, {{"drive": "{{e}}", "tags": ["{NOBODY}"]}}]"#), 404, ""),
        // One of a drive at a time.
        (r#"[{"drive": "{d}"}, {"drive": "{e}"}, {"drive": "{d}"}]"#, 403, r#"[{"error_type": "permission"}]"#),
        ("", 400, ""),
        ("{}", 400, r#"[{"error_point": "drive"}]"#),
        (r#"{"objects": []}"#, 400, ""),
    ] {
        world.check(&[("POST /remotesnapshots/", body, status, pattern)]);
    }
    world.count_remotes(0);
    assert_eq!(world.node.counts(), [2, 0, 0], "nothing is pinned, and nothing marked");
    world.finish();
}

#[test]
fn a_drive_has_one_remote_snapshot_in_the_interval() {
    let mut world = with_interval(INTERVAL);
    world.make_remote("d", "r");
    let refused = |world: &mut World<Here>, body: &str| {
        let reply = world.call(&("POST /remotesnapshots/", body, 403, r#"[{"error_type": "permission", "error_point": null}]"#));
        let words = reply.json()[0]["error_message"].as_str().expect("words").to_owned();
        assert!(words.contains("at most one remote snapshot in 30 min 0 s; the next one in "), "{words}");
        assert!(words.contains("29 min") || words.contains("30 min 0 s;"), "the time left: {words}");
    };
    refused(&mut world, r#"{"drive": "{d}"}"#);
    refused(&mut world, r#"{"drive": "{d}", "location": "DUB"}"#);
    refused(&mut world, r#"[{"drive": "{e}"}, {"drive": "{d}"}]"#);
    world.count_remotes(1);
    // Who deletes it waits all the same; another drive need not.
    world.check(&[("DELETE /remotesnapshots/{r}/", "", 204, "")]);
    refused(&mut world, r#"{"drive": "{d}"}"#);
    world.make_remote("e", "s");
    world.finish();
}

/// What may not be done with one that is under way.
const NOT_NOW: [Row<'_>; 6] = [
    ("PUT /remotesnapshots/{r}/", r#"{"name": "x"}"#, 403, r#"[{"error_type": "permission"}]"#),
    ("PUT /remotesnapshots/{r}/", "{}", 403, ""),
    ("DELETE /remotesnapshots/{r}/", "", 403, r#"[{"error_type": "permission"}]"#),
    ("DELETE /remotesnapshots/", r#"{"objects": [{"uuid": "{s}"}, {"uuid": "{r}"}]}"#, 403, r#"[{"error_type": "permission"}]"#),
    ("POST /remotesnapshots/{r}/action/?do=clone", "", 403, r#"[{"error_type": "permission"}]"#),
    ("POST /remotesnapshots/", r#"{"drive": "{d}", "location": "DUB"}"#, 403, r#"[{"error_type": "permission"}]"#),
];

#[test]
fn one_that_is_under_way_is_left_alone_and_nobody_sees_what_holds_its_moment() {
    let mut world = here();
    world.node.shut("DUB");
    world.write("d", 0, b"AAA");
    world.make_remote("e", "s");
    world.begin_remote("d", "r", r#", "location": "DUB""#);
    world.check(&NOT_NOW);
    for row in &NOT_NOW {
        let words = world.call(row).json()[0]["error_message"].as_str().expect("words").to_owned();
        assert!(words.contains("transferring"), "{words}");
    }
    world.count_remotes(2);
    // What was written since is in the size of nothing.
    world.write("d", 0, b"BBB");
    let job = r#"{"objects": [{"uuid": "{job}", "operation": "remote_snapshot_create", "state": "started", "data": {"progress": 0},
        "resources": ["/api/2.0/remotesnapshots/{r}/", "/api/2.0/drives/{d}/"]}]}"#;
    let unseen = r#"{"snapshots": [], "remote_snapshots": [{"uuid": "{r}"}], "runtime": {"snapshots_allocated_size": 0}, "status": "unmounted"}"#;
    let floe = r#"{"objects": [{"floe": {"snapshots": [], "snapshots_allocated_size": 0, "snapshots_charged_size": 0}}]}"#;
    world.check(&[
        ("GET /remotesnapshots/{r}/", "", 200, r#"{"status": "transferring", "allocated_size": null}"#),
        (
            "GET /remotesnapshots/?uuid={r}&fields=floe",
            "",
            200,
            r#"{"objects": [{"floe": {"size": 1048576, "referenced_size": null}}]}"#,
        ),
        ("GET /jobs/?state=started", "", 200, job),
        ("GET /jobs/{job}/", "", 200, r#"{"state": "started"}"#),
        ("GET /drives/{d}/", "", 200, unseen),
        ("GET /drives/?uuid={d}&fields=floe", "", 200, floe),
        ("GET /snapshots/", "", 200, r#"{"meta": {"total_count": 0}}"#),
        ("GET /snapshots/?drive={d}", "", 200, r#"{"meta": {"total_count": 0}}"#),
        ("GET /capabilities/", "", 200, r#"{"snapshots": {"current": 0}, "remote_snapshots": {"current": 2}}"#),
        ("GET /currentusage/", "", 200, r#"{"usage": {"dssd": {"using": 2097152}, "backup": {"using": 0}}}"#),
    ]);
    // A snapshot beside it is counted for itself alone.
    world.make_snapshot("d", "beside");
    world.write("d", 0, b"CC");
    world.check(&[(
        "GET /drives/{d}/",
        "",
        200,
        r#"{"snapshots": [{"uuid": "{beside}"}], "runtime": {"snapshots_allocated_size": 8192}}"#,
    )]);
    // Its drive goes; what is on the way arrives all the same.
    world.check(&[("DELETE /drives/{d}/", "", 204, ""), ("GET /snapshots/{beside}/", "", 404, "")]);
    world.check(&NOT_NOW[..5]);
    assert_eq!(world.node.counts(), [1, 1, 1], "e, the moment of d, and what marks s");
    world.node.open("DUB");
    world.wait_for_remote("r");
    let clone = r#"{"uuid": "{c}", "status": "cloning_dst", "name": "r", "size": 1048576, "media": "disk"}"#;
    world.check(&[
        ("GET /jobs/{job}/", "", 200, r#"{"state": "success", "data": {"progress": 100}}"#),
        (
            "GET /remotesnapshots/{r}/",
            "",
            200,
            r#"{"allocated_size": 12288, "drive": {"uuid": "{d}"}, "drive_meta": {"name": "d"}}"#,
        ),
        ("GET /drives/{d}/", "", 404, ""),
        ("POST /remotesnapshots/{r}/action/?do=clone", "", 202, clone),
    ]);
    world.wait_until("GET /drives/{c}/", r#"{"status": "unmounted"}"#);
    assert_eq!(world.content("c", 4), b"AAA\0");
    world.finish();
}

#[test]
fn sizes_are_those_of_this_moment() {
    let mut world = here();
    world.write("d", 0, b"AAAAAAAA");
    world.make_remote("d", "first");
    let check = |world: &mut World<Here>, first: u64, second: Option<u64>| {
        let sizes = [("first", Some(first)), ("second", second)];
        for (name, size) in sizes.iter().filter_map(|(name, size)| Some((name, (*size)?))) {
            let found = world.get(&format!("/remotesnapshots/{{{name}}}/"))["allocated_size"].take();
            assert_eq!(found, size * BLOCK_BYTES, "{name}");
        }
        let using = (first + second.unwrap_or_default()) * BLOCK_BYTES;
        let usage = json!({"usage": {"backup": {"burst": using, "subscribed": 0, "using": using}}});
        world.check(&[("GET /currentusage/", "", 200, &usage.to_string())]);
        world.check(&[("GET /drives/{d}/", "", 200, r#"{"runtime": {"snapshots_allocated_size": 0}}"#)]);
    };
    check(&mut world, 0, None);
    world.write("d", 0, b"BBB");
    check(&mut world, 3, None);
    world.make_remote("d", "second");
    check(&mut world, 3, Some(0));
    // What both hold is in both sizes; what was a hole is nothing that is held.
    world.write("d", 2, b"CC");
    world.write("d", 100, b"D");
    check(&mut world, 4, Some(2));
    world.check(&[("GET /drives/{d}/", "", 200, r#"{"remote_snapshots": [{"uuid": "{second}"}, {"uuid": "{first}"}]}"#)]);
    // Without the drive, each is compared with the next younger one, and the youngest holds all.
    world.check(&[("DELETE /drives/{d}/", "", 204, "")]);
    world.wait_until("GET /remotesnapshots/{first}/", r#"{"allocated_size": 12288}"#);
    check_gone(&mut world);
    world.finish();
}

/// What both hold once their drive is gone.
fn check_gone(world: &mut World<Here>) {
    world.check(&[
        ("GET /remotesnapshots/{second}/", "", 200, r#"{"allocated_size": 32768}"#),
        ("GET /currentusage/", "", 200, r#"{"usage": {"backup": {"using": 45056}}}"#),
        ("GET /remotesnapshots/?drive={d}", "", 200, r#"{"objects": [{"uuid": "{first}"}, {"uuid": "{second}"}]}"#),
        ("DELETE /remotesnapshots/{second}/", "", 204, ""),
        ("GET /remotesnapshots/{first}/", "", 200, r#"{"allocated_size": 32768}"#),
    ]);
}

#[test]
fn listings_are_filtered_cut_and_in_order() {
    let mut world = here();
    world.check(&[("POST /tags/", r#"{"name": "t"}"#, 201, r#"{"objects": [{"uuid": "{t}"}]}"#)]);
    world.make_remote("d", "Alpha");
    world.make_remote("e", "beta");
    world.begin_remote("d", "gamma", r#", "tags": ["{t}"]"#);
    world.wait_for_remote("gamma");
    world.check(&[("DELETE /drives/{d}/", "", 204, "")]);
    for (query, names) in [
        ("", vec!["Alpha", "beta", "gamma"]),
        ("limit=2", vec!["Alpha", "beta"]),
        ("limit=2&offset=2", vec!["gamma"]),
        ("name=beta", vec!["beta"]),
        ("name=BETA", vec![]),
        ("name__contains=ALPH,eta", vec!["Alpha", "beta"]),
        ("tag={t}", vec!["gamma"]),
        ("uuid={gamma},{beta}", vec!["beta", "gamma"]),
        ("drive={d}", vec!["Alpha", "gamma"]),
        ("drive={e}", vec!["beta"]),
        ("drive={d}&name=Alpha", vec!["Alpha"]),
        (&format!("drive={NOBODY}"), vec![]),
    ] {
        for list in ["/remotesnapshots/", "/remotesnapshots/detail/"] {
            let found = world.get(&format!("{list}?fields=name&{query}"))["objects"].take();
            let expected: Value = names.iter().map(|name| json!({"name": name})).collect();
            assert_eq!(found, expected, "{list}?{query}");
        }
    }
    world.check(&[
        ("GET /remotesnapshots/?limit=0", "", 200, r#"{"meta": {"limit": 0, "offset": 0, "total_count": 3}}"#),
        ("GET /remotesnapshots/{Alpha}/?drive={e}", "", 200, r#"{"uuid": "{Alpha}"}"#),
        ("GET /remotesnapshots/{gamma}/", "", 200, r#"{"tags": [{"uuid": "{t}"}]}"#),
        ("GET /drives/{e}/", "", 200, r#"{"remote_snapshots": [{"uuid": "{beta}"}]}"#),
        (
            "GET /drives/detail/?fields=remote_snapshots",
            "",
            200,
            r#"{"objects": [{"remote_snapshots": [{"uuid": "{beta}"}], "$exact": []}]}"#,
        ),
    ]);
    world.finish();
}

#[test]
fn an_edit_changes_what_it_says_and_no_more() {
    let mut world = here();
    world.make_remote("d", "r");
    let whole = world.get("/remotesnapshots/{r}/");
    world.check(&[
        ("PUT /remotesnapshots/{r}/", "", 200, &whole.to_string()),
        ("PUT /remotesnapshots/{r}/", &whole.to_string(), 200, &whole.to_string()),
        ("PUT /remotesnapshots/{r}/", r#"{"meta": {"a": "1"}}"#, 200, r#"{"name": "r", "meta": {"a": "1"}}"#),
        ("PUT /remotesnapshots/{r}/", r#"{"name": "q", "location": "DUB"}"#, 200, r#"{"name": "q", "location": "GVA", "meta": {"a": "1"}}"#),
        ("PUT /remotesnapshots/{r}/", r#"{"drive": {"uuid": "{d}"}, "name": "p", "tags": []}"#, 200, r#"{"name": "p"}"#),
        ("PUT /remotesnapshots/{r}/", r#"{"drive": "{d}", "meta": {"b": "2"}}"#, 200, r#"{"name": "p", "meta": {"b": "2", "$exact": []}}"#),
        ("PUT /remotesnapshots/{r}/", r#"{"drive": "{e}"}"#, 400, r#"[{"error_type": "validation", "error_point": "drive"}]"#),
        ("PUT /remotesnapshots/{r}/", r#"{"name": 7}"#, 400, r#"[{"error_point": "name"}]"#),
        ("PUT /remotesnapshots/{r}/", r#"{"meta": {"k": 7}}"#, 400, r#"[{"error_point": "meta"}]"#),
        (
            "PUT /remotesnapshots/{r}/",
            r#"{"allocated_size": 7, "status": "creating", "drive_meta": {}, "last_state_change": "x", "timestamp": "x", "uuid": "x", "owner": null}"#,
            200,
            r#"{"allocated_size": 0, "status": "available", "drive_meta": {"name": "d"}, "uuid": "{r}"}"#,
        ),
        ("PUT /remotesnapshots/", "{}", 405, ""),
    ]);
    world.finish();
}

#[test]
fn bulk_deletion_takes_all_or_nothing() {
    let mut world = here();
    for (name, drive) in [("a", "d"), ("b", "d"), ("c", "d"), ("f", "e")] {
        world.make_remote(drive, name);
    }
    world.check(&[
        ("DELETE /remotesnapshots/", "", 400, ""),
        ("DELETE /remotesnapshots/", "{}", 400, ""),
        ("DELETE /remotesnapshots/", &format!(r#"{{"objects": [{{"uuid": "{{a}}"}}, {{"uuid": "{NOBODY}"}}]}}"#), 404, ""),
        (
            "DELETE /remotesnapshots/",
            r#"{"objects": [{"uuid": "{a}"}, {"uuid": "{d}"}]}"#,
            404,
            r#"[{"error_type": "notexist"}]"#,
        ),
    ]);
    world.count_remotes(4);
    // As the page has it.
    let page = "{\"objects\":\n  [\n    {\n     \"uuid\":\"{a}\",\n    },\n    {\n     \"uuid\":\"{b}\",\n    },\n    {\n     \"uuid\":\"{c}\",\n    }\n  ]\n}";
    world.check(&[("DELETE /remotesnapshots/", page, 204, "")]);
    world.count_remotes(1);
    world.check(&[
        ("GET /jobs/", "", 200, r#"{"objects": {"$set": [{"operation": "remote_snapshot_create"}, {"operation": "remote_snapshot_delete", "state": "success"}]}}"#),
        ("DELETE /remotesnapshots/{f}/", "", 204, ""),
        ("DELETE /remotesnapshots/{f}/", "", 404, r#"[{"error_type": "notexist"}]"#),
        ("GET /remotesnapshots/{f}/", "", 404, ""),
        ("PUT /remotesnapshots/{f}/", "{}", 404, ""),
        ("POST /remotesnapshots/{f}/action/?do=clone", "{}", 404, ""),
        ("GET /drives/{d}/", "", 200, r#"{"remote_snapshots": []}"#),
    ]);
    assert_eq!(world.node.counts(), [2, 0, 0]);
    world.finish();
}

#[test]
fn a_clone_is_what_the_drive_was() {
    let mut world = World::on(Here::new(&[OWNER], Duration::ZERO));
    let body = r#"{"name": "cd", "size": 1000960, "media": "cdrom", "storage_type": "nvme", "meta": {"k": "v"}}"#;
    world.check(&[("POST /drives/", body, 201, r#"{"objects": [{"uuid": "{d}"}]}"#)]);
    world.write("d", 1, b"AB");
    world.make_remote("d", "r");
    world.write("d", 1, b"xyz");
    world.check(&[
        ("POST /drives/{d}/action/?do=resize", r#"{"size": 2097152}"#, 202, ""),
        ("DELETE /drives/{d}/", "", 204, ""),
        ("PUT /profile/", r#"{"clone_naming": "COUNTER"}"#, 200, ""),
        (
            "POST /remotesnapshots/{r}/action/?do=clone&avoid={d}",
            "{}",
            202,
            r#"{"uuid": "{a}", "resource_uri": {"resource_uri": "/api/2.0/drives/{a}/", "uuid": "{a}", "$exact": []}, "name": "r_1", "media": "cdrom",
                "size": 1000960, "storage_type": "nvme", "status": "cloning_dst", "meta": {"$exact": []}, "tags": [], "snapshots": [],
                "remote_snapshots": [], "runtime": {"is_snapshotable": null}, "jobs": [{"uuid": "{job}"}]}"#,
        ),
        ("GET /jobs/{job}/", "", 200, r#"{"operation": "drive_clone", "resources": ["/api/2.0/remotesnapshots/{r}/", "/api/2.0/drives/{a}/"]}"#),
        (
            "POST /remotesnapshots/{r}/action/?do=clone",
            r#"{"name": "mine", "media": "disk", "size": 4194304, "storage_type": "dssd", "affinities": ["x"], "meta": {"m": "n"}}"#,
            202,
            r#"{"uuid": "{b}", "name": "mine", "media": "disk", "size": 4194304, "storage_type": "dssd", "affinities": ["x"], "meta": {"m": "n"}}"#,
        ),
        ("POST /remotesnapshots/{r}/action/?do=clone", r#"{"size": 999424}"#, 400, r#"[{"error_point": "size"}]"#),
        ("POST /remotesnapshots/{r}/action/?do=clone", r#"{"media": "tape"}"#, 400, r#"[{"error_point": "media"}]"#),
        ("POST /remotesnapshots/{r}/action/?do=revert", "", 400, r#"[{"error_point": "do"}]"#),
        ("POST /remotesnapshots/{r}/action/", "", 400, r#"[{"error_point": "do"}]"#),
    ]);
    for clone in ["a", "b"] {
        world
            .wait_until(&format!("GET /drives/{{{clone}}}/"), r#"{"status": "unmounted", "runtime": {"is_snapshotable": true}}"#);
        assert_eq!(world.content(clone, 5), b"\0AB\0\0");
    }
    // A drive like others: it can have remote snapshots of its own.
    world.make_remote("a", "of a clone");
    world.check(&[(
        "GET /drives/{a}/",
        "",
        200,
        r#"{"remote_snapshots": [{"uuid": "{of a clone}"}], "resource_uri": "/api/2.0/drives/{a}/"}"#,
    )]);
    world.finish();
}

#[test]
fn nobody_has_more_than_he_may_have() {
    let mut world = here();
    let limits = |bytes: &[(&str, u64)], remote_snapshots: u64| AccountLimits {
        bytes: bytes.iter().map(|(class, bytes)| ((*class).to_owned(), *bytes)).collect(),
        subscribed: BTreeMap::from([("backup".to_owned(), 8192)]),
        remote_snapshots: Some(remote_snapshots),
        ..AccountLimits::default()
    };
    world.node.limit(OWNER, limits(&[], 2));
    world.write("d", 0, b"AAA");
    world.check(&[
        (
            "POST /remotesnapshots/",
            r#"[{"drive": "{d}"}, {"drive": "{e}"}]"#,
            201,
            r#"{"objects": [{"uuid": "{r}"}, {"uuid": "{s}"}]}"#,
        ),
        (
            "GET /capabilities/",
            "",
            200,
            r#"{"remote_snapshots": {"current": 2, "max": 2, "remote_locations": ["CWL", "DUB", "FRA", "GVA", "LON", "ZRH"]}}"#,
        ),
    ]);
    ["r", "s"].iter().for_each(|name| world.wait_for_remote(name));
    world.check(&[
        ("POST /remotesnapshots/", r#"{"drive": "{d}"}"#, 403, r#"[{"error_type": "permission"}]"#),
        ("DELETE /remotesnapshots/{s}/", "", 204, ""),
        ("POST /remotesnapshots/", r#"[{"drive": "{d}"}, {"drive": "{e}"}]"#, 403, ""),
        ("GET /currentusage/", "", 200, r#"{"usage": {"backup": {"using": 0, "subscribed": 8192, "burst": 0}}}"#),
    ]);
    world.write("d", 0, b"BBB");
    world.check(&[(
        "GET /currentusage/",
        "",
        200,
        r#"{"usage": {"backup": {"using": 12288, "subscribed": 8192, "burst": 4096}}}"#,
    )]);
    world.node.limit(OWNER, limits(&[("backup", 12288)], 9));
    world.check(&[("POST /remotesnapshots/", r#"{"drive": "{e}"}"#, 403, r#"[{"error_type": "permission"}]"#)]);
    world.node.limit(OWNER, limits(&[("backup", 12289), ("dssd", 3 << 20)], 9));
    world.make_remote("e", "t");
    world.check(&[
        ("POST /remotesnapshots/{t}/action/?do=clone", "", 202, ""),
        ("POST /remotesnapshots/{t}/action/?do=clone", "", 403, r#"[{"error_type": "permission"}]"#),
    ]);
    let codes: Vec<Value> =
        world.get("/locations/")["objects"].as_array().expect("a list").iter().map(|one| one["id"].clone()).collect();
    assert_eq!(codes, ["LOCAL", "CWL", "DUB", "FRA", "GVA", "LON", "ZRH"]);
    world.finish();
}

/// What nobody may do with what he may not know of.
const FORBIDDEN: [Row<'_>; 10] = [
    ("GET /remotesnapshots/{r}/", "", 404, r#"[{"error_type": "notexist"}]"#),
    ("PUT /remotesnapshots/{r}/", r#"{"name": "mine"}"#, 404, ""),
    ("DELETE /remotesnapshots/{r}/", "", 404, ""),
    ("DELETE /remotesnapshots/", r#"{"objects": [{"uuid": "{r}"}]}"#, 404, ""),
    ("POST /remotesnapshots/{r}/action/?do=clone", "", 404, ""),
    ("POST /remotesnapshots/", r#"{"drive": "{d}"}"#, 404, ""),
    ("GET /remotesnapshots/", "", 200, r#"{"objects": []}"#),
    ("GET /remotesnapshots/?uuid={r}&drive={d}", "", 200, r#"{"objects": []}"#),
    ("GET /jobs/", "", 200, r#"{"objects": []}"#),
    ("GET /jobs/{job}/", "", 404, ""),
];

#[test]
fn what_is_somebody_elses_does_not_exist_unless_it_is_shared() {
    let mut world = here();
    world.check(&[("POST /tags/", r#"{"name": "t"}"#, 201, r#"{"objects": [{"uuid": "{t}"}]}"#)]);
    world.begin_remote("d", "r", r#", "tags": ["{t}"]"#);
    world.wait_for_remote("r");
    world.check(&[("GET /jobs/", "", 200, r#"{"objects": [{"uuid": "{job}"}]}"#)]);
    world.check_as(STRANGER, &FORBIDDEN);
    let people = format!(r#"[{{"email": "{}"}}]"#, FRIEND.0);
    let acl = format!(r#"{{"name": "a", "tags": ["{{t}}"], "rules": [{{"permission": "LIST"}}], "grantees": {people}}}"#);
    world.check(&[
        ("POST /acls/", &acl, 201, r#"{"objects": [{"uuid": "{acl}"}]}"#),
        (
            "GET /remotesnapshots/{r}/",
            "",
            200,
            r#"{"grantees": [{"permissions": ["LIST"], "user": {"email": null}}], "permissions": []}"#,
        ),
    ]);
    world.check_as(STRANGER, &FORBIDDEN);
    world.check_as(
        FRIEND,
        &[
            ("GET /remotesnapshots/{r}/", "", 200, r#"{"permissions": ["LIST"], "grantees": [], "tags": [], "name": "r"}"#),
            ("GET /remotesnapshots/", "", 200, r#"{"objects": [{"uuid": "{r}"}]}"#),
            ("PUT /remotesnapshots/{r}/", r#"{"name": "x"}"#, 403, r#"[{"error_type": "permission"}]"#),
            ("POST /remotesnapshots/{r}/action/?do=clone", "", 403, ""),
            ("DELETE /remotesnapshots/{r}/", "", 403, ""),
            ("GET /jobs/{job}/", "", 404, ""),
        ],
    );
    let rules = r#"{"rules": [{"permission": "LIST"}, {"permission": "EDIT"}, {"permission": "CLONE"}]}"#;
    world.check(&[("PUT /acls/{acl}/", rules, 200, "")]);
    world.check_as(
        FRIEND,
        &[
            ("PUT /remotesnapshots/{r}/", r#"{"name": "x", "tags": []}"#, 200, r#"{"name": "x"}"#),
            ("POST /remotesnapshots/{r}/action/?do=clone", "", 202, r#"{"uuid": "{c}", "owner": {"uuid": "{friend}"}}"#),
            ("DELETE /remotesnapshots/{r}/", "", 403, ""),
        ],
    );
    assert_eq!(world.names["friend"], world.node.uuid_of(FRIEND).to_string());
    // Whoever was let in by a tag does not take it off.
    world.check(&[("GET /remotesnapshots/{r}/", "", 200, r#"{"tags": [{"uuid": "{t}"}], "name": "x"}"#)]);
    world.finish();
}

#[test]
fn what_was_acknowledged_arrives_whatever_becomes_of_the_node() {
    let mut world = World::on(Node::new());
    world.make_drive("d", ROOM);
    world.make_drive("e", ROOM);
    let places = world.node.data().join("locations");
    fs::create_dir(&places).expect("a directory");
    fs::write(places.join("DUB"), "shut").expect("a file");
    world.make_remote("e", "there");
    world.begin_remote("d", "r", r#", "location": "DUB""#);
    world.node.crash();
    let drives = ["d", "e"].map(|name| [world.names[name].clone(), name.to_owned()]).concat();
    assert_eq!(world.node.nbd_exports(), drives, "what holds its moment is nobody's to see");
    world.check(&[
        ("GET /remotesnapshots/{r}/", "", 200, r#"{"status": "transferring", "allocated_size": null, "name": "r"}"#),
        ("GET /remotesnapshots/{there}/", "", 200, AVAILABLE),
        ("GET /jobs/?state=started", "", 200, r#"{"objects": [{"uuid": "{job}", "operation": "remote_snapshot_create"}]}"#),
        ("GET /snapshots/", "", 200, r#"{"objects": []}"#),
        ("POST /remotesnapshots/", r#"{"drive": "{d}"}"#, 403, ""),
        ("POST /remotesnapshots/", r#"{"drive": "{e}"}"#, 403, ""),
        ("DELETE /drives/{d}/", "", 204, ""),
    ]);
    world.node.restart_after(|| fs::remove_file(places.join("DUB")).expect("it was shut"));
    world.wait_for_remote("r");
    world.check(&[
        ("GET /jobs/{job}/", "", 200, r#"{"state": "success"}"#),
        ("GET /remotesnapshots/?drive={d}", "", 200, r#"{"objects": [{"uuid": "{r}"}]}"#),
        ("POST /remotesnapshots/{r}/action/?do=clone", "", 202, r#"{"uuid": "{c}"}"#),
    ]);
    world.wait_until("GET /drives/{c}/", r#"{"status": "unmounted"}"#);
    world.check(&[("DELETE /remotesnapshots/{r}/", "", 204, "")]);
    world.node.crash();
    world.count_remotes(1);
    world.finish();
}
