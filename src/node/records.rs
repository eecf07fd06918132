//! What does a node keep beside drives and snapshots?
//!
//! Notes of the store: JSON objects that say their `kind`. Each kind is read once, when the node starts, and held in memory; whoever
//! changes one changes the note first.

use crate::Store;
use crate::node::failure::{Failure, FailureKind};
use crate::node::service::objects::present;
use parking_lot::{Mutex, RwLock};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

const KIND_FIELD: &str = "kind";

/// Something that is kept.
pub trait Record: Clone + Serialize + DeserializeOwned {
    /// What tells its notes from others.
    const KIND: &'static str;
}

/// All that is kept of one kind.
pub struct Records<T> {
    store: Store,
    /// Held by whoever decides by what is kept, until the decision is durable.
    deciding: Mutex<()>,
    kept: RwLock<Kept<T>>,
}

struct Kept<T> {
    /// In order of creation.
    by_order: BTreeMap<u64, (Uuid, T)>,
    order: HashMap<Uuid, u64>,
    next: u64,
}

impl<T> Kept<T> {
    fn put(&mut self, uuid: Uuid, record: T) {
        let order = *self.order.entry(uuid).or_insert(self.next);
        self.next = self.next.max(order + 1);
        self.by_order.insert(order, (uuid, record));
    }

    fn remove(&mut self, uuid: Uuid) {
        if let Some(order) = self.order.remove(&uuid) {
            self.by_order.remove(&order);
        }
    }

    fn find(&self, uuid: Uuid) -> Option<&T> {
        self.by_order.get(self.order.get(&uuid)?).map(|(_, record)| record)
    }
}

impl<T: Record> Records<T> {
    /// Reads all of a store; notes of other kinds, and what is no JSON, are left alone.
    ///
    /// # Errors
    /// `Io`, `Corrupt`
    pub fn of(store: &Store) -> Result<Self, Failure> {
        let mut kept = Kept { by_order: BTreeMap::new(), order: HashMap::new(), next: 0 };
        for uuid in store.notes() {
            if let Some(record) = read(&store.note(uuid)?) {
                kept.put(uuid, record);
            }
        }
        Ok(Self { store: store.clone(), deciding: Mutex::new(()), kept: RwLock::new(kept) })
    }

    /// All of them, in order of creation.
    #[must_use]
    pub fn all(&self) -> Vec<(Uuid, T)> {
        self.kept.read().by_order.values().cloned().collect()
    }

    /// Those that are wanted, in order of creation.
    #[must_use]
    pub fn some(&self, wanted: impl Fn(&T) -> bool) -> Vec<(Uuid, T)> {
        self.kept.read().by_order.values().filter(|(_, record)| wanted(record)).cloned().collect()
    }

    /// The one of that uuid.
    #[must_use]
    pub fn find(&self, uuid: Uuid) -> Option<T> {
        self.kept.read().find(uuid).cloned()
    }

    /// Takes what a note says that somebody else wrote or deleted.
    ///
    /// # Errors
    /// `Io`, `Corrupt`
    pub fn read_again(&self, uuid: Uuid) -> Result<(), Failure> {
        match present(self.store.note(uuid))?.as_deref().and_then(read) {
            Some(record) => self.kept.write().put(uuid, record),
            None => self.kept.write().remove(uuid),
        }
        Ok(())
    }

    /// Keeps a new one, or replaces the one of that uuid.
    ///
    /// # Errors
    /// `InvalidArgument` for more than a note holds, `NoSpace`, `Io`.
    pub fn set(&self, uuid: Uuid, record: T) -> Result<(), Failure> {
        self.store.set_note(uuid, written(&record).as_bytes())?;
        self.kept.write().put(uuid, record);
        Ok(())
    }

    /// Keeps a new one, unless one of those that are kept forbids it.
    ///
    /// # Errors
    /// `AlreadyExists` with the words of `taken`, and those of [`Records::set`].
    pub fn add(&self, uuid: Uuid, record: T, taken: impl Fn(&T) -> Option<String>) -> Result<(), Failure> {
        let _deciding = self.deciding.lock();
        if let Some(words) = self.kept.read().by_order.values().find_map(|(_, other)| taken(other)) {
            return Err(Failure::new(FailureKind::AlreadyExists, words));
        }
        self.set(uuid, record)
    }

    /// Changes the one of that uuid; what it is then, or nothing if there is none.
    ///
    /// # Errors
    /// As [`Records::set`]; nothing is changed then.
    pub fn change(&self, uuid: Uuid, change: impl FnOnce(&mut T)) -> Result<Option<T>, Failure> {
        let _deciding = self.deciding.lock();
        let Some(mut changed) = self.find(uuid) else { return Ok(None) };
        change(&mut changed);
        self.set(uuid, changed.clone())?;
        Ok(Some(changed))
    }

    /// Keeps one no longer; whether there was one.
    ///
    /// # Errors
    /// `Io`
    pub fn delete(&self, uuid: Uuid) -> Result<bool, Failure> {
        let _deciding = self.deciding.lock();
        if self.find(uuid).is_none() {
            return Ok(false);
        }
        self.store.delete_note(uuid)?;
        self.kept.write().remove(uuid);
        Ok(true)
    }
}

fn read<T: Record>(note: &[u8]) -> Option<T> {
    let Ok(Value::Object(mut object)) = serde_json::from_slice(note) else { return None };
    let kind = object.remove(KIND_FIELD)?;
    if kind != T::KIND {
        return None;
    }
    serde_json::from_value(Value::Object(object)).ok()
}

/// What the note of a record says.
///
/// # Panics
/// For what is no plain data.
pub fn written<T: Record>(record: &T) -> String {
    let mut value = serde_json::to_value(record).expect("records are plain data");
    value[KIND_FIELD] = T::KIND.into();
    value.to_string()
}

/// The name of one of a few.
///
/// # Panics
/// For what is more than a name.
pub fn word(one: impl Serialize) -> String {
    match serde_json::to_value(one) {
        Ok(Value::String(word)) => word,
        other => panic!("{other:?} is no word"),
    }
}
