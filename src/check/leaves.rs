//! Does a leaf of a table or histogram hold what it may?

use super::report::{Findings, ProblemKind};
use super::space::Space;
use super::tree::{Summary, Tree};
use super::walk::judge_neighbours;
use crate::format::entry::{self, ENTRIES_PER_PAGE, Extent};
use crate::format::page::{self, Page};

/// Logical blocks lie below this.
const LOGICAL_END: u64 = 1 << 51;
/// The extents of a leaf, but for those that no drive could have.
pub fn extents(leaf: &Page) -> impl Iterator<Item = Extent> {
    entries(leaf)
        .filter(|(key, _)| *key < LOGICAL_END)
        .map(|(key, value)| Extent::decode(key, &value))
        .filter(|extent| extent.blocks > 0)
}

pub fn buckets(leaf: &Page) -> impl Iterator<Item = (u64, u64)> {
    entries(leaf).map(|(key, value)| (key, entry::decode_bucket(&value)))
}

fn entries(leaf: &Page) -> impl Iterator<Item = (u64, entry::Value)> {
    (0..page::count(leaf).min(ENTRIES_PER_PAGE)).map(|index| (entry::key(leaf, index), entry::value(leaf, index)))
}

pub fn judge_extents(leaf: &Page, tree: &Tree<'_>, place: &str, findings: &mut Findings, space: &Space) -> Summary {
    let mut summary = Summary::default();
    for (key, value) in entries(leaf) {
        findings.report.extents += 1;
        let blocks = Extent::decode(key, &value).blocks;
        if blocks == 0 || key >= LOGICAL_END || key + u64::from(blocks) > LOGICAL_END {
            findings.add(ProblemKind::ExtentOutOfRange, place, format_args!("{blocks} blocks from block {key}"));
        }
    }
    for extent in extents(leaf) {
        let place = format_args!("{place}, extent at block {}", extent.logical);
        if let Err(detail) = tree.judge_birth(page::birth(leaf).0, extent.birth.0) {
            findings.add(ProblemKind::BirthOutOfInterval, place, detail);
        }
        if let Err((kind, detail)) = space.judge_data(&extent) {
            findings.add(kind, place, detail);
        }
        if let Some(last) = &summary.last {
            judge_neighbours(last, &extent, place, findings);
        }
        summary.data_end = extent.physical.map_or(summary.data_end, |_| summary.data_end.max(extent.end().0));
        summary.first = summary.first.or(Some(extent));
        summary.last = Some(extent);
    }
    summary
}

pub fn judge_buckets(leaf: &Page, tree: &Tree<'_>, place: &str, findings: &mut Findings) {
    for (birth, value) in entries(leaf) {
        let blocks = entry::decode_bucket(&value);
        if blocks == 0 || entry::encode_bucket(blocks) != value {
            findings.add(ProblemKind::WrongHistogram, place, format_args!("its bucket of birth {birth} is empty or malformed"));
        }
        if let Err(detail) = tree.judge_birth(page::birth(leaf).0, birth) {
            findings.add(ProblemKind::BirthOutOfInterval, place, format_args!("its bucket {birth}: {detail}"));
        }
    }
}
