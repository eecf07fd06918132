//! How is what a deleted version held given back?
//!
//! A deleted version keeps its table until it has been worked off from the left, a bounded piece at a time. What is still
//! in the table is held by it, what is not any more has been decided, so the table itself is the cursor: it commits with
//! everything else and survives a crash. Subtrees that somebody else holds are dropped without being looked at.

use std::ops::Range;

use crate::canary::{self, Canary};
use crate::error::Result;
use crate::format::page::{Page, Root};
use crate::format::record::{ObjectId, RecordKind};
use crate::space::{Space, SpaceUsage};
use crate::table;
use crate::tree::consume::{Consumer, consume};
use crate::tree::{Dropped, Pages, entries};

use super::history::{Tree, Versions};
use super::writer::TableWriter;
use super::{Catalog, Version};

/// What a leaf costs beside those of its extents that are looked at closely, measured in these.
const LEAF_COST: u64 = 8;

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReclaimStep {
    /// Blocks and pages given back.
    pub freed_blocks: u64,
    /// What it cost, in extents that are looked at closely.
    pub visited: u64,
    /// Nothing is left to do, but for what somebody still reads.
    pub done: bool,
}

impl Catalog {
    /// How many deleted versions are still being worked off.
    pub fn condemned(&self) -> u64 {
        self.condemned.len() as u64
    }

    /// Works off at most about `budget` extents of deleted versions whose deletion is durable: a crash that undoes a deletion
    /// must find everything as it was.
    ///
    /// # Errors
    /// `NoSpace` if not even the reserve has a page left, `Corrupt` if a page cannot be read.
    pub fn reclaim(&mut self, budget: u64) -> Result<ReclaimStep> {
        let before = self.space.usage();
        let mut left = budget;
        let ids: Vec<ObjectId> = self.condemned.iter().copied().collect();
        let mut done = true;
        for id in ids {
            let Some(version) = self.versions.find(id) else { continue };
            if version.pin.is_held() {
                continue;
            }
            if version.condemned_in > self.durable {
                done = false;
                continue;
            }
            for tree in [Tree::Table, Tree::Histogram] {
                self.consume(id, tree, &mut left)?;
            }
            if !self.version(id)?.is_empty() {
                done = false;
                break;
            }
            if self.version(id)?.children.len() > 1 {
                // A junction: its last child but one takes it along when it goes.
                self.condemned.remove(&id);
            }
            self.splice(id);
        }
        let after = self.space.usage();
        let used = |usage: SpaceUsage| usage.data_blocks + usage.tree_pages;
        Ok(ReclaimStep { freed_blocks: used(before).saturating_sub(used(after)), visited: budget - left, done })
    }

    fn consume(&mut self, id: ObjectId, tree: Tree, budget: &mut u64) -> Result<()> {
        let version = self.versions.at_mut(id);
        let root = version.root(tree);
        if root.pointer.is_none() || *budget == 0 {
            return Ok(());
        }
        // While it is being worked off, the version does not count as a holder of what it is asked about.
        version.set_root(tree, Root::EMPTY);
        let parent = version.parent;
        let floor = self.version(parent)?.epoch;
        let mut holders = Holders { versions: &self.versions, space: &self.space, id, parent, tree };
        let mut writer = TableWriter { set: &mut self.set, space: &self.space, floor };
        let root = consume(&mut writer, &root, budget, &mut holders)?;
        self.versions.at_mut(id).set_root(tree, root);
        if !canary::makes(Canary::CursorForgotten) {
            self.touch(RecordKind::Version, id);
        }
        Ok(())
    }
}

impl Version {
    fn set_root(&mut self, tree: Tree, root: Root) {
        match tree {
            Tree::Table => self.table = root,
            Tree::Histogram => self.histogram_root = root,
        }
    }
}

/// Decides for a version that is being worked off what else is held.
struct Holders<'a> {
    versions: &'a Versions,
    space: &'a Space,
    id: ObjectId,
    parent: ObjectId,
    tree: Tree,
}

impl Holders<'_> {
    /// The tree of a version below, which holds most of what this one held, unless all was written anew. What stands there just the
    /// same needs no closer look; what does not may still be held.
    fn likely_holder(&self) -> Result<Root> {
        let below = self.versions.at(self.id)?.children.first().and_then(|child| self.versions.find(*child));
        Ok(below.map_or(Root::EMPTY, |version| version.root(self.tree)))
    }
}

impl<P: Pages> Consumer<P> for Holders<'_> {
    fn shared_run(&mut self, pages: &P, branch: &Page, level: u8, places: Range<usize>) -> Result<usize> {
        entries::same_run(pages, &self.likely_holder()?, branch, level, places)
    }

    fn is_shared(&mut self, pages: &P, page: &Dropped) -> Result<bool> {
        // The version's own tree is empty by now, so this asks those below it.
        Ok(self.versions.is_page_below(pages, self.id, self.tree, page)?
            || self.versions.is_page_held(pages, self.parent, self.tree, page)?)
    }

    fn free_page(&mut self, _pages: &P, page: &Dropped) -> Result<()> {
        self.space.free_page(page.pointer.page)
    }

    fn entries(&mut self, pages: &P, leaf: &Page) -> Result<u64> {
        if self.tree == Tree::Histogram {
            return Ok(LEAF_COST);
        }
        let missing = entries::not_in(pages, &self.likely_holder()?, leaf)?;
        let cost = LEAF_COST + missing.len() as u64;
        let mut rest = missing.iter().map(|(key, value)| table::extent(*key, value)).collect::<Result<Vec<_>>>()?;
        rest.retain(|piece| piece.physical.is_some());
        self.versions.keep_unheld(pages, self.id, &mut rest)?;
        for piece in rest {
            self.versions.release_blocks(pages, self.space, self.parent, piece)?;
        }
        Ok(cost)
    }
}
