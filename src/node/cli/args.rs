//! Which words does the command understand?

use super::backup_commands::BackupArgs;
use super::bookmark_commands::BookmarkCommand;
use super::drive_commands::DriveCommand;
use super::exit;
use super::location_commands::LocationArgs;
use super::nbd_command::NbdArgs;
use super::place::PlaceArgs;
use super::remote_commands::RemoteArgs;
use super::scrub_command::ScrubArgs;
use super::serve_command::ServeArgs;
use super::snapshot_commands::{CloneArgs, RevertArgs, SnapshotCommand};
use super::store_commands::StoreCommand;
use super::user_commands::UserArgs;
use clap::{Parser, Subcommand};

/// Keeps drive images with copy-on-write snapshots of exactly known sizes in one file.
#[derive(Debug, Parser)]
#[command(name = "floe", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = NAMING, after_long_help = format!("{NAMING}\n\n{SIZES}\n\n{}", exit::table()))]
pub(super) struct Floe {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Print JSON: sizes are bytes, errors are objects on stderr
    #[arg(long, global = true)]
    pub json: bool,
    /// Print only uuids where things are listed, made or deleted; no notes, no progress
    #[arg(long, short, global = true)]
    pub quiet: bool,
    #[command(subcommand)]
    pub command: Command,
}

const NAMING: &str = "Drives, snapshots and bookmarks are named by uuid, by at least 8 digits of its beginning, by name, or as \
    drive@snapshot. A name that fits several things is refused, and the things are listed. `floe --help` shows sizes and exit codes.";

const SIZES: &str = "Sizes: 4096, 10G, 10GiB, 1.5T are binary (1 K = 1024), as in qemu-img; 10GB is decimal (1 KB = 1000).";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create, inspect, check and enlarge stores
    #[command(subcommand)]
    Store(StoreCommand),
    /// Work with drives: writable images
    #[command(subcommand)]
    Drive(DriveCommand),
    /// Work with snapshots: frozen images of drives
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// Work with bookmarks: points in time that hold no data, to find what changed since
    #[command(subcommand)]
    Bookmark(BookmarkCommand),
    /// Work with remote snapshots: backups in object storage that outlive drive and store
    Remote(RemoteArgs),
    /// Work with locations: the object stores that remote snapshots are kept in
    Location(LocationArgs),
    /// Work with schedules of remote snapshots
    Backup(BackupArgs),
    /// Make a drive from a snapshot; it shares all data and needs neither snapshot nor drive afterwards
    Clone(CloneArgs),
    /// Give a drive the image of a snapshot; the image it has now is lost unless a snapshot keeps it
    Revert(RevertArgs),
    /// Compare all data with its checksums and name every damage; exit code 1 if there is any. Can be interrupted and goes on later
    Scrub(ScrubArgs),
    /// Run a node: the HTTP API, and drives and snapshots for NBD clients, until a signal ends it
    ///
    /// Runs until SIGTERM or SIGINT: then nobody is let in any more, requests that came are answered, and the store is closed. A
    /// second signal ends it at once, as if the power had failed.
    Serve(Box<ServeArgs>),
    /// Work with the accounts of a node
    User(UserArgs),
    /// Serve one drive or snapshot to one NBD client
    Nbd(NbdArgs),
    /// Print a completion script for a shell
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
}

#[cfg(test)]
mod tests {
    use super::Floe;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Floe::command().debug_assert();
    }
}
