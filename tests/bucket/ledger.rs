//! What went through a proxy, and which answers were given already?

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Who waits longer waits for nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request that came, and what became of it.
#[derive(Clone, Debug)]
pub struct Entry {
    pub method: String,
    /// With the query.
    pub path: String,
    /// Of the request's body.
    pub bytes_up: u64,
    /// Of the answer's body, as far as it was passed on.
    pub bytes_down: u64,
    /// What the client was told; nothing if it was hung up on, or still waits.
    pub status: Option<u16>,
}

/// All that had the same method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub requests: u64,
    pub bytes_up: u64,
    pub bytes_down: u64,
}

#[derive(Default)]
pub struct Ledger {
    entries: Mutex<Vec<Entry>>,
    answered: Condvar,
}

impl Ledger {
    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        // No thread leaves an entry half written.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a request; its number, from 0.
    pub fn came(&self, method: &str, path: &str, bytes_up: u64) -> usize {
        let mut entries = self.entries();
        entries.push(Entry { method: method.to_owned(), path: path.to_owned(), bytes_up, bytes_down: 0, status: None });
        entries.len() - 1
    }

    pub fn answers(&self, number: usize, status: u16, bytes_down: u64) {
        let mut entries = self.entries();
        entries[number].status = Some(status);
        entries[number].bytes_down = bytes_down;
        self.answered.notify_all();
    }

    /// Waits until a request that came after this one has its answer. Whether one has.
    pub fn is_overtaken(&self, number: usize) -> bool {
        let is_alone = |entries: &mut Vec<Entry>| entries[number + 1..].iter().all(|entry| entry.status.is_none());
        let waited = self.answered.wait_timeout_while(self.entries(), PATIENCE, is_alone);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    pub fn all(&self) -> Vec<Entry> {
        self.entries().clone()
    }

    pub fn traffic(&self) -> BTreeMap<String, Traffic> {
        let mut traffic = BTreeMap::<String, Traffic>::new();
        for entry in self.entries().iter() {
            let sum = traffic.entry(entry.method.clone()).or_default();
            sum.requests += 1;
            sum.bytes_up += entry.bytes_up;
            sum.bytes_down += entry.bytes_down;
        }
        traffic
    }
}
