//! What runs when somebody types `floe`?

use std::process::ExitCode;

fn main() -> ExitCode {
    floe::node::cli::run()
}
