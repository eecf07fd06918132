//! Does the server keep the rules of the NBD protocol, byte for byte, whatever the client does?
//!
//! The rules are those of <https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md> and its extension for extended headers.
//! The client is made by hand and checks every reply; foreign clients have tests of their own.

#[path = "nbd_protocol/bench.rs"]
mod bench;
#[path = "nbd_protocol/client.rs"]
mod client;
#[path = "nbd_protocol/durability.rs"]
mod durability;
#[path = "nbd_protocol/fragile.rs"]
mod fragile;
#[path = "nbd_protocol/handshake.rs"]
mod handshake;
#[path = "nbd_protocol/order.rs"]
mod order;
#[path = "nbd_protocol/requests.rs"]
mod requests;
#[path = "nbd_protocol/status.rs"]
mod status;
#[path = "nbd_protocol/stopping.rs"]
mod stopping;
