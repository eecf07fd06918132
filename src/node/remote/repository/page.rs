//! What is a page of an image's map?
//!
//! A map says for each window of an image (256 KiB) in which chunks its blocks are. It is a tree of pages that are chunks themselves: a leaf
//! is about 256 windows (64 MiB), a page above about 256 pages. What did not change is the same page in the next map, so a map costs what
//! changed. Beside each child stands its digest: the digests' tree is the image's fingerprint.

use super::bytes::Reader;
use super::chunk::{CHUNK_BYTES_MAX, ChunkId};
use crate::BLOCK_BYTES;
use crate::fingerprint::{FANOUT, LEVELS, WINDOW_BYTES, digest_of};
use blake3::Hash;
use std::collections::{BTreeMap, HashMap};

/// Blocks of a window.
pub const WINDOW_BLOCKS: u64 = WINDOW_BYTES / BLOCK_BYTES;
const MAGIC: &[u8; 4] = b"FMAP";

/// Blocks of a window that lie side by side in a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The first block, counted from the window's beginning.
    pub first: u8,
    /// How many; one at least.
    pub blocks: u8,
    /// The chunk.
    pub chunk: ChunkId,
    /// The first block's place in the chunk, in blocks.
    pub at: u8,
}

/// What a map says of a window. Blocks that no piece has are zeroes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The digest of its content.
    pub digest: Hash,
    /// Its blocks, in order.
    pub pieces: Vec<Piece>,
}

/// A page below another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    /// The chunk that holds it.
    pub page: ChunkId,
    /// The digest of what it is about.
    pub digest: Hash,
}

/// A page of a map; children that are nothing but zeroes are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// Of level 1.
    Leaf(BTreeMap<u8, Window>),
    /// Of the level that is said.
    Inner(u8, BTreeMap<u8, Child>),
}

impl Page {
    /// An empty page of a level.
    #[must_use]
    pub fn empty(level: u8) -> Self {
        if level <= 1 { Self::Leaf(BTreeMap::new()) } else { Self::Inner(level, BTreeMap::new()) }
    }

    /// Its level.
    #[must_use]
    pub fn level(&self) -> u8 {
        match self {
            Self::Leaf(_) => 1,
            Self::Inner(level, _) => *level,
        }
    }

    /// The digest of what it is about; nothing if all of that is zeroes.
    #[must_use]
    pub fn digest(&self) -> Option<Hash> {
        match self {
            Self::Leaf(windows) => digest_of(windows.iter().map(|(slot, window)| (*slot, window.digest))),
            Self::Inner(_, children) => digest_of(children.iter().map(|(slot, child)| (*slot, child.digest))),
        }
    }

    /// The page as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(self.level());
        match self {
            Self::Inner(_, children) => {
                bytes.extend_from_slice(&(children.len() as u16).to_le_bytes());
                for (slot, child) in children {
                    bytes.push(*slot);
                    bytes.extend_from_slice(&child.page.0);
                    bytes.extend_from_slice(child.digest.as_bytes());
                }
            }
            Self::Leaf(windows) => put_windows(&mut bytes, windows),
        }
        bytes
    }

    /// The page that these bytes are; nothing if they are none of that level.
    #[must_use]
    pub fn read(bytes: &[u8], level: u8) -> Option<Self> {
        let mut reader = Reader(bytes);
        (reader.array::<4>()? == *MAGIC && reader.u8()? == level).then_some(())?;
        let page = if level == 1 { Self::Leaf(read_windows(&mut reader)?) } else { read_children(&mut reader, level)? };
        reader.end()?;
        Some(page)
    }
}

fn put_windows(bytes: &mut Vec<u8>, windows: &BTreeMap<u8, Window>) {
    let mut numbers = HashMap::new();
    let mut chunks = Vec::new();
    for piece in windows.values().flat_map(|window| &window.pieces) {
        numbers.entry(piece.chunk).or_insert_with(|| {
            chunks.push(piece.chunk);
            chunks.len() - 1
        });
    }
    bytes.extend_from_slice(&(chunks.len() as u16).to_le_bytes());
    chunks.iter().for_each(|chunk| bytes.extend_from_slice(&chunk.0));
    bytes.extend_from_slice(&(windows.len() as u16).to_le_bytes());
    for (slot, window) in windows {
        bytes.push(*slot);
        bytes.extend_from_slice(window.digest.as_bytes());
        bytes.push(window.pieces.len() as u8);
        for piece in &window.pieces {
            bytes.extend_from_slice(&[piece.first, piece.blocks, piece.at]);
            bytes.extend_from_slice(&(numbers[&piece.chunk] as u16).to_le_bytes());
        }
    }
}

fn read_windows(reader: &mut Reader<'_>) -> Option<BTreeMap<u8, Window>> {
    let count = reader.u16()?;
    let chunks = (0..count).map(|_| reader.array().map(ChunkId)).collect::<Option<Vec<_>>>()?;
    let mut windows = BTreeMap::new();
    for _ in 0..reader.u16()? {
        let slot = reader.u8()?;
        let digest = Hash::from_bytes(reader.array()?);
        let mut next = 0;
        let mut pieces = Vec::new();
        for _ in 0..reader.u8()? {
            let [first, blocks, at] = reader.array()?;
            let chunk = *chunks.get(usize::from(reader.u16()?))?;
            let is_in_window = first >= next && blocks > 0 && u64::from(first) + u64::from(blocks) <= WINDOW_BLOCKS;
            let is_in_chunk = (usize::from(at) + usize::from(blocks)) * BLOCK_BYTES as usize <= CHUNK_BYTES_MAX;
            (is_in_window && is_in_chunk).then_some(())?;
            next = first + blocks;
            pieces.push(Piece { first, blocks, chunk, at });
        }
        (!pieces.is_empty() && windows.insert(slot, Window { digest, pieces }).is_none()).then_some(())?;
    }
    Some(windows)
}

fn read_children(reader: &mut Reader<'_>, level: u8) -> Option<Page> {
    (u32::from(level) <= LEVELS).then_some(())?;
    let mut children = BTreeMap::new();
    for _ in 0..reader.u16()? {
        let slot = reader.u8()?;
        let child = Child { page: ChunkId(reader.array()?), digest: Hash::from_bytes(reader.array()?) };
        children.insert(slot, child).is_none().then_some(())?;
    }
    Some(Page::Inner(level, children))
}

/// How many windows a page of a level is about.
#[must_use]
pub fn span(level: u8) -> u64 {
    FANOUT.pow(u32::from(level))
}

/// The level of the topmost page of the map of an image that is so long.
#[must_use]
pub fn level_for(size_bytes: u64) -> u8 {
    let windows = size_bytes.div_ceil(WINDOW_BYTES);
    (1..=LEVELS as u8).find(|level| span(*level) >= windows).unwrap_or(LEVELS as u8)
}
