//! Is there what clients ask for around drives and snapshots?

use super::pattern::has_shape;
use super::world::World;

const ROOM: u64 = 1 << 20;

#[test]
fn a_clone_has_a_job_that_succeeds() {
    let mut world = World::with_drives(&["d"], ROOM);
    world.make_snapshot("d", "s");
    let reference = r#""jobs": [{"resource_uri": "/api/2.0/jobs/{job}/", "uuid": "{job}", "$exact": []}]"#;
    for (line, answer) in [
        ("POST /snapshots/{s}/action/?do=clone", format!(r#"{{"uuid": "{{c}}", {reference}}}"#)),
        ("POST /drives/{d}/action/?do=clone", format!(r#"{{"objects": [{{"uuid": "{{c}}", {reference}}}]}}"#)),
    ] {
        world.check(&[(line, "", 202, &answer)]);
        world.wait_until("GET /jobs/{job}/", r#"{"state": "success", "data": {"progress": 100}}"#);
        let job = world.get("/jobs/{job}/");
        let pattern = r#"{"children": [], "created": "{*}", "data": {"progress": 100}, "last_modified": "{*}", "operation": "drive_clone",
            "resource_uri": "/api/2.0/jobs/{job}/", "resources": "{*}", "state": "success", "uuid": "{job}", "$exact": []}"#;
        world.check(&[("GET /jobs/{job}/", "", 200, pattern)]);
        for time in ["created", "last_modified"] {
            let found = job[time].as_str().expect("text");
            assert!(has_shape(found, "0000-00-00T00:00:00.000000+00:00"), "{time}: {found}");
        }
        let clone = format!("/api/2.0/drives/{}/", world.names["c"]);
        assert!(job["resources"].as_array().expect("a list").contains(&clone.as_str().into()), "{job}");
        world.check(&[
            ("GET /jobs/?state=success&limit=0", "", 200, r#"{"meta": {"limit": 0}}"#),
            ("GET /jobs/?state=nothing", "", 200, r#"{"objects": []}"#),
            ("GET /jobs/00000000-0000-4000-8000-00000000000a/", "", 404, r#"[{"error_type": "notexist"}]"#),
            ("GET /drives/{c}/", "", 200, r#"{"status": "unmounted"}"#),
        ]);
        world.names.remove("job");
        world.names.remove("c");
    }
    world.finish();
}

#[test]
fn a_profile_is_kept_and_the_account_stays_who_it_is() {
    let mut world = World::new();
    world.check(&[(
        "GET /profile/",
        "",
        200,
        r#"{"uuid": "{o}", "email": "owner@example.com", "clone_naming": "NONE", "meta": {}}"#,
    )]);
    let mut whole = world.get("/profile/");
    whole["company"] = "Newly Set Company Name".into();
    whole["clone_naming"] = "COUNTER".into();
    let reply = world.call(&("PUT /profile/", &whole.to_string(), 200, "")).json();
    assert_eq!(reply, whole, "a whole profile can be put back");
    assert_eq!(world.get("/profile/"), whole);
    world.check(&[
        (
            "PUT /profile/",
            r#"{"uuid": "00000000-0000-4000-8000-00000000000a", "email": "x@example.com"}"#,
            200,
            r#"{"uuid": "{o}", "email": "owner@example.com"}"#,
        ),
        ("PUT /profile/", r#"{"company": ""}"#, 200, r#"{"company": "", "clone_naming": "COUNTER"}"#),
        ("PUT /profile/", "[]", 400, ""),
        ("PUT /profile/", r#"{"clone_naming": 7}"#, 400, r#"[{"error_point": "clone_naming"}]"#),
        ("DELETE /profile/", "", 405, ""),
    ]);
    world.finish();
}

#[test]
fn tags_gather_drives_and_snapshots_and_filter_them() {
    let mut world = World::with_drives(&["d", "e"], ROOM);
    world.make_snapshot("d", "s");
    let resource = |kind: &str, name: &str| {
        format!(
            r#"{{"owner": {{"uuid": "{{o}}"}}, "res_type": "{kind}", "resource_uri": "/api/2.0/{kind}/{{{name}}}/", "uuid": "{{{name}}}"}}"#
        )
    };
    let [drive, other, snapshot] = [resource("drives", "d"), resource("drives", "e"), resource("snapshots", "s")];
    let tagged = r#"{"tags": [{"resource_uri": "/api/2.0/tags/{a}/", "uuid": "{a}", "$exact": []}]}"#;
    world.check(&[
        ("POST /tags/", r#"{"objects": [{"name": "a"}]}"#, 201,
            r#"{"objects": [{"meta": {"$exact": []}, "name": "a", "owner": {"uuid": "{o}"}, "resource_uri": "/api/2.0/tags/{a}/", "resources": [], "uuid": "{a}", "$exact": []}]}"#),
        ("POST /tags/", r#"{"name": "b", "resources": ["{e}"], "meta": {"k": "v"}}"#, 201,
            &format!(r#"{{"objects": [{{"name": "b", "uuid": "{{b}}", "meta": {{"k": "v"}}, "resources": [{other}]}}]}}"#)),
        ("PUT /drives/{d}/", r#"{"tags": ["{a}"]}"#, 200, tagged),
        ("PUT /snapshots/{s}/", r#"{"tags": [{"uuid": "{a}"}]}"#, 200, tagged),
        ("GET /tags/{a}/", "", 200, &format!(r#"{{"name": "a", "resources": {{"$set": [{drive}, {snapshot}]}}}}"#)),
        ("GET /tags/", "", 200, r#"{"meta": {"total_count": 2}, "objects": {"$set": [{"uuid": "{a}"}, {"uuid": "{b}"}]}}"#),
        ("GET /tags/detail/?limit=0", "", 200, r#"{"objects": {"$set": [{"uuid": "{a}", "name": "a"}, {"uuid": "{b}", "name": "b"}]}}"#),
        ("GET /drives/?tag={a}", "", 200, r#"{"objects": [{"uuid": "{d}"}]}"#),
        ("GET /drives/?tag={a},{b}", "", 200, r#"{"meta": {"total_count": 2}}"#),
        ("GET /drives/?tag={a}&tag={b}", "", 200, r#"{"objects": []}"#),
        ("GET /snapshots/detail/?tag={a}", "", 200, r#"{"objects": [{"uuid": "{s}"}]}"#),
        ("GET /snapshots/?tag={b}", "", 200, r#"{"objects": []}"#),
        // The list of things in a tag is replaced whole.
        ("PUT /tags/{a}/", r#"{"name": "c", "resources": ["{e}"]}"#, 200, &format!(r#"{{"name": "c", "resources": [{other}]}}"#)),
        ("GET /drives/{d}/", "", 200, r#"{"tags": []}"#),
        ("GET /snapshots/{s}/", "", 200, r#"{"tags": []}"#),
        ("GET /drives/{e}/", "", 200, r#"{"tags": {"$set": [{"uuid": "{a}"}, {"uuid": "{b}"}]}}"#),
        ("PUT /tags/{a}/", r#"{"name": "c2"}"#, 200, &format!(r#"{{"name": "c2", "resources": [{other}]}}"#)),
        // An edit without a word about tags keeps them, an empty list clears them.
        ("PUT /drives/{e}/", r#"{"name": "x"}"#, 200, r#"{"tags": {"$set": [{"uuid": "{a}"}, {"uuid": "{b}"}]}}"#),
        ("PUT /drives/{e}/", r#"{"tags": []}"#, 200, r#"{"tags": []}"#),
        ("GET /tags/{a}/", "", 200, r#"{"resources": []}"#),
        ("POST /drives/", r#"{"name": "f", "size": 4096, "media": "disk", "tags": ["{a}"]}"#, 201, r#"{"objects": [{"uuid": "{f}", "tags": [{"uuid": "{a}"}]}]}"#),
        ("POST /snapshots/", r#"{"drive": "{f}", "tags": ["{b}"]}"#, 201, r#"{"objects": [{"tags": [{"uuid": "{b}"}]}]}"#),
        ("POST /drives/", r#"{"name": "g", "size": 4096, "media": "disk", "tags": ["00000000-0000-4000-8000-00000000000a"]}"#, 404, r#"[{"error_type": "notexist"}]"#),
        ("POST /tags/", "{}", 400, r#"[{"error_message": "This field is required", "error_point": "name"}]"#),
        ("DELETE /tags/{a}/", "", 204, ""),
        ("GET /tags/{a}/", "", 404, r#"[{"error_type": "notexist"}]"#),
        ("GET /drives/{f}/", "", 200, r#"{"tags": []}"#),
        ("GET /drives/?tag={a}", "", 200, r#"{"objects": []}"#),
    ]);
    world.finish();
}

#[test]
fn limits_and_locations_are_told() {
    let mut world = World::with_drives(&["d"], ROOM);
    world.make_snapshot("d", "s");
    let capabilities = r#"{"snapshots": {"current": 1, "max": "{*}", "max_per_drive": "{*}"},
        "drives": {"dssd": {"min_size": "{*}", "max_size": "{*}"}}, "default_storage_type": "dssd"}"#;
    world.check(&[("GET /capabilities/", "", 200, capabilities), ("GET /capabilities/?limit=0", "", 200, capabilities)]);
    let found = world.get("/capabilities/");
    for path in ["/snapshots/max", "/snapshots/max_per_drive", "/drives/dssd/min_size", "/drives/dssd/max_size"] {
        assert!(found.pointer(path).and_then(serde_json::Value::as_u64).is_some_and(|number| number > 0), "{path}: {found}");
    }
    let locations = world.get("/locations/?limit=0");
    assert!(locations["objects"].as_array().is_some_and(|all| !all.is_empty()), "{locations}");
    world.finish();
}

#[test]
fn an_account_may_have_as_many_snapshots_as_it_is_told() {
    let names: Vec<String> = (0..10).map(|number| format!("d{number}")).collect();
    let drives: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::with_drives(&drives, ROOM);
    let told = world.get("/capabilities/")["snapshots"].take();
    let [max, per_drive] = ["max", "max_per_drive"].map(|field| told[field].as_u64().expect("a number"));
    let refused = r#"[{"error_type": "permission", "error_point": null}]"#;
    let of = |drives: &[&str]| {
        let objects: Vec<String> = drives.iter().map(|drive| format!(r#"{{"drive": "{{{drive}}}"}}"#)).collect();
        format!("[{}]", objects.join(", "))
    };
    for _ in 0..per_drive {
        world.check(&[("POST /snapshots/", &of(&["d0"]), 201, "")]);
    }
    world.check(&[("POST /snapshots/", &of(&["d0"]), 403, refused), ("POST /snapshots/", &of(&["d1", "d0"]), 403, refused)]);
    let mut count = per_drive;
    // All together, as long as all fit in.
    while count + 9 <= max {
        world.check(&[("POST /snapshots/", &of(&drives[1..]), 201, "")]);
        count += 9;
    }
    world.check(&[("POST /snapshots/", &of(&drives[1..]), 403, refused)]);
    for _ in count..max {
        world.check(&[("POST /snapshots/", &of(&["d1"]), 201, "")]);
    }
    world.check(&[
        ("POST /snapshots/", &of(&["d2"]), 403, refused),
        ("GET /capabilities/", "", 200, &format!(r#"{{"snapshots": {{"current": {max}}}}}"#)),
        (
            "GET /snapshots/?limit=1",
            "",
            200,
            &format!(r#"{{"meta": {{"total_count": {max}}}, "objects": [{{"uuid": "{{s}}"}}]}}"#),
        ),
        // Who deletes has room again.
        ("DELETE /snapshots/{s}/", "", 204, ""),
        ("POST /snapshots/", &of(&["d2"]), 201, ""),
        ("POST /snapshots/", &of(&["d2"]), 403, refused),
    ]);
    world.finish();
}

#[test]
fn money_and_usage_are_told_in_texts_and_bytes() {
    let mut world = World::new();
    let class = r#"{"burst": "{*}", "subscribed": "{*}", "using": "{*}"}"#;
    let usage =
        format!(r#"{{"balance": {{"balance": "{{*}}", "currency": "{{*}}"}}, "usage": {{"dssd": {class}, "backup": {class}}}}}"#);
    world.check(&[
        ("GET /balance/", "", 200, r#"{"balance": "{*}", "currency": "{*}"}"#),
        ("GET /currentusage/", "", 200, &usage),
    ]);
    assert!(world.get("/balance/")["balance"].is_string(), "money is text");
    let before = world.get("/currentusage/");
    assert!(before["balance"]["balance"].is_string(), "money is text");
    world.check(&[
        ("POST /drives/", r#"{"name": "d", "size": 1048576, "media": "disk"}"#, 201, r#"{"objects": [{"uuid": "{d}"}]}"#),
        ("POST /drives/", r#"{"name": "n", "size": 4096, "media": "disk", "storage_type": "nvme"}"#, 201, ""),
        ("POST /snapshots/", r#"{"drive": "{d}"}"#, 201, ""),
    ]);
    let using = |usage: &serde_json::Value, class: &str| {
        let number = |field: &str| usage["usage"][class][field].as_u64().unwrap_or_else(|| panic!("{class}.{field}: {usage}"));
        let (using, subscribed, burst) = (number("using"), number("subscribed"), number("burst"));
        assert_eq!(burst, using.saturating_sub(subscribed), "{class}");
        using
    };
    let after = world.get("/currentusage/");
    // A drive is billed whole, and a snapshot that nothing changed since is nothing.
    assert_eq!(using(&after, "dssd") - using(&before, "dssd"), ROOM);
    assert_eq!((using(&after, "nvme"), using(&after, "backup")), (4096, 0));
    // The snapshot's size counts as its drive's class.
    let mut client = world.node.nbd(&world.names["d"]);
    client.write(0, &[1; 8192]);
    world.make_snapshot("d", "s");
    client.write(0, &[2; 4096]);
    let later = world.get("/currentusage/");
    assert_eq!(using(&later, "dssd") - using(&after, "dssd"), 4096);
    client.disconnect();
    world.finish();
}

#[test]
fn there_are_no_servers_and_every_drive_is_in_some_group() {
    let mut world = World::new();
    let empty = r#"{"meta": {"limit": 0, "offset": 0, "total_count": 0}, "objects": [], "$exact": []}"#;
    world.check(&[
        ("GET /servers/?limit=0", "", 200, empty),
        ("GET /servers/detail/?limit=0", "", 200, empty),
        ("GET /servers/00000000-0000-4000-8000-00000000000a/", "", 404, ""),
        ("GET /servers/availability_groups/", "", 200, "[]"),
        ("GET /drives/availability_groups/?limit=0", "", 200, "[]"),
    ]);
    world.make_drive("d", ROOM);
    world.make_drive("e", ROOM);
    let mut grouped: Vec<serde_json::Value> = Vec::new();
    for group in world.get("/drives/availability_groups/").as_array().expect("a list of lists") {
        grouped.extend(group.as_array().expect("a list").iter().cloned());
    }
    let mut uuids: Vec<serde_json::Value> = ["d", "e"].map(|name| world.names[name].as_str().into()).to_vec();
    grouped.sort_by_key(ToString::to_string);
    uuids.sort_by_key(ToString::to_string);
    assert_eq!(grouped, uuids);
    let mine = world.get("/drives/availability_groups/{d}/");
    assert!(mine.as_array().expect("a list").contains(&world.names["d"].as_str().into()), "{mine}");
    world.finish();
}

#[test]
fn schemas_say_which_fields_objects_have() {
    let mut world = World::with_drives(&["d"], ROOM);
    world.make_snapshot("d", "s");
    for (schema, object) in [("/drives/schema/", "/drives/{d}/"), ("/snapshots/schema/", "/snapshots/{s}/")] {
        let (schema, object) = (world.get(schema), world.get(object));
        let field = r#"{"default": "{*}", "help_text": "{*}", "readonly": "{*}", "required": "{*}", "type": "{*}", "$exact": ["choices", "fields"]}"#;
        let field = serde_json::from_str(field).expect("JSON");
        for (name, found) in schema["fields"].as_object().expect("fields") {
            super::pattern::fit(&field, found, &mut world.names).unwrap_or_else(|error| panic!("{name}{error}"));
            assert!(object.get(name).is_some(), "no object has {name}");
        }
        for name in object.as_object().expect("an object").keys() {
            assert!(schema["fields"].get(name).is_some(), "the schema does not know {name}");
        }
        assert_eq!((&schema["default_limit"], &schema["default_format"]), (&20.into(), &"application/json".into()));
    }
    world.finish();
}

#[test]
fn more_than_can_be_counted_is_as_much_as_can_be() {
    let mut world = World::new();
    let largest = world.get("/capabilities/")["drives"]["dssd"]["max_size"].as_u64().expect("a number");
    for name in ["d", "e", "f"] {
        world.make_drive(name, largest);
    }
    let usage = format!(r#"{{"usage": {{"dssd": {{"using": {0}, "burst": {0}, "subscribed": 0}}}}}}"#, u64::MAX);
    world.check(&[("GET /currentusage/", "", 200, &usage)]);
    world.finish();
}
