//! What do two threads get done at once?

use std::os::unix::fs::FileExt;

use crate::ground::{Ground, Places};
use crate::load::{Fill, read_blocks, timed, write_drive, write_plain};
use crate::race::{Contestant, Row, Table, Target};

const READS: u32 = 50_000;
const WRITES: u32 = 10_000;

pub fn rows(table: &mut Table, ground: &Ground) {
    let [one, other] = &ground.files;
    let plain = both("plain file", Places::new, |places: &mut Places, _| {
        read_blocks(|buf, at| one.read_exact_at(buf, at).expect("a read"), places, READS);
    });
    let drive = both("drive", Places::new, |places: &mut Places, _| {
        read_blocks(|buf, at| ground.drive.read_at(buf, at).expect("a read"), places, READS);
    });
    table.row(
        Row::new("two threads: 4 KiB random read, cached, of one drive", Target::None, [plain, drive]).operations(2 * READS),
    );

    let plain =
        both("two plain files", Fill::new, |to: &mut Fill, first| write_plain(if first { one } else { other }, to, WRITES));
    let drives = both("two drives of a store", Fill::new, |to: &mut Fill, first| {
        write_drive(if first { &ground.drive } else { &ground.deep }, to, WRITES);
    });
    table.row(
        Row::new("two threads: 4 KiB overwrite of a file each, each synced at its end", Target::None, [plain, drives])
            .operations(2 * WRITES),
    );
}

/// Does the same in two threads, of which one is told that it is the first.
fn both<'a, T: Send + 'a>(name: &'static str, new: impl Fn(u64) -> T, what: impl Fn(&mut T, bool) + Sync + 'a) -> Contestant<'a> {
    let (mut one, mut other) = (new(51), new(52));
    Contestant::new(name, move || {
        timed(|| {
            std::thread::scope(|scope| {
                scope.spawn(|| what(&mut one, true));
                what(&mut other, false);
            });
        })
    })
}
