//! What exists in a store, who descends from whom, and who holds what?
//!
//! Invariants:
//! 1. A block or page is in use if and only if the table or histogram of some version reaches it.
//! 2. What a table holds with a birth up to its parent's epoch, the parent holds too, at the same address, as long as the parent is a snapshot.
//! 3. A block is only ever referenced at the logical address where it was born.
//! 4. A head's histogram counts the blocks of its table by birth, at every moment.
//! 5. Everything that changes here is in memory until `seal` hands it to a commit.

mod accounting;
mod admission;
mod freeze;
mod histogram;
mod history;
mod image;
mod notes;
mod numbers;
mod objects;
mod pin;
mod reclaim;
mod search;
mod unsettled;
mod version;
mod writer;

pub use freeze::{Freeze, Mark, Naming, check_size};
pub use image::NewRun;
pub use notes::Note;
pub use objects::{Bookmark, Drive, SnapshotName};
pub use pin::Pin;
pub use reclaim::ReclaimStep;
pub use version::Version;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use uuid::Uuid;

use crate::canary::{self, Canary};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::format::page::Root;
use crate::format::record::{self, ObjectId, RecordKind, VersionState};
use crate::space::Space;
use crate::tree::records;
use crate::tree::working_set::{SealedPage, VerifiedPages, WorkingSet};
use crate::units::{Epoch, Generation};

use admission::Limits;
use history::Versions;
use numbers::NumberHash;
use objects::DriveSnapshots;
use pin::Pins;
use version::ROOT;

/// Pages that one change of the trees may take at most before the room for them is asked for again.
pub const PAGES_PER_CHANGE: u64 = 64;
/// Pages that a commit may take for each record that it writes: its own leaf, and its histogram's.
const PAGES_PER_RECORD: u64 = 4;

/// Records that are read before they are worked with, when a store is opened.
const LOADED_AT_ONCE: usize = 256;

/// Everything that exists in a store.
pub struct Catalog {
    set: WorkingSet,
    space: Arc<Space>,
    records: Root,
    epoch: Epoch,
    next_id: u64,
    versions: Versions,
    drives: BTreeMap<ObjectId, Drive>,
    snapshots: BTreeMap<ObjectId, SnapshotName>,
    bookmarks: BTreeMap<ObjectId, Bookmark>,
    notes: BTreeMap<ObjectId, Note>,
    /// Snapshots by the drive they were taken of; kept as long as there are any.
    of_drive: HashMap<ObjectId, DriveSnapshots, NumberHash>,
    by_uuid: HashMap<Uuid, ObjectId>,
    note_by_uuid: HashMap<Uuid, ObjectId>,
    pins: Pins,
    /// Deleted versions of which something is left to free.
    condemned: BTreeSet<ObjectId>,
    /// The last commit that is durable.
    durable: Generation,
    /// Drives that lost a freeze which a crash could bring back.
    fading: BTreeSet<ObjectId>,
    /// Records that the next commit writes or removes.
    touched: BTreeSet<(RecordKind, ObjectId)>,
    changed: bool,
}

/// What a superblock says of the catalog.
#[derive(Clone, Copy, Debug)]
pub struct CatalogState {
    /// The tree of records.
    pub records: Root,
    /// The epoch that the next freeze takes.
    pub epoch: Epoch,
    /// The number that the next object gets.
    pub next_id: u64,
    /// Are there notes? Then a floe that does not know of them must leave the store alone.
    pub has_notes: bool,
}

impl Catalog {
    /// Loads the records that the last commit left.
    ///
    /// # Errors
    /// `Corrupt` if a record cannot be read or names something that does not exist.
    pub fn open(
        device: Arc<dyn Device>,
        verified: Arc<VerifiedPages>,
        space: Arc<Space>,
        seed: u32,
        working: Generation,
        state: CatalogState,
    ) -> Result<Self> {
        let mut catalog = Self {
            set: WorkingSet::new(device, verified, seed, working),
            space,
            records: state.records,
            epoch: state.epoch,
            next_id: state.next_id,
            versions: Versions::default(),
            drives: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            bookmarks: BTreeMap::new(),
            notes: BTreeMap::new(),
            of_drive: HashMap::default(),
            by_uuid: HashMap::new(),
            note_by_uuid: HashMap::new(),
            pins: Pins::default(),
            condemned: BTreeSet::new(),
            durable: Generation(working.0 - 1),
            fading: BTreeSet::new(),
            touched: BTreeSet::new(),
            changed: false,
        };
        catalog.load(state.has_notes)?;
        Ok(catalog)
    }

    fn load(&mut self, has_notes: bool) -> Result<()> {
        let root = Version::new(VersionState::Condemned, ROOT, ROOT, 0);
        self.versions.insert(ROOT, root);
        let store_blocks = self.space.store_blocks();
        let limits = Limits { next_id: self.next_id, epoch: self.epoch, store_blocks, has_notes };
        let (mut versions, mut loaded, mut next) = (Vec::new(), Vec::with_capacity(LOADED_AT_ONCE), Some(0));
        while let Some(from) = next.take() {
            records::visit(&self.set, &self.records, from, &mut |key, bytes| {
                let item = Loaded::from_record(key, bytes, limits);
                loaded.extend(item.map_err(|what| Error::corrupt(format!("catalog record {key:#x}: {what}")))?);
                next = (loaded.len() == LOADED_AT_ONCE).then_some(key + 1);
                Ok(if next.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
            // Versions have the lowest keys and so come first; what names them follows.
            for item in loaded.drain(..) {
                versions.extend(self.add_loaded(item)?);
            }
        }
        self.link(&versions)
    }

    /// Returns the number of a version.
    fn add_loaded(&mut self, item: Loaded) -> Result<Option<ObjectId>> {
        match item {
            Loaded::Version(id, record) => {
                self.versions.insert(id, Version::from_record(record));
                return Ok(Some(id));
            }
            Loaded::Drive(id, record) => self.add_drive(id, Drive::from_record(record))?,
            Loaded::Snapshot(id, record) => {
                let version = self.version(id)?;
                if version.state != VersionState::Snapshot {
                    return Err(Error::corrupt(format!("snapshot {}: its version is none", id.0)));
                }
                let (drive, epoch) = (version.drive, version.epoch);
                self.add_snapshot(id, epoch, SnapshotName::from_record(record, drive))?;
            }
            Loaded::Bookmark(id, record) => self.add_bookmark(id, Bookmark::from_record(record))?,
            Loaded::Note(id, record) => self.add_note(id, Note::from_record(&record))?,
        }
        Ok(None)
    }

    /// Finds every version's children, floor and place.
    fn link(&mut self, versions: &[ObjectId]) -> Result<()> {
        for id in versions {
            let version = self.version(*id)?;
            let (parent, is_condemned) = (version.parent, version.is_condemned());
            let epoch = if version.state == VersionState::Head { Epoch(u64::MAX) } else { version.epoch };
            let above = self.version(parent)?;
            // A parent's epoch is smaller than its children's; that there is no way around in circles follows.
            if above.epoch >= epoch || above.state == VersionState::Head {
                return Err(Error::corrupt(format!("version {}: it is not younger than its parent", id.0)));
            }
            self.version_mut(parent).children.push(*id);
            if is_condemned {
                self.condemned.insert(*id);
            }
        }
        // A junction has nothing left to free and stays as long as it joins several.
        let versions = &self.versions;
        let is_junction = |version: &Version| version.is_empty() && version.children.len() > 1;
        self.condemned.retain(|id| !versions.find(*id).is_some_and(is_junction));
        let drives: Vec<ObjectId> = self.drives.keys().copied().collect();
        for drive in &drives {
            let head = self.drives[drive].head;
            let version = self.version(head)?;
            if version.state != VersionState::Head || version.drive != *drive {
                return Err(Error::corrupt(format!("drive {}: its head is not writable, or another drive's", drive.0)));
            }
            self.refresh_floor(head);
            self.refresh_trunk(*drive);
        }
        let of_drive: Vec<ObjectId> = self.of_drive.keys().copied().collect();
        for drive in of_drive {
            self.refresh_line(drive);
        }
        Ok(())
    }

    /// The heads whose shrink was interrupted.
    pub fn trimming_drives(&self) -> Vec<ObjectId> {
        self.drives
            .iter()
            .filter(|(_, drive)| self.versions.find(drive.head).is_some_and(|head| head.trimming))
            .map(|(id, _)| *id)
            .collect()
    }

    /// Keeps a version's blocks from being freed as long as somebody holds it.
    pub fn pin(&self, version: &Version) -> Arc<Pin> {
        version.pin.take(&self.pins)
    }

    /// Does somebody hold a snapshot?
    pub fn is_pinned(&self) -> bool {
        self.pins.any_is_held()
    }

    /// There is something to commit, even if no record says so.
    pub fn set_changed(&mut self) {
        self.changed = true;
    }

    /// Is there anything that a commit would have to write?
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// The epoch that the next freeze takes.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Pages on the heap.
    pub fn changed_pages(&self) -> usize {
        self.set.changed_pages()
    }

    /// Ends the working generation: appends its pages to `out` and says what the superblock must say of the catalog.
    ///
    /// # Errors
    /// `NoSpace` if not even the reserve has a page left; `Corrupt` if a page cannot be read.
    pub fn seal(&mut self, out: &mut Vec<SealedPage>) -> Result<CatalogState> {
        // Whoever changes a head's histogram touches its version. That of a deleted one counts nothing any more.
        let is_changed_head = |id: &ObjectId| {
            self.versions.find(*id).is_some_and(|version| version.state == VersionState::Head && version.is_touched())
        };
        let touched = self.touched.iter().filter(|(kind, _)| *kind == RecordKind::Version).map(|(_, id)| *id);
        let heads: Vec<ObjectId> = touched.filter(is_changed_head).collect();
        for head in heads.into_iter().filter(|_| !canary::makes(Canary::HistogramForgotten)) {
            self.write_histogram(head)?;
        }
        for (kind, id) in std::mem::take(&mut self.touched) {
            self.write_record(kind, id)?;
        }
        self.records = self.set.seal(self.records);
        self.set.begin_next(out);
        self.changed = false;
        let has_notes = !self.notes.is_empty();
        Ok(CatalogState { records: self.records, epoch: self.epoch, next_id: self.next_id, has_notes })
    }

    /// Commit `generation` is durable.
    pub fn committed(&mut self, generation: Generation) {
        self.set.committed(generation);
        self.durable = generation;
        for id in std::mem::take(&mut self.fading) {
            let Some(drive) = self.drives.get_mut(&id) else { continue };
            drive.fading.retain(|(_, deleted_in)| *deleted_in > generation);
            if !drive.fading.is_empty() {
                self.fading.insert(id);
            }
            let head = drive.head;
            self.refresh_floor(head);
        }
    }

    fn write_record(&mut self, kind: RecordKind, id: ObjectId) -> Result<()> {
        let bytes = match kind {
            RecordKind::Version => match self.versions.find(id) {
                None => None,
                Some(_) => {
                    let version = self.versions.at_mut(id);
                    version.table = self.set.seal(version.table);
                    version.histogram_root = self.set.seal(version.histogram_root);
                    Some(record::encode(&version.record()))
                }
            },
            RecordKind::Drive => self.drives.get(&id).map(|drive| record::encode(&drive.record())),
            RecordKind::Snapshot => self.snapshots.get(&id).map(|snapshot| record::encode(&snapshot.record())),
            RecordKind::Bookmark => self.bookmarks.get(&id).map(|bookmark| record::encode(&bookmark.record())),
            RecordKind::Note => self.notes.get(&id).map(|note| record::encode(&note.record())),
            RecordKind::Attributes => unreachable!("attributes are written when they are set"),
        };
        self.put_record(record::key(kind, id, 0), bytes.as_deref())
    }

    fn touch(&mut self, kind: RecordKind, id: ObjectId) {
        self.touched.insert((kind, id));
        self.changed = true;
    }

    fn next_id(&mut self) -> ObjectId {
        let id = ObjectId(self.next_id);
        self.next_id += 1;
        id
    }

    fn version(&self, id: ObjectId) -> Result<&Version> {
        self.versions.at(id)
    }

    fn version_mut(&mut self, id: ObjectId) -> &mut Version {
        self.versions.at_mut(id)
    }
}

enum Loaded {
    Version(ObjectId, record::VersionRecord),
    Drive(ObjectId, record::DriveRecord),
    Snapshot(ObjectId, record::SnapshotRecord),
    Bookmark(ObjectId, record::BookmarkRecord),
    Note(ObjectId, record::NoteRecord),
}

impl Loaded {
    /// The record under `key`, unless it is a piece of attributes, which are read when somebody asks; or which check it fails.
    fn from_record(key: u64, bytes: &[u8], limits: Limits) -> Result<Option<Self>, &'static str> {
        let (kind, id) = limits.key(key)?;
        Ok(Some(match kind {
            RecordKind::Version => {
                let record = record::decode(bytes)?;
                limits.version(&record)?;
                Self::Version(id, record)
            }
            RecordKind::Drive => {
                let record = record::decode(bytes)?;
                limits.drive(&record)?;
                Self::Drive(id, record)
            }
            RecordKind::Snapshot => {
                let record = record::decode(bytes)?;
                limits.snapshot(&record)?;
                Self::Snapshot(id, record)
            }
            RecordKind::Bookmark => {
                let record = record::decode(bytes)?;
                limits.bookmark(&record)?;
                Self::Bookmark(id, record)
            }
            RecordKind::Note => {
                let record = record::decode(bytes)?;
                limits.note(&record)?;
                Self::Note(id, record)
            }
            RecordKind::Attributes => return Ok(None),
        }))
    }
}
