//! What do `floe snapshot`, `floe clone` and `floe revert` do?

use super::drive_commands::{NoReclaim, created, shown};
use super::output::{Document, Reply};
use super::session::{Session, drive_names};
use super::size::rounded;
use super::{changes, json, text};
use crate::node::failure::Failure;
use crate::node::service::objects::SnapshotView;
use crate::node::service::{drives, select, snapshots};
use crate::{Drive, Store};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(super) enum SnapshotCommand {
    /// Freeze the image that a drive has now
    Create {
        /// Of which drive
        drive: String,
        /// Its name [default: the drive's uuid and the time]
        #[arg(long, value_parser = NonEmptyStringValueParser::new())]
        name: Option<String>,
    },
    /// Freeze the images of several drives at one instant
    Group {
        /// Of which drives
        #[arg(required = true, value_name = "DRIVE")]
        drives: Vec<String>,
        /// The name of each of the snapshots; drive@name tells them apart
        #[arg(long, value_parser = NonEmptyStringValueParser::new())]
        name: String,
    },
    /// List all snapshots, those of deleted drives too, or those of one drive; oldest first
    List {
        /// Of which drive; a deleted one is named by its uuid
        drive: Option<String>,
    },
    /// Show one snapshot, sizes in bytes
    Show {
        /// Which
        snapshot: String,
    },
    /// Give a snapshot another name
    Rename {
        /// Which
        snapshot: String,
        /// The new name
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
    },
    /// Delete snapshots; drives, clones and other snapshots keep everything they have
    Delete {
        /// Which
        #[arg(required = true, value_name = "SNAPSHOT")]
        snapshots: Vec<String>,
        #[command(flatten)]
        later: NoReclaim,
    },
    /// List the ranges of bytes that differ between a snapshot and a newer image
    Diff {
        /// The older image
        older: String,
        /// The newer image: a snapshot, or a drive as it is now
        newer: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct CloneArgs {
    /// The snapshot whose image the new drive begins with
    snapshot: String,
    /// The new drive's name
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    name: String,
}

#[derive(Debug, Args)]
pub(super) struct RevertArgs {
    /// The drive whose image is given up
    drive: String,
    /// The snapshot whose image it gets
    snapshot: String,
}

pub(super) fn run(session: &Session, command: SnapshotCommand) -> Result<Reply, Failure> {
    session.with_store(|store| match command {
        SnapshotCommand::Create { drive, name } => {
            let view = snapshots::create(&select::drive(store, &drive)?, name.as_deref())?;
            Ok(Document::about([view.uuid], made(&view), json::snapshot(&view)).into())
        }
        SnapshotCommand::Group { drives, name } => {
            let drives = drives.iter().map(|word| select::drive(store, word)).collect::<Result<Vec<Drive>, _>>()?;
            let views = snapshots::group(store, &drives, Some(&name))?;
            Ok(listed(&views, views.iter().map(made).collect()).into())
        }
        SnapshotCommand::List { drive } => {
            let drive = drive.map(|word| select::drive_or_deleted(store, &word)).transpose()?;
            let views = snapshots::list(store, drive)?;
            Ok(listed(&views, text::snapshots(&views, &drive_names(store)?)).into())
        }
        SnapshotCommand::Show { snapshot } => one(store, &SnapshotView::of(&select::snapshot(store, &snapshot)?)?),
        SnapshotCommand::Rename { snapshot, name } => {
            one(store, &snapshots::rename(&select::snapshot(store, &snapshot)?, &name)?)
        }
        SnapshotCommand::Delete { snapshots, later } => delete(session, store, &snapshots, later.no_reclaim),
        SnapshotCommand::Diff { older, newer } => {
            let older = select::snapshot(store, &older)?;
            let newer = select::image(store, &newer)?;
            changes::print(snapshots::diff(&older, &newer)?, session.style)
        }
    })
}

/// `floe clone`
pub(super) fn clone_drive(session: &Session, args: &CloneArgs) -> Result<Reply, Failure> {
    session.with_store(|store| {
        let others = drives::named(store, &args.name)?;
        let view = snapshots::clone_drive(&select::snapshot(store, &args.snapshot)?, &args.name)?;
        Ok(created(&view, &others).into())
    })
}

/// `floe revert`
pub(super) fn revert(session: &Session, args: &RevertArgs) -> Result<Reply, Failure> {
    session.with_store(|store| {
        // The image that is given up is deleted data like any other.
        let (view, _) = session.deleting(store, false, || {
            let drive = select::drive(store, &args.drive)?;
            snapshots::revert(&drive, &select::snapshot(store, &args.snapshot)?)
        })?;
        Ok(shown(&view).into())
    })
}

fn delete(session: &Session, store: &Store, words: &[String], no_reclaim: bool) -> Result<Reply, Failure> {
    let (views, back) = session.deleting(store, no_reclaim, || {
        // All are found before the first is deleted: a word that is wrong deletes nothing.
        let mut found = words.iter().map(|word| select::snapshot(store, word)).collect::<Result<Vec<_>, _>>()?;
        let mut seen = std::collections::HashSet::new();
        found.retain(|snapshot| seen.insert(snapshot.uuid()));
        found.into_iter().map(snapshots::delete).collect::<Result<Vec<_>, _>>()
    })?;
    let mut text: String = views.iter().map(|view| format!("snapshot {:?} deleted: {}\n", view.name, view.uuid)).collect();
    text += &format!("{} given back\n", rounded(back.freed_bytes));
    let answer = json!({
        "snapshots": views.iter().map(json::snapshot).collect::<Vec<Value>>(),
        "freed_size": back.freed_bytes,
        "reclaimed": !back.more,
    });
    Ok(Document::about(views.iter().map(|view| view.uuid), text, answer).into())
}

fn one(store: &Store, view: &SnapshotView) -> Result<Reply, Failure> {
    Ok(Document::about([view.uuid], text::snapshot(view, &drive_names(store)?), json::snapshot(view)).into())
}

fn listed(views: &[SnapshotView], text: String) -> Document {
    Document::about(views.iter().map(|view| view.uuid), text, views.iter().map(json::snapshot).collect())
}

fn made(view: &SnapshotView) -> String {
    format!("snapshot {:?} created: {}, {}\n", view.name, view.uuid, rounded(view.size_bytes))
}
