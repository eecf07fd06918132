//! Do images come out of a node, and go in, byte for byte and whatever happens on the way?

#[path = "nbd_protocol/client.rs"]
mod client;
#[path = "http_content/crossing.rs"]
mod crossing;
#[path = "http_content/going_in.rs"]
mod going_in;
#[path = "http_content/going_out.rs"]
mod going_out;
#[path = "http_api/node.rs"]
mod node;
#[path = "http_api/pattern.rs"]
#[allow(dead_code)] // Other tests use the rest of these.
mod pattern;
#[path = "serving/process.rs"]
mod process;
#[path = "http_api/reply.rs"]
mod reply;
#[path = "http_content/unreliable.rs"]
mod unreliable;
#[path = "http_api/world.rs"]
#[allow(dead_code)]
mod world;
