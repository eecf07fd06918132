//! On what do the contestants run?
//!
//! On a plain file for each drive, written once from end to end, and one store. Its space was written and freed before: a store that
//! has lived a while writes where something was, and the file system is quicker there than where nothing was ever written. Rows about
//! fresh space say so.
//!
//! What is measured depends on how the files came into the page cache: 1 MiB at a time leaves large folios, in which a random write of
//! 4 KiB is several times slower to sync. So all files of a comparison are written the same way, with pieces as large as the reads and
//! writes that follow, and rows that drop the cache come last.

use std::fs::{File, OpenOptions};
use std::path::PathBuf;

use floe::{Drive, DriveOptions, Snapshot, Store};

use crate::setup::{BLOCK, Dice, GIB, directory, file_store, forget, freeze, freeze_often, plain_file_by, write_all_by};

/// Of each drive and plain file.
pub const BLOCKS: u64 = GIB / BLOCK;

const STORE: &str = "targets.floe";
const PLAIN: [&str; 2] = ["targets-plain-1", "targets-plain-2"];

pub struct Ground {
    pub files: [File; 2],
    pub store: Store,
    /// A drive without snapshots, at first in the order in which it was written.
    pub drive: Drive,
    /// A drive under 1,000 snapshots.
    pub deep: Drive,
    /// Its oldest snapshot.
    pub oldest: Snapshot,
}

impl Ground {
    /// Writes the files, so many bytes at a time.
    pub fn build(piece: u64) {
        eprintln!("writing 6 GiB to {}", directory().display());
        for name in PLAIN {
            plain_file_by(piece, name, BLOCKS);
        }
        let store = file_store(STORE, 16 * GIB);
        let new = |name| {
            let drive = store.create_drive(DriveOptions::new(GIB).name(name)).expect("a drive");
            write_all_by(piece, &drive, BLOCKS);
            drive
        };
        let (_drive, deep) = (new("drive"), new("deep"));
        age(piece, &store, &deep);
        freeze_often(&deep, &mut Dice(9), BLOCKS, 1000);
        store.close().expect("a clean end");
    }

    /// Opens what was built.
    pub fn open() -> Self {
        let files = Self::plain_files();
        let store = Store::options().open(store_path()).expect("the store that was built");
        let (drive, deep) = (named(&store, "drive"), named(&store, "deep"));
        let oldest = deep.snapshots().expect("snapshots").swap_remove(0);
        Self { files, store, drive, deep, oldest }
    }

    pub fn plain_files() -> [File; 2] {
        let open = |name| OpenOptions::new().read(true).write(true).open(directory().join(name));
        PLAIN.map(|name| open(name).expect("a plain file that was built"))
    }

    /// Removes the files.
    pub fn clear(self) {
        self.store.close().expect("a clean end");
        drop(self);
        for path in PLAIN.map(|name| directory().join(name)).into_iter().chain([store_path()]) {
            std::fs::remove_file(path).expect("a file to remove");
        }
    }
}

pub fn store_path() -> PathBuf {
    directory().join(STORE)
}

fn named(store: &Store, name: &str) -> Drive {
    store.drives().into_iter().find(|drive| drive.name().is_ok_and(|its| its == name)).expect("a drive that was built")
}

/// Writes space of twice the drive's size and frees it.
fn age(piece: u64, store: &Store, drive: &Drive) {
    for _ in 0..2 {
        let before = freeze(drive);
        write_all_by(piece, drive, BLOCKS);
        forget(store, before);
    }
    store.flush().expect("a flush");
}

/// Offsets of blocks without a pattern: all before any comes again.
pub struct Places {
    blocks: Vec<u64>,
    next: usize,
}

impl Places {
    pub fn new(seed: u64) -> Self {
        Self { blocks: Dice(seed).shuffled(BLOCKS), next: 0 }
    }

    pub fn next(&mut self) -> u64 {
        self.next = (self.next + 1) % self.blocks.len();
        self.blocks[self.next] * BLOCK
    }
}

/// Keeps a drive just after a snapshot: each round forgets the snapshot of the one before and takes one.
pub struct Refreeze<'a> {
    store: &'a Store,
    drive: &'a Drive,
    kept: Option<Snapshot>,
}

impl<'a> Refreeze<'a> {
    pub fn new(store: &'a Store, drive: &'a Drive) -> Self {
        Self { store, drive, kept: None }
    }

    pub fn again(&mut self) {
        self.forget();
        self.kept = Some(freeze(self.drive));
    }

    /// Forgets the snapshot.
    pub fn forget(&mut self) {
        if let Some(old) = self.kept.take() {
            forget(self.store, old);
            // What a commit has freed may be used by the next one.
            self.store.flush().expect("a flush");
        }
    }
}

impl Drop for Refreeze<'_> {
    fn drop(&mut self) {
        self.forget();
    }
}
