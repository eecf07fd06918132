//! What can be done with a snapshot?

use std::sync::Arc;

use uuid::Uuid;

use crate::bookmark::Bookmark;
use crate::catalog::{Catalog, Freeze, Mark, Naming, Pin, check_size};
use crate::changes::Changes;
use crate::drive::{Drive, DriveOptions};
use crate::engine::{Engine, Frozen, check_range};
use crate::error::{Error, Result};
use crate::extents::SnapshotExtents;
use crate::fingerprint::{TreeHasher, WINDOW_BYTES, WindowHasher, fingerprint};
use crate::format::record::ObjectId;
use crate::io::{SEGMENTS_MAX, Segment, copy, plan};
use crate::ranges::{Layers, Ranges};
use crate::units::{BLOCK_BYTES, BLOCK_LEN, Epoch};

/// What a new snapshot shall be called.
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
/// # let drive = store.create_drive(floe::DriveOptions::new(1 << 20).name("db"))?;
/// use floe::SnapshotOptions;
///
/// let snapshot = drive.snapshot(SnapshotOptions::named("monday").attributes(*b"weekly"))?;
/// assert_eq!(snapshot.name()?, "monday");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct SnapshotOptions {
    name: String,
    attributes: Vec<u8>,
    uuid: Option<Uuid>,
    bookmark: Option<Mark>,
}

impl SnapshotOptions {
    /// A snapshot with a name: at most 255 bytes, not necessarily unique.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Bytes that belong to the snapshot and mean nothing to the engine: at most 1 MiB. They commit with it.
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

    /// The snapshot leaves a bookmark of its drive too, at exactly the same moment: both commit together. The bookmark needs the
    /// snapshot no more than the snapshot needs it. Default: none.
    ///
    /// ```
    /// # fn main() -> floe::Result<()> {
    /// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
    /// # let drive = store.create_drive(floe::DriveOptions::new(1 << 20).name("db"))?;
    /// use floe::{SnapshotOptions, Uuid};
    ///
    /// let uuid = Uuid::new_v4();
    /// let monday = drive.snapshot(SnapshotOptions::named("monday").bookmark(uuid, "sent on monday"))?;
    /// // ... send it; from then on the bookmark is enough to tell what is new.
    /// monday.delete()?;
    /// drive.write_at(&[7; 4096], 8192)?;
    /// let tuesday = drive.snapshot(SnapshotOptions::named("tuesday"))?;
    /// let new: Vec<_> = tuesday.changes_since(&store.bookmark(uuid)?)?.collect::<floe::Result<_>>()?;
    /// assert_eq!(new[0].range, 8192..12_288);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn bookmark(mut self, uuid: Uuid, name: impl Into<String>) -> Self {
        self.bookmark = Some(Mark { uuid, name: name.into() });
        self
    }

    pub(crate) fn freeze(self, drive: ObjectId) -> Freeze {
        let uuid = self.uuid.unwrap_or_else(Uuid::new_v4);
        Freeze { drive, new: Naming { uuid, name: self.name, attributes: self.attributes }, bookmark: self.bookmark }
    }
}

/// What a snapshot says of itself. Sizes are in bytes of whole blocks; `docs/accounting.md` explains them.
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
/// # let drive = store.create_drive(floe::DriveOptions::new(1 << 20).name("db"))?;
/// drive.write_at(&[1; 8192], 0)?;
/// let snapshot = drive.snapshot(floe::SnapshotOptions::default())?;
/// drive.write_at(&[2; 4096], 0)?;
/// let info = snapshot.info()?;
/// assert_eq!((info.allocated_bytes, info.referenced_bytes), (4096, 8192));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotInfo {
    /// Its identity.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
    /// The drive it was taken of, which may be gone.
    pub drive: Uuid,
    /// Length of its image.
    pub size_bytes: u64,
    /// What changed since it was taken (A1).
    pub allocated_bytes: u64,
    /// What is counted to it and to no younger snapshot of the drive (A5).
    pub charged_bytes: u64,
    /// What deleting it gives back now (A6).
    pub exclusive_bytes: u64,
    /// What its image maps.
    pub referenced_bytes: u64,
    /// When it was taken, in the store's own time: later snapshots have higher epochs, those of one group the same.
    pub epoch: u64,
}

/// A handle of a snapshot: a frozen image.
///
/// Cheap to clone. As long as a handle exists, the snapshot's blocks are not freed, even if it is deleted: reading goes on
/// working, everything else then says `NotFound`.
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let device = std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap());
/// # let store = floe::Store::options().create_on(device)?;
/// # let drive = store.create_drive(floe::DriveOptions::new(1 << 20))?;
/// use floe::{DriveOptions, SnapshotOptions};
///
/// drive.write_at(&[7; 4096], 8192)?;
/// let golden = drive.snapshot(SnapshotOptions::named("golden"))?;
/// for extent in golden.extents() {
///     let extent = extent?;
///     assert_eq!((extent.offset, extent.data), (8192, &[7; 4096][..]));
/// }
/// let copy = golden.clone_drive(DriveOptions::named("copy"))?;
/// copy.write_at(&[8; 4096], 0)?;
/// golden.delete()?; // the copy does not need it
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Snapshot {
    engine: Arc<Engine>,
    id: ObjectId,
    uuid: Uuid,
    drive_uuid: Uuid,
    size_bytes: u64,
    /// Keeps the snapshot's blocks where they are. Never empty before the handle is dropped.
    pin: Option<Arc<Pin>>,
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.pin = None;
        self.engine.wake_reclaimer();
        self.engine.let_others_in();
    }
}

impl Snapshot {
    /// The handle of a snapshot that exists. Takes the catalog so that the snapshot is pinned while it does.
    pub(crate) fn find(engine: &Arc<Engine>, catalog: &Catalog, id: ObjectId) -> Result<Self> {
        let version = catalog.snapshot(id)?;
        let name = catalog.snapshot_name(id).ok_or_else(|| Error::not_found("the snapshot does not exist any more"))?;
        Ok(Self {
            engine: Arc::clone(engine),
            id,
            uuid: name.uuid,
            drive_uuid: name.drive_uuid,
            size_bytes: version.size_bytes,
            pin: Some(catalog.pin(version)),
        })
    }

    pub(crate) fn id(&self) -> ObjectId {
        self.id
    }

    pub(crate) fn is_of(&self, engine: &Arc<Engine>) -> bool {
        Arc::ptr_eq(&self.engine, engine)
    }

    /// Its identity.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// The identity of the drive it was taken of, which may be gone.
    #[must_use]
    pub fn drive_uuid(&self) -> Uuid {
        self.drive_uuid
    }

    /// Length of its image in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Its name.
    ///
    /// # Errors
    /// `NotFound`, `Closed`
    pub fn name(&self) -> Result<String> {
        self.engine.look(|catalog| Ok(catalog.snapshot_name(self.id).ok_or_else(|| self.gone())?.name.clone()))
    }

    /// What it says of itself, all sizes taken at one moment.
    ///
    /// # Errors
    /// `NotFound`, `Closed`, `Corrupt`
    pub fn info(&self) -> Result<SnapshotInfo> {
        self.engine.look(|catalog| {
            let version = catalog.snapshot(self.id)?;
            Ok(SnapshotInfo {
                uuid: self.uuid,
                name: catalog.snapshot_name(self.id).ok_or_else(|| self.gone())?.name.clone(),
                drive: self.drive_uuid,
                size_bytes: self.size_bytes,
                allocated_bytes: catalog.allocated_blocks(self.id)? * BLOCK_BYTES,
                charged_bytes: catalog.charged_blocks(self.id)? * BLOCK_BYTES,
                exclusive_bytes: catalog.exclusive_blocks(self.id)? * BLOCK_BYTES,
                referenced_bytes: version.referenced_blocks * BLOCK_BYTES,
                epoch: version.epoch.0,
            })
        })
    }

    /// What changed since it was taken, in bytes of whole blocks: what it holds and its drive's image does not (A1).
    ///
    /// After the drive is deleted the next younger snapshot of the drive takes the image's place. Costs the logarithm of the
    /// number of snapshots; for a snapshot that a revert left on a side branch, a comparison of two tables.
    ///
    /// # Errors
    /// `NotFound`, `Closed`, `Corrupt`
    pub fn allocated_size(&self) -> Result<u64> {
        self.engine.look(|catalog| Ok(catalog.allocated_blocks(self.id)? * BLOCK_BYTES))
    }

    /// What it holds and nothing younger of its drive does: over all snapshots of a drive these add up to what they hold
    /// beyond its image (A5). Cost as [`Snapshot::allocated_size`].
    ///
    /// # Errors
    /// `NotFound`, `Closed`, `Corrupt`
    pub fn charged_size(&self) -> Result<u64> {
        self.engine.look(|catalog| Ok(catalog.charged_blocks(self.id)? * BLOCK_BYTES))
    }

    /// What deleting it would give back now (A6). A few additions; where clones branch off, a walk over what was written
    /// between the snapshot before and this one.
    ///
    /// # Errors
    /// `NotFound`, `Closed`, `Corrupt`
    pub fn exclusive_size(&self) -> Result<u64> {
        self.engine.look(|catalog| Ok(catalog.exclusive_blocks(self.id)? * BLOCK_BYTES))
    }

    /// What its image maps. Costs nothing.
    ///
    /// # Errors
    /// `NotFound`, `Closed`
    pub fn referenced_size(&self) -> Result<u64> {
        self.engine.look(|catalog| Ok(catalog.snapshot(self.id)?.referenced_blocks * BLOCK_BYTES))
    }

    /// Fills `buf` with the bytes from `offset` on.
    ///
    /// # Errors
    /// `InvalidArgument` behind the end, `Closed`, `Corrupt`, `Io`.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.read(buf, offset).map_err(|error| error.context(self.doing(&format!("read of {} bytes at {offset}", buf.len()))))
    }

    fn read(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let _life = self.engine.alive()?;
        check_range(offset, buf.len() as u64, self.size_bytes)?;
        let mut done = 0;
        while done < buf.len() {
            let mut segments = [Segment::default(); SEGMENTS_MAX];
            let count = {
                self.engine.look_at(&self.engine.catalog.read(), |catalog| {
                    plan(&Frozen::snapshot(catalog, self.id), offset + done as u64, buf.len() - done, &mut segments)
                })?
            };
            let (device, space, at) = (&*self.engine.device, &self.engine.space, offset + done as u64);
            let copied = copy(device, space, &segments[..count], &mut buf[done..], at);
            done += copied.map_err(|error| self.engine.name_holders(error))?;
        }
        Ok(())
    }

    /// Every run of data in order, lent from the memory map without a copy; what lies between reads as zeroes.
    ///
    /// A last block that the image's end cuts off is cut off here too. An extent is to be read before the next one is asked for:
    /// if some of it could not be read, the next step says `Io` (see [`SnapshotExtent::confirm`](crate::SnapshotExtent::confirm)).
    #[must_use]
    pub fn extents(&self) -> SnapshotExtents<'_> {
        SnapshotExtents::of(self)
    }

    /// The ranges of the image that hold data, in order, adjacent ones merged; what lies between reads as zeroes.
    #[must_use]
    pub fn mapped_ranges(&self) -> Ranges<'_> {
        Ranges::of_snapshot(self)
    }

    /// As [`Snapshot::mapped_ranges`], and for each range how many snapshots above hold it too.
    #[must_use]
    pub fn layers(&self) -> Layers<'_> {
        Layers::of_snapshot(self)
    }

    /// What must be changed in this image to get `newer`'s: exactly the blocks that differ in where they lie.
    ///
    /// Any snapshot of the store will do, older ones too. Subtrees that both share are not read: the cost is that of the
    /// changes, not of the images. A block that was changed and changed back counts as changed.
    ///
    /// # Errors
    /// `InvalidArgument` for a snapshot of another store, `Closed`.
    pub fn diff(&self, newer: &Self) -> Result<Changes> {
        let _life = self.engine.alive()?;
        if !newer.is_of(&self.engine) {
            return Err(Error::invalid("the snapshots are of two stores").context(self.doing("diff")));
        }
        Ok(Changes::between(self.clone(), newer.clone()))
    }

    /// [`Snapshot::diff`] against a drive's live image. The table is read in steps: a write in the meantime may or may not be seen.
    ///
    /// # Errors
    /// `InvalidArgument` for a drive of another store, `NotFound`, `Closed`.
    pub fn diff_drive(&self, newer: &Drive) -> Result<Changes> {
        newer.size_bytes()?;
        if !newer.is_of(&self.engine) {
            return Err(Error::invalid("the drive is of another store").context(self.doing("diff")));
        }
        Ok(Changes::with_live(self.clone(), newer.clone()))
    }

    /// Every block written, zeroed or discarded between the bookmark's moment and this snapshot's, in order: who has the image as it
    /// was then needs only these to have this one. Costs in proportion to what changed.
    ///
    /// The bookmark must be of the same drive; one that was left together with the snapshot gives nothing. It is asked for once: if it is
    /// deleted meanwhile, what this returned goes on.
    ///
    /// ```
    /// # fn main() -> floe::Result<()> {
    /// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
    /// # let drive = store.create_drive(floe::DriveOptions::new(1 << 20).name("db"))?;
    /// use floe::{Change, ChangeKind, SnapshotOptions};
    ///
    /// drive.write_at(&[1; 8192], 0)?;
    /// let sent = drive.bookmark("sent on monday")?;
    /// drive.discard(4096..8192)?;
    /// let tuesday = drive.snapshot(SnapshotOptions::named("tuesday"))?;
    /// drive.write_at(&[2; 4096], 0)?; // too late
    /// let new: Vec<_> = tuesday.changes_since(&sent)?.collect::<floe::Result<_>>()?;
    /// assert_eq!(new, [Change { range: 4096..8192, kind: ChangeKind::Hole }]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `InvalidArgument` if the bookmark is of another store or drive, or younger than the snapshot; `NotFound` if either is gone; `Closed`.
    pub fn changes_since(&self, bookmark: &Bookmark) -> Result<Changes> {
        let since = self.moment_before(bookmark).map_err(|error| error.context(self.doing("changes since a bookmark")))?;
        Ok(Changes::up_to(self.clone(), since))
    }

    /// The bookmark's moment, if all that happened from then on to this snapshot's can be told from its table. It can whenever
    /// the drive is the same: what a bookmark's drive writes later is born later, and what it discards leaves a tombstone; and a
    /// revert that takes the drive off the bookmark's line, or to where another drive discarded, takes the bookmark away.
    fn moment_before(&self, bookmark: &Bookmark) -> Result<Epoch> {
        if !bookmark.is_of(&self.engine) {
            return Err(Error::invalid("the bookmark is of another store"));
        }
        let (drive, since) = bookmark.moment()?;
        self.engine.look(|catalog| {
            let snapshot = catalog.snapshot(self.id)?;
            if snapshot.drive != drive {
                return Err(Error::invalid("the bookmark is of another drive"));
            }
            if since > snapshot.epoch {
                return Err(Error::invalid("the bookmark is younger than the snapshot"));
            }
            Ok(since)
        })
    }

    /// BLAKE3 of the image: equal for equal images, whatever their history. Reads all its data; [`fingerprint`](crate::fingerprint)
    /// makes one of parts, and `docs/format.md` says what is hashed.
    ///
    /// # Errors
    /// `Closed`, `Corrupt`, `Io`
    pub fn fingerprint(&self) -> Result<blake3::Hash> {
        let mut tree = TreeHasher::new();
        let (mut index, mut window) = (0, WindowHasher::new());
        for extent in self.extents() {
            let extent = extent?;
            for (block, bytes) in (extent.offset / BLOCK_BYTES..).zip(extent.data.chunks(BLOCK_LEN)) {
                let holding = block * BLOCK_BYTES / WINDOW_BYTES;
                if holding != index {
                    tree.push(index, std::mem::take(&mut window).finish());
                    index = holding;
                }
                window.update(block, bytes);
            }
        }
        tree.push(index, window.finish());
        Ok(fingerprint(self.size_bytes, tree.finish()))
    }

    /// Gives it another name. Durable when it returns (D5).
    ///
    /// # Errors
    /// `InvalidArgument` for a name of more than 255 bytes, `NotFound`, `Poisoned`, `Closed`, `Io`.
    pub fn rename(&self, name: &str) -> Result<()> {
        self.change("rename", |catalog| catalog.rename_snapshot(self.id, name))
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
        self.change("set attributes", |catalog| catalog.set_snapshot_attributes(self.id, bytes))
    }

    /// Gives it another name and other attributes, both or neither. Durable and atomic when it returns.
    ///
    /// # Errors
    /// `InvalidArgument` for a name of more than 255 bytes, or more than 1 MiB; `NotFound`, `NoSpace`, `Poisoned`, `Closed`, `Io`.
    pub fn describe(&self, name: &str, attributes: &[u8]) -> Result<()> {
        self.change("describe", |catalog| catalog.describe_snapshot(self.id, name, attributes))
    }

    /// Deletes it, whatever descends from it. Durable when it returns (D5); the space comes back by
    /// [`reclaim`](crate::Store::reclaim), once no handle is left.
    ///
    /// # Errors
    /// `NotFound`, `Poisoned`, `Closed`, `Io`.
    pub fn delete(&self) -> Result<()> {
        let result = self.change("delete", |catalog| catalog.delete_snapshot(self.id));
        self.engine.wake_reclaimer();
        result
    }

    /// Makes a drive of its image. Durable when it returns (D5).
    ///
    /// The two share what neither changes, and neither needs the other: each can be deleted at any time. The cost does
    /// not depend on what the snapshot holds. A size in `options` resizes the new drive, in
    /// a commit of its own.
    ///
    /// # Errors
    /// `InvalidArgument`, `AlreadyExists` for a taken uuid, `NotFound`, `NoSpace`, `Poisoned`, `Closed`, `Io`.
    pub fn clone_drive(&self, options: DriveOptions) -> Result<Drive> {
        let size = options.size_bytes.filter(|size| *size != self.size_bytes);
        let naming = options.naming();
        let cloned = self.engine.change_durably(|catalog| {
            size.map_or(Ok(()), check_size)?;
            catalog.clone_drive(self.id, &naming)
        });
        let id = cloned.map_err(|error| error.context(self.doing("clone")))?;
        let drive = Drive::new(Arc::clone(&self.engine), id, naming.uuid);
        if let Some(size) = size
            && let Err(error) = drive.resize(size)
        {
            // A clone of another size than was asked for is none.
            let error = match drive.delete() {
                Ok(()) => error,
                Err(other) => error.explained(format_args!("and a clone of its origin's size is left behind: {other}")),
            };
            return Err(error.context(self.doing("clone")));
        }
        Ok(drive)
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    fn change(&self, doing: &str, change: impl Fn(&mut Catalog) -> Result<()>) -> Result<()> {
        self.engine.change_durably(change).map_err(|error| error.context(self.doing(doing)))
    }

    fn gone(&self) -> Error {
        Error::not_found(format!("the snapshot {} does not exist any more", self.uuid))
    }

    /// Names the snapshot in an error.
    pub(crate) fn doing(&self, doing: &str) -> String {
        match self.engine.catalog.read().snapshot_name(self.id) {
            Some(snapshot) if !snapshot.name.is_empty() => format!("snapshot {:?}: {doing}", snapshot.name),
            _ => format!("snapshot {}: {doing}", self.uuid),
        }
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("uuid", &self.uuid).finish_non_exhaustive()
    }
}
