//! How is a page of memory made unreadable, and who hears of it?

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::ptr;

/// Bytes in a page, of the engine's metadata and here also of the system's memory.
pub const PAGE: usize = 4096;

/// Lays a map of an empty file over `count` pages from `start` on: whoever reads there gets SIGBUS.
pub fn break_pages(start: usize, count: usize) {
    let start = start / PAGE * PAGE;
    assert_eq!(map_empty_file(start, count, libc::MAP_FIXED), start);
}

/// A page of our own that cannot be read.
pub fn broken_page() -> usize {
    map_empty_file(0, 1, 0)
}

fn map_empty_file(start: usize, count: usize, flags: libc::c_int) -> usize {
    // SAFETY: an empty file is made and mapped, either where the system likes or over pages that the engine maps for reading,
    // and whose bytes it does not trust; that is what the test is about. The map keeps the file.
    unsafe {
        let file = libc::memfd_create(c"empty".as_ptr(), 0);
        assert!(file >= 0);
        let start = ptr::with_exposed_provenance_mut(start);
        let map = libc::mmap(start, count * PAGE, libc::PROT_READ, libc::MAP_SHARED | flags, file, 0);
        assert_ne!(map, libc::MAP_FAILED);
        libc::close(file);
        map.expose_provenance()
    }
}

/// Puts zeroes in the place of a page, as a handler does that wants to go on.
pub fn mend_page(address: usize) {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    let start = ptr::with_exposed_provenance_mut(address / PAGE * PAGE);
    // SAFETY: the page is one that `broken_page` mapped.
    let map = unsafe { libc::mmap(start, PAGE, libc::PROT_READ, flags, -1, 0) };
    assert_ne!(map, libc::MAP_FAILED);
}

/// Reads a byte of a page that `broken_page` mapped.
pub fn byte_at(address: usize) -> u8 {
    // SAFETY: the page is mapped; whether it can be read is what the test is about.
    unsafe { ptr::read_volatile(ptr::with_exposed_provenance(address)) }
}

/// The handler of SIGBUS.
pub fn bus_handler() -> usize {
    // SAFETY: all zeroes is a `sigaction`, and the call only fills it in.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(libc::SIGBUS, ptr::null(), &raw mut action), 0);
        action.sa_sigaction
    }
}

/// Installs a handler of SIGBUS, which is of the kind that `flags` say.
pub fn handle_bus_errors(handler: usize, flags: libc::c_int) {
    // SAFETY: all zeroes is a `sigaction`; the handlers of these tests do nothing that a handler may not.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()), 0);
    }
}

/// Sends SIGBUS to this thread, as a process does that is no fault.
pub fn send_bus_error() {
    // SAFETY: what happens then is what the test is about.
    assert_eq!(unsafe { libc::raise(libc::SIGBUS) }, 0);
}

/// Where a file is mapped.
pub fn maps_of(path: &Path) -> Vec<Range<usize>> {
    let path = path.to_str().expect("text");
    lines().into_iter().filter(|(_, _, name)| name.starts_with(path)).map(|(range, ..)| range).collect()
}

/// Where in its file the mapped byte at `address` lies.
pub fn offset_in_file(address: usize) -> u64 {
    let (range, offset, _) = lines().into_iter().find(|(range, ..)| range.contains(&address)).expect("it is mapped");
    offset + (address - range.start) as u64
}

/// What is mapped: where, from which offset on, and of what.
fn lines() -> Vec<(Range<usize>, u64, String)> {
    let text = fs::read_to_string("/proc/self/maps").expect("the system tells what is mapped");
    let parsed = text.lines().map(|line| {
        let mut fields = line.splitn(6, ' ');
        let (start, end) = fields.next()?.split_once('-')?;
        let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
        let offset = u64::from_str_radix(fields.nth(1)?, 16).ok()?;
        Some((range, offset, fields.last()?.trim().to_owned()))
    });
    parsed.map(|line| line.expect("a line of a known form")).collect()
}

/// Memory in so many maps that few are left, until it is dropped.
pub struct Filled {
    start: usize,
    len: usize,
}

/// Takes all but about `left` of the maps that a process may have.
pub fn fill_up_maps(left: usize) -> Filled {
    let most = fs::read_to_string("/proc/sys/vm/max_map_count").expect("the system tells");
    let taken = most.trim().parse::<usize>().expect("a number") - lines().len() - left;
    let len = taken * PAGE;
    // SAFETY: memory of our own, of which each second page gets another protection and so becomes a map of its own.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let start = libc::mmap(ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0);
        assert_ne!(start, libc::MAP_FAILED);
        for page in (0..taken).step_by(2) {
            assert_eq!(libc::mprotect(start.add(page * PAGE), PAGE, libc::PROT_READ), 0, "page {page} of {taken}");
        }
        Filled { start: start.expose_provenance(), len }
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        // SAFETY: `fill_up_maps` mapped it, and nobody looks at it.
        unsafe { libc::munmap(ptr::with_exposed_provenance_mut(self.start), self.len) };
    }
}
