//! Which store does a command work on, and how does it let go of it?

use super::output::{Reply, Style};
use super::progress::Progress;
use super::text::DriveNames;
use crate::Store;
use crate::node::failure::{Failure, FailureKind};
use crate::node::service::objects::present;
use crate::node::service::{reclaim, stores};
use std::path::{Path, PathBuf};

/// What all commands share.
pub(super) struct Session {
    pub store: Option<PathBuf>,
    pub style: Style,
}

/// What became of the space of something deleted.
pub(super) struct GivenBack {
    /// Data that the store no longer holds.
    pub freed_bytes: u64,
    /// Whether there is more to come.
    pub more: bool,
}

impl Session {
    /// The store's path: the command's own argument, else `--store`, else `FLOE_STORE`.
    pub fn path<'a>(&'a self, argument: Option<&'a Path>) -> Result<&'a Path, Failure> {
        argument.or(self.store.as_deref()).ok_or_else(|| {
            Failure::new(FailureKind::InvalidArgument, "which store? give --store PATH, or set FLOE_STORE in the environment")
        })
    }

    /// Does `work` on the store and closes it.
    pub fn with_store(&self, work: impl FnOnce(&Store) -> Result<Reply, Failure>) -> Result<Reply, Failure> {
        self.with_store_at(self.path(None)?, work)
    }

    /// Does `work` on the store at `path` and closes it.
    pub fn with_store_at(&self, path: &Path, work: impl FnOnce(&Store) -> Result<Reply, Failure>) -> Result<Reply, Failure> {
        stores::close_after(stores::open(path)?, work)
    }

    /// Does `delete`, whose handles are gone when it returns, and then reclaims to the end unless told to `leave` that.
    pub fn deleting<T>(
        &self,
        store: &Store,
        leave: bool,
        delete: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<(T, GivenBack), Failure> {
        let before = store.usage().data_bytes;
        let done = delete()?;
        if !leave {
            let progress = Progress::bytes(self.style, "giving space back", None);
            reclaim::to_end(store, &mut |freed| progress.at(freed)).map_err(|failure| {
                failure
                    .context("it is deleted, but giving its space back failed")
                    .consequence("`floe store reclaim` goes on with that")
            })?;
        }
        let after = store.usage();
        Ok((done, GivenBack { freed_bytes: before.saturating_sub(after.data_bytes), more: after.reclaiming > 0 }))
    }
}

/// The names of the store's drives.
pub(super) fn drive_names(store: &Store) -> Result<DriveNames, Failure> {
    let mut names = DriveNames::new();
    for drive in store.drives() {
        if let Some(name) = present(drive.name())? {
            names.insert(drive.uuid(), name);
        }
    }
    Ok(names)
}
