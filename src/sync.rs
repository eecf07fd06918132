//! Which locks and atomics does the engine use?
//!
//! All of them come through here: a build for random schedules (`--cfg shuttle`) puts others in their place, which let the
//! scheduler choose who runs at each lock, unlock, load and store.

#[cfg(shuttle)]
mod shuttle;

pub use std::sync::atomic::Ordering;

#[cfg(not(shuttle))]
pub use parking_lot::{Condvar, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
#[cfg(not(shuttle))]
pub use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

#[cfg(shuttle)]
pub use self::shuttle::{AtomicBool, AtomicU64, AtomicUsize, Condvar, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Lets go of a lock, to whoever waits for it: somebody who takes it again and again would otherwise be first each time.
#[cfg(not(shuttle))]
pub fn hand_over<T>(guard: RwLockWriteGuard<'_, T>) {
    RwLockWriteGuard::unlock_fair(guard);
}

/// Lets others go first for a while: ten times what a step takes that they may have waited for.
#[cfg(not(shuttle))]
pub fn stand_back() {
    std::thread::sleep(std::time::Duration::from_millis(1));
}

/// Lets others go first: for how long is for the schedule to say.
#[cfg(shuttle)]
pub fn stand_back() {
    ::shuttle::thread::yield_now();
}

/// Lets go of a lock: who is next is for the schedule to say.
#[cfg(shuttle)]
pub fn hand_over<T>(guard: RwLockWriteGuard<'_, T>) {
    drop(guard);
}

/// What no schedule is built on: the memory map, which is one step whoever looks, and a cache that may forget.
pub mod plain {
    pub use parking_lot::Mutex;
    pub use std::sync::atomic::{AtomicPtr, AtomicU64};
}
