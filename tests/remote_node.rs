//! Does a node make backups by itself, and does another one bring them back when the first one is gone?

#[path = "nbd_protocol/client.rs"]
mod client;
#[path = "crash/dice.rs"]
#[allow(dead_code)] // What is shared is used here in part.
mod dice;
#[path = "serving/process.rs"]
mod process;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dice::Dice;
use process::{Serving, floe};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const EMAIL: &str = "a@example.com";
const PASSWORD: &str = "a long password";
const SIZE: usize = 12 << 20;
/// Nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// A node, and how it is spoken to.
struct Node {
    serving: Serving,
    api: String,
    nbd: String,
}

impl Node {
    fn start(data: &Path, config: &Path) -> Self {
        let mut command = floe();
        // Nobody reads the log.
        command.env("FLOE_LOG", "off").env("FLOE_ADMIN_EMAIL", EMAIL).env("FLOE_ADMIN_PASSWORD", PASSWORD);
        command.arg("serve").arg("--data").arg(data).arg("--config").arg(config).args(["--remote-interval", "0"]);
        let mut serving = Serving::start(&mut command);
        let nbd = serving.addresses();
        let line = serving.line();
        let api = line.strip_prefix("HTTP at ").unwrap_or_else(|| panic!("an address: {line}")).trim_end_matches('/').to_owned();
        Self { serving, api, nbd }
    }

    fn send(&self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let authorization = format!("Basic {}", STANDARD.encode(format!("{EMAIL}:{PASSWORD}")));
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.api))
            .header("Authorization", authorization)
            .header("Content-Type", if path.ends_with("/upload/") { "application/octet-stream" } else { "application/json" })
            .body(body)
            .expect("a request");
        let mut answer = ureq::run(request).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        answer.body_mut().with_config().limit(64 << 20).read_to_vec().expect("a body")
    }

    fn json(&self, method: &str, path: &str, body: &[u8]) -> Value {
        serde_json::from_slice(&self.send(method, path, body)).expect("JSON")
    }

    /// Asks until the answer is as it shall be.
    fn wait<T>(&self, path: &str, wanted: impl Fn(&Value) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            let answer = self.json("GET", path, b"");
            if let Some(found) = wanted(&answer) {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "{path} stays {answer:#}");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

fn available(list: &Value) -> Option<Value> {
    list["objects"].as_array()?.iter().find(|one| one["status"] == "available").cloned()
}

#[test]
fn node_that_is_lost_comes_back_from_what_its_schedule_put_away() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    let location = format!("[location.PAR]\nurl = \"file://{}\"\n", at("bucket").display());
    fs::write(at("with.toml"), format!("{location}[backup.often]\nevery = \"1s\"\nkeep_last = 2\n")).expect("a file");
    fs::write(at("without.toml"), location).expect("a file");
    let mut dice = Dice::new(5);
    let mut image: Vec<u8> = (0..SIZE / 8).flat_map(|_| dice.next().to_le_bytes()).collect();
    image[3 << 20..6 << 20].fill(0);

    let first = Node::start(&at("first"), &at("with.toml"));
    let drive = String::from_utf8(first.send("POST", "/drives/upload/", &image)).expect("a uuid");
    let remote = first.wait("/remotesnapshots/?limit=0", available);
    assert_eq!((&remote["location"], &remote["allocated_size"]), (&Value::from("PAR"), &Value::from(0)));
    assert_eq!(remote["drive"]["uuid"].as_str(), Some(drive.trim().trim_matches('"')));
    let kept = |list: &Value| list["meta"]["total_count"].as_u64().filter(|count| *count > 1);
    first.wait("/remotesnapshots/?limit=0", kept);
    first.serving.signal("-KILL");
    assert_eq!(first.serving.code(), None, "it was killed");
    fs::remove_dir_all(at("first")).expect("all of it is gone");

    let second = Node::start(&at("second"), &at("without.toml"));
    let remote = second.wait("/remotesnapshots/?limit=0", available);
    assert_eq!(remote["owner"]["uuid"], second.json("GET", "/profile/", b"")["uuid"], "who has the address has what is theirs");
    let uuid = remote["uuid"].as_str().expect("a uuid");
    let clone = second.json("POST", &format!("/remotesnapshots/{uuid}/action/?do=clone"), b"{\"name\": \"back\"}");
    assert_eq!((&clone["status"], &clone["name"]), (&Value::from("cloning_dst"), &Value::from("back")));
    let clone = clone["uuid"].as_str().expect("a uuid").to_owned();
    if Command::new("nbdcopy").arg("--version").stdout(Stdio::null()).status().is_ok() {
        // It can be read before it has got all.
        let socket = second.nbd.strip_prefix("unix:").expect("a socket");
        let copied = Command::new("nbdcopy").arg(format!("nbd+unix:///{clone}?socket={socket}")).arg(at("copy")).output();
        let copied = copied.expect("it starts");
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        assert!(fs::read(at("copy")).expect("a file") == image, "another image over NBD");
    } else {
        assert!(std::env::var_os("CI").is_none(), "nbdcopy is missing");
        eprintln!("SKIPPED: a part of it needs nbdcopy");
    }
    let is_full = |drive: &Value| (drive["status"] == "unmounted").then_some(());
    second.wait(&format!("/drives/{clone}/"), is_full);
    assert!(second.send("GET", &format!("/drives/{clone}/download/"), b"") == image, "another image over HTTP");
    let snapshot = second.json("POST", "/snapshots/", format!("{{\"drive\": \"{clone}\"}}").as_bytes());
    assert_eq!(snapshot["objects"][0]["status"], "creating", "it is a drive like any other");
    second.serving.stop();
}
