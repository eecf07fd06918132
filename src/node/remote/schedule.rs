//! When is a drive backed up by itself, and what of that is kept?
//!
//! A schedule keeps the last few, and of each hour, day, week and month the newest one, for so many of them back. It deletes only what it made
//! itself, and never the newest one that is there.

use crate::node::timestamp::Timestamp;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeSet;
use std::time::Duration;
use uuid::Uuid;

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// How long after one the next one is made: `90m`, `24h`, `7d`.
    #[serde(deserialize_with = "duration")]
    pub every: Duration,
    /// The code of the location; the usual one if nothing is said.
    pub location: Option<String>,
    /// Names and uuids of drives; all drives if nothing is said.
    #[serde(default)]
    pub drives: Vec<String>,
    /// How many of the last ones are kept.
    #[serde(default)]
    pub keep_last: usize,
    /// For how many hours the newest one of each is kept; hours without any do not count.
    #[serde(default)]
    pub keep_hourly: usize,
    /// The same for days.
    #[serde(default)]
    pub keep_daily: usize,
    /// For weeks, which begin on Monday.
    #[serde(default)]
    pub keep_weekly: usize,
    /// For months.
    #[serde(default)]
    pub keep_monthly: usize,
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no time such as 90m, 24h or 7d")))
}

/// A time as people write it.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit).map(Duration::from_secs)
}

/// One that a schedule made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its identity.
    pub uuid: Uuid,
    /// Its moment.
    pub timestamp: Timestamp,
    /// Whether the location has it.
    pub available: bool,
}

/// What is to become of one, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Which.
    pub uuid: Uuid,
    /// Its moment.
    pub timestamp: Timestamp,
    /// Why it is kept; nothing if it goes.
    pub reasons: Vec<&'static str>,
}

impl Policy {
    /// Can it be meant?
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.every.is_zero() {
            return Err("`every` is no time at all");
        }
        if self.keep_last + self.keep_hourly + self.keep_daily + self.keep_weekly + self.keep_monthly == 0 {
            return Err("it keeps nothing: say keep_last, keep_hourly, keep_daily, keep_weekly or keep_monthly");
        }
        Ok(())
    }

    /// Is it time for the next one?
    #[must_use]
    pub fn is_due(&self, newest: Option<Timestamp>, now: Timestamp) -> bool {
        newest.is_none_or(|newest| newest <= now.before(self.every))
    }

    /// What is to become of those that it made of one drive, newest first.
    #[must_use]
    pub fn judge(&self, made: &[Made]) -> Vec<Verdict> {
        let mut made = made.to_vec();
        made.sort_by_key(|one| std::cmp::Reverse((one.timestamp, one.uuid)));
        let mut verdicts: Vec<Verdict> =
            made.iter().map(|one| Verdict { uuid: one.uuid, timestamp: one.timestamp, reasons: Vec::new() }).collect();
        // What is not there yet, or never will be, takes nobody's place.
        let there: Vec<usize> = (0..made.len()).filter(|index| made[*index].available).collect();
        if let Some(newest) = there.first() {
            verdicts[*newest].reasons.push("newest");
        }
        for index in there.iter().take(self.keep_last) {
            verdicts[*index].reasons.push("last");
        }
        let rules: [(&str, usize, &str); 4] = [
            ("hourly", self.keep_hourly, "%Y-%m-%d %H"),
            ("daily", self.keep_daily, "%Y-%m-%d"),
            ("weekly", self.keep_weekly, "%G-%V"),
            ("monthly", self.keep_monthly, "%Y-%m"),
        ];
        for (reason, count, period) in rules {
            let mut seen = BTreeSet::new();
            for index in &there {
                let is_first = seen.insert(made[*index].timestamp.format(period));
                if is_first && seen.len() <= count {
                    verdicts[*index].reasons.push(reason);
                }
            }
        }
        for (verdict, one) in verdicts.iter_mut().zip(&made) {
            if !one.available {
                verdict.reasons.push("not there yet");
            }
        }
        verdicts
    }
}

#[cfg(test)]
mod tests {
    use super::{Made, Policy, parse};
    use crate::node::timestamp::Timestamp;
    use std::time::Duration;
    use uuid::Uuid;

    fn policy() -> Policy {
        let every = Duration::from_secs(3600);
        Policy {
            every,
            location: None,
            drives: Vec::new(),
            keep_last: 0,
            keep_hourly: 0,
            keep_daily: 0,
            keep_weekly: 0,
            keep_monthly: 0,
        }
    }

    fn at(text: &str) -> Timestamp {
        format!("{text}+00:00").parse().expect("a timestamp")
    }

    fn made(times: &[&str]) -> Vec<Made> {
        let one =
            |(number, time): (usize, &&str)| Made { uuid: Uuid::from_u128(number as u128), timestamp: at(time), available: true };
        times.iter().enumerate().map(one).collect()
    }

    /// What is kept, and why, in the order of the times given.
    fn kept(policy: &Policy, made: &[Made]) -> Vec<String> {
        let verdicts = policy.judge(made);
        made.iter()
            .map(|one| verdicts.iter().find(|verdict| verdict.uuid == one.uuid).expect("a verdict").reasons.join("+"))
            .collect()
    }

    #[test]
    fn the_newest_of_each_period_is_kept() {
        let made = made(&[
            "2026-11-22 10:05:00",
            "2026-11-22 10:00:00",
            "2026-11-22 09:59:59",
            "2026-11-21 23:00:00",
            "2026-11-15 12:00:00",
            "2026-10-31 12:00:00",
            "2026-09-30 12:00:00",
        ]);
        let policy = Policy { keep_last: 1, keep_hourly: 2, keep_daily: 2, keep_weekly: 2, keep_monthly: 2, ..policy() };
        let expected = ["newest+last+hourly+daily+weekly+monthly", "", "hourly", "daily", "weekly", "monthly", ""];
        assert_eq!(kept(&policy, &made), expected);
    }

    #[test]
    fn the_newest_that_is_there_stays_whatever_comes_after_it() {
        let mut made = made(&["2026-11-22 10:00:00", "2026-11-22 09:00:00", "2026-11-22 08:00:00"]);
        made[0].available = false;
        let policy = Policy { keep_monthly: 1, ..policy() };
        assert_eq!(kept(&policy, &made), ["not there yet", "newest+monthly", ""]);
        let policy = Policy { keep_last: 2, ..policy };
        assert_eq!(kept(&policy, &made), ["not there yet", "newest+last+monthly", "last"]);
    }

    #[test]
    fn it_is_time_when_the_newest_is_old_enough() {
        let policy = policy();
        assert!(policy.is_due(None, at("2026-11-22 10:00:00")));
        assert!(!policy.is_due(Some(at("2026-11-22 09:00:01")), at("2026-11-22 10:00:00")));
        assert!(policy.is_due(Some(at("2026-11-22 09:00:00")), at("2026-11-22 10:00:00")));
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(parse("90m"), Some(Duration::from_secs(5400)));
        assert_eq!(parse("7d"), Some(Duration::from_secs(7 * 24 * 3600)));
        for wrong in ["", "h", "1", "1.5h", "-1h", "1 h", "1w", "99999999999999999999d", "999999999999999999d"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
