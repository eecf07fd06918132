//! What do the tests work with?

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use floe::node::remote::keeping::nobodys;
use floe::node::remote::location::{Location, Locations};
use floe::node::remote::remotes::Remotes;
use floe::{Drive, MemoryDevice, Snapshot, SnapshotOptions, Store, Uuid};

use crate::bucket::{ACCESS_KEY, BUCKET, REGION, SECRET_KEY};

pub const BLOCK: u64 = 4096;

/// A store in memory.
pub fn store(bytes: u64) -> Store {
    Store::options().create_on(Arc::new(MemoryDevice::new(bytes).expect("memory"))).expect("a store")
}

/// The usual locations in a directory; remote snapshots may follow one another at once.
pub fn remotes(store: &Store, directory: &Path) -> Arc<Remotes> {
    let locations = Locations::new(BTreeMap::new(), directory).expect("locations");
    Arc::new(Remotes::of(store, locations, Duration::ZERO).expect("remote snapshots"))
}

/// One location in an S3 server, or something in front of it.
pub fn s3(store: &Store, endpoint: &str) -> Arc<Remotes> {
    let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let options = [
        option("aws_endpoint", endpoint),
        option("aws_access_key_id", ACCESS_KEY),
        option("aws_secret_access_key", SECRET_KEY),
        option("aws_region", REGION),
        option("aws_allow_http", "true"),
    ];
    let location = Location { url: format!("s3://{BUCKET}/prefix"), options: options.into(), ..Location::default() };
    let locations = Locations::new([("GVA".to_owned(), location)].into(), Path::new("/")).expect("a location");
    Arc::new(Remotes::of(store, locations, Duration::ZERO).expect("remote snapshots"))
}

/// A remote snapshot of a drive, there already.
pub fn create(remotes: &Remotes, drive: &Drive) -> Uuid {
    let uuid = begin(remotes, drive);
    remotes.transfer(uuid, &mut |_| ()).expect("it arrives");
    uuid
}

/// One that is only pinned.
pub fn begin(remotes: &Remotes, drive: &Drive) -> Uuid {
    let wanted = nobodys(drive).expect("a drive");
    let uuid = wanted.uuid;
    remotes.begin(drive, wanted).expect("it begins");
    uuid
}

/// All bytes of a drive.
pub fn bytes_of(drive: &Drive) -> Vec<u8> {
    let mut bytes = vec![0xA5; drive.size_bytes().expect("a size") as usize];
    drive.read_at(&mut bytes, 0).expect("readable");
    bytes
}

/// A snapshot that is gone when the test is done with it.
pub fn frozen(drive: &Drive) -> Snapshot {
    drive.snapshot(SnapshotOptions::named("frozen")).expect("a snapshot")
}
