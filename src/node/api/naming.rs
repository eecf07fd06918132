//! How is a clone called that nobody gave a name?

use crate::node::timestamp::Timestamp;

/// What an account's profile says about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CloneNaming {
    /// As the source.
    #[default]
    None,
    /// `x`, `x_1`, `x_2`
    Counter,
    /// `x-2014-06-05`
    Date,
    /// `x-2014-06-05 09:45:56`
    Timestamp,
}

impl CloneNaming {
    /// The strategy of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "NONE" => Self::None,
            "COUNTER" => Self::Counter,
            "DATE" => Self::Date,
            "TIMESTAMP" => Self::Timestamp,
            _ => return None,
        })
    }

    /// The clone's name. A date at the end of the source's is brought up to date; if it is up to date, a counter tells the two apart.
    #[must_use]
    pub fn apply(self, source: &str, now: Timestamp) -> String {
        let now = now.to_seconds();
        let suffix = match self {
            Self::None => return source.to_owned(),
            Self::Counter => return counted(source),
            Self::Date => &now[..DATE.len()],
            Self::Timestamp => &now,
        };
        if source.strip_suffix(suffix).is_some_and(|stem| stem.ends_with('-')) {
            return counted(source);
        }
        let stem = [TIMESTAMP, DATE].into_iter().find_map(|shape| stem_before(source, shape)).unwrap_or(source);
        format!("{stem}-{suffix}")
    }
}

/// Digits stand for digits.
const DATE: &str = "0000-00-00";
const TIMESTAMP: &str = "0000-00-00 00:00:00";

/// What is before a dash and text of that shape at the end of a name.
fn stem_before<'a>(name: &'a str, shape: &str) -> Option<&'a str> {
    let start = name.len().checked_sub(shape.len())?;
    let (stem, end) = name.split_at_checked(start)?;
    let fits = end.bytes().zip(shape.bytes()).all(|(byte, form)| if form == b'0' { byte.is_ascii_digit() } else { byte == form });
    stem.strip_suffix('-').filter(|_| fits)
}

fn counted(name: &str) -> String {
    let counter = name.rsplit_once('_').and_then(|(stem, number)| {
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        Some((stem, number.parse::<u64>().ok().filter(|_| is_number)?.checked_add(1)?))
    });
    match counter {
        Some((stem, next)) => format!("{stem}_{next}"),
        None => format!("{name}_1"),
    }
}

#[cfg(test)]
mod tests {
    use super::CloneNaming;

    fn check(strategy: &str, source: &str, expected: &str) {
        let now = "2014-06-05 09:45:56.123456+00:00".parse().expect("a timestamp");
        let naming = CloneNaming::named(strategy).expect("a strategy");
        assert_eq!(naming.apply(source, now), expected, "{strategy} {source}");
    }

    #[test]
    fn clones_are_named_as_the_profile_says() {
        check("NONE", "x_1", "x_1");
        check("COUNTER", "x", "x_1");
        check("COUNTER", "x_1", "x_2");
        check("COUNTER", "x_", "x__1");
        check("COUNTER", "x_99999999999999999999", "x_99999999999999999999_1");
        check("DATE", "x", "x-2014-06-05");
        check("DATE", "x-2013-01-31", "x-2014-06-05");
        check("DATE", "x-2013-01-31 10:11:12", "x-2014-06-05");
        check("DATE", "x-2014-06-05", "x-2014-06-05_1");
        check("DATE", "x-2014-06-05_1", "x-2014-06-05_1-2014-06-05");
        check("TIMESTAMP", "x", "x-2014-06-05 09:45:56");
        check("TIMESTAMP", "x-2014-06-04 00:00:00", "x-2014-06-05 09:45:56");
        check("TIMESTAMP", "x-2014-06-05 09:45:56", "x-2014-06-05 09:45:56_1");
        check("TIMESTAMP", "ü", "ü-2014-06-05 09:45:56");
        check("DATE", "", "-2014-06-05");
    }
}
