//! Are trees what they should be?
//!
//! Pages in memory that tests count, freeze and look through.
//!
//! Invariants:
//! 1. A frozen page never changes: `edit` refuses it, so a frozen root stays readable byte for byte.
//! 2. A page that was made and given up since the last freeze is gone: who reads it again gets `Corrupt`.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use super::layout::Layout;
use super::search::{child, first_key, read};
use super::{Dropped, Pages, PagesMut};
use crate::error::{Error, Result};
use crate::format::entry;
use crate::format::page::{self, Page, PageKind, PagePointer, Root};
use crate::units::{Epoch, Generation, PhysicalBlock};

/// Pages of any number of trees.
pub(crate) struct MemoryPages {
    pages: HashMap<PhysicalBlock, Box<Page>>,
    fresh: HashSet<PhysicalBlock>,
    /// The page made last: they are numbered.
    pub(crate) last: PhysicalBlock,
    /// The birth of the pages made now.
    pub(crate) epoch: Epoch,
    /// How many pages were read so far.
    pub(crate) reads: Cell<u64>,
}

impl MemoryPages {
    pub(crate) fn new() -> Self {
        Self { pages: HashMap::new(), fresh: HashSet::new(), last: PhysicalBlock(0), epoch: Epoch(1), reads: Cell::new(0) }
    }

    /// From now on no page made so far may change.
    pub(crate) fn freeze(&mut self) {
        self.fresh.clear();
        self.epoch = self.epoch.next();
    }

    /// Forgets a page that no tree holds.
    pub(crate) fn free(&mut self, page: PhysicalBlock) {
        self.fresh.remove(&page);
        assert!(self.pages.remove(&page).is_some(), "page {page} is freed twice");
    }

    pub(crate) fn is_fresh(&self, page: PhysicalBlock) -> bool {
        self.fresh.contains(&page)
    }

    pub(crate) fn numbers(&self) -> HashSet<PhysicalBlock> {
        self.pages.keys().copied().collect()
    }

    /// A page's bytes, unchecked.
    pub(crate) fn bytes(&self, page: PhysicalBlock) -> Option<&Page> {
        self.pages.get(&page).map(|page| &**page)
    }

    /// A page's bytes, whatever state it is in.
    pub(crate) fn raw(&mut self, page: PhysicalBlock) -> &mut Page {
        self.pages.get_mut(&page).expect("the page exists")
    }

    fn insert(&mut self, page: Page) -> PagePointer {
        let number = page::number(&page);
        self.pages.insert(number, Box::new(page));
        self.fresh.insert(number);
        PagePointer { page: number, birth: self.epoch, crc: 0 }
    }

    /// Makes a page of these contents.
    pub(crate) fn adopt(&mut self, mut page: Page) -> PagePointer {
        page::readdress(&mut page, self.next_number(), self.epoch, Generation(1));
        self.insert(page)
    }

    fn next_number(&mut self) -> PhysicalBlock {
        self.last = self.last.plus(1);
        self.last
    }
}

impl Pages for MemoryPages {
    fn read(&self, pointer: PagePointer, level: u8, leaf: PageKind) -> Result<&Page> {
        self.reads.set(self.reads.get() + 1);
        let page = self.pages.get(&pointer.page).ok_or_else(|| Error::corrupt(format!("page {} is gone", pointer.page)))?;
        let kind = if level == 0 { leaf } else { PageKind::Branch };
        if page::kind(page) != Some(kind) || page::level(page) != level || page::birth(page) != pointer.birth {
            return Err(Error::corrupt(format!("page {} is another one", pointer.page)));
        }
        Ok(page)
    }
}

impl PagesMut for MemoryPages {
    fn writable(&self, pointer: PagePointer) -> bool {
        self.is_fresh(pointer.page)
    }

    fn add(&mut self, kind: PageKind, level: u8) -> Result<PagePointer> {
        let number = self.next_number();
        Ok(self.insert(page::blank(kind, level, number, self.epoch, Generation(1))))
    }

    fn copy(&mut self, pointer: PagePointer, level: u8, leaf: PageKind) -> Result<PagePointer> {
        let page = *self.read(pointer, level, leaf)?;
        Ok(self.adopt(page))
    }

    fn edit(&mut self, pointer: PagePointer) -> &mut Page {
        assert!(self.is_fresh(pointer.page), "page {} is frozen", pointer.page);
        self.raw(pointer.page)
    }
}

/// The pages of a tree, each with its level and first key, after a check of everything that must hold of a tree.
pub(crate) fn check_tree<L: Layout>(pages: &impl Pages, root: &Root) -> HashMap<PhysicalBlock, Dropped> {
    let mut found = HashMap::new();
    if let Some(pointer) = root.pointer {
        check_page::<L>(pages, pointer, root.level, &mut found);
    }
    found
}

/// Returns the page's first and last key.
fn check_page<L: Layout>(
    pages: &impl Pages,
    pointer: PagePointer,
    level: u8,
    found: &mut HashMap<PhysicalBlock, Dropped>,
) -> (u64, u64) {
    let page = read::<L>(pages, pointer, level).expect("a tree's pages can be read");
    let count = page::count(page);
    let first = first_key::<L>(page, level);
    let twice = found.insert(pointer.page, Dropped { pointer, level, first_key: first });
    assert!(twice.is_none(), "page {} stands in the tree twice", pointer.page);
    if level == 0 {
        let rise = (1..count).all(|index| L::key(page, index - 1) < L::key(page, index));
        assert!(rise, "the keys of page {} do not rise", pointer.page);
        return (first, L::key(page, count - 1));
    }
    assert!(entry::padding_is_zero(page, count), "page {} is not padded with zeroes", pointer.page);
    let mut last = None;
    for index in 0..count {
        let key = entry::key(page, index);
        let child = child(page, index);
        assert!(child.birth <= pointer.birth, "page {} is younger than the page above it", child.page);
        let (child_first, child_last) = check_page::<L>(pages, child, level - 1, found);
        assert!(key <= child_first, "child {index} of page {} starts before its key", pointer.page);
        assert!(last.is_none_or(|last| last < key), "child {index} of page {} has a key of the child before", pointer.page);
        last = Some(child_last);
    }
    (first, last.expect("a branch has children"))
}

/// Checks that a change of a tree dropped what it should have dropped and frees what was made since the last freeze.
pub(crate) fn check_dropped(
    pages: &mut MemoryPages,
    before: &HashMap<PhysicalBlock, Dropped>,
    after: &HashMap<PhysicalBlock, Dropped>,
    dropped: &[Dropped],
) {
    let mut gone: HashSet<_> = HashSet::new();
    for page in dropped {
        assert!(gone.insert(page.pointer.page), "page {} is dropped twice", page.pointer.page);
        assert!(!after.contains_key(&page.pointer.page), "page {} is dropped and still there", page.pointer.page);
        match before.get(&page.pointer.page) {
            Some(known) if !pages.is_fresh(page.pointer.page) => assert_eq!(known, page),
            Some(_) => {}
            None => assert!(pages.is_fresh(page.pointer.page), "page {} was not in the tree", page.pointer.page),
        }
    }
    for page in before.keys().filter(|page| !after.contains_key(page)) {
        assert!(gone.contains(page), "page {page} is gone and was not dropped");
    }
    for page in gone.into_iter().filter(|page| pages.is_fresh(*page)).collect::<Vec<_>>() {
        pages.free(page);
    }
}
