//! What is done between two looks?

use super::cli_support::string;
use super::images;
use super::world::{Pending, World};
use serde_json::Value;

/// More remote snapshots than this only go.
const REMOTES_MAX: usize = 5;

const COLLECT: [&str; 5] = ["location", "collect", "GVA", "--grace", "0"];

fn create<'a>(drive: &'a str, name: &'a str) -> [&'a str; 8] {
    ["--json", "remote", "create", drive, "--name", name, "--remote-interval", "0"]
}

impl World {
    /// Does everything once without a kill, to know how long it takes.
    pub fn learn(&mut self) {
        for at in 0..self.drives.len() {
            let kind = if at == 0 { "create" } else { "create small" };
            let name = self.new_name();
            let made = self.killer.learn(&self.bench, kind, &create(self.drives[at].name, &name));
            self.made(string(&json(&made), "uuid"), name, at, true);
        }
        self.change(0);
        let first = self.remotes.keys().next().expect("there are two").clone();
        self.killer.learn(&self.bench, "clone", &["remote", "clone", &first, "--name", "first"]);
        self.bench.ok(&["drive", "delete", "first"]);
        self.killer.learn(&self.bench, "collect", &COLLECT);
    }

    /// Does something that is killed; whether it was, before it was done.
    pub fn step(&mut self) -> bool {
        let available: Vec<String> =
            self.remotes.iter().filter(|(_, remote)| remote.is_available).map(|(uuid, _)| uuid.clone()).collect();
        let any = |world: &mut Self| available.get(world.dice.below(available.len().max(1) as u64) as usize).cloned();
        let drive = self.dice.below(self.drives.len() as u64) as usize;
        let may_create =
            self.remotes.len() < REMOTES_MAX && self.remotes.values().all(|remote| remote.drive != drive || remote.is_available);
        match self.dice.below(24) {
            0..=8 if may_create => self.create(drive),
            0..=11 => any(self).is_some_and(|remote| self.delete(remote)),
            12..=14 => any(self).is_some_and(|remote| self.clone_of(remote)),
            15..=16 => any(self).is_some_and(|remote| self.rename(remote)),
            17..=20 => self.simple("collect", &COLLECT, Pending::Nothing),
            21 => self.simple("resume", &["remote", "resume"], Pending::Resume),
            22 => self.simple("import", &["location", "import", "GVA"], Pending::Nothing),
            _ => self.change(drive),
        }
    }

    /// Writes other bytes. A kill of that makes the drive unfinished, and it is done again.
    fn change(&mut self, drive: usize) -> bool {
        images::change(&mut self.drives[drive].bytes, &mut self.dice);
        let file = self.write(drive);
        let args = ["drive", "import", "--overwrite", self.drives[drive].name, &file];
        let killed = self.killer.run(&self.bench, &mut self.dice, "change", &args).is_none();
        if killed {
            self.bench.ok(&args);
        }
        killed
    }

    fn create(&mut self, drive: usize) -> bool {
        self.change_quietly(drive);
        let name = self.new_name();
        let kind = if drive == 0 { "create" } else { "create small" };
        match self.killer.run(&self.bench, &mut self.dice, kind, &create(self.drives[drive].name, &name)) {
            Some(made) => {
                self.made(string(&json(&made), "uuid"), name, drive, true);
                false
            }
            None => {
                self.pending = Pending::Create { name, drive };
                true
            }
        }
    }

    /// So that there is something to be sent.
    fn change_quietly(&mut self, drive: usize) {
        images::change(&mut self.drives[drive].bytes, &mut self.dice);
        let file = self.write(drive);
        self.bench.ok(&["drive", "import", "--overwrite", self.drives[drive].name, &file]);
    }

    fn delete(&mut self, remote: String) -> bool {
        let done = self.killer.run(&self.bench, &mut self.dice, "delete", &["remote", "delete", &remote]).is_some();
        if done {
            self.remotes.remove(&remote);
        } else {
            self.pending = Pending::Delete(remote);
        }
        !done
    }

    fn clone_of(&mut self, remote: String) -> bool {
        let name = self.new_name();
        let args = ["remote", "clone", &remote, "--name", &name];
        let done = self.killer.run(&self.bench, &mut self.dice, "clone", &args).is_some();
        if done {
            self.compare_clone(&remote, &name);
        } else {
            self.pending = Pending::Clone { name, remote };
        }
        !done
    }

    fn rename(&mut self, remote: String) -> bool {
        // Back to a name that it may still have, too.
        let doubtful = self.remotes.iter().find(|(_, one)| one.is_available && one.names.len() > 1);
        let (remote, name) = match doubtful.filter(|_| self.dice.below(2) == 0) {
            Some((doubtful, one)) => (doubtful.clone(), one.names[0].clone()),
            None => (remote, self.new_name()),
        };
        let args = ["remote", "rename", &remote, &name];
        let done = self.killer.run(&self.bench, &mut self.dice, "rename", &args).is_some();
        if done {
            self.remotes.get_mut(&remote).expect("it was chosen").names = vec![name];
        } else {
            self.pending = Pending::Rename { remote, name };
        }
        !done
    }

    fn simple(&mut self, kind: &'static str, args: &[&str], interrupted: Pending) -> bool {
        let done = self.killer.run(&self.bench, &mut self.dice, kind, args).is_some();
        if !done {
            self.pending = interrupted;
        } else if kind == "resume" {
            self.remotes.values_mut().for_each(|remote| remote.is_available = true);
        }
        !done
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
