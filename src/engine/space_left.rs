//! What is tried before somebody is told that the store is full?

use crate::error::{ErrorKind, Result};

use super::Engine;

/// Extents that one step of freeing visits while somebody waits for space.
const STEP: u64 = 4096;

impl Engine {
    /// Runs `attempt`; if the store is full, commits (what was freed can then be used again), and goes on freeing what was
    /// deleted until it succeeds or nothing is left to free.
    ///
    /// # Errors
    /// Whatever `attempt` says, at last `NoSpace`.
    pub fn with_space<T>(&self, attempt: impl Fn() -> Result<T>) -> Result<T> {
        let mut result = attempt();
        let mut has_more = true;
        while has_more && result.as_ref().is_err_and(|error| error.kind() == ErrorKind::NoSpace) {
            self.check_poison()?;
            has_more = !self.reclaim_step(STEP)?.done;
            self.commit_now()?;
            result = attempt();
        }
        result
    }
}
