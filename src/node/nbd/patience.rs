//! Is it worth looking for the next request without going to sleep?
//!
//! A processor that goes idle takes some ten microseconds to wake up, in a virtual machine still more: as long as a client that sends one
//! request after the other takes for all the rest. So who was answered is waited for awake, for a moment, as long as that tends to succeed.

use std::time::Duration;

/// So long the next request is looked for.
pub const PATIENCE: Duration = Duration::from_micros(50);

/// A client that was slept for and still came within this would have been worth looking for.
const SOON: Duration = Duration::from_micros(120);

/// So many times in a row looking may fail, or a client must come soon.
const TIMES: u32 = 4;

/// What came of looking and of sleeping lately.
#[derive(Default)]
pub struct Patience {
    /// Looks in a row that failed since the client last came soon.
    failed: u32,
    /// Times in a row that the client came soon.
    soon: u32,
}

impl Patience {
    /// Shall the next request be looked for?
    pub fn is_worth_it(&self) -> bool {
        self.soon >= TIMES && self.failed < TIMES
    }

    /// It was, and came or did not.
    pub fn looked(&mut self, came: bool) {
        self.failed = if came { 0 } else { self.failed + 1 };
        if self.failed >= TIMES {
            self.soon = 0;
        }
    }

    /// It was slept for, so long.
    pub fn waited(&mut self, time: Duration) {
        if time < SOON {
            self.soon = (self.soon + 1).min(TIMES);
        } else {
            self.soon = 0;
        }
        if self.soon == TIMES {
            self.failed = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PATIENCE, Patience, TIMES};
    use std::time::Duration;

    #[test]
    fn only_who_keeps_coming_soon_is_waited_for_awake() {
        let mut patience = Patience::default();
        assert!(!patience.is_worth_it(), "nothing is known of a new client");
        (0..TIMES).for_each(|_| patience.waited(PATIENCE));
        assert!(patience.is_worth_it());
        (0..100).for_each(|_| patience.looked(true));
        assert!(patience.is_worth_it());
        (0..TIMES).for_each(|_| patience.looked(false));
        assert!(!patience.is_worth_it(), "he does not come any more");
        patience.waited(Duration::from_secs(1));
        patience.waited(PATIENCE);
        assert!(!patience.is_worth_it(), "once is no habit");
    }
}
