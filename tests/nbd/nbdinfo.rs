//! Does nbdinfo see every export, and is every map exact?

use serde_json::Value;

use crate::dice::Dice;
use crate::harness::{BLOCK, Bench, KIB, MIB, has_tools, run, snapshot};
use crate::history::{History, Map, marked, merged};

const TOOLS: [&str; 1] = ["nbdinfo"];

/// The map that nbdinfo prints for a context.
pub fn nbdinfo_map(uri: &str, context: &str) -> Map {
    let said = run("nbdinfo", &[&format!("--map={context}"), uri]).ok();
    let mut end = 0;
    let pieces = said.lines().map(|line| {
        let mut words = line.split_whitespace().map(|word| word.parse::<u64>());
        let mut number = || words.next().and_then(Result::ok).unwrap_or_else(|| panic!("three numbers in {line:?}"));
        let (start, length, value) = (number(), number(), number());
        assert_eq!(start, end, "ranges follow each other:\n{said}");
        end = start + length;
        (start..end, u32::try_from(value).expect("32 bits"))
    });
    merged(pieces)
}

fn json(args: &[&str]) -> Value {
    let args = [&["--json"], args].concat();
    serde_json::from_str(&run("nbdinfo", &args).ok()).expect("JSON")
}

/// Contexts of an export as JSON tells them.
fn contexts(export: &Value) -> Vec<&str> {
    export["contexts"].as_array().expect("a list").iter().map(|context| context.as_str().expect("text")).collect()
}

#[test]
fn nbdinfo_lists_every_drive_and_snapshot() {
    if !has_tools("nbdinfo_lists_every_drive_and_snapshot", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let (db, logs) = (bench.drive("db", 10 * MIB), bench.drive("logs", 5 * MIB + 512));
    db.write_at(&[1; 10_000], 0).expect("a write");
    let (monday, tuesday) = (snapshot(&db, "monday"), snapshot(&db, "tuesday"));
    let listed = json(&["--list", &format!("nbd+unix:///?socket={}", bench.socket())]);
    let exports = listed["exports"].as_array().expect("a list");
    for (name, size, is_read_only) in
        [("db", 10 * MIB, false), ("logs", 5 * MIB + 512, false), ("db@monday", 10 * MIB, true), ("db@tuesday", 10 * MIB, true)]
    {
        let found: Vec<_> = exports.iter().filter(|export| export["export-name"] == name).collect();
        assert_eq!(found.len(), 1, "{name} in {listed:#}");
        assert_eq!(found[0]["export-size"], size, "{name}");
        assert_eq!(found[0]["is_read_only"], is_read_only, "{name}");
        assert!(found[0]["description"].as_str().is_some_and(|text| !text.is_empty()), "{name} has a description: {listed:#}");
    }
    // Whatever else is listed is one of the four by its uuid.
    let uuids = [db.uuid(), logs.uuid(), monday.uuid(), tuesday.uuid()].map(|uuid| uuid.to_string());
    let names = ["db", "logs", "db@monday", "db@tuesday"];
    for export in exports {
        let name = export["export-name"].as_str().expect("text");
        assert!(names.contains(&name) || uuids.iter().any(|uuid| uuid == name), "{name} is listed");
    }
    bench.finish();
}

#[test]
fn nbdinfo_tells_what_an_export_can() {
    if !has_tools("nbdinfo_tells_what_an_export_can", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let db = bench.drive("db", 10 * MIB);
    let monday = snapshot(&db, "monday");
    let tuesday = snapshot(&db, "tuesday");
    for (name, is_read_only, since) in [
        ("db".to_owned(), false, &["monday", "tuesday"][..]),
        (db.uuid().to_string(), false, &["monday", "tuesday"]),
        ("db@monday".to_owned(), true, &[]),
        (monday.uuid().to_string(), true, &[]),
        ("db@tuesday".to_owned(), true, &["monday"]),
        (tuesday.uuid().to_string(), true, &["monday"]),
    ] {
        let told = json(&[&bench.uri(&name)]);
        let export = &told["exports"][0];
        assert_eq!(told["protocol"], "newstyle-fixed", "{told:#}");
        assert_eq!(told["structured"], true, "{told:#}");
        assert_eq!(export["export-size"], 10 * MIB, "{told:#}");
        assert_eq!(export["is_read_only"], is_read_only, "{told:#}");
        let sizes = ["block_size_minimum", "block_size_preferred", "block_size_maximum"].map(|field| export[field].as_u64());
        assert_eq!(sizes, [Some(1), Some(BLOCK), Some(32 * MIB)], "{told:#}");
        let contexts = contexts(export);
        for context in ["base:allocation", "qemu:allocation-depth"] {
            assert!(contexts.contains(&context), "{context} in {told:#}");
        }
        let listed: Vec<_> = contexts.iter().filter_map(|context| context.strip_prefix("qemu:dirty-bitmap:since-")).collect();
        let uuids = [&monday, &tuesday].map(|snapshot| snapshot.uuid().to_string());
        for name in since {
            assert!(listed.contains(name), "since-{name} in {told:#}");
        }
        let others = listed.iter().filter(|name| !since.contains(name));
        for other in others {
            let older = uuids.iter().take(since.len());
            assert!(older.into_iter().any(|uuid| uuid == other), "since-{other} is listed in {told:#}");
        }
        for question in ["multi-conn", "df", "cache", "structured", "read"] {
            run("nbdinfo", &["--can", question, &bench.uri(&name)]).ok();
        }
        for question in ["write", "fua", "trim", "zero", "fast-zero"] {
            let said = run("nbdinfo", &["--can", question, &bench.uri(&name)]);
            // What an export that takes no writes says of zeroes and the like is all one.
            if is_read_only && question != "write" {
                continue;
            }
            assert_eq!(said.is_ok(), !is_read_only, "{name}: {question}");
        }
    }
    run("nbdinfo", &[&bench.uri("nobody")]).refused();
    run("nbdinfo", &[&bench.uri("db@wednesday")]).refused();
    bench.finish();
}

#[test]
fn nbdinfo_maps_are_exact_for_every_context_and_image() {
    if !has_tools("nbdinfo_maps_are_exact_for_every_context_and_image", &TOOLS) {
        return;
    }
    // The image ends within a block.
    for (seed, size_bytes) in [(1, 4 * MIB), (2, 2 * MIB + 1001)] {
        let bench = Bench::new();
        let history = History::new(&bench, &mut Dice::new(seed), size_bytes, 4);
        for image in 0..history.images() {
            let size = history.size_bytes(image);
            let allocation = history.allocation(image);
            assert_eq!(marked(history.data_by_engine(image), 0, 3, size), allocation, "the model and the engine agree");
            for name in history.exports(image) {
                let uri = bench.uri(&name);
                let what = format!("seed {seed}, {name}");
                assert_eq!(nbdinfo_map(&uri, "base:allocation"), allocation, "{what}: base:allocation");
                assert_eq!(nbdinfo_map(&uri, "qemu:allocation-depth"), history.depth(image), "{what}: depth");
                for older in 0..image.min(history.snapshots.len()) {
                    let since = history.since(older, image);
                    assert_eq!(history.since_by_engine(older, image), since, "the model and the engine agree");
                    let uuid = history.snapshots[older].uuid();
                    for context in [format!("since-s{older}"), format!("since-{uuid}")] {
                        let map = nbdinfo_map(&uri, &format!("qemu:dirty-bitmap:{context}"));
                        assert_eq!(map, since, "{what}: {context}");
                    }
                }
            }
        }
        bench.finish();
    }
}

/// A snapshot does not know what came later, and of itself there is nothing to tell.
#[test]
fn nbdinfo_is_refused_a_map_since_a_younger_snapshot() {
    if !has_tools("nbdinfo_is_refused_a_map_since_a_younger_snapshot", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let history = History::new(&bench, &mut Dice::new(3), MIB, 2);
    let other = bench.drive("other", MIB);
    snapshot(&other, "elsewhere");
    for (export, context) in [("db@s0", "since-s1"), ("db@s0", "since-nobody"), ("db", "since-elsewhere"), ("db", "s0")] {
        run("nbdinfo", &[&format!("--map=qemu:dirty-bitmap:{context}"), &bench.uri(export)]).refused();
    }
    assert_eq!(history.images(), 3);
    bench.finish();
}

#[test]
fn nbdinfo_totals_are_the_engines_sizes() {
    if !has_tools("nbdinfo_totals_are_the_engines_sizes", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let db = bench.drive("db", 4 * MIB);
    db.write_at(&Dice::new(4).bytes(MIB), 64 * KIB).expect("a write");
    let monday = snapshot(&db, "monday");
    // Half of it over what the snapshot holds, half of it not: only the first half is kept for the snapshot.
    db.write_at(&Dice::new(5).bytes(512 * KIB), MIB - 192 * KIB).expect("a write");
    let total = |context: &str, value: u32| {
        let told = json(&["--totals", &format!("--map={context}"), &bench.uri("db")]);
        let of = |entry: &Value| (entry["type"] == value).then(|| entry["size"].as_u64().expect("a number"));
        told.as_array().expect("a list").iter().find_map(of).unwrap_or(0)
    };
    assert_eq!(total("base:allocation", 0), db.info().expect("it is there").referenced_bytes);
    assert_eq!(total("base:allocation", 3), 4 * MIB - db.info().expect("it is there").referenced_bytes);
    let dirty = total("qemu:dirty-bitmap:since-monday", 1);
    assert_eq!(dirty, 512 * KIB);
    assert_eq!(monday.allocated_size().expect("a size"), 256 * KIB);
    assert_eq!(total("qemu:allocation-depth", 1), dirty);
    assert_eq!(total("qemu:allocation-depth", 2), MIB - 256 * KIB);
    bench.finish();
}
