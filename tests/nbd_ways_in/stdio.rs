//! Does `floe nbd --stdio` serve one client on its standard input and output?

use super::client::*;
use super::process::{Guarded, floe, info, make_store, run};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Stdio};

/// Both ends of a conversation through pipes.
pub struct Pipes {
    pub input: Option<ChildStdin>,
    pub output: ChildStdout,
}

impl Read for Pipes {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.output.read(bytes)
    }
}

impl Write for Pipes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.input.as_mut().expect("not closed yet").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub fn pipes(store: &Path, export: &str) -> (Pipes, Guarded) {
    let mut command = floe();
    command.args(["nbd", "--stdio", export, "--store"]).arg(store).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = Guarded(command.spawn().expect("it starts"));
    let (input, output) = (child.0.stdin.take(), child.0.stdout.take().expect("a pipe"));
    (Pipes { input, output }, child)
}

/// Everything that can be done, and the end.
fn check_conversation<S: Stream>(client: Client<S>, mode: Mode) {
    // One image is served, whatever it is called.
    let mut client = client.greet(3);
    assert_eq!(client.list().len(), 1);
    let mut client = client.agree(mode).go("what you like");
    assert_eq!((client.size, client.transmission_flags & READ_ONLY), (64 << 20, 0));
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    client.write(12_345, &bytes);
    assert_eq!(client.errno(Request::new(FLUSH, 0, 0)), 0);
    assert!(client.read(12_345, 3_000_000) == bytes);
    assert_eq!(client.errno(Request::new(999, 0, 0)), EINVAL);
    client.disconnect();
}

#[test]
fn a_client_talks_through_pipes_or_a_socket() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = dir.path().join("s.floe");
    make_store(&store, "db");
    for mode in MODES {
        let (pipes, mut process) = pipes(&store, "db");
        check_conversation(Client::over(pipes), mode);
        assert_eq!(process.0.wait().expect("a child").code(), Some(0), "through pipes");
        let (ours, theirs) = UnixStream::pair().expect("two sockets");
        ours.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let theirs = OwnedFd::from(theirs);
        let mut command = floe();
        command.args(["nbd", "--stdio", "db", "--store"]).arg(&store);
        command.stdin(Stdio::from(theirs.try_clone().expect("a descriptor"))).stdout(Stdio::from(theirs));
        let mut process = Guarded(command.spawn().expect("it starts"));
        drop(command);
        check_conversation(Client::over(ours), mode);
        assert_eq!(process.0.wait().expect("a child").code(), Some(0), "through a socket");
        assert_eq!(info(&store)["was_clean"], true);
    }
}

#[test]
fn it_ends_when_its_client_does() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = dir.path().join("s.floe");
    make_store(&store, "db");
    let (pipes_without_a_word, mut process) = pipes(&store, "db");
    drop(pipes_without_a_word);
    // Whether the greeting could still be said is a matter of luck.
    assert!(matches!(process.0.wait().expect("a child").code(), Some(0 | 9)));
    assert_eq!(info(&store)["was_clean"], true);
    // The input ends, and the output is still heard.
    for half in [0, 1] {
        let (pipes, mut process) = pipes(&store, "db");
        let mut client = Client::over(pipes).begin(Mode::Simple, "db");
        client.write(0, b"kept");
        if half == 1 {
            client.send(&Request::new(WRITE, 0, 10).bytes(Mode::Simple));
        }
        client.stream.input = None;
        client.expect_end();
        assert_eq!(process.0.wait().expect("a child").code(), Some([0, 9][half]));
        assert_eq!(info(&store)["was_clean"], true);
    }
    let (pipes, mut process) = pipes(&store, "db");
    let mut client = Client::over(pipes).begin(Mode::Simple, "db");
    assert_eq!(client.read(0, 4), b"kept");
    client.send(b"what is this?");
    client.expect_end();
    assert_eq!(process.0.wait().expect("a child").code(), Some(9));
    assert_eq!(info(&store)["was_clean"], true);
}

#[test]
fn a_snapshot_is_read_only_and_what_is_not_there_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = dir.path().join("s.floe");
    make_store(&store, "db");
    let with = |args: &[&str]| {
        let words =
            ["--store".as_ref(), store.as_os_str()].into_iter().chain(args.iter().map(|word| std::ffi::OsStr::new(*word)));
        run(&words.collect::<Vec<_>>()).status.code()
    };
    assert_eq!(with(&["snapshot", "create", "db", "--name", "monday"]), Some(0));
    let (pipes_of_snapshot, mut process) = pipes(&store, "db@monday");
    let mut client = Client::over(pipes_of_snapshot).begin(Mode::Structured, "");
    assert_ne!(client.transmission_flags & READ_ONLY, 0);
    assert_eq!(client.call(Request::new(WRITE, 0, 1), b"x").errno, EPERM);
    assert_eq!(client.read(0, 1), [0]);
    // Nobody else has the store meanwhile.
    assert_eq!(with(&["nbd", "--stdio", "db"]), Some(7));
    client.disconnect();
    assert!(process.0.wait().expect("a child").success());
    assert_eq!(with(&["nbd", "--stdio", "nothing"]), Some(3));
    assert_eq!(with(&["nbd", "db"]), Some(2));
    assert_eq!(with(&["nbd", "--stdio"]), Some(2));
}
