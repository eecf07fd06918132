//! What does it cost until a change survives a power cut?

use std::cell::RefCell;

use floe::{Drive, DriveOptions, Store};

use crate::ground::{Ground, Refreeze};
use crate::load::{Fill, plain_commits, plain_writes, timed, writes};
use crate::race::{Contestant, Row, Table, Target};
use crate::setup::{GIB, comb, freeze, is_in_memory, reclaim_all};

const TURNS: usize = 60;

pub fn rows(table: &mut Table, ground: &Ground) {
    let Ground { files: [file, _], store, drive, .. } = ground;
    let page = || plain_writes(file, 1, 11);
    let pages = || plain_writes(file, 32, 14);
    freezes(table, store, &page);

    let mut single = |name, target, drive| table.row(Row::new(name, target, [page(), drive]).turns(TURNS));
    single("flush after each write, unshared", on_disk(Target::SpeedMin(0.95)), writes(drive, 1, 11));
    let frozen = RefCell::new(Refreeze::new(store, drive));
    let again = || frozen.borrow_mut().again();
    let name = "flush after each write, just after a snapshot";
    single(name, on_disk(Target::SpeedMin(0.9)), writes(drive, 1, 13).before(again));
    let name = "flush after each write, just after a snapshot: beside as much, written to as many places";
    let written = [plain_commits(file, 16), writes(drive, 1, 17).before(again)];
    table.row(Row::new(name, Target::None, written).turns(TURNS));
    let name = "flush after every 32 writes, just after a snapshot";
    let frozen_writes = writes(drive, 32, 15).before(again);
    table.row(Row::new(name, on_disk(Target::SpeedMin(1.3)), [pages(), frozen_writes]).turns(TURNS).operations(32));
    frozen.into_inner().forget();
    let name = "flush after every 32 writes, unshared";
    table.row(Row::new(name, Target::None, [pages(), writes(drive, 32, 14)]).turns(TURNS).operations(32));
}

/// Snapshots and clones of a drive of their own, beside one page written and synced.
fn freezes<'a>(table: &mut Table, store: &Store, page: &impl Fn() -> Contestant<'a>) {
    let drive = comb(store, GIB, 1000);
    let taken = RefCell::new(vec![freeze(&drive)]);
    let take = || {
        let mut snapshot = None;
        let time = timed(|| snapshot = Some(freeze(&drive)));
        taken.borrow_mut().extend(snapshot);
        time
    };
    let mut row = |name, target, contestant| table.row(Row::new(name, target, [page(), contestant]).turns(TURNS));
    row("snapshot, durable", on_disk(Target::TimeMax(1.3)), Contestant::new("snapshot", take));

    let mut to = Fill::new(12);
    let write_and_take = || {
        drive.write_at(to.bytes.next(), to.places.next()).expect("a write");
        take()
    };
    let name = "snapshot, durable, and with it the write before it";
    row(name, Target::None, Contestant::new("snapshot", write_and_take));

    let origin = freeze(&drive);
    let clones: RefCell<Vec<Drive>> = RefCell::default();
    let clone = || {
        let mut clone = None;
        let time = timed(|| clone = Some(origin.clone_drive(DriveOptions::default()).expect("a clone")));
        clones.borrow_mut().extend(clone);
        time
    };
    row("clone, durable", on_disk(Target::TimeMax(1.3)), Contestant::new("clone", clone));
    for clone in clones.take() {
        clone.delete().expect("a deletion");
    }

    let delete = || {
        let snapshot = taken.borrow_mut().pop().expect("as many were taken");
        timed(|| snapshot.delete().expect("a deletion"))
    };
    row("delete a snapshot, durable", Target::None, Contestant::new("snapshot", delete));
    for snapshot in taken.take() {
        snapshot.delete().expect("a deletion");
    }
    origin.delete().expect("a deletion");
    drive.delete().expect("a deletion");
    reclaim_all(store);
}

/// Where a sync is free, a ratio of syncs means nothing.
pub fn on_disk(target: Target) -> Target {
    if is_in_memory() { Target::None } else { target }
}
