//! How are changed ranges printed?
//!
//! One by one while they are found: there may be more than memory holds.

use super::exit::Exit;
use super::json;
use super::output::{Reply, Style};
use super::size::rounded;
use crate::node::failure::Failure;
use crate::{Change, ChangeKind, Changes};
use std::io::{self, BufWriter, Write};

/// Prints all changes and their totals.
pub(super) fn print(changes: Changes, style: Style) -> Result<Reply, Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    if style.json {
        print_json(changes, &mut out)?
    } else {
        print_table(changes, &mut out)?
    }
    out.flush().map_err(to_stdout)?;
    Ok(Reply::Printed(Exit::Done))
}

fn print_json(changes: Changes, out: &mut impl Write) -> Result<(), Failure> {
    let mut before = "[\n";
    for change in changes {
        write!(out, "{before}  {}", json::change(&change?)).map_err(to_stdout)?;
        before = ",\n";
    }
    let end = if before == ",\n" { "\n]" } else { "[]" };
    writeln!(out, "{end}").map_err(to_stdout)
}

fn print_table(changes: Changes, out: &mut impl Write) -> Result<(), Failure> {
    writeln!(out, "{:>19}  {:>19}  KIND", "OFFSET", "LENGTH").map_err(to_stdout)?;
    let (mut ranges, mut data_bytes, mut hole_bytes) = (0_u64, 0, 0);
    for change in changes {
        let Change { range, kind } = change?;
        let len = range.end - range.start;
        writeln!(out, "{:>19}  {len:>19}  {}", range.start, json::change_kind(kind)).map_err(to_stdout)?;
        ranges += 1;
        match kind {
            ChangeKind::Data => data_bytes += len,
            ChangeKind::Hole => hole_bytes += len,
        }
    }
    writeln!(out, "{ranges} ranges: {} data, {} hole", rounded(data_bytes), rounded(hole_bytes)).map_err(to_stdout)
}

fn to_stdout(error: io::Error) -> Failure {
    Failure::io("writing to stdout", error)
}
