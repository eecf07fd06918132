//! How much is sent?

use floe::DriveOptions;

use crate::bucket::S3;
use crate::bucket::faulty::Proxy;
use crate::dice::Dice;
use crate::stage::{BLOCK, create, s3, store};

const BLOCKS: u64 = 16 * 1024;

#[test]
fn one_percent_of_a_drive_sends_about_one_percent_and_nothing_only_a_manifest() {
    let Some(server) = S3::start("one_percent_of_a_drive_sends_about_one_percent_and_nothing_only_a_manifest") else { return };
    let proxy = Proxy::before(server.port());
    let store = store(1 << 30);
    let remotes = s3(&store, &proxy.endpoint());
    remotes
        .locations()
        .find("GVA")
        .and_then(|location| floe::node::remote::repository::Repository::init(location.bucket("GVA")?, None))
        .expect("a repository");
    let drive = store.create_drive(DriveOptions::new(BLOCKS * BLOCK).name("d")).expect("a drive");
    let mut dice = Dice::new(1);
    let mut random = |bytes: u64| -> Vec<u8> { (0..bytes / 8).flat_map(|_| dice.next().to_le_bytes()).collect() };
    drive.write_at(&random(BLOCKS * BLOCK), 0).expect("a write");
    let sent = || proxy.traffic().values().map(|traffic| traffic.bytes_up).sum::<u64>();
    let before = sent();
    create(&remotes, &drive);
    let full = sent() - before;
    assert!((BLOCKS * BLOCK..BLOCKS * BLOCK * 102 / 100).contains(&full), "{full} bytes for all of {}", BLOCKS * BLOCK);

    let mut places = Dice::new(2);
    for _ in 0..BLOCKS / 100 {
        drive.write_at(&random(BLOCK), places.within(0..BLOCKS) * BLOCK).expect("a write");
    }
    let before = sent();
    create(&remotes, &drive);
    let changed = sent() - before;
    assert!((full / 110..full * 13 / 1000).contains(&changed), "{changed} bytes for 1% of {full}");

    let before = (sent(), proxy.requests().len());
    let unchanged = create(&remotes, &drive);
    let puts = proxy.requests()[before.1..]
        .iter()
        .filter(|request| request.method == "PUT")
        .map(|request| request.path.clone())
        .collect::<Vec<_>>();
    let objects: Vec<_> = puts.iter().filter(|path| !path.contains("/uploads/")).collect();
    assert_eq!(objects.len(), 1, "{puts:?}");
    assert!(objects[0].contains(&format!("/snapshots/{unchanged}/")), "{objects:?}");
    assert!(sent() - before.0 < 16 * 1024, "{} bytes for nothing", sent() - before.0);
    let twin = store.create_drive(DriveOptions::new(BLOCKS * BLOCK).name("twin")).expect("a drive");
    twin.write_at(&crate::stage::bytes_of(&drive), 0).expect("a write");
    let before = sent();
    create(&remotes, &twin);
    // Windows that changed since the first one are in several chunks there, and in one here.
    assert!(sent() - before < full * 60 / 100, "{} bytes for another drive with the same content", sent() - before);
}

#[test]
fn cut_at_a_whole_block_in_the_middle_of_a_window_is_seen() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = store(1 << 30);
    let remotes = crate::stage::remotes(&store, directory.path());
    let drive = store.create_drive(DriveOptions::new(100 * BLOCK).name("d")).expect("a drive");
    drive.write_at(&vec![7; 100 * BLOCK as usize], 0).expect("a write");
    create(&remotes, &drive);
    drive.resize(70 * BLOCK).expect("a resize");
    let shorter = create(&remotes, &drive);
    let (_, manifest) = remotes.manifest(shorter).expect("a manifest");
    assert_eq!(manifest.fingerprint(), crate::stage::frozen(&drive).fingerprint().expect("a fingerprint"));
    assert_eq!((manifest.referenced_bytes, manifest.added.bytes), (70 * BLOCK, manifest.added.bytes.min(8192)));
    drive.resize(100 * BLOCK).expect("a resize");
    let longer = create(&remotes, &drive);
    let (_, manifest) = remotes.manifest(longer).expect("a manifest");
    assert_eq!(manifest.fingerprint(), crate::stage::frozen(&drive).fingerprint().expect("a fingerprint"));
}
