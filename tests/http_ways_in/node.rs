//! How do the tests start a node, and talk HTTP to it byte by byte?

use super::client::PATIENCE;
use super::process::{Serving, floe};
use base64::Engine;
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const EMAIL: &str = "admin@localhost";
pub const PASSWORD: &str = "a password: with a colon";

/// A node of its own, in a directory of its own.
pub struct Node {
    pub serving: Serving,
    /// What it said when it began.
    pub said: Value,
    /// Where the API is.
    pub address: String,
    pub dir: TempDir,
}

impl Node {
    pub fn start(args: &[&str]) -> Self {
        Self::start_as(|command| {
            command.args(args);
        })
    }

    /// As `prepare` makes the command.
    pub fn start_as(prepare: impl FnOnce(&mut Command)) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut command = serve();
        command.arg("--data").arg(dir.path().join("node"));
        prepare(&mut command);
        Self::from(&mut command, dir)
    }

    pub fn from(command: &mut Command, dir: TempDir) -> Self {
        let mut serving = Serving::start(command);
        let line = serving.line();
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let address = said["http"][0].as_str().map(host).unwrap_or_default();
        Self { serving, said, address, dir }
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("node")
    }

    /// Where figures and probes are, if that is somewhere else.
    pub fn probing(&self) -> String {
        host(self.said["metrics"].as_str().expect("an address of its own"))
    }

    pub fn client(&self) -> Http<TcpStream> {
        Http::to(&self.address)
    }

    /// A path's answer to the first account.
    pub fn get(&self, path: &str) -> Reply {
        self.client().call("GET", path, &[login(EMAIL, PASSWORD).as_str()], b"")
    }

    pub fn figures(&self) -> super::figures::Figures {
        super::figures::Figures::of(&self.client().call("GET", "/metrics", &[], b""))
    }

    /// It still serves.
    pub fn check_alive(&self) {
        assert_eq!(self.get("/api/2.0/drives/").status, 200);
    }
}

/// `floe serve`, as far as all tests agree.
pub fn serve() -> Command {
    let mut command = floe();
    command.args(["--json", "serve", "--capacity", "256M"]).env("FLOE_ADMIN_PASSWORD", PASSWORD);
    command
}

/// Host and port of a URL.
fn host(url: &str) -> String {
    let rest = url.split_once("://").expect("a scheme").1;
    rest.split('/').next().expect("a host").to_owned()
}

/// The header of whoever knows a password.
pub fn login(email: &str, password: &str) -> String {
    format!("authorization: Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{email}:{password}")))
}

/// A connection.
pub struct Http<S> {
    pub stream: S,
    received: Vec<u8>,
    /// Was the last request one that is answered with a head alone?
    head_only: bool,
}

impl Http<TcpStream> {
    pub fn to(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        Self::over(stream)
    }
}

impl<S: Read + Write> Http<S> {
    pub fn over(stream: S) -> Self {
        Self { stream, received: Vec::new(), head_only: false }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the server takes it");
    }

    pub fn call(&mut self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Reply {
        self.head_only = method == "HEAD";
        self.send(head(method, path, headers, body.len()));
        self.send(body);
        self.reply()
    }

    /// The next reply, which must be whole.
    pub fn reply(&mut self) -> Reply {
        let end = loop {
            if let Some(at) = self.received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.more(), "the server left in the middle of a head: {:?}", String::from_utf8_lossy(&self.received));
        };
        let head: Vec<u8> = self.received.drain(..end).collect();
        let mut reply = Reply::of(std::str::from_utf8(&head).expect("text"));
        let length =
            reply.header("content-length").filter(|_| !self.head_only).map_or(0, |length| length.parse().expect("a number"));
        while self.received.len() < length {
            assert!(self.more(), "the server left in the middle of a body");
        }
        reply.body = self.received.drain(..length).collect();
        reply
    }

    fn more(&mut self) -> bool {
        let mut bytes = [0; 65_536];
        let count = self.stream.read(&mut bytes).expect("the server says something");
        self.received.extend(&bytes[..count]);
        count > 0
    }

    /// The server says nothing more, and ends the connection.
    pub fn expect_end(&mut self) {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) => assert!(self.received.is_empty(), "{:?}", String::from_utf8_lossy(&self.received)),
            Ok(_) => panic!("the server says more"),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("the server does not end the connection: {error}"),
        }
    }
}

pub fn head(method: &str, path: &str, headers: &[&str], length: usize) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\n");
    headers.iter().for_each(|header| head += &format!("{header}\r\n"));
    if length > 0 {
        head += &format!("content-length: {length}\r\n");
    }
    head + "\r\n"
}

/// A reply.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    fn of(head: &str) -> Self {
        let mut lines = head.trim_end().split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).expect("a status").parse().expect("a number");
        let pair = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        Self { status, headers: lines.map(|line| pair(line).expect("a header")).collect(), body: Vec::new() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(other, _)| other == name);
        let first = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} comes once: {self:?}");
        first
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn id(&self) -> String {
        self.header("x-request-id").unwrap_or_else(|| panic!("an id: {self:?}")).to_owned()
    }

    /// It is an error as documented; returns its message.
    pub fn error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json; charset=utf-8"));
        uuid::Uuid::parse_str(&self.id()).expect("an id");
        let json = self.json();
        let errors = json.as_array().expect("a list");
        assert!(!errors.is_empty());
        for error in errors {
            let keys: Vec<&str> = error.as_object().expect("an object").keys().map(String::as_str).collect();
            assert_eq!(keys, ["error_type", "error_message", "error_point"]);
        }
        errors[0]["error_message"].as_str().expect("text").to_owned()
    }
}

/// Waits until something holds, for as long as anybody has patience.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
