//! What is in the stores that are measured?

use std::mem;
use std::sync::Arc;

use floe::{Drive, DriveOptions, SnapshotOptions, Store};

use crate::counting;
use crate::device::{DropsData, Powered, block_of};

pub const BLOCK: u64 = 4096;
const TIB: u64 = 1 << 40;
/// Blocks from one extent to the next: 100 million reach over 16 TiB.
const STRIDE: u64 = 42;

/// How many extents lie from one that is overwritten to the next one.
#[derive(Clone, Copy)]
pub enum Spread {
    Near = 1,
    Far = 7919,
}

/// A store, and the drive in it at which the figures are taken.
pub struct World {
    pub device: Arc<DropsData>,
    pub powered: Arc<Powered>,
    pub store: Store,
    pub drive: Drive,
    pub extents: u64,
    /// Heap before there was a store: what the device takes, and this program.
    pub heap_before: usize,
    written: u32,
    next: u64,
}

impl World {
    fn new(capacity: u64, extents: u64) -> Self {
        let device = Arc::new(DropsData::new(capacity).expect("memory for a store"));
        counting::forget_peak();
        let heap_before = counting::live();
        let powered = Powered::new(&device);
        let store = Store::options().create_on(powered.clone()).expect("a new store");
        let drive = store.create_drive(DriveOptions::new(16 * TIB).name("measured")).expect("a drive");
        let mut world = Self { device, powered, store, drive, extents, heap_before, written: 0, next: 0 };
        world.write_next(extents, 0, 1);
        world.store.flush().expect("a flush");
        world
    }

    /// One drive of 16 TiB with so many extents, none beside another.
    pub fn of_extents(extents: u64) -> Self {
        // Twice the data, for what snapshots hold, and metadata.
        Self::new((extents * 2 * BLOCK).max(TIB / 16) + TIB / 16, extents)
    }

    /// One drive with so many snapshots, and a write before each.
    pub fn of_snapshots(snapshots: u64) -> Self {
        let mut world = Self::new(TIB / 8, 100_000);
        for _ in 0..snapshots {
            world.overwrite(1, Spread::Far);
            world.drive.snapshot(SnapshotOptions::default()).expect("a snapshot");
        }
        world
    }

    /// So many drives, a tenth of which have a snapshot and were written to since.
    pub fn of_drives(drives: u64) -> Self {
        const EXTENTS: u64 = 16;
        let world = Self::new(TIB / 8, 100_000);
        for number in 1..drives {
            let options = DriveOptions::new(TIB).name(format!("drive {number}"));
            let drive = world.store.create_drive(options).expect("a drive");
            let write = |word| {
                for extent in 0..EXTENTS {
                    drive.write_at(&block_of(word), extent * STRIDE * BLOCK).expect("a write");
                }
            };
            write(1);
            if number % 10 == 0 {
                drive.snapshot(SnapshotOptions::default()).expect("a snapshot");
                write(2);
            }
        }
        world.store.flush().expect("a flush");
        world
    }

    pub fn heap(&self) -> usize {
        counting::live() - self.heap_before
    }

    pub fn heap_peak(&self) -> usize {
        counting::peak() - self.heap_before
    }

    /// Overwrites other extents than the last time, as long as there are some.
    pub fn overwrite(&mut self, count: u64, spread: Spread) {
        self.write_next(count, self.next, spread as u64);
        self.next = (self.next + count * spread as u64) % self.extents;
    }

    /// Overwrites the same ones as the last time.
    pub fn overwrite_again(&mut self, count: u64, spread: Spread) {
        let back = count * spread as u64 % self.extents;
        self.next = (self.next + self.extents - back) % self.extents;
        self.overwrite(count, spread);
    }

    /// Bytes that are there already would not count as a change.
    fn write_next(&mut self, count: u64, from: u64, step: u64) {
        self.written += 1;
        let block = block_of(self.written);
        for number in 0..count {
            let at = self.offset(from + number * step);
            self.drive.write_at(&block, at).expect("a write");
        }
    }

    /// Where in the drive an extent lies.
    pub fn offset(&self, extent: u64) -> u64 {
        extent % self.extents * STRIDE * BLOCK
    }

    /// Opens the store on another handle, after it was closed or cut off; the old ones are for dropping.
    pub fn open_again(&mut self) -> (Store, Drive) {
        self.powered = Powered::new(&self.device);
        let store = Store::options().open_on(self.powered.clone()).expect("a store");
        let drive = store.drive(self.drive.uuid()).expect("the drive");
        (mem::replace(&mut self.store, store), mem::replace(&mut self.drive, drive))
    }
}
