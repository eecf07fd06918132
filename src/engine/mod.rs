//! How do locks, commits and the catalog act together?
//!
//! Locks are taken in this order: life, a drive's gate, a drive's ranges, committer, catalog, space. The catalog's lock is never
//! held across a read or write of data; the committer's is held across a whole commit, so commits come one after the other.
//!
//! Invariants:
//! 1. A write holds its drive's gate for reading from its first look at the table to its last change of it; a freeze holds it for writing.
//!    So a snapshot holds whole writes, and all that were completed before it (D4).
//! 2. What returns as durable is in a commit whose superblock was synced (D2, D5).
//! 3. After a failed write or sync nothing is acknowledged any more (D6).

mod durable;
mod holders;
mod live;
mod open;
mod overwrites;
mod readers;
mod settle;
mod space_left;

pub use holders::Holder;
pub use live::{DriveLocks, Frozen, WALK_STEP, check_range};
pub use open::Settings;

use std::collections::HashMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Weak};

use crate::canary::{self, Canary};
use crate::catalog::Catalog;
use crate::device::{Device, look_at_pages, look_at_pages_once};
use crate::error::{Error, ErrorKind, Result};
use crate::format::record::ObjectId;
use crate::space::Space;
use crate::sync::{AtomicBool, AtomicU64, AtomicUsize, Mutex, Ordering, RwLock, RwLockReadGuard, RwLockWriteGuard, hand_over};

use durable::Committer;
use overwrites::Overwrites;
use readers::Readers;

/// What whoever meets a poisoned store has to know.
const POISONED: &str =
    "nothing is acknowledged any more; what was flushed before is safe: close the store, see to the device, and open it again";

/// A store that is open.
pub struct Engine {
    pub(crate) device: Arc<dyn Device>,
    pub(crate) space: Arc<Space>,
    pub(crate) catalog: RwLock<Catalog>,
    committer: Mutex<Committer>,
    readers: Readers,
    /// Counts completed changes, so that a flush knows whether somebody else's covered it.
    changes: AtomicU64,
    /// Which drives were overwritten where they lie since the last sync.
    overwrites: Overwrites,
    /// The next commit must not reach the device before what was written before it.
    sync_first: AtomicBool,
    poisoned: AtomicBool,
    /// The superblock on the device says that nothing was overwritten since.
    marked_clean: AtomicBool,
    /// Somebody closes the store: no operation begins any more.
    closing: AtomicBool,
    /// Held for reading by every operation; says whether the store is closed.
    life: RwLock<bool>,
    /// How many pages of the catalog are on the heap, for whoever does not hold its lock.
    catalog_pages: AtomicUsize,
    changed_pages_max: usize,
    drive_locks: Mutex<HashMap<ObjectId, Weak<DriveLocks>>>,
    /// Wakes the thread that frees deleted things, if there is one.
    reclaimer: Option<Mutex<Sender<()>>>,
    pub(crate) was_clean: bool,
    pub(crate) store_id: [u8; 16],
    /// Number of the last durable commit.
    pub(crate) generation: AtomicU64,
    /// Where a scrub goes on; the next commit makes it permanent.
    pub(crate) scrub_next: AtomicU64,
    /// The scrub that goes on there could not read a block whose checksum is no evidence, so it cannot settle what is unsettled.
    pub(crate) scrub_left_out: AtomicBool,
    /// Held by whoever scrubs.
    pub(crate) scrubbing: Mutex<()>,
}

impl Engine {
    /// Every operation begins with this and keeps what it returns until it is done.
    ///
    /// # Errors
    /// `Closed`
    pub fn alive(&self) -> Result<RwLockReadGuard<'_, bool>> {
        let life = self.life.read_recursive();
        if *life || self.closing.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the store was closed"));
        }
        Ok(life)
    }

    /// An operation that changes something begins with this.
    ///
    /// # Errors
    /// `Closed`, `Poisoned`
    pub fn writable(&self) -> Result<RwLockReadGuard<'_, bool>> {
        let life = self.alive()?;
        self.check_poison()?;
        Ok(life)
    }

    fn check_poison(&self) -> Result<()> {
        if self.is_poisoned() {
            return Err(Error::new(ErrorKind::Poisoned, format!("a write or sync failed earlier; {POISONED}")));
        }
        Ok(())
    }

    /// Did a write or sync fail?
    pub fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    /// Nothing is certain any more (D6). Returns the cause as its first hearer must be told it. It is never `NoSpace`, which would
    /// say that nothing was changed.
    pub fn poison(&self, cause: Error) -> Error {
        self.poisoned.store(!canary::makes(Canary::PoisonForgotten), Ordering::Release);
        let kind = if cause.kind() == ErrorKind::NoSpace { ErrorKind::Io } else { cause.kind() };
        cause.of_kind(kind).explained(POISONED)
    }

    /// Looks into the catalog.
    ///
    /// # Errors
    /// `Closed`, `Io`, and what `look` says.
    pub fn look<T>(&self, look: impl Fn(&Catalog) -> Result<T>) -> Result<T> {
        let _life = self.alive()?;
        self.look_at(&self.catalog.read(), look)
    }

    /// Looks into a catalog whose lock is held.
    ///
    /// # Errors
    /// `Io`, and what `look` says.
    pub fn look_at<T>(&self, catalog: &Catalog, mut look: impl FnMut(&Catalog) -> Result<T>) -> Result<T> {
        look_at_pages(&*self.device, || look(catalog))
    }

    /// Changes the catalog and makes that durable.
    ///
    /// # Errors
    /// `Closed`, `Poisoned`, `NoSpace`, `Io`, and what `change` says.
    pub fn change_durably<T>(&self, change: impl Fn(&mut Catalog) -> Result<T>) -> Result<T> {
        let _life = self.writable()?;
        let done = self.with_space(|| self.change(&change))?;
        self.make_durable(self.completed())?;
        Ok(done)
    }

    /// Changes the catalog. An error that is found only in the middle of a change poisons the store: reopening leads back
    /// to the last commit.
    pub fn change<T>(&self, change: impl FnOnce(&mut Catalog) -> Result<T>) -> Result<T> {
        self.change_then(change, |catalog| drop(catalog))
    }

    /// The same of one of many changes that follow each other: whoever waits for the catalog gets it in between.
    ///
    /// # Errors
    /// As [`Engine::change`].
    pub fn change_in_turn<T>(&self, change: impl FnOnce(&mut Catalog) -> Result<T>) -> Result<T> {
        self.change_then(change, hand_over)
    }

    fn change_then<T>(
        &self,
        change: impl FnOnce(&mut Catalog) -> Result<T>,
        let_go: impl FnOnce(RwLockWriteGuard<'_, Catalog>),
    ) -> Result<T> {
        self.check_poison()?;
        let mut catalog = self.catalog.write();
        let changed = look_at_pages_once(&*self.device, || change(&mut catalog));
        self.catalog_pages.store(catalog.changed_pages(), Ordering::Relaxed);
        let_go(catalog);
        changed.map_err(|error| if error.changed_nothing() && !self.space.broke_promise() { error } else { self.poison(error) })
    }

    /// The locks of a drive: one set for all its handles.
    pub fn locks_of(&self, drive: ObjectId) -> Arc<DriveLocks> {
        let mut all = self.drive_locks.lock();
        if let Some(locks) = all.get(&drive).and_then(Weak::upgrade) {
            return locks;
        }
        all.retain(|_, locks| locks.strong_count() > 0);
        let locks = Arc::new(DriveLocks::default());
        all.insert(drive, Arc::downgrade(&locks));
        locks
    }
}
