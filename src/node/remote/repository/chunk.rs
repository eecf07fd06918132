//! What is a chunk, and how is it stored?
//!
//! A chunk is up to [`CHUNK_BYTES_MAX`] bytes, named by BLAKE3 of them; keyed with the repository's secret if it is encrypted, so that
//! names tell nobody what is kept. It is stored compressed if that makes it smaller, then encrypted if the repository is.

use super::cipher::Cipher;
use crate::node::failure::{Failure, FailureKind};
use std::fmt;

/// The most that a chunk holds: a window of an image, or a page of its map.
pub const CHUNK_BYTES_MAX: usize = 256 * 1024;
/// How hard zstd tries: what it is told by default.
const LEVEL: i32 = 3;

const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

/// The name of a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkId(pub [u8; 32]);

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        blake3::Hash::from_bytes(self.0).fmt(f)
    }
}

impl fmt::Debug for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for ChunkId {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let hash = blake3::Hash::from_hex(text);
        hash.map(|hash| Self(*hash.as_bytes()))
            .map_err(|error| Failure::new(FailureKind::Corrupt, format!("{text:?} names no chunk: {error}")))
    }
}

/// How the chunks of a repository are named, stored and read.
#[derive(Clone, Default)]
pub struct Codec {
    cipher: Option<Cipher>,
}

impl Codec {
    /// With encryption, or without.
    #[must_use]
    pub fn new(cipher: Option<Cipher>) -> Self {
        Self { cipher }
    }

    /// The name of these bytes.
    #[must_use]
    pub fn name(&self, bytes: &[u8]) -> ChunkId {
        let hash = match &self.cipher {
            Some(cipher) => blake3::keyed_hash(cipher.naming_key(), bytes),
            None => blake3::hash(bytes),
        };
        ChunkId(*hash.as_bytes())
    }

    /// How a chunk of that name and these bytes is stored.
    #[must_use]
    pub fn store(&self, name: &ChunkId, bytes: &[u8]) -> Vec<u8> {
        let mut stored = Vec::with_capacity(1 + bytes.len());
        match zstd::bulk::compress(bytes, LEVEL) {
            Ok(small) if small.len() < bytes.len() => {
                stored.push(ZSTD);
                stored.extend_from_slice(&small);
            }
            _ => {
                stored.push(PLAIN);
                stored.extend_from_slice(bytes);
            }
        }
        self.seal(&name.0, stored)
    }

    /// The bytes of a chunk, which are certainly those that it is named by.
    ///
    /// # Errors
    /// `Corrupt`
    pub fn read(&self, name: &ChunkId, stored: &[u8]) -> Result<Vec<u8>, Failure> {
        let damaged = |why: &str| Failure::new(FailureKind::Corrupt, format!("chunk {name} is damaged: {why}"));
        let opened = self.open(&name.0, stored).ok_or_else(|| damaged("it cannot be decrypted"))?;
        let bytes = match opened.split_first() {
            Some((&ZSTD, small)) => {
                zstd::bulk::decompress(small, CHUNK_BYTES_MAX).map_err(|error| damaged(&error.to_string()))?
            }
            Some((&PLAIN, bytes)) => bytes.to_vec(),
            _ => return Err(damaged("nobody stores chunks so")),
        };
        if self.name(&bytes) != *name {
            return Err(damaged("its bytes are not those that it is named by"));
        }
        Ok(bytes)
    }

    /// Encrypts, if the repository is encrypted; `about` says what it is, so that nobody can put one thing in another's place.
    #[must_use]
    pub fn seal(&self, about: &[u8], bytes: Vec<u8>) -> Vec<u8> {
        match &self.cipher {
            Some(cipher) => cipher.seal(about, &bytes),
            None => bytes,
        }
    }

    /// What was encrypted, if nobody changed it.
    #[must_use]
    pub fn open(&self, about: &[u8], stored: &[u8]) -> Option<Vec<u8>> {
        match &self.cipher {
            Some(cipher) => cipher.open(about, stored),
            None => Some(stored.to_vec()),
        }
    }
}
