//! Does every version hold what its history allows, and does its histogram count it?
//!
//! A version is compared with the nearest snapshot above it (or, if all above it are deleted, with a relative walked before),
//! so only pages that the two do not share are looked at. What changes on the way from one to the other must account for the
//! difference between their histograms.

use std::collections::BTreeMap;

use super::compare::{Difference, Side, compare};
use super::history::{History, Index, Version};
use super::holdings::Holdings;
use super::leaves::{buckets, extents, judge_buckets, judge_extents};
use super::lineage::{Lineage, Step};
use super::report::{Findings, ProblemKind};
use super::tree::{Role, Summary, Tree};
use super::walk::{Unsound, Walk};
use crate::format::page::{Page, PagePointer, Root};
use crate::format::record::VersionState;
use crate::units::LogicalBlock;

/// A histogram that is wrong in more buckets than this is not used to judge the next one.
const WRONG_BUCKETS_MAX: usize = 4096;
/// This many wrong buckets of a histogram are named.
const WRONG_BUCKETS_NAMED: usize = 8;

/// What was found in a version, for those that are compared with it.
#[derive(Clone)]
pub struct Seen {
    table: Root,
    histogram: Root,
    /// `None` if the histogram could not be read, or is not worth comparing with.
    counts: Option<Counts>,
}

/// How a version's table and histogram count.
#[derive(Clone, Default)]
pub struct Counts {
    pub blocks: i128,
    /// By birth: what the histogram has beyond the table. Empty if it is right.
    beyond: BTreeMap<u64, i128>,
}

impl Counts {
    pub fn add(&mut self, birth: u64, blocks: i128) {
        let bucket = self.beyond.entry(birth).or_default();
        *bucket = bucket.wrapping_add(blocks);
        if *bucket == 0 {
            self.beyond.remove(&birth);
        }
    }
}

/// Judges what every version holds.
pub fn judge(walk: &mut Walk<'_>, history: &History<'_>) {
    let mut seen: Vec<Option<Seen>> = vec![None; history.versions.len()];
    // For a deleted version: one below it that was walked, to compare its other descendants with.
    let mut relative: Vec<Option<Index>> = vec![None; history.versions.len()];
    let mut steps: Vec<Step> = Vec::new();
    for &index in &history.order {
        let version = &history.versions[index];
        steps.truncate(version.depth);
        steps.push(Step { version: version.id, end: version.end });
        let bookmarks = match version.record.state {
            // A deleted version's changes are not asked for.
            VersionState::Condemned => &[],
            VersionState::Head | VersionState::Snapshot => history.bookmarks_of(version.record.drive.0),
        };
        let reference = match version.above {
            Some(above) => seen[above].clone(),
            None => nearest_relative(history, &relative, version).and_then(|relative| seen[relative].clone()),
        };
        let above = version.above.map(|above| history.versions[above].end);
        let image = Image { version, lineage: Lineage { steps: &steps, bookmarks }, above, reference };
        seen[index] = image.judge(walk);
        // What is left of a deleted version says little of what its descendants share.
        if seen[index].is_some() && version.record.state != VersionState::Condemned {
            let mut at = Some(index);
            while let Some(held) = at.filter(|held| relative[*held].is_none()) {
                relative[held] = Some(index);
                at = history.versions[held].parent;
            }
        }
    }
}

fn nearest_relative(history: &History<'_>, relative: &[Option<Index>], version: &Version<'_>) -> Option<Index> {
    let mut at = version.parent;
    while let Some(above) = at {
        if relative[above].is_some() {
            return relative[above];
        }
        at = history.versions[above].parent;
    }
    None
}

/// A version that is being judged.
pub struct Image<'a> {
    pub version: &'a Version<'a>,
    pub lineage: Lineage<'a>,
    /// The epoch of the nearest snapshot above it.
    pub above: Option<u64>,
    /// What it is compared with; nothing if that is damaged or does not exist.
    pub reference: Option<Seen>,
}

impl<'a> Image<'a> {
    fn tree(&self, role: Role) -> Tree<'a> {
        Tree { role, holder: &self.version.name, lineage: Some(self.lineage) }
    }

    fn judge(&self, walk: &mut Walk<'_>) -> Option<Seen> {
        let record = self.version.record;
        let (table_tree, histogram_tree) = (self.tree(Role::Table), self.tree(Role::Histogram));
        let (table, histogram) = (Root::from(record.table), Root::from(record.histogram));
        let summary = walk.tree(&table_tree, table, &mut |page, place, findings, space| {
            judge_extents(page, &table_tree, place, findings, space)
        });
        let histogram_summary = walk.tree(&histogram_tree, histogram, &mut |page, place, findings, _| {
            judge_buckets(page, &histogram_tree, place, findings);
            Summary::default()
        });
        let summary = summary.ok()?.unwrap_or_default();
        let image_end = LogicalBlock::at_or_after(record.size_bytes).0;
        if summary.data_end > image_end && !record.trimming {
            let detail = format_args!("it maps up to block {}, but its image ends at block {image_end}", summary.data_end);
            walk.findings.add(ProblemKind::ExtentOutOfRange, format_args!("table of {}", self.version.name), detail);
        }
        let counts = self.compare(walk, table, histogram_summary.is_ok().then_some(histogram)).ok()?;
        if let Some(counts) = &counts {
            self.judge_counts(counts, &mut walk.findings);
        }
        Some(Seen { table, histogram, counts: counts.filter(|counts| counts.beyond.len() <= WRONG_BUCKETS_MAX) })
    }

    /// Compares the version with its reference; `histogram` is `None` if it is damaged. Fails only if a page that was read before
    /// cannot be read again.
    fn compare(&self, walk: &mut Walk<'_>, table: Root, histogram: Option<Root>) -> Result<Option<Counts>, Unsound> {
        let reference = self.reference.as_ref();
        let mut holdings = Holdings::new(self);
        compare(walk, &self.tree(Role::Table), reference.map_or(Root::EMPTY, |seen| seen.table), table, &mut holdings)?;
        let mut changes = holdings.changes;
        let Some(histogram) = histogram else { return Ok(None) };
        let mut buckets = Buckets { image: self, changes: Counts::default() };
        let other = reference.map_or(Root::EMPTY, |seen| seen.histogram);
        compare(walk, &self.tree(Role::Histogram), other, histogram, &mut buckets)?;
        let base = match reference {
            None => Counts::default(),
            Some(Seen { counts: Some(counts), .. }) => counts.clone(),
            Some(Seen { counts: None, .. }) => {
                // The reference cannot vouch for what both share.
                let mut recount = Recount::default();
                compare(walk, &self.tree(Role::Table), Root::EMPTY, table, &mut recount)?;
                recount.in_histogram = true;
                compare(walk, &self.tree(Role::Histogram), Root::EMPTY, histogram, &mut recount)?;
                return Ok(Some(recount.counts));
            }
        };
        changes.blocks += base.blocks;
        for (birth, blocks) in base.beyond.into_iter().chain(buckets.changes.beyond) {
            changes.add(birth, blocks);
        }
        Ok(Some(changes))
    }

    fn judge_counts(&self, counts: &Counts, findings: &mut Findings) {
        let record = self.version.record;
        // The sizes of what is being deleted are asked by nobody, and not kept.
        if record.state == VersionState::Condemned {
            return;
        }
        if counts.blocks != i128::from(record.referenced_blocks) {
            let detail = format_args!("it says {} referenced blocks, its table maps {}", record.referenced_blocks, counts.blocks);
            findings.add(ProblemKind::WrongSize, &self.version.name, detail);
        }
        if !counts.beyond.is_empty() {
            let named: Vec<String> =
                counts.beyond.iter().take(WRONG_BUCKETS_NAMED).map(|(birth, n)| format!("{birth}: {n:+}")).collect();
            let detail = format_args!("{} buckets are wrong (birth: blocks too many): {}", counts.beyond.len(), named.join(", "));
            findings.add(ProblemKind::WrongHistogram, format_args!("histogram of {}", self.version.name), detail);
        }
    }

    /// A page that the reference does not hold must be younger than the snapshot above.
    pub fn judge_own_page(&self, walk: &mut Walk<'_>, role: Role, side: Side, pointer: PagePointer) {
        if side == Side::Own && self.inherits(pointer.birth.0) && self.reference.is_some() {
            let detail = format_args!("born in epoch {}, it is not held by the snapshot above", pointer.birth);
            let place = format_args!("{role} of {}, page {}", self.version.name, pointer.page);
            walk.findings.add(ProblemKind::NotInherited, place, detail);
        }
    }

    pub fn inherits(&self, birth: u64) -> bool {
        self.above.is_some_and(|epoch| birth <= epoch)
    }
}

/// How the version's histogram differs from the reference's.
struct Buckets<'i> {
    image: &'i Image<'i>,
    changes: Counts,
}

impl Difference for Buckets<'_> {
    fn page(&mut self, walk: &mut Walk<'_>, side: Side, pointer: PagePointer, leaf: Option<&Page>) {
        self.image.judge_own_page(walk, Role::Histogram, side, pointer);
        for (birth, blocks) in leaf.into_iter().flat_map(buckets) {
            self.changes.add(birth, if side == Side::Own { i128::from(blocks) } else { -i128::from(blocks) });
        }
    }

    fn shown_below(&mut self, _: &mut Walk<'_>, _: u64, _: u64) {}
}

/// Counts a whole table or histogram.
#[derive(Default)]
struct Recount {
    counts: Counts,
    in_histogram: bool,
}

impl Difference for Recount {
    fn page(&mut self, _: &mut Walk<'_>, _: Side, _: PagePointer, leaf: Option<&Page>) {
        let Some(leaf) = leaf else { return };
        if self.in_histogram {
            buckets(leaf).for_each(|(birth, blocks)| self.counts.add(birth, i128::from(blocks)));
        } else {
            for extent in extents(leaf).filter(|extent| extent.physical.is_some()) {
                self.counts.blocks += i128::from(extent.blocks);
                self.counts.add(extent.birth.0, -i128::from(extent.blocks));
            }
        }
    }

    fn shown_below(&mut self, _: &mut Walk<'_>, _: u64, _: u64) {}
}
