//! What does `floe serve` print, make and return?

use super::client::*;
use super::process::{Serving, floe, info, make_store, output_of, store_of};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

fn serve(data: &Path, more: &[&str]) -> Output {
    output_of(floe().arg("serve").arg("--data").arg(data).args(more))
}

fn error_of(output: &Output) -> String {
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr.clone()).expect("text")
}

#[test]
fn it_says_where_and_makes_the_directory_and_the_store() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("var/floe");
    let mut serving = Serving::start(floe().arg("serve").arg("--data").arg(&data).args(["--capacity", "256M"]));
    assert_eq!(serving.line(), format!("store {}/store.floe", data.display()));
    assert_eq!(serving.line(), format!("NBD at unix:{}/nbd.sock", data.display()));
    assert_eq!(fs::metadata(&data).expect("it is there").permissions().mode() & 0o7777, 0o700);
    assert_eq!(Client::unix(&data.join("nbd.sock")).greet(3).list(), Vec::<String>::new());
    serving.stop();
    assert!(!data.join("nbd.sock").exists());
    let found = info(&store_of(&data));
    assert_eq!((found["was_clean"].as_bool(), found["capacity"].as_u64()), (Some(true), Some(256 << 20)));
    // It comes again, with what is there.
    let mut serving = Serving::start(floe().arg("serve").env("FLOE_DATA", &data));
    serving.addresses();
    serving.stop();
}

#[test]
fn it_prints_json_or_nothing_if_so_wished() {
    let dir = tempfile::tempdir().expect("a directory");
    let addresses = ["--nbd", "127.0.0.1:0", "--nbd", &format!("unix:{}/a.sock", dir.path().display())];
    let command = |word| floe().args([word, "serve", "--data"]).arg(dir.path()).args(addresses).spawn_piped();
    let mut serving = command("--json");
    let line = serving.line();
    let json: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert_eq!(json["store"].as_str().expect("a path"), store_of(dir.path()).to_str().expect("text"));
    let found: Vec<&str> = json["nbd"].as_array().expect("a list").iter().map(|one| one.as_str().expect("text")).collect();
    assert!(found[0].starts_with("127.0.0.1:") && found[1] == addresses[3], "{found:?}");
    Client::tcp(found[0]).greet(3).list();
    serving.stop();
    assert_eq!(json["uuid"], info(&store_of(dir.path()))["uuid"]);

    let mut serving = command("--quiet");
    serving.hears_listening(&dir.path().join("a.sock"));
    serving.signal("-INT");
    assert_eq!(serving.stdout.next().map(|line| line.expect("text")), None);
    assert_eq!(serving.code(), Some(0));
}

trait Piped {
    fn spawn_piped(&mut self) -> Serving;
}

impl Piped for std::process::Command {
    fn spawn_piped(&mut self) -> Serving {
        Serving::start(self)
    }
}

impl Serving {
    /// Waits until somebody listens there: with `--quiet` nothing tells.
    fn hears_listening(&mut self, path: &Path) {
        while std::os::unix::net::UnixStream::connect(path).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

#[test]
fn a_second_one_is_refused_and_the_first_goes_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = Serving::on(dir.path(), &[]);
    let second = serve(dir.path(), &[]);
    assert_eq!(second.status.code(), Some(7));
    let error = error_of(&second);
    assert!(error.contains("has it open") && error.contains("store.floe"), "{error}");
    let json = output_of(floe().args(["--json", "serve", "--data"]).arg(dir.path()));
    assert_eq!(json.status.code(), Some(7));
    let error: serde_json::Value = serde_json::from_slice(&json.stderr).expect("JSON");
    assert!(error["error"].is_object() || error["message"].is_string() || error["error"].is_string(), "{error}");
    // So is whatever else wants the store, even while the first one's socket is asked for.
    let socket = format!("unix:{}", dir.path().join("nbd.sock").display());
    let other = serve(&dir.path().join("other"), &["--nbd", &socket]);
    assert_eq!(other.status.code(), Some(5), "{}", error_of(&other));
    Client::unix(&dir.path().join("nbd.sock")).greet(3).list();
    first.stop();
    assert_eq!(info(&dir.path().join("other/store.floe"))["was_clean"], true, "a start that fails leaves a clean store");
}

#[test]
fn arguments_that_cannot_be_meant_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let (file, missing) = (dir.path().join("file"), dir.path().join("missing"));
    fs::write(&file, "no certificate").expect("a file");
    let (file, missing) = (file.to_str().expect("text"), missing.to_str().expect("text"));
    let cases: [(&[&str], i32); 12] = [
        (&["--nbd", "nonsense"], 2),
        (&["--nbd", "unix:"], 2),
        (&["--nbd", "localhost"], 2),
        (&["--nbd", "192.0.2.1:99999"], 2),
        (&["--nbd-tls-cert", file], 2),
        (&["--nbd-tls-key", file], 2),
        (&["--nbd-tls-required"], 2),
        (&["--nbd-tls-cert", missing, "--nbd-tls-key", missing], 3),
        (&["--nbd-tls-cert", file, "--nbd-tls-key", file], 2),
        (&["--nbd-stall", "0"], 2),
        (&["--nbd-handshake", "0"], 2),
        (&["--nbd-workers", "0"], 2),
    ];
    for (args, expected) in cases {
        let output = serve(&dir.path().join("data"), args);
        assert_eq!(output.status.code(), Some(expected), "{args:?}: {}", error_of(&output));
        assert!(!error_of(&output).is_empty());
    }
    // What is no directory.
    assert!(!serve(Path::new(file), &[]).status.success());
}

#[test]
fn a_signal_ends_it_when_what_was_asked_is_done() {
    for signal in ["-TERM", "-INT"] {
        let dir = tempfile::tempdir().expect("a directory");
        make_store(&store_of(dir.path()), "db");
        let serving = Serving::on(dir.path(), &[]);
        let mut client = Client::unix(&dir.path().join("nbd.sock")).begin(Mode::Structured, "db");
        for index in 0..100 {
            client.submit(Request::new(WRITE, index * 65_536, 1000), &[index as u8; 1000]);
        }
        serving.signal(signal);
        while client.unanswered() > 0 {
            assert_eq!(client.reply().errno, 0);
        }
        client.expect_end();
        assert_eq!(serving.code(), Some(0), "{signal}");
        assert_eq!(info(&store_of(dir.path()))["was_clean"], true, "{signal}");
        // What was acknowledged is there although nobody flushed: the store was closed.
        let mut client = stdio_client(&store_of(dir.path()));
        assert_eq!(client.0.read(99 * 65_536, 1000), [99; 1000]);
        client.0.disconnect();
    }
}

fn stdio_client(store: &Path) -> (Client<super::stdio::Pipes>, super::process::Guarded) {
    let (pipes, process) = super::stdio::pipes(store, "db");
    (Client::over(pipes).begin(Mode::Simple, "db"), process)
}

#[test]
fn a_second_signal_does_not_wait() {
    let dir = tempfile::tempdir().expect("a directory");
    make_store(&store_of(dir.path()), "db");
    let mut serving = Serving::on(dir.path(), &[]);
    let mut client = Client::unix(&dir.path().join("nbd.sock")).begin(Mode::Simple, "db");
    client.write(0, b"flushed");
    assert_eq!(client.errno(Request::new(FLUSH, 0, 0)), 0);
    // Answers that nobody takes: the first signal waits for them.
    client.send(&Request::new(READ, 0, 16 << 20).bytes(Mode::Simple));
    serving.hears("a client came");
    serving.signal("-TERM");
    serving.hears("stopping");
    serving.signal("-TERM");
    assert_eq!(serving.code(), Some(130));
    drop(client);
    // As after a power cut: nothing that was flushed is lost, and the socket that was left behind is in nobody's way.
    let serving = Serving::on(dir.path(), &[]);
    let mut client = Client::unix(&dir.path().join("nbd.sock")).begin(Mode::Simple, "db");
    assert_eq!(client.read(0, 7), b"flushed");
    client.disconnect();
    serving.stop();
}
