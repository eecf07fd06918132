//! Can snapshots be made, edited and deleted as the contract says?

use super::world::World;

const ROOM: u64 = 1 << 20;
const NOBODY: &str = "00000000-0000-4000-8000-00000000000a";

fn with_drives() -> World {
    World::with_drives(&["d", "e"], ROOM)
}

#[test]
fn snapshots_are_made_from_whatever_names_a_drive_in_whatever_shape() {
    let mut world = with_drives();
    let one =
        r#"{"objects": [{"status": "creating", "allocated_size": null, "drive": {"uuid": "{d}"}, "meta": {}, "tags": []}]}"#;
    let two =
        r#"{"objects": [{"status": "creating", "drive": {"uuid": "{d}"}}, {"status": "creating", "drive": {"uuid": "{e}"}}]}"#;
    world.check(&[
        ("POST /snapshots/", r#"{"drive": "{d}"}"#, 201, one),
        ("POST /snapshots/", r#"{"drive": {"uuid": "{d}"}}"#, 201, one),
        ("POST /snapshots/", r#"{"drive": {"uuid": "{d}", "resource_uri": "/api/2.0/drives/{d}/"}}"#, 201, one),
        ("POST /snapshots/", r#"{"drive": "/api/2.0/drives/{d}/"}"#, 201, one),
        ("POST /snapshots/", r#"{"drive": "{d}", "name": null, "meta": null, "tags": null}"#, 201, one),
        ("POST /snapshots/", r#"{"drive": "{d}", "name": "", "tags": []}"#, 201, one),
        ("POST /snapshots/", r#"[{"drive": "{d}"}]"#, 201, one),
        ("POST /snapshots/", r#"{"objects": [{"drive": "{d}"}]}"#, 201, one),
        ("POST /snapshots/", r#"{"objects": [{"drive": "{d}"}, {"drive": "{e}"}]}"#, 201, two),
        ("POST /snapshots/", r#"[{"drive": "{d}"}, {"drive": {"uuid": "{e}"}}]"#, 201, two),
        ("GET /snapshots/?drive={d}", "", 200, r#"{"meta": {"total_count": 10}}"#),
    ]);
    world.finish();
}

#[test]
fn a_snapshot_is_creating_in_the_first_answer_and_available_afterwards() {
    let mut world = with_drives();
    // The second is asked for while the first may still be in the making.
    let rows = ["first", "second"].map(|name| {
        let made = format!(r#"{{"objects": [{{"uuid": "{{{name}}}", "status": "creating", "allocated_size": null}}]}}"#);
        (format!(r#"{{"drive": "{{d}}", "name": "{name}"}}"#), made)
    });
    for (body, pattern) in &rows {
        world.check(&[("POST /snapshots/", body, 201, pattern)]);
    }
    world.check(&[
        (
            "GET /snapshots/{first}/",
            "",
            200,
            r#"{"status": "available", "allocated_size": 0, "name": "first", "timestamp": "{time:first}"}"#,
        ),
        ("GET /snapshots/{second}/", "", 200, r#"{"status": "available", "allocated_size": 0}"#),
        // Its drive has the newest first.
        (
            "GET /drives/{d}/",
            "",
            200,
            r#"{"status": "unmounted", "snapshots": [
            {"resource_uri": "/api/2.0/snapshots/{second}/", "uuid": "{second}", "$exact": []},
            {"resource_uri": "/api/2.0/snapshots/{first}/", "uuid": "{first}", "$exact": []}]}"#,
        ),
        ("GET /drives/{e}/", "", 200, r#"{"snapshots": []}"#),
    ]);
    world.finish();
}

#[test]
fn several_snapshots_are_made_together_or_not_at_all() {
    let mut world = with_drives();
    let missing = r#"[{"error_type": "validation", "error_message": "This field is required", "error_point": "drive"}]"#;
    for (body, status, pattern) in [
        (r#"[{"drive": "{d}"}, {}]"#, 400, missing),
        (r#"{"objects": [{"drive": "{d}"}, {"drive": null}]}"#, 400, missing),
        (&format!(r#"[{{"drive": "{{d}}"}}, {{"drive": "{NOBODY}"}}]"#), 404, r#"[{"error_type": "notexist"}]"#),
        (r#"[{"drive": "{d}"}, {"drive": "nonsense"}]"#, 400, r#"[{"error_point": "drive"}]"#),
        (r#"[{"drive": "{d}"}, {"drive": 7}]"#, 400, r#"[{"error_point": "drive"}]"#),
        (r#"[{"drive": "{d}"}, {"drive": "{e}", "name": 7}]"#, 400, r#"[{"error_point": "name"}]"#),
        (r#"[{"drive": "{d}"}, {"drive": "{e}", "meta": []}]"#, 400, r#"[{"error_point": "meta"}]"#),
        (r#"[{"drive": "{d}"}, 7]"#, 400, ""),
        ("", 400, ""),
        ("{", 400, r#"[{"error_type": "validation", "error_point": null}]"#),
        ("7", 400, ""),
        ("null", 400, ""),
        ("[]", 400, ""),
        (r#"{"objects": []}"#, 400, ""),
        (r#"{"objects": {}}"#, 400, ""),
        ("{}", 400, missing),
    ] {
        world.check(&[("POST /snapshots/", body, status, pattern)]);
    }
    world.check(&[("GET /snapshots/", "", 200, r#"{"meta": {"total_count": 0}}"#)]);
    world.finish();
}

#[test]
fn an_edit_changes_what_it_says_and_no_more() {
    let mut world = with_drives();
    world.check(&[
        (
            "POST /snapshots/",
            r#"{"drive": "{d}", "name": "s", "meta": {"a": "1", "b": "2"}}"#,
            201,
            r#"{"objects": [{"uuid": "{s}"}]}"#,
        ),
        ("PUT /snapshots/{s}/", "{}", 200, r#"{"name": "s", "meta": {"a": "1", "b": "2", "$exact": []}}"#),
        ("PUT /snapshots/{s}/", "", 200, r#"{"name": "s", "meta": {"a": "1", "b": "2"}}"#),
        ("PUT /snapshots/{s}/", r#"{"name": "t"}"#, 200, r#"{"name": "t", "meta": {"a": "1"}}"#),
        // What is written about a thing is replaced whole.
        (
            "PUT /snapshots/{s}/",
            r#"{"meta": {"b": "3\nlines"}}"#,
            200,
            r#"{"name": "t", "meta": {"b": "3\nlines", "$exact": []}}"#,
        ),
        ("PUT /snapshots/{s}/", r#"{"meta": {}}"#, 200, r#"{"meta": {"$exact": []}}"#),
        // What programs send: Go's client, and a drive as the page has it.
        ("PUT /snapshots/{s}/", r#"{"drive": {"uuid": "{d}"}, "name": "u", "tags": []}"#, 200, r#"{"name": "u"}"#),
        (
            "PUT /snapshots/{s}/",
            r#"{"drive": "{d}", "name": "v", "meta": {"k": "v"}}"#,
            200,
            r#"{"name": "v", "meta": {"k": "v"}}"#,
        ),
        ("PUT /snapshots/{s}/", r#"{"drive": "{e}"}"#, 400, r#"[{"error_type": "validation", "error_point": "drive"}]"#),
        ("PUT /snapshots/{s}/", r#"{"name": 7}"#, 400, r#"[{"error_point": "name"}]"#),
        ("PUT /snapshots/{s}/", r#"{"meta": {"k": 7}}"#, 400, r#"[{"error_point": "meta"}]"#),
        ("PUT /snapshots/{s}/", "[]", 400, ""),
        ("GET /snapshots/{s}/", "", 200, r#"{"name": "v", "meta": {"k": "v", "$exact": []}, "drive": {"uuid": "{d}"}}"#),
        ("PUT /snapshots/", r#"{"objects": []}"#, 405, ""),
    ]);
    world.finish();
}

#[test]
fn a_whole_definition_can_be_put_back_and_what_is_read_only_stays() {
    let mut world = with_drives();
    let made = world.call(&("POST /snapshots/", r#"{"drive": "{d}"}"#, 201, r#"{"objects": [{"uuid": "{s}"}]}"#)).json();
    let mut whole = made["objects"][0].clone();
    let now = world.get("/snapshots/{s}/");
    // The answer of its making still has null sizes.
    world.check(&[("PUT /snapshots/{s}/", &whole.to_string(), 200, &now.to_string())]);
    whole["name"] = "renamed".into();
    let lies = serde_json::json!({
        "allocated_size": 7, "status": "unavailable", "timestamp": "2001-01-01 00:00:00.000000+00:00", "uuid": NOBODY,
        "resource_uri": "/api/2.0/snapshots/x/", "owner": null, "grantees": [{"permissions": ["EDIT"]}], "permissions": ["LIST"],
    });
    whole.as_object_mut().expect("an object").extend(lies.as_object().cloned().expect("an object"));
    let mut expected = now;
    expected["name"] = "renamed".into();
    let reply = world.call(&("PUT /snapshots/{s}/", &whole.to_string(), 200, ""));
    assert_eq!(reply.json(), expected);
    assert_eq!(world.get("/snapshots/{s}/"), expected);
    world.finish();
}

#[test]
fn what_is_written_about_a_thing_is_texts_under_short_keys() {
    let mut world = with_drives();
    world.make_snapshot("d", "s");
    let longest = "ü".repeat(32);
    for (meta, status) in [
        (format!(r#"{{"{longest}": "x"}}"#), 200),
        (format!(r#"{{"{longest}x": "x"}}"#), 400),
        (r#"{"k": "line\nline", "雪": "☃"}"#.into(), 200),
        (r#"{"k": null}"#.into(), 400),
        (r#"{"k": {}}"#.into(), 400),
        (r#""text""#.into(), 400),
    ] {
        for path in ["/snapshots/{s}/", "/drives/{d}/"] {
            let pattern = if status == 200 { format!(r#"{{"meta": {meta}}}"#) } else { r#"[{"error_point": "meta"}]"#.into() };
            world.check(&[(&format!("PUT {path}"), &format!(r#"{{"meta": {meta}}}"#), status, &pattern)]);
        }
    }
    for name in ["雪 ☃ \\\"", "a/b@c,d", "  spaces  "] {
        for path in ["/snapshots/{s}/", "/drives/{d}/"] {
            world.check(&[(
                &format!("PUT {path}"),
                &format!(r#"{{"name": "{name}"}}"#),
                200,
                &format!(r#"{{"name": "{name}"}}"#),
            )]);
        }
    }
    world.finish();
}

#[test]
fn bulk_deletion_takes_all_or_nothing() {
    let mut world = with_drives();
    for name in ["a", "b", "c", "f", "g", "h"] {
        world.make_snapshot("d", name);
    }
    let count = |world: &mut World, expected: usize| {
        world.check(&[("GET /snapshots/", "", 200, &format!(r#"{{"meta": {{"total_count": {expected}}}}}"#))]);
    };
    let one_of = |other: &str| format!(r#"{{"objects": [{{"uuid": "{{a}}"}}, {{"uuid": {other}}}]}}"#);
    world.check(&[
        // Nothing at all is not everything.
        ("DELETE /snapshots/", "", 400, ""),
        ("DELETE /snapshots/", "{}", 400, ""),
        ("DELETE /snapshots/", r#"{"objects": []}"#, 400, ""),
        ("DELETE /snapshots/", r#"{"objects": [{}]}"#, 400, r#"[{"error_point": "uuid"}]"#),
        ("DELETE /snapshots/", r#"{"objects": [{"uuid": "{a}"}, {}]}"#, 400, r#"[{"error_point": "uuid"}]"#),
        ("DELETE /snapshots/", &one_of(r#""nonsense""#), 400, r#"[{"error_point": "uuid"}]"#),
        ("DELETE /snapshots/", &one_of(&format!("{NOBODY:?}")), 404, r#"[{"error_type": "notexist"}]"#),
        // A drive's uuid is none of a snapshot.
        ("DELETE /snapshots/", &one_of(r#""{d}""#), 404, r#"[{"error_type": "notexist"}]"#),
        ("DELETE /snapshots/", r#"{"objects": [{"uuid": "{a}"},,]}"#, 400, ""),
    ]);
    count(&mut world, 6);
    world.check(&[("DELETE /snapshots/", r#"{"objects":[{"uuid":"{a}"},{"uuid":"{b}"},{"uuid":"{a}"}]}"#, 204, "")]);
    count(&mut world, 4);
    world.check(&[("DELETE /snapshots/", "{\"objects\":\n [\n {\n \"uuid\":\"{c}\",\n },\n ] }", 204, "")]);
    world.check(&[("DELETE /snapshots/", r#"[{"uuid": "{f}"}]"#, 204, "")]);
    world.check(&[("DELETE /snapshots/", r#"{"uuid": "{g}"}"#, 204, "")]);
    count(&mut world, 1);
    world.check(&[
        ("DELETE /snapshots/{h}/", "", 204, ""),
        ("DELETE /snapshots/{h}/", "", 404, r#"[{"error_type": "notexist"}]"#),
        ("GET /snapshots/{h}/", "", 404, ""),
        ("PUT /snapshots/{h}/", "{}", 404, ""),
        ("POST /snapshots/{h}/action/?do=clone", "{}", 404, ""),
    ]);
    count(&mut world, 0);
    world.finish();
}
