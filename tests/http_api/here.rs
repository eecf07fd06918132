//! How does a test get a node within itself, with what no setting can say?
//!
//! Its remote snapshots need not wait for each other, unless the test says so; a location can be shut, and opened again.

use floe::node::accounts::{AccountLimits, Accounts};
use floe::node::api::{Api, Limits};
use floe::node::http::{HttpOptions, HttpServer};
use floe::node::jobs::Jobs;
use floe::node::metrics::Metrics;
use floe::node::remote::location::Locations;
use floe::node::remote::remotes::Remotes;
use floe::node::remote::transfer::Workers;
use floe::node::service::stores;
use floe::{Drive, Store, Uuid};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

use super::node::{Answers, Who, checked};

const CAPACITY_BYTES: u64 = 64 << 30;
pub const BLOCK_BYTES: u64 = floe::BLOCK_BYTES;

/// A node within the test.
pub struct Here {
    http: HttpServer,
    workers: Arc<Workers>,
    accounts: Arc<Accounts>,
    store: Store,
    address: String,
    dir: TempDir,
}

impl Here {
    pub fn new(accounts: &[Who], interval: Duration) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let store = stores::open_for_node(&dir.path().join("data"), Some(CAPACITY_BYTES)).expect("a store");
        let people = Arc::new(Accounts::of(&store).expect("nobody"));
        for (email, password) in accounts {
            people.add(email, password).expect("an account");
        }
        let locations = Locations::new(BTreeMap::new(), dir.path()).expect("the usual ones");
        let jobs = Jobs::of(&store).expect("no jobs");
        let remotes = Arc::new(Remotes::of(&store, locations, interval).expect("none"));
        let workers = Arc::new(Workers::start(Arc::clone(&remotes)).expect("threads"));
        let woken = Arc::downgrade(&workers);
        let wake = Arc::new(move || woken.upgrade().iter().for_each(|workers| workers.wake()));
        let api = Api::new(&store, jobs, Arc::clone(&people), remotes, wake, Arc::new(|_| 0), Limits::default());
        let options = HttpOptions { addresses: vec!["127.0.0.1:0".parse().expect("an address")], ..HttpOptions::default() };
        let metrics = Arc::new(Metrics::new(&store, Arc::default()));
        let api = Arc::new(api.expect("an API"));
        api.watch_filling();
        let http = HttpServer::start(api, &store, metrics, &options).expect("a server");
        let address = http.addresses()[0].to_string();
        Self { http, workers, accounts: people, store, address, dir }
    }

    /// What an account may have.
    pub fn limit(&self, who: Who, limits: AccountLimits) {
        let account = self.accounts.by_email(who.0).expect("an account");
        self.accounts.set_limits(account.uuid, limits).expect("an account");
    }

    pub fn drive(&self, uuid: &str) -> Drive {
        self.store.drive(uuid.parse().expect("a uuid")).expect("a drive")
    }

    /// Fills blocks of a drive with a letter.
    pub fn write(&self, uuid: &str, first: u64, letters: &[u8]) {
        for (block, letter) in (first..).zip(letters) {
            self.drive(uuid).write_at(&[*letter; BLOCK_BYTES as usize], block * BLOCK_BYTES).expect("a write");
        }
    }

    /// The first bytes of some blocks of a drive.
    pub fn read(&self, uuid: &str, blocks: u64) -> Vec<u8> {
        let first = |block| {
            let mut byte = [0];
            self.drive(uuid).read_at(&mut byte, block * BLOCK_BYTES).expect("a read");
            byte[0]
        };
        (0..blocks).map(first).collect()
    }

    /// What the engine has: drives, snapshots, bookmarks.
    pub fn counts(&self) -> [usize; 3] {
        let drives = self.store.drives();
        let bookmarks = drives.iter().map(|drive| drive.bookmarks().expect("a drive").len()).sum();
        [drives.len(), self.store.snapshots().len(), bookmarks]
    }

    /// The account's identity.
    pub fn uuid_of(&self, who: Who) -> Uuid {
        self.accounts.by_email(who.0).expect("an account").uuid
    }

    fn place(&self, code: &str) -> PathBuf {
        self.dir.path().join("locations").join(code)
    }

    /// Nothing gets to that location, where nothing is yet.
    pub fn shut(&self, code: &str) {
        fs::create_dir_all(self.dir.path().join("locations")).expect("a directory");
        fs::write(self.place(code), "shut").expect("a file");
    }

    /// All goes there again.
    pub fn open(&self, code: &str) {
        fs::remove_file(self.place(code)).expect("it was shut");
    }
}

impl Answers for Here {
    fn address(&self) -> &str {
        &self.address
    }

    fn finish(self) -> Value {
        let Self { http, workers, store, dir, .. } = self;
        http.drain();
        drop(workers);
        http.stop();
        store.close().expect("it closes");
        checked(&dir.path().join("data"))
    }
}
