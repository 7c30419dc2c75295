//! What a finished run says of itself (contracts.md 5).

use std::collections::BTreeMap;

use schemas::{Alert, AlertState, Counts};
use serde::Serialize;

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
