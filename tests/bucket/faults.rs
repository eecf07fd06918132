//! Does a client of the proxy see each fault as it is documented?

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use object_store::{Error, ObjectStoreExt, path::Path};

use super::bucket::S3;
use super::bucket::faulty::{Fault, Proxy, Request, Traffic, nth, once};
use super::bucket::message::Message;
use super::{PATIENCE, bytes, client, client_with, create, get, keys};

/// A store, and a proxy in front of it.
fn stage(test: &str) -> Option<(S3, Proxy)> {
    let s3 = S3::start(test)?;
    let proxy = Proxy::before(s3.port());
    Some((s3, proxy))
}

fn is_put(request: &Request<'_>) -> bool {
    request.method == "PUT"
}

fn is_get(request: &Request<'_>) -> bool {
    request.method == "GET"
}

/// What each request that came was answered.
fn statuses(proxy: &Proxy) -> Vec<Option<u16>> {
    proxy.requests().iter().map(|entry| entry.status).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_the_store_has_no_effect() {
    let Some((s3, proxy)) = stage("an_answer_without_the_store_has_no_effect") else { return };
    for status in [500, 503] {
        proxy.plan(once(Fault::Answer(status), is_put));
        create(&client(&proxy.endpoint(), 0), "a", vec![1]).await.expect_err("a status of the proxy");
        assert_eq!(s3.objects(), []);
    }
    proxy.plan(nth(1, Fault::Answer(503), is_put));
    let patient = client(&proxy.endpoint(), 1);
    create(&patient, "a", vec![1]).await.expect("nothing goes wrong with the first one");
    create(&patient, "b", vec![1]).await.expect("it asks again");
    assert_eq!(statuses(&proxy), [500, 503, 200, 503, 200].map(Some));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_again_finds_what_was_done() {
    let Some((s3, proxy)) = stage("who_asks_again_finds_what_was_done") else { return };
    proxy.plan(once(Fault::DoneBut(500), is_put));
    let again = create(&client(&proxy.endpoint(), 1), "a", vec![1]).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
    assert_eq!(s3.objects(), [("a".to_owned(), 1)]);
    assert_eq!(statuses(&proxy), [Some(500), Some(412)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_before_or_behind_the_deed() {
    let Some((s3, proxy)) = stage("a_connection_ends_before_or_behind_the_deed") else { return };
    let client = client(&proxy.endpoint(), 0);
    proxy.plan(once(Fault::HangUp, is_put));
    create(&client, "a", vec![1]).await.expect_err("nobody answers");
    assert_eq!(s3.objects(), []);
    proxy.plan(once(Fault::DoneAndHangUp, is_put));
    create(&client, "a", vec![1]).await.expect_err("nobody answers");
    assert_eq!(s3.objects(), [("a".to_owned(), 1)]);
    assert_eq!(statuses(&proxy), [None, None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_cut_is_an_error_or_asked_for_again() {
    let Some((_s3, proxy)) = stage("a_body_that_is_cut_is_an_error_or_asked_for_again") else { return };
    let (hasty, patient) = (client(&proxy.endpoint(), 0), client(&proxy.endpoint(), 1));
    let content = bytes(300_000);
    create(&hasty, "a", content.clone()).await.expect("a put");
    proxy.plan(once(Fault::Cut(100_000), is_get));
    get(&hasty, "a").await.expect_err("a third of a body");
    proxy.plan(once(Fault::Cut(100_000), is_get));
    assert_eq!(get(&patient, "a").await.expect("it asks for the rest"), content);
    let down: Vec<_> = proxy.requests().iter().map(|entry| entry.bytes_down).collect();
    assert_eq!(down, [0, 100_000, 100_000, 200_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bit_that_flips_is_the_only_difference() {
    let Some((_s3, proxy)) = stage("a_bit_that_flips_is_the_only_difference") else { return };
    let client = client(&proxy.endpoint(), 0);
    let mut content = bytes(10_000);
    create(&client, "a", content.clone()).await.expect("a put");
    proxy.plan(once(Fault::Flip(8 * 5000 + 3), is_get));
    let seen = get(&client, "a").await.expect("a client that does not look");
    content[5000] ^= 8;
    assert!(seen == content, "something else than one bit is another");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_stalls_outlasts_a_client() {
    let Some((s3, proxy)) = stage("a_store_that_stalls_outlasts_a_client") else { return };
    proxy.plan(once(Fault::Stall(Duration::from_secs(600)), is_put));
    let hasty = client_with(&proxy.endpoint(), 0, Duration::from_millis(300));
    create(&hasty, "a", vec![1]).await.expect_err("no answer in time");
    assert_eq!((s3.objects(), statuses(&proxy)), (vec![], vec![None]));
    proxy.plan(once(Fault::Stall(Duration::from_millis(20)), is_put));
    create(&client(&proxy.endpoint(), 0), "a", vec![1]).await.expect("late, but it comes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_twice_meets_itself() {
    let Some((s3, proxy)) = stage("a_request_that_comes_twice_meets_itself") else { return };
    let client = client(&proxy.endpoint(), 0);
    proxy.plan(|_| Some(Fault::Twice));
    let twice = create(&client, "a", vec![1]).await;
    assert!(matches!(twice, Err(Error::AlreadyExists { .. })), "{twice:?}");
    client.put(&Path::from("b"), vec![2].into()).await.expect("what has no condition may come twice");
    assert_eq!(s3.objects(), [("a".to_owned(), 1), ("b".to_owned(), 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_overtaken_comes_last() {
    let Some((s3, proxy)) = stage("an_answer_that_is_overtaken_comes_last") else { return };
    let client = client(&proxy.endpoint(), 0);
    proxy.plan(|request| (request.number == 0).then_some(Fault::Overtaken));
    let first = async {
        create(&client, "a", vec![1]).await.expect("it comes in the end");
        statuses(&proxy)
    };
    let second = async {
        // Only when the first one is done, and would be answered.
        while s3.objects().is_empty() {
            tokio::task::yield_now().await;
        }
        create(&client, "b", vec![1]).await.expect("nothing goes wrong with it");
    };
    let (seen, ()) = tokio::join!(first, second);
    assert_eq!(seen, [Some(200), Some(200)], "the first one was answered before the second one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_refuses_takes_connections_again() {
    let Some((s3, mut proxy)) = stage("a_port_that_refuses_takes_connections_again") else { return };
    let client = client(&proxy.endpoint(), 0);
    create(&client, "a", vec![1]).await.expect("a put");
    proxy.refuse();
    create(&client, "b", vec![1]).await.expect_err("nobody is there");
    assert_eq!((s3.objects().len(), proxy.requests().len()), (1, 1));
    proxy.accept();
    create(&client, "b", vec![1]).await.expect("somebody is there again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_through_is_counted() {
    let Some((_s3, proxy)) = stage("what_goes_through_is_counted") else { return };
    let client = client(&proxy.endpoint(), 0);
    for number in 0..10 {
        create(&client, &format!("dir/{number}"), bytes(1000 + number)).await.expect("a put");
        get(&client, &format!("dir/{number}")).await.expect("a get");
    }
    let traffic = proxy.traffic();
    assert_eq!(traffic["PUT"], Traffic { requests: 10, bytes_up: 10_045, bytes_down: 0 });
    assert_eq!(traffic["GET"], Traffic { requests: 10, bytes_up: 0, bytes_down: 10_045 });
    let puts: Vec<_> = proxy.requests().into_iter().filter(|entry| entry.method == "PUT").collect();
    assert_eq!((puts[3].path.as_str(), puts[3].bytes_up), ("/bucket/dir/3", 1003));
    assert_eq!(keys(&client).await.len(), 10);
    client.delete(&Path::from("dir/3")).await.expect("a delete");
    let last = proxy.requests().pop().expect("a request");
    assert_eq!((last.method.as_str(), last.path.as_str(), last.status), ("POST", "/bucket?delete", Some(200)));
}

/// By hand: a client with a pool opens a second connection when it asks before it has put the first one back.
#[test]
fn a_connection_serves_one_request_after_another() {
    let Some((_s3, proxy)) = stage("a_connection_serves_one_request_after_another") else { return };
    proxy.plan(|request| (request.number == 1).then_some(Fault::Answer(503)));
    let connection = TcpStream::connect(proxy.endpoint().trim_start_matches("http://")).expect("a connection");
    connection.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let mut answers = BufReader::new(&connection);
    for status in [403, 503, 403] {
        (&connection).write_all(b"GET /bucket/a HTTP/1.1\r\nHost: here\r\n\r\n").expect("it is open");
        let answer = Message::answer(&mut answers, "GET").expect("an answer");
        assert_eq!(answer.status(), status, "nobody has signed it");
    }
    assert_eq!((proxy.connections(), proxy.requests().len()), (1, 3));
}
