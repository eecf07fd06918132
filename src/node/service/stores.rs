//! What can be done with a store as a whole?

use crate::node::failure::Failure;
use crate::{CheckProgress, CheckReport, ErrorKind, Store};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// The store's name in a node's directory.
pub const STORE_FILE: &str = "store.floe";

/// A new store of `capacity_bytes`, or of the default capacity.
///
/// # Errors
/// `AlreadyExists`, `InvalidArgument` for a capacity too small, `NoSpace`, `Io`.
pub fn create(path: &Path, capacity_bytes: Option<u64>) -> Result<Store, Failure> {
    let options = Store::options();
    let options = match capacity_bytes {
        Some(bytes) => options.capacity(bytes),
        None => options,
    };
    Ok(options.create(path)?)
}

/// The store at `path`.
///
/// # Errors
/// `NotFound`, `NotAStore`, `UnsupportedFormat`, `Corrupt`, `Locked`, `Io`.
pub fn open(path: &Path) -> Result<Store, Failure> {
    Ok(Store::options().open(path)?)
}

/// The store of a node in `directory`, made there on first use; space of what is deleted comes back by itself. The directory is its owner's
/// alone.
///
/// # Errors
/// As for [`create`] and [`open`].
pub fn open_for_node(directory: &Path, capacity_bytes: Option<u64>) -> Result<Store, Failure> {
    let made = DirBuilder::new().mode(0o700).recursive(true).create(directory);
    made.map_err(|error| Failure::io(format!("make the directory {}", directory.display()), error))?;
    let path = directory.join(STORE_FILE);
    let options = Store::options().background_reclaim(true);
    match options.clone().open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let options = capacity_bytes.map_or(options.clone(), |bytes| options.capacity(bytes));
            Ok(options.create(&path)?)
        }
        opened => Ok(opened?),
    }
}

/// Does `work` on the store and closes it, whatever came of the work. Handles that `work` made are gone by then.
///
/// # Errors
/// Those of the work; else those of closing; both messages if both failed.
pub fn close_after<T>(store: Store, work: impl FnOnce(&Store) -> Result<T, Failure>) -> Result<T, Failure> {
    let done = work(&store);
    match (done, store.close()) {
        (done, Ok(())) => done,
        (Ok(_), Err(error)) => Err(Failure::from(error).context("closing the store")),
        (Err(failure), Err(error)) => Err(failure.consequence(format_args!("then closing the store failed too: {error}"))),
    }
}

/// Walks the whole store and reports every broken invariant.
///
/// # Errors
/// What keeps the walk from being made at all: `Io`, `Poisoned`.
pub fn check(store: &Store, progress: &mut dyn FnMut(CheckProgress)) -> Result<CheckReport, Failure> {
    Ok(store.check_with(progress)?)
}
