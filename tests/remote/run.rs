//! A random run: drives change, remote snapshots come, go and are cloned, and every one is compared with what its drive held.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use floe::node::remote::collect::{Options, collect};
use floe::node::remote::filling::NewDrive;
use floe::node::remote::remotes::Remotes;
use floe::node::remote::verify::verify;
use floe::node::service::remotes as service;
use floe::{Drive, DriveOptions, Snapshot, SnapshotOptions, Store, Uuid};

use crate::dice::Dice;
use crate::stage::{BLOCK, begin, bytes_of, create, frozen, remotes, store};

const STEPS: u64 = 60;
const DRIVES_MAX: usize = 3;
const REMOTES_MAX: usize = 8;
const WINDOW: u64 = 64;

struct Known {
    drive: Uuid,
    bytes: Vec<u8>,
    fingerprint: floe::Hash,
}

struct Run<'a> {
    dice: Dice,
    store: Store,
    directory: &'a Path,
    remotes: Arc<Remotes>,
    known: BTreeMap<Uuid, Known>,
    /// Blocks of each drive that were touched since its last remote snapshot; all, if it has none that still counts.
    touched: BTreeMap<Uuid, Option<BTreeSet<u64>>>,
    kept: Vec<Snapshot>,
}

pub fn run(seed: u64) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = store(1 << 30);
    let remotes = remotes(&store, directory.path());
    let mut run = Run {
        dice: Dice::new(seed),
        store,
        directory: directory.path(),
        remotes,
        known: BTreeMap::new(),
        touched: BTreeMap::new(),
        kept: Vec::new(),
    };
    for _ in 0..STEPS {
        run.step();
    }
    run.check_all();
    run.check_elsewhere();
    run.check_all_goes();
}

impl Run<'_> {
    fn drive(&mut self) -> Drive {
        let drives = self.store.drives();
        if drives.is_empty() || (drives.len() < DRIVES_MAX && self.dice.once_in(12)) {
            // Some sizes are no whole blocks, and some maps have two levels.
            let blocks = if self.dice.once_in(6) { 300 * WINDOW } else { self.dice.within(1..5 * WINDOW) };
            let cut = if self.dice.once_in(2) { 512 } else { 0 };
            let drive = self.store.create_drive(DriveOptions::new(blocks * BLOCK - cut).name("d")).expect("a drive");
            self.touched.insert(drive.uuid(), None);
            return drive;
        }
        self.dice.pick(&drives).expect("there is one").clone()
    }

    fn touch(&mut self, drive: &Drive, blocks: std::ops::Range<u64>) {
        if let Some(Some(touched)) = self.touched.get_mut(&drive.uuid()) {
            touched.extend(blocks);
        }
    }

    fn step(&mut self) {
        let drive = self.drive();
        let size = drive.size_bytes().expect("a size");
        let start = self.dice.within(0..size);
        let most = (size - start).min(if self.dice.once_in(4) { 100 * BLOCK } else { 3 * BLOCK });
        let len = self.dice.within(0..most) + 1;
        let blocks = start / BLOCK..(start + len).div_ceil(BLOCK);
        match self.dice.within(0..20) {
            0..9 => {
                let fill = if self.dice.once_in(5) { 0 } else { self.dice.next() as u8 };
                let bytes: Vec<u8> =
                    (0..len).map(|index| if index % 97 == 0 { self.dice.next() as u8 & fill } else { fill }).collect();
                drive.write_at(&bytes, start).expect("a write");
                self.touch(&drive, blocks);
            }
            9 => {
                drive.discard(start..start + len).expect("a discard");
                self.touch(&drive, blocks);
            }
            10 => {
                // Whole blocks leave no write behind that would tell of the cut.
                let bytes = self.dice.within(1..8 * WINDOW) * BLOCK - if self.dice.once_in(2) { 512 } else { 0 };
                drive.resize(bytes).expect("a resize");
                self.touch(&drive, size.min(bytes) / BLOCK..size.max(bytes).div_ceil(BLOCK));
                if self.dice.once_in(2) && self.known.len() < REMOTES_MAX {
                    self.create(&drive);
                }
            }
            11 => self.kept.push(frozen(&drive)),
            12 => {
                if let Some(snapshot) = self.dice.pick(&self.kept).cloned() {
                    drive.revert_to(&snapshot).expect("a revert");
                    self.touched.insert(drive.uuid(), None);
                }
            }
            13 if self.dice.once_in(3) => {
                drive.delete().expect("a deletion");
                self.touched.remove(&drive.uuid());
            }
            14 => self.forget(),
            15 => self.clone_one(),
            16 if self.dice.once_in(2) => self.remotes = remotes(&self.store, self.directory),
            16 => self.collect(),
            _ if self.known.len() < REMOTES_MAX => self.create(&drive),
            _ => self.forget(),
        }
        self.check_sizes();
    }

    fn create(&mut self, drive: &Drive) {
        let bytes = bytes_of(drive);
        let snapshot = frozen(drive);
        let fingerprint = snapshot.fingerprint().expect("a fingerprint");
        snapshot.delete().expect("a deletion");
        let interrupted = self.dice.once_in(4);
        let uuid = if interrupted {
            let uuid = begin(&self.remotes, drive);
            // What is written meanwhile belongs to the next one, and a node that ended goes on.
            drive.write_at(&[0x5A; 700], 0).unwrap_or_default();
            self.remotes = remotes(&self.store, self.directory);
            self.remotes.transfer(uuid, &mut |_| ()).expect("it arrives");
            uuid
        } else {
            create(&self.remotes, drive)
        };
        let (_, manifest) = self.remotes.manifest(uuid).expect("a manifest");
        if let Some(Some(touched)) = self.touched.get(&drive.uuid()) {
            let most = touched.len() as u64 * BLOCK;
            let windows = touched.iter().map(|block| block / WINDOW).collect::<BTreeSet<_>>().len() as u64;
            // A page of the map for each level, and windows that were in too many pieces.
            let pages = 64 * 1024;
            assert!(
                manifest.added.bytes <= most + windows * pages || manifest.added.bytes <= windows * (WINDOW * BLOCK + pages),
                "{} bytes sent of {most} that changed",
                manifest.added.bytes
            );
            if touched.is_empty() {
                assert_eq!(manifest.added.chunks, 0, "nothing changed, and something was sent");
            }
        }
        assert_eq!(manifest.fingerprint(), fingerprint);
        let nonzero = bytes.chunks(BLOCK as usize).filter(|block| block.iter().any(|byte| *byte != 0)).count() as u64;
        assert_eq!(manifest.referenced_bytes, nonzero * BLOCK);
        assert!(self.store.snapshots().iter().all(|snapshot| snapshot.name().expect("a name") == "frozen"), "a pin is left");
        if !interrupted {
            assert_eq!(self.remotes.allocated_size(uuid).expect("a size"), Some(0), "nothing has changed yet");
        }
        let touched = if interrupted { BTreeSet::from([0]) } else { BTreeSet::new() };
        self.touched.insert(drive.uuid(), Some(touched));
        self.known.insert(uuid, Known { drive: drive.uuid(), bytes, fingerprint });
    }

    fn forget(&mut self) {
        let uuids: Vec<Uuid> = self.known.keys().copied().collect();
        let Some(uuid) = self.dice.pick(&uuids).copied() else { return };
        let known = self.known.remove(&uuid).expect("it is known");
        service::delete(&self.remotes, uuid).expect("a deletion");
        // The next one of the drive may have to send all.
        if self.touched.contains_key(&known.drive) {
            self.touched.insert(known.drive, None);
        }
        assert!(self.remotes.find(uuid).is_none());
        assert!(self.store.bookmark(uuid).is_err(), "its bookmark is left");
    }

    /// What is not needed goes, and nothing else.
    fn collect(&self) {
        let Ok(repository) = self.remotes.repository("GVA") else { return };
        let options = Options { grace: Duration::ZERO, ..Options::default() };
        collect(&repository, &options, false, &mut |_| ()).expect("a collection");
    }

    fn clone_one(&mut self) {
        let uuids: Vec<Uuid> = self.known.keys().copied().collect();
        let Some(uuid) = self.dice.pick(&uuids).copied() else { return };
        self.check(uuid);
    }

    /// A clone, made at once or filled while it is read, is what the drive was.
    fn check(&mut self, uuid: Uuid) {
        let known = &self.known[&uuid];
        let drive = if self.dice.once_in(2) {
            service::clone(&self.remotes, uuid, "c", &mut |_, _| ()).expect("a clone")
        } else {
            let new = NewDrive {
                uuid: self.dice.uuid(),
                name: "c".into(),
                size_bytes: known.bytes.len() as u64,
                attributes: floe::node::attributes::Attributes::read(b""),
            };
            let drive = self.remotes.clone_drive(uuid, new).expect("a clone");
            let filling = self.remotes.filling(drive.uuid()).expect("it is being filled");
            let behind = Arc::clone(&filling).behind(Arc::clone(&self.remotes));
            for _ in 0..4 {
                let start = self.dice.within(0..known.bytes.len() as u64);
                let end = self.dice.within(start..known.bytes.len() as u64) + 1;
                behind.before_read(start..end).expect("it is got");
                let mut found = vec![0; (end - start) as usize];
                drive.read_at(&mut found, start).expect("a read");
                assert!(found == known.bytes[start as usize..end as usize], "{start}..{end} of a clone that is being filled");
            }
            if self.dice.once_in(2) {
                // Another node goes on.
                self.remotes = remotes(&self.store, self.directory);
            }
            self.remotes.fill(drive.uuid()).expect("it fills");
            assert!(self.remotes.filling(drive.uuid()).is_none());
            drive
        };
        assert!(bytes_of(&drive) == known.bytes, "remote snapshot {uuid} is another image");
        let snapshot = drive.snapshot(SnapshotOptions::named("of a clone")).expect("a snapshot");
        assert_eq!(snapshot.fingerprint().expect("a fingerprint"), known.fingerprint);
        snapshot.delete().expect("a deletion");
        drive.delete().expect("a deletion");
    }

    fn check_sizes(&self) {
        for (uuid, known) in &self.known {
            let (Ok(drive), Some(size)) = (self.store.drive(known.drive), self.remotes.allocated_size(*uuid).expect("a size"))
            else {
                continue;
            };
            let now = bytes_of(&drive);
            let differ = |index: &usize| {
                let from = index * BLOCK as usize;
                let block = |bytes: &[u8]| {
                    let mut block = bytes.get(from..bytes.len().min(from + BLOCK as usize)).unwrap_or_default().to_vec();
                    block.resize(BLOCK as usize, 0);
                    block
                };
                block(&known.bytes) != block(&now) && block(&known.bytes).iter().any(|byte| *byte != 0)
            };
            let blocks = (0..known.bytes.len().div_ceil(BLOCK as usize)).filter(differ).count() as u64;
            assert!(size >= blocks * BLOCK, "{size} bytes are said to have changed, and {} have", blocks * BLOCK);
        }
    }

    fn check_all(&mut self) {
        let uuids: Vec<Uuid> = self.known.keys().copied().collect();
        uuids.into_iter().for_each(|uuid| self.check(uuid));
    }

    /// Nothing is left of what was deleted.
    fn check_all_goes(&mut self) {
        let Ok(repository) = self.remotes.repository("GVA") else { return };
        let verified = verify(&repository, true, &mut |_, _| ()).expect("readable");
        assert!(verified.problems.is_empty(), "{:#?}", verified.problems);
        while !self.known.is_empty() {
            self.forget();
        }
        (0..2).for_each(|_| self.collect());
        assert_eq!(repository.bucket().list("packs").expect("a list"), []);
        assert_eq!(repository.bucket().list("snapshots").expect("a list"), []);
    }

    /// All of it is there for a node that never saw the drives.
    fn check_elsewhere(&self) {
        let store = store(1 << 30);
        let elsewhere = remotes(&store, self.directory);
        if self.known.is_empty() {
            return;
        }
        let mut imported = elsewhere.import("GVA", &|_| None).expect("an import");
        imported.found.sort();
        assert_eq!(imported.found, self.known.keys().copied().collect::<Vec<_>>());
        assert_eq!(imported.damaged, Vec::<String>::new());
        for (uuid, known) in &self.known {
            let drive = service::clone(&elsewhere, *uuid, "c", &mut |_, _| ()).expect("a clone");
            assert!(bytes_of(&drive) == known.bytes, "remote snapshot {uuid} is another image elsewhere");
            drive.delete().expect("a deletion");
        }
        elsewhere.count_sizes().expect("maps");
        for uuid in self.known.keys() {
            assert!(elsewhere.allocated_size(*uuid).expect("a size").is_some(), "the drive is not here, and the size is counted");
        }
    }
}
