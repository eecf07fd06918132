//! What do `floe snapshot`, `floe clone` and `floe revert` do?

use super::drive_commands::{NoReclaim, created, shown};
use super::output::{Document, Reply};
use super::session::Session;
use super::size::rounded;
use super::{changes, json, text};
use crate::node::failure::Failure;
use crate::node::service::keeper::Keeper;
use crate::node::service::local::Local;
use crate::node::service::objects::SnapshotView;
use crate::node::service::{select, snapshots};
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
    if let SnapshotCommand::Diff { older, newer } = &command {
        return session.with_store(|store| {
            let older = select::snapshot(store, older)?;
            changes::print(snapshots::diff(&older, &select::image(store, newer)?)?, session.style)
        });
    }
    session.with_keeper(|keeper| answer(session, keeper, command))
}

fn answer(session: &Session, keeper: &dyn Keeper, command: SnapshotCommand) -> Result<Reply, Failure> {
    Ok(match command {
        SnapshotCommand::Create { drive, name } => {
            let view = keeper.create_snapshot(&drive, name.as_deref())?;
            Document::about([view.uuid], made(&view), json::snapshot(&view)).into()
        }
        SnapshotCommand::Group { drives, name } => {
            let views = keeper.create_group(&drives, &name)?;
            listed(&views, views.iter().map(made).collect()).into()
        }
        SnapshotCommand::List { drive } => {
            let views = keeper.snapshots(drive.as_deref())?;
            listed(&views, text::snapshots(&views, &keeper.drive_names()?)).into()
        }
        SnapshotCommand::Show { snapshot } => one(keeper, &keeper.snapshot(&snapshot)?)?,
        SnapshotCommand::Rename { snapshot, name } => one(keeper, &keeper.rename_snapshot(&snapshot, &name)?)?,
        SnapshotCommand::Delete { snapshots, later } => delete(session, keeper, &snapshots, later.no_reclaim)?,
        SnapshotCommand::Diff { .. } => unreachable!("`run` keeps it"),
    })
}

/// `floe clone`
pub(super) fn clone_drive(session: &Session, args: &CloneArgs) -> Result<Reply, Failure> {
    session.with_keeper(|keeper| {
        let others = keeper.drives_named(&args.name)?;
        Ok(created(&keeper.clone_snapshot(&args.snapshot, &args.name)?, &others).into())
    })
}

/// `floe revert`
pub(super) fn revert(session: &Session, args: &RevertArgs) -> Result<Reply, Failure> {
    session.with_store(|store| {
        // The image that is given up is deleted data like any other.
        let (view, _) = session.deleting(&Local(store), false, || {
            let drive = select::drive(store, &args.drive)?;
            snapshots::revert(&drive, &select::snapshot(store, &args.snapshot)?)
        })?;
        Ok(shown(&view).into())
    })
}

fn delete(session: &Session, keeper: &dyn Keeper, words: &[String], no_reclaim: bool) -> Result<Reply, Failure> {
    let (views, back) = session.deleting(keeper, no_reclaim, || keeper.delete_snapshots(words))?;
    let text = views.iter().map(|view| format!("snapshot {:?} deleted: {}\n", view.name, view.uuid)).collect();
    let answer = json!({"snapshots": views.iter().map(json::snapshot).collect::<Vec<Value>>()});
    Ok(Document::about(views.iter().map(|view| view.uuid), text, answer).given_back(back.as_ref()).into())
}

fn one(keeper: &dyn Keeper, view: &SnapshotView) -> Result<Reply, Failure> {
    Ok(Document::about([view.uuid], text::snapshot(view, &keeper.drive_names()?), json::snapshot(view)).into())
}

fn listed(views: &[SnapshotView], text: String) -> Document {
    Document::about(views.iter().map(|view| view.uuid), text, views.iter().map(json::snapshot).collect())
}

fn made(view: &SnapshotView) -> String {
    format!("snapshot {:?} created: {}, {}\n", view.name, view.uuid, rounded(view.size_bytes))
}
