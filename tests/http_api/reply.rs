//! How does a client that trusts nobody talk HTTP?
//!
//! Requests are bytes; every reply is held against what holds for all of them.
#![allow(dead_code)] // Each test binary uses its own part of this.

use serde_json::{Map, Value};
use std::collections::HashSet;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;

use super::client::PATIENCE;

const JSON: &str = "application/json; charset=utf-8";
const EMPTY: &str = "text/html; charset=utf-8";
const ERROR_TYPES: [&str; 8] =
    ["validation", "notexist", "backend", "permission", "database", "concurrency", "billing", "payment"];

/// An answer, taken apart.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub reason: String,
    /// Names in lower case, in order.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// Sends the bytes of one request on a connection of its own; what comes back keeps every rule that all replies keep.
pub fn exchange(address: &str, request: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.write_all(request).expect("the server takes it");
    let shown = String::from_utf8_lossy(request).lines().next().unwrap_or_default().to_owned();
    let reply = Reply::read(&mut BufReader::new(stream), request.starts_with(b"HEAD "));
    reply.check(&shown);
    reply
}

/// The same with a server that may end at any moment: nothing, if it did not answer in full.
pub fn exchange_with_mortal(address: &str, request: &[u8]) -> Option<Reply> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.write_all(request).ok()?;
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert!(error.kind() == ErrorKind::ConnectionReset, "the server neither answers nor ends: {error}");
    }
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let length = String::from_utf8_lossy(&bytes[..head]).lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().expect("a number"))
    });
    if bytes.len() < head + length.unwrap_or_default() {
        return None;
    }
    let reply = Reply::read(&mut &bytes[..], false);
    reply.check(&String::from_utf8_lossy(request));
    Some(reply)
}

impl Reply {
    fn read(stream: &mut impl BufRead, without_body: bool) -> Self {
        let mut line = || {
            let mut line = String::new();
            stream.read_line(&mut line).expect("text");
            line.strip_suffix("\r\n").unwrap_or_else(|| panic!("a whole line: {line:?}")).to_owned()
        };
        let first = line();
        // An answer to an old client is an old answer.
        let rest = ["HTTP/1.1 ", "HTTP/1.0 "].iter().find_map(|version| first.strip_prefix(version));
        let rest = rest.unwrap_or_else(|| panic!("a status line: {first:?}"));
        let (status, reason) = rest.split_once(' ').expect("a reason");
        let mut headers = Vec::new();
        loop {
            let line = line();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").expect("a header");
            headers.push((name.to_lowercase(), value.to_owned()));
        }
        let mut reply =
            Self { status: status.parse().expect("a number"), reason: reason.to_owned(), headers, body: String::new() };
        let length = reply.header("content-length").map_or(0, |length| length.parse().expect("a number"));
        let mut body = vec![0; if without_body { 0 } else { length }];
        stream.read_exact(&mut body).expect("the whole body");
        reply.body = String::from_utf8(body).expect("UTF-8");
        reply
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What the body says.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// What holds for every reply, on every URL.
    fn check(&self, request: &str) {
        static KNOWN: Mutex<Option<HashSet<String>>> = Mutex::new(None);
        let id = self.header("x-request-id").unwrap_or_else(|| panic!("{request}: no X-REQUEST-ID"));
        let is_new = KNOWN.lock().expect("nobody panics here").get_or_insert_default().insert(id.to_owned());
        assert!(is_new, "{request}: X-REQUEST-ID {id} was given before");
        let kind = self.header("content-type");
        if self.status == 204 {
            assert_eq!((kind, self.body.as_str()), (Some(EMPTY), ""), "{request}");
        } else {
            assert_eq!(kind, Some(JSON), "{request}: {} {}", self.status, self.body);
        }
        assert!(self.status < 500 || self.status == 503, "{request}: {} {}", self.status, self.body);
        if self.status >= 400 && !request.starts_with("HEAD ") {
            self.check_errors(request);
        }
        if self.status == 201 {
            let first = &self.json()["objects"][0]["resource_uri"];
            assert_eq!(self.header("location"), first.as_str(), "{request}: Location is where the object is");
        }
        assert_eq!(self.header("www-authenticate").is_some(), self.status == 401, "{request}");
        assert_eq!(self.header("content-encoding"), None, "{request}");
    }

    fn check_errors(&self, request: &str) {
        let body = self.json();
        let errors = body.as_array().filter(|errors| !errors.is_empty());
        for error in errors.unwrap_or_else(|| panic!("{request}: errors are a list: {body}")) {
            let error: &Map<String, Value> = error.as_object().expect("an object");
            let mut keys: Vec<_> = error.keys().map(String::as_str).collect();
            keys.sort_unstable();
            assert_eq!(keys, ["error_message", "error_point", "error_type"], "{request}");
            let word = error["error_type"].as_str().unwrap_or_default();
            assert!(ERROR_TYPES.contains(&word), "{request}: error_type {word:?}");
            assert!(error["error_message"].as_str().is_some_and(|text| !text.is_empty()), "{request}: {body}");
            assert!(error["error_point"].is_null() || error["error_point"].is_string(), "{request}: {body}");
        }
    }
}
