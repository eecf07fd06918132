//! Is everything as it must be?

use super::cli_support::{code, string, text};
use super::images::data_bytes;
use super::world::{Pending, World};
use floe::Store;
use floe::node::attributes::Attributes;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::mem;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Kills between two checks of the store.
const LOOKS_PER_CHECK: u64 = 4;

impl World {
    /// After a kill: what was interrupted is there wholly, or not at all, and all else is as it was.
    pub fn look(&mut self) {
        self.looks += 1;
        self.count_leftovers();
        let listed = self.listed();
        match mem::replace(&mut self.pending, Pending::Nothing) {
            Pending::Create { name, drive } => {
                let found = listed.values().find(|one| string(one, "name") == name);
                self.saw(format!("creation {}", found.map_or("undone", |found| string(found, "status"))), 1);
                if let Some(found) = found {
                    self.made(string(found, "uuid"), name, drive, string(found, "status") == "available");
                }
            }
            Pending::Delete(remote) => {
                let is_there = listed.contains_key(&remote);
                self.saw(if is_there { "deletion undone" } else { "deletion begun" }, 1);
                if !is_there {
                    self.remotes.remove(&remote);
                }
            }
            Pending::Rename { remote, name } => self.remotes.get_mut(&remote).expect("it was chosen").names.push(name),
            Pending::Resume => {
                for (uuid, one) in &listed {
                    if let Some(remote) = self.remotes.get_mut(uuid) {
                        remote.is_available |= string(one, "status") == "available";
                    }
                }
            }
            Pending::Clone { name, remote } => {
                let drives = self.bench.json(&["drive", "list"]);
                let is_there = drives.as_array().expect("a list").iter().any(|drive| string(drive, "name") == name);
                self.saw(if is_there { "clone done" } else { "clone undone" }, 1);
                if is_there {
                    self.compare_clone(&remote, &name);
                }
            }
            Pending::Nothing => {}
        }
        let there: BTreeSet<&String> = listed.keys().collect();
        assert_eq!(there, self.remotes.keys().collect(), "those that are listed are those that were acknowledged");
        for (uuid, remote) in &self.remotes {
            let one = &listed[uuid];
            let status = if remote.is_available { "available" } else { "transferring" };
            assert_eq!(string(one, "status"), status, "{one}");
            assert!(remote.names.iter().any(|name| string(one, "name") == name), "{one} is none of {:?}", remote.names);
        }
        self.check_location();
        if self.looks.is_multiple_of(LOOKS_PER_CHECK) {
            self.bench.check_clean();
        }
    }

    /// Everything that was begun is finished, got back, and compared; nothing is left that nobody needs.
    pub fn judge(&mut self) {
        self.bench.ok(&["remote", "resume"]);
        let imported = self.bench.json(&["location", "import", "GVA"]);
        for what in ["found", "lost", "damaged"] {
            assert_eq!(imported[what], Value::Array(Vec::new()), "{what}");
        }
        for (uuid, one) in self.listed() {
            let remote = self.remotes.get_mut(&uuid).unwrap_or_else(|| panic!("{one} came back"));
            assert_eq!(string(&one, "status"), "available", "{one}");
            // Now store and location say the same.
            remote.is_available = true;
            remote.names = vec![string(&one, "name").to_owned()];
        }
        for remote in self.remotes.keys().cloned().collect::<Vec<_>>() {
            self.bench.ok(&["remote", "clone", &remote, "--name", "compared"]);
            self.compare_clone(&remote, "compared");
        }
        for _ in 0..2 {
            self.bench.ok(&["location", "collect", "GVA", "--grace", "0"]);
        }
        assert_eq!(self.problems(&["--read-data"]), Vec::<Value>::new());
        self.look_inside();
        self.bench.check_clean();
    }

    /// A drive of a remote snapshot has all of its image; then it goes.
    pub fn compare_clone(&mut self, remote: &str, name: &str) {
        let output = self.bench.run(&["drive", "export", name, "-"]);
        assert_eq!(code(&output), 0, "{}", text(&output.stderr));
        assert!(output.stdout == self.remotes[remote].image, "the clone of {remote} is another image");
        self.bench.ok(&["drive", "delete", name]);
    }

    /// A pack without an index is what a kill may leave there, and nothing else.
    fn check_location(&self) {
        for problem in self.problems(&[]) {
            assert_eq!(problem["kind"], "OrphanedPack", "{problem}");
        }
    }

    fn problems(&self, more: &[&str]) -> Vec<Value> {
        let output = self.bench.run(&[&["--json", "location", "verify", "GVA"], more].concat());
        let verified: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
        verified["problems"].as_array().expect("a list").clone()
    }

    /// Nothing pins, no drive is unfinished, and each remote snapshot has its bookmark, and nobody else one.
    fn look_inside(&self) {
        let store = Store::options().open(self.bench.store()).expect("the store opens");
        assert_eq!(store.snapshots().len(), 0, "nothing is under way, and something is pinned");
        let mut bookmarks = BTreeSet::new();
        for drive in store.drives() {
            let name = drive.name().expect("a name");
            assert!(self.drives.iter().any(|one| one.name == name), "drive {name:?} is left");
            assert!(!Attributes::read(&drive.attributes().expect("attributes")).is_unfinished(), "{name:?} stays unfinished");
            let marks = drive.bookmarks().expect("bookmarks");
            bookmarks.extend(marks.iter().map(|bookmark| bookmark.uuid().to_string()));
        }
        assert_eq!(bookmarks, self.remotes.keys().cloned().collect(), "bookmarks are those of remote snapshots");
        store.close().expect("it closes");
    }

    /// Deletes everything, and looks whether anything is left.
    pub fn end(&mut self) {
        for remote in mem::take(&mut self.remotes).into_keys() {
            self.bench.ok(&["remote", "delete", &remote]);
        }
        // What a kill left in the middle of a put, and of asking the time, goes when it is old.
        let long_ago = SystemTime::now() - Duration::from_secs(48 * 60 * 60);
        for path in self.files() {
            let name = path.to_string_lossy();
            if name.contains('#') || name.starts_with("probe/") {
                let file = File::options().append(true).open(self.location().join(&path)).expect("a file");
                file.set_modified(long_ago).expect("a time");
            }
        }
        self.judge();
        let files = self.files();
        let is_needed = |path: &Path| path == Path::new("floe-repository") || path.starts_with("lease");
        let left: Vec<_> = files.iter().filter(|path| !is_needed(path)).collect();
        assert!(left.is_empty() && files.len() == 2, "this is left: {files:?}");
        self.bench.ok(&["store", "reclaim"]);
        let data: u64 = self.drives.iter().map(|drive| data_bytes(&drive.bytes)).sum();
        assert_eq!(self.bench.data_blocks() * 4096, data, "the store holds what its drives do");
    }

    /// What does the kill leave, for the next ones to remove?
    fn count_leftovers(&mut self) {
        let files = self.files();
        self.saw("put that was interrupted", files.iter().filter(|path| path.to_string_lossy().contains('#')).count());
        self.saw("session left", files.iter().filter(|path| path.starts_with("uploads")).count());
        self.saw("list of doomed packs", files.iter().filter(|path| path.starts_with("doomed")).count());
        let newest = files.iter().filter(|path| path.starts_with("lease")).max();
        let lease = newest.map(|path| fs::read_to_string(self.location().join(path)).expect("a lease"));
        self.saw("lease left", usize::from(lease.is_some_and(|lease| lease.contains("\"released\":false"))));
        let store = Store::options().open(self.bench.store()).expect("the store opens");
        let attributes = store.drives().into_iter().map(|drive| drive.attributes().expect("attributes"));
        let uploading = attributes.filter(|attributes| Attributes::read(attributes).uploading()).count();
        let pins = store.snapshots().len();
        store.close().expect("it closes");
        self.saw("clone left", uploading);
        self.saw("pin left", pins);
    }

    /// All files of the location.
    fn files(&self) -> Vec<PathBuf> {
        let (root, mut files, mut directories) = (self.location(), Vec::new(), vec![self.location()]);
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).expect("a directory") {
                let path = entry.expect("an entry").path();
                match path.is_dir() {
                    true => directories.push(path),
                    false => files.push(path.strip_prefix(&root).expect("below").to_owned()),
                }
            }
        }
        files
    }
}
