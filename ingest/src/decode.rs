//! The stages DECODE and VALIDATE: the bytes of one record to a valid event, or why not.
//!
//! ```text
//! value ─┬─► shape known: its values in place ──────────────────────────┬─► telemetry
//!        └─► tape (simd-json, buffers reused) ─► fields (names found) ──┴─► | registry
//! ```
//! In: a value without its framing, and when it arrived. Out: a borrowed [`Event`], a
//! [`ChangeMessage`] or a [`SupportMessage`], or a [`Rejection`] with stage, field and reason.
//! Every rule is one of contracts.md 2; no clock is read, and an accepted telemetry record
//! allocates nothing once the buffers have grown.

#![expect(clippy::inline_always, reason = "a call would undo the choice of instructions")]

mod day;
mod fields;
mod names;
mod registry;
mod scan;
mod shape;
mod shapes;
mod tape;
mod telemetry;
#[cfg(test)]
mod tests;
mod values;

pub use names::{FieldNames, FieldNamesError};
use schemas::{COHORTS_MAX, ChangeRecord, Event, Rejection, Span, Stage, SupportRecord, Timestamp};
use simd_json::Node;

use crate::metrics::Paths;
use fields::{Field, Fields, invalid};
use scan::{Blocks, Work};
use shapes::Shapes;
use tape::{Json, undecodable};
use telemetry::{Cohort, Rules};
use values::{Values, check_key};

/// How far an event may lie after its arrival: clocks go wrong by hours, not by days.
const AHEAD_MAX: Span = Span::hours(24);

/// Bounds of contracts.md 2 and the cohort dimensions to keep.
#[derive(Clone, Debug)]
pub struct DecodeConfig {
    /// Dimension names in order; `model` and `build` are fields, all others keys of `attrs`.
    pub cohorts: Vec<String>,
    /// Largest value in bytes.
    pub record_bytes_max: usize,
    /// Deepest nesting; the record itself is 1.
    pub depth_max: usize,
    /// Most keys of `attrs`.
    pub attrs_max: usize,
    /// What the fleet calls the fields of telemetry.
    pub fields: FieldNames,
}

impl Default for DecodeConfig {
    fn default() -> Self {
        let (record_bytes_max, fields) = (crate::RECORD_BYTES_MAX, FieldNames::default());
        Self { cohorts: Vec::new(), record_bytes_max, depth_max: 64, attrs_max: 32, fields }
    }
}

/// Where the arrival of a record comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Known before: min(Kafka timestamp, clock reading).
    At(Timestamp),
    /// `replay`: the field `_ts` (Unix milliseconds), else the event time.
    InRecord,
}

/// A valid telemetry record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decoded<'a> {
    pub event: Event<'a>,
    pub arrival: Timestamp,
}

/// A valid record of the topic `changes`.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeMessage {
    pub change: String,
    /// `None` removes the change: a tombstone, or `"deleted": true`.
    pub record: Option<ChangeRecord>,
    /// `None` only in `replay`, for a record with neither `_ts` nor `time`.
    pub arrival: Option<Timestamp>,
}

/// A valid record of the topic `support`.
#[derive(Clone, Debug, PartialEq)]
pub struct SupportMessage {
    pub record: SupportRecord,
    pub arrival: Timestamp,
}

/// Decodes records, one after the other; each worker has its own.
pub struct Decoder {
    shapes: Shapes,
    paths: Paths,
    json: Json,
    rules: Rules,
    record_bytes_max: usize,
    last_ts: Option<Timestamp>,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Decoder").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl Decoder {
    /// Panics if more than [`COHORTS_MAX`] dimensions are configured: the configuration is
    /// validated before it comes here.
    pub fn new(config: DecodeConfig) -> Self {
        assert!(config.cohorts.len() <= COHORTS_MAX, "cohort dimensions fit an event");
        let cohort = |name: String| match name.as_str() {
            "model" => Cohort::Model,
            "build" => Cohort::Build,
            _ => Cohort::Attr(name),
        };
        Self {
            shapes: Shapes::new(),
            paths: Paths::new(),
            json: Json::new(config.record_bytes_max, config.depth_max),
            rules: Rules {
                cohorts: config.cohorts.into_iter().map(cohort).collect(),
                attrs_max: config.attrs_max,
                names: config.fields,
            },
            record_bytes_max: config.record_bytes_max,
            last_ts: None,
        }
    }

    /// One that leaves every record to the parser: what the other is compared with.
    pub fn without_shapes(config: DecodeConfig) -> Self {
        Self { shapes: Shapes::none(), ..Self::new(config) }
    }

    /// Those of some records of the topic `telemetry` whose shape is known and that are valid,
    /// each into its place, which is empty: what they give borrows from the records alone. There
    /// is a place for each; `None` stands for a record without a value, whose place stays empty.
    /// `each` hears of every one as soon as it is there, with the number of its place.
    pub fn by_shape<'a>(
        &mut self,
        records: impl Iterator<Item = Option<(&'a [u8], Arrival)>>,
        places: &mut [Option<Decoded<'a>>],
        each: impl FnMut(usize, &Decoded<'a>),
    ) {
        self.shapes.processor().run(ByShape { decoder: self, records, places, each });
    }

    /// One record of the topic `telemetry`.
    pub fn telemetry<'a>(
        &'a mut self,
        value: &'a [u8],
        arrival: Arrival,
    ) -> Result<Decoded<'a>, Rejection> {
        let mut place = None;
        let record = std::iter::once(Some((value, arrival)));
        self.by_shape(record, std::slice::from_mut(&mut place), |_, _| {});
        place.map_or_else(|| self.parsed(value, arrival), Ok)
    }

    /// One record of the topic `telemetry` that came in an envelope. No shape fits the envelope,
    /// and that says nothing of what is in it.
    pub fn unwrapped<'a>(
        &'a mut self,
        value: &'a [u8],
        arrival: Arrival,
    ) -> Result<Decoded<'a>, Rejection> {
        self.shapes.look_again();
        self.telemetry(value, arrival)
    }

    /// One record of the topic `telemetry` that [`Decoder::by_shape`] does not take: one that no
    /// shape fits, or whose values a shape refuses, and the parser says what is wrong.
    #[inline(never)]
    pub fn parsed<'a>(
        &'a mut self,
        value: &'a [u8],
        arrival: Arrival,
    ) -> Result<Decoded<'a>, Rejection> {
        let Self { shapes, paths, json, rules, last_ts, .. } = self;
        paths.parser();
        *last_ts = None;
        let (decoded, kind) = json.read(value, |nodes| {
            let fields = record(nodes, &rules.names)?;
            Ok((decoded(&fields, rules, arrival, last_ts)?, fields.kind()?))
        })?;
        if shapes.may_learn(value) {
            shapes.learn(value, (kind, &decoded), rules, arrival);
        }
        Ok(decoded)
    }

    /// One record of the topic `changes`; `None` as value is a tombstone.
    pub fn change(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        arrival: Arrival,
    ) -> Result<ChangeMessage, Rejection> {
        self.last_ts = None;
        let Some(value) = value else { return tombstone(key, arrival) };
        let last_ts = &mut self.last_ts;
        self.json.read(value, |nodes| {
            let fields = record(nodes, &FieldNames::STANDARD)?;
            let arrived = arrived(&fields, arrival, last_ts)?;
            let time = optional_time(&fields, arrived)?;
            let change = Fields::need(Field::Change, fields.key(Field::Change)?)?.to_owned();
            let deleted = fields.truth(Field::Deleted)?.unwrap_or(false);
            let record = if deleted { None } else { Some(registry::change(&fields, time)?) };
            Ok(ChangeMessage { change, record, arrival: arrived.or(time) })
        })
    }

    /// One record of the topic `support`.
    pub fn support(&mut self, value: &[u8], arrival: Arrival) -> Result<SupportMessage, Rejection> {
        self.last_ts = None;
        let last_ts = &mut self.last_ts;
        self.json.read(value, |nodes| {
            let fields = record(nodes, &FieldNames::STANDARD)?;
            let arrived = arrived(&fields, arrival, last_ts)?;
            let time = needed_time(&fields, arrived)?;
            let record = registry::support(&fields, time)?;
            Ok(SupportMessage { record, arrival: arrived.unwrap_or(time) })
        })
    }

    /// Telemetry records so far whose shape was known.
    pub const fn decoded_by_shape(&self) -> u64 {
        self.paths.by_shape()
    }

    /// `_ts` of the last record, if arrivals stand in the records: the time of its `rejected` row.
    pub const fn last_ts(&self) -> Option<Timestamp> {
        self.last_ts
    }
}

/// A run of records: one by one, each would be copied on its way to its place.
struct ByShape<'d, 'a, I, E> {
    decoder: &'d mut Decoder,
    records: I,
    places: &'d mut [Option<Decoded<'a>>],
    each: E,
}

impl<'a, I, E> Work for ByShape<'_, 'a, I, E>
where
    I: Iterator<Item = Option<(&'a [u8], Arrival)>>,
    E: FnMut(usize, &Decoded<'a>),
{
    type Output = ();

    #[inline(always)]
    fn run(self, blocks: impl Blocks) {
        let Self { decoder, records, places, mut each } = self;
        let Decoder { shapes, paths, rules, last_ts, record_bytes_max, .. } = decoder;
        for (number, (record, place)) in records.zip(places).enumerate() {
            *last_ts = None;
            let Some((value, arrival)) = record else { continue };
            if value.len() > *record_bytes_max {
                continue;
            }
            *place = shapes.read(blocks, value, rules, arrival, last_ts);
            if let Some(decoded) = place {
                paths.shape();
                each(number, decoded);
            }
        }
    }
}

/// The fields of a record whose `v`, if it has one, is 1.
#[inline]
fn record<'t, 'a>(nodes: &'t [Node<'a>], names: &FieldNames) -> Result<Fields<'t, 'a>, Rejection> {
    let fields =
        Fields::of(nodes, names).ok_or_else(|| undecodable("the record is not a JSON object"))?;
    fields.integer(Field::V, 1..=1)?;
    Ok(fields)
}

/// The event and its arrival; `last_ts` becomes that of the record.
#[inline(always)]
fn decoded<'a, V: Values<'a>>(
    fields: &V,
    rules: &Rules,
    arrival: Arrival,
    last_ts: &mut Option<Timestamp>,
) -> Result<Decoded<'a>, V::Refusal> {
    let arrived = arrived(fields, arrival, last_ts)?;
    let time = needed_time(fields, arrived)?;
    let event = telemetry::event(fields, rules, time)?;
    Ok(Decoded { event, arrival: arrived.unwrap_or(time) })
}

/// The arrival, as far as it is known before the event time is.
#[inline(always)]
fn arrived<'a, V: Values<'a>>(
    fields: &V,
    arrival: Arrival,
    last_ts: &mut Option<Timestamp>,
) -> Result<Option<Timestamp>, V::Refusal> {
    match arrival {
        Arrival::At(time) => Ok(Some(time)),
        Arrival::InRecord => {
            *last_ts = fields.time(Field::ArrivedAt)?;
            Ok(*last_ts)
        }
    }
}

#[inline(always)]
fn optional_time<'a, V: Values<'a>>(
    fields: &V,
    arrived: Option<Timestamp>,
) -> Result<Option<Timestamp>, V::Refusal> {
    let time = fields.time(Field::Time)?;
    match (time, arrived) {
        (Some(time), Some(arrived)) if time > arrived.saturating_add(AHEAD_MAX) => {
            Err(V::invalid(Field::Time, "is more than 24 h after the record's arrival"))
        }
        _ => Ok(time),
    }
}

#[inline(always)]
fn needed_time<'a, V: Values<'a>>(
    fields: &V,
    arrived: Option<Timestamp>,
) -> Result<Timestamp, V::Refusal> {
    V::need(Field::Time, optional_time(fields, arrived)?)
}

/// A null value removes the change that the Kafka key names.
fn tombstone(key: Option<&[u8]>, arrival: Arrival) -> Result<ChangeMessage, Rejection> {
    let key = key.ok_or_else(|| Rejection {
        stage: Stage::Frame,
        field: None,
        error: "the value is null and no key says which change to remove".to_owned(),
    })?;
    let text = std::str::from_utf8(key)
        .map_err(|_| invalid(Field::Change, "in the key of a tombstone must be UTF-8"))?;
    let arrival = match arrival {
        Arrival::At(time) => Some(time),
        Arrival::InRecord => None,
    };
    let refuse = |problem| invalid(Field::Change, problem);
    let change = check_key(text).map_err(refuse)?.to_owned();
    Ok(ChangeMessage { change, record: None, arrival })
}
