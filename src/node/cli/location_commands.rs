//! What does `floe location` do?

use super::location_care;
use super::output::{Document, Reply};
use super::remote_commands::ConfigArgs;
use super::session::Session;
use super::table::{Align, aligned};
use crate::node::failure::{Failure, FailureKind};
use crate::node::remote::collect::Options;
use crate::node::remote::location::Location;
use crate::node::remote::remotes::Remotes;
use crate::node::remote::repository::Repository;
use crate::node::remote::repository::keys::{Key, Made, Wrapped};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;
use uuid::Uuid;

#[derive(Debug, Args)]
pub(super) struct LocationArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    command: LocationCommand,
}

#[derive(Debug, Subcommand)]
enum LocationCommand {
    /// List locations
    List,
    /// Make a repository at a location; encrypted if a key file or a passphrase is set for it
    Init {
        /// The location's code
        code: String,
    },
    /// Take notice of the remote snapshots that a location has, whoever made them
    Import {
        /// The location's code
        code: String,
    },
    /// Show what a location's store can do, and what its remote snapshots hold
    Check {
        /// The location's code
        code: String,
    },
    /// Give back what no remote snapshot needs: doomed now, deleted by a collection after the grace period
    Collect {
        /// The location's code
        code: String,
        /// Only say what would go, and why
        #[arg(long)]
        dry_run: bool,
        /// Seconds that doomed packs stay, for readers and uploads that know them
        #[arg(long, value_name = "SECONDS", default_value_t = 24 * 60 * 60)]
        grace: u64,
        /// Promise that no other node collects at this location: needed where the store ignores conditions
        #[arg(long)]
        alone: bool,
    },
    /// Look for what is missing, damaged or orphaned, and name the remote snapshots affected; exit code 1 if there is any
    Verify {
        /// The location's code
        code: String,
        /// Read every byte
        #[arg(long)]
        read_data: bool,
    },
    /// Make a lost or damaged index again, of what packs say of themselves
    Rebuild {
        /// The location's code
        code: String,
        /// As for collect
        #[arg(long)]
        alone: bool,
    },
    /// List the keys that open an encrypted location
    Keys {
        /// The location's code
        code: String,
    },
    /// Let another key open an encrypted location
    AddKey {
        /// The location's code
        code: String,
        /// A file whose content is the key
        #[arg(long, value_name = "FILE", required_unless_present = "passphrase_file", conflicts_with = "passphrase_file")]
        key_file: Option<PathBuf>,
        /// A file whose first line is a passphrase
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Let a key open an encrypted location no longer
    RemoveKey {
        /// The location's code
        code: String,
        /// Which
        key: Uuid,
    },
}

pub(super) fn run(session: &Session, args: &LocationArgs) -> Result<Reply, Failure> {
    let config = &args.config;
    let with = |code, work: &mut dyn FnMut(&Repository, &str) -> Result<Reply, Failure>| {
        config.with_location(session, code, |_, repository, remotes| {
            let holder = remotes.map_or_else(|| "a command".into(), |remotes| format!("store {}", remotes.store().info().uuid));
            work(repository, &holder)
        })
    };
    match &args.command {
        LocationCommand::List => config.with_remotes(session, list),
        LocationCommand::Init { code } => init(config.locations(session)?.find(code)?, code),
        LocationCommand::Import { code } => config.with_remotes(session, |remotes| import(remotes, code)),
        LocationCommand::Check { code } => with(code, &mut |repository, _| location_care::check(repository)),
        LocationCommand::Collect { code, dry_run, grace, alone } => with(code, &mut |repository, holder| {
            let grace = Duration::from_secs(*grace);
            let options = Options { grace, alone: *alone, holder: holder.into(), ..Options::default() };
            location_care::collect(session.style, repository, &options, *dry_run)
        }),
        LocationCommand::Verify { code, read_data } => {
            with(code, &mut |repository, _| location_care::verify(session.style, repository, *read_data))
        }
        LocationCommand::Rebuild { code, alone } => {
            with(code, &mut |repository, holder| location_care::rebuild(repository, holder, *alone))
        }
        LocationCommand::Keys { code } => with(code, &mut |repository, _| keys(repository)),
        LocationCommand::AddKey { code, key_file, passphrase_file } => {
            config.with_location(session, code, |location, repository, _| {
                let key = key(location, code)?;
                let new =
                    Location { key_file: key_file.clone(), passphrase_file: passphrase_file.clone(), ..Location::default() };
                let new = new.key()?.expect("one of the two is given");
                let wrapped = repository.add_key(&key, &new)?;
                let text = format!("key {} opens location {code} too\n", wrapped.uuid);
                Ok(Document::about([wrapped.uuid], text, json!({"uuid": wrapped.uuid.to_string()})).into())
            })
        }
        LocationCommand::RemoveKey { code, key } => with(code, &mut |repository, _| {
            repository.remove_key(*key)?;
            let text = format!("key {key} does not open location {code} any more\n");
            Ok(Document::about([*key], text, json!({"uuid": key.to_string()})).into())
        }),
    }
}

fn init(location: &Location, code: &str) -> Result<Reply, Failure> {
    let repository = Repository::init(location.bucket(code)?, location.key()?.as_ref())?;
    let about = repository.about();
    let encrypted = if about.encrypted { ", encrypted" } else { "" };
    let text = format!("location {code} has a repository now{encrypted}: {}\n", about.uuid);
    let json = json!({"location": code, "repository": about.uuid.to_string(), "encrypted": about.encrypted});
    Ok(Document::about([about.uuid], text, json).into())
}

fn import(remotes: &Remotes, code: &str) -> Result<Reply, Failure> {
    let imported = remotes.import(code, &|_| None)?;
    let (found, lost, damaged) = (&imported.found, &imported.lost, &imported.damaged);
    let mut text = format!("{} remote snapshots found, {} are gone\n", found.len(), lost.len());
    damaged.iter().for_each(|words| text += &format!("damaged: {words}\n"));
    let uuids = |uuids: &[Uuid]| uuids.iter().map(Uuid::to_string).collect::<Vec<_>>();
    let json = json!({"location": code, "found": uuids(found), "lost": uuids(lost), "damaged": damaged});
    Ok(Document::about(found.iter().copied(), text, json).into())
}

fn keys(repository: &Repository) -> Result<Reply, Failure> {
    let keys = repository.keys()?;
    let kind = |made: &Made| if matches!(made, Made::File) { "file" } else { "passphrase" };
    let rows: Vec<_> = keys.iter().map(|key| [key.uuid.to_string(), kind(&key.made).into(), key.created.to_seconds()]).collect();
    let text = aligned([("UUID", Align::Left), ("KIND", Align::Left), ("CREATED (UTC)", Align::Left)], &rows);
    let plain =
        |key: &Wrapped| json!({"uuid": key.uuid.to_string(), "kind": kind(&key.made), "timestamp": key.created.to_string()});
    Ok(Document::about(keys.iter().map(|key| key.uuid), text, keys.iter().map(plain).collect()).into())
}

fn key(location: &Location, code: &str) -> Result<Key, Failure> {
    let message = || Failure::new(FailureKind::InvalidArgument, format!("no key is set for location {code}"));
    location.key()?.ok_or_else(message)
}

fn list(remotes: &Remotes) -> Result<Reply, Failure> {
    let usual = remotes.locations().default_code();
    let mut rows = Vec::new();
    let mut json = Vec::new();
    for code in remotes.locations().codes() {
        let location = remotes.locations().find(code)?;
        let count = remotes.some(|known| known.location == code).len();
        let is_usual = usual == Some(code);
        rows.push([code.to_owned(), count.to_string(), if is_usual { "yes" } else { "" }.into(), location.url.clone()]);
        json.push(json!({"code": code, "url": location.url, "remote_snapshots": count, "default": is_usual}));
    }
    let heads = [("CODE", Align::Left), ("REMOTE SNAPSHOTS", Align::Right), ("DEFAULT", Align::Left), ("URL", Align::Left)];
    Ok(Document::new(aligned(heads, &rows), json.into()).into())
}
