//! How much memory can clients make a server take?

use super::client::*;
use super::process::{Serving, make_store, store_of};
use std::fs;
use std::io::Read;
use std::net::Shutdown;
use std::thread;

const MIB: u64 = 1 << 20;

/// The most memory that the process had so far.
fn peak(serving: &Serving) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", serving.pid())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux says so");
    line.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("a number") << 10
}

#[test]
fn answers_that_nobody_takes_are_few() {
    let dir = tempfile::tempdir().expect("a directory");
    make_store(&store_of(dir.path()), "db");
    let serving = Serving::on(dir.path(), &["--nbd-memory", "8M", "--nbd-stall", "1"]);
    let socket = dir.path().join("nbd.sock");
    // Ten megabytes of requests for hundreds of gigabytes of answers.
    let clients = MODES.map(|mode| {
        let (socket, many) =
            (socket.clone(), Request::new(READ, 0, MIB).flags(u16::from(mode != Mode::Simple) * DF).bytes(mode).repeat(1000));
        thread::spawn(move || {
            let mut client = Client::unix(&socket).begin(mode, "db");
            (0..300).find(|_| std::io::Write::write_all(&mut client.stream, &many).is_err())
        })
    });
    for client in clients {
        assert!(client.join().expect("it ends").is_some(), "the server stops to listen");
    }
    let peak = peak(&serving);
    assert!(peak < 150 * MIB, "{} MiB for three connections of 8 MiB", peak / MIB);
    serving.stop();
}

#[test]
fn answers_to_options_are_sent_and_not_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    make_store(&store_of(dir.path()), "db");
    let store = floe::Store::options().open(store_of(dir.path())).expect("a store");
    for index in 0..500 {
        store.drives()[0].snapshot(floe::SnapshotOptions::named(format!("night-{index}"))).expect("a snapshot");
    }
    store.close().expect("it closes");
    drop(store);
    let serving = Serving::on(dir.path(), &["--nbd-handshake", "5"]);
    let many_queries = contexts("db", &["qemu:"; 5000]);
    for bytes in [option(LIST, &[]).repeat(900), option(LIST_META_CONTEXT, &many_queries).repeat(3)] {
        let mut client = Client::unix(&dir.path().join("nbd.sock")).greet(3).agree(Mode::Structured);
        let mut listening = client.stream.try_clone().expect("a socket");
        let listener = thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while listening.read(&mut buffer).is_ok_and(|count| count > 0) {}
        });
        client.send(&bytes);
        client.stream.shutdown(Shutdown::Write).expect("a socket");
        listener.join().expect("it ends");
    }
    let peak = peak(&serving);
    assert!(peak < 150 * MIB, "{} MiB for the answers to options", peak / MIB);
    serving.stop();
}
