//! What do programs read about stores, drives, snapshots and bookmarks?
//!
//! Sizes are integers, in bytes; a drive is named by its uuid; an unknown timestamp is null. Fields are only ever added.

use crate::node::failure::{Candidate, Failure};
use crate::node::service::objects::{BookmarkView, DriveView, SnapshotView, StoreView};
use crate::node::timestamp::Timestamp;
use crate::{ChangeKind, CheckReport, ScrubReport};
use serde_json::{Value, json};
use std::path::Path;

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

pub(super) fn drive(view: &DriveView) -> Value {
    json!({
        "uuid": view.uuid.to_string(),
        "name": view.name,
        "size": view.size_bytes,
        "referenced_size": view.referenced_bytes,
        "snapshots": view.snapshots.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "snapshots_allocated_size": view.snapshots_allocated_bytes,
        "snapshots_charged_size": view.snapshots_charged_bytes,
        "bookmarks": view.bookmarks,
        "timestamp": timestamp(view.timestamp),
        "importing": view.importing,
        "allow_multimount": view.allow_multimount,
    })
}

pub(super) fn snapshot(view: &SnapshotView) -> Value {
    json!({
        "uuid": view.uuid.to_string(),
        "name": view.name,
        "drive": view.drive.to_string(),
        "timestamp": timestamp(view.timestamp),
        "size": view.size_bytes,
        "allocated_size": view.allocated_bytes,
        "charged_size": view.charged_bytes,
        "exclusive_size": view.exclusive_bytes,
        "referenced_size": view.referenced_bytes,
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

fn timestamp(timestamp: Option<Timestamp>) -> Value {
    timestamp.map_or(Value::Null, |instant| instant.to_string().into())
}
