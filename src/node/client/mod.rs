//! How does a program work with a node that runs elsewhere?
//!
//! By its HTTP API: [`Node`] keeps drives and snapshots as an open store does, and what it says is the same plain data.

mod connection;
mod credentials;
mod images;
mod node;
mod trust;

pub use connection::Connection;
pub use credentials::Credentials;
pub use node::Node;
pub use trust::roots;
