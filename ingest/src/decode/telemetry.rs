//! One record of the topic `telemetry`: its fields to an [`Event`] (contracts.md 2.1).
//!
//! In: the fields of the object, the configured cohort dimensions. Out: the event, its text
//! borrowed. A name that belongs to another type of record (`boot_ms` in a heartbeat) is an
//! unknown field there, and ignored.

#![expect(clippy::inline_always, reason = "a call would undo the choice of instructions")]

use schemas::event::{AuditKind, Lifecycle, UpdateState};
use schemas::{Body, Event, Signal, Timestamp};

use super::fields::{Field, NotOneOf};
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
#[inline(always)]
pub(super) fn event<'a, V: Values<'a>>(
    fields: &V,
    rules: &Rules,
    time: Timestamp,
) -> Result<Event<'a>, V::Refusal> {
    let kind = fields.kind()?;
    let device = V::need(Field::Device, fields.key(Field::Device)?)?;
    let ring = V::need(Field::Ring, fields.key(Field::Ring)?)?;
    let seq = fields.integer(Field::Seq, 0..=u64::MAX)?;
    let build = fields.key(Field::Build)?;
    let model = fields.key(Field::Model)?;
    let body = body(kind, fields)?;
    let cohorts = fields.cohorts(rules, [model, build])?;
    Ok(Event { device, ring, time, seq, build, model, cohorts, body })
}

#[inline(always)]
fn body<'a, V: Values<'a>>(kind: Kind, fields: &V) -> Result<Body<'a>, V::Refusal> {
    match kind {
        Kind::Heartbeat => heartbeat(fields),
        Kind::Boot => Ok(Body::Boot {
            boot_ms: V::need(Field::BootMs, millis(fields, Field::BootMs)?)?,
            signin_ms: V::need(Field::SigninMs, millis(fields, Field::SigninMs)?)?,
            reason: V::need(Field::Reason, fields.one_of(Field::Reason)?)?,
        }),
        Kind::Update => Ok(Body::Update {
            change: V::need(Field::Change, fields.key(Field::Change)?)?,
            state: V::need(Field::State, fields.one_of::<UpdateState>(Field::State)?)?,
            code: fields.text(Field::Code, TEXT_BYTES_MAX)?,
            duration_ms: millis(fields, Field::DurationMs)?,
        }),
        Kind::Fault => fault(fields),
        Kind::Ticket => Ok(Body::Ticket {
            ticket: V::need(Field::Ticket, fields.key(Field::Ticket)?)?,
            severity: V::need(Field::Severity, fields.one_of(Field::Severity)?)?,
            category: fields.string(Field::Category)?,
        }),
        Kind::Audit => Ok(Body::Audit {
            kind: V::need(Field::Kind, fields.one_of::<AuditKind>(Field::Kind)?)?,
            actor: V::need(Field::Actor, fields.string(Field::Actor)?)?,
            detail: fields.string(Field::Detail)?,
        }),
        Kind::Lifecycle => lifecycle(fields).map(Body::Lifecycle),
    }
}

#[inline(always)]
fn millis<'a, V: Values<'a>>(fields: &V, field: Field) -> Result<Option<u64>, V::Refusal> {
    fields.integer(field, 0..=MILLIS_MAX)
}

#[inline(always)]
fn heartbeat<'a, V: Values<'a>>(fields: &V) -> Result<Body<'a>, V::Refusal> {
    let interval_s = fields.integer(Field::IntervalS, 1..=INTERVAL_S_MAX)?;
    Ok(Body::Heartbeat {
        interval_s: interval_s.unwrap_or(INTERVAL_S_DEFAULT) as u32,
        uptime_s: V::need(Field::UptimeS, fields.integer(Field::UptimeS, 0..=u64::MAX)?)?,
        cert_expires: fields.time(Field::CertExpires)?,
    })
}

/// A kind this version does not know is the signal `other`, its name kept as the signature. So is
/// one that is named like a signal that no fault record carries, such as `silence`.
#[inline(always)]
fn fault<'a, V: Values<'a>>(fields: &V) -> Result<Body<'a>, V::Refusal> {
    let name = V::need(Field::Kind, fields.key(Field::Kind)?)?;
    let signature = fields.text(Field::Signature, TEXT_BYTES_MAX)?;
    let count = fields.integer(Field::Count, 1..=COUNT_MAX)?.unwrap_or(1) as u32;
    let kind = Signal::from_name(name).filter(|&signal| signal < Signal::Other);
    Ok(match kind {
        Some(kind) => Body::Fault { kind, signature, count },
        None => Body::Fault { kind: Signal::Other, signature: Some(name), count },
    })
}

#[inline(always)]
fn lifecycle<'a, V: Values<'a>>(fields: &V) -> Result<Lifecycle<'a>, V::Refusal> {
    Ok(match V::need(Field::State, fields.string(Field::State)?)? {
        "enrolled" => Lifecycle::Enrolled,
        "moved" => Lifecycle::Moved { from: V::need(Field::From, fields.key(Field::From)?)? },
        "offline" => Lifecycle::Offline,
        "reset" => Lifecycle::Reset,
        "retired" => Lifecycle::Retired,
        _ => return Err(V::invalid(Field::State, NotOneOf(LIFECYCLES.into_iter()))),
    })
}
