//! What is a pack?
//!
//! An object of tens of MiB: stored chunks one after the other, then a list of them, then 16 bytes that say how long the list is. It can be
//! read without anything else, so that a lost index can be made again.

use super::bytes::Reader;
use super::chunk::{ChunkId, Codec};
use crate::node::failure::{Failure, FailureKind};
use uuid::Uuid;

/// A pack is put once it is so large; the last chunk may go beyond.
pub const PACK_BYTES: usize = 16 * 1024 * 1024;
/// A pack's last bytes: magic, length of the list, CRC-32 of the list.
pub const TRAILER: u64 = 16;
const MAGIC: &[u8; 8] = b"FLOEPACK";
const ENTRY: usize = 45;

/// What a chunk is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkKind {
    /// Blocks of images.
    Data,
    /// A page of a map.
    Page,
}

/// Where a chunk lies in its pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub id: ChunkId,
    /// What it is for.
    pub kind: ChunkKind,
    /// Where it begins.
    pub offset: u32,
    /// Its length as it is stored.
    pub stored: u32,
    /// Its length.
    pub plain: u32,
}

/// A pack's name below the repository.
#[must_use]
pub fn name(pack: Uuid) -> String {
    let hex = pack.simple().to_string();
    format!("packs/{}/{pack}", &hex[..2])
}

/// The pack of that name.
#[must_use]
pub fn named(name: &str) -> Option<Uuid> {
    let pack = name.strip_prefix("packs/")?.split('/').nth(1)?.parse().ok()?;
    (self::name(pack) == name).then_some(pack)
}

/// A pack that is being filled.
pub struct Packing {
    /// Its identity.
    pub uuid: Uuid,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

/// A pack that is complete.
pub struct Packed {
    /// Its identity.
    pub uuid: Uuid,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What is in it.
    pub entries: Vec<Entry>,
}

impl Packing {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self { uuid: Uuid::new_v4(), bytes: Vec::with_capacity(PACK_BYTES + PACK_BYTES / 16), entries: Vec::new() }
    }

    /// Puts a chunk in.
    pub fn push(&mut self, id: ChunkId, kind: ChunkKind, plain: usize, stored: &[u8]) {
        let offset = self.bytes.len() as u32;
        self.entries.push(Entry { id, kind, offset, stored: stored.len() as u32, plain: plain as u32 });
        self.bytes.extend_from_slice(stored);
    }

    /// Whether it is large enough to be put.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= PACK_BYTES
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Ends it.
    #[must_use]
    pub fn finish(self, codec: &Codec) -> Packed {
        let Self { uuid, mut bytes, entries } = self;
        let list = codec.seal(uuid.as_bytes(), list_of(&entries));
        bytes.extend_from_slice(&list);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&(list.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&list).to_le_bytes());
        Packed { uuid, bytes, entries }
    }
}

impl Default for Packing {
    fn default() -> Self {
        Self::new()
    }
}

/// Entries as they are written.
#[must_use]
pub fn list_of(entries: &[Entry]) -> Vec<u8> {
    let mut list = Vec::with_capacity(4 + entries.len() * ENTRY);
    list.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    for entry in entries {
        list.extend_from_slice(&entry.id.0);
        list.push(u8::from(entry.kind == ChunkKind::Page));
        for number in [entry.offset, entry.stored, entry.plain] {
            list.extend_from_slice(&number.to_le_bytes());
        }
    }
    list
}

/// Entries as they were written.
pub fn read_list(reader: &mut Reader<'_>) -> Option<Vec<Entry>> {
    let count = reader.u32()? as usize;
    if count > reader.0.len() / ENTRY {
        return None;
    }
    let entry = |_| {
        let id = ChunkId(reader.array()?);
        let kind = match reader.u8()? {
            0 => ChunkKind::Data,
            1 => ChunkKind::Page,
            _ => return None,
        };
        Some(Entry { id, kind, offset: reader.u32()?, stored: reader.u32()?, plain: reader.u32()? })
    };
    (0..count).map(entry).collect()
}

/// How long the list of a pack is, says its trailer.
///
/// # Errors
/// `Corrupt`
pub fn list_len(trailer: &[u8]) -> Result<(u32, u32), Failure> {
    let mut reader = Reader(trailer);
    let read = (|| (reader.array::<8>()? == *MAGIC).then_some((reader.u32()?, reader.u32()?)))();
    read.ok_or_else(|| Failure::new(FailureKind::Corrupt, "its last bytes are not those of a pack"))
}

/// The list of a pack.
///
/// # Errors
/// `Corrupt`
pub fn open_list(codec: &Codec, pack: Uuid, list: &[u8], crc: u32) -> Result<Vec<Entry>, Failure> {
    let damaged = || Failure::new(FailureKind::Corrupt, format!("the list of pack {pack} is damaged"));
    if crc32fast::hash(list) != crc {
        return Err(damaged());
    }
    let opened = codec.open(pack.as_bytes(), list).ok_or_else(damaged)?;
    let mut reader = Reader(&opened);
    let entries = read_list(&mut reader).ok_or_else(damaged)?;
    reader.end().ok_or_else(damaged)?;
    Ok(entries)
}
