//! What does one client do until the node is killed, and what may it find afterwards?

use super::choice::{Call, Chooser};
use super::dice::Dice;
use super::node::{Node, Who, request};
use super::reply::exchange_with_mortal;
use super::seen::{Seen, Uuids, learn};
use super::state::State;

/// A client, and what it knows.
pub struct Party {
    pub who: Who,
    /// What the ids of its things begin with.
    prefix: String,
    pub state: State,
    pub uuids: Uuids,
    dice: Dice,
    made: u64,
    /// What was not answered.
    pending: Option<Call>,
    /// What was answered since the last kill, newest last.
    told: Vec<String>,
    /// What was answered altogether.
    pub calls: usize,
}

impl Party {
    pub fn new(who: Who, prefix: &str, seed: u64) -> Self {
        let (state, uuids) = (State::default(), Uuids::new());
        let prefix = prefix.to_owned();
        Self { who, prefix, state, uuids, dice: Dice::new(seed), made: 0, pending: None, told: Vec::new(), calls: 0 }
    }

    /// Makes one call after the other until nobody answers.
    pub fn work(&mut self, address: &str) -> Result<(), String> {
        self.told.clear();
        loop {
            let Self { state, uuids, dice, prefix, made, .. } = self;
            let call = Chooser { state, uuids, dice, prefix, made }.choose();
            let body = if call.body.is_null() { String::new() } else { call.body.to_string() };
            let Some(reply) = exchange_with_mortal(address, request(address, self.who, &call.line, &body).as_bytes()) else {
                self.pending = Some(call);
                return Ok(());
            };
            if !(200..300).contains(&reply.status) {
                return Err(format!("{} {}: {} {}", call.line, call.body, reply.status, reply.body));
            }
            if !reply.body.is_empty() {
                learn(&reply.json(), &mut self.uuids);
            }
            self.told.push(call.line);
            self.state = call.after;
            self.calls += 1;
        }
    }

    /// Everything that was answered must be there, and of what was not, all or nothing.
    pub fn verify(&mut self, seen: &Seen) -> Result<(), String> {
        let found = seen.of_client(&self.prefix)?;
        let pending = self.pending.take();
        let before = found.difference(&self.state.shown);
        if let (Some(before), Some(call)) = (&before, &pending)
            && let Some(after) = found.difference(&call.after.shown)
        {
            let Call { line, body, .. } = call;
            return Err(format!(
                "half of {line} {body}\nother than before:\n{before}\nother than after:\n{after}\n{}",
                self.story()
            ));
        }
        match (before, pending) {
            (None, _) => {}
            (Some(_), Some(call)) => self.state = call.after,
            (Some(difference), None) => return Err(format!("{difference}\n{}", self.story())),
        }
        self.uuids = seen.uuids();
        Ok(())
    }

    fn story(&self) -> String {
        let last: Vec<&str> = self.told.iter().rev().take(5).map(String::as_str).collect();
        format!("answered before, newest first: {last:?}")
    }

    /// Writes something to a drive that nobody wrote anywhere before.
    pub fn stamp_a_drive(&mut self, node: &Node, stamp: u64) {
        let count = self.state.shown.drives.len() as u64;
        if count == 0 {
            return;
        }
        let at = self.dice.below(count) as usize;
        let id = self.state.shown.drives.keys().nth(at).expect("it is below their count").clone();
        let uuid = &self.uuids[&id];
        let mut client = node.nbd(uuid);
        client.write(0, &stamp.to_le_bytes().repeat(4096 / 8));
        assert_eq!(client.errno(super::client::Request::new(super::client::FLUSH, 0, 0)), 0);
        client.disconnect();
        // A mounted drive would not be deleted.
        let line = format!("GET /drives/{uuid}/");
        while node.call(self.who, &line, "").json()["status"] != "unmounted" {
            std::thread::yield_now();
        }
        self.state.stamps.insert(id, stamp);
    }
}
