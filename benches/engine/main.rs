//! What do the engine's calls cost, how does that grow, and what does a plain file take for the same?
//!
//! Run `cargo bench`, or `cargo bench --bench engine -- NAME` for the groups whose name has NAME. criterion measures one thing after the
//! other: what waits for a disk that drifts is compared in turns by `benches/targets`. `FLOE_BENCH_LARGE=1` adds the cases that take minutes
//! to build.

mod diff;
mod flush;
mod freeze;
mod growth;
mod open;
mod read;
mod reclaim;
mod reopened;
#[path = "../setup/mod.rs"]
mod setup;
mod sizes;
mod threads;
mod write;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = freeze::benches, write::benches, flush::benches, read::benches, reopened::benches, threads::benches, sizes::benches,
        diff::benches, reclaim::benches, open::benches
}
criterion_main!(benches);
