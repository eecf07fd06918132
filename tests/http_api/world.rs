//! How is a table of calls read?
//!
//! A row is a call, the status that answers it, and a pattern of what the answer says. Names that a pattern binds can be used in later rows.

use serde_json::Value;
use std::thread;
use std::time::{Duration, Instant};

use super::client::PATIENCE;
use super::node::{Answers, Node, OWNER, Who};
use super::pattern::{Names, filled, fit};
use super::reply::Reply;

/// How often somebody who waits asks again.
const PAUSE: Duration = Duration::from_millis(5);

/// Method and path, body, status, pattern of the answer; nothing if it does not matter.
pub type Row<'a> = (&'a str, &'a str, u16, &'a str);

/// A node, and what the test calls things in it.
pub struct World<N = Node> {
    pub node: N,
    pub who: Who,
    pub names: Names,
}

impl World {
    pub fn new() -> Self {
        Self::on(Node::new())
    }

    /// With drives of that size, by name.
    pub fn with_drives(drives: &[&str], size: u64) -> Self {
        let mut world = Self::new();
        drives.iter().for_each(|drive| world.make_drive(drive, size));
        world
    }
}

impl<N: Answers> World<N> {
    pub fn on(node: N) -> Self {
        Self { node, who: OWNER, names: Names::new() }
    }

    pub fn make_drive(&mut self, name: &str, size: u64) {
        let body = format!(r#"{{"name": "{name}", "size": {size}, "media": "disk"}}"#);
        self.check(&[("POST /drives/", &body, 201, &format!(r#"{{"objects": [{{"uuid": "{{{name}}}"}}]}}"#))]);
    }

    pub fn make_snapshot(&mut self, drive: &str, name: &str) {
        let body = format!(r#"{{"drive": "{{{drive}}}", "name": "{name}"}}"#);
        self.check(&[("POST /snapshots/", &body, 201, &format!(r#"{{"objects": [{{"uuid": "{{{name}}}"}}]}}"#))]);
    }

    /// Makes the calls of a table, each after the other.
    #[track_caller]
    pub fn check(&mut self, rows: &[Row<'_>]) {
        for row in rows {
            self.call(row);
        }
    }

    /// The same for somebody else.
    #[track_caller]
    pub fn check_as(&mut self, who: Who, rows: &[Row<'_>]) {
        let before = std::mem::replace(&mut self.who, who);
        self.check(rows);
        self.who = before;
    }

    /// Makes one call, and returns the answer.
    #[track_caller]
    pub fn call(&mut self, (line, body, status, pattern): &Row<'_>) -> Reply {
        let (line, body) = (filled(line, &self.names), filled(body, &self.names));
        let reply = self.node.call(self.who, &line, &body);
        assert_eq!(reply.status, *status, "{line} {body}\n{}", reply.body);
        if !pattern.is_empty() {
            let pattern: Value = serde_json::from_str(pattern).unwrap_or_else(|error| panic!("{error}: {pattern}"));
            let fitted = fit(&pattern, &reply.json(), &mut self.names);
            fitted.unwrap_or_else(|error| panic!("{line} {body}: {error}\n{}", reply.body));
        }
        reply
    }

    /// Asks until the answer looks like that: what clients do about things that take their time.
    #[track_caller]
    pub fn wait_until(&mut self, line: &str, pattern: &str) {
        let wanted: Value = serde_json::from_str(pattern).expect("JSON");
        let start = Instant::now();
        loop {
            let answer = self.call(&(line, "", 200, "")).json();
            match fit(&wanted, &answer, &mut self.names) {
                Ok(()) => return,
                Err(error) => assert!(start.elapsed() < PATIENCE, "{line}: {error}"),
            }
            thread::sleep(PAUSE);
        }
    }

    /// What a GET shows.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> Value {
        self.call(&(&format!("GET {path}"), "", 200, "")).json()
    }

    /// Deletes everything that the caller has.
    pub fn delete_all(&mut self) {
        let drives = self.get("/drives/?limit=0&fields=uuid");
        self.check(&[
            ("DELETE /drives/", &serde_json::json!({"objects": drives["objects"]}).to_string(), 204, ""),
            ("GET /drives/", "", 200, r#"{"objects": []}"#),
            ("GET /snapshots/", "", 200, r#"{"objects": []}"#),
        ]);
    }

    /// Ends the node; what its store says of itself.
    pub fn finish(self) -> Value {
        self.node.finish()
    }
}
