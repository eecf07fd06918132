//! What does systemd hear of a node, and is what it is told of nodes right?

use super::client::PATIENCE;
use super::node::Node;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// Where a node tells how it does.
struct Notices {
    socket: UnixDatagram,
    dir: TempDir,
}

impl Notices {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = UnixDatagram::bind(dir.path().join("notify")).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a limit");
        Self { socket, dir }
    }

    /// The next notice that says more than that all is well.
    fn next(&self) -> String {
        loop {
            let notice = self.any();
            if notice.trim() != "WATCHDOG=1" {
                return notice;
            }
        }
    }

    fn any(&self) -> String {
        let mut bytes = [0; 4096];
        let count = self.socket.recv(&mut bytes).expect("a notice");
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("notify")
    }
}

#[test]
fn it_hears_when_a_node_is_ready_and_when_it_stops() {
    let notices = Notices::new();
    let node = Node::start_as(|command| {
        command.env("NOTIFY_SOCKET", notices.path());
    });
    let ready = notices.next();
    assert!(ready.lines().any(|line| line == "READY=1"), "{ready}");
    let status = ready.lines().find_map(|line| line.strip_prefix("STATUS=")).expect("a status");
    assert!(status.starts_with("serving: ") && status.contains(&node.address), "{status}");
    node.check_alive();
    node.serving.signal("-TERM");
    let stopping = notices.next();
    assert!(stopping.lines().any(|line| line == "STOPPING=1"), "{stopping}");
    assert_eq!(node.serving.code(), Some(0));
}

#[test]
fn it_hears_again_and_again_that_all_is_well_if_it_asks_for_that() {
    let notices = Notices::new();
    let node = Node::start_as(|command| {
        command.env("NOTIFY_SOCKET", notices.path()).env("WATCHDOG_USEC", "300000");
    });
    let heard: Vec<String> = (0..5).map(|_| notices.any()).collect();
    assert!(heard[0].contains("READY=1"), "{heard:?}");
    assert!(heard[1..].iter().all(|notice| notice.trim() == "WATCHDOG=1"), "{heard:?}");
    node.serving.signal("-TERM");
    assert!(notices.next().contains("STOPPING=1"));
    assert_eq!(node.serving.code(), Some(0));
}

#[test]
fn a_node_that_cannot_begin_is_never_ready() {
    let notices = Notices::new();
    let node = Node::start(&[]);
    let mut second = super::node::serve();
    second.arg("--data").arg(node.data()).env("NOTIFY_SOCKET", notices.path());
    assert_eq!(super::process::output_of(&mut second).status.code(), Some(7));
    notices.socket.set_nonblocking(true).expect("a mode");
    assert!(notices.socket.recv(&mut [0; 64]).is_err(), "it said something");
    node.serving.stop();
}

#[test]
fn the_units_are_right() {
    if !super::process::has("systemd-analyze") {
        return;
    }
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["floe.service", "floe-nbd.socket"] {
        let unit = fs::read_to_string(packaging.join(name)).expect("a unit");
        // The program is not installed here, but this one is the same.
        let unit = unit.replace("/usr/bin/floe", env!("CARGO_BIN_EXE_floe"));
        fs::write(dir.path().join(name), unit).expect("a file");
    }
    let analyze = |args: &[&str]| {
        let output =
            Command::new("systemd-analyze").args(args).args(["floe.service", "floe-nbd.socket"]).current_dir(dir.path()).output();
        let output = output.expect("systemd-analyze");
        // Units of the system itself may have their own faults.
        let words = String::from_utf8_lossy(&output.stderr);
        let ours: Vec<String> = words.lines().filter(|line| line.contains("floe")).map(str::to_owned).collect();
        (output.status.success(), ours)
    };
    let (good, words) = analyze(&["--man=no", "--generators=no", "--recursive-errors=no", "verify"]);
    assert!(good && words.is_empty(), "{words:?}");
}
