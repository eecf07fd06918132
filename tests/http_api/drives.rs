//! Can drives be made, edited, resized and deleted as the contract says?

use super::world::World;

const ROOM: u64 = 1 << 20;
const NOBODY: &str = "00000000-0000-4000-8000-00000000000a";

#[test]
fn a_drive_is_creating_in_the_first_answer_and_whole_afterwards() {
    let mut world = World::new();
    let rest = r#""affinities": [], "allow_multimount": false, "grantees": [], "jobs": [], "licenses": [], "media": "disk", "meta": {"$exact": []},
        "mounted_on": [], "name": "db", "owner": {"resource_uri": "/api/2.0/user/{o}/", "uuid": "{o}", "$exact": []}, "permissions": [],
        "remote_snapshots": [], "resource_uri": "/api/2.0/drives/{d}/", "size": 1024000000, "snapshots": [], "storage_type": "dssd",
        "tags": [], "uuid": "{d}", "$exact": ["backup_scheduler", "iops"]"#;
    let runtime = r#""snapshots_allocated_size": 0, "storage_type": "dssd", "$exact": ["is_downloadable", "is_ephemeral"]"#;
    let made = format!(
        r#"{{"objects": [{{"status": "creating", "runtime": {{"is_snapshotable": null, {runtime}}}, {rest}}}], "$exact": []}}"#
    );
    let ready = format!(r#"{{"status": "unmounted", "runtime": {{"is_snapshotable": true, {runtime}}}, {rest}}}"#);
    world.check(&[
        ("POST /drives/", r#"{"name": "db", "size": 1024000000, "media": "disk"}"#, 201, &made),
        ("GET /drives/{d}/", "", 200, &ready),
        ("GET /drives/detail/", "", 200, &format!(r#"{{"objects": [{ready}]}}"#)),
        ("GET /drives/", "", 200, r#"{"objects": [{"owner": {"uuid": "{o}"}, "resource_uri": "/api/2.0/drives/{d}/", "status": "unmounted", "uuid": "{d}", "$exact": []}]}"#),
        // An answer as it was can be put back.
        ("PUT /drives/{d}/", &ready.replace(r#", "$exact": []"#, "").replace(r#""$exact": []"#, ""), 200, &ready),
    ]);
    world.finish();
}

#[test]
fn drives_are_made_from_every_shape_and_with_everything_that_can_be_said() {
    let mut world = World::new();
    let one = r#"{"name": "a", "size": "1024000000", "media": "cdrom"}"#;
    let answer = r#"{"objects": [{"name": "a", "size": 1024000000, "media": "cdrom", "status": "creating"}]}"#;
    world.check(&[
        ("POST /drives/", one, 201, answer),
        ("POST /drives/", &format!("[{one}]"), 201, answer),
        ("POST /drives/", &format!(r#"{{"objects": [{one}]}}"#), 201, answer),
        ("POST /drives/", &format!("[{one}, {one}]"), 201, r#"{"objects": [{"name": "a"}, {"name": "a"}]}"#),
        (
            "POST /drives/?avoid=nonsense,00000000-0000-4000-8000-00000000000a",
            r#"{"name": "b", "size": 4096, "media": "disk", "meta": {"k": "v"}, "tags": [], "affinities": ["ssd"], "allow_multimount": true, "storage_type": "nvme"}"#,
            201,
            r#"{"objects": [{"uuid": "{b}", "meta": {"k": "v", "$exact": []}, "affinities": ["ssd"], "allow_multimount": true, "storage_type": "nvme", "runtime": {"storage_type": "nvme"}}]}"#,
        ),
        ("GET /drives/{b}/", "", 200, r#"{"meta": {"k": "v"}, "affinities": ["ssd"], "allow_multimount": true, "storage_type": "nvme"}"#),
        ("GET /drives/", "", 200, r#"{"meta": {"total_count": 6}}"#),
    ]);
    world.finish();
}

#[test]
fn drives_that_cannot_be_meant_are_refused_and_none_is_made() {
    let mut world = World::new();
    let good = r#"{"name": "a", "size": 4096, "media": "disk"}"#;
    for (bad, point, required) in [
        (r#"{"size": 4096, "media": "disk"}"#, "name", true),
        (r#"{"name": "a", "media": "disk"}"#, "size", true),
        (r#"{"name": "a", "size": 4096}"#, "media", true),
        (r#"{"name": null, "size": 4096, "media": "disk"}"#, "name", true),
        (r#"{"name": 7, "size": 4096, "media": "disk"}"#, "name", false),
        (r#"{"name": "a", "size": "x", "media": "disk"}"#, "size", false),
        (r#"{"name": "a", "size": "", "media": "disk"}"#, "size", false),
        (r#"{"name": "a", "size": -1, "media": "disk"}"#, "size", false),
        (r#"{"name": "a", "size": 0, "media": "disk"}"#, "size", false),
        (r#"{"name": "a", "size": 1.5, "media": "disk"}"#, "size", false),
        (r#"{"name": "a", "size": 1e30, "media": "disk"}"#, "size", false),
        (r#"{"name": "a", "size": 18446744073709551615, "media": "disk"}"#, "size", false),
        (r#"{"name": "a", "size": [4096], "media": "disk"}"#, "size", false),
        (r#"{"name": "a", "size": 4096, "media": "tape"}"#, "media", false),
        (r#"{"name": "a", "size": 4096, "media": 1}"#, "media", false),
        (r#"{"name": "a", "size": 4096, "media": "disk", "meta": {"k": 1}}"#, "meta", false),
        (r#"{"name": "a", "size": 4096, "media": "disk", "tags": "x"}"#, "tags", false),
        (r#"{"name": "a", "size": 4096, "media": "disk", "affinities": "x"}"#, "affinities", false),
        (r#"{"name": "a", "size": 4096, "media": "disk", "allow_multimount": "x"}"#, "allow_multimount", false),
        (r#"{"name": "a", "size": 4096, "media": "disk", "storage_type": "floppy"}"#, "storage_type", false),
    ] {
        let message = if required { "This field is required" } else { "{*}" };
        let pattern = format!(r#"[{{"error_type": "validation", "error_point": "{point}", "error_message": "{message}"}}]"#);
        world.check(&[("POST /drives/", bad, 400, &pattern), ("POST /drives/", &format!("[{good}, {bad}]"), 400, &pattern)]);
    }
    for body in ["", "{", "7", "[]", "[7]", r#"{"objects": []}"#, r#"{"name": "a", "size": 4096, "media": "disk",}"#] {
        world.check(&[("POST /drives/", body, 400, r#"[{"error_type": "validation"}]"#)]);
    }
    world.check(&[("GET /drives/", "", 200, r#"{"meta": {"total_count": 0}}"#)]);
    world.finish();
}

#[test]
fn sizes_are_rounded_up_a_little() {
    let mut world = World::new();
    for (asked, rounded) in [(1_024_000_000, 0), (2_048_000_000, 0), (536_870_912, 0), (1_207_959_631, 1), (6_450_843_648, 0)] {
        let body = format!(r#"{{"name": "a", "size": {asked}, "media": "disk"}}"#);
        let made = world.call(&("POST /drives/", &body, 201, "")).json();
        let size: u64 = made["objects"][0]["size"].as_u64().expect("a number");
        assert!(size >= asked && size - asked < 65_536 && (rounded == 1) == (size > asked), "{asked}: {size}");
        assert_eq!(size % 512, 0, "sectors are whole");
    }
    world.finish();
}

#[test]
fn an_edit_changes_what_it_says_and_no_more() {
    let mut world = World::with_drives(&["d"], ROOM);
    world.check(&[
        ("PUT /drives/{d}/", "{}", 200, r#"{"name": "d", "size": 1048576, "status": "unmounted"}"#),
        ("PUT /drives/{d}/", r#"{"name": "x", "media": "cdrom"}"#, 200, r#"{"name": "x", "media": "cdrom", "status": "unmounted"}"#),
        ("PUT /drives/{d}/", r#"{"meta": {"a": "1"}, "allow_multimount": true, "affinities": ["ssd"]}"#, 200, r#"{"name": "x"}"#),
        ("PUT /drives/{d}/", r#"{"name": "y", "size": "1048576", "media": "disk"}"#, 200, r#"{"status": "unmounted", "size": 1048576}"#),
        ("GET /drives/{d}/", "", 200, r#"{"name": "y", "media": "disk", "meta": {"a": "1"}, "allow_multimount": true, "affinities": ["ssd"]}"#),
        ("PUT /drives/{d}/", r#"{"meta": {"b": "2"}}"#, 200, r#"{"meta": {"b": "2", "$exact": []}}"#),
        // What is computed or read-only is not refused.
        ("PUT /drives/{d}/", &format!(r#"{{"uuid": "{NOBODY}", "owner": null, "status": "mounted", "runtime": {{}}, "snapshots": [{{"uuid": "{NOBODY}"}}], "jobs": [], "mounted_on": [], "licenses": [], "grantees": [{{}}], "permissions": ["LIST"], "resource_uri": "x"}}"#), 200,
            r#"{"uuid": "{d}", "status": "unmounted", "snapshots": [], "grantees": [], "permissions": [], "resource_uri": "/api/2.0/drives/{d}/"}"#),
        ("PUT /drives/{d}/", r#"{"media": "tape", "name": "z"}"#, 400, r#"[{"error_point": "media"}]"#),
        ("PUT /drives/{d}/", r#"{"size": "x", "name": "z"}"#, 400, r#"[{"error_point": "size"}]"#),
        ("PUT /drives/{d}/", "[]", 400, ""),
        ("PUT /drives/{d}/", "{", 400, ""),
        ("GET /drives/{d}/", "", 200, r#"{"name": "y", "media": "disk"}"#),
        ("PUT /drives/", "{}", 405, ""),
    ]);
    world.finish();
}

#[test]
fn a_drive_grows_by_edit_and_by_action_and_never_shrinks() {
    let mut world = World::with_drives(&["d"], ROOM);
    let resize = "POST /drives/{d}/action/?do=resize";
    let refused = r#"[{"error_point": "size"}]"#;
    world.check(&[
        (
            "PUT /drives/{d}/",
            r#"{"name": "d", "size": 2097152, "media": "disk"}"#,
            200,
            r#"{"status": "resizing", "uuid": "{d}"}"#,
        ),
        ("GET /drives/{d}/", "", 200, r#"{"status": "unmounted", "size": 2097152}"#),
        // The answer to the action still has the old size.
        (
            resize,
            r#"{"size": 3145728}"#,
            202,
            r#"{"objects": [{"uuid": "{d}", "status": "resizing", "size": 2097152}], "$exact": []}"#,
        ),
        ("GET /drives/{d}/", "", 200, r#"{"status": "unmounted", "size": 3145728}"#),
        (resize, r#"{"name": "d", "size": "4194304", "media": "disk"}"#, 202, r#"{"objects": [{"size": 3145728}]}"#),
        (resize, r#"{"size": 1048576}"#, 400, refused),
        (resize, r#"{"size": "x"}"#, 400, refused),
        (resize, "{}", 400, refused),
        (resize, "", 400, refused),
        ("PUT /drives/{d}/", r#"{"size": 1048576, "name": "x"}"#, 400, refused),
        ("POST /drives/{d}/action/?do=nothing", "{}", 400, ""),
        ("POST /drives/{d}/action/", "{}", 400, ""),
        ("GET /drives/{d}/", "", 200, r#"{"status": "unmounted", "size": 4194304, "name": "d"}"#),
    ]);
    // The whole definition, with another size, is how one client does it.
    let mut whole = world.get("/drives/{d}/");
    whole["size"] = 5_242_880.into();
    world.check(&[
        (resize, &whole.to_string(), 202, r#"{"objects": [{"size": 4194304}]}"#),
        ("GET /drives/{d}/", "", 200, r#"{"size": 5242880}"#),
    ]);
    world.finish();
}

#[test]
fn a_drive_takes_its_snapshots_with_it() {
    let mut world = World::with_drives(&["d", "e"], ROOM);
    for (drive, name) in [("d", "d1"), ("d", "d2"), ("e", "e1")] {
        world.make_snapshot(drive, name);
    }
    world.check(&[
        // A clone stays when what it was made of goes.
        ("POST /snapshots/{d1}/action/?do=clone", "", 202, r#"{"uuid": "{c}"}"#),
        ("DELETE /drives/{d}/", "", 204, ""),
        ("GET /drives/{d}/", "", 404, r#"[{"error_type": "notexist"}]"#),
        ("DELETE /drives/{d}/", "", 404, ""),
        ("POST /snapshots/", r#"{"drive": "{d}"}"#, 404, r#"[{"error_type": "notexist"}]"#),
        ("POST /drives/{d}/action/?do=clone", "", 404, ""),
        ("GET /snapshots/{d1}/", "", 404, ""),
        ("GET /snapshots/{d2}/", "", 404, ""),
        ("GET /snapshots/", "", 200, r#"{"objects": [{"uuid": "{e1}"}]}"#),
        ("GET /drives/{c}/", "", 200, r#"{"status": "unmounted"}"#),
        ("DELETE /drives/?recurse=disks", r#"{"objects": [{"uuid": "{e}"}]}"#, 204, ""),
        ("GET /snapshots/", "", 200, r#"{"objects": []}"#),
        ("DELETE /drives/{c}/", "", 204, ""),
    ]);
    world.finish();
}

#[test]
fn bulk_deletion_takes_all_or_nothing() {
    let mut world = World::with_drives(&["a", "b", "c", "s"], ROOM);
    world.make_snapshot("s", "t");
    let with = |other: &str| format!(r#"{{"objects": [{{"uuid": "{{a}}"}}, {{"uuid": "{other}"}}]}}"#);
    world.check(&[
        ("DELETE /drives/", "", 400, ""),
        ("DELETE /drives/", "{}", 400, ""),
        ("DELETE /drives/", r#"{"objects": []}"#, 400, ""),
        ("DELETE /drives/", &with("nonsense"), 400, ""),
        ("DELETE /drives/", &with(NOBODY), 404, r#"[{"error_type": "notexist"}]"#),
        ("DELETE /drives/", &with("{t}"), 404, ""),
        ("GET /drives/", "", 200, r#"{"meta": {"total_count": 4}}"#),
        ("DELETE /drives/", "{\"objects\":\n [{\"uuid\":\"{a}\",}, {\"uuid\":\"{b}\",\n }\n]}", 204, ""),
        ("GET /drives/", "", 200, r#"{"objects": [{"uuid": "{c}"}, {"uuid": "{s}"}]}"#),
    ]);
    world.finish();
}

#[test]
fn a_drive_is_mounted_while_a_client_is_on_it_and_cannot_be_deleted() {
    let mut world = World::with_drives(&["d", "e"], ROOM);
    world.make_snapshot("d", "s");
    let mounted = r#"[{"error_type": "permission", "error_point": null}]"#;
    let mut client = world.node.nbd(&world.names["d"]);
    world.check(&[
        ("GET /drives/{d}/", "", 200, r#"{"status": "mounted", "runtime": {"is_snapshotable": true}}"#),
        ("GET /drives/?fields=status", "", 200, r#"{"objects": [{"status": "mounted"}, {"status": "unmounted"}]}"#),
        ("DELETE /drives/{d}/", "", 403, mounted),
        ("DELETE /drives/", r#"{"objects": [{"uuid": "{e}"}, {"uuid": "{d}"}]}"#, 403, mounted),
        ("GET /drives/", "", 200, r#"{"meta": {"total_count": 2}}"#),
        // All else goes on while it runs.
        ("POST /snapshots/", r#"{"drive": "{d}"}"#, 201, r#"{"objects": [{"status": "creating"}]}"#),
        ("PUT /drives/{d}/", r#"{"name": "renamed"}"#, 200, r#"{"status": "mounted", "name": "renamed"}"#),
        ("POST /drives/{d}/action/?do=clone", "", 202, r#"{"objects": [{"status": "cloning_dst", "uuid": "{c}"}]}"#),
        ("GET /drives/{c}/", "", 200, r#"{"status": "unmounted"}"#),
        ("DELETE /snapshots/{s}/", "", 204, ""),
    ]);
    client.disconnect();
    world.wait_until("GET /drives/{d}/", r#"{"status": "unmounted"}"#);
    world.check(&[("DELETE /drives/{d}/", "", 204, "")]);
    world.finish();
}
