//! Where does a command find drives and snapshots: in a store, or on a node?
//!
//! What the command line says counts before what the environment says; one of them may not say both.

use crate::node::client::{Connection, Credentials, Node};
use crate::node::failure::{Failure, FailureKind};
use clap::Args;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// By what the environment names a store.
const STORE: &str = "FLOE_STORE";
/// By what it names a node.
const URL: &str = "FLOE_URL";

#[derive(Debug, Default, Args)]
pub(super) struct PlaceArgs {
    /// The store to work on: a file or block device
    #[arg(long, global = true, env = STORE, value_name = "PATH")]
    store: Option<PathBuf>,
    /// The running node to work with, as http://127.0.0.1:8080; drives, snapshots and clones alone
    #[arg(long, global = true, env = URL, value_name = "URL")]
    url: Option<String>,
    /// A file with email and password for the node, on two lines or as EMAIL:PASSWORD [default: FLOE_USER and FLOE_PASSWORD]
    #[arg(long, global = true, env = "FLOE_CREDENTIALS", value_name = "FILE")]
    credentials: Option<PathBuf>,
    /// Certificates that the node's must be signed by, a PEM file [default: those that the system trusts]
    #[arg(long, global = true, env = "FLOE_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// Where drives and snapshots are.
pub(super) enum Place<'a> {
    Store(&'a Path),
    Node(&'a str),
}

impl PlaceArgs {
    /// The place that is meant.
    pub fn place(&self) -> Result<Place<'_>, Failure> {
        let store = self.store.as_deref().map(Place::Store);
        let node = self.url.as_deref().map(Place::Node);
        let (store, node) = match (store, node) {
            (Some(store), Some(node)) => match (self.names_store(), self.names_node()) {
                (true, false) => (Some(store), None),
                (false, true) => (None, Some(node)),
                _ => {
                    let message = format!("--store ({STORE}) is a store here, --url ({URL}) a node: which of them is meant?");
                    return Err(Failure::new(FailureKind::InvalidArgument, message));
                }
            },
            one => one,
        };
        store.or(node).ok_or_else(|| {
            let message = format!("which store? give --store PATH, or set {STORE} in the environment; --url or {URL} for a node");
            Failure::new(FailureKind::InvalidArgument, message)
        })
    }

    /// The store's path: the command's own argument, else what the options say.
    pub fn path<'a>(&'a self, argument: Option<&'a Path>) -> Result<&'a Path, Failure> {
        match argument {
            Some(path) if !self.names_node() => Ok(path),
            _ => match self.place()? {
                Place::Store(path) => Ok(path),
                Place::Node(url) => {
                    let message =
                        format!("this works on a store, and {url} is a running node: stop the node, and give its store");
                    Err(Failure::new(FailureKind::InvalidArgument, message))
                }
            },
        }
    }

    /// The node at that URL.
    pub fn node(&self, url: &str) -> Result<Node, Failure> {
        let credentials = Credentials::find(self.credentials.as_deref())?;
        Ok(Node(Connection::new(url, &credentials, self.ca.as_deref())?))
    }

    fn names_store(&self) -> bool {
        is_on_command_line(self.store.as_deref().map(Path::as_os_str), STORE)
    }

    fn names_node(&self) -> bool {
        is_on_command_line(self.url.as_deref().map(OsStr::new), URL)
    }
}

/// What the environment does not say, the command line does.
fn is_on_command_line(said: Option<&OsStr>, variable: &str) -> bool {
    said.is_some_and(|said| std::env::var_os(variable).as_deref() != Some(said))
}
