//! Does a drive that random writes have scattered become whole when it is written through?
//!
//! Every block carries a stamp of its own, so that one that went astray is noticed.

use floe::{Drive, DriveOptions, SnapshotOptions, Store};

use crate::picture::{BLOCK, BLOCK_LEN, Stage, drain, expect_clean, sizes_of, stamp, stamped};

const BLOCKS: u64 = 2048;
/// What a copying program writes at once.
const LONG: u64 = 64;
/// What a group of 128 MiB takes for itself, at least.
const HEADER_BYTES: u64 = 65 * BLOCK;

/// A drive and what each of its blocks must be stamped with.
struct Scene {
    stage: Stage,
    drive: Drive,
    image: Vec<u64>,
}

impl Scene {
    /// A drive of [`BLOCKS`] blocks, all of them written, under a snapshot; whole.
    fn new() -> Self {
        let stage = Stage::new();
        let drive = stage.store.create_drive(DriveOptions::new(BLOCKS * BLOCK).name("d")).unwrap();
        let mut scene = Self { stage, drive, image: vec![0; BLOCKS as usize] };
        scene.write_through(1);
        scene.drive.snapshot(SnapshotOptions::named("s")).unwrap();
        scene
    }

    fn store(&self) -> &Store {
        &self.stage.store
    }

    /// Each block gets `number` and where it is.
    fn write(&mut self, first: u64, blocks: u64, number: u64) {
        let stamps = first..first + blocks;
        let bytes: Vec<u8> = stamps.flat_map(|block| stamp(number * BLOCKS + block)).collect();
        self.drive.write_at(&bytes, first * BLOCK).unwrap();
        (first..first + blocks).for_each(|block| self.image[block as usize] = number * BLOCKS + block);
    }

    fn write_through(&mut self, number: u64) {
        (0..BLOCKS).step_by(LONG as usize).for_each(|first| self.write(first, LONG, number));
    }

    /// Writes every block but each `keeping`th, in an order in which none follows its neighbour.
    fn scatter(&mut self, number: u64, keeping: u64) {
        (0..BLOCKS)
            .map(|index| index * 997 % BLOCKS)
            .filter(|block| block % keeping != 0)
            .for_each(|block| self.write(block, 1, number));
    }

    fn extents(&self) -> u64 {
        self.store().check().unwrap().extents
    }

    #[track_caller]
    fn expect_image(&self) {
        let mut bytes = vec![0; BLOCKS as usize * BLOCK_LEN];
        self.drive.read_at(&mut bytes, 0).unwrap();
        let found: Vec<u64> = bytes.chunks(BLOCK_LEN).map(stamped).collect();
        assert!(found == self.image, "the image is not what was written");
        expect_clean(self.store());
    }
}

/// What a snapshot holds, what the store holds, in blocks: all of the image, and what was frozen of it.
#[track_caller]
fn expect_sizes(scene: &Scene, gone: u64) {
    let snapshot = scene.stage.snapshot("s");
    assert_eq!(sizes_of(&snapshot), [gone; 3], "exclusive, charged, allocated");
    assert_eq!(snapshot.referenced_size().unwrap(), BLOCKS * BLOCK);
    let used = |scene: &Scene| scene.store().usage().data_bytes / BLOCK;
    assert_eq!(used(scene), BLOCKS + gone);
}

#[test]
fn long_writes_make_a_scattered_drive_whole() {
    // Every block is scattered, or some are still the snapshot's, and lie among the others.
    for keeping in [BLOCKS + 1, 5] {
        let mut scene = Scene::new();
        scene.scatter(2, keeping);
        let kept = (0..BLOCKS).filter(|block| block % keeping == 0).count() as u64 % BLOCKS;
        expect_sizes(&scene, BLOCKS - kept);
        assert!(scene.extents() > BLOCKS, "it is scattered");
        scene.store().flush().unwrap();

        scene.write_through(3);
        expect_sizes(&scene, BLOCKS);
        assert!(scene.extents() <= 2 * BLOCKS / LONG, "{} extents are left", scene.extents());
        scene.expect_image();
        scene.store().flush().unwrap();
        scene.stage.reopen();
        scene.drive = scene.stage.drive("d");
        expect_sizes(&scene, BLOCKS);
        scene.expect_image();
    }
}

/// A copy that was repeated is not moved to and fro: the map stays, so a flush has nothing to commit (decision 13).
#[test]
fn whole_image_is_overwritten_where_it_lies() {
    let mut scene = Scene::new();
    scene.scatter(2, BLOCKS + 1);
    scene.write_through(3);
    scene.store().flush().unwrap();
    let before = scene.store().info().generation;
    for number in 4..7 {
        scene.write_through(number);
        scene.store().flush().unwrap();
        assert_eq!(scene.store().info().generation, before, "the map has changed");
    }
    scene.expect_image();
}

/// However often an image is scattered and made whole, what was freed is used again.
#[test]
fn store_does_not_grow_with_scattering_and_gathering() {
    let mut scene = Scene::new();
    let scattered_and_gathered = |scene: &mut Scene, number: u64| {
        scene.stage.snapshot("s").delete().unwrap();
        drain(scene.store());
        scene.drive.snapshot(SnapshotOptions::named("s")).unwrap();
        scene.scatter(number, 3);
        scene.store().flush().unwrap();
        scene.write_through(number + 1);
        scene.store().flush().unwrap();
        expect_sizes(scene, BLOCKS);
    };
    (1..4).for_each(|turn| scattered_and_gathered(&mut scene, turn * 2));
    let metadata = |scene: &Scene| scene.store().usage().metadata_bytes;
    let before = metadata(&scene);
    // If nothing were used again, two more groups would be needed: each has a header.
    (4..30).for_each(|turn| scattered_and_gathered(&mut scene, turn * 2));
    assert!(metadata(&scene) < before + HEADER_BYTES, "from {before} bytes of metadata to {}", metadata(&scene));
    scene.expect_image();
}

/// The blocks at the ends of a write keep what it does not cover, wherever they lie.
#[test]
fn long_write_that_covers_blocks_in_part_keeps_the_rest() {
    for (offset, length) in
        [(100, 100 * BLOCK), (5 * BLOCK + 1, 16 * BLOCK), (BLOCK * 64 - 1, 64 * BLOCK + 2), (7, 33 * BLOCK - 14)]
    {
        for keeping in [BLOCKS + 1, 4] {
            let mut scene = Scene::new();
            scene.scatter(2, keeping);
            let mut wanted = vec![0; BLOCKS as usize * BLOCK_LEN];
            scene.drive.read_at(&mut wanted, 0).unwrap();
            let before = scene.extents();
            let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            scene.drive.write_at(&bytes, offset).unwrap();
            wanted[offset as usize..(offset + length) as usize].copy_from_slice(&bytes);
            assert!(scene.extents() < before - length / BLOCK / 2, "{length} bytes at {offset}: nothing became whole");
            for _ in 0..2 {
                let mut found = vec![0; wanted.len()];
                scene.drive.read_at(&mut found, 0).unwrap();
                assert!(found == wanted, "{length} bytes at {offset}");
                expect_clean(scene.store());
                scene.store().flush().unwrap();
                scene.stage.reopen();
                scene.drive = scene.stage.drive("d");
            }
        }
    }
}
