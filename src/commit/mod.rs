//! How does a change become permanent?
//!
//! A commit writes its pages to places that no durable commit uses, makes them durable, and only then writes the
//! superblock that names them, and makes that durable too. Until the second `sync` returns, the superblock before it counts;
//! recovery is choosing the newest valid one.
//!
//! Invariants:
//! 1. Nothing that the last durable superblock reaches is written, except data blocks that are overwritten in place.
//! 2. A superblock is written only after everything it reaches is durable.
//! 3. After the first failed write or sync, nothing is written any more.

mod batch;
mod recovery;

pub use batch::{Batch, write_batch, write_superblock};
pub use recovery::{LastCommit, last_commit};
