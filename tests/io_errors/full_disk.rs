//! What if the file system under a sparse store is full?
//!
//! D7: whoever wants more is told `NoSpace`, and keeps what was there; deleting, discarding, flushing and closing go on, for the space
//! that they take was secured before. Nothing is ever written where no space is.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use floe::sim::SimDevice;
use floe::{Device, DriveOptions, Error, ErrorKind, Lend, SnapshotOptions, Store};

const BLOCK: u64 = 4096;
const CAPACITY: u64 = 1 << 30;

/// A sparse file on a file system that has only so much left.
struct FullDisk {
    file: SimDevice,
    space: Mutex<Space>,
}

#[derive(Default)]
struct Space {
    /// Blocks that have space under them.
    secured: BTreeSet<u64>,
    left: u64,
    /// Blocks that were written without.
    unsecured: Vec<u64>,
}

impl FullDisk {
    fn new(blocks: u64) -> Arc<Self> {
        let space = Mutex::new(Space { left: blocks, ..Space::default() });
        Arc::new(Self { file: SimDevice::new(CAPACITY).unwrap(), space })
    }

    fn blocks(range: Range<u64>) -> Range<u64> {
        range.start / BLOCK..range.end.div_ceil(BLOCK)
    }
}

impl Device for FullDisk {
    fn len_bytes(&self) -> u64 {
        self.file.len_bytes()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut space = self.space.lock().unwrap();
        let blocks = Self::blocks(offset..offset + buf.len() as u64);
        if let Some(block) = blocks.clone().find(|block| !space.secured.contains(block)) {
            space.unsecured.push(block);
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.write_at(buf, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        let mut space = self.space.lock().unwrap();
        let new: Vec<u64> = Self::blocks(range).filter(|block| !space.secured.contains(block)).collect();
        if new.len() as u64 > space.left {
            return Err(io::ErrorKind::StorageFull.into());
        }
        space.left -= new.len() as u64;
        space.secured.extend(new);
        Ok(())
    }

    fn grow(&self, len_bytes: u64) -> io::Result<()> {
        self.file.grow(len_bytes)
    }

    fn mapped(&self, range: Range<u64>, lend: Lend) -> &[u8] {
        self.file.mapped(range, lend)
    }
}

/// True if it was done, false if there was no space; nothing else may happen.
#[track_caller]
fn fits<T>(result: Result<T, Error>) -> bool {
    match result {
        Err(error) if error.kind() == ErrorKind::NoSpace => false,
        Err(error) => panic!("{:?}: {error}", error.kind()),
        Ok(_) => true,
    }
}

#[test]
fn full_file_system_refuses_what_does_not_fit_and_nothing_else() {
    let mut counts = [0; 3];
    // From a disk that is full before the store is made to one that has room for some data.
    for blocks in (0..2000).step_by(41) {
        let device = FullDisk::new(blocks);
        let depth = fill_and_empty(&device);
        counts[depth] += 1;
        assert_eq!(device.space.lock().unwrap().unsecured, Vec::<u64>::new(), "{blocks} blocks: written without space under it");
    }
    println!("{} disks too small for a store, {} for a drive, {} were filled", counts[0], counts[1], counts[2]);
    assert!(counts.iter().all(|count| *count > 0));
}

/// How far it got: no store, no drive, or everything.
fn fill_and_empty(device: &Arc<FullDisk>) -> usize {
    let store = match Store::options().create_on(device.clone()) {
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
            return 0;
        }
        Ok(store) => store,
    };
    let Ok(drive) = store.create_drive(DriveOptions::new(1 << 30).name("d")) else {
        store.flush().unwrap();
        store.close().unwrap();
        return 1;
    };
    let pattern = |block: u64, round: u8| [block as u8 | 1, round].repeat(BLOCK as usize / 2);
    let read = |drive: &floe::Drive, block: u64| {
        let mut bytes = vec![0; BLOCK as usize];
        drive.read_at(&mut bytes, block * BLOCK).unwrap();
        bytes
    };
    // Single blocks, apart from each other, so that the table grows too.
    let written = (0..20_000).find(|block| !fits(drive.write_at(&pattern(*block, 1), block * 2 * BLOCK))).expect("it is full");
    assert_eq!(read(&drive, written * 2), vec![0; BLOCK as usize]);
    store.flush().unwrap();
    // What lies there already can be overwritten.
    (0..written).for_each(|block| drive.write_at(&pattern(block, 2), block * 2 * BLOCK).unwrap());
    store.flush().unwrap();
    let snapshot = drive.snapshot(SnapshotOptions::named("s"));
    if fits(drive.rename("renamed")) {
        fits(drive.set_attributes(b"some"));
    }
    if written > 0 && snapshot.is_ok() {
        assert!(!fits(drive.write_at(&pattern(0, 3), 0)), "the snapshot keeps the block, and there is no other");
        assert_eq!(read(&drive, 0), pattern(0, 2));
    }
    store.close().unwrap();
    drop((snapshot, drive, store));

    let store = Store::options().open_on(device.clone()).unwrap();
    let drive = store.drives().remove(0);
    (0..written).for_each(|block| assert_eq!(read(&drive, block * 2), pattern(block, 2)));
    // Everything can be given back, and then be used again.
    for snapshot in store.snapshots() {
        snapshot.delete().unwrap();
    }
    drive.discard(0..written * 2 * BLOCK).unwrap();
    while !store.reclaim(100).unwrap().done {
        store.flush().unwrap();
    }
    store.flush().unwrap();
    assert_eq!(store.usage().data_bytes, 0);
    let again = (0..written).take_while(|block| fits(drive.write_at(&pattern(*block, 4), block * 2 * BLOCK))).count() as u64;
    assert!(again * 10 >= written * 9, "{written} blocks were written, and {again} when they were free again");
    device.space.lock().unwrap().left += 5000;
    drive.write_at(&pattern(1, 5), 1 << 29).unwrap();
    store.flush().unwrap();
    drive.delete().unwrap();
    store.close().unwrap();
    drop((drive, store));
    let store = Store::options().open_on(device.clone()).unwrap();
    while !store.reclaim(1000).unwrap().done {}
    store.flush().unwrap();
    assert!(store.check().unwrap().is_clean());
    2
}
