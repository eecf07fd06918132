//! What does a node say of itself when its disk fails?

use super::figures::Figures;
use super::node::{EMAIL, Http, PASSWORD, login};
use floe::node::accounts::Accounts;
use floe::node::api::{Api, Limits as ApiLimits};
use floe::node::http::{HttpOptions, HttpServer};
use floe::node::jobs::Jobs;
use floe::node::metrics::Metrics;
use floe::node::remote::location::Locations;
use floe::node::remote::remotes::{INTERVAL, Remotes};
use floe::{Device, DriveOptions, Lend, MemoryDevice, Store};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A disk that fails from some moment on.
struct Failing {
    disk: MemoryDevice,
    broken: AtomicBool,
}

impl Device for Failing {
    fn len_bytes(&self) -> u64 {
        self.disk.len_bytes()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.disk.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.disk.write_at(buf, offset)
    }

    fn sync(&self) -> io::Result<()> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk is broken"));
        }
        self.disk.sync()
    }

    fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        self.disk.allocate(range)
    }

    fn grow(&self, len_bytes: u64) -> io::Result<()> {
        self.disk.grow(len_bytes)
    }

    fn mapped(&self, range: Range<u64>, lend: Lend) -> &[u8] {
        self.disk.mapped(range, lend)
    }
}

#[test]
fn it_is_not_ready_and_not_well() {
    let disk = Arc::new(Failing { disk: MemoryDevice::new(256 << 20).expect("memory"), broken: AtomicBool::new(false) });
    let store = Store::options().create_on(Arc::clone(&disk) as Arc<dyn Device>).expect("a store");
    let drive = store.create_drive(DriveOptions::new(1 << 20).name("db")).expect("a drive");
    let accounts = Arc::new(Accounts::of(&store).expect("none"));
    accounts.add(EMAIL, PASSWORD).expect("an account");
    let metrics = Arc::new(Metrics::new(&store, Arc::default()));
    let jobs = Jobs::of(&store).expect("no jobs");
    let locations = Locations::new(BTreeMap::new(), Path::new("/nowhere")).expect("the usual ones");
    let remotes = Arc::new(Remotes::of(&store, locations, INTERVAL).expect("none"));
    let api = Api::new(&store, jobs, accounts, remotes, Arc::new(|| ()), Arc::new(|_| 0), ApiLimits::default());
    let api = Arc::new(api.expect("an API"));
    let options = HttpOptions { addresses: vec!["127.0.0.1:0".parse().expect("an address")], ..HttpOptions::default() };
    let server = HttpServer::start(api, &store, metrics, &options).expect("a server");
    let ask = |path: &str| Http::to(&server.addresses()[0].to_string()).call("GET", path, &[&login(EMAIL, PASSWORD)], b"");
    let patience = Duration::from_secs(30);
    assert_eq!((ask("/readyz").status, server.is_well(patience)), (200, true));
    disk.broken.store(true, Ordering::SeqCst);
    drive.write_at(&[1; 4096], 0).expect("written, not flushed");
    drive.flush().expect_err("the disk is broken");
    let ready = ask("/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.json()["reason"].as_str().is_some_and(|reason| reason.contains("restart")), "{ready:?}");
    assert_eq!(ask("/healthz").status, 200, "the process itself is there");
    assert_eq!(Figures::of(&ask("/metrics")).at("floe_store_poisoned"), 1.0);
    assert!(!server.is_well(patience));
    server.drain();
    server.stop();
}
