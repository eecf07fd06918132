//! Who can read an encrypted repository?
//!
//! Its secret is made once and lies in the repository, wrapped by each key: a passphrase (argon2id) or the content of a file. Keys come and go;
//! what is stored stays as it is.

use super::cipher::{Cipher, SECRET};
use crate::node::failure::{Failure, FailureKind};
use crate::node::timestamp::Timestamp;
use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Where keys are.
pub const DIRECTORY: &str = "keys";
/// The least that a key file may hold: shorter ones can be guessed.
const KEY_FILE_BYTES_MIN: usize = 32;
/// What argon2id is told: memory in KiB, rounds, lanes.
const ARGON2: (u32, u32, u32) = (64 * 1024, 3, 1);
const SALT: usize = 16;

/// What opens a repository.
#[derive(Clone)]
pub enum Key {
    /// Somebody remembers it.
    Passphrase(String),
    /// What is in a file.
    File(Vec<u8>),
}

/// How a key is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrapped {
    /// Its identity.
    pub uuid: Uuid,
    /// When it was made.
    pub created: Timestamp,
    /// How the key is made of what somebody has.
    #[serde(flatten)]
    pub made: Made,
    /// The secret, encrypted with it, in hexadecimal digits.
    secret: String,
}

/// How a key is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Made {
    /// Of a passphrase, by argon2id.
    Passphrase {
        /// Random bytes in hexadecimal digits.
        salt: String,
        /// Memory in KiB.
        memory: u32,
        /// Rounds.
        rounds: u32,
        /// Lanes.
        lanes: u32,
    },
    /// Of a file, by BLAKE3.
    File,
}

impl Key {
    /// Wraps a secret.
    ///
    /// # Errors
    /// `InvalidArgument` for a key that can be guessed.
    pub fn wrap(&self, secret: &[u8; SECRET]) -> Result<Wrapped, Failure> {
        let made = match self {
            Self::Passphrase(words) if words.is_empty() => return Err(too_short("an empty passphrase")),
            Self::Passphrase(_) => {
                let (memory, rounds, lanes) = ARGON2;
                Made::Passphrase { salt: to_hex(&random::<SALT>()), memory, rounds, lanes }
            }
            Self::File(bytes) if bytes.len() < KEY_FILE_BYTES_MIN => return Err(too_short("a key file of less than 32 bytes")),
            Self::File(_) => Made::File,
        };
        let uuid = Uuid::new_v4();
        let cipher = self.cipher(&made).expect("it was made for this key");
        let secret = to_hex(&cipher.seal(uuid.as_bytes(), secret));
        Ok(Wrapped { uuid, created: Timestamp::now(), made, secret })
    }

    /// The secret, if this key wrapped it.
    #[must_use]
    pub fn unwrap(&self, wrapped: &Wrapped) -> Option<[u8; SECRET]> {
        let cipher = self.cipher(&wrapped.made)?;
        cipher.open(wrapped.uuid.as_bytes(), &from_hex(&wrapped.secret)?)?.try_into().ok()
    }

    fn cipher(&self, made: &Made) -> Option<Cipher> {
        match (self, made) {
            (Self::Passphrase(words), Made::Passphrase { salt, memory, rounds, lanes }) => {
                let params = Params::new(*memory, *rounds, *lanes, Some(SECRET)).ok()?;
                let mut key = [0; SECRET];
                let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
                argon2.hash_password_into(words.as_bytes(), &from_hex(salt)?, &mut key).ok()?;
                Some(Cipher::new(&key))
            }
            (Self::File(bytes), Made::File) => Some(Cipher::new(&blake3::derive_key("floe 2026-11 key file", bytes))),
            _ => None,
        }
    }
}

fn too_short(what: &str) -> Failure {
    Failure::new(FailureKind::InvalidArgument, format!("{what} can be guessed"))
}

/// Random bytes.
///
/// # Panics
/// If the system gives none.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system gives random numbers");
    bytes
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
