//! Is TLS offered, required and kept as the protocol says?

use super::bench::{Bench, MIB, pattern};
use super::certificates::Certificates;
use super::client::*;
use floe::node::nbd::{Address, Limits, Server, ServerOptions};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const SIZE: u64 = 128 * MIB;

/// A socket through TLS, of which one clone can send while another one receives.
struct Tls<S> {
    connection: Arc<Mutex<ClientConnection>>,
    socket: S,
    received: VecDeque<u8>,
}

impl Tls<UnixStream> {
    fn try_clone(&self) -> Self {
        let socket = self.socket.try_clone().expect("a socket");
        Self { connection: Arc::clone(&self.connection), socket, received: VecDeque::new() }
    }
}

impl<S: Read + Write> Tls<S> {
    /// Sends what the connection has to say.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut encrypted = Vec::new();
        {
            let mut connection = self.connection.lock().expect("nobody panicked");
            connection.writer().write_all(bytes)?;
            while connection.wants_write() {
                connection.write_tls(&mut encrypted)?;
            }
        }
        self.socket.write_all(&encrypted)
    }
}

impl<S: Read + Write> Read for Tls<S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut encrypted = vec![0; 64 << 10];
        while self.received.is_empty() {
            let count = self.socket.read(&mut encrypted)?;
            let mut connection = self.connection.lock().expect("nobody panicked");
            if count == 0 {
                connection.read_tls(&mut io::empty())?;
            }
            let mut rest = &encrypted[..count];
            while !rest.is_empty() {
                connection.read_tls(&mut rest)?;
                connection.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::ConnectionReset, error))?;
                let mut plain = vec![0; 64 << 10];
                // Says `UnexpectedEof` if the connection ends without a farewell.
                while let Ok(count @ 1..) = connection.reader().read(&mut plain) {
                    self.received.extend(&plain[..count]);
                }
            }
            if self.received.is_empty() {
                match connection.reader().read(&mut [0]) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    end => return end,
                }
            }
        }
        let count = bytes.len().min(self.received.len());
        self.received.drain(..count).zip(bytes).for_each(|(from, to)| *to = from);
        Ok(count)
    }
}

impl<S: Read + Write> Write for Tls<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(64 << 10)];
        self.send(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn configuration(all: &Certificates, who: &str) -> Arc<ClientConfig> {
    let dir = all.of(who);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(dir.join("ca-cert.pem")).expect("PEM")).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let builder = builder.with_root_certificates(roots);
    let own = CertificateDer::from_pem_file(dir.join("client-cert.pem")).ok();
    let config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let key = PrivateKeyDer::from_pem_file(dir.join("client-key.pem")).expect("PEM");
            builder.with_client_auth_cert(vec![own], key).expect("a certificate")
        }
    };
    Arc::new(config)
}

/// Goes on through TLS, as soon as the server has agreed to it.
fn through<S: Stream>(client: Client<S>, config: Arc<ClientConfig>) -> io::Result<Client<Tls<S>>> {
    let mut socket = client.stream;
    let mut connection = ClientConnection::new(config, "localhost".try_into().expect("a name")).expect("a configuration");
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    let connection = Arc::new(Mutex::new(connection));
    Ok(Client::over(Tls { connection, socket, received: VecDeque::new() }))
}

/// A server of `db` on a unix socket and on TCP.
fn bench(all: &Certificates, known: bool, required: bool, limits: Limits) -> Bench {
    let dir = tempfile::tempdir().expect("a directory");
    let store = floe::Store::options().capacity(512 * MIB).create(dir.path().join("s.floe")).expect("a store");
    let options = ServerOptions::default().limits(limits).tls(all.server(known, required));
    let bench = Bench::serving(store, dir, options.listen("127.0.0.1:0".parse().expect("an address")));
    bench.drive("db", SIZE);
    bench
}

fn tls(bench: &Bench, config: &Arc<ClientConfig>) -> Client<Tls<UnixStream>> {
    let mut client = bench.client().greet(3);
    assert_eq!(client.outcome(STARTTLS, &[]), ACK);
    through(client, Arc::clone(config)).expect("TLS")
}

fn tcp_of(bench: &Bench) -> String {
    let server = bench.server.as_ref().expect("a server");
    server.addresses().iter().find(|address| matches!(address, Address::Tcp(_))).expect("TCP").to_string()
}

#[test]
fn all_is_as_without_tls() {
    let all = Certificates::new();
    let bench = bench(&all, false, false, Limits::default());
    let config = configuration(&all, "server");
    for mode in MODES {
        let mut client = tls(&bench, &config);
        assert_eq!(client.list().len(), 2);
        let mut client = client.agree(mode).go("db");
        for (offset, len) in [(0, 1), (5, 4096), (MIB, 100_000), (3 * MIB, 8 << 20)] {
            let bytes = pattern(1, offset, len);
            client.write(offset, &bytes);
            assert!(client.read(offset, len as u64) == bytes);
        }
        assert_eq!(client.errno(Request::new(WRITE, SIZE, 0)), 0);
        assert_eq!(client.errno(Request::new(999, 0, 0)), EINVAL);
        assert_eq!(client.errno(Request::new(FLUSH, 0, 0)), 0);
    }
    // Without TLS it goes too: it is offered here.
    bench.check_alive();
}

#[test]
fn a_connection_through_tls_ends_with_a_farewell() {
    let all = Certificates::new();
    let bench = bench(&all, false, false, Limits::default());
    let config = configuration(&all, "server");
    let mut client = tls(&bench, &config).agree(Mode::Simple).go("db");
    client.read(0, 1);
    client.send(&Request::new(DISC, 0, 0).bytes(Mode::Simple));
    let end = client.stream.read(&mut [0]);
    assert_eq!(end.map_err(|error| error.to_string()), Ok(0), "after DISC the server shuts TLS down, and then the connection");
    let mut client = tls(&bench, &config);
    assert_eq!(client.outcome(ABORT, &[]), ACK);
    let end = client.stream.read(&mut [0]);
    assert_eq!(end.map_err(|error| error.to_string()), Ok(0), "after ABORT");
}

#[test]
fn what_was_agreed_before_is_forgotten() {
    let all = Certificates::new();
    let bench = bench(&all, false, false, Limits::default());
    let config = configuration(&all, "server");
    for mode in [Mode::Structured, Mode::Extended] {
        let mut client = bench.client().greet(3).agree(mode);
        client.choose("db", &["base:allocation"]);
        assert_eq!(client.outcome(STARTTLS, &[]), ACK);
        let mut client = through(client, Arc::clone(&config)).expect("TLS");
        assert_eq!(client.outcome(STARTTLS, &[]), ERR_INVALID, "it is in use already");
        assert_eq!(client.ask_contexts(SET_META_CONTEXT, "db", &["base:allocation"]), Err(ERR_INVALID));
        let mut client = client.go("db");
        assert_eq!(client.transmission_flags & SEND_DF, 0);
        client.read(0, 4096);
        // The contexts are forgotten even if replies are agreed on again.
        let mut client = bench.client().greet(3).agree(mode);
        client.choose("db", &["base:allocation"]);
        assert_eq!(client.outcome(STARTTLS, &[]), ACK);
        let mut client = through(client, Arc::clone(&config)).expect("TLS").agree(mode).go("db");
        assert_eq!(client.errno(Request::new(BLOCK_STATUS, 0, 4096)), EINVAL);
    }
}

#[test]
fn where_tls_is_required_nothing_is_said_before_it() {
    let all = Certificates::new();
    let bench = bench(&all, false, true, Limits::default());
    let mut client = bench.client().greet(3);
    let names = [about("db", &[]), about("nothing", &[]), contexts("db", &[])];
    for number in [LIST, INFO, GO, STRUCTURED_REPLY, LIST_META_CONTEXT, SET_META_CONTEXT, EXTENDED_HEADERS, 4, 77] {
        for data in [&b""[..], &names[0], &names[1], &names[2]] {
            let replies = client.ask(number, data);
            assert_eq!(replies.len(), 1);
            assert_eq!(replies[0].0, ERR_TLS_REQD, "option {number}");
            assert!(!String::from_utf8_lossy(&replies[0].1).contains("db"));
        }
    }
    assert_eq!(client.outcome(STARTTLS, b"x"), ERR_INVALID);
    assert_eq!(client.outcome(STARTTLS, &[]), ACK);
    let mut client = through(client, configuration(&all, "server")).expect("TLS").go("db");
    client.read(0, 1);
    for name in [&b"db"[..], b"nothing"] {
        let mut client = bench.client().greet(3);
        client.send(&option(EXPORT_NAME, name));
        client.expect_end();
    }
    let mut client = bench.client().greet(3);
    assert_eq!(client.outcome(ABORT, &[]), ACK);
    client.expect_end();
    // On TCP it is the same.
    assert_eq!(Client::tcp(&tcp_of(&bench)).greet(3).outcome(LIST, &[]), ERR_TLS_REQD);
}

#[test]
fn what_others_can_reach_talks_through_tls_alone() {
    let all = Certificates::new();
    let bench = bench(&all, false, false, Limits::default());
    let options = ServerOptions::default().tls(all.server(false, false)).listen("0.0.0.0:0".parse().expect("an address"));
    let server = Server::start(&bench.store, options).expect("a server");
    let Address::Tcp(address) = server.addresses()[0] else { panic!("TCP was asked for") };
    let address = format!("127.0.0.1:{}", address.port());
    let mut client = Client::tcp(&address).greet(3);
    assert_eq!(client.outcome(LIST, &[]), ERR_TLS_REQD);
    assert_eq!(client.outcome(GO, &about("db", &[])), ERR_TLS_REQD);
    assert_eq!(client.outcome(STARTTLS, &[]), ACK);
    through(client, configuration(&all, "server")).expect("TLS").go("db").read(0, 1);
    let mut client = Client::tcp(&address).greet(3);
    client.send(&option(EXPORT_NAME, b"db"));
    client.expect_end();
    // The same server's loopback address offers it and does not insist.
    assert_eq!(Client::tcp(&tcp_of(&bench)).greet(3).list().len(), 2);
    server.stop();
}

#[test]
fn bytes_that_follow_starttls_without_tls_end_the_connection() {
    let all = Certificates::new();
    for required in [false, true] {
        let bench = bench(&all, false, required, Limits::default());
        for injected in [option(LIST, &[]), option(ABORT, &[]), vec![0], b"I".to_vec()] {
            let mut client = bench.client().greet(3);
            client.send(&[option(STARTTLS, &[]), injected].concat());
            let rest = client.rest();
            assert!(rest.len() <= 20, "an answer to what was injected: {rest:?}");
        }
        // Too late for that: it is no TLS.
        let mut client = bench.client().greet(3);
        assert_eq!(client.outcome(STARTTLS, &[]), ACK);
        client.send(&option(LIST, &[]));
        let rest = client.rest();
        assert!(!rest.windows(8).any(|window| window == 0x3_e889_0455_65a9_u64.to_be_bytes()), "{rest:?}");
        let mut client = tls(&bench, &configuration(&all, "server"));
        assert_eq!(client.list().len(), 2);
    }
}

#[test]
fn clients_must_show_a_certificate_if_they_must() {
    let all = Certificates::new();
    let bench = bench(&all, true, false, Limits::default());
    // With TLS 1.3 a client hears of a refusal after its own handshake.
    let comes_in = |who: &str, config: Arc<ClientConfig>| {
        let mut client = bench.client().greet(3);
        assert_eq!(client.outcome(STARTTLS, &[]), ACK);
        let Ok(mut client) = through(client, config) else { return false };
        if client.stream.write_all(&option(LIST, &[])).is_err() {
            return false;
        }
        let comes = client.try_receive(20).is_ok();
        assert!(!comes || client.stream.write_all(&option(ABORT, &[])).is_ok(), "{who}");
        comes
    };
    assert!(comes_in("alice", configuration(&all, "alice")));
    assert!(comes_in("bob", configuration(&all, "bob")));
    assert!(!comes_in("nobody", configuration(&all, "server")), "without a certificate");
    assert!(!comes_in("mallory", configuration(&all, "mallory")), "she does not trust the server");
    // She trusts it now, and the server still does not trust her.
    std::fs::copy(all.of("alice").join("ca-cert.pem"), all.of("mallory").join("ca-cert.pem")).expect("a file");
    assert!(!comes_in("mallory", configuration(&all, "mallory")), "of an authority that is not known");
    let stolen = all.of("mallory").join("client-cert.pem");
    std::fs::copy(all.of("server").join("server-cert.pem"), stolen).expect("a file");
    std::fs::copy(all.of("server").join("server-key.pem"), all.of("mallory").join("client-key.pem")).expect("a file");
    assert!(!comes_in("mallory", configuration(&all, "mallory")), "a server's certificate is not a client's");
    assert!(comes_in("alice", configuration(&all, "alice")));
}

#[test]
fn connections_with_one_certificate_are_one_client() {
    let all = Certificates::new();
    let bench = bench(&all, true, false, Limits::default());
    let address = tcp_of(&bench);
    let come = |who: &str| {
        let mut client = Client::tcp(&address).greet(3);
        assert_eq!(client.outcome(STARTTLS, &[]), ACK);
        through(client, configuration(&all, who)).expect("TLS").go("db")
    };
    let mut alice = [come("alice"), come("alice")];
    let mut bob = come("bob");
    for client in &mut alice {
        assert_eq!(client.transmission_flags & (READ_ONLY | CAN_MULTI_CONN), CAN_MULTI_CONN);
        client.write(0, b"alice");
    }
    assert_eq!(bob.call(Request::new(WRITE, 0, 3), b"bob").errno, EPERM);
    assert_eq!(bob.read(0, 5), b"alice");
    assert_ne!(come("bob").transmission_flags & READ_ONLY, 0);
    alice[1].write(5, b" again");
    assert_eq!(alice[0].read(0, 11), b"alice again");
}

#[test]
fn payloads_of_32_mib_go_through_tls_both_ways_at_once() {
    const LEN: u64 = 32 << 20;
    let all = Certificates::new();
    let bench = bench(&all, false, true, Limits::default());
    let stored = pattern(1, 0, LEN as usize);
    bench.db().write_at(&stored, 0).expect("a write");
    let mut client = tls(&bench, &configuration(&all, "server")).agree(Mode::Structured).go("db");
    let written = pattern(2, LEN, LEN as usize);
    let mut sending = client.stream.try_clone();
    let mut parts = Vec::new();
    for cookie in [101, 103] {
        for (request, payload) in [(Request::new(READ, 0, LEN), None), (Request::new(WRITE, LEN, LEN), Some(&written))] {
            let request = request.cookie(cookie + u64::from(payload.is_some()));
            client.expect(request);
            parts.push((request.bytes(Mode::Structured), payload));
        }
    }
    thread::scope(|scope| {
        scope.spawn(|| {
            for (head, payload) in &parts {
                sending.write_all(head).expect("it is taken");
                sending.write_all(payload.map_or(&[], |payload| payload)).expect("it is taken");
            }
        });
        for _ in 0..4 {
            let reply = client.reply();
            assert!(reply.errno == 0 && (reply.data.is_empty() || reply.data == stored));
        }
    });
    let mut found = vec![0; LEN as usize];
    bench.db().read_at(&mut found, LEN).expect("a read");
    assert!(found == written);
}

#[test]
fn a_slow_tls_handshake_is_ended() {
    let all = Certificates::new();
    let limits = Limits { handshake: Duration::from_millis(300), ..Limits::default() };
    let mut bench = bench(&all, false, true, limits);
    // Silence.
    let mut client = bench.client().greet(3);
    assert_eq!(client.outcome(STARTTLS, &[]), ACK);
    client.rest();
    // The beginning of a long message, byte by byte: each one in time, all of them far too late.
    let mut client = bench.client().greet(3);
    assert_eq!(client.outcome(STARTTLS, &[]), ACK);
    let hello = [0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3];
    let ended = hello.into_iter().chain([7; 500]).any(|byte| {
        thread::sleep(Duration::from_millis(20));
        client.stream.write_all(&[byte]).is_err()
    });
    assert!(ended, "500 bytes were taken one by one");
    bench.stop();
}

#[test]
fn a_stop_answers_through_tls_too() {
    let all = Certificates::new();
    let mut bench = bench(&all, false, true, Limits::default());
    let config = configuration(&all, "server");
    let mut client = tls(&bench, &config).agree(Mode::Extended).go("db");
    let idle = [tls(&bench, &config), tls(&bench, &config).go("db")];
    for index in 0..50 {
        client.submit(Request::new(WRITE, index * 4096, 100).flags(FUA), &[index as u8; 100]);
    }
    let server = bench.server.take().expect("a server");
    let stopping = thread::spawn(move || server.stop());
    while client.unanswered() > 0 {
        assert_eq!(client.reply().errno, 0);
    }
    stopping.join().expect("it stops");
    drop(idle);
    bench.stop();
}

#[test]
fn garbage_through_tls_harms_nobody() {
    let all = Certificates::new();
    let mut bench = bench(&all, false, true, Limits::default());
    let config = configuration(&all, "server");
    for garbage in [&b"x"[..], &[0; 5000], b"IHAVEOPTxxxxxxxxxx"] {
        let mut client = tls(&bench, &config);
        client.send(garbage);
        assert!(client.try_receive(1).is_err());
        let mut client = tls(&bench, &config).go("db");
        client.send(garbage);
        assert!(client.try_receive(1).is_err());
        // What is no record, in the middle of everything.
        let mut client = tls(&bench, &config).go("db");
        client.stream.socket.write_all(garbage).expect("it is taken");
        client.stream.socket.shutdown(std::net::Shutdown::Write).expect("a socket");
        assert!(client.try_receive(1).is_err());
    }
    let mut client = tls(&bench, &config).go("db");
    client.read(0, 1);
    bench.stop();
}
