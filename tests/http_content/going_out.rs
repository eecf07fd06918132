//! Is what comes out what is in it, and nobody else's?

use super::crossing::{BLOCK, Got, IMAGE, begin, image, send};
use super::node::{Node, OWNER, STRANGER};
use super::world::World;
use std::net::TcpStream;

/// 2 MiB, with a little of everything.
fn mixed() -> Vec<u8> {
    image(&format!("ab..c{}d{}e", ".".repeat(300), ".x".repeat(100)), 0)
}

#[test]
fn an_image_comes_back_byte_for_byte_and_its_zeroes_take_no_space() {
    for (picture, tail, blocks) in
        [("ab..c", 0, 3), ("....", 0, 0), (".", 1, 1), ("a", 511, 2), ("a.", 513, 2), ("", 5, 1), ("", 0, 0), ("...x", 4095, 2)]
    {
        let sent = image(picture, tail);
        let mut world = World::new();
        world.upload("d", &sent);
        let size = sent.len().max(BLOCK).next_multiple_of(512);
        world.check(&[(
            "GET /drives/{d}/",
            "",
            200,
            &format!(r#"{{"size": {size}, "status": "unmounted", "media": "disk", "name": "d", "runtime": {{"is_snapshotable": true}}}}"#),
        )]);
        world.make_snapshot("d", "s");
        for (collection, name) in [("drives", "d"), ("snapshots", "s")] {
            let came = world.download(collection, name);
            assert_eq!(came.len(), size, "{picture:?} {tail}");
            assert!(came[..sent.len()] == sent && came[sent.len()..].iter().all(|byte| *byte == 0), "{picture:?} {tail}");
        }
        assert_eq!(world.finish()["data_size"], blocks * BLOCK, "{picture:?} {tail}");
    }
}

#[test]
fn any_part_of_an_image_can_be_had() {
    let mut world = World::new();
    let sent = mixed();
    let size = sent.len();
    world.upload("d", &sent);
    world.make_snapshot("d", "s");
    let tag = format!("\"{}-{size}\"", world.names["s"]);
    let ask = |method: &str, headers: &[&str]| {
        let line = format!("{method} /snapshots/{}/download/", world.names["s"]);
        send(&world.node, OWNER, &line, headers, b"")
    };
    let parts = [
        ("bytes=0-0", 0..1),
        ("bytes=4095-4096", 4095..4097),
        ("bytes=5000-1300000", 5000..1_300_001),
        ("bytes=-5000", size - 5000..size),
        ("bytes=12288-", 12288..size),
    ];
    for (range, part) in parts {
        let shown = format!("bytes {}-{}/{size}", part.start, part.end - 1);
        let got = ask("GET", &[&format!("Range: {range}")]);
        assert_eq!((got.status, got.header("content-range")), (206, Some(shown.as_str())), "{range}");
        assert!(got.bytes == sent[part.clone()], "{range}");
        let got = ask("HEAD", &[&format!("Range: {range}")]);
        let length = part.len().to_string();
        assert_eq!((got.status, got.header("content-length"), got.bytes.len()), (206, Some(length.as_str()), 0), "{range}");
    }
    let got = ask("GET", &[&format!("Range: bytes={size}-")]);
    let behind = format!("bytes */{size}");
    assert_eq!((got.status, got.header("content-range")), (416, Some(behind.as_str())));
    assert!(got.text().starts_with(r#"[{"error_type":"validation""#), "{}", got.text());

    let whole = |got: &Got| {
        let name = format!("attachment; filename=\"{}\"", world.names["s"]);
        assert_eq!((got.status, got.header("content-type"), got.header("accept-ranges")), (200, Some(IMAGE), Some("bytes")));
        assert_eq!((got.header("content-disposition"), got.header("etag")), (Some(name.as_str()), Some(tag.as_str())));
        assert_eq!(got.header("content-length"), Some(size.to_string().as_str()));
        assert!(got.header("x-request-id").is_some());
    };
    whole(&ask("HEAD", &[]));
    for ignored in ["Range: bytes=0-1,5-6", "Range: lines=0-1", "Accept: application/octet-stream"] {
        let got = ask("GET", &[ignored]);
        whole(&got);
        assert!(got.bytes == sent, "{ignored}");
    }
    // A client that goes on must have the beginning of the same image.
    assert_eq!(ask("GET", &["Range: bytes=0-9", &format!("If-Range: {tag}")]).status, 206);
    whole(&ask("GET", &["Range: bytes=0-9", "If-Range: \"another\""]));
    let got = ask("GET", &[&format!("If-None-Match: \"another\", {tag}")]);
    assert_eq!((got.status, got.header("etag"), got.bytes.len()), (304, Some(tag.as_str()), 0));

    // A drive's content changes: nothing tells one from the next.
    let drive = |headers: &[&str]| send(&world.node, OWNER, &format!("GET /drives/{}/download/", world.names["d"]), headers, b"");
    let got = drive(&["Range: bytes=1-2"]);
    assert_eq!((got.status, got.bytes.as_slice(), got.header("etag")), (206, &b"aa"[..], None));
    assert_eq!(drive(&["Range: bytes=1-2", &format!("If-Range: {tag}")]).status, 200);
    world.finish();
}

#[test]
fn an_image_is_its_owners_and_whoever_may_clone_it() {
    let mut world = World::on(Node::with(&[OWNER, STRANGER]));
    let sent = image("ab", 0);
    world.upload("d", &sent);
    world.make_snapshot("d", "s");
    world.check(&[("POST /tags/", r#"{"name": "t", "resources": ["{d}", "{s}"]}"#, 201, r#"{"objects": [{"uuid": "{t}"}]}"#)]);
    let statuses = |world: &World| {
        let (drive, snapshot) = (&world.names["d"], &world.names["s"]);
        let content = format!("Content-Type: {IMAGE}");
        [
            send(&world.node, STRANGER, &format!("GET /drives/{drive}/download/"), &[], b"").status,
            send(&world.node, STRANGER, &format!("GET /snapshots/{snapshot}/download/"), &[], b"").status,
            send(&world.node, STRANGER, &format!("PUT /drives/{drive}/upload/"), &[&content], b"mine").status,
        ]
    };
    assert_eq!(statuses(&world), [404, 404, 404]);
    let grant = |rules: &str| {
        let rules: Vec<_> = rules.split(' ').map(|rule| serde_json::json!({"permission": rule})).collect();
        let body = serde_json::json!({"name": "a", "tags": ["{t}"], "grantees": [{"email": STRANGER.0}], "rules": rules});
        body.to_string()
    };
    world.check(&[("POST /acls/", &grant("LIST EDIT ATTACH"), 201, r#"{"objects": [{"uuid": "{acl}"}]}"#)]);
    assert_eq!(statuses(&world), [403, 403, 403]);
    world.check(&[("PUT /acls/{acl}/", &grant("LIST CLONE"), 200, "")]);
    assert_eq!(statuses(&world), [200, 200, 403]);
    assert!(world.download("drives", "d") == sent);
    let nobody =
        send(&world.node, ("owner@example.com", "guess"), &format!("GET /drives/{}/download/", world.names["d"]), &[], b"");
    assert_eq!((nobody.status, nobody.header("www-authenticate").is_some()), (401, true));
    world.finish();
}

#[test]
fn clients_that_take_nothing_keep_no_thread_and_stop_nobody() {
    const STALLED: usize = 100;
    let mut world = World::new();
    // More than all buffers on the way hold, and different everywhere.
    let sent: Vec<u8> = (0..16_u32 << 20 >> 2).flat_map(u32::to_le_bytes).collect();
    world.upload("d", &sent);
    let line = format!("GET /drives/{}/download/", world.names["d"]);
    let stalled: Vec<TcpStream> = (0..STALLED)
        .map(|_| {
            let stream = begin(&world.node, OWNER, &line, &[], 0, b"");
            // It is being answered.
            assert_eq!(stream.peek(&mut [0; 9]).expect("an answer"), 9);
            stream
        })
        .collect();
    assert!(world.download("drives", "d") == sent);
    world.check(&[("GET /drives/", "", 200, r#"{"meta": {"total_count": 1}}"#)]);
    assert!(world.node.threads() < STALLED, "{} threads", world.node.threads());
    // They vanish, all at once, and the node goes on.
    drop(stalled);
    assert!(world.download("drives", "d") == sent);
    assert_eq!(world.finish()["data_size"], sent.len());
}
