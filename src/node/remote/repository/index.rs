//! In which pack does a chunk lie?
//!
//! Index objects say it, each for some packs; all of them together are the index. It is only a matter of speed and of what is put twice: a
//! chunk that the index does not name is put again, and the packs' own lists make a lost index again.

use super::bytes::Reader;
use super::chunk::{ChunkId, Codec};
use super::pack::{self, Entry};
use crate::node::failure::{Failure, FailureKind};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// Where index objects are.
pub const DIRECTORY: &str = "index";
const VERSION: u8 = 1;

/// Where a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The pack, by its number here.
    pack: u32,
    /// Where it begins.
    pub offset: u32,
    /// Its length as it is stored.
    pub stored: u32,
    /// Its length.
    pub plain: u32,
}

/// A pack and what is in it.
#[derive(Clone, Debug)]
pub struct PackList {
    /// The pack.
    pub pack: Uuid,
    /// What is in it.
    pub entries: Vec<Entry>,
}

/// All that is known.
#[derive(Default)]
pub struct Index {
    chunks: HashMap<ChunkId, Place>,
    packs: Vec<Uuid>,
    numbers: HashMap<Uuid, u32>,
    /// The index objects that were read.
    read: HashSet<String>,
}

impl Index {
    /// Takes what is in a pack.
    pub fn add(&mut self, pack: Uuid, entries: &[Entry]) {
        let next = self.packs.len() as u32;
        let number = *self.numbers.entry(pack).or_insert(next);
        if number == next {
            self.packs.push(pack);
        }
        for entry in entries {
            let place = Place { pack: number, offset: entry.offset, stored: entry.stored, plain: entry.plain };
            self.chunks.insert(entry.id, place);
        }
    }

    /// Where a chunk is.
    #[must_use]
    pub fn find(&self, id: &ChunkId) -> Option<(Uuid, Place)> {
        self.chunks.get(id).map(|place| (self.packs[place.pack as usize], *place))
    }

    /// How many chunks are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Whether an index object was read.
    #[must_use]
    pub fn has_read(&self, name: &str) -> bool {
        self.read.contains(name)
    }

    /// The index objects that were read.
    pub fn objects(&self) -> impl Iterator<Item = &String> {
        self.read.iter()
    }

    /// Takes an index object.
    pub fn take(&mut self, name: &str, lists: &[PackList]) {
        lists.iter().for_each(|list| self.add(list.pack, &list.entries));
        self.read.insert(name.to_owned());
    }
}

/// An index object.
#[must_use]
pub fn object(codec: &Codec, name: &str, lists: &[PackList]) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&(lists.len() as u32).to_le_bytes());
    for list in lists {
        bytes.extend_from_slice(list.pack.as_bytes());
        bytes.extend_from_slice(&pack::list_of(&list.entries));
    }
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    codec.seal(name.as_bytes(), bytes)
}

/// What an index object says.
///
/// # Errors
/// `Corrupt`
pub fn read(codec: &Codec, name: &str, bytes: &[u8]) -> Result<Vec<PackList>, Failure> {
    let damaged = || Failure::new(FailureKind::Corrupt, format!("{name} is damaged"));
    let opened = codec.open(name.as_bytes(), bytes).ok_or_else(damaged)?;
    let (body, crc) = opened.split_last_chunk::<4>().ok_or_else(damaged)?;
    if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
        return Err(damaged());
    }
    let mut reader = Reader(body);
    let lists = (|| {
        (reader.u8()? == VERSION).then_some(())?;
        let count = reader.u32()?;
        let lists: Option<Vec<_>> =
            (0..count).map(|_| Some(PackList { pack: reader.uuid()?, entries: pack::read_list(&mut reader)? })).collect();
        reader.end()?;
        lists
    })();
    lists.ok_or_else(damaged)
}
