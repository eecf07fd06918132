//! How does a change become permanent?
//!
//! A commit writes its pages to places that no durable commit uses, and the superblock that names them. A large one makes them durable
//! before it writes the superblock, and that after it; a small one makes all durable at once, and its superblock lists what must be there
//! for it to count. Until the last `sync` returns, the superblock before it may be the one that counts; recovery is choosing the newest
//! valid one.
//!
//! Invariants:
//! 1. Nothing that the last durable superblock reaches is written, except data blocks that are overwritten in place.
//! 2. A superblock is written only after everything it reaches is durable, but for what its commit record lists.
//! 3. What the commit record of the last superblock lists is not written before a newer superblock is durable.
//! 4. After the first failed write or sync, nothing is written any more.

mod batch;
mod recovery;

pub use batch::{Batch, write_batch, write_superblock};
pub use recovery::{LastCommit, last_commit, make_certain};
