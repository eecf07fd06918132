//! Who may see and do what with somebody else's things?

use super::node::{Node, OWNER, STRANGER};
use super::world::{Row, World};

const ROOM: u64 = 1 << 20;
const FRIEND: super::node::Who = ("friend@example.com", "friendly");

/// The owner's drive and snapshot, and one of each of the stranger's.
fn two_households() -> World {
    let mut world = World::on(Node::with(&[OWNER, STRANGER, FRIEND]));
    world.make_drive("d", ROOM);
    world.make_snapshot("d", "s");
    world.who = STRANGER;
    world.make_drive("e", ROOM);
    world.make_snapshot("e", "t");
    world.who = OWNER;
    world
}

/// What nobody may do with a drive and snapshot that he may not know of.
const FORBIDDEN: [Row<'_>; 13] = [
    ("GET /drives/{d}/", "", 404, r#"[{"error_type": "notexist"}]"#),
    ("PUT /drives/{d}/", r#"{"name": "mine"}"#, 404, ""),
    ("DELETE /drives/{d}/", "", 404, ""),
    ("POST /drives/{d}/action/?do=clone", "{}", 404, ""),
    ("POST /drives/{d}/action/?do=resize", r#"{"size": 8388608}"#, 404, ""),
    ("POST /snapshots/", r#"{"drive": "{d}"}"#, 404, ""),
    ("POST /snapshots/", r#"[{"drive": "{e}"}, {"drive": "{d}"}]"#, 404, ""),
    ("GET /snapshots/{s}/", "", 404, r#"[{"error_type": "notexist"}]"#),
    ("PUT /snapshots/{s}/", r#"{"name": "mine"}"#, 404, ""),
    ("DELETE /snapshots/{s}/", "", 404, ""),
    ("POST /snapshots/{s}/action/?do=clone", "{}", 404, ""),
    ("DELETE /drives/", r#"{"objects": [{"uuid": "{e}"}, {"uuid": "{d}"}]}"#, 404, ""),
    ("DELETE /snapshots/", r#"{"objects": [{"uuid": "{t}"}, {"uuid": "{s}"}]}"#, 404, ""),
];

#[test]
fn what_is_somebody_elses_does_not_exist() {
    let mut world = two_households();
    world.check_as(STRANGER, &FORBIDDEN);
    // A refusal says the same as for what was never there.
    let nobody = "00000000-0000-4000-8000-00000000000a";
    for path in ["/drives/{d}/", "/snapshots/{s}/"] {
        let uuid = world.names[if path.contains("{d}") { "d" } else { "s" }].clone();
        let theirs = world.node.call(STRANGER, &format!("GET {}", path.replace("{d}", &uuid).replace("{s}", &uuid)), "");
        let nothing = world.node.call(STRANGER, &format!("GET {}", path.replace("{d}", nobody).replace("{s}", nobody)), "");
        assert_eq!(theirs.body.replace(&uuid, nobody), nothing.body);
    }
    for list in ["/drives/", "/drives/detail/"] {
        for filter in ["", "?uuid={d},{e}", "?name=d,e", "?name__contains=d,e"] {
            let rows = r#"{"meta": {"total_count": 1}, "objects": [{"uuid": "{e}"}]}"#;
            world.check_as(STRANGER, &[(&format!("GET {list}{filter}"), "", 200, rows)]);
        }
    }
    for list in ["/snapshots/", "/snapshots/detail/"] {
        for filter in ["", "?uuid={s},{t}", "?drive={d},{e}", "?name=s,t"] {
            let rows = r#"{"meta": {"total_count": 1}, "objects": [{"uuid": "{t}"}]}"#;
            world.check_as(STRANGER, &[(&format!("GET {list}{filter}"), "", 200, rows)]);
        }
        world.check_as(STRANGER, &[(&format!("GET {list}?drive={{d}}"), "", 200, r#"{"objects": []}"#)]);
    }
    // A wish may name anything.
    world.check_as(STRANGER, &[("POST /drives/{e}/action/?do=clone&avoid={d},{s}", "{}", 202, "")]);
    // Nothing of all that left a trace.
    world.check(&[
        (
            "GET /drives/detail/",
            "",
            200,
            r#"{"objects": [{"uuid": "{d}", "name": "d", "size": 1048576, "snapshots": [{"uuid": "{s}"}]}]}"#,
        ),
        ("GET /snapshots/", "", 200, r#"{"objects": [{"uuid": "{s}", "name": "s"}]}"#),
    ]);
    world.check_as(STRANGER, &[("GET /snapshots/", "", 200, r#"{"objects": [{"uuid": "{t}"}]}"#)]);
    world.finish();
}

#[test]
fn tags_are_their_owners_alone() {
    let mut world = two_households();
    world.check(&[("POST /tags/", r#"{"name": "mine", "resources": ["{d}"]}"#, 201, r#"{"objects": [{"uuid": "{tag}"}]}"#)]);
    world.check_as(
        STRANGER,
        &[
            ("GET /tags/", "", 200, r#"{"objects": []}"#),
            ("GET /tags/{tag}/", "", 404, ""),
            ("PUT /tags/{tag}/", r#"{"name": "x"}"#, 404, ""),
            ("DELETE /tags/{tag}/", "", 404, ""),
            ("GET /drives/?tag={tag}", "", 200, r#"{"objects": []}"#),
            // Somebody else's tag and drive cannot be used, and not even be known of.
            ("POST /tags/", r#"{"name": "x", "resources": ["{d}"]}"#, 404, r#"[{"error_type": "notexist"}]"#),
            ("PUT /drives/{e}/", r#"{"tags": ["{tag}"]}"#, 404, r#"[{"error_type": "notexist"}]"#),
        ],
    );
    world.check(&[("GET /drives/{d}/", "", 200, r#"{"tags": [{"uuid": "{tag}"}]}"#)]);
    world.finish();
}

/// What the friend may see or do once a permission is granted, and what not.
const PERMITTED: [(&str, &[Row<'_>]); 4] = [
    (
        "[]",
        &[
            ("GET /drives/{d}/", "", 404, ""),
            ("GET /snapshots/{s}/", "", 404, ""),
            ("GET /drives/", "", 200, r#"{"objects": []}"#),
        ],
    ),
    (
        r#"[{"permission": "LIST"}]"#,
        &[
            (
                "GET /drives/{d}/",
                "",
                200,
                r#"{"uuid": "{d}", "permissions": ["LIST"], "grantees": [], "tags": [], "owner": {"uuid": "{o}"}}"#,
            ),
            ("GET /drives/", "", 200, r#"{"objects": [{"uuid": "{d}", "owner": {"uuid": "{o}"}}]}"#),
            (
                "GET /snapshots/{s}/",
                "",
                200,
                r#"{"uuid": "{s}", "permissions": ["LIST"], "grantees": [], "tags": [], "owner": {"uuid": "{o}"}}"#,
            ),
            ("GET /snapshots/?drive={d}", "", 200, r#"{"objects": [{"uuid": "{s}"}]}"#),
            ("PUT /drives/{d}/", r#"{"name": "x"}"#, 403, r#"[{"error_type": "permission"}]"#),
            ("PUT /snapshots/{s}/", r#"{"name": "x"}"#, 403, r#"[{"error_type": "permission"}]"#),
            ("POST /drives/{d}/action/?do=clone", "", 403, ""),
            ("POST /snapshots/{s}/action/?do=clone", "", 403, ""),
            ("DELETE /drives/{d}/", "", 403, ""),
            ("DELETE /snapshots/{s}/", "", 403, ""),
        ],
    ),
    (
        r#"[{"permission": "LIST"}, {"permission": "EDIT"}]"#,
        &[
            ("GET /drives/{d}/", "", 200, r#"{"permissions": ["EDIT", "LIST"]}"#),
            (
                "PUT /drives/{d}/",
                r#"{"meta": {"k": "friend"}}"#,
                200,
                r#"{"meta": {"k": "friend"}, "tags": [], "permissions": ["EDIT", "LIST"]}"#,
            ),
            ("PUT /snapshots/{s}/", r#"{"meta": {"k": "friend"}}"#, 200, r#"{"meta": {"k": "friend"}, "tags": []}"#),
            // He does not see the owner's tags, and cannot take them away.
            ("PUT /drives/{d}/", r#"{"tags": [], "name": "d"}"#, 200, r#"{"tags": []}"#),
            ("PUT /snapshots/{s}/", r#"{"tags": []}"#, 200, r#"{"tags": []}"#),
            ("GET /drives/{d}/", "", 200, ""),
            ("GET /snapshots/{s}/", "", 200, ""),
            // A snapshot would be the owner's, and he was not asked.
            ("POST /snapshots/", r#"{"drive": "{d}"}"#, 403, ""),
            ("POST /drives/{d}/action/?do=clone", "", 403, ""),
            ("DELETE /drives/{d}/", "", 403, ""),
            ("DELETE /drives/", r#"{"objects": [{"uuid": "{d}"}]}"#, 403, ""),
        ],
    ),
    (
        r#"[{"permission": "LIST"}, {"permission": "CLONE"}]"#,
        &[
            ("GET /drives/{d}/", "", 200, r#"{"permissions": ["CLONE", "LIST"]}"#),
            ("PUT /drives/{d}/", r#"{"name": "x"}"#, 403, ""),
            // A clone is whoever's who made it.
            (
                "POST /drives/{d}/action/?do=clone",
                "",
                202,
                r#"{"objects": [{"uuid": "{c}", "owner": {"uuid": "{f}"}, "permissions": []}]}"#,
            ),
            ("POST /snapshots/{s}/action/?do=clone", "", 202, r#"{"owner": {"uuid": "{f}"}}"#),
            ("DELETE /drives/{c}/", "", 204, ""),
        ],
    ),
];

#[test]
fn permissions_are_granted_through_tags() {
    let mut world = two_households();
    world.check_as(FRIEND, &[("GET /profile/", "", 200, r#"{"uuid": "{f}", "email": "friend@example.com"}"#)]);
    world.check(&[
        ("GET /drives/{d}/", "", 200, r#"{"owner": {"uuid": "{o}"}, "grantees": []}"#),
        ("POST /tags/", r#"{"name": "shared"}"#, 201, r#"{"objects": [{"uuid": "{tag}"}]}"#),
        ("PUT /drives/{d}/", r#"{"tags": ["{tag}"]}"#, 200, r#"{"tags": [{"resource_uri": "/api/2.0/tags/{tag}/", "uuid": "{tag}", "$exact": []}]}"#),
        ("PUT /snapshots/{s}/", r#"{"tags": [{"uuid": "{tag}"}]}"#, 200, r#"{"tags": [{"uuid": "{tag}"}]}"#),
        ("POST /acls/", r#"{"name": "a", "grantees": [{"uuid": "{f}", "email": "friend@example.com"}], "rules": [], "tags": [{"uuid": "{tag}"}]}"#, 201,
            r#"{"objects": [{"uuid": "{acl}", "rules": [], "tags": [{"uuid": "{tag}"}], "grantees": [{"uuid": "{f}", "email": "friend@example.com"}], "owner": {"uuid": "{o}"}, "resource_uri": "/api/2.0/acls/{acl}/"}]}"#),
    ]);
    for (rules, rows) in PERMITTED {
        world.check(&[(
            "PUT /acls/{acl}/",
            &format!(r#"{{"rules": {rules}}}"#),
            200,
            &format!(r#"{{"uuid": "{{acl}}", "rules": {{"$set": {rules}}}}}"#),
        )]);
        world.check_as(FRIEND, rows);
        // The stranger was never meant.
        world.check_as(STRANGER, &FORBIDDEN);
        world.names.remove("c");
    }
    let grantee = r#"{"grantees": [{"permissions": ["CLONE", "LIST"], "user": {"uuid": "{f}", "resource_uri": "/api/2.0/user/{f}/", "email": "{*}"}}], "permissions": []}"#;
    world.check(&[
        ("GET /drives/{d}/", "", 200, grantee),
        ("GET /snapshots/{s}/", "", 200, grantee),
        // What has no such tag is not shared.
        ("PUT /snapshots/{s}/", r#"{"tags": []}"#, 200, r#"{"tags": [], "grantees": []}"#),
    ]);
    world.check_as(FRIEND, &[("GET /snapshots/{s}/", "", 404, ""), ("GET /drives/{d}/", "", 200, "")]);
    world.check(&[("DELETE /acls/{acl}/", "", 204, ""), ("GET /drives/{d}/", "", 200, r#"{"grantees": []}"#)]);
    world.check_as(FRIEND, &[("GET /drives/{d}/", "", 404, "")]);
    world.finish();
}
