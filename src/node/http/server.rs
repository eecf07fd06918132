//! How does an HTTP server begin and end?

use super::connection::Connection;
use super::gate::Gate;
use super::limits::HttpLimits;
use super::probes::MetricsAt;
use super::served::{Phase, Served};
use crate::Store;
use crate::node::api::Api;
use crate::node::failure::{Failure, FailureKind};
use crate::node::metrics::Metrics;
use rustls::ServerConfig;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener as Listener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

/// How long to wait when no connection can be taken.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections at a time to an address that is for probes alone. They have places of their own: who watches a node must get in when it is full.
const PROBING_MAX: usize = 64;

/// Threads for probes: nobody else may take them.
const PROBING_THREADS: usize = 4;

/// How a server is started.
#[derive(Clone, Default)]
pub struct HttpOptions {
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    /// Where figures are found.
    pub metrics: MetricsAt,
    /// What it shows to clients, if they come through TLS.
    pub tls: Option<Arc<ServerConfig>>,
    /// May others than this machine come in without TLS?
    pub insecure: bool,
    /// What clients may take.
    pub limits: HttpLimits,
}

impl HttpOptions {
    /// All addresses, and whether they are for probes alone.
    fn places(&self) -> impl Iterator<Item = (SocketAddr, bool)> {
        let probes = match self.metrics {
            MetricsAt::Address(address) => Some((address, true)),
            MetricsAt::Http | MetricsAt::Off => None,
        };
        self.addresses.iter().map(|address| (*address, false)).chain(probes)
    }

    /// Is no password to be sent where others can read it?
    ///
    /// # Errors
    /// `InvalidArgument` for an address that others can reach, without TLS, unless that is wanted.
    pub fn check_reach(&self) -> Result<(), Failure> {
        match self.places().find(|(address, _)| !address.ip().is_loopback()) {
            Some((address, _)) if self.tls.is_none() && !self.insecure => {
                let message = format!(
                    "{address} can be reached from elsewhere, which needs TLS: give a certificate and its key, or say --insecure if \
                     others may read passwords"
                );
                Err(Failure::new(FailureKind::InvalidArgument, message))
            }
            _ => Ok(()),
        }
    }
}

/// A server of the API.
pub struct HttpServer {
    runtime: Runtime,
    served: Arc<Served>,
    /// Held by whatever is not at its end.
    alive: watch::Receiver<()>,
    addresses: Vec<SocketAddr>,
    probing: Option<SocketAddr>,
    drain: Duration,
}

impl HttpServer {
    /// Listens and lets clients come.
    ///
    /// # Errors
    /// `InvalidArgument` for an address that others can reach, without TLS and without `insecure`; `Io`.
    pub fn start(api: Arc<Api>, store: &Store, metrics: Arc<Metrics>, options: &HttpOptions) -> Result<Self, Failure> {
        options.check_reach()?;
        let limits = options.limits;
        let runtime = Builder::new_multi_thread()
            .thread_name("http")
            .enable_all()
            .max_blocking_threads(limits.requests + PROBING_THREADS)
            .build()
            .map_err(|error| Failure::io("start a runtime", error))?;
        let served = Arc::new(Served {
            api,
            store: store.clone(),
            metrics,
            metrics_at: options.metrics,
            limits,
            gate: Gate::new(limits.logins)?,
            threads: Arc::new(Semaphore::new(limits.requests)),
            in_progress: Arc::default(),
            phase: watch::Sender::new(Phase::Serving),
        });
        let (ends, alive) = watch::channel(());
        let ends = Arc::new(ends);
        let mut server = Self { runtime, served, alive, addresses: Vec::new(), probing: None, drain: limits.drain };
        let tls = options.tls.clone().map(TlsAcceptor::from);
        let places = Arc::new(Semaphore::new(limits.connections));
        for (address, probes_only) in options.places() {
            let failed = |error| Failure::io(format!("listen on {address}"), error);
            let listener = TcpListener::bind(address).map_err(failed)?;
            listener.set_nonblocking(true).map_err(failed)?;
            let found = listener.local_addr().map_err(failed)?;
            if probes_only {
                server.probing = Some(found);
            } else {
                server.addresses.push(found);
            }
            let listener = {
                let _runtime = server.runtime.enter();
                Listener::from_std(listener).map_err(failed)?
            };
            let door = Door {
                served: Arc::clone(&server.served),
                tls: tls.clone(),
                probes_only,
                places: if probes_only { Arc::new(Semaphore::new(PROBING_MAX)) } else { Arc::clone(&places) },
                alive: Arc::clone(&ends),
            };
            server.runtime.spawn(door.let_in(listener));
        }
        Ok(server)
    }

    /// Where the API is; a port 0 that was asked for is the port that was found.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The address for probes and figures alone, if there is one.
    #[must_use]
    pub fn probing(&self) -> Option<SocketAddr> {
        self.probing
    }

    /// Does it still get anything done, and can the store be used?
    #[must_use]
    pub fn is_well(&self, within: Duration) -> bool {
        let (answer, answered) = std::sync::mpsc::channel();
        let served = Arc::clone(&self.served);
        self.runtime.spawn(async move { answer.send(!served.store.info().poisoned) });
        answered.recv_timeout(within).unwrap_or(false)
    }

    /// Answers the calls that came, and refuses others. Probes are answered still, so that whoever asks learns that the node is stopping.
    pub fn drain(&self) {
        self.served.phase.send_replace(Phase::Draining);
        let mut in_progress = self.served.in_progress.subscribe();
        let none = async { tokio::time::timeout(self.drain, in_progress.wait_for(|count| *count == 0)).await };
        if self.runtime.block_on(none).is_err() {
            tracing::warn!("some HTTP requests took too long to be waited for");
        }
    }

    /// Ends it: nobody is let in, answers that were begun are sent, then connections end.
    pub fn stop(mut self) {
        let begun = Instant::now();
        self.served.phase.send_replace(Phase::Ending);
        let ended = async {
            // It changes never; it ends with whatever lives.
            tokio::time::timeout(self.drain, self.alive.changed()).await
        };
        if self.runtime.block_on(ended).is_err() {
            tracing::warn!("some HTTP connections are cut");
        }
        self.runtime.shutdown_timeout(self.drain.saturating_sub(begun.elapsed()));
    }
}

/// A way in.
struct Door {
    served: Arc<Served>,
    tls: Option<TlsAcceptor>,
    probes_only: bool,
    places: Arc<Semaphore>,
    alive: Arc<watch::Sender<()>>,
}

impl Door {
    async fn let_in(self, listener: Listener) {
        let mut phase = self.served.phase.subscribe();
        loop {
            let accepted = tokio::select! {
                _ = phase.wait_for(|phase| *phase == Phase::Ending) => return,
                accepted = async {
                    let place = Arc::clone(&self.places).acquire_owned().await;
                    (place, listener.accept().await)
                } => accepted,
            };
            let (Ok(place), Ok((stream, from))) = accepted else {
                tracing::warn!("an HTTP client could not be let in: he left, or too many files are open");
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let connection =
                Connection { served: Arc::clone(&self.served), from, probes_only: self.probes_only, tls: self.tls.clone() };
            let alive = Arc::clone(&self.alive);
            tokio::spawn(async move {
                connection.serve(stream).await;
                drop((place, alive));
            });
        }
    }
}
