//! Does a running node answer over HTTP as the documentation, its clients and common sense expect?

#[path = "http_api/beside.rs"]
mod beside;
#[path = "nbd_protocol/client.rs"]
mod client;
#[path = "http_api/clients.rs"]
mod clients;
#[path = "http_api/cloning.rs"]
mod cloning;
#[path = "http_api/conventions.rs"]
mod conventions;
#[path = "http_api/described.rs"]
mod described;
#[path = "http_api/documented.rs"]
mod documented;
#[path = "http_api/drives.rs"]
mod drives;
#[path = "http_api/here.rs"]
mod here;
#[path = "http_api/listing.rs"]
mod listing;
#[path = "http_api/node.rs"]
mod node;
#[path = "http_api/pages.rs"]
mod pages;
#[path = "http_api/pattern.rs"]
mod pattern;
#[path = "serving/process.rs"]
mod process;
#[path = "http_api/remote_snapshots.rs"]
mod remote_snapshots;
#[path = "http_api/reply.rs"]
mod reply;
#[path = "http_api/sharing.rs"]
mod sharing;
#[path = "http_api/sizes.rs"]
mod sizes;
#[path = "http_api/snapshots.rs"]
mod snapshots;
#[path = "http_api/world.rs"]
mod world;
