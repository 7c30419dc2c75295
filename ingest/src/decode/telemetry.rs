//! One record of the topic `telemetry`: its fields to an [`Event`] (contracts.md 2.1).
//!
//! In: the fields of the object, the configured cohort dimensions. Out: the event, its text
//! borrowed. A name that belongs to another type of record (`boot_ms` in a heartbeat) is an
//! unknown field there, and ignored.

use schemas::event::{AuditKind, Lifecycle, UpdateState};
use schemas::{Body, COHORTS_MAX, Event, Rejection, Signal, Timestamp};

use super::fields::{Field, not_one_of};
use super::names::FieldNames;
use super::values::Values;

/// Longest `code` and `signature`, in bytes.
const TEXT_BYTES_MAX: usize = 256;
/// Largest `*_ms`: 2^40 ms are 34 years.
const MILLIS_MAX: u64 = 1 << 40;
/// Largest `count` of one fault record.
const COUNT_MAX: u64 = 1_000_000;
/// Largest `interval_s`: 30 days.
const INTERVAL_S_MAX: u64 = 2_592_000;
/// `interval_s` of a heartbeat that names none.
const INTERVAL_S_DEFAULT: u64 = 3_600;

const LIFECYCLES: [&str; 5] = ["enrolled", "moved", "offline", "reset", "retired"];

/// What a record reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Heartbeat,
    Boot,
    Update,
    Fault,
    Ticket,
    Audit,
    Lifecycle,
}

impl Kind {
    pub(super) const ALL: [Self; 7] = [
        Self::Heartbeat,
        Self::Boot,
        Self::Update,
        Self::Fault,
        Self::Ticket,
        Self::Audit,
        Self::Lifecycle,
    ];

    /// The name in the field `type`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::Boot => "boot",
            Self::Update => "update",
            Self::Fault => "fault",
            Self::Ticket => "ticket",
            Self::Audit => "audit",
            Self::Lifecycle => "lifecycle",
        }
    }
}

/// Where the value of a cohort dimension stands in a record.
#[derive(Clone, Debug)]
pub(super) enum Cohort {
    Model,
    Build,
    /// A key of `attrs`.
    Attr(String),
}

/// What the configuration says of records.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// Dimensions in order.
    pub(super) cohorts: Vec<Cohort>,
    /// Most keys of `attrs`.
    pub(super) attrs_max: usize,
    pub(super) names: FieldNames,
}

impl Rules {
    /// The dimension that a key of `attrs` is.
    pub(super) fn cohort_of_attr(&self, name: &str) -> Option<usize> {
        self.cohorts.iter().position(|it| matches!(it, Cohort::Attr(key) if key == name))
    }
}

/// Reads everything but the time, which [`super::Decoder`] has checked against the arrival.
pub(super) fn event<'a>(
    fields: &impl Values<'a>,
    rules: &Rules,
    time: Timestamp,
) -> Result<Event<'a>, Rejection> {
    let kind = fields.kind()?;
    let mut event = Event {
        device: fields.need(Field::Device, Values::key)?,
        ring: fields.need(Field::Ring, Values::key)?,
        time,
        seq: fields.integer(Field::Seq, 0..=u64::MAX)?,
        build: fields.key(Field::Build)?,
        model: fields.key(Field::Model)?,
        cohorts: [None; COHORTS_MAX],
        body: Body::Lifecycle(Lifecycle::Enrolled),
    };
    event.body = body(kind, fields)?;
    fields.attrs(rules, &mut event.cohorts)?;
    for (cohort, value) in rules.cohorts.iter().zip(&mut event.cohorts) {
        match cohort {
            Cohort::Model => *value = event.model,
            Cohort::Build => *value = event.build,
            Cohort::Attr(_) => {}
        }
    }
    Ok(event)
}

fn body<'a>(kind: Kind, fields: &impl Values<'a>) -> Result<Body<'a>, Rejection> {
    match kind {
        Kind::Heartbeat => heartbeat(fields),
        Kind::Boot => Ok(Body::Boot {
            boot_ms: fields.need(Field::BootMs, millis)?,
            signin_ms: fields.need(Field::SigninMs, millis)?,
            reason: fields.need(Field::Reason, Values::one_of)?,
        }),
        Kind::Update => Ok(Body::Update {
            change: fields.need(Field::Change, Values::key)?,
            state: fields.need(Field::State, Values::one_of::<UpdateState>)?,
            code: fields.text(Field::Code, TEXT_BYTES_MAX)?,
            duration_ms: millis(fields, Field::DurationMs)?,
        }),
        Kind::Fault => fault(fields),
        Kind::Ticket => Ok(Body::Ticket {
            ticket: fields.need(Field::Ticket, Values::key)?,
            severity: fields.need(Field::Severity, Values::one_of)?,
            category: fields.string(Field::Category)?,
        }),
        Kind::Audit => Ok(Body::Audit {
            kind: fields.need(Field::Kind, Values::one_of::<AuditKind>)?,
            actor: fields.need(Field::Actor, Values::string)?,
            detail: fields.string(Field::Detail)?,
        }),
        Kind::Lifecycle => lifecycle(fields).map(Body::Lifecycle),
    }
}

fn millis<'a>(fields: &impl Values<'a>, field: Field) -> Result<Option<u64>, Rejection> {
    fields.integer(field, 0..=MILLIS_MAX)
}

fn heartbeat<'a>(fields: &impl Values<'a>) -> Result<Body<'a>, Rejection> {
    let interval_s = fields.integer(Field::IntervalS, 1..=INTERVAL_S_MAX)?;
    Ok(Body::Heartbeat {
        interval_s: interval_s.unwrap_or(INTERVAL_S_DEFAULT) as u32,
        uptime_s: fields
            .need(Field::UptimeS, |fields, field| fields.integer(field, 0..=u64::MAX))?,
        cert_expires: fields.time(Field::CertExpires)?,
    })
}

/// A kind this version does not know is the signal `other`, its name kept as the signature. So is
/// one that is named like a signal that no fault record carries, such as `silence`.
fn fault<'a>(fields: &impl Values<'a>) -> Result<Body<'a>, Rejection> {
    let name = fields.need(Field::Kind, Values::key)?;
    let signature = fields.text(Field::Signature, TEXT_BYTES_MAX)?;
    let count = fields.integer(Field::Count, 1..=COUNT_MAX)?.unwrap_or(1) as u32;
    let kind = Signal::from_name(name).filter(|&signal| signal < Signal::Other);
    Ok(match kind {
        Some(kind) => Body::Fault { kind, signature, count },
        None => Body::Fault { kind: Signal::Other, signature: Some(name), count },
    })
}

fn lifecycle<'a>(fields: &impl Values<'a>) -> Result<Lifecycle<'a>, Rejection> {
    Ok(match fields.need(Field::State, Values::string)? {
        "enrolled" => Lifecycle::Enrolled,
        "moved" => Lifecycle::Moved { from: fields.need(Field::From, Values::key)? },
        "offline" => Lifecycle::Offline,
        "reset" => Lifecycle::Reset,
        "retired" => Lifecycle::Retired,
        _ => return Err(not_one_of(Field::State, LIFECYCLES.into_iter())),
    })
}
