//! What do the decoders make of any bytes at all?
//!
//! For the fuzzer, and for the test that replays what it found; nothing else should call this. Each function panics if a decoder
//! does, or if what was decoded is not written back as it was read.

use std::cell::Cell;
use std::ops::{ControlFlow, Range};

use crate::error::{Error, Result};
use crate::format::codec::put_u32;
use crate::format::entry::{self, ENTRIES_PER_PAGE, ENTRY_LEN, Extent};
use crate::format::group::GroupRecord;
use crate::format::page::{self, HEADER_LEN, PAGE_MAGIC, Page, PageKind, PagePointer, Root};
use crate::format::record::{
    self, BookmarkRecord, DriveRecord, NoteRecord, RECORD_LEN_MAX, RecordKind, SnapshotRecord, VersionRecord,
};
use crate::format::superblock::{MAGIC, Superblock};
use crate::table;
use crate::tree::consume::{Consumer, consume};
use crate::tree::{Dropped, Pages, PagesMut, entries, records};
use crate::units::{BLOCK_LEN, Epoch, Generation, LogicalBlock, PhysicalBlock};

/// A superblock, as it is and with its checksum made right.
pub fn superblock(bytes: &[u8]) {
    let mut page = page_of(bytes);
    let _as_it_is = Superblock::decode(&page);
    page[..MAGIC.len()].copy_from_slice(MAGIC);
    put_u32(&mut page, MAGIC.len(), 0);
    let crc = crc32fast::hash(&page);
    put_u32(&mut page, MAGIC.len(), crc);
    if let Ok(superblock) = Superblock::decode(&page) {
        assert_eq!(Superblock::decode(&superblock.encode()), Ok(superblock));
    }
}

/// A page and all that stands in it, as it is and with its checksum made right.
pub fn page(bytes: &[u8]) {
    const SEED: u32 = 7;
    let mut page = page_of(bytes);
    let at = page::number(&page);
    let pointer = PagePointer { page: at, birth: page::birth(&page), crc: page::stored_crc(&page) };
    let _as_it_is = page::verify_pointed(&page, SEED, pointer, page::level(&page), PageKind::EntryLeaf);
    put_u32(&mut page, 0, PAGE_MAGIC);
    let pointer = PagePointer { crc: page::seal(&mut page, SEED), ..pointer };
    for leaf in [PageKind::EntryLeaf, PageKind::RecordLeaf] {
        if page::verify_pointed(&page, SEED, pointer, page::level(&page), leaf).is_ok() {
            contents(&page);
        }
    }
}

fn contents(page: &Page) {
    let count = page::count(page);
    let _padded = entry::padding_is_zero(page, count);
    if page::kind(page) == Some(PageKind::RecordLeaf) {
        if record::leaf_check(page).is_ok() {
            for index in 0..count {
                record_under(record::leaf_key(page, index), record::leaf_value(page, index));
            }
        }
        return;
    }
    for index in 0..count.min(ENTRIES_PER_PAGE) {
        let (key, value) = (entry::key(page, index), entry::value(page, index));
        assert_eq!(entry::encode_pointer(entry::decode_pointer(&value)), value);
        assert_eq!(Extent::decode(key, &value).encode(), value);
        if let Ok(group) = GroupRecord::decode(&value) {
            assert_eq!(group.encode(), value);
        }
    }
}

/// A record of the catalog: eight bytes of key, then what stands under it.
pub fn record(bytes: &[u8]) {
    let Some((key, bytes)) = bytes.split_first_chunk() else { return };
    record_under(u64::from_le_bytes(*key), &bytes[..bytes.len().min(RECORD_LEN_MAX)]);
}

fn record_under(key: u64, bytes: &[u8]) {
    let Some((kind, id, chunk)) = record::parse_key(key) else { return };
    assert_eq!(record::key(kind, id, chunk), key);
    let again = match kind {
        RecordKind::Version => record::decode::<VersionRecord>(bytes).map(|record| record::encode(&record)),
        RecordKind::Drive => record::decode::<DriveRecord>(bytes).map(|record| record::encode(&record)),
        RecordKind::Snapshot => record::decode::<SnapshotRecord>(bytes).map(|record| record::encode(&record)),
        RecordKind::Bookmark => record::decode::<BookmarkRecord>(bytes).map(|record| record::encode(&record)),
        RecordKind::Note => record::decode::<NoteRecord>(bytes).map(|record| record::encode(&record)),
        RecordKind::Attributes => return,
    };
    assert!(again.is_err() || again.as_deref() == Ok(bytes), "a record is not written back as it was read");
}

/// A small forest of pages whose pointers may lead anywhere in it: everything that looks things up, walks, compares, changes and
/// takes down trees.
pub fn tree(bytes: &[u8]) {
    let mut forest = Forest::plant(bytes);
    let Some((last, rest)) = forest.pages.split_last() else { return };
    let level = page::level(last);
    let root = |index: usize| Root { pointer: Some(forest.pointer(index)), level };
    let (left, right) = (root(rest.len()), root(rest.len() / 2));
    let key = bytes.iter().fold(0, |sum: u64, byte| sum.wrapping_mul(3) + u64::from(*byte)) % 64;
    let from = LogicalBlock(key);
    let go_on = |_| Ok(ControlFlow::Continue(()));
    forest.bounded(|pages| {
        let _ = entries::get(pages, &left, key);
        let _ = entries::floor(pages, &left, key);
        let _ = entries::ceiling(pages, &left, key);
        let _ = entries::holds_page(pages, &left, PhysicalBlock(1), 0, key);
        let _ = entries::visit_born_after(pages, &left, Epoch(key), key, &mut |_, _| Ok(ControlFlow::Continue(())));
        let _ = records::get(pages, &left, key);
        let _ = records::visit(pages, &left, 0, &mut |_, _| Ok(ControlFlow::Continue(())));
        let _ = table::next(pages, &left, from);
        let _ = table::walk(pages, &left, from, go_on);
        let _ = table::diff(pages, &left, &right, from, |_| Ok(ControlFlow::Continue(())));
    });
    let extent = Extent { logical: from, physical: Some(PhysicalBlock(300)), blocks: 5, birth: Epoch(key + 1) };
    let _ = forest.change(&left, |pages, root, dropped| table::insert(pages, root, extent, &mut Vec::new(), dropped));
    let range = Range { start: from, end: from.plus(100) };
    let _ = forest.change(&left, |pages, root, dropped| {
        table::remove(pages, root, range, 50, None, &mut Vec::new(), dropped).map(|(root, _)| root)
    });
    let _ = forest.change(&left, |pages, root, dropped| records::put(pages, root, key, &[7; 99], dropped));
    let _ = forest.change(&left, |pages, root, dropped| records::remove(pages, root, key, dropped).map(|(root, _)| root));
    let _ = consume(&mut forest, &left, &mut 500, &mut Nobody);
}

/// Pages read as a page of a tree is: of the right kind and level, but with whatever else in them.
struct Forest {
    pages: Vec<Page>,
    /// Pages from this one on were made here.
    planted: usize,
    reads: Cell<usize>,
}

/// Pages of one forest.
const PAGES_MAX: usize = 12;
/// No operation on such a forest needs to look at pages more often, unless it goes round in circles.
const READS_MAX: usize = 100_000;

impl Forest {
    /// Each page is told by its level, its kind, its count and so many entries or slots.
    fn plant(mut bytes: &[u8]) -> Self {
        let mut pages = Vec::new();
        while let [level, kind, count, rest @ ..] = bytes
            && pages.len() < PAGES_MAX
        {
            let (level, leaf) = (level % 16, [PageKind::EntryLeaf, PageKind::RecordLeaf][usize::from(kind % 2)]);
            let kind = if level == 0 { leaf } else { PageKind::Branch };
            let mut page = page::blank(kind, level, PhysicalBlock(pages.len() as u64), Epoch(0), Generation(1));
            page::set_count(&mut page, usize::from(*count));
            let len = (usize::from(*count).min(ENTRIES_PER_PAGE) * ENTRY_LEN).min(rest.len());
            page[HEADER_LEN..HEADER_LEN + len].copy_from_slice(&rest[..len]);
            pages.push(page);
            bytes = &rest[len..];
        }
        Self { planted: pages.len(), pages, reads: Cell::new(0) }
    }

    fn pointer(&self, index: usize) -> PagePointer {
        PagePointer { page: PhysicalBlock(index as u64), birth: Epoch(u64::MAX >> 16), crc: 1 }
    }

    fn bounded(&self, look: impl FnOnce(&Self)) {
        self.reads.set(0);
        look(self);
        assert!(self.reads.get() <= READS_MAX, "{} pages were read {} times", self.pages.len(), self.reads.get());
    }

    fn change(&mut self, root: &Root, change: impl FnOnce(&mut Self, &Root, &mut Vec<Dropped>) -> Result<Root>) -> Result<Root> {
        self.reads.set(0);
        let planted = self.pages.len();
        let result = change(self, root, &mut Vec::new());
        assert!(self.reads.get() <= READS_MAX, "{} pages were read {} times", self.pages.len(), self.reads.get());
        self.pages.truncate(planted);
        result
    }
}

impl Pages for Forest {
    fn read(&self, pointer: PagePointer, level: u8, leaf: PageKind) -> Result<&Page> {
        self.reads.set(self.reads.get() + 1);
        let kind = if level == 0 { leaf } else { PageKind::Branch };
        let page = usize::try_from(pointer.page.0).ok().and_then(|index| self.pages.get(index));
        let fits = |page: &&Page| page::level(page) == level && page::kind(page) == Some(kind);
        page.filter(fits).ok_or_else(|| Error::corrupt("no such page"))
    }
}

impl PagesMut for Forest {
    fn writable(&self, pointer: PagePointer) -> bool {
        pointer.page.0 >= self.planted as u64
    }

    fn add(&mut self, kind: PageKind, level: u8) -> Result<PagePointer> {
        let pointer = self.pointer(self.pages.len());
        self.pages.push(page::blank(kind, level, pointer.page, Epoch(0), Generation(1)));
        Ok(pointer)
    }

    fn copy(&mut self, pointer: PagePointer, level: u8, leaf: PageKind) -> Result<PagePointer> {
        let page = *self.read(pointer, level, leaf)?;
        self.pages.push(page);
        Ok(self.pointer(self.pages.len() - 1))
    }

    fn edit(&mut self, pointer: PagePointer) -> &mut Page {
        &mut self.pages[pointer.page.0 as usize]
    }
}

/// Nobody else holds anything.
struct Nobody;

impl<P> Consumer<P> for Nobody {
    fn shared_run(&mut self, _pages: &P, _branch: &Page, _level: u8, _places: Range<usize>) -> Result<usize> {
        Ok(0)
    }

    fn is_shared(&mut self, _pages: &P, _page: &Dropped) -> Result<bool> {
        Ok(false)
    }

    fn free_page(&mut self, _pages: &P, _page: &Dropped) -> Result<()> {
        Ok(())
    }

    fn entries(&mut self, _pages: &P, _leaf: &Page) -> Result<u64> {
        Ok(1)
    }
}

/// The bytes, cut off or followed by zeroes.
fn page_of(bytes: &[u8]) -> Page {
    let mut page = [0; BLOCK_LEN];
    let len = bytes.len().min(BLOCK_LEN);
    page[..len].copy_from_slice(&bytes[..len]);
    page
}
