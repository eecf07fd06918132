//! What does `nbdinfo` say of an export's blocks?

use std::ops::Range;
use std::process::Command;

/// What changed since the context's snapshot, in order.
pub fn dirty(uri: &str, context: &str) -> Vec<Range<u64>> {
    const DIRTY: u64 = 1;
    ranges(uri, context, |flags| flags & DIRTY != 0)
}

/// What the export has space for, in order.
pub fn allocated(uri: &str) -> Vec<Range<u64>> {
    const HOLE: u64 = 1;
    ranges(uri, "base:allocation", |flags| flags & HOLE == 0)
}

fn ranges(uri: &str, context: &str, wanted: impl Fn(u64) -> bool) -> Vec<Range<u64>> {
    let output = Command::new("nbdinfo").args(["--json", &format!("--map={context}"), uri]).output().expect("nbdinfo starts");
    assert!(output.status.success(), "nbdinfo --map={context} {uri}: {}", String::from_utf8_lossy(&output.stderr));
    let entries: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let number = |entry: &serde_json::Value, field: &str| entry[field].as_u64().unwrap_or_else(|| panic!("{field} in {entry}"));
    let mut end = 0;
    let mut found = Vec::new();
    for entry in entries.as_array().expect("a list") {
        let (offset, length) = (number(entry, "offset"), number(entry, "length"));
        assert_eq!(offset, end, "{context} of {uri} has a gap or goes back");
        end = offset + length;
        if wanted(number(entry, "type")) {
            found.push(offset..end);
        }
    }
    found
}

pub fn sum(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

/// What is in both; each must be in order and without overlaps.
pub fn intersection(one: &[Range<u64>], other: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut both = Vec::new();
    let (mut left, mut right) = (one.iter().peekable(), other.iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let common = a.start.max(b.start)..a.end.min(b.end);
        let left_ends_first = a.end < b.end;
        if !common.is_empty() {
            both.push(common);
        }
        if left_ends_first {
            left.next()
        } else {
            right.next()
        };
    }
    both
}
