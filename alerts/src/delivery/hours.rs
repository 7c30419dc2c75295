//! Office hours: when a destination may be told of anything at all. Pure.

use schemas::{Span, Timestamp};
use serde::{Deserialize, Deserializer};

const DAY_US: i64 = 86_400_000_000;
const MINUTE_US: i64 = 60_000_000;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Days of the week and a time of day in it, `mon-fri 08:00-18:00 +01:00`.
///
/// The offset from UTC is fixed: daylight saving time is not known. Without one it is UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfficeHours {
    /// Days from Monday, both included; the first may be the later one.
    days: (i64, i64),
    /// Minutes of the day, half open, the first before the second.
    from: i64,
    to: i64,
    offset: Span,
}

impl OfficeHours {
    /// Reads `mon-fri 08:00-18:00`, with an offset from UTC after it or without.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let days = words.next()?;
        let (first, last) = days.split_once('-').unwrap_or((days, days));
        let (from, to) = words.next()?.split_once('-')?;
        let (from, to) = (minutes(from)?, minutes(to)?);
        let offset = words.next().map_or(Some(0), |offset| {
            let sign = if offset.starts_with('-') { -1 } else { 1 };
            Some(sign * minutes(offset.strip_prefix(['+', '-'])?)?)
        })?;
        let fits = from < to && offset.abs() <= 14 * 60 && words.next().is_none();
        fits.then_some(Self {
            days: (day(first)?, day(last)?),
            from,
            to,
            offset: Span::minutes(offset),
        })
    }

    /// When they begin next, from `now` on; `now` itself while they last.
    #[must_use]
    pub fn next_open(&self, now: Timestamp) -> Timestamp {
        let local = now.0 + self.offset.0;
        let (today, time) = (local.div_euclid(DAY_US), local.rem_euclid(DAY_US));
        let (from, to) = (self.from * MINUTE_US, self.to * MINUTE_US);
        let opens =
            (today..today + 8).find(|&day| self.is_open_on(day) && (day > today || time < to));
        match opens {
            Some(day) if day == today && time >= from => now,
            // Every week has one of the days.
            Some(day) => Timestamp(day * DAY_US + from - self.offset.0),
            None => now,
        }
    }

    fn is_open_on(&self, day: i64) -> bool {
        // 1970-01-01 was a Thursday.
        let day = (day + 3).rem_euclid(7);
        match self.days {
            (first, last) if first <= last => (first..=last).contains(&day),
            (first, last) => day >= first || day <= last,
        }
    }
}

fn day(name: &str) -> Option<i64> {
    (0..).zip(DAYS).find(|(_, day)| *day == name).map(|(number, _)| number)
}

/// `HH:MM`, up to `24:00`.
fn minutes(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { text.parse::<i64>().ok() } else { None }
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    (minutes < 60 && hours * 60 + minutes <= 24 * 60).then_some(hours * 60 + minutes)
}

impl<'de> Deserialize<'de> for OfficeHours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || format!("`{text}` are no hours; write \"mon-fri 08:00-18:00 +01:00\"");
        Self::parse(&text).ok_or_else(wrong).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(hours: &str, now: &str, expected: &str) {
        let time = |text: &str| Timestamp::parse_rfc3339(text.as_bytes()).expect("a time");
        let hours = OfficeHours::parse(hours).expect("hours");
        assert_eq!(hours.next_open(time(now)), time(expected), "{now}");
    }

    #[test]
    fn alerts_wait_until_the_hours_begin() {
        let hours = "mon-fri 08:00-18:00 +01:00"; // 2026-07-17 is a Friday
        check(hours, "2026-07-17T06:59:59Z", "2026-07-17T07:00:00Z");
        check(hours, "2026-07-17T07:00:00Z", "2026-07-17T07:00:00Z");
        check(hours, "2026-07-17T16:59:59Z", "2026-07-17T16:59:59Z");
        check(hours, "2026-07-17T17:00:00Z", "2026-07-20T07:00:00Z");
        check(hours, "2026-07-19T23:30:00Z", "2026-07-20T07:00:00Z");
    }

    #[test]
    fn days_may_wrap_and_a_day_may_be_alone_or_whole() {
        check("sat-mon 00:00-24:00", "2026-07-17T12:00:00Z", "2026-07-18T00:00:00Z");
        check("sat-mon 00:00-24:00", "2026-07-19T12:00:00Z", "2026-07-19T12:00:00Z");
        check("fri 09:00-10:00", "2026-07-17T10:00:00Z", "2026-07-24T09:00:00Z");
        check("mon-sun 22:00-24:00 -05:00", "2026-07-17T04:00:00Z", "2026-07-17T04:00:00Z");
        check("mon-sun 22:00-24:00 -05:00", "2026-07-17T05:00:00Z", "2026-07-18T03:00:00Z");
    }

    #[test]
    fn what_are_no_hours_is_refused() {
        for text in [
            "",
            "mon-fri",
            "mon-fri 08:00",
            "mon-fri 18:00-08:00",
            "mo-fr 08:00-18:00",
            "mon 8:00-18:00",
            "mon 08:00-24:01",
            "mon 08:60-18:00",
            "mon 08:00-18:00 01:00",
            "mon 08:00-18:00 +15:00",
            "mon 08:00-18:00 +01:00 x",
            "mon +8:00-18:00",
        ] {
            assert_eq!(OfficeHours::parse(text), None, "{text}");
        }
    }
}
