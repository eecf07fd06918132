//! Which error number does a client see?

use crate::ErrorKind;

/// The error numbers of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Errno {
    /// The export is read-only, or somebody else writes it.
    Perm = 1,
    /// The store could not read or write.
    Io = 5,
    /// The request cannot be meant.
    Invalid = 22,
    /// No space, or behind the end of the export.
    NoSpace = 28,
    /// The reply would not fit into one chunk.
    Overflow = 75,
    /// It cannot be done that way; another way may do.
    NotSupported = 95,
    /// The server, or the export, is going away.
    Shutdown = 108,
}

/// The one table of what a client sees of an error of the engine.
impl From<ErrorKind> for Errno {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidArgument | ErrorKind::AlreadyExists => Self::Invalid,
            ErrorKind::NoSpace => Self::NoSpace,
            // The drive was deleted under the client, or the store closed: there is no point in trying again.
            ErrorKind::NotFound | ErrorKind::Closed => Self::Shutdown,
            ErrorKind::Poisoned
            | ErrorKind::Corrupt
            | ErrorKind::Io
            | ErrorKind::Locked
            | ErrorKind::NotAStore
            | ErrorKind::UnsupportedFormat => Self::Io,
        }
    }
}
