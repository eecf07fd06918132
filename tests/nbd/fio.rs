//! Does fio find every block as it wrote it?

use std::thread;

use crate::harness::{Bench, MIB, MULTIMOUNT, Said, has_tools, run, snapshot};

const TOOLS: [&str; 1] = ["fio"];

fn fio(bench: &Bench, export: &str, args: &[&str]) -> Said {
    let uri = format!("--uri={}", bench.uri(export));
    let always = ["--name=job", "--ioengine=nbd", "--group_reporting", "--verify_fatal=1", "--verify_state_save=0"];
    run("fio", &[&always[..], &[uri.as_str()], args].concat())
}

#[test]
fn fio_verifies_several_jobs_that_read_and_write_at_random() {
    if !has_tools("fio_verifies_several_jobs_that_read_and_write_at_random", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let drive = bench.drive("db", 64 * MIB);
    let small = ["--bsrange=512-9k", "--bs_unaligned=1", "--iodepth=32"];
    let large = ["--bsrange=4k-64k", "--iodepth=16"];
    let random = |sizes: &[&str], jobs: &str, share: u64| {
        let (size, apart) = (format!("--size={share}M"), format!("--offset_increment={share}M"));
        let always = ["--rw=randrw", "--randseed=1", "--fsync=64", "--verify=crc32c", jobs, &size, &apart];
        fio(&bench, "db", &[&always, sizes].concat())
    };
    random(&large, "--numjobs=1", 16).ok();
    // Threads of one process are one client.
    random(&[&large[..], &["--thread"]].concat(), "--numjobs=4", 16).ok();
    random(&[&small[..], &["--thread"]].concat(), "--numjobs=4", 4).ok();
    // Processes are not.
    random(&large, "--numjobs=4", 16).refused();
    drive.set_attributes(MULTIMOUNT).expect("attributes");
    random(&large, "--numjobs=4", 16).ok();
    bench.finish();
}

#[test]
fn fio_verifies_a_snapshot_while_another_fio_overwrites_its_drive() {
    if !has_tools("fio_verifies_a_snapshot_while_another_fio_overwrites_its_drive", &TOOLS) {
        return;
    }
    let bench = Bench::new();
    let drive = bench.drive("db", 32 * MIB);
    let random = ["--rw=randwrite", "--bs=4k", "--size=32M", "--iodepth=32"];
    let write = |seed: &str, verify: &str| {
        let args = [&random[..], &["--do_verify=0", seed, verify]].concat();
        fio(&bench, "db", &args).ok();
    };
    let look = |export: &str| fio(&bench, export, &[&random[..], &["--verify_only", "--randseed=7", "--verify=crc32c"]].concat());
    write("--randseed=7", "--verify=crc32c");
    snapshot(&drive, "monday");
    thread::scope(|scope| {
        let writer = scope.spawn(|| write("--randseed=8", "--verify=md5"));
        look("db@monday").ok();
        writer.join().expect("it writes");
    });
    look("db@monday").ok();
    // The drive is another one now, and fio notices.
    look("db").refused();
    bench.finish();
}
