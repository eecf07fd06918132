//! Which commit does a store open with?

use crate::device::Device;
use crate::error::{DeviceContext, Error, ErrorKind, Result};
use crate::format::superblock::{FORMAT_VERSION, SLOTS, Superblock, Unusable};
use crate::units::{BLOCK_BYTES, BLOCK_LEN};

/// The commit that a store opens with.
pub struct LastCommit {
    /// The newest valid superblock of the two.
    pub superblock: Superblock,
    /// Both slots hold it, as after a close. The second one is written after the first one is durable: then so it is.
    pub is_in_both_slots: bool,
}

/// Chooses the newest valid superblock of the two.
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
    let Some(superblock) = usable.into_iter().max_by_key(|superblock| superblock.generation) else {
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
