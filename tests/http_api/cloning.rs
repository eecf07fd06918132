//! Are clones made as the contract says, of snapshots and of drives?

use super::world::World;

const ROOM: u64 = 1 << 20;
const SNAPSHOT: &str = "POST /snapshots/{s}/action/?do=clone";
const DRIVE: &str = "POST /drives/{d}/action/?do=clone";

fn furnished() -> World {
    let mut world = World::with_drives(&["d"], ROOM);
    let about = r#"{"name": "db", "meta": {"k": "v"}, "media": "cdrom", "affinities": ["ssd"], "allow_multimount": true}"#;
    world.check(&[("PUT /drives/{d}/", about, 200, "")]);
    world.make_snapshot("d", "s");
    world
}

/// A pattern of a clone's answer, of a snapshot and of a drive.
fn answers(fields: &str) -> [(&'static str, String); 2] {
    let of_snapshot = format!(
        r#"{{"resource_uri": {{"resource_uri": "/api/2.0/drives/{{c}}/", "uuid": "{{c}}", "$exact": []}}, "uuid": "{{c}}", {fields}}}"#
    );
    let of_drive =
        format!(r#"{{"objects": [{{"resource_uri": "/api/2.0/drives/{{c}}/", "uuid": "{{c}}", {fields}}}], "$exact": []}}"#);
    [(SNAPSHOT, of_snapshot), (DRIVE, of_drive)]
}

impl World {
    /// Clones both; the clone's definition afterwards has these fields, too.
    fn check_clones(&mut self, body: &str, fields: &str) {
        let state = r#""status": "cloning_dst", "mounted_on": [], "snapshots": [], "permissions": [], "grantees": [],
            "runtime": {"is_snapshotable": null, "snapshots_allocated_size": 0, "storage_type": "{*}"}"#;
        for (line, answer) in answers(&format!("{state}, {fields}")) {
            self.check(&[
                (line, body, 202, &answer),
                (
                    "GET /drives/{c}/",
                    "",
                    200,
                    &format!(r#"{{"status": "unmounted", "resource_uri": "/api/2.0/drives/{{c}}/", {fields}}}"#),
                ),
                ("DELETE /drives/{c}/", "", 204, ""),
            ]);
            self.names.remove("c");
        }
    }
}

#[test]
fn a_clone_is_a_drive_like_its_source_unless_told_otherwise() {
    let mut world = furnished();
    let plain = r#""media": "cdrom", "size": 1048576, "storage_type": "dssd", "affinities": [], "tags": []"#;
    world.check_clones("", plain);
    world.check_clones("{}", plain);
    world.check_clones(r#"{"media": null, "affinities": []}"#, plain);
    // The fields that the page's schema of the request has, each alone and together.
    world.check_clones(r#"{"name": "x"}"#, r#""name": "x", "media": "cdrom", "size": 1048576"#);
    world.check_clones(r#"{"media": "disk"}"#, r#""media": "disk", "size": 1048576"#);
    world.check_clones(r#"{"affinities": ["hdd"]}"#, r#""affinities": ["hdd"], "media": "cdrom""#);
    world
        .check_clones(r#"{"name": "x", "media": "disk", "affinities": []}"#, r#""name": "x", "media": "disk", "affinities": []"#);
    world.check_clones(r#"{"size": "2097152", "storage_type": "nvme"}"#, r#""size": 2097152, "storage_type": "nvme""#);
    world.finish();
}

#[test]
fn a_clone_that_cannot_be_meant_is_refused() {
    let mut world = furnished();
    for line in [SNAPSHOT, DRIVE] {
        for (body, point) in [
            (r#"{"size": 4096}"#, r#""size""#),
            (r#"{"size": "x"}"#, r#""size""#),
            (r#"{"media": "tape"}"#, r#""media""#),
            (r#"{"name": 7}"#, r#""name""#),
            (r#"{"affinities": 7}"#, r#""affinities""#),
            (r#"{"storage_type": "floppy"}"#, r#""storage_type""#),
            ("{", "null"),
            ("[]", "null"),
        ] {
            world.check(&[(line, body, 400, &format!(r#"[{{"error_type": "validation", "error_point": {point}}}]"#))]);
        }
        world.check(&[(&line.replace("clone", "dance"), "{}", 400, ""), (&line.replace("?do=clone", ""), "{}", 400, "")]);
    }
    world.check(&[
        ("GET /drives/", "", 200, r#"{"meta": {"total_count": 1}}"#),
        ("GET /snapshots/", "", 200, r#"{"meta": {"total_count": 1}}"#),
    ]);
    world.finish();
}

#[test]
fn what_shall_be_avoided_is_a_wish_and_never_an_error() {
    let mut world = furnished();
    for avoid in ["{d}", "{s}", "{d},{s}", "00000000-0000-4000-8000-00000000000a", "nonsense", "", ",,", "%FF"] {
        for line in [SNAPSHOT, DRIVE] {
            world.check(&[(&format!("{line}&avoid={avoid}"), "{}", 202, "")]);
        }
        world.check(&[(&format!("POST /drives/?avoid={avoid}"), r#"{"name": "a", "size": 4096, "media": "disk"}"#, 201, "")]);
    }
    world.finish();
}

#[test]
fn a_clone_has_the_size_that_its_source_had_when_the_snapshot_was_taken() {
    let mut world = furnished();
    world.check(&[
        ("PUT /drives/{d}/", r#"{"size": 2097152}"#, 200, ""),
        (SNAPSHOT, "", 202, r#"{"size": 1048576}"#),
        (DRIVE, "", 202, r#"{"objects": [{"size": 2097152}]}"#),
        (SNAPSHOT, r#"{"size": 1572864}"#, 202, r#"{"size": 1572864}"#),
        (DRIVE, r#"{"size": 1572864}"#, 400, r#"[{"error_point": "size"}]"#),
    ]);
    world.finish();
}

/// The strategy, a source's name, and what its clone is called; `DATE` and `TIME` stand for today and now.
const NAMING: [(&str, &str, &str); 11] = [
    ("NONE", "x", "x"),
    ("NONE", "x_1", "x_1"),
    ("COUNTER", "x", "x_1"),
    ("COUNTER", "x_1", "x_2"),
    ("COUNTER", "x_9", "x_10"),
    ("DATE", "x", "x-DATE"),
    ("DATE", "x-2014-06-05", "x-DATE"),
    ("DATE", "x-DATE", "x-DATE_1"),
    ("TIMESTAMP", "x", "x-TIME"),
    ("TIMESTAMP", "x-2014-06-05 09:45:56", "x-TIME"),
    ("TIMESTAMP", "x-2014-06-05", "x-TIME"),
];

/// The day of an answer, so that the test needs no clock.
fn today(world: &mut World) -> String {
    let made = world.call(&("POST /snapshots/", r#"{"drive": "{d}"}"#, 201, "")).json();
    made["objects"][0]["timestamp"].as_str().expect("text")[..10].to_owned()
}

#[test]
fn a_clone_without_a_name_is_named_as_the_profile_says() {
    let mut world = furnished();
    // Without a word from the owner, a clone has its source's name.
    world.check(&[(SNAPSHOT, "", 202, r#"{"name": "s"}"#), (DRIVE, "", 202, r#"{"objects": [{"name": "db"}]}"#)]);
    world.check(&[("GET /profile/", "", 200, r#"{"clone_naming": "NONE"}"#)]);
    for (strategy, source, expected) in NAMING {
        let day = today(&mut world);
        let name = |text: &str| text.replace("DATE", &day);
        let profile = format!(r#"{{"clone_naming": "{strategy}"}}"#);
        let named = format!(r#"{{"name": "{}"}}"#, name(source));
        world.check(&[
            ("PUT /profile/", &profile, 200, &profile),
            ("PUT /drives/{d}/", &named, 200, &named),
            ("PUT /snapshots/{s}/", &named, 200, &named),
        ]);
        for line in [SNAPSHOT, DRIVE] {
            let answer = world.call(&(line, "{}", 202, "")).json();
            let made = answer.pointer("/objects/0/name").unwrap_or(&answer["name"]).as_str().expect("a name").to_owned();
            if today(&mut world) != day {
                eprintln!("midnight came between: {made} is not looked at");
            } else if let Some(stem) = expected.strip_suffix("TIME") {
                let time = made.strip_prefix(stem).unwrap_or_else(|| panic!("{strategy} {source}: {made}"));
                assert!(super::pattern::has_shape(time, "0000-00-00 00:00:00") && time.starts_with(&day), "{made}");
            } else {
                assert_eq!(made, name(expected), "{strategy} {source}");
            }
            // A name that is given is left alone.
            world.check(&[(line, r#"{"name": "given"}"#, 202, "")]);
        }
    }
    world.check(&[("PUT /profile/", r#"{"clone_naming": "RANDOM"}"#, 400, r#"[{"error_point": "clone_naming"}]"#)]);
    world.finish();
}
