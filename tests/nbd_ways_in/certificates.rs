//! Which certificates do the tests have?
//!
//! Made anew for each test, in the files that GnuTLS clients look for (ca-cert.pem, client-cert.pem, client-key.pem) and beside them.
#![allow(dead_code)] // Each test binary uses its own part of this.

use floe::node::nbd::TlsConfig;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A directory for a server, and one for each of two clients: `alice`, `bob`. `mallory` has a certificate of an authority of her own, and
/// trusts it alone.
pub struct Certificates(pub TempDir);

impl Certificates {
    pub fn new() -> Self {
        let all = Self(tempfile::tempdir().expect("a directory"));
        let ours = authority("ours");
        let theirs = authority("theirs");
        for (name, authority, usage, file) in [
            ("server", &ours, ExtendedKeyUsagePurpose::ServerAuth, "server"),
            ("alice", &ours, ExtendedKeyUsagePurpose::ClientAuth, "client"),
            ("bob", &ours, ExtendedKeyUsagePurpose::ClientAuth, "client"),
            ("mallory", &theirs, ExtendedKeyUsagePurpose::ClientAuth, "client"),
        ] {
            let dir = all.of(name);
            fs::create_dir(&dir).expect("a directory");
            let mut params = CertificateParams::new(["localhost".into(), "127.0.0.1".into()]).expect("names");
            params.distinguished_name.push(DnType::CommonName, name);
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
            params.extended_key_usages = vec![usage];
            params.use_authority_key_identifier_extension = true;
            let key = KeyPair::generate().expect("a key");
            let certificate = params.signed_by(&key, authority).expect("a certificate");
            fs::write(dir.join("ca-cert.pem"), authority.pem()).expect("a file");
            fs::write(dir.join(format!("{file}-cert.pem")), certificate.pem()).expect("a file");
            fs::write(dir.join(format!("{file}-key.pem")), key.serialize_pem()).expect("a file");
        }
        all
    }

    pub fn of(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What the server offers; clients must show a certificate if `known` says so.
    pub fn server(&self, known: bool, required: bool) -> TlsConfig {
        let dir = self.of("server");
        let authority = dir.join("ca-cert.pem");
        let clients: Option<&Path> = known.then_some(&authority);
        TlsConfig::load(&dir.join("server-cert.pem"), &dir.join("server-key.pem"), clients, required).expect("certificates")
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}
