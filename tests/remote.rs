//! Does an image come back from a location as it went?

use floe::node::remote::bucket::Bucket;
use floe::node::remote::fetch;
use floe::node::remote::repository::Repository;
use floe::node::remote::upload::{Source, upload};
use floe::{DriveOptions, MemoryDevice, SnapshotOptions, Store};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use std::sync::Arc;
use std::time::Instant;

#[test]
fn smoke() {
    let dir = tempfile::tempdir().unwrap();
    let local = LocalFileSystem::new_with_prefix(dir.path()).unwrap();
    let bucket = Bucket::new("GVA", Arc::new(local), Path::default());
    let repository = Repository::init(bucket.clone(), None).unwrap();
    let store = Store::options().create_on(Arc::new(MemoryDevice::new(4 << 30).unwrap())).unwrap();
    let drive = store.create_drive(DriveOptions::new((1 << 30) + 512).name("a")).unwrap();
    let mut x = 88172645463325252u64;
    let mut buf = vec![0u8; 1 << 20];
    for i in 0..256u64 {
        for w in buf.chunks_mut(8) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            let v = if i % 2 == 0 { x } else { x & 0x0f0f };
            w.copy_from_slice(&v.to_le_bytes());
        }
        drive.write_at(&buf, i * (4 << 20)).unwrap();
    }
    drive.write_at(&[7; 100], (1 << 30) + 400).unwrap();
    let snapshot = drive.snapshot(SnapshotOptions::named("s")).unwrap();
    let begun = Instant::now();
    let up = upload(&repository, &Source { snapshot: &snapshot, since: None }, &mut |_| ()).unwrap();
    println!("up {:?} {:?}", begun.elapsed(), up);
    let begun = Instant::now();
    let up2 = upload(&repository, &Source { snapshot: &snapshot, since: None }, &mut |_| ()).unwrap();
    println!("again {:?} {:?}", begun.elapsed(), up2.added);
    assert_eq!(up2.added.chunks, 0);
    assert_eq!(up2.image, up.image);
    let fresh = Repository::open(bucket, None).unwrap();
    let copy = store.create_drive(DriveOptions::new((1 << 30) + 512).name("b")).unwrap();
    let begun = Instant::now();
    fetch::restore(&fresh, &up.image, &copy, &mut |_| ()).unwrap();
    println!("down {:?}", begun.elapsed());
    let there = copy.snapshot(SnapshotOptions::named("t")).unwrap();
    assert_eq!(there.fingerprint().unwrap(), snapshot.fingerprint().unwrap());
    println!("{} {}", snapshot.referenced_size().unwrap(), up.image.referenced_bytes);
}
