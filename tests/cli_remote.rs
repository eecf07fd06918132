//! Does the command do with a running node what it does with a store, and say the same?

#[path = "cli_remote/both.rs"]
mod both;
#[path = "nbd_ways_in/certificates.rs"]
mod certificates;
mod cli_support;
#[path = "nbd_protocol/client.rs"]
mod client;
#[path = "http_api/node.rs"]
mod node;
#[path = "serving/process.rs"]
mod process;
#[path = "cli_remote/refusals.rs"]
mod refusals;
#[path = "http_api/reply.rs"]
mod reply;
#[path = "cli_remote/roads.rs"]
mod roads;
#[path = "cli_remote/verbs.rs"]
mod verbs;
