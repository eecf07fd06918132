//! What do bytes mean?
//!
//! Pure functions between bytes and values; nothing here reads a file or keeps state. `docs/format.md` describes the
//! same for a stranger who writes a reader; the two change together.

pub mod codec;
pub mod commit_record;
pub mod entry;
pub mod group;
pub mod page;
pub mod record;
pub mod space_changes;
pub mod superblock;
