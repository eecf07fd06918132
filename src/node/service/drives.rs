//! What can be done with drives?

use crate::node::attributes::Attributes;
use crate::node::failure::{Failure, FailureKind};
use crate::node::service::objects::{DriveView, SnapshotView, present, take_pins, views};
use crate::node::timestamp::Timestamp;
use crate::{Drive, DriveOptions, Store};
use uuid::Uuid;

/// What the deletion of a drive took and left.
#[derive(Clone, Debug)]
pub struct DeletedDrive {
    /// The drive as it was.
    pub drive: DriveView,
    /// The snapshots deleted with it, as they were.
    pub snapshots: Vec<SnapshotView>,
    /// The snapshots that stay, newest first.
    pub remaining: Vec<Uuid>,
}

/// All drives, in order of creation.
///
/// # Errors
/// `Io` and `Corrupt` from reading sizes.
pub fn list(store: &Store) -> Result<Vec<DriveView>, Failure> {
    Ok(views(store.drives(), DriveView::of)?)
}

/// The uuids of the drives named `name`.
///
/// # Errors
/// `Closed` and the like.
pub fn named(store: &Store, name: &str) -> Result<Vec<Uuid>, Failure> {
    let mut found = Vec::new();
    for drive in store.drives() {
        if present(drive.name())?.as_deref() == Some(name) {
            found.push(drive.uuid());
        }
    }
    Ok(found)
}

/// A new, empty drive.
///
/// # Errors
/// `InvalidArgument` for a size or name that cannot be, `NoSpace`, `Io`.
pub fn create(store: &Store, name: &str, size_bytes: u64) -> Result<DriveView, Failure> {
    let attributes = Attributes::made_at(Timestamp::now()).to_bytes();
    let drive = store.create_drive(DriveOptions::new(size_bytes).name(name).attributes(attributes))?;
    Ok(DriveView::of(&drive)?)
}

/// Gives the drive a size. `shrink` says that what lies beyond a smaller size may be lost.
///
/// # Errors
/// `InvalidArgument` for a size that cannot be, or a smaller one without `shrink`.
pub fn resize(drive: &Drive, size_bytes: u64, shrink: bool) -> Result<DriveView, Failure> {
    let now = drive.size_bytes()?;
    if size_bytes < now && !shrink {
        let message = format!(
            "drive {:?} has {now} bytes: {size_bytes} would cut off the rest, which only its snapshots keep",
            drive.name()?
        );
        return Err(Failure::new(FailureKind::InvalidArgument, message));
    }
    drive.resize(size_bytes)?;
    Ok(DriveView::of(drive)?)
}

/// Gives the drive a name.
///
/// # Errors
/// `InvalidArgument` for a name that cannot be.
pub fn rename(drive: &Drive, name: &str) -> Result<DriveView, Failure> {
    drive.rename(name)?;
    Ok(DriveView::of(drive)?)
}

/// Allows, or forbids, several NBD clients to write the drive at the same time.
///
/// # Errors
/// `NoSpace`, `Io`.
pub fn allow_multimount(drive: &Drive, allow: bool) -> Result<DriveView, Failure> {
    let mut attributes = Attributes::read(&drive.attributes()?);
    attributes.set_allow_multimount(allow);
    drive.set_attributes(&attributes.to_bytes())?;
    Ok(DriveView::of(drive)?)
}

/// Deletes the drive, and its snapshots too if so told. Its space comes back by [`reclaim`](super::reclaim::to_end).
///
/// # Errors
/// `Io`; what was deleted before that stays deleted.
pub fn delete(drive: Drive, with_snapshots: bool) -> Result<DeletedDrive, Failure> {
    let view = DriveView::of(&drive)?;
    let mut snapshots = Vec::new();
    if with_snapshots {
        let mut handles = drive.snapshots()?;
        take_pins(&mut handles)?;
        // All sizes are read before the first deletion: each deletion changes those of its neighbours.
        snapshots = views(handles.iter(), |snapshot| SnapshotView::of(snapshot))?;
        for snapshot in handles {
            present(snapshot.delete())?;
        }
    }
    drive.delete()?;
    let remaining = if with_snapshots { Vec::new() } else { view.snapshots.clone() };
    Ok(DeletedDrive { drive: view, snapshots, remaining })
}
