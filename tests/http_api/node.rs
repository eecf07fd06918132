//! How does a test get a node with accounts, and call it?
#![allow(dead_code)] // Each test binary uses its own part of this.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use tempfile::TempDir;

use super::client::{Client, Mode};
use super::process::{Guarded, floe, info, output_of, store_of};
use super::reply::{Reply, exchange};

/// Who calls: email and password.
pub type Who = (&'static str, &'static str);

/// The owner of everything, unless a test says otherwise.
pub const OWNER: Who = ("owner@example.com", "secret");
/// Somebody whom nothing was shared with.
pub const STRANGER: Who = ("stranger@example.com", "another:secret");

const CAPACITY: &str = "64G";
const LOG_LINES_SHOWN: usize = 200;

/// Something that answers calls.
pub trait Answers {
    /// Where.
    fn address(&self) -> &str;

    /// Ends it, which must go well; what the store says of itself.
    fn finish(self) -> Value;

    /// Sends bytes as they are, but for what frames them.
    fn send(&self, head: &str, body: &str) -> Reply {
        exchange(self.address(), framed(self.address(), head, body).as_bytes())
    }

    /// Makes a call as clients do; `line` is the method and a path below the API's, or any that begins with two slashes.
    fn call(&self, who: Who, line: &str, body: &str) -> Reply {
        exchange(self.address(), request(self.address(), who, line, body).as_bytes())
    }
}

impl Answers for Node {
    fn address(&self) -> &str {
        &self.address
    }

    fn finish(mut self) -> Value {
        self.stop()
    }
}

/// A running `floe serve`. It is killed if the test fails.
pub struct Node {
    process: Guarded,
    pub address: String,
    dir: TempDir,
}

impl Node {
    /// With the owner's account alone.
    pub fn new() -> Self {
        Self::with(&[OWNER])
    }

    /// With these accounts.
    pub fn with(accounts: &[Who]) -> Self {
        Self::with_capacity(accounts, CAPACITY)
    }

    /// With these accounts, and so much room.
    pub fn with_capacity(accounts: &[Who], capacity: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let data = dir.path().join("data");
        fs::create_dir(&data).expect("a directory");
        ok(floe().arg("--store").arg(store_of(&data)).args(["store", "create", "--capacity", capacity]));
        for (email, password) in accounts {
            ok(floe().args(["user", "add", email, "--data"]).arg(&data).env("FLOE_PASSWORD", password));
        }
        Self::start(dir)
    }

    /// On a new directory, with the account that the environment names.
    pub fn with_first(account: Who) -> Self {
        Self::with_environment(&[("FLOE_ADMIN_EMAIL", account.0), ("FLOE_ADMIN_PASSWORD", account.1)])
    }

    /// On a new directory, and told by the environment how it is to be.
    pub fn with_environment(environment: &[(&str, &str)]) -> Self {
        Self::start_with(tempfile::tempdir().expect("a directory"), environment)
    }

    fn start(dir: TempDir) -> Self {
        Self::start_with(dir, &[])
    }

    fn start_with(dir: TempDir, environment: &[(&str, &str)]) -> Self {
        let (process, address) = launch(dir.path(), environment);
        Self { process, address, dir }
    }

    /// As if the power had failed, and come back.
    pub fn crash(&mut self) {
        self.restart_after(|| ());
    }

    /// The same, and something is done in between.
    pub fn restart_after(&mut self, work: impl FnOnce()) {
        self.kill();
        work();
        self.restart();
    }

    /// Threads that it has.
    pub fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.process.0.id())).expect("a process").count()
    }

    /// Ends the process as a crash does.
    pub fn kill(&mut self) {
        self.process.0.kill().expect("it runs");
        self.process.0.wait().expect("a child");
    }

    /// Begins again with what the last process left.
    pub fn restart(&mut self) {
        (self.process, self.address) = launch(self.dir.path(), &[]);
    }

    /// What all processes wrote into their logs.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// As for everything that answers.
    pub fn call(&self, who: Who, line: &str, body: &str) -> Reply {
        Answers::call(self, who, line, body)
    }

    /// A client on a drive, by NBD.
    pub fn nbd(&self, export: &str) -> Client<std::os::unix::net::UnixStream> {
        Client::unix(&self.data().join("nbd.sock")).begin(Mode::Structured, export)
    }

    /// What NBD clients can choose from.
    pub fn nbd_exports(&self) -> Vec<String> {
        Client::unix(&self.data().join("nbd.sock")).greet(3).list()
    }

    /// Ends the node, which must go well, and looks whether it left everything in order; what the store says of itself.
    pub fn finish(self) -> Value {
        Answers::finish(self)
    }

    /// The same for a node that can be started again.
    pub fn stop(&mut self) -> Value {
        ok(std::process::Command::new("kill").args(["-TERM", &self.process.0.id().to_string()]));
        assert_eq!(self.process.0.wait().expect("a child").code(), Some(0));
        checked(&self.data())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.log();
            let last: Vec<&str> = log.lines().rev().take(LOG_LINES_SHOWN).collect();
            eprintln!("--- the end of the node's log, newest first ---\n{}", last.join("\n"));
        }
    }
}

/// What the store of a directory says of itself, once all of it was found in order.
pub fn checked(data: &Path) -> Value {
    let store = store_of(data);
    ok(floe().arg("--store").arg(&store).args(["store", "check"]));
    info(&store)
}

/// The bytes of a call as clients make it; `line` as [`Node::call`] has it.
pub fn request(address: &str, who: Who, line: &str, body: &str) -> String {
    let (method, path) = line.split_once(' ').expect("a method and a path");
    let path =
        path.strip_prefix('/').filter(|path| path.starts_with('/')).map_or_else(|| format!("/api/2.0{path}"), str::to_owned);
    let head = format!("{method} {path} HTTP/1.1\r\nContent-Type: application/json\r\n{}", authorization(who));
    framed(address, &head, body)
}

fn framed(address: &str, head: &str, body: &str) -> String {
    format!("{head}\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Runs `floe serve` on the data in a directory; the process, and its address.
fn launch(dir: &Path, environment: &[(&str, &str)]) -> (Guarded, String) {
    let log = dir.join("log");
    let into = File::options().create(true).append(true).open(&log).expect("a file");
    let mut command = floe();
    command.args(["--json", "serve", "--http", "127.0.0.1:0", "--data"]).arg(dir.join("data"));
    command.envs(environment.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::from(into));
    let mut process = Guarded(command.spawn().expect("it starts"));
    let mut line = String::new();
    let mut said = BufReader::new(process.0.stdout.take().expect("a pipe"));
    said.read_line(&mut line).expect("text");
    let log = fs::read_to_string(log).expect("a log");
    let said: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}: {log}"));
    let url = said["http"][0].as_str().unwrap_or_else(|| panic!("an address: {said}"));
    let address = url.split_once("://").and_then(|(_, rest)| rest.split('/').next()).expect("a URL").to_owned();
    (process, address)
}

pub fn authorization((email, password): Who) -> String {
    format!("Authorization: Basic {}", STANDARD.encode(format!("{email}:{password}")))
}

#[track_caller]
fn ok(command: &mut std::process::Command) {
    let output = output_of(command);
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
