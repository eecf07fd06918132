//! Does the command do what its help says?
#![cfg(feature = "node")]

mod cli_support;

use cli_support::{BLOCK, Bench, bytes, code, disk_bytes, keys, number, picture, string, text, write_sparse};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const DRIVE_KEYS: [&str; 11] = [
    "uuid",
    "name",
    "size",
    "referenced_size",
    "snapshots",
    "snapshots_allocated_size",
    "snapshots_charged_size",
    "bookmarks",
    "timestamp",
    "importing",
    "allow_multimount",
];

const SNAPSHOT_KEYS: [&str; 9] =
    ["uuid", "name", "drive", "timestamp", "size", "allocated_size", "charged_size", "exclusive_size", "referenced_size"];

/// `2013-08-21 12:22:15.419000+00:00`
fn assert_timestamp(object: &Value) {
    let shape: String =
        string(object, "timestamp").chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect();
    assert_eq!(shape, "0000-00-00 00:00:00.000000+00:00");
}

#[test]
fn a_store_is_created_shown_grown_and_checked() {
    let bench = Bench { dir: tempfile::tempdir().expect("a directory") };
    let created = bench.json(&["store", "create", "other.floe", "--capacity", "256M"]);
    assert_eq!(number(&created, "capacity"), 256 << 20);
    assert_eq!(number(&created, "data_size"), 0);
    let info = bench.json(&["store", "info", "other.floe"]);
    assert_eq!(info["uuid"], created["uuid"]);
    assert_eq!(info["was_clean"], true);
    assert_eq!(number(&bench.json(&["store", "grow", "other.floe", "--capacity", "1G"]), "capacity"), 1 << 30);
    assert!(bench.ok(&["store", "info", "other.floe"]).contains("1 GiB (1073741824 bytes)"));
    assert!(bench.ok(&["store", "check", "other.floe"]).ends_with("clean\n"));
    let report = bench.json(&["store", "check", "other.floe"]);
    assert_eq!((&report["clean"], &report["problems"]), (&true.into(), &Value::Array(Vec::new())));
    // The path of a store command may come from --store and from the environment too.
    assert_eq!(bench.json(&["store", "info", "--store", "other.floe"])["uuid"], created["uuid"]);
    bench.ok(&["store", "create"]);
    assert_ne!(bench.json(&["store", "info"])["uuid"], created["uuid"]);
}

#[test]
fn notes_are_counted() {
    let bench = Bench { dir: tempfile::tempdir().expect("a directory") };
    let store = floe::Store::options().create(bench.dir.path().join("noted.floe")).expect("a new store");
    for number in 0..3 {
        store.set_note(floe::Uuid::from_u128(number), &[7; 2000]).expect("there is room");
    }
    store.delete_note(floe::Uuid::nil()).expect("it is there");
    store.close().expect("it closes");
    for command in ["info", "check"] {
        assert_eq!(number(&bench.json(&["store", command, "noted.floe"]), "notes"), 2, "store {command}");
        let text = bench.ok(&["store", command, "noted.floe"]);
        let line = text.lines().find(|line| line.starts_with("notes ")).expect("a line about notes");
        assert_eq!(line.split_whitespace().last(), Some("2"), "store {command}");
    }
}

#[test]
fn a_drive_is_created_listed_renamed_resized_and_deleted() {
    let bench = Bench::new();
    let created = bench.json(&["drive", "create", "db", "--size", "10G"]);
    assert_eq!(keys(&created), DRIVE_KEYS);
    assert_eq!((string(&created, "name"), number(&created, "size")), ("db", 10 << 30));
    assert_timestamp(&created);
    assert_eq!(bench.json(&["drive", "list"]), Value::Array(vec![created.clone()]));
    assert_eq!(bench.json(&["drive", "show", "db"]), created);
    assert!(bench.ok(&["drive", "show", "db"]).contains("10 GiB (10737418240 bytes)"));
    assert_eq!(string(&bench.json(&["drive", "rename", "db", "web"]), "name"), "web");
    bench.fails(&["drive", "show", "db"], 3);
    assert_eq!(number(&bench.json(&["drive", "resize", "web", "--size", "20G"]), "size"), 20 << 30);
    assert_eq!(bench.json(&["drive", "multimount", "web", "on"])["allow_multimount"], true);
    assert!(bench.ok(&["drive", "show", "web"]).contains("multimount"));
    assert_eq!(bench.json(&["drive", "multimount", "web", "off"])["allow_multimount"], false);
    bench.fails(&["drive", "multimount", "web", "perhaps"], 2);
    let refusal = bench.fails(&["drive", "resize", "web", "--size", "10G"], 2);
    assert!(refusal.contains("cut off"), "{refusal}");
    assert_eq!(number(&bench.json(&["drive", "resize", "web", "--size", "10G", "--shrink"]), "size"), 10 << 30);
    let deleted = bench.json(&["drive", "delete", "web"]);
    assert_eq!(deleted["drive"]["uuid"], created["uuid"]);
    assert_eq!(bench.json(&["drive", "list"]), Value::Array(Vec::new()));
    bench.check_clean();
}

#[test]
fn a_snapshot_is_created_listed_renamed_and_deleted() {
    let bench = Bench::new();
    let drive = bench.json(&["drive", "import", "db", &bench.image("a", "AB.")]);
    let created = bench.json(&["snapshot", "create", "db", "--name", "s"]);
    assert_eq!(keys(&created), SNAPSHOT_KEYS);
    assert_eq!((string(&created, "name"), &created["drive"]), ("s", &drive["uuid"]));
    assert_eq!(number(&created, "referenced_size"), 2 * BLOCK as u64);
    assert_timestamp(&created);
    for field in ["allocated_size", "charged_size", "exclusive_size"] {
        assert_eq!(number(&created, field), 0);
    }
    assert_eq!(bench.json(&["snapshot", "list", "db"]), Value::Array(vec![created.clone()]));
    assert_eq!(bench.json(&["snapshot", "list"]), Value::Array(vec![created.clone()]));
    assert_eq!(bench.json(&["snapshot", "show", "s"]), created);
    assert_eq!(string(&bench.json(&["snapshot", "rename", "s", "t"]), "name"), "t");
    assert_eq!(bench.json(&["drive", "show", "db"])["snapshots"], Value::Array(vec![created["uuid"].clone()]));
    let deleted = bench.json(&["snapshot", "delete", "t"]);
    assert_eq!(deleted["snapshots"][0]["uuid"], created["uuid"]);
    assert_eq!(bench.json(&["snapshot", "list"]), Value::Array(Vec::new()));
}

#[test]
fn a_snapshot_without_a_name_is_called_after_its_drive_and_instant() {
    let bench = Bench::new();
    let drive = bench.json(&["drive", "create", "db", "--size", "1M"]);
    let snapshot = bench.json(&["snapshot", "create", "db"]);
    let second = string(&snapshot, "timestamp")[..19].replace(' ', "__").replace(':', "_");
    assert_eq!(string(&snapshot, "name"), format!("{}__{second}", string(&drive, "uuid")));
}

#[test]
fn a_group_is_one_instant_under_one_name() {
    let bench = Bench::new();
    let drives = ["a", "b", "c"].map(|name| bench.json(&["drive", "create", name, "--size", "1M"])["uuid"].clone());
    let group = bench.json(&["snapshot", "group", "c", "a", "--name", "night"]);
    let group = group.as_array().expect("an array");
    assert_eq!([&group[0]["drive"], &group[1]["drive"]], [&drives[2], &drives[0]]);
    assert_eq!(group[0]["timestamp"], group[1]["timestamp"]);
    bench.fails(&["snapshot", "show", "night"], 4);
    assert_eq!(bench.json(&["snapshot", "show", "a@night"])["uuid"], group[1]["uuid"]);
    assert_ne!(bench.run(&["snapshot", "group", "a", "a", "--name", "twice"]).status.code(), Some(0));
}

#[test]
fn clones_and_reverts_have_the_snapshots_image() {
    let bench = Bench::new();
    bench.ok(&["drive", "import", "db", &bench.image("a", "AB.C")]);
    bench.ok(&["snapshot", "create", "db", "--name", "s"]);
    bench.ok(&["drive", "import", "db", &bench.image("b", "AXY."), "--overwrite"]);
    let clone = bench.json(&["clone", "s", "--name", "copy"]);
    assert_eq!(keys(&clone), DRIVE_KEYS);
    assert_eq!(
        (bench.picture("copy"), bench.picture("db"), bench.picture("db@s")),
        ("AB.C".into(), "AXY.".into(), "AB.C".into())
    );
    // A, B, C of the snapshot and X, Y of the drive: the clone costs nothing.
    assert_eq!(bench.data_blocks(), 5);
    bench.json(&["revert", "db", "s"]);
    assert_eq!(bench.picture("db"), "AB.C");
    assert_eq!(bench.data_blocks(), 3);
    bench.check_clean();
}

#[test]
fn a_diff_names_what_changed() {
    let bench = Bench::new();
    bench.ok(&["drive", "import", "db", &bench.image("a", "ABCDE...")]);
    bench.ok(&["snapshot", "create", "db", "--name", "one"]);
    bench.ok(&["bookmark", "create", "db", "--name", "mark"]);
    bench.ok(&["drive", "import", "db", &bench.image("b", "AXY..F.."), "--overwrite"]);
    bench.ok(&["snapshot", "create", "db", "--name", "two"]);
    let expected = |rows: &[(u64, u64, &str)]| -> Value {
        let row = |(offset, length, kind): &(u64, u64, &str)| serde_json::json!({"offset": offset * 4096, "length": length * 4096, "kind": kind});
        rows.iter().map(row).collect()
    };
    let forward = expected(&[(1, 2, "data"), (3, 2, "hole"), (5, 1, "data")]);
    assert_eq!(bench.json(&["snapshot", "diff", "one", "two"]), forward);
    assert_eq!(bench.json(&["snapshot", "diff", "one", "db"]), forward);
    assert_eq!(bench.json(&["bookmark", "changed", "mark"]), forward);
    assert_eq!(bench.json(&["snapshot", "diff", "two", "one"]), expected(&[(1, 4, "data"), (5, 1, "hole")]));
    assert_eq!(bench.json(&["snapshot", "diff", "two", "db"]), expected(&[]));
    let table = bench.ok(&["snapshot", "diff", "one", "two"]);
    assert!(table.ends_with("3 ranges: 12 KiB data, 8 KiB hole\n"), "{table}");
}

#[test]
fn a_bookmark_is_created_listed_and_deleted() {
    let bench = Bench::new();
    let drive = bench.json(&["drive", "import", "db", &bench.image("a", "AB")]);
    let created = bench.json(&["bookmark", "create", "db", "--name", "m"]);
    assert_eq!(keys(&created), ["uuid", "name", "drive", "size", "allocated_size", "referenced_size"]);
    assert_eq!(created["drive"], drive["uuid"]);
    bench.ok(&["drive", "import", "db", &bench.image("b", "XB"), "--overwrite"]);
    let listed = bench.json(&["bookmark", "list", "db"]);
    assert_eq!((&listed[0]["uuid"], number(&listed[0], "allocated_size")), (&created["uuid"], 4096));
    assert_eq!(bench.data_blocks(), 2);
    assert_eq!(bench.json(&["bookmark", "delete", "db@m"])["uuid"], created["uuid"]);
    assert_eq!(bench.json(&["bookmark", "list"]), Value::Array(Vec::new()));
}

#[test]
fn what_a_word_means_is_never_guessed() {
    let bench = Bench::new();
    let one = bench.json(&["drive", "create", "db", "--size", "1M"]);
    let output = bench.run(&["drive", "create", "db", "--size", "2M"]);
    assert_eq!(code(&output), 0);
    assert!(text(&output.stderr).contains("have that name too"), "{}", text(&output.stderr));
    let refusal = bench.fails(&["drive", "show", "db"], 4);
    let drives = bench.json(&["drive", "list"]);
    for drive in drives.as_array().expect("an array") {
        assert!(refusal.contains(string(drive, "uuid")), "{refusal}");
    }
    let error: Value = serde_json::from_str(&bench.fails(&["--json", "drive", "delete", "db"], 4)).expect("JSON");
    assert_eq!(string(&error["error"], "kind"), "ambiguous");
    assert_eq!(error["error"]["candidates"].as_array().map(Vec::len), Some(2));
    let uuid = string(&one, "uuid");
    for word in [uuid.to_owned(), uuid.replace('-', ""), uuid.to_uppercase(), uuid[..13].to_owned(), uuid[..8].to_owned()] {
        assert_eq!(bench.json(&["drive", "show", &word])["uuid"], one["uuid"], "{word}");
    }
    bench.fails(&["drive", "show", &uuid[..7]], 3);
}

#[test]
fn a_drive_and_a_snapshot_of_one_name_are_told_apart() {
    let bench = Bench::new();
    bench.ok(&["drive", "import", "db", &bench.image("a", "A")]);
    bench.ok(&["snapshot", "create", "db", "--name", "db"]);
    let refusal = bench.fails(&["drive", "export", "db", "-"], 4);
    assert!(refusal.contains("  drive ") && refusal.contains("  snapshot "), "{refusal}");
    assert_eq!(bench.picture("db@db"), "A");
    bench.ok(&["snapshot", "show", "db"]);
    bench.ok(&["drive", "show", "db"]);
}

#[test]
fn snapshots_outlive_their_drive_and_go_with_it_if_told_to() {
    let bench = Bench::new();
    let image = bench.image("a", "ABC.");
    let drive = bench.json(&["drive", "import", "db", &image]);
    let snapshot = bench.json(&["snapshot", "create", "db", "--name", "s"]);
    let output = bench.run(&["drive", "delete", "db"]);
    assert!(text(&output.stderr).contains("1 of its snapshots remain"), "{}", text(&output.stderr));
    let listed = bench.json(&["snapshot", "list", string(&drive, "uuid")]);
    assert_eq!(listed[0]["uuid"], snapshot["uuid"]);
    assert_eq!(bench.picture("s"), "ABC.");
    assert_eq!(bench.blocks("snapshot", "s", "exclusive_size"), 3);
    assert_eq!(number(&bench.json(&["snapshot", "delete", "s"]), "freed_size"), 3 * 4096);
    assert_eq!(bench.data_blocks(), 0);

    bench.ok(&["drive", "import", "db", &image]);
    bench.ok(&["snapshot", "create", "db"]);
    bench.ok(&["drive", "import", "db", &bench.image("b", "XYZ."), "--overwrite"]);
    let deleted = bench.json(&["drive", "delete", "db", "--snapshots"]);
    assert_eq!(number(&deleted, "freed_size"), 6 * 4096);
    assert_eq!(deleted["snapshots"].as_array().map(Vec::len), Some(1));
    assert_eq!(deleted["remaining_snapshots"], Value::Array(Vec::new()));
    assert_eq!(bench.json(&["snapshot", "list"]), Value::Array(Vec::new()));
    assert_eq!(bench.data_blocks(), 0);
    bench.check_clean();
}

#[test]
fn space_can_be_given_back_later() {
    let bench = Bench::new();
    bench.ok(&["drive", "import", "db", &bench.image("a", "ABCD")]);
    bench.ok(&["drive", "delete", "db", "--no-reclaim"]);
    bench.check_clean();
    bench.ok(&["store", "reclaim"]);
    let info = bench.json(&["store", "info"]);
    assert_eq!((number(&info, "data_size"), number(&info, "reclaiming")), (0, 0));
    bench.check_clean();
}

#[test]
fn a_wrong_word_among_several_deletes_nothing() {
    let bench = Bench::new();
    bench.ok(&["drive", "create", "db", "--size", "1M"]);
    bench.ok(&["snapshot", "create", "db", "--name", "s"]);
    bench.fails(&["snapshot", "delete", "s", "nosuch"], 3);
    bench.ok(&["snapshot", "show", "s"]);
    // The same one twice is deleted once.
    assert_eq!(bench.json(&["snapshot", "delete", "s", "db@s"])["snapshots"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_sparse_image_stays_sparse_both_ways() {
    let bench = Bench::new();
    let size = (64 << 30) + 12_345;
    let image = bench.path("big.raw");
    let file = File::create(&image).expect("a file");
    file.set_len(size).expect("sized");
    file.write_all_at(&[1; 10_000], 1 << 35).expect("written");
    // Zeroes that are written down are no holes, but not worth a block either.
    file.write_all_at(&[0; 1 << 20], 1 << 34).expect("written");
    file.write_all_at(b"the end", size - 7).expect("written");
    let began = Instant::now();
    let drive = bench.json(&["drive", "import", "big", "big.raw"]);
    assert_eq!((number(&drive, "size"), number(&drive, "referenced_size")), (size, 4 * 4096));
    bench.ok(&["snapshot", "create", "big", "--name", "s"]);
    for word in ["big", "s"] {
        let out = bench.path(&format!("{word}.out"));
        bench.ok(&["drive", "export", word, out.to_str().expect("text")]);
        assert_eq!(fs::metadata(&out).expect("a file").len(), size);
        assert!(disk_bytes(&out) < 1 << 20, "{}", disk_bytes(&out));
        let out = File::open(&out).expect("a file");
        for (offset, len) in [(1 << 35, 12_288), (1 << 34, 4096), (size - 7, 7)] {
            let [mut expected, mut found] = [vec![0; len], vec![0; len]];
            File::open(&image).expect("a file").read_exact_at(&mut expected, offset).expect("read");
            out.read_exact_at(&mut found, offset).expect("read");
            assert!(found == expected, "{word} at {offset}");
        }
    }
    // Reading 64 GiB of zeroes even once would take longer.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

/// Imports the picture through a pipe that gives `step` bytes at a time.
fn import_from_pipe(bench: &Bench, args: &[&str], image: &[u8], step: usize) -> std::process::Output {
    let mut child =
        bench.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    let mut stdin = child.stdin.take().expect("a pipe");
    for part in image.chunks(step) {
        if stdin.write_all(part).is_err() {
            break; // The command gave up; its exit code is what the test looks at.
        }
    }
    drop(stdin);
    child.wait_with_output().expect("ended")
}

#[test]
fn images_come_and_go_through_pipes() {
    let bench = Bench::new();
    let image = bytes(&"AB..C".repeat(300));
    for (name, length, step) in [("whole", image.len(), 70_000), ("odd", image.len() - 1000, 4095), ("block", BLOCK, 1)] {
        let output = import_from_pipe(&bench, &["--json", "drive", "import", name, "-"], &image[..length], step);
        assert_eq!(code(&output), 0, "{}", text(&output.stderr));
        let drive: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(number(&drive, "size"), length as u64);
        assert!(bench.run(&["drive", "export", name, "-"]).stdout == image[..length], "{name}");
    }
    bench.check_clean();
}

#[test]
fn a_tiny_image_makes_the_smallest_drive() {
    let bench = Bench::new();
    for (name, image) in [("none", &b""[..]), ("hello", b"hello")] {
        let output = import_from_pipe(&bench, &["drive", "import", name, "-"], image, 4096);
        assert_eq!(code(&output), 0, "{}", text(&output.stderr));
        fs::write(bench.path(name), image).expect("written");
        bench.ok(&["drive", "import", &format!("{name} file"), name]);
        let mut expected = image.to_vec();
        expected.resize(BLOCK, 0);
        for drive in [name, &format!("{name} file")] {
            assert!(bench.run(&["drive", "export", drive, "-"]).stdout == expected, "{drive}");
        }
    }
    // Written over a drive, a tiny image leaves nothing of it.
    bench.ok(&["drive", "import", "old", &bench.image("a", "AB")]);
    bench.ok(&["drive", "import", "old", "hello", "--overwrite"]);
    assert!(bench.run(&["drive", "export", "old", "-"]).stdout[..8] == *b"hello\0\0\0");
    assert_eq!(number(&bench.json(&["drive", "show", "old"]), "size"), 4096);
}

#[test]
fn a_redirected_file_is_read_like_a_file() {
    let bench = Bench::new();
    let image = bench.path("big.raw");
    let file = File::create(&image).expect("a file");
    file.set_len(64 << 30).expect("sized");
    file.write_all_at(b"x", 1 << 35).expect("written");
    let output =
        bench.command(&["drive", "import", "big", "-"]).stdin(File::open(&image).expect("a file")).output().expect("ran");
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    assert_eq!(number(&bench.json(&["drive", "show", "big"]), "size"), 64 << 30);
    // What somebody has read of it already is not part of the image.
    let mut file = File::open(bench.image("a", "AB")).expect("a file");
    file.read_exact(&mut [0; BLOCK]).expect("read");
    assert_eq!(code(&bench.command(&["drive", "import", "rest", "-"]).stdin(file).output().expect("ran")), 0);
    assert_eq!(bench.picture("rest"), "B");
}

#[test]
fn a_drive_can_be_larger_than_its_image_and_not_smaller() {
    let bench = Bench::new();
    let image = bench.image("a", "AB");
    assert_eq!(number(&bench.json(&["drive", "import", "db", &image, "--size", "1G"]), "size"), 1 << 30);
    bench.fails(&["drive", "import", "small", &image, "--size", "4096"], 2);
    assert_eq!(code(&import_from_pipe(&bench, &["drive", "import", "small", "-", "--size", "4K"], &bytes("AB"), 4096)), 2);
    assert_eq!(bench.json(&["drive", "list"]).as_array().map(Vec::len), Some(1));
    assert_eq!(bench.data_blocks(), 2);
}

#[test]
fn an_import_that_fails_leaves_no_drive() {
    let bench = Bench::new();
    bench.ok(&["drive", "import", "kept", &bench.image("a", "AB")]);
    let mut image = vec![0; 200 << 20];
    image.chunks_mut(BLOCK).enumerate().for_each(|(index, block)| block[0] = (index % 250) as u8 + 1);
    fs::write(bench.path("large.raw"), &image).expect("written");
    let failure = bench.fails(&["drive", "import", "large", "large.raw"], 6);
    assert!(failure.contains("the unfinished drive was deleted again") && failure.contains("store grow"), "{failure}");
    let output = import_from_pipe(&bench, &["drive", "import", "large", "-"], &image, 1 << 20);
    assert_eq!(code(&output), 6);
    assert_eq!(bench.json(&["drive", "list"]).as_array().map(Vec::len), Some(1));
    assert_eq!((bench.data_blocks(), bench.picture("kept")), (2, "AB".into()));
    bench.check_clean();
}

#[test]
fn an_import_over_a_drive_that_fails_says_so_until_it_is_repeated() {
    let bench = Bench::new();
    bench.ok(&["drive", "import", "db", &bench.image("a", "AB")]);
    bench.ok(&["snapshot", "create", "db", "--name", "s"]);
    fs::write(bench.path("large.raw"), vec![1; 200 << 20]).expect("written");
    let failure = bench.fails(&["drive", "import", "db", "large.raw", "--overwrite"], 6);
    assert!(failure.contains("its snapshots are as before"), "{failure}");
    assert_eq!(bench.json(&["drive", "show", "db"])["importing"], true);
    assert_eq!(bench.picture("s"), "AB");
    bench.ok(&["drive", "import", "db", &bench.image("b", "XB"), "--overwrite"]);
    assert_eq!(bench.json(&["drive", "show", "db"])["importing"], false);
    // The failed import overwrote B in the drive, so B is there twice now.
    assert_eq!((bench.picture("db"), bench.data_blocks()), ("XB".into(), 4));
    bench.check_clean();
}

#[test]
fn an_import_that_is_killed_is_seen() {
    let bench = Bench::new();
    let mut child = bench.command(&["drive", "import", "db", "-"]).stdin(Stdio::piped()).spawn().expect("started");
    let mut stdin = child.stdin.take().expect("a pipe");
    // More than the pipe and two buffers hold: when the last byte is taken, the drive has been made and written to.
    stdin.write_all(&vec![1; 4 << 20]).expect("written");
    child.kill().expect("killed");
    child.wait().expect("ended");
    assert_eq!(bench.json(&["drive", "show", "db"])["importing"], true);
    assert!(bench.ok(&["drive", "list"]).contains("(import unfinished)"));
    bench.check_clean();
    bench.ok(&["drive", "delete", "db"]);
    assert_eq!(bench.data_blocks(), 0);
}

/// Imports `old`, takes a snapshot, writes `new` over the drive: the snapshot holds `held` blocks beyond the drive, the
/// store `stored` in all, and both images are right.
fn check_overwrite(old: &str, new: &str, held: u64, stored: u64) {
    for pipe in [false, true] {
        let bench = Bench::new();
        bench.ok(&["drive", "import", "db", &bench.image("old", old)]);
        bench.ok(&["snapshot", "create", "db", "--name", "s"]);
        if pipe {
            assert_eq!(code(&import_from_pipe(&bench, &["drive", "import", "db", "-", "--overwrite"], &bytes(new), 5000)), 0);
        } else {
            bench.ok(&["drive", "import", "db", &bench.image("new", new), "--overwrite"]);
        }
        let case = format!("{old} {new} {}", if pipe { "from a pipe" } else { "from a file" });
        assert_eq!((bench.picture("db"), bench.picture("s")), (new.to_owned(), old.to_owned()), "{case}");
        assert_eq!((bench.blocks("snapshot", "s", "allocated_size"), bench.data_blocks()), (held, stored), "{case}");
        assert_eq!(bench.blocks("drive", "db", "size"), new.len() as u64, "{case}");
        assert_eq!(
            bench.blocks("drive", "db", "referenced_size"),
            new.bytes().filter(|letter| *letter != b'.').count() as u64,
            "{case}"
        );
        bench.check_clean();
    }
}

#[test]
fn an_image_written_over_a_drive_shares_what_is_equal() {
    check_overwrite("ABCD", "ABCD", 0, 4);
    check_overwrite("ABCD", "AXCD", 1, 5);
    check_overwrite("ABCD", "A..D", 2, 4);
    check_overwrite("A..D", "AXYD", 0, 4);
    check_overwrite("ABCDE", "A.C.E", 2, 5);
    check_overwrite("AB..CD.E", ".BX.C..E", 2, 6);
}

#[test]
fn a_drive_gets_the_size_of_the_image_written_over_it() {
    check_overwrite("AB", "AB..C.", 0, 3);
    check_overwrite("ABCD", "AX", 3, 5);
    check_overwrite("A..B", "A.", 1, 2);
    check_overwrite("..AB", "X", 2, 3);
}

#[test]
fn an_existing_drive_is_not_imported_over_by_accident() {
    let bench = Bench::new();
    let image = bench.image("a", "A");
    bench.ok(&["drive", "import", "db", &image]);
    let refusal = bench.fails(&["drive", "import", "db", &image], 5);
    assert!(refusal.contains("--overwrite"), "{refusal}");
    let refusal = bench.fails(&["drive", "import", "nosuch", &image, "--overwrite"], 3);
    assert!(refusal.contains("without --overwrite"), "{refusal}");
}

#[test]
fn an_export_replaces_a_file_only_if_told_to() {
    let bench = Bench::new();
    bench.ok(&["drive", "import", "db", &bench.image("a", "AB.")]);
    fs::write(bench.path("out.raw"), "precious").expect("written");
    bench.fails(&["drive", "export", "db", "out.raw"], 5);
    assert_eq!(fs::read(bench.path("out.raw")).expect("read"), b"precious");
    std::os::unix::fs::symlink("out.raw", bench.path("link")).expect("linked");
    bench.ok(&["drive", "export", "db", "link", "--force"]);
    assert!(bench.path("link").is_symlink());
    assert_eq!(picture(&fs::read(bench.path("out.raw")).expect("read")), "AB.");
    bench.fails(&["drive", "export", "db", "nosuch/out.raw"], 3);
    bench.fails(&["drive", "export", "db", "."], 2);
    let parts = fs::read_dir(bench.dir.path())
        .expect("read")
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().contains(".part-")));
    assert_eq!(parts.count(), 0);
}

#[test]
fn a_reader_who_goes_away_is_no_failure_to_talk_about() {
    let bench = Bench::new();
    write_sparse(&bench.path("a"), &vec![1; 8 << 20]);
    bench.ok(&["drive", "import", "db", "a"]);
    let mut child =
        bench.command(&["drive", "export", "db", "-"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_exact(&mut [0; 100]).expect("read");
    drop(stdout);
    let output = child.wait_with_output().expect("ended");
    assert_eq!((code(&output), text(&output.stderr)), (141, String::new()));
    assert_eq!(bench.json(&["store", "info"])["was_clean"], true);
}

#[test]
fn stdout_carries_the_image_and_nothing_else() {
    let bench = Bench::new();
    bench.ok(&["drive", "import", "db", &bench.image("a", "AB")]);
    for flag in ["--json", "--quiet"] {
        let output = bench.run(&[flag, "drive", "export", "db", "-"]);
        assert!(output.stdout == bytes("AB"));
        assert_eq!(output.stderr.is_empty(), flag == "--quiet");
    }
}

#[test]
fn quiet_commands_print_uuids() {
    let bench = Bench::new();
    let uuid = bench.ok(&["-q", "drive", "create", "db", "--size", "1M"]);
    assert_eq!(bench.ok(&["drive", "list", "-q"]), uuid);
    let output = bench.run(&["-q", "drive", "create", "db", "--size", "1M"]);
    assert_eq!((text(&output.stdout).len(), text(&output.stderr)), (37, String::new()));
}

#[test]
fn nothing_is_drawn_where_there_is_no_terminal() {
    let bench = Bench::new();
    write_sparse(&bench.path("a"), &vec![1; 8 << 20]);
    assert_eq!(text(&bench.run(&["drive", "import", "db", "a"]).stderr), "");
    assert_eq!(text(&bench.run(&["store", "check"]).stderr), "");
    assert_eq!(text(&bench.run(&["drive", "delete", "db"]).stderr), "");
}

#[test]
fn every_failure_has_its_exit_code() {
    let bench = Bench::new();
    fs::write(bench.path("text"), "not a store\n".repeat(1000)).expect("written");
    for (args, expected, kind) in [
        (&["drive", "create", "x"][..], 2, "invalid_argument"),
        (&["drive", "create", "x", "--size", "10X"], 2, "invalid_argument"),
        (&["drive", "create", "x", "--size", "1"], 2, "invalid_argument"),
        (&["drive", "create", "", "--size", "1G"], 2, "invalid_argument"),
        (&["nosuch"], 2, "invalid_argument"),
        (&["drive", "show", "nosuch"], 3, "not_found"),
        (&["snapshot", "show", "nosuch"], 3, "not_found"),
        (&["snapshot", "list", "nosuch"], 3, "not_found"),
        (&["bookmark", "delete", "nosuch"], 3, "not_found"),
        (&["clone", "nosuch", "--name", "x"], 3, "not_found"),
        (&["drive", "import", "x", "nosuch.raw"], 3, "not_found"),
        (&["drive", "import", "x", "."], 2, "invalid_argument"),
        (&["store", "info", "nosuch.floe"], 3, "not_found"),
        (&["store", "create", "text"], 5, "already_exists"),
        (&["store", "create"], 5, "already_exists"),
        (&["store", "info", "text"], 8, "not_a_store"),
        (&["store", "grow", "--capacity", "130M"], 2, "invalid_argument"),
    ] {
        let plain = bench.fails(args, expected);
        assert!(plain.starts_with("floe: ") || plain.starts_with("error: "), "{args:?}: {plain}");
        let error: Value = serde_json::from_str(&bench.fails(&[&["--json"], args].concat(), expected)).expect("JSON");
        assert_eq!(string(&error["error"], "kind"), kind, "{args:?}");
        assert!(!string(&error["error"], "message").is_empty());
    }
    let help = bench.ok(&["--help"]);
    for line in ["  0  done", "  1  store check found problems", "  9  ", "141  "] {
        assert!(help.contains(line), "{line}: {help}");
    }
}

#[test]
fn without_a_store_the_command_asks_for_one() {
    let bench = Bench::new();
    let output = bench.command(&["drive", "list"]).env_remove("FLOE_STORE").output().expect("ran");
    assert_eq!(code(&output), 2);
    assert!(text(&output.stderr).contains("--store"), "{}", text(&output.stderr));
    let store = bench.store();
    let output =
        bench.command(&["drive", "list", "--store", store.to_str().expect("text")]).env("FLOE_STORE", "/nosuch").output();
    assert_eq!(code(&output.expect("ran")), 0);
}

#[test]
fn a_store_that_somebody_has_open_is_left_alone() {
    let bench = Bench::new();
    let store = floe::Store::options().open(bench.store()).expect("opened");
    let refusal = bench.fails(&["drive", "list"], 7);
    assert!(refusal.contains(&std::process::id().to_string()), "{refusal}");
    store.close().expect("closed");
    bench.ok(&["drive", "list"]);
}

#[test]
fn a_damaged_store_is_named_or_refused_and_never_panics() {
    let bench = Bench::with_capacity("130M");
    bench.ok(&["drive", "import", "db", &bench.image("a", "ABCDEFGH")]);
    bench.ok(&["snapshot", "create", "db"]);
    bench.ok(&["drive", "import", "db", &bench.image("b", "AXCYEZGH"), "--overwrite"]);
    let whole = fs::read(bench.store()).expect("read");
    let pages: Vec<_> = whole.chunks(BLOCK).enumerate().filter(|(_, page)| *page != [0; BLOCK]).collect();
    let store = File::options().write(true).open(bench.store()).expect("opened");
    let mut found = 0;
    for (damaged, _) in &pages {
        // Opening a store changes it, so that each page is damaged in a fresh copy.
        store.set_len(0).and_then(|()| store.set_len(whole.len() as u64)).expect("emptied");
        for (index, page) in pages.iter().filter(|(index, _)| index != damaged) {
            store.write_all_at(page, (index * BLOCK) as u64).expect("written");
        }
        let output = bench.run(&["store", "check"]);
        let (code, stdout) = (code(&output), text(&output.stdout));
        assert!([0, 1, 8].contains(&code), "page {damaged}: {code}: {}", text(&output.stderr));
        if code == 1 {
            assert!(stdout.contains(": ") && !stdout.ends_with("clean\n"), "page {damaged}: {stdout}");
            found += 1;
        }
    }
    assert!(found > 0);
}

#[test]
fn scrub_names_rot_with_those_who_hold_it() {
    let bench = Bench::new();
    bench.ok(&["drive", "import", "db", &bench.image("a", "ABCD")]);
    bench.ok(&["snapshot", "create", "db", "--name", "monday"]);
    bench.ok(&["drive", "import", "db", &bench.image("b", "AXCD"), "--overwrite"]);
    assert!(bench.ok(&["scrub"]).ends_with("clean\n"));
    let clean = bench.json(&["scrub"]);
    assert_eq!((&clean["clean"], &clean["finished"], number(&clean, "compared_size")), (&true.into(), &true.into(), 5 * 4096));
    let whole = fs::read(bench.store()).expect("read");
    let store = File::options().write(true).open(bench.store()).expect("opened");
    for letter in [b'B', b'C'] {
        let index = whole.chunks(BLOCK).position(|block| *block == [letter; BLOCK]).expect("it is there");
        store.write_all_at(b"?", (index * BLOCK + 77) as u64).expect("written");
    }
    let output = bench.run(&["--json", "scrub"]);
    assert_eq!(code(&output), 1);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let held: Vec<(u64, Vec<&str>)> = report["rotten"]
        .as_array()
        .expect("an array")
        .iter()
        .map(|damage| {
            let holders = damage["holders"].as_array().expect("an array").iter();
            (number(damage, "offset"), holders.map(|holder| string(holder, "name")).collect())
        })
        .collect();
    assert_eq!(held, [(4096, vec!["monday"]), (8192, vec!["db", "monday"])]);
    let told = text(&bench.run(&["scrub"]).stdout);
    assert!(told.contains("offset 4096 of snapshot \"monday\""), "{told}");
    let refusal = bench.fails(&["drive", "export", "db@monday", "-"], 8);
    assert!(refusal.contains("snapshot \"monday\""), "{refusal}");
}

#[test]
fn scrub_that_was_interrupted_goes_on() {
    let bench = Bench::new();
    let image: Vec<u8> = (0..1200_u32).flat_map(|block| [block as u8 | 1; BLOCK]).collect();
    write_sparse(&bench.path("image"), &image);
    bench.ok(&["drive", "import", "db", "image"]);
    let slow = bench.command(&["--json", "scrub", "--rate", "1M"]).stdout(Stdio::piped()).spawn().expect("it starts");
    thread::sleep(Duration::from_millis(600));
    Command::new("kill").args(["-INT", &slow.id().to_string()]).status().expect("kill runs");
    let output = slow.wait_with_output().expect("it ends");
    assert_eq!(code(&output), 130);
    let first: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(first["finished"], false);
    let second = bench.json(&["scrub"]);
    assert_eq!(second["finished"], true);
    assert_eq!(number(&first, "compared_size") + number(&second, "compared_size"), 1200 * 4096);
    assert_eq!(number(&bench.json(&["scrub", "--restart"]), "compared_size"), 1200 * 4096);
}

#[test]
fn there_are_completions_for_every_shell() {
    let bench = Bench::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = bench.ok(&["completions", shell]);
        assert!(script.contains("snapshot"), "{shell}");
    }
}

#[test]
fn names_may_be_anything_and_cannot_steer_the_terminal() {
    let bench = Bench::new();
    for name in ["a@b", "ünïcode", "two words", "-dash", "\u{1b}[31mred"] {
        bench.ok(&["drive", "create", "--size", "1M", "--", name]);
        assert_eq!(string(&bench.json(&["drive", "show", "--", name]), "name"), name);
    }
    bench.ok(&["snapshot", "create", "a@b", "--name", "c@d"]);
    bench.ok(&["snapshot", "show", "a@b@c@d"]);
    assert!(!bench.ok(&["drive", "list"]).contains('\u{1b}'));
}

#[test]
fn commands_at_the_same_time_are_ordered_or_refused() {
    let bench = Bench::new();
    thread::scope(|scope| {
        for index in 0..8 {
            let bench = &bench;
            scope.spawn(move || {
                let code = code(&bench.run(&["drive", "create", &format!("d{index}"), "--size", "1M"]));
                assert!([0, 7].contains(&code), "{code}");
            });
        }
    });
    bench.check_clean();
}
