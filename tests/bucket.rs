//! Does the object store that other tests stand on do what they take for granted, and does it fail as they have planned it?

#[path = "bucket/mod.rs"]
mod bucket;
#[path = "bucket/faults.rs"]
mod faults;

use std::time::Duration;

use bucket::S3;
use bucket::faulty::Proxy;
use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, Error, ObjectStore, ObjectStoreExt, PutMode, RetryConfig, WriteMultipart};

/// Without a time limit a request that is never answered would be a test that never ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client that asks so many times more when it fails.
fn client(endpoint: &str, retries: usize) -> AmazonS3 {
    client_with(endpoint, retries, PATIENCE)
}

fn client_with(endpoint: &str, max_retries: usize, timeout: Duration) -> AmazonS3 {
    builder(endpoint, max_retries, timeout).build().expect("a client")
}

fn builder(endpoint: &str, max_retries: usize, timeout: Duration) -> AmazonS3Builder {
    // It is no error that a test beside this one was first.
    rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
    let backoff = BackoffConfig { init_backoff: Duration::from_millis(1), max_backoff: Duration::from_millis(5), base: 2.0 };
    AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_bucket_name(bucket::BUCKET)
        .with_region(bucket::REGION)
        .with_access_key_id(bucket::ACCESS_KEY)
        .with_secret_access_key(bucket::SECRET_KEY)
        .with_retry(RetryConfig { backoff, max_retries, retry_timeout: PATIENCE })
        .with_client_options(ClientOptions::new().with_allow_http(true).with_timeout(timeout))
}

/// Bytes that differ from place to place.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at * at / 251) as u8).collect()
}

async fn create(client: &AmazonS3, key: &str, bytes: Vec<u8>) -> object_store::Result<()> {
    client.put_opts(&Path::from(key), bytes.into(), PutMode::Create.into()).await.map(drop)
}

async fn get(client: &AmazonS3, key: &str) -> object_store::Result<Vec<u8>> {
    Ok(client.get(&Path::from(key)).await?.bytes().await?.to_vec())
}

async fn keys(client: &AmazonS3) -> Vec<String> {
    let mut keys: Vec<_> = client.list(None).map_ok(|meta| meta.location.to_string()).try_collect().await.expect("a list");
    keys.sort();
    keys
}

/// What every object store does, and that files show it.
async fn does_what_stores_do(client: &AmazonS3, s3: &S3) {
    let content = bytes(100_000);
    client.put(&Path::from("a/b"), content.clone().into()).await.expect("a put");
    create(client, "a/c", vec![1, 2, 3]).await.expect("it is new");
    assert!(matches!(create(client, "a/c", vec![4]).await, Err(Error::AlreadyExists { .. })), "one key, created twice");
    assert_eq!(get(client, "a/c").await.expect("a get"), [1, 2, 3]);
    assert_eq!(get(client, "a/b").await.expect("a get"), content);
    let range = client.get_range(&Path::from("a/b"), 50_000..50_010).await.expect("a range");
    assert_eq!(range[..], content[50_000..50_010]);
    assert_eq!(client.head(&Path::from("a/b")).await.expect("a head").size, 100_000);
    assert!(matches!(get(client, "a/d").await, Err(Error::NotFound { .. })));
    assert_eq!(keys(client).await, ["a/b", "a/c"]);
    assert_eq!(s3.objects(), [("a/b".to_owned(), 100_000), ("a/c".to_owned(), 3)]);

    let upload = client.put_multipart(&Path::from("large")).await.expect("an upload");
    let mut upload = WriteMultipart::new(upload);
    let large = bytes(12 << 20);
    upload.write(&large);
    upload.finish().await.expect("an upload in parts");
    assert_eq!(get(client, "large").await.expect("a get"), large);

    std::fs::write(s3.file("a/c"), [1, 2, 4]).expect("damage");
    assert_eq!(get(client, "a/c").await.expect("a get"), [1, 2, 4], "what lies there is what is sent");
    for key in ["a/b", "a/c", "large"] {
        client.delete(&Path::from(key)).await.expect("a delete");
    }
    assert_eq!((keys(client).await, s3.objects()), (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_does_what_stores_do() {
    let Some(s3) = S3::start("the_store_does_what_stores_do") else { return };
    does_what_stores_do(&client(&s3.endpoint(), 0), &s3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_without_a_plan_changes_nothing() {
    let Some(s3) = S3::start("a_proxy_without_a_plan_changes_nothing") else { return };
    let proxy = Proxy::before(s3.port());
    does_what_stores_do(&client(&proxy.endpoint(), 0), &s3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_refused() {
    let Some(s3) = S3::start("a_wrong_key_is_refused") else { return };
    let proxy = Proxy::before(s3.port());
    let wrong = builder(&proxy.endpoint(), 0, PATIENCE).with_secret_access_key("wrong").build().expect("a client");
    create(&wrong, "a", vec![1]).await.expect_err("nobody looks at the signature");
    assert_eq!(proxy.requests()[0].status, Some(403));
    assert_eq!(s3.objects(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_gone_has_what_it_had() {
    let Some(mut s3) = S3::start("a_store_that_was_gone_has_what_it_had") else { return };
    let proxy = Proxy::before(s3.port());
    let client = client(&proxy.endpoint(), 0);
    create(&client, "kept", vec![7]).await.expect("a put");
    s3.stop();
    get(&client, "kept").await.expect_err("a store that is gone");
    s3.start_again();
    assert_eq!(get(&client, "kept").await.expect("it is back"), [7]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_create_the_same_one_succeeds() {
    let Some(s3) = S3::start("of_two_that_create_the_same_one_succeeds") else { return };
    let proxy = Proxy::before(s3.port());
    let client = client(&proxy.endpoint(), 0);
    for round in 0..30 {
        let key = format!("key-{round}");
        let (first, second) = tokio::join!(create(&client, &key, vec![1; 5000]), create(&client, &key, vec![2; 5000]));
        assert_ne!(first.is_ok(), second.is_ok(), "round {round}: {first:?}, {second:?}");
        let winner = if first.is_ok() { 1 } else { 2 };
        assert_eq!(get(&client, &key).await.expect("a get"), [winner; 5000]);
    }
}
