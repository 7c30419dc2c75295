//! Alerts about ringwatch itself: a destination that takes nothing, an action that was not taken.
//!
//! They begin with the command that tells of them: two commands may come between two windows.

use schemas::alert::{Action, ArmEvidence, Evidence, EvidenceKind, Links, Owner};
use schemas::{
    Alert, AlertState, ChangeType, Command, Decision, Escalation, SCHEMA_VERSION, Severity,
    Timestamp,
};

use crate::book::{episode_id, fingerprint};

/// What stands for a change in alerts that are about none.
const OURSELVES: &str = "ringwatch";

const DELIVERY_FAILING: &str = "process.delivery_failing";
const NOT_ACTED: &str = "process.not_acted";

/// Names the alert that a destination takes nothing: for that destination to leave it out. The
/// destination stands where others have their ring.
pub fn delivery_fingerprint(destination: &str) -> String {
    fingerprint(&[OURSELVES, destination, DELIVERY_FAILING, Decision::Escalate.name()])
}

pub(super) fn delivery_failing(destination: &str, command: &Command) -> Alert {
    let fingerprint = delivery_fingerprint(destination);
    let why = command.reason.as_deref().unwrap_or("no answer");
    Alert {
        v: SCHEMA_VERSION,
        id: episode_id(&fingerprint, command.at),
        fingerprint,
        state: AlertState::Firing,
        decision: Decision::Escalate,
        escalation: None,
        severity: Severity::Warning,
        change: OURSELVES.to_owned(),
        change_type: ChangeType::Unknown,
        unregistered: false,
        ring: String::new(),
        signal: DELIVERY_FAILING.to_owned(),
        transition: 1,
        starts_at: command.at,
        updated_at: command.at,
        ends_at: None,
        summary: format!("destination {destination} does not take alerts ({why})"),
        evidence: no_evidence(),
        cohort: None,
        action: Action {
            what: format!(
                "see to destination {destination}, then `ringwatch deliveries retry {destination}`"
            ),
            owner: Owner::Service,
            notice: None,
        },
        links: Links::default(),
    }
}

/// Two alerts of one change and ring are left undone each for itself, so that the fingerprint names
/// the one that it is about; its episodes share it, as they share that one's.
pub(super) fn not_acted(original: &Alert, destination: &str, command: &Command) -> Alert {
    let parts = [&original.change, &original.ring, NOT_ACTED, &original.fingerprint];
    let fingerprint = fingerprint(&parts);
    let why = command.reason.as_deref().unwrap_or("no answer");
    Alert {
        id: episode_id(&fingerprint, command.at),
        fingerprint,
        state: AlertState::Firing,
        decision: Decision::Escalate,
        escalation: Some(Escalation::A),
        severity: Severity::Critical,
        signal: NOT_ACTED.to_owned(),
        transition: 1,
        starts_at: command.at,
        updated_at: command.at,
        ends_at: None,
        summary: format!(
            "{destination} did not {} ({why}); {} asks for it",
            original.action.what, original.id
        ),
        ..original.clone()
    }
}

/// The end of an alert of ours.
pub(super) fn over(alert: &Alert, at: Timestamp) -> Alert {
    let at = at.max(alert.updated_at);
    Alert { state: AlertState::Resolved, updated_at: at, ends_at: Some(at), ..alert.clone() }
}

/// Of an alert that no test stands behind: nothing was counted.
pub fn no_evidence() -> Evidence {
    Evidence {
        kind: EvidenceKind::Process,
        log_e: 0.0,
        line: 0.0,
        alpha: 0.0,
        r0: 0.0,
        treated: ArmEvidence::default(),
        control: ArmEvidence::default(),
        ratio: None,
        ratio_low: None,
        ratio_high: None,
        windows: 0,
        first_affected_at: None,
        baseline_ratio: None,
        comparison_weight: None,
    }
}
