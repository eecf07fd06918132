//! Does a server work on sockets that whoever started it opened?

use super::client::*;
use super::process::{Serving, make_store, output_of, store_of};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

/// `floe serve` with the socket as systemd passes it: as descriptor 3, and with its own process number in the environment.
fn activated(data: &Path, socket: OwnedFd, variables: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("exec 3<&0 0</dev/null; {variables} exec \"$@\"")).arg("sh");
    command.arg(env!("CARGO_BIN_EXE_floe")).args(["serve", "--data"]).arg(data);
    command.env_remove("FLOE_LOG").env("FLOE_HTTP", "127.0.0.1:0").stdin(Stdio::from(socket));
    command
}

const VARIABLES: &str = "LISTEN_PID=$$ LISTEN_FDS=1";

#[test]
fn an_inherited_unix_socket_is_served_again_and_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("systemd.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    make_store(&store_of(dir.path()), "db");
    // A client that comes while nobody serves waits until somebody does.
    for round in 0..3 {
        let client = Client::unix(&path);
        let socket = listener.try_clone().expect("a socket").into();
        let mut serving = Serving::start(&mut activated(dir.path(), socket, VARIABLES));
        assert_eq!(serving.addresses(), format!("unix:{}", path.display()), "round {round}");
        let mut client = client.begin(Mode::Simple, "db");
        client.write(round, &[round as u8]);
        client.disconnect();
        serving.stop();
        assert!(path.exists(), "it belongs to somebody else");
    }
    assert!(!dir.path().join("nbd.sock").exists(), "no other way in was asked for");
}

#[test]
fn an_inherited_tcp_socket_is_served_again_and_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("an address").to_string();
    make_store(&store_of(dir.path()), "db");
    for round in 0..3 {
        let client = Client::tcp(&address);
        let socket = listener.try_clone().expect("a socket").into();
        let mut serving = Serving::start(&mut activated(dir.path(), socket, VARIABLES));
        assert_eq!(serving.addresses(), address, "round {round}");
        client.begin(Mode::Simple, "db").disconnect();
        serving.stop();
    }
}

#[test]
fn an_inherited_socket_that_others_can_reach_needs_tls() {
    let dir = tempfile::tempdir().expect("a directory");
    let listener = TcpListener::bind("0.0.0.0:0").expect("a socket");
    let output = output_of(&mut activated(dir.path(), listener.into(), VARIABLES));
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn sockets_that_are_meant_for_another_process_are_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let default = format!("unix:{}/nbd.sock", dir.path().display());
    for variables in ["LISTEN_PID=1 LISTEN_FDS=1", "LISTEN_FDS=1", "LISTEN_PID=$$ LISTEN_FDS=0"] {
        let listener = UnixListener::bind_addr(&abstract_address()).expect("a socket");
        let mut serving = Serving::start(&mut activated(dir.path(), listener.into(), variables));
        let store = serving.line();
        assert!(store.starts_with("store "), "{variables}: {store}");
        serving.signal("-TERM");
        let address = serving.stdout.next().map(|line| line.expect("text"));
        assert_eq!(address, Some(format!("NBD at {default}")), "{variables}: whoever serves is to be found somewhere");
        serving.code();
    }
}

fn abstract_address() -> std::os::unix::net::SocketAddr {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("floe-test-{}", std::process::id());
    std::os::unix::net::SocketAddr::from_abstract_name(name).expect("an address")
}
