//! Alerts for the tests of this module.

use schemas::alert::{Action, ArmEvidence, Evidence, EvidenceKind, Links, Owner};
use schemas::{Alert, AlertState, ChangeType, Decision, SCHEMA_VERSION, Severity, Timestamp};

pub(crate) fn firing(change: &str) -> Alert {
    Alert {
        v: SCHEMA_VERSION,
        id: format!("rw-{change}"),
        fingerprint: format!("fingerprint-{change}"),
        state: AlertState::Firing,
        decision: Decision::Rollback,
        escalation: None,
        severity: Severity::Critical,
        change: change.to_owned(),
        change_type: ChangeType::Quality,
        unregistered: false,
        ring: "first".to_owned(),
        signal: "os_crash".to_owned(),
        transition: 1,
        starts_at: Timestamp(1_784_433_600_000_000),
        updated_at: Timestamp(1_784_433_600_000_000),
        ends_at: None,
        summary: format!("{change} makes os_crash 6.1x as likely in ring first"),
        evidence: Evidence {
            kind: EvidenceKind::Rate,
            log_e: 7.4,
            line: 7.1,
            alpha: 0.01,
            r0: 1.25,
            treated: ArmEvidence { devices: 500, device_seconds: 1_000, affected: 8 },
            control: ArmEvidence { devices: 9_500, device_seconds: 9_000, affected: 25 },
            ratio: Some(6.1),
            ratio_low: Some(2.4),
            ratio_high: None,
            windows: 213,
            first_affected_at: None,
            baseline_ratio: None,
            comparison_weight: None,
        },
        cohort: None,
        action: Action { what: format!("roll back {change}"), owner: Owner::Service, notice: None },
        links: Links::default(),
    }
}

pub(crate) fn resolved(change: &str) -> Alert {
    let firing = firing(change);
    Alert { state: AlertState::Resolved, transition: 2, ends_at: Some(firing.updated_at), ..firing }
}
