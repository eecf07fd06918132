//! Who is slowed down for wrong passwords, and who is not?

use super::node::{EMAIL, Http, Node, PASSWORD, login};
use super::process::{floe, output_of};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use std::fs;
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::path::Path;
use std::thread;

const DRIVES: &str = "/api/2.0/drives/";
const OTHER: &str = "other@localhost";

/// A node with two accounts.
fn node_of_two(args: &[&str]) -> Node {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("node");
    fs::create_dir(&data).expect("a directory");
    let made = output_of(floe().args(["store", "create", "--capacity", "256M"]).arg(data.join("store.floe")));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for email in [EMAIL, OTHER] {
        add(&data, email);
    }
    Node::from(super::node::serve().arg("--data").arg(&data).args(args), dir)
}

fn add(data: &Path, email: &str) {
    let made = output_of(floe().args(["user", "--data"]).arg(data).args(["add", email]).env("FLOE_PASSWORD", PASSWORD));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// From another address of this machine.
fn from(source: [u8; 4], address: &str) -> Http<TcpStream> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&socket, &SocketAddr::V4(SocketAddrV4::new(source.into(), 0))).expect("an address");
    connect(&socket, &address.parse::<SocketAddr>().expect("an address")).expect("a connection");
    Http::over(TcpStream::from(socket))
}

fn status(client: &mut Http<TcpStream>, email: &str, password: &str) -> u16 {
    client.call("GET", DRIVES, &[&login(email, password)], b"").status
}

#[test]
fn guessing_is_slowed_and_locks_nobody_else_out() {
    let node = node_of_two(&[]);
    let mut guesser = node.client();
    let found: Vec<u16> = (0..15).map(|index| status(&mut guesser, EMAIL, &format!("guess {index}"))).collect();
    assert_eq!(found[..10], [401; 10], "{found:?}");
    assert!(found[10..].contains(&429), "{found:?}");
    let refused = (0..50).map(|_| guesser.call("GET", DRIVES, &[&login(EMAIL, "guess")], b"")).find(|reply| reply.status == 429);
    let refused = refused.expect("one of many");
    refused.error(429);
    assert!(refused.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
    // From the same address, another account.
    assert_eq!(status(&mut guesser, OTHER, PASSWORD), 200);
    // From another address, the same account.
    assert_eq!(status(&mut from([127, 0, 0, 9], &node.address), EMAIL, PASSWORD), 200);
    // Having been let in there, the password is known, also from where somebody guesses.
    assert_eq!(status(&mut guesser, EMAIL, PASSWORD), 200);
    // An account that there is not is treated alike.
    let found: Vec<u16> = (0..15).map(|index| status(&mut guesser, "nobody", &format!("guess {index}"))).collect();
    assert!(found[..10] == [401; 10] && found[10..].contains(&429), "{found:?}");
    node.serving.stop();
}

#[test]
fn a_flood_of_passwords_takes_neither_memory_nor_time_of_others() {
    let node = node_of_two(&["--http-logins", "2"]);
    node.check_alive();
    let peak = || {
        let status = fs::read_to_string(format!("/proc/{}/status", node.serving.pid())).expect("a process");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak").to_owned();
        line.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("a number") >> 10
    };
    let before = peak();
    let guessers: Vec<_> = (0..60)
        .map(|index: u8| {
            let address = node.address.clone();
            thread::spawn(move || status(&mut from([127, 0, 1, 1 + index], &address), &format!("nobody {index}"), "guess"))
        })
        .collect();
    // Who is known does not wait for them: this is answered whatever they do.
    for _ in 0..20 {
        node.check_alive();
    }
    assert!(guessers.into_iter().all(|guesser| guesser.join().expect("an answer") == 401));
    let more = peak() - before;
    assert!(more < 200, "60 guesses at once took {more} MiB, 19 for each that is looked at");
    node.serving.stop();
}

#[test]
fn a_right_password_gets_its_turn_among_wrong_ones_of_the_same_address() {
    let node = node_of_two(&[]);
    let guessers: Vec<_> = (0..20)
        .map(|index| {
            let address = node.address.clone();
            thread::spawn(move || status(&mut Http::to(&address), &format!("nobody {index}"), "guess"))
        })
        .collect();
    assert_eq!(status(&mut node.client(), OTHER, PASSWORD), 200);
    assert!(guessers.into_iter().all(|guesser| guesser.join().expect("an answer") == 401));
    node.serving.stop();
}
