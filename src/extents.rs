//! Where in memory does a snapshot's data lie?
//!
//! Runs of data are lent where they lie in the memory map, which is safe because nobody writes what a snapshot holds. What can go
//! wrong is that they cannot be read: then they turn into zeroes, and whoever read them is told at the next step.

use std::collections::VecDeque;
use std::fmt;
use std::ops::ControlFlow;

use crate::device::{Device, Lend};
use crate::engine::WALK_STEP;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::format::entry::Extent;
use crate::io::prove_lent;
use crate::snapshot::Snapshot;
use crate::units::{BLOCK_BYTES, LogicalBlock};

/// A run of data of a snapshot.
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
/// # let drive = store.create_drive(floe::DriveOptions::new(1 << 20))?;
/// drive.write_at(&[1; 8192], 4096)?;
/// let snapshot = drive.snapshot(floe::SnapshotOptions::default())?;
/// let extent = snapshot.extents().next().unwrap()?;
/// assert_eq!((extent.offset, extent.data.len()), (4096, 8192));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct SnapshotExtent<'a> {
    /// Where in the image it begins, in bytes; a multiple of 4096.
    pub offset: u64,
    /// Its bytes, as they lie in the memory map. What cannot be read of them is zeroes: see [`SnapshotExtent::confirm`].
    pub data: &'a [u8],
    device: &'a dyn Device,
    /// Where in the store it begins, in bytes.
    place: u64,
}

impl SnapshotExtent<'_> {
    /// Were its bytes, up to now, those of the file? Whoever reads an extent asks afterwards.
    ///
    /// [`SnapshotExtents`] asks for each extent before it lends the next one, so only who keeps extents, or hands them to others,
    /// needs to ask himself. Costs nothing as long as no read of the map has failed; then the bytes are compared with the file's.
    ///
    /// ```
    /// # fn main() -> floe::Result<()> {
    /// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
    /// # let drive = store.create_drive(floe::DriveOptions::new(1 << 20))?;
    /// # drive.write_at(&[1; 8192], 4096)?;
    /// let snapshot = drive.snapshot(floe::SnapshotOptions::default())?;
    /// let extents: Vec<_> = snapshot.extents().collect::<floe::Result<_>>()?;
    /// for extent in extents {
    ///     let copy = extent.data.to_vec();
    ///     extent.confirm()?;
    ///     assert_eq!(copy.len(), 8192);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Io` if some of them could not be read.
    pub fn confirm(&self) -> Result<()> {
        if self.device.faults(Lend::data()) == 0 {
            return Ok(());
        }
        let mut buffer = [0; CONFIRMED_AT_ONCE];
        let mut at = self.place;
        for bytes in self.data.chunks(CONFIRMED_AT_ONCE) {
            let buffer = &mut buffer[..bytes.len()];
            let doing = || format!("read {} bytes at block {} of the store", bytes.len(), at / BLOCK_BYTES);
            self.device.read_at(buffer, at).context(doing)?;
            if buffer != bytes {
                return Err(Error::new(ErrorKind::Io, "they could not all be read while they were lent").context(doing()));
            }
            at += bytes.len() as u64;
        }
        Ok(())
    }
}

/// Bytes that are compared at a time.
const CONFIRMED_AT_ONCE: usize = 16 * 1024;

impl fmt::Debug for SnapshotExtent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotExtent").field("offset", &self.offset).field("len", &self.data.len()).finish_non_exhaustive()
    }
}

/// The runs of data of a snapshot, in order; see [`Snapshot::extents`].
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
/// # let drive = store.create_drive(floe::DriveOptions::new(1 << 20).name("db"))?;
/// drive.write_at(&[1; 4096], 0)?;
/// drive.write_at(&[1; 4096], 65_536)?;
/// let snapshot = drive.snapshot(floe::SnapshotOptions::default())?;
/// let bytes: usize = snapshot.extents().map(|extent| extent.map(|extent| extent.data.len())).sum::<floe::Result<_>>()?;
/// assert_eq!(bytes, 8192);
/// # Ok(())
/// # }
/// ```
pub struct SnapshotExtents<'a> {
    snapshot: &'a Snapshot,
    at: LogicalBlock,
    /// With each, whether its checksums are evidence.
    found: VecDeque<(Extent, bool)>,
    lent: Option<SnapshotExtent<'a>>,
    done: bool,
}

impl<'a> SnapshotExtents<'a> {
    pub(crate) fn of(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, at: LogicalBlock(0), found: VecDeque::new(), lent: None, done: false }
    }

    fn find_more(&mut self) -> Result<()> {
        let _life = self.snapshot.engine().alive()?;
        let catalog = self.snapshot.engine().catalog.read();
        let (at, seen) = self.snapshot.engine().look_at(&catalog, |catalog| {
            self.found.clear();
            let (mut at, mut seen) = (self.at, 0);
            let Some(version) = catalog.any_version(self.snapshot.id()) else { return Ok((at, seen)) };
            catalog.walk(&version.table, self.at, &mut |extent| {
                at = extent.end();
                if extent.physical.is_some() {
                    self.found.push_back((extent, version.is_settled(extent.birth)));
                }
                seen += 1;
                Ok(if seen < WALK_STEP { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            })?;
            Ok((at, seen))
        })?;
        self.at = at;
        self.done = seen < WALK_STEP;
        Ok(())
    }

    /// Finds the next extent, once the one before, which was read meanwhile, is certain.
    fn lend_next(&mut self) -> Result<Option<SnapshotExtent<'a>>> {
        if let Some(last) = self.lent.take() {
            last.confirm()?;
        }
        while self.found.is_empty() && !self.done {
            self.find_more()?;
        }
        let Some((extent, settled)) = self.found.pop_front() else { return Ok(None) };
        let Some(physical) = extent.physical else { return Ok(None) };
        let offset = extent.logical.offset();
        let len = (u64::from(extent.blocks) * BLOCK_BYTES).min(self.snapshot.size_bytes().saturating_sub(offset));
        let place = physical.offset()..physical.offset() + len;
        let device = &*self.snapshot.engine().device;
        if place.end > device.len_bytes() {
            return Err(Error::corrupt("an extent lies behind the end of the store"));
        }
        if settled {
            let engine = self.snapshot.engine();
            prove_lent(device, &engine.space, extent.logical, physical, u64::from(extent.blocks))
                .map_err(|error| engine.name_holders(error))?;
        }
        // The handle pins the snapshot, so nobody writes these blocks while the slice lives.
        let data = device.mapped(place.clone(), Lend::data());
        let extent = SnapshotExtent { offset, data, device, place: place.start };
        // What could not be read before is zeroes from then on, and nobody would be told again.
        extent.confirm()?;
        self.lent = Some(extent);
        Ok(Some(extent))
    }
}

impl<'a> Iterator for SnapshotExtents<'a> {
    type Item = Result<SnapshotExtent<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.lend_next()
            .map_err(|error| {
                self.done = true;
                self.found.clear();
                error.context(self.snapshot.doing("read of its extents"))
            })
            .transpose()
    }
}
