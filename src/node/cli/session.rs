//! What does a command work on, and how does it let go of it?

use super::output::{Reply, Style};
use super::place::{Place, PlaceArgs};
use super::progress::Progress;
use crate::Store;
use crate::node::failure::Failure;
use crate::node::service::keeper::Keeper;
use crate::node::service::local::Local;
use crate::node::service::{reclaim, stores};
use std::path::Path;

/// What all commands share.
pub(super) struct Session {
    pub place: PlaceArgs,
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
        self.place.path(argument)
    }

    /// Does `work` on the store, which is closed then, or on the node.
    pub fn with_keeper(&self, work: impl FnOnce(&dyn Keeper) -> Result<Reply, Failure>) -> Result<Reply, Failure> {
        match self.place.place()? {
            Place::Store(path) => self.with_store_at(path, |store| work(&Local(store))),
            Place::Node(url) => work(&self.place.node(url)?),
        }
    }

    /// Does `work` on the store, for no node can, and closes it.
    pub fn with_store(&self, work: impl FnOnce(&Store) -> Result<Reply, Failure>) -> Result<Reply, Failure> {
        self.with_store_at(self.path(None)?, work)
    }

    /// Does `work` on the store at `path` and closes it.
    pub fn with_store_at(&self, path: &Path, work: impl FnOnce(&Store) -> Result<Reply, Failure>) -> Result<Reply, Failure> {
        stores::close_after(stores::open(path)?, work)
    }

    /// Does `delete`, whose handles are gone when it returns, and then reclaims to the end unless told to `leave` that. A node gives space
    /// back by itself, and nobody knows when.
    pub fn deleting<T>(
        &self,
        keeper: &dyn Keeper,
        leave: bool,
        delete: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<(T, Option<GivenBack>), Failure> {
        let before = keeper.store().map(|store| store.usage().data_bytes);
        let done = delete()?;
        let back = keeper.store().zip(before).map(|(store, before)| self.give_back(store, before, leave));
        Ok((done, back.transpose()?))
    }

    /// Reclaims to the end, unless told to `leave` that; `before` is how much data there was.
    pub fn give_back(&self, store: &Store, before: u64, leave: bool) -> Result<GivenBack, Failure> {
        if !leave {
            let progress = Progress::bytes(self.style, "giving space back", None);
            reclaim::to_end(store, &mut |freed| progress.at(freed)).map_err(|failure| {
                failure
                    .context("it is deleted, but giving its space back failed")
                    .consequence("`floe store reclaim` goes on with that")
            })?;
        }
        let after = store.usage();
        Ok(GivenBack { freed_bytes: before.saturating_sub(after.data_bytes), more: after.reclaiming > 0 })
    }
}
