//! What does the HTTP API answer?
//!
//! Calls in, answers out: nothing here knows a socket. A table (`routes`) says which path and method is answered by what; an answer is JSON
//! or nothing. docs/http.md is the page for users.
//!
//! 1. Every failure is a list of errors (`fault`), on every URL.
//! 2. What is somebody else's does not exist (404), also in bulk and behind filters.

mod account;
mod acls;
mod body;
mod clone;
mod content;
mod describe;
mod drives;
mod fault;
mod fields;
mod filter;
mod jobs;
mod listing;
mod manual;
mod naming;
mod openapi;
mod page;
mod place;
mod quota;
mod remote_snapshots;
mod routes;
mod schema;
mod sharing;
mod shelf;
mod snapshots;
mod span;
mod tags;
mod wire;

pub use content::{Content, Head, IMAGE, Incoming, Outgoing, Received};
pub use fault::{ErrorType, Fault};
pub use quota::{BACKUP, Limits, STORAGE_TYPES};
pub use routes::template;

use crate::node::accounts::{Account, Accounts};
use crate::node::attributes::Attributes;
use crate::node::failure::{Failure, FailureKind};
use crate::node::jobs::Jobs;
use crate::node::records::Records;
use crate::node::remote::filling;
use crate::node::remote::remotes::Remotes;
use crate::node::service::objects::{present, take_pins};
use crate::{Drive, Result, Snapshot, Store};
use parking_lot::Mutex;
use serde_json::Value;
use sharing::{Acl, Tag};
use shelf::{Item, Own, OwnRemote, RemoteHandle, Shelf, Taken};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use uuid::Uuid;

/// In front of every path of the API.
pub const BASE: &str = "/api/2.0";

/// A call, as far as the API is concerned.
#[derive(Clone, Debug)]
pub struct Call {
    /// In capitals.
    pub method: String,
    /// The path, decoded, without the query.
    pub path: String,
    /// The parameters of the query, decoded, in order.
    pub parameters: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Call {
    /// The first value of a parameter.
    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// JSON, or nothing.
    pub body: Option<Value>,
    /// Where what was made is found.
    pub location: Option<String>,
    /// The methods that the path has, if they were asked for, or the wrong one was used.
    pub allow: Option<String>,
    /// What failed below the API, by its name for the command.
    pub kind: Option<&'static str>,
}

impl Answer {
    /// An answer with a body.
    #[must_use]
    pub fn json(status: u16, body: Value) -> Self {
        Self { status, body: Some(body), location: None, allow: None, kind: None }
    }

    /// It is done, and there is nothing to say.
    fn nothing() -> Self {
        Self { body: None, ..Self::json(204, Value::Null) }
    }
}

impl From<Fault> for Answer {
    fn from(fault: Fault) -> Self {
        Self { kind: fault.kind.map(FailureKind::name), ..Self::json(fault.status, fault.to_json()) }
    }
}

/// What anybody may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Open {
    /// For programs.
    Json(String),
    /// For people.
    Html(String),
}

/// How many NBD connections use a drive.
pub type Connections = Arc<dyn Fn(Uuid) -> usize + Send + Sync>;

/// Tells whoever looks after remote snapshots that there is something to do.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// The API of a node. Drives and snapshots are made, described and deleted through it alone, as long as it is there.
pub struct Api {
    store: Store,
    accounts: Arc<Accounts>,
    connections: Connections,
    limits: Limits,
    drives: Shelf<Drive>,
    snapshots: Shelf<Snapshot>,
    remote_snapshots: Shelf<RemoteHandle>,
    remotes: Arc<Remotes>,
    wake: Wake,
    tags: Records<Tag>,
    acls: Records<Acl>,
    jobs: Jobs,
    deciding: Mutex<HashMap<Uuid, Arc<Mutex<()>>>>,
}

impl Api {
    /// The API of a store, whose jobs have ended or been undone, of its accounts and its remote snapshots; `connections` says how many NBD
    /// connections use a drive.
    ///
    /// # Errors
    /// `Io`, `Corrupt`, `NoSpace`
    pub fn new(
        store: &Store,
        jobs: Jobs,
        accounts: Arc<Accounts>,
        remotes: Arc<Remotes>,
        wake: Wake,
        connections: Connections,
        limits: Limits,
    ) -> Result<Self, Failure> {
        let api = Self {
            store: store.clone(),
            accounts,
            connections,
            limits,
            drives: Shelf::default(),
            snapshots: Shelf::default(),
            remote_snapshots: Shelf::default(),
            remotes,
            wake,
            tags: Records::of(store)?,
            acls: Records::of(store)?,
            jobs,
            deciding: Mutex::default(),
        };
        for drive in store.drives() {
            if Attributes::read(&drive.attributes()?).uploading() {
                tracing::info!(drive = %drive.uuid(), "deleting what came of an upload that was interrupted");
                drive.delete()?;
            } else {
                api.put(&api.drives, drive)?;
            }
        }
        let mut snapshots = store.snapshots();
        take_pins(&mut snapshots)?;
        for snapshot in snapshots {
            api.put(&api.snapshots, snapshot)?;
        }
        api.look_for_remotes()?;
        Ok(api)
    }

    /// Who may call.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Answers a call of an account.
    #[must_use]
    pub fn answer(&self, caller: &Account, call: &Call) -> Answer {
        routes::answer(self, caller, call)
    }

    /// Do bytes go out or come in by this method of this path? Then [`Api::content`] has what [`Api::answer`] has not.
    #[must_use]
    pub fn streams(method: &str, path: &str) -> bool {
        routes::streams(method, path)
    }

    /// What comes of a call for content; its body comes later.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn content(&self, caller: &Account, call: &Call, head: &Head) -> Result<Content, Fault> {
        routes::content(self, caller, call, head)
    }

    /// All of an image has come.
    ///
    /// # Errors
    /// What is wrong with it; then it is to be given up.
    pub fn finish(&self, caller: &Account, call: &Call, incoming: &Incoming) -> Result<Received, Fault> {
        incoming.finish(&routes::Asked::of(self, caller, call, ""))
    }

    /// What anybody may read: how the API is to be used, for programs and for people.
    #[must_use]
    pub fn open(path: &str) -> Option<Open> {
        match path.strip_prefix(BASE)?.trim_matches('/') {
            openapi::PATH => Some(Open::Json(openapi::openapi().to_string())),
            manual::PATH => Some(Open::Html(manual::manual())),
            _ => None,
        }
    }

    /// Takes what the engine says of a thing; nothing if it is not there any more.
    fn put<H: Item>(&self, shelf: &Shelf<H>, handle: H) -> Result<Option<Arc<Own<H>>>> {
        let uuid = handle.uuid();
        let own = present(Own::read(handle, |owner| self.owner(owner)))?;
        if own.is_none() {
            shelf.remove(uuid);
        }
        Ok(own.map(|own| shelf.put(own)))
    }

    /// Takes notice of the remote snapshots that others found or lost.
    ///
    /// # Errors
    /// None but the engine's.
    pub fn look_for_remotes(&self) -> Result<()> {
        let there = self.remotes.some(|_| true);
        let uuids: HashSet<Uuid> = there.iter().map(|(uuid, _)| *uuid).collect();
        for (uuid, _) in there {
            self.put_remote(uuid)?;
        }
        for uuid in self.remote_snapshots.uuids().into_iter().filter(|uuid| !uuids.contains(uuid)) {
            self.remote_snapshots.remove(uuid);
        }
        Ok(())
    }

    /// Takes what is remembered of a remote snapshot.
    fn put_remote(&self, uuid: Uuid) -> Result<Option<Arc<OwnRemote>>> {
        let Some(known) = self.remotes.find(uuid) else {
            self.remote_snapshots.remove(uuid);
            return Ok(None);
        };
        self.put(&self.remote_snapshots, RemoteHandle { remotes: Arc::clone(&self.remotes), uuid, drive: known.drive })
    }

    /// Says itself of drives that they have got all of their image: nobody else changes what is said of a drive meanwhile.
    pub fn watch_filling(self: &Arc<Self>) {
        let api = Arc::downgrade(self);
        self.remotes.tell_when_filled(Box::new(move |drive| match api.upgrade() {
            Some(api) => api.filled(drive),
            None => filling::filled(drive),
        }));
    }

    fn filled(&self, drive: &Drive) -> Result<(), Failure> {
        // By what it says itself: whoever makes it decides for its owner until it stands on its shelf.
        let deciding = self.deciding(self.owner(Attributes::read(&drive.attributes()?).owner()));
        let _deciding = deciding.lock();
        filling::filled(drive)?;
        if self.drives.find(drive.uuid()).is_some() {
            self.put(&self.drives, drive.clone())?;
        }
        Ok(())
    }

    /// Whoever a thing says owns it; the oldest account, if it says nobody, or somebody who has no account any more.
    fn owner(&self, said: Option<Uuid>) -> Uuid {
        let there = said.filter(|owner| self.accounts.find(*owner).is_some());
        there.or_else(|| self.accounts.first().map(|first| first.uuid)).unwrap_or(Uuid::nil())
    }

    /// Shows again what was to be deleted and is still there.
    fn put_back<H: Item>(&self, shelf: &Shelf<H>, taken: Vec<Taken<H>>) -> Result<()> {
        for taken in taken {
            if present(taken.own.handle.name())?.is_some() {
                shelf.put_back(taken);
            }
        }
        Ok(())
    }

    /// What an account has is counted, and added to, by one call at a time.
    fn deciding(&self, owner: Uuid) -> Arc<Mutex<()>> {
        Arc::clone(self.deciding.lock().entry(owner).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::{Api, Call, Limits};
    use crate::node::accounts::Accounts;
    use crate::node::attributes::Attributes;
    use crate::node::jobs::Jobs;
    use crate::node::remote::location::Locations;
    use crate::node::remote::remotes::{INTERVAL, Remotes};
    use crate::{DriveOptions, MemoryDevice, SnapshotOptions, Store};
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::sync::Arc;

    #[test]
    fn what_nobody_owns_is_the_oldest_accounts() {
        let store = Store::options().create_on(Arc::new(MemoryDevice::new(1 << 30).expect("memory"))).expect("a store");
        let accounts = Arc::new(Accounts::of(&store).expect("no accounts"));
        let [oldest, other, gone] = ["a@b", "c@d", "e@f"].map(|email| accounts.add(email, "secret").expect("an account"));
        let mut attributes = Attributes::read(b"");
        attributes.set_owner(gone.uuid);
        let drive =
            store.create_drive(DriveOptions::new(4096).name("orphan").attributes(attributes.to_bytes())).expect("a drive");
        drive.snapshot(SnapshotOptions::named("foundling")).expect("a snapshot");
        accounts.delete(gone.uuid).expect("an account less");
        let jobs = Jobs::of(&store).expect("no jobs");
        let locations = Locations::new(BTreeMap::new(), Path::new("/nowhere")).expect("the usual ones");
        let remotes = Arc::new(Remotes::of(&store, locations, INTERVAL).expect("none"));
        let (wake, connections) = (Arc::new(|| ()), Arc::new(|_| 0));
        let api = Api::new(&store, jobs, accounts, remotes, wake, connections, Limits::default()).expect("an API");
        for (account, count) in [(&oldest, 1), (&other, 0)] {
            for path in ["drives", "snapshots"] {
                let path = format!("/api/2.0/{path}/");
                let call = Call { method: "GET".into(), path, parameters: Vec::new(), body: Vec::new() };
                let answer = api.answer(account, &call);
                assert_eq!(answer.body.expect("a list")["meta"]["total_count"], count, "{} {}", account.email, call.path);
            }
        }
    }
}
