//! What does the store's first page say?
//!
//! Magic, version and checksum stand at places that no later version may move, so that every version can tell a newer
//! store from a foreign file and from a damaged one.

use super::codec::{U48_END, put_u32, put_u48, put_u64, u8_at, u32_at, u48_at, u64_at};
use super::commit_record::{self, CommitRecord, SPACE_COUNTS};
use super::page::{LEVEL_MAX, Page, PagePointer, Root};
use super::record::OBJECTS_END;
use super::space_changes::SpaceChanges;
use crate::units::{BLOCK_LEN, Epoch, Generation, PhysicalBlock};

/// "FLOESTOR"
pub const MAGIC: &[u8; 8] = b"FLOESTOR";
/// The format that this version writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;
/// Commits are numbered below this, so that there is always a next one.
const GENERATIONS_END: u64 = 1 << 63;
/// The required feature of a store that has notes: who does not know of them would lose them.
pub const FEATURE_NOTES: u64 = 1;
/// The required feature of a superblock that counts only if what its commit record lists is there: who does not know of it would believe
/// it unseen.
pub const FEATURE_COMMIT_RECORD: u64 = 2;
/// The required feature of a superblock that lists how the space map differs from its pages: who does not know of it would hand out
/// blocks that are in use.
pub const FEATURE_SPACE_CHANGES: u64 = 4;
/// Features that a reader must know to read the store, and this one does.
pub const FEATURES_REQUIRED_KNOWN: u64 = FEATURE_NOTES | FEATURE_COMMIT_RECORD | FEATURE_SPACE_CHANGES;
/// Those of them that the contents of a superblock decide.
const FEATURES_OF_LISTS: u64 = FEATURE_COMMIT_RECORD | FEATURE_SPACE_CHANGES;
/// The two blocks that hold superblocks; commit `g` writes slot `g % 2`.
pub const SLOTS: [PhysicalBlock; 2] = [PhysicalBlock(0), PhysicalBlock(1)];

const CRC: usize = 8;
const VERSION: usize = 12;
const FEATURES_OPTIONAL: usize = 16;
const FEATURES_REQUIRED: usize = 24;
const STORE_ID: usize = 32;
const GENERATION: usize = 48;
const EPOCH: usize = 56;
const STORE_BLOCKS: usize = 64;
const NEXT_ID: usize = 72;
const SEED: usize = 80;
const FLAGS: usize = 84;
const DATA_BLOCKS: usize = 88;
const TREE_PAGES: usize = 96;
const CATALOG_ROOT: usize = 104;
const GROUP_ROOT: usize = 124;
const TREE_PLACES: usize = 144;
const SCRUB_NEXT: usize = 152;
/// Bytes that the commit record's lists and the list of changes of the space map can take together.
pub const LISTS_LEN: usize = BLOCK_LEN - commit_record::LIST;

const FLAG_CLEAN: u32 = 1;

/// What a commit makes permanent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Feature bits that a reader may ignore.
    pub features_optional: u64,
    /// Feature bits that a reader must know, but for those of the two lists.
    pub features_required: u64,
    /// The store's identity, made when it was created.
    pub store_id: [u8; 16],
    /// The commit that wrote it.
    pub generation: Generation,
    /// The epoch that the next freeze will take.
    pub epoch: Epoch,
    /// The store's capacity in blocks.
    pub store_blocks: u64,
    /// The number that the next drive, snapshot, bookmark or note will get.
    pub next_id: u64,
    /// What page checksums start from.
    pub seed: u32,
    /// The store was closed after this commit; no block was overwritten since.
    pub clean: bool,
    /// Data blocks in use.
    pub data_blocks: u64,
    /// Tree pages in use.
    pub tree_pages: u64,
    /// Places of all groups of tree pages, used or not.
    pub tree_places: u64,
    /// Data blocks before this one were compared with their checksums by a scrub that is not finished; 0 if there is none.
    pub scrub_next: PhysicalBlock,
    /// The tree of records.
    pub catalog: Root,
    /// The tree of group records.
    pub groups: Root,
    /// How the space map differs from what that tree and the pages that it names say.
    pub space_changes: SpaceChanges,
    /// What must be there for the commit to count; `None` if it was durable before the superblock was written.
    pub commit_record: Option<CommitRecord>,
}

/// Why a page is not a superblock that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It does not carry the magic.
    Foreign,
    /// It is a superblock of format `version`, newer than [`FORMAT_VERSION`].
    Newer {
        /// The store's format version.
        version: u32,
    },
    /// It needs features that this version does not know.
    UnknownFeatures {
        /// The unknown bits.
        features: u64,
    },
    /// It fails the check named.
    Damaged(&'static str),
}

/// Bytes that a list of changes of the space map can take beside a record of so many pages and runs. One that leaves no room for anything
/// is not written: the commit then does without.
pub const fn room_for_changes(pages: usize, runs: usize) -> usize {
    match LISTS_LEN.checked_sub(CommitRecord::len_bytes(pages, runs)) {
        Some(room) => room,
        None => LISTS_LEN,
    }
}

impl Superblock {
    /// Is there room for a record of so many pages and runs, beside the changes of the space map?
    pub fn has_room(&self, pages: usize, runs: usize) -> bool {
        CommitRecord::len_bytes(pages, runs) + self.space_changes.len_bytes() <= LISTS_LEN
    }

    /// The superblock as a page.
    pub fn encode(&self) -> Page {
        let mut page = [0; BLOCK_LEN];
        page[..MAGIC.len()].copy_from_slice(MAGIC);
        put_u32(&mut page, VERSION, FORMAT_VERSION);
        put_u64(&mut page, FEATURES_OPTIONAL, self.features_optional);
        let recorded = if self.commit_record.is_some() { FEATURE_COMMIT_RECORD } else { 0 };
        let changed = if self.space_changes.is_empty() { 0 } else { FEATURE_SPACE_CHANGES };
        put_u64(&mut page, FEATURES_REQUIRED, self.features_required | recorded | changed);
        page[STORE_ID..STORE_ID + 16].copy_from_slice(&self.store_id);
        put_u64(&mut page, GENERATION, self.generation.0);
        put_u64(&mut page, EPOCH, self.epoch.0);
        put_u64(&mut page, STORE_BLOCKS, self.store_blocks);
        put_u64(&mut page, NEXT_ID, self.next_id);
        put_u32(&mut page, SEED, self.seed);
        put_u32(&mut page, FLAGS, if self.clean { FLAG_CLEAN } else { 0 });
        put_u64(&mut page, DATA_BLOCKS, self.data_blocks);
        put_u64(&mut page, TREE_PAGES, self.tree_pages);
        put_u64(&mut page, TREE_PLACES, self.tree_places);
        put_u64(&mut page, SCRUB_NEXT, self.scrub_next.0);
        put_root(&mut page, CATALOG_ROOT, self.catalog);
        put_root(&mut page, GROUP_ROOT, self.groups);
        let end = self.commit_record.as_ref().map_or(commit_record::LIST, |record| record.put(&mut page));
        self.space_changes.put(&mut page, SPACE_COUNTS, end);
        let crc = checksum(&page);
        put_u32(&mut page, CRC, crc);
        page
    }

    /// The superblock in `page`, or why it cannot be used.
    pub fn decode(page: &Page) -> Result<Self, Unusable> {
        if &page[..MAGIC.len()] != MAGIC {
            return Err(Unusable::Foreign);
        }
        if checksum(page) != u32_at(page, CRC) {
            return Err(Unusable::Damaged("wrong checksum"));
        }
        let version = u32_at(page, VERSION);
        if version > FORMAT_VERSION {
            return Err(Unusable::Newer { version });
        }
        if version == 0 {
            return Err(Unusable::Damaged("format version 0"));
        }
        let features_required = u64_at(page, FEATURES_REQUIRED);
        let features = features_required & !FEATURES_REQUIRED_KNOWN;
        if features != 0 {
            return Err(Unusable::UnknownFeatures { features });
        }
        let flags = u32_at(page, FLAGS);
        let (commit_record, lists_end) = match features_required & FEATURE_COMMIT_RECORD {
            0 => (None, commit_record::LIST),
            _ => CommitRecord::decode(page).map(|(record, end)| (Some(record), end)).map_err(Unusable::Damaged)?,
        };
        let space_changes = SpaceChanges::decode(page, SPACE_COUNTS, lists_end).map_err(Unusable::Damaged)?;
        let end = lists_end + space_changes.len_bytes();
        let is_changed = features_required & FEATURE_SPACE_CHANGES != 0;
        if is_changed == space_changes.is_empty() {
            return Err(Unusable::Damaged("a list of changes where there is none, or none where there is one"));
        }
        let has_unknown = page[end..].iter().any(|byte| *byte != 0) || (commit_record.is_none() && !CommitRecord::is_none(page));
        if flags & !FLAG_CLEAN != 0 || has_unknown {
            return Err(Unusable::Damaged("reserved bytes are set"));
        }
        let superblock = Self {
            features_optional: u64_at(page, FEATURES_OPTIONAL),
            features_required: features_required & !FEATURES_OF_LISTS,
            store_id: page[STORE_ID..STORE_ID + 16].try_into().expect("an id is 16 bytes long"),
            generation: Generation(u64_at(page, GENERATION)),
            epoch: Epoch(u64_at(page, EPOCH)),
            store_blocks: u64_at(page, STORE_BLOCKS),
            next_id: u64_at(page, NEXT_ID),
            seed: u32_at(page, SEED),
            clean: flags & FLAG_CLEAN != 0,
            data_blocks: u64_at(page, DATA_BLOCKS),
            tree_pages: u64_at(page, TREE_PAGES),
            tree_places: u64_at(page, TREE_PLACES),
            scrub_next: PhysicalBlock(u64_at(page, SCRUB_NEXT)),
            catalog: root_at(page, CATALOG_ROOT)?,
            groups: root_at(page, GROUP_ROOT)?,
            space_changes,
            commit_record,
        };
        if !(super::group::STORE_BLOCKS_MIN..=super::group::STORE_BLOCKS_MAX).contains(&superblock.store_blocks) {
            return Err(Unusable::Damaged("impossible capacity"));
        }
        if !(1..GENERATIONS_END).contains(&superblock.generation.0) || !(1..U48_END).contains(&superblock.epoch.0) {
            return Err(Unusable::Damaged("impossible generation or epoch"));
        }
        if !(1..=OBJECTS_END).contains(&superblock.next_id) {
            return Err(Unusable::Damaged("impossible object number"));
        }
        let places = superblock.data_blocks.checked_add(superblock.tree_places);
        if superblock.tree_pages > superblock.tree_places || places.is_none_or(|places| places > superblock.store_blocks) {
            return Err(Unusable::Damaged("more blocks in use than there are"));
        }
        Ok(superblock)
    }
}

fn put_root(page: &mut Page, at: usize, root: Root) {
    if let Some(pointer) = root.pointer {
        put_u48(page, at, pointer.page.0);
        put_u48(page, at + 6, pointer.birth.0);
        put_u32(page, at + 12, pointer.crc);
        page[at + 16] = root.level;
    }
}

fn root_at(page: &Page, at: usize) -> Result<Root, Unusable> {
    let number = u48_at(page, at);
    let level = u8_at(page, at + 16);
    if level > LEVEL_MAX {
        return Err(Unusable::Damaged("a tree is impossibly high"));
    }
    if number == 0 {
        return Ok(Root::EMPTY);
    }
    let pointer = PagePointer { page: PhysicalBlock(number), birth: Epoch(u48_at(page, at + 6)), crc: u32_at(page, at + 12) };
    Ok(Root { pointer: Some(pointer), level })
}

fn checksum(page: &Page) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&page[..CRC]);
    hasher.update(&[0; 4]);
    hasher.update(&page[CRC + 4..]);
    hasher.finalize()
}
