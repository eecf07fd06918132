//! What can be set about a node?
//!
//! This is the only list: the command line, the environment and the file are read by it ([`serve_layers`](super::serve_layers)). A setting
//! `http_tls_cert` is the flag `--http-tls-cert`, the variable `FLOE_HTTP_TLS_CERT`, and in the file `tls_cert` in the section that its
//! heading names, `[http]`. One that is called as its section is `listen` there.

use super::{log, size};
use crate::node::api::Limits as ApiLimits;
use crate::node::http::{HEAD_BYTES_MIN, HttpLimits, MetricsAt};
use crate::node::nbd::{Address, Limits};
use crate::node::remote::remotes::INTERVAL;
use clap::builder::{BoolishValueParser, RangedU64ValueParser};
use clap::{ArgAction, Args};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use tracing::level_filters::LevelFilter;

/// Where a node is that nobody says a directory for: beside whoever tries it.
pub(super) const DATA: &str = "floe-data";

#[derive(Debug, Args)]
pub(super) struct Settings {
    /// The node's directory, made on first use; it holds the store
    #[arg(long, value_name = "DIR", default_value = DATA)]
    pub data: PathBuf,
    /// Capacity of the store, if it is made now [default: 64G]
    #[arg(long, value_name = "SIZE")]
    pub capacity: Option<Bytes>,
    /// How much the log on stderr says: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value_t = LevelFilter::INFO, value_parser = log::level)]
    pub log: LevelFilter,
    /// Let HTTP clients of other machines come without TLS, though nothing hides their passwords on the way
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "false", default_missing_value = "true", action = ArgAction::Set)]
    #[arg(value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    pub insecure: bool,
    #[command(flatten)]
    pub admin: AdminSettings,
    #[command(flatten)]
    pub http: HttpSettings,
    #[command(flatten)]
    pub api: ApiSettings,
    #[command(flatten)]
    pub metrics: MetricsSettings,
    #[command(flatten)]
    pub nbd: NbdSettings,
    #[command(flatten)]
    pub remote: RemoteSettings,
}

/// The first account, for a node that has none.
#[derive(Debug, Args)]
#[command(next_help_heading = "Admin")]
pub(super) struct AdminSettings {
    /// By what the first account logs in
    #[arg(long, value_name = "EMAIL", default_value = "admin@localhost")]
    pub admin_email: String,
    /// A file with its password; without one (and without FLOE_ADMIN_PASSWORD) a password is made up, and printed once
    #[arg(long, value_name = "FILE")]
    pub admin_password_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "HTTP")]
pub(super) struct HttpSettings {
    /// Where the HTTP API listens; several with commas, or given several times
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080", value_delimiter = ',')]
    pub http: Vec<SocketAddr>,
    /// Use TLS with this certificate and its chain, a PEM file
    #[arg(long, value_name = "FILE")]
    pub http_tls_cert: Option<PathBuf>,
    /// The certificate's key, a PEM file
    #[arg(long, value_name = "FILE")]
    pub http_tls_key: Option<PathBuf>,
    /// HTTP connections at a time; more wait
    #[arg(long, value_name = "COUNT", default_value_t = HttpLimits::default().connections, value_parser = at_least(1))]
    pub http_connections: usize,
    /// The longest head of a request
    #[arg(long, value_name = "SIZE", default_value_t = Bytes(HttpLimits::default().head_bytes as u64), value_parser = head_size)]
    pub http_head_size: Bytes,
    /// The longest body of a request
    #[arg(long, value_name = "SIZE", default_value_t = Bytes(HttpLimits::default().body_bytes as u64))]
    pub http_body_size: Bytes,
    /// Seconds that a TLS handshake may take
    #[arg(long, value_name = "SECONDS", default_value_t = Seconds(HttpLimits::default().handshake))]
    pub http_handshake: Seconds,
    /// Seconds that the head of a request may take
    #[arg(long, value_name = "SECONDS", default_value_t = Seconds(HttpLimits::default().head))]
    pub http_head: Seconds,
    /// Seconds that the body of a request may take
    #[arg(long, value_name = "SECONDS", default_value_t = Seconds(HttpLimits::default().body))]
    pub http_body: Seconds,
    /// Seconds that a connection may be silent between requests
    #[arg(long, value_name = "SECONDS", default_value_t = Seconds(HttpLimits::default().idle))]
    pub http_idle: Seconds,
    /// Seconds that a client may take nothing of an answer
    #[arg(long, value_name = "SECONDS", default_value_t = Seconds(HttpLimits::default().stall))]
    pub http_stall: Seconds,
    /// Seconds that requests may take once the server ends
    #[arg(long, value_name = "SECONDS", default_value_t = HttpLimits::default().drain.as_secs())]
    pub http_drain: u64,
    /// Requests that are answered at a time, each by a thread; more wait
    #[arg(long, value_name = "COUNT", default_value_t = HttpLimits::default().requests, value_parser = at_least(1))]
    pub http_requests: usize,
    /// Passwords that are looked at the same time, 19 MiB and a processor each
    #[arg(long, value_name = "COUNT", default_value_t = HttpLimits::default().logins, value_parser = at_least(1))]
    pub http_logins: usize,
}

/// What every account may have that has no limits of its own.
#[derive(Debug, Args)]
#[command(next_help_heading = "API")]
pub(super) struct ApiSettings {
    /// Snapshots of an account; see `floe user limit` for other accounts' own
    #[arg(long, value_name = "COUNT", default_value_t = ApiLimits::default().snapshots)]
    pub api_snapshots: u64,
    /// Snapshots of one drive
    #[arg(long, value_name = "COUNT", default_value_t = ApiLimits::default().snapshots_per_drive)]
    pub api_snapshots_per_drive: u64,
    /// Remote snapshots of an account
    #[arg(long, value_name = "COUNT", default_value_t = ApiLimits::default().remote_snapshots)]
    pub api_remote_snapshots: u64,
    /// The smallest drive
    #[arg(long, value_name = "SIZE", default_value_t = Bytes(ApiLimits::default().drive_bytes_min))]
    pub api_drive_size_min: Bytes,
    /// The largest drive
    #[arg(long, value_name = "SIZE", default_value_t = Bytes(ApiLimits::default().drive_bytes_max))]
    pub api_drive_size_max: Bytes,
    /// Objects that one call makes or deletes
    #[arg(long, value_name = "COUNT", default_value_t = ApiLimits::default().objects, value_parser = at_least(1))]
    pub api_objects: usize,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Metrics")]
pub(super) struct MetricsSettings {
    /// Where /metrics is found: `http` is where the API is, `off` nowhere; an address is one more, for figures and probes alone
    #[arg(long, value_name = "http|off|ADDRESS:PORT", default_value_t = MetricsAt::Http)]
    pub metrics: MetricsAt,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "NBD")]
pub(super) struct NbdSettings {
    /// Where NBD clients come in: unix:PATH or ADDRESS:PORT; several with commas, or given several times. Addresses that others can
    /// reach need TLS [default: unix:DIR/nbd.sock, or the sockets that systemd passes]
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub nbd: Vec<Address>,
    /// Offer TLS with this certificate and its chain, a PEM file
    #[arg(long, value_name = "FILE")]
    pub nbd_tls_cert: Option<PathBuf>,
    /// The certificate's key, a PEM file
    #[arg(long, value_name = "FILE")]
    pub nbd_tls_key: Option<PathBuf>,
    /// Let only clients in that have a certificate signed by one of these, a PEM file
    #[arg(long, value_name = "FILE")]
    pub nbd_tls_clients: Option<PathBuf>,
    /// Require TLS everywhere, on unix sockets and of this machine's own clients too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "false", default_missing_value = "true", action = ArgAction::Set)]
    #[arg(value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    pub nbd_tls_required: bool,
    /// NBD connections at a time; more are turned away
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().connections, value_parser = at_least(1))]
    pub nbd_connections: usize,
    /// Slow requests of one NBD connection that are served at the same time
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().workers, value_parser = at_least(1))]
    pub nbd_workers: usize,
    /// Memory that the requests of one NBD connection may take, beside the one that is being read
    #[arg(long, value_name = "SIZE", default_value_t = Bytes(Limits::default().in_flight_bytes as u64))]
    pub nbd_memory: Bytes,
    /// Seconds that an NBD client's negotiation may take
    #[arg(long, value_name = "SECONDS", default_value_t = Seconds(Limits::default().handshake))]
    pub nbd_handshake: Seconds,
    /// Seconds that requests of NBD clients may take once the server ends
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::default().drain.as_secs())]
    pub nbd_drain: u64,
    /// Seconds that an NBD client may leave a request half sent, or a reply half taken
    #[arg(long, value_name = "SECONDS", default_value_t = Seconds(Limits::default().stall))]
    pub nbd_stall: Seconds,
}

/// Locations and schedules stand in the file alone, in sections [location.CODE] and [backup.NAME].
#[derive(Debug, Args)]
#[command(next_help_heading = "Remote")]
pub(super) struct RemoteSettings {
    /// Seconds that must lie between two remote snapshots of a drive
    #[arg(long, value_name = "SECONDS", default_value_t = INTERVAL.as_secs())]
    pub remote_interval: u64,
}

impl HttpSettings {
    pub fn limits(&self) -> HttpLimits {
        HttpLimits {
            connections: self.http_connections,
            head_bytes: self.http_head_size.as_usize(),
            body_bytes: self.http_body_size.as_usize(),
            handshake: self.http_handshake.0,
            head: self.http_head.0,
            body: self.http_body.0,
            idle: self.http_idle.0,
            stall: self.http_stall.0,
            drain: Duration::from_secs(self.http_drain),
            requests: self.http_requests,
            logins: self.http_logins,
        }
    }
}

impl ApiSettings {
    pub fn limits(&self) -> ApiLimits {
        ApiLimits {
            snapshots: self.api_snapshots,
            snapshots_per_drive: self.api_snapshots_per_drive,
            remote_snapshots: self.api_remote_snapshots,
            drive_bytes_min: self.api_drive_size_min.0,
            drive_bytes_max: self.api_drive_size_max.0,
            objects: self.api_objects,
        }
    }
}

impl NbdSettings {
    pub fn limits(&self) -> Limits {
        Limits {
            connections: self.nbd_connections,
            workers: self.nbd_workers,
            in_flight_bytes: self.nbd_memory.as_usize(),
            handshake: self.nbd_handshake.0,
            stall: self.nbd_stall.0,
            drain: Duration::from_secs(self.nbd_drain),
        }
    }
}

/// A number of bytes, as people write it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes(pub u64);

impl Bytes {
    fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        size::parse(text).map(Self)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounded only if nothing is lost by that.
        let rounded = size::rounded(self.0);
        if size::parse(&rounded) == Ok(self.0) { f.write_str(&rounded) } else { write!(f, "{}", self.0) }
    }
}

/// Whole seconds, one at least: after none nobody could do anything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seconds(pub Duration);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(0) => Err("a limit of 0 would let nobody do anything".into()),
            Ok(seconds) => Ok(Self(Duration::from_secs(seconds))),
            Err(_) => Err("it is no whole number of seconds".into()),
        }
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.as_secs())
    }
}

fn at_least(least: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(least..)
}

fn head_size(text: &str) -> Result<Bytes, String> {
    let size: Bytes = text.parse()?;
    if size.as_usize() < HEAD_BYTES_MIN {
        return Err(format!("less than {} does not do for the heads that clients send", Bytes(HEAD_BYTES_MIN as u64)));
    }
    Ok(size)
}
