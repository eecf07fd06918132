//! What can be done with a store, whoever asks?
//!
//! The command, the API and the console all call these functions. They take handles of the engine and plain values, and
//! return plain data; what is a table, a JSON object or a progress bar is the caller's business. Selecting by
//! [`select`], doing by the module of the noun.

pub mod blocks;
pub mod bookmarks;
pub mod drives;
pub mod export;
pub mod import;
pub mod keeper;
pub mod local;
pub mod objects;
pub mod parts;
pub mod plain;
pub mod reclaim;
pub mod remotes;
pub mod scrub;
pub mod select;
pub mod snapshots;
pub mod source;
pub mod stores;
