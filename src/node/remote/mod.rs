//! How do remote snapshots outlive their drives, and the node?
//!
//! A location is an object store (`bucket`) with a repository in it (`repository`). A remote snapshot is put there by `upload` and comes back
//! by `fetch`. docs/repository.md is the format, for whoever must do without floe.

pub mod bucket;
pub mod fetch;
pub mod filling;
pub mod known;
pub mod location;
pub mod pace;
pub mod remotes;
pub mod repository;
pub mod transfer;
pub mod upload;
