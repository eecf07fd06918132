//! How does the command say what it did?
//!
//! stdout carries what was asked for and nothing else: tables, JSON, uuids or an image. Notes, progress and failures go
//! to stderr.

use super::exit::Exit;
use super::session::GivenBack;
use super::size::rounded;
use super::{json, text};
use crate::node::failure::{Failure, FailureKind};
use serde_json::{Value, json};
use std::io::{self, Write};
use uuid::Uuid;

/// What the user wants to read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Style {
    pub json: bool,
    pub quiet: bool,
}

/// What a command answers.
pub(super) enum Reply {
    /// To be printed in the style that is wanted.
    Document(Document),
    /// Printed already, because it was too long to keep.
    Printed(Exit),
}

/// One answer in each style.
pub(super) struct Document {
    pub text: String,
    pub json: Value,
    /// What `--quiet` prints; nothing means that it prints the text.
    pub uuids: Option<Vec<Uuid>>,
    /// What people should know besides; never JSON, not with `--quiet`.
    pub notes: Vec<String>,
    pub exit: Exit,
    /// Whether stdout carries an image, so that the answer must go to stderr.
    pub stdout_taken: bool,
}

impl Document {
    /// An answer about things that have no uuid.
    pub fn new(text: String, json: Value) -> Self {
        Self { text, json, uuids: None, notes: Vec::new(), exit: Exit::Done, stdout_taken: false }
    }

    /// An answer about the things of these uuids.
    pub fn about(uuids: impl IntoIterator<Item = Uuid>, text: String, json: Value) -> Self {
        Self { uuids: Some(uuids.into_iter().collect()), ..Self::new(text, json) }
    }

    /// The answer with what a deletion gave back, as far as that is known.
    pub fn given_back(mut self, back: Option<&GivenBack>) -> Self {
        if let Some(back) = back {
            self.text += &format!("{} given back\n", rounded(back.freed_bytes));
            self.json["freed_size"] = back.freed_bytes.into();
            self.json["reclaimed"] = (!back.more).into();
        }
        self
    }

    /// The answer with a note.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

impl From<Document> for Reply {
    fn from(document: Document) -> Self {
        Self::Document(document)
    }
}

/// Prints the reply.
pub(super) fn print(reply: Reply, style: Style) -> Result<Exit, Failure> {
    let document = match reply {
        Reply::Document(document) => document,
        Reply::Printed(exit) => return Ok(exit),
    };
    let text = match (&document.uuids, style) {
        (_, Style { json: true, .. }) => pretty(&document.json),
        (Some(uuids), Style { quiet: true, .. }) => uuids.iter().map(|uuid| format!("{uuid}\n")).collect(),
        _ => document.text,
    };
    if document.stdout_taken {
        if style.json || !style.quiet {
            write_stderr(&text);
        }
    } else {
        write_stdout(text.as_bytes())?;
    }
    if !style.json && !style.quiet {
        document.notes.iter().for_each(|note| write_stderr(&format!("floe: note: {note}\n")));
    }
    Ok(document.exit)
}

/// Prints what failed; nothing if only the reader of our output went away.
pub(super) fn print_failure(failure: &Failure, style: Style) {
    if failure.kind() == FailureKind::BrokenPipe {
        return;
    }
    if style.json {
        write_stderr(&pretty(&json::failure(failure)));
        return;
    }
    let mut message = format!("floe: {failure}\n");
    message += &text::candidates(failure.candidates());
    if let Some(advice) = failure.kind().advice() {
        message += &format!("floe: {advice}\n");
    }
    write_stderr(&message);
}

/// Prints, as JSON, why the arguments could not be understood.
pub(super) fn print_usage_error(message: &str) {
    write_stderr(&pretty(&json!({"error": {"kind": FailureKind::InvalidArgument.name(), "message": message.trim_end()}})));
}

/// Writes to stdout.
pub(super) fn write_stdout(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| Failure::io("writing to stdout", error))
}

fn write_stderr(text: &str) {
    // When stderr is gone too, there is nobody left to tell; the exit code still says it.
    drop(io::stderr().lock().write_all(text.as_bytes()));
}

fn pretty(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("a JSON value is JSON");
    text.push('\n');
    text
}
