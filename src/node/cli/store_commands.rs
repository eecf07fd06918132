//! What does `floe store` do?

use super::exit::Exit;
use super::output::{Document, Reply};
use super::progress::Progress;
use super::session::Session;
use super::size::{self, exact};
use super::{json, text};
use crate::Store;
use crate::node::failure::Failure;
use crate::node::service::objects::StoreView;
use crate::node::service::stores;
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct StorePath {
    /// The store; default: that of --store or FLOE_STORE
    path: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Create a store in a new file, or on a block device that holds none
    Create {
        #[command(flatten)]
        at: StorePath,
        /// How large it may become; a file takes only the space that is used [default: 64G]
        #[arg(long, value_name = "SIZE", value_parser = size::parse)]
        capacity: Option<u64>,
    },
    /// Show how a store's space is used
    Info(StorePath),
    /// Walk the whole store and name every damage; exit code 1 if there is any
    Check(StorePath),
    /// Enlarge a store
    Grow {
        #[command(flatten)]
        at: StorePath,
        /// How large it may become; not less than now
        #[arg(long, value_name = "SIZE", value_parser = size::parse)]
        capacity: u64,
    },
    /// Give back the space of drives and snapshots deleted with --no-reclaim, or whose deletion was interrupted
    Reclaim(StorePath),
}

pub(super) fn run(session: &Session, command: StoreCommand) -> Result<Reply, Failure> {
    match command {
        StoreCommand::Create { at, capacity } => {
            let path = session.path(at.path.as_deref())?;
            stores::close_after(stores::create(path, capacity)?, |store| Ok(shown(path, store)))
        }
        StoreCommand::Info(at) => {
            let path = session.path(at.path.as_deref())?;
            session.with_store_at(path, |store| Ok(shown(path, store)))
        }
        StoreCommand::Check(at) => check(session, session.path(at.path.as_deref())?),
        StoreCommand::Grow { at, capacity } => {
            let path = session.path(at.path.as_deref())?;
            session.with_store_at(path, |store| {
                store.grow(capacity)?;
                Ok(shown(path, store))
            })
        }
        StoreCommand::Reclaim(at) => reclaim(session, session.path(at.path.as_deref())?),
    }
}

fn shown(path: &Path, store: &Store) -> Reply {
    let view = StoreView::of(store);
    Document::about([view.info.uuid], text::store(path, &view), json::store(path, &view)).into()
}

fn check(session: &Session, path: &Path) -> Result<Reply, Failure> {
    session.with_store_at(path, |store| {
        let progress = Progress::count(session.style, "checking");
        let report = stores::check(store, &mut |step| {
            progress.of_total(step.pages_done + step.groups_done, step.pages_total + step.groups_total)
        })?;
        let exit = if report.is_clean() { Exit::Done } else { Exit::CheckFailed };
        Ok(Document { exit, ..Document::new(text::check(&report), json::check(&report)) }.into())
    })
}

fn reclaim(session: &Session, path: &Path) -> Result<Reply, Failure> {
    session.with_store_at(path, |store| {
        let back = session.give_back(store, store.usage().data_bytes, false)?;
        let text = format!("{} given back\n", exact(back.freed_bytes));
        Ok(Document::new(text, json!({"freed_size": back.freed_bytes, "done": !back.more})).into())
    })
}
