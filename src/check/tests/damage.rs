//! Is every broken rule named, and only that one?

use proptest::prelude::*;

use super::family::{Condemned, Family, Head, family};
use super::sketch::{DATA, Sketch, Sketched, TREE, buckets, hole, kinds, run};
use crate::check::ProblemKind::{self, *};
use crate::format::codec::{put_u16, put_u64};
use crate::format::entry::{self, Extent};
use crate::format::group::{Group, Place, STORE_BLOCKS_MIN};
use crate::format::page::{self, HEADER_LEN, Page, PagePointer, Root};
use crate::format::record::{
    self, ATTRIBUTES_LEN_MAX, BookmarkRecord, DriveRecord, NoteRecord, ObjectId, RecordKind, SnapshotRecord, VersionRecord,
};
use crate::format::space_changes::{ChecksumRun, TurnedRun};
use crate::units::{BLOCK_LEN, Epoch, Generation, PhysicalBlock};

/// What is found when the family is changed before its catalog is written.
fn drawn(change: impl FnOnce(&mut Family)) -> Vec<ProblemKind> {
    let mut family = family();
    change(&mut family);
    kinds(&family.finish().check())
}

/// What is found when one of the family's pages was written otherwise, with checksums that are right.
fn written(page: impl FnOnce(&Family) -> PagePointer, change: impl FnOnce(&mut Page)) -> Vec<ProblemKind> {
    let family = family();
    let number = page(&family).page;
    let mut store = family.finish();
    store.rewrite(number, change);
    kinds(&store.check())
}

/// What is found when the finished store is changed.
fn changed(change: impl FnOnce(&mut Sketched)) -> Vec<ProblemKind> {
    let mut store = family().finish();
    change(&mut store);
    kinds(&store.check())
}

fn put_extent(page: &mut Page, index: usize, extent: &Extent) {
    entry::put(page, index, extent.logical.0, &extent.encode());
}

/// A store of one head with this table, or two leaves of it.
fn single(leaves: &[&[Extent]]) -> Sketch {
    let mut sketch = Sketch::new(6);
    let mut counts = std::collections::BTreeMap::new();
    let mut children = Vec::new();
    for leaf in leaves {
        for extent in leaf.iter().filter(|extent| extent.physical.is_some()) {
            *counts.entry(extent.birth.0).or_insert(0) += u64::from(extent.blocks);
        }
        children.push((leaf[0].logical.0, sketch.extents(5, leaf)));
    }
    let table = sketch.branch(1, 5, &children);
    let histogram = sketch.histogram(5, &counts.clone().into_iter().collect::<Vec<_>>());
    sketch.version(2, (Head, 1, 0, 0), (table, histogram, counts.values().sum()));
    sketch.drive(1, 2);
    sketch
}

#[test]
fn block_that_cannot_be_read_is_unreadable() {
    for page in [family().own.page, DATA.bitmap_slot(1), DATA.checksum_slot(0, 0)] {
        assert_eq!(changed(|store| assert!(store.blocks.broken.insert(page.0))), [Unreadable]);
    }
}

#[test]
fn page_that_is_not_what_was_written_is_damaged() {
    for page in [family().own.page, TREE.bitmap_slot(1), DATA.checksum_slot(0, 0)] {
        assert_eq!(changed(|store| store.blocks.pages.get_mut(&page.0).unwrap()[77] ^= 4), [PageDamaged], "page {page}");
    }
}

#[test]
fn page_that_its_pointer_does_not_mean_is_damaged() {
    let birth = |page: &mut Page| page::readdress(page, page::number(page), Epoch(4), Generation(7));
    assert_eq!(written(|family| family.own, birth), [PageDamaged]);
    let number = |page: &mut Page| page::readdress(page, PhysicalBlock(999), page::birth(page), Generation(7));
    assert_eq!(written(|family| family.own, number), [PageDamaged]);
    assert_eq!(written(|family| family.own, |page| page[9] = 1), [PageDamaged]);
    assert_eq!(written(|family| family.own, |page| page[8] = 3), [PageDamaged]);
}

#[test]
fn bytes_behind_the_last_entry_are_damage() {
    assert_eq!(written(|family| family.own, |page| page[BLOCK_LEN - 1] = 1), [PageDamaged]);
    assert_eq!(written(|family| family.own, |page| page::set_count(page, 170)), [PageDamaged]);
    let mut store = family().finish();
    store.rewrite(first_catalog_leaf(&store), |page| page[HEADER_LEN + 12 * page::count(page) + 1] = 1);
    // With the leaf goes a version, whose descendants then have no reason to share.
    assert_eq!(kinds(&store.check()), [PageDamaged, DanglingHistory, DoubleUse]);
    assert_eq!(changed(|store| store.rewrite(DATA.bitmap_slot(1), |page| page::set_count(page, 1))), [PageDamaged]);
}

fn first_catalog_leaf(store: &Sketched) -> PhysicalBlock {
    let root = store.superblock.catalog.pointer.unwrap().page;
    entry::decode_pointer(&entry::value(&store.blocks.pages[&root.0], 0)).page
}

#[test]
fn two_pointers_that_disagree_are_damage() {
    assert_eq!(
        written(
            |family| family.table_4.pointer.unwrap(),
            |page| {
                let pointer = entry::decode_pointer(&entry::value(page, 1));
                entry::put(page, 1, 14, &entry::encode_pointer(PagePointer { crc: 1, ..pointer }));
            }
        ),
        [PageDamaged]
    );
}

#[test]
fn pointer_to_no_place_is_bad() {
    for number in [2, 68, STORE_BLOCKS_MIN, (1 << 48) - 1] {
        assert_eq!(
            written(
                |family| family.table_4.pointer.unwrap(),
                |page| {
                    let pointer = entry::decode_pointer(&entry::value(page, 0));
                    entry::put(page, 0, 0, &entry::encode_pointer(PagePointer { page: PhysicalBlock(number), ..pointer }));
                }
            ),
            [BadPointer]
        );
    }
}

#[test]
fn page_of_a_later_commit_has_the_wrong_generation() {
    let later = |page: &mut Page| page::readdress(page, page::number(page), page::birth(page), Generation(8));
    assert_eq!(written(|family| family.own, later), [WrongGeneration]);
    assert_eq!(changed(|store| store.rewrite(DATA.checksum_slot(0, 0), later)), [WrongGeneration]);
}

#[test]
fn page_without_entries_is_empty() {
    assert_eq!(written(|family| family.own, |page| page::set_count(page, 0)), [EmptyPage]);
}

#[test]
fn keys_that_fall_are_in_disorder() {
    assert_eq!(written(|family| family.histogram_4.pointer.unwrap(), |page| put_u64(page, HEADER_LEN, 3)), [KeyOrder]);
    let at_child = |key| written(|family| family.table_4.pointer.unwrap(), move |page| put_u64(page, HEADER_LEN + 24, key));
    // The child before ends with block 10, the child behind begins with block 16.
    assert_eq!(at_child(11), []);
    assert_eq!(at_child(10), [KeyOrder]);
    assert_eq!(at_child(16), []);
    assert_eq!(at_child(17), [KeyOrder]);
}

#[test]
fn leaf_that_a_table_holds_twice_is_in_disorder() {
    assert_eq!(
        written(
            |family| family.table_4.pointer.unwrap(),
            |page| {
                let value = entry::value(page, 0);
                entry::put(page, 2, 40, &value);
                page::set_count(page, 3);
            }
        ),
        [KeyOrder, ExtentOverlap]
    );
}

#[test]
fn birth_after_the_freeze_is_out_of_interval() {
    let of_extent = |birth| kinds(&single(&[&[run(0, 0, 1, birth)]]).finish().check());
    assert_eq!(of_extent(1), []);
    assert_eq!(of_extent(0), [BirthOutOfInterval]);
    assert_eq!(of_extent(7), [BirthOutOfInterval]);
    assert_eq!(kinds(&single(&[&[hole(0, 1, 7)]]).finish().check()), [EmptyPage, BirthOutOfInterval]);
}

#[test]
fn birth_younger_than_a_frozen_page_is_out_of_interval() {
    // Version 4's leaf says that it is of epoch 3, like the junction, and holds a block of epoch 4.
    assert_eq!(
        drawn(|family| {
            let leaf = family.sketch.extents(3, &[run(0, 0, 4, 1), run(8, 40, 2, 4)]);
            let table = family.sketch.branch(1, 5, &[(0, leaf), (14, family.inherited)]);
            family.sketch.tree_places.remove(&place(family.own.page));
            family.sketch.tree_places.remove(&place(family.table_4.pointer.unwrap().page));
            family.sketch.change(RecordKind::Version, 4, |record: &mut VersionRecord| record.table = table.into());
        }),
        [BirthOutOfInterval]
    );
    // A branch of epoch 4 leads to a leaf of epoch 5; the bookmark lies between.
    assert_eq!(
        drawn(|family| {
            let table = family.sketch.branch(1, 4, &[(0, family.own), (14, family.inherited)]);
            family.sketch.tree_places.remove(&place(family.table_4.pointer.unwrap().page));
            family.sketch.change(RecordKind::Version, 4, |record: &mut VersionRecord| record.table = table.into());
        }),
        [BirthOutOfInterval]
    );
}

#[test]
fn birth_in_the_catalog_is_out_of_interval() {
    let sketch = family().sketch;
    let mut store = sketch.finish();
    let root = store.superblock.catalog.pointer.as_mut().unwrap();
    root.birth = Epoch(1);
    let number = root.page;
    store.rewrite(number, |page| page::readdress(page, number, Epoch(1), Generation(7)));
    assert_eq!(kinds(&store.check()), [BirthOutOfInterval]);
}

fn place(page: PhysicalBlock) -> u32 {
    crate::format::group::place_of(page).unwrap().0
}

#[test]
fn extents_that_overlap_are_named() {
    let overlap = [run(0, 0, 4, 1), run(3, 9, 2, 1)];
    assert_eq!(kinds(&single(&[&overlap]).finish().check()), [ExtentOverlap]);
    assert_eq!(kinds(&single(&[&overlap[..1], &overlap[1..]]).finish().check()), [ExtentOverlap]);
}

#[test]
fn extents_that_should_be_one_are_named() {
    for (left, right) in [(run(0, 0, 4, 1), run(4, 4, 2, 1)), (hole(0, 4, 1), hole(4, 1, 1))] {
        let data = [run(50, 50, 1, 1)];
        assert_eq!(kinds(&single(&[&[left, right], &data]).finish().check()), [ExtentUnmerged]);
        assert_eq!(kinds(&single(&[&[left], &[right], &data]).finish().check()), [ExtentUnmerged]);
    }
    let apart = [run(0, 0, 4, 1), run(4, 4, 2, 2), run(6, 7, 1, 2), run(8, 8, 1, 2)];
    assert_eq!(kinds(&single(&[&apart]).finish().check()), []);
}

#[test]
fn extent_behind_the_image_is_out_of_range() {
    let trimming = |trimming| {
        let mut sketch = single(&[&[run(99, 0, 2, 1)]]);
        sketch.change(RecordKind::Version, 2, |record: &mut VersionRecord| record.trimming = trimming);
        kinds(&sketch.finish().check())
    };
    assert_eq!(trimming(false), [ExtentOutOfRange]);
    assert_eq!(trimming(true), []);
    assert_eq!(kinds(&single(&[&[run(99, 0, 1, 1), hole(100, 5, 1)]]).finish().check()), []);
}

#[test]
fn extent_that_no_group_can_hold_is_out_of_range() {
    let range = |extent: Extent| written(|family| family.own, move |page| put_extent(page, 1, &extent));
    let elsewhere = |block| Extent { physical: Some(PhysicalBlock(block)), ..run(8, 0, 2, 4) };
    // A lost extent leaves its old places without a holder.
    assert_eq!(range(elsewhere(DATA.start().0 + 255)), [ExtentOutOfRange, Leak]);
    assert_eq!(range(elsewhere(STORE_BLOCKS_MIN - 1)), [ExtentOutOfRange, Leak]);
    assert_eq!(range(elsewhere((1 << 48) - 1)), [ExtentOutOfRange, Leak]);
    let far = Extent { blocks: 0, ..run(8, 40, 2, 4) };
    assert_eq!(range(far), [ExtentOutOfRange, WrongHistogram, WrongSize, Leak]);
}

#[test]
fn histogram_that_counts_otherwise_is_wrong() {
    let bucket = |counts: &'static [(u64, u64)]| {
        written(
            |family| family.histogram_4.pointer.unwrap(),
            move |page| {
                page[HEADER_LEN..].fill(0);
                buckets(counts).iter().enumerate().for_each(|(index, (key, value))| entry::put(page, index, *key, value));
                page::set_count(page, counts.len());
            },
        )
    };
    assert_eq!(bucket(&[(1, 6), (3, 1), (4, 2)]), []);
    assert_eq!(bucket(&[(1, 6), (3, 1), (4, 3)]), [WrongHistogram]);
    assert_eq!(bucket(&[(1, 6), (2, 1), (4, 2)]), [WrongHistogram]);
    assert_eq!(bucket(&[(1, 6), (2, 0), (3, 1), (4, 2)]), [WrongHistogram]);
    assert_eq!(bucket(&[(1, u64::MAX), (2, u64::MAX)]), [WrongHistogram]);
}

#[test]
fn wrong_histogram_of_a_snapshot_is_not_blamed_on_its_heads() {
    let family = family();
    let number = family.histogram_2.pointer.unwrap().page;
    let mut store = family.finish();
    // Version 8 shares the histogram, and is wrong with it; versions 4 and 5 have their own.
    store.rewrite(number, |page| entry::put(page, 0, 1, &entry::encode_bucket(7)));
    let report = store.check();
    assert_eq!(kinds(&report), [WrongHistogram]);
    assert_eq!(report.problems_total, 2, "{report}");
}

#[test]
fn wrong_counters_are_wrong_sizes() {
    assert_eq!(drawn(|family| family.sketch.superblock.data_blocks += 1), [WrongSize]);
    assert_eq!(drawn(|family| family.sketch.superblock.tree_pages += 1), [WrongSize]);
    assert_eq!(drawn(|family| family.sketch.superblock.tree_places -= 1), [WrongSize]);
    assert_eq!(drawn(|family| family.sketch.group_records.get_mut(&DATA.0).unwrap().used += 1), [WrongSize]);
    let referenced = |id| {
        drawn(|family| family.sketch.change(RecordKind::Version, id, |record: &mut VersionRecord| record.referenced_blocks += 1))
    };
    assert_eq!(referenced(2), [WrongSize]);
    assert_eq!(referenced(5), [WrongSize]);
    // Nobody asks for the sizes of what is being deleted.
    assert_eq!(referenced(7), []);
}

#[test]
fn record_that_cannot_be_is_bad() {
    let version = |id, change: fn(&mut VersionRecord)| drawn(|family| family.sketch.change(RecordKind::Version, id, change));
    assert_eq!(version(4, |record| record.size_bytes = 0), [ExtentOutOfRange, BadRecord]);
    assert_eq!(version(4, |record| record.size_bytes = u64::MAX), [BadRecord]);
    assert_eq!(version(4, |record| record.unsettled = vec![(3, 2)]), [BadRecord]);
    assert_eq!(version(4, |record| record.unsettled = vec![(1, 2), (4, 6)]), []);
    assert_eq!(drawn(|family| family.sketch.superblock.next_id = 11), [BadRecord]);
    assert_eq!(drawn(|family| family.sketch.drive(2, 4)), [BadRecord, BadAttributes, DanglingHistory]);
    assert_eq!(
        drawn(|family| family.sketch.put(
            RecordKind::Bookmark,
            300,
            &BookmarkRecord {
                version: 1,
                uuid: [0; 16],
                name: "x".repeat(256),
                drive: ObjectId(1),
                epoch: 6,
                referenced_blocks: 0,
                size_bytes: 4096
            }
        )),
        [BadRecord]
    );
    let undecodable = |key| drawn(|family| assert!(family.sketch.records.insert(key, vec![1, 2, 3]).is_none()));
    assert_eq!(undecodable(record::key(RecordKind::Drive, ObjectId(500), 0)), [BadRecord]);
    assert_eq!(undecodable(9 << 56 | 5 << 16), [BadRecord]);
}

#[test]
fn attributes_that_do_not_add_up_are_bad() {
    let key = |id, chunk| record::key(RecordKind::Attributes, ObjectId(id), chunk);
    let removed = |id, chunk| drawn(|family| assert!(family.sketch.records.remove(&key(id, chunk)).is_some()));
    for (id, chunk) in [(1, 0), (2, 0), (2, 1)] {
        assert_eq!(removed(id, chunk), [BadAttributes]);
    }
    assert_eq!(drawn(|family| assert!(family.sketch.records.insert(key(2, 2), vec![]).is_none())), [BadAttributes]);
    assert_eq!(drawn(|family| assert!(family.sketch.records.insert(key(2, 1), vec![0; 477]).is_some())), [BadAttributes]);
    assert_eq!(drawn(|family| family.sketch.attributes(11, b"x")), [BadAttributes]);
}

#[test]
fn notes_that_do_not_add_up_are_bad() {
    let key = |id, chunk| record::key(RecordKind::Attributes, ObjectId(id), chunk);
    let note = |change: fn(&mut NoteRecord)| drawn(|family| family.sketch.change(RecordKind::Note, 15, change));
    for chunk in [0, 1] {
        assert_eq!(drawn(|family| assert!(family.sketch.records.remove(&key(15, chunk)).is_some())), [BadAttributes]);
    }
    assert_eq!(drawn(|family| assert!(family.sketch.records.insert(key(15, 1), vec![0; 475]).is_some())), [BadAttributes]);
    assert_eq!(drawn(|family| assert!(family.sketch.records.insert(key(15, 2), vec![]).is_none())), [BadAttributes]);
    assert_eq!(drawn(|family| family.sketch.attributes(16, b"x")), [BadAttributes]);
    assert_eq!(drawn(|family| family.sketch.remove(RecordKind::Note, 15)), [BadAttributes]);
    assert_eq!(note(|record| record.attributes_len = 0), [BadAttributes]);
    assert_eq!(note(|record| record.attributes_len += 1), [BadAttributes]);
    for (len, problems) in [(ATTRIBUTES_LEN_MAX, 1), (ATTRIBUTES_LEN_MAX + 1, 2)] {
        let mut family = family();
        family.sketch.change(RecordKind::Note, 15, |record: &mut NoteRecord| record.attributes_len = len as u32);
        let report = family.finish().check();
        assert_eq!((kinds(&report), report.problems_total), (vec![BadAttributes], problems), "{report}");
    }
    assert_eq!(note(|record| record.uuid = [3; 16]), []);
    assert_eq!(note(|record| record.uuid = [16 - 9; 16]), [BadRecord]);
    assert_eq!(drawn(|family| family.sketch.superblock.features_required = 0), [BadRecord]);
    for taken in [4, 6, 11] {
        let record = NoteRecord { version: 1, uuid: [77; 16], attributes_len: 0 };
        assert_eq!(drawn(|family| family.sketch.put(RecordKind::Note, taken, &record)), [BadRecord], "number {taken}");
    }
    let undecodable = |family: &mut Family| {
        let key = record::key(RecordKind::Note, ObjectId(15), 0);
        assert!(family.sketch.records.insert(key, vec![1, 2, 3]).is_some());
    };
    assert_eq!(drawn(undecodable), [BadRecord, BadAttributes]);
    let in_chunks = |family: &mut Family| {
        let bytes = record::encode(&NoteRecord { version: 1, uuid: [77; 16], attributes_len: 0 });
        family.sketch.records.insert(record::key(RecordKind::Note, ObjectId(20), 1), bytes);
    };
    assert_eq!(drawn(in_chunks), [BadRecord]);
}

#[test]
fn history_that_does_not_fit_together_dangles() {
    let version = |id, change: fn(&mut VersionRecord)| drawn(|family| family.sketch.change(RecordKind::Version, id, change));
    let removed = |kind, id| drawn(|family| family.sketch.remove(kind, id));
    assert_eq!(version(8, |record| record.parent = ObjectId(77)), [DanglingHistory, DoubleUse]);
    assert_eq!(version(2, |record| record.parent = ObjectId(3)), [DanglingHistory]);
    assert_eq!(version(3, |record| record.epoch = 2), [DanglingHistory, DoubleUse]);
    assert_eq!(version(8, |record| record.parent = ObjectId(5)), [DanglingHistory]);
    assert_eq!(version(4, |record| record.drive = ObjectId(6)), [DanglingHistory]);
    assert_eq!(removed(RecordKind::Drive, 9), [DanglingHistory]);
    assert_eq!(removed(RecordKind::Snapshot, 2), [BadAttributes, DanglingHistory]);
    assert_eq!(drawn(|family| family.sketch.drive(13, 14)), [DanglingHistory]);
    assert_eq!(drawn(|family| family.sketch.drive(13, 4)), [DanglingHistory]);
    let junction = |family: &mut Family| family.sketch.version(20, (Condemned, 1, 2, 4), (Root::EMPTY, Root::EMPTY, 0));
    assert_eq!(drawn(junction), [DanglingHistory]);
    let bookmark = |family: &mut Family| {
        family.sketch.change(RecordKind::Bookmark, 11, |record: &mut BookmarkRecord| record.drive = ObjectId(50))
    };
    assert_eq!(drawn(bookmark), [DanglingHistory]);
    let record = |family: &mut Family| {
        family.sketch.change(RecordKind::Snapshot, 2, |record: &mut SnapshotRecord| record.drive_uuid = [0; 16])
    };
    assert_eq!(drawn(record), [DanglingHistory]);
}

#[test]
fn places_in_use_must_be_allocated() {
    assert_eq!(drawn(|family| assert!(family.sketch.data_places.remove(&41))), [NotAllocated]);
    assert_eq!(drawn(|family| assert!(family.sketch.tree_places.remove(&place(family.own.page)))), [NotAllocated]);
    assert_eq!(drawn(|family| assert!(family.sketch.group_records.remove(&DATA.0).is_some())), [WrongSize, NotAllocated]);
}

#[test]
fn places_that_nothing_reaches_are_a_leak() {
    let report = |places: &[u32]| {
        let mut family = family();
        family.sketch.data_places.extend(places);
        family.finish().check()
    };
    assert_eq!(kinds(&report(&[200])), [Leak]);
    assert_eq!(report(&[200, 201, 202, 210]).problems_total, 2, "runs are told, not blocks");
    assert_eq!(drawn(|family| assert!(family.sketch.tree_places.insert(900))), [Leak]);
}

#[test]
fn damage_is_not_also_called_a_leak() {
    let family = family();
    let page = family.table_2.pointer.unwrap().page;
    let mut store = family.finish();
    store.blocks.pages.get_mut(&page.0).unwrap()[100] ^= 1;
    assert_eq!(kinds(&store.check()), [PageDamaged]);
}

#[test]
fn group_that_holds_what_it_must_not_is_bad() {
    // Places behind the last one: the data group has 256.
    assert_eq!(drawn(|family| assert!(family.sketch.data_places.insert(256))), [BadGroup]);
    // Data in use whose page of checksums was never written.
    let bare = |family: &mut Family| family.sketch.group_records.get_mut(&DATA.0).unwrap().checksum_present = 0;
    assert_eq!(drawn(bare), [BadGroup]);
    // Data in a group of tree pages.
    let data = Extent { physical: Some(TREE.block(Place(5000))), ..run(8, 0, 2, 4) };
    assert_eq!(written(|family| family.own, move |page| put_extent(page, 1, &data)), [NotAllocated, Leak, BadGroup]);
}

#[test]
fn block_that_is_page_and_data_is_used_twice() {
    let family = family();
    let page = family.own.page;
    let mut store = family.finish();
    let early = Extent { physical: Some(page), blocks: 1, ..run(8, 0, 1, 2) };
    let number = entry::decode_pointer(&entry::value(&store.blocks.pages[&TREE.block(Place(2)).0], 0)).page;
    store.rewrite(number, |leaf| put_extent(leaf, 1, &early));
    let found = kinds(&store.check());
    assert!(found.contains(&DoubleUse) && found.contains(&BadGroup), "{found:?}");
}

#[test]
fn tree_page_in_a_group_of_data_is_bad() {
    let mut family = family();
    let mut page = family.sketch.blocks.pages[&family.own.page.0];
    let moved = DATA.block(Place(100));
    page::readdress(&mut page, moved, Epoch(5), Generation(7));
    let crc = page::seal(&mut page, family.sketch.superblock.seed);
    family.sketch.blocks.pages.insert(moved.0, page);
    family.sketch.data_places.insert(100);
    family.sketch.tree_places.remove(&place(family.own.page));
    let number = family.table_4.pointer.unwrap().page;
    let mut store = family.finish();
    store.rewrite(number, |page| {
        entry::put(page, 0, 0, &entry::encode_pointer(PagePointer { page: moved, birth: Epoch(5), crc }));
    });
    assert_eq!(kinds(&store.check()), [BadGroup]);
}

#[test]
fn group_record_that_cannot_be_is_bad() {
    let groups = |change: fn(&mut Page)| {
        changed(|store| {
            let number = store.superblock.groups.pointer.unwrap().page;
            store.rewrite(number, change);
        })
    };
    assert_eq!(groups(|page| put_u64(page, HEADER_LEN + 24, 2)), [WrongSize, NotAllocated, BadGroup]);
    assert_eq!(groups(|page| page[HEADER_LEN + 8] = 3), [WrongSize, NotAllocated, BadGroup]);
    assert_eq!(groups(|page| put_u16(page, HEADER_LEN + 8 + 4, 1 << 3)), [WrongSize, NotAllocated, BadGroup]);
    // A bitmap that the record does not mean is the bitmap's damage.
    assert_eq!(groups(|page| put_u16(page, HEADER_LEN + 8 + 12, 3)), [PageDamaged]);
}

#[test]
fn changes_that_a_superblock_lists_count_and_must_be_ones() {
    let turned =
        |start, in_use| changed(|store| store.superblock.space_changes.places = vec![TurnedRun { start, blocks: 1, in_use }]);
    let (used, free) = (TREE.block(Place(0)), DATA.block(Place(200)));
    assert_eq!(turned(used, true), [BadGroup]);
    assert_eq!(turned(free, false), [BadGroup]);
    assert_eq!(turned(used, false), [WrongSize, NotAllocated]);
    assert_eq!(turned(free, true), [WrongSize, Leak]);
    assert_eq!(turned(Group(5).block(Place(0)), true), [BadGroup]);
    let noted =
        |start| changed(|store| store.superblock.space_changes.checksums = vec![ChecksumRun { start, checksums: vec![7] }]);
    assert_eq!(noted(free), []);
    assert_eq!(noted(used), [BadGroup]);
}

#[test]
fn every_kind_has_a_name_of_its_own() {
    let names = std::collections::BTreeSet::from(ALL.map(ProblemKind::name));
    assert_eq!(names.len(), ALL.len());
    let problem = crate::check::Problem { kind: DoubleUse, place: "block 7".into(), detail: "held twice".into() };
    assert_eq!(problem.to_string(), "double_use: block 7: held twice");
}

const ALL: [ProblemKind; 20] = [
    Unreadable,
    PageDamaged,
    BadPointer,
    WrongGeneration,
    EmptyPage,
    KeyOrder,
    BirthOutOfInterval,
    ExtentOverlap,
    ExtentUnmerged,
    ExtentOutOfRange,
    WrongHistogram,
    WrongSize,
    BadRecord,
    BadAttributes,
    DanglingHistory,
    NotInherited,
    DoubleUse,
    NotAllocated,
    Leak,
    BadGroup,
];

#[test]
fn a_report_names_only_so_many() {
    let mut sketch = Sketch::new(6);
    for id in 1..=505 {
        sketch.drive(id, 900);
        sketch.change(RecordKind::Drive, id, |drive: &mut DriveRecord| drive.attributes_len = 1);
    }
    let report = sketch.finish().check();
    assert_eq!((report.problems.len(), report.problems_total), (1000, 1010));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    /// Any bytes of any pages are changed, and checksums made right again, so that the damage reaches the deepest checks.
    #[test]
    fn no_damage_panics(
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0..BLOCK_LEN, any::<u8>(), any::<bool>(), any::<bool>()), 1..12),
        epoch in prop::option::of(1u64..10),
        store_blocks in prop::option::of(any::<u64>()),
    ) {
        let mut store = family().finish();
        let numbers: Vec<u64> = store.blocks.pages.keys().copied().collect();
        for (page, at, byte, front, sealed) in damage {
            let number = *page.get(&numbers);
            // Most of a page is zeroes; half of the hits go where the content is.
            let at = if front { at % 160 } else { at };
            let hit = |page: &mut Page| page[at] = byte;
            if sealed { store.rewrite(PhysicalBlock(number), hit) } else { hit(store.blocks.pages.get_mut(&number).unwrap()) }
        }
        store.superblock.epoch = Epoch(epoch.unwrap_or(6));
        store.superblock.store_blocks = store_blocks.unwrap_or(STORE_BLOCKS_MIN);
        let report = store.check();
        prop_assert!(report.problems.len() <= 1000);
    }
}
