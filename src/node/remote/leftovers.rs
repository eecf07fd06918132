//! What does a process that was killed leave in the store, and who removes it?
//!
//! Whoever opens the store next, before anything else is done with its remote snapshots.

use super::remotes::Remotes;
use crate::node::attributes::Attributes;
use crate::node::failure::Failure;
use uuid::Uuid;

impl Remotes {
    /// Removes snapshots that pin what nobody remembers, bookmarks of what is gone, and drives that were being made of an image that nobody
    /// goes on sending.
    ///
    /// # Errors
    /// Those of the engine.
    pub(super) fn remove_leftovers(&self) -> Result<(), Failure> {
        for snapshot in self.store.snapshots() {
            let pins = Attributes::read(&snapshot.attributes()?).pins();
            if pins.is_some_and(|remote| self.records.find(remote).is_none_or(|known| known.pin != Some(snapshot.uuid()))) {
                snapshot.delete()?;
            }
        }
        for drive in self.store.drives() {
            if Attributes::read(&drive.attributes()?).uploading() {
                tracing::info!(drive = %drive.uuid(), "deleting what came of an interrupted copy of an image");
                drive.delete()?;
                continue;
            }
            for bookmark in drive.bookmarks()? {
                let remote = bookmark.uuid();
                if bookmark.name()? == pin_name(remote) && self.find(remote).is_none() {
                    bookmark.delete()?;
                }
            }
        }
        Ok(())
    }
}

/// What the snapshot that holds a remote snapshot's moment is called, and the bookmark that stays of it.
pub(super) fn pin_name(remote: Uuid) -> String {
    format!("remote {remote}")
}
