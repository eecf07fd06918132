//! What happens when there is no space left, in the store or in the file system under it?
//!
//! D7: the write that does not fit says `NoSpace`, what was there stays, and everything that gives back space goes on working. Every
//! case compares all that was acknowledged, before and after opening the store again. The stores catch no SIGBUS, so one would
//! end the test.

#[path = "full_disk/room.rs"]
mod room;
#[path = "full_disk/world.rs"]
mod world;

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use floe::{DriveOptions, ErrorKind, StoreOptions};
use room::{KINDS, Kind, Room, with_mounts};
use world::{BLOCK, NoFallocate, World, fits, scribble};

const MEBIBYTE: u64 = 1 << 20;
/// Small file systems: a store's first commit takes 6 MiB of them.
const ROOM_MEBIBYTES: u64 = 24;

/// A store of that capacity in memory.
fn with_store(capacity: u64, seed: u64, case: impl FnOnce(&mut World)) {
    case(&mut World::in_memory(capacity, seed));
}

/// Runs a random case for `count` seeds, unless more or others are asked for.
fn for_seeds(test: &str, count: u64, case: impl Fn(u64)) {
    let asked = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect("it is a number"));
    let seed = asked("FLOE_SEED");
    let count = asked("FLOE_FULL_DISK_CASES").unwrap_or(if seed.is_some() { 1 } else { count });
    let first = seed.unwrap_or(20_261_122);
    for seed in first..first + count {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| case(seed))) {
            eprintln!("replay: FLOE_SEED={seed} cargo test --test full_disk {test}");
            resume_unwind(panic);
        }
    }
}

fn fill(world: &mut World, drive: usize, at_once: u64) {
    let blocks = world.drives[drive].1.len() as u64;
    let mut block = 0;
    let mut count = at_once;
    while count > 0 {
        assert!(block + count <= blocks, "the drive is too short to fill the store");
        if world.write(drive, block, count) {
            block += count;
        } else {
            count /= 2;
        }
    }
}

/// Everything that a full store must still be able to do.
fn expect_life(world: &mut World) {
    world.compare();
    world.flush();
    world.compare();
    world.reopen();
    world.compare();
    let last = world.drives.len() - 1;
    let blocks = world.drives[last].1.len() as u64;
    world.discard(last, 0, blocks / 2);
    world.flush();
    world.resize(last, blocks - blocks / 4);
    world.drives[last].0.rename("another").expect("a rename works in a full store");
    world.drain();
    world.compare();
    world.reopen();
    world.compare();
}

// --- the store's own space -------------------------------------------------------------------------------------------

#[test]
fn a_store_filled_by_writes_refuses_the_next_and_lives() {
    for capacity in [StoreOptions::CAPACITY_MIN, 140 * MEBIBYTE] {
        with_store(capacity, 1, |world| {
            world.create_drive(8192);
            fill(world, 0, 100);
            assert!(!world.write(0, 8000, 1));
            let full = world.data_blocks();
            expect_life(world);
            assert!(world.data_blocks() < full);
            assert!(world.write(0, 0, full / 4), "what was given back can be written");
            world.compare();
            world.empty();
        });
    }
}

/// The order in which things are deleted.
#[derive(Clone, Copy, Debug)]
enum Order {
    OldestFirst,
    NewestFirst,
    DrivesFirst,
    Random,
}

#[test]
fn a_store_filled_to_the_last_block_by_snapshots_is_emptied_in_any_order() {
    const NAME: &str = "a_store_filled_to_the_last_block_by_snapshots_is_emptied_in_any_order";
    for order in [Order::OldestFirst, Order::NewestFirst, Order::DrivesFirst, Order::Random] {
        for_seeds(NAME, 3, |seed| {
            with_store(StoreOptions::CAPACITY_MIN, seed, |world| empty_after_snapshots(world, order));
        });
    }
}

fn empty_after_snapshots(world: &mut World, order: Order) {
    world.create_drive(100);
    loop {
        let (block, count) = (world.random(90), 1 + world.random(10));
        if !world.write(0, block, count) && !world.write(0, block, 1) {
            break;
        }
        world.snapshot(0, 0);
        if world.random(5) == 0 && world.drives.len() < 4 {
            let snapshot = world.random(world.snapshots.len() as u64) as usize;
            world.clone_drive(snapshot);
        }
    }
    assert_eq!(world.store.usage().free_bytes, 0, "to the last block");
    world.compare();
    // Snapshots, clones and bookmarks hold nothing yet, so they may fit.
    world.snapshot(0, 0);
    world.bookmark(0);
    world.clone_drive(0);
    world.compare();
    world.reopen();
    world.compare();
    while !world.snapshots.is_empty() || !world.drives.is_empty() {
        let (snapshots, drives) = (world.snapshots.len(), world.drives.len());
        let total = (snapshots + drives) as u64;
        // Snapshots are counted first, then drives.
        let pick = match order {
            Order::OldestFirst => 0,
            Order::NewestFirst if snapshots > 0 => snapshots - 1,
            Order::NewestFirst | Order::DrivesFirst => snapshots + drives - 1,
            Order::Random => world.random(total) as usize,
        };
        if pick < snapshots {
            world.delete_snapshot(pick)
        } else {
            world.delete_drive(pick - snapshots)
        }
        if world.random(4) == 0 {
            world.drain();
            world.compare();
        }
        if world.random(10) == 0 {
            world.reopen();
        }
    }
    world.empty();
    assert!(world.create_drive(100) && world.write(0, 0, 100), "an empty store takes something new");
    world.compare();
}

#[test]
fn a_store_whose_metadata_is_full_can_be_emptied() {
    with_store(StoreOptions::CAPACITY_MIN, 7, |world| {
        world.create_drive(100);
        world.write(0, 0, 20);
        let vast = DriveOptions::new(1 << 60).name("vast").attributes(vec![7; MEBIBYTE as usize]);
        let vast = world.store.create_drive(vast).expect("a drive");
        // Attributes are the quickest way to fill pages.
        for attributes in [MEBIBYTE as usize, 50_000, 0] {
            while world.snapshot(0, attributes) {}
        }
        while world.bookmark(0) {}
        // What is scattered takes pages; what is written in place takes none.
        let at = |index: u64| (1000 + index * 977) * BLOCK as u64;
        let mut scattered = 0;
        while fits(vast.write_at(b"scattered", at(scattered))).is_some() {
            scattered += 1;
        }
        assert!(world.store.usage().free_bytes > 0, "it is the metadata that is full");
        assert!(!world.create_drive(4), "not even a drive fits");
        assert!(!world.clone_drive(0), "nor a clone");
        world.compare();
        world.flush();
        world.reopen();
        world.compare();
        let vast = world.store.drives().into_iter().find(|drive| drive.name().expect("a name") == "vast").expect("it is there");
        for index in 0..scattered {
            let mut bytes = [0; 9];
            vast.read_at(&mut bytes, at(index)).expect("it can be read");
            assert_eq!(&bytes, b"scattered");
        }
        // Giving back works, though it takes pages itself, and gives none back before a commit.
        vast.resize(1 << 59).expect("a shrink works in a full store");
        world.compare();
        vast.discard(0..1 << 59).expect("a discard works in a full store");
        vast.delete().expect("a drive is deleted in a full store");
        world.compare();
        world.delete_bookmarks(0);
        world.reopen();
        for _ in 0..20 {
            let snapshot = world.random(world.snapshots.len() as u64) as usize;
            world.delete_snapshot(snapshot);
        }
        world.drain();
        world.compare();
        assert!(world.snapshot(0, MEBIBYTE as usize), "what was given back can be used");
        world.compare();
        world.empty();
        assert!(world.store.usage().metadata_bytes < MEBIBYTE, "{:?}", world.store.usage());
    });
}

/// A drive's own blocks, each at a place of its own, which long writes would gladly put side by side (they may, as long as nobody is
/// refused for it).
fn create_scattered(world: &mut World, blocks: u64) {
    world.create_drive(blocks);
    let last = world.drives.len() - 1;
    for index in 0..blocks {
        world.write(last, index * 37 % blocks, 1);
    }
}

#[test]
fn a_drive_that_fills_the_store_is_overwritten_for_ever() {
    // From one that leaves little room to one that leaves none.
    for blocks in [130, 200, 222, 230, 240, 255, 256, 257, 300] {
        with_store(StoreOptions::CAPACITY_MIN, blocks, |world| {
            create_scattered(world, blocks);
            world.flush();
            let held: Vec<u64> = (0..blocks).filter(|block| world.drives[0].1[*block as usize] > 0).collect();
            let (first, end) = (held[0], held[held.len() - 1] + 1);
            for turn in 0..60 {
                let from = first + world.random(end - first);
                let until = (from + 16 + world.random(200)).min(end);
                let is_whole = (from..until).all(|block| world.drives[0].1[block as usize] > 0);
                if is_whole {
                    assert!(world.write(0, from, until - from), "{blocks} blocks, turn {turn}: its own blocks were refused");
                }
                if world.random(3) == 0 {
                    world.flush();
                }
            }
            world.compare();
            world.reopen();
            world.compare();
            world.empty();
        });
    }
}

#[test]
fn long_writes_over_own_blocks_fit_when_the_metadata_is_full() {
    with_store(StoreOptions::CAPACITY_MIN, 11, |world| {
        create_scattered(world, 100);
        for length in [MEBIBYTE as usize, 70_000, 1025, 0] {
            while world.set_note(usize::MAX, length) {}
        }
        assert!(
            !world.snapshot(0, 1000) && world.store.usage().free_bytes > 100 * BLOCK as u64,
            "it is the metadata that is full"
        );
        for _ in 0..20 {
            assert!(world.write(0, 0, 100), "its own blocks were refused");
            world.flush();
        }
        world.compare();
        world.reopen();
        world.compare();
    });
}

#[test]
fn notes_fill_a_store_and_are_deleted_when_it_is_full() {
    with_store(StoreOptions::CAPACITY_MIN, 9, |world| {
        world.create_drive(100);
        world.write(0, 0, 20);
        let new = usize::MAX;
        for length in [MEBIBYTE as usize, 70_000, 1025, 0] {
            while world.set_note(new, length) {}
        }
        let count = world.notes.len();
        assert!(count > 50, "only {count} notes fit");
        assert!(!world.set_note(0, MEBIBYTE as usize), "other bytes for the longest note do not fit");
        assert!(!world.set_note(count - 1, MEBIBYTE as usize), "nor many for the shortest");
        assert!(!world.create_drive(4), "nor a drive");
        world.compare();
        world.reopen();
        world.compare();
        // The longest first: their deletion takes the most pages itself, and gives none back before a commit.
        for _ in 0..count / 2 {
            world.delete_note(0);
        }
        world.compare();
        assert!(world.set_note(new, MEBIBYTE as usize) && world.snapshot(0, 1000), "what was given back can be used");
        world.compare();
        world.reopen();
        world.compare();
        world.empty();
        assert!(world.store.usage().metadata_bytes < MEBIBYTE, "{:?}", world.store.usage());
    });
}

// --- the file system under a sparse store ----------------------------------------------------------------------------

fn in_rooms(test: &str, case: impl Fn(&Room)) {
    with_mounts(test, || KINDS.into_iter().for_each(|kind| case(&Room::new(kind, ROOM_MEBIBYTES))));
}

#[test]
fn a_file_system_filled_by_the_store_refuses_the_next_write_and_the_store_lives() {
    in_rooms("a_file_system_filled_by_the_store_refuses_the_next_write_and_the_store_lives", |room| {
        let mut world = World::new(room.store(), 1 << 40, 1);
        world.create_drive(8192);
        fill(&mut world, 0, 200);
        let full = world.data_blocks();
        assert!(full > 1000, "only {full} blocks fit");
        // What takes no space of the file system may still fit.
        world.snapshot(0, 0);
        world.bookmark(0);
        expect_life(&mut world);
        world.delete_bookmarks(0);
        world.snapshots.drain(..).for_each(|(snapshot, _)| snapshot.delete().expect("a snapshot is deleted"));
        world.drain();
        assert!(world.data_blocks() < full);
        assert!(world.write(0, 0, full / 4), "what was given back can be written");
        world.compare();
        world.empty();
        assert!(world.create_drive(4096) && world.write(0, 0, full / 2), "and all of it again");
        world.reopen();
        world.compare();
    });
}

#[test]
fn a_file_system_filled_by_somebody_else_refuses_writes_until_he_goes() {
    in_rooms("a_file_system_filled_by_somebody_else_refuses_writes_until_he_goes", |room| {
        for left in [0, 40 * 1024, 5 * MEBIBYTE] {
            let mut world = World::new(room.store(), 1 << 40, left);
            world.create_drive(4096);
            room.leave(left);
            fill(&mut world, 0, 200);
            expect_life(&mut world);
            fill(&mut world, 0, 200);
            // Nothing that is refused leaves anything behind which a later commit would stumble over.
            for _ in 0..20 {
                world.create_drive(64);
                world.snapshot(0, 3000);
                let last = world.drives.len() - 1;
                world.write(last, 0, 30);
                world.flush();
            }
            expect_life(&mut world);
            room.leave_all();
            let last = world.drives.len() - 1;
            assert!(world.write(0, 0, 500) && world.write(last, 0, 4) && world.snapshot(0, 3000), "there is space again");
            world.compare();
            world.reopen();
            world.compare();
            world.empty();
            world.store.close().expect("it closes");
            drop(world);
            std::fs::remove_file(room.store()).expect("removed");
        }
    });
}

/// Every commit takes pages and frees as many, so the places of pages wander: however long that goes on, none is lost.
#[test]
fn thousands_of_commits_on_a_full_disk_find_room() {
    in_rooms("thousands_of_commits_on_a_full_disk_find_room", |room| {
        let mut world = World::new(room.store(), 1 << 40, 5);
        world.create_drive(4096);
        for block in (0..2000).step_by(2) {
            world.write(0, block, 1);
        }
        world.snapshot(0, 0);
        world.create_drive(8192);
        fill(&mut world, 1, 200);
        room.leave(0);
        for turn in 0..3000 {
            let block = world.random(2000);
            match turn % 3 {
                0 => world.discard(0, block, 1),
                1 => world.drives[0].0.rename(&format!("name {turn}")).expect("a rename works on a full disk"),
                _ => {
                    world.write(0, block, 1);
                }
            }
            world.flush();
        }
        world.compare();
        world.reopen();
        room.leave(0);
        expect_life(&mut world);
        world.empty();
    });
}

#[test]
fn whatever_happens_on_a_disk_that_fills_up_nothing_is_lost() {
    const NAME: &str = "whatever_happens_on_a_disk_that_fills_up_nothing_is_lost";
    with_mounts(NAME, || {
        for kind in KINDS {
            for_seeds(NAME, 4, |seed| {
                let room = Room::new(kind, ROOM_MEBIBYTES);
                let mut world = World::new(room.store(), 1 << 40, seed);
                world.create_drive(1500);
                for _ in 0..400 {
                    act(&mut world, Some(&room));
                }
                expect_end(&mut world);
            });
        }
    });
}

/// Each looks whether there is room before it begins, and all begin at once.
#[test]
fn writers_that_race_for_the_last_space_lose_nothing() {
    for_seeds("writers_that_race_for_the_last_space_lose_nothing", 4, |seed| {
        with_store(StoreOptions::CAPACITY_MIN + MEBIBYTE, seed, |world| {
            for _ in 0..4 {
                world.create_drive(400);
            }
            for turn in 0..3 {
                std::thread::scope(|scope| {
                    for (index, (drive, image)) in world.drives.iter_mut().enumerate() {
                        let seed = seed * 100 + turn * 10 + index as u64;
                        scope.spawn(move || scribble(drive, image, seed, 300));
                    }
                });
                world.compare();
                world.reopen();
                world.compare();
            }
            world.empty();
        });
    });
}

#[test]
fn whatever_happens_in_a_store_that_fills_up_nothing_is_lost() {
    for_seeds("whatever_happens_in_a_store_that_fills_up_nothing_is_lost", 8, |seed| {
        with_store(StoreOptions::CAPACITY_MIN + 2 * MEBIBYTE, seed, |world| {
            world.create_drive(500);
            for _ in 0..500 {
                act(world, None);
            }
            expect_end(world);
        });
    });
}

fn expect_end(world: &mut World) {
    world.compare();
    world.reopen();
    world.compare();
    world.empty();
}

/// Does something at random.
fn act(world: &mut World, room: Option<&Room>) {
    if world.drives.is_empty() && !world.create_drive(500) {
        return world.drain();
    }
    let drive = world.random(world.drives.len() as u64) as usize;
    let blocks = world.drives[drive].1.len() as u64;
    let block = world.random(blocks);
    let count = 1 + world.random((blocks - block).min(60));
    let snapshots = world.snapshots.len() as u64;
    let snapshot = if snapshots > 0 { world.random(snapshots) as usize } else { 0 };
    let notes = world.notes.len() as u64;
    match world.random(44) {
        0..=14 => {
            world.write(drive, block, count);
        }
        15..=18 => world.discard(drive, block, count),
        19..=22 if snapshots < 12 => {
            world.snapshot(drive, 0);
        }
        23 if snapshots < 12 => {
            let attributes = world.random(20_000) as usize;
            world.snapshot(drive, attributes);
        }
        24 if snapshots > 0 && world.drives.len() < 6 => {
            world.clone_drive(snapshot);
        }
        25 if snapshots > 0 => {
            world.revert(drive, snapshot);
        }
        26 | 27 if snapshots > 0 => world.delete_snapshot(snapshot),
        28 if world.drives.len() > 1 => world.delete_drive(drive),
        29 if world.drives.len() < 6 => {
            world.create_drive(500);
        }
        30 => {
            world.bookmark(drive);
        }
        31 => world.delete_bookmarks(drive),
        32 => {
            world.resize(drive, 1 + block);
        }
        33 => {
            world.resize(drive, (blocks + 200).min(1500));
        }
        34 => world.flush(),
        35 => drop(world.store.reclaim(20).expect("reclaiming works in a full store")),
        36 => world.drain(),
        37 => {
            world.compare();
            world.reopen();
        }
        40..=42 => {
            let (note, length) = (world.random(notes.min(9) + 1) as usize, world.random(20_000) as usize);
            world.set_note(note, length);
        }
        43 if notes > 0 => {
            let note = world.random(notes) as usize;
            world.delete_note(note);
        }
        38 => {
            if let Some(room) = room {
                let left = world.random(3) * 700 * 1024;
                room.leave(left);
            }
        }
        _ => {
            if let Some(room) = room {
                room.leave_all();
            }
        }
    }
}

// --- a file system without fallocate ---------------------------------------------------------------------------------

/// Where space cannot be secured, nobody can promise that the commit which follows a write has room. So there the first write that
/// fails poisons (D6), for want of space as for any other reason, and opening again leads back to what was flushed.
#[test]
fn a_full_disk_without_fallocate_poisons_and_loses_nothing_that_was_flushed() {
    with_mounts("a_full_disk_without_fallocate_poisons_and_loses_nothing_that_was_flushed", || {
        let room = Room::new(Kind::Tmpfs, ROOM_MEBIBYTES);
        let file = std::fs::File::create(room.store()).expect("a file");
        file.set_len(1 << 30).expect("a length");
        let path = room.store();
        let mut world = World::on(move || NoFallocate::open(&path), 1);
        world.create_drive(8192);
        world.write(0, 0, 100);
        world.flush();
        room.leave(400 * 1024);
        let drive = world.drives[0].0.clone();
        let error = (0..100).find_map(|turn| drive.write_at(&[7; 10 * BLOCK], (100 + turn * 10) * BLOCK as u64).err());
        assert_eq!(error.expect("the disk is full").kind(), ErrorKind::Io);
        assert_eq!(world.store.flush().unwrap_err().kind(), ErrorKind::Poisoned);
        assert_eq!(world.store.close().unwrap_err().kind(), ErrorKind::Poisoned);
        room.leave_all();
        drop(drive);
        world.open_again();
        world.compare();
        assert!(world.write(0, 100, 200), "there is space again");
        world.compare();
    });
}
