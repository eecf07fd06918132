//! What does the crate offer?
//!
//! floe is an embedded storage engine for drive images with copy-on-write snapshots.
//!
//! A [`Store`] is one file (or block device) that holds [`Drive`]s and [`Snapshot`]s. A snapshot freezes a drive's extent
//! table, so only what changes afterwards takes space, and its [`allocated_size`](Snapshot::allocated_size) is exactly that
//! space. A clone is a drive made from a snapshot; it needs its origin no more than the origin needs it.
//!
//! ```
//! # fn main() -> floe::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("vms.floe");
//! use floe::{DriveOptions, SnapshotOptions, Store};
//!
//! let store = Store::options().capacity(64 << 30).create(&path)?;
//! let drive = store.create_drive(DriveOptions::new(10 << 30).name("db"))?;
//! drive.write_at(b"before", 0)?;
//! drive.flush()?;
//!
//! let snapshot = drive.snapshot(SnapshotOptions::named("monday"))?;
//! assert_eq!(snapshot.allocated_size()?, 0);
//! drive.write_at(b"after!", 0)?;
//! assert_eq!(snapshot.allocated_size()?, 4096);
//!
//! let copy = snapshot.clone_drive(DriveOptions::named("db-test"))?;
//! let mut bytes = [0; 6];
//! copy.read_at(&mut bytes, 0)?;
//! assert_eq!(&bytes, b"before");
//! store.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! The engine is synchronous: it starts no runtime, opens no socket and reads no clock. The promises it makes about durability
//! (D1-D7) and sizes (A1-A7) are in `docs/durability.md` and `docs/accounting.md`.

mod bookmark;
#[cfg(feature = "canary")]
pub mod canary;
#[cfg(not(feature = "canary"))]
mod canary;
mod catalog;
mod changes;
mod check;
mod commit;
mod device;
mod drive;
mod engine;
mod error;
mod extents;
pub mod fingerprint;
mod format;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod io;
#[cfg(feature = "node")]
pub mod node;
mod ranges;
mod scrub;
mod snapshot;
mod space;
mod steps;
mod store;
mod sync;
mod table;
mod tree;
mod units;

pub use blake3::Hash;
pub use bookmark::Bookmark;
pub use changes::{Change, ChangeKind, Changes};
pub use check::{CheckProgress, CheckReport, Problem, ProblemKind};
#[cfg(feature = "sim")]
pub use device::sim;
pub use device::{Device, FileDevice, FileDeviceOptions, Lend, MemoryDevice};
pub use drive::{Drive, DriveInfo, DriveOptions};
pub use engine::Holder;
pub use error::{Error, ErrorKind, Result};
pub use extents::{SnapshotExtent, SnapshotExtents};
pub use ranges::{Layer, Layers, Ranges};
pub use scrub::{RottenBlock, ScrubProgress, ScrubReport};
pub use snapshot::{Snapshot, SnapshotInfo, SnapshotOptions};
pub use store::{Reclaimed, Store, StoreInfo, StoreOptions, StoreUsage};
pub use units::{BLOCK_BYTES, DRIVE_BYTES_MAX, DRIVE_BYTES_MIN};
pub use uuid::Uuid;
