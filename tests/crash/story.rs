//! How is a run told, so that a person sees what happened?

use std::ops::Range;

use floe::Uuid;

use crate::model::{BLOCK, Model};
use crate::operation::{Member, Operation};
use crate::runner::{Point, Step};

/// Of a long run only so many operations before the end are told.
const TOLD_MAX: usize = 60;

pub fn in_words(step: &Step, model: &Model) -> String {
    match step {
        Step::Do(operation) => words(operation, model),
        Step::Meanwhile { outer, inner, syncs_before } => {
            let inner: Vec<String> = inner.iter().map(|operation| words(operation, model)).collect();
            format!("{}; in its sync {syncs_before}: {}", words(outer, model), inner.join(", "))
        }
        Step::Reopen => "close and open".to_owned(),
        Step::Hold { snapshot } => format!("hold {}", snapshot_name(model, *snapshot)),
        Step::LetGo => "let go of the oldest held handle".to_owned(),
    }
}

fn words(operation: &Operation, model: &Model) -> String {
    let drive = |uuid: &Uuid| drive_name(model, *uuid);
    let snapshot = |uuid: &Uuid| snapshot_name(model, *uuid);
    match operation {
        Operation::CreateDrive { name, size, attributes, .. } => {
            format!("create drive {name} of {}, {} bytes of attributes", place(*size), attributes.len())
        }
        Operation::Write { drive: uuid, offset, bytes } => {
            let range = *offset..offset + bytes.len() as u64;
            format!("write {} to {} of {}", content(bytes), places(&range), drive(uuid))
        }
        Operation::WriteZeroes { drive: uuid, range } => format!("zero {} of {}", places(range), drive(uuid)),
        Operation::Discard { drive: uuid, range } => format!("discard {} of {}", places(range), drive(uuid)),
        Operation::Resize { drive: uuid, size } => format!("resize {} to {}", drive(uuid), place(*size)),
        Operation::RenameDrive { drive: uuid, name } => format!("rename {} to {name}", drive(uuid)),
        Operation::DriveAttributes { drive: uuid, bytes } => format!("{} bytes of attributes to {}", bytes.len(), drive(uuid)),
        Operation::DescribeDrive { drive: uuid, name, bytes } => {
            format!("name {name} and {} bytes of attributes to {}", bytes.len(), drive(uuid))
        }
        Operation::Revert { drive: uuid, snapshot: to } => format!("revert {} to {}", drive(uuid), snapshot(to)),
        Operation::DeleteDrive { drive: uuid } => format!("delete drive {}", drive(uuid)),
        Operation::Bookmark { drive: uuid, name } => format!("bookmark {} as {name}", drive(uuid)),
        Operation::DeleteBookmark { drive: uuid, bookmark } => {
            let bookmarks = model.drives.iter().flat_map(|drive| &drive.bookmarks);
            let name = bookmarks.into_iter().find(|found| found.uuid == *bookmark).map_or("?", |found| &found.name);
            format!("delete bookmark {name} of {}", drive(uuid))
        }
        Operation::Snapshot { members } => {
            let each = |member: &Member| {
                let left = member.bookmark.as_ref().map_or(String::new(), |(_, name)| format!(" leaving {name}"));
                format!("{} as {}{left}", drive(&member.drive), member.name)
            };
            format!("snapshot {}", members.iter().map(each).collect::<Vec<_>>().join(" and "))
        }
        Operation::Clone { snapshot: uuid, name, size, .. } => {
            format!("clone {} as {name}{}", snapshot(uuid), size.map_or(String::new(), |size| format!(" of {}", place(size))))
        }
        Operation::RenameSnapshot { snapshot: uuid, name } => format!("rename {} to {name}", snapshot(uuid)),
        Operation::SnapshotAttributes { snapshot: uuid, bytes } => {
            format!("{} bytes of attributes to {}", bytes.len(), snapshot(uuid))
        }
        Operation::DescribeSnapshot { snapshot: uuid, name, bytes } => {
            format!("name {name} and {} bytes of attributes to {}", bytes.len(), snapshot(uuid))
        }
        Operation::DeleteSnapshot { snapshot: uuid } => format!("delete snapshot {}", snapshot(uuid)),
        Operation::SetNote { note, bytes } => format!("{} bytes of {} to note {note}", bytes.len(), content(bytes)),
        Operation::DeleteNote { note } => format!("delete note {note}"),
        Operation::Flush => "flush".to_owned(),
        Operation::Reclaim { budget } => format!("reclaim {budget}"),
        Operation::Check => "check".to_owned(),
        Operation::Grow { capacity } => format!("grow to {} blocks", capacity / BLOCK),
    }
}

fn drive_name(model: &Model, uuid: Uuid) -> String {
    model.drive_at(uuid).map_or_else(|| uuid.to_string(), |drive| drive.name.clone())
}

fn snapshot_name(model: &Model, uuid: Uuid) -> String {
    let snapshot = model.snapshots.iter().find(|snapshot| snapshot.uuid == uuid);
    snapshot.map_or_else(|| uuid.to_string(), |snapshot| snapshot.name.clone())
}

/// Block and byte within it.
fn place(offset: u64) -> String {
    match offset % BLOCK {
        0 => (offset / BLOCK).to_string(),
        byte => format!("{}+{byte}", offset / BLOCK),
    }
}

fn places(range: &Range<u64>) -> String {
    format!("{}..{}", place(range.start), place(range.end))
}

fn content(bytes: &[u8]) -> String {
    match bytes.first() {
        Some(first) if bytes.iter().all(|byte| byte == first) => format!("{first}s"),
        _ => format!("{:?}..", &bytes[..bytes.len().min(4)]),
    }
}

/// The operations of a run up to a power cut at `position`, each with the events that it caused.
pub fn tell(points: &[Point], position: usize) -> String {
    let mut lines = Vec::new();
    let mut begun = 0;
    for point in points.iter().take_while(|point| point.operation == 0 || begun_by(points, point) <= position) {
        let mark = if point.acknowledged.is_none_or(|events| events > position) { "  <- in flight" } else { "" };
        let ended = point.acknowledged.map_or_else(|| "?".to_owned(), |events| events.to_string());
        lines.push(format!("  {:4}  {begun:5}..{ended:<5} {}{mark}", point.operation, point.words));
        begun = point.acknowledged.unwrap_or(begun);
    }
    let untold = lines.len().saturating_sub(TOLD_MAX);
    if untold > 0 {
        lines.splice(..untold, ["  ...".to_owned()]);
    }
    lines.join("\n")
}

/// How many events there were when the operation began.
fn begun_by(points: &[Point], point: &Point) -> usize {
    let before = points.iter().rev().find(|other| other.operation < point.operation);
    before.and_then(|other| other.acknowledged).unwrap_or_default()
}
