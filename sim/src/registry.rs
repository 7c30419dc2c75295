//! What the owner of a change says of it: the records of the topic `changes`.

use schemas::registry::{ChangeRecord, ChangeStatus, RingStart};
use schemas::{SCHEMA_VERSION, Timestamp};
use serde::Serialize;

use crate::scenario::{ChangePlan, RingPlan, Scenario};

/// The fields of the contract, version first.
#[derive(Serialize)]
struct Versioned<'a> {
    v: u32,
    #[serde(flatten)]
    record: &'a ChangeRecord,
}

/// A registry record as JSON.
pub fn to_json(record: &ChangeRecord) -> Vec<u8> {
    let mut bytes = Vec::new();
    let versioned = Versioned { v: SCHEMA_VERSION, record };
    #[expect(clippy::expect_used, reason = "a struct of texts and numbers always is JSON")]
    serde_json::to_writer(&mut bytes, &versioned).expect("a struct of texts and numbers is JSON");
    bytes
}

/// All records of one change with the time at which each is said, in that order.
///
/// What happened before the start of the story is said at its start, with its own `time`.
pub(crate) fn story(scenario: &Scenario, plan: &ChangePlan) -> Vec<(Timestamp, ChangeRecord)> {
    let first_start = plan.rings.iter().map(|ring| ring.starts_h).reduce(f64::min);
    let steps = [
        (Some(plan.announced_h), ChangeStatus::Announced),
        (first_start, ChangeStatus::Deploying),
        (plan.withdrawn_h, ChangeStatus::RolledBack),
    ];
    let said = steps.into_iter().filter_map(|(hours, status)| Some((hours?, status)));
    said.map(|(hours, status)| {
        let time = scenario.at(hours);
        (time.max(scenario.start), record(scenario, plan, status, time))
    })
    .filter(|(at, _)| *at < scenario.end())
    .collect()
}

fn record(
    scenario: &Scenario,
    plan: &ChangePlan,
    status: ChangeStatus,
    time: Timestamp,
) -> ChangeRecord {
    let starts =
        |ring: &RingPlan| RingStart { ring: ring.ring.clone(), starts: scenario.at(ring.starts_h) };
    ChangeRecord {
        change: plan.id.clone(),
        title: Some(plan.title.clone()),
        change_type: plan.change_type,
        reversible: plan.reversible,
        status,
        announced: Some(scenario.at(plan.announced_h)),
        requires_action: false,
        acknowledged_at: None,
        action_due: None,
        mitigated_at: None,
        reason: None,
        supersedes: None,
        rings: plan.rings.iter().map(starts).collect(),
        time: Some(time),
    }
}
