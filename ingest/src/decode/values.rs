//! The values of one record by name, whichever path found them: the rules that both must keep.
//!
//! ```text
//! parser's tape ─► Fields ─┐
//!                          ├─ Values ─► telemetry::event
//! shape ─────────► Found ──┘
//! ```
//! What a value may be is decided here, once, so that neither path takes what the other refuses.

use std::ops::RangeInclusive;

use schemas::{COHORTS_MAX, KEY_BYTES_MAX, Rejection, Timestamp};

use super::fields::{Field, Named, invalid, not_one_of};
use super::telemetry::{Kind, Rules};

/// First moment no time may reach: RFC 3339 ends there, and sums with spans still fit.
const YEAR_10000: Timestamp = Timestamp(253_402_300_800_000_000);

/// Values of the configured cohort dimensions, in their order.
pub(super) type CohortValues<'a> = [Option<&'a str>; COHORTS_MAX];

/// The fields of one record; a field that is not there is `None`.
pub(super) trait Values<'a> {
    /// The type of a telemetry record.
    fn kind(&self) -> Result<Kind, Rejection>;

    /// Any string. JSON's `null` is no string: a field that is not known is left out.
    fn string(&self, field: Field) -> Result<Option<&'a str>, Rejection>;

    /// A whole number in `range`, written without fraction or exponent.
    fn integer(&self, field: Field, range: RangeInclusive<u64>) -> Result<Option<u64>, Rejection>;

    /// RFC 3339 or Unix milliseconds, of the years 2000 to 9999.
    fn time(&self, field: Field) -> Result<Option<Timestamp>, Rejection>;

    /// Takes the configured dimensions out of `attrs`; every value must be a string.
    fn attrs(&self, rules: &Rules, values: &mut CohortValues<'a>) -> Result<(), Rejection>;

    /// A string that may become a key.
    fn key(&self, field: Field) -> Result<Option<&'a str>, Rejection> {
        self.string(field)?.map(|text| check_key(field, text)).transpose()
    }

    /// What `read` finds, which must be there.
    fn need<T>(
        &self,
        field: Field,
        read: impl FnOnce(&Self, Field) -> Result<Option<T>, Rejection>,
    ) -> Result<T, Rejection> {
        read(self, field)?.ok_or_else(|| invalid(field, "is missing"))
    }

    /// A string of at most `bytes_max` bytes.
    fn text(&self, field: Field, bytes_max: usize) -> Result<Option<&'a str>, Rejection> {
        match self.string(field)? {
            Some(text) if text.len() > bytes_max => {
                Err(invalid(field, format_args!("must be at most {bytes_max} bytes")))
            }
            text => Ok(text),
        }
    }

    /// One of a closed set of names.
    fn one_of<T: Named>(&self, field: Field) -> Result<Option<T>, Rejection> {
        let Some(text) = self.string(field)? else { return Ok(None) };
        let found = T::ALL.iter().copied().find(|value| value.name() == text);
        found.map(Some).ok_or_else(|| not_one_of(field, T::ALL.iter().map(|value| value.name())))
    }
}

/// `text`, if it may become a key: 1..=128 bytes, no control characters.
pub(super) fn check_key(field: Field, text: &str) -> Result<&str, Rejection> {
    if text.is_empty() || text.len() > KEY_BYTES_MAX {
        return Err(invalid(field, format_args!("must be 1..={KEY_BYTES_MAX} bytes")));
    }
    let plain = text.bytes().all(|byte| (b' '..0x7f).contains(&byte));
    if !plain && text.chars().any(char::is_control) {
        return Err(invalid(field, "must hold no control characters"));
    }
    Ok(text)
}

/// `number`, if it is one and in `range`.
pub(super) fn check_integer(
    field: Field,
    number: Option<u64>,
    range: &RangeInclusive<u64>,
) -> Result<u64, Rejection> {
    let (low, high) = (*range.start(), *range.end());
    match number.filter(|number| range.contains(number)) {
        Some(number) => Ok(number),
        None if low == high => Err(invalid(field, format_args!("must be the integer {low}"))),
        None => Err(invalid(field, format_args!("must be an integer in {low}..={high}"))),
    }
}

/// `time`, if it is one and in the years that count.
pub(super) fn check_time(field: Field, time: Option<Timestamp>) -> Result<Timestamp, Rejection> {
    let time = time.ok_or_else(|| {
        invalid(field, "must be an RFC 3339 time or an integer of Unix milliseconds")
    })?;
    if time < Timestamp::YEAR_2000 || time >= YEAR_10000 {
        return Err(invalid(field, "must be in the years 2000 to 9999"));
    }
    Ok(time)
}
