//! What does the command say when it cannot, or may not, work with a node?

use super::both::{Both, command, on_node};
use super::cli_support::{code, text};
use super::node::{Node, OWNER};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::{fs, thread};

const LIST: [&str; 2] = ["drive", "list"];

/// Ends with that code and says that.
#[track_caller]
fn says(command: &mut Command, expected: i32, words: &str) {
    let output = command.output().expect("the command starts");
    let said = text(&output.stderr);
    assert_eq!((code(&output), text(&output.stdout).as_str()), (expected, ""), "{command:?}: {said}");
    assert!(said.contains(words), "{command:?}: {said:?} without {words:?}");
}

#[test]
fn what_works_on_a_store_alone_says_so() {
    let both = Both::new();
    let uuid = "2f3a54fe-7a4c-4f7e-9d3b-0d8f3f5c1e2a";
    for args in [
        &["store", "info"][..],
        &["store", "check"],
        &["store", "reclaim"],
        &["store", "create"],
        &["store", "grow", "--capacity", "1G"],
        &["scrub"],
        &["bookmark", "list"],
        &["revert", uuid, uuid],
        &["snapshot", "diff", uuid, uuid],
        &["nbd", uuid, "--stdio"],
    ] {
        says(&mut on_node(&both.beside, &both.url(), args), 2, "this works on a store, and");
        let mut in_json = on_node(&both.beside, &both.url(), &[&["--json"], args].concat());
        says(&mut in_json, 2, r#""kind": "invalid_argument""#);
    }
    // A store that is named is meant, whatever the environment says; not if the command line says otherwise.
    let store = both.beside.store();
    let store = store.to_str().expect("text");
    assert_eq!(code(&on_node(&both.beside, &both.url(), &["store", "check", store]).output().expect("it runs")), 0);
    says(&mut command(&both.beside, &["--url", &both.url(), "store", "check", store]), 2, "this works on a store, and");
}

#[test]
fn it_is_clear_whether_a_store_or_a_node_is_meant() {
    let both = Both::new();
    let (url, store) = (both.url(), both.beside.store());
    let store = store.to_str().expect("text");
    let both_said = "which of them is meant?";
    says(&mut command(&both.beside, &["--url", &url, "--store", store, "drive", "list"]), 2, both_said);
    says(on_node(&both.beside, &url, &LIST).env("FLOE_STORE", store), 2, both_said);
    says(&mut command(&both.beside, &LIST), 2, "which store? give --store PATH");
    // The command line counts before the environment.
    both.same(&["drive", "create", "there", "--size", "1M"], 0);
    let shown = |mut command: Command| text(&command.output().expect("it runs").stdout).contains("there");
    assert!(!shown(on_node(&both.beside, &url, &["--store", store, "drive", "list"])));
    let mut on_url = on_node(&both.beside, "http://127.0.0.1:1", &["--url", &url, "drive", "list"]);
    on_url.env("FLOE_STORE", store);
    assert!(shown(on_url));
    for wrong in ["127.0.0.1:8080", "ftp://127.0.0.1", "http://a:b@127.0.0.1:1", ""] {
        says(&mut on_node(&both.beside, wrong, &LIST), 2, "is no node's URL");
    }
}

#[test]
fn credentials_come_from_the_environment_or_from_a_file_of_ones_own() {
    let both = Both::new();
    let url = both.url();
    says(on_node(&both.beside, &url, &LIST).env_remove("FLOE_PASSWORD"), 2, "as whom?");
    says(on_node(&both.beside, &url, &LIST).env("FLOE_PASSWORD", "guess"), 10, "No such account, or not its password");
    let file = both.beside.path("credentials");
    let named = ["--url", &url, "--credentials", file.to_str().expect("text"), "drive", "list"];
    says(&mut command(&both.beside, &named), 3, "credentials");
    for (content, mode, expected) in [
        (format!("{}\n{}\n", OWNER.0, OWNER.1), 0o600, 0),
        (format!("{}:{}", OWNER.0, OWNER.1), 0o400, 0),
        (format!("{}:{}", OWNER.0, OWNER.1), 0o640, 2),
        (format!("{}:{}", OWNER.0, OWNER.1), 0o604, 2),
        (format!("{}:{}", OWNER.0, OWNER.1), 0o602, 2),
        (format!("{}:guess", OWNER.0), 0o600, 10),
        ("nothing".into(), 0o600, 2),
    ] {
        fs::write(&file, &content).expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("set");
        let output = command(&both.beside, &named).output().expect("it runs");
        assert_eq!(code(&output), expected, "{content:?} {mode:o}: {}", text(&output.stderr));
        assert!(!text(&output.stderr).contains(OWNER.1), "a password is never shown");
        fs::remove_file(&file).expect("removed");
    }
}

#[test]
fn a_node_that_is_not_there_or_is_none_is_told_from_one_that_refuses() {
    let both = Both::new();
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = format!("http://{}", free.local_addr().expect("an address"));
    drop(free);
    says(&mut on_node(&both.beside, &nobody, &LIST), 9, "does `floe serve` run there?");
    says(&mut on_node(&both.beside, &nobody, &["--json", "drive", "list"]), 9, r#""kind": "io""#);
    for answer in
        ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"]
    {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let other = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut head = [0; 16 << 10];
            std::io::Read::read(&mut stream, &mut head).expect("a request");
            stream.write_all(answer.as_bytes()).expect("taken");
        });
        says(&mut on_node(&both.beside, &url, &LIST), 9, "node");
        other.join().expect("it ends");
    }
    // A node refuses what is in use, or would be too much.
    both.same(&["drive", "create", "d", "--size", "1M"], 0);
    let client = both.node.nbd("d");
    says(&mut on_node(&both.beside, &both.url(), &["drive", "delete", "d"]), 10, "state \"mounted\"");
    drop(client);
}

#[test]
fn snapshots_do_not_go_with_a_drive_unless_told() {
    let both = Both::new();
    both.same(&["drive", "create", "d", "--size", "1M"], 0);
    both.same(&["snapshot", "create", "d", "--name", "s"], 0);
    says(&mut on_node(&both.beside, &both.url(), &["drive", "delete", "d"]), 2, "--snapshots says that they may go");
    let left = on_node(&both.beside, &both.url(), &["--quiet", "snapshot", "list"]).output().expect("it runs");
    assert_eq!(text(&left.stdout).lines().count(), 1);
}

#[test]
fn a_full_store_is_a_full_store_wherever_it_is() {
    let both = Both::new();
    let node = Node::with_capacity(&[OWNER], "130M");
    let url = format!("http://{}", node.address);
    fs::write(both.beside.path("large.raw"), vec![1; 160 << 20]).expect("written");
    says(&mut on_node(&both.beside, &url, &["drive", "import", "d", "large.raw"]), 6, "the unfinished drive was deleted again");
    let left = on_node(&both.beside, &url, &["--quiet", "drive", "list"]).output().expect("it runs");
    assert_eq!((code(&left), text(&left.stdout).as_str()), (0, ""));
    node.finish();
}
