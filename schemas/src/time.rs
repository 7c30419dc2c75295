//! Points and lengths of time, in microseconds: what Parquet's `timestamp[us, UTC]` can hold.
//!
//! In: RFC 3339 text or Unix milliseconds. Out: [`Timestamp`] and [`Span`], plain integers; text in
//! formats for people, the integer in stored state.
//! Nothing here reads a clock.

use std::fmt;
use std::ops::{Add, Sub};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Microseconds in one second.
pub const SECOND_US: i64 = 1_000_000;

/// How [`Timestamp::MIN`] is stored, which RFC 3339 cannot say: as SQL databases spell it.
const BEFORE_ALL: &str = "-infinity";

/// A point in time: microseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

/// A length of time in microseconds; may be negative.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
pub struct Span(pub i64);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A span of whole seconds.
    pub const fn seconds(seconds: i64) -> Self {
        Self(seconds * SECOND_US)
    }

    /// A span of whole minutes.
    pub const fn minutes(minutes: i64) -> Self {
        Self::seconds(minutes * 60)
    }

    /// A span of whole hours.
    pub const fn hours(hours: i64) -> Self {
        Self::seconds(hours * 3_600)
    }

    /// A span of whole days of 24 hours.
    pub const fn days(days: i64) -> Self {
        Self::hours(days * 24)
    }

    /// Whole milliseconds, rounded down.
    #[inline]
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Seconds with fraction, for people and metrics.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / SECOND_US as f64
    }
}

impl Timestamp {
    /// Before every event.
    pub const MIN: Self = Self(i64::MIN);
    /// 2000-01-01T00:00:00Z: an event before this is rejected (contracts.md 2).
    pub const YEAR_2000: Self = Self(946_684_800 * SECOND_US);

    /// From Unix milliseconds; `None` where microseconds do not fit.
    pub fn from_millis(millis: i64) -> Option<Self> {
        millis.checked_mul(1_000).map(Self)
    }

    /// Unix milliseconds, rounded down.
    #[inline]
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Start of the tumbling window of `length` that holds this moment (half open, UTC aligned).
    #[must_use]
    #[inline]
    pub const fn window_start(self, length: Span) -> Self {
        Self(self.0.div_euclid(length.0) * length.0)
    }

    /// Days since 1970-01-01, for the `date=` partition.
    #[inline]
    pub const fn day(self) -> i64 {
        self.0.div_euclid(86_400 * SECOND_US)
    }

    /// `YYYY-MM-DD` of this moment.
    pub fn date(self) -> String {
        let (year, month, day) = civil_from_days(self.day());
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// Saturating sum: a silence deadline far in the future stays in the future.
    #[must_use]
    #[inline]
    pub const fn saturating_add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// Reads RFC 3339 with any offset and up to nanoseconds (cut to microseconds).
    ///
    /// `None` for everything else, also for a date that does not exist. A leap second (`:60`)
    /// counts as the first moment of the next minute.
    pub fn parse_rfc3339(text: &[u8]) -> Option<Self> {
        match text.as_array() {
            Some(text) => usual(text).or_else(|| Self::parse_any_rfc3339(text)),
            None => Self::parse_any_rfc3339(text),
        }
    }

    fn parse_any_rfc3339(text: &[u8]) -> Option<Self> {
        if text.len() < 20 || text[4] != b'-' || text[7] != b'-' {
            return None;
        }
        if !matches!(text[10], b'T' | b't' | b' ') || text[13] != b':' || text[16] != b':' {
            return None;
        }
        let (year, month, day) = (digits(text, 0, 4)?, digits(text, 5, 2)?, digits(text, 8, 2)?);
        let (hour, minute) = (digits(text, 11, 2)?, digits(text, 14, 2)?);
        let second = digits(text, 17, 2)?;
        let day_exists =
            (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
        if !day_exists || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let (fraction_us, rest) = fraction(&text[19..])?;
        let offset_s = offset_seconds(rest)?;
        let seconds =
            days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
        Some(Self((seconds - offset_s) * SECOND_US + fraction_us))
    }
}

/// The form that most senders use, `2026-07-19T04:09:12.345Z`, without a branch for each digit;
/// `None` is no judgement.
fn usual(text: &[u8; 24]) -> Option<Timestamp> {
    const FORM: &[u8; 24] = b"0000-00-00T00:00:00.000Z";
    const LOW: u64 = u64::MAX / 0xff * 0x7f;
    let (mut wrong, mut digits) = (0, [0; 24]);
    let words = text.as_chunks::<8>().0.iter().zip(FORM.as_chunks::<8>().0);
    for ((word, form), out) in words.zip(digits.as_chunks_mut::<8>().0) {
        // 0 to 9 where a digit stands as it should, 0 where the form's own character does.
        let digit = u64::from_le_bytes(*word) ^ u64::from_le_bytes(*form);
        let room = form.map(|it| if it == b'0' { 0x7f - 9 } else { 0x7f });
        wrong |= ((digit & LOW) + u64::from_le_bytes(room)) | digit;
        *out = digit.to_le_bytes();
    }
    let number = |at: usize, count: usize| {
        digits[at..at + count].iter().fold(0, |sum, &digit| sum * 10 + i64::from(digit))
    };
    let (year, month, day) = (number(0, 4), number(5, 2), number(8, 2));
    let (hour, minute, second) = (number(11, 2), number(14, 2), number(17, 2));
    // Leap seconds and what is wrong: see the other form.
    let is_usual = wrong & !LOW == 0
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour <= 23
        && minute <= 59
        && second <= 59;
    let of_day = hour * 3_600 + minute * 60 + second;
    is_usual.then(|| {
        let seconds = days_from_civil(year, month, day) * 86_400 + of_day;
        Timestamp(seconds * SECOND_US + number(20, 3) * 1_000)
    })
}

fn digits(text: &[u8], at: usize, count: usize) -> Option<i64> {
    let mut value = 0;
    for &byte in &text[at..at + count] {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(value)
}

/// Reads `.123456789` if it is there: microseconds, and what follows.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    if text.first() != Some(&b'.') {
        return Some((0, text));
    }
    let count = text[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&count) {
        return None;
    }
    let nanos = digits(text, 1, count)? * 10_i64.pow(9 - count as u32);
    Some((nanos / 1_000, &text[1 + count..]))
}

/// Reads `Z` or `+hh:mm` to the end of the text: seconds east of UTC.
fn offset_seconds(text: &[u8]) -> Option<i64> {
    match text {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (hours, minutes) = (digits(text, 1, 2)?, digits(text, 4, 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = hours * 3_600 + minutes * 60;
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar.
///
/// Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
pub const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a count of days since 1970-01-01 (same source, `civil_from_days`).
pub const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + (month <= 2) as i64;
    (year, month, day)
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, with as many of six decimals as are not zero.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_day = self.0.rem_euclid(86_400 * SECOND_US);
        let (seconds, micros) = (in_day / SECOND_US, in_day % SECOND_US);
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        write!(formatter, "{}T{hour:02}:{minute:02}:{second:02}", self.date())?;
        if micros != 0 {
            let decimals = format!("{micros:06}");
            write!(formatter, ".{}", decimals.trim_end_matches('0'))?;
        }
        formatter.write_str("Z")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::MIN { formatter.write_str("MIN") } else { write!(formatter, "{self}") }
    }
}

impl Add for Span {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Add<Span> for Timestamp {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self(self.0 + span.0)
    }
}

impl Sub<Span> for Timestamp {
    type Output = Self;
    fn sub(self, span: Span) -> Self {
        Self(self.0 - span.0)
    }
}

impl Sub for Timestamp {
    type Output = Span;
    fn sub(self, other: Self) -> Span {
        Span(self.0 - other.0)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_i64(self.0);
        }
        if *self == Self::MIN {
            return serializer.serialize_str(BEFORE_ALL);
        }
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return i64::deserialize(deserializer).map(Self);
        }
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        if text == BEFORE_ALL {
            return Ok(Self::MIN);
        }
        Self::parse_rfc3339(text.as_bytes())
            .ok_or_else(|| serde::de::Error::custom("not an RFC 3339 time"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Option<String> {
        Timestamp::parse_rfc3339(text.as_bytes()).map(|time| time.to_string())
    }

    #[test]
    fn rfc3339_is_read_with_any_offset_and_precision() {
        for (text, expected) in [
            ("2026-07-19T04:09:12.345Z", "2026-07-19T04:09:12.345Z"),
            ("2026-07-19T04:09:12+02:00", "2026-07-19T02:09:12Z"),
            ("2026-07-19t04:09:12.123456789-00:30", "2026-07-19T04:39:12.123456Z"),
            ("2024-02-29T23:59:60Z", "2024-03-01T00:00:00Z"),
            ("1969-12-31T23:59:59Z", "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(parse(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_rfc3339_is_refused() {
        for text in [
            "",
            "2026-07-19",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-07-19T24:00:00Z",
            "2026-07-19T04:09:12",
            "2026-07-19T04:09:12.Z",
            "2026-07-19T04:09:12.1234567890Z",
            "2026-07-19T04:09:12+2:00",
            "2026-07-19T04:09:12Z ",
            "+026-07-19T04:09:12Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn windows_are_half_open_also_before_1970() {
        let minute = Span::minutes(1);
        assert_eq!(Timestamp(-1).window_start(minute), Timestamp(-60_000_000));
        assert_eq!(Timestamp(60_000_000).window_start(minute), Timestamp(60_000_000));
        assert_eq!(Timestamp(59_999_999).window_start(minute), Timestamp(0));
    }

    #[test]
    fn the_moment_before_all_is_stored_and_read_back() {
        let text = serde_json::to_string(&Timestamp::MIN).unwrap();
        assert_eq!(text, "\"-infinity\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), Timestamp::MIN);
    }

    proptest! {
        #[test]
        fn the_usual_form_means_what_it_means_in_any_form(
            text in "20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9].[0-9]{3}Z",
            at in 0_usize..24, byte in any::<u8>(), spoil in 0..3,
        ) {
            let mut text = text.into_bytes();
            if spoil == 0 {
                text[at] = byte;
            }
            let any = Timestamp::parse_any_rfc3339(&text);
            prop_assert_eq!(Timestamp::parse_rfc3339(&text), any);
        }

        #[test]
        fn display_and_parse_are_inverse(micros in -3e16 as i64..2e17 as i64) {
            let text = Timestamp(micros).to_string();
            prop_assert_eq!(Timestamp::parse_rfc3339(text.as_bytes()), Some(Timestamp(micros)));
        }
    }
}
