//! Records of the topics `changes` and `support` (contracts.md 2.2, 2.3), owned: they are few.
//!
//! In: the fields of the object. Out: [`ChangeRecord`] or [`SupportRecord`].

use schemas::registry::{ChangeStatus, EmergencyReason, RingStart};
use schemas::{ChangeRecord, ChangeType, Rejection, SupportRecord, Timestamp};
use simd_json::Node;

use super::fields::{Field, Fields, extent, invalid, not_one_of};
use super::names::FieldNames;
use super::values::Values;

/// The change types that a record may name; `unknown` is what a change without a record is.
const CHANGE_TYPES: [ChangeType; 4] =
    [ChangeType::Feature, ChangeType::Security, ChangeType::Quality, ChangeType::Emergency];

/// The change record; `time` has been checked against the arrival.
pub(super) fn change(
    fields: &Fields<'_, '_>,
    time: Option<Timestamp>,
) -> Result<ChangeRecord, Rejection> {
    Ok(ChangeRecord {
        change: fields.need(Field::Change, Fields::key)?.to_owned(),
        title: Some(fields.need(Field::Title, Fields::string)?.to_owned()),
        change_type: change_type(fields)?,
        reversible: fields.need(Field::Reversible, Fields::truth)?,
        status: fields.need(Field::Status, Fields::one_of::<ChangeStatus>)?,
        announced: Some(fields.need(Field::Announced, Fields::time)?),
        requires_action: fields.truth(Field::RequiresAction)?.unwrap_or(false),
        acknowledged_at: fields.time(Field::AcknowledgedAt)?,
        action_due: fields.time(Field::ActionDue)?,
        mitigated_at: fields.time(Field::MitigatedAt)?,
        reason: fields.one_of::<EmergencyReason>(Field::Reason)?,
        supersedes: fields.key(Field::Supersedes)?.map(str::to_owned),
        rings: ring_starts(fields.need(Field::Rings, Fields::array)?)?,
        time,
    })
}

fn change_type(fields: &Fields<'_, '_>) -> Result<ChangeType, Rejection> {
    let name = fields.need(Field::Type, Fields::string)?;
    CHANGE_TYPES
        .into_iter()
        .find(|it| it.name() == name)
        .ok_or_else(|| not_one_of(Field::Type, CHANGE_TYPES.into_iter().map(ChangeType::name)))
}

fn ring_starts(array: &[Node<'_>]) -> Result<Vec<RingStart>, Rejection> {
    let Some(&Node::Array { len, .. }) = array.first() else { return Ok(Vec::new()) };
    let mut index = 1;
    let mut rings = Vec::with_capacity(len);
    for _ in 0..len {
        let fields = Fields::of(&array[index..], &FieldNames::STANDARD)
            .ok_or_else(|| invalid(Field::Rings, "must be an array of objects"))?;
        rings.push(RingStart {
            ring: fields.need(Field::Ring, Fields::key)?.to_owned(),
            starts: fields.need(Field::Starts, Fields::time)?,
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
        ticket: fields.need(Field::Ticket, Fields::key)?.to_owned(),
        time,
        severity: fields.need(Field::Severity, Fields::one_of)?,
        status: fields.need(Field::Status, Fields::string)?.to_owned(),
        device: owned(fields.key(Field::Device)?),
        ring: owned(fields.key(Field::Ring)?),
        category: owned(fields.string(Field::Category)?),
        change: owned(fields.key(Field::Change)?),
    })
}
