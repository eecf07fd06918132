//! The same at real object stores: a directory, and an S3 server.

use crate::bucket::{ACCESS_KEY, BUCKET, REGION, S3};
use floe::node::remote::bucket::Bucket;
use floe::node::remote::collect::{Fate, Options, collect};
use floe::node::remote::lease::{Conditions, probe};
use floe::node::remote::location::Location;
use floe::node::remote::repository::Repository;
use floe::node::remote::repository::manifest::Manifest;
use floe::node::remote::upload::{Source, upload};
use floe::node::remote::verify::verify;
use floe::node::timestamp::Timestamp;
use floe::{DriveOptions, MemoryDevice, SnapshotOptions, Store, Uuid};
use std::sync::Arc;
use std::time::Duration;

fn put_and_collect(bucket: &Bucket) {
    let repository = Repository::init(bucket.clone(), None).expect("a repository");
    assert_eq!(probe(bucket).expect("an answer"), Conditions::Enforced);
    let store = Store::options().create_on(Arc::new(MemoryDevice::new(256 << 20).expect("memory"))).expect("a store");
    let drive = store.create_drive(DriveOptions::new(1 << 20).name("a")).expect("a drive");
    drive.write_at(&crate::world::content(1), 8192).expect("a write");
    let snapshot = drive.snapshot(SnapshotOptions::named("s")).expect("a snapshot");
    let uploaded = upload(&repository, &Source { snapshot: &snapshot, since: None }, &mut |_| ()).expect("an upload");
    let manifest = Manifest::new(Uuid::new_v4(), Timestamp::now(), Uuid::nil(), serde_json::Value::Null, &uploaded.image);
    let options = Options { grace: Duration::ZERO, ..Options::default() };
    let collected = || collect(&repository, &options, false, &mut |_| ()).expect("a collection");
    assert_eq!(collected().fates, [], "an upload runs");
    uploaded.session.end_with(&repository, &manifest).expect("a manifest");
    assert_eq!(collected().fates, [], "all is needed");
    assert!(verify(&repository, true, &mut |_, _| ()).expect("a look").problems.is_empty());
    repository.delete_manifest(manifest.uuid).expect("a deletion");
    for fate in [Fate::Unreferenced, Fate::Deleted] {
        assert_eq!(collected().fates.into_iter().map(|one| one.fate).collect::<Vec<_>>(), [fate.clone(), fate]);
    }
    let left: Vec<String> = bucket.list("").expect("a list").into_iter().map(|object| object.name).collect();
    assert_eq!(left.len(), 2, "the mark and a lease that was given back: {left:?}");
}

#[test]
fn a_directory_is_empty_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let url = url::Url::from_directory_path(directory.path()).expect("it is absolute").into();
    put_and_collect(&Location { url, ..Location::default() }.bucket("GVA").expect("a bucket"));
}

#[test]
fn a_bucket_of_an_s3_server_is_empty_again() {
    let Some(s3) = S3::start("a_bucket_of_an_s3_server_is_empty_again") else { return };
    let endpoint = s3.endpoint();
    let options = [
        ("aws_endpoint", endpoint.as_str()),
        ("aws_region", REGION),
        ("aws_access_key_id", ACCESS_KEY),
        ("aws_secret_access_key", crate::bucket::SECRET_KEY),
        ("aws_allow_http", "true"),
    ];
    let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let location = Location { url: format!("s3://{BUCKET}/prefix"), options, ..Location::default() };
    put_and_collect(&location.bucket("GVA").expect("a bucket"));
}
