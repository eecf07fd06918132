//! Is a drive what its only user made it, whatever happens beside it?

use floe::{BLOCK_BYTES, Drive, DriveOptions, Snapshot, SnapshotOptions};

use crate::dice::Dice;
use crate::workers::{World, bytes_of, bytes_of_drive, unless_full};

const BLOCKS_MAX: u64 = 40;
const CHANGES_MAX: u64 = 60;
const KEPT_MAX: usize = 4;

/// A drive, and a plain copy of what it must hold.
struct Churned {
    drive: Drive,
    image: Vec<u8>,
    kept: Vec<(Snapshot, Vec<u8>)>,
}

impl World {
    /// A drive of one's own is written, resized, frozen, reverted and deleted.
    pub fn churn(&self, mut dice: Dice) {
        while self.goes_on() {
            let size = BLOCK_BYTES + dice.below(BLOCKS_MAX * BLOCK_BYTES);
            let Some(drive) = unless_full(self.store.create_drive(DriveOptions::new(size).name("churned"))) else { continue };
            let mut churned = Churned { drive, image: vec![0; size as usize], kept: Vec::new() };
            for _ in 0..dice.below(CHANGES_MAX) {
                churned.change(&mut dice);
                assert!(bytes_of_drive(&churned.drive) == churned.image, "a drive is not what its only user made it");
            }
            churned.drive.delete().unwrap();
            for (snapshot, image) in churned.kept {
                assert!(bytes_of(&snapshot) == image, "a snapshot of a deleted drive changed");
                snapshot.delete().unwrap();
            }
            self.count("drives churned");
        }
    }
}

impl Churned {
    fn change(&mut self, dice: &mut Dice) {
        let Self { drive, image, kept } = self;
        let size = image.len() as u64;
        let start = dice.below(size);
        let range = start..(start + 1 + dice.below(3 * BLOCK_BYTES)).min(size);
        let within = range.start as usize..range.end as usize;
        match dice.below(16) {
            0..6 => {
                let bytes = vec![1 + dice.below(255) as u8; within.len()];
                if unless_full(drive.write_at(&bytes, range.start)).is_some() {
                    image[within].copy_from_slice(&bytes);
                }
            }
            6..8 => {
                if unless_full(drive.write_zeroes(range)).is_some() {
                    image[within].fill(0);
                }
            }
            8 => {
                let whole = range.start.next_multiple_of(BLOCK_BYTES)..range.end / BLOCK_BYTES * BLOCK_BYTES;
                if whole.start < whole.end && unless_full(drive.discard(whole.clone())).is_some() {
                    image[whole.start as usize..whole.end as usize].fill(0);
                }
            }
            9..11 => {
                unless_full(drive.resize(BLOCK_BYTES + dice.below(BLOCKS_MAX * BLOCK_BYTES)));
                // A resize that finds no space has kept the old length or has the new one.
                image.resize(drive.size_bytes().unwrap() as usize, 0);
            }
            11..13 if kept.len() < KEPT_MAX => {
                if let Some(snapshot) = unless_full(drive.snapshot(SnapshotOptions::named("kept"))) {
                    kept.push((snapshot, image.clone()));
                }
            }
            13 if !kept.is_empty() => {
                let (snapshot, frozen) = &kept[dice.below(kept.len() as u64) as usize];
                if unless_full(drive.revert_to(snapshot)).is_some() {
                    image.clone_from(frozen);
                }
            }
            14 if !kept.is_empty() => {
                let (snapshot, frozen) = kept.swap_remove(dice.below(kept.len() as u64) as usize);
                assert!(bytes_of(&snapshot) == frozen, "a snapshot changed while its drive was written");
                snapshot.delete().unwrap();
            }
            _ => drive.flush().unwrap(),
        }
    }
}
