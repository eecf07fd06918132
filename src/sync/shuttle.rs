//! How do locks behave in a build for random schedules?
//!
//! As parking_lot's do: nothing is poisoned, and whoever wants to read waits for a writer who waits, unless he reads
//! recursively. Everything runs in one thread of the system, and only here does it change from one task to another.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, PoisonError, TryLockError};

use shuttle::future::batch_semaphore::{BatchSemaphore, Fairness};
use shuttle::sync;

pub use shuttle::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use super::Ordering;

/// A lock for one at a time.
#[derive(Default)]
pub struct Mutex<T>(sync::Mutex<T>);

/// Who has locked a [`Mutex`]; `None` only while a [`Condvar`] has the guard.
pub struct MutexGuard<'a, T>(Option<sync::MutexGuard<'a, T>>);

impl<T> Mutex<T> {
    /// An open lock.
    pub fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    /// Waits until nobody else has it.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("the guard is back when a wait ends")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("the guard is back when a wait ends")
    }
}

/// Where one waits for what is guarded to change.
#[derive(Default)]
pub struct Condvar(sync::Condvar);

impl Condvar {
    /// Unlocks, waits to be notified, and locks again.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let given = guard.0.take().expect("the guard is back when a wait ends");
        guard.0 = Some(self.0.wait(given).unwrap_or_else(PoisonError::into_inner));
    }

    /// Wakes everybody.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// A lock for one writer or many readers.
pub struct RwLock<T> {
    /// Loaded to let the scheduler choose; it means nothing.
    turn: AtomicBool,
    queue: std::sync::Mutex<Queue>,
    value: std::sync::RwLock<T>,
}

#[derive(Default)]
struct Queue {
    readers: usize,
    writing: bool,
    writers_waiting: usize,
    /// Where those who wait sleep, each in a bed of his own: a permit is a call to get up.
    waiting: Vec<Arc<BatchSemaphore>>,
}

/// Who reads what a [`RwLock`] protects.
pub struct RwLockReadGuard<'a, T> {
    lock: &'a RwLock<T>,
    value: Option<std::sync::RwLockReadGuard<'a, T>>,
}

/// Who writes what a [`RwLock`] protects.
pub struct RwLockWriteGuard<'a, T> {
    lock: &'a RwLock<T>,
    value: Option<std::sync::RwLockWriteGuard<'a, T>>,
}

impl<T> RwLock<T> {
    /// An open lock.
    pub fn new(value: T) -> Self {
        Self { turn: AtomicBool::default(), queue: std::sync::Mutex::default(), value: std::sync::RwLock::new(value) }
    }

    /// Waits until nobody writes or waits to write.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.wait(|queue| {
            let free = !queue.writing && queue.writers_waiting == 0;
            queue.readers += usize::from(free);
            free
        });
        self.reading()
    }

    /// Waits until nobody writes.
    pub fn read_recursive(&self) -> RwLockReadGuard<'_, T> {
        self.wait(|queue| {
            queue.readers += usize::from(!queue.writing);
            !queue.writing
        });
        self.reading()
    }

    fn reading(&self) -> RwLockReadGuard<'_, T> {
        let value = match self.value.try_read() {
            Ok(value) => value,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => unreachable!("somebody writes beside readers"),
        };
        RwLockReadGuard { lock: self, value: Some(value) }
    }

    /// Waits until nobody reads or writes.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        let mut waits = false;
        self.wait(|queue| {
            let free = !queue.writing && queue.readers == 0;
            match (waits, free) {
                (false, false) => queue.writers_waiting += 1,
                (true, true) => queue.writers_waiting -= 1,
                _ => {}
            }
            waits = !free;
            queue.writing |= free;
            free
        });
        let value = match self.value.try_write() {
            Ok(value) => value,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => unreachable!("two write, or one beside readers"),
        };
        RwLockWriteGuard { lock: self, value: Some(value) }
    }

    /// Has somebody locked it?
    pub fn is_locked(&self) -> bool {
        let queue = self.queue();
        queue.writing || queue.readers > 0
    }

    fn wait(&self, mut enter: impl FnMut(&mut Queue) -> bool) {
        self.turn.load(Ordering::SeqCst);
        loop {
            let mut queue = self.queue();
            if enter(&mut queue) {
                return;
            }
            let bed = Arc::new(BatchSemaphore::new(0, Fairness::Unfair));
            queue.waiting.push(Arc::clone(&bed));
            drop(queue);
            bed.acquire_blocking(1).unwrap_or_default();
        }
    }

    fn leave(&self, leave: impl FnOnce(&mut Queue)) {
        self.turn.load(Ordering::SeqCst);
        let mut queue = self.queue();
        leave(&mut queue);
        let waiting = std::mem::take(&mut queue.waiting);
        drop(queue);
        waiting.iter().for_each(|bed| bed.release(1));
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("it is there until the guard is dropped")
    }
}

impl<T> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("it is there until the guard is dropped")
    }
}

impl<T> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("it is there until the guard is dropped")
    }
}

impl<T> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        self.value = None;
        self.lock.leave(|queue| queue.readers -= 1);
    }
}

impl<T> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        self.value = None;
        self.lock.leave(|queue| queue.writing = false);
    }
}
