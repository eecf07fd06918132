//! What can be done with a store as a whole?

use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use crate::bookmark::Bookmark;
use crate::catalog::Freeze;
use crate::check::{CheckProgress, CheckReport};
use crate::device::{Device, FileDevice, FileDeviceOptions};
use crate::drive::{Drive, DriveOptions};
use crate::engine::{Engine, Settings};
use crate::error::{Context, Error, Result};
use crate::format::group::{STORE_BLOCKS_MAX, STORE_BLOCKS_MIN};
use crate::format::record::ObjectId;
use crate::format::superblock::FORMAT_VERSION;
use crate::scrub::{ScrubProgress, ScrubReport};
use crate::snapshot::{Snapshot, SnapshotOptions};
use crate::sync::Ordering;
use crate::units::BLOCK_BYTES;

/// A store that is open: one file or block device that holds drives and snapshots.
///
/// Cheap to clone; all clones are the same store. Methods may be called from several threads at once.
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("vms.floe");
/// use floe::{DriveOptions, Store};
///
/// let store = Store::options().capacity(1 << 30).create(&path)?;
/// let drive = store.create_drive(DriveOptions::new(10 << 20).name("db"))?;
/// drive.write_at(b"hello", 0)?;
/// store.close()?;
///
/// let store = Store::options().open(&path)?;
/// assert_eq!(store.drives()[0].name()?, "db");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Store {
    engine: Arc<Engine>,
}

/// How a store is created or opened.
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// let options = floe::Store::options().capacity(16 << 30).background_reclaim(true).dirty_bytes_max(4 << 20);
/// let store = options.create(dir.path().join("vms.floe"))?;
/// assert_eq!(store.usage().capacity_bytes, 16 << 30);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct StoreOptions {
    capacity_bytes: u64,
    background_reclaim: bool,
    dirty_bytes_max: usize,
    changes_bytes_max: usize,
    device: FileDeviceOptions,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            capacity_bytes: 64 << 30,
            background_reclaim: false,
            dirty_bytes_max: 16 << 20,
            changes_bytes_max: usize::MAX,
            device: FileDevice::options(),
        }
    }
}

impl StoreOptions {
    /// The smallest capacity: 130 MiB, of which 1 MiB can hold data. The file is sparse, so little of it takes space.
    pub const CAPACITY_MIN: u64 = STORE_BLOCKS_MIN * BLOCK_BYTES;

    /// Capacity in bytes of a store that is created in a regular file, rounded down to 4 KiB. Default: 64 GiB. The file is sparse and
    /// can be [grown](Store::grow) later. A block device has the capacity it has.
    #[must_use]
    pub fn capacity(mut self, bytes: u64) -> Self {
        self.capacity_bytes = bytes;
        self
    }

    /// Give back the space of deleted drives and snapshots in a background thread. Default: false, whoever embeds the engine
    /// calls [`Store::reclaim`] when it suits him. A write that finds the store full does so in any case.
    #[must_use]
    pub fn background_reclaim(mut self, on: bool) -> Self {
        self.background_reclaim = on;
        self
    }

    /// How many bytes of changed metadata may be in memory before a writer has to commit. Default: 16 MiB, which
    /// bounds the engine's memory, whatever the size of drives.
    #[must_use]
    pub fn dirty_bytes_max(mut self, bytes: usize) -> Self {
        self.dirty_bytes_max = bytes;
        self
    }

    /// How many bytes of changes of the space map a superblock may list before their pages are written: as many as it has room for, if
    /// tests do not choose less, so that both happen often.
    #[cfg(feature = "sim")]
    #[must_use]
    pub fn changes_bytes_max(mut self, bytes: usize) -> Self {
        self.changes_bytes_max = bytes;
        self
    }

    /// Turn a read of the memory map that fails, since the file was cut off or its medium is bad, into an `Io` error. Default:
    /// true, for otherwise the kernel ends the process (SIGBUS).
    ///
    /// It takes a handler for that signal, which is the whole process's. It is installed when the first store is opened by path,
    /// stays, and passes on what is not about a store. Whoever handles SIGBUS himself installs his handler before that,
    /// or turns this off. `docs/durability.md` says what it costs and where it ends.
    #[must_use]
    pub fn catch_bus_errors(mut self, on: bool) -> Self {
        self.device = self.device.catch_bus_errors(on);
        self
    }

    /// Creates a store at `path`, a new (or empty) file or a block device, and opens it.
    ///
    /// # Errors
    /// `AlreadyExists` if something is there, `InvalidArgument` for an impossible capacity, `Locked`, `NoSpace`, `Io`.
    pub fn create(self, path: impl AsRef<Path>) -> Result<Store> {
        let path = path.as_ref();
        let bytes = self.capacity_bytes / BLOCK_BYTES * BLOCK_BYTES;
        if bytes < Self::CAPACITY_MIN {
            let message = format!("a store of {bytes} bytes; it must have at least {}", Self::CAPACITY_MIN);
            return Err(Error::invalid(message).context(format!("create {}", path.display())));
        }
        let device = self.device.create(path, bytes)?;
        let store = self.create_on(Arc::new(device)).context(|| format!("create {}", path.display()))?;
        // The file's name is durable only when its directory is.
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let synced = File::open(parent).and_then(|parent| parent.sync_all());
        synced.context(|| format!("sync the directory {}", parent.display()))?;
        Ok(store)
    }

    /// Opens the store at `path`.
    ///
    /// # Errors
    /// `NotFound`, `NotAStore`, `UnsupportedFormat` for a store of a newer floe, `Corrupt`, `Locked` with the process that has it open, `Io`.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Store> {
        let path = path.as_ref();
        let device = self.device.open(path)?;
        self.open_on(Arc::new(device)).context(|| format!("open {}", path.display()))
    }

    /// Creates a store that takes all of a device.
    ///
    /// # Errors
    /// As [`StoreOptions::create`].
    pub fn create_on(self, device: Arc<dyn Device>) -> Result<Store> {
        Ok(Store { engine: Engine::create(device, &self.settings())? })
    }

    /// Opens the store on a device.
    ///
    /// # Errors
    /// As [`StoreOptions::open`].
    pub fn open_on(self, device: Arc<dyn Device>) -> Result<Store> {
        Ok(Store { engine: Engine::open(device, &self.settings())? })
    }

    fn settings(&self) -> Settings {
        Settings {
            background_reclaim: self.background_reclaim,
            changed_pages_max: (self.dirty_bytes_max / BLOCK_BYTES as usize).max(1),
            changes_bytes_max: self.changes_bytes_max,
        }
    }
}

/// Where a store's space went, in bytes.
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
/// # let drive = store.create_drive(floe::DriveOptions::new(1 << 20).name("db"))?;
/// drive.write_at(&[1; 8192], 0)?;
/// assert_eq!(store.usage().data_bytes, 8192);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreUsage {
    /// Size of the file or block device.
    pub capacity_bytes: u64,
    /// Data of drives and snapshots, each block counted once.
    pub data_bytes: u64,
    /// Tables, catalog and space map.
    pub metadata_bytes: u64,
    /// What data can still be written.
    pub free_bytes: u64,
    /// Deleted drives and snapshots whose space is not given back yet.
    pub reclaiming: u64,
}

/// What a store says of itself.
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
/// # let drive = store.create_drive(floe::DriveOptions::new(1 << 20).name("db"))?;
/// let info = store.info();
/// assert_eq!((info.drives, info.snapshots), (1, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreInfo {
    /// The store's identity.
    pub uuid: Uuid,
    /// Version of its format.
    pub format_version: u32,
    /// Number of the last commit.
    pub generation: u64,
    /// The epoch that the next snapshot will take.
    pub epoch: u64,
    /// How many drives it holds.
    pub drives: u64,
    /// How many snapshots it holds.
    pub snapshots: u64,
    /// How many bookmarks it holds.
    pub bookmarks: u64,
    /// How many notes it holds.
    pub notes: u64,
    /// Was it closed, rather than cut off, before it was opened this time?
    pub was_clean: bool,
    /// Are there blocks whose checksums are no evidence since it was cut off? A finished [`Store::scrub`] settles them.
    pub unsettled: bool,
    /// Did a write or sync fail? Then nothing is certain until the store is opened again, and nothing can be changed.
    pub poisoned: bool,
}

/// What one call of [`Store::reclaim`] did.
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
/// # let drive = store.create_drive(floe::DriveOptions::new(1 << 20).name("db"))?;
/// drive.write_at(&[1; 8192], 0)?;
/// drive.delete()?;
/// while !store.reclaim(1000)?.done {}
/// assert_eq!(store.usage().data_bytes, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reclaimed {
    /// Data and metadata given back, in bytes.
    pub freed_bytes: u64,
    /// What it cost: 1 for an extent that was looked at closely, 8 for a page of them, 1 for a run of pages that are shared.
    pub visited: u64,
    /// Nothing is left to do, but for deleted snapshots that somebody still holds a handle of.
    pub done: bool,
}

impl Store {
    /// Options to create or open a store with.
    #[must_use]
    pub fn options() -> StoreOptions {
        StoreOptions::default()
    }

    /// Makes an empty drive. Durable when it returns (D5).
    ///
    /// # Errors
    /// `InvalidArgument` for a size or name that no drive can have, `AlreadyExists` for a taken uuid, `NoSpace`.
    pub fn create_drive(&self, options: DriveOptions) -> Result<Drive> {
        let size = options.size_bytes;
        let new = options.naming();
        let doing = || format!("create drive {:?}", new.name);
        let size = size.ok_or_else(|| Error::invalid("it needs a size").context(doing()))?;
        let id = self.engine.change_durably(|catalog| catalog.create_drive(&new, size)).context(doing)?;
        Ok(Drive::new(Arc::clone(&self.engine), id, new.uuid))
    }

    /// All drives in order of creation.
    #[must_use]
    pub fn drives(&self) -> Vec<Drive> {
        let all: Vec<(ObjectId, Uuid)> = self.engine.catalog.read().drives().map(|(id, drive)| (id, drive.uuid)).collect();
        all.into_iter().map(|(id, uuid)| Drive::new(Arc::clone(&self.engine), id, uuid)).collect()
    }

    /// The drive with that identity.
    ///
    /// # Errors
    /// `NotFound`, `Closed`
    pub fn drive(&self, uuid: Uuid) -> Result<Drive> {
        let _life = self.engine.alive()?;
        let catalog = self.engine.catalog.read();
        let id = catalog.by_uuid(uuid).filter(|id| catalog.drive(*id).is_some());
        let id = id.ok_or_else(|| Error::not_found(format!("there is no drive {uuid}")))?;
        drop(catalog);
        Ok(Drive::new(Arc::clone(&self.engine), id, uuid))
    }

    /// All snapshots in order of creation, those of deleted drives included.
    #[must_use]
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let catalog = self.engine.catalog.read();
        catalog.snapshots().filter_map(|(id, _)| Snapshot::find(&self.engine, &catalog, id).ok()).collect()
    }

    /// The snapshot with that identity.
    ///
    /// # Errors
    /// `NotFound`, `Closed`
    pub fn snapshot(&self, uuid: Uuid) -> Result<Snapshot> {
        let _life = self.engine.alive()?;
        let catalog = self.engine.catalog.read();
        let id = catalog.by_uuid(uuid).filter(|id| catalog.snapshot_name(*id).is_some());
        let id = id.ok_or_else(|| Error::not_found(format!("there is no snapshot {uuid}")))?;
        Snapshot::find(&self.engine, &catalog, id)
    }

    /// The bookmark with that identity.
    ///
    /// ```
    /// # fn main() -> floe::Result<()> {
    /// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
    /// # let drive = store.create_drive(floe::DriveOptions::new(1 << 20).name("db"))?;
    /// let sent = drive.bookmark("sent on monday")?;
    /// assert_eq!(store.bookmark(sent.uuid())?.name()?, "sent on monday");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `NotFound`, `Closed`
    pub fn bookmark(&self, uuid: Uuid) -> Result<Bookmark> {
        let found = self.engine.look(|catalog| {
            let id = catalog.by_uuid(uuid).filter(|id| catalog.bookmark(*id).is_some());
            id.ok_or_else(|| Error::not_found(format!("there is no bookmark {uuid}")))
        });
        Ok(Bookmark::new(Arc::clone(&self.engine), found?, uuid))
    }

    /// Freezes several drives at one instant (D4). Durable and atomic (D5): after a crash there are all of the snapshots or none.
    ///
    /// The cost does not depend on what the drives hold: one record for each, and one commit.
    ///
    /// # Errors
    /// `InvalidArgument` if a drive stands twice or is another store's, `AlreadyExists` for a taken uuid, `NotFound`, `NoSpace`.
    pub fn snapshot_group(&self, drives: &[(&Drive, SnapshotOptions)]) -> Result<Vec<Snapshot>> {
        let doing = || format!("snapshot {} drives", drives.len());
        let _life = self.engine.writable()?;
        if drives.iter().any(|(drive, _)| !drive.is_of(&self.engine)) {
            return Err(Error::invalid("a drive is of another store").context(doing()));
        }
        let new: Vec<Freeze> = drives.iter().map(|(drive, options)| options.clone().freeze(drive.id())).collect();
        // Gates are taken in one order by everybody, so no two groups wait for each other.
        let mut gates: Vec<&Drive> = drives.iter().map(|(drive, _)| *drive).collect();
        gates.sort_unstable_by_key(|drive| drive.id());
        gates.dedup_by_key(|drive| drive.id());
        let ids = self.engine.with_space(|| {
            let _gates: Vec<_> = gates.iter().map(|drive| self.engine.gate_to_freeze(drive.id(), drive.locks())).collect();
            self.engine.change(|catalog| catalog.snapshot_drives(&new))
        });
        let ids = ids.context(doing)?;
        self.engine.make_durable(self.engine.completed()).context(doing)?;
        let catalog = self.engine.catalog.read();
        ids.into_iter().map(|id| Snapshot::find(&self.engine, &catalog, id)).collect()
    }

    /// The uuids of all notes in order of creation.
    ///
    /// A note is up to 1 MiB of bytes under a uuid. It belongs to the store as a whole and means nothing to the engine, so whoever
    /// embeds the engine needs no second database for what he knows about a store. Notes have a name space of their own:
    /// a drive may have the uuid of a note.
    ///
    /// ```
    /// # fn main() -> floe::Result<()> {
    /// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
    /// use floe::Uuid;
    ///
    /// let (anna, bert) = (Uuid::from_u128(1), Uuid::from_u128(2));
    /// store.set_note(anna, b"may write")?;
    /// store.set_note(bert, b"may read")?;
    /// store.set_note(anna, b"may do anything")?;
    /// assert_eq!(store.notes(), [anna, bert]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn notes(&self) -> Vec<Uuid> {
        self.engine.catalog.read().notes().map(|note| note.uuid).collect()
    }

    /// The bytes of a note.
    ///
    /// ```
    /// # fn main() -> floe::Result<()> {
    /// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
    /// use floe::{ErrorKind, Uuid};
    ///
    /// store.set_note(Uuid::from_u128(1), b"may write")?;
    /// assert_eq!(store.note(Uuid::from_u128(1))?, b"may write");
    /// assert_eq!(store.note(Uuid::from_u128(2)).unwrap_err().kind(), ErrorKind::NotFound);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `NotFound`, `Closed`, `Corrupt`, `Io`.
    pub fn note(&self, uuid: Uuid) -> Result<Vec<u8>> {
        self.engine.look(|catalog| catalog.note(uuid)).context(|| format!("note {uuid}: read"))
    }

    /// Makes a note, or replaces the bytes of the one that has this uuid. Durable and atomic when it returns (D5): after a crash
    /// the note has all of the new bytes or is as it was before.
    ///
    /// A floe that knows nothing of notes refuses a store that has any.
    ///
    /// ```
    /// # fn main() -> floe::Result<()> {
    /// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
    /// let job = floe::Uuid::new_v4();
    /// store.set_note(job, b"to do")?;
    /// store.set_note(job, b"done")?;
    /// assert_eq!((store.note(job)?, store.info().notes), (b"done".to_vec(), 1));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `InvalidArgument` for more than 1 MiB; `NoSpace` with nothing changed (D7), also when the new bytes are fewer; `Poisoned`, `Closed`,
    /// `Corrupt`, `Io`.
    pub fn set_note(&self, uuid: Uuid, bytes: &[u8]) -> Result<()> {
        let result = self.engine.change_durably(|catalog| catalog.set_note(uuid, bytes));
        result.context(|| format!("note {uuid}: set to {} bytes", bytes.len()))
    }

    /// Deletes a note. Durable and atomic when it returns (D5). It works in a full store (D7).
    ///
    /// ```
    /// # fn main() -> floe::Result<()> {
    /// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
    /// let job = floe::Uuid::new_v4();
    /// store.set_note(job, b"done")?;
    /// store.delete_note(job)?;
    /// assert!(store.notes().is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `NotFound`, `Poisoned`, `Closed`, `Corrupt`, `Io`.
    pub fn delete_note(&self, uuid: Uuid) -> Result<()> {
        let result = self.engine.change_durably(|catalog| catalog.delete_note(uuid));
        result.context(|| format!("note {uuid}: delete"))
    }

    /// Makes durable whatever was written to any drive before the call (D2).
    ///
    /// # Errors
    /// `Poisoned`, `Closed`, `NoSpace`, `Io`.
    pub fn flush(&self) -> Result<()> {
        let _life = self.engine.writable()?;
        self.engine.flush()
    }

    /// Gives the store more capacity. Durable when it returns.
    ///
    /// # Errors
    /// `InvalidArgument` for less than it has, `NoSpace`, `Io`; a block device cannot be grown from here.
    pub fn grow(&self, capacity_bytes: u64) -> Result<()> {
        let doing = || format!("grow the store to {capacity_bytes} bytes");
        let blocks = capacity_bytes / BLOCK_BYTES;
        if blocks > STORE_BLOCKS_MAX {
            let most = STORE_BLOCKS_MAX * BLOCK_BYTES;
            return Err(Error::invalid(format!("a store has at most {most} bytes")).context(doing()));
        }
        self.engine
            .change_durably(|catalog| {
                // Under the catalog's lock, so that of two calls the larger one wins.
                if blocks < self.engine.space.store_blocks() {
                    return Err(Error::invalid("a store cannot shrink"));
                }
                let longer = self.engine.device.grow(blocks * BLOCK_BYTES).context(|| "lengthen the device");
                self.engine.has_grown();
                longer.map_err(Error::before_any_change)?;
                self.engine.space.grow(blocks)?;
                catalog.set_changed();
                Ok(())
            })
            .context(doing)
    }

    /// Where the space went. Costs nothing.
    #[must_use]
    pub fn usage(&self) -> StoreUsage {
        let reclaiming = self.engine.catalog.read().condemned();
        let usage = self.engine.space.usage();
        StoreUsage {
            capacity_bytes: self.engine.space.store_blocks() * BLOCK_BYTES,
            data_bytes: usage.data_blocks * BLOCK_BYTES,
            metadata_bytes: (usage.tree_pages + usage.header_blocks) * BLOCK_BYTES,
            free_bytes: usage.free_blocks * BLOCK_BYTES,
            reclaiming,
        }
    }

    /// What the store says of itself.
    #[must_use]
    pub fn info(&self) -> StoreInfo {
        let catalog = self.engine.catalog.read();
        StoreInfo {
            uuid: Uuid::from_bytes(self.engine.store_id),
            format_version: FORMAT_VERSION,
            generation: self.engine.generation.load(Ordering::Acquire),
            epoch: catalog.epoch().0,
            drives: catalog.drives().count() as u64,
            snapshots: catalog.snapshots().count() as u64,
            bookmarks: catalog.bookmarks().count() as u64,
            notes: catalog.notes().count() as u64,
            was_clean: self.engine.was_clean,
            unsettled: catalog.is_unsettled(),
            poisoned: self.engine.is_poisoned(),
        }
    }

    /// Gives back the space of deleted drives and snapshots: looks at about `budget` extents at most and returns. If others wanted to
    /// read, write or commit meanwhile, it lets them go first for a millisecond before it does.
    ///
    /// What is given back can be used again after the next flush. Interrupted by a crash it goes on where the last commit left it.
    /// Deleted snapshots are left alone as long as somebody holds a [`Snapshot`] of them.
    ///
    /// # Errors
    /// `NoSpace` if the store is so full that not even its reserve is left, `Corrupt`, `Poisoned`, `Closed`, `Io`.
    pub fn reclaim(&self, budget: u64) -> Result<Reclaimed> {
        let _life = self.engine.writable()?;
        let step = self.engine.reclaim_step_unhurried(budget).context(|| "give back the space of deleted things")?;
        Ok(Reclaimed { freed_bytes: step.freed_blocks * BLOCK_BYTES, visited: step.visited, done: step.done })
    }

    /// Walks the whole store as of its last commit (changes are committed first) and reports every broken invariant.
    ///
    /// Drives can be read and written meanwhile; what must commit waits. Costs a read of all metadata, and memory for each
    /// extent of each table page, see [`CheckReport`].
    ///
    /// # Errors
    /// `Poisoned`, `Closed`, `Io`; what is found wrong is in the report.
    pub fn check(&self) -> Result<CheckReport> {
        self.check_with(&mut |_| {})
    }

    /// [`Store::check`], telling how far it is.
    ///
    /// # Errors
    /// As [`Store::check`].
    pub fn check_with(&self, progress: &mut dyn FnMut(CheckProgress)) -> Result<CheckReport> {
        let _life = self.engine.alive()?;
        self.engine.with_last_commit(|superblock| crate::check::check(&*self.engine.device, superblock, progress))
    }

    /// Compares every block of data in use with its checksum, from where the last scrub stopped, and reports what does not match.
    ///
    /// Drives can be read and written meanwhile. Costs a read of all data. After an unclean shutdown it also settles which
    /// bytes count where writes were cut off, see [`ScrubReport::accepted`]. Metadata is verified whenever it is used, and by
    /// [`Store::check`].
    ///
    /// # Errors
    /// `Poisoned`, `Closed`, `Corrupt` if metadata cannot be read; rotten blocks, and those that cannot be read, are in the report.
    pub fn scrub(&self) -> Result<ScrubReport> {
        self.scrub_with(false, &mut |_| ControlFlow::Continue(()))
    }

    /// [`Store::scrub`], telling after each MiB how far it is; `Break` stops it, and the next one goes on there, even if the store is
    /// closed in between. With `from_beginning` what an earlier one did counts for nothing.
    ///
    /// # Errors
    /// As [`Store::scrub`].
    pub fn scrub_with(
        &self,
        from_beginning: bool,
        progress: &mut dyn FnMut(ScrubProgress) -> ControlFlow<()>,
    ) -> Result<ScrubReport> {
        crate::scrub::scrub(&self.engine, from_beginning, progress).context(|| "scrub")
    }

    /// Commits, marks the store clean and lets go of it; every handle then answers `Closed`.
    ///
    /// Dropping the last handle does the same but cannot report errors.
    ///
    /// # Errors
    /// `Poisoned`, `NoSpace`, `Io`; what was flushed before is safe all the same.
    pub fn close(&self) -> Result<()> {
        self.engine.close()
    }
}
