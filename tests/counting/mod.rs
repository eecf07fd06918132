//! How much heap does a program use? For binaries that count what they allocate.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, counting.
pub struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is done by the system's allocator; this only counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    // The default would write the zeroes that the system has already.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn count(layout: Layout) {
    let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
    PEAK.fetch_max(live, Ordering::Relaxed);
}

/// Bytes in use.
pub fn live() -> usize {
    LIVE.load(Ordering::Relaxed)
}

/// The most bytes in use since the last [`forget_peak`].
pub fn peak() -> usize {
    PEAK.load(Ordering::Relaxed)
}

/// From now on the most counts anew.
pub fn forget_peak() {
    PEAK.store(live(), Ordering::Relaxed);
}
