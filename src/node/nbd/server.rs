//! How does a store become a server, and how does that end?

use super::address::Address;
use super::behind::Behinds;
use super::connection::{Connection, Terms};
use super::exports::{Exports, Peer, Uses};
use super::figures::Figures;
use super::limits::Limits;
use super::listener::Listener;
use super::perform::Session;
use super::tls::TlsConfig;
use super::wire::{Stoppable, Wire};
use crate::Store;
use crate::node::failure::{Failure, FailureKind};
use crate::node::service::select::Image;
use listenfd::ListenFd;
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{env, io, process};
use uuid::Uuid;

/// How long to wait when no connection can be taken, since the process has too many files open.
const PAUSE: Duration = Duration::from_millis(100);

/// How a server is started.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("nbd.sock");
/// use floe::node::nbd::{Address, Server, ServerOptions};
///
/// let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30)?))?;
/// store.create_drive(floe::DriveOptions::new(10 << 20).name("db"))?;
/// let server = Server::start(&store, ServerOptions::default().listen(Address::Unix(path)))?;
/// println!("clients find the drive at {}", server.addresses()[0]);
/// server.stop();
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct ServerOptions {
    addresses: Vec<Address>,
    inherited: bool,
    default: Option<Address>,
    tls: Option<TlsConfig>,
    limits: Limits,
    behinds: Option<Behinds>,
}

impl ServerOptions {
    /// Listens at an address, beside others. An address that others than this machine can reach needs [`tls`](Self::tls), and clients
    /// that come there must use it.
    #[must_use]
    pub fn listen(mut self, address: Address) -> Self {
        self.addresses.push(address);
        self
    }

    /// Listens on sockets that whoever started the process opened, as systemd does (`LISTEN_FDS`), if there are any.
    #[must_use]
    pub fn inherit(mut self) -> Self {
        self.inherited = true;
        self
    }

    /// Listens there if there is nothing else to listen on.
    #[must_use]
    pub fn listen_by_default(mut self, address: Address) -> Self {
        self.default = Some(address);
        self
    }

    /// Offers, or requires, TLS.
    #[must_use]
    pub fn tls(mut self, config: TlsConfig) -> Self {
        self.tls = Some(config);
        self
    }

    /// Some of the drives may not have got all of their images yet.
    #[must_use]
    pub fn filled_by(mut self, behinds: Behinds) -> Self {
        self.behinds = Some(behinds);
        self
    }

    /// What a client may take.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

/// What the threads of a server share.
struct Shared {
    store: Store,
    uses: Arc<Uses>,
    behinds: Option<Behinds>,
    terms: Terms,
    stopping: AtomicBool,
    numbers: AtomicU64,
    present: Arc<Present>,
}

/// Who is being served.
#[derive(Default)]
struct Present {
    connections: Mutex<HashMap<u64, Arc<dyn Wire>>>,
    one_left: Condvar,
}

/// A server that offers the drives and snapshots of a store to NBD clients.
pub struct Server {
    shared: Arc<Shared>,
    listeners: Vec<Arc<Listener>>,
    addresses: Vec<Address>,
    acceptors: Vec<JoinHandle<()>>,
}

impl Server {
    /// Opens all ways in and lets clients come.
    ///
    /// # Errors
    /// `InvalidArgument` for an address that can be reached from elsewhere, without a certificate; `AlreadyExists` if somebody listens
    /// there; `Io`.
    pub fn start(store: &Store, options: ServerOptions) -> Result<Self, Failure> {
        let mut listeners = Vec::new();
        if options.inherited {
            listeners = inherited()?;
        }
        for address in &options.addresses {
            listeners.push(Listener::open(address)?);
        }
        if let Some(address) = options.default.filter(|_| listeners.is_empty()) {
            listeners.push(Listener::open(&address)?);
        }
        for listener in &listeners {
            listener.address.check_reach(options.tls.is_some())?;
        }
        let shared = Arc::new(Shared {
            store: store.clone(),
            uses: Arc::default(),
            behinds: options.behinds,
            terms: Terms { limits: options.limits, tls: options.tls, figures: Arc::default() },
            stopping: AtomicBool::new(false),
            numbers: AtomicU64::new(1),
            present: Arc::default(),
        });
        let mut server = Self {
            addresses: listeners.iter().map(|listener| listener.address.clone()).collect(),
            listeners: listeners.into_iter().map(Arc::new).collect(),
            shared,
            acceptors: Vec::new(),
        };
        for listener in &server.listeners {
            let (shared, listener) = (Arc::clone(&server.shared), Arc::clone(listener));
            let thread = thread::Builder::new().name("nbd-accept".into()).spawn(move || shared.let_in(&listener));
            server.acceptors.push(thread.map_err(|error| Failure::io("start a thread", error))?);
        }
        Ok(server)
    }

    /// Where it listens; a port 0 that was asked for is the port that was found.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// How many connections use a drive.
    #[must_use]
    pub fn connections_of(&self, drive: Uuid) -> usize {
        self.shared.uses.connections(drive)
    }

    /// What it did so far; goes on counting as long as it serves.
    #[must_use]
    pub fn figures(&self) -> Arc<Figures> {
        Arc::clone(&self.shared.terms.figures)
    }

    /// Serves a client on a wire that the caller has made, to the end; nothing else has to be listened on for that. Such clients count
    /// as one peer each.
    ///
    /// # Errors
    /// `Io` with what ended the connection before the client did.
    pub fn serve(&self, wire: Arc<dyn Wire>) -> Result<(), Failure> {
        let number = self.shared.numbers.fetch_add(1, Ordering::Relaxed);
        let exports = Exports::new(self.shared.store.clone(), Arc::clone(&self.shared.uses), Peer::Connection(number));
        let exports = exports.filled_by(self.shared.behinds.clone());
        let wire: Arc<dyn Wire> = Arc::new(Stoppable::new(wire));
        self.shared.present.connections.lock().insert(number, Arc::clone(&wire));
        let place = Place::of(&self.shared, number);
        if self.shared.stopping.load(Ordering::SeqCst) {
            wire.stop_receiving();
        }
        let connection = Connection { wire, exports, needs_tls: false };
        let result = connection.serve(&self.shared.terms, &|_| ());
        drop(place);
        result.map_err(|ended| Failure::new(FailureKind::Io, ended.to_string()))
    }

    /// Ends it: nobody is let in, nothing more is read, what came is done and answered, then connections end; after
    /// [`Limits::drain`] they are cut. Nothing of the server holds the store afterwards, which stays open.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.listeners.iter().for_each(|listener| listener.close());
        for acceptor in self.acceptors.drain(..) {
            // If it panicked, it lets nobody in any more either.
            acceptor.join().unwrap_or_default();
        }
        let until = Instant::now() + self.shared.terms.limits.drain;
        let mut connections = self.shared.present.connections.lock();
        connections.values().for_each(|wire| wire.stop_receiving());
        let mut late = false;
        while !connections.is_empty() {
            if late {
                self.shared.present.one_left.wait(&mut connections);
            } else {
                late = self.shared.present.one_left.wait_until(&mut connections, until).timed_out();
                if late {
                    tracing::warn!("{} connections are cut: their requests took too long", connections.len());
                    connections.values().for_each(|wire| wire.cut());
                }
            }
        }
    }
}

fn inherited() -> Result<Vec<Listener>, Failure> {
    // Variables that were meant for another process, such as a parent, mean nothing here.
    if env::var("LISTEN_PID").ok().and_then(|pid| pid.parse().ok()) != Some(process::id()) {
        return Ok(Vec::new());
    }
    let mut sockets = ListenFd::from_env();
    let failed = |error: io::Error| Failure::io("listen on an inherited socket", error);
    let mut listeners = Vec::new();
    for index in 0..sockets.len() {
        // One or the other; asking for the wrong one leaves it where it is.
        if let Ok(Some(listener)) = sockets.take_unix_listener(index) {
            listeners.push(Listener::on_unix(listener).map_err(failed)?);
        } else if let Some(listener) = sockets.take_tcp_listener(index).map_err(failed)? {
            listeners.push(Listener::on_tcp(listener).map_err(failed)?);
        }
    }
    Ok(listeners)
}

/// A connection's place among others; given back when it ends, however that comes.
struct Place {
    shared: Option<Arc<Shared>>,
    present: Arc<Present>,
    number: u64,
}

impl Place {
    fn of(shared: &Arc<Shared>, number: u64) -> Self {
        shared.terms.figures.client_came();
        Self { shared: Some(Arc::clone(shared)), present: Arc::clone(&shared.present), number }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.terms.figures.client_left();
        }
        // First the store is let go of: whoever waits for the last connection may want to open it again.
        self.shared = None;
        self.present.connections.lock().remove(&self.number);
        self.present.one_left.notify_all();
    }
}

impl Shared {
    fn let_in(self: &Arc<Self>, listener: &Listener) {
        loop {
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            let accepted = match listener.wait() {
                Ok(true) => listener.accept(&self.terms.limits, number),
                Ok(false) => return,
                Err(error) => Err(error),
            };
            let (wire, peer) = match accepted {
                Ok((wire, peer)) => (Arc::new(Stoppable::new(wire)), peer),
                // He changed his mind, or another process let him in.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => {
                    // The client may be gone already, or the process has no file left for him.
                    tracing::warn!(address = %listener.address, %error, "a client could not be let in");
                    thread::sleep(PAUSE);
                    continue;
                }
            };
            let place = {
                let mut connections = self.present.connections.lock();
                if connections.len() >= self.terms.limits.connections {
                    tracing::warn!(address = %listener.address, "a client was turned away: there are {} already", connections.len());
                    self.terms.figures.client_turned_away();
                    wire.cut();
                    continue;
                }
                connections.insert(number, wire.clone());
                Place::of(self, number)
            };
            let exports = Exports::new(self.store.clone(), Arc::clone(&self.uses), peer).filled_by(self.behinds.clone());
            let connection = Connection { wire, exports, needs_tls: listener.address.is_open_to_others() };
            let spawned = thread::Builder::new().name(format!("nbd-{number}")).spawn(move || {
                let place = place;
                if let Some(shared) = &place.shared {
                    serve(connection, &shared.terms, number);
                }
            });
            if let Err(error) = spawned {
                tracing::warn!(address = %listener.address, %error, "a client could not be let in");
            }
        }
    }
}

fn serve(connection: Connection, terms: &Terms, number: u64) {
    let began = |session: &Session| {
        let description = &session.description;
        let access = if description.read_only { "read-only" } else { "read-write" };
        tracing::info!(connection = number, export = %description.name, access, mode = ?session.mode, "a client came");
    };
    match connection.serve(terms, &began) {
        Ok(()) => tracing::info!(connection = number, "a client left"),
        Err(ended) => tracing::warn!(connection = number, reason = %ended, "a connection ended"),
    }
}

/// Serves one image, whatever name is asked for, to one client.
///
/// # Errors
/// What ended the connection before the client did.
pub fn serve_one(store: &Store, image: Image, wire: Arc<dyn Wire>, limits: Limits) -> Result<(), Failure> {
    let exports = Exports::only(store.clone(), Arc::default(), Peer::Connection(0), image);
    let connection = Connection { wire, exports, needs_tls: false };
    let terms = Terms { limits, tls: None, figures: Arc::default() };
    connection.serve(&terms, &|_| ()).map_err(|ended| Failure::new(FailureKind::Io, ended.to_string()))
}
