//! What happens when a page turns into something else while a tree is read or changed?
//!
//! A page in the memory map that cannot be read any more turns into zeroes at any moment. Whoever sees it is told in the end, but
//! until then it must lead to nothing worse than a wrong answer: no panic, no endless loop. Here every page that is not on the heap may
//! be another one at each read: zeroes, half a page, an entry without a meaning, a page of somewhere else, noise.

use std::cell::Cell;
use std::ops::{ControlFlow, Range};

use proptest::prelude::*;

use super::{diff, extent, insert, next, parts_not_held, remove, walk, walk_born_after};
use crate::error::Result;
use crate::format::entry::Extent;
use crate::format::page::{self, HEADER_LEN, Page, PageKind, PagePointer, Root};
use crate::tree::consume::{Consumer, consume};
use crate::tree::memory::MemoryPages;
use crate::tree::{Dropped, Pages, PagesMut, entries, records};
use crate::units::{BLOCK_LEN, Epoch, LogicalBlock, PhysicalBlock};

/// Reads that one operation may do: a loop that does not end comes here. The trees have a few hundred pages.
const READS_MAX: u64 = 1_000_000;

/// Pages of which those that are not on the heap cannot be relied on.
struct Clouded {
    pages: MemoryPages,
    /// What is read instead.
    instead: Vec<Page>,
    noise: Cell<u64>,
    /// One read in this many goes wrong.
    one_in: u64,
    reads: Cell<u64>,
}

impl Clouded {
    fn over(pages: MemoryPages, seed: u64, one_in: u64) -> Self {
        let mut clouded = Self { pages, instead: vec![[0; BLOCK_LEN]], noise: Cell::new(seed), one_in, reads: Cell::new(0) };
        let mut numbers: Vec<PhysicalBlock> = clouded.pages.numbers().into_iter().collect();
        numbers.sort_unstable();
        for number in numbers {
            let whole = *clouded.pages.raw(number);
            let mut half = whole;
            match clouded.random(5) {
                0 => half[..BLOCK_LEN / 2].fill(0),
                1 => half[BLOCK_LEN / 2..].fill(0),
                2 => half[HEADER_LEN..].fill(0),
                3 => half[HEADER_LEN..].iter_mut().for_each(|byte| *byte = clouded.random(256) as u8),
                _ => page::set_count(&mut half, clouded.random(70_000).min(65_535) as usize),
            }
            clouded.instead.extend([whole, half]);
        }
        clouded
    }

    fn random(&self, below: u64) -> u64 {
        self.noise.set(self.noise.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut bits = self.noise.get();
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ bits >> 31) % below
    }

    /// Another operation begins.
    fn begin(&self) -> u64 {
        self.reads.set(0);
        self.random(4000)
    }
}

impl Pages for Clouded {
    fn read(&self, pointer: PagePointer, level: u8, leaf: PageKind) -> Result<&Page> {
        self.reads.set(self.reads.get() + 1);
        assert!(self.reads.get() < READS_MAX, "this does not end");
        if self.pages.is_fresh(pointer.page) {
            return Ok(self.pages.bytes(pointer.page).expect("a fresh page exists"));
        }
        if self.random(self.one_in) == 0 {
            return Ok(&self.instead[self.random(self.instead.len() as u64) as usize]);
        }
        self.pages.read(pointer, level, leaf)
    }
}

impl PagesMut for Clouded {
    fn writable(&self, pointer: PagePointer) -> bool {
        self.pages.writable(pointer)
    }

    fn add(&mut self, kind: PageKind, level: u8) -> Result<PagePointer> {
        self.pages.add(kind, level)
    }

    fn copy(&mut self, pointer: PagePointer, level: u8, leaf: PageKind) -> Result<PagePointer> {
        let page = *self.read(pointer, level, leaf)?;
        Ok(self.pages.adopt(page))
    }

    fn edit(&mut self, pointer: PagePointer) -> &mut Page {
        self.pages.edit(pointer)
    }
}

/// Shares what another tree holds and some more, and keeps what it is told.
struct Keeps {
    beside: Root,
}

impl Consumer<Clouded> for Keeps {
    fn shared_run(&mut self, pages: &Clouded, branch: &Page, level: u8, places: Range<usize>) -> Result<usize> {
        if pages.random(2) == 0 { Ok(0) } else { entries::same_run(pages, &self.beside, branch, level, places) }
    }

    fn is_shared(&mut self, pages: &Clouded, _: &Dropped) -> Result<bool> {
        Ok(pages.random(20) == 0)
    }

    fn free_page(&mut self, _: &Clouded, _: &Dropped) -> Result<()> {
        Ok(())
    }

    fn entries(&mut self, pages: &Clouded, leaf: &Page) -> Result<u64> {
        let gone = entries::not_in(pages, &self.beside, leaf)?;
        gone.iter().try_for_each(|(key, value)| extent(*key, value).map(drop))?;
        Ok(1)
    }
}

const GOES_ON: Result<ControlFlow<()>> = Ok(ControlFlow::Continue(()));

fn single(logical: u64, physical: u64, birth: Epoch) -> Extent {
    Extent { logical: LogicalBlock(logical), physical: Some(PhysicalBlock(physical)), blocks: 1, birth }
}

/// Two tables of three levels, the second one a changed copy of the first; frozen, so that none of it is on the heap.
fn tables() -> (MemoryPages, Root, Root) {
    let mut pages = MemoryPages::new();
    let (mut removed, mut dropped) = (Vec::new(), Vec::new());
    let mut grow = |pages: &mut MemoryPages, root: Root, blocks: std::iter::StepBy<std::ops::Range<u64>>, physical: u64| {
        let birth = pages.epoch;
        blocks.fold(root, |root, block| {
            insert(pages, &root, single(block * 2, physical + block * 3, birth), &mut removed, &mut dropped).unwrap()
        })
    };
    // In order, so that pages are full, and then once more to half of them, which splits them.
    let first = grow(&mut pages, Root::EMPTY, (0..40_000).step_by(4), 1000);
    let first = grow(&mut pages, first, (1..20_000).step_by(8), 1000);
    pages.freeze();
    let second = grow(&mut pages, first, (0..40_000).step_by(1000), 900_000);
    pages.freeze();
    (pages, first, second)
}

fn record(seed: u64) -> Vec<u8> {
    vec![seed as u8; (seed % 300) as usize]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_table_whose_pages_turn_leads_to_no_panic_and_no_endless_loop(seed in any::<u64>(), one_in in 2..60_u64) {
        let (pages, first, second) = tables();
        let mut pages = Clouded::over(pages, seed, one_in);
        // What comes of it, a wrong answer or an error, is thrown away by whoever asked.
        for _ in 0..40 {
            let at = LogicalBlock(pages.begin() * 20);
            let _ = next(&pages, &second, at);
            let _ = walk(&pages, &second, at, |_| GOES_ON);
            let _ = walk_born_after(&pages, &second, Epoch(1), at, |_| GOES_ON);
            let _ = diff(&pages, &first, &second, at, |_| GOES_ON);
            let piece = Extent { blocks: 3000, ..single(at.0, 5000, Epoch(1)) };
            let _ = parts_not_held(&pages, &second, &[piece, Extent { logical: piece.end(), ..piece }], &mut Vec::new());
            let _ = entries::holds_page(&pages, &second, PhysicalBlock(at.0 % 500), 0, at.0);
        }
        let mut root = second;
        for _ in 0..300 {
            let at = LogicalBlock(pages.begin() * 20);
            let end = at.plus(1 + pages.random(2000));
            let (mut removed, mut dropped) = (Vec::new(), Vec::new());
            let birth = pages.pages.epoch;
            let tombstone = (pages.random(3) == 0).then_some(birth);
            let run = Extent { blocks: (end.0 - at.0) as u32, ..single(at.0, 2_000_000 + at.0, birth) };
            let changed = match pages.random(3) {
                0 => remove(&mut pages, &root, at..end, 64, tombstone, &mut removed, &mut dropped).map(|(root, _)| root),
                1 => consume(&mut pages, &root, &mut 5, &mut Keeps { beside: second }),
                _ => insert(&mut pages, &root, run, &mut removed, &mut dropped),
            };
            // A change that failed poisons the store; one that came to a wrong end is told from the count of faults.
            root = match changed {
                Ok(root) if pages.random(4) > 0 => root,
                _ => second,
            };
            if pages.random(20) == 0 {
                pages.pages.freeze();
            }
        }
    }

    #[test]
    fn a_tree_of_records_whose_pages_turn_leads_to_no_panic_and_no_endless_loop(seed in any::<u64>(), one_in in 2..60_u64) {
        let mut pages = MemoryPages::new();
        let mut first = Root::EMPTY;
        for key in 0..3000 {
            first = records::put(&mut pages, &first, key * 7919 % 3001, &record(key), &mut Vec::new()).unwrap();
        }
        pages.freeze();
        let mut pages = Clouded::over(pages, seed, one_in);
        let mut root = first;
        for _ in 0..300 {
            let key = pages.begin();
            let _ = records::get(&pages, &root, key);
            let _ = records::visit(&pages, &root, key, &mut |_, _| GOES_ON);
            let changed = match pages.random(2) {
                0 => records::put(&mut pages, &root, key, &record(key), &mut Vec::new()),
                _ => records::remove(&mut pages, &root, key, &mut Vec::new()).map(|(root, _)| root),
            };
            root = match changed {
                Ok(root) if pages.random(4) > 0 => root,
                _ => first,
            };
            if pages.random(20) == 0 {
                pages.pages.freeze();
            }
        }
    }
}
