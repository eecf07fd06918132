//! What if the engine panics?

use std::any::Any;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use crate::judge::Outcome;

thread_local! {
    /// Where and why this thread panicked, while panics are caught; `None` while they are not.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Turns a panic into a difference. Many runs are tried, so nothing is printed.
pub fn caught<T>(action: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            let caught = PANIC.with_borrow_mut(|panic| panic.as_mut().map(|text| *text = place).is_some());
            if !caught {
                loud(info);
            }
        }));
    });
    let outer = PANIC.replace(Some(String::new()));
    let outcome = panic::catch_unwind(AssertUnwindSafe(action));
    let place = PANIC.replace(outer).unwrap_or_default();
    outcome.unwrap_or_else(|payload| Err(format!("panic at {place}: {}", words(payload.as_ref()))))
}

fn words(payload: &(dyn Any + Send)) -> &str {
    payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("?")
}
