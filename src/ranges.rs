//! Which bytes of an image hold data, and since when?

use std::ops::Range;
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::device::look_at_pages_once;
use crate::drive::Drive;
use crate::engine::Engine;
use crate::error::Result;
use crate::format::entry::Extent;
use crate::format::record::ObjectId;
use crate::snapshot::Snapshot;
use crate::steps::{Found, Steps};
use crate::units::LogicalBlock;

/// An image that is looked at.
#[derive(Clone, Copy)]
enum Image<'a> {
    Drive(&'a Drive),
    Snapshot(&'a Snapshot),
}

impl Image<'_> {
    fn engine(&self) -> &Arc<Engine> {
        match self {
            Self::Drive(drive) => drive.engine(),
            Self::Snapshot(snapshot) => snapshot.engine(),
        }
    }

    /// Walks the image's data from `at` on. `kind` says what an extent is to the image's version.
    fn step<K: PartialEq>(
        &self,
        at: LogicalBlock,
        found: &mut Found<'_, K>,
        mut kind: impl FnMut(&Catalog, ObjectId, &Extent) -> K,
    ) -> Result<u64> {
        let engine = self.engine();
        let _life = engine.alive()?;
        let catalog = engine.catalog.read();
        let (id, table, size) = match self {
            Self::Drive(drive) => {
                let (id, head) = catalog.head_of(drive.id())?;
                (id, head.table, head.size_bytes)
            }
            Self::Snapshot(snapshot) => (snapshot.id(), catalog.frozen_table(snapshot.id()), snapshot.size_bytes()),
        };
        let mut visit = |extent: Extent| {
            Ok(match extent.physical {
                Some(_) => found.push(extent.logical..extent.end(), kind(&catalog, id, &extent)),
                None => found.pass(extent.end()),
            })
        };
        look_at_pages_once(&*engine.device, || catalog.walk(&table, at, &mut visit))?;
        Ok(size)
    }
}

/// The ranges of an image that hold data, in order; see [`Drive::mapped_ranges`] and [`Snapshot::mapped_ranges`].
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
/// # let drive = store.create_drive(floe::DriveOptions::new(1 << 20).name("db"))?;
/// drive.write_at(&[1; 10], 0)?;
/// drive.write_at(&[1; 8192], 40_960)?;
/// let ranges: Vec<_> = drive.mapped_ranges().collect::<floe::Result<_>>()?;
/// assert_eq!(ranges, [0..4096, 40_960..49_152]);
/// # Ok(())
/// # }
/// ```
pub struct Ranges<'a> {
    image: Image<'a>,
    steps: Steps<()>,
}

impl<'a> Ranges<'a> {
    pub(crate) fn of_drive(drive: &'a Drive) -> Self {
        Self { image: Image::Drive(drive), steps: Steps::default() }
    }

    pub(crate) fn of_snapshot(snapshot: &'a Snapshot) -> Self {
        Self { image: Image::Snapshot(snapshot), steps: Steps::default() }
    }

    /// Only what lies within `range`, in bytes. What lies before it costs nothing.
    ///
    /// ```
    /// # fn main() -> floe::Result<()> {
    /// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
    /// # let drive = store.create_drive(floe::DriveOptions::new(1 << 20).name("db"))?;
    /// drive.write_at(&[1; 65_536], 0)?;
    /// assert_eq!(drive.mapped_ranges().within(10_000..20_000).next().unwrap()?, 10_000..20_000);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn within(mut self, range: Range<u64>) -> Self {
        self.steps.limit(range);
        self
    }
}

impl Iterator for Ranges<'_> {
    type Item = Result<Range<u64>>;

    fn next(&mut self) -> Option<Self::Item> {
        let image = self.image;
        let item = self.steps.next(|at, found| image.step(at, found, |_, _, _| ()))?;
        Some(item.map(|(range, ())| range))
    }
}

/// A range of data and how far up the image's history it was written.
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
/// # let drive = store.create_drive(floe::DriveOptions::new(1 << 20).name("db"))?;
/// drive.write_at(&[1; 8192], 0)?;
/// drive.snapshot(floe::SnapshotOptions::default())?;
/// drive.write_at(&[2; 4096], 0)?;
/// let layers: Vec<_> = drive.layers().collect::<floe::Result<_>>()?;
/// assert_eq!(layers, [floe::Layer { range: 0..4096, depth: 1 }, floe::Layer { range: 4096..8192, depth: 2 }]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Bytes of the image.
    pub range: Range<u64>,
    /// 1 for data that no snapshot above the image holds, and one more for each snapshot above it that does.
    pub depth: u32,
}

/// The ranges of an image that hold data, in order, and how many snapshots above it hold them too; see [`Drive::layers`] and
/// [`Snapshot::layers`].
pub struct Layers<'a> {
    image: Image<'a>,
    steps: Steps<u32>,
}

impl<'a> Layers<'a> {
    pub(crate) fn of_drive(drive: &'a Drive) -> Self {
        Self { image: Image::Drive(drive), steps: Steps::default() }
    }

    pub(crate) fn of_snapshot(snapshot: &'a Snapshot) -> Self {
        Self { image: Image::Snapshot(snapshot), steps: Steps::default() }
    }

    /// Only what lies within `range`, in bytes. What lies before it costs nothing.
    ///
    /// ```
    /// # fn main() -> floe::Result<()> {
    /// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
    /// # let drive = store.create_drive(floe::DriveOptions::new(1 << 20).name("db"))?;
    /// drive.write_at(&[1; 65_536], 0)?;
    /// let layer = drive.layers().within(10_000..20_000).next().unwrap()?;
    /// assert_eq!(layer, floe::Layer { range: 10_000..20_000, depth: 1 });
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn within(mut self, range: Range<u64>) -> Self {
        self.steps.limit(range);
        self
    }
}

impl Iterator for Layers<'_> {
    type Item = Result<Layer>;

    fn next(&mut self) -> Option<Self::Item> {
        let image = self.image;
        let item = self.steps.next(|at, found| {
            // What is born later than a snapshot was taken is not in it.
            let mut above = None;
            image.step(at, found, |catalog, id, extent| {
                let above = above.get_or_insert_with(|| catalog.snapshot_epochs_above(id));
                1 + above.partition_point(|epoch| *epoch >= extent.birth) as u32
            })
        })?;
        Some(item.map(|(range, depth)| Layer { range, depth }))
    }
}
