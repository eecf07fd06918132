//! Does what goes in become a drive, and only for whoever may make one?

use super::crossing::{IMAGE, begin, image, send};
use super::node::{Node, OWNER, STRANGER};
use super::process::{floe, output_of};
use super::world::World;
use serde_json::Value;
use std::io::Read;

fn content() -> String {
    format!("Content-Type: {IMAGE}")
}

#[test]
fn an_upload_answers_the_uuid_or_the_drive() {
    let mut world = World::new();
    let sent = image("a", 0);
    // As curl sends a file: its name goes with the path and means nothing.
    let got = send(&world.node, OWNER, "POST /drives/upload/disk.raw", &[&content(), "Accept: */*"], &sent);
    assert_eq!((got.status, got.header("content-type")), (201, Some("text/plain; charset=utf-8")));
    let uuid = got.text().to_owned();
    assert_eq!(got.header("location"), Some(format!("/api/2.0/drives/{uuid}/").as_str()));
    world.names.insert("d".into(), uuid.clone());
    world.check(&[("GET /drives/{d}/", "", 200, &format!(r#"{{"name": "{uuid}", "storage_type": "dssd", "size": 4096}}"#))]);

    let query = "name=a%20b&media=cdrom&storage_type=nvme&size=100000&unknown=1";
    let accept = "Accept: text/html, application/json;q=0.5";
    let got = send(&world.node, OWNER, &format!("POST /drives/upload?{query}"), &[&content(), accept], &sent);
    let drive: Value = serde_json::from_str(got.text()).expect("JSON");
    let drive = &drive["objects"][0];
    assert_eq!((got.status, got.header("location")), (201, drive["resource_uri"].as_str()));
    assert_eq!((drive["name"].as_str(), drive["media"].as_str()), (Some("a b"), Some("cdrom")));
    assert_eq!((drive["storage_type"].as_str(), drive["size"].as_u64()), (Some("nvme"), Some(100_352)));
    assert_eq!(drive["status"], "unmounted");
    world.finish();
}

#[test]
fn an_upload_that_cannot_be_meant_makes_no_drive() {
    let node = Node::with(&[OWNER, STRANGER]);
    let (typed, sent) = (content(), image("a", 0));
    let rows: [(&str, &[&str], u16); 8] = [
        ("", &["Content-Type: multipart/form-data; boundary=x"], 415),
        ("", &["Content-Type: application/json"], 415),
        ("?media=tape", &[&typed], 400),
        ("?storage_type=gold", &[&typed], 400),
        ("?size=100", &[&typed], 400),
        ("?size=x", &[&typed], 400),
        ("?complete=maybe", &[&typed], 400),
        (&format!("?name={}", "n".repeat(256)), &[&typed], 400),
    ];
    for (query, headers, status) in rows {
        let got = send(&node, OWNER, &format!("POST /drives/upload/{query}"), headers, &sent);
        assert_eq!(got.status, status, "{query} {headers:?}: {}", got.text());
        assert!(got.text().starts_with(r#"[{"error_type":"validation""#), "{}", got.text());
    }
    // Without a length, chunked or not, nobody knows how large the drive is to be.
    for frame in ["Connection: close", "Transfer-Encoding: chunked\r\nConnection: close"] {
        let head = format!("POST /api/2.0/drives/upload/ HTTP/1.1\r\n{}\r\n{}", typed, super::node::authorization(OWNER));
        let mut stream = std::net::TcpStream::connect(&node.address).expect("somebody listens");
        std::io::Write::write_all(&mut stream, format!("{head}\r\nHost: x\r\n{frame}\r\n\r\n0\r\n\r\n").as_bytes())
            .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 411 "), "{answer}");
    }
    assert_eq!(send(&node, ("owner@example.com", "guess"), "POST /drives/upload/", &[&typed], &sent).status, 401);
    for method in ["GET", "DELETE"] {
        assert_eq!(send(&node, OWNER, &format!("{method} /drives/upload/x"), &[], b"").status, 405);
    }
    let mut world = World::on(node);
    world.check(&[("GET /drives/", "", 200, r#"{"objects": []}"#)]);
    world.finish();
}

#[test]
fn quotas_hold_for_uploads() {
    let mut world = World::on(Node::new());
    let data = world.node.data();
    world.node.restart_after(|| {
        let mut limit = floe();
        limit.args(["user", "limit", OWNER.0, "--bytes", "dssd=8K", "--data"]).arg(&data);
        assert!(output_of(&mut limit).status.success());
    });
    world.upload("d", &image("a", 0));
    let got = send(&world.node, OWNER, "POST /drives/upload/", &[&content()], &image("abc", 0));
    assert_eq!(got.status, 403, "{}", got.text());
    // Another class has no limit.
    assert_eq!(send(&world.node, OWNER, "POST /drives/upload/?storage_type=nvme", &[&content()], &image("abc", 0)).status, 201);
    world.upload("e", &image("b", 0));
    world.check(&[("GET /drives/", "", 200, r#"{"meta": {"total_count": 3}}"#)]);
    world.finish();
}

#[test]
fn while_it_is_uploaded_a_drive_is_uploading_and_good_for_nothing() {
    let mut world = World::new();
    let sent = image("abcd", 0);
    let mut stream = begin(&world.node, OWNER, "POST /drives/upload/?name=d", &[&content()], sent.len(), &sent[..5000]);
    world.wait_until(
        "GET /drives/detail/",
        r#"{"objects": [{"uuid": "{d}", "status": "uploading", "runtime": {"is_snapshotable": null}}]}"#,
    );
    let refused = r#"[{"error_type": "permission"}]"#;
    world.check(&[
        ("POST /snapshots/", r#"{"drive": "{d}"}"#, 403, refused),
        ("POST /drives/{d}/action/?do=clone", "", 403, refused),
        ("PUT /drives/{d}/", r#"{"name": "renamed", "meta": {"k": "v"}}"#, 200, r#"{"status": "uploading"}"#),
    ]);
    let uuid = world.names["d"].clone();
    assert_eq!(send(&world.node, OWNER, &format!("GET /drives/{uuid}/download/"), &[], b"").status, 403);
    assert_eq!(send(&world.node, OWNER, &format!("PUT /drives/{uuid}/upload/"), &[&content()], b"x").status, 403);
    std::io::Write::write_all(&mut stream, &sent[5000..]).expect("sent");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 201");
    world.check(&[("GET /drives/{d}/", "", 200, r#"{"status": "unmounted", "name": "renamed", "meta": {"k": "v"}}"#)]);
    assert!(world.download("drives", "d") == sent);
    world.finish();
}

#[test]
fn uploaded_bytes_are_there_for_virtual_machines() {
    let mut world = World::new();
    let sent = image("ab..c", 100);
    world.upload("d", &sent);
    let mut client = world.node.nbd("d");
    assert!(client.read(0, sent.len() as u64) == sent);
    // Nobody writes a drive that somebody else has.
    let line = format!("PUT /drives/{}/upload/", world.names["d"]);
    assert_eq!(send(&world.node, OWNER, &line, &[&content()], b"x").status, 403);
    client.write(4096, b"by NBD");
    let came = world.download("drives", "d");
    assert!(came[..4096] == sent[..4096] && came[4096..4102] == *b"by NBD");
    client.disconnect();
    world.wait_until("GET /drives/{d}/", r#"{"status": "unmounted"}"#);
    assert_eq!(send(&world.node, OWNER, &line, &[&content()], b"x").status, 200);
    world.finish();
}
