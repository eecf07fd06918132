//! What happens to a read of the map that cannot be done?
//!
//! When the file was cut off, or its medium fails, the kernel answers a read of the map with the signal SIGBUS, which ends
//! the process unless somebody handles it. The handler here, one for the whole process, puts a page of zeroes in the place of
//! the page that cannot be read, counts that, and lets the read go on.
//!
//! Invariants:
//! 1. Whoever sees such zeroes sees the count risen: it rises first.
//! 2. Such zeroes stay as long as the map does: a page that could not be read does not become right again.
//! 3. The handler takes no lock, allocates nothing, and leaves `errno` as it was.
//! 4. A signal that is not ours goes to whoever handled it before, as if we were not there.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::io;
use std::mem;
use std::ptr;
use std::sync::Arc;
// The handler touches these, so they are the plain ones whatever the build.
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

/// As long as it lives, reads of one mapping that fail are counted instead of ending the process.
pub struct Guard {
    watch: &'static Watch,
    /// What the handler adds to; the watch points to it.
    _faults: Arc<AtomicU64>,
}

impl Guard {
    /// Watches over the `len` bytes from `start` on, which must stay mapped as long as the guard lives.
    ///
    /// # Errors
    /// Whatever the system says to the handler.
    pub fn over(start: *const u8, len: usize, faults: &Arc<AtomicU64>) -> io::Result<Self> {
        install()?;
        let watch = Watch::unused();
        watch.set(start.addr(), start.addr() + len, Arc::as_ptr(faults).cast_mut());
        Ok(Self { watch, _faults: Arc::clone(faults) })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.watch.set(0, 0, ptr::null_mut());
        self.watch.used.store(false, Ordering::Release);
    }
}

/// One mapping that the handler knows of. Watches are never freed, only used again, so that the handler can walk them at
/// any moment.
struct Watch {
    used: AtomicBool,
    /// Odd while the rest is being changed.
    version: AtomicUsize,
    start: AtomicUsize,
    end: AtomicUsize,
    faults: AtomicPtr<AtomicU64>,
    next: AtomicPtr<Watch>,
}

/// Pages that are replaced one by one. Each may split the map in three, and the system allows a process some ten thousands of maps;
/// so the next page takes along all that follows it.
const PAGES_REPLACED_MAX: u64 = 1000;

/// The first watch of the list.
static WATCHES: AtomicPtr<Watch> = AtomicPtr::new(ptr::null_mut());

/// Bytes in a page of the system's memory.
static PAGE_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Who handled the signal before; set before our handler can run.
static PREVIOUS: AtomicPtr<libc::sigaction> = AtomicPtr::new((&raw const DEFAULT).cast_mut());

// SAFETY: all zeroes is a `sigaction`: the default action, no flags, an empty mask.
static DEFAULT: libc::sigaction = unsafe { mem::zeroed() };

impl Watch {
    /// A watch that nobody else uses.
    fn unused() -> &'static Self {
        for watch in Self::all() {
            if watch.used.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                return watch;
            }
        }
        let watch: &'static Self = Box::leak(Box::new(Self {
            used: AtomicBool::new(true),
            version: AtomicUsize::new(0),
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            faults: AtomicPtr::new(ptr::null_mut()),
            next: AtomicPtr::new(ptr::null_mut()),
        }));
        let mut first = WATCHES.load(Ordering::Acquire);
        loop {
            watch.next.store(first, Ordering::Relaxed);
            let added = ptr::from_ref(watch).cast_mut();
            match WATCHES.compare_exchange_weak(first, added, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return watch,
                Err(other) => first = other,
            }
        }
    }

    fn all() -> impl Iterator<Item = &'static Self> {
        // SAFETY: what the list points to was leaked after it was filled in, and is only ever looked at through `&`.
        let at = |watch: *mut Self| unsafe { watch.as_ref() };
        std::iter::successors(at(WATCHES.load(Ordering::Acquire)), move |watch| at(watch.next.load(Ordering::Acquire)))
    }

    fn set(&self, start: usize, end: usize, faults: *mut AtomicU64) {
        self.version.fetch_add(1, Ordering::SeqCst);
        self.start.store(start, Ordering::SeqCst);
        self.end.store(end, Ordering::SeqCst);
        self.faults.store(faults, Ordering::SeqCst);
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    /// Where the mapping ends and what counts its faults, if `address` lies in it. A watch that is being changed is not asked:
    /// its mapping is not read yet, or not any more.
    fn covering(&self, address: usize) -> Option<(usize, *mut AtomicU64)> {
        let version = self.version.load(Ordering::SeqCst);
        let (start, end) = (self.start.load(Ordering::SeqCst), self.end.load(Ordering::SeqCst));
        let faults = self.faults.load(Ordering::SeqCst);
        let is_steady = version.is_multiple_of(2) && self.version.load(Ordering::SeqCst) == version;
        (is_steady && (start..end).contains(&address)).then_some((end, faults))
    }
}

/// Installs the handler, unless it was installed before.
fn install() -> io::Result<()> {
    static INSTALLED: Mutex<bool> = Mutex::new(false);
    let mut installed = INSTALLED.lock();
    if *installed {
        return Ok(());
    }
    // SAFETY: a plain question.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    PAGE_BYTES.store(usize::try_from(page_bytes).map_err(|_| io::Error::last_os_error())?, Ordering::SeqCst);
    let found = change_action(None)?;
    let is_handler = found.sa_sigaction != libc::SIG_DFL && found.sa_sigaction != libc::SIG_IGN;
    // What the handler before wants of the system while it runs, and of calls that the signal interrupts, it still gets.
    let kept = if is_handler { found.sa_flags & (libc::SA_NODEFER | libc::SA_RESTART) } else { libc::SA_RESTART };
    let ours = libc::sigaction {
        sa_sigaction: on_bus_error as *const () as usize,
        sa_flags: libc::SA_SIGINFO | libc::SA_ONSTACK | kept,
        ..found
    };
    remember(found);
    let replaced = change_action(Some(&ours))?;
    if replaced.sa_sigaction != found.sa_sigaction {
        // Somebody was quicker.
        remember(replaced);
    }
    *installed = true;
    Ok(())
}

fn remember(action: libc::sigaction) {
    // Never freed: the handler may be reading the one before.
    PREVIOUS.store(Box::leak(Box::new(action)), Ordering::SeqCst);
}

/// The action for the signal, which `new` replaces if there is one.
fn change_action(new: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    let mut old = DEFAULT;
    // SAFETY: both point to a `sigaction`, or the first to nothing; the handler in it is `extern "C"` and async-signal-safe.
    let failed = unsafe { libc::sigaction(libc::SIGBUS, new.map_or(ptr::null(), ptr::from_ref), &raw mut old) };
    if failed != 0 { Err(io::Error::last_os_error()) } else { Ok(old) }
}

/// The handler.
extern "C" fn on_bus_error(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes a `siginfo_t`; for a code above 0, which no process can send, it is that of
    // a fault and has an address.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr().addr()) };
    if !(is_failed_read(code) && replace_page(address)) {
        pass_on(signal, info, context, code);
    }
}

/// Is it the kernel's word for memory that is mapped and cannot be had? (Not that an address is not aligned.)
const fn is_failed_read(code: c_int) -> bool {
    matches!(code, libc::BUS_ADRERR | libc::BUS_OBJERR | libc::BUS_MCEERR_AR)
}

/// Puts zeroes where a watched mapping cannot be read.
fn replace_page(address: usize) -> bool {
    let Some((end, faults)) = Watch::all().find_map(|watch| watch.covering(address)) else { return false };
    // SAFETY: somebody reads the mapping, so it is mapped, so its guard lives, and with it the count.
    let before = unsafe { (*faults).fetch_add(1, Ordering::SeqCst) };
    // SAFETY: every thread has an `errno` of its own.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let kept = unsafe { *errno };
    let page_bytes = PAGE_BYTES.load(Ordering::SeqCst);
    let page = address / page_bytes * page_bytes;
    let len = if before < PAGES_REPLACED_MAX { page_bytes } else { (end - page).next_multiple_of(page_bytes) };
    let replaced = map_zeroes(page, len);
    // SAFETY: as above.
    unsafe { *errno = kept };
    replaced
}

fn map_zeroes(start: usize, len: usize) -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    let start = ptr::with_exposed_provenance_mut(start);
    // SAFETY: the range lies in a mapping of ours, which is only read, and which any bytes may stand in: what is lent of
    // it is compared with the count. The call is one of the kernel's and touches no state of the process beside the mapping.
    unsafe { libc::mmap(start, len, libc::PROT_READ, flags, -1, 0) != libc::MAP_FAILED }
}

/// Does what would have been done without us.
fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void, code: c_int) {
    // SAFETY: it points to what `install` leaked, or to `DEFAULT`.
    let previous = unsafe { &*PREVIOUS.load(Ordering::SeqCst) };
    // What the kernel sends because of an instruction happens again when the handler returns; it cannot be ignored.
    let happens_again = code > 0 && code != libc::BUS_MCEERR_AO;
    match previous.sa_sigaction {
        libc::SIG_IGN if !happens_again => {}
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: both calls are async-signal-safe. The signal is held back until the handler returns, and then ends us.
            unsafe {
                libc::sigaction(signal, &raw const DEFAULT, ptr::null_mut());
                if !happens_again {
                    libc::raise(signal);
                }
            }
        }
        handler => {
            if previous.sa_flags & libc::SA_RESETHAND != 0 {
                PREVIOUS.store((&raw const DEFAULT).cast_mut(), Ordering::SeqCst);
            }
            let handler: *const () = ptr::with_exposed_provenance(handler);
            // SAFETY: whoever installed it said by this flag which of the two kinds of function it is.
            unsafe {
                if previous.sa_flags & libc::SA_SIGINFO != 0 {
                    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = mem::transmute(handler);
                    handler(signal, info, context);
                } else {
                    let handler: extern "C" fn(c_int) = mem::transmute(handler);
                    handler(signal);
                }
            }
        }
    }
}
