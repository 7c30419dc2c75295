//! One record of the topic `telemetry`: its fields to an [`Event`] (contracts.md 2.1).
//!
//! In: the fields of the object, the configured cohort dimensions. Out: the event, its text
//! borrowed. A name that belongs to another type of record (`boot_ms` in a heartbeat) is an
//! unknown field there, and ignored.

use schemas::event::{AuditKind, Lifecycle, UpdateState};
use schemas::{Body, COHORTS_MAX, Event, Rejection, Signal};
use simd_json::Node;

use super::fields::{Field, Fields, check_key, extent, invalid, not_one_of};

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

const TYPES: [&str; 7] = ["heartbeat", "boot", "update", "fault", "ticket", "audit", "lifecycle"];
const LIFECYCLES: [&str; 5] = ["enrolled", "moved", "offline", "reset", "retired"];

/// Where the value of a cohort dimension stands in a record.
#[derive(Clone, Debug)]
pub(super) enum Cohort {
    Model,
    Build,
    /// A key of `attrs`.
    Attr(String),
}

/// Reads everything but the time, which [`super::Decoder`] has checked against the arrival.
pub(super) fn event<'a>(
    fields: &Fields<'_, 'a>,
    cohorts: &[Cohort],
    attrs_max: usize,
    time: schemas::Timestamp,
) -> Result<Event<'a>, Rejection> {
    let kind = fields.need(Field::Type, Fields::string)?;
    let mut event = Event {
        device: fields.need(Field::Device, Fields::key)?,
        ring: fields.need(Field::Ring, Fields::key)?,
        time,
        seq: fields.integer(Field::Seq, 0..=u64::MAX)?,
        build: fields.key(Field::Build)?,
        model: fields.key(Field::Model)?,
        cohorts: [None; COHORTS_MAX],
        body: Body::Lifecycle(Lifecycle::Enrolled),
    };
    event.body = body(kind, fields)?;
    if let Some(attrs) = fields.object(Field::Attrs)? {
        read_attrs(attrs, cohorts, attrs_max, &mut event.cohorts)?;
    }
    for (cohort, value) in cohorts.iter().zip(&mut event.cohorts) {
        match cohort {
            Cohort::Model => *value = event.model,
            Cohort::Build => *value = event.build,
            Cohort::Attr(_) => {}
        }
    }
    Ok(event)
}

fn body<'a>(kind: &str, fields: &Fields<'_, 'a>) -> Result<Body<'a>, Rejection> {
    match kind {
        "heartbeat" => heartbeat(fields),
        "boot" => Ok(Body::Boot {
            boot_ms: fields.need(Field::BootMs, millis)?,
            signin_ms: fields.need(Field::SigninMs, millis)?,
            reason: fields.need(Field::Reason, Fields::one_of)?,
        }),
        "update" => Ok(Body::Update {
            change: fields.need(Field::Change, Fields::key)?,
            state: fields.need(Field::State, Fields::one_of::<UpdateState>)?,
            code: fields.text(Field::Code, TEXT_BYTES_MAX)?,
            duration_ms: millis(fields, Field::DurationMs)?,
        }),
        "fault" => fault(fields),
        "ticket" => Ok(Body::Ticket {
            ticket: fields.need(Field::Ticket, Fields::key)?,
            severity: fields.need(Field::Severity, Fields::one_of)?,
            category: fields.string(Field::Category)?,
        }),
        "audit" => Ok(Body::Audit {
            kind: fields.need(Field::Kind, Fields::one_of::<AuditKind>)?,
            actor: fields.need(Field::Actor, Fields::string)?,
            detail: fields.string(Field::Detail)?,
        }),
        "lifecycle" => lifecycle(fields).map(Body::Lifecycle),
        _ => Err(not_one_of(Field::Type, TYPES.into_iter())),
    }
}

fn millis(fields: &Fields<'_, '_>, field: Field) -> Result<Option<u64>, Rejection> {
    fields.integer(field, 0..=MILLIS_MAX)
}

fn heartbeat<'a>(fields: &Fields<'_, 'a>) -> Result<Body<'a>, Rejection> {
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
fn fault<'a>(fields: &Fields<'_, 'a>) -> Result<Body<'a>, Rejection> {
    let name = fields.need(Field::Kind, Fields::key)?;
    let signature = fields.text(Field::Signature, TEXT_BYTES_MAX)?;
    let count = fields.integer(Field::Count, 1..=COUNT_MAX)?.unwrap_or(1) as u32;
    let kind = Signal::from_name(name).filter(|&signal| signal < Signal::Other);
    Ok(match kind {
        Some(kind) => Body::Fault { kind, signature, count },
        None => Body::Fault { kind: Signal::Other, signature: Some(name), count },
    })
}

fn lifecycle<'a>(fields: &Fields<'_, 'a>) -> Result<Lifecycle<'a>, Rejection> {
    Ok(match fields.need(Field::State, Fields::string)? {
        "enrolled" => Lifecycle::Enrolled,
        "moved" => Lifecycle::Moved { from: fields.need(Field::From, Fields::key)? },
        "offline" => Lifecycle::Offline,
        "reset" => Lifecycle::Reset,
        "retired" => Lifecycle::Retired,
        _ => return Err(not_one_of(Field::State, LIFECYCLES.into_iter())),
    })
}

/// Takes the configured dimensions out of `attrs`; every value must be a string.
fn read_attrs<'a>(
    object: &[Node<'a>],
    cohorts: &[Cohort],
    attrs_max: usize,
    values: &mut [Option<&'a str>; COHORTS_MAX],
) -> Result<(), Rejection> {
    let Some(&Node::Object { len, .. }) = object.first() else { return Ok(()) };
    if len > attrs_max {
        return Err(invalid(Field::Attrs, format_args!("must have at most {attrs_max} keys")));
    }
    let mut index = 1;
    for _ in 0..len {
        let (Node::String(name), Node::String(text)) = (object[index], object[index + 1]) else {
            return Err(invalid(Field::Attrs, "must be an object of strings"));
        };
        let known = cohorts.iter().position(|it| matches!(it, Cohort::Attr(key) if key == name));
        if let Some(position) = known {
            let value = check_key(Field::Attrs, text)?;
            if values[position].replace(value).is_some() {
                return Err(invalid(Field::Attrs, "names a cohort dimension more than once"));
            }
        }
        index += 1 + extent(&object[index + 1]);
    }
    Ok(())
}
