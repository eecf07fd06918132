//! With which code does the command end?

use crate::node::failure::FailureKind;
use std::fmt::Write;
use std::process::ExitCode;

/// The exit codes; programs may rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Exit {
    Done = 0,
    CheckFailed = 1,
    Usage = 2,
    NotFound = 3,
    Ambiguous = 4,
    AlreadyExists = 5,
    NoSpace = 6,
    Locked = 7,
    Unreadable = 8,
    Failed = 9,
    Denied = 10,
    NotNow = 11,
    Interrupted = 130,
    BrokenPipe = 141,
}

impl Exit {
    const ALL: [Self; 14] = [
        Self::Done,
        Self::CheckFailed,
        Self::Usage,
        Self::NotFound,
        Self::Ambiguous,
        Self::AlreadyExists,
        Self::NoSpace,
        Self::Locked,
        Self::Unreadable,
        Self::Failed,
        Self::Denied,
        Self::NotNow,
        Self::Interrupted,
        Self::BrokenPipe,
    ];

    fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::CheckFailed => "store check found problems, scrub damage, or location verify either",
            Self::Usage => "the arguments cannot be meant",
            Self::NotFound => "no such store, drive, snapshot, bookmark or image",
            Self::Ambiguous => "a name fits several things",
            Self::AlreadyExists => "it exists already",
            Self::NoSpace => "the store, or a file system, is full",
            Self::Locked => "another process has the store open",
            Self::Unreadable => "not a floe store, or damaged, or made by a newer floe",
            Self::Failed => "reading or writing failed, or no node answers",
            Self::Denied => "a node does not let the account in, or does not let it do that",
            Self::NotNow => "not in this state, or not yet; the same command succeeds later",
            Self::Interrupted => "interrupted; what was done is kept",
            Self::BrokenPipe => "whoever read the output went away",
        }
    }
}

impl From<FailureKind> for Exit {
    fn from(kind: FailureKind) -> Self {
        match kind {
            FailureKind::InvalidArgument => Self::Usage,
            FailureKind::NotFound => Self::NotFound,
            FailureKind::Ambiguous => Self::Ambiguous,
            FailureKind::AlreadyExists => Self::AlreadyExists,
            FailureKind::NoSpace => Self::NoSpace,
            FailureKind::Locked => Self::Locked,
            FailureKind::NotAStore | FailureKind::UnsupportedFormat | FailureKind::Corrupt => Self::Unreadable,
            FailureKind::Poisoned | FailureKind::Closed | FailureKind::Io => Self::Failed,
            FailureKind::Denied => Self::Denied,
            FailureKind::NotNow => Self::NotNow,
            FailureKind::BrokenPipe => Self::BrokenPipe,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The codes as `floe --help` shows them.
pub(super) fn table() -> String {
    Exit::ALL.iter().fold("Exit codes:".to_owned(), |mut text, exit| {
        write!(text, "\n  {:>3}  {}", *exit as u8, exit.meaning()).expect("a String takes everything");
        text
    })
}
