//! Stores that say what no floe would write, and what the engine makes of them.
//!
//! The fuzzer and the tests share all of it.

pub mod bench;
pub mod choices;
pub mod furnish;
pub mod mutation;
pub mod operations;
pub mod seal;
pub mod trial;
