//! Is every store clean that follows the rules, whatever happened to it, and none that breaks one?
//!
//! The history of `model/history_model.py` with pages: tables of four leaves that are copied when they are written, births as the
//! format says, junctions, bookmarks, and deletions that are finished at once or left half done.

use std::collections::BTreeMap;
use std::rc::Rc;

use proptest::prelude::*;

use super::family::{Condemned, Head, Snapshot};
use super::sketch::{Sketch, kinds, run};
use crate::check::ProblemKind::{BirthOutOfInterval, DoubleUse, NotInherited};
use crate::format::entry::Extent;
use crate::format::page::{PagePointer, Root};
use crate::format::record::{BookmarkRecord, ObjectId, RecordKind, SnapshotRecord, VersionState};

const LEAVES: usize = 4;
const LEAF_BLOCKS: usize = 4;
const BLOCKS: usize = LEAVES * LEAF_BLOCKS;
/// The version above all.
const ROOT: u64 = 0;

/// A block: its place and birth.
type Block = (u32, u64);

/// A leaf and its birth; shared as pages are.
#[derive(Clone)]
struct Leaf {
    birth: u64,
    blocks: [Option<Block>; LEAF_BLOCKS],
}

/// The branch above the leaves, and its birth.
#[derive(Clone)]
struct Table {
    birth: u64,
    leaves: [Rc<Leaf>; LEAVES],
}

struct Member {
    state: VersionState,
    parent: u64,
    drive: u64,
    epoch: u64,
    table: Rc<Table>,
}

impl Member {
    fn block(&self, logical: usize) -> Option<Block> {
        self.table.leaves[logical / LEAF_BLOCKS].blocks[logical % LEAF_BLOCKS]
    }
}

#[derive(Default)]
struct Model {
    epoch: u64,
    next_id: u64,
    next_place: u32,
    members: BTreeMap<u64, Member>,
    bookmarks: BTreeMap<u64, (u64, u64)>,
}

#[derive(Clone, Debug)]
enum Step {
    Create,
    Write(prop::sample::Index, usize),
    Discard(prop::sample::Index, usize),
    Snapshot(prop::sample::Index),
    Clone(prop::sample::Index),
    Bookmark(prop::sample::Index),
    Unbookmark(prop::sample::Index),
    Delete(prop::sample::Index),
    /// Deletes, but works off only so many blocks from the left for now.
    BeginDelete(prop::sample::Index, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        1 => Just(Step::Create),
        14 => (index(), 0..BLOCKS).prop_map(|(at, block)| Step::Write(at, block)),
        3 => (index(), 0..BLOCKS).prop_map(|(at, block)| Step::Discard(at, block)),
        4 => index().prop_map(Step::Snapshot),
        3 => index().prop_map(Step::Clone),
        1 => index().prop_map(Step::Bookmark),
        1 => index().prop_map(Step::Unbookmark),
        4 => index().prop_map(Step::Delete),
        1 => (index(), 0..BLOCKS).prop_map(|(at, blocks)| Step::BeginDelete(at, blocks)),
    ]
}

impl Model {
    fn new() -> Self {
        Self { epoch: 1, next_id: 1, ..Self::default() }
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    fn of_state(&self, wanted: &[VersionState]) -> Vec<u64> {
        self.members.iter().filter(|(_, member)| wanted.contains(&member.state)).map(|(id, _)| *id).collect()
    }

    fn floor(&self, id: u64) -> u64 {
        let member = &self.members[&id];
        let bookmarks = self.bookmarks.values().filter(|(drive, _)| *drive == member.drive).map(|(_, epoch)| *epoch);
        let parent = self.members.get(&member.parent).map_or(0, |parent| parent.epoch);
        let bookmark = if member.state == Head { bookmarks.max() } else { None };
        parent.max(bookmark.unwrap_or(0))
    }

    fn set(&mut self, id: u64, logical: usize, new: Option<u32>) {
        let birth = self.floor(id) + 1;
        let member = self.members.get_mut(&id).expect("it exists");
        let mut table = Table::clone(&member.table);
        let mut leaf = Leaf::clone(&table.leaves[logical / LEAF_BLOCKS]);
        leaf.blocks[logical % LEAF_BLOCKS] = new.map(|place| (place, birth));
        leaf.birth = birth;
        table.leaves[logical / LEAF_BLOCKS] = Rc::new(leaf);
        table.birth = birth;
        member.table = Rc::new(table);
    }

    fn take(&mut self, step: &Step) {
        let pick = |at: &prop::sample::Index, from: Vec<u64>| (!from.is_empty()).then(|| *at.get(&from));
        let heads = || self.of_state(&[Head]);
        match step {
            Step::Create => {
                let (drive, id) = (self.id(), self.id());
                let leaf = Rc::new(Leaf { birth: 1, blocks: [None; LEAF_BLOCKS] });
                let table = Rc::new(Table { birth: 1, leaves: std::array::from_fn(|_| Rc::clone(&leaf)) });
                self.members.insert(id, Member { state: Head, parent: ROOT, drive, epoch: 0, table });
            }
            Step::Write(at, logical) => {
                let Some(head) = pick(at, heads()) else { return };
                let floor = self.floor(head);
                if self.members[&head].block(*logical).is_none_or(|(_, birth)| birth <= floor) {
                    let place = self.next_place;
                    // Blocks of different leaves never continue each other, or the leaves would have to be merged.
                    self.next_place += if logical % LEAF_BLOCKS == LEAF_BLOCKS - 1 { 2 } else { 1 };
                    self.set(head, *logical, Some(place));
                }
            }
            Step::Discard(at, logical) => {
                let Some(head) = pick(at, heads()) else { return };
                self.set(head, *logical, None);
            }
            Step::Snapshot(at) => {
                let Some(head) = pick(at, heads()) else { return };
                let id = self.id();
                let epoch = self.epoch;
                let live = self.members.get_mut(&head).expect("it exists");
                let table = Rc::clone(&live.table);
                let frozen = Member { state: Snapshot, parent: live.parent, drive: live.drive, epoch, table };
                live.parent = id;
                self.members.insert(id, frozen);
                self.epoch += 1;
            }
            Step::Clone(at) => {
                let Some(origin) = pick(at, self.of_state(&[Snapshot])) else { return };
                let (drive, id) = (self.id(), self.id());
                let table = Rc::clone(&self.members[&origin].table);
                self.members.insert(id, Member { state: Head, parent: origin, drive, epoch: 0, table });
            }
            Step::Bookmark(at) => {
                let Some(head) = pick(at, heads()) else { return };
                let id = self.id();
                self.bookmarks.insert(id, (self.members[&head].drive, self.epoch));
                self.epoch += 1;
            }
            Step::Unbookmark(at) => {
                if let Some(id) = pick(at, self.bookmarks.keys().copied().collect()) {
                    self.bookmarks.remove(&id);
                }
            }
            Step::Delete(at) => self.delete(pick(at, self.of_state(&[Head, Snapshot, Condemned])), BLOCKS),
            Step::BeginDelete(at, blocks) => self.delete(pick(at, self.of_state(&[Head, Snapshot])), *blocks),
        }
    }

    fn delete(&mut self, id: Option<u64>, blocks: usize) {
        let Some(id) = id else { return };
        let epoch = self.epoch;
        let member = self.members.get_mut(&id).expect("it exists");
        if member.state == Head {
            member.epoch = epoch;
            let drive = member.drive;
            self.bookmarks.retain(|_, (of, _)| *of != drive);
        }
        let member = self.members.get_mut(&id).expect("it exists");
        member.state = Condemned;
        for logical in 0..blocks {
            if self.members[&id].block(logical).is_some() {
                self.set(id, logical, None);
            }
        }
        self.splice();
    }

    fn is_empty(&self, id: u64) -> bool {
        (0..BLOCKS).all(|logical| self.members[&id].block(logical).is_none())
    }

    fn splice(&mut self) {
        let children = |model: &Self, id| model.members.values().filter(|member| member.parent == id).count();
        let gone =
            |model: &Self, id: &u64| model.members[id].state == Condemned && model.is_empty(*id) && children(model, *id) < 2;
        while let Some(id) = self.members.keys().copied().find(|id| gone(self, id)) {
            let above = self.members.remove(&id).expect("it was found").parent;
            self.members.values_mut().filter(|member| member.parent == id).for_each(|member| member.parent = above);
        }
    }

    /// The store as pages; shared leaves and tables are one page.
    fn draw(&self, tamper: &Tamper) -> Sketch {
        let mut sketch = Sketch::new(self.epoch);
        sketch.superblock.next_id = self.next_id;
        let mut leaves: BTreeMap<*const Leaf, Option<(u64, PagePointer)>> = BTreeMap::new();
        let mut tables: BTreeMap<*const Table, (Root, Root, u64)> = BTreeMap::new();
        for (id, member) in &self.members {
            let drawn = tables.entry(Rc::as_ptr(&member.table));
            let image = *drawn.or_insert_with(|| draw_table(&mut sketch, &member.table, &mut leaves, tamper));
            let image = if self.is_empty(*id) { (Root::EMPTY, Root::EMPTY, 0) } else { image };
            sketch.version(*id, (member.state, member.drive, member.parent, member.epoch), image);
            match member.state {
                Head => sketch.drive(member.drive, *id),
                Snapshot => {
                    let drive_uuid = [member.drive as u8; 16];
                    let record = SnapshotRecord { version: 1, uuid: [0; 16], name: String::new(), drive_uuid, attributes_len: 0 };
                    sketch.put(RecordKind::Snapshot, *id, &record);
                }
                Condemned => {}
            }
        }
        for (id, (drive, epoch)) in &self.bookmarks {
            let (drive, name) = (ObjectId(*drive), String::new());
            let record =
                BookmarkRecord { version: 1, uuid: [0; 16], name, drive, epoch: *epoch, referenced_blocks: 0, size_bytes: 4096 };
            sketch.put(RecordKind::Bookmark, *id, &record);
        }
        sketch
    }

    /// Is a block held in a way that the rules do not explain? Counted by brute force, pair by pair.
    fn breaks_a_rule(&self, tamper: &Tamper) -> bool {
        let held: Vec<(u64, usize, Block)> = self
            .members
            .keys()
            .flat_map(|id| (0..BLOCKS).filter_map(|logical| Some((*id, logical, self.drawn(*id, logical, tamper)?))))
            .collect();
        held.iter().any(|left| held.iter().any(|right| self.pair_breaks_a_rule(left, right)))
            || held.iter().any(|holding| self.is_not_inherited(holding, &held))
    }

    fn drawn(&self, id: u64, logical: usize, tamper: &Tamper) -> Option<Block> {
        let leaf = &self.members[&id].table.leaves[logical / LEAF_BLOCKS];
        let at = logical % LEAF_BLOCKS;
        leaf.blocks[at].map(|block| tamper.apply(leaf, at, block))
    }

    fn ancestors(&self, id: u64) -> Vec<u64> {
        std::iter::successors(Some(id), |id| self.members.get(id).map(|member| member.parent))
            .take_while(|id| *id != ROOT)
            .collect()
    }

    fn pair_breaks_a_rule(&self, left: &(u64, usize, Block), right: &(u64, usize, Block)) -> bool {
        let ((one, left_at, (place, birth)), (other, right_at, (same, other_birth))) = (left, right);
        if place != same || (one == other && left_at == right_at) {
            return false;
        }
        let line = self.ancestors(*other);
        let common = self.ancestors(*one).into_iter().find(|id| line.contains(id));
        let end = common.map_or(0, |id| if self.members[&id].state == Head { u64::MAX } else { self.members[&id].epoch });
        left_at != right_at || birth != other_birth || *birth > end
    }

    fn is_not_inherited(&self, (id, logical, block): &(u64, usize, Block), held: &[(u64, usize, Block)]) -> bool {
        let above = self.ancestors(*id).into_iter().skip(1).find(|id| self.members[id].state == Snapshot);
        above.is_some_and(|above| block.1 <= self.members[&above].epoch && !held.contains(&(above, *logical, *block)))
    }
}

/// One block of one leaf is drawn as if it were another.
#[derive(Clone, Debug, Default)]
struct Tamper {
    leaf: Option<*const Leaf>,
    at: usize,
    block: Block,
}

impl Tamper {
    fn apply(&self, leaf: &Rc<Leaf>, at: usize, block: Block) -> Block {
        if self.leaf == Some(Rc::as_ptr(leaf)) && at == self.at { self.block } else { block }
    }
}

fn draw_table(
    sketch: &mut Sketch,
    table: &Table,
    leaves: &mut BTreeMap<*const Leaf, Option<(u64, PagePointer)>>,
    tamper: &Tamper,
) -> (Root, Root, u64) {
    let mut children = Vec::new();
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    for (index, leaf) in table.leaves.iter().enumerate() {
        for (at, block) in leaf.blocks.iter().enumerate() {
            if let Some(block) = block {
                *counts.entry(tamper.apply(leaf, at, *block).1).or_default() += 1;
            }
        }
        let drawn = leaves.entry(Rc::as_ptr(leaf)).or_insert_with(|| {
            let extents = extents_of(leaf, index * LEAF_BLOCKS, tamper);
            (!extents.is_empty()).then(|| (extents[0].logical.0, sketch.extents(leaf.birth, &extents)))
        });
        children.extend(*drawn);
    }
    if children.is_empty() {
        return (Root::EMPTY, Root::EMPTY, 0);
    }
    let buckets: Vec<(u64, u64)> = counts.into_iter().collect();
    (
        sketch.branch(1, table.birth, &children),
        sketch.histogram(table.birth, &buckets),
        buckets.iter().map(|(_, blocks)| blocks).sum(),
    )
}

fn extents_of(leaf: &Rc<Leaf>, start: usize, tamper: &Tamper) -> Vec<Extent> {
    let mut extents: Vec<Extent> = Vec::new();
    for (index, block) in leaf.blocks.iter().enumerate() {
        let Some(block) = block else { continue };
        let (place, birth) = tamper.apply(leaf, index, *block);
        let extent = run((start + index) as u64, place, 1, birth);
        match extents.last_mut() {
            Some(last) if last.continues_with(&extent) => last.blocks += 1,
            _ => extents.push(extent),
        }
    }
    extents
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn store_that_follows_the_rules_is_clean(steps in prop::collection::vec(step(), 1..80)) {
        let mut model = Model::new();
        steps.iter().for_each(|step| model.take(step));
        let report = model.draw(&Tamper::default()).finish().check();
        prop_assert!(report.is_clean(), "{report}");
    }

    /// One block of one leaf is said to lie elsewhere or to be of another birth: what counting pair by pair finds, `check` finds.
    #[test]
    fn broken_sharing_is_found_and_nothing_else(
        steps in prop::collection::vec(step(), 1..80),
        (leaf, at, place, birth) in (any::<prop::sample::Index>(), 0..LEAF_BLOCKS, 0u32..30, 1u64..6),
    ) {
        let mut model = Model::new();
        steps.iter().for_each(|step| model.take(step));
        let leaves: Vec<*const Leaf> = model.members.values().flat_map(|member| member.table.leaves.iter().map(Rc::as_ptr)).collect();
        if leaves.is_empty() {
            return Ok(());
        }
        let tamper = Tamper { leaf: Some(*leaf.get(&leaves)), at, block: (place, birth) };
        let report = model.draw(&tamper).finish().check();
        let found = kinds(&report);
        // A birth that the page or version cannot hold is a finding of its own, and makes the owner a guess.
        if !found.contains(&BirthOutOfInterval) {
            let broken = found.contains(&DoubleUse) || found.contains(&NotInherited);
            prop_assert_eq!(broken, model.breaks_a_rule(&tamper), "{}", report);
        }
    }
}
