//! Does an answer look as it should?
//!
//! A pattern is JSON. In its texts `{name}` stands for a uuid and `{time:name}` for a timestamp: whatever is met first, and from then on
//! that. `"{*}"` is anything. Objects may have more fields, unless the pattern says in `"$exact"` which ones; `{"$set": [...]}` is a
//! list in any order.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What names stand for.
pub type Names = BTreeMap<String, String>;

const ANYTHING: &str = "{*}";
const EXACT: &str = "$exact";
const SET: &str = "$set";

/// Holds `actual` against a pattern; names that are met for the first time are bound.
///
/// # Errors
/// The first difference, and where it is.
pub fn fit(pattern: &Value, actual: &Value, names: &mut Names) -> Result<(), String> {
    match (pattern, actual) {
        (Value::String(pattern), _) if pattern == ANYTHING => Ok(()),
        (Value::String(pattern), Value::String(actual)) => fit_text(pattern, actual, names),
        (Value::Array(patterns), Value::Array(actual)) => {
            same_length(patterns, actual)?;
            let mut pairs = patterns.iter().zip(actual).enumerate();
            pairs.try_for_each(|(index, (pattern, actual))| {
                fit(pattern, actual, names).map_err(|error| format!("[{index}]{error}"))
            })
        }
        (Value::Object(patterns), Value::Array(actual)) if patterns.contains_key(SET) => {
            fit_set(patterns[SET].as_array().expect("a list"), actual, names)
        }
        (Value::Object(patterns), Value::Object(actual)) => fit_object(patterns, actual, names),
        _ if pattern == actual => Ok(()),
        _ => Err(format!(": {actual} should be {pattern}")),
    }
}

fn same_length(patterns: &[Value], actual: &[Value]) -> Result<(), String> {
    if patterns.len() == actual.len() {
        return Ok(());
    }
    Err(format!(": {} elements, should be {}: {actual:?}", actual.len(), patterns.len()))
}

fn fit_object(patterns: &Map<String, Value>, actual: &Map<String, Value>, names: &mut Names) -> Result<(), String> {
    for (key, pattern) in patterns.iter().filter(|(key, _)| *key != EXACT) {
        let actual = actual.get(key).ok_or_else(|| format!(".{key} is missing"))?;
        fit(pattern, actual, names).map_err(|error| format!(".{key}{error}"))?;
    }
    if let Some(Value::Array(more)) = patterns.get(EXACT) {
        let known = |key: &&String| !patterns.contains_key(*key) && !more.iter().any(|more| more == key.as_str());
        if let Some(extra) = actual.keys().find(known) {
            return Err(format!(".{extra} should not be there"));
        }
    }
    Ok(())
}

fn fit_set(patterns: &[Value], actual: &[Value], names: &mut Names) -> Result<(), String> {
    same_length(patterns, actual)?;
    let mut left: Vec<&Value> = actual.iter().collect();
    for (index, pattern) in patterns.iter().enumerate() {
        let fits = |actual: &&Value| {
            let mut tried = names.clone();
            fit(pattern, actual, &mut tried).is_ok().then_some(tried)
        };
        match left.iter().enumerate().find_map(|(at, actual)| Some((at, fits(actual)?))) {
            Some((at, bound)) => {
                *names = bound;
                left.remove(at);
            }
            None => {
                let reasons: Vec<_> = left.iter().filter_map(|actual| fit(pattern, actual, &mut names.clone()).err()).collect();
                return Err(format!(": nothing fits number {index}, {pattern}: {reasons:?}"));
            }
        }
    }
    Ok(())
}

/// Text in which names stand.
fn fit_text(pattern: &str, actual: &str, names: &mut Names) -> Result<(), String> {
    let wrong = || format!(": {actual:?} should be {pattern:?}");
    let mut rest = actual;
    let mut left = pattern;
    while let Some((literal, name, behind)) = next_name(left) {
        rest = rest.strip_prefix(literal).ok_or_else(wrong)?;
        let known = names.get(name).cloned();
        let len = known.as_ref().map_or_else(|| shape_of(name).len(), String::len);
        let (found, more) = rest.split_at_checked(len).ok_or_else(wrong)?;
        match known {
            Some(known) if known == found => {}
            Some(known) => return Err(format!("{}, where {name} is {known}", wrong())),
            None if has_shape(found, shape_of(name)) => drop(names.insert(name.to_owned(), found.to_owned())),
            None => return Err(wrong()),
        }
        (rest, left) = (more, behind);
    }
    if rest == left { Ok(()) } else { Err(wrong()) }
}

/// What is before the first name, the name, and what is behind it.
fn next_name(text: &str) -> Option<(&str, &str, &str)> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "-_:.+ ".contains(letter);
    for (at, _) in text.match_indices('{') {
        let (name, behind) = text[at + 1..].split_once('}')?;
        if name.starts_with(|letter: char| letter.is_ascii_alphanumeric()) && name.chars().all(is_part) {
            return Some((&text[..at], name, behind));
        }
    }
    None
}

/// Puts in what names stand for; JSON's own braces stay.
#[track_caller]
pub fn filled(text: &str, names: &Names) -> String {
    let Some((literal, name, behind)) = next_name(text) else { return text.to_owned() };
    let value = names.get(name).unwrap_or_else(|| panic!("{text}: nothing is called {name}"));
    format!("{literal}{value}{}", filled(behind, names))
}

/// A digit stands for any digit, an `x` for a hexadecimal one.
fn shape_of(name: &str) -> &'static str {
    if name.starts_with("time:") { "0000-00-00 00:00:00.000000+00:00" } else { "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" }
}

pub fn has_shape(text: &str, shape: &str) -> bool {
    let fits = |(letter, form): (u8, u8)| match form {
        b'0' => letter.is_ascii_digit(),
        b'x' => letter.is_ascii_digit() || (b'a'..=b'f').contains(&letter),
        form => letter == form,
    };
    text.len() == shape.len() && text.bytes().zip(shape.bytes()).all(fits)
}

#[test]
fn patterns_fit_what_they_should_and_nothing_else() {
    let one = "00000000-0000-4000-8000-000000000001";
    let other = "00000000-0000-4000-8000-000000000002";
    let check = |pattern: &str, actual: &str, expected: bool| {
        let actual = actual.replace("ONE", one).replace("OTHER", other);
        let [pattern, actual] = [pattern, &actual].map(|text| serde_json::from_str(text).expect("JSON"));
        assert_eq!(fit(&pattern, &actual, &mut Names::new()).is_ok(), expected, "{pattern} {actual}");
    };
    check(r#"{"a": 1}"#, r#"{"a": 1, "b": 2}"#, true);
    check(r#"{"a": 1, "$exact": []}"#, r#"{"a": 1, "b": 2}"#, false);
    check(r#"{"a": 1, "$exact": ["b"]}"#, r#"{"a": 1, "b": 2}"#, true);
    check(r#"{"a": 1, "$exact": ["b"]}"#, r#"{"b": 2}"#, false);
    check(r#"{"a": "1"}"#, r#"{"a": 1}"#, false);
    check(r#"{"a": null}"#, r#"{}"#, false);
    check(r#"["/x/{u}/", "{u}"]"#, r#"["/x/ONE/", "ONE"]"#, true);
    check(r#"["/x/{u}/", "{u}"]"#, r#"["/x/ONE/", "OTHER"]"#, false);
    check(r#"["{u}"]"#, r#"["x"]"#, false);
    check(r#"["{u}__x"]"#, r#"["ONE__y"]"#, false);
    check(r#""{time:t}""#, r#""2014-01-30 15:35:57.849181+00:00""#, true);
    check(r#""{time:t}""#, r#""2014-01-30 15:35:57+00:00""#, false);
    check(r#"{"$set": ["{a}", "x", 1]}"#, r#"[1, "ONE", "x"]"#, true);
    check(r#"{"$set": ["{a}", "x"]}"#, r#"["x", "y"]"#, false);
    check(r#"["a"]"#, r#"["a", "b"]"#, false);
    check(r#""{*}""#, r#"{"a": []}"#, true);
}
