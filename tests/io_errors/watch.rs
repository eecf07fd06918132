//! What if the engine hangs?

use std::collections::BTreeMap;
use std::process;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Far more than any case takes, even on a machine that is busy with something else.
const LONGEST: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Ends the test if a case does not end, and says which.
pub struct Watch(Arc<Watched>);

#[derive(Default)]
struct Watched {
    cases: Mutex<Cases>,
    over: Condvar,
}

#[derive(Default)]
struct Cases {
    begun: u64,
    under_way: BTreeMap<u64, (Instant, String)>,
    is_over: bool,
}

impl Watch {
    pub fn new() -> Self {
        let watched = Arc::new(Watched::default());
        let seen = Arc::clone(&watched);
        thread::spawn(move || seen.look());
        Self(watched)
    }

    /// Does what `replay` replays.
    pub fn over<T>(&self, replay: String, case: impl FnOnce() -> T) -> T {
        let number = {
            let mut cases = self.0.cases.lock().expect("nobody panics here");
            cases.begun += 1;
            let number = cases.begun;
            cases.under_way.insert(number, (Instant::now(), replay));
            number
        };
        let result = case();
        self.0.cases.lock().expect("nobody panics here").under_way.remove(&number);
        result
    }
}

impl Watched {
    fn look(&self) {
        let mut cases = self.cases.lock().expect("nobody panics here");
        while !cases.is_over {
            if let Some((_, replay)) = cases.under_way.values().find(|(begun, _)| begun.elapsed() > LONGEST) {
                // The thread that hangs cannot be ended, so the test ends here.
                eprintln!("the engine hangs\n\nreplay: {replay}\n");
                process::exit(101);
            }
            cases = self.over.wait_timeout(cases, LOOK_EVERY).expect("nobody panics here").0;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.cases.lock().expect("nobody panics here").is_over = true;
        self.0.over.notify_all();
    }
}
