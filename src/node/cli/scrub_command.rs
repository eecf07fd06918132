//! What does `floe scrub` do?

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::exit::Exit;
use super::output::{Document, Reply};
use super::progress::Progress;
use super::session::Session;
use super::{json, size, text};
use crate::node::failure::Failure;
use crate::node::service::scrub::{Pace, scrub};

#[derive(Debug, Args)]
pub(super) struct ScrubArgs {
    /// The store; default: that of --store or FLOE_STORE
    path: Option<PathBuf>,
    /// Read at most so much per second
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    rate: Option<u64>,
    /// Begin anew instead of where an interrupted scrub stopped
    #[arg(long)]
    restart: bool,
}

pub(super) fn run(session: &Session, args: &ScrubArgs) -> Result<Reply, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(|error| Failure::io("waiting for signals", error))?;
    }
    session.with_store_at(session.path(args.path.as_deref())?, |store| {
        let progress = Progress::bytes(session.style, "scrubbing", Some(0));
        let pace = Pace { from_beginning: args.restart, bytes_per_second: args.rate };
        let report = scrub(store, pace, &|| stop.load(Ordering::Relaxed), &mut |step| {
            progress.of_total(step.bytes_done, step.bytes_total);
        })?;
        let exit = match (report.is_clean(), report.finished) {
            (false, _) => Exit::CheckFailed,
            (true, false) => Exit::Interrupted,
            (true, true) => Exit::Done,
        };
        let document = Document { exit, ..Document::new(text::scrub(&report), json::scrub(&report)) };
        Ok(if report.finished { document } else { document.note("interrupted; the next scrub goes on there") }.into())
    })
}
