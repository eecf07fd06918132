//! How is what leaves the node encrypted?
//!
//! XChaCha20-Poly1305 with a nonce of 24 random bytes in front. Two keys are derived from the repository's secret: one that encrypts, one
//! that names chunks.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};

/// Bytes of a nonce.
const NONCE: usize = 24;
/// Bytes of a secret.
pub const SECRET: usize = 32;

/// Encrypts with a repository's secret.
#[derive(Clone)]
pub struct Cipher {
    aead: XChaCha20Poly1305,
    naming_key: [u8; 32],
}

impl Cipher {
    /// The cipher of a secret.
    #[must_use]
    pub fn new(secret: &[u8; SECRET]) -> Self {
        let key = blake3::derive_key("floe 2026-11 repository encryption", secret);
        let naming_key = blake3::derive_key("floe 2026-11 repository names of chunks", secret);
        Self { aead: XChaCha20Poly1305::new(&Key::from(key)), naming_key }
    }

    /// What chunks are named with.
    #[must_use]
    pub fn naming_key(&self) -> &[u8; 32] {
        &self.naming_key
    }

    /// Encrypts bytes; `about` must be said again to decrypt them.
    ///
    /// # Panics
    /// If the system gives no random numbers.
    #[must_use]
    pub fn seal(&self, about: &[u8], bytes: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).expect("the system gives random numbers");
        let sealed = self.aead.encrypt(&XNonce::from(nonce), Payload { msg: bytes, aad: about });
        let sealed = sealed.expect("so few bytes can be encrypted");
        [&nonce[..], &sealed].concat()
    }

    /// Decrypts; nothing if it was changed, or is about something else.
    #[must_use]
    pub fn open(&self, about: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        self.aead.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: about }).ok()
    }
}
