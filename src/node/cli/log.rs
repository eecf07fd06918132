//! Where does a server write what happens?
//!
//! To stderr, a line for each event. `FLOE_LOG` says how much: off, error, warn, info (the default), debug or trace.

use crate::node::failure::{Failure, FailureKind};
use std::io::IsTerminal;
use tracing::level_filters::LevelFilter;

const VARIABLE: &str = "FLOE_LOG";

/// Begins to write the log.
pub(super) fn start() -> Result<(), Failure> {
    let level = match std::env::var(VARIABLE) {
        Err(_) => LevelFilter::INFO,
        Ok(word) => word.parse().map_err(|_| {
            let message = format!("{VARIABLE}={word}: it is one of off, error, warn, info, debug and trace");
            Failure::new(FailureKind::InvalidArgument, message)
        })?,
    };
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_ansi(colours).with_target(false).init();
    Ok(())
}
