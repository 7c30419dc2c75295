//! Records of the topics `changes` and `support` (contracts.md 2.2, 2.3), owned: they are few.
//!
//! In: the fields of the object. Out: [`ChangeRecord`] or [`SupportRecord`].

use schemas::registry::{ChangeStatus, EmergencyReason, RingStart};
use schemas::{ChangeRecord, ChangeType, Rejection, SupportRecord, Timestamp};
use simd_json::Node;

use super::fields::{Field, Fields, NotOneOf, extent, invalid};
use super::names::FieldNames;
use super::values::Values;

/// The change types that a record may name; `unknown` is what a change without a record is.
const CHANGE_TYPES: [ChangeType; 4] =
    [ChangeType::Feature, ChangeType::Security, ChangeType::Quality, ChangeType::Emergency];

fn need<T>(field: Field, found: Result<Option<T>, Rejection>) -> Result<T, Rejection> {
    Fields::need(field, found?)
}

/// The change record; `time` has been checked against the arrival.
pub(super) fn change(
    fields: &Fields<'_, '_>,
    time: Option<Timestamp>,
) -> Result<ChangeRecord, Rejection> {
    Ok(ChangeRecord {
        change: need(Field::Change, fields.key(Field::Change))?.to_owned(),
        title: Some(need(Field::Title, fields.string(Field::Title))?.to_owned()),
        change_type: change_type(fields)?,
        reversible: need(Field::Reversible, fields.truth(Field::Reversible))?,
        status: need(Field::Status, fields.one_of::<ChangeStatus>(Field::Status))?,
        announced: Some(need(Field::Announced, fields.time(Field::Announced))?),
        requires_action: fields.truth(Field::RequiresAction)?.unwrap_or(false),
        acknowledged_at: fields.time(Field::AcknowledgedAt)?,
        action_due: fields.time(Field::ActionDue)?,
        mitigated_at: fields.time(Field::MitigatedAt)?,
        reason: fields.one_of::<EmergencyReason>(Field::Reason)?,
        supersedes: fields.key(Field::Supersedes)?.map(str::to_owned),
        rings: ring_starts(need(Field::Rings, fields.array(Field::Rings))?)?,
        time,
    })
}

fn change_type(fields: &Fields<'_, '_>) -> Result<ChangeType, Rejection> {
    let name = need(Field::Type, fields.string(Field::Type))?;
    CHANGE_TYPES.into_iter().find(|it| it.name() == name).ok_or_else(|| {
        let names = NotOneOf(CHANGE_TYPES.into_iter().map(ChangeType::name));
        invalid(Field::Type, names)
    })
}

fn ring_starts(array: &[Node<'_>]) -> Result<Vec<RingStart>, Rejection> {
    let Some(&Node::Array { len, .. }) = array.first() else { return Ok(Vec::new()) };
    let mut index = 1;
    let mut rings = Vec::with_capacity(len);
    for _ in 0..len {
        let fields = Fields::of(&array[index..], &FieldNames::STANDARD)
            .ok_or_else(|| invalid(Field::Rings, "must be an array of objects"))?;
        rings.push(RingStart {
            ring: need(Field::Ring, fields.key(Field::Ring))?.to_owned(),
            starts: need(Field::Starts, fields.time(Field::Starts))?,
        });
        index += extent(&array[index]);
    }
    Ok(rings)
}

/// The support record; `time` has been checked against the arrival.
pub(super) fn support(
    fields: &Fields<'_, '_>,
    time: Timestamp,
) -> Result<SupportRecord, Rejection> {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    Ok(SupportRecord {
        ticket: need(Field::Ticket, fields.key(Field::Ticket))?.to_owned(),
        time,
        severity: need(Field::Severity, fields.one_of(Field::Severity))?,
        status: need(Field::Status, fields.string(Field::Status))?.to_owned(),
        device: owned(fields.key(Field::Device)?),
        ring: owned(fields.key(Field::Ring)?),
        category: owned(fields.string(Field::Category)?),
        change: owned(fields.key(Field::Change)?),
    })
}
