//! What does a server show and ask for when a client comes through TLS?

use crate::node::failure::{Failure, FailureKind};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::path::Path;
use std::sync::Arc;

/// Reads PEM files: the certificate with its chain, its key, and, if clients must show certificates, those that may sign them.
///
/// # Errors
/// `NotFound`, `Io`, `InvalidArgument` for files that hold something else.
pub fn load(certificate: &Path, key: &Path, clients: Option<&Path>) -> Result<ServerConfig, Failure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| refused("TLS", &error))?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(path)? {
                roots.add(root).map_err(|error| refused(path.display(), &error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| refused(path.display(), &error))?)
        }
    };
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, error))?;
    let config = builder.with_single_cert(certificates(certificate)?, secret);
    config.map_err(|error| refused(format!("{} with {}", certificate.display(), key.display()), &error))
}

/// The certificates in a PEM file, one at least.
///
/// # Errors
/// `NotFound`, `Io`, `InvalidArgument` for a file that holds something else.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = all.map_err(|error| unreadable(path, error))?;
    if all.is_empty() {
        return Err(Failure::new(FailureKind::InvalidArgument, format!("{}: no certificate in it", path.display())));
    }
    Ok(all)
}

fn unreadable(path: &Path, error: rustls::pki_types::pem::Error) -> Failure {
    match error {
        rustls::pki_types::pem::Error::Io(error) => Failure::io(format!("read {}", path.display()), error),
        error => Failure::new(FailureKind::InvalidArgument, format!("{}: {error}", path.display())),
    }
}

fn refused(what: impl std::fmt::Display, error: &impl std::fmt::Display) -> Failure {
    Failure::new(FailureKind::InvalidArgument, format!("{what}: {error}"))
}
