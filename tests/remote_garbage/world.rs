//! Drives, nodes and a location, and what each remote snapshot must hold.

use crate::shaky::{Cloud, Fate, Shaky};
use floe::node::failure::Failure;
use floe::node::remote::bucket::Bucket;
use floe::node::remote::collect::{Collected, Options, collect};
use floe::node::remote::fetch;
use floe::node::remote::repository::Repository;
use floe::node::remote::repository::manifest::Manifest;
use floe::node::remote::repository::map;
use floe::node::remote::session::Session;
use floe::node::remote::upload::{Source, upload};
use floe::node::timestamp::Timestamp;
use floe::{Bookmark, Drive, DriveOptions, MemoryDevice, SnapshotOptions, Store, Uuid};
use object_store::path::Path;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub const WINDOWS: u64 = 8;
const WINDOW: u64 = 256 * 1024;
const BLOCK: usize = 4096;

/// One client of the location.
#[derive(Clone)]
pub struct Node {
    pub repository: Arc<Repository>,
    pub fate: Arc<Fate>,
}

impl Node {
    fn bucket(cloud: &Arc<Cloud>) -> (Bucket, Arc<Fate>) {
        let fate = Arc::new(Fate::default());
        let store = Shaky { cloud: Arc::clone(cloud), fate: Arc::clone(&fate) };
        (Bucket::new("GVA", Arc::new(store), Path::default()).patience(Duration::ZERO), fate)
    }

    pub fn init(cloud: &Arc<Cloud>) -> Self {
        let (bucket, fate) = Self::bucket(cloud);
        Self { repository: Arc::new(Repository::init(bucket, None).expect("a repository")), fate }
    }

    pub fn open(cloud: &Arc<Cloud>) -> Self {
        let (bucket, fate) = Self::bucket(cloud);
        Self { repository: Arc::new(Repository::open(bucket, None).expect("a repository")), fate }
    }

    pub fn collect(&self, grace_seconds: u64) -> Result<Collected, Failure> {
        let options = Options { grace: Duration::from_secs(grace_seconds), ..Options::default() };
        collect(&self.repository, &options, false, &mut |_| ())
    }

    pub fn objects(&self, directory: &str) -> Vec<String> {
        let list = self.repository.bucket().list(directory).expect("a list");
        list.into_iter().map(|object| object.name).collect()
    }

    /// What a remote snapshot holds, as whoever restores it gets it.
    pub fn image(&self, manifest: &Manifest) -> Result<Vec<u8>, Failure> {
        let mut windows = Vec::new();
        map::walk(&*self.repository, manifest.map.as_ref(), 0..u64::MAX, &mut |number, window| {
            windows.push((number, window.clone()));
            Ok(ControlFlow::Continue(()))
        })?;
        let mut image = vec![0; manifest.size_bytes as usize];
        for (offset, bytes) in fetch::windows(&self.repository, &windows)?.into_iter().flat_map(|content| content.runs) {
            image[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
        Ok(image)
    }
}

/// Bytes that nothing can compress, others for each number.
pub fn content(number: u64) -> Vec<u8> {
    let mut x = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x as u8
    };
    (0..BLOCK).map(|_| next()).collect()
}

/// A drive, and the moments that were uploaded.
pub struct Image {
    pub drive: Drive,
    pub bytes: Vec<u8>,
    /// The newest moment that a location has.
    pub sent: Option<(Bookmark, Manifest)>,
}

/// An upload whose manifest is not put yet.
pub struct Open {
    pub session: Session,
    pub manifest: Manifest,
    pub node: Node,
    drive: usize,
    bookmark: Bookmark,
}

/// Everything.
pub struct World {
    pub cloud: Arc<Cloud>,
    store: Store,
    pub images: Vec<Mutex<Image>>,
    /// What each remote snapshot that may be listed holds.
    pub expected: Mutex<BTreeMap<Uuid, Vec<u8>>>,
}

impl World {
    pub fn new(drives: usize) -> (Self, Node) {
        let cloud = Cloud::new();
        let node = Node::init(&cloud);
        let store = Store::options().create_on(Arc::new(MemoryDevice::new(256 << 20).expect("memory"))).expect("a store");
        let drive = |number: usize| {
            let drive = store.create_drive(DriveOptions::new(WINDOWS * WINDOW).name(number.to_string())).expect("a drive");
            Mutex::new(Image { drive, bytes: vec![0; (WINDOWS * WINDOW) as usize], sent: None })
        };
        let images = (0..drives).map(drive).collect();
        (Self { cloud, store, images, expected: Mutex::default() }, node)
    }

    /// One block in a window, which is a chunk of its own then.
    pub fn write(&self, drive: usize, window: u64, number: u64) {
        let mut image = self.images[drive].lock().expect("nobody panicked");
        let offset = window % WINDOWS * WINDOW;
        let bytes = content(number);
        image.drive.write_at(&bytes, offset).expect("a write");
        image.bytes[offset as usize..][..BLOCK].copy_from_slice(&bytes);
    }

    /// Uploads, up to the manifest.
    pub fn begin(&self, node: &Node, drive: usize, incremental: bool) -> Result<Open, Failure> {
        let (snapshot, bookmark, since, bytes) = {
            let image = self.images[drive].lock().expect("nobody panicked");
            let (mark, name) = (Uuid::new_v4(), Uuid::new_v4().to_string());
            let snapshot = image.drive.snapshot(SnapshotOptions::named(&name).bookmark(mark, &name)).expect("a snapshot");
            let since = image.sent.clone().filter(|_| incremental);
            (snapshot, self.store.bookmark(mark).expect("a bookmark"), since, image.bytes.clone())
        };
        let source = Source { snapshot: &snapshot, since: since.as_ref().map(|(bookmark, manifest)| (bookmark, manifest)) };
        let uploaded = upload(&node.repository, &source, &mut |_| ());
        snapshot.delete().expect("it is there");
        let uploaded = uploaded?;
        let uuid = Uuid::new_v4();
        self.expected.lock().expect("nobody panicked").insert(uuid, bytes);
        let manifest =
            Manifest::new(uuid, Timestamp::now(), Uuid::from_u128(drive as u128), serde_json::Value::Null, &uploaded.image);
        Ok(Open { session: uploaded.session, manifest, node: node.clone(), drive, bookmark })
    }

    /// Puts the manifest.
    pub fn end(&self, open: Open) -> Result<Uuid, Failure> {
        let Open { session, manifest, node, drive, bookmark } = open;
        session.end_with(&node.repository, &manifest)?;
        let uuid = manifest.uuid;
        self.images[drive].lock().expect("nobody panicked").sent = Some((bookmark, manifest));
        Ok(uuid)
    }

    pub fn upload(&self, node: &Node, drive: usize, incremental: bool) -> Result<Uuid, Failure> {
        self.end(self.begin(node, drive, incremental)?)
    }

    /// All that is listed is what it was.
    pub fn check(&self, node: &Node) {
        let (manifests, failures) = node.repository.manifests().expect("a list");
        assert!(failures.is_empty(), "{failures:?}");
        for manifest in manifests {
            let image = node.image(&manifest).unwrap_or_else(|failure| panic!("{} cannot be restored: {failure}", manifest.uuid));
            assert!(
                image == self.expected.lock().expect("nobody panicked")[&manifest.uuid],
                "{} is another image",
                manifest.uuid
            );
        }
    }

    /// Collects until everything that may go went.
    pub fn collect_all(&self, node: &Node) {
        for _ in 0..4 {
            // Longer than a session, a lease and the grace period last.
            self.cloud.pass(26 * 60 * 60);
            node.collect(3600).expect("a collection");
        }
    }
}
