//! A sign of life at intervals: whoever misses it knows that no alert would come either. Pure.

use std::sync::Arc;
use std::time::Duration;

use schemas::alert::{Action, Links, Owner};
use schemas::{Alert, AlertState, ChangeType, Decision, SCHEMA_VERSION, Severity, Timestamp};

use super::repeat::Item;
use crate::desk::no_evidence;

/// Names it among alerts.
pub(crate) const FINGERPRINT: &str = "heartbeat";

/// One destination's sign of life.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    every: Duration,
    due: Duration,
}

impl Heartbeat {
    pub(crate) const fn new(every: Duration) -> Self {
        Self { every, due: Duration::ZERO }
    }

    pub(crate) const fn due(&self) -> Duration {
        self.due
    }

    pub(crate) fn is_due(&self, elapsed: Duration) -> bool {
        elapsed >= self.due
    }

    pub(crate) fn sent(&mut self, elapsed: Duration) {
        self.due = elapsed + self.every;
    }

    /// An alert that always fires. Its number follows the clock and grows with each interval; the
    /// first after a restart shares that of the last before, if that was within one interval.
    pub(crate) fn item(&self, wall: Timestamp) -> Item {
        let every_ms = i64::try_from(self.every.as_millis()).unwrap_or(i64::MAX).max(1);
        let number = wall.as_millis().div_euclid(every_ms);
        let alert = Alert {
            v: SCHEMA_VERSION,
            id: "rw-heartbeat".to_owned(),
            fingerprint: FINGERPRINT.to_owned(),
            state: AlertState::Firing,
            decision: Decision::Clear,
            escalation: None,
            severity: Severity::Info,
            change: "ringwatch".to_owned(),
            change_type: ChangeType::Unknown,
            unregistered: false,
            ring: String::new(),
            signal: "process.heartbeat".to_owned(),
            transition: number.rem_euclid(1 << 32) as u32,
            starts_at: wall,
            updated_at: wall,
            ends_at: None,
            summary: "ringwatch is alive; when this stops, nobody watches".to_owned(),
            evidence: no_evidence(),
            cohort: None,
            action: Action { what: "nothing".to_owned(), owner: Owner::Service, notice: None },
            links: Links::default(),
        };
        Item::new(Arc::new(alert))
    }
}
