//! How do calls of the API come in by HTTP, and answers go out?
//!
//! The only place with a runtime: connections are tasks, and each call is answered in a thread of its own kind, for the engine blocks.

mod exchange;
mod server;

pub use server::{HttpOptions, HttpServer};
