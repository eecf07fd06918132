//! How does an HTTP server begin and end?

use super::exchange::exchange;
use crate::node::api::Api;
use crate::node::failure::{Failure, FailureKind};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener as Listener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// How long to wait when no connection can be taken.
const PAUSE: Duration = Duration::from_millis(100);

/// How long requests that came may take once the server ends.
const DRAINING: Duration = Duration::from_secs(30);

/// How a server is started.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    /// May others than this machine come in without TLS?
    pub insecure: bool,
    /// Connections at a time. Default: 1024; others wait.
    pub connections: usize,
    /// Bytes of a request's body. Default: 8 MiB.
    pub body_bytes: usize,
    /// How long a client may take for the head of a request. Default: 30 s.
    pub head: Duration,
    /// Bytes of a request's head. Default: 64 KiB.
    pub head_bytes: usize,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            insecure: false,
            connections: 1024,
            body_bytes: 8 << 20,
            head: Duration::from_secs(30),
            head_bytes: 64 << 10,
        }
    }
}

/// A server of the API.
pub struct HttpServer {
    runtime: Runtime,
    stop: watch::Sender<bool>,
    listening: Vec<JoinHandle<()>>,
    addresses: Vec<SocketAddr>,
}

impl HttpServer {
    /// Listens and lets clients come.
    ///
    /// # Errors
    /// `InvalidArgument` for an address that others can reach, without `insecure`; `Io`.
    pub fn start(api: &Arc<Api>, options: &HttpOptions) -> Result<Self, Failure> {
        let runtime = Builder::new_multi_thread().thread_name("http").enable_all().build();
        let runtime = runtime.map_err(|error| Failure::io("start a runtime", error))?;
        let (stop, stopped) = watch::channel(false);
        let mut server = Self { runtime, stop, listening: Vec::new(), addresses: Vec::new() };
        for address in &options.addresses {
            if !address.ip().is_loopback() && !options.insecure {
                let message =
                    format!("{address} can be reached from elsewhere, and passwords would be too: say --insecure if they may");
                return Err(Failure::new(FailureKind::InvalidArgument, message));
            }
            let failed = |error| Failure::io(format!("listen on {address}"), error);
            let listener = TcpListener::bind(address).map_err(failed)?;
            listener.set_nonblocking(true).map_err(failed)?;
            server.addresses.push(listener.local_addr().map_err(failed)?);
            let listener = {
                let _runtime = server.runtime.enter();
                Listener::from_std(listener).map_err(failed)?
            };
            let serving = let_in(listener, Arc::clone(api), options.clone(), stopped.clone());
            server.listening.push(server.runtime.spawn(serving));
        }
        Ok(server)
    }

    /// Where it listens; a port 0 that was asked for is the port that was found.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Ends it: nobody is let in, requests that came are answered, then connections end.
    pub fn stop(self) {
        self.stop.send_replace(true);
        self.runtime.block_on(async {
            for listening in self.listening {
                // If it panicked, it lets nobody in any more either.
                listening.await.unwrap_or_default();
            }
        });
        self.runtime.shutdown_timeout(DRAINING);
    }
}

async fn let_in(listener: Listener, api: Arc<Api>, options: HttpOptions, mut stopped: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(options.connections));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => break,
            accepted = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, listener.accept().await)
            } => accepted,
        };
        let (Ok(place), Ok((stream, from))) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        // Answers are small, and clients wait for them. Without it they wait a little longer.
        stream.set_nodelay(true).unwrap_or_default();
        let (api, body_bytes) = (Arc::clone(&api), options.body_bytes);
        let service = service_fn(move |request| exchange(Arc::clone(&api), request, from.ip(), body_bytes));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(options.head)
            .max_buf_size(options.head_bytes)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%from, %error, "a connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAINING, graceful.shutdown()).await.is_err() {
        tracing::warn!("some HTTP requests took too long to be waited for");
    }
}
