//! How do clients get in, who is let in, and how does the command serve them?

#[path = "nbd_ways_in/activation.rs"]
mod activation;
#[path = "nbd_protocol/bench.rs"]
mod bench;
#[path = "nbd_ways_in/certificates.rs"]
mod certificates;
#[path = "nbd_protocol/client.rs"]
mod client;
#[path = "nbd_ways_in/command.rs"]
mod command;
#[path = "nbd_ways_in/memory.rs"]
mod memory;
#[path = "serving/process.rs"]
mod process;
#[path = "nbd_ways_in/sockets.rs"]
mod sockets;
#[path = "nbd_ways_in/stdio.rs"]
mod stdio;
#[path = "nbd_ways_in/tls.rs"]
mod tls;
#[path = "nbd_ways_in/tls_tools.rs"]
mod tls_tools;
#[path = "nbd_ways_in/writers.rs"]
mod writers;
