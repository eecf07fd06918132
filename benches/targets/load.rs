//! What do contestants write and read?

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use floe::Drive;

use crate::ground::{BLOCKS, Places};
use crate::race::Contestant;
use crate::setup::{BLOCK, Fresh, MIB};

/// Writes blocks at random, then `fdatasync`.
pub fn plain_writes(file: &File, count: u32, seed: u64) -> Contestant<'_> {
    let mut to = Fill::new(seed);
    Contestant::new("plain file", move || timed(|| write_plain(file, &mut to, count)))
}

/// Writes blocks at random, then flushes.
pub fn writes(drive: &Drive, count: u32, seed: u64) -> Contestant<'_> {
    let mut to = Fill::new(seed);
    Contestant::new("drive", move || timed(|| write_drive(drive, &mut to, count)))
}

/// Blocks to write, and where to.
pub struct Fill {
    pub places: Places,
    pub bytes: Fresh,
}

impl Fill {
    pub fn new(seed: u64) -> Self {
        Self { places: Places::new(seed), bytes: Fresh::new(BLOCK) }
    }
}

pub fn write_plain(file: &File, to: &mut Fill, count: u32) {
    for _ in 0..count {
        file.write_all_at(to.bytes.next(), to.places.next()).expect("a write");
    }
    file.sync_data().expect("a sync");
}

pub fn write_drive(drive: &Drive, to: &mut Fill, count: u32) {
    for _ in 0..count {
        drive.write_at(to.bytes.next(), to.places.next()).expect("a write");
    }
    drive.flush().expect("a flush");
}

/// Writes as much as a commit after one write, to as many places, then `fdatasync`: a block, pages side by side, and a superblock.
pub fn plain_commits(file: &File, seed: u64) -> Contestant<'_> {
    const PAGES: u64 = 6;
    let mut to = Fill::new(seed);
    let mut pages = Fresh::new(PAGES * BLOCK);
    let mut next = 0;
    let mut commit = move || {
        next = (next + PAGES) % (BLOCKS - PAGES) + 1;
        file.write_all_at(to.bytes.next(), to.places.next()).expect("a write");
        file.write_all_at(pages.next(), next * BLOCK).expect("a write");
        file.write_all_at(to.bytes.next(), 0).expect("a write");
        file.sync_data().expect("a sync");
    };
    Contestant::new("plain file, 8 pages in 3 places", move || timed(&mut commit))
}

/// Reads blocks at random.
pub fn read_blocks(read_at: impl Fn(&mut [u8], u64), places: &mut Places, count: u32) {
    let mut bytes = vec![0; BLOCK as usize];
    for _ in 0..count {
        read_at(&mut bytes, places.next());
        std::hint::black_box(&bytes);
    }
}

/// Reads this many bytes from the start on, 1 MiB at a time.
pub fn read_in_order(read_at: impl Fn(&mut [u8], u64), mebibytes: u32) {
    let mut bytes = vec![0; MIB as usize];
    for start in in_order(mebibytes) {
        read_at(&mut bytes, start);
        std::hint::black_box(&bytes);
    }
}

/// Where mebibytes start.
pub fn in_order(mebibytes: u32) -> impl Iterator<Item = u64> {
    assert!(u64::from(mebibytes) * MIB <= BLOCKS * BLOCK, "a drive has that much");
    (0..u64::from(mebibytes)).map(|index| index * MIB)
}

pub fn timed(what: impl FnOnce()) -> Duration {
    let start = Instant::now();
    what();
    start.elapsed()
}
