//! Which blocks of the store are free, and what must the bytes in the others sum to?
//!
//! Invariants:
//! 1. A block is set in the bitmaps if and only if the trees reach it, at every commit; what is only taken is held.
//! 2. A block that was freed in generation g is not handed out before g is durable and before everybody who could still be reading it is done.
//! 3. A bitmap or checksum page is written to the slot that the last durable commit does not name; until it is written, the superblock
//!    lists how it differs.
//! 4. A block is handed out only after the file system has secured the space under it.
//! 5. Data blocks and tree pages lie in different groups.

mod bitmap;
mod changes;
mod checksums;
mod fresh;
mod group_state;
mod inventory;
mod map;
mod proven;
mod run;
mod seal;
#[cfg(test)]
mod tests;
mod window;

pub use map::{Purpose, Space, SpaceState, SpaceUsage};
pub use seal::How;
