//! What does `floe drive` do?

use super::export::{self, ExportArgs};
use super::import::{self, ImportArgs};
use super::output::{Document, Reply};
use super::session::Session;
use super::size::{self, rounded};
use super::{json, text};
use crate::node::failure::Failure;
use crate::node::service::keeper::Keeper;
use crate::node::service::objects::DriveView;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

#[derive(Debug, Subcommand)]
pub(super) enum DriveCommand {
    /// Make an empty drive
    Create {
        /// Its name; need not be unique, but a unique one can be used in place of the uuid
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// How large its image is; unwritten parts take no space
        #[arg(long, value_name = "SIZE", value_parser = size::parse)]
        size: u64,
    },
    /// List all drives
    List,
    /// Show one drive, sizes in bytes
    Show {
        /// Which
        drive: String,
    },
    /// Give a drive another name
    Rename {
        /// Which
        drive: String,
        /// The new name
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
    },
    /// Give a drive another size
    Resize {
        /// Which
        drive: String,
        /// The new size
        #[arg(long, value_name = "SIZE", value_parser = size::parse)]
        size: u64,
        /// Allow a smaller size: what lies beyond it is cut off, and only snapshots keep it
        #[arg(long)]
        shrink: bool,
    },
    /// Allow, or forbid, several NBD clients to write a drive at the same time; clients see it when they connect
    Multimount {
        /// Which
        drive: String,
        /// For file systems that are made to be shared alone: others are destroyed by it
        #[arg(value_parser = ["on", "off"])]
        allow: String,
    },
    /// Delete a drive; its snapshots stay unless --snapshots is given, and on a node it must be
    Delete(DeleteArgs),
    /// Make a drive from a raw image, or write one over a drive
    ///
    /// Holes and blocks of zeroes of the image take no space. A new drive has the image's size, at least 4096 bytes; from
    /// a pipe it grows while the image comes. With --overwrite the drive gets the image's content and size: equal blocks
    /// stay shared with its snapshots, a longer image enlarges the drive, and a shorter one makes it smaller.
    ///
    /// A new drive whose import fails is deleted again. If the program is killed, `floe drive show` says that the import
    /// is unfinished.
    Import(ImportArgs),
    /// Write the image of a drive or snapshot to a raw file
    ///
    /// A file gets holes where the image holds nothing but zeroes. It is written under another name beside and takes its
    /// own name when it is whole: an interrupted export leaves no file that looks like an image.
    Export(ExportArgs),
}

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// Which
    drive: String,
    /// Delete all its snapshots too
    #[arg(long)]
    snapshots: bool,
    #[command(flatten)]
    later: NoReclaim,
}

#[derive(Debug, Args)]
pub(super) struct NoReclaim {
    /// Return at once; `floe store reclaim` gives the space back later
    #[arg(long)]
    pub no_reclaim: bool,
}

pub(super) fn run(session: &Session, command: DriveCommand) -> Result<Reply, Failure> {
    match command {
        DriveCommand::Import(args) => import::run(session, &args),
        DriveCommand::Export(args) => export::run(session, &args),
        command => session.with_keeper(|keeper| answer(session, keeper, command)),
    }
}

fn answer(session: &Session, keeper: &dyn Keeper, command: DriveCommand) -> Result<Reply, Failure> {
    Ok(match command {
        DriveCommand::Create { name, size } => {
            let others = keeper.drives_named(&name)?;
            created(&keeper.create_drive(&name, size)?, &others).into()
        }
        DriveCommand::List => {
            let views = keeper.drives()?;
            let uuids = views.iter().map(|view| view.uuid);
            Document::about(uuids, text::drives(&views), views.iter().map(json::drive).collect()).into()
        }
        DriveCommand::Show { drive } => shown(&keeper.drive(&drive)?).into(),
        DriveCommand::Rename { drive, name } => shown(&keeper.rename_drive(&drive, &name)?).into(),
        DriveCommand::Multimount { drive, allow } => shown(&keeper.allow_multimount(&drive, allow == "on")?).into(),
        DriveCommand::Resize { drive, size, shrink } => {
            // What a shrink cuts off is deleted data like any other.
            let (view, _) = session.deleting(keeper, false, || keeper.resize_drive(&drive, size, shrink))?;
            shown(&view).into()
        }
        DriveCommand::Delete(args) => delete(session, keeper, &args)?,
        DriveCommand::Import(_) | DriveCommand::Export(_) => unreachable!("`run` keeps them"),
    })
}

/// The answer of whatever made a drive; `others` had its name before.
pub(super) fn created(view: &DriveView, others: &[Uuid]) -> Document {
    let text = format!("drive {:?} created: {}, {}\n", view.name, view.uuid, rounded(view.size_bytes));
    let document = Document::about([view.uuid], text, json::drive(view));
    if others.is_empty() {
        return document;
    }
    document.note(format!("{} other drive(s) have that name too: say {} to mean this one", others.len(), view.uuid))
}

/// The answer of whatever shows or changes a drive.
pub(super) fn shown(view: &DriveView) -> Document {
    Document::about([view.uuid], text::drive(view), json::drive(view))
}

fn delete(session: &Session, keeper: &dyn Keeper, args: &DeleteArgs) -> Result<Reply, Failure> {
    let deleting = || keeper.delete_drive(&args.drive, args.snapshots);
    let (deleted, back) = session.deleting(keeper, args.later.no_reclaim, deleting)?;
    let mut text = format!("drive {:?} deleted: {}\n", deleted.drive.name, deleted.drive.uuid);
    if !deleted.snapshots.is_empty() {
        text += &format!("{} of its snapshots deleted too\n", deleted.snapshots.len());
    }
    let answer = json!({
        "drive": json::drive(&deleted.drive),
        "snapshots": deleted.snapshots.iter().map(json::snapshot).collect::<Vec<Value>>(),
        "remaining_snapshots": deleted.remaining.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    let uuids = [deleted.drive.uuid].into_iter().chain(deleted.snapshots.iter().map(|view| view.uuid));
    let document = Document::about(uuids, text, answer).given_back(back.as_ref());
    if deleted.remaining.is_empty() {
        return Ok(document.into());
    }
    let (count, uuid) = (deleted.remaining.len(), deleted.drive.uuid);
    Ok(document.note(format!("{count} of its snapshots remain: floe snapshot list {uuid}")).into())
}
