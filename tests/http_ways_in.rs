//! How do HTTP clients get in, who is let in, how is a node set up, watched and ended?

#[path = "nbd_ways_in/certificates.rs"]
mod certificates;
#[path = "nbd_protocol/client.rs"]
mod client;
#[path = "http_ways_in/figures.rs"]
mod figures;
#[path = "http_ways_in/limits.rs"]
mod limits;
#[path = "http_ways_in/node.rs"]
mod node;
#[path = "http_ways_in/passwords.rs"]
mod passwords;
#[path = "http_ways_in/poisoned.rs"]
mod poisoned;
#[path = "serving/process.rs"]
mod process;
#[path = "http_ways_in/settings.rs"]
mod settings;
#[path = "http_ways_in/stopping.rs"]
mod stopping;
#[path = "http_ways_in/systemd.rs"]
mod systemd;
#[path = "http_ways_in/tls.rs"]
mod tls;
