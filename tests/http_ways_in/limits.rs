//! What becomes of clients that send too much, too slowly, nonsense, or take nothing?

use super::node::{EMAIL, Http, Node, PASSWORD, head, login, until};
use std::collections::HashSet;
use std::io::{Read, Write};
use std::sync::{Arc, Barrier};
use std::thread;

const DRIVES: &str = "/api/2.0/drives/";

fn own() -> String {
    login(EMAIL, PASSWORD)
}

#[test]
fn every_refusal_is_a_list_of_errors() {
    let node = Node::start(&[]);
    let long = "a".repeat(200_000);
    let fields = "a: b\r\n".repeat(200);
    let start = format!("GET {DRIVES} HTTP/1.1\r\nhost: test\r\n");
    for (request, status) in [
        ("no request\r\n\r\n".to_owned(), 400),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}".to_owned(), 400),
        (format!("GET {DRIVES} HTTP/3.0\r\n\r\n"), 400),
        (format!("GET {DRIVES} HTTP/1.1\r\na b: c\r\n\r\n"), 400),
        (format!("{start}content-length: 1\r\ncontent-length: 2\r\n\r\n"), 400),
        (format!("{start}content-length: -1\r\n\r\n"), 400),
        (format!("{start}transfer-encoding: nonsense\r\n\r\n"), 400),
        (format!("{start}{fields}\r\n"), 431),
        (format!("{start}long: {long}\r\n\r\n"), 431),
        (format!("GET /{long} HTTP/1.1\r\nhost: test\r\n\r\n"), 431),
        (format!("{start}\r\n"), 401),
        (format!("{start}authorization: Bearer x\r\n\r\n"), 401),
        (format!("{start}authorization: Basic !\r\n\r\n"), 401),
        (format!("{start}accept: text/html\r\n\r\n"), 406),
        (format!("{start}{}\r\n\r\n", login("nobody", "x")), 401),
        (format!("GET /nowhere HTTP/1.1\r\nhost: test\r\n{}\r\n\r\n", own()), 404),
        (format!("GET /%ff HTTP/1.1\r\nhost: test\r\n{}\r\n\r\n", own()), 400),
        (format!("PATCH {DRIVES} HTTP/1.1\r\nhost: test\r\n{}\r\n\r\n", own()), 405),
        (format!("POST {DRIVES} HTTP/1.1\r\nhost: test\r\n{}\r\ncontent-length: 1\r\n\r\n{{", own()), 400),
        (format!("POST {DRIVES} HTTP/1.1\r\nhost: test\r\n{}\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", own()), 400),
        (format!("POST {DRIVES} HTTP/1.1\r\nhost: test\r\n{}\r\ncontent-length: 9000000\r\n\r\n", own()), 413),
    ] {
        let mut client = node.client();
        client.send(&request);
        let reply = client.reply();
        let shown: String = request.chars().take(80).collect();
        assert_eq!(reply.status, status, "{shown}");
        reply.error(status);
    }
    node.check_alive();
    node.serving.stop();
}

#[test]
fn a_client_hears_why_although_he_sends_on() {
    let node = Node::start(&["--http-body-size", "1M"]);
    // All of it is sent before the answer is read: nothing of the answer may be lost by that.
    let body = vec![b' '; 20 << 20];
    let message = node.client().call("POST", DRIVES, &[&own()], &body).error(413);
    assert!(message.contains("1048576"), "{message}");
    node.client().call("POST", DRIVES, &[], &body).error(401);
    let mut chunked = node.client();
    chunked.send(format!("POST {DRIVES} HTTP/1.1\r\nhost: test\r\n{}\r\ntransfer-encoding: chunked\r\n\r\n", own()));
    for _ in 0..20 {
        chunked.send(format!("{:x}\r\n", 1 << 20));
        chunked.send(&body[..1 << 20]);
        chunked.send("\r\n");
    }
    chunked.reply().error(413);
    let mut headed = node.client();
    headed.send(format!("GET {DRIVES} HTTP/1.1\r\nhost: test\r\nlong: "));
    headed.send(&body[..2 << 20]);
    headed.reply().error(431);
    headed.expect_end();
    node.check_alive();
    node.serving.stop();
}

#[test]
fn half_a_request_is_not_waited_for() {
    let node = Node::start(&["--http-head", "1", "--http-body", "1", "--http-idle", "1"]);
    let mut head_begun = node.client();
    head_begun.send("GET /api/2.0/dri");
    let mut second_begun = node.client();
    assert_eq!(second_begun.call("GET", DRIVES, &[&own()], b"").status, 200);
    second_begun.send("GET /");
    let mut body_begun = node.client();
    body_begun.send(head("POST", DRIVES, &[&own()], 100));
    body_begun.send("{");
    let mut silent = node.client();
    let mut idle = node.client();
    assert_eq!(idle.call("GET", DRIVES, &[&own()], b"").status, 200);
    for mut late in [head_begun, second_begun, body_begun] {
        late.reply().error(408);
        late.expect_end();
    }
    // Who asked nothing is told nothing.
    silent.expect_end();
    idle.expect_end();
    node.serving.stop();
}

#[test]
fn a_client_that_takes_no_answers_is_cut_off() {
    let node = Node::start(&["--http-stall", "1"]);
    let mut client = node.client();
    let ask = head("GET", "/metrics", &[], 0).repeat(100);
    client.stream.set_write_timeout(Some(super::client::PATIENCE)).expect("a limit");
    // As long as it takes them, more are asked for; once it is cut off, nobody takes them.
    let error = loop {
        if let Err(error) = client.stream.write_all(ask.as_bytes()) {
            break error;
        }
    };
    assert!(matches!(error.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe), "{error}");
    until("it is gone", || node.figures().at("floe_http_connections") == 1.0);
    node.serving.stop();
}

#[test]
fn two_hundred_clients_at_once_do_not_mind_a_slow_one() {
    // Nobody reads the log, and a pipe that is full would stop whoever writes to it.
    let node = Node::start(&["--log", "warn"]);
    node.check_alive();
    let mut slow = node.client();
    slow.send(head("POST", DRIVES, &[&own()], 1000));
    slow.send("{");
    let mut slower = node.client();
    slower.send("GE");
    let mut deaf = node.client();
    deaf.send(head("GET", "/metrics", &[], 0).repeat(50));
    let begin = Arc::new(Barrier::new(200));
    let clients: Vec<_> = (0..200)
        .map(|index| {
            let (address, begin) = (node.address.clone(), Arc::clone(&begin));
            thread::spawn(move || {
                let mut client = Http::to(&address);
                begin.wait();
                let body = format!("{{\"name\": \"drive {index}\", \"size\": 1048576, \"media\": \"disk\"}}");
                let made = client.call("POST", DRIVES, &[&own()], body.as_bytes());
                assert_eq!(made.status, 201, "{made:?}");
                let uuid = made.json()["objects"][0]["uuid"].as_str().expect("a uuid").to_owned();
                let shown = client.call("GET", &format!("{DRIVES}{uuid}/"), &[&own()], b"");
                assert_eq!(shown.json()["name"], format!("drive {index}"));
                [made.id(), shown.id()]
            })
        })
        .collect();
    let ids: HashSet<String> = clients.into_iter().flat_map(|client| client.join().expect("served")).collect();
    assert_eq!(ids.len(), 400, "each request has an id of its own");
    assert_eq!(node.get(&format!("{DRIVES}?limit=0")).json()["meta"]["total_count"], 200);
    drop((slow, slower, deaf));
    node.serving.stop();
}

#[test]
fn when_it_is_full_others_wait_and_watchers_get_in() {
    let node = Node::start(&["--http-connections", "2", "--metrics", "127.0.0.1:0"]);
    let (mut one, mut two) = (node.client(), node.client());
    assert_eq!(one.call("GET", DRIVES, &[&own()], b"").status, 200);
    assert_eq!(two.call("GET", DRIVES, &[&own()], b"").status, 200);
    let mut three = node.client();
    three.send(head("GET", DRIVES, &[&own()], 0));
    let mut watcher = Http::to(&node.probing());
    let figures = super::figures::Figures::of(&watcher.call("GET", "/metrics", &[], b""));
    assert_eq!(
        figures.at("floe_http_requests_total{method=\"GET\",route=\"drives\",status=\"200\"}"),
        2.0,
        "the third one waits"
    );
    drop(one);
    assert_eq!(three.reply().status, 200);
    node.serving.stop();
}

#[test]
fn a_request_is_known_by_an_id_that_the_client_did_not_choose() {
    let mut node = Node::start(&[]);
    let mut client = node.client();
    let first = client.call("GET", DRIVES, &[&own(), "x-request-id: forged"], b"");
    let second = client.call("GET", "/nowhere", &[&own(), "x-request-id: forged"], b"");
    client.send("nonsense\r\n\r\n");
    let third = client.reply();
    for reply in [first, second, third] {
        uuid::Uuid::parse_str(&reply.id()).expect("an id");
        // The log knows it by the same.
        node.serving.hears(&format!("request{{id={}}}", reply.id()));
    }
    node.serving.signal("-TERM");
    let rest: Vec<String> = node.serving.stderr.by_ref().map(|line| line.expect("text")).collect();
    assert!(!rest.join("\n").contains("forged"), "{rest:?}");
}

#[test]
fn pipelined_requests_are_answered_in_order_and_nonsense_behind_them_is_refused() {
    let node = Node::start(&[]);
    let mut client = node.client();
    client.send([head("GET", "/healthz", &[], 0), head("GET", DRIVES, &[&own()], 0), head("GET", DRIVES, &[], 0)].concat());
    assert_eq!([client.reply().status, client.reply().status, client.reply().status], [200, 200, 401]);
    client.send("nonsense\r\n\r\n");
    client.reply().error(400);
    let mut rest = Vec::new();
    client.stream.read_to_end(&mut rest).map(drop).unwrap_or_default();
    assert!(rest.is_empty());
    node.serving.stop();
}
