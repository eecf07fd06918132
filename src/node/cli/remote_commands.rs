//! What does `floe remote` do?

use super::output::{Document, Reply, Style};
use super::progress::Progress;
use super::session::Session;
use super::size::{exact, rounded};
use super::table::{Align, aligned, fields};
use super::{json, text};
use crate::Store;
use crate::node::failure::{Failure, FailureKind};
use crate::node::remote::location::{Location, Locations};
use crate::node::remote::remotes::{INTERVAL, Remotes};
use crate::node::remote::repository::Repository;
use crate::node::remote::repository::manifest::Description;
use crate::node::remote::settings::Settings;
use crate::node::remote::upload;
use crate::node::service::keeper::Keeper;
use crate::node::service::local::Local;
use crate::node::service::objects::DriveView;
use crate::node::service::remotes::{self, RemoteView};
use crate::node::service::{select, stores};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where locations are set.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    /// A file with sections [location.CODE] and [backup.NAME] (TOML) [default: the six usual locations, each a directory beside the store]
    #[arg(long, global = true, env = "FLOE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Seconds that must lie between two remote snapshots of a drive
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = INTERVAL.as_secs())]
    remote_interval: u64,
}

impl ConfigArgs {
    /// What the file says.
    pub fn settings(&self) -> Result<Settings, Failure> {
        Settings::read(self.config.as_deref())
    }

    /// Does `work` on a location, beside a node too that has the store open; `None` stands for its remote snapshots then.
    pub fn with_location(
        &self,
        session: &Session,
        code: &str,
        work: impl FnOnce(&Location, &Repository, Option<&Remotes>) -> Result<Reply, Failure>,
    ) -> Result<Reply, Failure> {
        let locations = self.locations(session)?;
        let location = locations.find(code)?.clone();
        let store = match stores::open(session.path(None)?) {
            Err(failure) if failure.kind() == FailureKind::Locked => {
                return work(&location, &location.repository(location.bucket(code)?)?, None);
            }
            store => store?,
        };
        stores::close_after(store, |store| {
            let remotes = self.remotes(store, locations)?;
            work(&location, &*remotes.repository(code)?, Some(&remotes))
        })
    }

    /// The locations of a store.
    pub fn locations(&self, session: &Session) -> Result<Locations, Failure> {
        let path = session.path(None)?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        self.settings()?.locations(directory)
    }

    fn remotes(&self, store: &Store, locations: Locations) -> Result<Remotes, Failure> {
        Remotes::of(store, locations, Duration::from_secs(self.remote_interval))
    }

    /// Does `work` on the remote snapshots that a store knows, and closes it.
    pub fn with_remotes(
        &self,
        session: &Session,
        work: impl FnOnce(&Remotes) -> Result<Reply, Failure>,
    ) -> Result<Reply, Failure> {
        let locations = self.locations(session)?;
        session.with_store(|store| work(&self.remotes(store, locations)?))
    }
}

#[derive(Debug, Args)]
pub(super) struct RemoteArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    command: RemoteCommand,
}

#[derive(Debug, Subcommand)]
enum RemoteCommand {
    /// Take a remote snapshot of a drive: only what changed since the one before is sent
    Create {
        /// Of which drive
        drive: String,
        /// The code of the location [default: GVA]
        #[arg(long, value_name = "CODE")]
        location: Option<String>,
        /// Its name [default: the drive's uuid and the time]
        #[arg(long, value_parser = NonEmptyStringValueParser::new())]
        name: Option<String>,
    },
    /// List all that are known, or those of one drive, which may be gone
    List {
        /// Of which drive
        drive: Option<String>,
    },
    /// Show one
    Show {
        /// Which; drive@name works too
        remote: String,
    },
    /// Give one another name
    Rename {
        /// Which; drive@name works too
        remote: String,
        /// Its new name
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
    },
    /// Make a drive of one, with all of its image
    Clone {
        /// Which; drive@name works too
        remote: String,
        /// The drive's name
        #[arg(long, value_parser = NonEmptyStringValueParser::new())]
        name: String,
    },
    /// Delete one; `floe location collect` gives the space at its location back
    Delete {
        /// Which; drive@name works too
        remote: String,
    },
    /// Go on with what was interrupted
    Resume,
}

pub(super) fn run(session: &Session, args: &RemoteArgs) -> Result<Reply, Failure> {
    args.config.with_remotes(session, |remotes| match &args.command {
        RemoteCommand::Create { drive, location, name } => {
            let drive = select::drive(remotes.store(), drive)?;
            let bar = Sent::new(session.style);
            let made = remotes::create(remotes, &drive, location.as_deref(), name.as_deref(), &mut |progress| bar.at(progress));
            said(&made?, "created")
        }
        RemoteCommand::List { drive } => {
            let drive = drive.as_deref().map(|word| drive_that_may_be_gone(remotes, word)).transpose()?;
            remotes.count_sizes().unwrap_or_default();
            let views = remotes::list(remotes, drive)?;
            let text = table(&views, remotes)?;
            let json = views.iter().map(RemoteView::to_json).collect();
            Ok(Document::about(views.iter().map(|view| view.uuid), text, json).into())
        }
        RemoteCommand::Show { remote } => {
            remotes.count_sizes().unwrap_or_default();
            let view = remotes::view(remotes, remotes::find(remotes, remote)?)?;
            Ok(Document::about([view.uuid], shown(&view), view.to_json()).into())
        }
        RemoteCommand::Rename { remote, name } => {
            let view = remotes::view(remotes, remotes::find(remotes, remote)?)?;
            let description = Description { name: name.clone(), ..view.known.description };
            remotes.edit(view.uuid, description)?;
            said(&remotes::view(remotes, view.uuid)?, "renamed")
        }
        RemoteCommand::Clone { remote, name } => {
            let uuid = remotes::find(remotes, remote)?;
            let bar = Progress::bytes(session.style, "fetching", Some(0));
            let drive = remotes::clone(remotes, uuid, name, &mut |done, total| bar.of_total(done, total))?;
            let view = DriveView::of(&drive)?;
            let text = format!("drive {:?} created: {}\n", view.name, view.uuid);
            Ok(Document::about([view.uuid], text, json::drive(&view)).into())
        }
        RemoteCommand::Delete { remote } => {
            let view = remotes::delete(remotes, remotes::find(remotes, remote)?)?;
            said(&view, "deleted")
        }
        RemoteCommand::Resume => {
            let bar = Sent::new(session.style);
            let done = remotes::go_on(remotes, &mut |progress| bar.at(progress))?;
            let text = done.iter().map(|uuid| format!("remote snapshot {uuid} is available\n")).collect();
            let json = done.iter().map(|uuid| uuid.to_string()).collect();
            Ok(Document::about(done, text, json).into())
        }
    })
}

/// A bar for what is sent.
struct Sent(Progress);

impl Sent {
    fn new(style: Style) -> Self {
        Self(Progress::bytes(style, "sending", Some(0)))
    }

    fn at(&self, progress: upload::Progress) {
        self.0.of_total(progress.done_bytes, progress.total_bytes);
    }
}

fn said(view: &RemoteView, done: &str) -> Result<Reply, Failure> {
    let text = format!("remote snapshot {:?} {done}: {}\n", view.known.description.name, view.uuid);
    Ok(Document::about([view.uuid], text, view.to_json()).into())
}

/// A drive, or one that remote snapshots remember.
fn drive_that_may_be_gone(remotes: &Remotes, word: &str) -> Result<uuid::Uuid, Failure> {
    match uuid::Uuid::try_parse(word) {
        Ok(uuid) if !remotes.some(|known| known.drive == uuid).is_empty() => Ok(uuid),
        _ => Ok(select::drive(remotes.store(), word)?.uuid()),
    }
}

fn table(views: &[RemoteView], remotes: &Remotes) -> Result<String, Failure> {
    let names = Local(remotes.store()).drive_names()?;
    let unknown = || "?".to_owned();
    let row = |view: &RemoteView| {
        let known = &view.known;
        [
            known.description.name.clone(),
            view.uuid.to_string(),
            text::drive_name(known.drive, &names),
            known.location.clone(),
            known.state.name(),
            rounded(known.size_bytes),
            view.allocated_bytes.map_or_else(unknown, rounded),
            known.referenced_bytes.map_or_else(unknown, rounded),
            known.timestamp.to_seconds(),
        ]
    };
    let heads = [
        ("NAME", Align::Left),
        ("UUID", Align::Left),
        ("DRIVE", Align::Left),
        ("LOCATION", Align::Left),
        ("STATUS", Align::Left),
        ("SIZE", Align::Right),
        ("ALLOCATED", Align::Right),
        ("REFERENCED", Align::Right),
        ("CREATED (UTC)", Align::Left),
    ];
    Ok(aligned(heads, &views.iter().map(row).collect::<Vec<_>>()))
}

fn shown(view: &RemoteView) -> String {
    let known = &view.known;
    let unknown = || "not known yet".to_owned();
    let mut rows = vec![
        ("name", known.description.name.clone()),
        ("uuid", view.uuid.to_string()),
        ("drive", known.drive.to_string()),
        ("location", known.location.clone()),
        ("status", known.state.name()),
        ("created", known.timestamp.to_string()),
        ("size", exact(known.size_bytes)),
        ("allocated", view.allocated_bytes.map_or_else(unknown, exact)),
        ("referenced", known.referenced_bytes.map_or_else(unknown, exact)),
    ];
    if let Some(policy) = &known.policy {
        rows.push(("schedule", policy.clone()));
    }
    if let Some(error) = &known.error {
        rows.push(("error", error.clone()));
    }
    fields(&rows)
}
