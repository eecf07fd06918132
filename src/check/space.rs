//! Which blocks does something reach, and does more than one reach them?
//!
//! A bit per place, in chunks that exist only for groups that something reaches. Whoever owns a block alone *claims* its bit,
//! and a bit claimed twice is a block used twice. Blocks that several versions may hold on behalf of one that was deleted are
//! *collected* with their owner instead, and must agree.

use std::collections::{BTreeMap, HashMap};

use super::report::{Findings, ProblemKind};
use crate::format::entry::Extent;
use crate::format::group::{self, GROUP_PLACES, Group, GroupKind, GroupRecord, Place};
use crate::format::page::PAYLOAD_LEN;
use crate::units::{Epoch, LogicalBlock, PhysicalBlock};

pub const WORD_BITS: u32 = u64::BITS;
pub const GROUP_WORDS: usize = (GROUP_PLACES / WORD_BITS) as usize;

const _: () = assert!(GROUP_PLACES.is_multiple_of(WORD_BITS) && GROUP_WORDS * 8 == PAYLOAD_LEN);

/// A bit for each place of a group.
pub type Bits = [u64; GROUP_WORDS];

/// A run of blocks held on behalf of `owner`. All who hold one of the blocks must agree on everything but the bounds of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Collected {
    physical: u64,
    logical: u64,
    birth: u64,
    owner: u64,
    blocks: u32,
}

impl Collected {
    fn end(&self) -> u64 {
        self.physical + u64::from(self.blocks)
    }

    fn agrees_with(&self, other: &Self) -> bool {
        self.birth == other.birth
            && self.owner == other.owner
            && self.physical.wrapping_sub(self.logical) == other.physical.wrapping_sub(other.logical)
    }
}

/// What is known of the store's blocks.
pub struct Space {
    pub store_blocks: u64,
    /// The group tree's records.
    pub groups: BTreeMap<u64, GroupRecord>,
    /// The group tree could be read to its end.
    pub groups_known: bool,
    pub reached: HashMap<u64, Box<Bits>>,
    collected: Vec<Collected>,
    pub data_blocks: u64,
}

impl Space {
    pub fn new(store_blocks: u64) -> Self {
        let store_blocks = store_blocks.min(group::STORE_BLOCKS_MAX);
        let groups = BTreeMap::new();
        Self { store_blocks, groups, groups_known: false, reached: HashMap::new(), collected: Vec::new(), data_blocks: 0 }
    }

    /// How many groups the store can have.
    pub fn group_count(&self) -> u64 {
        Group::count(self.store_blocks)
    }

    /// Is `block` a place of one of the store's groups?
    pub fn is_place(&self, block: PhysicalBlock) -> bool {
        block.0 < self.store_blocks && group::place_of(block).is_some()
    }

    /// The group and first place of a run of blocks, if the run lies in the places of one group.
    fn places(&self, first: PhysicalBlock, blocks: u32) -> Option<(Group, u32)> {
        if !self.is_place(first) {
            return None;
        }
        let (group, Place(place)) = (Group::of(first), group::place_of(first)?);
        let end = u64::from(place) + u64::from(blocks);
        (blocks > 0 && end <= u64::from(group.places(self.store_blocks))).then_some((group, place))
    }

    /// Says why an extent's blocks cannot hold data.
    pub fn judge_data(&self, extent: &Extent) -> Result<(), (ProblemKind, String)> {
        let Some(first) = extent.physical else { return Ok(()) };
        let Some((group, _)) = self.places(first, extent.blocks) else {
            let detail =
                format!("blocks {first}..{} of the store are not places of one group", first.plus(u64::from(extent.blocks)));
            return Err((ProblemKind::ExtentOutOfRange, detail));
        };
        match self.groups.get(&group.0) {
            Some(record) if record.kind == GroupKind::Tree => Err((
                ProblemKind::BadGroup,
                format!("data at block {first} of the store, but group {} holds tree pages", group.0),
            )),
            // A group without a record has no bit set: the comparison of bits reports it.
            _ => Ok(()),
        }
    }

    /// Claims the place of a tree page.
    pub fn claim_page(&mut self, block: PhysicalBlock, place: &str, findings: &mut Findings) {
        if self.reach(block, 1).0 == 0 {
            findings.add(ProblemKind::DoubleUse, place, "its block also holds data");
        }
    }

    /// Says if a tree page lies where none may.
    pub fn judge_page(&self, block: PhysicalBlock, place: &str, findings: &mut Findings) {
        let group = Group::of(block);
        if self.groups.get(&group.0).is_some_and(|record| record.kind == GroupKind::Data) {
            findings.add(ProblemKind::BadGroup, place, format_args!("it is a tree page, but group {} holds data", group.0));
        }
    }

    /// Claims the blocks of an extent that only its owner, and who inherits from it, may hold.
    pub fn claim(&mut self, extent: &Extent, holder: &str, findings: &mut Findings) {
        let Some(first) = extent.physical else { return };
        let (added, twice) = self.reach(first, extent.blocks);
        self.data_blocks += u64::from(added);
        if let Some(block) = twice {
            let detail =
                format_args!("block {block} of the store, which it maps at blocks {}.., is in use elsewhere", extent.logical);
            findings.add(ProblemKind::DoubleUse, format_args!("table of {holder}"), detail);
        }
    }

    /// Notes that an extent's blocks are reached, whoever else reaches them.
    pub fn mark(&mut self, extent: &Extent) {
        if let Some(first) = extent.physical {
            self.data_blocks += u64::from(self.reach(first, extent.blocks).0);
        }
    }

    /// Keeps an extent to be compared with all others that reach the same blocks.
    pub fn collect(&mut self, extent: &Extent, owner: u64) {
        if let Some(first) = extent.physical
            && self.places(first, extent.blocks).is_some()
        {
            let Extent { logical, blocks, birth, .. } = *extent;
            self.collected.push(Collected { physical: first.0, logical: logical.0, birth: birth.0, owner, blocks });
        }
    }

    /// Sets the bits of a run; returns how many were clear, and the first block whose bit was set. What is not a run of places is
    /// reported where it stands, and has no bits.
    fn reach(&mut self, first: PhysicalBlock, blocks: u32) -> (u32, Option<PhysicalBlock>) {
        let Some((group, from)) = self.places(first, blocks) else { return (0, None) };
        let bits = self.reached.entry(group.0).or_insert_with(|| Box::new([0; GROUP_WORDS]));
        let (mut added, mut twice) = (0, None);
        let (mut at, end) = (from, from + blocks);
        while at < end {
            let shift = at % WORD_BITS;
            let run = (WORD_BITS - shift).min(end - at);
            let mask = (u64::MAX >> (WORD_BITS - run)) << shift;
            let word = &mut bits[(at / WORD_BITS) as usize];
            let held = *word & mask;
            if held != 0 && twice.is_none() {
                twice = Some(group.block(Place(at - shift + held.trailing_zeros())));
            }
            added += (mask & !held).count_ones();
            *word |= mask;
            at += run;
        }
        (added, twice)
    }

    /// Compares what was collected, and claims it.
    pub fn settle(&mut self, findings: &mut Findings) {
        let mut collected = std::mem::take(&mut self.collected);
        collected.sort_unstable();
        collected.dedup();
        let mut widest: Option<Collected> = None;
        for run in collected {
            let covered_to = widest.map_or(0, |before| before.end());
            if let Some(before) = widest.filter(|before| run.physical < before.end() && !before.agrees_with(&run)) {
                let told =
                    |run: &Collected| format!("at block {} born in epoch {} of version {}", run.logical, run.birth, run.owner);
                let detail = format_args!("held {} and {}", told(&before), told(&run));
                findings.add(ProblemKind::DoubleUse, format_args!("block {}", run.physical), detail);
            }
            let fresh = run.physical.max(covered_to);
            if fresh < run.end() {
                let extent = Extent {
                    logical: LogicalBlock(run.logical + (fresh - run.physical)),
                    physical: Some(PhysicalBlock(fresh)),
                    blocks: (run.end() - fresh) as u32,
                    birth: Epoch(run.birth),
                };
                self.claim(&extent, &format!("version {} or its descendants", run.owner), findings);
                widest = Some(run);
            }
        }
    }
}
