//! What stands behind a drive that has not got all of its image yet?
//!
//! The server knows no object store. Whoever fills drives is asked before a request touches one, and does what has to be done first.

use crate::Result;
use std::ops::Range;
use std::sync::Arc;
use uuid::Uuid;

/// Fills a drive.
pub trait Behind: Send + Sync {
    /// Gets what the range lacks.
    ///
    /// # Errors
    /// `Io` if it cannot be had now.
    fn before_read(&self, range: Range<u64>) -> Result<()>;

    /// Changes a range: what of it is not overwritten wholly is got first, and nothing is got over it afterwards.
    ///
    /// # Errors
    /// `Io` if it cannot be had now, and those of `change`.
    fn changing(&self, range: Range<u64>, change: &mut dyn FnMut() -> Result<()>) -> Result<()>;

    /// Has the drive got all?
    fn is_done(&self) -> bool;
}

/// Whoever fills the drive of that uuid, if it lacks something.
pub type Behinds = Arc<dyn Fn(Uuid) -> Option<Arc<dyn Behind>> + Send + Sync>;
