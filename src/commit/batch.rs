//! In which order does a commit reach the device?

use crate::canary::{self, Canary};
use crate::device::Device;
use crate::error::{DeviceContext, Result};
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
}

/// Makes `batch` permanent: pages, sync, superblock, sync.
///
/// # Errors
/// `Io`; it is then unknown whether the commit happened.
pub fn write_batch(device: &dyn Device, mut batch: Batch) -> Result<()> {
    batch.pages.sort_unstable_by_key(|(at, _)| *at);
    write_pages(device, &batch.pages)?;
    if !canary::makes(Canary::SuperblockBeforeSync) {
        device.sync().device_context(|| "sync the pages of a commit")?;
    }
    let slot = if canary::makes(Canary::SuperblockOverwritten) { 0 } else { (batch.superblock.generation.0 % 2) as usize };
    write_superblock(device, &batch.superblock, slot)?;
    device.sync().device_context(|| "sync the superblock")
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
