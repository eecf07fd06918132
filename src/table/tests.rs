//! Does a table map each block where a list of single blocks says it lies?

use std::collections::{BTreeMap, HashSet};
use std::ops::{ControlFlow, Range};

use proptest::prelude::*;

use super::lookup::lookup;
use super::{Change, diff, insert, next, pages_for, parts_not_held, remove, walk, walk_born_after};
use crate::error::ErrorKind;
use crate::format::entry::{self, Extent};
use crate::format::page::{self, PageKind, Root};
use crate::tree::layout::Fixed;
use crate::tree::memory::{MemoryPages, check_dropped, check_tree};
use crate::tree::{Pages, entries};
use crate::units::{Epoch, LogicalBlock, PhysicalBlock};

#[derive(Clone, Debug)]
enum Step {
    /// Blocks written to new space, which follows the space that was used last.
    Write {
        logical: u64,
        blocks: u32,
    },
    /// Single blocks `stride` apart, so that nothing can be merged.
    Scatter {
        logical: u64,
        stride: u64,
        count: u64,
    },
    /// Blocks of the newest frozen table put back where they were.
    Restore {
        logical: u64,
        blocks: u64,
    },
    Remove {
        logical: u64,
        blocks: u64,
        limit: usize,
        tombstone: bool,
    },
    Freeze,
}

fn steps(drive: u64, run: u64) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..drive, 1..run as u32).prop_map(|(logical, blocks)| Step::Write { logical, blocks }),
        3 => (0..drive).prop_map(|logical| Step::Write { logical, blocks: 1 }),
        3 => (0..drive, 1..4u64, 1..run).prop_map(|(logical, stride, count)| Step::Scatter { logical, stride, count }),
        1 => (0..drive, 1..run).prop_map(|(logical, blocks)| Step::Restore { logical, blocks }),
        3 => (0..drive, 0..run * 2, 0..20usize, any::<bool>())
            .prop_map(|(logical, blocks, limit, tombstone)| Step::Remove { logical, blocks, limit, tombstone }),
        2 => Just(Step::Freeze),
    ];
    prop::collection::vec(step, 1..40)
}

/// Each mapped block's place, if it is data, and birth.
type Model = BTreeMap<u64, (Option<u64>, u64)>;

struct Written {
    pages: MemoryPages,
    root: Root,
    model: Model,
    next_physical: u64,
    frozen: Vec<(Root, Model)>,
}

impl Written {
    fn new() -> Self {
        Self { pages: MemoryPages::new(), root: Root::EMPTY, model: Model::new(), next_physical: 1000, frozen: Vec::new() }
    }

    /// Everything that the step changed is compared with the model.
    fn step(&mut self, step: &Step) {
        match *step {
            Step::Write { logical, blocks } => self.write(logical, blocks),
            Step::Scatter { logical, stride, count } => {
                for index in 0..count {
                    self.next_physical += 1;
                    self.write(logical + index * stride, 1);
                }
            }
            Step::Restore { logical, blocks } => self.restore(logical..logical + blocks),
            Step::Remove { logical, blocks, limit, tombstone } => self.remove(logical..logical + blocks, limit, tombstone),
            Step::Freeze => {
                self.frozen.push((self.root, self.model.clone()));
                self.pages.freeze();
            }
        }
    }

    fn write(&mut self, logical: u64, blocks: u32) {
        let extent = Extent {
            logical: LogicalBlock(logical),
            physical: Some(PhysicalBlock(self.next_physical)),
            blocks,
            birth: self.pages.epoch,
        };
        self.next_physical += u64::from(blocks);
        self.insert(extent);
    }

    fn insert(&mut self, extent: Extent) {
        let before = check_tree::<Fixed>(&self.pages, &self.root);
        let (mut removed, mut dropped) = (Vec::new(), Vec::new());
        self.root = insert(&mut self.pages, &self.root, extent, &mut removed, &mut dropped).unwrap();
        let after = check_tree::<Fixed>(&self.pages, &self.root);
        check_dropped(&mut self.pages, &before, &after, &dropped);
        let mut expected = Model::new();
        for (key, block) in single_blocks(&extent) {
            expected.extend(self.model.insert(key, block).map(|old| (key, old)));
        }
        check_removed(&removed, &expected);
    }

    fn restore(&mut self, range: Range<u64>) {
        let Some((root, _)) = self.frozen.last() else { return };
        let (mut extents, root) = (Vec::new(), *root);
        walk(&self.pages, &root, LogicalBlock(range.start), |extent| {
            if extent.logical.0 >= range.end {
                return Ok(ControlFlow::Break(()));
            }
            extents.push(extent.part(LogicalBlock(range.start), LogicalBlock(range.end)));
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        extents.into_iter().for_each(|extent| self.insert(extent));
    }

    fn remove(&mut self, range: Range<u64>, limit: usize, tombstone: bool) {
        let tombstone = tombstone.then_some(self.pages.epoch);
        let before = check_tree::<Fixed>(&self.pages, &self.root);
        let (mut removed, mut dropped) = (Vec::new(), Vec::new());
        let blocks = LogicalBlock(range.start)..LogicalBlock(range.end);
        let touched = extents(&self.pages, &self.root, range.start).into_iter().filter(|extent| extent.logical < blocks.end);
        let touched = if range.is_empty() { 0 } else { touched.count() };
        let (root, done) = remove(&mut self.pages, &self.root, blocks, limit, tombstone, &mut removed, &mut dropped).unwrap();
        self.root = root;
        let after = check_tree::<Fixed>(&self.pages, &self.root);
        check_dropped(&mut self.pages, &before, &after, &dropped);
        assert_eq!(done.0 == range.end, touched <= limit, "{touched} extents, of which {limit} could be removed");
        assert!(removed.len() <= limit);

        let mut expected = Model::new();
        let old: Vec<_> = self.model.range(range.start..done.0.max(range.start)).map(|(key, block)| (*key, *block)).collect();
        for (key, block) in old {
            match (tombstone, block) {
                (Some(_), (None, _)) => continue,
                (Some(birth), _) => self.model.insert(key, (None, birth.0)),
                (None, _) => self.model.remove(&key),
            };
            expected.insert(key, block);
        }
        check_removed(&removed, &expected);
    }

    fn tables(&self) -> impl Iterator<Item = (Root, &Model)> {
        self.frozen.iter().map(|(root, model)| (*root, model)).chain([(self.root, &self.model)])
    }
}

fn single_blocks(extent: &Extent) -> impl Iterator<Item = (u64, (Option<u64>, u64))> {
    let extent = *extent;
    (0..u64::from(extent.blocks))
        .map(move |index| (extent.logical.0 + index, (extent.physical.map(|block| block.0 + index), extent.birth.0)))
}

fn check_removed(removed: &[Extent], expected: &Model) {
    let mut found = Model::new();
    for (key, block) in removed.iter().flat_map(single_blocks) {
        assert!(found.insert(key, block).is_none(), "block {key} is reported twice");
    }
    assert_eq!(&found, expected, "the pieces that were removed");
}

/// The longest extents that map what the model maps.
fn expected_extents(model: &Model) -> Vec<Extent> {
    let mut extents: Vec<Extent> = Vec::new();
    for (key, (physical, birth)) in model {
        let next = Extent { logical: LogicalBlock(*key), physical: physical.map(PhysicalBlock), blocks: 1, birth: Epoch(*birth) };
        match extents.last_mut() {
            Some(last) if last.continues_with(&next) => last.blocks += 1,
            _ => extents.push(next),
        }
    }
    extents
}

fn extents(pages: &MemoryPages, root: &Root, from: u64) -> Vec<Extent> {
    let mut found = Vec::new();
    walk(pages, root, LogicalBlock(from), |extent| {
        found.push(extent);
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    found
}

/// Extents that could be one never stand beside each other, so there is one right answer.
fn check_table(pages: &MemoryPages, root: &Root, model: &Model) {
    let expected = expected_extents(model);
    assert_eq!(extents(pages, root, 0), expected);
    let edges = expected.iter().flat_map(|extent| [extent.logical.0, extent.end().0]);
    let blocks: HashSet<_> = edges.flat_map(|edge| [edge.saturating_sub(1), edge, edge + 1]).chain([0, 1 << 50]).collect();
    for block in blocks {
        let block = LogicalBlock(block);
        let index = expected.partition_point(|extent| extent.end() <= block);
        let first = expected.get(index).copied();
        assert_eq!(next(pages, root, block).unwrap(), first, "the next extent from {block}");
        assert_eq!(lookup(pages, root, block).unwrap(), first.filter(|extent| extent.logical <= block), "what covers {block}");
        if block.0.is_multiple_of(16) {
            assert_eq!(extents(pages, root, block.0), expected[index..]);
        }
    }
}

fn check_born_after(pages: &MemoryPages, root: &Root, epoch: Epoch) {
    let mut found = Vec::new();
    walk_born_after(pages, root, epoch, LogicalBlock(0), |extent| {
        found.push(extent);
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    let expected: Vec<_> = extents(pages, root, 0).into_iter().filter(|extent| extent.birth > epoch).collect();
    assert_eq!(found, expected, "born after {epoch}");
}

fn expected_changes(left: &Model, right: &Model, from: u64) -> Vec<Change> {
    let keys: HashSet<_> = left.range(from..).chain(right.range(from..)).map(|(key, _)| *key).collect();
    let mut keys: Vec<_> = keys.into_iter().collect();
    keys.sort_unstable();
    let mut changes: Vec<Change> = Vec::new();
    for key in keys {
        let block = |model: &Model| {
            let (physical, birth) = *model.get(&key)?;
            let physical = Some(PhysicalBlock(physical?));
            Some(Extent { logical: LogicalBlock(key), physical, blocks: 1, birth: Epoch(birth) })
        };
        let (left, right) = (block(left), block(right));
        if left.map(|extent| extent.physical) == right.map(|extent| extent.physical) {
            continue;
        }
        let continues = |last: Option<Extent>, next: Option<Extent>| match (last, next) {
            (Some(last), Some(next)) => last.continues_with(&next),
            (last, next) => last.is_none() && next.is_none(),
        };
        match changes.last_mut() {
            Some(last) if continues(last.left, left) && continues(last.right, right) => {
                last.blocks += 1;
                [&mut last.left, &mut last.right].into_iter().flatten().for_each(|extent| extent.blocks += 1);
            }
            _ => changes.push(Change { logical: LogicalBlock(key), blocks: 1, left, right }),
        }
    }
    changes
}

fn changes(pages: &MemoryPages, left: &Root, right: &Root, from: u64) -> Vec<Change> {
    let mut found = Vec::new();
    diff(pages, left, right, LogicalBlock(from), |change| {
        found.push(change);
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    found
}

fn check_diff(pages: &MemoryPages, left: (Root, &Model), right: (Root, &Model), from: u64) {
    assert_eq!(changes(pages, &left.0, &right.0, from), expected_changes(left.1, right.1, from));
    assert_eq!(changes(pages, &left.0, &right.0, 0), expected_changes(left.1, right.1, 0));
}

/// A page that both tables hold is read only where the search for `from` passes, beneath a page that became a root, or
/// where an extent of one table reaches over its first key.
fn check_diff_cost(pages: &MemoryPages, left: &Root, right: &Root, height: u64) {
    let [left_pages, right_pages] = [left, right].map(|root| check_tree::<Fixed>(pages, root));
    let differing = left_pages.keys().filter(|page| !right_pages.contains_key(page)).count()
        + right_pages.keys().filter(|page| !left_pages.contains_key(page)).count();
    pages.reads.set(0);
    changes(pages, left, right, 0);
    let reads = pages.reads.get();
    assert!(reads <= 2 * differing as u64 + 2 * height + 2, "{reads} reads where {differing} pages differ");
}

fn check_parts_not_held(pages: &MemoryPages, of: &Model, root: &Root, model: &Model) {
    let pieces = expected_extents(of);
    let mut all = Vec::new();
    for piece in &pieces {
        let mut parts = Vec::new();
        parts_not_held(pages, root, &[*piece], &mut parts).unwrap();
        let lost = single_blocks(piece)
            .filter(|(key, (physical, _))| physical.is_some() && model.get(key).is_none_or(|(held, _)| held != physical));
        assert_eq!(parts, expected_extents(&lost.collect()), "parts of {piece:?}");
        all.append(&mut parts);
    }
    // Of all at once, and of pieces far from each other.
    for apart in [1, 3, 50] {
        let some: Vec<Extent> = pieces.iter().copied().step_by(apart).collect();
        let mut parts = Vec::new();
        parts_not_held(pages, root, &some, &mut parts).unwrap();
        let is_in = |part: &&Extent| some.iter().any(|piece| piece.logical <= part.logical && part.end() <= piece.end());
        assert_eq!(parts.iter().collect::<Vec<_>>(), all.iter().filter(is_in).collect::<Vec<_>>(), "one of {apart}");
    }
}

fn check_not_in(pages: &MemoryPages, left: &Root, right: &Root) {
    for page in check_tree::<Fixed>(pages, left).into_values().filter(|page| page.level == 0) {
        let leaf = pages.read(page.pointer, 0, PageKind::EntryLeaf).unwrap();
        let all = (0..page::count(leaf)).map(|index| (entry::key(leaf, index), entry::value(leaf, index)));
        let missing: Vec<_> = all.filter(|(key, value)| entries::get(pages, right, *key).unwrap() != Some(*value)).collect();
        assert_eq!(entries::not_in(pages, right, leaf).unwrap(), missing);
    }
}

fn run(steps: &[Step]) -> Written {
    let mut written = Written::new();
    for step in steps {
        written.step(step);
        check_table(&written.pages, &written.root, &written.model);
    }
    for (root, model) in &written.frozen {
        check_table(&written.pages, root, model);
    }
    written
}

fn check_pairs(written: &Written, from: u64) {
    for left in written.tables() {
        for right in written.tables() {
            check_diff(&written.pages, left, right, from);
            check_diff_cost(&written.pages, &left.0, &right.0, 4);
            check_parts_not_held(&written.pages, left.1, &right.0, right.1);
            check_not_in(&written.pages, &left.0, &right.0);
        }
    }
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn a_small_table_maps_blocks_as_they_were_written(steps in steps(60, 12), from in 0..80u64) {
        let written = run(&steps);
        check_pairs(&written, from);
        (0..=written.pages.epoch.0).for_each(|epoch| check_born_after(&written.pages, &written.root, Epoch(epoch)));
    }
}

proptest! {
    #![proptest_config(config(40))]

    #[test]
    fn a_large_table_maps_blocks_as_they_were_written(steps in steps(4000, 600), from in 0..5000u64) {
        let written = run(&steps);
        check_pairs(&written, from);
        (0..=written.pages.epoch.0).for_each(|epoch| check_born_after(&written.pages, &written.root, Epoch(epoch)));
    }
}

/// A frozen table of 100,000 extents that cannot be merged.
fn large() -> (MemoryPages, Root) {
    let mut pages = MemoryPages::new();
    let mut root = Root::EMPTY;
    for index in 0..100_000 {
        root = write(&mut pages, &root, index * 3, 1_000_000 + index * 2, 1);
    }
    pages.freeze();
    (pages, root)
}

fn write(pages: &mut MemoryPages, root: &Root, logical: u64, physical: u64, blocks: u32) -> Root {
    let extent = Extent { logical: LogicalBlock(logical), physical: Some(PhysicalBlock(physical)), blocks, birth: pages.epoch };
    insert(pages, root, extent, &mut Vec::new(), &mut Vec::new()).unwrap()
}

#[test]
fn ten_changes_in_a_large_table_cost_a_few_dozen_reads() {
    let (mut pages, old) = large();
    let mut new = old;
    for index in 0..10 {
        new = write(&mut pages, &new, index * 29_999, 500_000 + index * 10, 2);
    }
    pages.reads.set(0);
    let found = changes(&pages, &old, &new, 0);
    let reads = pages.reads.get();
    assert!((10..=20).contains(&found.len()), "{} changes", found.len());
    assert!(reads <= 60, "{reads} reads");

    pages.reads.set(0);
    assert_eq!(changes(&pages, &old, &new, 150_000), found[found.partition_point(|change| change.logical.0 < 150_000)..]);
    assert!(pages.reads.get() <= 40, "{} reads", pages.reads.get());
    pages.reads.set(0);
    assert_eq!(changes(&pages, &old, &old, 0), []);
    assert!(pages.reads.get() <= 6, "equal roots are not expanded");
}

#[test]
fn a_table_that_grew_higher_is_compared_without_reading_what_both_hold() {
    let mut pages = MemoryPages::new();
    let mut old = Root::EMPTY;
    for index in 0..169 * 169 {
        old = write(&mut pages, &old, index * 3, 1_000_000 + index * 2, 1);
    }
    pages.freeze();
    let new = write(&mut pages, &old, 169 * 169 * 3, 1, 1);
    assert_eq!((old.level, new.level), (1, 2));
    pages.reads.set(0);
    assert_eq!(changes(&pages, &old, &new, 0).len(), 1);
    let search_for_the_start = u64::from(old.level + 1 + new.level + 1);
    // The insert copied the last leaf before it found it to be full, so the new table has two leaves that differ.
    let (roots, branches, leaves) = (2, 2, 3);
    assert_eq!(pages.reads.get(), search_for_the_start + roots + branches + leaves);
}

#[test]
fn a_birth_alone_is_no_change() {
    let mut pages = MemoryPages::new();
    let old = write(&mut pages, &Root::EMPTY, 0, 100, 8);
    pages.freeze();
    let new = write(&mut pages, &old, 2, 102, 3);
    assert_eq!(extents(&pages, &new, 0).len(), 3);
    assert_eq!(changes(&pages, &old, &new, 0), []);
}

#[test]
fn a_diff_ends_when_it_is_told_to() {
    let (mut pages, old) = large();
    let mut new = write(&mut pages, &old, 30, 1, 1);
    new = write(&mut pages, &new, 60, 10, 1);
    new = write(&mut pages, &new, 290_000, 20, 1);
    let mut found = Vec::new();
    diff(&pages, &old, &new, LogicalBlock(0), |change| {
        found.push(change.logical.0);
        Ok(if found.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })
    .unwrap();
    assert_eq!(found, [30, 60]);
}

#[test]
fn appending_in_order_keeps_one_extent() {
    let mut pages = MemoryPages::new();
    let mut root = Root::EMPTY;
    for index in 0..10_000 {
        root = write(&mut pages, &root, index, 7_000 + index, 1);
    }
    let whole = Extent { logical: LogicalBlock(0), physical: Some(PhysicalBlock(7_000)), blocks: 10_000, birth: Epoch(1) };
    assert_eq!(extents(&pages, &root, 0), [whole]);
    pages.reads.set(0);
    root = write(&mut pages, &root, 5_000, 1, 1);
    assert_eq!(extents(&pages, &root, 0).len(), 3);
}

#[test]
fn an_extent_as_long_as_any_can_be_does_not_take_its_neighbour_in() {
    let mut pages = MemoryPages::new();
    let root = write(&mut pages, &Root::EMPTY, 0, 1, u32::MAX);
    let root = write(&mut pages, &root, u64::from(u32::MAX), 1 + u64::from(u32::MAX), 1);
    assert_eq!(extents(&pages, &root, 0).len(), 2);
}

#[test]
fn an_extent_that_cannot_be_is_corrupt() {
    let good = Extent { logical: LogicalBlock(5), physical: Some(PhysicalBlock(9)), blocks: 2, birth: Epoch(1) };
    let bad = [
        Extent { blocks: 0, ..good },
        Extent { logical: LogicalBlock((1 << 51) - 1), ..good },
        Extent { logical: LogicalBlock(u64::MAX), ..good },
        Extent { physical: Some(PhysicalBlock((1 << 48) - 1)), ..good },
    ];
    for extent in bad {
        let mut pages = MemoryPages::new();
        let root = entries::insert(&mut pages, &Root::EMPTY, extent.logical.0, &extent.encode(), &mut Vec::new()).unwrap();
        assert_eq!(lookup(&pages, &root, extent.logical).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(next(&pages, &root, LogicalBlock(0)).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(walk(&pages, &root, LogicalBlock(0), |_| unreachable!()).unwrap_err().kind(), ErrorKind::Corrupt);
        let compared = diff(&pages, &root, &Root::EMPTY, LogicalBlock(0), |_| unreachable!());
        assert_eq!(compared.unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

/// A write is let begin if there is room for what its changes may take: a bound that does not hold is found out in the middle of
/// the change, when it is too late. (A write counted as one change, 8 pages, however many extents it covered: over 40,000 it was
/// let begin with 72 pages and took 240, over 200,000 more than the whole reserve.)
#[test]
fn a_change_takes_no_more_pages_than_were_asked_for() {
    const WAY_DOWN: u64 = 64;
    // Leaves that are full, half full, thinned out, and full and nearly empty in turn.
    let fills: [fn(&mut MemoryPages) -> Root; 4] = [
        |pages| (0..40_000).fold(Root::EMPTY, |root, block| write(pages, &root, block, 2 * block + 1, 1)),
        |pages| (0..40_000).rev().fold(Root::EMPTY, |root, block| write(pages, &root, block, 2 * block + 1, 1)),
        |pages| {
            let full = (0..40_000).fold(Root::EMPTY, |root, block| write(pages, &root, block, 2 * block + 1, 1));
            (0..40_000_u64).filter(|block| !block.is_multiple_of(4)).fold(full, |root, block| cut(pages, &root, block..block + 1))
        },
        |pages| {
            let full = (0..40_000).fold(Root::EMPTY, |root, block| write(pages, &root, block, 2 * block + 1, 1));
            let is_thinned = |block: &u64| (block / 169).is_multiple_of(2) && !block.is_multiple_of(169);
            (0..40_000).filter(is_thinned).fold(full, |root, block| cut(pages, &root, block..block + 1))
        },
    ];
    for (index, fill) in fills.into_iter().enumerate() {
        for run in [1, 7, 40_000] {
            let mut pages = MemoryPages::new();
            let root = fill(&mut pages);
            pages.freeze();
            let (mut removed, mut pieces) = (Vec::new(), 0);
            let (before, mut after) = (pages.last, root);
            for block in (0..40_000).step_by(run as usize) {
                let blocks = run.min(40_000 - block);
                let extent = Extent {
                    logical: LogicalBlock(block),
                    physical: Some(PhysicalBlock(200_000 + 2 * block)),
                    blocks: blocks as u32,
                    birth: pages.epoch,
                };
                after = insert(&mut pages, &after, extent, &mut removed, &mut Vec::new()).unwrap();
                pieces += 1;
            }
            let taken = pages.last.0 - before.0;
            let allowed = WAY_DOWN + pages_for(pieces + removed.len() as u64);
            assert!(taken <= allowed, "fill {index}, runs of {run}: {taken} pages taken, {allowed} asked for");
        }
    }
}

fn cut(pages: &mut MemoryPages, root: &Root, range: Range<u64>) -> Root {
    let range = LogicalBlock(range.start)..LogicalBlock(range.end);
    remove(pages, root, range, usize::MAX, None, &mut Vec::new(), &mut Vec::new()).unwrap().0
}
