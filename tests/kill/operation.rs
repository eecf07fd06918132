//! What can the child do, and how does it say so before and after?

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;

use bincode::config::{self, Configuration, Fixint, LittleEndian};
use floe::Uuid;
use serde::{Deserialize, Serialize};

use crate::dice::mix;

/// A drive or snapshot; no two are the same, whoever makes them. The first byte is the number of the thread it belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Id(pub u64);

const FAMILY_SHIFT: u32 = 56;
const OURS: u64 = 0x000F_10E0_000F_10E0;

impl Id {
    /// The thread that this belongs to; no other touches it.
    pub fn family(self) -> usize {
        (self.0 >> FAMILY_SHIFT) as usize
    }

    pub fn new(family: usize, number: u64) -> Self {
        Self((family as u64) << FAMILY_SHIFT | number)
    }

    pub fn uuid(self) -> Uuid {
        Uuid::from_u64_pair(OURS, self.0)
    }

    pub fn of(uuid: Uuid) -> Self {
        Self(uuid.as_u64_pair().1)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.family(), self.0 & ((1 << FAMILY_SHIFT) - 1))
    }
}

/// One call. Everything that the parent cannot know from the calls before is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    CreateDrive {
        drive: Id,
        size: u64,
        name: String,
        attributes: Vec<u8>,
    },
    Write {
        drive: Id,
        range: Range<u64>,
        stamp: u64,
    },
    /// Single blocks, each `stride` behind the one before, by one call each.
    Comb {
        drive: Id,
        first: u64,
        stride: u64,
        count: u64,
        stamp: u64,
    },
    /// What is there is written again.
    WriteSame {
        drive: Id,
        range: Range<u64>,
    },
    WriteZeroes {
        drive: Id,
        range: Range<u64>,
    },
    Discard {
        drive: Id,
        range: Range<u64>,
    },
    Resize {
        drive: Id,
        size: u64,
    },
    Flush,
    /// Of one drive, or of several at one instant: drives and what their snapshots are called.
    Freeze {
        members: Vec<(Id, Id)>,
        name: String,
        attributes: Vec<u8>,
    },
    Clone {
        snapshot: Id,
        drive: Id,
        name: String,
    },
    Revert {
        drive: Id,
        snapshot: Id,
    },
    DeleteDrive {
        drive: Id,
    },
    DeleteSnapshot {
        snapshot: Id,
    },
    /// No two bookmarks have one name.
    Bookmark {
        drive: Id,
        name: String,
    },
    DeleteBookmark {
        drive: Id,
        name: String,
    },
    RenameDrive {
        drive: Id,
        name: String,
    },
    RenameSnapshot {
        snapshot: Id,
        name: String,
    },
    DriveAttributes {
        drive: Id,
        attributes: Vec<u8>,
    },
    SnapshotAttributes {
        snapshot: Id,
        attributes: Vec<u8>,
    },
    Reclaim {
        budget: u64,
    },
    Grow {
        capacity: u64,
    },
    Reopen,
}

impl Operation {
    /// Is everything that was done before durable when this has returned?
    pub fn is_durable(&self) -> bool {
        !matches!(
            self,
            Self::Write { .. }
                | Self::Comb { .. }
                | Self::WriteSame { .. }
                | Self::WriteZeroes { .. }
                | Self::Discard { .. }
                | Self::Reclaim { .. }
        )
    }

    /// Can one see in the store whether it happened?
    pub fn is_seen(&self) -> bool {
        self.is_durable() && !matches!(self, Self::Flush | Self::Reopen)
    }
}

/// What a write of `range` under `stamp` writes: no two stamps share 8 bytes, so contents tell writes apart.
pub fn stamped(stamp: u64, range: Range<u64>) -> Vec<u8> {
    let word = |at: u64| mix(stamp ^ mix(at / 8)).to_le_bytes();
    range.map(|at| word(at)[(at % 8) as usize]).collect()
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Line {
    /// The child is about to open the store.
    Opens,
    /// A thread is about to do this.
    Begins { family: usize, operation: Operation },
    /// It has done it.
    Done { family: usize },
    /// The engine said no, or the store was wrong: a child does nothing that must fail.
    Failed { text: String },
}

const CONFIG: Configuration<LittleEndian, Fixint> = config::legacy();

/// Where the child writes lines. Each is one call, so what is logged survives the child, and no two threads mix.
pub struct Log(File);

impl Log {
    pub fn append(path: &Path) -> io::Result<Self> {
        OpenOptions::new().append(true).create(true).open(path).map(Self)
    }

    pub fn write(&self, line: &Line) {
        let body = bincode::serde::encode_to_vec(line, CONFIG).expect("a line can be encoded");
        let mut bytes = (body.len() as u32).to_le_bytes().to_vec();
        bytes.extend(body);
        let written = (&self.0).write(&bytes).expect("the log can be written");
        assert_eq!(written, bytes.len(), "a line is written whole");
    }
}

/// The lines of a log; a last one that was cut off was never said.
pub fn lines_of(mut log: &[u8]) -> Vec<Line> {
    let mut lines = Vec::new();
    while let Some((length, rest)) = log.split_first_chunk::<4>() {
        let Some((body, rest)) = rest.split_at_checked(u32::from_le_bytes(*length) as usize) else { break };
        lines.push(bincode::serde::decode_from_slice(body, CONFIG).expect("a whole line can be decoded").0);
        log = rest;
    }
    lines
}
