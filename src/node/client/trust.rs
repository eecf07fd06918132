//! Whose word counts for who a node is?

use crate::node::certificates::certificates;
use crate::node::failure::{Failure, FailureKind};
use std::path::Path;
use ureq::tls::Certificate;

/// Where systems keep the certificates that they trust.
const SYSTEM: [&str; 4] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"];

/// By what a user names another file.
const VARIABLE: &str = "SSL_CERT_FILE";

/// The certificates in a file, or else those that the system trusts.
///
/// # Errors
/// `NotFound`, `Io`; `InvalidArgument` for a file that holds none.
pub fn roots(file: Option<&Path>) -> Result<Vec<Certificate<'static>>, Failure> {
    if let Some(path) = file {
        return read(path);
    }
    if let Some(path) = std::env::var_os(VARIABLE) {
        return read(path.as_ref());
    }
    let found = SYSTEM.iter().map(Path::new).find(|path| path.exists());
    found.map_or_else(
        || Err(Failure::new(FailureKind::NotFound, "this system has no list of certificates to trust: give --ca FILE")),
        read,
    )
}

fn read(path: &Path) -> Result<Vec<Certificate<'static>>, Failure> {
    Ok(certificates(path)?.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect())
}
