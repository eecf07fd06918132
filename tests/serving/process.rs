//! How do tests run `floe serve`, and find out what it says?
#![allow(dead_code)] // Each test binary uses its own part of this.

use super::client::PATIENCE;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;

/// A process that is gone when the test is.
pub struct Guarded(pub Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        // It may have ended already.
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

pub fn floe() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_floe"));
    for variable in ["FLOE_STORE", "FLOE_DATA", "FLOE_LOG", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"] {
        command.env_remove(variable);
    }
    // Tests run side by side: each takes a port that is free.
    command.env("FLOE_HTTP", "127.0.0.1:0").stdin(Stdio::null());
    command
}

/// What a command prints that must end by itself. A server that should have refused to start would go on for ever.
pub fn output_of(command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
    let pid = child.id().to_string();
    let (done, ended) = mpsc::channel::<()>();
    let guard = thread::spawn(move || {
        let hangs = ended.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout);
        hangs && Command::new("kill").args(["-KILL", &pid]).status().is_ok()
    });
    let output = child.wait_with_output().expect("a child");
    drop(done);
    assert!(!guard.join().expect("it ends"), "{command:?} goes on and on");
    output
}

pub fn run(args: &[&OsStr]) -> Output {
    output_of(floe().args(args))
}

/// A running `floe serve`.
pub struct Serving {
    process: Guarded,
    pub stdout: Lines<BufReader<ChildStdout>>,
    pub stderr: Lines<BufReader<ChildStderr>>,
}

impl Serving {
    /// Runs a command that becomes, or is, `floe serve`.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let stderr = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        Self { process: Guarded(child), stdout, stderr }
    }

    /// On a directory, which must be ready in the end.
    pub fn on(data: &Path, more: &[&str]) -> Self {
        Self::on_address(data, more).0
    }

    /// The same, and where its first way in is.
    pub fn on_address(data: &Path, more: &[&str]) -> (Self, String) {
        let mut serving = Self::start(floe().arg("serve").arg("--data").arg(data).args(more));
        let address = serving.addresses();
        (serving, address)
    }

    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    pub fn line(&mut self) -> String {
        self.stdout.next().expect("another line").expect("text")
    }

    /// What it says before the addresses, and the first address.
    pub fn addresses(&mut self) -> String {
        let store = self.line();
        assert!(store.starts_with("store "), "{store}");
        let address = self.line();
        address.strip_prefix("NBD at ").unwrap_or_else(|| panic!("an address: {address}")).to_owned()
    }

    /// Waits until it says that in its log.
    pub fn hears(&mut self, words: &str) {
        let found = self.stderr.by_ref().any(|line| line.expect("text").contains(words));
        assert!(found, "the log ends without {words:?}");
    }

    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.pid().to_string()]).status().expect("kill");
        assert!(status.success());
    }

    /// Waits for the end; its exit code.
    pub fn code(mut self) -> Option<i32> {
        // Nobody writes into a pipe that nobody reads.
        self.stderr.by_ref().for_each(drop);
        self.process.0.wait().expect("a child").code()
    }

    /// Asks it to end, which must go well.
    pub fn stop(self) {
        self.signal("-TERM");
        assert_eq!(self.code(), Some(0));
    }
}

pub fn store_of(data: &Path) -> PathBuf {
    data.join("store.floe")
}

/// `floe store info --json`.
pub fn info(store: &Path) -> serde_json::Value {
    let output = run(&["--json".as_ref(), "--store".as_ref(), store.as_ref(), "store".as_ref(), "info".as_ref()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// A new store with a drive of 64 MiB.
pub fn make_store(store: &Path, drive: &str) {
    let with = |args: &[&str]| {
        let args: Vec<&OsStr> = ["--store".as_ref(), store.as_os_str()].into_iter().chain(args.iter().map(OsStr::new)).collect();
        let output = run(&args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    std::fs::create_dir_all(store.parent().expect("a directory")).expect("a directory");
    with(&["store", "create", "--capacity", "512M"]);
    with(&["drive", "create", drive, "--size", "64M"]);
}

/// Is the tool there? Where tests must be complete, it has to be.
pub fn has(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        assert!(std::env::var_os("CI").is_none(), "{tool} is missing");
        eprintln!("SKIPPED: there is no {tool}");
    }
    found
}
