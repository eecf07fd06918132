//! May a version hold the extents that it does not share with the snapshot above it?
//!
//! What it wrote itself, it alone claims. What is older than the snapshot must be among the extents that the snapshot alone
//! holds: both lists come in order, so the two are merged as they come, and neither is kept. What belongs to a deleted version in between
//! is collected, for others may hold it too.

use std::collections::VecDeque;

use super::compare::{Difference, Side};
use super::images::{Counts, Image};
use super::leaves::extents;
use super::report::ProblemKind;
use super::tree::Role;
use super::walk::Walk;
use crate::format::entry::Extent;
use crate::format::page::{Page, PagePointer};
use crate::format::record::VersionState;
use crate::units::LogicalBlock;

/// What the version's table holds that the reference's does not.
pub struct Holdings<'i> {
    image: &'i Image<'i>,
    /// How the table's content changes the counts.
    pub changes: Counts,
    /// Inherited extents, which must be found among those of the reference.
    wanted: VecDeque<Extent>,
    offered: VecDeque<Extent>,
}

impl<'i> Holdings<'i> {
    pub fn new(image: &'i Image<'i>) -> Self {
        Self { image, changes: Counts::default(), wanted: VecDeque::new(), offered: VecDeque::new() }
    }

    fn own(&mut self, walk: &mut Walk<'_>, extent: &Extent) {
        let image = self.image;
        let owner = image.lineage.owner(extent.birth.0);
        if image.inherits(extent.birth.0) {
            match image.reference {
                Some(_) => self.wanted.push_back(*extent),
                None => walk.space.mark(extent),
            }
        } else if owner == image.version.id && image.version.record.state != VersionState::Condemned {
            walk.space.claim(extent, &image.version.name, &mut walk.findings);
        } else {
            walk.space.collect(extent, owner);
        }
    }

    /// Says which parts of an inherited extent the reference does not hold.
    fn look_for(&mut self, walk: &mut Walk<'_>, wanted: &Extent) {
        while self.offered.front().is_some_and(|offered| offered.end() <= wanted.logical) {
            self.offered.pop_front();
        }
        let mut missing_from = wanted.logical;
        for offered in self.offered.iter().take_while(|offered| offered.logical < wanted.end()) {
            if offered.end() <= missing_from || wanted.end() <= missing_from {
                continue;
            }
            if missing_from < offered.logical {
                self.missing(walk, wanted, missing_from, offered.logical);
            }
            let (from, to) = (missing_from.max(offered.logical), wanted.end().min(offered.end()));
            let (held, ours) = (offered.part(from, to), wanted.part(from, to));
            if held != ours {
                self.missing(walk, wanted, from, to);
            }
            missing_from = to;
        }
        if missing_from < wanted.end() {
            self.missing(walk, wanted, missing_from, wanted.end());
        }
    }

    fn missing(&self, walk: &mut Walk<'_>, wanted: &Extent, from: LogicalBlock, to: LogicalBlock) {
        let part = wanted.part(from, to);
        let detail = format_args!("blocks {from}..{to}, born in epoch {}, are not held so by the snapshot above", part.birth);
        walk.findings.add(ProblemKind::NotInherited, format_args!("table of {}", self.image.version.name), detail);
        walk.space.collect(&part, self.image.lineage.owner(part.birth.0));
    }
}

impl Difference for Holdings<'_> {
    fn page(&mut self, walk: &mut Walk<'_>, side: Side, pointer: PagePointer, leaf: Option<&Page>) {
        self.image.judge_own_page(walk, Role::Table, side, pointer);
        for extent in leaf.into_iter().flat_map(extents).filter(|extent| extent.physical.is_some()) {
            let blocks = i128::from(extent.blocks);
            if side == Side::Own {
                self.changes.blocks += blocks;
                self.changes.add(extent.birth.0, -blocks);
                self.own(walk, &extent);
            } else {
                self.changes.blocks -= blocks;
                self.changes.add(extent.birth.0, blocks);
                if self.image.above.is_some() {
                    self.offered.push_back(extent);
                }
            }
        }
    }

    fn shown_below(&mut self, walk: &mut Walk<'_>, reference_key: u64, own_key: u64) {
        while let Some(wanted) = self.wanted.pop_front_if(|wanted| wanted.end().0 <= reference_key) {
            self.look_for(walk, &wanted);
        }
        // What lies before all that can still be looked for is not kept: memory does not grow with the difference.
        let needed_from = self.wanted.front().map_or(own_key, |wanted| wanted.logical.0);
        while self.offered.pop_front_if(|offered| offered.end().0 <= needed_from).is_some() {}
    }
}
