//! Does the command take backups, and bring a node back that is lost?

mod cli_support;

use cli_support::{BLOCK, Bench, code, number, string, text};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Refused now, and not later.
const NOT_NOW: i32 = 11;

fn uuids(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|object| string(object, "uuid")).collect()
}

/// Without the half hour between two.
fn create(bench: &Bench, drive: &str, name: &str) -> Value {
    bench.json(&["remote", "create", drive, "--name", name, "--remote-interval", "0"])
}

#[test]
fn store_that_is_lost_comes_back_from_its_location() {
    let bench = Bench::new();
    bench.ok(&["drive", "import", "db", &bench.image("a", "AB.CD")]);
    let monday = create(&bench, "db", "monday");
    assert_eq!(
        (string(&monday, "status"), string(&monday, "location"), number(&monday, "allocated_size")),
        ("available", "GVA", 0)
    );
    bench.ok(&["drive", "import", "db2", &bench.image("b", "AXYCD")]);
    bench.ok(&["drive", "import", "--overwrite", "db", &bench.image("c", "AXYCD")]);
    let tuesday = create(&bench, "db", "tuesday");
    let list = bench.json(&["remote", "list", "db"]);
    assert_eq!(uuids(&list), [string(&monday, "uuid"), string(&tuesday, "uuid")]);
    assert_eq!(bench.json(&["snapshot", "list"]), Value::Array(Vec::new()), "a remote snapshot takes no space here");

    // All that is left is what the location has.
    let other = Bench::new();
    fs::rename(bench.path("locations"), other.path("locations")).expect("the location");
    drop(bench);
    let imported = other.json(&["location", "import", "GVA"]);
    assert_eq!(imported["found"].as_array().expect("a list").len(), 2);
    other.ok(&["remote", "clone", "monday", "--name", "db-monday"]);
    other.ok(&["remote", "clone", string(&tuesday, "uuid"), "--name", "db-tuesday"]);
    assert_eq!(other.picture("db-monday"), "AB.CD");
    assert_eq!(other.picture("db-tuesday"), "AXYCD");
    // The drive is gone: the older one holds what the younger one has not, the younger one holds all.
    let sizes: Vec<u64> = other
        .json(&["remote", "list"])
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| number(one, "allocated_size") / BLOCK as u64)
        .collect();
    assert_eq!(sizes, [1, 5]);
    other.ok(&["remote", "delete", "monday"]);
    assert_eq!(uuids(&other.json(&["remote", "list"])), [string(&tuesday, "uuid")]);
    let again = other.json(&["location", "import", "GVA"]);
    assert_eq!(again["found"], Value::Array(Vec::new()));
    other.check_clean();
}

#[test]
fn next_one_of_a_drive_waits_half_an_hour_unless_told_otherwise() {
    let bench = Bench::new();
    bench.ok(&["drive", "create", "db", "--size", "1M"]);
    bench.ok(&["remote", "create", "db"]);
    let refusal = bench.fails(&["remote", "create", "db"], NOT_NOW);
    assert!(refusal.contains("at most one remote snapshot in 30 min 0 s; the next one in "), "{refusal}");
    bench.ok(&["remote", "create", "db", "--remote-interval", "0"]);
    let newest = string(&bench.json(&["remote", "list"])[1], "uuid").to_owned();
    bench.ok(&["remote", "delete", &newest]);
    bench.fails(&["remote", "create", "db"], NOT_NOW);
    bench.ok(&["drive", "create", "other", "--size", "1M"]);
    bench.ok(&["remote", "create", "other"]);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let bench = Bench::new();
    bench.ok(&["drive", "create", "db", "--size", "1M"]);
    for (words, exit, said) in [
        (
            &["remote", "create", "db", "--location", "XYZ"][..],
            3,
            "there is no location \"XYZ\"; there are CWL, DUB, FRA, GVA, LON, ZRH",
        ),
        (&["remote", "create", "nothing"], 3, "nothing"),
        (&["remote", "clone", "nothing", "--name", "x"], 3, "no remote snapshot \"nothing\""),
        (&["remote", "show", "nothing"], 3, "no remote snapshot"),
        (&["location", "import", "ABC"], 3, "there is no location"),
        (&["backup", "preview", "nightly"], 3, "there is no schedule \"nightly\""),
        (&["remote", "list", "--config", "missing.toml"], 3, "missing.toml"),
    ] {
        let refusal = bench.fails(words, exit);
        assert!(refusal.contains(said), "{words:?}: {refusal}");
    }
    assert_eq!(bench.json(&["remote", "list"]), Value::Array(Vec::new()));
}

#[test]
fn encrypted_location_needs_its_key() {
    let bench = Bench::new();
    fs::write(bench.path("words"), "correct horse\n").expect("a file");
    fs::write(bench.path("key"), [7; 32]).expect("a file");
    let config = |opens: &str| {
        let directory = bench.path("bucket");
        let text = format!("[location.PAR]\nurl = \"file://{}\"\n{opens}\n", directory.display());
        fs::write(bench.path("floe.toml"), text).expect("a file");
    };
    let with = |words: &[&str]| bench.run(&[words, &["--config", "floe.toml"]].concat());
    config(&format!("passphrase_file = \"{}\"", bench.path("words").display()));
    let made = with(&["--json", "location", "init", "PAR"]);
    assert!(text(&made.stdout).contains("\"encrypted\": true"));
    assert_eq!(code(&with(&["location", "init", "PAR"])), 5);
    bench.ok(&["drive", "import", "db", &bench.image("a", "SECRET")]);
    assert_eq!(code(&with(&["remote", "create", "db", "--name", "one"])), 0);
    let key = bench.path("key");
    assert_eq!(code(&with(&["location", "add-key", "PAR", "--key-file", key.to_str().expect("text")])), 0);
    let keys: Value = serde_json::from_slice(&with(&["--json", "location", "keys", "PAR"]).stdout).expect("JSON");
    let words = keys.as_array().expect("a list").iter().find(|key| key["kind"] == "passphrase").expect("the first one");
    config("");
    let refused = with(&["remote", "clone", "one", "--name", "copy"]);
    assert_eq!(code(&refused), 10, "{}", text(&refused.stderr));
    config(&format!("key_file = \"{}\"", key.display()));
    assert_eq!(code(&with(&["location", "remove-key", "PAR", string(words, "uuid")])), 0);
    assert_eq!(code(&with(&["remote", "clone", "one", "--name", "copy"])), 0);
    assert_eq!(bench.picture("copy"), "SECRET");
    config(&format!("passphrase_file = \"{}\"", bench.path("words").display()));
    assert_eq!(code(&with(&["remote", "clone", "one", "--name", "another"])), 10);
}

#[test]
fn schedule_makes_what_is_due_and_says_why_each_one_stays() {
    let bench = Bench::new();
    bench.ok(&["drive", "create", "db", "--size", "1M"]);
    bench.ok(&["drive", "create", "scratch", "--size", "1M"]);
    let config = "[backup.often]\nevery = '1s'\nlocation = 'ZRH'\ndrives = ['db']\nkeep_last = 2\n";
    fs::write(bench.path("floe.toml"), config).expect("a file");
    let flags = ["--config", "floe.toml", "--remote-interval", "0"];
    let json = |words: &[&str]| bench.json(&[words, &flags].concat());
    let preview = json(&["backup", "preview"]);
    assert_eq!((preview[0]["due"].as_bool(), preview[0]["name"].as_str()), (Some(true), Some("db")));
    assert_eq!(preview.as_array().expect("a list").len(), 1);
    bench.ok(&["remote", "create", "db", "--name", "by hand"]);
    let mut made = Vec::new();
    for _ in 0..4 {
        let ran = json(&["backup", "run", "often"]);
        made.extend(ran["made"].as_array().expect("a list").iter().map(|uuid| uuid.as_str().expect("text").to_owned()));
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
    assert_eq!(made.len(), 4);
    let table = bench.ok(&[&["backup", "preview"][..], &flags].concat());
    assert!(table.contains("keep    newest, last"), "{table}");
    assert!(table.contains("delete  no rule keeps it"), "{table}");
    json(&["backup", "run"]);
    let left = bench.json(&["remote", "list"]);
    let names: Vec<&str> = left.as_array().expect("a list").iter().map(|one| string(one, "name")).collect();
    assert!(names.contains(&"by hand"), "a schedule deletes only what it made: {names:?}");
    assert_eq!(
        left.as_array().expect("a list").iter().filter(|one| one["policy"] == "often").count(),
        3,
        "the last two, and the one made now"
    );
    assert!(!uuids(&left).contains(&made[0].as_str()));
}

#[test]
fn location_is_looked_after_by_command() {
    let bench = Bench::new();
    bench.ok(&["drive", "import", "db", &bench.image("a", "ABCD")]);
    create(&bench, "db", "monday");
    bench.ok(&["drive", "import", "--overwrite", "db", &bench.image("b", "WXYZ")]);
    create(&bench, "db", "tuesday");
    let checked = bench.json(&["location", "check", "GVA"]);
    assert_eq!(checked["conditional_put"], "enforced");
    assert_eq!(checked["garbage_size"], 0);
    assert_eq!(checked["remote_snapshots"].as_array().expect("a list").len(), 2);
    assert!(number(&checked["remote_snapshots"][0], "unique_stored_size") > 0);
    bench.ok(&["remote", "delete", "monday"]);
    let dry = bench.json(&["location", "collect", "GVA", "--dry-run", "--grace", "0"]);
    assert_eq!((dry["dry_run"].as_bool(), dry["fates"][0]["why"].as_str()), (Some(true), Some("no remote snapshot needs it")));
    assert_eq!(bench.json(&["location", "collect", "GVA", "--dry-run"])["fates"], dry["fates"], "a dry run does nothing");
    assert!(number(&bench.json(&["location", "collect", "GVA", "--grace", "0"]), "doomed_size") > 0);
    let waits = bench.json(&["location", "collect", "GVA"]);
    assert_eq!((number(&waits, "freed_size"), waits["fates"][0]["fate"].as_str()), (0, Some("waits")));
    assert!(number(&bench.json(&["location", "collect", "GVA", "--grace", "0"]), "freed_size") > 0);
    assert!(bench.ok(&["location", "verify", "GVA", "--read-data"]).ends_with("read: clean\n"));

    let entries =
        |path: &Path| fs::read_dir(path).expect("a directory").map(|entry| entry.expect("an entry").path()).collect::<Vec<_>>();
    let pack = entries(&bench.path("locations/GVA/packs")).iter().flat_map(|path| entries(path)).next().expect("a pack");
    fs::remove_file(&pack).expect("a file less");
    let output = bench.run(&["location", "verify", "GVA"]);
    assert_eq!(code(&output), 1);
    let said = text(&output.stdout);
    assert!(said.contains("MissingPack") && said.contains("tuesday"), "{said}");
    assert!(bench.fails(&["remote", "clone", "tuesday", "--name", "x"], 3).contains("location GVA"));
    assert_eq!(bench.json(&["drive", "list"]).as_array().expect("a list").len(), 1, "nothing is left of a clone that failed");
}

#[test]
fn location_is_looked_after_beside_a_node_that_has_the_store_open() {
    let bench = Bench::new();
    bench.ok(&["drive", "import", "db", &bench.image("a", "ABCD")]);
    create(&bench, "db", "monday");
    let store = floe::Store::options().open(bench.store()).expect("a store");
    bench.fails(&["remote", "list"], 7);
    assert_eq!(bench.json(&["location", "verify", "GVA", "--read-data"])["clean"], true);
    assert_eq!(bench.json(&["location", "check", "GVA"])["remote_snapshots"][0]["name"], "monday");
    assert_eq!(number(&bench.json(&["location", "collect", "GVA"]), "doomed_size"), 0);
    store.close().expect("closed");
}
