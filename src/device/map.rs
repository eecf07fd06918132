//! How is a file read through memory?
//!
//! The maps are read-only and shared; files are written by calls alone. The file is mapped twice: once for pages of metadata
//! and once for data, so that a block of data that cannot be read casts no doubt on any page.
//!
//! Invariants:
//! 1. `current` always points to a map of at least `len` bytes; both only ever grow.
//! 2. A map that was replaced stays mapped until the device is dropped, so slices lent from it stay valid.
//! 3. The engine never shortens the file, and it is locked. If somebody cuts it off all the same, or the medium fails, what
//!    cannot be read is zeroes, and counted: see `guard`.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::slice;
use std::sync::Arc;
// The handler of `guard` adds to the counts, so they are the plain ones whatever the build.
use std::sync::atomic::{self, AtomicU64 as Count};

use memmap2::{Advice, MmapOptions, MmapRaw};

use super::Lend;
use super::guard::Guard;
use crate::sync::Ordering;
use crate::sync::plain::{AtomicPtr, AtomicU64, Mutex};
use crate::units::{BLOCK_BYTES, BLOCK_LEN};

/// Pages that the system is asked about at a time.
const ASKED_PAGES_MAX: usize = 256;

/// Shared, read-only maps of a whole file that follow the file's growth.
pub struct Map {
    pages: View,
    data: View,
    len: AtomicU64,
    catches: bool,
    maps: Mutex<Vec<Mapping>>,
}

/// One of the two ways to look at the file.
struct View {
    current: AtomicPtr<u8>,
    /// How often reading through it has failed.
    faults: Arc<Count>,
}

/// The guard goes first: when the address is somebody else's, nobody watches over it any more.
struct Mapping {
    _guard: Option<Guard>,
    _raw: MmapRaw,
}

impl Map {
    /// Maps the first `len` bytes of `file`. If it `catches`, a read that fails is counted; otherwise it ends the process.
    pub fn new(file: &File, len: u64, catches: bool) -> io::Result<Self> {
        let map = Self { pages: View::new(), data: View::new(), len: AtomicU64::new(0), catches, maps: Mutex::new(Vec::new()) };
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
        let mut new = Vec::with_capacity(2);
        for view in [&self.pages, &self.data] {
            let raw = MmapOptions::new().len(bytes).map_raw_read_only(file)?;
            // Without this the kernel reads around every fault, which is eight times slower for random reads.
            raw.advise(Advice::Random)?;
            let guard = if self.catches { Some(Guard::over(raw.as_ptr(), bytes, &view.faults)?) } else { None };
            new.push((view, Mapping { _guard: guard, _raw: raw }));
        }
        for (view, mapping) in new {
            view.current.store(mapping._raw.as_mut_ptr(), Ordering::Release);
            maps.push(mapping);
        }
        self.len.store(len, Ordering::Release);
        Ok(())
    }

    /// Mapped bytes.
    pub fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }

    /// How often reading what was lent like this has failed.
    pub fn faults(&self, lend: Lend) -> u64 {
        self.view(lend).faults()
    }

    /// Something else than a read of the map shows that the file is not what it was: the map proves nothing any more.
    pub fn distrust(&self) {
        for view in [&self.pages, &self.data] {
            view.faults.fetch_add(1, atomic::Ordering::SeqCst);
        }
    }

    /// The bytes of `range`, which must lie within the map.
    pub fn slice(&self, range: Range<u64>, lend: Lend) -> &[u8] {
        let start = self.address(self.view(lend), &range);
        // SAFETY: `address` checked that the range is mapped, and the map outlives `self` (invariant 2). The bytes do not
        // change while the slice lives: `Lend` is the engine's promise that it does not write them before every borrower is
        // gone, writes never go through the map, and the file is locked against other processes. Where the file fails us all
        // the same, they turn into zeroes once (invariant 3): every decoder takes any bytes, and whoever lends compares the
        // count before what was read is believed.
        unsafe { slice::from_raw_parts(start, (range.end - range.start) as usize) }
    }

    /// Are all bytes of `range`, which must lie within the map, in memory at this moment? If the system does not tell, they are not.
    pub fn is_in_memory(&self, range: Range<u64>) -> bool {
        let start = range.start / BLOCK_BYTES * BLOCK_BYTES;
        let first = self.address(&self.data, &(start..range.end));
        let len = (range.end - start) as usize;
        let mut pages = [0_u8; ASKED_PAGES_MAX];
        (0..len).step_by(ASKED_PAGES_MAX * BLOCK_LEN).all(|done| {
            let part = (len - done).min(ASKED_PAGES_MAX * BLOCK_LEN);
            // SAFETY: `address` checked that the range is mapped, `done` lies in it, and the system writes a byte for each page, of
            // which none is shorter than a block.
            let failed = unsafe { libc::mincore(first.add(done).cast_mut().cast(), part, pages.as_mut_ptr()) };
            failed == 0 && pages[..part.div_ceil(BLOCK_LEN)].iter().all(|page| page & 1 == 1)
        })
    }

    /// Copies the bytes of data at `offset` into `buf`. They may be written at the same time. False says that the copy proves
    /// nothing: some of the map cannot be read.
    #[must_use]
    pub fn copy(&self, buf: &mut [u8], offset: u64) -> bool {
        if self.data.faults() > 0 {
            return false;
        }
        let start = self.address(&self.data, &(offset..offset + buf.len() as u64));
        // SAFETY: `address` checked that the source is mapped; the target is a slice of that length and cannot overlap a
        // private map. If a `pwrite` changes the source meanwhile, the copy holds old and new bytes, which is all that a
        // read racing with a write is promised; no reference to the source is made.
        unsafe { std::ptr::copy_nonoverlapping(start, buf.as_mut_ptr(), buf.len()) }
        self.data.faults() == 0
    }

    fn view(&self, lend: Lend) -> &View {
        if lend.is_page() { &self.pages } else { &self.data }
    }

    fn address(&self, view: &View, range: &Range<u64>) -> *const u8 {
        assert!(range.start <= range.end && range.end <= self.len(), "{range:?} lies outside the map");
        // SAFETY: the offset lies within the one mapping that `current` points to (invariant 1).
        unsafe { view.current.load(Ordering::Acquire).cast_const().add(range.start as usize) }
    }
}

impl View {
    fn new() -> Self {
        Self { current: AtomicPtr::new(std::ptr::null_mut()), faults: Arc::new(Count::new(0)) }
    }

    fn faults(&self) -> u64 {
        // What was read before must not be looked at after the count.
        atomic::fence(atomic::Ordering::Acquire);
        self.faults.load(atomic::Ordering::Acquire)
    }
}
