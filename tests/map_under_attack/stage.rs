//! On what does an attack take place?

use std::fs::OpenOptions;
use std::ops::Range;
use std::path::PathBuf;

use floe::{Drive, DriveOptions, ErrorKind, Snapshot, SnapshotOptions, Store, StoreOptions};

use crate::memory::{PAGE, offset_in_file};

pub const BLOCK: u64 = 4096;
/// Longer than what is copied out of the map.
pub const LONG: usize = 128 * 1024;
pub const DRIVE_BLOCKS: u64 = 512;

pub struct Stage {
    pub directory: tempfile::TempDir,
    pub store: Store,
}

impl Stage {
    pub fn new() -> Self {
        Self::with(Store::options())
    }

    pub fn with(options: StoreOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = options.capacity(512 << 20).create(directory.path().join("store.floe")).unwrap();
        Self { directory, store }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("store.floe")
    }

    /// A drive full of blocks that say where they are.
    pub fn drive(&self, name: &str) -> Drive {
        let drive = self.store.create_drive(DriveOptions::new(DRIVE_BLOCKS * BLOCK).name(name)).unwrap();
        drive.write_at(&content(name, 0..DRIVE_BLOCKS), 0).unwrap();
        self.store.flush().unwrap();
        drive
    }

    pub fn cut(&self, len: u64) {
        OpenOptions::new().write(true).open(self.path()).unwrap().set_len(len).unwrap();
    }
}

pub fn content(name: &str, blocks: Range<u64>) -> Vec<u8> {
    blocks.flat_map(|block| format!("{name}{block:07}").into_bytes().repeat(PAGE / 8)).collect()
}

pub fn read(drive: &Drive, block: u64, len: usize) -> Result<Vec<u8>, ErrorKind> {
    let mut bytes = vec![1; len];
    drive.read_at(&mut bytes, block * BLOCK).map_err(|error| error.kind()).map(|()| bytes)
}

pub fn expect_whole(drive: &Drive, name: &str) {
    for block in [0, 1, 77, DRIVE_BLOCKS - 1] {
        assert!(read(drive, block, PAGE).unwrap() == content(name, block..block + 1), "block {block} of {name}");
    }
    assert!(read(drive, 5, LONG).unwrap() == content(name, 5..5 + LONG as u64 / BLOCK), "a long read of {name}");
}

pub fn freeze(drive: &Drive) -> Snapshot {
    drive.snapshot(SnapshotOptions::named("s")).unwrap()
}

pub fn image(snapshot: &Snapshot) -> Result<Vec<u8>, ErrorKind> {
    let mut bytes = vec![0; snapshot.size_bytes() as usize];
    for extent in snapshot.extents() {
        let extent = extent.map_err(|error| error.kind())?;
        bytes[extent.offset as usize..][..extent.data.len()].copy_from_slice(extent.data);
    }
    Ok(bytes)
}

/// Where in the store's file a snapshot's data begins.
pub fn place_of(snapshot: &Snapshot) -> u64 {
    offset_in_file(snapshot.extents().next().unwrap().unwrap().data.as_ptr().addr())
}

pub fn snapshot_of(drive: &Drive) -> Snapshot {
    drive.snapshots().unwrap().remove(0)
}
