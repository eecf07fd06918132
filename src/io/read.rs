//! How do the bytes of an image get into a buffer?
//!
//! First it is found out where they lie, under whatever lock that takes; then they are copied without it. What was not compared
//! with its checksum since the store was opened is compared on the way.

use crate::device::{Device, Lend};
use crate::error::{DeviceContext, Error, Result, Rotten};
use crate::format::entry::Extent;
use crate::space::Space;
use crate::units::{BLOCK_BYTES, BLOCK_LEN, Epoch, LogicalBlock, PhysicalBlock};

/// Blocks whose checksums are fetched at a time.
const BLOCKS_PER_COMPARISON: usize = 64;

/// Blocks that are read at a time when they are about to be lent: 256 KiB, by `pread` with its readahead.
const BLOCKS_PER_LENT_READ: u64 = 64;

/// How many segments are found out at a time.
pub const SEGMENTS_MAX: usize = 16;

/// Where the blocks of an image lie.
pub trait Image {
    /// The first extent that ends behind `from`.
    ///
    /// # Errors
    /// `Corrupt` if the table cannot be read.
    fn next_extent(&self, from: LogicalBlock) -> Result<Option<Extent>>;
    /// Are the checksums of blocks of that birth evidence?
    fn is_settled(&self, birth: Epoch) -> bool;
}

/// A piece of a buffer and the bytes that belong there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Length in bytes.
    pub len: usize,
    /// Where in the store they lie; `None` for a hole.
    pub source: Option<u64>,
    /// Are their checksums evidence?
    pub settled: bool,
}

/// Finds out where the `len` bytes at `offset` lie, as far as `segments` go. Returns how many segments were filled; they
/// cover at least one byte if `len` is not 0.
///
/// # Errors
/// `Corrupt` if the table cannot be read.
pub fn plan(image: &impl Image, offset: u64, len: usize, segments: &mut [Segment; SEGMENTS_MAX]) -> Result<usize> {
    let end = offset + len as u64;
    let mut at = offset;
    let mut count = 0;
    let mut push = |count: &mut usize, len: u64, source: Option<u64>, settled: bool| {
        segments[*count] = Segment { len: len as usize, source, settled };
        *count += 1;
    };
    while at < end && count < SEGMENTS_MAX {
        let extent = image.next_extent(LogicalBlock::holding(at))?.filter(|extent| extent.logical.offset() < end);
        let Some(extent) = extent else {
            push(&mut count, end - at, None, true);
            break;
        };
        let start = extent.logical.offset();
        if start > at {
            push(&mut count, start - at, None, true);
            at = start;
            continue;
        }
        let until = end.min(extent.end().offset());
        let source = extent.physical.map(|block| block.offset() + (at - start));
        push(&mut count, until - at, source, image.is_settled(extent.birth));
        at = until;
    }
    Ok(count)
}

/// Copies what `segments` name into `buf`, whose first byte is byte `offset` of the image; returns how many bytes that were. Blocks
/// that were not compared with their checksums since the store was opened are compared now.
///
/// # Errors
/// `Corrupt` with the block that is not what was written there, `Io` from the device.
pub fn copy(device: &dyn Device, space: &Space, segments: &[Segment], buf: &mut [u8], offset: u64) -> Result<usize> {
    let mut done = 0;
    for segment in segments {
        let part = &mut buf[done..done + segment.len];
        match segment.source {
            None => part.fill(0),
            Some(source) if segment.settled => copy_proven(device, space, part, source, offset + done as u64)?,
            Some(source) => copy_plain(device, part, source)?,
        }
        done += segment.len;
    }
    Ok(done)
}

fn copy_plain(device: &dyn Device, part: &mut [u8], source: u64) -> Result<()> {
    let read = device.copy_mapped(part, source);
    read.device_context(|| doing(part.len(), source))
}

/// The same for bytes that are looked at for the first time, and may well come from the disk: a call waits for less than a page fault,
/// and is told if the disk fails.
fn copy_first(device: &dyn Device, part: &mut [u8], source: u64) -> Result<()> {
    let read = device.read_at(part, source);
    read.device_context(|| doing(part.len(), source))
}

fn doing(len: usize, source: u64) -> String {
    format!("read {len} bytes at block {} of the store", source / BLOCK_BYTES)
}

fn copy_proven(device: &dyn Device, space: &Space, part: &mut [u8], source: u64, offset: u64) -> Result<()> {
    let first = PhysicalBlock(source / BLOCK_BYTES);
    let blocks = (source + part.len() as u64).div_ceil(BLOCK_BYTES) - first.0;
    // What was compared in the map proves nothing of a file that the map lost.
    if space.is_proven(first, blocks) && device.faults(Lend::data()) == 0 {
        return copy_plain(device, part, source);
    }
    space.expect_checksum(first)?;
    let mut done = 0;
    while done < part.len() {
        let at = source + done as u64;
        let (block, logical) = (PhysicalBlock(at / BLOCK_BYTES), LogicalBlock::holding(offset + done as u64));
        let within = (at % BLOCK_BYTES) as usize;
        let rest = &mut part[done..];
        let whole = if within == 0 { rest.len() / BLOCK_LEN * BLOCK_LEN } else { 0 };
        if whole > 0 {
            copy_first(device, &mut rest[..whole], at)?;
            prove(space, logical, block, &rest[..whole])?;
            done += whole;
        } else {
            // A checksum is about the whole block.
            let mut bytes = [0; BLOCK_LEN];
            copy_first(device, &mut bytes, block.offset())?;
            prove(space, logical, block, &bytes)?;
            let len = rest.len().min(BLOCK_LEN - within);
            rest[..len].copy_from_slice(&bytes[within..within + len]);
            done += len;
        }
    }
    Ok(())
}

/// Compares the bytes of whole blocks with their checksums, and notes that they were compared.
///
/// # Errors
/// `Corrupt` with the first block that is not what was written there.
pub fn prove(space: &Space, logical: LogicalBlock, first: PhysicalBlock, bytes: &[u8]) -> Result<()> {
    let mut checksums = [None; BLOCKS_PER_COMPARISON];
    let mut done = 0;
    for part in bytes.chunks(BLOCKS_PER_COMPARISON * BLOCK_LEN) {
        let checksums = &mut checksums[..part.len() / BLOCK_LEN];
        space.checksums(first.plus(done), checksums)?;
        for (checksum, block) in checksums.iter().zip(part.chunks_exact(BLOCK_LEN)) {
            if *checksum != Some(crc32fast::hash(block)) {
                return Err(Error::rotten(Rotten { logical: logical.plus(done), physical: first.plus(done) }));
            }
            done += 1;
        }
    }
    space.note_proven(first, done);
    Ok(())
}

/// Compares blocks that are about to be lent with their checksums, as far as that was not done since the store was opened.
///
/// # Errors
/// As [`copy`].
pub fn prove_lent(device: &dyn Device, space: &Space, logical: LogicalBlock, first: PhysicalBlock, blocks: u64) -> Result<()> {
    let mut bytes = Vec::new();
    let mut done = 0;
    while done < blocks {
        let count = (blocks - done).min(BLOCKS_PER_LENT_READ);
        let start = first.plus(done);
        if !space.is_proven(start, count) {
            bytes.resize((count * BLOCK_BYTES) as usize, 0);
            copy_first(device, &mut bytes, start.offset())?;
            prove(space, logical.plus(done), start, &bytes)?;
        }
        done += count;
    }
    Ok(())
}
