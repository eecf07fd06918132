//! How much may a client take of the server?

use std::time::Duration;

/// Bounds that hold for each client, so that a broken or malicious one costs its own connection at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time. Default: 1024. More are turned away.
    pub connections: usize,
    /// Requests of one connection that are served at the same time. Default: 8. Each takes a thread while it is slow.
    pub workers: usize,
    /// Bytes of payloads and replies that one connection may have in memory. Default: 64 MiB. A single request may have 32.
    pub in_flight_bytes: usize,
    /// How long the negotiation may take in all. Default: a minute.
    pub handshake: Duration,
    /// How long requests that came may take once the server ends. Default: half a minute. Then connections are cut.
    pub drain: Duration,
    /// How long a client may leave a request half sent, or a reply half taken. Default: a minute. Between requests it may be silent for ever.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            workers: 8,
            in_flight_bytes: 64 << 20,
            handshake: Duration::from_secs(60),
            drain: Duration::from_secs(30),
            stall: Duration::from_secs(60),
        }
    }
}
