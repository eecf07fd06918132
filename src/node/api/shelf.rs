//! Which drives, snapshots and remote snapshots are there, and whose are they?
//!
//! All names and attributes, read once and then kept in step by whoever changes them: a listing touches what it shows, and no more.
//! Sizes are not here: they change with every write, and the engine answers at once.

use crate::node::attributes::Attributes;
use crate::node::remote::known::Known;
use crate::node::remote::remotes::Remotes;
use crate::{Drive, Error, ErrorKind, Result, Snapshot};
use parking_lot::RwLock;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use uuid::Uuid;

/// What can stand on a shelf: a drive, a snapshot, a remote snapshot.
pub trait Item: Sized {
    /// Its identity.
    fn uuid(&self) -> Uuid;
    /// Its name.
    ///
    /// # Errors
    /// As the engine's.
    fn name(&self) -> Result<String>;
    /// Its attributes.
    ///
    /// # Errors
    /// As the engine's.
    fn attributes(&self) -> Result<Vec<u8>>;
    /// The drive that it was taken of.
    fn drive(&self) -> Option<Uuid>;
}

/// A drive or snapshot, its name, and what its attributes say.
pub struct Own<H> {
    /// The drive or snapshot.
    pub handle: H,
    /// Its owner.
    pub owner: Uuid,
    /// Its name.
    pub name: String,
    /// Its attributes.
    pub attributes: Attributes,
    /// The tags among them.
    pub tags: Vec<Uuid>,
}

/// A drive and its owner's words.
pub type OwnDrive = Own<Drive>;
/// A snapshot and its owner's words.
pub type OwnSnapshot = Own<Snapshot>;
/// A remote snapshot and its owner's words.
pub type OwnRemote = Own<RemoteHandle>;

/// One of the remote snapshots that a node remembers.
#[derive(Clone)]
pub struct RemoteHandle {
    /// All of them.
    pub remotes: Arc<Remotes>,
    /// Which.
    pub uuid: Uuid,
    /// The drive it is of, which may be gone.
    pub drive: Uuid,
}

impl RemoteHandle {
    /// What is remembered of it now.
    ///
    /// # Errors
    /// `NotFound` if it was deleted.
    pub fn known(&self) -> Result<Known> {
        let gone = || Error::new(ErrorKind::NotFound, format!("there is no remote snapshot {}", self.uuid));
        self.remotes.find(self.uuid).ok_or_else(gone)
    }
}

impl<H: Item> Own<H> {
    /// Reads it from the engine; `owner` says whose it is by what it says itself.
    ///
    /// # Errors
    /// As the engine's: `NotFound` if it was deleted.
    pub fn read(handle: H, owner: impl FnOnce(Option<Uuid>) -> Uuid) -> Result<Self> {
        let attributes = Attributes::read(&handle.attributes()?);
        let owner = owner(attributes.owner());
        Ok(Self { owner, name: handle.name()?, tags: attributes.tags(), attributes, handle })
    }
}

/// All of one collection.
pub struct Shelf<H>(RwLock<Places<H>>);

/// What was taken away, and where it was.
pub struct Taken<H> {
    order: u64,
    /// What it is.
    pub own: Arc<Own<H>>,
}

struct Places<H> {
    by_uuid: HashMap<Uuid, (u64, Arc<Own<H>>)>,
    by_owner: HashMap<Uuid, BTreeMap<u64, Arc<Own<H>>>>,
    next: u64,
}

impl<H: Item> Default for Shelf<H> {
    fn default() -> Self {
        Self(RwLock::new(Places { by_uuid: HashMap::new(), by_owner: HashMap::new(), next: 0 }))
    }
}

impl<H: Item> Shelf<H> {
    /// Puts it there: at the end, or in the place of what it was before.
    pub fn put(&self, own: Own<H>) -> Arc<Own<H>> {
        let own = Arc::new(own);
        let mut places = self.0.write();
        let order = match places.by_uuid.get(&own.handle.uuid()) {
            Some((order, _)) => *order,
            None => {
                places.next += 1;
                places.next
            }
        };
        places.by_uuid.insert(own.handle.uuid(), (order, Arc::clone(&own)));
        places.by_owner.entry(own.owner).or_default().insert(order, Arc::clone(&own));
        own
    }

    /// Takes it away.
    pub fn remove(&self, uuid: Uuid) -> Option<Taken<H>> {
        let mut places = self.0.write();
        let (order, own) = places.by_uuid.remove(&uuid)?;
        if let Some(of_owner) = places.by_owner.get_mut(&own.owner) {
            of_owner.remove(&order);
        }
        Some(Taken { order, own })
    }

    /// Puts it where it was.
    pub fn put_back(&self, Taken { order, own }: Taken<H>) {
        let mut places = self.0.write();
        places.by_owner.entry(own.owner).or_default().insert(order, Arc::clone(&own));
        places.by_uuid.insert(own.handle.uuid(), (order, own));
    }

    /// The one of that uuid.
    pub fn find(&self, uuid: Uuid) -> Option<Arc<Own<H>>> {
        self.0.read().by_uuid.get(&uuid).map(|(_, own)| Arc::clone(own))
    }

    /// All that are there, in no order.
    pub fn uuids(&self) -> Vec<Uuid> {
        self.0.read().by_uuid.keys().copied().collect()
    }

    /// Where it stands: things that were made later stand behind it.
    pub fn order(&self, uuid: Uuid) -> Option<u64> {
        self.0.read().by_uuid.get(&uuid).map(|(order, _)| *order)
    }

    /// All of an owner's, in order of creation.
    pub fn of(&self, owner: Uuid) -> Vec<Arc<Own<H>>> {
        self.0.read().by_owner.get(&owner).map(|all| all.values().cloned().collect()).unwrap_or_default()
    }

    /// How many an owner has.
    pub fn count(&self, owner: Uuid) -> usize {
        self.0.read().by_owner.get(&owner).map_or(0, BTreeMap::len)
    }
}

impl Item for Drive {
    fn uuid(&self) -> Uuid {
        self.uuid()
    }

    fn name(&self) -> Result<String> {
        self.name()
    }

    fn attributes(&self) -> Result<Vec<u8>> {
        self.attributes()
    }

    fn drive(&self) -> Option<Uuid> {
        None
    }
}

impl Item for Snapshot {
    fn uuid(&self) -> Uuid {
        self.uuid()
    }

    fn name(&self) -> Result<String> {
        self.name()
    }

    fn attributes(&self) -> Result<Vec<u8>> {
        self.attributes()
    }

    fn drive(&self) -> Option<Uuid> {
        Some(self.drive_uuid())
    }
}

impl Item for RemoteHandle {
    fn uuid(&self) -> Uuid {
        self.uuid
    }

    fn name(&self) -> Result<String> {
        Ok(self.known()?.description.name)
    }

    fn attributes(&self) -> Result<Vec<u8>> {
        Ok(self.known()?.attributes().to_bytes())
    }

    fn drive(&self) -> Option<Uuid> {
        Some(self.drive)
    }
}
