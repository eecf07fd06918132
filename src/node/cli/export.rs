//! What does `floe drive export` do?

use super::output::{Document, Reply};
use super::progress::Progress;
use super::session::Session;
use super::size::rounded;
use crate::node::failure::{Failure, FailureKind};
use crate::node::service::export::{Exportable, Exported, ImageSink, SparseFile, Stream};
use clap::Args;
use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;
use serde_json::json;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Seek};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The drive or snapshot
    image: String,
    /// Where to: a file, a block device (with --force), or - for stdout
    to: String,
    /// Replace the file if it exists, or write over the block device
    #[arg(long)]
    force: bool,
}

/// Where an image goes.
enum Target {
    Stdout,
    /// A pipe or the like: everything is written, in order.
    Pipe(PathBuf),
    /// The same, but what it holds now is lost.
    BlockDevice(PathBuf),
    File(PathBuf),
}

pub(super) fn run(session: &Session, args: &ExportArgs) -> Result<Reply, Failure> {
    let target = target(args)?;
    session.with_keeper(|keeper| {
        let image = keeper.image(&args.image)?;
        let doing = format!("exporting {}", args.image);
        let exported = {
            let progress = Progress::bytes(session.style, &doing, Some(image.size_bytes()?));
            write(&*image, &target, args.force, &mut |position| progress.at(position))
                .map_err(|failure| failure.context(doing))?
        };
        let text = format!(
            "{} exported to {}: {} with {} of data\n",
            args.image,
            if matches!(target, Target::Stdout) { "stdout" } else { &args.to },
            rounded(exported.image_bytes),
            rounded(exported.data_bytes)
        );
        let answer = json!({"to": args.to, "size": exported.image_bytes, "data_size": exported.data_bytes});
        Ok(Document { stdout_taken: matches!(target, Target::Stdout), ..Document::new(text, answer) }.into())
    })
}

/// Decides before the store is opened, so that a refusal costs nothing.
fn target(args: &ExportArgs) -> Result<Target, Failure> {
    if args.to == "-" {
        if io::stdout().is_terminal() {
            return Err(Failure::new(FailureKind::InvalidArgument, "stdout is a terminal: an image would garble it"));
        }
        return Ok(Target::Stdout);
    }
    let path = PathBuf::from(&args.to);
    let kind = match fs::metadata(&path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Target::File(path)),
        Err(error) => return Err(Failure::io(&args.to, error)),
    };
    if kind.is_fifo() || kind.is_char_device() {
        return Ok(Target::Pipe(path));
    }
    if kind.is_dir() {
        return Err(Failure::new(FailureKind::InvalidArgument, format!("{} is a directory", args.to)));
    }
    if !args.force {
        return Err(exists(&path));
    }
    if kind.is_block_device() {
        return Ok(Target::BlockDevice(path));
    }
    // What a symbolic link points to is replaced, not the link.
    Ok(Target::File(path.canonicalize().map_err(|error| Failure::io(&args.to, error))?))
}

fn exists(path: &Path) -> Failure {
    Failure::new(FailureKind::AlreadyExists, format!("{} exists already: --force replaces it", path.display()))
}

fn write(image: &dyn Exportable, target: &Target, force: bool, progress: &mut dyn FnMut(u64)) -> Result<Exported, Failure> {
    match target {
        Target::Stdout => {
            // A handle of its own: the standard library's stdout would look for line ends in the image.
            let stdout = io::stdout().as_fd().try_clone_to_owned().map_err(|error| Failure::io("stdout", error))?;
            image.export(&mut Stream::new(File::from(stdout)), progress)
        }
        Target::Pipe(path) => image.export(&mut Stream::new(open_to_write(path)?), progress),
        Target::BlockDevice(path) => {
            let mut device = open_to_write(path)?;
            let room = device.seek(io::SeekFrom::End(0)).and_then(|room| device.rewind().map(|()| room));
            let room = room.map_err(|error| Failure::io(path.display(), error))?;
            if room < image.size_bytes()? {
                let message = format!("{} has {room} bytes: too few for the image; nothing was written", path.display());
                return Err(Failure::new(FailureKind::NoSpace, message));
            }
            let exported = image.export(&mut Stream::new(&device), progress)?;
            device.sync_all().map_err(|error| Failure::io(path.display(), error))?;
            Ok(exported)
        }
        Target::File(path) => write_file(image, path, force, progress),
    }
}

fn open_to_write(path: &Path) -> Result<File, Failure> {
    OpenOptions::new().write(true).open(path).map_err(|error| Failure::io(path.display(), error))
}

fn write_file(image: &dyn Exportable, path: &Path, force: bool, progress: &mut dyn FnMut(u64)) -> Result<Exported, Failure> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".part-{}", Uuid::new_v4().simple()));
    let part = PathBuf::from(name);
    let file = OpenOptions::new().write(true).create_new(true).open(&part).map_err(|error| Failure::io(part.display(), error))?;
    let exported = fill(image, &file, progress).and_then(|exported| {
        file.sync_all().map_err(|error| Failure::io(part.display(), error))?;
        take_name(&part, path, force)?;
        Ok(exported)
    });
    exported.map_err(|failure| match fs::remove_file(&part) {
        Ok(()) => failure,
        Err(error) => failure.consequence(format_args!("{} could not be removed: {error}", part.display())),
    })
}

fn fill(image: &dyn Exportable, file: &File, progress: &mut dyn FnMut(u64)) -> Result<Exported, Failure> {
    let mut sink = SparseFile(file);
    // The size first: a file system that cannot hold such a file refuses before hours of writing.
    sink.end(image.size_bytes()?).map_err(|error| Failure::io("giving the file its size", error))?;
    image.export(&mut sink, progress)
}

fn take_name(part: &Path, path: &Path, force: bool) -> Result<(), Failure> {
    let renaming = |error| Failure::io(path.display(), error);
    if force {
        return fs::rename(part, path).map_err(renaming);
    }
    // A file may have appeared under the name meanwhile; not every file system can refuse that by itself.
    match rustix::fs::renameat_with(CWD, part, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => Err(exists(path)),
        Err(Errno::INVAL | Errno::NOSYS) if path.exists() => Err(exists(path)),
        Err(Errno::INVAL | Errno::NOSYS) => fs::rename(part, path).map_err(renaming),
        Err(error) => Err(renaming(error.into())),
    }
}
