//! What can be done to a store?

#[path = "foresight.rs"]
mod foresight;

use std::ops::Range;
use std::sync::Arc;

use floe::{Drive, DriveOptions, Error, SnapshotOptions, Store, Uuid};

use crate::model::Model;

/// A snapshot to be taken.
#[derive(Clone, Debug)]
pub struct Member {
    pub drive: Uuid,
    pub uuid: Uuid,
    pub name: String,
    pub attributes: Vec<u8>,
    /// That it leaves.
    pub bookmark: Option<(Uuid, String)>,
}

/// One call of the engine, with everything that it needs but the store.
#[derive(Clone, Debug)]
pub enum Operation {
    CreateDrive {
        uuid: Uuid,
        name: String,
        attributes: Vec<u8>,
        size: u64,
    },
    Write {
        drive: Uuid,
        offset: u64,
        bytes: Arc<[u8]>,
    },
    WriteZeroes {
        drive: Uuid,
        range: Range<u64>,
    },
    Discard {
        drive: Uuid,
        range: Range<u64>,
    },
    Resize {
        drive: Uuid,
        size: u64,
    },
    RenameDrive {
        drive: Uuid,
        name: String,
    },
    DriveAttributes {
        drive: Uuid,
        bytes: Vec<u8>,
    },
    /// A name and attributes at once.
    DescribeDrive {
        drive: Uuid,
        name: String,
        bytes: Vec<u8>,
    },
    Revert {
        drive: Uuid,
        snapshot: Uuid,
    },
    DeleteDrive {
        drive: Uuid,
    },
    Bookmark {
        drive: Uuid,
        name: String,
    },
    DeleteBookmark {
        drive: Uuid,
        bookmark: Uuid,
    },
    /// Several at one instant; one of them alone by the drive's own call.
    Snapshot {
        members: Vec<Member>,
    },
    Clone {
        snapshot: Uuid,
        uuid: Uuid,
        name: String,
        size: Option<u64>,
    },
    RenameSnapshot {
        snapshot: Uuid,
        name: String,
    },
    SnapshotAttributes {
        snapshot: Uuid,
        bytes: Vec<u8>,
    },
    /// A name and attributes at once.
    DescribeSnapshot {
        snapshot: Uuid,
        name: String,
        bytes: Vec<u8>,
    },
    DeleteSnapshot {
        snapshot: Uuid,
    },
    /// Makes a note or replaces one.
    SetNote {
        note: Uuid,
        bytes: Arc<[u8]>,
    },
    DeleteNote {
        note: Uuid,
    },
    Flush,
    Reclaim {
        budget: u64,
    },
    Check,
    Grow {
        capacity: u64,
    },
}

/// Everything that is to be compared after a power cut.
#[derive(Clone)]
pub struct State {
    pub model: Model,
    pub capacity: u64,
}

/// A range of which whole blocks become holes step by step, so that a commit may come in between.
#[derive(Clone, Debug)]
pub struct Punch {
    pub drive: Uuid,
    pub range: Range<u64>,
    /// Blocks covered in part are zeroed first.
    pub edges: bool,
}

impl Operation {
    /// Calls the engine.
    pub fn perform(&self, store: &Store) -> Result<(), Error> {
        match self {
            Self::CreateDrive { uuid, name, attributes, size } => {
                let options = DriveOptions::new(*size).name(name).uuid(*uuid).attributes(attributes.clone());
                store.create_drive(options).map(drop)
            }
            Self::Write { drive, offset, bytes } => store.drive(*drive)?.write_at(bytes, *offset),
            Self::WriteZeroes { drive, range } => store.drive(*drive)?.write_zeroes(range.clone()),
            Self::Discard { drive, range } => store.drive(*drive)?.discard(range.clone()),
            Self::Resize { drive, size } => store.drive(*drive)?.resize(*size),
            Self::RenameDrive { drive, name } => store.drive(*drive)?.rename(name),
            Self::DriveAttributes { drive, bytes } => store.drive(*drive)?.set_attributes(bytes),
            Self::DescribeDrive { drive, name, bytes } => store.drive(*drive)?.describe(name, bytes),
            Self::Revert { drive, snapshot } => store.drive(*drive)?.revert_to(&store.snapshot(*snapshot)?),
            Self::DeleteDrive { drive } => store.drive(*drive)?.delete(),
            Self::Bookmark { drive, name } => store.drive(*drive)?.bookmark(name).map(drop),
            Self::DeleteBookmark { drive, bookmark } => {
                let bookmarks = store.drive(*drive)?.bookmarks()?;
                let found = bookmarks.iter().find(|found| found.uuid() == *bookmark);
                found.expect("a bookmark of the model exists").delete()
            }
            Self::Snapshot { members } => take_snapshots(store, members),
            Self::Clone { snapshot, uuid, name, size } => {
                let options = size.map_or_else(DriveOptions::default, DriveOptions::new).name(name).uuid(*uuid);
                store.snapshot(*snapshot)?.clone_drive(options).map(drop)
            }
            Self::RenameSnapshot { snapshot, name } => store.snapshot(*snapshot)?.rename(name),
            Self::SnapshotAttributes { snapshot, bytes } => store.snapshot(*snapshot)?.set_attributes(bytes),
            Self::DescribeSnapshot { snapshot, name, bytes } => store.snapshot(*snapshot)?.describe(name, bytes),
            Self::DeleteSnapshot { snapshot } => store.snapshot(*snapshot)?.delete(),
            Self::SetNote { note, bytes } => store.set_note(*note, bytes),
            Self::DeleteNote { note } => store.delete_note(*note),
            Self::Flush => store.flush(),
            Self::Reclaim { budget } => store.reclaim(*budget).map(drop),
            Self::Check => store.check().map(|report| assert!(report.is_clean(), "check before any power cut: {report}")),
            Self::Grow { capacity } => store.grow(*capacity),
        }
    }

    /// The first word of its name.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::CreateDrive { .. } => "CreateDrive",
            Self::Write { .. } => "Write",
            Self::WriteZeroes { .. } => "WriteZeroes",
            Self::Discard { .. } => "Discard",
            Self::Resize { .. } => "Resize",
            Self::RenameDrive { .. } => "RenameDrive",
            Self::DriveAttributes { .. } => "DriveAttributes",
            Self::DescribeDrive { .. } => "DescribeDrive",
            Self::Revert { .. } => "Revert",
            Self::DeleteDrive { .. } => "DeleteDrive",
            Self::Bookmark { .. } => "Bookmark",
            Self::DeleteBookmark { .. } => "DeleteBookmark",
            Self::Snapshot { .. } => "Snapshot",
            Self::Clone { .. } => "Clone",
            Self::RenameSnapshot { .. } => "RenameSnapshot",
            Self::SnapshotAttributes { .. } => "SnapshotAttributes",
            Self::DescribeSnapshot { .. } => "DescribeSnapshot",
            Self::DeleteSnapshot { .. } => "DeleteSnapshot",
            Self::SetNote { .. } => "SetNote",
            Self::DeleteNote { .. } => "DeleteNote",
            Self::Flush => "Flush",
            Self::Reclaim { .. } => "Reclaim",
            Self::Check => "Check",
            Self::Grow { .. } => "Grow",
        }
    }

    /// Is it durable when it returns (D2, D5)?
    pub fn is_durable(&self) -> bool {
        !matches!(self, Self::Write { .. } | Self::WriteZeroes { .. } | Self::Discard { .. } | Self::Reclaim { .. } | Self::Check)
    }

    /// The drive that nobody else can write while this lasts.
    pub fn keeps_writers_from(&self) -> Option<Uuid> {
        match self {
            Self::Resize { drive, .. } | Self::DeleteDrive { drive } | Self::Revert { drive, .. } => Some(*drive),
            _ => None,
        }
    }

    /// The drive whose blocks it changes.
    pub fn written(&self) -> Option<Uuid> {
        match self {
            Self::Write { drive, .. }
            | Self::WriteZeroes { drive, .. }
            | Self::Discard { drive, .. }
            | Self::Resize { drive, .. } => Some(*drive),
            _ => None,
        }
    }

    pub fn punch(&self) -> Option<Punch> {
        match self {
            Self::WriteZeroes { drive, range } => Some(Punch { drive: *drive, range: range.clone(), edges: true }),
            Self::Discard { drive, range } => Some(Punch { drive: *drive, range: range.clone(), edges: false }),
            _ => None,
        }
    }
}

fn take_snapshots(store: &Store, members: &[Member]) -> Result<(), Error> {
    let options = |member: &Member| {
        let options = SnapshotOptions::named(&member.name).uuid(member.uuid).attributes(member.attributes.clone());
        match &member.bookmark {
            Some((uuid, name)) => options.bookmark(*uuid, name),
            None => options,
        }
    };
    if let [member] = members {
        return store.drive(member.drive)?.snapshot(options(member)).map(drop);
    }
    let drives: Vec<Drive> = members.iter().map(|member| store.drive(member.drive)).collect::<Result<_, _>>()?;
    let group: Vec<_> = drives.iter().zip(members.iter().map(options)).collect();
    store.snapshot_group(&group).map(drop)
}
