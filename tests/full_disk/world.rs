//! What was acknowledged, and is it still there?
//!
//! Each block that is written carries a stamp of its own, so an image is a list of stamps, and a copy of everything fits into
//! little memory.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use floe::{Device, Drive, DriveOptions, ErrorKind, FileDevice, MemoryDevice, Result, Snapshot, SnapshotOptions, Store, Uuid};

pub const BLOCK: usize = 4096;

/// An image: a stamp per block, 0 for a block of zeroes.
pub type Image = Vec<u64>;

/// A store, and what must be in it.
pub struct World {
    open: Box<dyn Fn() -> Store>,
    pub store: Store,
    pub drives: Vec<(Drive, Image)>,
    pub snapshots: Vec<(Snapshot, Image)>,
    /// In order of creation.
    pub notes: Vec<(Uuid, Vec<u8>)>,
    random: u64,
    names: u64,
    stamps: u64,
}

/// Did it work, or was there no space? Anything else fails.
#[track_caller]
pub fn fits<T>(result: Result<T>) -> Option<T> {
    match result {
        Ok(done) => Some(done),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
            None
        }
    }
}

impl World {
    /// A new store in a file. It catches no signal, so that any ends the test.
    pub fn new(path: PathBuf, capacity: u64, seed: u64) -> Self {
        let store = Store::options().catch_bus_errors(false).capacity(capacity).create(&path).expect("a new store");
        let open = move || Store::options().catch_bus_errors(false).open(&path).expect("a full store is opened");
        Self::of(store, Box::new(open), seed)
    }

    /// A new store in memory.
    pub fn in_memory(capacity: u64, seed: u64) -> Self {
        let device = Arc::new(MemoryDevice::new(capacity).expect("memory"));
        Self::on(move || device.clone(), seed)
    }

    /// A new store on what `device` makes.
    pub fn on(device: impl Fn() -> Arc<dyn Device> + 'static, seed: u64) -> Self {
        let store = Store::options().create_on(device()).expect("a new store");
        Self::of(store, Box::new(move || Store::options().open_on(device()).expect("a full store is opened")), seed)
    }

    fn of(store: Store, open: Box<dyn Fn() -> Store>, seed: u64) -> Self {
        Self { open, store, drives: Vec::new(), snapshots: Vec::new(), notes: Vec::new(), random: seed, names: 0, stamps: 0 }
    }

    /// A number below `below`.
    pub fn random(&mut self, below: u64) -> u64 {
        random(&mut self.random, below)
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("n{}", self.names)
    }

    pub fn create_drive(&mut self, blocks: u64) -> bool {
        let options = DriveOptions::new(blocks * BLOCK as u64).name(self.name());
        let Some(drive) = fits(self.store.create_drive(options)) else { return false };
        self.drives.push((drive, vec![0; blocks as usize]));
        true
    }

    /// Writes new stamps; if there is no space for all of them, none was written.
    pub fn write(&mut self, drive: usize, block: u64, blocks: u64) -> bool {
        let (handle, image) = &mut self.drives[drive];
        self.stamps += blocks;
        write(handle, image, block as usize..(block + blocks) as usize, self.stamps - blocks + 1)
    }

    pub fn discard(&mut self, drive: usize, block: u64, blocks: u64) {
        let (handle, image) = &mut self.drives[drive];
        handle.discard(block * BLOCK as u64..(block + blocks) * BLOCK as u64).expect("a discard works in a full store");
        image[block as usize..(block + blocks) as usize].fill(0);
    }

    /// Makes a drive shorter, or longer by holes.
    pub fn resize(&mut self, drive: usize, blocks: u64) -> bool {
        let (handle, image) = &mut self.drives[drive];
        let is_shorter = blocks <= image.len() as u64;
        let result = handle.resize(blocks * BLOCK as u64);
        assert!(!is_shorter || result.is_ok(), "a shrink works in a full store: {result:?}");
        let fits = fits(result).is_some();
        if fits {
            image.resize(blocks as usize, 0);
        }
        fits
    }

    pub fn snapshot(&mut self, drive: usize, attributes: usize) -> bool {
        let options = SnapshotOptions::named(self.name()).attributes(vec![7; attributes]);
        let before = (self.store.info().snapshots, self.store.info().epoch);
        match fits(self.drives[drive].0.snapshot(options)) {
            Some(snapshot) => self.snapshots.push((snapshot, self.drives[drive].1.clone())),
            None => assert_eq!((self.store.info().snapshots, self.store.info().epoch), before, "refused, and yet there"),
        }
        self.store.info().snapshots > before.0
    }

    pub fn clone_drive(&mut self, snapshot: usize) -> bool {
        let options = DriveOptions::named(self.name());
        let before = self.store.info().drives;
        match fits(self.snapshots[snapshot].0.clone_drive(options)) {
            Some(drive) => self.drives.push((drive, self.snapshots[snapshot].1.clone())),
            None => assert_eq!(self.store.info().drives, before, "refused, and yet there"),
        }
        self.store.info().drives > before
    }

    pub fn revert(&mut self, drive: usize, snapshot: usize) -> bool {
        let (from, image) = &self.snapshots[snapshot];
        let reverted = fits(self.drives[drive].0.revert_to(from)).is_some();
        if reverted {
            self.drives[drive].1 = image.clone();
        }
        reverted
    }

    pub fn bookmark(&mut self, drive: usize) -> bool {
        let before = self.store.info().bookmarks;
        let name = self.name();
        if fits(self.drives[drive].0.bookmark(&name)).is_none() {
            assert_eq!(self.store.info().bookmarks, before, "refused, and yet there");
        }
        self.store.info().bookmarks > before
    }

    pub fn delete_bookmarks(&mut self, drive: usize) {
        for bookmark in self.drives[drive].0.bookmarks().expect("listed") {
            bookmark.delete().expect("a bookmark is deleted in a full store");
        }
    }

    pub fn delete_drive(&mut self, drive: usize) {
        self.drives.swap_remove(drive).0.delete().expect("a drive is deleted in a full store");
    }

    pub fn delete_snapshot(&mut self, snapshot: usize) {
        self.snapshots.swap_remove(snapshot).0.delete().expect("a snapshot is deleted in a full store");
    }

    /// A new note, or new bytes for an old one; if there is no space for them, nothing was changed.
    pub fn set_note(&mut self, note: usize, length: usize) -> bool {
        self.stamps += 1;
        let bytes: Vec<u8> = self.stamps.to_le_bytes().into_iter().cycle().take(length).collect();
        let uuid = self.notes.get(note).map_or_else(Uuid::new_v4, |(uuid, _)| *uuid);
        let fits = fits(self.store.set_note(uuid, &bytes)).is_some();
        match self.notes.get_mut(note) {
            Some(note) if fits => note.1 = bytes,
            None if fits => self.notes.push((uuid, bytes)),
            _ => self.compare_notes(),
        }
        fits
    }

    pub fn delete_note(&mut self, note: usize) {
        self.store.delete_note(self.notes.remove(note).0).expect("a note is deleted in a full store");
    }

    #[track_caller]
    pub fn compare_notes(&self) {
        assert_eq!(self.store.notes(), self.notes.iter().map(|(uuid, _)| *uuid).collect::<Vec<_>>());
        for (uuid, bytes) in &self.notes {
            assert!(self.store.note(*uuid).expect("it can be read") == *bytes, "note {uuid}: not what was acknowledged");
        }
    }

    pub fn flush(&self) {
        self.store.flush().expect("a flush works in a full store");
    }

    /// Gives back all that was deleted, so that it can be used again.
    pub fn drain(&self) {
        while !self.store.reclaim(1000).expect("reclaiming works in a full store").done {
            self.flush();
        }
        self.flush();
    }

    /// Closes the store and opens it again.
    pub fn reopen(&mut self) {
        self.store.close().expect("a full store is closed");
        self.open_again();
    }

    /// Opens a store that was closed, or could not be.
    pub fn open_again(&mut self) {
        let live: Vec<_> = self.drives.drain(..).map(|(drive, image)| (drive.uuid(), image)).collect();
        let frozen: Vec<_> = self.snapshots.drain(..).map(|(snapshot, image)| (snapshot.uuid(), image)).collect();
        self.store = (self.open)();
        for (uuid, image) in live {
            self.drives.push((self.store.drive(uuid).expect("a drive stays"), image));
        }
        for (uuid, image) in frozen {
            self.snapshots.push((self.store.snapshot(uuid).expect("a snapshot stays"), image));
        }
    }

    /// Everything that was acknowledged is there, and the store is as it must be.
    #[track_caller]
    pub fn compare(&self) {
        self.compare_images();
        self.compare_notes();
        self.check();
    }

    #[track_caller]
    pub fn compare_images(&self) {
        for (drive, image) in &self.drives {
            assert_eq!(drive.size_bytes().expect("a size"), (image.len() * BLOCK) as u64);
            expect_image(|buf, at| drive.read_at(buf, at), image, 0, "a drive");
        }
        for (snapshot, image) in &self.snapshots {
            expect_image(|buf, at| snapshot.read_at(buf, at), image, 0, "a snapshot");
        }
    }

    #[track_caller]
    pub fn check(&self) {
        let report = self.store.check().expect("a check works in a full store");
        assert!(report.is_clean(), "{report:?}");
    }

    pub fn data_blocks(&self) -> u64 {
        self.store.usage().data_bytes / BLOCK as u64
    }

    /// Deletes everything, whereupon nothing is left.
    pub fn empty(&mut self) {
        while !self.drives.is_empty() {
            self.delete_drive(0);
        }
        while !self.snapshots.is_empty() {
            self.delete_snapshot(0);
        }
        while !self.notes.is_empty() {
            self.delete_note(0);
        }
        self.drain();
        assert_eq!(self.data_blocks(), 0);
        self.check();
    }
}

/// Writes blocks with stamps from `stamp` on; if they do not fit, none of them was written.
#[track_caller]
fn write(drive: &Drive, image: &mut Image, range: Range<usize>, stamp: u64) -> bool {
    let stamps: Vec<u64> = (stamp..).take(range.len()).collect();
    let bytes: Vec<u8> = stamps.iter().flat_map(|stamp| stamp.to_le_bytes().repeat(BLOCK / 8)).collect();
    let fits = fits(drive.write_at(&bytes, (range.start * BLOCK) as u64)).is_some();
    if fits {
        image[range].copy_from_slice(&stamps);
    } else {
        expect_image(|buf, at| drive.read_at(buf, at), &image[range.clone()], range.start, "a write that was refused");
    }
    fits
}

/// Writes and discards at random, as one of several writers.
pub fn scribble(drive: &Drive, image: &mut Image, seed: u64, turns: u64) {
    let mut noise = seed;
    for turn in 0..turns {
        let block = random(&mut noise, image.len() as u64) as usize;
        let count = 1 + random(&mut noise, (image.len() - block).min(30) as u64) as usize;
        match random(&mut noise, 8) {
            0 => {
                drive.discard((block * BLOCK) as u64..((block + count) * BLOCK) as u64).expect("a discard works in a full store");
                image[block..block + count].fill(0);
            }
            1 => drive.flush().expect("a flush works in a full store"),
            2 if turn % 10 == 0 => drop(fits(drive.snapshot(SnapshotOptions::named("s"))).map(|snapshot| snapshot.delete())),
            _ => {
                write(drive, image, block..block + count, seed << 32 | turn << 8);
            }
        }
    }
}

/// A number below `below`.
fn random(noise: &mut u64, below: u64) -> u64 {
    *noise = noise.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *noise;
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ bits >> 31) % below
}

#[track_caller]
fn expect_image(read: impl Fn(&mut [u8], u64) -> Result<()>, image: &[u64], first: usize, what: &str) {
    const AT_ONCE: usize = 64;
    let mut bytes = vec![0; AT_ONCE * BLOCK];
    for (index, stamps) in image.chunks(AT_ONCE).enumerate() {
        let block = first + index * AT_ONCE;
        let bytes = &mut bytes[..stamps.len() * BLOCK];
        read(bytes, (block * BLOCK) as u64).expect("it can be read");
        for (offset, (found, stamp)) in bytes.chunks(BLOCK).zip(stamps).enumerate() {
            let is_stamp = found.chunks(8).all(|eight| eight == stamp.to_le_bytes());
            assert!(is_stamp, "{what}: block {}: not what was acknowledged", block + offset);
        }
    }
}

/// A file as a device without `fallocate`: a full disk shows only when something is written.
pub struct NoFallocate(FileDevice);

impl NoFallocate {
    /// A device over a file that exists.
    pub fn open(path: &Path) -> Arc<dyn Device> {
        Arc::new(Self(FileDevice::options().catch_bus_errors(false).open(path).expect("the file exists")))
    }
}

impl Device for NoFallocate {
    fn len_bytes(&self) -> u64 {
        self.0.len_bytes()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.0.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> std::io::Result<()> {
        self.0.write_at(buf, offset)
    }

    fn sync(&self) -> std::io::Result<()> {
        self.0.sync()
    }

    fn allocate(&self, _range: Range<u64>) -> std::io::Result<()> {
        Ok(())
    }

    fn grow(&self, len_bytes: u64) -> std::io::Result<()> {
        self.0.grow(len_bytes)
    }

    fn mapped(&self, range: Range<u64>, lend: floe::Lend) -> &[u8] {
        self.0.mapped(range, lend)
    }

    fn faults(&self, lend: floe::Lend) -> u64 {
        self.0.faults(lend)
    }

    fn will_read(&self, range: Range<u64>) {
        self.0.will_read(range);
    }

    fn will_write(&self, range: Range<u64>) {
        self.0.will_write(range);
    }

    fn unlock(&self) {
        self.0.unlock();
    }
}
