//! The values of one record by name, whichever path found them: the rules that both must keep.
//!
//! ```text
//! parser's tape ─► Fields ─┐
//!                          ├─ Values ─► telemetry::event
//! shape ─────────► Found ──┘
//! ```
//! What a value may be is decided here, once, so that neither path takes what the other refuses.
//! The parser's path says what is wrong; a shape only that something is, which costs nothing.

#![expect(clippy::inline_always, reason = "a call would undo the choice of instructions")]

use std::fmt;
use std::ops::RangeInclusive;

use schemas::{COHORTS_MAX, KEY_BYTES_MAX, Timestamp};

use super::fields::{Field, Named, NotOneOf};
use super::telemetry::{Kind, Rules};

/// First moment no time may reach: RFC 3339 ends there, and sums with spans still fit.
const YEAR_10000: Timestamp = Timestamp(253_402_300_800_000_000);

/// Values of the configured cohort dimensions, in their order.
pub(super) type CohortValues<'a> = [Option<&'a str>; COHORTS_MAX];

/// Why a value is refused; follows the name of its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    Missing,
    KeyLength,
    KeyControls,
    NoInteger { low: u64, high: u64 },
    NoTime,
    Years,
    TextLength { bytes_max: usize },
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Missing => formatter.write_str("is missing"),
            Self::KeyLength => write!(formatter, "must be 1..={KEY_BYTES_MAX} bytes"),
            Self::KeyControls => formatter.write_str("must hold no control characters"),
            Self::NoInteger { low, high } if low == high => {
                write!(formatter, "must be the integer {low}")
            }
            Self::NoInteger { low, high } => {
                write!(formatter, "must be an integer in {low}..={high}")
            }
            Self::NoTime => {
                formatter.write_str("must be an RFC 3339 time or an integer of Unix milliseconds")
            }
            Self::Years => formatter.write_str("must be in the years 2000 to 9999"),
            Self::TextLength { bytes_max } => {
                write!(formatter, "must be at most {bytes_max} bytes")
            }
        }
    }
}

/// The fields of one record; a field that is not there is `None`.
pub(super) trait Values<'a> {
    /// What is said of a record that is refused.
    type Refusal;

    /// The refusal over one field; `problem` follows its name.
    fn invalid(field: Field, problem: impl fmt::Display) -> Self::Refusal;

    /// The type of a telemetry record.
    fn kind(&self) -> Result<Kind, Self::Refusal>;

    /// Any string. JSON's `null` is no string: a field that is not known is left out.
    fn string(&self, field: Field) -> Result<Option<&'a str>, Self::Refusal>;

    /// A string that may become a key.
    fn key(&self, field: Field) -> Result<Option<&'a str>, Self::Refusal>;

    /// A whole number in `range`, written without fraction or exponent.
    fn integer(
        &self,
        field: Field,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, Self::Refusal>;

    /// RFC 3339 or Unix milliseconds, of the years 2000 to 9999.
    fn time(&self, field: Field) -> Result<Option<Timestamp>, Self::Refusal>;

    /// The configured dimensions, from the fields `model` and `build` and from `attrs`, which must
    /// be an object of strings.
    fn cohorts(
        &self,
        rules: &Rules,
        fields: [Option<&'a str>; 2],
    ) -> Result<CohortValues<'a>, Self::Refusal>;

    /// What was found of a field, which must be there.
    #[inline(always)]
    fn need<T>(field: Field, found: Option<T>) -> Result<T, Self::Refusal> {
        found.ok_or_else(|| Self::invalid(field, Problem::Missing))
    }

    /// A string of at most `bytes_max` bytes.
    #[inline(always)]
    fn text(&self, field: Field, bytes_max: usize) -> Result<Option<&'a str>, Self::Refusal> {
        match self.string(field)? {
            Some(text) if text.len() > bytes_max => {
                Err(Self::invalid(field, Problem::TextLength { bytes_max }))
            }
            text => Ok(text),
        }
    }

    /// One of a closed set of names.
    #[inline(always)]
    fn one_of<T: Named>(&self, field: Field) -> Result<Option<T>, Self::Refusal> {
        let Some(text) = self.string(field)? else { return Ok(None) };
        match T::from_name(text) {
            None => Err(Self::invalid(field, NotOneOf(T::ALL.iter().map(|value| value.name())))),
            found => Ok(found),
        }
    }
}

/// `text`, if it may become a key: 1..=128 bytes, no control characters.
pub(super) fn check_key(text: &str) -> Result<&str, Problem> {
    if text.is_empty() || text.len() > KEY_BYTES_MAX {
        return Err(Problem::KeyLength);
    }
    let plain = text.bytes().all(|byte| (b' '..0x7f).contains(&byte));
    if !plain && text.chars().any(char::is_control) {
        return Err(Problem::KeyControls);
    }
    Ok(text)
}

/// `number`, if it is one and in `range`.
#[inline]
pub(super) fn check_integer(
    number: Option<u64>,
    range: RangeInclusive<u64>,
) -> Result<u64, Problem> {
    let (low, high) = range.into_inner();
    number.filter(|number| (low..=high).contains(number)).ok_or(Problem::NoInteger { low, high })
}

/// `time`, if it is one and in the years that count.
#[inline]
pub(super) fn check_time(time: Option<Timestamp>) -> Result<Timestamp, Problem> {
    match time {
        None => Err(Problem::NoTime),
        Some(time) if time < Timestamp::YEAR_2000 || time >= YEAR_10000 => Err(Problem::Years),
        Some(time) => Ok(time),
    }
}
