//! How much may a client of the HTTP server take of it?

use std::time::Duration;

/// Bounds that hold for each client or for all together, so that a broken or malicious one costs its own connection at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Connections at a time, over all addresses. Default: 1024; others wait until one ends.
    pub connections: usize,
    /// Bytes of a request's head. Default: 64 KiB; at least [`HEAD_BYTES_MIN`].
    pub head_bytes: usize,
    /// Bytes of a request's body. Default: 8 MiB.
    pub body_bytes: usize,
    /// How long a TLS handshake may take. Default: 10 s.
    pub handshake: Duration,
    /// How long the head of a request may take from its first byte on, and how long a new connection may be silent. Default: 30 s.
    pub head: Duration,
    /// How long the body of a request may take in all. Default: a minute.
    pub body: Duration,
    /// How long a connection may be silent between requests. Default: a minute.
    pub idle: Duration,
    /// How long a client may take nothing of an answer. Default: a minute.
    pub stall: Duration,
    /// How long requests that came may take once the server ends. Default: half a minute. Then connections are cut.
    pub drain: Duration,
    /// Requests that are answered at a time, each by a thread of its own; others wait. Default: 32.
    pub requests: usize,
    /// Passwords that are looked at the same time; each takes 19 MiB and a processor for some tens of milliseconds. Default: 2.
    pub logins: usize,
}

/// Less would not do for the heads that clients send.
pub const HEAD_BYTES_MIN: usize = 8 << 10;

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections: 1024,
            head_bytes: 64 << 10,
            body_bytes: 8 << 20,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(30),
            body: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            stall: Duration::from_secs(60),
            drain: Duration::from_secs(30),
            requests: 32,
            logins: 2,
        }
    }
}
