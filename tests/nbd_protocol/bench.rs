//! What do the tests of the protocol run against?
#![allow(dead_code)] // Each test binary uses its own part of this.

use super::client::{Client, PATIENCE};
use floe::node::nbd::{Address, Limits, Server, ServerOptions};
use floe::{Drive, DriveOptions, Store};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use tempfile::TempDir;

pub const MIB: u64 = 1 << 20;

/// A store and a server for it, in this process.
pub struct Bench {
    pub store: Store,
    pub server: Option<Server>,
    pub dir: TempDir,
}

impl Bench {
    /// With one drive, `db`, of `size` bytes.
    pub fn new(size: u64) -> Self {
        let bench = Self::empty(Limits::default());
        bench.drive("db", size);
        bench
    }

    pub fn with_limits(size: u64, limits: Limits) -> Self {
        let bench = Self::empty(limits);
        bench.drive("db", size);
        bench
    }

    pub fn empty(limits: Limits) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::options().capacity(512 * MIB).create(dir.path().join("s.floe")).expect("a store");
        Self::serving(store, dir, ServerOptions::default().limits(limits))
    }

    pub fn serving(store: Store, dir: TempDir, options: ServerOptions) -> Self {
        let options = options.listen(Address::Unix(dir.path().join("nbd.sock")));
        let server = Server::start(&store, options).expect("a server");
        Self { store, server: Some(server), dir }
    }

    pub fn drive(&self, name: &str, size: u64) -> Drive {
        self.store.create_drive(DriveOptions::new(size).name(name)).expect("a drive")
    }

    pub fn db(&self) -> Drive {
        let drives = self.store.drives();
        drives.into_iter().find(|drive| drive.name().is_ok_and(|name| name == "db")).expect("db is there")
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("nbd.sock")
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn client(&self) -> Client {
        Client::unix(&self.socket())
    }

    /// The server still serves somebody else.
    pub fn check_alive(&self) {
        let mut client = self.client().begin(super::client::Mode::Structured, "db");
        client.read(0, 4096);
        client.disconnect();
    }

    /// Stops the server, which must come to an end, and finds the store sound.
    pub fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            stop(server);
        }
        let report = self.store.check().expect("the store can be read");
        assert!(report.problems.is_empty(), "{report:?}");
        self.store.close().expect("the store closes");
    }
}

/// Stops a server, which must come to an end.
pub fn stop(server: Server) {
    let (done, waiting) = mpsc::channel();
    thread::spawn(move || {
        server.stop();
        done.send(()).unwrap_or_default();
    });
    waiting.recv_timeout(PATIENCE).expect("the server stops");
}

/// Bytes that tell where they belong: each eight are the number of their place, mixed with `salt`.
pub fn pattern(salt: u64, offset: u64, len: usize) -> Vec<u8> {
    let word = |place: u64| ((place ^ salt.rotate_left(17)).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt).to_le_bytes();
    (offset..offset + len as u64).map(|at| word(at / 8)[(at % 8) as usize]).collect()
}

/// A generator of numbers that anybody can replay.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// The seed of a run: `FLOE_SEED`, or the one given.
pub fn seed(default: u64) -> u64 {
    let seed = std::env::var("FLOE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    eprintln!("replay with FLOE_SEED={seed}");
    seed
}
