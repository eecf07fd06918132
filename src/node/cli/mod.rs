//! What does the command `floe` do?
//!
//! Arguments (`args`) become calls of the [`service`](super::service); what comes back becomes a table, JSON or uuids
//! (`output`), and a failure becomes a message and an exit code (`exit`). The store is closed before anything is
//! printed: what a reply says is durable, and a pager does not keep the store locked.

mod args;
mod backup_commands;
mod bookmark_commands;
mod changes;
mod drive_commands;
mod exit;
mod export;
mod import;
mod json;
mod location_care;
mod location_commands;
mod log;
mod nbd_command;
mod output;
mod place;
mod progress;
mod remote_commands;
mod scrub_command;
mod serve_command;
mod serve_layers;
mod serve_plan;
mod serve_settings;
mod serve_supervisor;
mod session;
mod size;
mod snapshot_commands;
mod store_commands;
mod table;
mod text;
mod user_commands;

use crate::node::failure::Failure;
use args::Command;
use exit::Exit;
use output::{Reply, Style};
use serve_layers::{Refused, Said, Setting};
use session::Session;
use std::ffi::OsStr;
use std::process::ExitCode;

/// Runs the command that the process was started with, and says with which code to end.
#[must_use]
pub fn run() -> ExitCode {
    let Said { floe, settings } = match serve_layers::read() {
        Ok(said) => said,
        Err(Refused::Arguments(error)) => return refuse_arguments(&error),
        Err(Refused::File(failure)) => return fail(&failure, Style { json: wants_json(), quiet: false }),
    };
    let style = Style { json: floe.json, quiet: floe.quiet };
    let session = Session { place: floe.place, style };
    let done = dispatch(&session, floe.command, &settings).and_then(|reply| output::print(reply, style));
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => fail(&failure, style),
    }
}

fn fail(failure: &Failure, style: Style) -> ExitCode {
    output::print_failure(failure, style);
    Exit::from(failure.kind()).into()
}

fn dispatch(session: &Session, command: Command, settings: &[Setting]) -> Result<Reply, Failure> {
    match command {
        Command::Store(command) => store_commands::run(session, command),
        Command::Drive(command) => drive_commands::run(session, command),
        Command::Snapshot(command) => snapshot_commands::run(session, command),
        Command::Bookmark(command) => bookmark_commands::run(session, command),
        Command::Remote(args) => remote_commands::run(session, &args),
        Command::Location(args) => location_commands::run(session, &args),
        Command::Backup(args) => backup_commands::run(session, &args),
        Command::Clone(args) => snapshot_commands::clone_drive(session, &args),
        Command::Revert(args) => snapshot_commands::revert(session, &args),
        Command::Scrub(args) => scrub_command::run(session, &args),
        Command::Serve(args) => serve_command::run(session, &args, settings),
        Command::User(args) => user_commands::run(session, &args),
        Command::Nbd(args) => nbd_command::run(session, &args),
        Command::Completions { shell } => completions(shell),
    }
}

fn completions(shell: clap_complete::Shell) -> Result<Reply, Failure> {
    // Made in memory first: clap_complete panics when its writer fails, and a reader may have gone away.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut serve_layers::command(), "floe", &mut script);
    output::write_stdout(&script)?;
    Ok(Reply::Printed(Exit::Done))
}

fn refuse_arguments(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && wants_json() {
        output::print_usage_error(&error.to_string());
        return Exit::Usage.into();
    }
    match error.print() {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::BrokenPipe.into(),
        Err(_) => Exit::Failed.into(),
        Ok(()) if error.use_stderr() => Exit::Usage.into(),
        Ok(()) => Exit::Done.into(),
    }
}

/// Where nothing was parsed, whether JSON is wanted can only be seen in the raw arguments.
fn wants_json() -> bool {
    std::env::args_os().any(|argument| argument == OsStr::new("--json"))
}
