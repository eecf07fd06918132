//! Is an incremental backup, made with stock tools alone, byte for byte the image it was made of?
//!
//! The loop that is run here is the one that the documentation shows: `examples/nbd_backup.py`.

use std::fs;
use std::os::unix::fs::MetadataExt;

use floe::Snapshot;

use crate::dice::Dice;
use crate::harness::{BLOCK, Bench, MIB, Said, has_tools, run, same_bytes, snapshot, snapshot_bytes};
use crate::history::History;

const TOOLS: [&str; 4] = ["nbdcopy", "nbdinfo", "python3-libnbd", "qemu-img"];

fn backup(bench: &Bench, file: &str, export: &str, since: Option<&str>) -> Said {
    let script = format!("{}/examples/nbd_backup.py", env!("CARGO_MANIFEST_DIR"));
    let uri = bench.uri(export);
    let mut args = vec![script.as_str(), uri.as_str(), file];
    args.extend(since);
    run("python3", &args)
}

/// The backup is the snapshot.
#[track_caller]
fn same(file: &str, snapshot: &Snapshot, what: &str) {
    same_bytes(&fs::read(file).expect("a file"), &snapshot_bytes(snapshot), what);
}

#[test]
fn a_backup_goes_from_snapshot_to_snapshot_by_what_changed() {
    if !has_tools("a_backup_goes_from_snapshot_to_snapshot_by_what_changed", &TOOLS) {
        return;
    }
    for seed in 1..=3 {
        let bench = Bench::new();
        // Among the changes are holes, and growth.
        let history = History::new(&bench, &mut Dice::new(seed), 8 * MIB, 5);
        let file = bench.path("backup.raw");
        backup(&bench, &file, "db@s0", None).ok();
        same(&file, &history.snapshots[0], "s0");
        for newer in 1..history.snapshots.len() {
            let said = backup(&bench, &file, &format!("db@s{newer}"), Some(&format!("s{}", newer - 1))).ok();
            same(&file, &history.snapshots[newer], &format!("seed {seed}: s{newer}"));
            let map = history.since(newer - 1, newer);
            let changed: u64 = map.iter().filter(|(_, dirty)| *dirty == 1).map(|(range, _)| range.end - range.start).sum();
            assert_eq!(said.trim(), format!("{changed} bytes copied"), "it copies no more than what changed");
        }
        // Over several snapshots at once, by the older one's uuid.
        let file = bench.path("leap.raw");
        backup(&bench, &file, "db@s1", None).ok();
        backup(&bench, &file, "db@s4", Some(&history.snapshots[1].uuid().to_string())).ok();
        same(&file, &history.snapshots[4], "from s1 to s4");
        bench.finish();
    }
}

#[test]
fn a_backup_follows_a_drive_that_shrinks_and_is_deleted() {
    if !has_tools("a_backup_follows_a_drive_that_shrinks_and_is_deleted", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let drive = bench.drive("db", 8 * MIB);
    drive.write_at(&Dice::new(1).bytes(8 * MIB), 0).expect("a write");
    let monday = snapshot(&drive, "monday");
    drive.resize(3 * MIB + 100).expect("a shrink");
    drive.write_at(&Dice::new(2).bytes(BLOCK), MIB).expect("a write");
    let tuesday = snapshot(&drive, "tuesday");
    drive.resize(5 * MIB).expect("a growth");
    let wednesday = snapshot(&drive, "wednesday");
    // Snapshots outlive their drive, and go by their uuids then.
    drive.delete().expect("a drive can be deleted at any time");
    let file = bench.path("backup.raw");
    let [first, second, third] = [&monday, &tuesday, &wednesday].map(|snapshot| snapshot.uuid().to_string());
    backup(&bench, &file, &first, None).ok();
    same(&file, &monday, "monday");
    backup(&bench, &file, &second, Some("monday")).ok();
    same(&file, &tuesday, "tuesday");
    backup(&bench, &file, &third, Some(&second)).ok();
    same(&file, &wednesday, "wednesday");
    // What is a hole stays one in the backup.
    let held = fs::metadata(&file).expect("a file").blocks() * 512;
    assert!(held <= 3 * MIB + BLOCK, "the backup takes {held} bytes");
    bench.finish();
}

#[test]
fn a_backup_since_what_is_no_older_snapshot_is_refused_and_changes_nothing() {
    if !has_tools("a_backup_since_what_is_no_older_snapshot_is_refused_and_changes_nothing", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let history = History::new(&bench, &mut Dice::new(1), MIB, 2);
    let file = bench.path("backup.raw");
    backup(&bench, &file, "db@s0", None).ok();
    for since in ["s1", "nobody", ""] {
        backup(&bench, &file, "db@s0", Some(since)).refused();
        same(&file, &history.snapshots[0], "after a refusal");
    }
    bench.finish();
}

/// The loop in shell, as the documentation has it; what it is about comes as arguments here.
const LOOP: &str = r#"
    socket=$0 drive=$1 older=$2 newer=$3 file=$4
    uri="nbd+unix:///$drive%40$newer?socket=$socket"
    nbdinfo --map="qemu:dirty-bitmap:since-$older" "$uri" > "$file.map" || exit
    truncate --size "$(nbdinfo --size "$uri")" "$file"
    while read -r offset length dirty rest; do
        [ "$dirty" = 1 ] || continue
        part=driver=raw,offset=$offset,size=$length
        qemu-img convert -n --image-opts "$part,file.driver=nbd,file.path=$socket,file.export=$drive@$newer" \
            --target-image-opts "$part,file.driver=file,file.filename=$file" || exit
    done < "$file.map"
"#;

#[test]
fn a_backup_needs_no_more_than_a_loop_in_shell() {
    if !has_tools("a_backup_needs_no_more_than_a_loop_in_shell", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let history = History::new(&bench, &mut Dice::new(9), 2 * MIB, 2);
    let file = bench.path("backup.raw");
    run("nbdcopy", &[&bench.uri("db@s0"), &file]).ok();
    same(&file, &history.snapshots[0], "s0");
    run("sh", &["-c", LOOP, &bench.socket(), "db", "s0", "s1", &file]).ok();
    same(&file, &history.snapshots[1], "s1");
    run("sh", &["-c", LOOP, &bench.socket(), "db", "s1", "s0", &file]).refused();
    same(&file, &history.snapshots[1], "after a refusal");
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/nbd.md")).expect("a page");
    assert!(page.contains(LOOP.split_once("$4").expect("its arguments").1), "the page has another loop");
    bench.finish();
}
