//! How do calls of the API come in by HTTP, and answers go out?
//!
//! The only place with a runtime: connections are tasks, and each call is answered in a thread of its own kind, for the engine blocks.
//! `server` lets clients in, `connection` serves one, on a `wire` that minds the time; `exchange` makes a call of a request and a response of
//! an answer.

mod connection;
mod content;
mod exchange;
mod gate;
mod limits;
mod probes;
mod refusal;
mod served;
mod server;
mod turn;
mod wire;

pub use exchange::KIND;
pub use limits::{HEAD_BYTES_MIN, HttpLimits};
pub use probes::MetricsAt;
pub use server::{HttpOptions, HttpServer};
