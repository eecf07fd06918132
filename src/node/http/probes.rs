//! What can be asked without a password?

use super::served::Served;
use crate::node::metrics::MEDIA_TYPE;
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use serde_json::json;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// Where `/metrics` is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricsAt {
    /// Where the API is.
    #[default]
    Http,
    /// Nowhere.
    Off,
    /// There alone, with the probes and without the API.
    Address(SocketAddr),
}

impl FromStr for MetricsAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "http" => Ok(Self::Http),
            "off" => Ok(Self::Off),
            _ => text.parse().map(Self::Address).map_err(|_| "it is neither http nor off nor ADDRESS:PORT".into()),
        }
    }
}

impl fmt::Display for MetricsAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http => f.write_str("http"),
            Self::Off => f.write_str("off"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Does the process answer?
    Health,
    /// Would it answer calls?
    Ready,
    /// How does it do?
    Metrics,
}

impl Probe {
    /// What a path asks.
    pub fn of(path: &str) -> Option<Self> {
        [Self::Health, Self::Ready, Self::Metrics].into_iter().find(|probe| probe.path() == path)
    }

    /// Where it is asked.
    pub fn path(self) -> &'static str {
        match self {
            Self::Health => "/healthz",
            Self::Ready => "/readyz",
            Self::Metrics => "/metrics",
        }
    }

    /// Status, media type and body. May wait for the store's locks.
    pub fn answer(self, served: &Served) -> (u16, HeaderValue, Bytes) {
        let (status, body) = match self {
            Self::Health => (200, json!({"status": "ok"})),
            Self::Metrics => {
                let in_progress = i64::try_from(*served.in_progress.borrow()).unwrap_or(i64::MAX);
                served.metrics.http.in_progress.set(in_progress);
                return (200, HeaderValue::from_static(MEDIA_TYPE), served.metrics.text().into());
            }
            Self::Ready => match why_not_ready(served) {
                None => (200, json!({"status": "ready"})),
                Some(reason) => (503, json!({"status": "not ready", "reason": reason})),
            },
        };
        (status, HeaderValue::from_static("application/json; charset=utf-8"), body.to_string().into())
    }
}

fn why_not_ready(served: &Served) -> Option<&'static str> {
    if served.is_stopping() {
        return Some("the node is stopping");
    }
    served.store.info().poisoned.then_some("a write or sync failed: restart the node, which recovers the store")
}
