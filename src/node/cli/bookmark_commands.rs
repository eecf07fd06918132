//! What does `floe bookmark` do?

use super::output::{Document, Reply};
use super::session::Session;
use super::{changes, json, text};
use crate::node::failure::Failure;
use crate::node::service::keeper::Keeper;
use crate::node::service::local::Local;
use crate::node::service::{bookmarks, select};
use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;

#[derive(Debug, Subcommand)]
pub(super) enum BookmarkCommand {
    /// Remember this point in time of a drive
    Create {
        /// Of which drive
        drive: String,
        /// Its name
        #[arg(long, value_parser = NonEmptyStringValueParser::new())]
        name: String,
    },
    /// List all bookmarks, or those of one drive
    List {
        /// Of which drive
        drive: Option<String>,
    },
    /// Delete a bookmark
    Delete {
        /// Which; drive@bookmark works too
        bookmark: String,
    },
    /// List the ranges of bytes that were written, zeroed or discarded since
    Changed {
        /// Since which; drive@bookmark works too
        bookmark: String,
    },
}

pub(super) fn run(session: &Session, command: BookmarkCommand) -> Result<Reply, Failure> {
    session.with_store(|store| match command {
        BookmarkCommand::Create { drive, name } => {
            let view = bookmarks::create(&select::drive(store, &drive)?, &name)?;
            let text = format!("bookmark {:?} created: {}\n", view.name, view.uuid);
            Ok(Document::about([view.uuid], text, json::bookmark(&view)).into())
        }
        BookmarkCommand::List { drive } => {
            let drive = drive.map(|word| select::drive(store, &word)).transpose()?.map(|drive| drive.uuid());
            let views = bookmarks::list(store, drive)?;
            let text = text::bookmarks(&views, &Local(store).drive_names()?);
            Ok(Document::about(views.iter().map(|view| view.uuid), text, views.iter().map(json::bookmark).collect()).into())
        }
        BookmarkCommand::Delete { bookmark } => {
            let (bookmark, drive) = select::bookmark(store, &bookmark)?;
            let view = bookmarks::delete(&bookmark, drive)?;
            let text = format!("bookmark {:?} deleted: {}\n", view.name, view.uuid);
            Ok(Document::about([view.uuid], text, json::bookmark(&view)).into())
        }
        BookmarkCommand::Changed { bookmark } => {
            changes::print(select::bookmark(store, &bookmark)?.0.changed_ranges()?, session.style)
        }
    })
}
