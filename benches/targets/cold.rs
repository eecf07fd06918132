//! What does it cost when nothing is in the page cache?
//!
//! The cache of both files is dropped before each turn, and the store is opened again: pages that a map holds are not dropped.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use floe::Store;
use rustix::fs::{Advice, fadvise};

use crate::ground::{Ground, Places, store_path};
use crate::load::{Fill, read_blocks, read_in_order, timed, write_drive, write_plain};
use crate::race::{Contestant, Row, Table, Target};
use crate::setup::is_in_memory;

pub fn rows(table: &mut Table) {
    if is_in_memory() {
        return;
    }

    let (mut plain_places, mut places) = (Places::new(31), Places::new(31));
    let plain =
        move || plain(|file| read_blocks(|buf, at| file.read_exact_at(buf, at).expect("a read"), &mut plain_places, 1000));
    let drive = move || floe(|ground| read_blocks(|buf, at| ground.drive.read_at(buf, at).expect("a read"), &mut places, 1000));
    let both = [Contestant::new("plain file", plain), Contestant::new("drive", drive)];
    table.row(Row::new("4 KiB random read, not cached", Target::TimeMax(1.05), both).turns(3).operations(1000));

    const MEBIBYTES: u32 = 512;
    let plain = || self::plain(|file| read_in_order(|buf, at| file.read_exact_at(buf, at).expect("a read"), MEBIBYTES));
    let drive = || floe(|ground| read_in_order(|buf, at| ground.drive.read_at(buf, at).expect("a read"), MEBIBYTES));
    let both = [Contestant::new("plain file", plain), Contestant::new("drive", drive)];
    table.row(Row::new("1 MiB sequential read, not cached", Target::SpeedMin(0.95), both).operations(MEBIBYTES));

    let (mut plain_places, mut places) = (Fill::new(32), Fill::new(32));
    let plain = move || self::plain(|file| write_plain(file, &mut plain_places, 2000));
    let drive = move || floe(|ground| write_drive(&ground.deep, &mut places, 2000));
    let both = [Contestant::new("plain file", plain), Contestant::new("drive under 1,000 snapshots", drive)];
    table.row(Row::new("4 KiB first overwrite after a snapshot, old blocks not cached", Target::None, both).operations(2000));
}

fn forget_cache(file: &File) {
    file.sync_all().expect("a sync");
    fadvise(file, 0, None, Advice::DontNeed).expect("advice for the page cache");
}

fn plain(what: impl FnOnce(&File)) -> Duration {
    let [file, _] = Ground::plain_files();
    forget_cache(&file);
    timed(|| what(&file))
}

fn floe(what: impl FnOnce(&Ground)) -> Duration {
    forget_cache(&OpenOptions::new().read(true).write(true).open(store_path()).expect("the store's file"));
    let ground = Ground::open();
    let time = timed(|| what(&ground));
    Store::close(&ground.store).expect("a clean end");
    time
}
