//! What does a drive's image map, and how is the map changed?

use std::ops::Range;

use crate::error::{Error, Result};
use crate::format::entry::{Extent, decode_bucket, encode_bucket};
use crate::format::group;
use crate::format::page::Root;
use crate::format::record::{ObjectId, RecordKind};
use crate::space::Purpose;
use crate::table;
use crate::tree::entries;
use crate::units::{Epoch, LogicalBlock, PhysicalBlock};

use super::histogram::Histogram;
use super::history::Tree;
use super::objects::no_such_drive;
use super::version::Version;
use super::writer::TableWriter;
use super::{Catalog, PAGES_PER_CHANGE, PAGES_PER_RECORD};

/// A run of new blocks for a drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewRun {
    /// Where in the drive.
    pub logical: LogicalBlock,
    /// Where in the store.
    pub physical: PhysicalBlock,
    /// How many blocks.
    pub blocks: u32,
}

impl Version {
    /// Does the head's histogram hold something that its tree does not yet?
    pub(super) fn is_touched(&self) -> bool {
        self.histogram.get().is_some_and(|histogram| histogram.is_touched())
    }
}

impl Catalog {
    /// The head of a drive.
    ///
    /// # Errors
    /// `NotFound`
    pub fn head_of(&self, drive: ObjectId) -> Result<(ObjectId, &Version)> {
        let head = self.drives.get(&drive).ok_or_else(no_such_drive)?.head;
        Ok((head, self.version(head)?))
    }

    /// The version of a snapshot that is not deleted.
    ///
    /// # Errors
    /// `NotFound`
    pub fn snapshot(&self, id: ObjectId) -> Result<&Version> {
        if !self.snapshots.contains_key(&id) {
            return Err(super::objects::no_such_snapshot());
        }
        self.version(id)
    }

    /// A version, deleted or not. As long as somebody holds a handle of a deleted snapshot, only an empty image is taken out of the
    /// history.
    pub fn any_version(&self, id: ObjectId) -> Option<&Version> {
        self.versions.find(id)
    }

    /// A snapshot's table, even a deleted one's that somebody still holds a handle of.
    pub fn frozen_table(&self, id: ObjectId) -> Root {
        self.versions.find(id).map_or(Root::EMPTY, |version| version.table)
    }

    /// The first extent of a table that ends behind `from`. Holes that are kept for bookmarks are extents too.
    ///
    /// # Errors
    /// `Corrupt` if a page cannot be read.
    pub fn next_extent(&self, table: &Root, from: LogicalBlock) -> Result<Option<Extent>> {
        let extent = table::next(&self.set, table, from)?;
        if let Some(extent) = &extent {
            self.check_place(extent)?;
        }
        Ok(extent)
    }

    /// The extents of a table that reach into `range`, whole and in order.
    ///
    /// # Errors
    /// As [`Catalog::next_extent`].
    pub fn extents_in(&self, table: &Root, range: Range<LogicalBlock>, mut found: impl FnMut(Extent)) -> Result<()> {
        let Some(first) = self.next_extent(table, range.start)?.filter(|first| first.logical < range.end) else {
            return Ok(());
        };
        found(first);
        if first.end() >= range.end {
            return Ok(());
        }
        self.walk(table, first.end(), &mut |extent| {
            if extent.logical >= range.end {
                return Ok(std::ops::ControlFlow::Break(()));
            }
            self.check_place(&extent)?;
            found(extent);
            Ok(std::ops::ControlFlow::Continue(()))
        })
    }

    /// Can there be data where the extent says?
    fn check_place(&self, extent: &Extent) -> Result<()> {
        let Some(first) = extent.physical else { return Ok(()) };
        let end = first.plus(u64::from(extent.blocks));
        if group::are_places(first, extent.blocks) && self.set.reaches(end) {
            return Ok(());
        }
        Err(Error::corrupt(format!("no data can be in blocks {first} to {end}")))
    }

    /// Walks a table in order.
    ///
    /// # Errors
    /// `Corrupt` if a page cannot be read, and what `visit` returns.
    pub fn walk(
        &self,
        table: &Root,
        from: LogicalBlock,
        visit: &mut impl FnMut(Extent) -> Result<std::ops::ControlFlow<()>>,
    ) -> Result<()> {
        table::walk(&self.set, table, from, visit)
    }

    /// Walks what was born after `epoch`, in order.
    ///
    /// # Errors
    /// As [`Catalog::walk`].
    pub fn walk_born_after(
        &self,
        table: &Root,
        epoch: Epoch,
        from: LogicalBlock,
        visit: &mut impl FnMut(Extent) -> Result<std::ops::ControlFlow<()>>,
    ) -> Result<()> {
        table::walk_born_after(&self.set, table, epoch, from, visit)
    }

    /// Walks the pieces in which two tables differ, in order.
    ///
    /// # Errors
    /// As [`Catalog::walk`].
    pub fn diff(
        &self,
        left: &Root,
        right: &Root,
        from: LogicalBlock,
        visit: &mut impl FnMut(table::Change) -> Result<std::ops::ControlFlow<()>>,
    ) -> Result<()> {
        table::diff(&self.set, left, right, from, visit)
    }

    /// Puts new blocks into a drive's image. What lay there before goes, and is freed if nobody else holds it.
    ///
    /// # Errors
    /// `NoSpace` before anything is changed; any other error leaves the catalog unusable.
    pub fn map(&mut self, drive: ObjectId, run: NewRun) -> Result<()> {
        let (head, version) = self.head_of(drive)?;
        let (floor, root) = (version.floor, version.table);
        self.histogram(head)?;
        let extent = Extent { logical: run.logical, physical: Some(run.physical), blocks: run.blocks, birth: floor.next() };
        let (mut removed, mut dropped) = (Vec::new(), Vec::new());
        self.space.use_data(run.physical, run.blocks)?;
        let mut writer = TableWriter { set: &mut self.set, space: &self.space, floor };
        let root = table::insert(&mut writer, &root, extent, &mut removed, &mut dropped)?;
        let version = self.version_mut(head);
        version.table = root;
        version.referenced_blocks += u64::from(run.blocks);
        histogram_mut(version).add(floor.next(), u64::from(run.blocks));
        self.account_for(head, &removed, dropped)
    }

    /// Makes holes in a drive's image, at most `limit` extents; up to where the range is done.
    ///
    /// # Errors
    /// As [`Catalog::map`].
    pub fn unmap(&mut self, drive: ObjectId, range: Range<LogicalBlock>, limit: usize) -> Result<LogicalBlock> {
        let (head, version) = self.head_of(drive)?;
        let (floor, root) = (version.floor, version.table);
        self.histogram(head)?;
        let tombstone = (!self.drives[&drive].bookmarks.is_empty()).then_some(floor.next());
        let (mut removed, mut dropped) = (Vec::new(), Vec::new());
        let mut writer = TableWriter { set: &mut self.set, space: &self.space, floor };
        let (root, done) = table::remove(&mut writer, &root, range, limit, tombstone, &mut removed, &mut dropped)?;
        self.version_mut(head).table = root;
        self.account_for(head, &removed, dropped)?;
        Ok(done)
    }

    /// Counts and frees what a change of a head's table left over.
    fn account_for(&mut self, head: ObjectId, removed: &[Extent], dropped: Vec<crate::tree::Dropped>) -> Result<()> {
        let parent = self.version(head)?.parent;
        for piece in removed.iter().filter(|piece| piece.physical.is_some()) {
            let version = self.version_mut(head);
            // The histogram's sum, so it is at least as large as what goes.
            histogram_mut(version).subtract(piece.birth, u64::from(piece.blocks))?;
            version.referenced_blocks -= u64::from(piece.blocks);
            self.release_blocks(parent, *piece)?;
        }
        for page in dropped {
            self.release_page(parent, Tree::Table, &page)?;
        }
        self.touch(RecordKind::Version, head);
        Ok(())
    }

    /// Asks for room for a change that adds to the trees.
    ///
    /// # Errors
    /// `NoSpace`
    pub fn require_room(&self) -> Result<()> {
        self.require_pages(PAGES_PER_CHANGE, Purpose::Grow)
    }

    /// Asks for room for a change that takes up to `pages` pages, and for those that the next commit will take for what was
    /// changed before.
    ///
    /// # Errors
    /// `NoSpace`
    pub fn require_pages(&self, pages: u64, purpose: Purpose) -> Result<()> {
        self.space.require_room(self.with_records(pages), purpose).map_err(Error::before_any_change)
    }

    /// The same for a change that begins later, and until then shares the catalog with others. Returns what was promised, which
    /// is to be handed back when the change is done.
    ///
    /// # Errors
    /// `NoSpace`
    pub fn promise_pages(&self, pages: u64, purpose: Purpose) -> Result<u64> {
        let pages = self.with_records(pages);
        self.space.promise_room(pages, purpose).map_err(Error::before_any_change)?;
        Ok(pages)
    }

    /// Asks for what a commit takes: the file system must not say in the middle of one that it is full.
    ///
    /// # Errors
    /// `NoSpace`, `Io`
    pub fn require_commit(&self) -> Result<()> {
        self.space.ready_for_commit(self.with_records(0)).map_err(Error::before_any_change)
    }

    fn with_records(&self, pages: u64) -> u64 {
        pages + PAGES_PER_RECORD * self.touched.len() as u64
    }

    /// A head's histogram, loaded at its first use.
    pub(super) fn histogram(&self, head: ObjectId) -> Result<&Histogram> {
        let version = self.version(head)?;
        if let Some(histogram) = version.histogram.get() {
            return Ok(histogram);
        }
        let mut buckets = Vec::new();
        let mut left = version.referenced_blocks;
        let wrong = || Error::corrupt(format!("version {}: its record counts other blocks than its histogram", head.0));
        entries::visit(&self.set, &version.histogram_root, 0, &mut |birth, value| {
            let blocks = decode_bucket(value);
            left = left.checked_sub(blocks).ok_or_else(wrong)?;
            buckets.push((Epoch(birth), blocks));
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        if left > 0 {
            return Err(wrong());
        }
        Ok(version.histogram.get_or_init(|| Box::new(Histogram::from_buckets(buckets.into_iter()))))
    }

    /// Writes a head's touched buckets into its tree.
    pub(super) fn write_histogram(&mut self, head: ObjectId) -> Result<()> {
        let version = self.version_mut(head);
        let Some(histogram) = version.histogram.get_mut() else { return Ok(()) };
        let touched = histogram.take_touched();
        let (floor, parent, mut root) = (version.floor, version.parent, version.histogram_root);
        let mut dropped = Vec::new();
        for (birth, blocks) in touched {
            let mut writer = TableWriter { set: &mut self.set, space: &self.space, floor };
            root = if blocks > 0 {
                entries::insert(&mut writer, &root, birth.0, &encode_bucket(blocks), &mut dropped)?
            } else {
                entries::remove(&mut writer, &root, birth.0, &mut dropped)?.0
            };
        }
        self.version_mut(head).histogram_root = root;
        for page in dropped {
            self.release_page(parent, Tree::Histogram, &page)?;
        }
        self.touch(RecordKind::Version, head);
        Ok(())
    }
}

fn histogram_mut(version: &mut Version) -> &mut Histogram {
    version.histogram.get_mut().expect("a histogram is loaded before its table is changed")
}
