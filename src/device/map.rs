//! How is a file read through memory?
//!
//! This is the only file with `unsafe` in it. The map is read-only and shared; files are written by calls alone.
//!
//! Invariants:
//! 1. `current` always points to a map of at least `len` bytes; both only ever grow.
//! 2. A map that was replaced stays mapped until the device is dropped, so slices lent from it stay valid.
//! 3. Nobody shortens the file: it is locked, and the engine has no operation that would.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::slice;

use memmap2::{Advice, MmapOptions, MmapRaw};

use super::Lend;
use crate::sync::{AtomicPtr, AtomicU64, Mutex, Ordering};

/// A shared, read-only map of a whole file that follows the file's growth.
pub struct Map {
    current: AtomicPtr<u8>,
    len: AtomicU64,
    maps: Mutex<Vec<MmapRaw>>,
}

impl Map {
    /// Maps the first `len` bytes of `file`.
    pub fn new(file: &File, len: u64) -> io::Result<Self> {
        let map = Self { current: AtomicPtr::new(std::ptr::null_mut()), len: AtomicU64::new(0), maps: Mutex::new(Vec::new()) };
        map.extend(file, len)?;
        Ok(map)
    }

    /// Maps the file anew, now `len` bytes long. Does nothing if it is not longer than before.
    pub fn extend(&self, file: &File, len: u64) -> io::Result<()> {
        let mut maps = self.maps.lock();
        if len <= self.len.load(Ordering::Acquire) {
            return Ok(());
        }
        let bytes = usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let map = MmapOptions::new().len(bytes).map_raw_read_only(file)?;
        // Without this the kernel reads around every fault, which is eight times slower for random reads.
        map.advise(Advice::Random)?;
        self.current.store(map.as_mut_ptr(), Ordering::Release);
        self.len.store(len, Ordering::Release);
        maps.push(map);
        Ok(())
    }

    /// Mapped bytes.
    pub fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }

    /// The bytes of `range`, which must lie within the map.
    pub fn slice(&self, range: Range<u64>, _lend: Lend) -> &[u8] {
        let start = self.address(&range);
        // SAFETY: `address` checked that the range is mapped, and the map outlives `self` (invariant 2). The bytes do not
        // change while the slice lives: `Lend` is the engine's promise that it does not write them before every borrower is
        // gone, writes never go through the map, and the file is locked against other processes.
        unsafe { slice::from_raw_parts(start, (range.end - range.start) as usize) }
    }

    /// Copies the bytes at `offset` into `buf`. They may be written at the same time.
    pub fn copy(&self, buf: &mut [u8], offset: u64) {
        let start = self.address(&(offset..offset + buf.len() as u64));
        // SAFETY: `address` checked that the source is mapped; the target is a slice of that length and cannot overlap a
        // private map. If a `pwrite` changes the source meanwhile, the copy holds old and new bytes, which is all that a
        // read racing with a write is promised; no reference to the source is made.
        unsafe { std::ptr::copy_nonoverlapping(start, buf.as_mut_ptr(), buf.len()) }
    }

    fn address(&self, range: &Range<u64>) -> *const u8 {
        assert!(range.start <= range.end && range.end <= self.len(), "{range:?} lies outside the map");
        // SAFETY: the offset lies within the one mapping that `current` points to (invariant 1).
        unsafe { self.current.load(Ordering::Acquire).cast_const().add(range.start as usize) }
    }
}
