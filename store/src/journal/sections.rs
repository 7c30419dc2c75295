//! The rows of a delta as Arrow batches, one per table, and back.
//!
//! ```text
//! Delta ◄─► [(tag, RecordBatch)]     tags rise; a table without rows has no section
//! ```
//! Times are whole microseconds since 1970 (`_us`), sets of changes lists of names.

use arrow::array::{Array, AsArray, RecordBatch};
use schemas::delta::{
    ChangeDelta, HealthDelta, Place, RegistryDelta, Scope, SignalDelta, SupportDelta, Transition,
};
use schemas::event::UpdateState;
use schemas::reject::{RejectedRow, Stage};
use schemas::{ChangeSet, Delta, Pseudonym, Signal, Timestamp};

use super::columns::{Columns, Fault, Names, Table, int_at, text_at};

mod measures;

const HEALTH: u8 = 1;
const CHANGES: u8 = 2;
const SIGNALS: u8 = 3;
const TRANSITIONS: u8 = 4;
const REJECTED: u8 = 5;
const REGISTRY: u8 = 6;
const SUPPORT: u8 = 7;
const DURATIONS: u8 = 8;
const RETURNS: u8 = 9;
const SIGNATURES: u8 = 10;
const COHORTS: u8 = 11;
const SKETCHES: u8 = 12;
const FACTS: u8 = 13;

/// The sections of a delta, in the order of their tags.
pub(super) fn batches(delta: &Delta) -> Vec<(u8, RecordBatch)> {
    let mut sections = vec![
        (HEALTH, health_batch(&delta.health)),
        (CHANGES, changes_batch(&delta.changes)),
        (SIGNALS, signals_batch(&delta.signals)),
        (TRANSITIONS, transitions_batch(&delta.transitions)),
        (REJECTED, rejected_batch(&delta.rejected)),
        (REGISTRY, registry_batch(&delta.registry)),
        (SUPPORT, support_batch(&delta.support)),
        (DURATIONS, measures::durations_batch(&delta.durations)),
        (RETURNS, measures::returns_batch(&delta.returns)),
        (SIGNATURES, measures::signatures_batch(&delta.signatures)),
        (COHORTS, measures::cohorts_batch(&delta.cohorts)),
        (SKETCHES, measures::sketches_batch(&delta.sketches)),
        (FACTS, measures::facts_batch(&delta.facts)),
    ];
    sections.retain(|(_, batch)| batch.num_rows() > 0);
    sections
}

/// Adds the rows of one section to the delta.
pub(super) fn read(
    tag: u8,
    batch: &RecordBatch,
    names: &mut Names,
    delta: &mut Delta,
) -> Result<(), Fault> {
    let table = Table(batch);
    match tag {
        HEALTH => delta.health = health_rows(&table, names)?,
        CHANGES => delta.changes = changes_rows(&table, names)?,
        SIGNALS => delta.signals = signals_rows(&table, names)?,
        TRANSITIONS => delta.transitions = transitions_rows(&table, names)?,
        REJECTED => delta.rejected = rejected_rows(&table)?,
        REGISTRY => delta.registry = registry_rows(&table)?,
        SUPPORT => delta.support = support_rows(&table)?,
        DURATIONS => delta.durations = measures::durations_rows(&table, names)?,
        RETURNS => delta.returns = measures::returns_rows(&table, names)?,
        SIGNATURES => delta.signatures = measures::signatures_rows(&table, names)?,
        COHORTS => delta.cohorts = measures::cohorts_rows(&table, names)?,
        SKETCHES => delta.sketches = measures::sketches_rows(&table, names)?,
        FACTS => delta.facts = measures::facts_rows(&table, names)?,
        other => return Err(format!("section {other} is unknown to this version")),
    }
    Ok(())
}

/// Columns of the same name as the fields they hold, all of them counts.
macro_rules! counts {
    ($columns:expr, $rows:ident, $($field:ident),+) => {
        $columns$(.ints(stringify!($field), $rows.iter().map(|row| row.$field)))+
    };
}

fn placed(places: impl Iterator<Item = Place> + Clone) -> Columns {
    Columns::default()
        .ints("window_us", places.clone().map(|place| place.window.0))
        .ints("evaluated_us", places.map(|place| place.evaluated.0))
}

fn places(table: &Table<'_>) -> Result<impl Fn(usize) -> Place, Fault> {
    let (windows, evaluated) = (table.ints("window_us")?, table.ints("evaluated_us")?);
    Ok(|row: usize| Place { window: Timestamp(windows[row]), evaluated: Timestamp(evaluated[row]) })
}

fn rows<T>(table: &Table<'_>, row: impl FnMut(usize) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
    (0..table.0.num_rows()).map(row).collect()
}

fn health_batch(rows: &[HealthDelta]) -> RecordBatch {
    let columns = placed(rows.iter().map(|row| row.place))
        .texts("ring", rows.iter().map(|row| &*row.ring))
        .optional_sets("set", rows.iter().map(|row| Some(&row.set)));
    counts!(
        columns,
        rows,
        at_risk_ms,
        devices_active,
        devices_silent,
        heartbeats,
        boots,
        records,
        duplicates
    )
    .batch()
}

fn health_rows(table: &Table<'_>, names: &mut Names) -> Result<Vec<HealthDelta>, Fault> {
    let (place, rings, sets) = (places(table)?, table.texts("ring")?, table.optional_sets("set")?);
    let at_risk_ms = table.ints("at_risk_ms")?;
    let (active, silent) = (table.ints("devices_active")?, table.ints("devices_silent")?);
    let (heartbeats, boots) = (table.ints("heartbeats")?, table.ints("boots")?);
    let (records, duplicates) = (table.ints("records")?, table.ints("duplicates")?);
    rows(table, |row| {
        Ok(HealthDelta {
            place: place(row),
            ring: names.name(rings.value(row)),
            set: names.set(sets.value(row).as_string()),
            at_risk_ms: at_risk_ms[row],
            devices_active: active[row],
            devices_silent: silent[row],
            heartbeats: heartbeats[row],
            boots: boots[row],
            records: records[row],
            duplicates: duplicates[row],
        })
    })
}

fn changes_batch(rows: &[ChangeDelta]) -> RecordBatch {
    let columns = placed(rows.iter().map(|row| row.place))
        .texts("ring", rows.iter().map(|row| &*row.ring))
        .texts("change", rows.iter().map(|row| &*row.change));
    counts!(
        columns,
        rows,
        devices_exposed,
        installs_started,
        installs_succeeded,
        installs_failed,
        rollbacks,
        attempts_succeeded,
        attempts_failed
    )
    .batch()
}

fn changes_rows(table: &Table<'_>, names: &mut Names) -> Result<Vec<ChangeDelta>, Fault> {
    let (place, rings, changes) = (places(table)?, table.texts("ring")?, table.texts("change")?);
    let exposed = table.ints("devices_exposed")?;
    let (started, succeeded) = (table.ints("installs_started")?, table.ints("installs_succeeded")?);
    let (failed, rollbacks) = (table.ints("installs_failed")?, table.ints("rollbacks")?);
    let attempts_succeeded = table.ints("attempts_succeeded")?;
    let attempts_failed = table.ints("attempts_failed")?;
    rows(table, |row| {
        Ok(ChangeDelta {
            place: place(row),
            ring: names.name(rings.value(row)),
            change: names.name(changes.value(row)),
            devices_exposed: exposed[row],
            installs_started: started[row],
            installs_succeeded: succeeded[row],
            installs_failed: failed[row],
            rollbacks: rollbacks[row],
            attempts_succeeded: attempts_succeeded[row],
            attempts_failed: attempts_failed[row],
        })
    })
}

fn signals_batch(rows: &[SignalDelta]) -> RecordBatch {
    let cohorts = || rows.iter().map(|row| row.cohort.as_ref());
    let columns = placed(rows.iter().map(|row| row.place))
        .texts("ring", rows.iter().map(|row| &*row.ring))
        .optional_sets("set", rows.iter().map(|row| set_of(&row.scope)))
        .optional_texts("change", rows.iter().map(|row| change_of(&row.scope)))
        .texts("signal", rows.iter().map(|row| row.signal.name()))
        .optional_texts("cohort_key", cohorts().map(|cohort| cohort.map(|(key, _)| &**key)))
        .optional_texts("cohort_value", cohorts().map(|cohort| cohort.map(|(_, value)| &**value)));
    counts!(columns, rows, affected_devices, events)
        .optional_ints(
            "first_affected_us",
            rows.iter().map(|row| row.first_affected_at.map(|time| time.0)),
        )
        .batch()
}

fn set_of(scope: &Scope) -> Option<&ChangeSet> {
    match scope {
        Scope::Set(set) => Some(set),
        Scope::Change(_) => None,
    }
}

fn change_of(scope: &Scope) -> Option<&str> {
    match scope {
        Scope::Set(_) => None,
        Scope::Change(change) => Some(change),
    }
}

/// The scope of a row, from the columns `set` and `change`.
fn scopes<'a>(
    table: &Table<'a>,
) -> Result<impl Fn(&mut Names, usize) -> Result<Scope, Fault> + use<'a>, Fault> {
    let (sets, changes) = (table.optional_sets("set")?, table.optional_texts("change")?);
    Ok(move |names: &mut Names, row| match text_at(changes, row) {
        Some(change) => Ok(Scope::Change(names.name(change))),
        None if sets.is_valid(row) => Ok(Scope::Set(names.set(sets.value(row).as_string()))),
        None => Err(format!("row {row} has no scope")),
    })
}

fn signals_rows(table: &Table<'_>, names: &mut Names) -> Result<Vec<SignalDelta>, Fault> {
    let (place, rings, signals) = (places(table)?, table.texts("ring")?, table.texts("signal")?);
    let scope = scopes(table)?;
    let keys = table.optional_texts("cohort_key")?;
    let values = table.optional_texts("cohort_value")?;
    let (affected, events) = (table.ints("affected_devices")?, table.ints("events")?);
    let first_affected = table.optional_ints("first_affected_us")?;
    rows(table, |row| {
        let scope = scope(names, row)?;
        let cohort = text_at(keys, row).zip(text_at(values, row));
        Ok(SignalDelta {
            place: place(row),
            ring: names.name(rings.value(row)),
            scope,
            signal: known(Signal::from_name, "signal", signals.value(row))?,
            cohort: cohort.map(|(key, value)| (names.name(key), names.name(value))),
            affected_devices: affected[row],
            events: events[row],
            first_affected_at: int_at(first_affected, row).map(Timestamp),
        })
    })
}

fn transitions_batch(rows: &[Transition]) -> RecordBatch {
    Columns::default()
        .ints("event_time_us", rows.iter().map(|row| row.event_time.0))
        .texts("device", rows.iter().map(|row| row.device.as_str()))
        .texts("ring", rows.iter().map(|row| &*row.ring))
        .texts("change", rows.iter().map(|row| &*row.change))
        .texts("state", rows.iter().map(|row| row.state.name()))
        .optional_texts("code", rows.iter().map(|row| row.code.as_deref()))
        .optional_ints("duration_ms", rows.iter().map(|row| row.duration_ms))
        .optional_texts("build", rows.iter().map(|row| row.build.as_deref()))
        .optional_texts("model", rows.iter().map(|row| row.model.as_deref()))
        .batch()
}

fn transitions_rows(table: &Table<'_>, names: &mut Names) -> Result<Vec<Transition>, Fault> {
    let (times, devices) = (table.ints("event_time_us")?, table.texts("device")?);
    let (rings, changes) = (table.texts("ring")?, table.texts("change")?);
    let (states, codes) = (table.texts("state")?, table.optional_texts("code")?);
    let durations = table.optional_ints("duration_ms")?;
    let (builds, models) = (table.optional_texts("build")?, table.optional_texts("model")?);
    rows(table, |row| {
        Ok(Transition {
            event_time: Timestamp(times[row]),
            device: known(Pseudonym::from_text, "pseudonym", devices.value(row))?,
            ring: names.name(rings.value(row)),
            change: names.name(changes.value(row)),
            state: known(UpdateState::from_name, "state", states.value(row))?,
            code: text_at(codes, row).map(|code| names.name(code)),
            duration_ms: int_at(durations, row),
            build: text_at(builds, row).map(|build| names.name(build)),
            model: text_at(models, row).map(|model| names.name(model)),
        })
    })
}

fn rejected_batch(rows: &[RejectedRow]) -> RecordBatch {
    Columns::default()
        .ints("offset", rows.iter().map(|row| row.offset))
        .optional_ints("time_us", rows.iter().map(|row| row.time.map(|time| time.0)))
        .texts("stage", rows.iter().map(|row| row.stage.name()))
        .texts("error", rows.iter().map(|row| &*row.error))
        .optional_texts("field", rows.iter().map(|row| row.field.as_deref()))
        .bytes("value", rows.iter().map(|row| &*row.value))
        .ints("size", rows.iter().map(|row| row.size))
        .batch()
}

fn rejected_rows(table: &Table<'_>) -> Result<Vec<RejectedRow>, Fault> {
    let (offsets, times) = (table.ints("offset")?, table.optional_ints("time_us")?);
    let (stages, errors) = (table.texts("stage")?, table.texts("error")?);
    let (fields, values) = (table.optional_texts("field")?, table.bytes("value")?);
    let sizes = table.ints("size")?;
    rows(table, |row| {
        Ok(RejectedRow {
            offset: offsets[row],
            time: int_at(times, row).map(Timestamp),
            stage: known(Stage::from_name, "stage", stages.value(row))?,
            error: errors.value(row).to_owned(),
            field: text_at(fields, row).map(str::to_owned),
            value: values.value(row).to_owned(),
            size: sizes[row],
        })
    })
}

fn registry_batch(rows: &[RegistryDelta]) -> RecordBatch {
    Columns::default()
        .ints("offset", rows.iter().map(|row| row.offset))
        .ints("takes_effect_us", rows.iter().map(|row| row.takes_effect.0))
        .texts("change", rows.iter().map(|row| &*row.change))
        .optional_texts("record", rows.iter().map(|row| row.record.as_deref()))
        .batch()
}

fn registry_rows(table: &Table<'_>) -> Result<Vec<RegistryDelta>, Fault> {
    let (offsets, times) = (table.ints("offset")?, table.ints("takes_effect_us")?);
    let (changes, records) = (table.texts("change")?, table.optional_texts("record")?);
    rows(table, |row| {
        Ok(RegistryDelta {
            offset: offsets[row],
            takes_effect: Timestamp(times[row]),
            change: changes.value(row).to_owned(),
            record: text_at(records, row).map(str::to_owned),
        })
    })
}

fn support_batch(rows: &[SupportDelta]) -> RecordBatch {
    Columns::default()
        .ints("offset", rows.iter().map(|row| row.offset))
        .ints("takes_effect_us", rows.iter().map(|row| row.takes_effect.0))
        .texts("record", rows.iter().map(|row| &*row.record))
        .batch()
}

fn support_rows(table: &Table<'_>) -> Result<Vec<SupportDelta>, Fault> {
    let (offsets, times) = (table.ints("offset")?, table.ints("takes_effect_us")?);
    let records = table.texts("record")?;
    rows(table, |row| {
        Ok(SupportDelta {
            offset: offsets[row],
            takes_effect: Timestamp(times[row]),
            record: records.value(row).to_owned(),
        })
    })
}

fn known<T>(from: impl Fn(&str) -> Option<T>, what: &str, name: &str) -> Result<T, Fault> {
    from(name).ok_or_else(|| format!("{what} `{name}` is unknown to this version"))
}
