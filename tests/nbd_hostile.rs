//! What happens when an NBD client says what no client would say?
//!
//! The fuzzer of `fuzz/` asks the same with coverage; here its corpus is played again, and as many seeded conversations as there is time for
//! (`FLOE_SEED`, `FLOE_HOSTILE_CASES`).

mod feeding;
mod talk;

#[test]
fn server_takes_any_client() {
    feeding::feed("nbd", "nbd_hostile", 3000, 400, &talk::run);
}
