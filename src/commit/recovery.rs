//! Which commit does a store open with?

use crate::canary::{self, Canary};
use crate::device::Device;
use crate::error::{DeviceContext, Error, ErrorKind, Result};
use crate::format::commit_record::{CommitRecord, DataRun};
use crate::format::page::{self, PageKind};
use crate::format::superblock::{FORMAT_VERSION, SLOTS, Superblock, Unusable};
use crate::units::{BLOCK_BYTES, BLOCK_LEN, PhysicalBlock};

use super::batch::{digest_of, write_superblock};

/// What a commit record may list.
const PAGE_KINDS: [PageKind; 5] =
    [PageKind::Branch, PageKind::EntryLeaf, PageKind::RecordLeaf, PageKind::Bitmap, PageKind::Checksums];

/// The commit that a store opens with.
pub struct LastCommit {
    /// The newest valid superblock of the two.
    pub superblock: Superblock,
    /// Both slots hold it, as after a close. The second one is written after the first one is durable: then so it is.
    pub is_in_both_slots: bool,
}

/// Chooses the newest valid superblock of the two. One with a commit record counts only if all that it lists is there; but if it is
/// there itself, the one before it was durable.
///
/// # Errors
/// `NotAStore` for a file that is none, `UnsupportedFormat` for a store of a newer floe, `Corrupt` if neither superblock can be used
/// or the file is shorter than the store, `Io` from the device.
pub fn last_commit(device: &dyn Device) -> Result<LastCommit> {
    if device.len_bytes() < 2 * BLOCK_BYTES {
        return Err(Error::new(ErrorKind::NotAStore, "it is no floe store: it is shorter than two superblocks"));
    }
    let mut usable: Vec<Superblock> = Vec::new();
    let mut reasons = Vec::new();
    for slot in SLOTS {
        let mut page = [0; BLOCK_LEN];
        device.read_at(&mut page, slot.offset()).device_context(|| "read a superblock")?;
        match Superblock::decode(&page) {
            Ok(superblock) => usable.push(superblock),
            Err(reason) => reasons.push(reason),
        }
    }
    // A newer floe may have taken the store over and left one superblock of ours behind.
    for reason in &reasons {
        let kind = ErrorKind::UnsupportedFormat;
        match reason {
            Unusable::Newer { version } => {
                let message =
                    format!("the store has format version {version}, this floe reads up to {FORMAT_VERSION}; use a newer floe");
                return Err(Error::new(kind, message));
            }
            Unusable::UnknownFeatures { features } => {
                let message = format!("the store uses features {features:#x} that this floe does not know; use a newer floe");
                return Err(Error::new(kind, message));
            }
            Unusable::Foreign | Unusable::Damaged(_) => {}
        }
    }
    let is_in_both_slots = matches!(&usable[..], [first, second] if first == second);
    usable.sort_unstable_by_key(|superblock| superblock.generation);
    if let Some(newest) = usable.last()
        && !is_whole(device, newest)?
    {
        reasons.push(Unusable::Damaged("what its commit record lists is not there"));
        usable.pop();
    }
    let Some(superblock) = usable.pop() else {
        if reasons.iter().all(|reason| *reason == Unusable::Foreign) {
            return Err(Error::new(ErrorKind::NotAStore, "it is no floe store: it has no superblock"));
        }
        return Err(Error::corrupt(format!("neither superblock can be used: {reasons:?}")));
    };
    let needed = superblock.store_blocks.saturating_mul(BLOCK_BYTES);
    if device.len_bytes() < needed {
        let message = format!("the store is {needed} bytes long, but only {} are there: it was cut off", device.len_bytes());
        return Err(Error::corrupt(message));
    }
    Ok(LastCommit { superblock, is_in_both_slots })
}

/// Is all there that the commit record of a superblock lists?
fn is_whole(device: &dyn Device, superblock: &Superblock) -> Result<bool> {
    let Some(record) = &superblock.commit_record else { return Ok(true) };
    if canary::makes(Canary::RecordBelieved) {
        return Ok(true);
    }
    let end = superblock.store_blocks.min(device.len_bytes() / BLOCK_BYTES);
    let lies_within = |start: PhysicalBlock, blocks: u64| start.0.checked_add(blocks).is_some_and(|until| until <= end);
    for (at, crc) in &record.pages {
        if !lies_within(*at, 1) {
            return Ok(false);
        }
        let mut bytes = [0; BLOCK_LEN];
        device.read_at(&mut bytes, at.offset()).device_context(|| format!("read page {at} of the last commit"))?;
        let is_sound = page::verify(&bytes, superblock.seed, *at, &PAGE_KINDS).is_ok();
        if !is_sound || page::stored_crc(&bytes) != *crc || page::generation(&bytes) != superblock.generation {
            return Ok(false);
        }
    }
    let all_within = record.data.iter().all(|DataRun { start, blocks }| lies_within(*start, u64::from(*blocks)));
    Ok(all_within && digest_of(device, &record.data)? == record.digest)
}

/// Writes once more what the last commit wrote, and makes it durable: a sync that failed can have lost it, though the system still
/// shows it.
///
/// # Errors
/// `Io` from the device.
pub fn make_certain(device: &dyn Device, superblock: &Superblock) -> Result<()> {
    if let Some(CommitRecord { pages, data, .. }) = &superblock.commit_record {
        let pages = pages.iter().map(|(at, _)| (*at, 1));
        for (at, blocks) in pages.chain(data.iter().map(|run| (run.start, usize::from(run.blocks)))) {
            let mut bytes = vec![0; blocks * BLOCK_LEN];
            device.read_at(&mut bytes, at.offset()).device_context(|| format!("read block {at} of the last commit"))?;
            device.write_at(&bytes, at.offset()).device_context(|| format!("write block {at} of the last commit again"))?;
        }
    }
    write_superblock(device, superblock, (superblock.generation.0 % 2) as usize)?;
    device.sync().device_context(|| "sync the superblock")
}
