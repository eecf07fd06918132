//! Is everything there that a location's remote snapshots need, and is it whole?
//!
//! What is wrong is named together with the remote snapshots that it affects. Nothing is changed.

use super::doomed;
use super::fetch;
use super::lease;
use super::mark::packs_there;
use super::needed::{self, Visitor, is_lost};
use super::repack::list_in;
use super::repository::chunk::ChunkId;
use super::repository::index;
use super::repository::manifest::{self, Manifest};
use super::repository::pack::{self, Entry};
use super::repository::page::{WINDOW_BLOCKS, Window};
use super::repository::{MARK, Repository, keys};
use super::session;
use crate::BLOCK_BYTES;
use crate::node::failure::{Failure, FailureKind};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use uuid::Uuid;

/// Windows that are looked at together: 16 MiB.
const TOGETHER: usize = 64;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// An index names a pack that is not there.
    MissingPack,
    /// A chunk that is needed is in no index.
    MissingChunk,
    /// A pack is not as long as it should be, or says something else of itself than the index.
    DamagedPack,
    /// A chunk is not what it is named by.
    DamagedChunk,
    /// A page of a map is not to be had, or not what leads to it says.
    DamagedPage,
    /// Windows of an image are not those that their digests are of.
    DamagedWindow,
    /// A manifest cannot be read.
    DamagedManifest,
    /// An index object cannot be read.
    DamagedIndex,
    /// A list of doomed packs cannot be read.
    DamagedList,
    /// No index names a pack: it is garbage, or the index is not whole.
    OrphanedPack,
    /// Nobody knows what an object is for.
    Unknown,
}

/// A remote snapshot that something wrong affects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Affected {
    /// Its identity.
    pub uuid: Uuid,
    /// Its name; nothing if its manifest cannot be read.
    pub name: Option<String>,
}

/// Something wrong.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What kind of thing.
    pub kind: ProblemKind,
    /// The object, or the chunk.
    pub object: String,
    /// What is wrong with it.
    pub message: String,
    /// Whom it affects.
    pub affected: BTreeSet<Affected>,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// Remote snapshots that were looked at.
    pub snapshots: u64,
    /// Packs that are there.
    pub packs: u64,
    /// Bytes of packs that were read.
    pub read_bytes: u64,
    /// All that is wrong.
    pub problems: Vec<Problem>,
}

impl Verified {
    fn found(&mut self, kind: ProblemKind, object: impl Into<String>, message: impl Into<String>) -> usize {
        let affected = BTreeSet::new();
        self.problems.push(Problem { kind, object: object.into(), message: message.into(), affected });
        self.problems.len() - 1
    }
}

/// Looks; with `read_data` at every byte. Says from time to time how many packs and manifests it has looked at, of how many.
///
/// # Errors
/// `Io`, `Denied`
pub fn verify(repository: &Repository, read_data: bool, progress: &mut dyn FnMut(u64, u64)) -> Result<Verified, Failure> {
    let mut verified = Verified::default();
    let lists = read_index(repository, &mut verified)?;
    let packs = packs_there(repository)?;
    let manifests = read_manifests(repository, &mut verified)?;
    unknown_objects(repository, &mut verified)?;
    let total = (packs.len() + manifests.len()) as u64;
    (verified.packs, verified.snapshots) = (packs.len() as u64, manifests.len() as u64);

    let mut bad = Bad::default();
    for (pack, entries) in &lists {
        if !packs.contains_key(pack) {
            let problem = verified.found(ProblemKind::MissingPack, pack::name(*pack), "an index names it, and it is not there");
            bad.add(entries, problem);
        }
    }
    for (done, (pack, found)) in (0..).zip(&packs) {
        progress(done, total);
        match lists.get(pack) {
            None => {
                verified.found(ProblemKind::OrphanedPack, pack::name(*pack), "no index names it");
            }
            Some(entries) => look_at_pack(repository, *pack, found.bytes, entries, read_data, &mut verified, &mut bad)?,
        }
    }
    for (done, manifest) in (packs.len() as u64..).zip(&manifests) {
        progress(done, total);
        let who = Affected { uuid: manifest.uuid, name: Some(manifest.description.name.clone()) };
        let mut look =
            Look { repository, read_data, who, seen: HashSet::new(), verified: &mut verified, bad: &mut bad, lists: &lists };
        needed::walk(repository, manifest.map.as_ref(), &mut look)?;
    }
    progress(total, total);
    Ok(verified)
}

type Lists = HashMap<Uuid, Vec<Entry>>;

/// What the index says, as far as it can be read.
fn read_index(repository: &Repository, verified: &mut Verified) -> Result<Lists, Failure> {
    let mut lists = HashMap::new();
    let bucket = repository.bucket();
    match repository.refresh() {
        Err(failure) if !is_lost(&failure) => return Err(failure),
        _ => {}
    }
    if let Err(failure) = doomed::list(bucket) {
        if !is_lost(&failure) {
            return Err(failure);
        }
        verified.found(ProblemKind::DamagedList, doomed::DIRECTORY, failure.to_string());
    }
    for object in bucket.list(index::DIRECTORY)? {
        match bucket.get(&object.name).and_then(|bytes| index::read(repository.codec(), &object.name, &bytes)) {
            Ok(read) => {
                if !repository.index().read().has_read(&object.name) {
                    repository.index().write().take(&object.name, &read);
                }
                lists.extend(read.into_iter().map(|list| (list.pack, list.entries)));
            }
            Err(failure) if is_lost(&failure) => {
                verified.found(ProblemKind::DamagedIndex, object.name, failure.to_string());
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(lists)
}

fn read_manifests(repository: &Repository, verified: &mut Verified) -> Result<Vec<Manifest>, Failure> {
    let mut manifests = Vec::new();
    for (uuid, names) in repository.manifest_names()? {
        for name in names {
            match repository.bucket().get(&name).and_then(|bytes| Manifest::read(repository.codec(), &name, &bytes)) {
                Ok(manifest) => manifests.push(manifest),
                // It was deleted meanwhile.
                Err(failure) if failure.kind() == FailureKind::NotFound => {}
                Err(failure) if matches!(failure.kind(), FailureKind::Io | FailureKind::Denied) => return Err(failure),
                Err(failure) => {
                    let problem = verified.found(ProblemKind::DamagedManifest, name, failure.to_string());
                    verified.problems[problem].affected.insert(Affected { uuid, name: None });
                }
            }
        }
    }
    Ok(manifests)
}

fn unknown_objects(repository: &Repository, verified: &mut Verified) -> Result<(), Failure> {
    let is_uuid_in = |name: &str, directory: &str| {
        name.strip_prefix(directory).and_then(|rest| rest.strip_prefix('/')).is_some_and(|rest| rest.parse::<Uuid>().is_ok())
    };
    for object in repository.bucket().list("")? {
        let name = object.name.as_str();
        let known = name == MARK
            || [keys::DIRECTORY, index::DIRECTORY, doomed::DIRECTORY].iter().any(|directory| is_uuid_in(name, directory))
            || pack::named(name).is_some()
            || manifest::parse_name(name).is_some()
            || session::uuid_of(name).is_some()
            || lease::number_of(name).is_some()
            || name.starts_with(lease::PROBES);
        if !known {
            verified.found(ProblemKind::Unknown, name, "floe puts no such object");
        }
    }
    Ok(())
}

/// Chunks with which something is wrong: which problem each has.
#[derive(Default)]
struct Bad {
    chunks: HashMap<ChunkId, usize>,
    /// Leaves that were looked at, and what is wrong with their windows.
    leaves: HashMap<ChunkId, Option<usize>>,
}

impl Bad {
    fn add<'a>(&mut self, entries: impl IntoIterator<Item = &'a Entry>, problem: usize) {
        self.chunks.extend(entries.into_iter().map(|entry| (entry.id, problem)));
    }
}

fn look_at_pack(
    repository: &Repository,
    pack: Uuid,
    bytes: u64,
    entries: &[Entry],
    read_data: bool,
    verified: &mut Verified,
    bad: &mut Bad,
) -> Result<(), Failure> {
    let name = pack::name(pack);
    match list_in(repository, pack, bytes) {
        Ok(own) if own == entries => {}
        Ok(_) => {
            let problem = verified.found(ProblemKind::DamagedPack, &name, "it says something else of itself than the index");
            bad.add(entries, problem);
        }
        Err(failure) if is_lost(&failure) => {
            let problem = verified.found(ProblemKind::DamagedPack, &name, failure.to_string());
            bad.add(entries, problem);
        }
        Err(failure) => return Err(failure),
    }
    if !read_data {
        return Ok(());
    }
    let content = repository.bucket().get(&name)?;
    verified.read_bytes += content.len() as u64;
    for entry in entries {
        let stored = content.get(entry.offset as usize..entry.offset as usize + entry.stored as usize);
        let read = stored.map(|stored| repository.codec().read(&entry.id, stored));
        let message = match read {
            Some(Ok(plain)) if plain.len() == entry.plain as usize => continue,
            Some(Ok(_)) => "it is not as long as the index says".to_owned(),
            Some(Err(failure)) => failure.to_string(),
            None => "it lies behind the end of its pack".to_owned(),
        };
        let problem = verified.found(ProblemKind::DamagedChunk, format!("{name} at {}", entry.offset), message);
        bad.add([entry], problem);
    }
    Ok(())
}

/// Looks at one remote snapshot's map.
struct Look<'a> {
    repository: &'a Repository,
    read_data: bool,
    who: Affected,
    seen: HashSet<ChunkId>,
    verified: &'a mut Verified,
    bad: &'a mut Bad,
    lists: &'a Lists,
}

impl Look<'_> {
    fn affects(&mut self, problem: usize) {
        self.verified.problems[problem].affected.insert(self.who.clone());
    }

    /// Whether nothing is known to be wrong with a chunk.
    fn is_whole(&mut self, id: &ChunkId) -> bool {
        let problem = match self.bad.chunks.get(id) {
            Some(problem) => *problem,
            None => {
                let place = self.repository.index().read().find(id);
                if place.is_some_and(|(pack, _)| self.lists.contains_key(&pack)) {
                    return true;
                }
                let problem =
                    self.verified.found(ProblemKind::MissingChunk, id.to_string(), "it is needed, and no index names it");
                self.bad.chunks.insert(*id, problem);
                problem
            }
        };
        self.affects(problem);
        false
    }

    /// Whether the windows of a leaf are those that their digests are of.
    fn read(&mut self, start: u64, windows: &BTreeMap<u8, Window>) -> Result<Option<usize>, Failure> {
        let windows: Vec<(u64, Window)> =
            windows.iter().map(|(slot, window)| (start + u64::from(*slot), window.clone())).collect();
        for together in windows.chunks(TOGETHER) {
            match fetch::windows(self.repository, together) {
                Ok(_) => {}
                Err(failure) if is_lost(&failure) => {
                    let (from, bytes) = (together[0].0, WINDOW_BLOCKS * BLOCK_BYTES);
                    let object = format!("the image from {}", from * bytes);
                    return Ok(Some(self.verified.found(ProblemKind::DamagedWindow, object, failure.to_string())));
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(None)
    }
}

impl Visitor for Look<'_> {
    fn page(&mut self, id: &ChunkId) -> bool {
        self.seen.insert(*id)
    }

    fn leaf(&mut self, id: &ChunkId, start: u64, windows: &BTreeMap<u8, Window>) -> Result<(), Failure> {
        self.is_whole(id);
        let chunks: HashSet<ChunkId> = windows.values().flat_map(|window| &window.pieces).map(|piece| piece.chunk).collect();
        let mut whole = true;
        for chunk in chunks {
            whole &= self.is_whole(&chunk);
        }
        if self.read_data && whole {
            let problem = match self.bad.leaves.get(id) {
                Some(problem) => *problem,
                None => self.read(start, windows)?,
            };
            self.bad.leaves.insert(*id, problem);
            problem.into_iter().for_each(|problem| self.affects(problem));
        }
        Ok(())
    }

    fn lost(&mut self, id: &ChunkId, why: Failure) -> Result<(), Failure> {
        // What is wrong with the pack that it lies in may say it already.
        if self.is_whole(id) {
            let problem = self.verified.found(ProblemKind::DamagedPage, id.to_string(), why.to_string());
            self.bad.chunks.insert(*id, problem);
            self.affects(problem);
        }
        Ok(())
    }
}
