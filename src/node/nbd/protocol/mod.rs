//! What do the bytes between an NBD client and a server mean?
//!
//! Bytes in, bytes out: nothing here knows a socket, a thread or a store. First comes the [`handshake`], in which the client chooses
//! an export; then requests (`request`) and replies (`reply`), in one of three [`Mode`]s that the handshake settled on.
//!
//! The protocol is described at <https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md>.

pub mod errno;
pub mod handshake;
pub mod reply;
pub mod request;

use std::fmt;

/// The largest payload of a request or reply, in bytes: what QEMU and libnbd take for the common maximum.
pub const PAYLOAD_BYTES_MAX: u32 = 32 << 20;

/// The longest name of an export or of a context, in bytes.
pub const NAME_BYTES_MAX: usize = 4096;

/// What the two sides agreed on for requests and replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Replies without a structure.
    Simple,
    /// Replies in chunks.
    Structured,
    /// Requests and replies with lengths of 64 bits.
    Extended,
}

/// The client broke a rule in a way after which nothing it says can be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
