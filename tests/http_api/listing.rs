//! Do listings show the page, the fields and the objects that are asked for?

use serde_json::{Map, Value, json};

use super::world::World;

const ROOM: u64 = 1 << 20;
const COLLECTIONS: [&str; 2] = ["drives", "snapshots"];

/// 25 drives, `drive-00` and so on, each with one snapshot of the same name.
fn crowd() -> World {
    let mut world = World::new();
    let drive = |number| json!({"name": format!("drive-{number:02}"), "size": ROOM, "media": "disk"});
    let drives: Vec<Value> = (0..25).map(drive).collect();
    let made = world.call(&("POST /drives/", &json!({"objects": drives}).to_string(), 201, "")).json();
    let snapshots: Vec<Value> = made["objects"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|drive| json!({"drive": drive["uuid"], "name": drive["name"]}))
        .collect();
    assert_eq!(snapshots.len(), 25);
    world.check(&[("POST /snapshots/", &json!({"objects": snapshots}).to_string(), 201, "")]);
    world
}

/// What a listing says of itself, and the values of a field.
fn listed(world: &mut World, path: &str, field: &str) -> (Value, Vec<Value>) {
    let mut listing = world.get(path);
    let objects = listing["objects"].as_array().expect("a list").iter().map(|object| object[field].clone()).collect();
    (listing["meta"].take(), objects)
}

#[test]
fn pages_have_twenty_objects_unless_asked_otherwise_and_follow_each_other() {
    let mut world = crowd();
    for collection in COLLECTIONS {
        for path in [format!("/{collection}/"), format!("/{collection}/detail/")] {
            let (_, all) = listed(&mut world, &format!("{path}?limit=0"), "uuid");
            assert_eq!(all.len(), 25);
            for (query, limit, offset, part) in [
                ("", 20, 0, 0..20),
                ("?limit=0", 0, 0, 0..25),
                ("?limit=0&offset=3", 0, 3, 3..25),
                ("?limit=7", 7, 0, 0..7),
                ("?limit=7&offset=7", 7, 7, 7..14),
                ("?limit=7&offset=21", 7, 21, 21..25),
                ("?offset=24", 20, 24, 24..25),
                ("?offset=25", 20, 25, 25..25),
                ("?offset=1000", 20, 1000, 25..25),
                ("?limit=1000", 1000, 0, 0..25),
            ] {
                let (meta, found) = listed(&mut world, &format!("{path}{query}"), "uuid");
                assert_eq!(meta, json!({"limit": limit, "offset": offset, "total_count": 25}), "{path}{query}");
                assert_eq!(found, all[part], "{path}{query}");
            }
            for query in ["limit=x", "limit=-1", "offset=-1", "limit=1.5", "limit=99999999999999999999"] {
                let point = query.split('=').next().expect("a name");
                let pattern = format!(r#"[{{"error_type": "validation", "error_point": "{point}"}}]"#);
                world.check(&[(&format!("GET {path}?{query}"), "", 400, &pattern)]);
            }
        }
    }
    world.finish();
}

#[test]
fn the_count_is_of_all_that_the_filters_let_through() {
    let mut world = crowd();
    for collection in COLLECTIONS {
        let path = format!("/{collection}/?name__contains=drive-1&limit=4&fields=uuid");
        let (meta, found) = listed(&mut world, &path, "uuid");
        assert_eq!((meta, found.len()), (json!({"limit": 4, "offset": 0, "total_count": 10}), 4), "{collection}");
    }
    world.finish();
}

#[test]
fn objects_have_exactly_the_fields_that_are_asked_for() {
    let mut world = World::with_drives(&["d"], ROOM);
    world.make_snapshot("d", "s");
    for (path, query, expected) in [
        ("/drives/", "", &["owner", "resource_uri", "status", "uuid"][..]),
        ("/drives/", "?fields=uuid,status", &["status", "uuid"]),
        ("/drives/", "?fields=name,size", &["name", "size"]),
        ("/drives/detail/", "?fields=name,size,snapshots", &["name", "size", "snapshots"]),
        ("/drives/detail/", "?fields=uuid&limit=0", &["uuid"]),
        ("/snapshots/", "?fields=uuid,name", &["name", "uuid"]),
        ("/snapshots/detail/", "?fields=timestamp", &["timestamp"]),
        ("/snapshots/", "?fields=uuid,colour", &["uuid"]),
        ("/snapshots/", "?fields=uuid,uuid", &["uuid"]),
    ] {
        let listing = world.get(&format!("{path}{query}"));
        let mut keys: Vec<&String> = listing["objects"][0].as_object().expect("an object").keys().collect();
        keys.sort();
        assert_eq!(keys, expected, "{path}{query}");
    }
    // Both lists of snapshots show the same; that of drives is short.
    assert_eq!(world.get("/snapshots/"), world.get("/snapshots/detail/"));
    let [one, of_list] = ["/drives/{d}/", "/drives/detail/"].map(|path| world.get(path));
    assert_eq!(of_list["objects"][0], one);
    let [one, of_list] = ["/snapshots/{s}/", "/snapshots/"].map(|path| world.get(path));
    assert_eq!(of_list["objects"][0], one);
    world.finish();
}

/// Names of drives, each with a snapshot of the same name.
const NAMES: [&str; 7] = ["web", "Web", "db,main", r"back\slash", "Überall", "web 2", r"a\,b"];

#[test]
fn filters_are_alternatives_and_conditions_with_escapes() {
    let mut world = World::new();
    for (index, name) in NAMES.iter().enumerate() {
        let drive = json!({"name": name, "size": ROOM, "media": "disk"}).to_string();
        let pattern = format!(r#"{{"objects": [{{"uuid": "{{u{index}}}"}}]}}"#);
        world.check(&[("POST /drives/", &drive, 201, &pattern)]);
        let snapshot = json!({"drive": world.names[&format!("u{index}")], "name": name}).to_string();
        let pattern = format!(r#"{{"objects": [{{"uuid": "{{v{index}}}"}}]}}"#);
        world.check(&[("POST /snapshots/", &snapshot, 201, &pattern)]);
    }
    // The short list of drives has no names.
    let mut names = Map::new();
    for collection in COLLECTIONS {
        for object in world.get(&format!("/{collection}/detail/"))["objects"].as_array().expect("a list") {
            names.insert(object["uuid"].as_str().expect("text").to_owned(), object["name"].clone());
        }
    }
    for (query, expected) in [
        ("name=web", &["web"][..]),
        ("name=WEB", &[]),
        ("name=we", &[]),
        ("name=web,Web", &["web", "Web"]),
        ("name=web%2CWeb", &["web", "Web"]),
        ("name=web&name=Web", &[]),
        ("name=db,main", &[]),
        (r"name=db\,main", &["db,main"]),
        ("name=db%5C%2Cmain", &["db,main"]),
        (r"name=a\\\,b", &[r"a\,b"]),
        (r"name=back\slash", &[r"back\slash"]),
        (r"name=back\\,web", &["web"]),
        ("name=web+2", &["web 2"]),
        ("name=web%202", &["web 2"]),
        ("name__contains=WEB", &["web", "Web", "web 2"]),
        ("name__contains=%C3%9CBER", &["Überall"]),
        ("name__contains=%C3%BCb", &["Überall"]),
        ("name__contains=web&name__contains=2", &["web 2"]),
        ("name__contains=2,main", &["db,main", "web 2"]),
        ("name__contains=web&name=Web,web", &["web", "Web"]),
        ("name=nothing", &[]),
        ("uuid=nonsense", &[]),
    ] {
        for collection in COLLECTIONS {
            for detail in ["", "detail/"] {
                let path = format!("/{collection}/{detail}?{query}");
                let (meta, found) = listed(&mut world, &path, "uuid");
                assert_eq!(meta["total_count"], found.len(), "{path}");
                let found: Vec<&Value> = found.iter().map(|uuid| &names[uuid.as_str().expect("text")]).collect();
                assert_eq!(found, expected, "{path}");
            }
        }
    }
    let [first, second] = ["u0", "u4"].map(|name| world.names[name].clone());
    for (query, expected) in [
        (format!("uuid={first}"), &["web"][..]),
        (format!("uuid={first},{second}"), &["web", "Überall"]),
        (format!("uuid={first}&uuid={second}"), &[]),
    ] {
        let (_, found) = listed(&mut world, &format!("/drives/detail/?{query}"), "name");
        assert_eq!(found, expected, "{query}");
    }
    world.finish();
}

#[test]
fn snapshots_are_found_by_their_drive_even_if_it_is_gone() {
    let mut world = World::with_drives(&["a", "b"], ROOM);
    for (drive, name) in [("a", "a1"), ("b", "b1"), ("a", "a2")] {
        world.make_snapshot(drive, name);
    }
    let check = |world: &mut World, query: &str, expected: &[&str]| {
        for path in ["/snapshots/", "/snapshots/detail/"] {
            let (meta, found) = listed(world, &format!("{path}?{query}"), "name");
            assert_eq!((meta["total_count"].clone(), found.len()), (json!(expected.len()), expected.len()), "{path}?{query}");
            assert!(expected.iter().all(|name| found.contains(&json!(name))), "{path}?{query}: {found:?}");
        }
    };
    check(&mut world, "drive={a}", &["a1", "a2"]);
    check(&mut world, "drive={b}", &["b1"]);
    check(&mut world, "drive={a},{b}", &["a1", "a2", "b1"]);
    check(&mut world, "drive={a}&name=a2", &["a2"]);
    check(&mut world, "drive={a1}", &[]);
    // One snapshot is shown whatever its drive.
    world.check(&[("GET /snapshots/{a1}/?drive={b}", "", 200, r#"{"uuid": "{a1}"}"#)]);
    world.check(&[("DELETE /drives/{a}/", "", 204, "")]);
    check(&mut world, "drive={a}", &[]);
    check(&mut world, "drive={a},{b}", &["b1"]);
    world.finish();
}
