#![no_main]

use floe_fuzz::forgery::{furnish, trial};

thread_local! {
    static STORES: Vec<furnish::Furnished> = furnish::all();
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| STORES.with(|stores| trial::run(stores, bytes)));
