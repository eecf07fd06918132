//! When was something made, and how is that written?
//!
//! One format for attributes, JSON and API: `2013-08-21 12:22:15.419000+00:00`. Always UTC, always six digits, also when
//! they are zeroes: clients cut the text at fixed places.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// An instant, to the microsecond, in UTC.
///
/// ```
/// use floe::node::timestamp::Timestamp;
///
/// let instant: Timestamp = "2013-08-21 12:22:15.419000+00:00".parse()?;
/// assert_eq!(instant.to_string(), "2013-08-21 12:22:15.419000+00:00");
/// assert_eq!(instant.to_seconds(), "2013-08-21 12:22:15");
/// # Ok::<(), floe::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// The instant of this call.
    #[must_use]
    pub fn now() -> Self {
        // Text keeps microseconds; dropping the rest here makes an instant equal to what is read back later.
        Self::at_microsecond(jiff::Timestamp::now().as_microsecond()).expect("the clock is within jiff's range")
    }

    /// The instant without its fraction and offset, as tables for people show it.
    #[must_use]
    pub fn to_seconds(self) -> String {
        self.format("%Y-%m-%d %H:%M:%S")
    }

    /// As ISO 8601 has it, `2014-06-05T09:45:08.003595+00:00`: jobs and accounts show instants so.
    #[must_use]
    pub fn to_iso(self) -> String {
        self.to_string().replacen(' ', "T", 1)
    }

    /// The instant so long before this one.
    #[must_use]
    pub fn before(self, span: std::time::Duration) -> Self {
        let span = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Self::at_microsecond(self.0.as_microsecond().saturating_sub(span)).unwrap_or(self)
    }

    /// Seconds from an earlier instant to this one, rounded up.
    #[must_use]
    pub fn seconds_since(self, earlier: Self) -> u64 {
        let microseconds = self.0.as_microsecond().saturating_sub(earlier.0.as_microsecond());
        u64::try_from(microseconds).unwrap_or_default().div_ceil(1_000_000)
    }

    /// The name of a snapshot of `drive` made at this instant by somebody who gave it none.
    #[must_use]
    pub fn snapshot_name(self, drive: Uuid) -> String {
        format!("{drive}__{}", self.format("%Y-%m-%d__%H_%M_%S"))
    }

    fn at_microsecond(microsecond: i64) -> Option<Self> {
        jiff::Timestamp::from_microsecond(microsecond).ok().map(Self)
    }

    /// The instant as `strftime` writes it.
    #[must_use]
    pub fn format(self, format: &str) -> String {
        self.0.to_zoned(TimeZone::UTC).strftime(format).to_string()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format("%Y-%m-%d %H:%M:%S%.6f+00:00"))
    }
}

impl From<Timestamp> for String {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.to_string()
    }
}

impl TryFrom<String> for Timestamp {
    type Error = crate::Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl std::str::FromStr for Timestamp {
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let instant: jiff::Timestamp = text
            .parse()
            .map_err(|error| crate::Error::new(crate::ErrorKind::InvalidArgument, format!("timestamp {text:?}: {error}")))?;
        Self::at_microsecond(instant.as_microsecond())
            .ok_or_else(|| crate::Error::new(crate::ErrorKind::InvalidArgument, format!("timestamp {text:?}: out of range")))
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;
    use uuid::Uuid;

    #[test]
    fn six_digits_are_written_also_when_they_are_zeroes() {
        let instant: Timestamp = "2013-08-21T12:22:15Z".parse().expect("a timestamp");
        assert_eq!(instant.to_string(), "2013-08-21 12:22:15.000000+00:00");
    }

    #[test]
    fn what_is_written_reads_back_equal() {
        let now = Timestamp::now();
        assert_eq!(now.to_string().parse::<Timestamp>().expect("own text"), now);
    }

    #[test]
    fn a_default_name_cuts_the_instant_to_the_second() {
        let instant: Timestamp = "2013-08-21 12:22:15.919000+00:00".parse().expect("a timestamp");
        assert_eq!(instant.snapshot_name(Uuid::nil()), "00000000-0000-0000-0000-000000000000__2013-08-21__12_22_15");
    }
}
