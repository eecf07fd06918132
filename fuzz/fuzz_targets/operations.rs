#![no_main]

use floe_fuzz::forgery::{furnish, operations};

thread_local! {
    static EMPTY: furnish::Furnished = furnish::empty();
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| EMPTY.with(|empty| operations::run(empty, bytes)));
