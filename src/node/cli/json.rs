//! What do programs read about stores, drives, snapshots and bookmarks?
//!
//! Drives and snapshots are written as [`plain`](crate::node::service::plain) has them, all else in the same way.

use crate::node::failure::{Candidate, Failure};
use crate::node::service::objects::{BookmarkView, StoreView};
use crate::{ChangeKind, CheckReport, ScrubReport};
use serde_json::{Value, json};
use std::path::Path;

pub(super) use crate::node::service::plain::{drive, snapshot};

pub(super) fn store(path: &Path, view: &StoreView) -> Value {
    let StoreView { info, usage } = view;
    json!({
        "uuid": info.uuid.to_string(),
        "path": path.to_string_lossy(),
        "capacity": usage.capacity_bytes,
        "data_size": usage.data_bytes,
        "metadata_size": usage.metadata_bytes,
        "free_size": usage.free_bytes,
        "reclaiming": usage.reclaiming,
        "drives": info.drives,
        "snapshots": info.snapshots,
        "bookmarks": info.bookmarks,
        "notes": info.notes,
        "format_version": info.format_version,
        "generation": info.generation,
        "epoch": info.epoch,
        "was_clean": info.was_clean,
        "unsettled": info.unsettled,
    })
}

pub(super) fn bookmark(view: &BookmarkView) -> Value {
    json!({
        "uuid": view.uuid.to_string(),
        "name": view.name,
        "drive": view.drive.to_string(),
        "size": view.size_bytes,
        "allocated_size": view.allocated_bytes,
        "referenced_size": view.referenced_bytes,
    })
}

pub(super) fn check(report: &CheckReport) -> Value {
    let problem =
        |problem: &crate::Problem| json!({"name": problem.kind.name(), "place": problem.place, "detail": problem.detail});
    json!({
        "clean": report.is_clean(),
        "problems": report.problems.iter().map(problem).collect::<Vec<_>>(),
        "problems_total": report.problems_total,
        "tree_pages": report.tree_pages,
        "data_blocks": report.data_blocks,
        "extents": report.extents,
        "drives": report.drives,
        "snapshots": report.snapshots,
        "bookmarks": report.bookmarks,
        "notes": report.notes,
        "condemned": report.condemned,
    })
}

/// What a scrub found.
pub(super) fn scrub(report: &ScrubReport) -> Value {
    let holder = |holder: &crate::Holder| {
        let kind = if holder.is_snapshot { "snapshot" } else { "drive" };
        json!({"kind": kind, "uuid": holder.uuid.to_string(), "name": holder.name})
    };
    let damage = |damage: &crate::RottenBlock| {
        let holders: Vec<_> = damage.holders.iter().map(holder).collect();
        json!({"block": damage.block, "offset": damage.offset, "holders": holders})
    };
    json!({
        "clean": report.is_clean(),
        "finished": report.finished,
        "compared_size": report.bytes,
        "accepted": report.accepted,
        "rotten": report.rotten.iter().map(damage).collect::<Vec<_>>(),
        "rotten_total": report.rotten_total,
    })
}

pub(super) fn change(change: &crate::Change) -> Value {
    json!({"offset": change.range.start, "length": change.range.end - change.range.start, "kind": change_kind(change.kind)})
}

/// The word for a kind of change, here and in tables.
pub(super) fn change_kind(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Data => "data",
        ChangeKind::Hole => "hole",
    }
}

pub(super) fn failure(failure: &Failure) -> Value {
    let mut error = json!({"kind": failure.kind().name(), "message": failure.to_string()});
    if let Some(advice) = failure.kind().advice() {
        error["advice"] = advice.into();
    }
    if !failure.candidates().is_empty() {
        error["candidates"] = failure.candidates().iter().map(candidate).collect();
    }
    json!({ "error": error })
}

fn candidate(candidate: &Candidate) -> Value {
    json!({
        "kind": candidate.kind,
        "uuid": candidate.uuid.to_string(),
        "name": candidate.name,
        "drive": candidate.drive.map(|uuid| uuid.to_string()),
    })
}
