//! What does each thread do, and what does it see to?

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use floe::{BLOCK_BYTES, Drive, DriveOptions, ErrorKind, Hash, Snapshot, SnapshotOptions, Store, Uuid};

use crate::device::SyncedDevice;
use crate::dice::Dice;
use crate::stamps::{BLOCK_LEN, Counts, Images, Layout, Place, Writers, expect_equal_writes_to_change_nothing, lock};

const FROZEN_MAX: usize = 20;

/// Writers and readers would leave nobody else a processor.
const BREATH: Duration = Duration::from_micros(50);
/// More than anybody manages before the drive is deleted; it ends the test when that fails.
const HARASSED_WRITES_MAX: usize = 100_000;

/// A snapshot that nobody has begun to delete, and what it holds.
#[derive(Clone, Copy)]
struct Frozen {
    uuid: Uuid,
    fingerprint: Hash,
}

/// What all threads share.
pub struct World {
    pub store: Store,
    pub device: Arc<SyncedDevice>,
    pub drives: Vec<Drive>,
    pub writers: Writers,
    pub stop: AtomicBool,
    /// How often each kind of work was done, for the report.
    tally: Mutex<BTreeMap<&'static str, u64>>,
    frozen: Mutex<Vec<Frozen>>,
    /// Acts that a flush has covered.
    flushed: Mutex<Counts>,
}

fn all_bytes(size: u64, read: impl FnOnce(&mut [u8], u64) -> Result<(), floe::Error>) -> Vec<u8> {
    let mut bytes = vec![0xA5; size as usize];
    read(&mut bytes, 0).unwrap();
    bytes
}

pub fn bytes_of(snapshot: &Snapshot) -> Vec<u8> {
    all_bytes(snapshot.size_bytes(), |buf, offset| snapshot.read_at(buf, offset))
}

pub fn bytes_of_drive(drive: &Drive) -> Vec<u8> {
    all_bytes(drive.size_bytes().unwrap(), |buf, offset| drive.read_at(buf, offset))
}

/// `Some`, unless the store had no space for it.
pub fn unless_full<T>(result: Result<T, floe::Error>) -> Option<T> {
    match result {
        Err(error) if error.kind() == ErrorKind::NoSpace => None,
        result => Some(result.unwrap()),
    }
}

pub fn expect_clean(store: &Store) {
    let report = store.check().unwrap();
    assert!(report.is_clean(), "check found {} problems: {:#?}", report.problems_total, report.problems);
}

pub fn drain(store: &Store) {
    while !store.reclaim(1000).unwrap().done {
        store.flush().unwrap();
    }
}

impl World {
    pub fn new(store: Store, device: Arc<SyncedDevice>, layout: Layout, seed: u64) -> Self {
        let named = |drive: usize| DriveOptions::new(layout.drive_bytes()).name(format!("shared {drive}"));
        let drives: Vec<Drive> = (0..layout.drives).map(|drive| store.create_drive(named(drive)).unwrap()).collect();
        let writers = Writers::new(layout, seed);
        let flushed = Mutex::new(writers.completed());
        let (stop, frozen, tally) = (AtomicBool::new(false), Mutex::default(), Mutex::default());
        Self { store, device, drives, writers, stop, tally, frozen, flushed }
    }

    pub fn count(&self, what: &'static str) {
        *lock(&self.tally).entry(what).or_default() += 1;
    }

    /// What was done, in words.
    pub fn tally(&self) -> String {
        let acts: u64 = self.writers.completed().iter().sum();
        let counts: Vec<String> = lock(&self.tally).iter().map(|(what, count)| format!("{count} {what}")).collect();
        let refused = self.writers.refused();
        format!("{acts} acts of writers ({refused} refused), {}, {} commits", counts.join(", "), self.store.info().generation)
    }

    pub fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    pub fn write(&self, writer: usize) {
        while self.goes_on() {
            self.writers.all[writer].work(&self.drives).unwrap();
            thread::sleep(BREATH);
        }
    }

    /// D1, block by block.
    pub fn read(&self, mut dice: Dice) {
        while self.goes_on() {
            let drive = dice.below(self.drives.len() as u64) as usize;
            let blocks = self.drives[drive].size_bytes().unwrap() / BLOCK_BYTES;
            let first = dice.below(blocks);
            let count = (1 + dice.below(6)).min(blocks - first);
            let completed = self.writers.completed();
            let mut bytes = vec![0xA5; count as usize * BLOCK_LEN];
            self.drives[drive].read_at(&mut bytes, first * BLOCK_BYTES).unwrap();
            let begun = self.writers.begun();
            self.count("reads");
            for (block, bytes) in (first..).zip(bytes.chunks(BLOCK_LEN)) {
                self.writers.judge_read(Place { drive, block }, bytes, &completed, &begun).expect("D1");
            }
            thread::sleep(BREATH);
        }
    }

    /// D4: of one drive, or of all of them.
    pub fn snapshot(&self, mut dice: Dice) {
        while self.goes_on() {
            if lock(&self.frozen).len() >= FROZEN_MAX {
                thread::sleep(Duration::from_millis(1));
                continue;
            }
            let members: Vec<usize> = match dice.below(1 + self.drives.len() as u64) as usize {
                group if group == self.drives.len() => (0..self.drives.len()).collect(),
                single => vec![single],
            };
            let completed = self.writers.completed();
            let options = SnapshotOptions::named("frozen").attributes(vec![7; dice.below(2000) as usize]);
            let snapshots = if let [single] = members[..] {
                self.drives[single].snapshot(options).map(|snapshot| vec![snapshot])
            } else {
                let group: Vec<_> = members.iter().map(|drive| (&self.drives[*drive], options.clone())).collect();
                self.store.snapshot_group(&group)
            };
            let Some(snapshots) = unless_full(snapshots) else { continue };
            self.count("freezes");
            let begun = self.writers.begun();
            let images: Vec<_> = members.iter().copied().zip(snapshots.iter().map(bytes_of)).collect();
            self.writers.judge_instant(&images, &completed, &begun).expect("D4");
            let freeze = |snapshot: &Snapshot| Frozen { uuid: snapshot.uuid(), fingerprint: snapshot.fingerprint().unwrap() };
            lock(&self.frozen).extend(snapshots.iter().map(freeze));
        }
    }

    /// Snapshots stay as they are until they are deleted, and longer for who holds them; clones and reverts do them no harm.
    pub fn delete(&self, mut dice: Dice) {
        let mut held: Vec<(Snapshot, Hash)> = Vec::new();
        while self.goes_on() {
            let taken = {
                let mut frozen = lock(&self.frozen);
                let count = frozen.len() as u64;
                (count > 4).then(|| frozen.swap_remove(dice.below(count) as usize))
            };
            let Some(Frozen { uuid, fingerprint }) = taken else {
                thread::sleep(Duration::from_millis(1));
                continue;
            };
            let snapshot = self.store.snapshot(uuid).unwrap();
            match dice.below(3) {
                0 => self.clone_and_change(&snapshot, &mut dice),
                1 => self.clone_and_harass(&snapshot, &mut dice),
                _ => {}
            }
            assert_eq!(snapshot.fingerprint().unwrap(), fingerprint, "a frozen image changed");
            snapshot.delete().unwrap();
            self.count("deletions");
            held.push((snapshot, fingerprint));
            if held.len() > 3 {
                let (snapshot, fingerprint) = held.swap_remove(dice.below(4) as usize);
                assert_eq!(snapshot.fingerprint().unwrap(), fingerprint, "a deleted image changed under its handle");
            }
        }
    }

    fn clone_and_change(&self, snapshot: &Snapshot, dice: &mut Dice) {
        let image = bytes_of(snapshot);
        let Some(copy) = unless_full(snapshot.clone_drive(DriveOptions::named("copy"))) else { return };
        expect_equal_writes_to_change_nothing(&copy);
        for _ in 0..dice.below(5) {
            let offset = dice.below(image.len() as u64 - 5000);
            unless_full(copy.write_at(&[0x5A; 5000], offset));
        }
        if unless_full(copy.revert_to(snapshot)).is_some() {
            assert!(bytes_of_drive(&copy) == image, "a reverted clone is not what its origin is");
        }
        copy.delete().unwrap();
    }

    /// A drive is reverted and deleted under its writers' hands. Nobody asks what it holds; but all others must be left alone.
    fn clone_and_harass(&self, snapshot: &Snapshot, dice: &mut Dice) {
        let Some(copy) = unless_full(snapshot.clone_drive(DriveOptions::named("harassed"))) else { return };
        let blocks = copy.size_bytes().unwrap() / BLOCK_BYTES;
        thread::scope(|scope| {
            for writer in 0..2 {
                let copy = &copy;
                let mut dice = Dice::new(dice.below(1 << 32) + writer);
                scope.spawn(move || {
                    for _ in 0..HARASSED_WRITES_MAX {
                        match copy.write_at(&[0x5A; BLOCK_LEN], dice.below(blocks) * BLOCK_BYTES) {
                            Err(error) if error.kind() == ErrorKind::NotFound => return,
                            result => unless_full(result),
                        };
                    }
                });
            }
            for _ in 0..dice.below(4) {
                thread::sleep(Duration::from_micros(dice.below(500)));
                unless_full(copy.revert_to(snapshot));
            }
            copy.delete().unwrap();
        });
    }

    /// Says which acts must survive a power cut from now on (D2).
    pub fn flush(&self, mut dice: Dice) {
        while self.goes_on() {
            self.count("flushes");
            let completed = self.writers.completed();
            if dice.below(2) == 0 {
                self.store.flush().unwrap()
            } else {
                self.drives[0].flush().unwrap()
            }
            {
                let mut flushed = lock(&self.flushed);
                *flushed = flushed.iter().zip(&completed).map(|(old, new)| *old.max(new)).collect();
            }
            if dice.below(4) == 0 {
                thread::sleep(Duration::from_millis(dice.below(4)));
            }
        }
    }

    /// The power is cut at any moment, in the middle of a commit too; then one looks at what is left, and all goes on.
    pub fn cut(&self, mut dice: Dice) {
        while self.goes_on() {
            thread::sleep(Duration::from_micros(dice.below(20_000)));
            self.cut_power(&mut dice);
            self.count("power cuts");
        }
    }

    /// D2, D3, D5
    fn cut_power(&self, dice: &mut Dice) {
        let flushed = lock(&self.flushed).clone();
        let share = dice.below(4);
        let (left, frozen) = {
            // Nobody begins to delete a snapshot of the list meanwhile.
            let frozen = lock(&self.frozen);
            (self.device.cut(|_| dice.below(3) < share), frozen.clone())
        };
        let begun = self.writers.begun();
        let store = Store::options().open_on(Arc::new(left)).expect("a store opens after a power cut");
        expect_clean(&store);
        let image = |drive: &Drive| bytes_of_drive(&store.drive(drive.uuid()).expect("D5: a drive that was created is there"));
        let images: Vec<_> = self.drives.iter().map(image).enumerate().collect();
        self.writers.judge_after_cut(&images, &flushed, &begun).expect("D2, D3");
        for Frozen { uuid, fingerprint } in frozen {
            let snapshot = store.snapshot(uuid).expect("D5: a snapshot that was created is there");
            assert_eq!(snapshot.fingerprint().unwrap(), fingerprint, "a frozen image is another after a power cut");
        }
    }

    pub fn reclaim(&self, mut dice: Dice) {
        while self.goes_on() {
            if self.store.reclaim(1 + dice.below(60)).unwrap().done {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    pub fn check(&self) {
        while self.goes_on() {
            expect_clean(&self.store);
            self.count("checks");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// A7: after everything is deleted nothing is left.
    pub fn delete_everything(&self) {
        let images: Vec<_> = self.drives.iter().map(bytes_of_drive).enumerate().collect();
        let done = self.writers.completed();
        self.writers.judge_instant(&images as &Images, &done, &done).expect("D1, at the end");
        expect_clean(&self.store);
        self.store.snapshots().iter().for_each(|snapshot| snapshot.delete().unwrap());
        self.drives.iter().for_each(expect_equal_writes_to_change_nothing);
        self.store.drives().iter().for_each(|drive| drive.delete().unwrap());
        drain(&self.store);
        assert_eq!(self.store.usage().data_bytes, 0, "A7: everything was deleted");
        expect_clean(&self.store);
    }
}
