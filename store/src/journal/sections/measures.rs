//! Sections of what is measured beside counts: durations, returns, signatures, cohorts, sketches,
//! facts.

use arrow::array::{AsArray, RecordBatch};
use schemas::delta::{
    CohortDelta, DurationDelta, FactDelta, ReturnDelta, SignatureDelta, SketchDelta,
};
use schemas::{DurationSignal, Fact, Histogram, Signal, Timestamp};

use super::super::columns::{Columns, Fault, Names, Table, int_at, ints_at, text_at};
use super::{change_of, known, placed, places, rows, scopes, set_of};

/// Bytes of a coupon.
const COUPON_BYTES: usize = size_of::<u32>();

pub(super) fn durations_batch(rows: &[DurationDelta]) -> RecordBatch {
    placed(rows.iter().map(|row| row.place))
        .texts("ring", rows.iter().map(|row| &*row.ring))
        .optional_sets("set", rows.iter().map(|row| set_of(&row.scope)))
        .optional_texts("change", rows.iter().map(|row| change_of(&row.scope)))
        .texts("signal", rows.iter().map(|row| row.signal.name()))
        .int_lists("le", rows.iter().map(|row| row.histogram.le()))
        .int_lists("n", rows.iter().map(|row| row.histogram.n()))
        .batch()
}

pub(super) fn durations_rows(
    table: &Table<'_>,
    names: &mut Names,
) -> Result<Vec<DurationDelta>, Fault> {
    let (place, rings, scope) = (places(table)?, table.texts("ring")?, scopes(table)?);
    let (signals, bounds) = (table.texts("signal")?, table.lists("le")?);
    let counts = table.lists("n")?;
    rows(table, |row| {
        let (le, n) = (ints_at(bounds, row)?, ints_at(counts, row)?);
        Ok(DurationDelta {
            place: place(row),
            ring: names.name(rings.value(row)),
            scope: scope(names, row)?,
            signal: known(DurationSignal::from_name, "duration", signals.value(row))?,
            histogram: Histogram::new(le.values(), n.values())
                .ok_or_else(|| format!("row {row} of the durations is no histogram"))?,
        })
    })
}

pub(super) fn returns_batch(rows: &[ReturnDelta]) -> RecordBatch {
    placed(rows.iter().map(|row| row.place))
        .texts("ring", rows.iter().map(|row| &*row.ring))
        .optional_sets("set", rows.iter().map(|row| set_of(&row.scope)))
        .optional_texts("change", rows.iter().map(|row| change_of(&row.scope)))
        .ints("trials", rows.iter().map(|row| row.trials))
        .ints("failed", rows.iter().map(|row| row.failed))
        .batch()
}

pub(super) fn returns_rows(
    table: &Table<'_>,
    names: &mut Names,
) -> Result<Vec<ReturnDelta>, Fault> {
    let (place, rings, scope) = (places(table)?, table.texts("ring")?, scopes(table)?);
    let (trials, failed) = (table.ints("trials")?, table.ints("failed")?);
    rows(table, |row| {
        Ok(ReturnDelta {
            place: place(row),
            ring: names.name(rings.value(row)),
            scope: scope(names, row)?,
            trials: trials[row],
            failed: failed[row],
        })
    })
}

pub(super) fn signatures_batch(rows: &[SignatureDelta]) -> RecordBatch {
    let first = rows.iter().map(|row| row.first_affected_at.map(|time| time.0));
    placed(rows.iter().map(|row| row.place))
        .texts("ring", rows.iter().map(|row| &*row.ring))
        .optional_sets("set", rows.iter().map(|row| Some(&row.set)))
        .texts("signal", rows.iter().map(|row| row.signal.name()))
        .texts("signature", rows.iter().map(|row| &*row.signature))
        .ints("affected_devices", rows.iter().map(|row| row.affected_devices))
        .optional_ints("first_affected_us", first)
        .batch()
}

pub(super) fn signatures_rows(
    table: &Table<'_>,
    names: &mut Names,
) -> Result<Vec<SignatureDelta>, Fault> {
    let (place, rings, sets) = (places(table)?, table.texts("ring")?, table.optional_sets("set")?);
    let (signals, signatures) = (table.texts("signal")?, table.texts("signature")?);
    let (affected, first) =
        (table.ints("affected_devices")?, table.optional_ints("first_affected_us")?);
    rows(table, |row| {
        Ok(SignatureDelta {
            place: place(row),
            ring: names.name(rings.value(row)),
            set: names.set(sets.value(row).as_string()),
            signal: known(Signal::from_name, "signal", signals.value(row))?,
            signature: names.name(signatures.value(row)),
            affected_devices: affected[row],
            first_affected_at: int_at(first, row).map(Timestamp),
        })
    })
}

pub(super) fn cohorts_batch(rows: &[CohortDelta]) -> RecordBatch {
    let cohorts = || rows.iter().map(|row| row.cohort.as_ref());
    Columns::default()
        .ints("hour_us", rows.iter().map(|row| row.hour.0))
        .ints("evaluated_us", rows.iter().map(|row| row.evaluated.0))
        .texts("ring", rows.iter().map(|row| &*row.ring))
        .optional_sets("set", rows.iter().map(|row| Some(&row.set)))
        .optional_texts("cohort_key", cohorts().map(|cohort| cohort.map(|(key, _)| &**key)))
        .optional_texts("cohort_value", cohorts().map(|cohort| cohort.map(|(_, value)| &**value)))
        .ints("devices_active", rows.iter().map(|row| row.devices_active))
        .batch()
}

pub(super) fn cohorts_rows(
    table: &Table<'_>,
    names: &mut Names,
) -> Result<Vec<CohortDelta>, Fault> {
    let (hours, evaluated) = (table.ints("hour_us")?, table.ints("evaluated_us")?);
    let (rings, sets) = (table.texts("ring")?, table.optional_sets("set")?);
    let keys = table.optional_texts("cohort_key")?;
    let values = table.optional_texts("cohort_value")?;
    let active = table.ints("devices_active")?;
    rows(table, |row| {
        let cohort = text_at(keys, row).zip(text_at(values, row));
        Ok(CohortDelta {
            hour: Timestamp(hours[row]),
            evaluated: Timestamp(evaluated[row]),
            ring: names.name(rings.value(row)),
            set: names.set(sets.value(row).as_string()),
            cohort: cohort.map(|(key, value)| (names.name(key), names.name(value))),
            devices_active: active[row],
        })
    })
}

/// Coupons stand as bytes, little-endian.
pub(super) fn sketches_batch(rows: &[SketchDelta]) -> RecordBatch {
    let bytes = |row: &SketchDelta| -> Vec<u8> {
        row.coupons.iter().flat_map(|coupon| coupon.to_le_bytes()).collect()
    };
    let coupons: Vec<Vec<u8>> = rows.iter().map(bytes).collect();
    Columns::default()
        .ints("hour_us", rows.iter().map(|row| row.hour.0))
        .texts("ring", rows.iter().map(|row| &*row.ring))
        .optional_sets("set", rows.iter().map(|row| Some(&row.set)))
        .bytes("coupons", coupons.iter().map(Vec::as_slice))
        .batch()
}

pub(super) fn sketches_rows(
    table: &Table<'_>,
    names: &mut Names,
) -> Result<Vec<SketchDelta>, Fault> {
    let (hours, rings) = (table.ints("hour_us")?, table.texts("ring")?);
    let (sets, coupons) = (table.optional_sets("set")?, table.bytes("coupons")?);
    rows(table, |row| {
        let (coupons, rest) = coupons.value(row).as_chunks::<COUPON_BYTES>();
        if !rest.is_empty() {
            return Err(format!("row {row} of the sketches has half a coupon"));
        }
        Ok(SketchDelta {
            hour: Timestamp(hours[row]),
            ring: names.name(rings.value(row)),
            set: names.set(sets.value(row).as_string()),
            coupons: coupons.iter().map(|coupon| u32::from_le_bytes(*coupon)).collect(),
        })
    })
}

pub(super) fn facts_batch(rows: &[FactDelta]) -> RecordBatch {
    placed(rows.iter().map(|row| row.place))
        .texts("ring", rows.iter().map(|row| &*row.ring))
        .texts("fact", rows.iter().map(|row| row.fact.name()))
        .ints("count", rows.iter().map(|row| row.count))
        .optional_ints("first_us", rows.iter().map(|row| row.first_at.map(|time| time.0)))
        .batch()
}

pub(super) fn facts_rows(table: &Table<'_>, names: &mut Names) -> Result<Vec<FactDelta>, Fault> {
    let (place, rings, facts) = (places(table)?, table.texts("ring")?, table.texts("fact")?);
    let (counts, first) = (table.ints("count")?, table.optional_ints("first_us")?);
    rows(table, |row| {
        Ok(FactDelta {
            place: place(row),
            ring: names.name(rings.value(row)),
            fact: known(Fact::from_name, "fact", facts.value(row))?,
            count: counts[row],
            first_at: int_at(first, row).map(Timestamp),
        })
    })
}
