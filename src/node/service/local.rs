//! How does a store that is open here keep drives and snapshots?

use crate::Store;
use crate::node::failure::Failure;
use crate::node::service::drives::{self, DeletedDrive};
use crate::node::service::export::Exportable;
use crate::node::service::import::{self, Imported};
use crate::node::service::keeper::{Keeper, Progress};
use crate::node::service::objects::{DriveView, SnapshotView, present};
use crate::node::service::source::ImageSource;
use crate::node::service::{reclaim, select, snapshots};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// An open store.
pub struct Local<'a>(pub &'a Store);

impl Keeper for Local<'_> {
    fn store(&self) -> Option<&Store> {
        Some(self.0)
    }

    fn drives(&self) -> Result<Vec<DriveView>, Failure> {
        drives::list(self.0)
    }

    fn drive_names(&self) -> Result<HashMap<Uuid, String>, Failure> {
        let mut names = HashMap::new();
        for drive in self.0.drives() {
            names.extend(present(drive.name())?.map(|name| (drive.uuid(), name)));
        }
        Ok(names)
    }

    fn drives_named(&self, name: &str) -> Result<Vec<Uuid>, Failure> {
        drives::named(self.0, name)
    }

    fn drive(&self, word: &str) -> Result<DriveView, Failure> {
        Ok(DriveView::of(&select::drive(self.0, word)?)?)
    }

    fn create_drive(&self, name: &str, size_bytes: u64) -> Result<DriveView, Failure> {
        drives::create(self.0, name, size_bytes)
    }

    fn rename_drive(&self, word: &str, name: &str) -> Result<DriveView, Failure> {
        drives::rename(&select::drive(self.0, word)?, name)
    }

    fn resize_drive(&self, word: &str, size_bytes: u64, shrink: bool) -> Result<DriveView, Failure> {
        drives::resize(&select::drive(self.0, word)?, size_bytes, shrink)
    }

    fn allow_multimount(&self, word: &str, allow: bool) -> Result<DriveView, Failure> {
        drives::allow_multimount(&select::drive(self.0, word)?, allow)
    }

    fn delete_drive(&self, word: &str, with_snapshots: bool) -> Result<DeletedDrive, Failure> {
        drives::delete(select::drive(self.0, word)?, with_snapshots)
    }

    fn snapshots(&self, drive: Option<&str>) -> Result<Vec<SnapshotView>, Failure> {
        let drive = drive.map(|word| select::drive_or_deleted(self.0, word)).transpose()?;
        snapshots::list(self.0, drive)
    }

    fn snapshot(&self, word: &str) -> Result<SnapshotView, Failure> {
        Ok(SnapshotView::of(&select::snapshot(self.0, word)?)?)
    }

    fn create_snapshot(&self, drive: &str, name: Option<&str>) -> Result<SnapshotView, Failure> {
        snapshots::create(&select::drive(self.0, drive)?, name)
    }

    fn create_group(&self, drives: &[String], name: &str) -> Result<Vec<SnapshotView>, Failure> {
        let drives = drives.iter().map(|word| select::drive(self.0, word)).collect::<Result<Vec<_>, _>>()?;
        snapshots::group(self.0, &drives, Some(name))
    }

    fn rename_snapshot(&self, word: &str, name: &str) -> Result<SnapshotView, Failure> {
        snapshots::rename(&select::snapshot(self.0, word)?, name)
    }

    fn delete_snapshots(&self, words: &[String]) -> Result<Vec<SnapshotView>, Failure> {
        // All are found before the first is deleted: a word that is wrong deletes nothing.
        let mut found = words.iter().map(|word| select::snapshot(self.0, word)).collect::<Result<Vec<_>, _>>()?;
        let mut seen = HashSet::new();
        found.retain(|snapshot| seen.insert(snapshot.uuid()));
        found.into_iter().map(snapshots::delete).collect()
    }

    fn clone_snapshot(&self, word: &str, name: &str) -> Result<DriveView, Failure> {
        snapshots::clone_drive(&select::snapshot(self.0, word)?, name)
    }

    fn image(&self, word: &str) -> Result<Box<dyn Exportable + '_>, Failure> {
        Ok(Box::new(select::image(self.0, word)?))
    }

    fn import_new(
        &self,
        name: &str,
        size_bytes: Option<u64>,
        source: &mut dyn ImageSource,
        progress: Progress<'_>,
    ) -> Result<Imported, Failure> {
        import::into_new(self.0, name, size_bytes, source, progress)
    }

    fn import_over(&self, word: &str, source: &mut dyn ImageSource, progress: Progress<'_>) -> Result<Imported, Failure> {
        let drive = select::drive(self.0, word)?;
        let imported = import::over(&drive, source, progress)?;
        drop(drive);
        // A shorter image cut something off.
        reclaim::to_end(self.0, &mut |_| {})?;
        Ok(imported)
    }
}
