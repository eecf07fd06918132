//! How is a small store damaged, used and put back as it was, hundreds of times a second?
//!
//! A store is kept as a picture of the blocks in it that are not all zeroes. A bench is a device that remembers which blocks
//! were touched, so that putting a picture back costs as much as was changed since.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::Mutex;

use floe::{Device, Lend, MemoryDevice};

/// Bytes in a block or page.
pub const BLOCK: usize = 4096;

/// The bytes of a block.
pub type Bytes = [u8; BLOCK];

/// The blocks of a store that are not all zeroes.
pub type Picture = BTreeMap<u64, Box<Bytes>>;

/// A device on which one picture after the other is put.
pub struct Bench {
    memory: MemoryDevice,
    touched: Mutex<BTreeSet<u64>>,
}

impl Bench {
    /// A device of zeroes.
    pub fn new(len_bytes: u64) -> Self {
        let memory = MemoryDevice::new(len_bytes).expect("memory for a sparse file");
        Self { memory, touched: Mutex::new(BTreeSet::new()) }
    }

    /// Makes the device what `picture` with `changes` on top says, wherever it was touched since `base` was put on it.
    pub fn put(&self, base: &Picture, changes: &Picture) {
        let touched = std::mem::take(&mut *self.touched.lock().expect("nobody panics with the lock"));
        let zeroes = Box::new([0; BLOCK]);
        for block in touched.iter().filter(|block| !changes.contains_key(block)) {
            self.write_block(*block, base.get(block).unwrap_or(&zeroes));
        }
        for (block, bytes) in changes {
            self.write_at(&bytes[..], block * BLOCK as u64).expect("memory can be written");
        }
    }

    /// What is there, as far as it was touched.
    pub fn picture(&self) -> Picture {
        let touched = self.touched.lock().expect("nobody panics with the lock");
        let read = |block: &u64| {
            let mut bytes = Box::new([0; BLOCK]);
            self.memory.read_at(&mut bytes[..], block * BLOCK as u64).expect("memory can be read");
            (*block, bytes)
        };
        touched.iter().map(read).filter(|(_, bytes)| bytes.iter().any(|byte| *byte != 0)).collect()
    }

    fn write_block(&self, block: u64, bytes: &Bytes) {
        self.memory.write_at(bytes, block * BLOCK as u64).expect("memory can be written");
    }

    /// The engine must never ask for what is not there.
    fn expect_within(&self, range: &Range<u64>, what: &str) {
        let len = self.memory.len_bytes();
        assert!(range.start <= range.end && range.end <= len, "{what} of {range:?}, the device ends at {len}");
    }
}

impl Device for Bench {
    fn len_bytes(&self) -> u64 {
        self.memory.len_bytes()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.expect_within(&(offset..offset.saturating_add(buf.len() as u64)), "read");
        self.memory.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let end = offset.saturating_add(buf.len() as u64);
        self.expect_within(&(offset..end), "write");
        let blocks = offset / BLOCK as u64..end.div_ceil(BLOCK as u64);
        self.touched.lock().expect("nobody panics with the lock").extend(blocks);
        self.memory.write_at(buf, offset)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        self.expect_within(&range, "allocation");
        Ok(())
    }

    fn grow(&self, _len_bytes: u64) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "a bench has the length it has"))
    }

    fn mapped(&self, range: Range<u64>, lend: Lend) -> &[u8] {
        self.expect_within(&range, "loan");
        self.memory.mapped(range, lend)
    }

    fn copy_mapped(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.expect_within(&(offset..offset.saturating_add(buf.len() as u64)), "copy");
        self.memory.copy_mapped(buf, offset)
    }
}
