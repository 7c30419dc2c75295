//! The alert (contracts.md 4): the same object in the dataset, the API and every webhook.

use serde::{Deserialize, Serialize};

use crate::event::names;
use crate::registry::ChangeType;
use crate::time::Timestamp;

names! {
    /// Where an alert stands in its life.
    AlertState {
        Pending = "pending", Firing = "firing", Acknowledged = "acknowledged",
        Resolved = "resolved",
    }
}

names! {
    /// What the policy makes of a verdict.
    Decision {
        Clear = "clear", Watch = "watch", Hold = "hold", Rollback = "rollback",
        Escalate = "escalate",
    }
}

names! {
    /// Whether and how urgently a support case is opened.
    Escalation { A = "A", B = "B", C = "C" }
}

names! {
    /// How loud the alert is.
    Severity { Critical = "critical", Warning = "warning", Info = "info" }
}

names! {
    /// What kind of test the evidence comes from.
    EvidenceKind {
        Rate = "rate", Attempt = "attempt", Rare = "rare", Duration = "duration",
        Process = "process",
    }
}

names! {
    /// Who has to act.
    Owner { Service = "service", Customer = "customer" }
}

/// One transition of one alert. The same input gives the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    pub v: u32,
    /// `rw-` and 20 characters: names one firing episode.
    pub id: String,
    /// Names change + ring + signal + decision, 32 hexadecimal digits.
    pub fingerprint: String,
    pub state: AlertState,
    pub decision: Decision,
    pub escalation: Option<Escalation>,
    pub severity: Severity,
    pub change: String,
    pub change_type: ChangeType,
    /// Set where the change was never announced, only seen in telemetry.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unregistered: bool,
    pub ring: String,
    pub signal: String,
    /// 1, 2, ... within the episode.
    pub transition: u32,
    /// End of the window in which it began to fire.
    pub starts_at: Timestamp,
    /// End of the window of this transition.
    pub updated_at: Timestamp,
    pub ends_at: Option<Timestamp>,
    /// One sentence for people.
    pub summary: String,
    pub evidence: Evidence,
    pub cohort: Option<Cohort>,
    pub action: Action,
    pub links: Links,
}

/// The numbers behind an alert; floats are rounded to 6 significant digits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    pub kind: EvidenceKind,
    /// Natural logarithm of the e-value, and the line it crossed.
    pub log_e: f64,
    pub line: f64,
    pub alpha: f64,
    /// The largest ratio that still counts as no harm.
    pub r0: f64,
    pub treated: ArmEvidence,
    pub control: ArmEvidence,
    /// Ratio of the arms' rates, with its always-valid interval; `None` where it has no bound.
    pub ratio: Option<f64>,
    pub ratio_low: Option<f64>,
    pub ratio_high: Option<f64>,
    /// Windows with exposure in both arms that the evidence comes from.
    pub windows: u64,
    pub first_affected_at: Option<Timestamp>,
    /// The ring's own ratio to its control before the change; `None` where the control is of the
    /// same ring.
    pub baseline_ratio: Option<f64>,
    /// The e-value is a mean over several comparisons; the weight of the one that is shown.
    #[serde(default)]
    pub comparison_weight: Option<f64>,
}

impl Evidence {
    /// The interval of the ratio in words; `None` where it has neither bound.
    pub fn interval_in_words(&self) -> Option<String> {
        match (self.ratio_low, self.ratio_high) {
            (Some(low), Some(high)) => Some(format!("{low:.1} to {high:.1}")),
            (Some(low), None) => Some(format!("at least {low:.1}")),
            (None, Some(high)) => Some(format!("at most {high:.1}")),
            (None, None) => None,
        }
    }
}

/// One arm's share of the evidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmEvidence {
    /// Devices at risk at the start of the last window (for attempts: attempts ended).
    pub devices: i64,
    pub device_seconds: i64,
    pub affected: i64,
}

/// The value of a cohort dimension that holds most of the harm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cohort {
    pub key: String,
    pub value: String,
    /// Its part of the treated onsets, 0..=1.
    pub share: f64,
}

names! {
    /// A way on which people are told of the change process.
    Channel { Page = "page", Email = "email", Bulletin = "bulletin" }
}

names! {
    /// Where the change stands when its process is spoken of.
    When { Before = "before", During = "during", After = "after" }
}

/// What should be done, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    pub what: String,
    pub owner: Owner,
    /// Set where the change process speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<Notice>,
}

/// How its owner is told: what the type of the change prescribes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// In the order in which they are used.
    pub channels: Vec<Channel>,
    /// `None` where it is not about one change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
}

/// Where to look further.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Links {
    pub dashboard: Option<String>,
    pub runbook: Option<String>,
}
