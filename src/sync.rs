//! Which locks and atomics does the engine use?
//!
//! All of them come through here, so that a build for random schedules can put others in their place.

pub use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

pub use parking_lot::{Condvar, Mutex, RwLock, RwLockReadGuard};
