//! What does a directory look like after each of many kills?

use std::env;
use std::thread;
use std::time::{Duration, Instant};

use floe::Store;
use serde_json::json;

use super::dice::{Dice, mix};
use super::node::{Node, Who};
use super::party::Party;
use super::process::store_of;
use super::seen::Seen;

const SEED: u64 = 20_261_122;
const KILLS: u64 = 100;
/// After so many kills the node ends as it should, and the store is looked at.
const KILLS_PER_LOOK: u64 = 10;
/// After so many kills a new directory is begun.
const KILLS_PER_LIFE: u64 = 50;
const RECLAIM_STEP: u64 = 1000;
const KILL_AFTER_MICROSECONDS: u64 = 150_000;
/// At least one of so many kills must have come in the middle of a job, or the test proves little.
const KILLS_PER_INTERRUPTED_JOB: u64 = 10;
/// What a node says of each job that it finishes or undoes at its start.
const INTERRUPTED: &str = "going on with a job that was interrupted";

const ONE: Who = ("one@example.com", "secret");
const OTHER: Who = ("other@example.com", "secret");

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {value}")))
}

/// A directory whose nodes are killed one after the other.
struct Life {
    node: Node,
    parties: Vec<Party>,
    dice: Dice,
    stamps: u64,
}

impl Life {
    fn new(seed: u64) -> Self {
        let party = |who, prefix: &str, number: u64| Party::new(who, prefix, mix(seed ^ number << 32));
        let parties = vec![party(ONE, "a-", 1), party(ONE, "b-", 2), party(OTHER, "c-", 3)];
        Self { node: Node::with(&[ONE, OTHER]), parties, dice: Dice::new(mix(seed)), stamps: 0 }
    }

    /// Lets the clients work for a while, and kills the node.
    fn kill(&mut self) -> Result<(), String> {
        let moment = Duration::from_micros(self.dice.below(KILL_AFTER_MICROSECONDS));
        let address = self.node.address.clone();
        let results: Vec<_> = thread::scope(|scope| {
            let work = |party: &'_ mut Party| party.work(&address);
            let working: Vec<_> = self.parties.iter_mut().map(|party| scope.spawn(move || work(party))).collect();
            thread::sleep(moment);
            self.node.kill();
            working.into_iter().map(|thread| thread.join().expect("a client does not panic")).collect()
        });
        results.into_iter().collect()
    }

    /// What the node says must be what the clients know.
    fn verify(&mut self) -> Result<(), String> {
        for who in [ONE, OTHER] {
            let seen = Seen::of(&self.node, who)?;
            for party in self.parties.iter_mut().filter(|party| party.who == who) {
                party.verify(&seen)?;
            }
        }
        Ok(())
    }

    /// Ends the node, and compares what the store holds with what the clients know.
    fn look(&mut self) -> Result<(), String> {
        self.node.stop();
        let store = store_of(&self.node.data());
        let parties = &self.parties;
        let drives: usize = parties.iter().map(|party| party.state.shown.drives.len()).sum();
        let snapshots: usize = parties.iter().map(|party| party.state.shown.snapshots.len()).sum();
        let opened = Store::options().open(&store).expect("the store is there");
        let found = (opened.drives().len(), opened.snapshots().len());
        if found != (drives, snapshots) {
            return Err(format!("drives and snapshots in the store: {found:?}, known: {:?}", (drives, snapshots)));
        }
        for party in parties {
            for id in party.state.shown.drives.keys() {
                let drive = opened.drive(party.uuids[id].parse().expect("a uuid")).expect("a drive");
                judge_image(id, party.state.stamp(id), |bytes| drive.read_at(bytes, 0))?;
            }
            for id in party.state.shown.snapshots.keys() {
                let snapshot = opened.snapshot(party.uuids[id].parse().expect("a uuid")).expect("a snapshot");
                judge_image(id, party.state.stamp(id), |bytes| snapshot.read_at(bytes, 0))?;
            }
        }
        opened.close().expect("it closes");
        self.node.restart();
        self.verify()
    }

    fn round(&mut self, round: u64) -> Result<(), String> {
        self.kill()?;
        self.node.restart();
        self.verify()?;
        if round.is_multiple_of(KILLS_PER_LOOK) {
            self.look()?;
        }
        for party in &mut self.parties {
            self.stamps += 1;
            party.stamp_a_drive(&self.node, self.stamps);
        }
        Ok(())
    }

    /// Deletes everything through the API: then nothing may be left.
    fn end(mut self) -> Result<(), String> {
        for who in [ONE, OTHER] {
            let drives = self.node.call(who, "GET /drives/?limit=0&fields=uuid", "").json()["objects"].clone();
            if drives.as_array().is_some_and(|drives| !drives.is_empty()) {
                let reply = self.node.call(who, "DELETE /drives/", &json!({"objects": drives}).to_string());
                assert_eq!(reply.status, 204, "{}", reply.body);
            }
        }
        self.node.stop();
        let store = Store::options().open(store_of(&self.node.data())).expect("the store is there");
        // The node may have ended before it was done with that.
        while !store.reclaim(RECLAIM_STEP).expect("space can be freed").done {}
        let left = (store.drives().len(), store.snapshots().len(), store.usage().data_bytes);
        store.close().expect("it closes");
        if left == (0, 0, 0) { Ok(()) } else { Err(format!("drives, snapshots and bytes left after all was deleted: {left:?}")) }
    }
}

fn judge_image(id: &str, stamp: u64, read: impl Fn(&mut [u8]) -> floe::Result<()>) -> Result<(), String> {
    let mut bytes = [0xA5; 8];
    read(&mut bytes).expect("it can be read");
    let found = u64::from_le_bytes(bytes);
    if found == stamp { Ok(()) } else { Err(format!("{id} holds {found}, not {stamp}")) }
}

#[test]
fn all_of_a_call_or_nothing_is_there_after_each_kill() {
    let (first, kills) = (number("FLOE_SEED", SEED), number("FLOE_KILLS", KILLS));
    let begun = Instant::now();
    let (mut calls, mut interrupted, mut left, mut seed) = (0, 0, kills, first);
    while left > 0 {
        let mut life = Life::new(seed);
        let wanted = left.min(KILLS_PER_LIFE);
        let replay = |round| {
            format!(
                "replay (a kill may come at another moment): FLOE_SEED={seed} FLOE_KILLS={round} cargo test --all-features --test http_crash"
            )
        };
        for round in 1..=wanted {
            if let Err(error) = life.round(round) {
                panic!("after kill {round}: {error}\n{}", replay(round));
            }
        }
        calls += life.parties.iter().map(|party| party.calls).sum::<usize>();
        interrupted += life.node.log().matches(INTERRUPTED).count() as u64;
        life.end().unwrap_or_else(|error| panic!("{error}\n{}", replay(wanted)));
        seed += 1;
        left -= wanted;
    }
    println!("{kills} kills, {calls} calls, {interrupted} jobs interrupted, {:.1} s", begun.elapsed().as_secs_f64());
    assert!(interrupted * KILLS_PER_INTERRUPTED_JOB >= kills, "{interrupted} jobs interrupted by {kills} kills: too few");
}
