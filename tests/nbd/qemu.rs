//! Do qemu-img and qemu-io work with us as with a server of their own?

use std::fs;
use std::ops::Range;

use serde_json::Value;

use crate::dice::Dice;
use crate::harness::{BLOCK, Bench, KIB, MIB, Said, drive_bytes, has_tools, run, same_bytes, snapshot, snapshot_bytes};
use crate::history::{History, Map, marked, merged};
use crate::nbdinfo::nbdinfo_map;

const TOOLS: [&str; 2] = ["qemu-img", "qemu-io"];
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// Sparse bytes, as an image has them: runs of data between zeroes.
pub fn sparse_image(dice: &mut Dice, size_bytes: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(size_bytes).expect("small")];
    for _ in 0..20 {
        let length = 1 + dice.below(64 * KIB);
        let start = usize::try_from(dice.below(size_bytes - length)).expect("small");
        let data = dice.bytes(length);
        bytes[start..start + data.len()].copy_from_slice(&data);
    }
    bytes
}

/// Runs commands of qemu-io one after the other against an export.
fn qemu_io(bench: &Bench, export: &str, commands: &[&str]) -> Said {
    let uri = bench.uri(export);
    let mut args = vec!["-f", "raw"];
    if export.contains('@') {
        args.push("-r");
    }
    commands.iter().for_each(|command| args.extend(["-c", command]));
    args.push(&uri);
    run("qemu-io", &args)
}

#[test]
fn qemu_img_converts_an_image_into_a_drive_and_a_snapshot_back() {
    if !has_tools("qemu_img_converts_an_image_into_a_drive_and_a_snapshot_back", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let image = sparse_image(&mut Dice::new(10), 48 * MIB);
    let raw = bench.file("disk.raw", &image);
    let drive = bench.drive("db", 48 * MIB);
    let uri = bench.uri("db");
    run("qemu-img", &["convert", "-n", "-f", "raw", "-O", "raw", &raw, &uri]).ok();
    same_bytes(&drive_bytes(&drive), &image, "the drive");
    run("qemu-img", &["compare", "-f", "raw", "-F", "raw", &raw, &uri]).ok();
    // What was zero in the file takes no space, up to the 64 KiB that qemu-img looks at as one.
    let referenced = drive.info().expect("it is there").referenced_bytes;
    assert!(referenced < 8 * MIB, "{referenced} of {} bytes are held", image.len());

    let monday = snapshot(&drive, "monday");
    drive.write_at(&[7; 100], 5000).expect("a write");
    run("qemu-img", &["compare", "-f", "raw", "-F", "raw", &raw, &bench.uri("db")]).refused();
    let back = bench.path("back.raw");
    run("qemu-img", &["convert", "-f", "raw", "-O", "raw", &bench.uri("db@monday"), &back]).ok();
    same_bytes(&fs::read(&back).expect("a file"), &image, "the snapshot's copy");
    same_bytes(&snapshot_bytes(&monday), &image, "the snapshot");
    // Out of order and with several requests in flight, and into QEMU's own format.
    let qcow2 = bench.path("back.qcow2");
    run("qemu-img", &["convert", "-W", "-m", "16", "-f", "raw", "-O", "qcow2", &bench.uri("db@monday"), &qcow2]).ok();
    run("qemu-img", &["compare", "-f", "qcow2", "-F", "raw", &qcow2, &bench.uri("db@monday")]).ok();
    run("qemu-img", &["convert", "-n", "-W", "-m", "16", "-f", "qcow2", "-O", "raw", &qcow2, &uri]).ok();
    same_bytes(&drive_bytes(&drive), &image, "the drive, written out of order");
    // Somebody else's snapshot is no place to write to.
    run("qemu-img", &["convert", "-n", "-f", "raw", "-O", "raw", &raw, &bench.uri("db@monday")]).refused();
    bench.finish();
}

#[test]
fn qemu_img_tells_size_and_kind() {
    if !has_tools("qemu_img_tells_size_and_kind", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    snapshot(&bench.drive("db", 3 * MIB + 512), "monday");
    for export in ["db", "db@monday"] {
        let said = run("qemu-img", &["info", "--output=json", "-f", "raw", &bench.uri(export)]).ok();
        let info: Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!(info["virtual-size"], 3 * MIB + 512, "{info:#}");
    }
    run("qemu-img", &["info", &bench.uri("nobody")]).refused();
    bench.finish();
}

/// What `qemu-img map` says of the ranges: is there data, and does it read as zeroes?
fn qemu_map(options: &str) -> Vec<(u64, u64, bool, bool)> {
    let said = run("qemu-img", &["map", "--output=json", "--image-opts", options]).ok();
    let told: Value = serde_json::from_str(&said).expect("JSON");
    let entry = |entry: &Value| {
        let number = |field: &str| entry[field].as_u64().expect("a number");
        let truth = |field: &str| entry[field].as_bool().expect("a truth");
        (number("start"), number("start") + number("length"), truth("data"), truth("zero"))
    };
    told.as_array().expect("a list").iter().map(entry).collect()
}

#[test]
fn qemu_img_map_shows_holes_and_with_a_bitmap_what_changed() {
    if !has_tools("qemu_img_map_shows_holes_and_with_a_bitmap_what_changed", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let history = History::new(&bench, &mut Dice::new(11), 4 * MIB, 3);
    for image in 0..history.images() {
        let [name, _] = history.exports(image);
        let options = format!("driver=nbd,server.type=unix,server.path={},export={name}", bench.socket());
        // QEMU speaks of whole sectors; the last one reaches beyond the image's end.
        let size = history.size_bytes(image);
        let cut = |map: Vec<(u64, u64, bool, bool)>, value: fn(bool, bool) -> u32| -> Map {
            merged(map.into_iter().map(|(start, end, data, zero)| (start..end.min(size), value(data, zero))))
        };
        let allocation = cut(qemu_map(&options), |data, zero| u32::from(!data) | u32::from(zero) << 1);
        assert_eq!(allocation, history.allocation(image), "{name}");
        for older in 0..image.min(history.snapshots.len()) {
            // QEMU takes the bitmap for an allocation map: what is dirty looks as if it held no data.
            let options = format!("{options},x-dirty-bitmap=qemu:dirty-bitmap:since-s{older}");
            let dirty = cut(qemu_map(&options), |data, _| u32::from(!data));
            assert_eq!(dirty, history.since(older, image), "{name} since s{older}");
        }
    }
    bench.finish();
}

/// Lengths of 4 GiB and more take 64 bits, which QEMU asks for and libnbd 1.14 does without.
#[test]
fn a_drive_of_a_tebibyte_is_mapped_by_qemu_img_and_nbdinfo() {
    if !has_tools("a_drive_of_a_tebibyte_is_mapped_by_qemu_img_and_nbdinfo", &[&TOOLS[..], &["nbdinfo"]].concat()) {
        return;
    }
    let bench = Bench::new();
    let drive = bench.drive("db", TIB);
    let ranges = [0..BLOCK, 5 * GIB..5 * GIB + MIB, 100 * GIB - BLOCK..100 * GIB, TIB - BLOCK..TIB];
    for range in &ranges {
        drive.write_at(&Dice::new(range.start).bytes(range.end - range.start), range.start).expect("a write");
    }
    let expected = marked(ranges, 0, 3, TIB);
    let options = format!("driver=nbd,server.type=unix,server.path={},export=db", bench.socket());
    let told = qemu_map(&options).into_iter();
    let map = merged(told.map(|(start, end, data, zero)| (start..end, u32::from(!data) | u32::from(zero) << 1)));
    assert_eq!(map, expected);
    assert_eq!(nbdinfo_map(&bench.uri("db"), "base:allocation"), expected);
    // All of it becomes a hole; QEMU cuts what is longer than its own requests may be.
    let to_zeroes = ["write -z -u 0 1G", "write -z -u 5G 1G", "discard 99G 1G", "discard 1023G 1G", "read -P 0 5G 1M"];
    qemu_io(&bench, "db", &to_zeroes).ok();
    assert_eq!(drive.info().expect("it is there").referenced_bytes, 0);
    bench.finish();
}

#[test]
fn qemu_io_reads_what_it_wrote() {
    if !has_tools("qemu_io_reads_what_it_wrote", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let drive = bench.drive("db", 8 * MIB);
    let commands = [
        "write -P 0x11 0 1M",
        "write -P 0x22 1000 3000",
        "write -f -P 0x33 4M 12k",
        "aio_write -P 0x44 5M 64k",
        "aio_write -P 0x55 6M 64k",
        "aio_flush",
        "writev -P 0x66 7M 4k 8k 512",
        "flush",
        "read -P 0x11 0 1000",
        "read -P 0x22 1000 3000",
        "read -P 0x11 4000 96",
        "read -P 0x11 4k 1020k",
        "read -P 0 1M 3M",
        "read -P 0x33 4M 12k",
        "read -P 0x44 5M 64k",
        "read -P 0x55 6M 64k",
        "readv -P 0x66 7M 8k 4k 512",
    ];
    qemu_io(&bench, "db", &commands).ok();
    let mut expected = vec![0; 8 << 20];
    for (start, length, byte) in [
        (0, 1 << 20, 0x11),
        (1000, 3000, 0x22),
        (4 << 20, 12 << 10, 0x33),
        (5 << 20, 64 << 10, 0x44),
        (6 << 20, 64 << 10, 0x55),
        (7 << 20, (12 << 10) + 512, 0x66),
    ] {
        expected[start..start + length].fill(byte);
    }
    same_bytes(&drive_bytes(&drive), &expected, "the drive");
    // A pattern that is not there is noticed, so the comparisons above are worth something.
    qemu_io(&bench, "db", &["read -P 0x12 0 4k"]).refused();
    bench.finish();
}

#[test]
fn qemu_io_zeroes_and_discards() {
    if !has_tools("qemu_io_zeroes_and_discards", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let drive = bench.drive("db", 8 * MIB);
    let ends = |range: floe::Result<Range<u64>>| range.map(|range| (range.start, range.end)).expect("a range");
    let mapped = || drive.mapped_ranges().map(ends).collect::<Vec<_>>();
    qemu_io(&bench, "db", &["write -P 0x11 0 8M"]).ok();
    assert_eq!(mapped(), [(0, 8 * MIB)]);
    // It may become a hole, and does.
    qemu_io(&bench, "db", &["write -z -u 1M 1M", "read -P 0 1M 1M", "read -P 0x11 0 1M", "read -P 0x11 2M 6M"]).ok();
    assert_eq!(mapped(), [(0, MIB), (2 * MIB, 8 * MIB)]);
    // It shall stay without a hole.
    qemu_io(&bench, "db", &["write -z 4M 1M", "read -P 0 4M 1M", "read -P 0x11 5M 3M"]).ok();
    assert_eq!(mapped(), [(0, MIB), (2 * MIB, 8 * MIB)]);
    qemu_io(&bench, "db", &["discard 6M 1M", "read -P 0 6M 1M", "read -P 0x11 7M 1M"]).ok();
    assert_eq!(mapped(), [(0, MIB), (2 * MIB, 6 * MIB), (7 * MIB, 8 * MIB)]);
    // Zeroes that begin and end within blocks leave the blocks' other bytes alone.
    qemu_io(&bench, "db", &["write -z -u 7170k 10k", "read -P 0x11 7M 2k", "read -P 0 7170k 10k", "read -P 0x11 7180k 1012k"])
        .ok();
    // FUA and fast zeroes.
    qemu_io(
        &bench,
        "db",
        &["write -z -f 0 4k", "write -z -u -n 8k 8k", "read -P 0 0 4k", "read -P 0x11 4k 4k", "read -P 0 8k 8k"],
    )
    .ok();
    let mapped: u64 = mapped().iter().map(|(start, end)| end - start).sum();
    assert_eq!(drive.info().expect("it is there").referenced_bytes, mapped);
    bench.finish();
}

#[test]
fn qemu_io_is_refused_what_lies_beyond_the_end_and_writes_to_snapshots() {
    if !has_tools("qemu_io_is_refused_what_lies_beyond_the_end_and_writes_to_snapshots", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let drive = bench.drive("db", MIB);
    drive.write_at(&[9; BLOCK as usize], 0).expect("a write");
    let monday = snapshot(&drive, "monday");
    for command in ["read 1M 512", "read 1020k 8k", "write 1M 512", "write -z 1020k 8k", "discard 2M 4k"] {
        qemu_io(&bench, "db", &[command]).refused();
    }
    qemu_io(&bench, "db@monday", &["read -P 9 0 4k", "read -P 0 4k 1020k"]).ok();
    for command in ["write -P 1 0 4k", "write -z 0 4k", "discard 0 4k"] {
        qemu_io(&bench, "db@monday", &[command]).refused();
    }
    // Without -r it wants to write, and is told at once that it cannot.
    run("qemu-io", &["-f", "raw", "-c", "read 0 4k", &bench.uri("db@monday")]).refused();
    let mut expected = vec![0; 1 << 20];
    expected[..BLOCK as usize].fill(9);
    same_bytes(&snapshot_bytes(&monday), &expected, "the snapshot");
    same_bytes(&drive_bytes(&drive), &expected, "the drive");
    bench.finish();
}
