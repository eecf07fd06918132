//! Which stores are damaged?
//!
//! Small ones with something of everything in them, at rest and in the middle of something. They are the same each time: what is
//! random in them, the store's id and a bookmark's, is replaced.

use std::sync::Arc;

use floe::{Drive, DriveOptions, SnapshotOptions, Store, StoreOptions, Uuid};

use super::bench::{BLOCK, Bench, Picture};
use super::seal::{Mutant, kind_and_level, slots};

const BLOCK_BYTES: u64 = BLOCK as u64;
const STORE_ID: usize = 32;
const SEED: usize = 80;
const BOOKMARK_RECORD: u64 = 4;

/// A store, and where its pages are.
pub struct Furnished {
    /// What it consists of.
    pub picture: Picture,
    /// Its superblocks and pages.
    pub pages: Vec<u64>,
    /// The store itself, to be damaged.
    pub bench: Arc<Bench>,
}

/// All of them, the order never changes.
pub fn all() -> Vec<Furnished> {
    vec![
        furnished(true, family),
        furnished(false, |store| {
            let drives = family(store);
            store.flush().unwrap();
            drives[0].write_at(&[b'u'; 5000], BLOCK_BYTES).unwrap();
            store.flush().unwrap();
            drives
        }),
        furnished(false, |store| {
            let drives = family(store);
            drives[0].resize(5 * BLOCK_BYTES + 7).unwrap();
            drives
        }),
        furnished(false, combs),
        empty(),
        furnished(false, notes),
    ]
}

/// A store with nothing in it.
pub fn empty() -> Furnished {
    furnished(true, |_| Vec::new())
}

fn furnished(closed: bool, furnish: impl Fn(&Store) -> Vec<Drive>) -> Furnished {
    let bench = Arc::new(Bench::new(StoreOptions::CAPACITY_MIN + 700 * BLOCK_BYTES));
    let store = Store::options().create_on(bench.clone()).unwrap();
    let drives = furnish(&store);
    if closed {
        store.close().unwrap();
    }
    let picture = always_the_same(&bench.picture());
    // Whatever is written when the handles go is undone.
    drop((store, drives));
    bench.put(&picture, &picture);
    let pages = Mutant::of(&picture).seal().into_iter().collect();
    Furnished { picture, pages, bench }
}

fn named(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn write(drive: &Drive, byte: u8, block: u64, blocks: u64) {
    drive.write_at(&vec![byte; (blocks * BLOCK_BYTES) as usize], block * BLOCK_BYTES).unwrap();
}

/// Drives with snapshots, clones, a junction, a side branch, bookmarks, tombstones and attributes.
fn family(store: &Store) -> Vec<Drive> {
    let options = DriveOptions::new(40 * BLOCK_BYTES + 12).name("a").uuid(named(1)).attributes(vec![b'a'; 1500]);
    let a = store.create_drive(options).unwrap();
    write(&a, b'A', 0, 8);
    write(&a, b'B', 20, 4);
    a.bookmark("mark").unwrap();
    let first = a.snapshot(SnapshotOptions::named("first").uuid(named(2)).attributes(vec![b's'; 100])).unwrap();
    a.write_at(&[b'C'; 5000], 2 * BLOCK_BYTES + 5).unwrap();
    let b = store.create_drive(DriveOptions::new(1 << 40).name("b").uuid(named(3))).unwrap();
    [0, 1 << 20, (1 << 28) - 2].into_iter().for_each(|block| write(&b, b'D', block, 2));
    let group = [
        (&a, SnapshotOptions::named("second").uuid(named(4))),
        (&b, SnapshotOptions::named("of b").uuid(named(5)).attributes(b"x")),
    ];
    let group = store.snapshot_group(&group).unwrap();
    a.discard(20 * BLOCK_BYTES..22 * BLOCK_BYTES).unwrap();
    write(&a, b'E', 30, 3);
    let c = first.clone_drive(DriveOptions::named("c").uuid(named(6))).unwrap();
    write(&c, b'F', 4, 2);
    c.snapshot(SnapshotOptions::named("of c").uuid(named(7))).unwrap();
    write(&c, b'G', 5, 2);
    write(&b, b'H', 1, 2);
    b.snapshot(SnapshotOptions::named("on a side branch").uuid(named(8))).unwrap();
    b.revert_to(&group[1]).unwrap();
    write(&b, b'I', 0, 1);
    first.delete().unwrap();
    drop((first, group));
    while !store.reclaim(1000).unwrap().done {
        store.flush().unwrap();
    }
    vec![a, b, c]
}

/// Tables and a catalog of two levels, and deletions in the middle.
fn combs(store: &Store) -> Vec<Drive> {
    let options = DriveOptions::new(800 * BLOCK_BYTES).name("comb").uuid(named(1)).attributes(vec![b'a'; 6000]);
    let comb = store.create_drive(options).unwrap();
    (0..180).for_each(|tooth| write(&comb, b'A', 2 * tooth, 1));
    let first = comb.snapshot(SnapshotOptions::named("first").uuid(named(2))).unwrap();
    (50..150).step_by(3).for_each(|tooth| write(&comb, b'B', 2 * tooth, 1));
    let second = comb.snapshot(SnapshotOptions::named("second").uuid(named(3))).unwrap();
    let copy = second.clone_drive(DriveOptions::named("copy").uuid(named(4))).unwrap();
    (0..100).step_by(5).for_each(|tooth| write(&copy, b'C', 2 * tooth + 1, 1));
    comb.discard(0..50 * BLOCK_BYTES).unwrap();
    first.delete().unwrap();
    copy.delete().unwrap();
    drop((first, second));
    store.flush().unwrap();
    store.reclaim(60).unwrap();
    store.flush().unwrap();
    vec![comb]
}

/// Notes of all lengths, one of them with the uuid of a drive.
fn notes(store: &Store) -> Vec<Drive> {
    for (number, length) in [(1, 0), (2, 6000), (3, 1024), (4, 1), (5, 1025)] {
        store.set_note(named(number), &vec![number as u8; length]).unwrap();
    }
    store.delete_note(named(3)).unwrap();
    store.set_note(named(2), &[b'n'; 2100]).unwrap();
    let options = DriveOptions::new(8 * BLOCK_BYTES).name("a").uuid(named(1)).attributes(vec![b'a'; 1500]);
    vec![store.create_drive(options).unwrap()]
}

/// Replaces what is random.
fn always_the_same(picture: &Picture) -> Picture {
    let mut mutant = Mutant::of(picture);
    for slot in 0..2 {
        let superblock = mutant.change(slot);
        superblock[STORE_ID..STORE_ID + 16].copy_from_slice(b"always the same!");
        superblock[SEED..SEED + 4].copy_from_slice(b"seed");
    }
    for number in picture.keys().copied().filter(|number| *number > 1) {
        let page = mutant.block(number);
        if kind_and_level(&page) != Some((3, 0)) {
            continue;
        }
        for (key, start, _) in slots(&page).into_iter().filter(|(key, _, _)| key >> 56 == BOOKMARK_RECORD) {
            mutant.change(number)[start + 1..start + 17].copy_from_slice(&u128::from(key).to_le_bytes());
        }
    }
    mutant.seal();
    let mut picture = picture.clone();
    picture.extend(mutant.changes);
    picture
}
