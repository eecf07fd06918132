//! Is everything in a store as it must be?
//!
//! A second reader of the format, which shares nothing with the code that writes it but the layout of bytes in `format`:
//! what both believe is probably true. It walks one committed state and names every rule of `docs/format.md` that is broken.
//!
//! 1. [`walk`], [`tree`], [`leaves`]: every distinct tree page is read once, and is what its pointers and its place in the tree promise.
//! 2. [`catalog`], [`history`]: records make sense, alone and together.
//! 3. [`images`], [`compare`], [`holdings`], [`lineage`]: a version holds exactly what it wrote and what it inherits, and its histogram counts it.
//! 4. [`space`], [`groups`]: what is reached is what the bitmaps and counters say (A7).
//!
//! Data blocks are not read: that their content is right is for `scrub` to say.
//!
//! # Cost
//! Time: each distinct tree page is read two or three times, and each page of each used group's header once. Versions that share
//! pages are compared only in the pages that they do not share. Memory: about 250 bytes per distinct tree page, 4 KiB per group in
//! use (a bit per block), the records of the catalog, and 40 bytes per extent that several versions hold on behalf of a deleted one;
//! nothing per extent otherwise.

mod catalog;
mod compare;
mod groups;
mod history;
mod holdings;
mod images;
mod leaves;
mod lineage;
mod report;
mod space;
#[cfg(test)]
mod tests;
mod tree;
mod walk;

pub use report::{CheckProgress, CheckReport, Problem, ProblemKind};

use std::collections::BTreeMap;

use crate::device::Device;
use crate::format::entry;
use crate::format::group::GroupRecord;
use crate::format::page;
use crate::format::superblock::Superblock;
use history::History;
use report::Findings;
use space::Space;
use tree::{Role, Summary, Tree};
use walk::Walk;

/// Walks the state that `superblock` names and reports every broken rule.
///
/// Nothing that the state reaches may be reused while this runs; writers that work for later commits do not disturb it. Damage
/// of any kind, and errors of the device, are reported; nothing fails or panics.
pub(crate) fn check(device: &dyn Device, superblock: &Superblock, progress: &mut dyn FnMut(CheckProgress)) -> CheckReport {
    let mut walk = Walk::new(device, superblock, progress);
    read_groups(&mut walk);
    let catalog = catalog::read(&mut walk);
    let history = History::judge(&catalog, superblock, &mut walk.findings);
    images::judge(&mut walk, &history);
    let Walk { space, findings, .. } = &mut walk;
    space.settle(findings);
    groups::judge(&mut walk);
    let mut report = walk.findings.report;
    report.drives = catalog.drives.len() as u64;
    report.snapshots = catalog.snapshots.len() as u64;
    report.bookmarks = catalog.bookmarks.len() as u64;
    report.notes = catalog.notes.len() as u64;
    report.condemned = history.condemned();
    report
}

/// Reads the group tree: which blocks can hold what must be known before any of them is judged.
fn read_groups(walk: &mut Walk<'_>) {
    let tree = Tree { role: Role::Groups, holder: "the store", lineage: None };
    let mut groups = BTreeMap::new();
    let read = walk.tree(&tree, walk.superblock.groups, &mut |leaf, place, findings, space| {
        for index in 0..page::count(leaf) {
            let number = entry::key(leaf, index);
            if let Some(record) = judge_group_record(number, &entry::value(leaf, index), place, findings, space) {
                groups.insert(number, record);
            }
        }
        Summary::default()
    });
    walk.know_groups(groups, read.is_ok());
}

fn judge_group_record(group: u64, value: &[u8; 16], place: &str, findings: &mut Findings, space: &Space) -> Option<GroupRecord> {
    if group >= space.group_count() {
        let detail = format_args!("group {group}, the store has {}", space.group_count());
        findings.lost(ProblemKind::BadGroup, place, detail);
        return None;
    }
    match GroupRecord::decode(value) {
        Ok(record) => Some(record),
        Err(detail) => {
            findings.lost(ProblemKind::BadGroup, place, format_args!("group {group}: {detail}"));
            None
        }
    }
}
