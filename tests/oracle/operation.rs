//! Which operations does a random run choose from, and how often?
//!
//! An operation names drives, snapshots and bookmarks by any number; the machine takes it modulo what exists. So a
//! sequence stays meaningful when the shrinker takes operations out of it.

use std::ops::Range;

use proptest::bool::weighted;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};

use crate::model::BLOCK;

/// How large the drives of a run are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Up to 40 blocks: everything is read after every operation.
    Small,
    /// Some thousand blocks, written in combs: extent tables of several levels.
    Deep,
    /// Up to 2^63 bytes, written here and there.
    Vast,
}

/// Where on a drive, and how much.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    block: u16,
    byte: u16,
    blocks: u16,
    bytes: u16,
}

/// What is written.
#[derive(Clone, Copy, Debug)]
pub enum Fill {
    /// One of few letters, so that equal writes happen.
    Letter(u8),
    Zero,
    /// Bytes that were never written before.
    Stamp,
    /// What is there already.
    Same,
    /// What is there already but for the last byte.
    Nearly,
    /// What a snapshot holds there.
    Old(u8),
}

#[derive(Clone, Debug)]
pub enum Operation {
    CreateDrive {
        size: u64,
    },
    Write {
        drive: u8,
        spot: Spot,
        fill: Fill,
    },
    /// Single blocks, each `stride` behind the one before, by one call each.
    Comb {
        drive: u8,
        spot: Spot,
        stride: u8,
        count: u16,
        fill: Fill,
    },
    WriteZeroes {
        drive: u8,
        spot: Spot,
    },
    Discard {
        drive: u8,
        spot: Spot,
    },
    Resize {
        drive: u8,
        size: u64,
    },
    ReadDrive {
        drive: u8,
        spot: Spot,
    },
    ReadSnapshot {
        snapshot: u8,
        spot: Spot,
    },
    Snapshot {
        drive: u8,
        /// It leaves a bookmark.
        marks: bool,
    },
    Group {
        first: u8,
        count: u8,
        /// A bit for each that leaves a bookmark.
        marks: u8,
    },
    Clone {
        snapshot: u8,
        size: Option<u64>,
    },
    Revert {
        drive: u8,
        snapshot: u8,
        to_any: bool,
    },
    DeleteSnapshot {
        snapshot: u8,
    },
    /// Deletes with nothing else to reclaim, and looks at what comes back (A6).
    DeleteSnapshotAndCount {
        snapshot: u8,
    },
    DeleteDrive {
        drive: u8,
    },
    Bookmark {
        drive: u8,
    },
    DeleteBookmark {
        drive: u8,
        bookmark: u8,
    },
    RenameDrive {
        drive: u8,
        name: u8,
    },
    RenameSnapshot {
        snapshot: u8,
        name: u8,
    },
    DriveAttributes {
        drive: u8,
        length: u16,
    },
    SnapshotAttributes {
        snapshot: u8,
        length: u16,
    },
    /// Makes a note or replaces one.
    SetNote {
        note: u8,
        length: u32,
    },
    DeleteNote {
        note: u8,
    },
    FlushDrive {
        drive: u8,
    },
    FlushStore,
    Reclaim {
        budget: u8,
    },
    Drain,
    Check,
    Reopen,
    /// Keeps a handle, which pins the snapshot's blocks.
    Hold {
        snapshot: u8,
    },
    LetGo,
    Diff {
        older: u8,
        newer: u8,
    },
    DiffDrive {
        older: u8,
        drive: u8,
    },
    Fingerprint {
        snapshot: u8,
    },
}

/// Often at the bounds of the pieces in which a note is kept.
fn note_length() -> impl Strategy<Value = u32> {
    const PIECE: u32 = 1024;
    const LONGEST: u32 = 1 << 20;
    prop_oneof![
        6 => (0..7_u32, 0..3_u32).prop_map(|(pieces, more)| (pieces * PIECE + more).saturating_sub(1)),
        3 => 0..5000_u32,
        1 => prop_oneof![Just(100_000), Just(LONGEST - 1), Just(LONGEST)],
    ]
}

/// What a whole run is like.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// `check` after so many operations. It commits, so a run that checks always never sees two operations in one commit.
    pub check_every: usize,
    pub dirty_bytes_max: Option<usize>,
    pub in_file: bool,
    pub background_reclaim: bool,
}

/// A length that is not always a multiple of a block.
fn odd_bytes() -> impl Strategy<Value = u16> {
    prop_oneof![4 => Just(0_u16), 1 => 1..4096_u16, 1 => prop_oneof![Just(1_u16), Just(512), Just(4095)]]
}

fn spot() -> impl Strategy<Value = Spot> {
    (any::<u16>(), odd_bytes(), 0..6_u16, odd_bytes()).prop_map(|(block, byte, blocks, bytes)| Spot {
        block,
        byte,
        blocks,
        bytes,
    })
}

fn fill() -> impl Strategy<Value = Fill> {
    prop_oneof![
        6 => (0..3_u8).prop_map(Fill::Letter),
        2 => Just(Fill::Zero),
        4 => Just(Fill::Stamp),
        2 => Just(Fill::Same),
        1 => Just(Fill::Nearly),
        2 => any::<u8>().prop_map(Fill::Old),
    ]
}

fn size(shape: Shape) -> impl Strategy<Value = u64> {
    let blocks = match shape {
        Shape::Small => 1..40_u64,
        Shape::Deep => 600..3000,
        Shape::Vast => 1 << 28..1 << 51,
    };
    (blocks, odd_bytes(), any::<u8>()).prop_map(move |(blocks, bytes, dice)| match (shape, dice) {
        (Shape::Vast, 0..64) => 1 << 63,
        _ => blocks * BLOCK + u64::from(bytes),
    })
}

fn operation(shape: Shape) -> impl Strategy<Value = Operation> {
    use Operation as O;
    let (small, comb) = match shape {
        Shape::Small => (20, 1),
        Shape::Deep => (8, 10),
        Shape::Vast => (16, 4),
    };
    let n = any::<u8>;
    let writing = prop_oneof![
        small => (n(), spot(), fill()).prop_map(|(drive, spot, fill)| O::Write { drive, spot, fill }),
        comb => (n(), spot(), 1..5_u8, 1..400_u16, fill())
            .prop_map(|(drive, spot, stride, count, fill)| O::Comb { drive, spot, stride, count, fill }),
        3 => (n(), spot()).prop_map(|(drive, spot)| O::WriteZeroes { drive, spot }),
        5 => (n(), spot()).prop_map(|(drive, spot)| O::Discard { drive, spot }),
        2 => (n(), size(shape)).prop_map(|(drive, size)| O::Resize { drive, size }),
    ];
    let freezing = prop_oneof![
        1 => size(shape).prop_map(|size| O::CreateDrive { size }),
        6 => (n(), weighted(0.3)).prop_map(|(drive, marks)| O::Snapshot { drive, marks }),
        1 => (n(), 1..4_u8, 0..8_u8).prop_map(|(first, count, marks)| O::Group { first, count, marks }),
        3 => (n(), prop_oneof![3 => Just(None), 1 => size(shape).prop_map(Some)])
            .prop_map(|(snapshot, size)| O::Clone { snapshot, size }),
        2 => (n(), n(), any::<bool>()).prop_map(|(drive, snapshot, to_any)| O::Revert { drive, snapshot, to_any }),
        2 => n().prop_map(|drive| O::Bookmark { drive }),
    ];
    let deleting = prop_oneof![
        4 => n().prop_map(|snapshot| O::DeleteSnapshot { snapshot }),
        2 => n().prop_map(|snapshot| O::DeleteSnapshotAndCount { snapshot }),
        2 => n().prop_map(|drive| O::DeleteDrive { drive }),
        1 => (n(), n()).prop_map(|(drive, bookmark)| O::DeleteBookmark { drive, bookmark }),
        3 => any::<u8>().prop_map(|budget| O::Reclaim { budget }),
        2 => Just(O::Drain),
    ];
    let describing = prop_oneof![
        (n(), n()).prop_map(|(drive, name)| O::RenameDrive { drive, name }),
        (n(), n()).prop_map(|(snapshot, name)| O::RenameSnapshot { snapshot, name }),
        (n(), 0..3000_u16).prop_map(|(drive, length)| O::DriveAttributes { drive, length }),
        (n(), 0..3000_u16).prop_map(|(snapshot, length)| O::SnapshotAttributes { snapshot, length }),
    ];
    let noting = prop_oneof![
        3 => (n(), note_length()).prop_map(|(note, length)| O::SetNote { note, length }),
        1 => n().prop_map(|note| O::DeleteNote { note }),
    ];
    let reading = prop_oneof![
        2 => (n(), spot()).prop_map(|(drive, spot)| O::ReadDrive { drive, spot }),
        2 => (n(), spot()).prop_map(|(snapshot, spot)| O::ReadSnapshot { snapshot, spot }),
        2 => (n(), n()).prop_map(|(older, newer)| O::Diff { older, newer }),
        2 => (n(), n()).prop_map(|(older, drive)| O::DiffDrive { older, drive }),
        1 => n().prop_map(|snapshot| O::Fingerprint { snapshot }),
        1 => n().prop_map(|snapshot| O::Hold { snapshot }),
        1 => Just(O::LetGo),
    ];
    let keeping = prop_oneof![
        2 => n().prop_map(|drive| O::FlushDrive { drive }),
        2 => Just(O::FlushStore),
        1 => Just(O::Check),
        1 => Just(O::Reopen),
    ];
    prop_oneof![50 => writing, 17 => freezing, 15 => deleting, 2 => describing, 2 => noting, 8 => reading, 5 => keeping]
}

fn settings() -> impl Strategy<Value = Settings> {
    (
        prop_oneof![Just(1_usize), Just(7), Just(50)],
        prop_oneof![2 => Just(None), 1 => Just(Some(256 << 10))],
        prop_oneof![7 => Just(false), 1 => Just(true)],
        prop_oneof![5 => Just(false), 1 => Just(true)],
    )
        .prop_map(|(check_every, dirty_bytes_max, in_file, background_reclaim)| Settings {
            check_every,
            dirty_bytes_max,
            in_file,
            background_reclaim,
        })
}

/// The size of the first drive, the settings, and up to `steps` operations.
pub fn runs(shape: Shape, steps: usize) -> impl Strategy<Value = (u64, Settings, Vec<Operation>)> {
    (size(shape), settings(), vec(operation(shape), 1..=steps))
}

impl Spot {
    /// The byte range meant on a drive of `size` bytes; never empty, never past the end.
    pub fn on(self, size: u64) -> Range<u64> {
        // Some are long enough to make a scattered image whole.
        let times = if self.block % 8 == 2 { 18 } else { 1 };
        self.with_length(size, u64::from(self.blocks) * times * BLOCK + u64::from(self.bytes))
    }

    /// As [`Spot::on`], but longer: for operations that carry no bytes.
    pub fn stretched_on(self, size: u64) -> Range<u64> {
        let blocks = match self.block % 8 {
            0 => u64::from(self.blocks) * 60,
            1 => size / BLOCK,
            _ => u64::from(self.blocks),
        };
        self.with_length(size, blocks * BLOCK + u64::from(self.bytes))
    }

    fn with_length(self, size: u64, length: u64) -> Range<u64> {
        let start = (self.first_block(size) * BLOCK + u64::from(self.byte)).min(size - 1);
        start..start + length.clamp(1, size - start)
    }

    /// The first block meant. On a vast drive a few places are met again and again.
    pub fn first_block(self, size: u64) -> u64 {
        const VAST: u64 = 1 << 20;
        let count = size.div_ceil(BLOCK);
        let block = u64::from(self.block);
        if count < VAST {
            return block % count;
        }
        let step = block / 4 % 16;
        match block % 4 {
            0 => step,
            1 => count / 3 + step,
            2 => (1 << 27) + step,
            _ => count - 1 - step,
        }
    }
}
