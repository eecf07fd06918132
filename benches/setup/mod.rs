//! What do benchmarks build before they measure?
#![allow(dead_code)] // Each benchmark uses its own part of this.

mod bytes;
mod nowhere;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

pub use bytes::Fresh;
use floe::{Device, Drive, DriveOptions, MemoryDevice, Snapshot, SnapshotOptions, Store};
use nowhere::{DropsFilling, FILLING};

pub const BLOCK: u64 = 4096;
pub const MIB: u64 = 1 << 20;
pub const GIB: u64 = 1 << 30;
pub const TIB: u64 = 1 << 40;

/// Where stores and plain files of the benchmarks go: `FLOE_BENCH_DIR`, else the target directory's file system.
pub fn directory() -> PathBuf {
    let path = std::env::var_os("FLOE_BENCH_DIR").map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    std::fs::create_dir_all(&path).expect("a directory for the benchmarks");
    path
}

/// Whether the files are on tmpfs, where no disk is waited for and nothing can be out of the cache.
pub fn is_in_memory() -> bool {
    const TMPFS_MAGIC: i128 = 0x0102_1994;
    i128::from(rustix::fs::statfs(directory()).expect("a file system").f_type) == TMPFS_MAGIC
}

/// A store without a disk under it: what remains is the engine's own work.
pub fn memory_store(bytes: u64) -> Store {
    let device = Arc::new(MemoryDevice::new(bytes).expect("memory for a store"));
    Store::options().create_on(device).expect("a new store")
}

/// The device of a store that keeps no data of drives which only [`comb`] and [`fill`] wrote to, so that these can be larger than memory.
pub fn dropping_device(bytes: u64) -> Arc<dyn Device> {
    Arc::new(DropsFilling(MemoryDevice::new(bytes).expect("memory for a store")))
}

/// A store on such a device.
pub fn dropping_store(bytes: u64) -> Store {
    Store::options().create_on(dropping_device(bytes)).expect("a new store")
}

/// Whether cases are wanted that take minutes to build.
pub fn is_large() -> bool {
    std::env::var_os("FLOE_BENCH_LARGE").is_some()
}

/// A store in a file of its own.
pub fn file_store(name: &str, bytes: u64) -> Store {
    let path = directory().join(name);
    std::fs::remove_file(&path).unwrap_or_default();
    Store::options().capacity(bytes).create(&path).expect("a new store")
}

/// A plain file of `blocks` written blocks.
pub fn plain_file(name: &str, blocks: u64) -> File {
    plain_file_by(MIB, name, blocks)
}

/// The same, written so many bytes at a time.
pub fn plain_file_by(piece: u64, name: &str, blocks: u64) -> File {
    let path = directory().join(name);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).expect("a plain file");
    in_pieces(piece, blocks, |bytes, at| file.write_all_at(bytes, at).expect("room for a plain file"));
    file.sync_data().expect("a sync");
    file
}

fn in_pieces(piece: u64, blocks: u64, write_at: impl Fn(&[u8], u64)) {
    let mut bytes = Fresh::new(piece);
    for start in (0..blocks * BLOCK).step_by(piece as usize) {
        write_at(bytes.next(), start);
    }
}

/// Numbers without a pattern, the same in every run.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    /// Every number below `end` once, in an order without a pattern.
    pub fn shuffled(&mut self, end: u64) -> Vec<u64> {
        let mut all: Vec<u64> = (0..end).collect();
        for index in (1..all.len()).rev() {
            all.swap(index, self.below(index as u64 + 1) as usize);
        }
        all
    }
}

/// A drive of `size` bytes with `extents` extents of one block each.
pub fn comb(store: &Store, size: u64, extents: u64) -> Drive {
    let drive = store.create_drive(DriveOptions::new(size).name("comb")).expect("a drive");
    for index in 0..extents {
        drive.write_at(&[FILLING; BLOCK as usize], index * 2 * BLOCK).expect("a write");
    }
    drive.flush().expect("a flush");
    drive
}

/// Writes `bytes` of data from the start of the drive on, to nowhere if the device drops them.
pub fn fill(drive: &Drive, bytes: u64) {
    const CHUNK: u64 = 4 * MIB;
    let mut chunk = Fresh::filling(CHUNK);
    for start in (0..bytes).step_by(CHUNK as usize) {
        drive.write_at(&chunk.next()[..CHUNK.min(bytes - start) as usize], start).expect("a write");
    }
}

/// A drive of `blocks` blocks, written in order.
pub fn written_drive(store: &Store, blocks: u64) -> Drive {
    let drive = store.create_drive(DriveOptions::new(blocks * BLOCK).name("written")).expect("a drive");
    write_all_by(MIB, &drive, blocks);
    drive
}

/// Writes the first `blocks` blocks of a drive in order, so many bytes at a time.
pub fn write_all_by(piece: u64, drive: &Drive, blocks: u64) {
    in_pieces(piece, blocks, |bytes, at| drive.write_at(bytes, at).expect("a write"));
    drive.flush().expect("a flush");
}

/// A snapshot without a name, as every benchmark takes it.
pub fn freeze(drive: &Drive) -> Snapshot {
    drive.snapshot(SnapshotOptions::default()).expect("a snapshot")
}

/// Deletes a snapshot and gives its space back.
pub fn forget(store: &Store, snapshot: Snapshot) {
    snapshot.delete().expect("a deletion");
    drop(snapshot);
    reclaim_all(store);
}

/// Gives back the space of everything that was deleted.
pub fn reclaim_all(store: &Store) {
    while !store.reclaim(u64::MAX).expect("space back").done {}
}

/// Freezes a drive of `blocks` blocks `count` times, each time after one random write.
pub fn freeze_often(drive: &Drive, dice: &mut Dice, blocks: u64, count: u64) -> Vec<Snapshot> {
    let mut bytes = Fresh::new(BLOCK);
    let write_and_freeze = |_| {
        drive.write_at(bytes.next(), dice.below(blocks) * BLOCK).expect("a write");
        freeze(drive)
    };
    (0..count).map(write_and_freeze).collect()
}
