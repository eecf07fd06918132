//! Which version of a page counts: the one on the heap or the one on the device?
//!
//! A page changed since the last durable commit is on the heap; every other page is read where it lies in the map and
//! checked at its first use. The pages of a small commit stay on the heap until the next one is durable: that mostly changes the same
//! trees, and would have to fetch and check what was only just written.
//!
//! Invariants:
//! 1. A page on the heap is newer than the same page on the device, or the same.
//! 2. Only pages of the working generation are changed; those of the commit that is being written stay as they are.
//! 3. A page leaves the heap when its commit is durable or when its last holder dropped it, never before.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use super::Pages;
use crate::device::{Device, Lend};
use crate::error::{Error, ErrorKind, Result};
use crate::format::entry;
use crate::format::group;
use crate::format::page::{self, Page, PageKind, PagePointer, Root};
use crate::sync::Ordering;
use crate::sync::plain::AtomicU64;
use crate::units::{BLOCK_BYTES, Epoch, Generation, PhysicalBlock};

/// The pages of some trees, changed and unchanged.
pub struct WorkingSet {
    device: Arc<dyn Device>,
    verified: Arc<VerifiedPages>,
    seed: u32,
    working: Generation,
    changed: HashMap<u64, Changed, PageHash>,
    /// How many of them the device does not have.
    unwritten: usize,
    /// Pages of this commit and of those before it are on the device.
    durable: Generation,
}

/// A commit is small if it has no more pages than this.
const SMALL_COMMIT_PAGES: usize = 64;

struct Changed {
    page: Arc<Page>,
    generation: Generation,
    sealed: Option<u32>,
}

/// A page to be written, and where.
pub type SealedPage = (PhysicalBlock, Arc<Page>);

impl WorkingSet {
    /// Nothing changed yet; the next commit will be `working`.
    pub fn new(device: Arc<dyn Device>, verified: Arc<VerifiedPages>, seed: u32, working: Generation) -> Self {
        Self { device, verified, seed, working, changed: HashMap::default(), unwritten: 0, durable: Generation(0) }
    }

    /// The generation that changes belong to.
    pub fn working(&self) -> Generation {
        self.working
    }

    /// How many pages are on the heap because the device does not have them.
    pub fn changed_pages(&self) -> usize {
        self.unwritten
    }

    /// Does the device reach up to block `end`?
    pub fn reaches(&self, end: PhysicalBlock) -> bool {
        end.0 <= self.device.len_bytes() / BLOCK_BYTES
    }

    /// Was the page made in the working generation?
    pub fn is_working(&self, page: PhysicalBlock) -> bool {
        self.changed.get(&page.0).is_some_and(|changed| changed.generation == self.working)
    }

    /// Puts a blank page of the working generation at `at`.
    pub fn add(&mut self, at: PhysicalBlock, kind: PageKind, level: u8, birth: Epoch) -> PagePointer {
        let page = page::blank(kind, level, at, birth, self.working);
        self.place(at, page, birth)
    }

    /// Puts a copy of the page behind `pointer` at `at`, as a page of the working generation.
    pub fn copy(
        &mut self,
        at: PhysicalBlock,
        pointer: PagePointer,
        level: u8,
        leaf: PageKind,
        birth: Epoch,
    ) -> Result<PagePointer> {
        let mut page = *self.read(pointer, level, leaf)?;
        page::readdress(&mut page, at, birth, self.working);
        Ok(self.place(at, page, birth))
    }

    fn place(&mut self, at: PhysicalBlock, page: Page, birth: Epoch) -> PagePointer {
        let changed = Changed { page: Arc::new(page), generation: self.working, sealed: None };
        let before = self.changed.insert(at.0, changed);
        self.unwritten += usize::from(before.is_none_or(|before| before.generation <= self.durable));
        PagePointer { page: at, birth, crc: 0 }
    }

    /// The bytes of a page of the working generation.
    pub fn edit(&mut self, pointer: PagePointer) -> &mut Page {
        let changed = self.changed.get_mut(&pointer.page.0).expect("only pages on the heap are changed");
        assert_eq!(changed.generation, self.working, "a page of a commit that is being written is not changed");
        changed.sealed = None;
        Arc::make_mut(&mut changed.page)
    }

    /// Nobody holds the page any more.
    pub fn forget(&mut self, page: PhysicalBlock) {
        if self.is_working(page) {
            self.changed.remove(&page.0);
            self.unwritten -= 1;
        }
    }

    /// Gives every changed page under `root` its checksum and its parent the pointer with it; returns the root's own.
    pub fn seal(&mut self, root: Root) -> Root {
        Root { pointer: root.pointer.map(|pointer| self.seal_page(pointer, root.level)), level: root.level }
    }

    fn seal_page(&mut self, pointer: PagePointer, level: u8) -> PagePointer {
        // A checksum of 0 says "not known yet"; a page whose checksum really is 0 costs one look-up.
        if pointer.crc != 0 {
            return pointer;
        }
        let Some(changed) = self.changed.get(&pointer.page.0) else { return pointer };
        if let Some(crc) = changed.sealed {
            return PagePointer { crc, ..pointer };
        }
        let children = 0..if level > 0 { page::count(&changed.page) } else { 0 };
        let unsealed = children.filter(|index| entry::pointer_crc(&changed.page, *index) == 0);
        let mut unsealed: Vec<_> =
            unsealed.map(|index| (index, entry::decode_pointer(&entry::value(&changed.page, index)))).collect();
        for (_, child) in &mut unsealed {
            *child = self.seal_page(*child, level - 1);
        }
        let changed = self.changed.get_mut(&pointer.page.0).expect("sealing children removes no page");
        let page = Arc::make_mut(&mut changed.page);
        for (index, child) in unsealed {
            entry::put(page, index, entry::key(page, index), &entry::encode_pointer(child));
        }
        let crc = page::seal(page, self.seed);
        changed.sealed = Some(crc);
        PagePointer { crc, ..pointer }
    }

    /// Hands out the sealed pages of the working generation and begins the next one.
    pub fn begin_next(&mut self, out: &mut Vec<SealedPage>) {
        for (number, changed) in &self.changed {
            // A page that no root reaches any more was never sealed; nobody will read it.
            if changed.generation == self.working && changed.sealed.is_some() {
                self.verified.remove(PhysicalBlock(*number));
                out.push((PhysicalBlock(*number), Arc::clone(&changed.page)));
            }
        }
        self.working = self.working.next();
    }

    /// Commit `generation` is durable: the device has its pages.
    pub fn committed(&mut self, generation: Generation) {
        let written = self.changed.values().filter(|changed| changed.generation == generation).count();
        let oldest = if written <= SMALL_COMMIT_PAGES { generation } else { generation.next() };
        self.changed.retain(|_, changed| changed.generation >= oldest);
        self.unwritten = self.changed.values().filter(|changed| changed.generation > generation).count();
        self.durable = generation;
    }
}

impl Pages for WorkingSet {
    fn read(&self, pointer: PagePointer, level: u8, leaf: PageKind) -> Result<&Page> {
        let is_newest = |changed: &&Changed| changed.generation > self.durable || changed.sealed == Some(pointer.crc);
        if let Some(changed) = self.changed.get(&pointer.page.0).filter(is_newest) {
            let kind = if level == 0 { leaf } else { PageKind::Branch };
            // In a damaged store a tree may lead to a place that was free, and now holds a page of another tree.
            if page::level(&changed.page) != level || page::kind(&changed.page) != Some(kind) {
                return Err(Error::corrupt(format!("page {}: it was free and is in use again", pointer.page)));
            }
            return Ok(&changed.page);
        }
        if group::place_of(pointer.page).is_none() {
            return Err(Error::corrupt(format!("page {}: no tree page can be there", pointer.page)));
        }
        mapped_page(&*self.device, &self.verified, pointer.page, |page| {
            page::verify_pointed(page, self.seed, pointer, level, leaf)?;
            if page::count(page) == 0 { Err(format!("page {}: it is empty", pointer.page)) } else { Ok(()) }
        })
    }
}

/// The page in block `at` where it lies in the map, checked by `verify` at its first use, and at each use once the map had a page
/// that could not be read.
pub fn mapped_page<'a>(
    device: &'a dyn Device,
    verified: &VerifiedPages,
    at: PhysicalBlock,
    verify: impl FnOnce(&Page) -> Result<(), String>,
) -> Result<&'a Page> {
    if at.0 >= device.len_bytes() / BLOCK_BYTES {
        return Err(Error::corrupt(format!("page {at}: it lies behind the end of the store")));
    }
    let bytes = device.mapped(at.offset()..at.offset() + BLOCK_BYTES, Lend::page());
    let page = bytes.try_into().expect("a block is as long as a page");
    if !verified.contains(at) || device.faults(Lend::page()) > 0 {
        verify(page).map_err(|failed| match device.faults(Lend::page()) {
            0 => Error::corrupt(failed),
            _ => Error::new(ErrorKind::Io, format!("{failed}: it could not be read")),
        })?;
        verified.insert(at);
    }
    Ok(page)
}

/// Pages whose checksum was found right since the store was opened: a fixed half MiB, whatever the store's size.
///
/// A page whose slot another one took is checked again at its next use.
pub struct VerifiedPages {
    slots: Box<[AtomicU64]>,
}

const VERIFIED_SLOTS: u64 = 1 << 16;

impl VerifiedPages {
    /// No page was checked yet.
    pub fn new() -> Self {
        Self { slots: (0..VERIFIED_SLOTS).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Was the page checked?
    pub fn contains(&self, page: PhysicalBlock) -> bool {
        self.slot(page).load(Ordering::Relaxed) == page.0
    }

    /// The page was checked.
    pub fn insert(&self, page: PhysicalBlock) {
        self.slot(page).store(page.0, Ordering::Relaxed);
    }

    /// The page is written anew: what was checked before says nothing of what will be read.
    pub fn remove(&self, page: PhysicalBlock) {
        if self.contains(page) {
            self.slot(page).store(0, Ordering::Relaxed);
        }
    }

    fn slot(&self, page: PhysicalBlock) -> &AtomicU64 {
        &self.slots[(page.0 % VERIFIED_SLOTS) as usize]
    }
}

/// Block numbers are spread by one multiplication: they are ours, nobody can choose them to collide.
#[derive(Default)]
pub struct BlockHasher(u64);

/// For maps whose keys are block numbers.
pub type PageHash = BuildHasherDefault<BlockHasher>;

impl Hasher for BlockHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        let product = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ product >> 32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::MemoryDevice;
    use crate::format::group::{Group, Place};

    const SEED: u32 = 7;

    fn place(number: u64) -> PhysicalBlock {
        Group(0).block(Place(number as u32))
    }

    /// Commits pages that the device never gets.
    fn commit(set: &mut WorkingSet, places: std::ops::Range<u64>) -> Vec<PagePointer> {
        let generation = set.working();
        let blank = |set: &mut WorkingSet, number| {
            let pointer = set.add(place(number), PageKind::EntryLeaf, 0, Epoch(1));
            entry::put(set.edit(pointer), 0, number, &[1; 16]);
            page::set_count(set.edit(pointer), 1);
            set.seal(Root { pointer: Some(pointer), level: 0 }).pointer.unwrap()
        };
        let pointers = places.clone().map(|number| blank(set, number)).collect();
        assert_eq!(set.changed_pages() as u64, places.end - places.start);
        let mut sealed = Vec::new();
        set.begin_next(&mut sealed);
        assert_eq!(sealed.len() as u64, places.end - places.start);
        set.committed(generation);
        assert_eq!(set.changed_pages(), 0, "the device has them all");
        pointers
    }

    #[test]
    fn pages_of_a_small_commit_stay_until_the_next_and_those_of_a_large_one_do_not() {
        let device = Arc::new(MemoryDevice::new(64 << 20).unwrap());
        let mut set = WorkingSet::new(device, Arc::new(VerifiedPages::new()), SEED, Generation(1));
        let is_kept = |set: &WorkingSet, pointer: &PagePointer| set.read(*pointer, 0, PageKind::EntryLeaf).is_ok();
        let few = SMALL_COMMIT_PAGES as u64;
        let first = commit(&mut set, 0..few);
        assert!(first.iter().all(|pointer| is_kept(&set, pointer)));
        let older = PagePointer { crc: first[0].crc ^ 1, ..first[0] };
        assert!(!is_kept(&set, &older), "it is not the page that the pointer names");
        // One of them is made anew.
        let second = commit(&mut set, few - 1..few + 1);
        assert!(second.iter().all(|pointer| is_kept(&set, pointer)));
        assert!(!first.iter().any(|pointer| is_kept(&set, pointer) && pointer.page != second[0].page));
        let third = commit(&mut set, 100..101 + few);
        assert!(!second.iter().chain(&third).any(|pointer| is_kept(&set, pointer)));
    }
}
