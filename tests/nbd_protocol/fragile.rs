//! Does a broken or malicious client harm anybody but itself?

use super::bench::{Bench, Dice, MIB, pattern, seed};
use super::client::*;
use floe::node::nbd::Limits;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

const SIZE: u64 = 16 * MIB;

/// What counts as too long, where a test waits for it.
const SHORT: Duration = Duration::from_millis(300);

/// How many bytes a client sends slowly, each after a pause that alone is not too long. All of them together are far too long.
const DRIPS: usize = 600;
const DRIP: Duration = Duration::from_millis(20);

/// Everything that a client of good manners says, from the first byte to the last.
fn conversation(mode: Mode) -> Vec<u8> {
    let mut bytes = 3_u32.to_be_bytes().to_vec();
    bytes.extend(option(LIST, &[]));
    bytes.extend(option(77, b"unknown"));
    match mode {
        Mode::Simple => {}
        Mode::Structured => bytes.extend(option(STRUCTURED_REPLY, &[])),
        Mode::Extended => bytes.extend(option(EXTENDED_HEADERS, &[])),
    }
    if mode != Mode::Simple {
        bytes.extend(option(LIST_META_CONTEXT, &contexts("db", &["base:", "qemu:"])));
        bytes.extend(option(SET_META_CONTEXT, &contexts("db", &["base:allocation"])));
    }
    bytes.extend(option(INFO, &about("db", &[1, 2])));
    bytes.extend(option(GO, &about("db", &[3])));
    let one = |command, flags, offset, length| Request { command, flags, cookie: 9, offset, length }.bytes(mode);
    bytes.extend(one(WRITE, 0, 0, 20));
    bytes.extend(pattern(1, 0, 20));
    bytes.extend(one(READ, 0, 0, 10));
    bytes.extend(one(WRITE, FUA, 4096, 5));
    bytes.extend(pattern(1, 4096, 5));
    bytes.extend(one(FLUSH, 0, 0, 0));
    bytes.extend(one(WRITE_ZEROES, 0, 8192, 100));
    bytes.extend(one(BLOCK_STATUS, 0, 0, 8192));
    bytes.extend(one(999, 0, 0, 8192));
    bytes.extend(one(DISC, 0, 0, 0));
    bytes
}

/// Says it all and hears what there is to hear until the end, which must come.
fn say(bench: &Bench, bytes: &[u8]) -> Vec<u8> {
    let mut client = bench.client();
    // The server may have had enough before everything is said.
    if client.stream.write_all(bytes).is_ok() {
        client.stream.shutdown(Shutdown::Write).unwrap_or_default();
    }
    client.rest()
}

#[test]
fn a_client_may_vanish_at_every_byte() {
    let mut bench = Bench::new(SIZE);
    for mode in MODES {
        let whole = conversation(mode);
        for len in 0..whole.len() {
            // Once without a trace, and once it can still listen.
            drop(bench.client().stream.write_all(&whole[..len]));
            let heard = say(&bench, &whole[..len]);
            assert!(heard.starts_with(b"NBDMAGIC"), "{len} bytes of the conversation");
        }
    }
    bench.check_alive();
    bench.stop();
}

#[test]
fn half_a_write_is_no_write() {
    let bench = Bench::new(SIZE);
    for mode in MODES {
        for (length, sent) in [(20, 19), (200_000, 199_999), (4 << 20, 1), (4 << 20, (4 << 20) - 1)] {
            let mut client = bench.client().begin(mode, "db");
            client.send(&Request::new(WRITE, 0, length as u64).bytes(mode));
            client.send(&vec![1; sent]);
            client.stream.shutdown(Shutdown::Write).expect("a socket");
            client.expect_end();
        }
    }
    assert_eq!(bench.db().info().expect("a drive").referenced_bytes, 0);
}

/// Sends and receives one byte at a time.
struct Drip(UnixStream);

impl Write for Drip {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(1)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Drip {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let len = bytes.len().min(1);
        self.0.read(&mut bytes[..len])
    }
}

#[test]
fn a_client_may_send_byte_by_byte() {
    let bench = Bench::new(SIZE);
    for mode in MODES {
        let mut client = Client::over(Drip(bench.client().stream)).greet(3);
        assert_eq!(client.list().len(), 2);
        let mut client = client.agree(mode).go("db");
        let bytes = pattern(3, 1000, 10_000);
        client.write(1000, &bytes);
        assert_eq!(client.errno(Request::new(FLUSH, 0, 0)), 0);
        assert!(client.read(1000, 10_000) == bytes);
        client.disconnect();
    }
}

#[test]
fn a_client_that_takes_no_answers_is_left() {
    let limits = Limits { stall: SHORT, in_flight_bytes: 4 << 20, ..Limits::default() };
    let mut bench = Bench::with_limits(SIZE, limits);
    bench.db().write_at(&[1; 1 << 20], 0).expect("a write");
    thread::scope(|scope| {
        for (length, mode) in [1, 4096, 1 << 20, 16 << 20].into_iter().flat_map(|length| MODES.map(|mode| (length, mode))) {
            let mut client = bench.client().begin(mode, "db");
            scope.spawn(move || {
                let many = Request::new(READ, 0, length).bytes(mode).repeat(100);
                let error = (0..1000).find_map(|_| client.stream.write_all(&many).err()).expect("it ends");
                assert!(matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset), "{error}");
            });
        }
    });
    bench.check_alive();
    bench.stop();
}

#[test]
fn nothing_more_is_read_for_a_client_that_is_gone() {
    for mode in MODES {
        let mut bench = Bench::new(32 * MIB);
        bench.db().write_at(&pattern(1, 0, 32 << 20), 0).expect("a write");
        let mut client = bench.client().begin(mode, "db");
        // All together they ask for more than a terabyte. The server does not take all of them, since it waits for answers to be taken.
        let many = Request::new(READ, 0, 32 << 20).bytes(mode).repeat(40_000);
        client.stream.set_nonblocking(true).expect("a socket");
        let mut sent = 0;
        while let Ok(count @ 1..) = client.stream.write(&many[sent..]) {
            sent += count;
            thread::sleep(Duration::from_millis(1));
        }
        drop(client);
        bench.check_alive();
        bench.stop();
    }
}

#[test]
fn a_client_that_takes_no_answers_to_options_is_left() {
    let bench = Bench::with_limits(SIZE, Limits { stall: SHORT, ..Limits::default() });
    for index in 0..50 {
        bench.drive(&format!("drive-{index}"), MIB);
    }
    let mut client = bench.client().greet(3);
    let many = option(LIST, &[]).repeat(100);
    let error = (0..1000).find_map(|_| client.stream.write_all(&many).err()).expect("it ends");
    assert!(matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset), "{error}");
    bench.check_alive();
}

#[test]
fn a_client_that_does_not_negotiate_is_left() {
    let mut bench = Bench::with_limits(SIZE, Limits { handshake: SHORT, ..Limits::default() });
    let mut silent = bench.client();
    silent.hear_greeting();
    silent.expect_end();
    bench.client().greet(3).expect_end();
    let mut half = bench.client().greet(3);
    half.send(&option(GO, &about("db", &[]))[..20]);
    half.expect_end();
    let mut client = bench.client().greet(3);
    assert_eq!(client.outcome(INFO, &about("db", &[])), ACK);
    client.expect_end();
    // Who is through may take his time.
    let mut client = bench.client().begin(Mode::Simple, "db");
    thread::sleep(3 * SHORT);
    client.read(0, 1);
    bench.stop();
}

#[test]
fn a_client_that_negotiates_slowly_without_end_is_left() {
    let bench = Bench::with_limits(SIZE, Limits { handshake: SHORT, ..Limits::default() });
    let mut client = bench.client().greet(3);
    let bytes = option(77, &[0; 10]).repeat(100);
    let ended = bytes.iter().take(DRIPS).any(|byte| {
        thread::sleep(DRIP);
        client.stream.write_all(&[*byte]).is_err()
    });
    assert!(ended, "{DRIPS} bytes were taken one by one");
    bench.check_alive();
}

#[test]
fn a_request_half_sent_ends_the_connection_and_silence_between_requests_does_not() {
    let mut bench = Bench::with_limits(SIZE, Limits { stall: SHORT, ..Limits::default() });
    for mode in MODES {
        let write = |length: u64| Request::new(WRITE, 0, length).bytes(mode);
        let halves = [
            write(100)[..1].to_vec(),
            write(100)[..27].to_vec(),
            write(100),
            [write(100), vec![0; 99]].concat(),
            [write(100_000), vec![0; 5]].concat(),
            [write(1 << 20), vec![0; 5]].concat(),
            [write(40 << 20), vec![0; 5]].concat(),
        ];
        let mut clients = halves.map(|half| {
            let mut client = bench.client().begin(mode, "db");
            client.write(0, b"good so far");
            client.send(&half);
            client
        });
        clients.iter_mut().for_each(Client::expect_end);
    }
    let mut client = bench.client().begin(Mode::Simple, "db");
    client.read(0, 1);
    thread::sleep(3 * SHORT);
    client.read(0, 1);
    bench.stop();
}

#[test]
fn more_connections_than_allowed_are_turned_away() {
    let mut bench = Bench::with_limits(SIZE, Limits { connections: 4, ..Limits::default() });
    for _ in 0..3 {
        let mut clients: Vec<Client> = (0..4).map(|_| bench.client().begin(Mode::Simple, "db")).collect();
        for _ in 0..10 {
            bench.client().expect_end();
        }
        clients.iter_mut().for_each(|client| assert_eq!(client.read(0, 1), [0]));
        clients[0].disconnect();
        // The server may need a moment to notice that there is room.
        let mut next = loop {
            let mut client = bench.client();
            if client.try_receive(18).is_ok() {
                client.send(&3_u32.to_be_bytes());
                break client.go("db");
            }
        };
        next.read(0, 1);
        clients.push(next);
        clients.iter_mut().skip(1).for_each(Client::disconnect);
        while bench.server.as_ref().expect("a server").connections_of(bench.db().uuid()) > 0 {
            thread::yield_now();
        }
        // The places are given back a moment later.
        while bench.client().try_receive(18).is_err() {}
        thread::sleep(SHORT);
    }
    bench.stop();
}

#[test]
fn thousands_of_options_end_the_connection() {
    let bench = Bench::new(SIZE);
    let mut client = bench.client().greet(3);
    for _ in 0..1000 {
        assert_eq!(client.outcome(77, b"x"), ERR_UNSUP);
    }
    client.send(&option(77, b"x"));
    client.expect_end();
    // The same for options that are too long to be looked at, and for all at once.
    let mut client = bench.client().greet(3);
    let long = option(77, &[0; 65_537]);
    let mut listening = client.stream.try_clone().expect("a socket");
    let listener = thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        while listening.read(&mut bytes).is_ok_and(|count| count > 0) {}
    });
    let refused = (0..3000).any(|_| client.stream.write_all(&long).is_err());
    client.stream.shutdown(Shutdown::Both).unwrap_or_default();
    listener.join().expect("it hears the end");
    assert!(refused, "3000 options of 64 KiB were taken");
    say(&bench, &[&3_u32.to_be_bytes()[..], &option(LIST, &[]).repeat(5000)].concat());
    bench.check_alive();
}

#[test]
fn garbage_harms_nobody() {
    let mut dice = Dice(seed(4711));
    let mut bench = Bench::new(SIZE);
    let conversations = MODES.map(conversation);
    for round in 0..900 {
        let mut bytes = conversations[round % 3].clone();
        match dice.below(4) {
            // One wrong bit.
            0 => {
                let at = dice.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << dice.below(8);
            }
            // A stretch of something else.
            1 => {
                let at = dice.below(bytes.len() as u64) as usize;
                let end = (at + 1 + dice.below(40) as usize).min(bytes.len());
                bytes[at..end].iter_mut().for_each(|byte| *byte = dice.next() as u8);
            }
            // A stretch that is missing, or that comes twice.
            2 => {
                let at = dice.below(bytes.len() as u64) as usize;
                let end = (at + 1 + dice.below(40) as usize).min(bytes.len());
                let piece: Vec<u8> = bytes.drain(at..end).collect();
                if dice.below(2) == 0 {
                    let twice = [&piece[..], &piece].concat();
                    bytes.splice(at..at, twice);
                }
            }
            // Nothing but noise.
            _ => bytes = (0..dice.below(5000)).map(|_| dice.next() as u8).collect(),
        }
        say(&bench, &bytes);
    }
    bench.check_alive();
    bench.stop();
}
