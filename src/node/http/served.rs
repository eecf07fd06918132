//! What do all connections of an HTTP server share?

use super::gate::Gate;
use super::limits::HttpLimits;
use super::probes::MetricsAt;
use crate::Store;
use crate::node::api::Api;
use crate::node::metrics::Metrics;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};

/// How far a server has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub enum Phase {
    /// Calls are answered.
    Serving,
    /// Calls that came are answered; others are refused. Probes are answered.
    Draining,
    /// Connections end.
    Ending,
}

/// What is served, and how.
pub struct Served {
    /// What answers calls.
    pub api: Arc<Api>,
    /// Whose state probes ask for.
    pub store: Store,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where that is found.
    pub metrics_at: MetricsAt,
    /// What clients may take.
    pub limits: HttpLimits,
    /// Where passwords wait.
    pub gate: Gate,
    /// Where calls wait.
    pub threads: Arc<Semaphore>,
    /// Calls in progress.
    pub in_progress: Arc<watch::Sender<usize>>,
    /// How far it has come.
    pub phase: watch::Sender<Phase>,
}

impl Served {
    /// Are no calls answered any more?
    pub fn is_stopping(&self) -> bool {
        *self.phase.borrow() > Phase::Serving
    }
}
