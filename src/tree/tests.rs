//! Do trees hold what was put into them, in the pages they should?

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::{ControlFlow, Range};

use proptest::prelude::*;

use super::consume::{Consumer, consume};
use super::entries;
use super::layout::{Fixed, Layout, Records};
use super::memory::{MemoryPages, check_dropped, check_tree};
use super::{Dropped, Pages, records};
use crate::error::{ErrorKind, Result};
use crate::format::entry::{ENTRIES_PER_PAGE, Value};
use crate::format::page::{self, LEVEL_MAX, Page, PageKind, Root};
use crate::format::record::RECORD_LEN_MAX;
use crate::units::{Epoch, PhysicalBlock};

/// A change of many keys: `first`, `first + step` and so on.
#[derive(Clone, Debug)]
enum Step {
    Insert { first: u64, step: u64, count: u64, descending: bool },
    Remove { first: u64, step: u64, count: u64 },
    RemoveNear { key: u64, count: usize },
    Freeze,
}

fn steps(keys: u64, run: u64) -> impl Strategy<Value = Vec<Step>> {
    let stride = 1..8u64;
    let step = prop_oneof![
        6 => (0..keys, stride.clone(), 0..run, any::<bool>())
            .prop_map(|(first, step, count, descending)| Step::Insert { first, step, count, descending }),
        3 => (0..keys, stride, 0..run).prop_map(|(first, step, count)| Step::Remove { first, step, count }),
        3 => (0..keys, 0..run as usize).prop_map(|(key, count)| Step::RemoveNear { key, count }),
        2 => Just(Step::Freeze),
    ];
    prop::collection::vec(step, 1..24)
}

/// What the tests need of either kind of tree.
trait Kind: Layout {
    fn item(seed: u64) -> Vec<u8>;
    fn insert(pages: &mut MemoryPages, root: &Root, key: u64, item: &[u8], dropped: &mut Vec<Dropped>) -> Result<Root>;
    fn remove(pages: &mut MemoryPages, root: &Root, key: u64, dropped: &mut Vec<Dropped>) -> Result<(Root, Option<Vec<u8>>)>;
    fn get(pages: &MemoryPages, root: &Root, key: u64) -> Result<Option<Vec<u8>>>;
    fn visit(pages: &MemoryPages, root: &Root, from: u64, found: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>) -> Result<()>;
    /// The first key that a visit from `from` meets.
    fn visited_first(model: &Model, from: u64) -> u64;
}

type Model = BTreeMap<u64, Vec<u8>>;

impl Kind for Fixed {
    fn item(seed: u64) -> Vec<u8> {
        [seed.to_le_bytes(), (!seed).to_le_bytes()].concat()
    }

    fn insert(pages: &mut MemoryPages, root: &Root, key: u64, item: &[u8], dropped: &mut Vec<Dropped>) -> Result<Root> {
        entries::insert(pages, root, key, item.try_into().expect("a value has 16 bytes"), dropped)
    }

    fn remove(pages: &mut MemoryPages, root: &Root, key: u64, dropped: &mut Vec<Dropped>) -> Result<(Root, Option<Vec<u8>>)> {
        entries::remove(pages, root, key, dropped).map(|(root, value)| (root, value.map(|value| value.to_vec())))
    }

    fn get(pages: &MemoryPages, root: &Root, key: u64) -> Result<Option<Vec<u8>>> {
        Ok(entries::get(pages, root, key)?.map(|value| value.to_vec()))
    }

    fn visit(pages: &MemoryPages, root: &Root, from: u64, found: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>) -> Result<()> {
        entries::visit(pages, root, from, &mut |key, value| Ok(found(key, value)))
    }

    fn visited_first(model: &Model, from: u64) -> u64 {
        model.range(..=from).next_back().map_or(from, |(key, _)| *key)
    }
}

impl Kind for Records {
    fn item(seed: u64) -> Vec<u8> {
        let len = match seed % 7 {
            0 => RECORD_LEN_MAX as u64,
            1 => 0,
            _ => seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 500,
        };
        vec![seed as u8; len as usize]
    }

    fn insert(pages: &mut MemoryPages, root: &Root, key: u64, item: &[u8], dropped: &mut Vec<Dropped>) -> Result<Root> {
        records::put(pages, root, key, item, dropped)
    }

    fn remove(pages: &mut MemoryPages, root: &Root, key: u64, dropped: &mut Vec<Dropped>) -> Result<(Root, Option<Vec<u8>>)> {
        records::remove(pages, root, key, dropped)
    }

    fn get(pages: &MemoryPages, root: &Root, key: u64) -> Result<Option<Vec<u8>>> {
        Ok(records::get(pages, root, key)?.map(<[u8]>::to_vec))
    }

    fn visit(pages: &MemoryPages, root: &Root, from: u64, found: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>) -> Result<()> {
        records::visit(pages, root, from, &mut |key, record| Ok(found(key, record)))
    }

    fn visited_first(_: &Model, from: u64) -> u64 {
        from
    }
}

/// A tree that grows and shrinks, and what it should hold.
struct Grown<K> {
    pages: MemoryPages,
    root: Root,
    model: Model,
    kind: std::marker::PhantomData<K>,
    frozen: Vec<(Root, Model)>,
    seed: u64,
}

impl<K: Kind> Grown<K> {
    fn new() -> Self {
        Self {
            pages: MemoryPages::new(),
            root: Root::EMPTY,
            model: Model::new(),
            kind: std::marker::PhantomData,
            frozen: Vec::new(),
            seed: 0,
        }
    }

    fn insert(&mut self, key: u64, dropped: &mut Vec<Dropped>) {
        self.seed += 1;
        let item = K::item(self.seed);
        self.root = K::insert(&mut self.pages, &self.root, key, &item, dropped).unwrap();
        self.model.insert(key, item);
    }

    fn remove(&mut self, key: u64, dropped: &mut Vec<Dropped>) {
        let (root, item) = K::remove(&mut self.pages, &self.root, key, dropped).unwrap();
        assert_eq!(item, self.model.remove(&key));
        if item.is_none() {
            assert_eq!(root, self.root, "nothing was there, nothing changes");
        }
        self.root = root;
    }

    fn step(&mut self, step: &Step) {
        let before = check_tree::<K>(&self.pages, &self.root);
        let mut dropped = Vec::new();
        match *step {
            Step::Insert { first, step, count, descending } => {
                for index in 0..count {
                    let index = if descending { count - index } else { index };
                    self.insert(first + index * step, &mut dropped);
                }
            }
            Step::Remove { first, step, count } => {
                (0..count).for_each(|index| self.remove(first + index * step, &mut dropped));
            }
            Step::RemoveNear { key, count } => {
                let keys: Vec<_> = self.model.range(key..).take(count).map(|(key, _)| *key).collect();
                keys.into_iter().for_each(|key| self.remove(key, &mut dropped));
            }
            Step::Freeze => {
                self.frozen.push((self.root, self.model.clone()));
                self.pages.freeze();
            }
        }
        let after = check_tree::<K>(&self.pages, &self.root);
        check_dropped(&mut self.pages, &before, &after, &dropped);
    }

    /// Compares the tree and all frozen ones with their models.
    fn check(&self) {
        check_contents::<K>(&self.pages, &self.root, &self.model);
        for (root, model) in &self.frozen {
            check_contents::<K>(&self.pages, root, model);
        }
    }

    /// The live tree's and all frozen trees' pages.
    fn held(&self) -> Vec<(Root, HashMap<PhysicalBlock, Dropped>)> {
        let roots = self.frozen.iter().map(|(root, _)| *root).chain([self.root]);
        roots.map(|root| (root, check_tree::<K>(&self.pages, &root))).collect()
    }
}

fn contents<K: Kind>(pages: &MemoryPages, root: &Root, from: u64) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    K::visit(pages, root, from, &mut |key, item| {
        found.push((key, item.to_vec()));
        ControlFlow::Continue(())
    })
    .unwrap();
    found
}

fn check_contents<K: Kind>(pages: &MemoryPages, root: &Root, model: &Model) {
    let expected = |from: u64| model.range(from..).map(|(key, item)| (*key, item.clone())).collect::<Vec<_>>();
    assert_eq!(contents::<K>(pages, root, 0), expected(0));
    let last = model.last_key_value().map_or(0, |(key, _)| *key);
    for from in [1, last / 3, last / 2, last, last + 1, u64::MAX] {
        assert_eq!(contents::<K>(pages, root, from), expected(K::visited_first(model, from)));
    }
    for key in model.keys().flat_map(|key| [key.saturating_sub(1), *key, key + 1]) {
        assert_eq!(K::get(pages, root, key).unwrap().as_ref(), model.get(&key));
    }
}

fn check_nearest(pages: &MemoryPages, root: &Root, model: &Model) {
    let entry = |(key, value): (&u64, &Vec<u8>)| (*key, Value::try_from(value.as_slice()).expect("16 bytes"));
    for key in model.keys().flat_map(|key| [key.saturating_sub(1), *key, key + 1]).chain([0, u64::MAX]) {
        assert_eq!(entries::floor(pages, root, key).unwrap(), model.range(..=key).next_back().map(entry), "floor of {key}");
        assert_eq!(entries::ceiling(pages, root, key).unwrap(), model.range(key..).next().map(entry), "ceiling of {key}");
    }
}

fn check_holders<K: Kind>(grown: &Grown<K>) {
    let held = grown.held();
    for page in held.iter().flat_map(|(_, pages)| pages.values()) {
        for (root, pages) in &held {
            let holds = entries::holds_page(&grown.pages, root, page.pointer.page, page.level, page.first_key).unwrap();
            assert_eq!(holds, pages.contains_key(&page.pointer.page), "{page:?} in {root:?}");
        }
    }
}

fn run<K: Kind>(steps: &[Step]) -> Grown<K> {
    let mut grown = Grown::new();
    for step in steps {
        grown.step(step);
    }
    grown.check();
    grown
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Frees what no other root holds, and remembers what it was told.
struct Recorded {
    others: Vec<Root>,
    keys: Vec<u64>,
    freed: Vec<PhysicalBlock>,
    left_to_others: u64,
}

impl Recorded {
    fn new(others: Vec<Root>) -> Self {
        Self { others, keys: Vec::new(), freed: Vec::new(), left_to_others: 0 }
    }

    fn cost(&self) -> u64 {
        self.keys.len() as u64 + self.left_to_others
    }
}

impl Consumer<MemoryPages> for Recorded {
    fn shared_run(&mut self, pages: &MemoryPages, branch: &Page, level: u8, places: Range<usize>) -> Result<usize> {
        let Some(root) = self.others.first() else { return Ok(0) };
        let run = entries::same_run(pages, root, branch, level, places)?;
        self.left_to_others += u64::from(run > 0);
        Ok(run)
    }

    fn is_shared(&mut self, pages: &MemoryPages, page: &Dropped) -> Result<bool> {
        for root in &self.others {
            if entries::holds_page(pages, root, page.pointer.page, page.level, page.first_key)? {
                self.left_to_others += 1;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn free_page(&mut self, _: &MemoryPages, page: &Dropped) -> Result<()> {
        self.freed.push(page.pointer.page);
        Ok(())
    }

    fn entries(&mut self, _: &MemoryPages, leaf: &Page) -> Result<u64> {
        let before = self.keys.len();
        self.keys.extend((0..page::count(leaf)).map(|index| Fixed::key(leaf, index)));
        Ok((self.keys.len() - before) as u64)
    }
}

/// The keys in the leaves of `root` that stand in none of the pages of `shared`.
fn keys_not_in(pages: &MemoryPages, root: &Root, shared: &HashSet<PhysicalBlock>) -> Vec<u64> {
    let mut leaves: Vec<_> = check_tree::<Fixed>(pages, root).into_values().filter(|page| page.level == 0).collect();
    leaves.retain(|page| !shared.contains(&page.pointer.page));
    leaves.sort_by_key(|page| page.first_key);
    let keys = leaves.iter().flat_map(|leaf| {
        let page = pages.read(leaf.pointer, 0, PageKind::EntryLeaf).unwrap();
        (0..page::count(page)).map(|index| Fixed::key(page, index))
    });
    keys.collect()
}

/// Consumes the live tree in steps of the given budgets and checks that exactly what no frozen tree holds is freed.
fn consume_and_check(mut grown: Grown<Fixed>, budgets: &[u64], freeze_between: bool) {
    let others: Vec<_> = grown.frozen.iter().map(|(root, _)| *root).collect();
    let shared: HashSet<_> = others.iter().flat_map(|root| check_tree::<Fixed>(&grown.pages, root).into_keys()).collect();
    let expected = keys_not_in(&grown.pages, &grown.root, &shared);
    let mut recorded = Recorded::new(others);
    let mut root = grown.root;
    let mut steps = 0;
    for budget in budgets.iter().cycle() {
        let before = recorded.cost();
        let mut left = *budget;
        let after = consume(&mut grown.pages, &root, &mut left, &mut recorded).unwrap();
        let cost = recorded.cost() - before;
        assert!(budget - left == cost.min(*budget) && cost < budget + ENTRIES_PER_PAGE as u64, "{cost} of {budget}");
        if *budget == 0 {
            assert_eq!(after, root);
        }
        check_tree::<Fixed>(&grown.pages, &after);
        for page in recorded.freed.drain(..) {
            assert!(!shared.contains(&page), "page {page} is held by someone else");
            grown.pages.free(page);
        }
        root = after;
        if root == Root::EMPTY {
            break;
        }
        assert_eq!(left, 0, "budget is left, so the tree should be consumed");
        if freeze_between {
            grown.pages.freeze();
        }
        steps += 1;
        assert!(steps < 1_000_000, "consuming gets nowhere");
    }
    assert_eq!(recorded.keys, expected);
    assert_eq!(grown.pages.numbers(), shared, "what is left is what others hold");
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn entries_are_found_as_they_were_put(steps in steps(3000, 1500)) {
        let grown = run::<Fixed>(&steps);
        check_nearest(&grown.pages, &grown.root, &grown.model);
    }

    #[test]
    fn entries_of_few_keys_are_found_as_they_were_put(steps in steps(40, 20)) {
        let grown = run::<Fixed>(&steps);
        check_nearest(&grown.pages, &grown.root, &grown.model);
    }

    #[test]
    fn records_are_found_as_they_were_put(steps in steps(600, 200)) {
        run::<Records>(&steps);
    }

    #[test]
    fn a_page_is_found_by_its_first_key_in_every_tree_that_holds_it(steps in steps(3000, 800)) {
        check_holders(&run::<Fixed>(&steps));
    }

    #[test]
    fn a_record_page_is_found_by_its_first_key_in_every_tree_that_holds_it(steps in steps(300, 60)) {
        check_holders(&run::<Records>(&steps));
    }

    #[test]
    fn consuming_frees_exactly_what_no_one_else_holds(
        steps in steps(3000, 1500),
        budgets in prop::collection::vec(0..400u64, 0..6),
        freeze_between: bool,
    ) {
        let budgets = [budgets, vec![1 + steps.len() as u64]].concat();
        consume_and_check(run::<Fixed>(&steps), &budgets, freeze_between);
    }
}

/// A tree of 200 times 169 entries, three levels high, with a change at the given keys after a freeze.
fn three_levels(changed: &[u64]) -> Grown<Fixed> {
    let mut grown = Grown::<Fixed>::new();
    grown.step(&Step::Insert { first: 0, step: 10, count: 200 * 169, descending: false });
    grown.step(&Step::Freeze);
    for key in changed {
        grown.step(&Step::Insert { first: *key, step: 1, count: 1, descending: false });
    }
    grown
}

#[test]
fn filling_in_order_leaves_full_pages() {
    let grown = three_levels(&[]);
    assert_eq!(check_tree::<Fixed>(&grown.pages, &grown.root).len(), 200 + 2 + 1);
}

#[test]
fn thinning_out_merges_pages() {
    let mut grown = three_levels(&[]);
    for first in 0..9 {
        // Every tenth entry stays.
        grown.step(&Step::Remove { first: first * 10, step: 100, count: 20 * 169 });
    }
    let leaves = check_tree::<Fixed>(&grown.pages, &grown.root).into_values().filter(|page| page.level == 0).count();
    assert!(leaves <= 4 * 20, "{leaves} leaves for what 20 could hold");
    check_holders(&grown);
}

#[test]
fn a_three_level_tree_can_be_emptied_and_consumed() {
    let mut grown = three_levels(&[5, 100_005, 337_995]);
    grown.check();
    check_nearest(&grown.pages, &grown.root, &grown.model);
    check_holders(&grown);
    grown.step(&Step::RemoveNear { key: 1000, count: 30_000 });
    grown.check();
    check_holders(&grown);
    assert_eq!(grown.root.level, 1, "what remains fits under one branch");
    grown.step(&Step::RemoveNear { key: 0, count: 100_000 });
    assert_eq!(grown.root, Root::EMPTY);
    consume_and_check(three_levels(&[5, 100_005, 337_995]), &[1000, 1, 0, 77], true);
}

#[test]
fn a_changed_page_is_all_that_is_read_for_what_was_born_later() {
    let grown = three_levels(&[300_005]);
    grown.pages.reads.set(0);
    let mut found = 0;
    entries::visit_born_after(&grown.pages, &grown.root, Epoch(1), 0, &mut |_, _| {
        found += 1;
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    // The insert split a full leaf in two, and both halves are new.
    assert_eq!(grown.pages.reads.get(), 4);
    assert_eq!(found, 170);
}

#[test]
fn a_visit_ends_when_it_is_told_to() {
    let grown = three_levels(&[]);
    let mut found = Vec::new();
    entries::visit(&grown.pages, &grown.root, 1695, &mut |key, _| {
        found.push(key);
        Ok(if found.len() == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })
    .unwrap();
    assert_eq!(found, [1690, 1700, 1710]);
}

#[test]
fn broken_pages_are_corrupt_and_never_a_panic() {
    for (level, count) in [(0, 170), (0, 0), (1, 170), (1, 65_535), (2, 0)] {
        let mut grown = three_levels(&[]);
        let page = *check_tree::<Fixed>(&grown.pages, &grown.root).values().find(|page| page.level == level).unwrap();
        page::set_count(grown.pages.raw(page.pointer.page), count);
        let (pages, root, key) = (&mut grown.pages, &grown.root, page.first_key);
        let mut dropped = Vec::new();
        let errors = [
            entries::get(pages, root, key).unwrap_err(),
            entries::floor(pages, root, key).unwrap_err(),
            entries::ceiling(pages, root, key).unwrap_err(),
            entries::visit(pages, root, key, &mut |_, _| Ok(ControlFlow::Continue(()))).unwrap_err(),
            entries::insert(pages, root, key, &[0; 16], &mut dropped).unwrap_err(),
            entries::remove(pages, root, key, &mut dropped).unwrap_err(),
        ];
        assert!(errors.iter().all(|error| error.kind() == ErrorKind::Corrupt), "{errors:?}");
        assert_eq!(dropped, []);
    }
    let too_high = Root { level: LEVEL_MAX + 1, ..three_levels(&[]).root };
    assert_eq!(entries::get(&MemoryPages::new(), &too_high, 0).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn broken_record_pages_are_corrupt_and_never_a_panic() {
    let mut pages = MemoryPages::new();
    let root = records::put(&mut pages, &Root::EMPTY, 1, b"one", &mut Vec::new()).unwrap();
    let page = pages.raw(root.pointer.unwrap().page);
    page[page::HEADER_LEN + 8] ^= 1;
    assert_eq!(records::get(&pages, &root, 1).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(records::put(&mut pages, &root, 2, b"two", &mut Vec::new()).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(records::remove(&mut pages, &root, 1, &mut Vec::new()).unwrap_err().kind(), ErrorKind::Corrupt);
}
