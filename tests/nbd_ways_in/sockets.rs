//! What becomes of the sockets that a server makes?

use super::bench::{Bench, MIB};
use super::client::*;
use super::process::{Serving, floe, output_of};
use floe::node::failure::FailureKind;
use floe::node::nbd::{Address, Limits, Server, ServerOptions};
use std::fs;
use std::net::{Ipv6Addr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

fn start(bench: &Bench, addresses: &[Address]) -> Result<Server, FailureKind> {
    let options = addresses.iter().cloned().fold(ServerOptions::default(), ServerOptions::listen);
    Server::start(&bench.store, options).map_err(|failure| failure.kind())
}

fn unix(path: &Path) -> Address {
    Address::Unix(path.to_owned())
}

fn check_serves(path: &Path) {
    Client::unix(path).begin(Mode::Simple, "db").disconnect();
}

#[test]
fn a_unix_socket_is_for_its_owner_alone_whatever_the_umask() {
    let dir = tempfile::tempdir().expect("a directory");
    for umask in ["000", "022", "077", "0177"] {
        let data = dir.path().join(umask);
        let mut command = Command::new("sh");
        command
            .args(["-c", "umask $1; shift; exec \"$@\"", "sh", umask])
            .arg(env!("CARGO_BIN_EXE_floe"))
            .env("FLOE_HTTP", "127.0.0.1:0");
        let mut serving = Serving::start(command.args(["serve", "--data"]).arg(&data));
        assert_eq!(serving.addresses(), format!("unix:{}/nbd.sock", data.display()));
        let mode = |path: &Path| fs::symlink_metadata(path).expect("it is there").permissions().mode() & 0o7777;
        assert_eq!(mode(&data.join("nbd.sock")), 0o600, "with umask {umask}");
        assert_eq!(mode(&data) & 0o077, 0, "with umask {umask}");
        serving.stop();
    }
}

#[test]
fn a_socket_that_was_left_behind_is_replaced() {
    let bench = Bench::new(MIB);
    let path = bench.path().join("stale.sock");
    drop(UnixListener::bind(&path).expect("a socket"));
    assert!(fs::symlink_metadata(&path).expect("it stays").file_type().is_socket());
    let server = start(&bench, &[unix(&path)]).expect("a server");
    check_serves(&path);
    server.stop();
    assert!(!path.exists(), "and is not left behind");
}

#[test]
fn what_is_in_use_is_not_replaced() {
    let bench = Bench::new(MIB);
    let (busy, file, dir) = (bench.path().join("busy"), bench.path().join("file"), bench.path().join("dir"));
    let (link, dangling) = (bench.path().join("link"), bench.path().join("dangling"));
    let listener = UnixListener::bind(&busy).expect("a socket");
    fs::write(&file, "precious").expect("a file");
    fs::create_dir(&dir).expect("a directory");
    symlink(&busy, &link).expect("a link");
    symlink(bench.path().join("nowhere"), &dangling).expect("a link");
    for path in [&busy, &file, &dir, &link, &dangling, &bench.socket()] {
        assert_eq!(start(&bench, &[unix(path)]).err(), Some(FailureKind::AlreadyExists), "{}", path.display());
        assert!(fs::symlink_metadata(path).is_ok(), "{} stays", path.display());
    }
    assert_eq!(fs::read(&file).expect("a file"), b"precious");
    assert!(!bench.path().join("nowhere").exists());
    drop(listener);
    bench.check_alive();
}

#[test]
fn a_socket_is_removed_at_the_end_and_somebody_elses_is_not() {
    let bench = Bench::new(MIB);
    let path = bench.path().join("other.sock");
    let server = start(&bench, &[unix(&path)]).expect("a server");
    fs::remove_file(&path).expect("a file");
    let other = UnixListener::bind(&path).expect("a socket");
    server.stop();
    assert!(path.exists(), "that is not ours");
    drop(other);
    // A start that fails leaves nothing behind, and what it had begun is over.
    let first = bench.path().join("first.sock");
    let elsewhere: Address = "0.0.0.0:0".parse().expect("an address");
    for second in [unix(&bench.path().join("no/such/dir/s")), unix(&bench.socket()), elsewhere] {
        assert!(start(&bench, &[unix(&first), second]).is_err());
        assert!(!first.exists());
    }
    // A path that is too long for a socket.
    assert!(start(&bench, &[unix(&bench.path().join("x".repeat(120)))]).is_err());
    bench.check_alive();
}

#[test]
fn a_server_may_have_several_ways_in() {
    let bench = Bench::new(MIB);
    let paths = ["a.sock", "b.sock"].map(|name| bench.path().join(name));
    let tcp: Address = "127.0.0.1:0".parse().expect("an address");
    let server = start(&bench, &[unix(&paths[0]), tcp.clone(), unix(&paths[1]), tcp]).expect("a server");
    let found: Vec<String> = server.addresses().iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 4);
    assert_eq!(found[0], format!("unix:{}", paths[0].display()));
    assert_ne!(found[1], found[3]);
    for address in [&found[1], &found[3]] {
        assert!(address.starts_with("127.0.0.1:") && !address.ends_with(":0"), "{address}");
        Client::tcp(address).begin(Mode::Extended, "db").disconnect();
    }
    paths.iter().for_each(|path| check_serves(path));
    // A port that is taken.
    assert!(start(&bench, &[found[1].parse().expect("an address")]).is_err());
    server.stop();
    assert!(paths.iter().all(|path| !path.exists()));
    assert!(std::net::TcpStream::connect(&found[1]).is_err(), "nobody listens any more");
}

#[test]
fn ipv6_has_a_loopback_too() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        eprintln!("SKIPPED: this machine has no IPv6");
        return;
    }
    let bench = Bench::new(MIB);
    let server = start(&bench, &["[::1]:0".parse().expect("an address")]).expect("a server");
    Client::tcp(&server.addresses()[0].to_string()).begin(Mode::Simple, "db").disconnect();
    server.stop();
}

#[test]
fn what_others_can_reach_needs_tls() {
    let bench = Bench::new(MIB);
    for address in ["0.0.0.0:0", "[::]:0"] {
        let found = start(&bench, &[address.parse().expect("an address")]).err();
        assert!(found == Some(FailureKind::InvalidArgument) || address.starts_with('['), "{address}: {found:?}");
        let dir = tempfile::tempdir().expect("a directory");
        let output = output_of(floe().arg("serve").arg("--data").arg(dir.path()).args(["--nbd", address]));
        assert!(!output.status.success());
        if address.starts_with('0') {
            assert_eq!(output.status.code(), Some(2));
            assert!(String::from_utf8_lossy(&output.stderr).contains("TLS"));
        }
    }
}

#[test]
fn connections_of_one_address_are_not_one_client_on_tcp() {
    let bench = Bench::empty(Limits::default());
    bench.drive("db", MIB);
    let server = start(&bench, &["127.0.0.1:0".parse().expect("an address")]).expect("a server");
    let address = server.addresses()[0].to_string();
    let mut one = Client::tcp(&address).begin(Mode::Simple, "db");
    let mut two = Client::tcp(&address).begin(Mode::Simple, "db");
    assert_eq!((one.transmission_flags | two.transmission_flags) & CAN_MULTI_CONN, 0, "nobody can tell whose they are");
    one.write(0, b"one");
    assert_eq!(two.call(Request::new(WRITE, 0, 3), b"two").errno, EPERM);
    assert_eq!(two.read(0, 3), b"one");
    let three = Client::tcp(&address).begin(Mode::Simple, "db");
    assert_ne!(three.transmission_flags & READ_ONLY, 0);
    server.stop();
}
