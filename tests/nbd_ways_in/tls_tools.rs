//! Do the stock clients, which use GnuTLS, get through TLS?

use super::bench::pattern;
use super::certificates::Certificates;
use super::process::{Serving, has, make_store, store_of};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// `floe serve` with a certificate; `more` says of whom it wants one too.
fn serving(all: &Certificates, data: &Path, more: &[&str]) -> (Serving, String) {
    make_store(&store_of(data), "db");
    let file = |name: &str| all.of("server").join(name).to_str().expect("text").to_owned();
    let (certificate, key, clients) = (file("server-cert.pem"), file("server-key.pem"), file("ca-cert.pem"));
    let mut args = vec!["--nbd-tls-cert", &certificate, "--nbd-tls-key", &key];
    args.extend(more.iter().map(|word| if *word == "CLIENTS" { &*clients } else { word }));
    Serving::on_address(data, &args)
}

fn uri(all: &Certificates, data: &Path, who: &str) -> String {
    format!("nbds+unix:///db?socket={}/nbd.sock&tls-certificates={}", data.display(), all.of(who).display())
}

fn run(tool: &str, args: &[&str]) -> Output {
    Command::new(tool).args(args).output().expect("it starts")
}

fn check(tool: &str, args: &[&str], good: bool) {
    let output = run(tool, args);
    assert_eq!(output.status.success(), good, "{tool} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn libnbd_gets_through_tls_if_both_sides_trust_each_other() {
    if !has("nbdinfo") || !has("nbdcopy") {
        return;
    }
    let all = Certificates::new();
    let dir = tempfile::tempdir().expect("a directory");
    let (serving, _) = serving(&all, dir.path(), &["--nbd-tls-clients", "CLIENTS", "--nbd-tls-required"]);
    let plain = format!("nbd+unix:///db?socket={}/nbd.sock", dir.path().display());
    check("nbdinfo", &["--size", &uri(&all, dir.path(), "alice")], true);
    check("nbdinfo", &["--size", &uri(&all, dir.path(), "mallory")], false);
    check("nbdinfo", &["--size", &plain], false);
    check("nbdinfo", &["--list", &plain], false);
    // Several connections with one certificate write one drive.
    let (image, back) = (dir.path().join("image"), dir.path().join("back"));
    fs::write(&image, pattern(1, 0, 48 << 20)).expect("a file");
    let (image, back) = (image.to_str().expect("text"), back.to_str().expect("text"));
    check("nbdcopy", &["--flush", "--connections=4", image, &uri(&all, dir.path(), "alice")], true);
    check("nbdcopy", &[&uri(&all, dir.path(), "bob"), back], true);
    let (expected, found) = (fs::read(image).expect("a file"), fs::read(back).expect("a file"));
    assert!(found.len() == 64 << 20 && found.starts_with(&expected));
    serving.stop();
}

#[test]
fn libnbd_checks_the_server() {
    if !has("nbdinfo") {
        return;
    }
    let all = Certificates::new();
    let dir = tempfile::tempdir().expect("a directory");
    // On a unix socket libnbd does not look at the server's name, nor at its certificate.
    let (serving, address) = serving(&all, dir.path(), &["--nbd", "127.0.0.1:0"]);
    let port = address.strip_prefix("127.0.0.1:").expect("an address");
    let uri = |who: &str| format!("nbds://localhost:{port}/db?tls-certificates={}", all.of(who).display());
    check("nbdinfo", &["--size", &uri("alice")], true);
    check("nbdinfo", &["--size", &uri("mallory")], false);
    // Offered and not required: whoever wants goes without.
    check("nbdinfo", &["--size", &format!("nbd://localhost:{port}/db")], true);
    serving.stop();
}

#[test]
fn qemu_gets_through_tls() {
    if !has("qemu-img") {
        return;
    }
    let all = Certificates::new();
    let dir = tempfile::tempdir().expect("a directory");
    let (serving, _) = serving(&all, dir.path(), &["--nbd-tls-clients", "CLIENTS", "--nbd-tls-required"]);
    let image = dir.path().join("image");
    fs::write(&image, pattern(1, 0, 64 << 20)).expect("a file");
    let image = image.to_str().expect("text");
    let object = |who: &str| format!("tls-creds-x509,id=tls,endpoint=client,dir={}", all.of(who).display());
    let target = |tls: &str| format!("driver=nbd,server.type=unix,server.path={}/nbd.sock,export=db{tls}", dir.path().display());
    let through = target(",tls-creds=tls,tls-hostname=localhost");
    let convert = |who: &str, target: &str| {
        let args = ["convert", "-n", "--object", &object(who), "-f", "raw", image, "--target-image-opts", target];
        run("qemu-img", &args)
    };
    let output = convert("alice", &through);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!convert("mallory", &through).status.success());
    assert!(!convert("alice", &target("")).status.success(), "without TLS");
    let raw = format!("driver=raw,file.filename={image}");
    check("qemu-img", &["compare", "--object", &object("bob"), "--image-opts", &raw, &through], true);
    serving.stop();
}
