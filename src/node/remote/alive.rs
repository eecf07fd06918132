//! What of this process is still under way?
//!
//! Uploads and leases say at their location which store they are of. A store is open in one process at a time, so what says that it is of
//! this process's store, and is not of this process, was left by one that was killed.

use parking_lot::Mutex;
use std::collections::BTreeSet;
use uuid::Uuid;

static ALIVE: Mutex<BTreeSet<Uuid>> = Mutex::new(BTreeSet::new());

/// Something that is under way until it is dropped.
#[derive(Debug)]
pub struct Alive(Uuid);

impl Alive {
    /// Something new.
    #[must_use]
    pub fn new() -> Self {
        let uuid = Uuid::new_v4();
        ALIVE.lock().insert(uuid);
        Self(uuid)
    }

    /// Its identity.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        self.0
    }
}

impl Default for Alive {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        ALIVE.lock().remove(&self.0);
    }
}

/// Did a process leave that which had the same store open, and was killed? `store` is whose it is, and `own` whose bucket this is.
#[must_use]
pub fn is_left(uuid: Uuid, store: Option<Uuid>, own: Option<Uuid>) -> bool {
    store.is_some() && store == own && !ALIVE.lock().contains(&uuid)
}
