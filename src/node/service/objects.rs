//! What does a node know about a store, a drive, a snapshot and a bookmark?
//!
//! Plain data, read in one go: nothing here holds a handle, so nothing here pins a block.

use crate::node::attributes::Attributes;
use crate::node::timestamp::Timestamp;
use crate::{Bookmark, Drive, Error, ErrorKind, Result, Snapshot, Store, StoreInfo, StoreUsage};
use uuid::Uuid;

/// A store as a whole.
#[derive(Clone, Debug)]
pub struct StoreView {
    /// Identity, format and counts.
    pub info: StoreInfo,
    /// What space is used for what.
    pub usage: StoreUsage,
}

/// A drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriveView {
    /// Identity.
    pub uuid: Uuid,
    /// Name; others may have the same.
    pub name: String,
    /// Size of the image.
    pub size_bytes: u64,
    /// Data that the image maps.
    pub referenced_bytes: u64,
    /// Its snapshots, newest first.
    pub snapshots: Vec<Uuid>,
    /// Sum of its snapshots' `allocated_size`.
    pub snapshots_allocated_bytes: u64,
    /// Sum of its snapshots' `charged_size`: what they hold beyond the image.
    pub snapshots_charged_bytes: u64,
    /// How many bookmarks it has.
    pub bookmarks: u64,
    /// When it was made, if its maker had a clock.
    pub timestamp: Option<Timestamp>,
    /// Whether an import began that has not finished.
    pub importing: bool,
    /// Whether several clients may write it at the same time.
    pub allow_multimount: bool,
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotView {
    /// Identity.
    pub uuid: Uuid,
    /// Name; others may have the same.
    pub name: String,
    /// The drive it was taken of, perhaps deleted since.
    pub drive: Uuid,
    /// When it was taken, if its maker had a clock.
    pub timestamp: Option<Timestamp>,
    /// Size of the image.
    pub size_bytes: u64,
    /// Blocks that it holds and its drive's image does not (A1).
    pub allocated_bytes: u64,
    /// Blocks that it holds and nothing younger of its drive does (A5).
    pub charged_bytes: u64,
    /// What deleting it gives back now (A5, A6).
    pub exclusive_bytes: u64,
    /// Data that the image maps.
    pub referenced_bytes: u64,
}

/// A bookmark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookmarkView {
    /// Identity.
    pub uuid: Uuid,
    /// Name; others may have the same.
    pub name: String,
    /// Its drive.
    pub drive: Uuid,
    /// Size of the image at that moment.
    pub size_bytes: u64,
    /// What a snapshot taken at that moment would hold beyond the drive's image now.
    pub allocated_bytes: u64,
    /// Data that the image mapped at that moment.
    pub referenced_bytes: u64,
}

impl StoreView {
    /// The store now.
    #[must_use]
    pub fn of(store: &Store) -> Self {
        Self { info: store.info(), usage: store.usage() }
    }
}

impl DriveView {
    /// The drive now.
    ///
    /// # Errors
    /// `NotFound` if it was deleted; `Io` and `Corrupt` from reading its sizes.
    pub fn of(drive: &Drive) -> Result<Self> {
        let info = drive.info()?;
        let attributes = Attributes::read(&drive.attributes()?);
        let mut snapshots = drive.snapshots()?;
        let (mut allocated_bytes, mut charged_bytes) = (info.snapshots_allocated_bytes, info.snapshots_charged_bytes);
        for pin in take_pins(&mut snapshots)? {
            if let Some(pin) = present(pin.info())? {
                allocated_bytes = allocated_bytes.saturating_sub(pin.allocated_bytes);
                charged_bytes = charged_bytes.saturating_sub(pin.charged_bytes);
            }
        }
        Ok(Self {
            uuid: info.uuid,
            name: info.name,
            size_bytes: info.size_bytes,
            referenced_bytes: info.referenced_bytes,
            snapshots: snapshots.iter().rev().map(Snapshot::uuid).collect(),
            snapshots_allocated_bytes: allocated_bytes,
            snapshots_charged_bytes: charged_bytes,
            bookmarks: info.bookmarks,
            timestamp: attributes.timestamp(),
            importing: attributes.is_unfinished(),
            allow_multimount: attributes.allows_multimount(),
        })
    }
}

impl SnapshotView {
    /// The snapshot now.
    ///
    /// # Errors
    /// `NotFound` if it was deleted; `Io` and `Corrupt` from reading its sizes.
    pub fn of(snapshot: &Snapshot) -> Result<Self> {
        let info = snapshot.info()?;
        Ok(Self {
            uuid: info.uuid,
            name: info.name,
            drive: info.drive,
            timestamp: Attributes::read(&snapshot.attributes()?).timestamp(),
            size_bytes: info.size_bytes,
            allocated_bytes: info.allocated_bytes,
            charged_bytes: info.charged_bytes,
            exclusive_bytes: info.exclusive_bytes,
            referenced_bytes: info.referenced_bytes,
        })
    }
}

impl BookmarkView {
    /// The bookmark of `drive` now.
    ///
    /// # Errors
    /// `NotFound` if it was deleted; `Io` and `Corrupt` from reading its sizes.
    pub fn of(bookmark: &Bookmark, drive: Uuid) -> Result<Self> {
        Ok(Self {
            uuid: bookmark.uuid(),
            name: bookmark.name()?,
            drive,
            size_bytes: bookmark.size_bytes()?,
            allocated_bytes: bookmark.allocated_size()?,
            referenced_bytes: bookmark.referenced_size()?,
        })
    }
}

/// Does a snapshot hold a moment until a remote snapshot has arrived? Then it is nobody's to see, and nobody's to delete.
///
/// # Errors
/// `Io`, `Corrupt`
pub(crate) fn is_pin(snapshot: &Snapshot) -> Result<bool> {
    Ok(present(snapshot.attributes())?.is_some_and(|attributes| Attributes::read(&attributes).pins().is_some()))
}

/// Leaves the snapshots that are somebody's to see, and returns the others.
///
/// # Errors
/// `Io`, `Corrupt`
pub(crate) fn take_pins(snapshots: &mut Vec<Snapshot>) -> Result<Vec<Snapshot>> {
    let (mut pins, mut shown) = (Vec::new(), Vec::with_capacity(snapshots.len()));
    for snapshot in snapshots.drain(..) {
        if is_pin(&snapshot)? { pins.push(snapshot) } else { shown.push(snapshot) }
    }
    *snapshots = shown;
    Ok(pins)
}

/// What was read of an object in a listing; `None` if somebody deleted the object since the listing began.
///
/// # Errors
/// All but `NotFound`.
pub(crate) fn present<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Views of all objects that are still there.
pub(crate) fn views<H, V>(handles: impl IntoIterator<Item = H>, view: impl Fn(&H) -> Result<V>) -> Result<Vec<V>, Error> {
    handles.into_iter().filter_map(|handle| present(view(&handle)).transpose()).collect()
}
