//! Is what the OpenAPI document says of the API true?
//!
//! Schemathesis reads the document, makes thousands of calls that it allows and forbids, and judges each answer by it: no failure of the
//! server, statuses, content types and bodies as they are described, nothing taken that the document forbids and nothing refused that
//! it allows.

use std::{env, fs};

use super::clients::python_with;
use super::node::OWNER;
use super::world::World;

/// Unless `FLOE_SEED` says another one.
const SEED: &str = "1";
/// Calls of each operation, beside those that try every bound and form of its parameters once.
const EXAMPLES: &str = "10";

/// Whoever fails to log in too often has to wait, which this check takes for a failure; `conventions.rs` tries passwords.
const WITHOUT: &str = "ignored_auth";

/// Images go out and in there: of drives as large as can be, which Schemathesis would keep in memory. `tests/http_content.rs` is about them.
const IMAGES: &str = "(down|up)load";

/// Which object a path is about. Everything is there twice: one to be kept, one to be deleted.
const OBJECTS: [(&str, &str); 12] = [
    ("/drives/{uuid}/", "drive"),
    ("/drives/{uuid}/action/", "drive"),
    ("/drives/availability_groups/{uuid}/", "drive"),
    ("/snapshots/{uuid}/", "snapshot"),
    ("/snapshots/{uuid}/action/", "snapshot"),
    ("/remotesnapshots/{uuid}/", "remote"),
    ("/remotesnapshots/{uuid}/action/", "remote"),
    ("/tags/{uuid}/", "tag"),
    ("/tags/{uuid}/drives/", "tag"),
    ("/tags/{uuid}/snapshots/", "tag"),
    ("/acls/{uuid}/", "acl"),
    ("/jobs/{uuid}/", "job"),
];

/// Calls that can be refused for what no document can say: a drive does not become smaller, a grantee has an account.
const REFUSED: [(&str, &str); 3] = [("/drives/{uuid}/", "PUT"), ("/drives/{uuid}/action/", "POST"), ("/acls/{uuid}/", "PUT")];
const ALSO_400: &str = r#"checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "403", "404"]"#;

fn settings(world: &World, which: &str) -> String {
    // A call may have parameters that mean nothing, and the account is who it is.
    let mut settings = "[generation]\nallow-extra-parameters = false\nwith-security-parameters = false\n".to_owned();
    for (path, kind) in OBJECTS {
        let uuid = &world.names[&format!("{which} {kind}")];
        settings += &format!("[[operations]]\ninclude-path = \"{path}\"\nparameters = {{ \"path.uuid\" = \"{uuid}\" }}\n");
        for (_, method) in REFUSED.iter().filter(|(refused, _)| *refused == path) {
            settings += &format!("[[operations]]\ninclude-path = \"{path}\"\ninclude-method = \"{method}\"\n{ALSO_400}\n");
        }
    }
    settings + &format!("[[operations]]\ninclude-path = \"/acls/\"\n{ALSO_400}\n")
}

/// Makes a drive, and one of everything that goes with it.
fn make(world: &mut World, which: &str) {
    world.make_drive(&format!("{which} drive"), 1 << 20);
    world.make_snapshot(&format!("{which} drive"), &format!("{which} snapshot"));
    for (line, body, answer) in [
        ("POST /remotesnapshots/", r#"{"drive": "{W drive}"}"#, r#"{"objects": [{"uuid": "{W remote}"}]}"#),
        ("POST /tags/", r#"{"name": "t", "resources": ["{W drive}"]}"#, r#"{"objects": [{"uuid": "{W tag}"}]}"#),
        ("POST /acls/", r#"{"name": "a", "tags": ["{W tag}"]}"#, r#"{"objects": [{"uuid": "{W acl}"}]}"#),
        ("POST /drives/{W drive}/action/?do=clone", "", r#"{"objects": [{"jobs": [{"uuid": "{W job}"}]}]}"#),
    ] {
        let status = if line.ends_with("clone") { 202 } else { 201 };
        let [line, body, answer] = [line, body, answer].map(|text| text.replace("{W ", &format!("{{{which} ")));
        world.check(&[(&line, &body, status, &answer)]);
    }
    world.wait_until(&format!("GET /remotesnapshots/{{{which} remote}}/"), r#"{"status": "available"}"#);
}

/// Lets Schemathesis judge the operations that these arguments choose; how many it looked at.
fn judge(world: &mut World, which: &str, chosen: &[&str]) -> Option<usize> {
    let mut python = python_with("schemathesis")?;
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("openapi.json"), world.get("/openapi.json").to_string()).expect("a file");
    fs::write(dir.path().join("settings.toml"), settings(world, which)).expect("a file");
    let url = format!("http://{}/api/2.0", world.node.address);
    let seed = env::var("FLOE_SEED").unwrap_or_else(|_| SEED.to_owned());
    python.current_dir(dir.path()).env("NO_PROXY", "*").env("PYTHONDONTWRITEBYTECODE", "1");
    python.args(["-W", "ignore", "-m", "schemathesis.cli", "--config-file", "settings.toml", "run", "openapi.json"]);
    python.args(["--url", &url, "--auth", &format!("{}:{}", OWNER.0, OWNER.1), "--exclude-checks", WITHOUT]);
    python.args(["--exclude-path-regex", IMAGES]);
    python.args(["--seed", &seed, "--max-examples", EXAMPLES, "--phases", "examples,coverage,fuzzing"]);
    python.args(["--generation-database", "none", "--warnings", "off", "--no-color"]).args(chosen);
    let output = python.output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "FLOE_SEED={seed}: {said}\n{}", String::from_utf8_lossy(&output.stderr));
    let tested = said.lines().find_map(|line| line.trim().strip_prefix("Tested:")?.trim().parse().ok());
    Some(tested.unwrap_or_else(|| panic!("it says how many it tested: {said}")))
}

#[test]
fn every_answer_is_one_that_the_openapi_document_describes() {
    let mut world = World::new();
    make(&mut world, "kept");
    make(&mut world, "gone");
    let Some(tested) = judge(&mut world, "kept", &["--exclude-method", "DELETE"]) else { return };
    for path in [
        "/drives/{kept drive}/",
        "/snapshots/{kept snapshot}/",
        "/remotesnapshots/{kept remote}/",
        "/tags/{kept tag}/",
        "/acls/{kept acl}/",
    ] {
        world.get(path);
    }
    let tested = tested + judge(&mut world, "gone", &["--include-method", "DELETE"]).unwrap_or_default();
    for path in [
        "/drives/{gone drive}/",
        "/snapshots/{gone snapshot}/",
        "/remotesnapshots/{gone remote}/",
        "/tags/{gone tag}/",
        "/acls/{gone acl}/",
    ] {
        world.check(&[(&format!("GET {path}"), "", 404, "")]);
    }
    let document = world.get("/openapi.json");
    let paths = document["paths"].as_object().expect("paths").iter();
    let paths = paths.filter(|(path, _)| !path.contains("load/")).map(|(_, path)| path);
    let methods =
        |path: &serde_json::Value| ["get", "put", "post", "delete"].iter().filter(|method| path.get(method).is_some()).count();
    assert_eq!(tested, paths.map(methods).sum::<usize>(), "operations");
    world.finish();
}
