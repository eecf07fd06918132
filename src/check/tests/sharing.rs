//! Is every way to hold a block or page twice told from the ways that history allows?

use std::sync::atomic::Ordering::Relaxed;

use super::family::{Condemned, Head, Snapshot};
use super::sketch::{Sketch, kinds, run};
use crate::check::ProblemKind::{self, *};
use crate::format::entry::Extent;
use crate::format::page::Root;
use crate::format::record::{BookmarkRecord, ObjectId, RecordKind, SnapshotRecord, VersionState};

/// A version: number, state, parent, epoch, birth of its pages, extents.
type Drawn<'a> = (u64, VersionState, u64, u64, u64, &'a [Extent]);

/// What is found in a store of these versions, each with a table and histogram of its own.
fn found(versions: &[Drawn<'_>]) -> Vec<ProblemKind> {
    let mut sketch = Sketch::new(9);
    for (id, state, parent, epoch, birth, extents) in versions {
        let mut counts = std::collections::BTreeMap::new();
        extents.iter().for_each(|extent| *counts.entry(extent.birth.0).or_insert(0) += u64::from(extent.blocks));
        let (mut table, mut histogram) = (Root::EMPTY, Root::EMPTY);
        if !extents.is_empty() {
            table = Root { pointer: Some(sketch.extents(*birth, extents)), level: 0 };
            histogram = sketch.histogram(*birth, &counts.clone().into_iter().collect::<Vec<_>>());
        }
        let drive = 100 + id;
        sketch.version(*id, (*state, drive, *parent, *epoch), (table, histogram, counts.values().sum()));
        name(&mut sketch, *id, *state, drive);
    }
    kinds(&sketch.finish().check())
}

fn name(sketch: &mut Sketch, id: u64, state: VersionState, drive: u64) {
    match state {
        Head => sketch.drive(drive, id),
        Snapshot => {
            let record =
                SnapshotRecord { version: 1, uuid: [0; 16], name: String::new(), drive_uuid: [0; 16], attributes_len: 0 };
            sketch.put(RecordKind::Snapshot, id, &record);
        }
        Condemned => {}
    }
}

#[test]
fn head_holds_what_its_snapshot_holds() {
    let snapshot: Drawn<'_> = (1, Snapshot, 0, 3, 3, &[run(0, 0, 8, 2), run(20, 20, 1, 3)]);
    let head = |extents: &[Extent]| found(&[snapshot, (2, Head, 1, 0, 4, extents)]);
    assert_eq!(head(&[run(0, 0, 8, 2)]), []);
    assert_eq!(head(&[run(0, 0, 3, 2), run(3, 50, 1, 4), run(4, 4, 4, 2), run(20, 20, 1, 3)]), []);
    // At another address; from before its time, but not the snapshot's; with another birth; behind the snapshot's.
    assert_eq!(head(&[run(1, 0, 1, 2)]), [NotInherited, DoubleUse]);
    assert_eq!(head(&[run(0, 60, 1, 2)]), [NotInherited]);
    assert_eq!(head(&[run(0, 0, 8, 3)]), [NotInherited, DoubleUse]);
    assert_eq!(head(&[run(20, 20, 2, 3)]), [NotInherited]);
    // As its own, although it is the snapshot's.
    assert_eq!(head(&[run(0, 0, 8, 4)]), [DoubleUse]);
}

#[test]
fn siblings_hold_only_what_their_parent_left_them() {
    let junction: Drawn<'_> = (1, Condemned, 0, 3, 3, &[]);
    let heads = |left: &[Extent], right: &[Extent]| found(&[junction, (2, Head, 1, 0, 4, left), (3, Head, 1, 0, 4, right)]);
    assert_eq!(heads(&[run(0, 0, 8, 2)], &[run(0, 0, 8, 2)]), []);
    assert_eq!(heads(&[run(0, 0, 8, 2)], &[run(0, 0, 3, 2), run(4, 4, 4, 2)]), []);
    assert_eq!(heads(&[run(0, 0, 8, 2)], &[run(4, 4, 8, 2)]), []);
    // At another address, with another birth, born after they parted.
    assert_eq!(heads(&[run(0, 0, 8, 2)], &[run(1, 0, 8, 2)]), [DoubleUse]);
    assert_eq!(heads(&[run(0, 0, 8, 2)], &[run(0, 0, 8, 3)]), [DoubleUse]);
    assert_eq!(heads(&[run(0, 0, 8, 4)], &[run(0, 0, 8, 4)]), [DoubleUse]);
    assert_eq!(heads(&[run(0, 0, 8, 2)], &[run(0, 0, 8, 4)]), [DoubleUse]);
}

#[test]
fn drives_without_a_common_forefather_share_nothing() {
    assert_eq!(found(&[(1, Head, 0, 0, 1, &[run(0, 0, 1, 1)]), (2, Head, 0, 0, 1, &[run(0, 1, 1, 1)])]), []);
    assert_eq!(found(&[(1, Head, 0, 0, 1, &[run(0, 0, 2, 1)]), (2, Head, 0, 0, 1, &[run(0, 1, 1, 1)])]), [DoubleUse]);
}

#[test]
fn inheritance_is_looked_for_past_junctions() {
    let snapshot: Drawn<'_> = (1, Snapshot, 0, 2, 2, &[run(0, 0, 4, 2)]);
    let junction: Drawn<'_> = (2, Condemned, 1, 4, 4, &[]);
    let heads =
        |left: &[Extent], right: &[Extent]| found(&[snapshot, junction, (3, Head, 2, 0, 5, left), (4, Head, 2, 0, 5, right)]);
    assert_eq!(heads(&[run(0, 0, 4, 2), run(9, 9, 1, 3)], &[run(0, 0, 1, 2), run(9, 9, 1, 3)]), []);
    assert_eq!(heads(&[run(0, 0, 4, 2)], &[run(3, 30, 1, 2)]), [NotInherited]);
}

#[test]
fn what_a_deleted_version_still_holds_is_in_use() {
    let parent: Drawn<'_> = (1, Condemned, 0, 3, 3, &[run(0, 0, 4, 2), run(6, 6, 1, 3)]);
    assert_eq!(found(&[parent, (2, Head, 1, 0, 4, &[run(0, 0, 4, 2)])]), []);
    assert_eq!(found(&[parent, (2, Head, 1, 0, 4, &[run(6, 6, 1, 4)])]), [DoubleUse]);
}

#[test]
fn deleted_versions_without_a_common_forefather_share_nothing() {
    let strangers: [Drawn<'_>; 2] = [(1, Condemned, 0, 3, 1, &[run(0, 0, 2, 1)]), (2, Condemned, 0, 4, 1, &[run(0, 0, 2, 1)])];
    assert_eq!(found(&strangers), [DoubleUse]);
}

#[test]
fn a_deleted_version_is_worked_off_past_a_bookmark() {
    // What is left of it is written anew as early as its interval allows: nobody asks what changed in it since a bookmark.
    let mut sketch = Sketch::new(9);
    let rest = Root { pointer: Some(sketch.extents(1, &[run(0, 0, 2, 4)])), level: 0 };
    sketch.version(1, (Condemned, 2, 0, 5), (rest, Root::EMPTY, 0));
    sketch.version(3, (Head, 2, 1, 0), (Root::EMPTY, Root::EMPTY, 0));
    sketch.drive(2, 3);
    let name = String::new();
    let bookmark =
        BookmarkRecord { version: 1, uuid: [4; 16], name, drive: ObjectId(2), epoch: 2, referenced_blocks: 0, size_bytes: 4096 };
    sketch.put(RecordKind::Bookmark, 4, &bookmark);
    assert_eq!(kinds(&sketch.finish().check()), []);
}

#[test]
fn what_heads_below_a_junction_share_is_walked_once() {
    let mut sketch = Sketch::new(9);
    sketch.version(1, (Condemned, 1, 0, 3), (Root::EMPTY, Root::EMPTY, 0));
    let leaves: Vec<_> = (0..40).map(|at| (at, sketch.extents(2, &[run(at, 2 * at as u32, 1, 2)]))).collect();
    let table = sketch.branch(1, 2, &leaves);
    let histogram = sketch.histogram(2, &[(2, 40)]);
    for id in 2..52 {
        sketch.version(id, (Head, 100 + id, 1, 0), (table, histogram, 40));
        sketch.drive(100 + id, id);
    }
    let store = sketch.finish();
    let report = store.check();
    assert!(report.is_clean(), "{report}");
    assert!(store.blocks.reads.load(Relaxed) < 2 * report.tree_pages, "shared pages are read again for each holder");
}

/// Two heads under one junction (or under nothing) whose tables are one page.
fn sharing_a_page(parent: u64, birth: u64) -> Vec<ProblemKind> {
    let mut sketch = Sketch::new(9);
    sketch.version(1, (Condemned, 1, 0, 3), (Root::EMPTY, Root::EMPTY, 0));
    let table = Root { pointer: Some(sketch.extents(birth, &[run(0, 0, 2, 2)])), level: 0 };
    for (id, parent) in [(2, 1), (3, 1), (4, parent)] {
        let histogram = sketch.histogram(4, &[(2, 2)]);
        sketch.version(id, (Head, 100 + id, parent, 0), (table, histogram, 2));
        sketch.drive(100 + id, id);
    }
    kinds(&sketch.finish().check())
}

#[test]
fn a_page_is_shared_only_if_it_is_older_than_the_parting() {
    assert_eq!(sharing_a_page(1, 2), []);
    assert_eq!(sharing_a_page(1, 4), [DoubleUse]);
    assert_eq!(sharing_a_page(0, 2), [DoubleUse]);
}

#[test]
fn a_page_has_one_role() {
    let mut sketch = Sketch::new(9);
    let page = Root { pointer: Some(sketch.extents(1, &[run(0, 0, 2, 1)])), level: 0 };
    sketch.version(1, (Head, 2, 0, 0), (page, page, 2));
    sketch.drive(2, 1);
    assert_eq!(kinds(&sketch.finish().check()), [DoubleUse]);
}

#[test]
fn a_page_older_than_its_holder_is_held_by_the_snapshot_above() {
    let snapshot: Drawn<'_> = (1, Snapshot, 0, 3, 3, &[run(0, 0, 2, 2)]);
    assert_eq!(found(&[snapshot, (2, Head, 1, 0, 3, &[run(0, 0, 2, 2)])]), [NotInherited]);
}
