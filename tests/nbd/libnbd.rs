//! Does libnbd, asked from Python for what no tool asks for, get the answers of the protocol?
//!
//! The questions are in `scripts/`, one file each; what the test does meanwhile is here.

use std::env;
use std::sync::Arc;

use floe::sim::{Loss, SimDevice};
use floe::{Drive, Snapshot, Store};

use crate::dice::Dice;
use crate::harness::{
    BLOCK, Bench, KIB, MIB, MULTIMOUNT, Running, drive_bytes, has_tools, run, same_bytes, snapshot, snapshot_bytes, until,
};

const TOOLS: [&str; 1] = ["python3-libnbd"];

fn script(name: &str) -> String {
    format!("{}/tests/nbd/scripts/{name}.py", env!("CARGO_MANIFEST_DIR"))
}

/// Asks the questions of one script; an answer that is wrong fails it.
fn ask(name: &str, args: &[&str]) {
    run("python3", &[&[script(name).as_str()], args].concat()).ok();
}

/// The same, for a script that the test speaks with.
fn talk(name: &str, args: &[&str]) -> Running {
    Running::start("python3", &[&[script(name).as_str()], args].concat())
}

/// A drive of 4 MiB with its first one written, the snapshot `s0`, and 256 KiB of changes.
fn drive_with_changes(bench: &Bench) -> (Drive, Snapshot) {
    let drive = bench.drive("db", 4 * MIB);
    drive.write_at(&Dice::new(1).bytes(MIB), 0).expect("a write");
    let s0 = snapshot(&drive, "s0");
    drive.write_at(&Dice::new(2).bytes(256 * KIB), 128 * KIB).expect("a write");
    (drive, s0)
}

/// What a power cut at this moment would leave of the first blocks.
fn after_power_cut(device: &SimDevice, drive: &Drive) -> Vec<u8> {
    let left = device.power_cut(Loss::Everything, 1).expect("a cut");
    let store = Store::options().open_on(Arc::new(left)).expect("a store that lost power is opened");
    drive_bytes(&store.drive(drive.uuid()).expect("the drive was durable"))
}

#[test]
fn a_flush_on_one_connection_covers_the_writes_of_another() {
    if !has_tools("a_flush_on_one_connection_covers_the_writes_of_another", &TOOLS) {
        return;
    }
    let device = Arc::new(SimDevice::new(256 * MIB).expect("memory"));
    let bench = Bench::on(device.clone());
    let drive = bench.drive("db", MIB);
    let mut client = talk("flush_covers_all", &[&bench.uri("db")]);
    let mut expected = vec![0; 1 << 20];
    client.hear("written");
    // Nothing was promised yet, and this disk keeps nothing by accident.
    same_bytes(&after_power_cut(&device, &drive), &expected, "before the flush");
    client.go_on();
    client.hear("flushed");
    expected[5000..15_000].fill(0x0a);
    expected[65_536..69_632].fill(0x0b);
    same_bytes(&after_power_cut(&device, &drive), &expected, "after a flush on the other connection");
    client.go_on();
    client.hear("forced");
    expected[131_072..135_168].fill(0x0c);
    same_bytes(&after_power_cut(&device, &drive), &expected, "after a write with FUA");
    client.go_on();
    client.hear("flushed again");
    expected[65_536..69_632].fill(0);
    expected[131_072..135_168].fill(0);
    expected[196_608..200_704].fill(0x0d);
    same_bytes(&after_power_cut(&device, &drive), &expected, "after zeroes, a trim and the other flush");
    client.go_on();
    client.end();
    bench.finish();
}

#[test]
fn replies_come_in_chunks_and_statuses_in_every_context() {
    if !has_tools("replies_come_in_chunks_and_statuses_in_every_context", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    drive_with_changes(&bench);
    ask("replies", &[&bench.uri("db")]);
    snapshot(&bench.store.drives()[0], "s1");
    // A snapshot's replies are the same, and lent from the memory map.
    ask("replies", &[&bench.uri("db@s1")]);
    bench.finish();
}

#[test]
fn contexts_are_listed_by_wildcard_and_selected_by_name() {
    if !has_tools("contexts_are_listed_by_wildcard_and_selected_by_name", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let (drive, s0) = drive_with_changes(&bench);
    let snapshots = [s0, snapshot(&drive, "s1"), snapshot(&drive, "s2")];
    let uuids = snapshots.map(|snapshot| snapshot.uuid().to_string());
    ask("contexts", &[&bench.uri("db"), &bench.uri("db@s2"), &uuids[0], &uuids[1], &uuids[2]]);
    bench.finish();
}

#[test]
fn zeroes_are_holes_unless_forbidden_and_requests_of_32_mib_are_served() {
    if !has_tools("zeroes_are_holes_unless_forbidden_and_requests_of_32_mib_are_served", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let drive = bench.drive("db", 80 * MIB);
    ask("zeroes", &[&bench.uri("db")]);
    assert_eq!(drive.info().expect("it is there").referenced_bytes, 0, "all of it was zeroed in the end");
    bench.finish();
}

#[test]
fn bad_requests_get_their_error_and_the_connection_goes_on() {
    if !has_tools("bad_requests_get_their_error_and_the_connection_goes_on", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let drive = bench.drive("db", 40 * MIB);
    drive.write_at(b"old", 0).expect("a write");
    let monday = snapshot(&drive, "monday");
    ask("bad_requests", &[&bench.uri("db"), &bench.uri("db@monday")]);
    let mut expected = vec![0; 40 << 20];
    expected[..3].copy_from_slice(b"old");
    same_bytes(&snapshot_bytes(&monday), &expected, "the snapshot");
    expected[..4].copy_from_slice(b"good");
    same_bytes(&drive_bytes(&drive), &expected, "the drive");
    bench.finish();
}

#[test]
fn pipelined_requests_get_each_its_own_reply() {
    if !has_tools("pipelined_requests_get_each_its_own_reply", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    bench.drive("db", 16 * MIB);
    let seed = env::var("FLOE_SEED").unwrap_or_else(|_| "20261122".to_owned());
    eprintln!("replay: FLOE_SEED={seed} cargo test --all-features --test nbd_tools pipelined");
    ask("pipelined", &[&bench.uri("db"), &seed]);
    bench.finish();
}

#[test]
fn a_drive_deleted_under_a_client_gives_errors_and_the_connection_lives() {
    if !has_tools("a_drive_deleted_under_a_client_gives_errors_and_the_connection_lives", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let drive = bench.drive("db", 4 * MIB);
    let mut client = talk("drive_goes", &[&bench.uri("db")]);
    client.hear("connected");
    drive.delete().expect("a drive can be deleted at any time");
    client.go_on();
    client.hear("refused");
    // The space comes back, whoever is still connected.
    bench.store.reclaim(u64::MAX).expect("space is given back");
    assert_eq!(bench.store.usage().data_bytes, 0);
    client.go_on();
    client.end();
    bench.finish();
}

#[test]
fn a_drive_shrunk_under_a_client_gives_errors_behind_its_end_alone() {
    if !has_tools("a_drive_shrunk_under_a_client_gives_errors_behind_its_end_alone", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let drive = bench.drive("db", 4 * MIB);
    let mut client = talk("drive_shrinks", &[&bench.uri("db")]);
    client.hear("connected");
    drive.resize(MIB).expect("a shrink");
    client.go_on();
    client.hear("shrunk");
    drive.resize(4 * MIB).expect("a growth");
    client.go_on();
    client.end();
    let mut expected = vec![0; 4 << 20];
    expected[..1 << 20].fill(1);
    expected[(1 << 20) - BLOCK as usize..1 << 20].fill(3);
    expected[(4 << 20) - BLOCK as usize..].fill(4);
    same_bytes(&drive_bytes(&drive), &expected, "the drive");
    bench.finish();
}

#[test]
fn a_client_that_comes_while_another_one_writes_may_only_read() {
    if !has_tools("a_client_that_comes_while_another_one_writes_may_only_read", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let drive = bench.drive("db", MIB);
    let start = |part| talk("two_writers", &[&bench.uri("db"), part]);
    let (mut first, mut early) = (start("first"), start("early"));
    early.hear("connected");
    first.hear("connected");
    first.go_on();
    first.hear("written");
    early.go_on();
    early.end();
    // The drive has two names, and is one drive under both.
    let mut late = talk("two_writers", &[&bench.uri(&drive.uuid().to_string()), "late"]);
    late.hear("connected");
    first.go_on();
    first.hear("written again");
    late.go_on();
    late.end();
    first.go_on();
    first.hear("nearly gone");
    let next = || run("python3", &[&script("two_writers"), &bench.uri("db"), "next"]);
    next().refused();
    first.go_on();
    first.end();
    // The server learns in its own time that a process is gone.
    until("the writer's end is noticed", || next().is_ok()).expect("a new writer is let in");
    bench.finish();
}

#[test]
fn a_drive_that_allows_multimount_is_written_by_all() {
    if !has_tools("a_drive_that_allows_multimount_is_written_by_all", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let shared = bench.drive("db", MIB);
    shared.set_attributes(MULTIMOUNT).expect("attributes");
    let mut first = talk("two_writers", &[&bench.uri("db"), "shared"]);
    first.hear("connected");
    first.go_on();
    first.hear("written");
    ask("two_writers", &[&bench.uri("db"), "other"]);
    first.go_on();
    first.end();
    assert_eq!(drive_bytes(&shared)[..5], *b"mine!");
    bench.finish();
}
