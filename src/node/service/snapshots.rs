//! What can be done with snapshots?

use crate::node::attributes::Attributes;
use crate::node::failure::Failure;
use crate::node::service::objects::{DriveView, SnapshotView, take_pins, views};
use crate::node::service::select::Image;
use crate::node::timestamp::Timestamp;
use crate::{Changes, Drive, DriveOptions, Snapshot, SnapshotOptions, Store};
use uuid::Uuid;

/// All snapshots, or those of one drive, which may have been deleted; oldest first.
///
/// # Errors
/// `Io` and `Corrupt` from reading sizes.
pub fn list(store: &Store, drive: Option<Uuid>) -> Result<Vec<SnapshotView>, Failure> {
    let mut all = store.snapshots();
    all.retain(|snapshot| drive.is_none_or(|uuid| snapshot.drive_uuid() == uuid));
    take_pins(&mut all)?;
    Ok(views(all, SnapshotView::of)?)
}

/// A snapshot of the drive as it is now. Without a name it is called after the drive and the instant.
///
/// # Errors
/// `InvalidArgument` for a name that cannot be, `NoSpace`, `Io`.
pub fn create(drive: &Drive, name: Option<&str>) -> Result<SnapshotView, Failure> {
    let snapshot = drive.snapshot(options(drive.uuid(), name, Timestamp::now()))?;
    Ok(SnapshotView::of(&snapshot)?)
}

/// Snapshots of several drives at one instant, in the order of the drives, all of one name and timestamp.
///
/// # Errors
/// As for [`create`]; `InvalidArgument` for a drive named twice. Either all are made or none.
pub fn group(store: &Store, drives: &[Drive], name: Option<&str>) -> Result<Vec<SnapshotView>, Failure> {
    let now = Timestamp::now();
    let wanted: Vec<_> = drives.iter().map(|drive| (drive, options(drive.uuid(), name, now))).collect();
    let snapshots = store.snapshot_group(&wanted)?;
    Ok(views(snapshots, SnapshotView::of)?)
}

/// Gives the snapshot a name.
///
/// # Errors
/// `InvalidArgument` for a name that cannot be.
pub fn rename(snapshot: &Snapshot, name: &str) -> Result<SnapshotView, Failure> {
    snapshot.rename(name)?;
    Ok(SnapshotView::of(snapshot)?)
}

/// Deletes the snapshot, and returns what it was. Its space comes back by [`reclaim`](super::reclaim::to_end).
///
/// # Errors
/// `NotFound` if it was deleted meanwhile, `Io`.
pub fn delete(snapshot: Snapshot) -> Result<SnapshotView, Failure> {
    let view = SnapshotView::of(&snapshot)?;
    snapshot.delete()?;
    Ok(view)
}

/// A drive that begins with the snapshot's image.
///
/// # Errors
/// `InvalidArgument` for a name that cannot be, `NoSpace`, `Io`.
pub fn clone_drive(snapshot: &Snapshot, name: &str) -> Result<DriveView, Failure> {
    let attributes = Attributes::made_at(Timestamp::now()).to_bytes();
    let drive = snapshot.clone_drive(DriveOptions::named(name).attributes(attributes))?;
    Ok(DriveView::of(&drive)?)
}

/// Gives the drive the snapshot's image; the image it had is gone, unless a snapshot keeps it.
///
/// # Errors
/// `NotFound` if one of them was deleted meanwhile, `NoSpace`, `Io`.
pub fn revert(drive: &Drive, snapshot: &Snapshot) -> Result<DriveView, Failure> {
    drive.revert_to(snapshot)?;
    Ok(DriveView::of(drive)?)
}

/// What must change in the image of `older` to make it that of `newer`.
///
/// # Errors
/// `NotFound` if one of them was deleted meanwhile, `Corrupt`, `Io`.
pub fn diff(older: &Snapshot, newer: &Image) -> Result<Changes, Failure> {
    Ok(match newer {
        Image::Drive(drive) => older.diff_drive(drive)?,
        Image::Snapshot(snapshot) => older.diff(snapshot)?,
    })
}

fn options(drive: Uuid, name: Option<&str>, now: Timestamp) -> SnapshotOptions {
    let name = name.map_or_else(|| now.snapshot_name(drive), str::to_owned);
    SnapshotOptions::named(name).attributes(Attributes::made_at(now).to_bytes())
}
