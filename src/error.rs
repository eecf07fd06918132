//! What can go wrong, and what should a caller do about it?
//!
//! Callers branch on [`Error::kind`]; people read the message, which names the operation, the drive or snapshot, and
//! the place: `drive "db": write of 4096 bytes at 8192: no space left in the store`.

use std::fmt;
use std::io;

use crate::units::{LogicalBlock, PhysicalBlock};

/// What a caller would do differently about an [`Error`].
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
/// # let drive = store.create_drive(floe::DriveOptions::new(1 << 20).name("db"))?;
/// use floe::ErrorKind;
///
/// match drive.write_at(&[1; 4096], 0) {
///     Err(error) if error.kind() == ErrorKind::NoSpace => println!("delete something: {error}"),
///     result => result?,
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The drive, snapshot, bookmark or store does not exist (any more).
    NotFound,
    /// Something of that identity exists already.
    AlreadyExists,
    /// The arguments cannot be meant: out of range, empty, too long.
    InvalidArgument,
    /// The store, or the file system under it, is full. Nothing was changed: delete or discard something, or grow the store.
    NoSpace,
    /// Another process (or another handle of this one) has the store open.
    Locked,
    /// A write or sync failed earlier. Nothing is acknowledged any more; reopening recovers to the last commit.
    Poisoned,
    /// The store was closed by [`Store::close`](crate::Store::close).
    Closed,
    /// Bytes read from the store are not what was written there.
    Corrupt,
    /// The file is not a floe store.
    NotAStore,
    /// The store was written by a newer version of floe.
    UnsupportedFormat,
    /// The operating system refused; the source says how.
    Io,
}

/// An error of the engine: a [kind](ErrorKind) for callers, a message for people, and the system's own error if there was one.
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
/// # let drive = store.create_drive(floe::DriveOptions::new(1 << 20).name("db"))?;
/// let error = drive.write_at(&[1; 10], 1 << 20).unwrap_err();
/// assert_eq!(error.kind(), floe::ErrorKind::InvalidArgument);
/// assert_eq!(error.to_string(), "drive \"db\": write of 10 bytes at 1048576: the image ends at 1048576");
/// # Ok(())
/// # }
/// ```
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    message: String,
    source: Option<io::Error>,
    rotten: Option<Rotten>,
    changed_nothing: bool,
}

/// A block of data that is not what was written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rotten {
    /// Where in the image.
    pub logical: LogicalBlock,
    /// Where in the store.
    pub physical: PhysicalBlock,
}

/// The result of an operation of the engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` that says `message`.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { inner: Box::new(Inner { kind, message: message.into(), source: None, rotten: None, changed_nothing: false }) }
    }

    /// What a caller would do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// The same error, its message preceded by what was being done.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.inner.message = format!("{doing}: {}", self.inner.message);
        self
    }

    /// An operating system's error that happened while `doing`. A full file system becomes [`ErrorKind::NoSpace`].
    #[must_use]
    pub fn io(doing: impl fmt::Display, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => ErrorKind::NoSpace,
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
            _ => ErrorKind::Io,
        };
        let mut error = Self::new(kind, format!("{doing}: {source}"));
        error.inner.source = Some(source);
        error
    }

    /// A read, write or sync of the device failed while `doing`. That is [`ErrorKind::Io`] whatever the system says: only who asks
    /// for space, and has changed nothing yet, can be told that there is none.
    pub(crate) fn device(doing: impl fmt::Display, source: io::Error) -> Self {
        Self::io(doing, source).of_kind(ErrorKind::Io)
    }

    /// A block of data does not match its checksum.
    pub(crate) fn rotten(rotten: Rotten) -> Self {
        let Rotten { logical, physical } = rotten;
        let message = format!("block {physical} of the store, at offset {}, is not what was written there", logical.offset());
        let mut error = Self::corrupt(message);
        error.inner.rotten = Some(rotten);
        error
    }

    /// The block that does not match its checksum, if that is what went wrong.
    pub(crate) fn rotten_block(&self) -> Option<Rotten> {
        self.inner.rotten
    }

    /// The same error as one of another kind.
    pub(crate) fn of_kind(mut self, kind: ErrorKind) -> Self {
        self.inner.kind = kind;
        self
    }

    /// The same error, said by who asked whether a change can be made, before he made any of it.
    pub(crate) fn before_any_change(mut self) -> Self {
        self.inner.changed_nothing = true;
        self
    }

    /// Is it certain that nothing was changed when this was said?
    pub(crate) fn changed_nothing(&self) -> bool {
        let refuses = matches!(self.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists | ErrorKind::InvalidArgument);
        refuses || self.inner.changed_nothing
    }

    /// The same error with something added that a reader of the message wants to know.
    pub(crate) fn explained(mut self, explanation: impl fmt::Display) -> Self {
        self.inner.message = format!("{}; {explanation}", self.inner.message);
        self
    }

    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    pub(crate) fn no_space(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NoSpace, message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.inner.kind)
            .field("message", &self.inner.message)
            .field("source", &self.inner.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.source.as_ref().map(|error| error as _)
    }
}

/// Says what was being done when an operation failed.
pub(crate) trait Context<T> {
    /// Puts the text of `doing` before the error's message; the text is made only if there is an error.
    fn context<D: fmt::Display>(self, doing: impl FnOnce() -> D) -> Result<T>;
}

impl<T> Context<T> for Result<T> {
    fn context<D: fmt::Display>(self, doing: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| error.context(doing()))
    }
}

impl<T> Context<T> for io::Result<T> {
    fn context<D: fmt::Display>(self, doing: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| Error::io(doing(), error))
    }
}

/// Says what was being done when a read, write or sync of the device failed.
pub(crate) trait DeviceContext<T> {
    /// As [`Context::context`], and the error is one of [the device](Error::device).
    fn device_context<D: fmt::Display>(self, doing: impl FnOnce() -> D) -> Result<T>;
}

impl<T> DeviceContext<T> for io::Result<T> {
    fn device_context<D: fmt::Display>(self, doing: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| Error::device(doing(), error))
    }
}
