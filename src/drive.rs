//! What can be done with a drive?

use std::ops::Range;
use std::sync::Arc;

use uuid::Uuid;

use crate::bookmark::Bookmark;
use crate::catalog::{Catalog, Mark, Naming};
use crate::engine::{DriveLocks, Engine};
use crate::error::{Error, ErrorKind, Result};
use crate::format::record::ObjectId;
use crate::ranges::{Layers, Ranges};
use crate::snapshot::{Snapshot, SnapshotOptions};
use crate::units::BLOCK_BYTES;

/// What a new drive shall be.
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
/// use floe::DriveOptions;
///
/// let drive = store.create_drive(DriveOptions::new(10 << 30).name("db").attributes(*b"owner: anna"))?;
/// assert_eq!(drive.attributes()?, b"owner: anna");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct DriveOptions {
    pub(crate) size_bytes: Option<u64>,
    pub(crate) name: String,
    attributes: Vec<u8>,
    uuid: Option<Uuid>,
}

impl DriveOptions {
    /// A drive of `size_bytes`: 4096 to 2^63, whole blocks or not.
    #[must_use]
    pub fn new(size_bytes: u64) -> Self {
        Self { size_bytes: Some(size_bytes), ..Self::default() }
    }

    /// A drive with a name, for [`Snapshot::clone_drive`]: a clone has the size of its origin.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self::default().name(name)
    }

    /// Its name: at most 255 bytes, not necessarily unique. Default: empty.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Bytes that belong to the drive and mean nothing to the engine: at most 1 MiB. They commit with it.
    #[must_use]
    pub fn attributes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.attributes = bytes.into();
        self
    }

    /// Its identity. Default: a random one.
    #[must_use]
    pub fn uuid(mut self, uuid: Uuid) -> Self {
        self.uuid = Some(uuid);
        self
    }

    pub(crate) fn naming(self) -> Naming {
        Naming { uuid: self.uuid.unwrap_or_else(Uuid::new_v4), name: self.name, attributes: self.attributes }
    }
}

/// What a drive says of itself. Sizes are in bytes.
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
/// # let drive = store.create_drive(floe::DriveOptions::new(1 << 20).name("db"))?;
/// drive.write_at(&[1; 100], 0)?;
/// let info = drive.info()?;
/// assert_eq!((info.size_bytes, info.referenced_bytes), (1 << 20, 4096));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DriveInfo {
    /// Its identity.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
    /// Length of its image.
    pub size_bytes: u64,
    /// Data that its image maps.
    pub referenced_bytes: u64,
    /// How many snapshots were taken of it and still exist.
    pub snapshots: u64,
    /// How many bookmarks it has.
    pub bookmarks: u64,
    /// Sum of its snapshots' allocated sizes: a block that several of them hold counts for each.
    pub snapshots_allocated_bytes: u64,
    /// Sum of its snapshots' charged sizes: what they hold beyond its image, each block counted once.
    pub snapshots_charged_bytes: u64,
}

/// A handle of a drive: a writable image.
///
/// Cheap to clone. Methods may be called from several threads at once; two writes of one block come one after the other.
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let device = std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap());
/// # let store = floe::Store::options().create_on(device)?;
/// use floe::{DriveOptions, SnapshotOptions};
///
/// let drive = store.create_drive(DriveOptions::new(1 << 40).name("db"))?;
/// drive.write_at(&[1; 8192], 0)?;
/// let before = drive.snapshot(SnapshotOptions::named("before"))?;
/// drive.write_at(&[2; 10], 5000)?;
/// assert_eq!(before.allocated_size()?, 4096);
///
/// drive.revert_to(&before)?;
/// let mut byte = [0];
/// drive.read_at(&mut byte, 5000)?;
/// assert_eq!(byte, [1]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Drive {
    engine: Arc<Engine>,
    id: ObjectId,
    uuid: Uuid,
    locks: Arc<DriveLocks>,
}

impl Drive {
    pub(crate) fn new(engine: Arc<Engine>, id: ObjectId, uuid: Uuid) -> Self {
        let locks = engine.locks_of(id);
        Self { engine, id, uuid, locks }
    }

    pub(crate) fn id(&self) -> ObjectId {
        self.id
    }

    pub(crate) fn locks(&self) -> &DriveLocks {
        &self.locks
    }

    pub(crate) fn is_of(&self, engine: &Arc<Engine>) -> bool {
        Arc::ptr_eq(&self.engine, engine)
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Its identity.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// Its name.
    ///
    /// # Errors
    /// `NotFound`, `Closed`
    pub fn name(&self) -> Result<String> {
        self.engine.look(|catalog| Ok(catalog.drive(self.id).ok_or_else(|| self.gone())?.name.clone()))
    }

    /// Length of its image in bytes.
    ///
    /// # Errors
    /// `NotFound`, `Closed`
    pub fn size_bytes(&self) -> Result<u64> {
        self.engine.look(|catalog| Ok(catalog.head_of(self.id)?.1.size_bytes))
    }

    /// What it says of itself. On a drive without side branches this costs an addition per snapshot.
    ///
    /// # Errors
    /// `NotFound`, `Closed`, `Corrupt`
    pub fn info(&self) -> Result<DriveInfo> {
        self.engine.look(|catalog| {
            let drive = catalog.drive(self.id).ok_or_else(|| self.gone())?;
            let (_, head) = catalog.head_of(self.id)?;
            let snapshots = catalog.snapshots_of(self.id);
            let allocated = snapshots.iter().map(|id| catalog.allocated_blocks(*id)).sum::<Result<u64>>()?;
            let charged = snapshots.iter().map(|id| catalog.charged_blocks(*id)).sum::<Result<u64>>()?;
            Ok(DriveInfo {
                uuid: self.uuid,
                name: drive.name.clone(),
                size_bytes: head.size_bytes,
                referenced_bytes: head.referenced_blocks * BLOCK_BYTES,
                snapshots: snapshots.len() as u64,
                bookmarks: drive.bookmarks.len() as u64,
                snapshots_allocated_bytes: allocated.saturating_mul(BLOCK_BYTES),
                snapshots_charged_bytes: charged.saturating_mul(BLOCK_BYTES),
            })
        })
    }

    /// Fills `buf` with the bytes from `offset` on: the last completed writes (D1), zeroes where nothing was written.
    ///
    /// # Errors
    /// `InvalidArgument` behind the end, `NotFound`, `Closed`, `Corrupt`, `Io`.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let result = self.engine.alive().and_then(|_life| self.engine.read_drive(self.id, &self.locks, buf, offset));
        result.map_err(|error| error.context(self.doing(&format!("read of {} bytes at {offset}", buf.len()))))
    }

    /// Writes `buf` at `offset`, any length at any byte. Durable after the next [`flush`](Drive::flush).
    ///
    /// Blocks that only this drive holds are overwritten where they lie. Others go to new space, unless their bytes are the same
    /// as before (A3); zeroes over a hole leave a hole.
    ///
    /// # Errors
    /// `InvalidArgument` behind the end; `NoSpace` with nothing changed (D7); `NotFound`, `Poisoned`, `Closed`, `Corrupt`, `Io`.
    pub fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        let result = self.engine.writable().and_then(|_life| self.engine.write_drive(self.id, &self.locks, buf, offset));
        result.map_err(|error| error.context(self.doing(&format!("write of {} bytes at {offset}", buf.len()))))
    }

    /// Makes `range` read as zeroes; whole blocks in it give their space back.
    ///
    /// # Errors
    /// As [`Drive::write_at`].
    pub fn write_zeroes(&self, range: Range<u64>) -> Result<()> {
        let result = self.engine.writable().and_then(|_life| self.engine.punch_drive(self.id, &self.locks, range.clone(), true));
        result.map_err(|error| error.context(self.doing(&format!("zeroing of {range:?}"))))
    }

    /// Makes `range` read as zeroes that take the space of data: no block in it is a hole afterwards.
    ///
    /// The next write to a block that no snapshot holds finds its space there. Takes as long as writing zeroes does.
    ///
    /// # Errors
    /// As [`Drive::write_at`]; after `NoSpace` a part of the range may be zeroes already.
    pub fn allocate_zeroes(&self, range: Range<u64>) -> Result<()> {
        let result = self.require_holes(&range).and_then(|()| {
            let _life = self.engine.writable()?;
            self.engine.allocate_zeroes(self.id, &self.locks, range.clone())
        });
        result.map_err(|error| error.context(self.doing(&format!("allocation of zeroes at {range:?}"))))
    }

    /// Makes the whole blocks within `range` holes, which read as zeroes; a block covered in part stays as it is.
    ///
    /// # Errors
    /// As [`Drive::write_at`].
    pub fn discard(&self, range: Range<u64>) -> Result<()> {
        let result = self.engine.writable().and_then(|_life| self.engine.punch_drive(self.id, &self.locks, range.clone(), false));
        result.map_err(|error| error.context(self.doing(&format!("discard of {range:?}"))))
    }

    /// Makes durable whatever was written before the call (D2), to this drive and to all others of the store.
    ///
    /// # Errors
    /// `Poisoned`, `Closed`, `NoSpace`, `Io`; after one of them nothing is acknowledged any more (D6).
    pub fn flush(&self) -> Result<()> {
        self.engine.writable().and_then(|_life| self.engine.flush()).map_err(|error| error.context(self.doing("flush")))
    }

    /// Makes the image longer or shorter. Durable when it returns (D5). New bytes read as zeroes; bytes cut off are gone from
    /// the drive, not from its snapshots.
    ///
    /// A shrink takes time in proportion to the extents that it cuts off.
    ///
    /// # Errors
    /// `InvalidArgument` for a size that no drive can have, `NotFound`, `NoSpace`, `Poisoned`, `Closed`, `Io`.
    pub fn resize(&self, size_bytes: u64) -> Result<()> {
        let result = self.engine.writable().and_then(|_life| self.engine.resize_drive(self.id, &self.locks, size_bytes));
        result.map_err(|error| error.context(self.doing(&format!("resize to {size_bytes} bytes"))))
    }

    /// Gives it another name. Durable when it returns (D5).
    ///
    /// # Errors
    /// `InvalidArgument` for a name of more than 255 bytes, `NotFound`, `Poisoned`, `Closed`, `Io`.
    pub fn rename(&self, name: &str) -> Result<()> {
        self.change("rename", |catalog| catalog.rename_drive(self.id, name))
    }

    /// The bytes that belong to it and mean nothing to the engine.
    ///
    /// # Errors
    /// `NotFound`, `Closed`, `Corrupt`
    pub fn attributes(&self) -> Result<Vec<u8>> {
        self.engine.look(|catalog| catalog.attributes(self.id))
    }

    /// Replaces the bytes that belong to it. Durable and atomic when it returns.
    ///
    /// # Errors
    /// `InvalidArgument` for more than 1 MiB, `NotFound`, `NoSpace`, `Poisoned`, `Closed`, `Io`.
    pub fn set_attributes(&self, bytes: &[u8]) -> Result<()> {
        self.change("set attributes", |catalog| catalog.set_drive_attributes(self.id, bytes))
    }

    /// Gives it another name and other attributes, both or neither. Durable and atomic when it returns.
    ///
    /// # Errors
    /// `InvalidArgument` for a name of more than 255 bytes, or more than 1 MiB; `NotFound`, `NoSpace`, `Poisoned`, `Closed`, `Io`.
    pub fn describe(&self, name: &str, attributes: &[u8]) -> Result<()> {
        self.change("describe", |catalog| catalog.describe_drive(self.id, name, attributes))
    }

    /// Freezes the image as it is now (D4). Durable when it returns (D5).
    ///
    /// The cost does not depend on what the drive holds: a record and a commit. Writes in flight are waited for, nothing else.
    ///
    /// # Errors
    /// `InvalidArgument`, `AlreadyExists` for a taken uuid, `NotFound`, `NoSpace`, `Poisoned`, `Closed`, `Io`.
    pub fn snapshot(&self, options: SnapshotOptions) -> Result<Snapshot> {
        let new = [options.freeze(self.id)];
        let result = self.engine.writable().and_then(|_life| {
            let ids = self.engine.with_space(|| {
                let _gate = self.engine.gate_to_freeze(self.id, &self.locks);
                self.engine.change(|catalog| catalog.snapshot_drives(&new))
            })?;
            self.engine.make_durable(self.engine.completed())?;
            Snapshot::find(&self.engine, &self.engine.catalog.read(), ids[0])
        });
        result.map_err(|error| error.context(self.doing("snapshot")))
    }

    /// Its snapshots, the oldest first.
    ///
    /// # Errors
    /// `NotFound`, `Closed`
    pub fn snapshots(&self) -> Result<Vec<Snapshot>> {
        self.engine.look(|catalog| {
            catalog.head_of(self.id)?;
            catalog.snapshots_of(self.id).into_iter().map(|id| Snapshot::find(&self.engine, catalog, id)).collect()
        })
    }

    /// Marks this moment without holding a block: what changes from now on can be told later. Durable when it returns.
    ///
    /// # Errors
    /// As [`Drive::snapshot`].
    pub fn bookmark(&self, name: &str) -> Result<Bookmark> {
        let new = Mark { uuid: Uuid::new_v4(), name: name.to_owned() };
        let result = self.engine.writable().and_then(|_life| {
            let id = self.engine.with_space(|| {
                let _gate = self.engine.gate_to_freeze(self.id, &self.locks);
                self.engine.change(|catalog| catalog.bookmark_drive(self.id, &new))
            })?;
            self.engine.make_durable(self.engine.completed())?;
            Ok(Bookmark::new(Arc::clone(&self.engine), id, new.uuid))
        });
        result.map_err(|error| error.context(self.doing("bookmark")))
    }

    /// Its bookmarks, the oldest first.
    ///
    /// # Errors
    /// `NotFound`, `Closed`
    pub fn bookmarks(&self) -> Result<Vec<Bookmark>> {
        self.engine.look(|catalog| {
            let drive = catalog.drive(self.id).ok_or_else(|| self.gone())?;
            let marks = drive.bookmarks.values().filter_map(|id| catalog.bookmark(*id).map(|mark| (*id, mark.uuid)));
            Ok(marks.map(|(id, uuid)| Bookmark::new(Arc::clone(&self.engine), id, uuid)).collect())
        })
    }

    /// Makes the snapshot's image the drive's, its size included. Durable when it returns (D5).
    ///
    /// Any snapshot of the store will do. The drive's snapshots stay, and so does a bookmark left together with this one; bookmarks younger than the point where the two histories
    /// meet go, and all of them if another drive wrote what lies between that point and the snapshot. The cost does not depend on what either holds.
    ///
    /// # Errors
    /// `NotFound`, `InvalidArgument` for a snapshot of another store, `NoSpace`, `Poisoned`, `Closed`, `Io`.
    pub fn revert_to(&self, snapshot: &Snapshot) -> Result<()> {
        if !snapshot.is_of(&self.engine) {
            return Err(Error::invalid("the snapshot is of another store").context(self.doing("revert")));
        }
        let result = self.engine.writable().and_then(|_life| {
            self.engine.with_space(|| {
                let _gate = self.locks.gate.write();
                self.engine.change(|catalog| catalog.revert_drive(self.id, snapshot.id()))
            })?;
            self.engine.make_durable(self.engine.completed())?;
            self.engine.wake_reclaimer();
            Ok(())
        });
        result.map_err(|error| error.context(self.doing("revert")))
    }

    /// Deletes the drive; its snapshots stay. Durable when it returns (D5); the space comes back by [`reclaim`](crate::Store::reclaim).
    ///
    /// # Errors
    /// `NotFound`, `Poisoned`, `Closed`, `Io`.
    pub fn delete(&self) -> Result<()> {
        let result = self.engine.writable().and_then(|_life| {
            let _gate = self.locks.gate.write();
            self.engine.with_space(|| self.engine.change(|catalog| catalog.delete_drive(self.id)))?;
            self.engine.make_durable(self.engine.completed())
        });
        self.engine.wake_reclaimer();
        result.map_err(|error| error.context(self.doing("delete")))
    }

    /// The ranges of the image that hold data, in order, adjacent ones merged; what lies between reads as zeroes.
    ///
    /// The table is read in steps: a write in the meantime may or may not be seen.
    #[must_use]
    pub fn mapped_ranges(&self) -> Ranges<'_> {
        Ranges::of_drive(self)
    }

    /// As [`Drive::mapped_ranges`], and for each range how many snapshots above hold it too.
    #[must_use]
    pub fn layers(&self) -> Layers<'_> {
        Layers::of_drive(self)
    }

    /// Refuses what cannot fit at once, before anything is filled.
    fn require_holes(&self, range: &Range<u64>) -> Result<()> {
        let mapped = self.mapped_ranges().within(range.clone()).map(|range| range.map(|range| range.end - range.start));
        if range.is_empty() || range.end > self.size_bytes()? {
            return Ok(());
        }
        let holes = (range.end - range.start).saturating_sub(mapped.sum::<Result<u64>>()?);
        let free = self.engine.space.usage().free_blocks * BLOCK_BYTES;
        // What is deleted and not given back yet may make room for it.
        if holes > free && self.engine.catalog.read().condemned() == 0 {
            return Err(Error::new(ErrorKind::NoSpace, format!("{holes} bytes of holes are to be filled, {free} are free")));
        }
        Ok(())
    }

    fn change(&self, doing: &str, change: impl Fn(&mut Catalog) -> Result<()>) -> Result<()> {
        self.engine.change_durably(change).map_err(|error| error.context(self.doing(doing)))
    }

    fn gone(&self) -> Error {
        Error::new(ErrorKind::NotFound, format!("the drive {} does not exist any more", self.uuid))
    }

    /// Names the drive in an error.
    fn doing(&self, doing: &str) -> String {
        match self.engine.catalog.read().drive(self.id) {
            Some(drive) if !drive.name.is_empty() => format!("drive {:?}: {doing}", drive.name),
            _ => format!("drive {}: {doing}", self.uuid),
        }
    }
}

impl std::fmt::Debug for Drive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drive").field("uuid", &self.uuid).finish_non_exhaustive()
    }
}
