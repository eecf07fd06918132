//! Where does a server write what happens?
//!
//! To stderr, a line for each event.

use std::io::IsTerminal;
use tracing::level_filters::LevelFilter;

/// Begins to write the log.
pub(super) fn start(level: LevelFilter) {
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_ansi(colours).with_target(false).init();
}

/// How much a word says that it shall be.
pub(super) fn level(word: &str) -> Result<LevelFilter, String> {
    word.parse().map_err(|_| "it is one of off, error, warn, info, debug and trace".into())
}
