//! Which bytes of an image hold data, and which differ between two?
//!
//! Tables are read in steps: each takes the catalog's lock, finds some ranges, and lets go of it again.

use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::device::look_at_pages_once;
use crate::drive::Drive;
use crate::engine::{Engine, WALK_STEP};
use crate::error::Result;
use crate::format::entry::Extent;
use crate::format::page::Root;
use crate::snapshot::Snapshot;
use crate::units::{BLOCK_BYTES, Epoch, LogicalBlock};

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
    steps: Steps<(Range<LogicalBlock>, ChangeKind)>,
}

enum Source {
    Snapshots(Snapshot, Snapshot),
    Live(Snapshot, Drive),
    Since(Drive, Epoch),
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
}

impl Source {
    fn engine(&self) -> &Arc<Engine> {
        match self {
            Self::Snapshots(older, _) | Self::Live(older, _) => older.engine(),
            Self::Since(drive, _) => drive.engine(),
        }
    }

    /// Finds the next ranges from `at` on; also the newer image's length.
    fn step(&self, at: LogicalBlock, found: &mut Found<'_, (Range<LogicalBlock>, ChangeKind)>) -> Result<u64> {
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
                catalog.walk_born_after(&head.table, *epoch, at, &mut |extent| {
                    let kind = if extent.physical.is_some() { ChangeKind::Data } else { ChangeKind::Hole };
                    Ok(found.push((extent.logical..extent.end(), kind), extent.end()))
                })?;
                Ok(head.size_bytes)
            }
        }
    }
}

fn diff_step(
    catalog: &Catalog,
    left: &Root,
    right: &Root,
    at: LogicalBlock,
    found: &mut Found<'_, (Range<LogicalBlock>, ChangeKind)>,
) -> Result<()> {
    catalog.diff(left, right, at, &mut |change| {
        let end = change.logical.plus(u64::from(change.blocks));
        let kind = if change.right.is_some() { ChangeKind::Data } else { ChangeKind::Hole };
        Ok(found.push((change.logical..end, kind), end))
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
        Some(item.map(|((range, kind), size)| Change { range: bytes(&range, size), kind }))
    }
}

/// The ranges of a drive that hold data, in order; see [`Drive::mapped_ranges`].
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
    drive: &'a Drive,
    steps: Steps<Range<LogicalBlock>>,
}

impl<'a> Ranges<'a> {
    pub(crate) fn new(drive: &'a Drive) -> Self {
        Self { drive, steps: Steps::default() }
    }
}

impl Iterator for Ranges<'_> {
    type Item = Result<Range<u64>>;

    fn next(&mut self) -> Option<Self::Item> {
        let drive = self.drive;
        let item = self.steps.next(|at, found| {
            let _life = drive.engine().alive()?;
            let catalog = drive.engine().catalog.read();
            let (_, head) = catalog.head_of(drive.id())?;
            let mut visit = |extent: Extent| {
                let range = extent.physical.is_some().then_some(extent.logical..extent.end());
                Ok(match range {
                    Some(range) => found.push(range, extent.end()),
                    None => ControlFlow::Continue(()),
                })
            };
            look_at_pages_once(&*drive.engine().device, || catalog.walk(&head.table, at, &mut visit))?;
            Ok(head.size_bytes)
        })?;
        Some(item.map(|(range, size)| bytes(&range, size)))
    }
}

/// Blocks as bytes, cut off at the image's end.
fn bytes(range: &Range<LogicalBlock>, size: u64) -> Range<u64> {
    range.start.offset()..(range.end.0 * BLOCK_BYTES).min(size)
}

/// Ranges that can be cut, merged and told apart.
trait Piece: Clone {
    fn blocks(&self) -> &Range<LogicalBlock>;
    fn blocks_mut(&mut self) -> &mut Range<LogicalBlock>;
    fn is_like(&self, other: &Self) -> bool;
}

impl Piece for Range<LogicalBlock> {
    fn blocks(&self) -> &Range<LogicalBlock> {
        self
    }

    fn blocks_mut(&mut self) -> &mut Range<LogicalBlock> {
        self
    }

    fn is_like(&self, _other: &Self) -> bool {
        true
    }
}

impl Piece for (Range<LogicalBlock>, ChangeKind) {
    fn blocks(&self) -> &Range<LogicalBlock> {
        &self.0
    }

    fn blocks_mut(&mut self) -> &mut Range<LogicalBlock> {
        &mut self.0
    }

    fn is_like(&self, other: &Self) -> bool {
        self.1 == other.1
    }
}

/// What one step finds.
struct Found<'a, P> {
    pieces: &'a mut VecDeque<P>,
    from: LogicalBlock,
    at: &'a mut LogicalBlock,
    count: usize,
}

impl<P: Piece> Found<'_, P> {
    /// Takes a piece; everything before `done` is found now.
    fn push(&mut self, mut piece: P, done: LogicalBlock) -> ControlFlow<()> {
        // An extent that the last step saw in part may have grown to the left.
        piece.blocks_mut().start = piece.blocks().start.max(self.from);
        *self.at = done;
        self.count += 1;
        match self.pieces.back_mut() {
            Some(last) if last.blocks().end == piece.blocks().start && last.is_like(&piece) => {
                last.blocks_mut().end = piece.blocks().end
            }
            _ => self.pieces.push_back(piece),
        }
        if self.count < WALK_STEP { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

/// A walk in steps.
struct Steps<P> {
    pieces: VecDeque<P>,
    at: LogicalBlock,
    size: u64,
    done: bool,
}

impl<P> Default for Steps<P> {
    fn default() -> Self {
        Self { pieces: VecDeque::new(), at: LogicalBlock(0), size: 0, done: false }
    }
}

impl<P: Piece> Steps<P> {
    /// The next piece and the image's length. The last piece found is kept back until it is known that it does not go on.
    fn next(&mut self, mut step: impl FnMut(LogicalBlock, &mut Found<'_, P>) -> Result<u64>) -> Option<Result<(P, u64)>> {
        loop {
            while self.pieces.len() < 2 && !self.done {
                let mut found = Found { pieces: &mut self.pieces, from: self.at, at: &mut self.at, count: 0 };
                match step(found.from, &mut found) {
                    Ok(size) => {
                        self.done = found.count < WALK_STEP;
                        self.size = size;
                    }
                    Err(error) => {
                        self.done = true;
                        self.pieces.clear();
                        return Some(Err(error));
                    }
                }
            }
            let piece = self.pieces.pop_front()?;
            // Behind the end of the newer image there is nothing to tell.
            if piece.blocks().start.offset() < self.size {
                return Some(Ok((piece, self.size)));
            }
        }
    }
}
