//! Is HTTP through TLS what it should be, and is nothing said without it where others can listen?

use super::certificates::Certificates;
use super::client::PATIENCE;
use super::node::{EMAIL, Http, Node, PASSWORD, login};
use super::process::{floe, output_of};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

const DRIVES: &str = "/api/2.0/drives/";

/// A node that has a certificate.
fn secure(certificates: &Certificates, args: &[&str]) -> Node {
    Node::start_as(|command| {
        let dir = certificates.of("server");
        command.arg("--http-tls-cert").arg(dir.join("server-cert.pem")).arg("--http-tls-key").arg(dir.join("server-key.pem"));
        command.args(args);
    })
}

/// A client that trusts whom `name` trusts.
fn through_tls(
    certificates: &Certificates,
    name: &str,
    address: &str,
    versions: &[&'static SupportedProtocolVersion],
) -> std::io::Result<Http<StreamOwned<ClientConnection, TcpStream>>> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(certificates.of(name).join("ca-cert.pem")).expect("a certificate");
    roots.add(authority).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).expect("versions");
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut connection =
        ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").expect("a name")).expect("a client");
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    assert_eq!(connection.alpn_protocol(), Some(&b"http/1.1"[..]));
    Ok(Http::over(StreamOwned::new(connection, socket)))
}

#[test]
fn who_trusts_the_authority_is_served() {
    let certificates = Certificates::new();
    let node = secure(&certificates, &["--metrics", "127.0.0.1:0"]);
    assert!(node.said["http"][0].as_str().is_some_and(|url| url.starts_with("https://127.0.0.1:")), "{}", node.said);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut client = through_tls(&certificates, "server", &node.address, &[version]).expect("a connection");
        let body = vec![b' '; 1 << 20];
        for _ in 0..3 {
            assert_eq!(client.call("GET", DRIVES, &[&login(EMAIL, PASSWORD)], b"").status, 200);
            client.call("POST", DRIVES, &[&login(EMAIL, PASSWORD)], &body).error(400);
        }
        client.send("nonsense\r\n\r\n");
        client.reply().error(400);
    }
    assert!(through_tls(&certificates, "mallory", &node.address, rustls::ALL_VERSIONS).is_err(), "she trusts others");
    // Figures too are had through TLS alone.
    let mut watcher = through_tls(&certificates, "server", &node.probing(), rustls::ALL_VERSIONS).expect("a connection");
    assert_eq!(watcher.call("GET", "/metrics", &[], b"").status, 200);
    Http::to(&node.probing()).call("GET", "/metrics", &[], b"").error(421);
    node.serving.stop();
}

#[test]
fn a_client_that_others_wrote_is_served() {
    let certificates = Certificates::new();
    let node = secure(&certificates, &[]);
    let pem = std::fs::read(certificates.of("server").join("ca-cert.pem")).expect("a certificate");
    let authority = ureq::tls::Certificate::from_pem(&pem).expect("a certificate");
    let roots = ureq::tls::RootCerts::new_with_certs(&[authority]);
    let tls = ureq::tls::TlsConfig::builder().root_certs(roots).build();
    let agent = ureq::Agent::new_with_config(ureq::Agent::config_builder().tls_config(tls).build());
    let url = format!("https://{}{DRIVES}", node.address);
    let (name, value) =
        login(EMAIL, PASSWORD).split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())).expect("two");
    let answer = agent.get(&url).header(name, value).call().expect("an answer");
    assert_eq!(answer.status(), 200);
    node.serving.stop();
}

#[test]
fn who_forgets_tls_is_told_so() {
    let certificates = Certificates::new();
    let node = secure(&certificates, &[]);
    let mut client = node.client();
    let message = client.call("GET", DRIVES, &[&login(EMAIL, PASSWORD)], b"").error(421);
    assert!(message.contains("https"), "{message}");
    client.expect_end();
    // The other way round: TLS where there is none.
    let open = Node::start(&[]);
    assert!(through_tls(&certificates, "server", &open.address, rustls::ALL_VERSIONS).is_err());
    open.check_alive();
    open.serving.stop();
    node.serving.stop();
}

#[test]
fn half_a_handshake_stops_nobody_and_ends() {
    let certificates = Certificates::new();
    let node = secure(&certificates, &["--http-handshake", "1"]);
    let mut half: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(&node.address).expect("a connection")).collect();
    for (index, stream) in half.iter_mut().enumerate() {
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        // Nothing at all, or the beginning of a record.
        stream.write_all(&[0x16, 3, 1, 2, 0, 1][..index % 7]).expect("it is taken");
    }
    let mut client = through_tls(&certificates, "server", &node.address, rustls::ALL_VERSIONS).expect("a connection");
    assert_eq!(client.call("GET", DRIVES, &[&login(EMAIL, PASSWORD)], b"").status, 200);
    for mut stream in half {
        let mut rest = Vec::new();
        // An alert, or nothing; the end in any case.
        stream.read_to_end(&mut rest).expect("the end");
    }
    node.serving.stop();
}

#[test]
fn others_are_not_let_in_without_tls_unless_that_is_wished() {
    let dir = tempfile::tempdir().expect("a directory");
    for args in [["--http", "0.0.0.0:0"], ["--metrics", "0.0.0.0:0"]] {
        let refused = output_of(floe().args(["serve", "--data"]).arg(dir.path().join("node")).args(args));
        assert_eq!(refused.status.code(), Some(2), "{args:?}");
        let words = String::from_utf8_lossy(&refused.stderr);
        assert!(words.contains("TLS") && words.contains("--insecure"), "{words}");
    }
    assert!(!dir.path().join("node").exists(), "nothing was begun");
    let node = Node::start(&["--http", "0.0.0.0:0", "--insecure"]);
    let port = node.address.rsplit(':').next().expect("a port").to_owned();
    assert_eq!(Http::to(&format!("127.0.0.1:{port}")).call("GET", DRIVES, &[&login(EMAIL, PASSWORD)], b"").status, 200);
    node.serving.stop();
    let certificates = Certificates::new();
    secure(&certificates, &["--http", "0.0.0.0:0"]).serving.stop();
}
