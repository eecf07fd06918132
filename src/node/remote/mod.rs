//! How do remote snapshots outlive their drives, and the node?
//!
//! A location is an object store (`bucket`) with a repository in it (`repository`). A remote snapshot is put there by `upload` and comes back
//! by `fetch`. What none needs any more goes by `collect`, and `verify` looks whether all is there. docs/repository.md is the format, for whoever
//! must do without floe.

pub mod alive;
pub mod bucket;
pub mod collect;
pub mod doomed;
pub mod fetch;
pub mod filling;
pub mod halves;
pub mod keeping;
pub mod known;
pub mod lease;
mod leftovers;
pub mod location;
pub mod mark;
pub mod needed;
pub mod pace;
pub mod rebuild;
pub mod remotes;
pub mod repack;
pub mod repository;
pub mod schedule;
pub mod session;
pub mod settings;
pub mod transfer;
pub mod upload;
pub mod usage;
pub mod verify;
