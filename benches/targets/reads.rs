//! What do reads cost that the page cache answers?

use std::os::unix::fs::FileExt;
use std::time::Duration;

use crate::ground::{Ground, Places};
use crate::load::{read_blocks, read_in_order, timed};
use crate::race::{Contestant, Row, Table, Target};

const READS: u32 = 50_000;
const MEBIBYTES: u32 = 512;
const WHOLE: u32 = 1024;

pub fn rows(table: &mut Table, ground: &Ground) {
    let file = &ground.files[0];
    // Everything into the cache and the map, and every checksum looked at.
    read_in_order(|buf, at| file.read_exact_at(buf, at).expect("a read"), WHOLE);
    for image in [&ground.drive, &ground.deep] {
        read_in_order(|buf, at| image.read_at(buf, at).expect("a read"), WHOLE);
    }
    read_in_order(|buf, at| ground.oldest.read_at(buf, at).expect("a read"), WHOLE);
    let plain = || in_order("plain file", |buf, at| file.read_exact_at(buf, at).expect("a read"));
    let drive = || in_order("drive", |buf, at| ground.drive.read_at(buf, at).expect("a read"));
    table.row(
        Row::new("1 MiB sequential read, cached", Target::SpeedMin(0.95), [plain(), drive()]).turns(3).operations(MEBIBYTES),
    );

    let plain = || random("plain file", |buf, at| file.read_exact_at(buf, at).expect("a read"));
    let live = || random("drive", |buf, at| ground.drive.read_at(buf, at).expect("a read"));
    let deep = || random("drive under 1,000 snapshots", |buf, at| ground.deep.read_at(buf, at).expect("a read"));
    let frozen = || random("oldest of 1,000 snapshots", |buf, at| ground.oldest.read_at(buf, at).expect("a read"));
    table
        .row(Row::new("4 KiB random read, cached", Target::None, [plain(), live(), deep(), frozen()]).turns(3).operations(READS));
    let most = Duration::from_nanos(1100);
    table.row(
        Row::new("4 KiB random read, cached: the time", Target::Within(most), [live(), deep(), frozen()])
            .turns(3)
            .operations(READS),
    );
    table.row(
        Row::new("4 KiB random read, cached: depth", Target::TimeMax(1.1), [live(), deep(), frozen()]).turns(3).operations(READS),
    );
}

fn random<'a>(name: &'static str, read_at: impl Fn(&mut [u8], u64) + 'a) -> Contestant<'a> {
    let mut places = Places::new(21);
    Contestant::new(name, move || timed(|| read_blocks(&read_at, &mut places, READS)))
}

fn in_order<'a>(name: &'static str, read_at: impl Fn(&mut [u8], u64) + 'a) -> Contestant<'a> {
    Contestant::new(name, move || timed(|| read_in_order(&read_at, MEBIBYTES)))
}
