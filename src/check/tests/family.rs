//! A small store with everything that may share, and two notes: is it clean?
//!
//! ```text
//! 0 ── 2 snapshot, epoch 2 ─┬─ 3 junction, epoch 3 ─┬─ 4 head of drive 1, bookmark 11
//!                           │                       └─ 5 head of drive 6
//!                           ├─ 7 deleted head, being freed
//!                           └─ 8 head of drive 9, a clone that was not written to
//! ```

use super::sketch::{Sketch, Sketched, TREE, hole, run};
use crate::format::page::{PagePointer, Root};
use crate::format::record::{BookmarkRecord, DriveRecord, NoteRecord, ObjectId, RecordKind, SnapshotRecord, VersionState};
use crate::format::superblock::FEATURE_NOTES;
use crate::units::BLOCK_BYTES;

pub use VersionState::{Condemned, Head, Snapshot};

/// The store, and the pages that tests damage.
pub struct Family {
    pub sketch: Sketch,
    /// Version 2: its table's leaves, its table and its histogram.
    pub table_2: Root,
    pub histogram_2: Root,
    /// The leaf that the junction left to versions 4 and 5.
    pub inherited: PagePointer,
    /// Version 4: its own leaf, its table and its histogram.
    pub own: PagePointer,
    pub table_4: Root,
    pub histogram_4: Root,
}

impl Family {
    pub fn finish(self) -> Sketched {
        self.sketch.finish()
    }
}

pub fn family() -> Family {
    let mut sketch = Sketch::new(6);
    let early = sketch.extents(2, &[run(0, 0, 4, 1), run(8, 10, 2, 2)]);
    let late = sketch.extents(2, &[run(16, 20, 2, 1), run(30, 30, 1, 2)]);
    let table_2 = sketch.branch(1, 2, &[(0, early), (16, late)]);
    let histogram_2 = sketch.histogram(2, &[(1, 6), (2, 3)]);
    sketch.version(2, (Snapshot, 1, 0, 2), (table_2, histogram_2, 9));
    let snapshot = SnapshotRecord {
        version: 1,
        uuid: [2; 16],
        name: "before".into(),
        drive_uuid: [1; 16],
        attributes_len: ATTRIBUTES as u32,
    };
    sketch.put(RecordKind::Snapshot, 2, &snapshot);
    sketch.attributes(2, &[7; ATTRIBUTES]);

    sketch.version(3, (Condemned, 1, 2, 3), (Root::EMPTY, Root::EMPTY, 0));
    let inherited = sketch.extents(3, &[run(16, 20, 2, 1), run(30, 50, 1, 3)]);

    let own = sketch.extents(5, &[run(0, 0, 4, 1), run(8, 40, 2, 4), hole(10, 3, 5)]);
    let table_4 = sketch.branch(1, 5, &[(0, own), (14, inherited)]);
    let histogram_4 = sketch.histogram(4, &[(1, 6), (3, 1), (4, 2)]);
    sketch.version(4, (Head, 1, 3, 0), (table_4, histogram_4, 9));
    sketch.drive(1, 4);
    sketch.change(RecordKind::Drive, 1, |drive: &mut DriveRecord| drive.attributes_len = 5);
    sketch.attributes(1, b"hello");
    let bookmark = BookmarkRecord {
        version: 1,
        uuid: [11; 16],
        name: String::new(),
        drive: ObjectId(1),
        epoch: 4,
        referenced_blocks: 9,
        size_bytes: BLOCK_BYTES,
    };
    sketch.put(RecordKind::Bookmark, 11, &bookmark);

    sketch.superblock.features_required = FEATURE_NOTES;
    for (id, bytes) in [(15, &[8; ATTRIBUTES][..]), (16, &[])] {
        // The uuid of a drive: notes have a name space of their own.
        let note = NoteRecord { version: 1, uuid: [id as u8 - 9; 16], attributes_len: bytes.len() as u32 };
        sketch.put(RecordKind::Note, id, &note);
        sketch.attributes(id, bytes);
    }

    let table_5 = sketch.branch(1, 4, &[(0, early), (16, inherited)]);
    let histogram_5 = sketch.histogram(3, &[(1, 6), (2, 2), (3, 1)]);
    sketch.version(5, (Head, 6, 3, 0), (table_5, histogram_5, 9));
    sketch.drive(6, 5);

    let rest = Root { pointer: Some(sketch.extents(3, &[run(8, 60, 2, 3)])), level: 0 };
    sketch.version(7, (Condemned, 99, 2, 0), (rest, Root::EMPTY, 5));

    sketch.version(8, (Head, 9, 2, 0), (table_2, histogram_2, 9));
    sketch.drive(9, 8);
    Family { sketch, table_2, histogram_2, inherited, own, table_4, histogram_4 }
}

const ATTRIBUTES: usize = 1500;

#[test]
fn shared_snapshot_clone_and_junction_are_clean() {
    let report = family().finish().check();
    assert_eq!(report.to_string(), "0 problems in 19 tree pages and 14 data blocks");
    assert!(report.is_clean());
    assert_eq!((report.drives, report.snapshots, report.bookmarks, report.condemned), (3, 1, 1, 2));
    assert_eq!((report.extents, report.groups, report.notes), (10, 2, 2));
}

#[test]
fn store_without_drives_is_clean() {
    let mut sketch = Sketch::new(1);
    sketch.group_records.retain(|group, _| *group == TREE.0);
    assert_eq!(sketch.finish().check().to_string(), "0 problems in 1 tree pages and 0 data blocks");
}

#[test]
fn births_may_fall_after_a_snapshot_is_deleted() {
    // The snapshot of epoch 5 is gone: what the head wrote since has births from 1 on, beside those of 6.
    let mut sketch = Sketch::new(7);
    let leaf = sketch.extents(1, &[run(0, 0, 1, 6), run(1, 1, 1, 1)]);
    let histogram = sketch.histogram(1, &[(1, 1), (6, 1)]);
    sketch.version(2, (Head, 1, 0, 0), (Root { pointer: Some(leaf), level: 0 }, histogram, 2));
    sketch.drive(1, 2);
    assert_eq!(sketch.finish().check().to_string(), "0 problems in 5 tree pages and 2 data blocks");
}

#[test]
fn progress_ends_with_every_group() {
    let store = family().finish();
    let mut last = None;
    crate::check::check(&store.blocks, &store.superblock, &mut |progress| last = Some(progress));
    let last = last.expect("progress is told");
    assert_eq!((last.groups_done, last.groups_total, last.pages_done, last.pages_total), (2, 2, 19, 19));
}
