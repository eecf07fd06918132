//! What does `floe user` do?

use super::output::{Document, Reply};
use super::serve_settings::DATA;
use super::session::Session;
use super::size;
use super::table::{Align, aligned};
use crate::Store;
use crate::node::accounts::{Account, Accounts, new_password};
use crate::node::api::{BACKUP, STORAGE_TYPES};
use crate::node::failure::{Failure, FailureKind};
use crate::node::service::stores::STORE_FILE;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Where a command looks for a password, so that it stands in no list of processes.
const PASSWORD: &str = "FLOE_PASSWORD";

#[derive(Debug, Args)]
pub(super) struct UserArgs {
    /// The node's directory; the node must not be running
    #[arg(long, value_name = "DIR", env = "FLOE_DATA", default_value = DATA, global = true)]
    data: PathBuf,
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Make an account; its password is taken from FLOE_PASSWORD, or made up and printed
    Add {
        /// By what it logs in
        email: String,
    },
    /// List all accounts
    List,
    /// Give an account another password, taken from FLOE_PASSWORD, or made up and printed
    Passwd {
        /// Which
        email: String,
    },
    /// Say how much an account may have; what is not named stays as it is
    Limit {
        /// Which
        email: String,
        /// Snapshots; "default" for what the node lets everybody have
        #[arg(long, value_name = "COUNT", value_parser = count_or_default)]
        snapshots: Option<Count>,
        /// Snapshots of one drive
        #[arg(long, value_name = "COUNT", value_parser = count_or_default)]
        snapshots_per_drive: Option<Count>,
        /// Remote snapshots
        #[arg(long, value_name = "COUNT", value_parser = count_or_default)]
        remote_snapshots: Option<Count>,
        /// Bytes of a class of storage; "default" for no limit; can be given several times
        #[arg(long, value_name = "CLASS=SIZE", value_parser = class_and_size)]
        bytes: Vec<(String, Option<u64>)>,
        /// Bytes of a class of storage that were paid for: what is used beyond them is burst; can be given several times
        #[arg(long, value_name = "CLASS=SIZE", value_parser = class_and_size)]
        subscribe: Vec<(String, Option<u64>)>,
    },
    /// Delete an account; its drives and snapshots stay
    Delete {
        /// Which
        email: String,
    },
}

/// A count, or what the node lets everybody have.
type Count = Option<u64>;

const DEFAULT: &str = "default";

fn count_or_default(text: &str) -> Result<Count, String> {
    if text == DEFAULT {
        Ok(None)
    } else {
        text.parse().map(Some).map_err(|error| format!("neither a count nor \"{DEFAULT}\": {error}"))
    }
}

fn class_and_size(text: &str) -> Result<(String, Option<u64>), String> {
    let (class, bytes) = text.split_once('=').ok_or("it is CLASS=SIZE")?;
    if !STORAGE_TYPES.contains(&class) && class != BACKUP {
        return Err(format!("there is no class {class:?}: it is {} or {BACKUP}", STORAGE_TYPES.join(", ")));
    }
    let bytes = if bytes == DEFAULT { None } else { Some(size::parse(bytes)?) };
    Ok((class.to_owned(), bytes))
}

pub(super) fn run(session: &Session, args: &UserArgs) -> Result<Reply, Failure> {
    session.with_store_at(&args.data.join(STORE_FILE), |store| answer(store, &args.command))
}

fn answer(store: &Store, command: &UserCommand) -> Result<Reply, Failure> {
    let accounts = Accounts::of(store)?;
    let find = |email: &str| {
        accounts.by_email(email).ok_or_else(|| Failure::new(FailureKind::NotFound, format!("there is no account {email:?}")))
    };
    Ok(match command {
        UserCommand::Add { email } => {
            let (password, made_up) = password();
            told(&accounts.add(email, &password)?, made_up.then_some(&password))
        }
        UserCommand::List => {
            let all = accounts.all();
            let rows: Vec<_> = all
                .iter()
                .map(|account| [account.email.clone(), account.uuid.to_string(), account.made().to_seconds()])
                .collect();
            let heads = [("EMAIL", Align::Left), ("UUID", Align::Left), ("CREATED (UTC)", Align::Left)];
            let json = all.iter().map(described).collect();
            Document::about(all.iter().map(|account| account.uuid), aligned(heads, &rows), json)
        }
        UserCommand::Passwd { email } => {
            let account = find(email)?;
            let (password, made_up) = password();
            accounts.set_password(account.uuid, &password)?;
            told(&account, made_up.then_some(&password))
        }
        UserCommand::Limit { email, snapshots, snapshots_per_drive, remote_snapshots, bytes, subscribe } => {
            let account = find(email)?;
            let mut limits = account.limits;
            limits.snapshots = snapshots.unwrap_or(limits.snapshots);
            limits.snapshots_per_drive = snapshots_per_drive.unwrap_or(limits.snapshots_per_drive);
            limits.remote_snapshots = remote_snapshots.unwrap_or(limits.remote_snapshots);
            for (all, changed) in [(&mut limits.bytes, bytes), (&mut limits.subscribed, subscribe)] {
                for (class, bytes) in changed {
                    match bytes {
                        Some(bytes) => all.insert(class.clone(), *bytes),
                        None => all.remove(class),
                    };
                }
            }
            accounts.set_limits(account.uuid, limits)?;
            told(&find(email)?, None)
        }
        UserCommand::Delete { email } => {
            let account = find(email)?;
            accounts.delete(account.uuid)?;
            let text = format!("account {:?} deleted: {}\n", account.email, account.uuid);
            Document::about([account.uuid], text, described(&account))
        }
    }
    .into())
}

/// The password that is asked for, and whether it was made up.
fn password() -> (String, bool) {
    match std::env::var(PASSWORD) {
        Ok(password) if !password.is_empty() => (password, false),
        _ => (new_password(), true),
    }
}

fn told(account: &Account, password: Option<&String>) -> Document {
    let mut text = format!("account {:?}: {}\n", account.email, account.uuid);
    let mut json = described(account);
    if let Some(password) = password {
        text += &format!("password {password}\n");
        json["password"] = password.as_str().into();
    }
    Document::about([account.uuid], text, json)
}

fn described(account: &Account) -> Value {
    let limits = serde_json::to_value(&account.limits).expect("plain data");
    json!({"uuid": account.uuid.to_string(), "email": account.email, "timestamp": account.made().to_string(), "limits": limits})
}
