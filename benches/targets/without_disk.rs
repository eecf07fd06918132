//! How long do the calls take that no disk is waited for?

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use floe::{DriveOptions, MemoryDevice, Store};

use crate::load::timed;
use crate::race::{Contestant, Row, Table, Target};
use crate::setup::{BLOCK, Dice, Fresh, GIB, TIB, comb, freeze, freeze_often, memory_store};

pub fn rows(table: &mut Table) {
    let store = memory_store(4 * GIB);
    let drive = comb(&store, GIB, 1000);
    let five = Target::Within(Duration::from_micros(5));
    let snapshot = || timed(|| drop(black_box(freeze(&drive))));
    table.row(Row::new("snapshot, without a disk", five, [Contestant::new("snapshot", snapshot)]).turns(100));
    let origin = freeze(&drive);
    let clone = || timed(|| drop(black_box(origin.clone_drive(DriveOptions::default()).expect("a clone"))));
    table.row(Row::new("clone, without a disk", five, [Contestant::new("clone", clone)]).turns(100));

    let store = memory_store(4 * GIB);
    let drive = comb(&store, GIB, 1000);
    let all = freeze_often(&drive, &mut Dice(61), 2000, 1000);
    let sizes = || {
        timed(|| {
            for snapshot in &all {
                black_box(snapshot.allocated_size().expect("a size"));
            }
        })
    };
    let one = Target::Within(Duration::from_micros(1));
    let sizes = [Contestant::new("allocated_size", sizes)];
    table.row(Row::new("allocated_size of one of 1,000 snapshots", one, sizes).turns(20).operations(1000));

    let device = Arc::new(MemoryDevice::new(16 * TIB).expect("memory for a store"));
    let open = || Store::options().open_on(device.clone()).expect("a store");
    comb(&Store::options().create_on(device.clone()).expect("a new store"), 16 * TIB, 200_000);
    let mut bytes = Fresh::new(BLOCK);
    let open_after_a_crash = || {
        let mut store = None;
        let time = timed(|| store = Some(open()));
        let store = store.expect("it was opened");
        // As a process leaves it that is killed: what is forgotten here does not close the store.
        let drive = store.drives().swap_remove(0);
        drive.write_at(bytes.next(), 0).expect("a write");
        drive.flush().expect("a flush");
        drive.write_at(bytes.next(), BLOCK).expect("a write");
        std::mem::forget(store);
        time
    };
    let name = "open a drive of 16 TiB and 200,000 extents after a crash, without a disk";
    let ten = Target::Within(Duration::from_millis(10));
    table.row(Row::new(name, ten, [Contestant::new("open", open_after_a_crash)]).turns(20));
}
