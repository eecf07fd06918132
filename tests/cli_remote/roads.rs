//! Does the command find its way to a node through TLS, and over connections that break?

use super::both::{command, on_node};
use super::certificates::Certificates;
use super::cli_support::{Bench, code, text};
use super::node::{Node, OWNER};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

#[test]
fn a_node_shows_who_it_is_before_it_hears_a_password() {
    let certificates = Certificates::new();
    let of = |name: &str, file: &str| certificates.of(name).join(file).to_str().expect("text").to_owned();
    let environment = [
        ("FLOE_ADMIN_EMAIL", OWNER.0),
        ("FLOE_ADMIN_PASSWORD", OWNER.1),
        ("FLOE_HTTP_TLS_CERT", &of("server", "server-cert.pem")),
        ("FLOE_HTTP_TLS_KEY", &of("server", "server-key.pem")),
    ];
    let node = Node::with_environment(&environment);
    let (bench, url) = (Bench::new(), format!("https://{}", node.address));
    let create = ["drive", "create", "d", "--size", "1M"];
    let ca = of("alice", "ca-cert.pem");
    let output = on_node(&bench, &url, &[&["--ca", &ca], &create[..]].concat()).output().expect("it runs");
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    // What the system trusts, as others name it.
    let output = on_node(&bench, &url, &create).env("SSL_CERT_FILE", &ca).output().expect("it runs");
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    for (ca, expected) in [(of("mallory", "ca-cert.pem"), 9), (of("server", "server-key.pem"), 2), ("missing.pem".to_owned(), 3)]
    {
        let output = on_node(&bench, &url, &create).env("FLOE_CA", &ca).output().expect("it runs");
        assert_eq!(code(&output), expected, "{ca}: {}", text(&output.stderr));
    }
    // A node with TLS has no ear for who comes without.
    let output = on_node(&bench, &url.replace("https:", "http:"), &create).output().expect("it runs");
    assert_ne!(code(&output), 0, "{}", text(&output.stdout));
}

/// Stands between a client and a node, and cuts connections off. Where it is.
fn breaking(node: &Node, cuts: Arc<AtomicUsize>, after: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let address = node.address.clone();
    // Ends with the test's process.
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.expect("a client"), TcpStream::connect(&address).expect("the node"));
            for (from, to) in [(&client, &server), (&server, &client)] {
                let (mut from, mut to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
                let cuts = Arc::clone(&cuts);
                thread::spawn(move || {
                    let (mut buffer, mut passed) = ([0; 16 << 10], 0);
                    while let Ok(count @ 1..) = from.read(&mut buffer) {
                        passed += count;
                        let take_one = |left: usize| left.checked_sub(1);
                        if passed > after && cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take_one).is_ok() {
                            from.shutdown(Shutdown::Both).unwrap_or_default();
                            break;
                        }
                        if to.write_all(&buffer[..count]).is_err() {
                            break;
                        }
                    }
                    to.shutdown(Shutdown::Both).unwrap_or_default();
                });
            }
        }
    });
    url
}

#[test]
fn images_arrive_over_connections_that_break() {
    let node = Node::new();
    let bench = Bench::new();
    // More than two parts, no two blocks alike.
    let image: Vec<u8> = (0..(40_u32 << 20) / 4).flat_map(u32::to_le_bytes).collect();
    fs::write(bench.path("in.raw"), &image).expect("written");
    let cuts = Arc::new(AtomicUsize::new(2));
    let url = breaking(&node, Arc::clone(&cuts), 1 << 20);
    let output = on_node(&bench, &url, &["drive", "import", "d", "in.raw"]).output().expect("it runs");
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    assert_eq!(cuts.swap(2, Ordering::SeqCst), 0, "connections broke");
    let output = on_node(&bench, &url, &["drive", "export", "d", "out.raw"]).output().expect("it runs");
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    assert_eq!(cuts.swap(usize::MAX, Ordering::SeqCst), 0, "connections broke");
    assert!(fs::read(bench.path("out.raw")).expect("a file") == image);
    // One that always breaks ends it, and leaves nothing that looks like an image.
    let output = on_node(&bench, &url, &["drive", "export", "d", "again.raw"]).output().expect("it runs");
    assert_eq!((code(&output), bench.path("again.raw").exists()), (9, false), "{}", text(&output.stderr));
    let output = on_node(&bench, &url, &["drive", "import", "e", "in.raw"]).output().expect("it runs");
    assert_eq!(code(&output), 9, "{}", text(&output.stderr));
    let straight = format!("http://{}", node.address);
    let left = on_node(&bench, &straight, &["--quiet", "drive", "list"]).output().expect("it runs");
    assert_eq!(text(&left.stdout).lines().count(), 1, "the unfinished drive is gone");
    assert_eq!(code(&command(&bench, &["store", "check", bench.store().to_str().expect("text")]).output().expect("it runs")), 0);
    node.finish();
}
