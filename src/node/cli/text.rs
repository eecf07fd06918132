//! What do people read about stores, drives, snapshots and bookmarks?

use super::size::{exact, rounded};
use super::table::{Align, aligned, fields};
use crate::node::failure::Candidate;
use crate::node::service::objects::{BookmarkView, DriveView, SnapshotView, StoreView};
use crate::node::timestamp::Timestamp;
use crate::{CheckReport, ScrubReport};
use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;
use uuid::Uuid;

/// The names of the drives that live; tables show them in place of uuids.
pub(super) type DriveNames = HashMap<Uuid, String>;

pub(super) fn store(path: &Path, view: &StoreView) -> String {
    let StoreView { info, usage } = view;
    let mut rows = vec![
        ("store", path.display().to_string()),
        ("uuid", info.uuid.to_string()),
        ("capacity", exact(usage.capacity_bytes)),
        ("data", exact(usage.data_bytes)),
        ("metadata", exact(usage.metadata_bytes)),
        ("free", exact(usage.free_bytes)),
        ("drives", info.drives.to_string()),
        ("snapshots", info.snapshots.to_string()),
        ("bookmarks", info.bookmarks.to_string()),
        ("notes", info.notes.to_string()),
        ("format version", info.format_version.to_string()),
        ("generation", info.generation.to_string()),
        ("epoch", info.epoch.to_string()),
        ("closed cleanly", if info.was_clean { "yes" } else { "no; recovered to the last commit" }.to_owned()),
    ];
    if info.unsettled {
        rows.push(("to scrub", "blocks that were being written when it was cut off: floe scrub".into()));
    }
    if usage.reclaiming > 0 {
        rows.push(("to reclaim", format!("{} deleted drives or snapshots: floe store reclaim", usage.reclaiming)));
    }
    fields(&rows)
}

pub(super) fn drives(views: &[DriveView]) -> String {
    let rows: Vec<_> = views
        .iter()
        .map(|view| {
            let name = if view.importing { format!("{} (import unfinished)", view.name) } else { view.name.clone() };
            [
                name,
                view.uuid.to_string(),
                rounded(view.size_bytes),
                rounded(view.referenced_bytes),
                view.snapshots.len().to_string(),
                rounded(view.snapshots_allocated_bytes),
                seconds(view.timestamp),
            ]
        })
        .collect();
    let heads = [
        ("NAME", Align::Left),
        ("UUID", Align::Left),
        ("SIZE", Align::Right),
        ("REFERENCED", Align::Right),
        ("SNAPSHOTS", Align::Right),
        ("THEIR ALLOCATED", Align::Right),
        ("CREATED (UTC)", Align::Left),
    ];
    aligned(heads, &rows)
}

pub(super) fn drive(view: &DriveView) -> String {
    let mut rows = vec![
        ("name", view.name.clone()),
        ("uuid", view.uuid.to_string()),
        ("size", exact(view.size_bytes)),
        ("referenced", exact(view.referenced_bytes)),
        ("snapshots", view.snapshots.len().to_string()),
        ("snapshots allocated", exact(view.snapshots_allocated_bytes)),
        ("snapshots charged", exact(view.snapshots_charged_bytes)),
        ("bookmarks", view.bookmarks.to_string()),
        ("created", full(view.timestamp)),
    ];
    if view.importing {
        rows.push(("import", "unfinished: import again with --overwrite, or delete the drive".into()));
    }
    if view.allow_multimount {
        rows.push(("multimount", "several clients may write it at the same time".into()));
    }
    fields(&rows)
}

pub(super) fn snapshots(views: &[SnapshotView], names: &DriveNames) -> String {
    let rows: Vec<_> = views
        .iter()
        .map(|view| {
            [
                view.name.clone(),
                view.uuid.to_string(),
                drive_name(view.drive, names),
                rounded(view.size_bytes),
                rounded(view.allocated_bytes),
                rounded(view.charged_bytes),
                rounded(view.exclusive_bytes),
                rounded(view.referenced_bytes),
                seconds(view.timestamp),
            ]
        })
        .collect();
    let heads = [
        ("NAME", Align::Left),
        ("UUID", Align::Left),
        ("DRIVE", Align::Left),
        ("SIZE", Align::Right),
        ("ALLOCATED", Align::Right),
        ("CHARGED", Align::Right),
        ("EXCLUSIVE", Align::Right),
        ("REFERENCED", Align::Right),
        ("CREATED (UTC)", Align::Left),
    ];
    aligned(heads, &rows)
}

pub(super) fn snapshot(view: &SnapshotView, names: &DriveNames) -> String {
    fields(&[
        ("name", view.name.clone()),
        ("uuid", view.uuid.to_string()),
        (
            "drive",
            names.get(&view.drive).map_or_else(|| format!("{} (deleted)", view.drive), |name| format!("{} ({name})", view.drive)),
        ),
        ("created", full(view.timestamp)),
        ("size", exact(view.size_bytes)),
        ("allocated", format!("{}: not in its drive's image now", exact(view.allocated_bytes))),
        ("charged", format!("{}: held by nothing younger of its drive", exact(view.charged_bytes))),
        ("exclusive", format!("{}: comes back if it is deleted now", exact(view.exclusive_bytes))),
        ("referenced", exact(view.referenced_bytes)),
    ])
}

pub(super) fn bookmarks(views: &[BookmarkView], names: &DriveNames) -> String {
    let rows: Vec<_> = views
        .iter()
        .map(|view| {
            [
                view.name.clone(),
                view.uuid.to_string(),
                drive_name(view.drive, names),
                rounded(view.size_bytes),
                rounded(view.allocated_bytes),
                rounded(view.referenced_bytes),
            ]
        })
        .collect();
    let heads = [
        ("NAME", Align::Left),
        ("UUID", Align::Left),
        ("DRIVE", Align::Left),
        ("SIZE", Align::Right),
        ("ALLOCATED", Align::Right),
        ("REFERENCED", Align::Right),
    ];
    aligned(heads, &rows)
}

pub(super) fn check(report: &CheckReport) -> String {
    let mut text = fields(&[
        ("drives", report.drives.to_string()),
        ("snapshots", report.snapshots.to_string()),
        ("bookmarks", report.bookmarks.to_string()),
        ("notes", report.notes.to_string()),
        ("to reclaim", report.condemned.to_string()),
        ("extents", report.extents.to_string()),
        ("tree pages", report.tree_pages.to_string()),
        ("data blocks", report.data_blocks.to_string()),
    ]);
    if report.is_clean() {
        text += "clean\n";
        return text;
    }
    for problem in &report.problems {
        writeln!(text, "{}: {}: {}", problem.kind.name(), problem.place, problem.detail).expect("a String takes everything");
    }
    let unlisted = report.problems_total.saturating_sub(report.problems.len() as u64);
    if unlisted > 0 {
        writeln!(text, "and {unlisted} more").expect("a String takes everything");
    }
    writeln!(text, "{} problems", report.problems_total).expect("a String takes everything");
    text
}

/// What a scrub found.
pub(super) fn scrub(report: &ScrubReport) -> String {
    let mut text = fields(&[("compared", exact(report.bytes)), ("accepted", format!("{} blocks", report.accepted))]);
    for damage in &report.rotten {
        writeln!(text, "{damage}").expect("a String takes everything");
    }
    let unlisted = report.rotten_total.saturating_sub(report.rotten.len() as u64);
    if unlisted > 0 {
        writeln!(text, "and {unlisted} more").expect("a String takes everything");
    }
    let verdict = match (report.is_clean(), report.finished) {
        (false, _) => format!("{} blocks are not what was written there", report.rotten_total),
        (true, true) => "clean".to_owned(),
        (true, false) => "clean so far".to_owned(),
    };
    text + &verdict + "\n"
}

/// The things that a name fits, one to a line.
pub(super) fn candidates(candidates: &[Candidate]) -> String {
    let rows: Vec<_> = candidates
        .iter()
        .map(|candidate| {
            let drive = candidate.drive.map_or_else(String::new, |uuid| format!("of drive {uuid}"));
            [format!("  {}", candidate.kind), candidate.uuid.to_string(), format!("{:?}", candidate.name), drive]
        })
        .collect();
    let listed = aligned([("", Align::Left); 4], &rows);
    // The heads are empty: their line says nothing.
    listed.split_once('\n').map_or(String::new(), |(_, rows)| rows.to_owned())
}

pub(super) fn drive_name(drive: Uuid, names: &DriveNames) -> String {
    names.get(&drive).cloned().unwrap_or_else(|| format!("(deleted) {drive}"))
}

fn seconds(timestamp: Option<Timestamp>) -> String {
    timestamp.map_or_else(|| "-".into(), Timestamp::to_seconds)
}

fn full(timestamp: Option<Timestamp>) -> String {
    timestamp.map_or_else(|| "unknown".into(), |instant| instant.to_string())
}
