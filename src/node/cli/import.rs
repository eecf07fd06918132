//! What does `floe drive import` do?

use super::json;
use super::output::{Document, Reply};
use super::progress::Progress;
use super::session::Session;
use super::size::{self, rounded};
use crate::node::failure::{Failure, FailureKind};
use crate::node::service::import::Imported;
use crate::node::service::keeper::Keeper;
use crate::node::service::source::{FileSource, ImageSource, StreamSource};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The new drive's name; with --overwrite, the drive to write over
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// A raw image: a file, a block device, or - for stdin
    image: String,
    /// Write the image over an existing drive
    #[arg(long)]
    overwrite: bool,
    /// Make the new drive this large; an image that is larger is refused
    #[arg(long, value_name = "SIZE", value_parser = size::parse, conflicts_with = "overwrite")]
    size: Option<u64>,
}

pub(super) fn run(session: &Session, args: &ImportArgs) -> Result<Reply, Failure> {
    // The image is opened first: a misspelt path must not touch the store.
    let mut source = open(&args.image)?;
    session.with_keeper(|keeper| {
        let imported = {
            let doing = format!("importing {}", args.image);
            let progress = Progress::bytes(session.style, &doing, source.size_bytes());
            pour(keeper, args, &mut *source, &mut |position| progress.at(position)).map_err(|failure| failure.context(doing))?
        };
        Ok(answer(args, &imported).into())
    })
}

fn pour(
    keeper: &dyn Keeper,
    args: &ImportArgs,
    source: &mut dyn ImageSource,
    progress: &mut dyn FnMut(u64),
) -> Result<Imported, Failure> {
    if args.overwrite {
        return keeper.import_over(&args.name, source, progress).map_err(|failure| match failure.kind() {
            FailureKind::NotFound => failure.consequence("without --overwrite a new one is made"),
            _ => failure,
        });
    }
    if let Some(uuid) = keeper.drives_named(&args.name)?.first() {
        let message =
            format!("drive {:?} exists already ({uuid}): choose another name, or write over it with --overwrite", args.name);
        return Err(Failure::new(FailureKind::AlreadyExists, message));
    }
    keeper.import_new(&args.name, args.size, source, progress)
}

fn answer(args: &ImportArgs, imported: &Imported) -> Document {
    let drive = &imported.drive;
    let done = if args.overwrite { "overwritten" } else { "created" };
    let text = format!(
        "drive {:?} {done}: {}, {} with {} of data\n",
        drive.name,
        drive.uuid,
        rounded(drive.size_bytes),
        rounded(imported.data_bytes)
    );
    Document::about([drive.uuid], text, json::drive(drive))
}

fn open(image: &str) -> Result<Box<dyn ImageSource>, Failure> {
    let asking = |error| Failure::io(image, error);
    let file = if image == "-" { stdin()? } else { File::open(image).map_err(asking)? };
    if file.metadata().map_err(asking)?.is_dir() {
        return Err(Failure::new(FailureKind::InvalidArgument, format!("{image} is a directory, not an image")));
    }
    Ok(match FileSource::new(file).map_err(asking)? {
        Ok(file) => Box::new(file),
        Err(pipe) => Box::new(StreamSource::new(pipe)),
    })
}

fn stdin() -> Result<File, Failure> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(Failure::new(FailureKind::InvalidArgument, "stdin is a terminal: pipe an image into it"));
    }
    // A handle of its own: no buffer in between, and a redirected file shows its holes.
    Ok(File::from(stdin.as_fd().try_clone_to_owned().map_err(|error| Failure::io("stdin", error))?))
}
