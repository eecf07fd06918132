//! Which packs are needed, by whom?
//!
//! 1. Packs are listed first, then sessions, then manifests: what is put meanwhile is in no list of packs, and an upload that ended
//!    meanwhile has its manifest in the last list.
//! 2. Manifests are listed until nothing new is among them: one that is moved or built upon during a list is in the next one.
//! 3. A chunk that lies in several packs makes one of them needed, its *home*: one that is there and not doomed, and of these the newest.

use super::doomed::{self, Doomed};
use super::needed::Needed;
use super::repository::chunk::ChunkId;
use super::repository::manifest::Manifest;
use super::repository::pack::{self, Entry};
use super::repository::{Repository, index};
use super::session::{self, MARGIN_SECONDS, Seen};
use crate::node::failure::{Failure, FailureKind};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// Where packs are.
pub(super) const PACKS: &str = "packs";

/// A pack that is there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pack {
    /// Its size.
    pub bytes: u64,
    /// When it was put.
    pub modified: i64,
    /// Stored bytes of its chunks, as far as an index names them.
    pub chunk_bytes: u64,
    /// Stored bytes of the chunks that have their home in it.
    pub live_bytes: u64,
}

/// What was found.
pub struct Mark {
    /// The time of the object store.
    pub now: i64,
    /// The packs.
    pub packs: BTreeMap<Uuid, Pack>,
    /// Sessions that live.
    pub alive: Vec<Seen>,
    /// Sessions that are dead.
    pub dead: Vec<Seen>,
    /// Packs that are about to be deleted.
    pub doomed: Vec<Doomed>,
    /// Index objects, and the packs that each one names.
    pub index: BTreeMap<String, Vec<Uuid>>,
    homes: HashMap<ChunkId, Uuid>,
}

impl Mark {
    /// Looks.
    ///
    /// # Errors
    /// `Corrupt` and `NotFound` if something is not to be had that would be needed to know; `Io`, `Denied`.
    pub fn of(repository: &Repository, now: i64) -> Result<Self, Failure> {
        let bucket = repository.bucket();
        let mut packs = packs_there(repository)?;
        let (alive, dead) = session::list(bucket)?.into_iter().partition(|session| session.is_alive(now));
        repository.refresh()?;
        let doomed = doomed::list(bucket)?;
        let needed = needed(repository)?;
        let is_doomed: HashSet<Uuid> = doomed.iter().flat_map(|list| &list.packs).copied().collect();
        let rank = |pack: &Uuid, packs: &BTreeMap<Uuid, Pack>| {
            (packs.contains_key(pack), !is_doomed.contains(pack), packs.get(pack).map(|pack| pack.modified), *pack)
        };
        let (mut index, mut named) = (BTreeMap::new(), HashSet::new());
        let mut homes: HashMap<ChunkId, (Uuid, u32)> = HashMap::new();
        for object in bucket.list(index::DIRECTORY)? {
            let lists = index::read(repository.codec(), &object.name, &bucket.get(&object.name)?)?;
            index.insert(object.name, lists.iter().map(|list| list.pack).collect());
            for list in lists.iter().filter(|list| named.insert(list.pack)) {
                if let Some(pack) = packs.get_mut(&list.pack) {
                    pack.chunk_bytes = list.entries.iter().map(|entry| u64::from(entry.stored)).sum();
                }
                for entry in list.entries.iter().filter(|entry| needed.chunks.contains(&entry.id)) {
                    let home = homes.entry(entry.id).or_insert((list.pack, entry.stored));
                    if rank(&list.pack, &packs) > rank(&home.0, &packs) {
                        *home = (list.pack, entry.stored);
                    }
                }
            }
        }
        // What no index names may lie in a pack that none names either; else it is lost, and nothing that stays or goes changes that.
        if let Some(pack) = packs.keys().find(|pack| !named.contains(*pack))
            && let Some(lost) = needed.chunks.iter().find(|id| !homes.contains_key(id))
        {
            let message = format!(
                "location {}: no index names chunk {lost}, which is needed, nor pack {pack}, which may hold it: make the index again",
                bucket.location()
            );
            return Err(Failure::new(FailureKind::NotFound, message));
        }
        for (home, stored) in homes.values() {
            if let Some(pack) = packs.get_mut(home) {
                pack.live_bytes += u64::from(*stored);
            }
        }
        let homes = homes.into_iter().map(|(id, (pack, _))| (id, pack)).collect();
        Ok(Self { now, packs, alive, dead, doomed, index, homes })
    }

    /// The packs of all lists.
    #[must_use]
    pub fn doomed_packs(&self) -> BTreeSet<Uuid> {
        self.doomed.iter().flat_map(|list| &list.packs).copied().collect()
    }

    /// Whether a chunk has its home in a pack.
    #[must_use]
    pub fn is_home(&self, entry: &Entry, pack: Uuid) -> bool {
        self.homes.get(&entry.id) == Some(&pack)
    }

    /// The session that may have put what was put at that time, or rely on what was not doomed by then.
    #[must_use]
    pub fn session_before(&self, time: i64) -> Option<Uuid> {
        self.alive.iter().find(|session| session.started - MARGIN_SECONDS <= time).map(|session| session.uuid)
    }

    /// Whether nobody may just have put a pack.
    #[must_use]
    pub fn is_settled(&self, pack: &Pack) -> bool {
        self.session_before(pack.modified).is_none()
    }
}

/// The packs that are there.
///
/// # Errors
/// `Io`, `Denied`
pub fn packs_there(repository: &Repository) -> Result<BTreeMap<Uuid, Pack>, Failure> {
    let objects = repository.bucket().list(PACKS)?.into_iter();
    let pack = |modified, bytes| Pack { bytes, modified, chunk_bytes: 0, live_bytes: 0 };
    Ok(objects.filter_map(|object| Some((pack::named(&object.name)?, pack(object.modified, object.bytes)))).collect())
}

/// The clock of this machine: to count, the store's need not be asked, which is to put something.
#[must_use]
pub fn time_here() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

/// What all manifests need.
fn needed(repository: &Repository) -> Result<Needed, Failure> {
    let (mut needed, mut read) = (Needed::default(), HashSet::new());
    loop {
        let names: Vec<String> = repository.manifest_names()?.into_values().flatten().collect();
        let before = read.len();
        for name in names {
            if !read.insert(name.clone()) {
                continue;
            }
            let object = match repository.bucket().get(&name) {
                Ok(object) => object,
                // It was deleted meanwhile; what was built upon it is in the next list.
                Err(failure) if failure.kind() == FailureKind::NotFound => continue,
                Err(failure) => return Err(failure),
            };
            let added = Manifest::read(repository.codec(), &name, &object)
                .and_then(|manifest| needed.add(repository, manifest.map.as_ref()));
            added.map_err(|failure| failure.context(format!("what {name} needs is not known")))?;
        }
        if read.len() == before {
            return Ok(needed);
        }
    }
}
