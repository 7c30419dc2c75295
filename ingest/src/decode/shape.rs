//! A shape: what the records of one kind from one sender have in common, learned from one of them.
//!
//! ```text
//! {"v":1,"type":"boot","device":"     "ring":"   ...    "seq":    ,"boot_ms":    }
//! └────────── literal ─────────┘Text└─literal─┘Text   └literal┘Int └ literal ┘Int└ tail
//! ```
//! The literals of a record that the parser took hold its structure, its keys and its type, so a
//! record with the same ones differs from it in values only: these are checked by the same rules
//! as the parser's (`Values`). A shape never refuses: what it does not match, the parser judges.

#![expect(clippy::inline_always, reason = "a call would undo the choice of instructions")]

use std::ops::RangeInclusive;

use schemas::{Rejection, Timestamp};

use super::fields::{Field, invalid};
use super::scan::{self, Blocks};
use super::telemetry::{Kind, Rules};
use super::values::{CohortValues, Values, check_integer, check_key, check_time};

mod learn;
pub(super) use learn::learn;

/// Places of values in a record: one a field, one a cohort dimension in `attrs`, one for the rest.
pub(super) const SLOTS: usize = 64;
/// Of values that nobody reads.
pub(super) const IGNORED: u8 = SLOTS as u8 - 1;

/// The slot of the cohort dimension at a position.
pub(super) const fn cohort_slot(position: usize) -> usize {
    Field::COUNT + position
}

const _: () = assert!(cohort_slot(schemas::COHORTS_MAX) < IGNORED as usize, "slots are enough");

/// What stands between two literals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    Text,
    Integer,
    /// A number that may have a sign or a fraction: nobody reads it.
    Number,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) literal_length: u16,
    pub(super) gap: Gap,
    pub(super) slot: u8,
}

/// Start and end of a text in the record, or the value of a number.
pub(super) type Slots = [u64; SLOTS];

#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    pub(super) segments: Vec<Segment>,
    /// All literals, the tail last.
    pub(super) literals: Vec<u8>,
    /// One bit for each slot that is a text, or a number.
    pub(super) texts: u64,
    pub(super) numbers: u64,
}

impl Shape {
    /// Whether a record has this shape; then `slots` holds its values.
    #[inline(always)]
    pub(super) fn matches(
        &self,
        blocks: impl Blocks,
        bytes: &[u8],
        slots: &mut Slots,
    ) -> Option<Match> {
        let (mut rest, mut at, mut beyond_ascii) = (&*self.literals, 0, 0);
        for segment in &self.segments {
            let (literal, others) = rest.split_at_checked(segment.literal_length.into())?;
            rest = others;
            if !equal(bytes.get(at..at + literal.len())?, literal) {
                return None;
            }
            at += literal.len();
            let slot = &mut slots[usize::from(segment.slot) % SLOTS];
            at = match segment.gap {
                Gap::Text => {
                    let (end, beyond) = scan::text_end(blocks, bytes, at)?;
                    *slot = at as u64 | (end as u64) << 32;
                    beyond_ascii |= beyond;
                    end
                }
                Gap::Integer => {
                    let (value, end) = scan::integer(bytes, at)?;
                    *slot = value;
                    end
                }
                Gap::Number => scan::number_end(bytes, at)?,
            };
        }
        let is_whole = bytes.len() - at == rest.len() && equal(&bytes[at..], rest);
        is_whole.then_some(if beyond_ascii == 0 { Match::Ascii } else { Match::MaybeBeyond })
    }
}

/// A record has a shape. Its texts hold no control character of ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    Ascii,
    /// Some text may hold characters beyond ASCII, or be no text at all.
    MaybeBeyond,
}

/// Compares two slices of one length, ends first: literals of different types differ there.
#[inline(always)]
fn equal(one: &[u8], other: &[u8]) -> bool {
    if one.len() >= 16 {
        let (blocks, others) = (one.as_chunks::<16>().0, other.as_chunks::<16>().0);
        return one.last_chunk::<16>() == other.last_chunk()
            && blocks.iter().zip(others).all(|(one, other)| one == other);
    }
    if one.len() >= 8 {
        return one.last_chunk::<8>() == other.last_chunk()
            && one.first_chunk::<8>() == other.first_chunk();
    }
    if one.len() >= 4 {
        return one.last_chunk::<4>() == other.last_chunk()
            && one.first_chunk::<4>() == other.first_chunk();
    }
    one.iter().eq(other)
}

/// The values of a record of a known shape.
#[derive(Debug)]
pub(super) struct Found<'s, 'a> {
    pub(super) shape: &'s Shape,
    pub(super) slots: &'s Slots,
    pub(super) text: &'a str,
    pub(super) is: Match,
}

impl<'a> Found<'_, 'a> {
    #[inline]
    fn text_at(&self, slot: usize) -> Option<&'a str> {
        if self.shape.texts >> slot & 1 == 0 {
            return None;
        }
        let place = self.slots[slot];
        self.text.get(place as u32 as usize..(place >> 32) as usize)
    }

    #[inline]
    fn key_at(&self, field: Field, slot: usize) -> Result<Option<&'a str>, Rejection> {
        let Some(text) = self.text_at(slot) else { return Ok(None) };
        if self.is == Match::Ascii && (1..=schemas::KEY_BYTES_MAX).contains(&text.len()) {
            return Ok(Some(text));
        }
        check_key(field, text).map(Some)
    }

    #[inline]
    fn number_at(&self, slot: usize) -> Option<u64> {
        (self.shape.numbers >> slot & 1 == 1).then(|| self.slots[slot])
    }
}

impl<'a> Values<'a> for Found<'_, 'a> {
    fn kind(&self) -> Result<Kind, Rejection> {
        Ok(self.shape.kind)
    }

    fn string(&self, field: Field) -> Result<Option<&'a str>, Rejection> {
        match self.text_at(field as usize) {
            None if self.number_at(field as usize).is_some() => {
                Err(invalid(field, "must be a string"))
            }
            text => Ok(text),
        }
    }

    fn key(&self, field: Field) -> Result<Option<&'a str>, Rejection> {
        match self.key_at(field, field as usize)? {
            None => self.string(field),
            key => Ok(key),
        }
    }

    fn integer(&self, field: Field, range: RangeInclusive<u64>) -> Result<Option<u64>, Rejection> {
        match self.number_at(field as usize) {
            None if self.shape.texts >> (field as u32) & 1 == 0 => Ok(None),
            number => check_integer(field, number, &range).map(Some),
        }
    }

    fn time(&self, field: Field) -> Result<Option<Timestamp>, Rejection> {
        if let Some(text) = self.text_at(field as usize) {
            return check_time(field, Timestamp::parse_rfc3339(text.as_bytes())).map(Some);
        }
        let Some(millis) = self.number_at(field as usize) else { return Ok(None) };
        let time = i64::try_from(millis).ok().and_then(Timestamp::from_millis);
        check_time(field, time).map(Some)
    }

    fn attrs(&self, rules: &Rules, values: &mut CohortValues<'a>) -> Result<(), Rejection> {
        for (position, value) in values.iter_mut().enumerate().take(rules.cohorts.len()) {
            *value = self.key_at(Field::Attrs, cohort_slot(position))?;
        }
        Ok(())
    }
}
