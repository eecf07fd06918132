//! Does a real virtual machine live on a drive, and does a snapshot of it running hold exactly one moment?
//!
//! A Debian kernel under an emulated processor, and an ext4 root on a drive that it reaches over NBD. `.ci/guest-tools` installs
//! what this needs.
#![cfg(feature = "node")]

#[path = "nbd_guest/guest.rs"]
mod guest;
#[path = "nbd_guest/image.rs"]
mod image;
#[path = "nbd_guest/map.rs"]
mod map;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use floe::node::nbd::{Server, ServerOptions};
use floe::{Drive, DriveOptions, SnapshotOptions, Store};
use guest::Guest;
use image::{Boot, IMAGE_BYTES};

const TOOLS: [(&str, &str); 3] = [("qemu-system-x86_64", "--version"), ("nbdinfo", "--version"), ("mke2fs", "-V")];

const CHUNK: usize = 1 << 20;

/// So many files are written and synced, one by one, before the snapshot comes in between.
const SYNCED_MIN: u64 = 5;

/// Writes files for ever, one after the other, and names each when it is synced. Their content follows from their number.
const BUSY: &str =
    "n=0; while true; do n=$((n+1)); seq $n $((n+3000)) > /data/busy/$n; sync; echo synced $n; done < /dev/null & busy=$!";

fn missing() -> Option<String> {
    for (name, argument) in TOOLS {
        let path = format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default());
        if Command::new(name).arg(argument).env("PATH", path).stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            return Some(format!("{name} is missing"));
        }
    }
    image::kernel().err()
}

/// Files that every guest finds in /data.
fn golden_files(data: &Path) {
    for name in ["kept", "overwritten", "deleted-before", "deleted-after"] {
        let lines: String = (0..20_000).map(|line| format!("{name}, line {line}\n")).collect();
        fs::write(data.join(name), lines).expect("written");
    }
    fs::write(data.join("large"), vec![b'x'; 8 << 20]).expect("written");
}

fn import(image: &Path, drive: &Drive) {
    let image = fs::File::open(image).expect("there");
    let mut chunk = vec![0; CHUNK];
    for offset in (0..IMAGE_BYTES).step_by(CHUNK) {
        image.read_exact_at(&mut chunk, offset).expect("readable");
        for (index, block) in chunk.chunks(4096).enumerate().filter(|(_, block)| block.iter().any(|byte| *byte != 0)) {
            drive.write_at(block, offset + index as u64 * 4096).expect("written");
        }
    }
    drive.flush().expect("durable");
}

/// An ext4 in a drive that nobody uses must be clean, without a repair and without a journal to replay.
fn expect_clean_file_system(drive: &Drive, directory: &Path) {
    let path = directory.join("fsck.raw");
    let file = fs::File::create(&path).expect("a file");
    let mut chunk = vec![0; CHUNK];
    for offset in (0..IMAGE_BYTES).step_by(CHUNK) {
        drive.read_at(&mut chunk, offset).expect("readable");
        file.write_all_at(&chunk, offset).expect("written");
    }
    let tools = format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default());
    let output = Command::new("e2fsck").env("PATH", tools).arg("-fn").arg(&path).output().expect("e2fsck starts");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && !said.contains("recovery"), "{said}");
}

/// The checksum of each file in /data but the busy ones.
fn files(guest: &mut Guest) -> BTreeMap<String, String> {
    let lines = guest.run("find /data -path /data/busy -prune -o -type f -print | xargs sha256sum");
    let entry = |line: &String| line.split_once("  ").map(|(sum, path)| (path.to_owned(), sum.to_owned()));
    lines
        .iter()
        .filter(|line| !is_synced(line))
        .map(|line| entry(line).unwrap_or_else(|| panic!("no checksum: {line}")))
        .collect()
}

fn is_synced(line: &str) -> bool {
    line.starts_with("synced ")
}

fn names(files: &BTreeMap<String, String>) -> Vec<&str> {
    files.keys().map(|path| path.trim_start_matches("/data/")).collect()
}

fn replayed_a_journal(guest: &mut Guest) -> bool {
    guest.run("dmesg | grep 'EXT4-fs (vda)'; true").iter().any(|line| line.contains("recovery complete"))
}

#[test]
fn a_snapshot_of_a_running_guest_boots_into_its_moment_and_tells_its_exact_size() {
    if let Some(missing) = missing() {
        assert!(env::var_os("CI").is_none(), "{missing}: run .ci/guest-tools");
        eprintln!("SKIPPED: a guest that boots from a drive: {missing}; .ci/guest-tools installs all that is needed");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let boot = Boot::make(&image::kernel().expect("asked above"), directory.path(), golden_files);
    let store = Store::options().capacity(1 << 30).create(directory.path().join("store.floe")).expect("a store");
    let golden = store.create_drive(DriveOptions::new(IMAGE_BYTES).name("golden")).expect("a drive");
    import(&boot.image, &golden);
    let release = golden.snapshot(SnapshotOptions::named("release")).expect("a snapshot");
    let fingerprint = release.fingerprint().expect("readable");
    let web = release.clone_drive(DriveOptions::named("web")).expect("a clone");

    let socket = directory.path().join("nbd.sock");
    let address = format!("unix:{}", socket.display());
    let server = Server::start(&store, ServerOptions::default().listen(address.parse().expect("an address"))).expect("a server");
    let uri = |export: &str| format!("nbd+unix:///{export}?socket={}", socket.display());

    // The first guest works, in the middle of which the snapshot is taken.
    let mut first = Guest::boot("the first guest", &boot, &uri("web"));
    assert!(!replayed_a_journal(&mut first), "the golden image was never in use");
    first.run(
        "rm /data/deleted-before; seq 1 30000 > /data/new-before; mkdir /data/busy /data/dir; mv /data/kept /data/dir; sync",
    );
    let before = files(&mut first);
    assert_eq!(names(&before), ["deleted-after", "dir/kept", "large", "new-before", "overwritten"]);
    first.run(BUSY);
    first.wait_for(|line| line == format!("synced {SYNCED_MIN}"));
    let monday = web.snapshot(SnapshotOptions::named("monday")).expect("a snapshot");
    assert!(monday.referenced_size().expect("known") > release.referenced_size().expect("known"), "the guest wrote nothing");

    // It goes on: all three kinds of change, and the space of what it deletes given back.
    first.run("seq 1 50000 > /data/new-after; seq 7 30000 > /data/overwritten; seq 1 10 >> /data/new-before");
    first.run("rm /data/deleted-after /data/large; kill $busy; sync");
    let after = files(&mut first);
    assert_eq!(names(&after), ["dir/kept", "new-after", "new-before", "overwritten"]);
    assert!(["overwritten", "new-before"].iter().all(|name| before[&format!("/data/{name}")] != after[&format!("/data/{name}")]));
    let untrimmed = web.info().expect("known").referenced_bytes;
    first.run("fstrim /");
    let trimmed = web.info().expect("known").referenced_bytes;
    assert!(trimmed + (8 << 20) <= untrimmed, "the deleted files' space is still held: {untrimmed}, then {trimmed}");
    first.shut_down();

    // The size, by a count of what others see over NBD.
    let held = map::allocated(&uri("web@monday"));
    assert_eq!(map::sum(&held), monday.referenced_size().expect("known"));
    let dirty = map::dirty(&uri("web"), "qemu:dirty-bitmap:since-monday");
    assert_eq!(map::dirty(&uri("web"), &format!("qemu:dirty-bitmap:since-{}", monday.uuid())), dirty);
    let changed = map::intersection(&dirty, &held);
    let allocated = monday.allocated_size().expect("known");
    assert_eq!(map::sum(&changed), allocated, "{} were dirty", map::sum(&dirty));
    assert!(allocated >= 8 << 20, "the deleted file alone is more: {allocated}");
    assert!(
        allocated < map::sum(&dirty) && allocated < map::sum(&held),
        "neither the drive's new data nor all of the snapshot's"
    );

    // The second guest sees the moment of the snapshot: all that was synced, nothing that began later.
    let copy = monday.clone_drive(DriveOptions::named("web-monday")).expect("a clone");
    let mut second = Guest::boot("the second guest", &boot, &uri(&copy.uuid().to_string()));
    assert!(replayed_a_journal(&mut second), "the snapshot was taken of a running machine");
    assert_eq!(files(&mut second), before);
    let compare =
        format!("for n in $(seq 1 {SYNCED_MIN}); do seq $n $((n+3000)) | cmp - /data/busy/$n || echo lost $n; done; true");
    assert_eq!(second.run(&compare), Vec::<String>::new());
    second.run("seq 1 1000 > /data/new-in-second; rm /data/large; sync; fstrim /");
    second.shut_down();

    // Clones change nothing for those that they come from.
    assert_eq!(monday.allocated_size().expect("known"), allocated);
    assert_eq!(release.fingerprint().expect("readable"), fingerprint);
    assert_eq!(release.allocated_size().expect("known"), 0);

    server.stop();
    for drive in store.drives() {
        expect_clean_file_system(&drive, directory.path());
    }
    let report = store.check().expect("walked");
    assert!(report.is_clean(), "{report:?}");
    store.close().expect("closed");
}
