//! How does a network fail between a client and an object store, as a test has planned it?
//!
//! Passes on requests and answers byte for byte: a request's signature covers the name of its host, which stays what the client wrote.

use std::collections::BTreeMap;
use std::io::{self, BufReader};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};

use super::ledger::Ledger;
pub use super::ledger::{Entry, Traffic};
use super::message::Message;
use super::plan::Plan;
#[allow(unused_imports)] // As above.
pub use super::plan::{Fault, Request, nth, once};

/// Stands in front of a store, on a port of its own.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

struct Shared {
    store: SocketAddr,
    plan: Mutex<Plan>,
    ledger: Ledger,
    refuses: AtomicBool,
    /// Those that are open, and how many there were ever.
    connections: Mutex<(Vec<Weak<TcpStream>>, usize)>,
    /// Held while the store does what has a condition: of two, the second one has to see what the first one did.
    one_by_one: Mutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A plan that panics fails its request; the test's own assertions say the rest.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// In front of the store at that port; nothing goes wrong yet.
    pub fn before(port: u16) -> Self {
        let shared = Shared {
            store: SocketAddr::from(([127, 0, 0, 1], port)),
            plan: Mutex::new(Box::new(|_| None)),
            ledger: Ledger::default(),
            refuses: AtomicBool::new(false),
            connections: Mutex::default(),
            one_by_one: Mutex::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let mut proxy = Self { address: listener.local_addr().expect("an address"), shared: Arc::new(shared), listening: None };
        proxy.listen(listener);
        proxy
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What goes wrong from now on. The plan is asked once for each request, before the store hears of it.
    pub fn plan(&self, plan: impl FnMut(&Request<'_>) -> Option<Fault> + Send + 'static) {
        *lock(&self.shared.plan) = Box::new(plan);
    }

    /// All that came, in the order in which it came.
    pub fn requests(&self) -> Vec<Entry> {
        self.shared.ledger.all()
    }

    /// Sums by method.
    pub fn traffic(&self) -> BTreeMap<String, Traffic> {
        self.shared.ledger.traffic()
    }

    /// How many connections there were: clients that keep theirs need few.
    pub fn connections(&self) -> usize {
        lock(&self.shared.connections).1
    }

    /// Breaks all connections, and refuses new ones.
    pub fn refuse(&mut self) {
        let Some(listening) = self.listening.take() else { return };
        self.shared.refuses.store(true, Ordering::SeqCst);
        // Wakes who waits for a connection.
        TcpStream::connect(self.address).map(drop).unwrap_or_default();
        listening.join().expect("it ends");
        for connection in lock(&self.shared.connections).0.drain(..) {
            connection.upgrade().iter().for_each(|connection| hang_up(connection));
        }
    }

    /// Takes connections again, at the same port.
    pub fn accept(&mut self) {
        assert!(self.listening.is_none(), "it accepts");
        self.shared.refuses.store(false, Ordering::SeqCst);
        self.listen(TcpListener::bind(self.address).expect("its port"));
    }

    fn listen(&mut self, listener: TcpListener) {
        let shared = self.shared.clone();
        self.listening = Some(thread::spawn(move || {
            for connection in listener.incoming() {
                if shared.refuses.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(connection) = connection else { continue };
                let connection = Arc::new(connection);
                let (open, ever) = &mut *lock(&shared.connections);
                open.retain(|other| other.strong_count() > 0);
                open.push(Arc::downgrade(&connection));
                *ever += 1;
                let shared = shared.clone();
                thread::spawn(move || {
                    // What the client sees of an error is that its connection ends.
                    shared.serve(&connection).unwrap_or_default();
                    hang_up(&connection);
                });
            }
        }));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.refuse();
    }
}

fn hang_up(connection: &TcpStream) {
    // The other side may have ended it already.
    connection.shutdown(Shutdown::Both).unwrap_or_default();
}

impl Shared {
    /// Request by request, until one side ends the connection.
    fn serve(&self, connection: &TcpStream) -> io::Result<()> {
        connection.set_nodelay(true)?;
        let mut from = BufReader::new(connection);
        while let Some(request) = Message::request(&mut from)? {
            let (method, path) = (request.method(), request.path());
            let number = self.ledger.came(method, path, request.body.len() as u64);
            let fault = lock(&self.plan)(&Request { number, method, path, body: &request.body });
            let Some(mut answer) = self.answer_to(&request, fault)? else { return Ok(()) };
            // An answer to HEAD says how long a body is, and has none.
            let mut bytes = if method == "HEAD" { 0 } else { answer.body.len() };
            match fault {
                Some(Fault::Cut(after)) => bytes = bytes.min(after),
                Some(Fault::Flip(bit)) => answer.body.iter_mut().skip(bit / 8).take(1).for_each(|byte| *byte ^= 1 << (bit % 8)),
                Some(Fault::Overtaken) if !self.ledger.is_overtaken(number) => return Ok(()),
                _ => {}
            }
            // Before the client can look.
            self.ledger.answers(number, answer.status(), bytes as u64);
            answer.write_part(&mut &*connection, bytes)?;
            if matches!(fault, Some(Fault::Cut(_))) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What the client is to be told, before it is spoiled; nothing if it is to be hung up on.
    fn answer_to(&self, request: &Message, fault: Option<Fault>) -> io::Result<Option<Message>> {
        match fault {
            Some(Fault::Answer(status)) => return Ok(Some(Message::error(status))),
            Some(Fault::HangUp) => return Ok(None),
            Some(Fault::Stall(time)) => thread::sleep(time),
            Some(Fault::Twice) => drop(self.pass_on(request)?),
            _ => {}
        }
        let answer = self.pass_on(request)?;
        Ok(match fault {
            Some(Fault::DoneBut(status)) => Some(Message::error(status)),
            Some(Fault::DoneAndHangUp) => None,
            _ => Some(answer),
        })
    }

    /// By a connection of its own: one that was kept might be dead, and whether the store heard of a request would be a riddle.
    fn pass_on(&self, request: &Message) -> io::Result<Message> {
        let has_condition = ["if-match", "if-none-match"].iter().any(|name| request.header(name).is_some());
        let _turn = has_condition.then(|| lock(&self.one_by_one));
        let store = TcpStream::connect(self.store)?;
        store.set_nodelay(true)?;
        request.write(&mut &store)?;
        Message::answer(&mut BufReader::new(&store), request.method())
    }
}
