//! How does a test draw a store, well-formed or damaged, page by page?

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::check::{CheckReport, ProblemKind, check};
use crate::device::{Device, Lend};
use crate::format::codec::put_u32;
use crate::format::entry::{self, Extent, Value};
use crate::format::group::{CHECKSUMS_PER_PAGE, GROUP_PLACES, Group, GroupKind, GroupRecord, Place, STORE_BLOCKS_MIN};
use crate::format::page::{self, HEADER_LEN, Page, PageKind, PagePointer, Root};
use crate::format::record::{self, ATTRIBUTE_CHUNK, ObjectId, RecordKind, VersionRecord, VersionState};
use crate::format::space_changes::SpaceChanges;
use crate::format::superblock::Superblock;
use crate::units::{BLOCK_BYTES, BLOCK_LEN, Epoch, Generation, LogicalBlock, PhysicalBlock};

/// The group of tree pages.
pub const TREE: Group = Group(0);
/// The group of data.
pub const DATA: Group = Group(1);
const GENERATION: Generation = Generation(7);
const SEED: u32 = 0x1234_5678;

/// Blocks that were written; all others read as zeroes. There is no map, and `check` must not ask for one.
#[derive(Default)]
pub struct Blocks {
    /// How often something was read.
    pub reads: AtomicU64,
    pub pages: BTreeMap<u64, Page>,
    /// Blocks that the system refuses to read.
    pub broken: BTreeSet<u64>,
}

impl Device for Blocks {
    fn len_bytes(&self) -> u64 {
        STORE_BLOCKS_MIN * BLOCK_BYTES
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        assert!(offset.is_multiple_of(BLOCK_BYTES) && buf.len() == BLOCK_LEN, "pages are read one by one");
        self.reads.fetch_add(1, Relaxed);
        let block = offset / BLOCK_BYTES;
        if self.broken.contains(&block) {
            return Err(io::Error::other("the disk is broken here"));
        }
        if offset >= self.len_bytes() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buf.copy_from_slice(self.pages.get(&block).unwrap_or(&[0; BLOCK_LEN]));
        Ok(())
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        unreachable!("a check writes nothing")
    }

    fn sync(&self) -> io::Result<()> {
        unreachable!("a check writes nothing")
    }

    fn allocate(&self, _: Range<u64>) -> io::Result<()> {
        unreachable!("a check writes nothing")
    }

    fn grow(&self, _: u64) -> io::Result<()> {
        unreachable!("a check writes nothing")
    }

    fn mapped(&self, _: Range<u64>, _: Lend) -> &[u8] {
        unreachable!("a check reads by calls: an error must not be a signal")
    }
}

/// An extent at `place` of the data group.
pub fn run(logical: u64, place: u32, blocks: u32, birth: u64) -> Extent {
    Extent { logical: LogicalBlock(logical), physical: Some(DATA.block(Place(place))), blocks, birth: Epoch(birth) }
}

/// A tombstone.
pub fn hole(logical: u64, blocks: u32, birth: u64) -> Extent {
    Extent { logical: LogicalBlock(logical), physical: None, blocks, birth: Epoch(birth) }
}

/// A leaf's entries for a histogram.
pub fn buckets(buckets: &[(u64, u64)]) -> Vec<(u64, Value)> {
    buckets.iter().map(|(birth, blocks)| (*birth, entry::encode_bucket(*blocks))).collect()
}

/// A store whose catalog and group tree are not written yet.
pub struct Sketch {
    pub blocks: Blocks,
    pub superblock: Superblock,
    pub records: BTreeMap<u64, Vec<u8>>,
    /// Places in use, as the bitmaps will say.
    pub tree_places: BTreeSet<u32>,
    pub data_places: BTreeSet<u32>,
    pub group_records: BTreeMap<u64, GroupRecord>,
}

impl Sketch {
    pub fn new(epoch: u64) -> Self {
        let superblock = Superblock {
            features_optional: 0,
            features_required: 0,
            store_id: [9; 16],
            generation: GENERATION,
            epoch: Epoch(epoch),
            store_blocks: STORE_BLOCKS_MIN,
            next_id: 1000,
            seed: SEED,
            clean: true,
            data_blocks: 0,
            tree_pages: 0,
            tree_places: u64::from(GROUP_PLACES),
            scrub_next: PhysicalBlock(0),
            catalog: Root::EMPTY,
            groups: Root::EMPTY,
            space_changes: SpaceChanges::default(),
            commit_record: None,
        };
        let record = |kind, checksum_present| GroupRecord {
            kind,
            bitmap_slot: 1,
            used: 0,
            checksum_slots: 0,
            checksum_present,
            bitmap_crc: 0,
        };
        let group_records = BTreeMap::from([(TREE.0, record(GroupKind::Tree, 0)), (DATA.0, record(GroupKind::Data, 1))]);
        Self {
            blocks: Blocks::default(),
            superblock,
            records: BTreeMap::new(),
            tree_places: BTreeSet::new(),
            data_places: BTreeSet::new(),
            group_records,
        }
    }

    fn seal(&mut self, mut page: Page) -> PagePointer {
        let crc = page::seal(&mut page, SEED);
        let (number, birth) = (page::number(&page), page::birth(&page));
        self.blocks.pages.insert(number.0, page);
        PagePointer { page: number, birth, crc }
    }

    fn blank(&mut self, kind: PageKind, level: u8, birth: u64) -> Page {
        let place = self.tree_places.last().map_or(0, |place| place + 1);
        self.tree_places.insert(place);
        page::blank(kind, level, TREE.block(Place(place)), Epoch(birth), GENERATION)
    }

    pub fn leaf(&mut self, birth: u64, entries: &[(u64, Value)]) -> PagePointer {
        let mut page = self.blank(PageKind::EntryLeaf, 0, birth);
        entries.iter().enumerate().for_each(|(index, (key, value))| entry::put(&mut page, index, *key, value));
        page::set_count(&mut page, entries.len());
        self.seal(page)
    }

    pub fn extents(&mut self, birth: u64, extents: &[Extent]) -> PagePointer {
        for extent in extents {
            if let Some(Place(place)) = extent.physical.and_then(crate::format::group::place_of) {
                self.data_places.extend(place..place + extent.blocks);
            }
        }
        let entries: Vec<_> = extents.iter().map(|extent| (extent.logical.0, extent.encode())).collect();
        self.leaf(birth, &entries)
    }

    pub fn branch(&mut self, level: u8, birth: u64, children: &[(u64, PagePointer)]) -> Root {
        let mut page = self.blank(PageKind::Branch, level, birth);
        let values = children.iter().map(|(key, pointer)| (*key, entry::encode_pointer(*pointer)));
        values.enumerate().for_each(|(index, (key, value))| entry::put(&mut page, index, key, &value));
        page::set_count(&mut page, children.len());
        Root { pointer: Some(self.seal(page)), level }
    }

    pub fn histogram(&mut self, birth: u64, counts: &[(u64, u64)]) -> Root {
        Root { pointer: Some(self.leaf(birth, &buckets(counts))), level: 0 }
    }

    /// Adds a record.
    pub fn put(&mut self, kind: RecordKind, id: u64, record: &impl serde::Serialize) {
        self.records.insert(record::key(kind, ObjectId(id), 0), record::encode(record));
    }

    /// Changes a record.
    pub fn change<R: serde::Serialize + serde::de::DeserializeOwned>(
        &mut self,
        kind: RecordKind,
        id: u64,
        change: impl FnOnce(&mut R),
    ) {
        let mut record = record::decode(&self.records[&record::key(kind, ObjectId(id), 0)]).unwrap();
        change(&mut record);
        self.put(kind, id, &record);
    }

    pub fn remove(&mut self, kind: RecordKind, id: u64) {
        self.records.remove(&record::key(kind, ObjectId(id), 0)).unwrap();
    }

    pub fn version(&mut self, id: u64, (state, drive, parent, epoch): (VersionState, u64, u64, u64), image: (Root, Root, u64)) {
        let (table, histogram, referenced_blocks) = image;
        let record = VersionRecord {
            version: 1,
            state,
            parent: ObjectId(parent),
            drive: ObjectId(drive),
            epoch,
            size_bytes: 100 * BLOCK_BYTES - 5,
            referenced_blocks,
            table: table.into(),
            histogram: histogram.into(),
            unsettled: vec![],
            trimming: false,
        };
        self.put(RecordKind::Version, id, &record);
    }

    pub fn drive(&mut self, id: u64, head: u64) {
        let (uuid, name) = ([id as u8; 16], format!("drive {id}"));
        self.put(RecordKind::Drive, id, &record::DriveRecord { version: 1, uuid, name, head: ObjectId(head), attributes_len: 0 });
    }

    pub fn attributes(&mut self, id: u64, bytes: &[u8]) {
        for (index, chunk) in bytes.chunks(ATTRIBUTE_CHUNK).enumerate() {
            self.records.insert(record::key(RecordKind::Attributes, ObjectId(id), index as u16), chunk.to_vec());
        }
    }

    /// Writes catalog, bitmaps, checksum pages, group tree and superblock.
    pub fn finish(mut self) -> Sketched {
        let records: Vec<_> = std::mem::take(&mut self.records).into_iter().collect();
        let mut leaves = Vec::new();
        for few in records.chunks(3) {
            let mut page = self.blank(PageKind::RecordLeaf, 0, 0);
            record::leaf_fill(&mut page, few.iter().map(|(key, bytes)| (*key, bytes.as_slice())));
            leaves.push((few[0].0, self.seal(page)));
        }
        if !leaves.is_empty() {
            self.superblock.catalog = self.branch(1, 0, &leaves);
        }
        // The page of the group tree needs its own bit in the bitmap that its record counts.
        let mut groups = self.blank(PageKind::EntryLeaf, 0, 0);
        for (index, (number, record)) in self.group_records.clone().into_iter().enumerate() {
            let (group, places) = (Group(number), if number == DATA.0 { &self.data_places } else { &self.tree_places });
            let mut bitmap = page::blank(PageKind::Bitmap, 0, group.bitmap_slot(1), Epoch(0), GENERATION);
            places.iter().for_each(|place| bitmap[HEADER_LEN + *place as usize / 8] |= 1 << (place % 8));
            let used = places.len() as u16 + record.used;
            let bitmap_crc = self.seal(bitmap).crc;
            entry::put(&mut groups, index, number, &GroupRecord { used, bitmap_crc, ..record }.encode());
            if record.checksum_present != 0 {
                self.seal(page::blank(PageKind::Checksums, 0, group.checksum_slot(0, 0), Epoch(0), GENERATION));
            }
        }
        page::set_count(&mut groups, self.group_records.len());
        self.superblock.groups = Root { pointer: Some(self.seal(groups)), level: 0 };
        self.superblock.tree_pages += self.tree_places.len() as u64;
        self.superblock.data_blocks += self.data_places.len() as u64;
        assert!(self.data_places.last().is_none_or(|place| *place < CHECKSUMS_PER_PAGE), "one page of checksums is drawn");
        Sketched { blocks: self.blocks, superblock: self.superblock }
    }
}

/// A committed state.
pub struct Sketched {
    pub blocks: Blocks,
    pub superblock: Superblock,
}

impl Sketched {
    pub fn check(&self) -> CheckReport {
        check(&self.blocks, &self.superblock, &mut |_| {})
    }

    /// Changes a page as its writer could have: checksums are made right all the way up.
    pub fn rewrite(&mut self, number: PhysicalBlock, change: impl FnOnce(&mut Page)) {
        let mut change = Some(change);
        self.reseal(number.0, &mut |page| {
            if let Some(change) = change.take() {
                change(page);
            }
        });
    }

    fn reseal(&mut self, number: u64, change: &mut dyn FnMut(&mut Page)) {
        let page = self.blocks.pages.get_mut(&number).expect("the page was drawn");
        change(page);
        let (before, after) = (page::stored_crc(page), page::seal(page, SEED));
        // Whoever repeats the old checksum points here: a chance match of 32 bits would show as a failing test.
        for root in [&mut self.superblock.catalog, &mut self.superblock.groups] {
            if let Some(pointer) = root.pointer.as_mut().filter(|pointer| pointer.crc == before) {
                pointer.crc = after;
            }
        }
        let pattern = before.to_le_bytes();
        let finds = |page: &Page| (HEADER_LEN..=BLOCK_LEN - 4).find(|at| page[*at..*at + 4] == pattern);
        let holders: Vec<(u64, usize)> =
            self.blocks.pages.iter().filter_map(|(number, page)| finds(page).map(|at| (*number, at))).collect();
        for (holder, _) in holders.into_iter().filter(|_| before != after) {
            self.reseal(holder, &mut |page| {
                while let Some(at) = finds(page) {
                    put_u32(page, at, after);
                }
            });
        }
    }
}

/// The kinds of the problems, each once.
pub fn kinds(report: &CheckReport) -> Vec<ProblemKind> {
    report.problems.iter().map(|problem| problem.kind).collect::<BTreeSet<_>>().into_iter().collect()
}
