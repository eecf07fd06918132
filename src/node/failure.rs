//! What can go wrong outside the engine, and what should be done next?
//!
//! A front end translates [`FailureKind`] once: into an exit code, into an HTTP status. People read the message, and
//! then [`FailureKind::advice`].

use crate::{Error, ErrorKind};
use std::{fmt, io};
use uuid::Uuid;

/// What a front end would do differently about a [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The arguments cannot be meant.
    InvalidArgument,
    /// No such store, drive, snapshot, bookmark or image.
    NotFound,
    /// Several things could be meant.
    Ambiguous,
    /// It exists already.
    AlreadyExists,
    /// The store, or a file system, is full.
    NoSpace,
    /// Another process has the store open.
    Locked,
    /// The file is not a floe store.
    NotAStore,
    /// A newer floe wrote the store.
    UnsupportedFormat,
    /// What was read is not what was written.
    Corrupt,
    /// An earlier write or sync failed.
    Poisoned,
    /// The store was closed meanwhile.
    Closed,
    /// The operating system refused, or a node could not be reached.
    Io,
    /// A node does not let the account in, or does not let it do that.
    Denied,
    /// Not in this state, or not yet: the same call succeeds later.
    NotNow,
    /// Whoever read our output went away.
    BrokenPipe,
}

impl FailureKind {
    const ALL: [Self; 15] = [
        Self::InvalidArgument,
        Self::NotFound,
        Self::Ambiguous,
        Self::AlreadyExists,
        Self::NoSpace,
        Self::Locked,
        Self::NotAStore,
        Self::UnsupportedFormat,
        Self::Corrupt,
        Self::Poisoned,
        Self::Closed,
        Self::Io,
        Self::Denied,
        Self::NotNow,
        Self::BrokenPipe,
    ];

    /// The one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// A stable name in snake_case, for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::NotFound => "not_found",
            Self::Ambiguous => "ambiguous",
            Self::AlreadyExists => "already_exists",
            Self::NoSpace => "no_space",
            Self::Locked => "locked",
            Self::NotAStore => "not_a_store",
            Self::UnsupportedFormat => "unsupported_format",
            Self::Corrupt => "corrupt",
            Self::Poisoned => "poisoned",
            Self::Closed => "closed",
            Self::Io => "io",
            Self::Denied => "denied",
            Self::NotNow => "not_now",
            Self::BrokenPipe => "broken_pipe",
        }
    }

    /// What is safe and what to do next, where that is the same whatever was being done.
    #[must_use]
    pub fn advice(self) -> Option<&'static str> {
        match self {
            Self::NoSpace => Some("everything stored before is kept; `floe store grow` makes a full store larger"),
            Self::Locked => Some("nothing was changed; wait for that process, or stop it"),
            Self::NotAStore => Some("nothing was changed; make a store with `floe store create`"),
            Self::UnsupportedFormat => Some("nothing was changed; use a newer floe"),
            Self::Corrupt => Some(
                "what is damaged was not used; if the store opens, `floe store check` names every damage; if not, restore it from a copy",
            ),
            Self::Poisoned => Some("everything up to the last flush is safe; run the command again: opening recovers the store"),
            Self::InvalidArgument
            | Self::NotFound
            | Self::Ambiguous
            | Self::AlreadyExists
            | Self::Closed
            | Self::Io
            | Self::Denied
            | Self::NotNow
            | Self::BrokenPipe => None,
        }
    }
}

impl From<ErrorKind> for FailureKind {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::AlreadyExists => Self::AlreadyExists,
            ErrorKind::InvalidArgument => Self::InvalidArgument,
            ErrorKind::NoSpace => Self::NoSpace,
            ErrorKind::Locked => Self::Locked,
            ErrorKind::Poisoned => Self::Poisoned,
            ErrorKind::Closed => Self::Closed,
            ErrorKind::Corrupt => Self::Corrupt,
            ErrorKind::NotAStore => Self::NotAStore,
            ErrorKind::UnsupportedFormat => Self::UnsupportedFormat,
            ErrorKind::Io => Self::Io,
        }
    }
}

/// Something that an ambiguous word could mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// `drive`, `snapshot` or `bookmark`.
    pub kind: &'static str,
    /// Its uuid, which is never ambiguous.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
    /// The drive it belongs to, unless it is one.
    pub drive: Option<Uuid>,
}

/// An operation that failed: a kind for programs and a message for people.
#[derive(Clone, Debug)]
pub struct Failure {
    kind: FailureKind,
    message: String,
    candidates: Vec<Candidate>,
}

impl Failure {
    /// A failure of `kind` that says `message`.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), candidates: Vec::new() }
    }

    /// `word` could mean any of the `candidates`.
    #[must_use]
    pub fn ambiguous(word: &str, candidates: Vec<Candidate>) -> Self {
        let message = format!("{word:?} could mean any of {}; name the one that is meant by its uuid", candidates.len());
        Self { kind: FailureKind::Ambiguous, message, candidates }
    }

    /// What failed in the operating system while `doing`.
    #[must_use]
    pub fn io(doing: impl fmt::Display, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::BrokenPipe => Self::new(FailureKind::BrokenPipe, format!("{doing}: {source}")),
            _ => Error::io(doing, source).into(),
        }
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// What an ambiguous word could have meant.
    #[must_use]
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// The same failure, its message preceded by what was being done.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    /// The same failure, its message followed by what that means.
    #[must_use]
    pub fn consequence(mut self, consequence: impl fmt::Display) -> Self {
        self.message = format!("{}; {consequence}", self.message);
        self
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(error.kind().into(), error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
