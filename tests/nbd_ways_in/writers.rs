//! Who may write a drive that several clients have?
//!
//! Clients on a unix socket are processes, so here this test's own program is started again as a client.

use super::bench::{Bench, MIB};
use super::client::*;
use super::process::Guarded;
use floe::node::attributes::Attributes;
use std::io::{BufRead, BufReader, Lines, Write, stdin};
use std::process::{ChildStdout, Command, Stdio};

const SOCKET: &str = "FLOE_TEST_CLIENT_OF";

/// A client in a process of its own.
struct Elsewhere {
    process: Guarded,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Elsewhere {
    fn new(bench: &Bench) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "--nocapture", "writers::a_client_in_a_process_of_its_own"]).env(SOCKET, bench.socket());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let answers = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Self { process: Guarded(child), answers }
    }

    /// Has it do something; the number that it answers.
    fn ask(&mut self, words: &str) -> u64 {
        writeln!(self.process.0.stdin.as_mut().expect("a pipe"), "{words}").expect("it listens");
        let answer = self.answers.find_map(|line| line.expect("text").strip_prefix("answer ").map(str::to_owned));
        answer.expect("an answer").parse().expect("a number")
    }

    fn come(&mut self) -> u16 {
        self.ask("come") as u16
    }

    fn kill(mut self) {
        self.process.0.kill().expect("it runs");
        self.process.0.wait().expect("it ends");
    }
}

/// The other end of [`Elsewhere`]; by itself it does nothing.
#[test]
fn a_client_in_a_process_of_its_own() {
    let Some(socket) = std::env::var_os(SOCKET) else { return };
    let mut clients: Vec<Client> = Vec::new();
    for line in stdin().lines() {
        let line = line.expect("text");
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |index: usize| words[index].parse::<u64>().expect("a number");
        let mut errno = |command, offset, length: u64| {
            let payload = if command == WRITE { vec![b'w'; length as usize] } else { vec![] };
            let last = clients.last_mut().expect("it came");
            u64::from(last.call(Request::new(command, offset, length), &payload).errno)
        };
        let answer = match words[0] {
            "info" => {
                let mut client = Client::unix(socket.as_ref()).greet(3);
                let replies = client.ask(INFO, &about("db", &[]));
                u64::from(u16_of(&replies.iter().find(|(_, data)| u16_of(data) == 0).expect("INFO_EXPORT").1[10..]))
            }
            "come" => {
                clients.push(Client::unix(socket.as_ref()).begin(Mode::Structured, "db"));
                u64::from(clients[clients.len() - 1].transmission_flags)
            }
            "write" => errno(WRITE, number(1), number(2)),
            "trim" => errno(TRIM, number(1), number(2)),
            "zero" => errno(WRITE_ZEROES, number(1), number(2)),
            "flush" => errno(FLUSH, 0, 0),
            "read" => u64::from(clients.last_mut().expect("it came").read(number(1), 1)[0]),
            _ => {
                clients.pop().expect("it came").disconnect();
                0
            }
        };
        println!("\nanswer {answer}");
    }
}

/// Waits until the drive has that many connections: a server notices a client's end a moment later.
fn wait_for(bench: &Bench, connections: usize) {
    while bench.server.as_ref().expect("a server").connections_of(bench.db().uuid()) != connections {
        std::thread::yield_now();
    }
}

#[test]
fn the_first_writer_stays_the_only_one() {
    let bench = Bench::new(MIB);
    let (mut one, mut two) = (Elsewhere::new(&bench), Elsewhere::new(&bench));
    // Both may, until one does.
    assert_eq!((one.come() | two.come()) & READ_ONLY, 0);
    assert_eq!(two.ask("flush"), 0);
    assert_eq!(one.ask("write 0 100"), 0);
    for words in ["write 0 1", "write 4096 0", "write 0 300000", "trim 0 4096", "zero 0 4096"] {
        assert_eq!(two.ask(words), u64::from(EPERM), "{words}");
    }
    assert_eq!(two.ask("read 99"), u64::from(b'w'), "it reads what the writer wrote");
    assert_eq!(two.ask("flush"), 0);
    // One that comes now is told at once, and other connections of the writer write too.
    let mut three = Elsewhere::new(&bench);
    assert_ne!(three.come() & READ_ONLY, 0);
    assert_eq!(three.ask("write 0 1"), u64::from(EPERM));
    assert_eq!(one.come() & READ_ONLY, 0);
    assert_eq!(one.ask("write 4096 100"), 0);
    assert_eq!(one.ask("leave"), 0);
    wait_for(&bench, 3);
    assert_eq!(two.ask("write 0 1"), u64::from(EPERM), "the writer has a connection left");
    assert_eq!(one.ask("leave"), 0);
    wait_for(&bench, 2);
    // Who came for reading stays a reader; who came when all could write can now.
    assert_eq!(two.ask("zero 0 4096"), 0);
    assert_eq!(three.ask("write 0 1"), u64::from(EPERM));
    assert_eq!(three.ask("leave"), 0);
    assert_ne!(three.come() & READ_ONLY, 0);
}

#[test]
fn a_writer_that_dies_is_no_writer() {
    let bench = Bench::new(MIB);
    for _ in 0..3 {
        let mut one = Elsewhere::new(&bench);
        assert_eq!(one.come() & READ_ONLY, 0);
        assert_eq!(one.ask("write 0 100"), 0);
        one.kill();
        wait_for(&bench, 0);
    }
}

#[test]
fn a_drive_that_allows_multimount_is_everybodys() {
    let bench = Bench::new(MIB);
    let mut attributes = Attributes::read(&bench.db().attributes().expect("attributes"));
    attributes.set_allow_multimount(true);
    bench.db().set_attributes(&attributes.to_bytes()).expect("attributes");
    let (mut one, mut two) = (Elsewhere::new(&bench), Elsewhere::new(&bench));
    assert_eq!(one.come() & READ_ONLY, 0);
    assert_eq!(one.ask("write 0 100"), 0);
    let flags = two.come();
    assert_eq!((flags & READ_ONLY, flags & CAN_MULTI_CONN), (0, CAN_MULTI_CONN));
    assert_eq!(two.ask("write 50 100"), 0);
    assert_eq!(one.ask("write 4096 100"), 0);
    assert_eq!((one.ask("read 149"), two.ask("read 4096")), (u64::from(b'w'), u64::from(b'w')));
}

#[test]
fn a_second_client_is_told_before_it_begins() {
    let bench = Bench::new(MIB);
    let (mut one, mut two) = (Elsewhere::new(&bench), Elsewhere::new(&bench));
    one.come();
    assert_eq!(one.ask("write 0 100"), 0);
    let told = two.ask("info") as u16;
    // The one asks without structured replies, the other with them, which have a flag of their own.
    assert_eq!(told | SEND_DF, two.come() | SEND_DF, "GO says what INFO said");
}

#[test]
fn connections_of_one_process_are_one_client() {
    let bench = Bench::new(MIB);
    let mut clients = MODES.map(|mode| bench.client().begin(mode, "db"));
    for (index, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.transmission_flags & (READ_ONLY | CAN_MULTI_CONN), CAN_MULTI_CONN);
        client.write(index as u64, &[index as u8 + 1]);
    }
    assert_eq!(clients[0].read(0, 3), [1, 2, 3]);
    assert_eq!(bench.server.as_ref().expect("a server").connections_of(bench.db().uuid()), 3);
}
