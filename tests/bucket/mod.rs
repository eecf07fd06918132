//! How do tests get a bucket in a real object store, and look at what lies in it?
#![allow(dead_code)] // Each test binary uses its own part of this.

pub mod faulty;
mod ledger;
pub mod message;
mod plan;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use tempfile::TempDir;

pub const BUCKET: &str = "bucket";
pub const ACCESS_KEY: &str = "tests";
pub const SECRET_KEY: &str = "secret of the tests";
/// The server takes every region; a client wants to be told one.
pub const REGION: &str = "us-east-1";

const PROGRAM: &str = "s3s-fs";

/// An S3 server of its own, with one empty bucket.
///
/// What it does not do as others do: its conditional put looks first and writes then, so that of two at the same time both may win. Behind
/// `faulty::Proxy` only one does.
pub struct S3 {
    root: TempDir,
    /// Chosen by the system at the first start, and kept.
    port: u16,
    running: Option<Running>,
}

struct Running {
    process: Child,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    /// Where it says it listens: from then on it does.
    fn port(&mut self) -> u16 {
        let mut lines = self.stdout.by_ref().lines().map(|line| line.expect("text"));
        let line = lines.find(|line| line.contains("server is running at")).expect("it listens");
        let (_, port) = line.trim_end().rsplit_once(':').expect("an address");
        port.parse().expect("a port")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        self.process.kill().unwrap_or_default();
        self.process.wait().map(drop).unwrap_or_default();
    }
}

impl S3 {
    /// A running server; none if the program is missing, which it may not be where tests must be complete.
    pub fn start(test: &str) -> Option<Self> {
        if Command::new(PROGRAM).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            assert!(std::env::var_os("CI").is_none(), "{test} needs {PROGRAM}: see .ci/s3");
            eprintln!("SKIPPED: {test} needs {PROGRAM}: see .ci/s3");
            return None;
        }
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir(root.path().join(BUCKET)).expect("a bucket");
        let mut s3 = Self { root, port: 0, running: None };
        s3.start_again();
        Some(s3)
    }

    /// The server is gone, as after a crash: connections break, and the next ones are refused. What it has stored stays.
    pub fn stop(&mut self) {
        self.running = None;
    }

    /// Goes on at the same port with what lies in the directory.
    pub fn start_again(&mut self) {
        assert!(self.running.is_none(), "it runs");
        let mut process = Command::new(PROGRAM)
            .args(["--host", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY])
            .arg(self.root.path())
            // It says where it listens, and no more.
            .env("RUST_LOG", "s3s_fs=info")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let stdout = BufReader::new(process.stdout.take().expect("a pipe"));
        // From here on it ends with the test, whatever happens.
        let running = self.running.insert(Running { process, stdout });
        self.port = running.port();
    }

    /// Where clients find the server itself.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The bucket. Each object is a file in it, named by its key; each `/` of a key is a directory.
    pub fn directory(&self) -> PathBuf {
        self.root.path().join(BUCKET)
    }

    /// The keys of all objects and their sizes, by key.
    pub fn objects(&self) -> Vec<(String, u64)> {
        let mut objects = Vec::new();
        let mut directories = vec![self.directory()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(&directory).expect("a directory") {
                let entry = entry.expect("an entry");
                let meta = entry.metadata().expect("a file");
                if meta.is_dir() {
                    directories.push(entry.path());
                } else {
                    objects.push((self.key_of(&entry.path()), meta.len()));
                }
            }
        }
        objects.sort();
        objects
    }

    fn key_of(&self, file: &Path) -> String {
        let key = file.strip_prefix(self.directory()).expect("a file in the bucket");
        key.to_str().expect("text").to_owned()
    }

    /// The file of an object, for tests that damage it. The server goes on to send the checksum of what was put.
    pub fn file(&self, key: &str) -> PathBuf {
        self.directory().join(key)
    }
}
