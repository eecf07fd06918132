//! What does a location keep, and how is it found there?
//!
//! docs/repository.md describes the format for strangers. In short: images are cut into windows, what changed of a window is a *chunk*
//! (`chunk`), chunks lie in *packs* (`pack`), *index* objects say in which (`index`). A *map* (`page`, `map`) says which chunks an image is
//! made of, and a *manifest* (`manifest`), written last, makes a remote snapshot of a map.
//!
//! 1. No object is ever changed: what is new has a new name. So two nodes that put at the same time waste space at most.
//! 2. A manifest is put after everything that it leads to, so what can be listed can be read.
//! 3. What is read is compared with the hash that it was asked for by.

mod bytes;
pub mod chunk;
pub mod cipher;
pub mod index;
pub mod keys;
pub mod manifest;
pub mod map;
pub mod pack;
pub mod page;

use super::bucket::{Bucket, Created};
use super::doomed;
use crate::node::failure::{Failure, FailureKind};
use crate::node::timestamp::Timestamp;
use ::bytes::Bytes;
use chunk::{ChunkId, Codec};
use cipher::Cipher;
use index::{Index, PackList, Place};
use keys::{Key, Wrapped};
use lru::LruCache;
use manifest::Manifest;
use map::Pages;
use page::Page;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use uuid::Uuid;

/// What makes a location a repository.
pub const MARK: &str = "floe-repository";
const VERSION: u32 = 1;
/// Pages that are remembered: 20 MiB of them at most.
const PAGES_MAX: NonZeroUsize = NonZeroUsize::new(1024).expect("it is not 0");
/// What lies so near in a pack is got together.
const GAP_BYTES: u64 = 64 * 1024;
/// The most that is got at once.
const GET_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// How often what comes damaged is got again: what is damaged on the way is whole the next time.
const TRIES: usize = 3;

/// What a repository says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    floe: String,
    version: u32,
    /// Its identity.
    pub uuid: Uuid,
    /// When it was made.
    pub created: Timestamp,
    /// Whether what it keeps is encrypted.
    pub encrypted: bool,
}

/// The repository of a location.
pub struct Repository {
    bucket: Bucket,
    about: About,
    codec: Codec,
    index: RwLock<Index>,
    /// Packs that somebody is about to delete: what is in them must not be relied on.
    doomed: RwLock<HashSet<Uuid>>,
    pages: Mutex<LruCache<ChunkId, Arc<Page>>>,
}

impl Repository {
    /// Makes one where there is none.
    ///
    /// # Errors
    /// `AlreadyExists`, `InvalidArgument` for a key that can be guessed, `Io`, `Denied`.
    pub fn init(bucket: Bucket, key: Option<&Key>) -> Result<Self, Failure> {
        let exists = |bucket: &Bucket| {
            Failure::new(FailureKind::AlreadyExists, format!("location {} has a repository already", bucket.location()))
        };
        if about(&bucket)?.is_some() {
            return Err(exists(&bucket));
        }
        let about = About {
            floe: "repository".into(),
            version: VERSION,
            uuid: Uuid::new_v4(),
            created: Timestamp::now(),
            encrypted: key.is_some(),
        };
        let mut cipher = None;
        if let Some(key) = key {
            let secret = keys::random();
            put_key(&bucket, &key.wrap(&secret)?)?;
            cipher = Some(Cipher::new(&secret));
        }
        match bucket.create(MARK, &Bytes::from(to_json(&about)))? {
            Created::New => Ok(Self::with(bucket, about, Codec::new(cipher))),
            Created::Taken => Err(exists(&bucket)),
        }
    }

    /// Opens the one that is there.
    ///
    /// # Errors
    /// `NotFound` if there is none, `UnsupportedFormat`, `Denied` without the right key, `Corrupt`, `Io`.
    pub fn open(bucket: Bucket, key: Option<&Key>) -> Result<Self, Failure> {
        let code = bucket.location().to_owned();
        let Some(about) = about(&bucket)? else {
            let message = format!("location {code} has no repository: make one with `floe location init {code}`");
            return Err(Failure::new(FailureKind::NotFound, message));
        };
        if about.version != VERSION {
            let message =
                format!("the repository of location {code} is of version {}, and this floe knows {VERSION}", about.version);
            return Err(Failure::new(FailureKind::UnsupportedFormat, message));
        }
        let cipher = match (about.encrypted, key) {
            (false, _) => None,
            (true, None) => {
                let message = format!("location {code} is encrypted, and no key is set for it");
                return Err(Failure::new(FailureKind::Denied, message));
            }
            (true, Some(key)) => Some(Cipher::new(&secret(&bucket, key)?.1)),
        };
        Ok(Self::with(bucket, about, Codec::new(cipher)))
    }

    fn with(bucket: Bucket, about: About, codec: Codec) -> Self {
        let pages = Mutex::new(LruCache::new(PAGES_MAX));
        Self { bucket, about, codec, index: RwLock::default(), doomed: RwLock::default(), pages }
    }

    /// What it says of itself.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Its objects.
    #[must_use]
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// How its chunks are named and stored.
    #[must_use]
    pub fn codec(&self) -> &Codec {
        &self.codec
    }

    /// Reads what others added to the index since, and what is about to go.
    ///
    /// # Errors
    /// `Io`, `Denied`, `Corrupt`
    pub fn refresh(&self) -> Result<(), Failure> {
        // Read before the index: whoever deletes packs takes them out of the index first, and removes his list last.
        let doomed = doomed::packs(&self.bucket)?;
        self.doomed.write().extend(&doomed);
        let there = self.bucket.list(index::DIRECTORY)?;
        let names: HashSet<&String> = there.iter().map(|object| &object.name).collect();
        // An index object goes when packs go or are packed again: then all is read anew, beside what others still use.
        let mut anew = self.index.read().objects().any(|name| !names.contains(name)).then(Index::default);
        for name in names {
            if anew.as_ref().map_or_else(|| self.index.read().has_read(name), |index| index.has_read(name)) {
                continue;
            }
            match self.bucket.get(name) {
                Ok(object) => {
                    let lists = index::read(&self.codec, name, &object)?;
                    match &mut anew {
                        Some(index) => take(index, name, lists, &doomed),
                        None => take(&mut self.index.write(), name, lists, &doomed),
                    }
                }
                // Somebody packed again meanwhile; what he wrote instead is read the next time.
                Err(failure) if failure.kind() == FailureKind::NotFound => {}
                Err(failure) => return Err(failure),
            }
        }
        if let Some(anew) = anew {
            *self.index.write() = anew;
        }
        *self.doomed.write() = doomed;
        Ok(())
    }

    /// The index.
    #[must_use]
    pub fn index(&self) -> &RwLock<Index> {
        &self.index
    }

    /// Packs that somebody is about to delete.
    #[must_use]
    pub fn doomed(&self) -> &RwLock<HashSet<Uuid>> {
        &self.doomed
    }

    /// Puts an index object for packs that were put.
    ///
    /// # Errors
    /// `Io`, `Denied`
    pub fn put_index(&self, lists: &[PackList]) -> Result<String, Failure> {
        let name = format!("{}/{}", index::DIRECTORY, Uuid::new_v4());
        self.bucket.put(&name, index::object(&self.codec, &name, lists).into())?;
        self.index.write().take(&name, lists);
        Ok(name)
    }

    /// Is a chunk there, and does it stay?
    #[must_use]
    pub fn has(&self, id: &ChunkId) -> bool {
        let place = self.index.read().find(id);
        place.is_some_and(|(pack, _)| !self.doomed.read().contains(&pack))
    }

    /// A chunk.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`, `Io`, `Denied`
    pub fn chunk(&self, id: &ChunkId) -> Result<Vec<u8>, Failure> {
        let mut chunks = self.chunks(std::slice::from_ref(id))?;
        Ok(chunks.remove(id).expect("what was asked for comes"))
    }

    /// Several chunks; what lies side by side is got at once.
    ///
    /// # Errors
    /// As [`Repository::chunk`].
    pub fn chunks(&self, ids: &[ChunkId]) -> Result<HashMap<ChunkId, Vec<u8>>, Failure> {
        let mut tried = 0;
        loop {
            tried += 1;
            match self.try_chunks(ids) {
                Err(failure) if tried < TRIES && failure.kind() == FailureKind::Corrupt => {
                    tracing::warn!(location = self.bucket.location(), %failure, "what came is damaged: getting it again");
                }
                // What was packed again is somewhere else.
                Err(failure) if tried < TRIES && failure.kind() == FailureKind::NotFound => self.refresh()?,
                done => return done,
            }
        }
    }

    fn try_chunks(&self, ids: &[ChunkId]) -> Result<HashMap<ChunkId, Vec<u8>>, Failure> {
        let mut by_pack: BTreeMap<Uuid, Vec<(Place, ChunkId)>> = BTreeMap::new();
        for id in ids {
            let (pack, place) = self.index.read().find(id).ok_or_else(|| self.no_chunk(id))?;
            by_pack.entry(pack).or_default().push((place, *id));
        }
        let mut chunks = HashMap::with_capacity(ids.len());
        for (pack, mut places) in by_pack {
            places.sort_by_key(|(place, _)| place.offset);
            let mut rest = &places[..];
            while let Some((first, _)) = rest.first() {
                let start = u64::from(first.offset);
                let mut end = start + u64::from(first.stored);
                let near = |(place, _): &(Place, ChunkId)| {
                    let its_end = u64::from(place.offset) + u64::from(place.stored);
                    let is_near = u64::from(place.offset) <= end + GAP_BYTES && its_end - start <= GET_BYTES_MAX;
                    if is_near {
                        end = end.max(its_end);
                    }
                    is_near
                };
                let count = 1 + rest[1..].iter().map(near).take_while(|near| *near).count();
                let (together, others) = rest.split_at(count);
                let bytes = self.bucket.get_range(&pack::name(pack), start..end)?;
                for (place, id) in together {
                    let from = (u64::from(place.offset) - start) as usize;
                    let stored = &bytes[from..from + place.stored as usize];
                    chunks.insert(*id, self.codec.read(id, stored).map_err(|failure| failure.context(pack::name(pack)))?);
                }
                rest = others;
            }
        }
        Ok(chunks)
    }

    fn no_chunk(&self, id: &ChunkId) -> Failure {
        let message = format!("location {}: no index names chunk {id}", self.bucket.location());
        Failure::new(FailureKind::NotFound, message)
    }

    /// The remote snapshots that are there, oldest first, and what could not be read.
    ///
    /// # Errors
    /// `Io`, `Denied`
    pub fn manifests(&self) -> Result<(Vec<Manifest>, Vec<Failure>), Failure> {
        let (mut manifests, mut failures) = (Vec::new(), Vec::new());
        for (_, names) in self.manifest_names()? {
            let Some(name) = names.last() else { continue };
            match self.bucket.get(name).and_then(|object| Manifest::read(&self.codec, name, &object)) {
                Ok(manifest) => manifests.push(manifest),
                // It was deleted meanwhile.
                Err(failure) if failure.kind() == FailureKind::NotFound => {}
                Err(failure) if failure.kind() == FailureKind::Corrupt => failures.push(failure),
                Err(failure) => return Err(failure),
            }
        }
        manifests.sort_by_key(|manifest| (manifest.timestamp, manifest.uuid));
        Ok((manifests, failures))
    }

    /// The names of all manifests, by remote snapshot, the one that counts last.
    ///
    /// # Errors
    /// `Io`, `Denied`
    pub fn manifest_names(&self) -> Result<BTreeMap<Uuid, Vec<String>>, Failure> {
        let mut names: BTreeMap<Uuid, Vec<String>> = BTreeMap::new();
        for object in self.bucket.list(manifest::DIRECTORY)? {
            if let Some((uuid, _)) = manifest::parse_name(&object.name) {
                names.entry(uuid).or_default().push(object.name);
            }
        }
        Ok(names)
    }

    /// One remote snapshot; nothing if it is not there.
    ///
    /// # Errors
    /// `Io`, `Denied`, `Corrupt`
    pub fn manifest(&self, uuid: Uuid) -> Result<Option<Manifest>, Failure> {
        let objects = self.bucket.list(&format!("{}/{uuid}", manifest::DIRECTORY))?;
        let Some(last) = objects.last() else { return Ok(None) };
        Manifest::read(&self.codec, &last.name, &self.bucket.get(&last.name)?).map(Some)
    }

    /// Puts a manifest; the ones before it go.
    ///
    /// # Errors
    /// `Io`, `Denied`
    pub fn put_manifest(&self, manifest: &Manifest) -> Result<(), Failure> {
        let name = manifest.new_name();
        self.bucket.put(&name, manifest.to_object(&self.codec, &name).into())?;
        if manifest.revision > 0 {
            for object in self.bucket.list(&format!("{}/{}", manifest::DIRECTORY, manifest.uuid))? {
                if manifest::parse_name(&object.name).is_some_and(|(_, revision)| revision < manifest.revision) {
                    self.bucket.delete(&object.name)?;
                }
            }
        }
        Ok(())
    }

    /// Deletes a remote snapshot: what it alone needs is garbage then. The newest goes last: until then, it is what it was.
    ///
    /// # Errors
    /// `Io`, `Denied`
    pub fn delete_manifest(&self, uuid: Uuid) -> Result<(), Failure> {
        self.bucket
            .list(&format!("{}/{uuid}", manifest::DIRECTORY))?
            .iter()
            .try_for_each(|object| self.bucket.delete(&object.name))
    }

    /// The keys that open it.
    ///
    /// # Errors
    /// `Io`, `Denied`, `Corrupt`
    pub fn keys(&self) -> Result<Vec<Wrapped>, Failure> {
        wrapped_keys(&self.bucket)
    }

    /// Lets another key open it.
    ///
    /// # Errors
    /// `InvalidArgument` if it is not encrypted, `Denied` if `key` does not open it, `Io`.
    pub fn add_key(&self, key: &Key, new: &Key) -> Result<Wrapped, Failure> {
        if !self.about.encrypted {
            let message = format!("location {} is not encrypted", self.bucket.location());
            return Err(Failure::new(FailureKind::InvalidArgument, message));
        }
        let (_, secret) = secret(&self.bucket, key)?;
        let wrapped = new.wrap(&secret)?;
        put_key(&self.bucket, &wrapped)?;
        Ok(wrapped)
    }

    /// Lets a key open it no longer.
    ///
    /// # Errors
    /// `NotFound`, `InvalidArgument` for the last one, `Io`.
    pub fn remove_key(&self, uuid: Uuid) -> Result<(), Failure> {
        let keys = self.keys()?;
        if !keys.iter().any(|key| key.uuid == uuid) {
            return Err(Failure::new(FailureKind::NotFound, format!("there is no key {uuid}")));
        }
        if keys.len() == 1 {
            let message = "without its last key nobody could read the repository any more";
            return Err(Failure::new(FailureKind::InvalidArgument, message));
        }
        self.bucket.delete(&format!("{}/{uuid}", keys::DIRECTORY))
    }
}

impl Pages for Repository {
    fn page(&self, id: &ChunkId, level: u8) -> Result<Arc<Page>, Failure> {
        if let Some(page) = self.pages.lock().get(id) {
            return Ok(Arc::clone(page));
        }
        let bytes = self.chunk(id)?;
        let page = Page::read(&bytes, level)
            .ok_or_else(|| Failure::new(FailureKind::Corrupt, format!("chunk {id} is no page of a map of level {level}")))?;
        let page = Arc::new(page);
        self.pages.lock().put(*id, Arc::clone(&page));
        Ok(page)
    }
}

/// Takes an index object; what another pack has too is not looked for in one that is about to go.
fn take(index: &mut Index, name: &str, mut lists: Vec<PackList>, doomed: &HashSet<Uuid>) {
    for list in lists.iter_mut().filter(|list| doomed.contains(&list.pack)) {
        list.entries.retain(|entry| index.find(&entry.id).is_none_or(|(pack, _)| doomed.contains(&pack)));
    }
    index.take(name, &lists);
}

fn about(bucket: &Bucket) -> Result<Option<About>, Failure> {
    let object = match bucket.get(MARK) {
        Ok(object) => object,
        Err(failure) if failure.kind() == FailureKind::NotFound => return Ok(None),
        Err(failure) => return Err(failure),
    };
    from_json(MARK, &object).map(Some)
}

fn put_key(bucket: &Bucket, wrapped: &Wrapped) -> Result<(), Failure> {
    bucket.put(&format!("{}/{}", keys::DIRECTORY, wrapped.uuid), to_json(wrapped).into())
}

fn wrapped_keys(bucket: &Bucket) -> Result<Vec<Wrapped>, Failure> {
    bucket.list(keys::DIRECTORY)?.iter().map(|object| from_json(&object.name, &bucket.get(&object.name)?)).collect()
}

/// The secret that a key opens, and which key that is.
fn secret(bucket: &Bucket, key: &Key) -> Result<(Uuid, [u8; cipher::SECRET]), Failure> {
    let keys = wrapped_keys(bucket)?;
    keys.iter().find_map(|wrapped| key.unwrap(wrapped).map(|secret| (wrapped.uuid, secret))).ok_or_else(|| {
        let message = format!("location {}: the key that is set opens none of its {} locks", bucket.location(), keys.len());
        Failure::new(FailureKind::Denied, message)
    })
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec_pretty(value).expect("it is plain data")
}

fn from_json<T: for<'a> Deserialize<'a>>(name: &str, object: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(object).map_err(|error| Failure::new(FailureKind::Corrupt, format!("{name} is damaged: {error}")))
}
