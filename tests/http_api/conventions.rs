//! Does every endpoint keep the conventions that they have in common?

use super::node::{Answers, Node, OWNER, STRANGER, authorization};
use super::reply::exchange;
use super::world::World;

const ROOM: u64 = 1 << 20;

/// Paths that show something, some as clients ask for them.
const SHOWN: [&str; 8] = [
    "/drives/",
    "/drives/detail/",
    "/drives/schema/",
    "/drives/{d}/",
    "/snapshots/",
    "/snapshots/detail/",
    "/snapshots/schema/",
    "/snapshots/{s}/",
];

fn furnished() -> World {
    let mut world = World::with_drives(&["d"], ROOM);
    world.make_snapshot("d", "s");
    world
}

#[test]
fn paths_mean_the_same_without_their_last_slash() {
    let mut world = furnished();
    for path in SHOWN {
        let with = world.get(path);
        assert_eq!(world.get(path.trim_end_matches('/')), with, "{path}");
    }
    world.check(&[
        ("POST /drives", r#"{"name": "e", "size": 4096, "media": "disk"}"#, 201, r#"{"objects": [{"uuid": "{e}"}]}"#),
        ("PUT /drives/{e}", r#"{"name": "f"}"#, 200, r#"{"uuid": "{e}", "name": "f"}"#),
        ("POST /snapshots", r#"{"drive": "{e}"}"#, 201, r#"{"objects": [{"uuid": "{t}"}]}"#),
        ("POST /snapshots/{t}/action?do=clone", "", 202, r#"{"uuid": "{c}"}"#),
        ("PUT /snapshots/{t}", r#"{"name": "g"}"#, 200, r#"{"uuid": "{t}", "name": "g"}"#),
        ("DELETE /snapshots/{t}", "", 204, ""),
        ("POST /drives/{e}/action?do=clone", "", 202, r#"{"objects": [{"uuid": "{b}"}]}"#),
        ("DELETE /drives/{e}", "", 204, ""),
        ("DELETE /drives", r#"{"objects": [{"uuid": "{b}"}, {"uuid": "{c}"}]}"#, 204, ""),
    ]);
    world.finish();
}

#[test]
fn parameters_and_fields_that_mean_nothing_are_ignored() {
    let mut world = furnished();
    for path in SHOWN {
        let plain = world.get(path);
        let [wide, strange] = ["limit=0", "colour=blue&limit"].map(|query| format!("{path}?{query}"));
        if path.contains('{') || path.contains("schema") {
            assert_eq!(world.get(&wide), plain, "{path}: a limit for one object");
        }
        assert_eq!(world.get(&strange.replace("&limit", "")), plain, "{path}");
    }
    world.check(&[
        (
            "POST /drives/",
            r#"{"name": "e", "size": 4096, "media": "disk", "colour": {}}"#,
            201,
            r#"{"objects": [{"name": "e"}]}"#,
        ),
        ("POST /snapshots/", r#"{"drive": "{d}", "colour": null}"#, 201, ""),
        ("PUT /snapshots/{s}/?limit=0", r#"{"colour": [1]}"#, 200, r#"{"uuid": "{s}", "name": "s"}"#),
        ("POST /snapshots/{s}/action/?do=clone&colour=blue", r#"{"colour": 1}"#, 202, ""),
    ]);
    world.finish();
}

/// A call with exactly these header lines, and the status that answers it.
fn check_headers(node: &Node, line: &str, headers: &[&str], status: u16) -> super::reply::Reply {
    let reply = node.send(&[&[line], headers].concat().join("\r\n"), "");
    assert_eq!(reply.status, status, "{line} {headers:?}\n{}", reply.body);
    reply
}

#[test]
fn who_does_not_prove_who_he_is_gets_nothing() {
    let node = Node::with(&[OWNER, STRANGER]);
    let line = "GET /api/2.0/drives/ HTTP/1.1";
    // A password may hold colons: the first one parts it from the email.
    for who in [OWNER, STRANGER] {
        check_headers(&node, line, &[&authorization(who)], 200);
    }
    let wrong = authorization((OWNER.0, "wrong"));
    let nobody = authorization(("nobody@example.com", OWNER.1));
    let other_case = authorization(("OWNER@example.com", OWNER.1));
    let no_colon = "Authorization: Basic b3duZXI=";
    for headers in [
        &[][..],
        &[wrong.as_str()],
        &[nobody.as_str()],
        &[other_case.as_str()],
        &[no_colon],
        &["Authorization: Basic"],
        &["Authorization: Basic ????"],
        &["Authorization: Bearer c2VjcmV0"],
        &["Authorization: Digest username=\"owner@example.com\""],
    ] {
        let reply = check_headers(&node, line, headers, 401);
        assert!(reply.header("www-authenticate").is_some_and(|value| value.starts_with("Basic ")), "{headers:?}");
        assert_eq!(reply.json()[0]["error_type"], "permission");
    }
    // Whether something is there is nobody's business either.
    for path in ["/api/2.0/nothing/", "/api/2.0/drives/00000000-0000-4000-8000-000000000000/", "/"] {
        check_headers(&node, &format!("GET {path} HTTP/1.1"), &[], 401);
    }
    // The scheme's case does not matter.
    check_headers(&node, line, &[&authorization(OWNER).replace("Basic", "basic")], 200);
    node.finish();
}

#[test]
fn answers_are_json_for_whoever_accepts_it() {
    let node = Node::new();
    let who = authorization(OWNER);
    for (accept, status) in [
        ("application/json", 200),
        ("*/*", 200),
        ("application/*", 200),
        ("text/html, application/json;q=0.5", 200),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", 200),
        ("text/html", 406),
        ("application/xml", 406),
    ] {
        check_headers(&node, "GET /api/2.0/drives/ HTTP/1.1", &[&who, &format!("Accept: {accept}")], status);
    }
    check_headers(&node, "GET /api/2.0/drives/ HTTP/1.1", &[&who, "Accept-Encoding: gzip, deflate"], 200);
    check_headers(&node, "GET /api/2.0/drives/ HTTP/1.0", &[&who], 200);
    let head = check_headers(&node, "HEAD /api/2.0/drives/ HTTP/1.1", &[&who], 200);
    assert_eq!(head.body, "");
    node.finish();
}

#[test]
fn bodies_come_in_pieces_and_not_without_end() {
    let node = Node::new();
    let head = format!("POST /api/2.0/drives/ HTTP/1.1\r\nConnection: close\r\n{}\r\n", authorization(OWNER));
    let [one, other] =
        [r#"{"name": "a", "size": "#, r#"4096, "media": "disk"}"#].map(|part| format!("{:x}\r\n{part}\r\n", part.len()));
    let pieces = format!("{head}Host: {}\r\nTransfer-Encoding: chunked\r\n\r\n{one}{other}0\r\n\r\n", node.address);
    let reply = exchange(&node.address, pieces.as_bytes());
    assert_eq!((reply.status, reply.json()["objects"][0]["size"].as_u64()), (201, Some(4096)));
    let reply = node.call(OWNER, "POST /drives/", &format!(r#"{{"name": "{}"}}"#, "x".repeat(8 << 20)));
    assert_eq!((reply.status, &reply.json()[0]["error_type"]), (413, &"validation".into()));
    node.finish();
}

#[test]
fn urls_say_what_can_be_done_with_them_and_refuse_the_rest() {
    let mut world = furnished();
    let (list, one) = (["DELETE", "GET", "POST"], ["DELETE", "GET", "PUT"]);
    for (path, methods) in [
        ("/drives/", &list[..]),
        ("/drives/detail/", &["GET"]),
        ("/drives/schema/", &["GET"]),
        ("/drives/{d}/", &one),
        ("/drives/{d}/action/", &["POST"]),
        ("/snapshots/", &list),
        ("/snapshots/detail/", &["GET"]),
        ("/snapshots/schema/", &["GET"]),
        ("/snapshots/{s}/", &one),
        ("/snapshots/{s}/action/", &["POST"]),
    ] {
        let allowed = |reply: super::reply::Reply| {
            let mut words: Vec<String> =
                reply.header("allow").expect("Allow").split(',').map(|word| word.trim().to_owned()).collect();
            words.retain(|word| !["HEAD", "OPTIONS"].contains(&word.as_str()));
            words.sort();
            words
        };
        assert_eq!(allowed(world.call(&(&format!("OPTIONS {path}"), "", 200, ""))), methods, "{path}");
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "COPY"].iter().filter(|method| !methods.contains(method)) {
            let line = format!("{method} {path}");
            let reply = world.call(&(&line, r#"{"objects": [{"uuid": "{d}"}]}"#, 405, r#"[{"error_point": null}]"#));
            assert_eq!(allowed(reply), methods, "{line}");
        }
    }
    world.finish();
}

#[test]
fn urls_of_nothing_are_not_found() {
    let mut world = furnished();
    let missing = r#"[{"error_type": "notexist"}]"#;
    for path in [
        "//",
        "//api/",
        "//api/2.0/",
        "//api/2.1/drives/",
        "//favicon.ico",
        "/nothing/",
        "/drives/{d}/nothing/",
        "/snapshots/detail/{s}/",
        "/snapshots/{s}/action/more/",
        "/snapshots/../drives/{d}/",
        "/Drives/",
    ] {
        for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS"] {
            world.check(&[(&format!("{method} {path}"), "{}", 404, missing)]);
        }
    }
    for path in ["/drives//", "/snapshots/%00/", "/snapshots/..%2Fdrives/", "/drives/{d}x/"] {
        world.check(&[(&format!("GET {path}"), "", 404, missing)]);
    }
    let nobody = "00000000-0000-4000-8000-00000000000a";
    let message = format!(
        r#"[{{"error_type": "notexist", "error_message": "Object with uuid {nobody} does not exist", "error_point": null}}]"#
    );
    for collection in ["drives", "snapshots"] {
        for (method, rest) in [("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "action/?do=clone")] {
            world.check(&[(&format!("{method} /{collection}/{nobody}/{rest}"), "{}", 404, &message)]);
        }
    }
    // One kind's uuid is nothing among the other kind's.
    world.check(&[("GET /drives/{s}/", "", 404, missing), ("GET /snapshots/{d}/", "", 404, missing)]);
    world.finish();
}
