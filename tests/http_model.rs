//! Does the API keep to a model of what accounts have, whatever they ask for?
//!
//! Three accounts make random calls, some of which cannot be meant or are not allowed; others write to drives meanwhile, and the API is
//! begun anew now and then. Every answer, and everything that the accounts see, must be what the model says. There are no sockets: calls
//! go to `Api::answer`.
//!
//! `FLOE_SEED`: the seed of the first run. `FLOE_MODEL_RUNS`: how many. `FLOE_STEPS`: calls of each.

#[path = "http_model/caller.rs"]
mod caller;
#[path = "threads/dice.rs"]
mod dice;
#[path = "http_model/listing.rs"]
mod listing;
#[path = "http_model/making.rs"]
mod making;
#[path = "http_model/model.rs"]
mod model;
#[path = "http_model/run.rs"]
mod run;
#[path = "http_model/sharing.rs"]
mod sharing;
#[path = "http_model/shown.rs"]
mod shown;
