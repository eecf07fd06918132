//! How much does a snapshot hold?
//!
//! Everything that a version holds with a birth up to an ancestor's epoch was in that ancestor (see `history`), so how much the
//! two share is a sum over the younger one's histogram. That is all it takes as long as a drive's snapshots descend from each
//! other in a line. A revert leaves some of them on a side branch; for those the tables are compared.

use std::ops::ControlFlow;

use crate::error::{Error, Result};
use crate::format::entry::{Extent, decode_bucket};
use crate::format::record::{ObjectId, VersionState};
use crate::table;
use crate::tree::entries;
use crate::units::{Epoch, LogicalBlock};

use super::objects::no_such_snapshot;
use super::version::ROOT;
use super::{Catalog, Version};

impl Catalog {
    /// A1: blocks that the snapshot holds and its drive's image does not; after the drive's deletion the next younger
    /// snapshot takes the image's place, and nothing takes it for the youngest.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt` if a page cannot be read.
    pub fn allocated_blocks(&self, id: ObjectId) -> Result<u64> {
        let snapshot = self.snapshot(id)?;
        match self.drives.get(&snapshot.drive) {
            Some(drive) if snapshot.on_trunk => self.not_in_descendant(snapshot, drive.head),
            Some(drive) => self.not_in(snapshot, &[drive.head]),
            None => match self.next_younger(snapshot) {
                None => Ok(snapshot.referenced_blocks),
                Some(next) if self.versions.descends_from(next, id) => self.not_in_descendant(snapshot, next),
                Some(next) => self.not_in(snapshot, &[next]),
            },
        }
    }

    /// A5: blocks that the snapshot holds and nothing younger of its drive does, neither a snapshot nor the image.
    ///
    /// # Errors
    /// As [`Catalog::allocated_blocks`].
    pub fn charged_blocks(&self, id: ObjectId) -> Result<u64> {
        let snapshot = self.snapshot(id)?;
        let of_drive = self.of_drive.get(&snapshot.drive).ok_or_else(no_such_snapshot)?;
        let head = self.drives.get(&snapshot.drive).map(|drive| drive.head);
        if of_drive.is_line {
            return match self.next_younger(snapshot).or(head) {
                None => Ok(snapshot.referenced_blocks),
                Some(next) => self.not_in_descendant(snapshot, next),
            };
        }
        let mut younger: Vec<ObjectId> = of_drive.by_epoch.range(snapshot.epoch.next()..).map(|(_, id)| *id).collect();
        younger.extend(head);
        self.not_in(snapshot, &younger)
    }

    /// A5, A6: blocks that nobody but the snapshot holds.
    ///
    /// # Errors
    /// As [`Catalog::allocated_blocks`].
    pub fn exclusive_blocks(&self, id: ObjectId) -> Result<u64> {
        let snapshot = self.snapshot(id)?;
        let below = self.versions.nearest_alive_below(id)?;
        let mut above = self.version(snapshot.parent)?;
        let mut above_id = snapshot.parent;
        let mut is_line = below.len() <= 1;
        while above_id != ROOT && above.is_condemned() {
            is_line &= self.versions.nearest_alive_below(above_id)?.len() == 1;
            above_id = above.parent;
            above = self.version(above_id)?;
        }
        // Everything older is the next living ancestor's too.
        let since = above.epoch;
        if !is_line {
            return self.exclusive_by_walk(id, snapshot, since);
        }
        let own = rest(snapshot.referenced_blocks, self.born_by(snapshot, id, since)?)?;
        let Some(next) = below.first() else { return Ok(own) };
        let version = self.version(*next)?;
        let shared = rest(self.born_by(version, *next, snapshot.epoch)?, self.born_by(version, *next, since)?)?;
        rest(own, shared)
    }

    /// Blocks that the image had at the bookmark's moment and has no more.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt` if a page cannot be read.
    pub fn bookmark_allocated_blocks(&self, id: ObjectId) -> Result<u64> {
        let bookmark = self.bookmarks.get(&id).ok_or_else(|| Error::not_found("the bookmark does not exist any more"))?;
        let (head, _) = self.head_of(bookmark.drive)?;
        rest(bookmark.referenced_blocks, self.histogram(head)?.born_by(bookmark.epoch))
    }

    fn next_younger(&self, snapshot: &Version) -> Option<ObjectId> {
        let of_drive = self.of_drive.get(&snapshot.drive)?;
        of_drive.by_epoch.range(snapshot.epoch.next()..).next().map(|(_, id)| *id)
    }

    /// Blocks of `snapshot` that `descendant` does not hold.
    fn not_in_descendant(&self, snapshot: &Version, descendant: ObjectId) -> Result<u64> {
        let version = self.version(descendant)?;
        rest(snapshot.referenced_blocks, self.born_by(version, descendant, snapshot.epoch)?)
    }

    /// Blocks of a version that were born in `epoch` or before.
    fn born_by(&self, version: &Version, id: ObjectId, epoch: Epoch) -> Result<u64> {
        if version.state == VersionState::Head {
            return Ok(self.histogram(id)?.born_by(epoch));
        }
        // Few buckets are younger than a parent's epoch: only those are read.
        let mut left = version.referenced_blocks;
        entries::visit(&self.set, &version.histogram_root, epoch.0 + 1, &mut |birth, value| {
            if birth > epoch.0 {
                left = rest(left, decode_bucket(value))?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(left)
    }

    /// Blocks of `snapshot` that none of `others` holds, by comparing tables.
    fn not_in(&self, snapshot: &Version, others: &[ObjectId]) -> Result<u64> {
        let Some((first, rest)) = others.split_first() else { return Ok(snapshot.referenced_blocks) };
        let mut blocks = 0;
        let first = self.version(*first)?.table;
        table::diff(&self.set, &snapshot.table, &first, LogicalBlock(0), |change| {
            let mut pieces: Vec<Extent> = change.left.into_iter().filter(|piece| piece.physical.is_some()).collect();
            for other in rest {
                let mut left = Vec::new();
                table::parts_not_held(&self.set, &self.version(*other)?.table, &pieces, &mut left)?;
                pieces = left;
            }
            blocks += pieces.iter().map(|piece| u64::from(piece.blocks)).sum::<u64>();
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(blocks)
    }

    /// What `reclaim` would free if the snapshot were deleted: the same questions, asked of the living alone.
    fn exclusive_by_walk(&self, id: ObjectId, snapshot: &Version, since: Epoch) -> Result<u64> {
        let mut blocks = 0;
        table::walk_born_after(&self.set, &snapshot.table, since, LogicalBlock(0), |piece| {
            let mut pieces: Vec<Extent> = piece.physical.is_some().then_some(piece).into_iter().collect();
            self.keep_unheld_by_living(id, id, &mut pieces)?;
            let mut above = snapshot.parent;
            // Up to where the piece was born, every deleted ancestor may have given it to others.
            while above != ROOT && piece.birth <= self.version(above)?.epoch {
                self.keep_unheld_by_living(above, id, &mut pieces)?;
                above = self.version(above)?.parent;
            }
            blocks += pieces.iter().map(|piece| u64::from(piece.blocks)).sum::<u64>();
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(blocks)
    }

    /// Leaves in `pieces` what the nearest living below `at`, other than `but`, do not hold.
    fn keep_unheld_by_living(&self, at: ObjectId, but: ObjectId, pieces: &mut Vec<Extent>) -> Result<()> {
        for other in self.versions.nearest_alive_below(at)? {
            if other == but || pieces.is_empty() {
                continue;
            }
            let mut rest = Vec::new();
            table::parts_not_held(&self.set, &self.version(other)?.table, pieces, &mut rest)?;
            *pieces = rest;
        }
        Ok(())
    }
}

/// What is left of `blocks` without `part` of them.
fn rest(blocks: u64, part: u64) -> Result<u64> {
    let left = blocks.checked_sub(part);
    left.ok_or_else(|| Error::corrupt(format!("a histogram counts {part} blocks of an image where there are {blocks}")))
}
