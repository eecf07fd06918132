//! How does a node end, and how does a second one begin?

use super::client::{Client, Mode, READ, Request};
use super::node::{EMAIL, Http, Node, PASSWORD, head, login, serve};
use super::process::{info, output_of};

const DRIVES: &str = "/api/2.0/drives/";

const DRIVE: &[u8] = br#"{"name": "db", "size": 67108864, "media": "disk"}"#;

fn own() -> String {
    login(EMAIL, PASSWORD)
}

#[test]
fn requests_that_came_are_answered_and_others_are_not() {
    let mut node = Node::start(&[]);
    let mut idle = node.client();
    assert_eq!(idle.call("GET", DRIVES, &[&own()], b"").status, 200);
    let mut half_a_head = node.client();
    half_a_head.send("GET /");
    let mut silent = node.client();
    let mut in_flight = node.client();
    in_flight.send(head("POST", DRIVES, &[&own()], DRIVE.len()));
    in_flight.send(&DRIVE[..10]);
    super::node::until("it came", || node.figures().at("floe_http_requests_in_progress") == 1.0);
    node.serving.signal("-TERM");
    node.serving.hears("stopping");
    // Whoever comes now is told, and probes say so.
    let refused = node.client().call("GET", DRIVES, &[&own()], b"");
    assert!(refused.error(503).contains("stopping"));
    assert_eq!(refused.header("connection"), Some("close"));
    idle.call("GET", DRIVES, &[&own()], b"").error(503);
    let ready = node.client().call("GET", "/readyz", &[], b"");
    assert_eq!((ready.status, ready.json()["reason"].as_str()), (503, Some("the node is stopping")));
    assert_eq!(node.client().call("GET", "/healthz", &[], b"").status, 200);
    in_flight.send(&DRIVE[10..]);
    let answer = in_flight.reply();
    assert_eq!(answer.status, 201, "{answer:?}");
    in_flight.expect_end();
    half_a_head.expect_end();
    silent.expect_end();
    let store = node.data().join("store.floe");
    assert_eq!(node.serving.code(), Some(0));
    let found = info(&store);
    assert_eq!((found["drives"].as_u64(), found["was_clean"].as_bool()), (Some(1), Some(true)));
}

#[test]
fn while_nbd_clients_are_waited_for_probes_tell() {
    let mut node = Node::start(&["--metrics", "127.0.0.1:0", "--nbd-drain", "30"]);
    assert_eq!(node.client().call("POST", DRIVES, &[&own()], DRIVE).status, 201);
    let mut deaf = Client::unix(&node.data().join("nbd.sock")).begin(Mode::Simple, "db");
    deaf.send(&Request::new(READ, 0, 32 << 20).bytes(Mode::Simple));
    let mut watcher = Http::to(&node.probing());
    assert_eq!(watcher.call("GET", "/readyz", &[], b"").status, 200);
    // It must have come, or nobody would wait for it.
    super::node::until("it came", || {
        let figures = super::figures::Figures::of(&watcher.call("GET", "/metrics", &[], b""));
        figures.at("floe_nbd_operations_total{kind=\"read\"}") == 1.0
    });
    node.serving.signal("-TERM");
    node.serving.hears("stopping");
    super::node::until("it says so", || Http::to(&node.probing()).call("GET", "/readyz", &[], b"").status == 503);
    node.client().call("GET", DRIVES, &[&own()], b"").error(503);
    // Once the answer is taken, all is over.
    assert_eq!(deaf.receive(16 + (32 << 20)).len(), 16 + (32 << 20));
    assert_eq!(node.serving.code(), Some(0));
}

#[test]
fn a_client_that_never_finishes_does_not_keep_it() {
    let mut node = Node::start(&["--http-drain", "1", "--http-body", "600"]);
    let mut in_flight = node.client();
    in_flight.send(head("POST", DRIVES, &[&own()], DRIVE.len()));
    super::node::until("it came", || node.figures().at("floe_http_requests_in_progress") == 1.0);
    node.serving.signal("-TERM");
    node.serving.hears("took too long to be waited for");
    assert_eq!(node.serving.code(), Some(0));
}

#[test]
fn a_second_node_is_refused_with_words() {
    let first = Node::start(&[]);
    let second = output_of(serve().arg("--data").arg(first.data()));
    assert_eq!(second.status.code(), Some(7));
    assert!(String::from_utf8_lossy(&second.stderr).contains("has it open"));
    // Another store, the same port.
    let dir = tempfile::tempdir().expect("a directory");
    let second = output_of(serve().arg("--data").arg(dir.path()).args(["--http", &first.address]));
    assert_eq!(second.status.code(), Some(9));
    let words = String::from_utf8_lossy(&second.stderr);
    assert!(words.contains(&first.address) && words.contains("in use"), "{words}");
    assert_eq!(info(&dir.path().join("store.floe"))["was_clean"], true, "a start that fails leaves a clean store");
    first.check_alive();
    first.serving.stop();
}
