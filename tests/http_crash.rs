//! What does SIGKILL leave of a node whose clients are in the middle of something?
//!
//! Clients make calls that change several objects at once. A kill comes at a random moment; the node begins again, and must have all of a
//! call or none of it, everything that was answered, no job that goes on, and nothing that nobody knows of. Then the clients go on with
//! what is there.
//!
//! `FLOE_KILLS`: how many kills. `FLOE_SEED`: the seed of the first directory.

#[path = "http_crash/choice.rs"]
mod choice;
#[path = "nbd_protocol/client.rs"]
mod client;
#[path = "threads/dice.rs"]
mod dice;
#[path = "http_crash/full.rs"]
mod full;
#[path = "http_crash/life.rs"]
mod life;
#[path = "http_api/node.rs"]
mod node;
#[path = "http_crash/party.rs"]
mod party;
#[path = "serving/process.rs"]
mod process;
#[path = "http_api/reply.rs"]
mod reply;
#[path = "http_crash/seen.rs"]
mod seen;
#[path = "http_crash/state.rs"]
mod state;
