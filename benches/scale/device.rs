//! How is a store built that no disk here holds?
//!
//! Metadata is kept, data is dropped: of a block that repeats four bytes these are remembered, and reads make the block of
//! them again. So checksums match, and a write of the bytes that are there already is one.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use floe::{Device, Lend, MemoryDevice};

const BLOCK: usize = 4096;

/// Memory for metadata, and four bytes for each block.
pub struct DropsData {
    kept: MemoryDevice,
    /// What each block repeats; 0 for a block that is kept.
    repeats: Vec<AtomicU32>,
}

impl DropsData {
    pub fn new(len_bytes: u64) -> io::Result<Self> {
        let repeats = (0..len_bytes as usize / BLOCK).map(|_| AtomicU32::new(0)).collect();
        Ok(Self { kept: MemoryDevice::new(len_bytes)?, repeats })
    }
}

/// Blocks of a range of bytes, and what of each is in the range, counted from its start.
fn blocks(offset: u64, len: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    let start = offset as usize;
    (start / BLOCK..(start + len).div_ceil(BLOCK)).map(move |block| {
        let begin = (block * BLOCK).max(start) - start;
        (block, begin..((block + 1) * BLOCK - start).min(len))
    })
}

/// A block that can be dropped.
pub fn block_of(word: u32) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    fill(&mut block, word, 0);
    block
}

/// Bytes from `from` on of a block that repeats `word`.
fn fill(bytes: &mut [u8], word: u32, from: usize) {
    let word = word.rotate_right(from as u32 % 4 * 8).to_le_bytes();
    let mut words = bytes.chunks_exact_mut(4);
    words.by_ref().for_each(|four| four.copy_from_slice(&word));
    let rest = words.into_remainder();
    rest.copy_from_slice(&word[..rest.len()]);
}

/// What a block repeats, if it is not zero.
fn repeated(bytes: &[u8]) -> Option<u32> {
    let word = u32::from_le_bytes(*bytes.first_chunk()?);
    (word != 0 && bytes.len() == BLOCK && bytes[4..] == bytes[..BLOCK - 4]).then_some(word)
}

/// A handle whose power can be cut: nothing that is written through it afterwards arrives.
pub struct Powered {
    device: Arc<DropsData>,
    is_off: AtomicBool,
}

impl Powered {
    pub fn new(device: &Arc<DropsData>) -> Arc<Self> {
        Arc::new(Self { device: Arc::clone(device), is_off: AtomicBool::new(false) })
    }

    pub fn cut(&self) {
        self.is_off.store(true, Ordering::Release);
    }

    fn check(&self) -> io::Result<()> {
        if self.is_off.load(Ordering::Acquire) { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }
}

impl Device for Powered {
    fn len_bytes(&self) -> u64 {
        self.device.kept.len_bytes()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        for (block, part) in blocks(offset, buf.len()) {
            match self.device.repeats[block].load(Ordering::Relaxed) {
                0 => self.device.kept.read_at(&mut buf[part.clone()], offset + part.start as u64)?,
                word => fill(&mut buf[part.clone()], word, offset as usize + part.start),
            }
        }
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.check()?;
        for (block, part) in blocks(offset, buf.len()) {
            let repeats = &self.device.repeats[block];
            let bytes = &buf[part.clone()];
            if let Some(word) = repeated(bytes) {
                repeats.store(word, Ordering::Relaxed);
                continue;
            }
            // A block that is written in part keeps the rest.
            let before = repeats.swap(0, Ordering::Relaxed);
            if before != 0 && bytes.len() < BLOCK {
                self.device.kept.write_at(&block_of(before), (block * BLOCK) as u64)?;
            }
            self.device.kept.write_at(bytes, offset + part.start as u64)?;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.check()
    }

    fn allocate(&self, _range: Range<u64>) -> io::Result<()> {
        self.check()
    }

    fn grow(&self, _len_bytes: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Metadata alone: what is lent of data is not read here.
    fn mapped(&self, range: Range<u64>, lend: Lend) -> &[u8] {
        self.device.kept.mapped(range, lend)
    }

    fn copy_mapped(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        for (block, part) in blocks(offset, buf.len()) {
            match self.device.repeats[block].load(Ordering::Relaxed) {
                0 => self.device.kept.copy_mapped(&mut buf[part.clone()], offset + part.start as u64)?,
                word => fill(&mut buf[part.clone()], word, offset as usize + part.start),
            }
        }
        Ok(())
    }
}
