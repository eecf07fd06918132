//! What is left when a client, or the node, goes away in the middle?

use super::crossing::{BLOCK, IMAGE, begin, image, send};
use super::node::OWNER;
use super::world::World;

fn content() -> String {
    format!("Content-Type: {IMAGE}")
}

const GONE: &str = r#"{"meta": {"total_count": 0}}"#;
const UPLOADING: &str = r#"{"objects": [{"uuid": "{d}", "status": "uploading"}]}"#;

#[test]
fn an_upload_that_breaks_off_leaves_no_drive() {
    let mut world = World::new();
    for sent in [0, 1, 5000, 3 << 20] {
        let bytes = vec![7; sent];
        let stream = begin(&world.node, OWNER, "POST /drives/upload/", &[&content()], 4 << 20, &bytes);
        world.wait_until("GET /drives/detail/", UPLOADING);
        drop(stream);
        world.wait_until("GET /drives/", GONE);
        world.names.remove("d");
    }
    // Or it is deleted under the hands of whoever uploads it.
    let mut stream = begin(&world.node, OWNER, "POST /drives/upload/", &[&content()], 2 << 20, &[7; 1 << 20]);
    world.wait_until("GET /drives/detail/", UPLOADING);
    world.check(&[("DELETE /drives/{d}/", "", 204, "")]);
    std::io::Write::write_all(&mut stream, &[7; 1 << 20]).expect("sent");
    let mut answer = [0; 12];
    std::io::Read::read_exact(&mut stream, &mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 404");
    assert_eq!(world.finish()["data_size"], 0);
}

#[test]
fn a_crash_leaves_nothing_of_an_upload_and_all_of_a_finished_part() {
    let mut world = World::new();
    let whole = image("abcdefgh", 0);
    world.upload("whole", &whole);
    let line = format!("POST /drives/upload/?complete=no&size={}", 4 * BLOCK);
    let parts = send(&world.node, OWNER, &line, &[&content()], &image("ab", 0));
    world.names.insert("parts".into(), parts.text().to_owned());
    let _stream = begin(&world.node, OWNER, "POST /drives/upload/", &[&content()], 64 << 20, &[7; 4 << 20]);
    world.wait_until("GET /drives/detail/", r#"{"meta": {"total_count": 3}}"#);
    world.node.crash();
    world.check(&[
        (
            "GET /drives/",
            "",
            200,
            r#"{"objects": [{"uuid": "{whole}", "status": "unmounted"}, {"uuid": "{parts}", "status": "uploading"}]}"#,
        ),
        ("POST /snapshots/", r#"{"drive": "{parts}"}"#, 403, ""),
    ]);
    assert!(world.download("drives", "whole") == whole);
    let line = format!("PUT /drives/{}/upload/?complete=yes", world.names["parts"]);
    let range = format!("Content-Range: bytes {}-{}/{}", 2 * BLOCK, 4 * BLOCK - 1, 4 * BLOCK);
    assert_eq!(send(&world.node, OWNER, &line, &[&content(), &range], &image("cd", 0)).status, 200);
    assert!(world.download("drives", "parts") == image("abcd", 0));
    assert_eq!(world.finish()["data_size"], 12 * BLOCK);
}

#[test]
fn parts_are_sent_again_until_the_image_is_whole() {
    let mut world = World::new();
    let sent = image(&format!("ab{}c", ".".repeat(700)), 3000);
    let size = sent.len().next_multiple_of(512);
    let made = send(&world.node, OWNER, &format!("POST /drives/upload/?complete=no&size={size}"), &[&content()], b"");
    assert_eq!(made.status, 201, "{}", made.text());
    let uuid = made.text().to_owned();
    world.names.insert("d".into(), uuid.clone());
    let put = |world: &World, query: &str, first: usize, end: usize| {
        let range = format!("Content-Range: bytes {first}-{}/{}", end - 1, sent.len());
        send(&world.node, OWNER, &format!("PUT /drives/{uuid}/upload/{query}"), &[&content(), &range], &sent[first..end]).status
    };
    // One in the middle, beginning and ending within blocks; then the first, which breaks off.
    assert_eq!(put(&world, "", 3_000, 1_000_001), 200);
    let range = format!("Content-Range: bytes 0-2999/{}", sent.len());
    drop(begin(&world.node, OWNER, &format!("PUT /drives/{uuid}/upload/"), &[&content(), &range], 3000, &sent[..1000]));
    world.check(&[("GET /drives/{d}/", "", 200, r#"{"status": "uploading"}"#)]);
    assert_eq!(put(&world, "", 0, 3_000), 200);
    assert_eq!(put(&world, "?complete=yes", 1_000_001, sent.len()), 200);
    world.check(&[("GET /drives/{d}/", "", 200, &format!(r#"{{"status": "unmounted", "size": {size}}}"#))]);
    assert!(world.download("drives", "d")[..sent.len()] == sent);

    // Patches: zeroes over data give its space back, and a snapshot keeps what was there.
    world.make_snapshot("d", "s");
    let patch = |world: &World, range: &str, bytes: &[u8]| {
        let range = format!("Content-Range: {range}");
        send(&world.node, OWNER, &format!("PUT /drives/{uuid}/upload/"), &[&content(), &range], bytes).status
    };
    assert_eq!(patch(&world, "bytes 0-8191/*", &[0; 8192]), 200);
    assert!(world.download("drives", "d")[..8192].iter().all(|byte| *byte == 0));
    assert!(world.download("snapshots", "s")[..sent.len()] == sent);
    for (range, bytes, status) in [
        ("bytes 0-9/*", 9, 400),
        ("bytes 9-0/*", 10, 400),
        ("0-9/10", 10, 400),
        (&format!("bytes {size}-{size}/*"), 1, 416),
        (&format!("bytes {}-{size}/*", size - 1), 2, 416),
        ("bytes 18446744073709551614-18446744073709551614/*", 1, 416),
    ] {
        assert_eq!(patch(&world, range, &vec![1; bytes]), status, "{range}");
    }
    world.check(&[("DELETE /snapshots/{s}/", "", 204, "")]);
    assert_eq!(patch(&world, &format!("bytes {}-{}/*", 702 * BLOCK, 703 * BLOCK - 1), &[0; BLOCK]), 200);
    // The tail is left, which is less than a block.
    assert_eq!(world.finish()["data_size"], BLOCK);
}
