//! What a finished run says of itself (contracts.md 5).

use std::collections::BTreeMap;

use schemas::alert::{ArmEvidence, EvidenceKind};
use schemas::{Alert, AlertState, Commit, Counts};
use serde::Serialize;

use crate::output::printable;

/// Counts are of telemetry; `alerts` holds one object per episode in its last state.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    pub records: u64,
    pub applied: u64,
    pub rejected: u64,
    pub duplicates: u64,
    pub late: u64,
    pub stale: u64,
    pub seq_restarts: u64,
    pub key_mismatch: u64,
    pub ring_drift: u64,
    /// Windows evaluated.
    pub windows: u64,
    /// By `starts_at`, then id.
    pub alerts: Vec<Alert>,
}

impl Summary {
    /// The same with what became of telemetry records.
    #[must_use]
    pub fn with(self, counts: &Counts) -> Self {
        Self {
            records: counts.received,
            applied: counts.applied,
            rejected: counts.rejected,
            duplicates: counts.duplicates,
            late: counts.late,
            stale: counts.stale,
            seq_restarts: counts.seq_restarts,
            key_mismatch: counts.key_mismatch,
            ring_drift: counts.ring_drift,
            ..self
        }
    }

    /// Whether somebody should look: an alert is firing or acknowledged (exit code 3).
    pub fn is_alerting(&self) -> bool {
        let open = [AlertState::Firing, AlertState::Acknowledged];
        self.alerts.iter().any(|alert| open.contains(&alert.state))
    }
}

/// One object per episode in its last state, by `starts_at`, then id.
pub fn last_states<'a>(transitions: impl IntoIterator<Item = &'a Alert>) -> Vec<Alert> {
    let mut last = BTreeMap::new();
    for alert in transitions {
        last.insert((alert.starts_at, alert.id.clone()), alert.clone());
    }
    last.into_values().collect()
}

/// Open alerts that are kept quiet at the end of these commits, and by what.
pub fn muted<'a>(commits: impl IntoIterator<Item = &'a Commit>) -> BTreeMap<String, String> {
    let mut muted = BTreeMap::new();
    for commit in commits {
        for (at, alert) in (0_u32..).zip(&commit.alerts) {
            let is_news = alert.state == AlertState::Firing && !commit.quiet.contains(&at);
            if is_news || alert.state == AlertState::Resolved {
                muted.remove(&alert.id);
            }
        }
        muted.extend(commit.muted.iter().map(|muted| (muted.alert.clone(), muted.by.clone())));
    }
    muted
}

/// The alert's evidence as a person would read it out.
pub fn evidence(alert: &Alert) -> Vec<String> {
    let found = &alert.evidence;
    let action = format!("action: {}", printable(&alert.action.what));
    if found.kind == EvidenceKind::Process {
        return vec![action];
    }
    let hours = |seconds: i64| seconds as f64 / 3_600.0;
    let arm = |name: &str, arm: &ArmEvidence| {
        format!(
            "{name}: {} of {} devices hit in {:.0} device-hours",
            arm.affected,
            arm.devices,
            hours(arm.device_seconds)
        )
    };
    let mut lines = vec![arm("treated", &found.treated), arm("control", &found.control)];
    if let Some(ratio) = found.ratio {
        let interval = found.interval_in_words().map(|words| format!(", {words} at any time"));
        lines.push(format!("ratio {ratio:.1}{}", interval.unwrap_or_default()));
    }
    lines.push(format!(
        "log E {:.1} crossed its line {:.1} (alpha {})",
        found.log_e, found.line, found.alpha
    ));
    lines.push(action);
    lines
}
