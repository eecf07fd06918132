//! How is a drive read and written?
//!
//! This layer knows blocks, buffers and the device; which block lies where, and who else holds it, it asks through
//! [`Image`] and [`Target`].

mod ranges;
mod read;
mod stretch;
mod write;

pub use ranges::RangeLock;
pub use read::{Image, SEGMENTS_MAX, Segment, copy, plan, prove, prove_lent};
pub use write::{Change, Lies, Target, write, write_parts};
