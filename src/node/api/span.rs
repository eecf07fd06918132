//! Which bytes does a range in the head of a request mean?
//!
//! One range is understood. Several, and what is no range, count as if nothing had been said, as RFC 9110 allows.

use std::ops::Range;

/// What a client wants of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    /// All of it.
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// Nothing that there is.
    Behind,
}

/// What a `Range` header wants of so many bytes.
pub fn asked(range: &str, size_bytes: u64) -> Span {
    let Some((first, last)) = range.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Span::Whole;
    };
    let part = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size_bytes),
        (Some(first), None) if last.trim().is_empty() => first..size_bytes,
        (None, Some(last)) if first.trim().is_empty() => size_bytes.saturating_sub(last)..size_bytes,
        _ => return Span::Whole,
    };
    if part.is_empty() { Span::Behind } else { Span::Part(part) }
}

/// The bytes that a `Content-Range` header announces.
pub fn announced(range: &str) -> Option<Range<u64>> {
    let (bytes, size) = range.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
    let (first, last) = bytes.split_once('-')?;
    let (first, end) = (number(first)?, number(last)?.checked_add(1)?);
    let fits = size.trim() == "*" || number(size)? >= end;
    (fits && first < end).then_some(first..end)
}

/// Digits and nothing else.
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::{Span, announced, asked};

    #[test]
    fn one_range_is_understood_and_all_else_ignored() {
        for (range, expected) in [
            ("bytes=0-0", Span::Part(0..1)),
            ("bytes=10-19", Span::Part(10..20)),
            ("bytes=10-", Span::Part(10..100)),
            ("bytes=-1", Span::Part(99..100)),
            ("bytes=-1000", Span::Part(0..100)),
            ("bytes=99-1000", Span::Part(99..100)),
            ("bytes=99-18446744073709551615", Span::Part(99..100)),
            ("bytes=100-", Span::Behind),
            ("bytes=100-200", Span::Behind),
            ("bytes=-0", Span::Behind),
            ("bytes=20-10", Span::Whole),
            ("bytes=0-1,5-6", Span::Whole),
            ("bytes=-", Span::Whole),
            ("bytes=+1-2", Span::Whole),
            ("bytes=99999999999999999999-", Span::Whole),
            ("lines=0-1", Span::Whole),
            ("", Span::Whole),
        ] {
            assert_eq!(asked(range, 100), expected, "{range:?}");
        }
    }

    #[test]
    fn a_part_says_where_it_lies() {
        for (range, expected) in [
            ("bytes 0-9/100", Some(0..10)),
            ("bytes 5-5/*", Some(5..6)),
            ("bytes 5-9/10", Some(5..10)),
            ("bytes 5-9/9", None),
            ("bytes 9-5/100", None),
            ("bytes */100", None),
            ("bytes 0-18446744073709551615/*", None),
            ("0-9/100", None),
            ("", None),
        ] {
            assert_eq!(announced(range), expected, "{range:?}");
        }
    }
}
