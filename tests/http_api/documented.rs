//! Do the lines of docs/http.md work as they stand, and is every call of the API among them?

use super::node::{Node, OWNER};
use serde_json::Value;
use std::fs;
use std::process::Command;

/// The lines of the page that are meant to be run, in order.
fn lines() -> String {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/http.md")).expect("the page");
    page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().expect("an end")).collect()
}

#[test]
fn every_line_of_the_page_works_on_a_fresh_node() {
    for tool in ["curl", "jq"] {
        if Command::new(tool).arg("--version").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "{tool} is missing");
            eprintln!("SKIPPED: {tool} is missing");
            return;
        }
    }
    let node = Node::with_first(OWNER);
    let dir = tempfile::tempdir().expect("a directory");
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-xc", &lines()]).current_dir(dir.path());
    bash.env("API", format!("http://{}/api/2.0", node.address)).env("LOGIN", format!("{}:{}", OWNER.0, OWNER.1));
    let output = bash.output().expect("bash");
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{told}");
    assert_eq!(node.finish()["notes"].as_u64().map(|notes| notes > 0), Some(true), "accounts and jobs are kept");
}

#[test]
fn every_call_of_the_api_is_on_the_page() {
    let node = Node::new();
    let document: Value = node.call(OWNER, "GET /openapi.json", "").json();
    let page = lines();
    let mut calls = Vec::new();
    for line in page.lines().filter(|line| line.contains("curl ")) {
        calls.extend(line.match_indices("$API").map(|(at, _)| {
            let path = &line[at + 4..];
            let path = path.split(['"', ' ', '?', ')']).next().unwrap_or_default().trim_matches('/');
            let before = &line[..at];
            let verb = match before.rfind("-X ") {
                Some(at) if !before[at..].contains('(') => before[at + 3..].split(' ').next().unwrap_or_default(),
                _ if line[at..].contains(" -d ") || line[at..].contains(" --data") => "POST",
                _ => "GET",
            };
            // What stands for a uuid, or for one of several words, is in capitals or small letters after a dollar.
            let parts = path.split('/').map(|part| if part.starts_with('$') { "*" } else { part });
            format!("{verb} {}", parts.collect::<Vec<_>>().join("/"))
        }));
    }
    let paths = document["paths"].as_object().expect("paths");
    assert!(paths.len() > 20);
    let mut missing = Vec::new();
    for (path, methods) in paths {
        let path = path.trim_matches('/').replace("{uuid}", "*").replace("{file}", "disk.raw");
        for verb in methods.as_object().expect("methods").keys().filter(|key| *key != "parameters") {
            let call = format!("{} {path}", verb.to_uppercase());
            // A loop over several pages names them once.
            let in_loop = path.strip_suffix("/schema").is_some_and(|word| page.contains(&format!(" {word}")));
            if !calls.contains(&call) && !in_loop {
                missing.push(call);
            }
        }
    }
    assert!(missing.is_empty(), "not on the page: {missing:?}; on it: {calls:?}");
    node.finish();
}
