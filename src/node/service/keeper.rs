//! What can be asked of whoever keeps drives and snapshots?
//!
//! A store that is open here does ([`Local`](super::local::Local)), and a node that runs elsewhere does
//! ([`Node`](crate::node::client::Node)). Things are named by words, as [`select`](super::select) has them, and described by plain data.

use crate::Store;
use crate::node::failure::Failure;
use crate::node::service::drives::DeletedDrive;
use crate::node::service::export::Exportable;
use crate::node::service::import::Imported;
use crate::node::service::objects::{DriveView, SnapshotView};
use crate::node::service::source::ImageSource;
use std::collections::HashMap;
use uuid::Uuid;

/// Hears how many bytes are done.
pub type Progress<'a> = &'a mut dyn FnMut(u64);

/// Keeps drives and snapshots. Whatever a method cannot do it says: `NotFound` and `Ambiguous` for words, `InvalidArgument` for what cannot
/// be, and what the keeper itself fails with.
#[allow(clippy::missing_errors_doc)] // Said above, once for all.
pub trait Keeper {
    /// The store, if it is open here: then whoever deletes gives the space back.
    fn store(&self) -> Option<&Store>;

    /// All drives, in order of creation.
    fn drives(&self) -> Result<Vec<DriveView>, Failure>;

    /// The names of all drives.
    fn drive_names(&self) -> Result<HashMap<Uuid, String>, Failure>;

    /// The drives of that very name.
    fn drives_named(&self, name: &str) -> Result<Vec<Uuid>, Failure>;

    /// One drive.
    fn drive(&self, word: &str) -> Result<DriveView, Failure>;

    /// A new, empty drive.
    fn create_drive(&self, name: &str, size_bytes: u64) -> Result<DriveView, Failure>;

    /// Gives a drive a name.
    fn rename_drive(&self, word: &str, name: &str) -> Result<DriveView, Failure>;

    /// Gives a drive a size; a smaller one with `shrink` alone.
    fn resize_drive(&self, word: &str, size_bytes: u64, shrink: bool) -> Result<DriveView, Failure>;

    /// Allows, or forbids, several NBD clients to write a drive at the same time.
    fn allow_multimount(&self, word: &str, allow: bool) -> Result<DriveView, Failure>;

    /// Deletes a drive, and its snapshots too if so told.
    fn delete_drive(&self, word: &str, with_snapshots: bool) -> Result<DeletedDrive, Failure>;

    /// All snapshots, or those of one drive, which may have been deleted; oldest first.
    fn snapshots(&self, drive: Option<&str>) -> Result<Vec<SnapshotView>, Failure>;

    /// One snapshot.
    fn snapshot(&self, word: &str) -> Result<SnapshotView, Failure>;

    /// A snapshot of a drive as it is now.
    fn create_snapshot(&self, drive: &str, name: Option<&str>) -> Result<SnapshotView, Failure>;

    /// Snapshots of several drives at one instant, all of one name, or none.
    fn create_group(&self, drives: &[String], name: &str) -> Result<Vec<SnapshotView>, Failure>;

    /// Gives a snapshot a name.
    fn rename_snapshot(&self, word: &str, name: &str) -> Result<SnapshotView, Failure>;

    /// Deletes snapshots; a word that means nothing deletes nothing. What they were.
    fn delete_snapshots(&self, words: &[String]) -> Result<Vec<SnapshotView>, Failure>;

    /// A drive that begins with a snapshot's image.
    fn clone_snapshot(&self, word: &str, name: &str) -> Result<DriveView, Failure>;

    /// The image of a drive or snapshot.
    fn image(&self, word: &str) -> Result<Box<dyn Exportable + '_>, Failure>;

    /// A new drive with an image's content.
    fn import_new(
        &self,
        name: &str,
        size_bytes: Option<u64>,
        source: &mut dyn ImageSource,
        progress: Progress<'_>,
    ) -> Result<Imported, Failure>;

    /// Gives a drive an image's content and size.
    fn import_over(&self, word: &str, source: &mut dyn ImageSource, progress: Progress<'_>) -> Result<Imported, Failure>;
}
