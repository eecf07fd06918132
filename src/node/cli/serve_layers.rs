//! Where do a node's settings come from?
//!
//! From the command line; what it does not say from the environment; then from the file that `--config` names; then the default holds.
//! What settings there are is read off the arguments of `floe serve`. A file's values become its defaults.

use super::args::Floe;
use super::serve_plan::wrong;
use crate::node::config::{self, Entry, full_name};
use crate::node::failure::Failure;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory, FromArgMatches};
use std::collections::HashSet;
use std::error::Error;
use std::path::{Path, PathBuf};

const SERVE: &str = "serve";

/// Arguments that are about settings, and are none.
const NOT_SETTINGS: [&str; 2] = ["config", "check_config"];

/// The argument that is called as its section.
const LISTEN: &str = "listen";

/// What was said, by whatever way.
pub(super) struct Said {
    pub floe: Floe,
    /// All settings of `floe serve`, in order; nothing for another command.
    pub settings: Vec<Setting>,
}

/// A setting that holds, and why.
pub(super) struct Setting {
    pub name: String,
    /// As it was said; nothing if nobody said anything and there is no default of its own.
    pub values: Vec<String>,
    pub from: From,
}

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Flag,
    Environment,
    File,
    Default,
}

impl From {
    pub fn name(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::File => "file",
            Self::Default => "default",
        }
    }
}

/// Why nothing can be done.
pub(super) enum Refused {
    /// The arguments, or variables, cannot be meant; or help was asked for.
    Arguments(clap::Error),
    /// The file cannot.
    File(Failure),
}

impl std::convert::From<clap::Error> for Refused {
    fn from(error: clap::Error) -> Self {
        Self::Arguments(error)
    }
}

/// The command with all its words, and the variables that speak for them.
pub(super) fn command() -> Command {
    let named = |argument: Arg| match argument.get_id().as_str() {
        "check_config" => argument,
        // clap wants what lives as long as the process; this is said once.
        id => {
            let variable: &'static str = format!("FLOE_{}", id.to_uppercase()).leak();
            argument.env(variable)
        }
    };
    Floe::command().mut_subcommand(SERVE, |serve| serve.mut_args(named))
}

/// Reads the command line, the environment, and the file that they name.
pub(super) fn read() -> Result<Said, Refused> {
    let command = command();
    let mut matches = command.clone().try_get_matches()?;
    let config = matches.subcommand_matches(SERVE).and_then(|serve| serve.get_one::<PathBuf>("config")).cloned();
    let mut filed = HashSet::new();
    if let Some(path) = config {
        let entries = config::read(&path).map_err(|failure| Refused::File(wrong(failure.to_string())))?;
        let underlaid = underlay(command.clone(), &path, &entries, &mut filed).map_err(Refused::File)?;
        matches = underlaid.try_get_matches()?;
    }
    let settings = matches.subcommand_matches(SERVE).map(|serve| settings(&command, serve, &filed)).unwrap_or_default();
    Ok(Said { floe: Floe::from_arg_matches(&matches)?, settings })
}

fn arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    let serve = command.find_subcommand(SERVE);
    serve.into_iter().flat_map(Command::get_arguments).filter(|argument| !NOT_SETTINGS.contains(&argument.get_id().as_str()))
}

/// The section and the name of a setting in a file.
fn place(argument: &Arg) -> (Option<String>, &str) {
    let id = argument.get_id().as_str();
    let section = argument.get_help_heading().map(str::to_lowercase);
    let Some(inside) = section.as_deref().and_then(|section| id.strip_prefix(section)) else { return (None, id) };
    (section, inside.strip_prefix('_').unwrap_or(LISTEN))
}

fn name(argument: &Arg) -> String {
    let (section, key) = place(argument);
    full_name(section.as_deref(), key)
}

/// Makes what a file says the defaults of the command's arguments.
fn underlay(command: Command, path: &Path, entries: &[Entry], filed: &mut HashSet<String>) -> Result<Command, Failure> {
    let mut underlaid = command.clone();
    for entry in entries {
        let Some(argument) = arguments(&command).find(|argument| place(argument) == (entry.section.clone(), entry.key.as_str()))
        else {
            return Err(config::wrong(path, entry.line, format_args!("there is no setting {}", entry.name())));
        };
        check(argument, entry).map_err(|message| config::wrong(path, entry.line, message))?;
        // As above: they live as long as the process.
        let values: Vec<&'static str> = entry.values.iter().map(|value| &*value.clone().leak()).collect();
        let id = argument.get_id().clone();
        filed.insert(id.to_string());
        underlaid = underlaid.mut_subcommand(SERVE, |serve| serve.mut_arg(id, |argument| argument.default_values(values)));
    }
    Ok(underlaid)
}

/// Would the command line take these values?
fn check(argument: &Arg, entry: &Entry) -> Result<(), String> {
    let Some(long) = argument.get_long() else { return Ok(()) };
    let probe = Command::new("floe").no_binary_name(true).disable_help_flag(true).arg(argument.clone());
    let said = entry.values.iter().map(|value| format!("--{long}={value}"));
    let Err(error) = probe.try_get_matches_from(said) else { return Ok(()) };
    let why = error.source().map_or_else(
        || error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned(),
        ToString::to_string,
    );
    Err(format!("{} = {}: {why}", entry.name(), entry.values.join(", ")))
}

fn settings(command: &Command, serve: &ArgMatches, filed: &HashSet<String>) -> Vec<Setting> {
    let setting = |argument: &Arg| {
        let id = argument.get_id().as_str();
        let from = match serve.value_source(id) {
            Some(ValueSource::CommandLine) => From::Flag,
            Some(ValueSource::EnvVariable) => From::Environment,
            _ if filed.contains(id) => From::File,
            _ => From::Default,
        };
        let values = serve.get_raw(id).into_iter().flatten().map(|value| value.to_string_lossy().into_owned()).collect();
        Setting { name: name(argument), values, from }
    };
    arguments(command).map(setting).collect()
}
