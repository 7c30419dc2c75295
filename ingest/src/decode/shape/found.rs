//! The values of a record whose shape is known: where each stands was found out with the shape.

#![expect(clippy::inline_always, reason = "a call would undo the choice of instructions")]

use std::cell::Cell;
use std::ops::RangeInclusive;

use schemas::{COHORTS_MAX, KEY_BYTES_MAX, Timestamp};

use super::super::day::Day;
use super::super::fields::Field;
use super::super::scan::Record;
use super::super::telemetry::{Kind, Rules};
use super::super::values::{CohortValues, Values, check_integer, check_key, check_time};
use super::{SLOTS, Shape, Slots};

#[derive(Debug)]
pub(in crate::decode) struct Found<'s, 'a, const PLAIN: bool> {
    pub(in crate::decode) shape: &'s Shape,
    pub(in crate::decode) slots: &'s Slots,
    pub(in crate::decode) record: &'s Record<'a, PLAIN>,
    /// The day of the last time that was read.
    pub(in crate::decode) day: &'s Cell<Day>,
}

/// Something for the parser to judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::decode) struct Unfit;

impl<'a, const PLAIN: bool> Found<'_, 'a, PLAIN> {
    #[inline(always)]
    fn has_text(&self, slot: usize) -> bool {
        self.shape.texts >> slot & 1 == 1
    }

    #[inline(always)]
    fn has_number(&self, field: Field) -> bool {
        self.shape.numbers >> (field as u32) & 1 == 1
    }

    #[inline(always)]
    fn text_at(&self, slot: usize) -> Result<&'a str, Unfit> {
        let place = self.slots[slot % SLOTS];
        self.record.text(place as u32 as usize, (place >> 32) as usize).ok_or(Unfit)
    }

    #[inline(always)]
    fn key_at(&self, slot: usize) -> Result<&'a str, Unfit> {
        let text = self.text_at(slot)?;
        if PLAIN && (1..=KEY_BYTES_MAX).contains(&text.len()) {
            return Ok(text);
        }
        check_key(text).map_err(|_| Unfit)
    }

    /// A field that is no text: nothing where it is missing.
    #[inline(always)]
    fn no_text<T>(&self, field: Field) -> Result<Option<T>, Unfit> {
        if self.has_number(field) { Err(Unfit) } else { Ok(None) }
    }
}

impl<'a, const PLAIN: bool> Values<'a> for Found<'_, 'a, PLAIN> {
    type Refusal = Unfit;

    #[inline(always)]
    fn invalid(_: Field, _: impl std::fmt::Display) -> Unfit {
        Unfit
    }

    #[inline(always)]
    fn kind(&self) -> Result<Kind, Unfit> {
        Ok(self.shape.kind)
    }

    #[inline(always)]
    fn string(&self, field: Field) -> Result<Option<&'a str>, Unfit> {
        if self.has_text(field as usize) {
            return self.text_at(field as usize).map(Some);
        }
        self.no_text(field)
    }

    #[inline(always)]
    fn key(&self, field: Field) -> Result<Option<&'a str>, Unfit> {
        if self.has_text(field as usize) {
            return self.key_at(field as usize).map(Some);
        }
        self.no_text(field)
    }

    #[inline(always)]
    fn integer(&self, field: Field, range: RangeInclusive<u64>) -> Result<Option<u64>, Unfit> {
        if self.has_number(field) {
            let number = Some(self.slots[field as usize]);
            return check_integer(number, range).map(Some).map_err(|_| Unfit);
        }
        if self.has_text(field as usize) { Err(Unfit) } else { Ok(None) }
    }

    #[inline(always)]
    fn time(&self, field: Field) -> Result<Option<Timestamp>, Unfit> {
        let time = if self.has_text(field as usize) {
            Day::read(self.day, self.text_at(field as usize)?)
        } else if self.has_number(field) {
            i64::try_from(self.slots[field as usize]).ok().and_then(Timestamp::from_millis)
        } else {
            return Ok(None);
        };
        check_time(time).map(Some).map_err(|_| Unfit)
    }

    #[inline(always)]
    fn cohorts(&self, _: &Rules, fields: [Option<&'a str>; 2]) -> Result<CohortValues<'a>, Unfit> {
        let mut values = CohortValues::default();
        for &(position, field) in &self.shape.cohorts.fields {
            values[usize::from(position) % COHORTS_MAX] = fields[usize::from(field) % 2];
        }
        for &(position, slot) in &self.shape.cohorts.attrs {
            values[usize::from(position) % COHORTS_MAX] = Some(self.key_at(slot.into())?);
        }
        Ok(values)
    }
}
