//! What does `floe serve` do?

use super::exit::Exit;
use super::output::{self, Reply};
use super::session::Session;
use super::{log, size};
use crate::Store;
use crate::node::accounts::{Account, Accounts, new_password};
use crate::node::api::{Api, BASE, Limits as ApiLimits};
use crate::node::failure::{Failure, FailureKind};
use crate::node::http::{HttpOptions, HttpServer};
use crate::node::nbd::{Address, Limits, Server, ServerOptions, TlsConfig};
use crate::node::service::stores::{self, STORE_FILE};
use clap::Args;
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// By what the first account logs in.
const ADMIN_EMAIL: &str = "FLOE_ADMIN_EMAIL";
/// Its password.
const ADMIN_PASSWORD: &str = "FLOE_ADMIN_PASSWORD";

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// The node's directory, made on first use; it holds the store
    #[arg(long, value_name = "DIR", env = "FLOE_DATA")]
    data: PathBuf,
    /// Capacity of the store, if it is made now [default: 64G]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    capacity: Option<u64>,
    /// Where the HTTP API listens; can be given several times
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080", env = "FLOE_HTTP", value_delimiter = ',')]
    http: Vec<SocketAddr>,
    /// Let HTTP clients of other machines come, though nothing hides their passwords on the way
    #[arg(long)]
    insecure: bool,
    /// Where NBD clients come in: unix:PATH or ADDRESS:PORT; can be given several times. Addresses that others can reach need TLS
    /// [default: unix:DIR/nbd.sock, or the sockets that systemd passes]
    #[arg(long, value_name = "ADDRESS")]
    nbd: Vec<Address>,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

#[derive(Debug, Args)]
struct TlsArgs {
    /// Offer TLS with this certificate and its chain, a PEM file
    #[arg(long, value_name = "FILE", requires = "nbd_tls_key")]
    nbd_tls_cert: Option<PathBuf>,
    /// The certificate's key, a PEM file
    #[arg(long, value_name = "FILE", requires = "nbd_tls_cert")]
    nbd_tls_key: Option<PathBuf>,
    /// Let only clients in that have a certificate signed by one of these, a PEM file
    #[arg(long, value_name = "FILE", requires = "nbd_tls_cert")]
    nbd_tls_clients: Option<PathBuf>,
    /// Require TLS everywhere, on unix sockets and of this machine's own clients too
    #[arg(long, requires = "nbd_tls_cert")]
    nbd_tls_required: bool,
}

#[derive(Debug, Args)]
struct LimitArgs {
    /// NBD connections at a time; more are turned away
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().connections)]
    nbd_connections: usize,
    /// Slow requests of one NBD connection that are served at the same time
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().workers)]
    nbd_workers: usize,
    /// Memory that the requests of one NBD connection may take, beside the one that is being read
    #[arg(long, value_name = "SIZE", value_parser = size::parse, default_value = "64M")]
    nbd_memory: u64,
    /// Seconds that an NBD client's negotiation may take
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::default().handshake.as_secs())]
    nbd_handshake: u64,
    /// Seconds that requests of NBD clients may take once the server ends
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::default().drain.as_secs())]
    nbd_drain: u64,
    /// Seconds that an NBD client may leave a request half sent, or a reply half taken
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::default().stall.as_secs())]
    nbd_stall: u64,
}

pub(super) fn run(session: &Session, args: &ServeArgs) -> Result<Reply, Failure> {
    log::start()?;
    let stopping = Arc::new(AtomicBool::new(false));
    let waiting = |error| Failure::io("waiting for signals", error);
    let code = Exit::Interrupted as i32;
    for signal in [SIGINT, SIGTERM] {
        // Whoever asks twice does not want to wait for clients.
        signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(&stopping)).map_err(waiting)?;
    }
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(waiting)?;
    let store = stores::open_for_node(&args.data, args.capacity)?;
    stores::close_after(store, |store| {
        let accounts = Arc::new(Accounts::of(store)?);
        let first = first_account(&accounts)?;
        let server = Arc::new(Server::start(store, options(args)?)?);
        let connections = Arc::clone(&server);
        let api =
            Arc::new(Api::new(store, accounts, Arc::new(move |drive| connections.connections_of(drive)), ApiLimits::default())?);
        let http = HttpOptions { addresses: args.http.clone(), insecure: args.insecure, ..HttpOptions::default() };
        let http = HttpServer::start(&api, &http)?;
        say_where(session, args, store, &server, &http, first.as_ref())?;
        if let Some(signal) = signals.forever().next() {
            stopping.store(true, Ordering::SeqCst);
            tracing::info!(signal, "stopping: waiting for requests that came");
        }
        http.stop();
        // The API asks the server for connections; with the API it ends.
        drop(api);
        drop(server);
        Ok(Reply::Printed(Exit::Done))
    })
}

/// An account that was made just now, and its password if it was made up.
struct First {
    account: Account,
    password: Option<String>,
}

/// A node without accounts gets one, by the environment's wish or of its own.
fn first_account(accounts: &Accounts) -> Result<Option<First>, Failure> {
    if !accounts.all().is_empty() {
        return Ok(None);
    }
    let email = std::env::var(ADMIN_EMAIL).unwrap_or_else(|_| "admin@localhost".into());
    let given = std::env::var(ADMIN_PASSWORD).ok().filter(|password| !password.is_empty());
    let made_up = given.is_none().then(new_password);
    let password = given.or_else(|| made_up.clone()).unwrap_or_default();
    Ok(Some(First { account: accounts.add(&email, &password)?, password: made_up }))
}

fn options(args: &ServeArgs) -> Result<ServerOptions, Failure> {
    let limits = Limits {
        connections: args.limits.nbd_connections,
        workers: args.limits.nbd_workers,
        in_flight_bytes: usize::try_from(args.limits.nbd_memory).unwrap_or(usize::MAX),
        handshake: Duration::from_secs(args.limits.nbd_handshake),
        stall: Duration::from_secs(args.limits.nbd_stall),
        drain: Duration::from_secs(args.limits.nbd_drain),
    };
    if limits.workers == 0 || limits.handshake.is_zero() || limits.stall.is_zero() {
        return Err(Failure::new(FailureKind::InvalidArgument, "a limit of 0 would let nobody do anything"));
    }
    let mut options = ServerOptions::default().limits(limits).inherit();
    options = options.listen_by_default(Address::Unix(args.data.join("nbd.sock")));
    for address in args.nbd.iter().cloned() {
        options = options.listen(address);
    }
    if let (Some(certificate), Some(key)) = (&args.tls.nbd_tls_cert, &args.tls.nbd_tls_key) {
        let clients = args.tls.nbd_tls_clients.as_deref();
        options = options.tls(TlsConfig::load(certificate, key, clients, args.tls.nbd_tls_required)?);
    }
    Ok(options)
}

fn say_where(
    session: &Session,
    args: &ServeArgs,
    store: &Store,
    server: &Server,
    http: &HttpServer,
    first: Option<&First>,
) -> Result<(), Failure> {
    let path = args.data.join(STORE_FILE);
    let addresses: Vec<String> = server.addresses().iter().map(ToString::to_string).collect();
    let text = if session.style.json {
        let http: Vec<String> = http.addresses().iter().map(|address| format!("http://{address}{BASE}/")).collect();
        let mut answer =
            json!({"store": path.to_string_lossy(), "uuid": store.info().uuid.to_string(), "http": http, "nbd": addresses});
        if let Some(First { account, password }) = first {
            answer["account"] = json!({"email": account.email, "password": password});
        }
        format!("{answer}\n")
    } else if session.style.quiet {
        String::new()
    } else {
        let mut text = format!("store {}\n", path.display());
        addresses.iter().for_each(|address| text += &format!("NBD at {address}\n"));
        http.addresses().iter().for_each(|address| text += &format!("HTTP at http://{address}{BASE}/\n"));
        if let Some(First { account, password }) = first {
            let password = password
                .as_ref()
                .map_or_else(|| format!("that of {ADMIN_PASSWORD}"), |made_up| format!("{made_up} (shown this once)"));
            text += &format!("account {}, password {password}\n", account.email);
        }
        text
    };
    output::write_stdout(text.as_bytes())
}
