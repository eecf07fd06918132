//! In which order does a commit reach the device?

use crate::canary::{self, Canary};
use crate::device::{Device, Lend};
use crate::error::{DeviceContext, Error, ErrorKind, Result};
use crate::format::commit_record::{CommitRecord, DIGEST_LEN, DataRun};
use crate::format::page;
use crate::format::superblock::{SLOTS, Superblock};
use crate::tree::working_set::SealedPage;
use crate::units::{BLOCK_BYTES, BLOCK_LEN, PhysicalBlock};

/// Pages that lie side by side are written by one call of at most this many.
const PAGES_PER_WRITE: usize = 64;

/// All that one commit writes.
pub struct Batch {
    /// Pages, each for a place of its own.
    pub pages: Vec<SealedPage>,
    /// What names them.
    pub superblock: Superblock,
    /// All data that the superblock is the first to name and that may not be durable, if that can be told and is little.
    pub data: Option<Vec<DataRun>>,
}

/// Makes `batch` permanent with one sync, if a commit record has room for all that must be there; else with one before the superblock is
/// written and one after. Returns the superblock as it was written.
///
/// # Errors
/// `Io`; it is then unknown whether the commit happened.
pub fn write_batch(device: &dyn Device, mut batch: Batch) -> Result<Superblock> {
    batch.pages.sort_unstable_by_key(|(at, _)| *at);
    write_pages(device, &batch.pages)?;
    let mut superblock = batch.superblock;
    superblock.commit_record = batch.data.and_then(|data| record_of(device, &superblock, &batch.pages, data));
    if superblock.commit_record.is_none() && !canary::makes(Canary::SuperblockBeforeSync) {
        device.sync().device_context(|| "sync the pages of a commit")?;
    }
    let slot = if canary::makes(Canary::SuperblockOverwritten) { 0 } else { (superblock.generation.0 % 2) as usize };
    write_superblock(device, &superblock, slot)?;
    device.sync().device_context(|| "sync the superblock")?;
    Ok(superblock)
}

/// A record of what a commit wrote, if there is room for it, and if the data can be read: else it is made durable first.
fn record_of(device: &dyn Device, superblock: &Superblock, pages: &[SealedPage], data: Vec<DataRun>) -> Option<CommitRecord> {
    if !superblock.has_room(pages.len(), data.len()) {
        return None;
    }
    let digest = digest_of(device, &data).ok()?;
    let pages = pages.iter().map(|(at, page)| (*at, page::stored_crc(page))).collect();
    Some(CommitRecord { pages, data, digest })
}

/// The digest of blocks of data, one behind the other, as a commit record has it. The caller keeps writers away from them.
///
/// # Errors
/// `Io` from the device.
pub fn digest_of(device: &dyn Device, data: &[DataRun]) -> Result<[u8; DIGEST_LEN]> {
    if data.is_empty() {
        return Ok([0; DIGEST_LEN]);
    }
    let faults = device.faults(Lend::data());
    let mut hasher = blake3::Hasher::new();
    for DataRun { start, blocks } in data {
        hasher.update(device.mapped(start.offset()..start.plus(u64::from(*blocks)).offset(), Lend::data()));
    }
    if device.faults(Lend::data()) > faults {
        return Err(Error::new(ErrorKind::Io, "data that a commit names could not be read"));
    }
    Ok(*hasher.finalize().as_bytes())
}

/// Writes a superblock into one of the two slots, without making it durable.
///
/// # Errors
/// `Io` from the device.
pub fn write_superblock(device: &dyn Device, superblock: &Superblock, slot: usize) -> Result<()> {
    device.write_at(&superblock.encode(), SLOTS[slot].offset()).device_context(|| "write the superblock")
}

fn write_pages(device: &dyn Device, pages: &[SealedPage]) -> Result<()> {
    let mut buffer = Vec::with_capacity(PAGES_PER_WRITE.min(pages.len()) * BLOCK_LEN);
    let mut start = PhysicalBlock(0);
    for (at, page) in pages {
        let next = start.offset() + buffer.len() as u64;
        if buffer.is_empty() || at.offset() != next || buffer.len() == PAGES_PER_WRITE * BLOCK_LEN {
            write_run(device, start, &buffer)?;
            buffer.clear();
            start = *at;
        }
        buffer.extend_from_slice(&page[..]);
    }
    write_run(device, start, &buffer)
}

fn write_run(device: &dyn Device, start: PhysicalBlock, bytes: &[u8]) -> Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let pages = bytes.len() as u64 / BLOCK_BYTES;
    device.write_at(bytes, start.offset()).device_context(|| format!("write {pages} pages at page {start}"))
}
