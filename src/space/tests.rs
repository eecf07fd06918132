//! Are blocks handed out once, given back once, and found again after a commit?

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::{How, Purpose, Space, SpaceState};
use crate::device::{Device, Lend, MemoryDevice};
use crate::error::ErrorKind;
use crate::format::group::{
    CHECKSUM_PAGES, CHECKSUMS_PER_PAGE, GROUP_BLOCKS, GROUP_PLACES, Group, HEADER_BLOCKS, Place, STORE_BLOCKS_MIN,
};
use crate::format::page::Root;
use crate::format::space_changes::SpaceChanges;
use crate::sync::{AtomicBool, Mutex, Ordering};
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
        Self::on(Arc::new(MemoryDevice::new(store_blocks * BLOCK_BYTES).unwrap()))
    }

    fn on(device: Arc<dyn Device>) -> Self {
        let store_blocks = device.len_bytes() / BLOCK_BYTES;
        let state = SpaceState {
            store_blocks,
            groups: Root::EMPTY,
            changes: SpaceChanges::default(),
            data_blocks: 0,
            tree_pages: 0,
            tree_places: 0,
            seed: 7,
            working: Generation(1),
        };
        Self { space: open(&device, &state), device, state }
    }

    /// Writes what a commit writes; nothing freed is released.
    fn commit(&mut self) -> Generation {
        self.commit_as(How::Listed)
    }

    fn commit_as(&mut self, how: How) -> Generation {
        let generation = self.state.working;
        let mut pages = Vec::new();
        self.state = self.space.seal(&mut pages, how).unwrap();
        for (at, page) in pages {
            self.device.write_at(&page[..], at.offset()).unwrap();
        }
        self.space.committed(generation, false);
        generation
    }

    fn reopen(&mut self) {
        self.commit();
        self.space = open(&self.device, &self.state);
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

fn open(device: &Arc<dyn Device>, state: &SpaceState) -> Space {
    Space::open(Arc::clone(device), Arc::new(VerifiedPages::new()), state.clone(), usize::MAX).unwrap()
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

/// What a superblock lists is listed on, as long as the page that it belongs to cannot be read: commits go on.
#[test]
fn changes_of_a_bitmap_that_is_damaged_stay_listed() {
    let mut bench = Bench::new(3 * GROUP_BLOCKS);
    let (start, _) = bench.take_and_use(10);
    bench.space.set_checksums(start, &[5; 10]).unwrap();
    bench.commit();
    bench.take_and_use(1);
    bench.reopen();
    let listed = bench.state.changes.clone();
    assert!(!listed.is_empty());
    for slot in [0, 1] {
        bench.device.write_at(&[1; 64], Group::of(start).bitmap_slot(slot).offset()).unwrap();
    }
    bench.commit_as(How::PagesWritten);
    assert_eq!(bench.state.changes.places, listed.places);
    assert_eq!(bench.space.take_data(1).unwrap_err().kind(), ErrorKind::Corrupt);
    bench.reopen();
    assert_eq!(bench.space.checksum(start).unwrap(), Some(5));
}

#[test]
fn pages_of_trees_fill_gaps_once_half_of_their_space_is_free() {
    let mut bench = Bench::new(STORE_BLOCKS_MIN);
    // More than are secured at a time.
    let take = |bench: &Bench| -> Vec<PhysicalBlock> { (0..1500).map(|_| bench.space.take_page().unwrap()).collect() };
    let free = |bench: &mut Bench, pages: &[PhysicalBlock]| {
        pages.iter().for_each(|page| bench.space.free_page(*page).unwrap());
        let generation = bench.commit();
        bench.space.release(generation);
    };
    let first = take(&bench);
    free(&mut bench, &first[..500]);
    let second = take(&bench);
    assert!(second[0] > first[1499] && second.is_sorted(), "a gap was filled");
    free(&mut bench, &first[500..]);
    free(&mut bench, &second);
    assert!(take(&bench).contains(&first[0]), "what was freed is not used again");
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

#[test]
fn room_that_was_promised_to_one_is_not_promised_to_another() {
    let bench = Bench::new(STORE_BLOCKS_MIN);
    bench.space.take_data(1).unwrap();
    let promise = |pages| bench.space.promise_room(pages, Purpose::Grow);
    promise(20_000).unwrap();
    assert_eq!(promise(20_000).unwrap_err().kind(), ErrorKind::NoSpace);
    promise(11_000).unwrap();
    assert_eq!(bench.space.require_room(1000, Purpose::Grow).unwrap_err().kind(), ErrorKind::NoSpace);
    bench.space.require_room(64, Purpose::Shrink).unwrap();
    bench.space.hand_back_room(20_000);
    promise(20_000).unwrap();
}

#[test]
fn page_that_was_promised_and_is_not_there_is_remembered() {
    let bench = Bench::new(STORE_BLOCKS_MIN);
    bench.space.take_data(1).unwrap();
    for _ in 0..GROUP_PLACES {
        bench.space.take_page().unwrap();
    }
    assert!(!bench.space.broke_promise());
    assert_eq!(bench.space.take_page().unwrap_err().kind(), ErrorKind::NoSpace);
    assert!(bench.space.broke_promise());
}

/// A device on a file system that gets full: from then on only what was secured before is there.
struct Filling {
    inner: MemoryDevice,
    secured: Mutex<BTreeSet<u64>>,
    full: AtomicBool,
    /// What will be read soon.
    expected: Mutex<Vec<Range<u64>>>,
}

impl Device for Filling {
    fn len_bytes(&self) -> u64 {
        self.inner.len_bytes()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.inner.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let is_secured = self.secured.lock().contains(&(offset / BLOCK_BYTES));
        assert!(is_secured, "block {} is written without space under it", offset / BLOCK_BYTES);
        self.inner.write_at(buf, offset)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        let blocks = range.start / BLOCK_BYTES..range.end.div_ceil(BLOCK_BYTES);
        let mut secured = self.secured.lock();
        if self.full.load(Ordering::Relaxed) && blocks.clone().any(|block| !secured.contains(&block)) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        secured.extend(blocks);
        Ok(())
    }

    fn grow(&self, _len_bytes: u64) -> io::Result<()> {
        Ok(())
    }

    fn mapped(&self, range: Range<u64>, lend: Lend) -> &[u8] {
        self.inner.mapped(range, lend)
    }

    fn will_read(&self, range: Range<u64>) {
        self.expected.lock().push(range);
    }
}

fn filling(groups: u64) -> Arc<Filling> {
    let inner = MemoryDevice::new(groups * GROUP_BLOCKS * BLOCK_BYTES).unwrap();
    Arc::new(Filling { inner, secured: Mutex::default(), full: AtomicBool::new(false), expected: Mutex::default() })
}

#[test]
fn second_page_of_checksums_of_a_group_brings_the_others() {
    let device = filling(4);
    let mut bench = Bench::on(device.clone());
    let mut taken = Vec::new();
    while taken.last().is_none_or(|block| Group::of(*block) < Group(2)) {
        let (start, count) = bench.take_and_use(CHECKSUMS_PER_PAGE);
        bench.space.set_checksums(start, &vec![1; count as usize]).unwrap();
        taken.push(start);
    }
    bench.reopen();
    let expected = || std::mem::take(&mut *device.expected.lock());
    expected();
    let ask = |block: PhysicalBlock| assert_eq!(bench.space.checksum(block).unwrap(), Some(1));
    let [first, second, third, .., other] = taken[..] else { panic!("many blocks were taken") };
    [first, first, other].into_iter().for_each(ask);
    let [one, another] = expected().try_into().unwrap();
    for (range, block) in [(one, first), (another, other)] {
        assert_eq!(range.end - range.start, BLOCK_BYTES);
        assert_eq!(range.start / BLOCK_BYTES / GROUP_BLOCKS, Group::of(block).0);
    }
    ask(second);
    let header = Group::of(first).start().offset();
    let [range] = expected().try_into().unwrap();
    assert!(header < range.start && range.end <= header + HEADER_BLOCKS * BLOCK_BYTES);
    assert_eq!(range.end - range.start, 2 * u64::from(CHECKSUM_PAGES) * BLOCK_BYTES);
    [third, first, second, other].into_iter().for_each(ask);
    assert_eq!(expected(), []);
}

#[test]
fn freed_blocks_are_found_on_a_full_file_system_after_reopening() {
    let device = filling(5);
    let mut bench = Bench::on(device.clone());
    // Three groups are full; of the fourth, only what is in use has space under it.
    let mut taken: u64 = 0;
    while taken < 3 * u64::from(GROUP_PLACES) + 1024 {
        taken += u64::from(bench.take_and_use(1024).1);
    }
    device.full.store(true, Ordering::Relaxed);
    for group in 1..4 {
        (0..100).for_each(|place| bench.space.free_data(Group(group).block(Place(place * 7)), 1).unwrap());
    }
    bench.reopen();
    assert_eq!(blocks(&bench.take_all_data()), 300);
}

#[test]
fn group_whose_header_has_no_space_is_not_claimed() {
    let device = filling(3);
    let mut bench = Bench::on(device.clone());
    bench.space.take_page().unwrap();
    device.full.store(true, Ordering::Relaxed);
    assert_eq!(bench.space.take_data(1).unwrap_err().kind(), ErrorKind::NoSpace);
    // The device says so if anything is written that has no space under it.
    bench.commit();
    device.full.store(false, Ordering::Relaxed);
    assert_eq!(Group::of(bench.take_and_use(1).0), Group(1));
    bench.commit();
}

/// On a full file system the places for pages may be few in each of many groups. (Four groups were looked at, and then the
/// change was let begin all the same, to find out in its middle that there was no page.)
#[test]
fn room_that_lies_scattered_is_found_on_a_full_file_system_or_the_change_does_not_begin() {
    const GROUPS: u64 = 7;
    let device = filling(GROUPS);
    let mut bench = Bench::on(device.clone());
    // All but the few that commits take.
    let most = 6 * u64::from(GROUP_PLACES) - 40;
    let pages: Vec<PhysicalBlock> = (0..most).map(|_| bench.space.take_page().unwrap()).collect();
    device.full.store(true, Ordering::Relaxed);
    let require = |bench: &Bench| bench.space.require_room(64, Purpose::Grow).map_err(|error| error.kind());
    assert_eq!(require(&bench), Err(ErrorKind::NoSpace));
    assert_eq!(bench.space.take_data(1).unwrap_err().kind(), ErrorKind::NoSpace);
    // 200 places here and there in each of the six groups, then some more.
    let mut freed = pages.iter().step_by(pages.len() / 1200 + 1);
    for _ in 0..2 {
        freed.by_ref().take(550).for_each(|page| bench.space.free_page(*page).unwrap());
        let generation = bench.commit();
        bench.space.release(generation);
        if bench.space.usage().tree_pages > pages.len() as u64 - 1000 {
            assert_eq!(require(&bench), Err(ErrorKind::NoSpace));
        }
    }
    for reopened in [false, true] {
        if reopened {
            bench.reopen();
        }
        assert_eq!(require(&bench), Ok(()), "reopened: {reopened}");
    }
    for _ in 0..64 + 1024 {
        bench.space.take_page().unwrap();
    }
    assert!(!bench.space.broke_promise());
}

/// Frees every second block of the first `blocks` that were taken, and commits.
fn leave_gaps(bench: &mut Bench, blocks: u64) -> PhysicalBlock {
    let (first, count) = bench.take_and_use(blocks as u32);
    assert_eq!(u64::from(count), blocks);
    bench.commit();
    (0..blocks).step_by(2).for_each(|index| bench.space.free_data(first.plus(index), 1).unwrap());
    let freed_in = bench.commit();
    bench.reopen();
    bench.space.release(freed_in);
    first
}

#[test]
fn long_run_goes_past_short_gaps_and_short_ones_fill_them() {
    let mut bench = Bench::new(3 * GROUP_BLOCKS);
    let first = leave_gaps(&mut bench, 1000);
    let run = bench.space.take_run(64..=64).unwrap().unwrap();
    assert_eq!(run, (first.plus(1000), 64), "behind all gaps");
    assert_eq!(bench.space.take_run(64..=100).unwrap().unwrap(), (first.plus(1064), 100), "as much as there is");
    assert_eq!(bench.space.take_data(64).unwrap(), (first, 1));
    assert_eq!(bench.space.take_data(64).unwrap(), (first.plus(2), 1));
    // To the end of the group, and from its beginning again before another group is begun.
    let last = Group::of(first).0 + 1;
    let many: Vec<_> = (0..70).map(|_| bench.space.take_run(64..=64).unwrap().unwrap()).collect();
    many.into_iter().chain([run]).for_each(|(start, count)| bench.space.give_back_data(start, count).unwrap());
    let mut found = Vec::new();
    while !found.contains(&run.0) {
        let (start, _) = bench.space.take_run(64..=64).unwrap().expect("what was given back is free");
        assert!(Group::of(start).0 < last, "{} runs were found and not what was given back", found.len());
        found.push(start);
    }
}

#[test]
fn long_runs_leave_an_eighth_of_the_room_to_others() {
    let mut bench = Bench::new(3 * GROUP_BLOCKS);
    let room = bench.space.usage().free_blocks;
    let mut taken = Vec::new();
    while let Some((start, count)) = bench.space.take_run(64..=64).unwrap() {
        bench.space.use_data(start, count).unwrap();
        taken.push((start, count));
    }
    let free = bench.space.usage().free_blocks;
    assert!((room / 8 - 64..=room / 8).contains(&free), "{free} of {room} blocks are left");
    // What is freed is no room before it may be handed out.
    taken.drain(..20).for_each(|(start, count)| bench.space.free_data(start, count).unwrap());
    assert_eq!(bench.space.take_run(64..=64).unwrap(), None);
    let freed_in = bench.commit();
    assert_eq!(bench.space.take_run(64..=64).unwrap(), None);
    bench.space.release(freed_in);
    assert!(bench.space.take_run(64..=64).unwrap().is_some());
    let free = bench.space.usage().free_blocks - 64;
    assert_eq!(blocks(&bench.take_all_data()), free, "others get the rest");
}
