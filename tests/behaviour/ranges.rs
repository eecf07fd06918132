//! Which bytes of an image hold data, since when, and which differ?
#![allow(clippy::single_range_in_vec_init)] // A list of one range is meant.

use std::ops::Range;

use floe::{ChangeKind, Drive, DriveOptions, Layer, Result, Snapshot, SnapshotOptions};

use crate::picture::{BLOCK, expect_clean, memory_store, stamp};

fn mapped(ranges: floe::Ranges<'_>) -> Vec<Range<u64>> {
    ranges.map(|range| range.map(|range| range.start / BLOCK..range.end / BLOCK)).collect::<Result<_>>().unwrap()
}

fn depths(layers: floe::Layers<'_>) -> Vec<(Range<u64>, u32)> {
    let in_blocks = |layer: Layer| (layer.range.start / BLOCK..layer.range.end / BLOCK, layer.depth);
    layers.map(|layer| layer.map(in_blocks)).collect::<Result<_>>().unwrap()
}

fn write(drive: &Drive, blocks: Range<u64>, text: u64) {
    blocks.for_each(|block| drive.write_at(&stamp(text), block * BLOCK).unwrap());
}

fn take(drive: &Drive, name: &str) -> Snapshot {
    drive.snapshot(SnapshotOptions::named(name)).unwrap()
}

#[test]
fn layers_count_the_snapshots_above_that_hold_the_data() {
    let store = memory_store();
    let drive = store.create_drive(DriveOptions::new(100 * BLOCK)).unwrap();
    write(&drive, 0..10, 1);
    let first = take(&drive, "first");
    write(&drive, 4..6, 2);
    let second = take(&drive, "second");
    write(&drive, 5..7, 3);
    drive.discard(8 * BLOCK..9 * BLOCK).unwrap();
    assert_eq!(depths(drive.layers()), [(0..4, 3), (4..5, 2), (5..7, 1), (7..8, 3), (9..10, 3)]);
    assert_eq!(depths(second.layers()), [(0..4, 2), (4..6, 1), (6..10, 2)]);
    assert_eq!(depths(first.layers()), [(0..10, 1)]);
    assert_eq!(mapped(drive.mapped_ranges()), [0..8, 9..10]);
    assert_eq!(mapped(second.mapped_ranges()), [0..10]);

    let clone = first.clone_drive(DriveOptions::default()).unwrap();
    write(&clone, 0..1, 4);
    assert_eq!(depths(clone.layers()), [(0..1, 1), (1..10, 2)]);
    second.delete().unwrap();
    assert_eq!(depths(drive.layers()), [(0..4, 2), (4..7, 1), (7..8, 2), (9..10, 2)]);
    first.delete().unwrap();
    assert_eq!(depths(drive.layers()), [(0..8, 1), (9..10, 1)]);
    // A handle keeps the image of a snapshot that is deleted.
    assert_eq!(mapped(second.mapped_ranges()), [0..10]);
    expect_clean(&store);
}

#[test]
fn a_part_of_a_walk_is_that_part_of_the_whole() {
    let store = memory_store();
    let size = 9000 * BLOCK + 100;
    let drive = store.create_drive(DriveOptions::new(size)).unwrap();
    // More extents than one step takes, and a last block that the end cuts off.
    for block in (0..6000).step_by(2) {
        drive.write_at(&[1], block * BLOCK).unwrap();
    }
    drive.write_at(&[1; 100], 9000 * BLOCK).unwrap();
    let before = take(&drive, "before");
    for block in (0..6000).step_by(3) {
        drive.write_at(&[2], block * BLOCK).unwrap();
    }
    let clip = |range: &Range<u64>, asked: &Range<u64>| range.start.max(asked.start)..range.end.min(asked.end);
    let whole: Vec<_> = drive.mapped_ranges().collect::<Result<_>>().unwrap();
    let changed: Vec<_> = before.diff_drive(&drive).unwrap().map(|change| change.unwrap().range).collect();
    for asked in
        [0..1, 0..size, 5..4096, 4096..8192, 10_000..30_000_000, 24_000_000..u64::MAX, size - 1..size, size..u64::MAX, 7..7]
    {
        let part = |all: &[Range<u64>]| -> Vec<_> {
            all.iter().map(|range| clip(range, &asked)).filter(|range| !range.is_empty()).collect()
        };
        let found: Vec<_> = drive.mapped_ranges().within(asked.clone()).collect::<Result<_>>().unwrap();
        assert_eq!(found, part(&whole), "mapped in {asked:?}");
        let found: Vec<_> =
            before.diff_drive(&drive).unwrap().within(asked.clone()).map(|change| change.unwrap().range).collect();
        assert_eq!(found, part(&changed), "changed in {asked:?}");
        let layers: Vec<_> = drive.layers().within(asked.clone()).collect::<Result<_>>().unwrap();
        assert!(layers.windows(2).all(|pair| pair[0].range.end <= pair[1].range.start), "layers in {asked:?}");
        assert_eq!(
            layers.iter().map(|layer| layer.range.end - layer.range.start).sum::<u64>(),
            part(&whole).iter().map(|range| range.end - range.start).sum::<u64>(),
            "layers in {asked:?}"
        );
    }
}

#[test]
fn allocated_zeroes_are_data_and_a_later_zeroing_gives_them_back() {
    let store = memory_store();
    let drive = store.create_drive(DriveOptions::new(1000 * BLOCK)).unwrap();
    write(&drive, 3..5, 1);
    let before = take(&drive, "before");
    write(&drive, 4..6, 2);
    drive.allocate_zeroes(BLOCK / 2..300 * BLOCK).unwrap();
    assert_eq!(mapped(drive.mapped_ranges()), [0..300]);
    assert_eq!(before.allocated_size().unwrap(), 2 * BLOCK);
    let mut bytes = vec![1; 300 * BLOCK as usize];
    drive.read_at(&mut bytes, 0).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0));
    assert_eq!(store.usage().data_bytes, 302 * BLOCK);
    let change = before.diff_drive(&drive).unwrap().next().unwrap().unwrap();
    assert_eq!((change.range, change.kind), (0..300 * BLOCK, ChangeKind::Data));

    drive.write_zeroes(0..1000 * BLOCK).unwrap();
    store.flush().unwrap();
    assert_eq!(store.usage().data_bytes, 2 * BLOCK);
    assert!(drive.allocate_zeroes(0..1001 * BLOCK).is_err(), "behind the end");
    expect_clean(&store);
}
