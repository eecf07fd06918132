//! Does garbage collection at a location free what nobody needs, and nothing else, whoever does what in between?
//!
//! `FLOE_SEED`: the seed of the first run. `FLOE_RUNS`: how many. `FLOE_STEPS`: steps of each.

#[path = "remote_garbage/between.rs"]
mod between;
#[allow(unused_imports)] // Only the server is needed, not the proxy.
#[path = "bucket/mod.rs"]
mod bucket;
#[path = "remote_garbage/crashes.rs"]
mod crashes;
#[path = "remote_garbage/damage.rs"]
mod damage;
#[path = "remote_garbage/protocol.rs"]
mod protocol;
#[path = "remote_garbage/random.rs"]
mod random;
#[path = "remote_garbage/real.rs"]
mod real;
#[path = "remote_garbage/shaky.rs"]
mod shaky;
#[path = "remote_garbage/story.rs"]
mod story;
#[path = "remote_garbage/world.rs"]
mod world;
