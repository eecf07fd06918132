//! What does whoever started the node want to hear of it?
//!
//! systemd is told when it is ready, that it stops, and, if it asks for that, again and again that it is well. A node that gets nothing done,
//! or whose store is poisoned, says nothing: then systemd restarts it, and opening recovers the store.

use sd_notify::NotifyState;
use std::time::Duration;

/// How often a node looks after itself, at most.
const TICK_MAX: Duration = Duration::from_secs(10);

/// Who watches the node.
pub(super) struct Supervisor {
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// As the environment says.
    pub fn from_environment() -> Self {
        Self { watchdog: sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) }
    }

    /// How often the node must look after itself.
    pub fn tick(&self) -> Duration {
        self.watchdog.map_or(TICK_MAX, |limit| (limit / 3).min(TICK_MAX))
    }

    /// It serves.
    pub fn ready(&self, status: &str) {
        tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// It is well.
    pub fn well(&self) {
        if self.watchdog.is_some() {
            tell(&[NotifyState::Watchdog]);
        }
    }

    /// It is not.
    pub fn unwell(&self, status: &str) {
        tell(&[NotifyState::Status(status)]);
    }

    /// It ends.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping, NotifyState::Status("stopping: waiting for requests that came")]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be told");
    }
}
