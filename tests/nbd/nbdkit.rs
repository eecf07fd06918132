//! Do nbdkit's filters, put between us and a client, find anything wrong?
//!
//! nbdkit's own NBD plugin is the client here; it speaks to us in its own way, and the filters rearrange what it asks for.

use std::fs;

use crate::dice::Dice;
use crate::harness::{Bench, KIB, MIB, Said, drive_bytes, has_tools, run, same_bytes, snapshot, snapshot_bytes};
use crate::qemu::sparse_image;

const TOOLS: [&str; 4] = ["nbdkit", "nbdcopy", "qemu-io", "nbdinfo"];

/// Runs a shell command behind nbdkit with filters; `$uri` is its address.
fn behind(bench: &Bench, export: &str, filters: &[&str], settings: &[&str], command: &str) -> Said {
    let uri = format!("uri={}", bench.uri(export));
    let filters: Vec<_> = filters.iter().map(|name| format!("--filter={name}")).collect();
    let mut args = vec!["-U", "-"];
    args.extend(filters.iter().map(String::as_str));
    args.extend(["nbd", &uri]);
    args.extend(settings);
    args.extend(["--run", command]);
    run("nbdkit", &args)
}

#[test]
fn checkwrite_compares_a_drive_with_its_image_and_sees_one_wrong_byte() {
    if !has_tools("checkwrite_compares_a_drive_with_its_image_and_sees_one_wrong_byte", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let image = sparse_image(&mut Dice::new(30), 16 * MIB);
    let raw = bench.file("disk.raw", &image);
    let drive = bench.drive("db", 16 * MIB);
    run("nbdcopy", &[&raw, &bench.uri("db")]).ok();
    snapshot(&drive, "monday");
    let compare = format!("nbdcopy {raw} \"$uri\"");
    behind(&bench, "db", &["checkwrite"], &[], &compare).ok();
    behind(&bench, "db@monday", &["checkwrite"], &[], &compare).ok();
    drive.write_at(&[image[9_000_000] ^ 1], 9_000_000).expect("a write");
    behind(&bench, "db", &["checkwrite"], &[], &compare).refused();
    behind(&bench, "db@monday", &["checkwrite"], &[], &compare).ok();
    bench.finish();
}

#[test]
fn delayed_requests_are_served_one_beside_the_other() {
    if !has_tools("delayed_requests_are_served_one_beside_the_other", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let drive = bench.drive("db", 4 * MIB);
    let image = Dice::new(31).bytes(4 * MIB);
    let raw = bench.file("disk.raw", &image);
    let delays = ["delay-read=20ms", "delay-write=30ms", "delay-trim=10ms", "delay-zero=10ms"];
    let there_and_back = format!("nbdcopy --flush {raw} \"$uri\" && nbdcopy \"$uri\" - | cmp - {raw}");
    behind(&bench, "db", &["delay"], &delays, &there_and_back).ok();
    same_bytes(&drive_bytes(&drive), &image, "the drive");
    bench.finish();
}

#[test]
fn errors_before_us_end_in_the_whole_image_when_requests_are_repeated() {
    if !has_tools("errors_before_us_end_in_the_whole_image_when_requests_are_repeated", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let drive = bench.drive("db", 16 * MIB);
    let image = sparse_image(&mut Dice::new(32), 16 * MIB);
    let raw = bench.file("disk.raw", &image);
    let copy = format!("nbdcopy --flush {raw} \"$uri\"");
    // Every request fails: the client is told so, and nothing was written.
    behind(&bench, "db", &["error"], &["error-pwrite=EIO", "error-pwrite-rate=100%"], &copy).refused();
    let often = ["error=EIO", "error-rate=10%", "retry-request-retries=20", "retry-request-delay=1"];
    behind(&bench, "db", &["retry-request", "error"], &often, &copy).ok();
    same_bytes(&drive_bytes(&drive), &image, "the drive");
    let monday = snapshot(&drive, "monday");
    let out = bench.path("out.raw");
    behind(&bench, "db@monday", &["retry-request", "error"], &often, &format!("nbdcopy \"$uri\" {out}")).ok();
    same_bytes(&fs::read(&out).expect("a file"), &snapshot_bytes(&monday), "the copy");
    bench.finish();
}

#[test]
fn requests_cut_into_other_sizes_give_the_same_bytes() {
    if !has_tools("requests_cut_into_other_sizes_give_the_same_bytes", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let drive = bench.drive("db", 16 * MIB);
    let image = sparse_image(&mut Dice::new(33), 16 * MIB);
    let raw = bench.file("disk.raw", &image);
    let there_and_back = format!("nbdcopy --flush {raw} \"$uri\" && nbdcopy \"$uri\" - | cmp - {raw}");
    for sizes in [
        ["minblock=4k", "maxdata=64k", "maxlen=128k"],
        ["minblock=512", "maxdata=8k", "maxlen=1M"],
        ["minblock=64k", "maxdata=32M", "maxlen=64M"],
    ] {
        drive.discard(0..16 * MIB).expect("a discard");
        behind(&bench, "db", &["blocksize"], &sizes, &there_and_back).ok();
        same_bytes(&drive_bytes(&drive), &image, "the drive");
    }
    // Writes that begin and end anywhere are rounded by the filter: it reads, changes and writes back.
    let sizes = ["minblock=4k", "maxdata=64k"];
    let writes = "qemu-io -f raw -c 'write -P 0x77 5000 100000' -c 'write -z 20000 3000' -c 'flush' \"$uri\"";
    behind(&bench, "db", &["blocksize"], &sizes, writes).ok();
    let mut expected = image;
    expected[5000..105_000].fill(0x77);
    // qemu-io speaks of bytes here, and the export takes any.
    expected[20_000..23_000].fill(0);
    same_bytes(&drive_bytes(&drive), &expected, "the drive");
    bench.finish();
}

#[test]
fn connections_that_break_before_us_leave_the_drive_whole() {
    if !has_tools("connections_that_break_before_us_leave_the_drive_whole", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let drive = bench.drive("db", 8 * MIB);
    let image = Dice::new(34).bytes(8 * MIB);
    let raw = bench.file("disk.raw", &image);
    // The filter in the middle opens a new connection to us for every one of these, and forces each write out.
    for _ in 0..5 {
        behind(&bench, "db", &["fua"], &["fuamode=force"], &format!("nbdcopy {raw} \"$uri\"")).ok();
    }
    // A client that is killed in the middle of its writes takes nothing with it but itself.
    let kill = format!("timeout -s KILL 0.05 nbdcopy {raw} \"$uri\"; true");
    behind(&bench, "db", &["delay"], &["delay-write=5ms"], &kill).ok();
    same_bytes(&drive_bytes(&drive), &image, "the drive");
    behind(&bench, "db", &[], &[], "test \"$(nbdinfo --size \"$uri\")\" = 8388608").ok();
    assert_eq!(drive.info().expect("it is there").referenced_bytes, image.len() as u64 / KIB * KIB);
    bench.finish();
}
