//! How does a server come to an end while clients are there?

use super::bench::{Bench, MIB, pattern, stop};
use super::client::*;
use floe::Store;
use floe::node::nbd::{Address, Server, ServerOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

const SIZE: u64 = 64 * MIB;

/// Sends requests, stops the server, and only then listens: all that was sent is answered, and then comes the end.
fn check_drained<S: Stream>(bench: &mut Bench, mut client: Client<S>, requests: &[(Request, Vec<u8>)]) {
    for (request, payload) in requests {
        client.submit(*request, payload);
    }
    let server = bench.server.take().expect("a server");
    thread::scope(|scope| {
        let stopped = scope.spawn(|| stop(server));
        // So that it has most likely begun to stop; if not, less is tested.
        thread::sleep(Duration::from_millis(100));
        while client.unanswered() > 0 {
            let reply = client.reply();
            assert_eq!(reply.errno, 0);
        }
        client.expect_end();
        stopped.join().expect("it stops");
    });
    let db = bench.db();
    for (request, payload) in requests.iter().filter(|(request, _)| request.command == WRITE) {
        let mut found = vec![0; payload.len()];
        db.read_at(&mut found, request.offset).expect("a read");
        assert!(found == *payload, "{request:?}");
    }
    bench.stop();
    let store = Store::options().open(bench.path().join("s.floe")).expect("it opens");
    assert!(store.info().was_clean, "the store was closed in order");
    store.close().expect("it closes");
}

fn requests() -> Vec<(Request, Vec<u8>)> {
    let one = |index: u64| match index % 4 {
        0 => (Request::new(FLUSH, 0, 0), vec![]),
        1 => (Request::new(READ, 0, 4096), vec![]),
        2 => (Request::new(WRITE, index * 65_536, 300).flags(FUA), pattern(1, index * 65_536, 300)),
        _ => (Request::new(WRITE, index * 65_536, 1000), pattern(2, index * 65_536, 1000)),
    };
    // The answer to the first one does not fit into any socket: whatever follows is not done yet when the server is told to stop.
    let first = [(Request::new(READ, 0, 16 << 20), vec![])];
    first.into_iter().chain((0..100).map(one)).collect()
}

#[test]
fn what_was_sent_is_answered_before_a_unix_connection_ends() {
    for mode in MODES {
        let mut bench = Bench::new(SIZE);
        let client = bench.client().begin(mode, "db");
        check_drained(&mut bench, client, &requests());
    }
}

#[test]
fn what_was_sent_is_answered_before_a_tcp_connection_ends() {
    for mode in MODES {
        let mut bench = Bench::new(SIZE);
        let options = ServerOptions::default().listen("127.0.0.1:0".parse().expect("an address"));
        let server = Server::start(&bench.store, options).expect("a server");
        let client = Client::tcp(&server.addresses()[0].to_string()).begin(mode, "db");
        bench.server = Some(server);
        check_drained(&mut bench, client, &requests());
    }
}

#[test]
fn clients_that_say_nothing_do_not_keep_the_server() {
    let mut bench = Bench::new(SIZE);
    let clients = [bench.client(), bench.client().greet(3), bench.client().begin(Mode::Structured, "db")];
    let mut half = [bench.client().greet(3), bench.client().begin(Mode::Simple, "db"), bench.client().begin(Mode::Simple, "db")];
    half[0].send(&option(LIST, b"")[..10]);
    half[1].send(&Request::new(READ, 0, 4096).bytes(Mode::Simple)[..10]);
    half[2].send(&Request::new(WRITE, 0, 1 << 20).bytes(Mode::Simple));
    half[2].send(&[1; 1000]);
    bench.stop();
    for mut client in half {
        client.rest();
    }
    drop(clients);
}

#[test]
fn a_client_that_never_pauses_does_not_keep_the_server() {
    let mut bench = Bench::new(SIZE);
    let options = ServerOptions::default().listen("127.0.0.1:0".parse().expect("an address"));
    let server = Server::start(&bench.store, options).expect("a server");
    let Address::Tcp(address) = server.addresses()[0] else { panic!("TCP was asked for") };
    let mut client = Client::tcp(&address.to_string()).begin(Mode::Simple, "db");
    client.write(0, b"one");
    let mut listening: TcpStream = client.stream.try_clone().expect("a socket");
    let listener = thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        while listening.read(&mut bytes).is_ok_and(|count| count > 0) {}
    });
    // Far more than the server gets done while it is told to stop, and not so much that a server that never stops hangs the test.
    let sender = thread::spawn(move || {
        let many = Request::new(READ, 0, 1).cookie(1).bytes(Mode::Simple).repeat(10_000);
        (0..2000).map(|_| client.stream.write_all(&many)).find(Result::is_err).is_some()
    });
    thread::sleep(Duration::from_millis(100));
    stop(server);
    bench.stop();
    listener.join().expect("it hears the end");
    assert!(sender.join().expect("it ends"), "the server stopped while the client was still sending");
}

#[test]
fn a_store_can_be_opened_again_as_soon_as_its_server_has_stopped() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("s.floe");
    let store = Store::options().capacity(256 * MIB).create(&path).expect("a store");
    store.create_drive(floe::DriveOptions::new(MIB).name("db")).expect("a drive");
    store.close().expect("it closes");
    drop(store);
    for round in 0..30 {
        let store = Store::options().open(&path).unwrap_or_else(|error| panic!("round {round}: {error}"));
        let socket = dir.path().join("nbd.sock");
        let server = Server::start(&store, ServerOptions::default().listen(Address::Unix(socket.clone()))).expect("a server");
        let clients = [(); 4].map(|()| Client::unix(&socket).begin(Mode::Simple, "db"));
        server.stop();
        // No call of `close`: the last handle closes the store.
        drop(store);
        drop(clients);
    }
}
