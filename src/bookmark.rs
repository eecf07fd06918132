//! What can be done with a bookmark?

use std::sync::Arc;

use uuid::Uuid;

use crate::catalog::{self, Catalog};
use crate::changes::Changes;
use crate::drive::Drive;
use crate::engine::Engine;
use crate::error::{Context, Error, Result};
use crate::format::record::ObjectId;
use crate::units::{BLOCK_BYTES, Epoch};

/// A handle of a bookmark: a point in a drive's time that holds no block.
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let device = std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap());
/// # let store = floe::Store::options().create_on(device)?;
/// # let drive = store.create_drive(floe::DriveOptions::new(1 << 20))?;
/// drive.write_at(&[1; 4096], 0)?;
/// let sent = drive.bookmark("sent on monday")?;
/// drive.write_at(&[2; 100], 50)?;
/// assert_eq!(sent.allocated_size()?, 4096);
/// let changed: Vec<_> = sent.changed_ranges()?.collect::<floe::Result<_>>()?;
/// assert_eq!(changed[0].range, 0..4096);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Bookmark {
    engine: Arc<Engine>,
    id: ObjectId,
    uuid: Uuid,
}

impl Bookmark {
    pub(crate) fn new(engine: Arc<Engine>, id: ObjectId, uuid: Uuid) -> Self {
        Self { engine, id, uuid }
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
        self.look(|bookmark, _| Ok(bookmark.name.clone()))
    }

    /// Length of the image at its moment, in bytes.
    ///
    /// # Errors
    /// `NotFound`, `Closed`
    pub fn size_bytes(&self) -> Result<u64> {
        self.look(|bookmark, _| Ok(bookmark.size_bytes))
    }

    /// What the image mapped at its moment, in bytes.
    ///
    /// # Errors
    /// `NotFound`, `Closed`
    pub fn referenced_size(&self) -> Result<u64> {
        self.look(|bookmark, _| Ok(bookmark.referenced_blocks * BLOCK_BYTES))
    }

    /// How much of what the image held at its moment has changed since, in bytes: what a snapshot taken then would have as
    /// [`allocated_size`](crate::Snapshot::allocated_size). Costs the logarithm of the number of snapshots.
    ///
    /// # Errors
    /// `NotFound`, `Closed`, `Corrupt`
    pub fn allocated_size(&self) -> Result<u64> {
        self.look(|_, catalog| Ok(catalog.bookmark_allocated_blocks(self.id)? * BLOCK_BYTES))
    }

    /// Every block written, zeroed or discarded since, in order. Costs in proportion to what changed.
    ///
    /// The table is read in steps: a write in the meantime may or may not be seen.
    ///
    /// # Errors
    /// `NotFound`, `Closed`
    pub fn changed_ranges(&self) -> Result<Changes> {
        let (epoch, id, uuid) = self.look(|bookmark, catalog| {
            let drive = catalog.drive(bookmark.drive).ok_or_else(|| self.gone())?;
            Ok((bookmark.epoch, bookmark.drive, drive.uuid))
        })?;
        Ok(Changes::since(Drive::new(Arc::clone(&self.engine), id, uuid), epoch))
    }

    /// Forgets it. Durable when it returns (D5).
    ///
    /// # Errors
    /// `NotFound`, `Poisoned`, `Closed`, `Io`.
    pub fn delete(&self) -> Result<()> {
        self.engine
            .change_durably(|catalog| catalog.delete_bookmark(self.id))
            .context(|| format!("delete bookmark {}", self.uuid))
    }

    pub(crate) fn is_of(&self, engine: &Arc<Engine>) -> bool {
        Arc::ptr_eq(&self.engine, engine)
    }

    /// The drive that it marks, and when.
    ///
    /// # Errors
    /// `NotFound`, `Closed`
    pub(crate) fn moment(&self) -> Result<(ObjectId, Epoch)> {
        self.look(|bookmark, _| Ok((bookmark.drive, bookmark.epoch)))
    }

    fn look<T>(&self, look: impl Fn(&catalog::Bookmark, &Catalog) -> Result<T>) -> Result<T> {
        self.engine.look(|catalog| look(catalog.bookmark(self.id).ok_or_else(|| self.gone())?, catalog))
    }

    fn gone(&self) -> Error {
        Error::not_found(format!("the bookmark {} does not exist any more", self.uuid))
    }
}

impl std::fmt::Debug for Bookmark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bookmark").field("uuid", &self.uuid).finish_non_exhaustive()
    }
}
