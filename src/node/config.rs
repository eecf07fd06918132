//! What does a file of settings say, and in which line?
//!
//! TOML. A setting stands above all sections or in one; nothing is deeper, but locations and
//! schedules ([`settings`](crate::node::remote::settings)). What settings there are is not known here.

use crate::node::failure::{Failure, FailureKind};
use crate::node::remote::settings::SECTIONS;
use std::fs;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One setting of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The section that it stands in.
    pub section: Option<String>,
    /// Its name there.
    pub key: String,
    /// What it is set to, as the command line would say it; several if it is a list.
    pub values: Vec<String>,
    /// Its line; the first one is 1.
    pub line: usize,
}

impl Entry {
    /// How the documentation names it: `http.listen`.
    #[must_use]
    pub fn name(&self) -> String {
        full_name(self.section.as_deref(), &self.key)
    }
}

/// A setting's name with its section.
#[must_use]
pub fn full_name(section: Option<&str>, key: &str) -> String {
    section.map_or_else(|| key.to_owned(), |section| format!("{section}.{key}"))
}

/// All that a file sets.
///
/// # Errors
/// `NotFound`, `Io`, `InvalidArgument` with the line of what cannot be meant.
pub fn read(path: &Path) -> Result<Vec<Entry>, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::io(format!("read {}", path.display()), error))?;
    parse(&text).map_err(|(line, message)| wrong(path, line, message))
}

/// What is wrong with a line of a file.
#[must_use]
pub fn wrong(path: &Path, line: usize, message: impl std::fmt::Display) -> Failure {
    Failure::new(FailureKind::InvalidArgument, format!("{}:{line}: {message}", path.display()))
}

fn parse(text: &str) -> Result<Vec<Entry>, (usize, String)> {
    let line_at = |at: usize| text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        (line_at(at), error.message().to_owned())
    })?;
    let mut entries = Vec::new();
    for (key, value) in table.get_ref().iter() {
        let name = key.get_ref();
        if SECTIONS.contains(&name.as_ref()) {
            continue;
        }
        if let DeValue::Table(section) = value.get_ref() {
            for (key, value) in section.iter() {
                entries.push(entry(Some(name), key, value, &line_at)?);
            }
        } else {
            entries.push(entry(None, key, value, &line_at)?);
        }
    }
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

fn entry(
    section: Option<&str>,
    key: &Spanned<impl AsRef<str>>,
    value: &Spanned<DeValue<'_>>,
    line_at: &dyn Fn(usize) -> usize,
) -> Result<Entry, (usize, String)> {
    let (line, key) = (line_at(key.span().start), key.get_ref().as_ref());
    let name = full_name(section, key);
    let words = match value.get_ref() {
        DeValue::Array(list) if list.is_empty() => return Err((line, format!("{name} is an empty list, which says nothing"))),
        DeValue::Array(list) => list.iter().map(|one| word(one.get_ref())).collect(),
        DeValue::Table(_) => return Err((line, format!("{name} is a section in a section; there are none"))),
        one => word(one).map(|word| vec![word]),
    };
    let values = words.ok_or_else(|| (line, format!("{name} is neither text nor a whole number, nor true, nor false")))?;
    Ok(Entry { section: section.map(str::to_owned), key: key.to_owned(), values, line })
}

/// A value as the command line would say it.
fn word(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number.to_string()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    fn check(text: &str, expected: &[(&str, &[&str], usize)]) {
        let entries = parse(text).expect(text);
        let found: Vec<_> = entries.iter().map(|entry| (entry.name(), entry.values.clone(), entry.line)).collect();
        let expected: Vec<(String, Vec<String>, usize)> = expected
            .iter()
            .map(|(name, values, line)| ((*name).into(), values.iter().map(|value| (*value).into()).collect(), *line))
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn settings_are_found_with_their_lines() {
        check("", &[]);
        check("# nothing\n", &[]);
        check(
            "data = '/d'\n\n[http]\nlisten = ['a', \"b\"]\ninsecure = true\n",
            &[("data", &["/d"], 1), ("http.listen", &["a", "b"], 4), ("http.insecure", &["true"], 5)],
        );
        check("[nbd]\nworkers = 0x10 # sixteen\nmemory = 1_000\n", &[("nbd.workers", &["16"], 2), ("nbd.memory", &["1000"], 3)]);
        check("nbd.workers = 1\n", &[("nbd.workers", &["1"], 1)]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_line() {
        for (text, line) in [
            ("a = ", 1),
            ("\n\na = 1\na = 2\n", 4),
            ("a = 1\nb = []\n", 2),
            ("a = 1\nb = 1.5\n", 2),
            ("b = 1979-05-27\n", 1),
            ("[a]\n[a.b]\nc = 1\n", 2),
            ("a = [[1]]", 1),
            ("[[a]]\nb = 1\n", 1),
            ("\u{0}", 1),
        ] {
            assert_eq!(parse(text).expect_err(text).0, line, "{text}");
        }
    }
}
