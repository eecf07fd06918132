//! How does the space of deleted things come back?

use crate::Store;
use crate::node::failure::Failure;

/// Extents visited per step: some milliseconds of work, so that progress moves and a server's writers are not held up.
const STEP_EXTENTS: u64 = 16_384;

/// Reclaims until nothing is left, and makes it durable; `progress` hears how many bytes came back so far. Handles pin:
/// drop those of deleted snapshots first. Returns the bytes given back, pages of metadata among them.
///
/// # Errors
/// `Io`, `Corrupt`, `Poisoned`. What is left is reclaimed by the next call.
pub fn to_end(store: &Store, progress: &mut dyn FnMut(u64)) -> Result<u64, Failure> {
    let mut freed_bytes = 0;
    loop {
        let step = store.reclaim(STEP_EXTENTS)?;
        freed_bytes += step.freed_bytes;
        progress(freed_bytes);
        // A step that found nothing to visit will find nothing the next time either.
        if step.done || step.visited == 0 {
            break;
        }
    }
    store.flush()?;
    Ok(freed_bytes)
}
