//! Do programs that others wrote for this API work with a node?
//!
//! What they do is in `tests/clients/`, one file for each; its `requirements.txt` says what has to be installed.

use std::path::Path;
use std::process::Command;

use super::node::{Node, OWNER};
use super::process::output_of;

/// Where the packages are: a virtual environment in the target directory, or wherever the first `python3` looks.
const ENVIRONMENT: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/clients/bin/python");
const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

/// A Python that has a package. Where tests must be complete, it has to be there.
pub fn python_with(package: &str) -> Option<Command> {
    let python = if Path::new(ENVIRONMENT).exists() { ENVIRONMENT } else { "python3" };
    let found =
        Command::new(python).args(["-c", &format!("import {package}")]).output().is_ok_and(|output| output.status.success());
    if !found {
        assert!(std::env::var_os("CI").is_none(), "{python} has no {package}");
        eprintln!("SKIPPED: {python} has no {package}: install tests/clients/requirements.txt");
    }
    found.then(|| Command::new(python))
}

/// Lets a client's tests run against a new node.
fn check_client(package: &str, script: &str) {
    let Some(mut python) = python_with(package) else { return };
    let node = Node::new();
    python.args(["-W", "ignore", &format!("{HERE}/{script}.py"), "--verbose"]);
    python.env("FLOE_URL", format!("http://{}/api/2.0/", node.address)).env("FLOE_EMAIL", OWNER.0).env("FLOE_PASSWORD", OWNER.1);
    // The user's own settings are none of the test's business.
    python.env("CLOUDSIGMA_CONFIG", "/nowhere").env("PYTHONDONTWRITEBYTECODE", "1").env("NO_PROXY", "*");
    let output = output_of(&mut python);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("Ran "), "{script}:\n{said}");
    node.finish();
}

#[test]
fn cloudsigmas_own_client_works() {
    check_client("cloudsigma", "cloudsigma_client");
}

#[test]
fn apache_libcloud_works() {
    check_client("libcloud", "libcloud_client");
}
