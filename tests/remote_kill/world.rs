//! Which drives and remote snapshots must there be?

use super::cli_support::{Bench, string};
use super::dice::Dice;
use super::images;
use super::killer::Killer;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The windows of each drive; the first has more than fits into one pack.
const DRIVES: [(&str, usize); 2] = [("large", 70), ("small", 9)];

pub struct DriveImage {
    pub name: &'static str,
    pub bytes: Vec<u8>,
}

/// A remote snapshot that must be there.
pub struct Remote {
    pub drive: usize,
    pub image: Vec<u8>,
    /// The names that it may have: two after a renaming that was interrupted.
    pub names: Vec<String>,
    pub is_available: bool,
}

/// What a kill interrupted, until it is looked which way it went.
pub enum Pending {
    Create { name: String, drive: usize },
    Delete(String),
    Clone { name: String, remote: String },
    Rename { remote: String, name: String },
    Resume,
    Nothing,
}

pub struct World {
    pub bench: Bench,
    pub dice: Dice,
    pub killer: Killer,
    pub drives: Vec<DriveImage>,
    /// By their uuids.
    pub remotes: BTreeMap<String, Remote>,
    pub pending: Pending,
    names: u64,
    /// What kills led to, and how often.
    pub seen: BTreeMap<String, u64>,
    pub looks: u64,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let drive = |(at, (name, windows)): (usize, &(&'static str, usize))| DriveImage {
            name,
            bytes: images::full(seed ^ at as u64, *windows),
        };
        let world = Self {
            bench: Bench::new(),
            dice: Dice::new(seed),
            killer: Killer::default(),
            drives: DRIVES.iter().enumerate().map(drive).collect(),
            remotes: BTreeMap::new(),
            pending: Pending::Nothing,
            names: 0,
            seen: BTreeMap::new(),
            looks: 0,
        };
        for (at, (name, _)) in DRIVES.iter().enumerate() {
            let file = world.write(at);
            world.bench.ok(&["drive", "import", name, &file]);
        }
        world
    }

    pub fn location(&self) -> PathBuf {
        self.bench.path("locations").join("GVA")
    }

    /// Writes what a drive is to hold into a file.
    pub fn write(&self, drive: usize) -> String {
        let path = self.bench.path("image");
        std::fs::write(&path, &self.drives[drive].bytes).expect("written");
        path.to_str().expect("text").to_owned()
    }

    pub fn new_name(&mut self) -> String {
        self.names += 1;
        format!("n{}", self.names)
    }

    pub fn saw(&mut self, what: impl Into<String>, times: usize) {
        *self.seen.entry(what.into()).or_default() += times as u64;
    }

    /// What was just made is there from now on.
    pub fn made(&mut self, uuid: &str, name: String, drive: usize, is_available: bool) {
        let remote = Remote { drive, image: self.drives[drive].bytes.clone(), names: vec![name], is_available };
        self.remotes.insert(uuid.to_owned(), remote);
    }

    /// What `remote list` says, by uuids.
    pub fn listed(&self) -> BTreeMap<String, Value> {
        let list = self.bench.json(&["remote", "list"]);
        list.as_array().expect("a list").iter().map(|one| (string(one, "uuid").to_owned(), one.clone())).collect()
    }
}
