//! Which bytes differ between two images?

use std::ops::Range;
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::device::look_at_pages_once;
use crate::drive::Drive;
use crate::engine::Engine;
use crate::error::Result;
use crate::format::page::Root;
use crate::snapshot::Snapshot;
use crate::steps::{Found, Steps};
use crate::units::{Epoch, LogicalBlock};

/// What a changed range is in the newer image.
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
/// # let drive = store.create_drive(floe::DriveOptions::new(1 << 20).name("db"))?;
/// drive.write_at(&[1; 8192], 0)?;
/// let snapshot = drive.snapshot(floe::SnapshotOptions::default())?;
/// drive.discard(0..4096)?;
/// assert_eq!(snapshot.diff_drive(&drive)?.next().unwrap()?.kind, floe::ChangeKind::Hole);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It holds data.
    Data,
    /// It is a hole, which reads as zeroes.
    Hole,
}

/// A range that differs.
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
/// # let drive = store.create_drive(floe::DriveOptions::new(1 << 20).name("db"))?;
/// let snapshot = drive.snapshot(floe::SnapshotOptions::default())?;
/// drive.write_at(&[1; 10], 5000)?;
/// let change = snapshot.diff_drive(&drive)?.next().unwrap()?;
/// assert_eq!(change, floe::Change { range: 4096..8192, kind: floe::ChangeKind::Data });
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Bytes of the newer image: whole blocks, but for the last one if the image's end cuts it off.
    pub range: Range<u64>,
    /// What the newer image has there.
    pub kind: ChangeKind,
}

/// The ranges that differ between two images, in order, neighbours of one kind merged.
///
/// What the older image had behind the newer one's end is not listed.
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
/// # let drive = store.create_drive(floe::DriveOptions::new(1 << 20).name("db"))?;
/// let monday = drive.snapshot(floe::SnapshotOptions::named("monday"))?;
/// drive.write_at(&[1; 10], 0)?;
/// let tuesday = drive.snapshot(floe::SnapshotOptions::named("tuesday"))?;
/// for change in monday.diff(&tuesday)? {
///     println!("copy {:?}", change?.range);
/// }
/// # Ok(())
/// # }
/// ```
pub struct Changes {
    source: Source,
    steps: Steps<ChangeKind>,
}

enum Source {
    Snapshots(Snapshot, Snapshot),
    Live(Snapshot, Drive),
    Since(Drive, Epoch),
    UpTo(Snapshot, Epoch),
}

impl Changes {
    pub(crate) fn between(older: Snapshot, newer: Snapshot) -> Self {
        Self { source: Source::Snapshots(older, newer), steps: Steps::default() }
    }

    pub(crate) fn with_live(older: Snapshot, newer: Drive) -> Self {
        Self { source: Source::Live(older, newer), steps: Steps::default() }
    }

    pub(crate) fn since(drive: Drive, epoch: Epoch) -> Self {
        Self { source: Source::Since(drive, epoch), steps: Steps::default() }
    }

    pub(crate) fn up_to(snapshot: Snapshot, since: Epoch) -> Self {
        Self { source: Source::UpTo(snapshot, since), steps: Steps::default() }
    }

    /// Only what lies within `range` of the newer image, in bytes. What lies before it costs nothing.
    ///
    /// ```
    /// # fn main() -> floe::Result<()> {
    /// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
    /// # let drive = store.create_drive(floe::DriveOptions::new(1 << 20).name("db"))?;
    /// let snapshot = drive.snapshot(floe::SnapshotOptions::default())?;
    /// drive.write_at(&[1; 65_536], 0)?;
    /// let change = snapshot.diff_drive(&drive)?.within(10_000..20_000).next().unwrap()?;
    /// assert_eq!(change.range, 10_000..20_000);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn within(mut self, range: Range<u64>) -> Self {
        self.steps.limit(range);
        self
    }
}

impl Source {
    fn engine(&self) -> &Arc<Engine> {
        match self {
            Self::Snapshots(snapshot, _) | Self::Live(snapshot, _) | Self::UpTo(snapshot, _) => snapshot.engine(),
            Self::Since(drive, _) => drive.engine(),
        }
    }

    /// Finds the next ranges from `at` on; also the newer image's length.
    fn step(&self, at: LogicalBlock, found: &mut Found<'_, ChangeKind>) -> Result<u64> {
        let catalog = self.engine().catalog.read();
        match self {
            Self::Snapshots(older, newer) => {
                let (left, right) = (catalog.frozen_table(older.id()), catalog.frozen_table(newer.id()));
                diff_step(&catalog, &left, &right, at, found)?;
                Ok(newer.size_bytes())
            }
            Self::Live(older, drive) => {
                let (_, head) = catalog.head_of(drive.id())?;
                diff_step(&catalog, &catalog.frozen_table(older.id()), &head.table, at, found)?;
                Ok(head.size_bytes)
            }
            Self::Since(drive, epoch) => {
                let (_, head) = catalog.head_of(drive.id())?;
                born_step(&catalog, &head.table, *epoch, at, found)?;
                Ok(head.size_bytes)
            }
            Self::UpTo(snapshot, epoch) => {
                born_step(&catalog, &catalog.frozen_table(snapshot.id()), *epoch, at, found)?;
                Ok(snapshot.size_bytes())
            }
        }
    }
}

fn diff_step(catalog: &Catalog, left: &Root, right: &Root, at: LogicalBlock, found: &mut Found<'_, ChangeKind>) -> Result<()> {
    catalog.diff(left, right, at, &mut |change| {
        let end = change.logical.plus(u64::from(change.blocks));
        let kind = if change.right.is_some() { ChangeKind::Data } else { ChangeKind::Hole };
        Ok(found.push(change.logical..end, kind))
    })
}

fn born_step(catalog: &Catalog, table: &Root, since: Epoch, at: LogicalBlock, found: &mut Found<'_, ChangeKind>) -> Result<()> {
    catalog.walk_born_after(table, since, at, &mut |extent| {
        let kind = if extent.physical.is_some() { ChangeKind::Data } else { ChangeKind::Hole };
        Ok(found.push(extent.logical..extent.end(), kind))
    })
}

impl Iterator for Changes {
    type Item = Result<Change>;

    fn next(&mut self) -> Option<Self::Item> {
        let source = &self.source;
        let engine = source.engine();
        let item = self.steps.next(|at, found| {
            let _life = engine.alive()?;
            look_at_pages_once(&*engine.device, || source.step(at, found))
        })?;
        Some(item.map(|(range, kind)| Change { range, kind }))
    }
}
