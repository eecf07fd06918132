//! Does nbdcopy bring every byte in and out, over several connections at a time?

use std::fs;
use std::os::unix::fs::MetadataExt;

use floe::Drive;

use crate::dice::Dice;
use crate::harness::{Bench, KIB, MIB, drive_bytes, has_tools, run, same_bytes, snapshot, snapshot_bytes};
use crate::qemu::sparse_image;

const TOOLS: [&str; 1] = ["nbdcopy"];

fn referenced(drive: &Drive) -> u64 {
    drive.info().expect("it is there").referenced_bytes
}

#[test]
fn nbdcopy_brings_an_image_in_and_a_snapshot_out() {
    if !has_tools("nbdcopy_brings_an_image_in_and_a_snapshot_out", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let image = sparse_image(&mut Dice::new(20), 32 * MIB);
    let raw = bench.file("disk.raw", &image);
    for (connections, requests) in [("1", "1"), ("4", "64"), ("8", "16")] {
        let name = format!("db{connections}");
        let drive = bench.drive(&name, 32 * MIB);
        let (connections, requests) = (format!("--connections={connections}"), format!("--requests={requests}"));
        let many = [connections.as_str(), &requests, "--flush"];
        run("nbdcopy", &[&many[..], &[&raw, &bench.uri(&name)]].concat()).ok();
        same_bytes(&drive_bytes(&drive), &image, "the drive");
        let referenced = referenced(&drive);
        assert!(referenced < 4 * MIB, "holes stay holes: {referenced} bytes are held");

        let monday = snapshot(&drive, "monday");
        drive.write_at(&[7; 100_000], 5000).expect("a write");
        let out = bench.path(&format!("{name}.raw"));
        run("nbdcopy", &[&many[..], &[&bench.uri(&format!("{name}@monday")), &out]].concat()).ok();
        let copy = fs::read(&out).expect("a file");
        same_bytes(&copy, &image, "the copy");
        same_bytes(&copy, &snapshot_bytes(&monday), "the copy and the snapshot");
        let held = fs::metadata(&out).expect("a file").blocks() * 512;
        assert!(held <= 4 * MIB, "the copy is sparse: it takes {held} bytes");
    }
    bench.finish();
}

#[test]
fn nbdcopy_fills_every_byte_when_told_so() {
    if !has_tools("nbdcopy_fills_every_byte_when_told_so", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let image = sparse_image(&mut Dice::new(21), 4 * MIB);
    let (solid, raw) = (bench.file("solid.raw", &image), bench.path("disk.raw"));
    // With holes: nbdcopy asks for zeroes there, and with --allocated for such as take space.
    run("cp", &["--sparse=always", &solid, &raw]).ok();
    let drive = bench.drive("db", 4 * MIB);
    drive.write_at(&[1; 4 << 20], 0).expect("a write");
    // Zeroes over data, with space kept for them.
    run("nbdcopy", &["--allocated", &raw, &bench.uri("db")]).ok();
    same_bytes(&drive_bytes(&drive), &image, "the drive");
    assert_eq!(referenced(&drive), 4 * MIB);
    // The same without: most of it is a hole now.
    run("nbdcopy", &[&raw, &bench.uri("db")]).ok();
    same_bytes(&drive_bytes(&drive), &image, "the drive");
    assert!(referenced(&drive) < 3 * MIB, "{} bytes are held", referenced(&drive));
    // A pipe knows nothing of holes, and gets everything.
    let piped = run("sh", &["-c", "nbdcopy \"$0\" - | cmp - \"$1\"", &bench.uri("db"), &raw]).ok();
    assert_eq!(piped, "");
    bench.finish();
}

#[test]
fn nbdcopy_from_export_to_export_keeps_the_fingerprint() {
    if !has_tools("nbdcopy_from_export_to_export_keeps_the_fingerprint", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let drive = bench.drive("db", 16 * MIB);
    drive.write_at(&sparse_image(&mut Dice::new(22), 16 * MIB - 64 * KIB), 32 * KIB).expect("a write");
    let monday = snapshot(&drive, "monday");
    drive.write_at(&Dice::new(23).bytes(MIB), MIB).expect("a write");
    let copy = bench.drive("copy", 16 * MIB);
    run("nbdcopy", &["--connections=4", &bench.uri("db@monday"), &bench.uri("copy")]).ok();
    let copied = snapshot(&copy, "copied");
    assert_eq!(copied.fingerprint().expect("a hash"), monday.fingerprint().expect("a hash"));
    assert_ne!(snapshot(&drive, "tuesday").fingerprint().expect("a hash"), monday.fingerprint().expect("a hash"));
    bench.finish();
}

#[test]
fn nbdcopy_is_refused_a_snapshot_as_destination() {
    if !has_tools("nbdcopy_is_refused_a_snapshot_as_destination", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let monday = snapshot(&bench.drive("db", MIB), "monday");
    let raw = bench.file("disk.raw", &Dice::new(24).bytes(MIB));
    run("nbdcopy", &[&raw, &bench.uri("db@monday")]).refused();
    same_bytes(&snapshot_bytes(&monday), &vec![0; 1 << 20], "the snapshot");
    bench.finish();
}
