//! What would a power cut leave of what was written?
//!
//! A device in memory that remembers each block as it was at the last `sync`. A power cut keeps those, and of blocks written
//! since any choice: each whole, as it is now. What was overwritten in between is lost with the cut, as on a real disk.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use floe::{BLOCK_BYTES, Device, Lend, MemoryDevice};

const BLOCK_LEN: usize = BLOCK_BYTES as usize;

/// A device that knows what was synced.
pub struct SyncedDevice {
    now: MemoryDevice,
    /// Called before each block is read, and before and after each is written: others may go first.
    pause: fn(),
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Blocks as they were at the last sync.
    synced: HashMap<u64, Box<[u8]>>,
    /// Blocks written since.
    unsynced: BTreeSet<u64>,
}

impl SyncedDevice {
    pub fn new(len_bytes: u64, pause: fn()) -> Self {
        Self { now: MemoryDevice::new(len_bytes).expect("memory for a device"), pause, kept: Mutex::default() }
    }

    /// What a power cut at this moment leaves, if of the blocks that were not synced those are written that `is_written` names.
    pub fn cut(&self, mut is_written: impl FnMut(u64) -> bool) -> MemoryDevice {
        let kept = self.kept();
        let left = MemoryDevice::new(self.now.len_bytes()).expect("memory for a device");
        let put = |block: u64, bytes: &[u8]| left.write_at(bytes, block * BLOCK_BYTES).expect("memory can be written");
        kept.synced.iter().for_each(|(block, bytes)| put(*block, bytes));
        kept.unsynced.iter().filter(|block| is_written(**block)).for_each(|block| put(*block, &self.block(*block)));
        left
    }

    fn block(&self, block: u64) -> Box<[u8]> {
        let mut bytes = vec![0; BLOCK_LEN];
        self.now.read_at(&mut bytes, block * BLOCK_BYTES).expect("memory can be read");
        bytes.into()
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pieces of `len` bytes at `offset` that lie in one block each: offset and range within the buffer.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let piece = (len - done).min(BLOCK_LEN - (at % BLOCK_BYTES) as usize);
        done += piece;
        (piece > 0).then_some((at, done - piece..done))
    })
}

impl Device for SyncedDevice {
    fn len_bytes(&self) -> u64 {
        self.now.len_bytes()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        for (at, within) in pieces(offset, buf.len()) {
            (self.pause)();
            self.now.read_at(&mut buf[within], at)?;
        }
        Ok(())
    }

    /// Block by block: another thread may see a write half done, as it may on a file.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        for (at, within) in pieces(offset, buf.len()) {
            (self.pause)();
            {
                let mut kept = self.kept();
                self.now.write_at(&buf[within], at)?;
                kept.unsynced.insert(at / BLOCK_BYTES);
            }
            (self.pause)();
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        (self.pause)();
        let mut kept = self.kept();
        for block in std::mem::take(&mut kept.unsynced) {
            let bytes = self.block(block);
            kept.synced.insert(block, bytes);
        }
        Ok(())
    }

    fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        self.now.allocate(range)
    }

    fn grow(&self, len_bytes: u64) -> io::Result<()> {
        self.now.grow(len_bytes)
    }

    fn mapped(&self, range: Range<u64>, lend: Lend) -> &[u8] {
        self.now.mapped(range, lend)
    }

    fn copy_mapped(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        for (at, within) in pieces(offset, buf.len()) {
            (self.pause)();
            self.now.copy_mapped(&mut buf[within], at)?;
        }
        Ok(())
    }
}
