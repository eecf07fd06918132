//! How are the catalog's records written?
//!
//! Records are the one kind of metadata whose length varies. They are encoded by bincode 2 in its legacy configuration
//! (little-endian, fixed width, lengths as `u64`), which bincode 1 and wincode read and write byte for byte; this module is
//! the only one that knows. The first byte of each record is its version.
//!
//! A record leaf has a slot per record behind the page header, `{key u64, offset u16, length u16}` in rising order of
//! keys; the records themselves are packed downwards from the end of the page.

use bincode::config::{self, Configuration, Fixint, LittleEndian, NoLimit};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::codec::{put_u16, put_u64, u16_at, u64_at};
use super::page::{self, HEADER_LEN, PAYLOAD_LEN, Page, PagePointer, Root};
use crate::units::{BLOCK_LEN, Epoch, PhysicalBlock};

/// The record version that this module writes.
pub const RECORD_VERSION: u8 = 1;
/// The longest record; three of them fit into a page.
pub const RECORD_LEN_MAX: usize = 1300;
/// Most records are shorter.
const RECORD_LEN_USUAL: usize = 256;
/// Bytes of attributes in one record; longer attributes take several.
pub const ATTRIBUTE_CHUNK: usize = 1024;
/// The longest attributes of one drive or snapshot, and the longest note: 1 MiB.
pub const ATTRIBUTES_LEN_MAX: usize = 1 << 20;
/// The longest name, in bytes.
pub const NAME_LEN_MAX: usize = 255;
/// The most births of which a version's record can say that their checksums are not settled.
pub const UNSETTLED_MAX: usize = 32;

/// Drives, versions, bookmarks and notes are numbered below this.
pub const OBJECTS_END: u64 = 1 << (KIND_SHIFT - ID_SHIFT);

const SLOT_LEN: usize = 12;
const KIND_SHIFT: u32 = 56;
const ID_SHIFT: u32 = 16;

const _: () = assert!(3 * (RECORD_LEN_MAX + SLOT_LEN) <= PAYLOAD_LEN);

/// The number of a drive, a version (head or snapshot), a bookmark or a note: one counter for all, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectId(pub u64);

/// Which kind of record a key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum RecordKind {
    /// A [`VersionRecord`].
    Version = 1,
    /// A [`DriveRecord`].
    Drive = 2,
    /// A [`SnapshotRecord`], under the number of its version.
    Snapshot = 3,
    /// A [`BookmarkRecord`].
    Bookmark = 4,
    /// A piece of the attributes of a drive or snapshot, or of the bytes of a note: raw bytes.
    Attributes = 5,
    /// A [`NoteRecord`].
    Note = 6,
}

/// The key of a record.
pub fn key(kind: RecordKind, id: ObjectId, chunk: u16) -> u64 {
    assert!(id.0 < OBJECTS_END, "object numbers have 40 bits");
    (kind as u64) << KIND_SHIFT | id.0 << ID_SHIFT | u64::from(chunk)
}

/// What a key names, if its kind is known.
pub fn parse_key(key: u64) -> Option<(RecordKind, ObjectId, u16)> {
    use RecordKind::{Attributes, Bookmark, Drive, Note, Snapshot, Version};
    let byte = (key >> KIND_SHIFT) as u8;
    let kind = [Version, Drive, Snapshot, Bookmark, Attributes, Note].into_iter().find(|kind| *kind as u8 == byte)?;
    Some((kind, ObjectId((key >> ID_SHIFT) & (OBJECTS_END - 1)), key as u16))
}

/// Whether a version is written to, kept, or on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VersionState {
    /// The writable image of a drive.
    Head,
    /// A frozen image.
    Snapshot,
    /// Deleted: what is left of its table is being freed. With an empty table and two or more descendants it is a junction.
    Condemned,
}

/// A [`Root`] as it stands in a record; page 0 is no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootRecord {
    page: u64,
    birth: u64,
    crc: u32,
    level: u8,
}

impl From<Root> for RootRecord {
    fn from(root: Root) -> Self {
        match root.pointer {
            None => Self { page: 0, birth: 0, crc: 0, level: 0 },
            Some(pointer) => Self { page: pointer.page.0, birth: pointer.birth.0, crc: pointer.crc, level: root.level },
        }
    }
}

impl From<RootRecord> for Root {
    fn from(record: RootRecord) -> Self {
        if record.page == 0 {
            return Self::EMPTY;
        }
        let pointer = PagePointer { page: PhysicalBlock(record.page), birth: Epoch(record.birth), crc: record.crc };
        Self { pointer: Some(pointer), level: record.level }
    }
}

/// One point of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRecord {
    /// [`RECORD_VERSION`]
    pub version: u8,
    /// Head, snapshot or condemned.
    pub state: VersionState,
    /// The version it descends from; 0 is the root above everything.
    pub parent: ObjectId,
    /// The drive it is or was an image of.
    pub drive: ObjectId,
    /// When it was frozen; 0 for a head.
    pub epoch: u64,
    /// Length of the image in bytes.
    pub size_bytes: u64,
    /// Blocks that its table maps.
    pub referenced_blocks: u64,
    /// Its extent table.
    pub table: RootRecord,
    /// Its birth histogram.
    pub histogram: RootRecord,
    /// Births `(first, last)` whose checksums an unclean shutdown left unsettled, and which are therefore not evidence.
    pub unsettled: Vec<(u64, u64)>,
    /// A shrink was not finished: entries behind the end of the image are still to be removed.
    pub trimming: bool,
}

/// A drive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriveRecord {
    /// [`RECORD_VERSION`]
    pub version: u8,
    /// Its identity for the world.
    pub uuid: [u8; 16],
    /// Its name; not necessarily unique.
    pub name: String,
    /// The version that is written to.
    pub head: ObjectId,
    /// Length of its attributes.
    pub attributes_len: u32,
}

/// What the world calls a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRecord {
    /// [`RECORD_VERSION`]
    pub version: u8,
    /// Its identity for the world.
    pub uuid: [u8; 16],
    /// Its name; not necessarily unique.
    pub name: String,
    /// The identity of the drive it was taken of, which may be gone.
    pub drive_uuid: [u8; 16],
    /// Length of its attributes.
    pub attributes_len: u32,
}

/// A point in time that holds no block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookmarkRecord {
    /// [`RECORD_VERSION`]
    pub version: u8,
    /// Its identity for the world.
    pub uuid: [u8; 16],
    /// Its name; not necessarily unique.
    pub name: String,
    /// The drive it marks.
    pub drive: ObjectId,
    /// The epoch it ended.
    pub epoch: u64,
    /// Blocks that the drive mapped at that moment.
    pub referenced_blocks: u64,
    /// Length of the image at that moment, in bytes.
    pub size_bytes: u64,
}

/// Bytes that belong to the store as a whole; they stand where attributes do, under the note's number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteRecord {
    /// [`RECORD_VERSION`]
    pub version: u8,
    /// Its identity for the world, in a name space of its own.
    pub uuid: [u8; 16],
    /// Length of its bytes.
    pub attributes_len: u32,
}

type Encoding = Configuration<LittleEndian, Fixint, NoLimit>;

fn encoding() -> Encoding {
    config::legacy()
}

/// The bytes of a record.
pub fn encode(record: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(RECORD_LEN_USUAL);
    let written = bincode::serde::encode_into_std_write(record, &mut bytes, encoding());
    written.expect("records hold nothing that cannot be encoded");
    assert!(bytes.len() <= RECORD_LEN_MAX, "a record is {} bytes long, {RECORD_LEN_MAX} are allowed", bytes.len());
    bytes
}

/// The record in `bytes`, or which check it fails.
pub fn decode<R: DeserializeOwned>(bytes: &[u8]) -> Result<R, &'static str> {
    if bytes.first() != Some(&RECORD_VERSION) {
        return Err("unknown record version");
    }
    match bincode::serde::decode_from_slice(bytes, encoding().with_limit::<{ 4 * RECORD_LEN_MAX }>()) {
        Ok((record, used)) if used == bytes.len() => Ok(record),
        Ok(_) => Err("bytes left over behind a record"),
        Err(_) => Err("a record cannot be decoded"),
    }
}

/// The key of record `index` of a record leaf.
pub fn leaf_key(page: &Page, index: usize) -> u64 {
    u64_at(page, HEADER_LEN + index * SLOT_LEN)
}

/// The bytes of record `index` of a record leaf; empty if the slot points outside the page.
pub fn leaf_value(page: &Page, index: usize) -> &[u8] {
    let slot = HEADER_LEN + index * SLOT_LEN;
    let start = usize::from(u16_at(page, slot + 8));
    let len = usize::from(u16_at(page, slot + 10));
    page.get(start..start + len).unwrap_or(&[])
}

/// The bytes that a record of `len` bytes takes in a leaf.
pub const fn leaf_cost(len: usize) -> usize {
    len + SLOT_LEN
}

/// Checks that the slots of a record leaf lie within the page, in order and one behind the other.
pub fn leaf_check(page: &Page) -> Result<(), &'static str> {
    let count = page::count(page);
    if count * SLOT_LEN > PAYLOAD_LEN {
        return Err("more records than fit into a page");
    }
    let mut end = BLOCK_LEN;
    for index in 0..count {
        let slot = HEADER_LEN + index * SLOT_LEN;
        let start = usize::from(u16_at(page, slot + 8));
        let len = usize::from(u16_at(page, slot + 10));
        if start + len != end || start < HEADER_LEN + count * SLOT_LEN || len > RECORD_LEN_MAX {
            return Err("a record lies outside its place");
        }
        end = start;
    }
    Ok(())
}

/// Adds a record to a leaf that passes [`leaf_check`], before record `index`, or puts it in that one's place. Returns false, having changed
/// nothing, if it does not fit.
pub fn leaf_put(page: &mut Page, index: usize, replaces: bool, key: u64, bytes: &[u8]) -> bool {
    let count = page::count(page);
    let slot = |index: usize| HEADER_LEN + index * SLOT_LEN;
    let start_of = |page: &Page, index: usize| usize::from(u16_at(page, slot(index) + 8));
    let end_of = |page: &Page, index: usize| if index == 0 { BLOCK_LEN } else { start_of(page, index - 1) };
    let (end, lowest) = (end_of(page, index), end_of(page, count));
    let behind = if replaces { start_of(page, index) } else { end };
    let (start, new_count) = (end as isize - bytes.len() as isize, count + usize::from(!replaces));
    // What stands behind the record moves down, or up if the record gets shorter.
    let moved = start - behind as isize;
    let new_lowest = lowest as isize + moved;
    if new_lowest < slot(new_count) as isize {
        return false;
    }
    let (start, new_lowest) = (start as usize, new_lowest as usize);
    page.copy_within(lowest..behind, new_lowest);
    page[start..end].copy_from_slice(bytes);
    if new_lowest > lowest {
        page[lowest..new_lowest].fill(0);
    }
    if !replaces {
        page.copy_within(slot(index)..slot(count), slot(index + 1));
        put_u64(page, slot(index), key);
        page::set_count(page, new_count);
    }
    put_u16(page, slot(index) + 8, start as u16);
    put_u16(page, slot(index) + 10, bytes.len() as u16);
    for index in index + 1..new_count {
        let start = start_of(page, index) as isize + moved;
        put_u16(page, slot(index) + 8, start as u16);
    }
    true
}

/// Fills a record leaf with `records`, which must fit and be in order; the header's count is set, the rest of it kept.
pub fn leaf_fill<'a>(page: &mut Page, records: impl Iterator<Item = (u64, &'a [u8])>) {
    page[HEADER_LEN..].fill(0);
    let mut end = BLOCK_LEN;
    let mut count = 0;
    for (key, bytes) in records {
        let slot = HEADER_LEN + count * SLOT_LEN;
        end -= bytes.len();
        assert!(end >= slot + SLOT_LEN, "the records do not fit into one page");
        put_u64(page, slot, key);
        put_u16(page, slot + 8, end as u16);
        put_u16(page, slot + 10, bytes.len() as u16);
        page[end..end + bytes.len()].copy_from_slice(bytes);
        count += 1;
    }
    page::set_count(page, count);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn records_put_one_by_one_lie_as_if_the_leaf_had_been_filled_with_them(
            puts in prop::collection::vec((0_u64..40, prop_oneof![0..60_usize, 0..=RECORD_LEN_MAX], any::<u8>()), 1..60),
        ) {
            let mut page = [0; BLOCK_LEN];
            let mut model: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
            for (key, len, byte) in puts {
                let mut next = model.clone();
                let replaces = next.insert(key, vec![byte; len]).is_some();
                let fits = next.values().map(|bytes| leaf_cost(bytes.len())).sum::<usize>() <= PAYLOAD_LEN;
                let index = model.range(..key).count();
                prop_assert_eq!(leaf_put(&mut page, index, replaces, key, &vec![byte; len]), fits);
                if fits {
                    model = next;
                }
                let mut filled = [0; BLOCK_LEN];
                leaf_fill(&mut filled, model.iter().map(|(key, bytes)| (*key, bytes.as_slice())));
                prop_assert!(page == filled);
            }
        }
    }
}
