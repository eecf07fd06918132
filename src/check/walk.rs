//! Is a tree well-formed?
//!
//! Each distinct page is read and judged once, however many versions hold it; what its holders must know of it is kept as a
//! [`Summary`]. A second pointer to the page is compared with the first and not followed, so a damaged tree can
//! neither loop nor grow: the depth is bounded by the level, the work by the number of pages.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::report::{CheckProgress, Findings, ProblemKind};
use super::space::Space;
use super::tree::{Role, Summary, Tree};
use crate::device::Device;
use crate::format::entry::{self, ENTRIES_PER_PAGE, Extent};
use crate::format::group::GroupRecord;
use crate::format::page::{self, HEADER_LEN, LEVEL_MAX, Page, PageKind, PagePointer, Root};
use crate::format::record;
use crate::format::superblock::Superblock;
use crate::units::{BLOCK_LEN, PhysicalBlock};

/// Progress is told once for this many pages.
const PAGES_PER_PROGRESS: u64 = 1024;

/// What is known of a page that was walked.
#[derive(Clone, Copy, Debug)]
pub struct PageFacts {
    role: Role,
    pub level: u8,
    pointer: PagePointer,
    owner: u64,
    /// Everything below could be read and is in order.
    sound: bool,
    pub summary: Summary,
}

/// A tree that could not be walked to its end, or whose keys are in disorder.
pub struct Unsound;

/// Judges a leaf's content on its first visit, and fills in what a [`Summary`] says of extents.
pub type LeafJudge<'j> = dyn FnMut(&Page, &str, &mut Findings, &Space) -> Summary + 'j;

/// The walk through a store: where it reads, what it has seen, what it found.
pub struct Walk<'a> {
    device: &'a dyn Device,
    pub superblock: &'a Superblock,
    pub findings: Findings,
    pub space: Space,
    pages: HashMap<u64, PageFacts>,
    told: CheckProgress,
    progress: &'a mut dyn FnMut(CheckProgress),
}

impl<'a> Walk<'a> {
    pub fn new(device: &'a dyn Device, superblock: &'a Superblock, progress: &'a mut dyn FnMut(CheckProgress)) -> Self {
        Self {
            device,
            superblock,
            findings: Findings::default(),
            space: Space::new(superblock.store_blocks),
            pages: HashMap::new(),
            told: CheckProgress { pages_total: superblock.tree_pages, ..CheckProgress::default() },
            progress,
        }
    }

    /// What the walk learned of a page, if the page and all below it are sound.
    pub fn facts(&self, pointer: PagePointer) -> Option<&PageFacts> {
        self.pages.get(&pointer.page.0).filter(|facts| facts.sound && facts.pointer == pointer)
    }

    /// Walks a tree; `None` if it is empty.
    pub fn tree(&mut self, tree: &Tree<'_>, root: Root, judge: &mut LeafJudge<'_>) -> Result<Option<Summary>, Unsound> {
        let Some(pointer) = root.pointer else { return Ok(None) };
        if root.level > LEVEL_MAX {
            self.findings.lost(ProblemKind::BadPointer, tree.place(pointer.page), format_args!("its level is {}", root.level));
            return Err(Unsound);
        }
        self.page(tree, pointer, root.level, judge).map(Some).ok_or(Unsound)
    }

    fn page(&mut self, tree: &Tree<'_>, pointer: PagePointer, level: u8, judge: &mut LeafJudge<'_>) -> Option<Summary> {
        let place = tree.place(pointer.page);
        if !self.space.is_place(pointer.page) {
            self.findings.lost(ProblemKind::BadPointer, place, "no tree page can lie there");
            return None;
        }
        let owner = tree.owner(pointer.birth.0);
        if let Some(facts) = self.pages.get(&pointer.page.0).copied() {
            return self.page_again(tree, &place, pointer, level, owner, &facts);
        }
        self.space.claim_page(pointer.page, &place, &mut self.findings);
        self.space.judge_page(pointer.page, &place, &mut self.findings);
        let summary = Summary::default();
        let mut facts = PageFacts { role: tree.role, level, pointer, owner, sound: false, summary };
        // Known before its children are walked: whoever meets it again must not follow it.
        self.pages.insert(pointer.page.0, facts);
        self.page_done();
        let page = self.load(tree, &place, pointer, level)?;
        self.judge_header(tree, &place, &page, level)?;
        (facts.summary, facts.sound) =
            if level == 0 { self.leaf(tree, &place, &page, judge) } else { self.branch(tree, &place, &page, level, judge) };
        self.pages.insert(pointer.page.0, facts);
        self.findings.incomplete |= !facts.sound;
        facts.sound.then_some(facts.summary)
    }

    /// Takes over the records of the group tree, which itself was walked before they were known.
    pub fn know_groups(&mut self, groups: BTreeMap<u64, GroupRecord>, all: bool) {
        (self.space.groups, self.space.groups_known) = (groups, all);
        let mut walked: Vec<PagePointer> = self.pages.values().map(|facts| facts.pointer).collect();
        walked.sort_unstable_by_key(|pointer| pointer.page);
        for PagePointer { page, .. } in walked {
            self.space.judge_page(page, &format!("{} of the store, page {page}", Role::Groups), &mut self.findings);
        }
    }

    fn page_again(
        &mut self,
        tree: &Tree<'_>,
        place: &str,
        pointer: PagePointer,
        level: u8,
        owner: u64,
        facts: &PageFacts,
    ) -> Option<Summary> {
        let findings = &mut self.findings;
        if facts.role != tree.role || facts.level != level {
            let detail = format_args!("also reached as a page of level {} of a {}", facts.level, facts.role);
            findings.lost(ProblemKind::DoubleUse, place, detail);
            return None;
        }
        if facts.pointer != pointer {
            findings.lost(ProblemKind::PageDamaged, place, "two pointers lead to it and disagree on its birth or checksum");
            return None;
        }
        if tree.lineage.is_none() || facts.owner != owner {
            let detail =
                format_args!("born in epoch {}, it belongs to version {owner} and to version {}", pointer.birth, facts.owner);
            findings.add(ProblemKind::DoubleUse, place, detail);
        }
        // Agreement on the owner says that nothing below is too young for this holder either: see `freeze_between`.
        facts.sound.then_some(facts.summary)
    }

    /// Reads a page of a tree and compares it with the pointer that leads there.
    pub fn load(&mut self, tree: &Tree<'_>, place: &str, pointer: PagePointer, level: u8) -> Option<Box<Page>> {
        let page = self.read(place, pointer.page)?;
        match page::verify_pointed(&page, self.superblock.seed, pointer, level, tree.role.leaf()) {
            Ok(()) => Some(page),
            Err(message) => {
                self.findings.lost(ProblemKind::PageDamaged, place, message);
                None
            }
        }
    }

    /// Reads a block that holds a page of metadata.
    pub fn read(&mut self, place: &str, block: PhysicalBlock) -> Option<Box<Page>> {
        let mut page = Box::new([0; BLOCK_LEN]);
        match self.device.read_at(&mut page[..], block.offset()) {
            Ok(()) => Some(page),
            Err(error) => {
                self.findings.lost(ProblemKind::Unreadable, place, error);
                None
            }
        }
    }

    /// Judges the number of the commit that a page says it was written by.
    pub fn judge_generation(&mut self, place: &str, page: &Page) {
        let (generation, newest) = (page::generation(page), self.superblock.generation);
        if generation.0 == 0 || generation > newest {
            let detail = format_args!("written by commit {generation}, the newest is {newest}");
            self.findings.add(ProblemKind::WrongGeneration, place, detail);
        }
    }

    /// Tells how many groups are compared.
    pub fn group_done(&mut self, groups_total: u64) {
        self.told.groups_total = groups_total;
        self.told.groups_done += 1;
        (self.progress)(self.told);
    }

    fn page_done(&mut self) {
        self.findings.report.tree_pages += 1;
        self.told.pages_done += 1;
        if self.told.pages_done.is_multiple_of(PAGES_PER_PROGRESS) {
            (self.progress)(self.told);
        }
    }

    fn judge_header(&mut self, tree: &Tree<'_>, place: &str, page: &Page, level: u8) -> Option<()> {
        self.judge_generation(place, page);
        if let Err(detail) = tree.judge_page_birth(page::birth(page).0) {
            self.findings.add(ProblemKind::BirthOutOfInterval, place, detail);
        }
        let count = page::count(page);
        if count == 0 {
            self.findings.lost(ProblemKind::EmptyPage, place, "it has no entries");
            return None;
        }
        let verdict = if level == 0 && tree.role.leaf() == PageKind::RecordLeaf {
            record::leaf_check(page).and_then(|()| judge_record_padding(page))
        } else if count > ENTRIES_PER_PAGE {
            Err("it counts more entries than fit")
        } else if !entry::padding_is_zero(page, count) {
            Err("bytes behind the last entry are set")
        } else {
            Ok(())
        };
        verdict.map_err(|detail| self.findings.lost(ProblemKind::PageDamaged, place, detail)).ok()
    }

    fn leaf(&mut self, tree: &Tree<'_>, place: &str, page: &Page, judge: &mut LeafJudge<'_>) -> (Summary, bool) {
        let count = page::count(page);
        let key = |index| {
            if tree.role.leaf() == PageKind::RecordLeaf { record::leaf_key(page, index) } else { entry::key(page, index) }
        };
        let mut sound = true;
        for index in 1..count {
            if key(index - 1) >= key(index) {
                sound = false;
                let detail = format_args!("key {:#x} stands before key {:#x}", key(index - 1), key(index));
                self.findings.add(ProblemKind::KeyOrder, place, detail);
            }
        }
        let mut summary = judge(page, place, &mut self.findings, &self.space);
        (summary.first_key, summary.last_key) = (key(0), key(count - 1));
        (summary, sound)
    }

    fn branch(&mut self, tree: &Tree<'_>, place: &str, page: &Page, level: u8, judge: &mut LeafJudge<'_>) -> (Summary, bool) {
        let page_birth = page::birth(page).0;
        let mut summary = Summary { first_key: entry::key(page, 0), ..Summary::default() };
        let mut sound = true;
        for index in 0..page::count(page) {
            let key = entry::key(page, index);
            let pointer = entry::decode_pointer(&entry::value(page, index));
            if index > 0 && key <= summary.last_key {
                sound = false;
                let detail = format_args!("key {key:#x} stands behind key {:#x}", summary.last_key);
                self.findings.add(ProblemKind::KeyOrder, place, detail);
            }
            // Whether the birth is possible at all is judged at the child itself.
            if let Some(epoch) = tree.freeze_between(page_birth, pointer.birth.0) {
                let (child, birth) = (pointer.page, pointer.birth);
                let detail =
                    format_args!("of epoch {page_birth} it leads to page {child} of epoch {birth}, but {epoch} froze it");
                self.findings.add(ProblemKind::BirthOutOfInterval, place, detail);
            }
            summary.last_key = key;
            let Some(child) = self.page(tree, pointer, level - 1, judge) else {
                sound = false;
                continue;
            };
            if child.first_key < key {
                sound = false;
                let detail =
                    format_args!("its child, page {}, begins with key {:#x} before {key:#x}", pointer.page, child.first_key);
                self.findings.add(ProblemKind::KeyOrder, place, detail);
            }
            if let (Some(last), Some(first)) = (&summary.last, &child.first) {
                judge_neighbours(last, first, place, &mut self.findings);
            }
            summary.last_key = child.last_key.max(key);
            summary.data_end = summary.data_end.max(child.data_end);
            summary.first = summary.first.or(child.first);
            summary.last = child.last.or(summary.last);
        }
        (summary, sound)
    }
}

/// Judges two extents of which nothing lies between.
pub fn judge_neighbours(left: &Extent, right: &Extent, place: impl fmt::Display, findings: &mut Findings) {
    if left.end() > right.logical {
        let detail = format_args!("blocks {}..{} and the extent at block {} overlap", left.logical, left.end(), right.logical);
        findings.add(ProblemKind::ExtentOverlap, place, detail);
    } else if left.continues_with(right) {
        let detail = format_args!("the extents at blocks {} and {} should be one", left.logical, right.logical);
        findings.add(ProblemKind::ExtentUnmerged, place, detail);
    }
}

/// The bytes between the slots of a record leaf and its last record are padding like any other.
fn judge_record_padding(page: &Page) -> Result<(), &'static str> {
    let count = page::count(page);
    let slots_end = HEADER_LEN + record::leaf_cost(0) * count;
    let records: usize = (0..count).map(|index| record::leaf_value(page, index).len()).sum();
    match page.get(slots_end..BLOCK_LEN - records) {
        Some(padding) if padding.iter().all(|byte| *byte == 0) => Ok(()),
        _ => Err("bytes between the slots and the records are set"),
    }
}
