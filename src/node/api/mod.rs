//! What does the HTTP API answer?
//!
//! Calls in, answers out: nothing here knows a socket. A table ([`routes`]) says which path and method is answered by what; an answer is JSON
//! or nothing. docs/http.md is the page for users.
//!
//! 1. Every failure is a list of errors (`fault`), on every URL.
//! 2. What is somebody else's does not exist (404), also in bulk and behind filters.

mod account;
mod acls;
mod body;
mod clone;
mod describe;
mod drives;
mod fault;
mod fields;
mod filter;
mod jobs;
mod manual;
mod naming;
mod openapi;
mod page;
mod place;
mod quota;
mod routes;
mod schema;
mod sharing;
mod shelf;
mod snapshots;
mod tags;
mod wire;

pub use fault::{ErrorType, Fault};
pub use quota::{BACKUP, Limits, STORAGE_TYPES};
pub use routes::template;

use crate::node::accounts::{Account, Accounts};
use crate::node::failure::Failure;
use crate::node::jobs::Jobs;
use crate::node::records::Records;
use crate::node::service::objects::present;
use crate::{Drive, Result, Snapshot, Store};
use parking_lot::Mutex;
use serde_json::Value;
use sharing::{Acl, Tag};
use shelf::{Item, Own, Shelf, Taken};
use std::collections::HashMap;
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
}

impl Answer {
    /// An answer with a body.
    fn json(status: u16, body: Value) -> Self {
        Self { status, body: Some(body), location: None, allow: None }
    }

    /// It is done, and there is nothing to say.
    fn nothing() -> Self {
        Self { status: 204, body: None, location: None, allow: None }
    }
}

impl From<Fault> for Answer {
    fn from(fault: Fault) -> Self {
        Self::json(fault.status, fault.to_json())
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

/// The API of a node. Drives and snapshots are made, described and deleted through it alone, as long as it is there.
pub struct Api {
    store: Store,
    accounts: Arc<Accounts>,
    connections: Connections,
    limits: Limits,
    drives: Shelf<Drive>,
    snapshots: Shelf<Snapshot>,
    tags: Records<Tag>,
    acls: Records<Acl>,
    jobs: Jobs,
    deciding: Mutex<HashMap<Uuid, Arc<Mutex<()>>>>,
}

impl Api {
    /// The API of a store and its accounts; `connections` says how many NBD connections use a drive. Jobs that were interrupted are
    /// ended first.
    ///
    /// # Errors
    /// `Io`, `Corrupt`, `NoSpace`
    pub fn new(store: &Store, accounts: Arc<Accounts>, connections: Connections, limits: Limits) -> Result<Self, Failure> {
        // Whatever else is read here, a job may have been changing.
        let jobs = Jobs::of(store)?;
        let api = Self {
            store: store.clone(),
            accounts,
            connections,
            limits,
            drives: Shelf::default(),
            snapshots: Shelf::default(),
            tags: Records::of(store)?,
            acls: Records::of(store)?,
            jobs,
            deciding: Mutex::default(),
        };
        for drive in store.drives() {
            api.put(&api.drives, drive)?;
        }
        for snapshot in store.snapshots() {
            api.put(&api.snapshots, snapshot)?;
        }
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
        let somebody = self.accounts.first().map_or(Uuid::nil(), |first| first.uuid);
        let uuid = handle.uuid();
        let own = present(Own::read(handle, somebody))?;
        if own.is_none() {
            shelf.remove(uuid);
        }
        Ok(own.map(|own| shelf.put(own)))
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
