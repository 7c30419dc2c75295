//! The records of the topics `changes` and `support` (contracts.md 2.2, 2.3), owned.

use serde::{Deserialize, Serialize};

use crate::event::{TicketSeverity, names};
use crate::time::Timestamp;

names! {
    /// What a change is, which decides what is done when it does harm.
    ChangeType {
        Feature = "feature", Security = "security", Quality = "quality", Emergency = "emergency",
        Unknown = "unknown",
    }
}

names! {
    /// Where the rollout of a change stands.
    ChangeStatus {
        Announced = "announced", Approved = "approved", Deploying = "deploying", Paused = "paused",
        Completed = "completed", RolledBack = "rolled_back", Cancelled = "cancelled",
    }
}

impl ChangeStatus {
    /// Whether the change has been taken back, which resolves its alerts.
    pub const fn is_withdrawn(self) -> bool {
        matches!(self, Self::RolledBack | Self::Cancelled)
    }
}

names! {
    /// Why an emergency change is one.
    EmergencyReason {
        CriticalSecurityRisk = "critical_security_risk", DataLoss = "data_loss",
        TelemetryAccess = "telemetry_access",
    }
}

/// A valid record of the topic `changes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeRecord {
    pub change: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(rename = "type")]
    pub change_type: ChangeType,
    /// Whether it can be taken back; `true` unless said otherwise.
    pub reversible: bool,
    pub status: ChangeStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requires_action: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_due: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mitigated_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<EmergencyReason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<String>,
    /// The plan, in rollout order.
    pub rings: Vec<RingStart>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
}

/// When a ring begins to receive a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingStart {
    pub ring: String,
    pub starts: Timestamp,
}

/// A valid record of the topic `support`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupportRecord {
    pub ticket: String,
    pub time: Timestamp,
    pub severity: TicketSeverity,
    pub status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
}
