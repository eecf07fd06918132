//! What does the HTTP API answer?
//!
//! Calls in, answers out: nothing here knows a socket. A table ([`routes`]) says which path and method is answered by what; an answer is JSON
//! or nothing. docs/http.md is the page for users.
//!
//! 1. Every failure is a list of errors (`fault`), on every URL.
//! 2. What is somebody else's does not exist (404), also in bulk and behind filters.

mod body;
mod drives;
mod fault;
mod filter;
mod naming;
mod page;
mod resources;
mod routes;
mod schema;
mod snapshots;
mod wire;

pub use fault::{ErrorType, Fault};

use crate::Store;
use crate::node::accounts::{Account, Accounts};
use serde_json::Value;
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

/// How many NBD connections use a drive.
pub type Connections = Arc<dyn Fn(Uuid) -> usize + Send + Sync>;

/// The API of a node.
pub struct Api {
    store: Store,
    accounts: Arc<Accounts>,
    connections: Connections,
}

impl Api {
    /// The API of a store and its accounts; `connections` says how many NBD connections use a drive.
    #[must_use]
    pub fn new(store: &Store, accounts: Arc<Accounts>, connections: Connections) -> Self {
        Self { store: store.clone(), accounts, connections }
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
}
