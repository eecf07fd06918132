//! Are the promises A1-A7 kept, one by one?

use floe::{DriveOptions, Snapshot, SnapshotOptions};

use crate::picture::{
    BLOCK, BLOCK_LEN, Stage, Step, bookmark, check, clone, create, data, delete, delete_bookmark, delete_drive, discard, drain,
    drive, expect_clean, lay_picture, marked, memory_store, no_bookmark, on, other, picture_of_drive, resize, revert, sized,
    sizes_of, snap, snapshot, write, write_picture, write_zeroes,
};

// --- A1: what the snapshot holds and its reference does not ----------------------------------------------------------

#[test]
fn snapshot_keeps_old_block_after_overwrite() {
    check("AAAA", [write(1, "B"), snapshot("s"), write(2, "C")], [drive("ABCA"), sized("s", "ABAA", [1, 1, 1]), data(5)]);
}

#[test]
fn allocated_size_compares_with_the_live_image_while_the_drive_lives() {
    check(
        "AAAA",
        [snapshot("s"), write(0, "B"), snapshot("t"), write(1, "C")],
        [drive("BCAA"), sized("s", "AAAA", [1, 1, 2]), sized("t", "BAAA", [0, 1, 1]), data(6)],
    );
}

#[test]
fn allocated_size_compares_with_the_next_younger_snapshot_after_the_drive_is_deleted() {
    check(
        "AAAA",
        [snapshot("s"), write(0, "B"), snapshot("t"), write(1, "CC"), snapshot("u"), write(3, "D"), delete_drive("d")],
        [sized("s", "AAAA", [1, 1, 1]), sized("t", "BAAA", [0, 2, 2]), sized("u", "BCCA", [2, 4, 4]), data(7)],
    );
    check(
        "AAAA",
        [snapshot("s"), write(0, "B"), snapshot("t"), write(1, "CC"), snapshot("u"), delete_drive("d"), delete("t")],
        [sized("s", "AAAA", [3, 3, 3]), sized("u", "BCCA", [3, 4, 4]), data(7)],
    );
}

#[test]
fn allocated_size_is_exact_on_a_side_branch() {
    check(
        "AAAA",
        [snapshot("s"), write(0, "B"), snapshot("t"), revert("s"), write(1, "C")],
        [drive("ACAA"), sized("s", "AAAA", [0, 0, 1]), sized("t", "BAAA", [1, 2, 2]), data(6)],
    );
}

#[test]
fn allocated_size_is_exact_after_a_revert_forwards() {
    check(
        "AAAA",
        [snapshot("s"), write(0, "B"), snapshot("t"), revert("s"), write(1, "C"), snapshot("u"), revert("t"), write(2, "D")],
        [drive("BADA"), sized("s", "AAAA", [0, 0, 2]), sized("t", "BAAA", [0, 0, 1]), sized("u", "ACAA", [1, 3, 3]), data(7)],
    );
}

// --- A2: what counts -------------------------------------------------------------------------------------------------

#[test]
fn fresh_snapshot_counts_nothing() {
    check("AB.C", [snapshot("s")], [drive("AB.C"), sized("s", "AB.C", [0, 0, 0]), data(3)]);
}

#[test]
fn block_rewritten_often_counts_once() {
    check(
        "AAAA",
        [snapshot("s"), write(1, "B"), write(1, "C"), write(1, "D")],
        [drive("ADAA"), sized("s", "AAAA", [1, 1, 1]), data(5)],
    );
}

#[test]
fn discarded_zeroed_and_cut_off_blocks_count_as_overwritten_ones_do() {
    check("ABCD", [snapshot("s"), discard(1, 1)], [drive("A.CD"), sized("s", "ABCD", [1, 1, 1]), data(4)]);
    check("ABCD", [snapshot("s"), write_zeroes(1, 2)], [drive("A..D"), sized("s", "ABCD", [2, 2, 2]), data(4)]);
    check("ABCD", [snapshot("s"), write(2, "0")], [drive("AB.D"), sized("s", "ABCD", [1, 1, 1]), data(4)]);
    check("ABCD", [snapshot("s"), resize(2)], [drive("AB"), sized("s", "ABCD", [2, 2, 2]), data(4)]);
    check("ABCD", [snapshot("s"), discard(1, 2), write(1, "BC")], [drive("ABCD"), sized("s", "ABCD", [2, 2, 2]), data(6)]);
}

#[test]
fn hole_counts_nothing_when_it_is_written_later() {
    check("A..D", [snapshot("s"), write(1, "BC")], [drive("ABCD"), sized("s", "A..D", [0, 0, 0]), data(4)]);
}

#[test]
fn zeroes_over_a_hole_stay_a_hole() {
    let store = memory_store();
    let drive = store.create_drive(DriveOptions::new(8 * BLOCK)).unwrap();
    drive.write_at(&vec![0; 5000], 100).unwrap();
    drive.write_zeroes(BLOCK..3 * BLOCK).unwrap();
    assert_eq!(drive.mapped_ranges().count(), 0);
    assert_eq!(store.usage().data_bytes, 0);
}

#[test]
fn zeroes_over_an_unshared_block_overwrite_it_in_place() {
    check("AAAA", [write(1, "0")], [drive("A0AA"), data(4)]);
    check("AAAA", [write(1, "0"), snapshot("s")], [drive("A0AA"), snap("s", "A0AA"), data(4)]);
}

#[test]
fn shrink_then_growth_reads_as_zeroes() {
    check("ABCD", [resize(2), resize(4)], [drive("AB.."), data(2)]);
    check("ABCD", [snapshot("s"), resize(2), resize(4)], [drive("AB.."), sized("s", "ABCD", [2, 2, 2]), data(4)]);
}

#[test]
fn tail_cut_off_within_a_block_reads_as_zeroes_after_growth() {
    let store = memory_store();
    let drive = store.create_drive(DriveOptions::new(2 * BLOCK)).unwrap();
    drive.write_at(&[b'A'; 2 * BLOCK_LEN], 0).unwrap();
    let snapshot = drive.snapshot(SnapshotOptions::named("s")).unwrap();
    drive.resize(BLOCK + 100).unwrap();
    let after_shrink = sizes_of(&snapshot);
    assert_eq!(after_shrink, [1, 1, 1], "the cut block is another one now");
    drive.resize(2 * BLOCK).unwrap();
    assert_eq!(sizes_of(&snapshot), after_shrink, "A4: growing changes no size");
    let mut bytes = [1; 2 * BLOCK_LEN];
    drive.read_at(&mut bytes, 0).unwrap();
    assert!(bytes[..BLOCK_LEN + 100].iter().all(|byte| *byte == b'A'));
    assert!(bytes[BLOCK_LEN + 100..].iter().all(|byte| *byte == 0));
    expect_clean(&store);
}

#[test]
fn discard_spares_blocks_it_covers_in_part_but_not_the_last_one_of_the_drive() {
    let store = memory_store();
    let drive = store.create_drive(DriveOptions::new(3 * BLOCK + 10)).unwrap();
    drive.write_at(&[b'A'; 3 * BLOCK_LEN + 10], 0).unwrap();
    drive.discard(1..2 * BLOCK - 1).unwrap();
    assert_eq!(store.usage().data_bytes, 4 * BLOCK);
    drive.discard(BLOCK + 1..3 * BLOCK + 10).unwrap();
    let mapped: Vec<_> = drive.mapped_ranges().map(Result::unwrap).collect();
    assert_eq!(mapped, std::iter::once(0..2 * BLOCK).collect::<Vec<_>>());
}

// --- A3: an equal write is not a change ------------------------------------------------------------------------------

#[test]
fn equal_write_counts_nothing() {
    check("ABCD", [snapshot("s"), write(0, "ABCD")], [drive("ABCD"), sized("s", "ABCD", [0, 0, 0]), data(4)]);
    check("ABCD", [snapshot("s"), write(0, "AXCY")], [drive("AXCY"), sized("s", "ABCD", [2, 2, 2]), data(6)]);
    check("A0CD", [snapshot("s"), write(0, "A")], [drive("A0CD"), sized("s", "A0CD", [0, 0, 0]), data(4)]);
}

#[test]
fn equal_zeroes_over_a_shared_block_of_zeroes_are_no_change() {
    let store = memory_store();
    let drive = store.create_drive(DriveOptions::new(2 * BLOCK)).unwrap();
    lay_picture(&drive, "00");
    let snapshot = drive.snapshot(SnapshotOptions::named("s")).unwrap();
    drive.write_at(&[0; BLOCK_LEN], 0).unwrap();
    drive.write_at(&[0; 100], BLOCK + 7).unwrap();
    assert_eq!(sizes_of(&snapshot), [0, 0, 0]);
    assert_eq!(picture_of_drive(&drive), "00");
}

#[test]
fn equal_write_in_part_of_a_shared_block_counts_nothing() {
    let store = memory_store();
    let drive = store.create_drive(DriveOptions::new(4 * BLOCK)).unwrap();
    write_picture(&drive, 0, "ABCD");
    let snapshot = drive.snapshot(SnapshotOptions::named("s")).unwrap();
    drive.write_at(&[b'B'; 1000], BLOCK + 700).unwrap();
    drive.write_at(&[[b'B'; 10], [b'C'; 10]].concat(), 2 * BLOCK - 10).unwrap();
    assert_eq!(sizes_of(&snapshot), [0, 0, 0]);
    drive.write_at(&[[b'B'; 10], [b'D'; 10]].concat(), 2 * BLOCK - 10).unwrap();
    assert_eq!(sizes_of(&snapshot), [1, 1, 1]);
}

#[test]
fn second_write_of_the_old_letter_is_a_new_block() {
    check("A", [snapshot("s"), write(0, "B"), write(0, "A")], [drive("A"), sized("s", "A", [1, 1, 1]), data(2)]);
}

/// CRC-32 is linear: its own polynomial, added anywhere, changes the bytes and not the sum.
#[test]
fn other_bytes_of_the_same_checksum_are_a_change() {
    const POLYNOMIAL: u64 = 1 | 0xEDB8_8320 << 1;
    let one: Vec<u8> = (0..BLOCK_LEN).map(|index| (index % 251) as u8).collect();
    let mut two = one.clone();
    for (byte, change) in two[1000..].iter_mut().zip(POLYNOMIAL.to_le_bytes()) {
        *byte ^= change;
    }
    assert_ne!(one, two);
    assert_eq!(crc32fast::hash(&one), crc32fast::hash(&two), "the test's own arithmetic");

    let store = memory_store();
    let drive = store.create_drive(DriveOptions::new(BLOCK)).unwrap();
    drive.write_at(&one, 0).unwrap();
    let snapshot = drive.snapshot(SnapshotOptions::named("s")).unwrap();
    drive.write_at(&two, 0).unwrap();
    assert_eq!(sizes_of(&snapshot), [1, 1, 1]);
    let mut found = vec![0; BLOCK_LEN];
    drive.read_at(&mut found, 0).unwrap();
    assert!(found == two);
    snapshot.read_at(&mut found, 0).unwrap();
    assert!(found == one);
}

#[test]
fn equal_write_after_a_bookmark_is_no_change() {
    check("ABCD", [bookmark("b"), write(0, "ABXD"), discard(3, 1)], [drive("ABX."), marked("b", 2, "..DH"), data(3)]);
}

// --- A4: what others do changes no allocated size --------------------------------------------------------------------

#[test]
fn other_snapshots_clones_and_growth_change_no_allocated_size() {
    let steps = [snapshot("s"), write(0, "B"), snapshot("t"), write(1, "C"), snapshot("u"), write(2, "D")];
    let with = |more: Vec<Step>| steps.iter().cloned().chain(more).collect::<Vec<_>>();
    check("AAAA", with(vec![]), [sized("s", "AAAA", [1, 1, 3]), sized("t", "BAAA", [0, 1, 2]), sized("u", "BCAA", [0, 1, 1])]);
    check("AAAA", with(vec![delete("t")]), [sized("s", "AAAA", [2, 2, 3]), sized("u", "BCAA", [0, 1, 1]), data(7)]);
    check("AAAA", with(vec![delete("s"), delete("u")]), [sized("t", "BAAA", [2, 2, 2]), data(6)]);
    check(
        "AAAA",
        with(vec![clone("s", "c"), on("c", write(0, "XYZ")), on("c", snapshot("cs")), delete("s"), delete("u")]),
        [sized("t", "BAAA", [2, 2, 2]), other("c", "XYZA"), sized("cs", "XYZA", [0, 0, 0]), data(9)],
    );
    check("AAAA", with(vec![resize(6)]), [drive("BCDA.."), sized("t", "BAAA", [0, 1, 2])]);
}

// --- A5: companions --------------------------------------------------------------------------------------------------

#[test]
fn charged_sizes_sum_to_what_the_snapshots_hold_beyond_the_live_image() {
    let stage = Stage::new();
    stage.play(&create("d", "AAAAAAAA"));
    for (block, name) in ["s", "t", "u", "v"].into_iter().enumerate() {
        stage.play(&snapshot(name));
        stage.play(&write(block as u64, "BCD"));
    }
    let charged: u64 = stage.store.snapshots().iter().map(|snapshot| snapshot.charged_size().unwrap()).sum();
    let info = stage.drive("d").info().unwrap();
    assert_eq!(info.snapshots_charged_bytes, charged);
    assert_eq!(stage.store.usage().data_bytes, info.referenced_bytes + charged);
    for snapshot in stage.store.snapshots() {
        let info = snapshot.info().unwrap();
        assert!(info.exclusive_bytes <= info.charged_bytes, "{info:?}");
        assert!(info.charged_bytes <= info.allocated_bytes, "{info:?}");
        assert!(info.allocated_bytes <= info.referenced_bytes, "{info:?}");
    }
}

#[test]
fn block_held_by_a_clone_is_not_exclusive() {
    check(
        "AAAA",
        [snapshot("s"), write(0, "BB"), clone("s", "c"), on("c", write(1, "C"))],
        [drive("BBAA"), other("c", "ACAA"), sized("s", "AAAA", [1, 2, 2]), data(7)],
    );
}

// --- A6: deleting gives back exactly the exclusive size --------------------------------------------------------------

#[test]
fn deleting_in_any_order_gives_back_exactly_the_exclusive_size() {
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
        let stage = Stage::new();
        stage.play(&create("d", "AAAAAAAA"));
        for (block, name) in ["s", "t", "u", "v"].into_iter().enumerate() {
            stage.play(&snapshot(name));
            stage.play(&write(block as u64, "BCD"));
        }
        stage.play(&clone("t", "c"));
        stage.play(&on("c", write(0, "EEEEE")));
        let uuids: Vec<_> = stage.store.snapshots().iter().map(Snapshot::uuid).collect();
        for index in order {
            let before = stage.store.usage().data_bytes;
            let snapshot = stage.store.snapshot(uuids[index]).unwrap();
            let exclusive = snapshot.exclusive_size().unwrap();
            snapshot.delete().unwrap();
            drop(snapshot);
            drain(&stage.store);
            assert_eq!(before - stage.store.usage().data_bytes, exclusive, "deleting {index} of {order:?}");
            expect_clean(&stage.store);
        }
        stage.play(&delete_drive("d"));
        stage.play(&delete_drive("c"));
        stage.expect(&[data(0)], "deleting everything");
    }
}

#[test]
fn emptied_store_holds_no_data() {
    check("AAAA", [snapshot("s"), write(0, "B"), delete("s"), delete_drive("d")], [data(0)]);
    check("AAAA", [snapshot("s"), write(0, "B"), clone("s", "c"), delete_drive("c"), delete_drive("d"), delete("s")], [data(0)]);
}

// --- A7: only what is reachable is in use ----------------------------------------------------------------------------

#[test]
fn bookmark_holds_nothing() {
    check("AAAA", [bookmark("b"), write(0, "BC"), discard(3, 1)], [drive("BCA."), marked("b", 3, "DD.H"), data(3)]);
    check("AAAA", [bookmark("b"), write(0, "B"), delete_bookmark("b")], [drive("BAAA"), no_bookmark("b"), data(4)]);
}

#[test]
fn hole_written_after_a_bookmark_counts_nothing_though_it_changed() {
    check("A..D", [bookmark("b"), write(1, "B"), bookmark("c")], [marked("b", 0, ".D.."), marked("c", 0, "....")]);
}

#[test]
fn junction_holds_nothing() {
    // s joins d and c once it is deleted. What neither holds goes at once, what one gives up later goes then.
    check(
        "AAAA",
        [snapshot("s"), clone("s", "c"), write(0, "B"), on("c", write(0, "C")), delete("s")],
        [drive("BAAA"), other("c", "CAAA"), data(5)],
    );
    check(
        "AAAA",
        [snapshot("s"), clone("s", "c"), delete("s"), write(1, "B"), on("c", write(1, "C"))],
        [drive("ABAA"), other("c", "ACAA"), data(5)],
    );
    check(
        "AAAA",
        [
            snapshot("s"),
            clone("s", "c"),
            clone("s", "e"),
            delete("s"),
            write(0, "B"),
            on("c", discard(0, 2)),
            on("e", discard(0, 4)),
        ],
        [drive("BAAA"), other("c", "..AA"), other("e", "...."), data(4)],
    );
}

#[test]
fn revert_gives_up_what_only_the_old_image_held() {
    check("AAAA", [snapshot("s"), write(0, "BCD"), revert("s")], [drive("AAAA"), sized("s", "AAAA", [0, 0, 0]), data(4)]);
}
