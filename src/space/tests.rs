//! Are blocks handed out once, given back once, and found again after a commit?

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Purpose, Space, SpaceState};
use crate::device::{Device, MemoryDevice};
use crate::error::ErrorKind;
use crate::format::group::{GROUP_BLOCKS, GROUP_PLACES, Group, HEADER_BLOCKS, STORE_BLOCKS_MIN};
use crate::format::page::Root;
use crate::tree::working_set::VerifiedPages;
use crate::units::{BLOCK_BYTES, Generation, PhysicalBlock};

/// A space whose commits are done at once.
struct Bench {
    device: Arc<dyn Device>,
    space: Space,
    state: SpaceState,
}

impl Bench {
    fn new(store_blocks: u64) -> Self {
        let device: Arc<dyn Device> = Arc::new(MemoryDevice::new(store_blocks * BLOCK_BYTES).unwrap());
        let state = SpaceState {
            store_blocks,
            groups: Root::EMPTY,
            data_blocks: 0,
            tree_pages: 0,
            tree_places: 0,
            seed: 7,
            working: Generation(1),
        };
        Self { space: Space::open(Arc::clone(&device), Arc::new(VerifiedPages::new()), state).unwrap(), device, state }
    }

    /// Writes what a commit writes; nothing freed is released.
    fn commit(&mut self) -> Generation {
        let generation = self.state.working;
        let mut pages = Vec::new();
        self.state = self.space.seal(&mut pages).unwrap();
        for (at, page) in pages {
            self.device.write_at(&page[..], at.offset()).unwrap();
        }
        self.space.committed(generation);
        generation
    }

    fn reopen(&mut self) {
        self.commit();
        self.space = Space::open(Arc::clone(&self.device), Arc::new(VerifiedPages::new()), self.state).unwrap();
    }

    fn take_and_use(&self, most: u32) -> (PhysicalBlock, u32) {
        let (start, count) = self.space.take_data(most).unwrap();
        self.space.use_data(start, count).unwrap();
        (start, count)
    }

    fn take_all_data(&self) -> Vec<(PhysicalBlock, u32)> {
        let mut runs = Vec::new();
        loop {
            match self.space.take_data(u32::MAX) {
                Ok((start, count)) => {
                    self.space.use_data(start, count).unwrap();
                    runs.push((start, count));
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::NoSpace);
                    return runs;
                }
            }
        }
    }
}

fn blocks(runs: &[(PhysicalBlock, u32)]) -> u64 {
    runs.iter().map(|(_, count)| u64::from(*count)).sum()
}

#[test]
fn smallest_store_has_a_mebibyte_for_data() {
    let bench = Bench::new(STORE_BLOCKS_MIN);
    let runs = bench.take_all_data();
    assert_eq!(blocks(&runs), 256);
    let places: BTreeSet<u64> = runs.iter().flat_map(|(start, count)| start.0..start.0 + u64::from(*count)).collect();
    assert_eq!(places, (GROUP_BLOCKS + HEADER_BLOCKS..STORE_BLOCKS_MIN).collect());
    assert_eq!(bench.space.usage().free_blocks, 0);
}

#[test]
fn freed_block_is_handed_out_only_after_its_commit_is_released() {
    let mut bench = Bench::new(STORE_BLOCKS_MIN);
    let runs = bench.take_all_data();
    bench.commit();
    bench.space.free_data(runs[0].0, 10).unwrap();
    assert!(bench.take_all_data().is_empty(), "it is free, but no commit says so");
    let freed_in = bench.commit();
    assert!(bench.take_all_data().is_empty(), "the commit is durable, but somebody may be reading");
    bench.space.release(Generation(freed_in.0 - 1));
    assert!(bench.take_all_data().is_empty(), "an older commit was released");
    bench.space.release(freed_in);
    assert_eq!(bench.take_all_data(), [(runs[0].0, 10)]);
}

/// Blocks were set in the bitmap when they were taken; a commit between that and their place in a table, and then a crash, left them in
/// use for ever.
#[test]
fn block_that_is_taken_and_not_used_is_free_after_a_crash() {
    let mut bench = Bench::new(STORE_BLOCKS_MIN);
    let (start, count) = bench.space.take_data(10).unwrap();
    bench.reopen();
    assert_eq!(bench.space.usage().data_blocks, 0);
    assert_eq!(bench.space.take_data(10).unwrap(), (start, count));
    assert_ne!(bench.space.take_data(10).unwrap().0, start, "nobody else gets it meanwhile");
    bench.space.give_back_data(start, count).unwrap();
    assert_eq!(blocks(&bench.take_all_data()), 246);
}

#[test]
fn double_free_is_refused() {
    let bench = Bench::new(STORE_BLOCKS_MIN);
    let (start, _) = bench.take_and_use(4);
    bench.space.free_data(start, 2).unwrap();
    for (first, count) in [(start, 1), (start.plus(1), 2), (start.plus(100), 1), (PhysicalBlock(3), 1)] {
        assert_eq!(bench.space.free_data(first, count).unwrap_err().kind(), ErrorKind::Corrupt, "{first} + {count}");
    }
}

#[test]
fn space_is_the_same_after_reopening() {
    let mut bench = Bench::new(3 * GROUP_BLOCKS);
    let (start, count) = bench.take_and_use(1000);
    let checksums: Vec<u32> = (0..count).map(|index| index * 77).collect();
    bench.space.set_checksums(start, &checksums).unwrap();
    let page = bench.space.take_page().unwrap();
    assert_eq!(Group::of(page), Group(0));
    bench.reopen();
    assert_eq!(bench.space.usage().data_blocks, u64::from(count));
    for turn in 0..4 {
        let block = start.plus(500 + turn);
        assert_eq!(bench.space.checksum(block).unwrap(), Some((500 + turn as u32) * 77));
        bench.space.set_checksums(block, &[turn as u32]).unwrap();
        bench.reopen();
        assert_eq!(bench.space.checksum(block).unwrap(), Some(turn as u32), "the other slot counts after commit {turn}");
    }
    let (next, _) = bench.space.take_data(1).unwrap();
    assert_eq!(next, start.plus(u64::from(count)));
    bench.space.free_page(page).unwrap();
    assert_eq!(bench.space.free_page(page).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn group_that_ran_empty_takes_the_other_kind() {
    let mut bench = Bench::new(3 * GROUP_BLOCKS);
    let runs = bench.take_all_data();
    assert_eq!(blocks(&runs), 2 * u64::from(GROUP_PLACES));
    for (start, count) in runs.iter().filter(|(start, _)| Group::of(*start) == Group(1)) {
        bench.space.free_data(*start, *count).unwrap();
    }
    let freed_in = bench.commit();
    bench.space.release(freed_in);
    let pages: BTreeSet<PhysicalBlock> = (0..GROUP_PLACES + 100).map(|_| bench.space.take_page().unwrap()).collect();
    assert_eq!(pages.len(), GROUP_PLACES as usize + 100);
    assert!(pages.iter().all(|page| Group::of(*page) != Group(2)), "data and tree pages lie in different groups");
    assert!(pages.iter().any(|page| Group::of(*page) == Group(1)));
    bench.reopen();
    assert_eq!(bench.space.usage().data_blocks, u64::from(GROUP_PLACES));
    assert!(bench.take_all_data().is_empty());
}

#[test]
fn reserve_is_kept_for_what_gives_space_back() {
    let bench = Bench::new(STORE_BLOCKS_MIN);
    // Data takes the last group; then the trees have the first one alone.
    bench.space.take_data(1).unwrap();
    let mut taken = 0;
    while bench.space.require_room(64, Purpose::Grow).is_ok() {
        bench.space.take_page().unwrap();
        taken += 1;
    }
    assert!(taken > GROUP_PLACES - 1200, "{taken} pages were taken before the reserve was touched");
    bench.space.require_room(64, Purpose::Shrink).unwrap();
}
