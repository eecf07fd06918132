//! How is one connection served, from its first byte to its last?

use super::exchange::{Asking, exchange};
use super::refusal::Refusal;
use super::served::{Phase, Served};
use super::turn::Turn;
use super::wire::{Terms, Wire};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// The first byte of a TLS handshake.
const HANDSHAKE: u8 = 0x16;

/// A client that came.
pub struct Connection {
    /// What he is served.
    pub served: Arc<Served>,
    /// Where he comes from.
    pub from: SocketAddr,
    /// Is he here for probes alone?
    pub probes_only: bool,
    /// How he is met, if through TLS.
    pub tls: Option<TlsAcceptor>,
}

impl Connection {
    /// Serves the client to the end.
    pub async fn serve(self, stream: TcpStream) {
        let connections = self.served.metrics.http.connections.clone();
        connections.inc();
        if let Err(reason) = self.meet(stream).await {
            tracing::debug!(from = %self.from, reason, "a connection ended");
        }
        connections.dec();
    }

    async fn meet(&self, stream: TcpStream) -> Result<(), String> {
        // Answers are small, and clients wait for them. Without it they wait a little longer.
        stream.set_nodelay(true).unwrap_or_default();
        let Some(acceptor) = &self.tls else { return self.talk(stream).await };
        let mut ending = self.served.phase.subscribe();
        let handshake = async {
            let mut first = [0];
            if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE {
                return Ok(Err(stream));
            }
            acceptor.accept(stream).await.map(Ok)
        };
        let met = tokio::select! {
            met = tokio::time::timeout(self.served.limits.handshake, handshake) => met.map_err(|_| "the TLS handshake took too long")?,
            _ = ending.wait_for(|phase| *phase == Phase::Ending) => return Ok(()),
        };
        match met.map_err(|error| format!("TLS: {error}"))? {
            Ok(stream) => self.talk(stream).await,
            Err(plain) => Wire::new(plain, self.terms()).refuse(421).await.map_err(|error: io::Error| error.to_string()),
        }
    }

    fn terms(&self) -> Terms {
        let limits = self.served.limits;
        let refusal = Refusal { from: self.from.ip(), limits, metrics: Arc::clone(&self.served.metrics.http) };
        Terms { limits, turn: Arc::new(Turn::default()), refusal, ending: Arc::new(AtomicBool::new(false)) }
    }

    async fn talk(&self, stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), String> {
        let terms = self.terms();
        let (turn, ending) = (Arc::clone(&terms.turn), Arc::clone(&terms.ending));
        let asking =
            Arc::new(Asking { served: Arc::clone(&self.served), turn, from: self.from.ip(), probes_only: self.probes_only });
        let service = service_fn(move |request| exchange(Arc::clone(&asking), request));
        let limits = terms.limits;
        let connection = http1::Builder::new()
            .header_read_timeout(None)
            .max_buf_size(limits.head_bytes)
            .serve_connection(Wire::new(stream, terms), service);
        let mut connection = std::pin::pin!(connection);
        let mut phase = self.served.phase.subscribe();
        tokio::select! {
            done = connection.as_mut() => return done.map_err(|error| error.to_string()),
            _ = phase.wait_for(|phase| *phase == Phase::Ending) => {}
        }
        ending.store(true, Ordering::Release);
        connection.as_mut().graceful_shutdown();
        connection.await.map_err(|error| error.to_string())
    }
}
