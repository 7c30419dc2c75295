//! The change process: whether changes are announced, ordered and followed as they should be
//! (design: detection 5). Pure.
//!
//! ```text
//! registry, exposure ─► rules ──┐
//! support, audits ──► Ledger ───┴─► Finding by (rule, change, ring) ─► AlertBook ─► Vec<Alert>
//! ```
//! Rules look at the end of each window at what is known then; nothing is counted per record.

use std::sync::Arc;

use schemas::alert::{Channel, Notice, Owner, When};
use schemas::{ChangeRecord, ChangeType, Decision, Escalation, Span, Timestamp};
use serde::{Deserialize, Serialize};

use crate::book::Subject;

pub(crate) mod ledger;
pub(crate) mod rules;

/// What is watched. Stored state knows the rules by their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Rule {
    ShortNotice,
    ActionDueSoon,
    EmergencyUnmitigated,
    ToldBeforeMitigated,
    RingOutOfOrder,
    RingBeforeClear,
    EarlyExposure,
    ForeignGroup,
    RingDrift,
    SeverityATicket,
    /// Some certificates of a ring.
    CertificateExpiry,
    /// So many that the ring would stand still at once.
    CertificatesAtOnce,
    ServiceAccount,
    GroupChange,
    PolicyEdit,
}

impl Rule {
    /// The signal of its alerts.
    pub const fn signal(self) -> &'static str {
        match self {
            Self::ShortNotice => "process.short_notice",
            Self::ActionDueSoon => "process.action_due_soon",
            Self::EmergencyUnmitigated => "process.emergency_unmitigated",
            Self::ToldBeforeMitigated => "process.told_before_mitigated",
            Self::RingOutOfOrder => "process.ring_out_of_order",
            Self::RingBeforeClear => "process.ring_before_clear",
            Self::EarlyExposure => "process.early_exposure",
            Self::ForeignGroup => "process.foreign_group",
            Self::RingDrift => "process.ring_drift",
            Self::SeverityATicket => "process.severity_a_ticket",
            Self::CertificateExpiry | Self::CertificatesAtOnce => "process.certificate_expiry",
            Self::ServiceAccount => "process.service_account",
            Self::GroupChange => "process.group_change",
            Self::PolicyEdit => "process.policy_edit",
        }
    }

    /// What it asks for. What can still be put right before devices are touched is held; what a
    /// person has to look into is escalated.
    pub(crate) const fn decision(self) -> (Decision, Option<Escalation>) {
        match self {
            Self::ShortNotice
            | Self::RingOutOfOrder
            | Self::RingBeforeClear
            | Self::EarlyExposure => (Decision::Hold, None),
            Self::EmergencyUnmitigated | Self::SeverityATicket => {
                (Decision::Escalate, Some(Escalation::A))
            }
            Self::ForeignGroup | Self::CertificatesAtOnce => {
                (Decision::Escalate, Some(Escalation::B))
            }
            Self::ActionDueSoon
            | Self::ToldBeforeMitigated
            | Self::RingDrift
            | Self::ServiceAccount
            | Self::GroupChange
            | Self::PolicyEdit => (Decision::Escalate, Some(Escalation::C)),
            Self::CertificateExpiry => (Decision::Watch, None),
        }
    }

    /// Who has to act: the customer where only an administrator there can.
    pub(crate) const fn owner(self) -> Owner {
        match self {
            Self::ActionDueSoon
            | Self::RingDrift
            | Self::CertificateExpiry
            | Self::CertificatesAtOnce
            | Self::GroupChange
            | Self::PolicyEdit => Owner::Customer,
            _ => Owner::Service,
        }
    }

    /// How long after an alert began more of the same begins another: a ticket is work for
    /// somebody at once; what is noted in every window is told once a day.
    pub(crate) const fn again_after(self) -> Span {
        match self {
            Self::SeverityATicket => Span::ZERO,
            _ => Span::days(1),
        }
    }

    /// Whether a window in which a partition was left out says nothing of it.
    pub(crate) const fn needs_all_devices(self) -> bool {
        matches!(self, Self::ForeignGroup | Self::CertificateExpiry | Self::CertificatesAtOnce)
    }
}

/// What a finding is about; change and ring are empty where it is about none.
pub(crate) type Key = (Rule, Arc<str>, Arc<str>);

impl Subject for Key {
    fn change(&self) -> &str {
        &self.1
    }

    fn signal(&self) -> &'static str {
        self.0.signal()
    }
}

/// A rule that is broken, as people are told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) summary: String,
    pub(crate) what: String,
    /// Devices, tickets or events that it is about, of how many; 0 where it is about none.
    pub(crate) affected: i64,
    pub(crate) of: i64,
    pub(crate) first_at: Option<Timestamp>,
    /// When the newest of these came, where more of the same is news.
    pub(crate) newest: Option<Timestamp>,
}

impl Finding {
    pub(crate) fn new(summary: String, what: String) -> Self {
        Self { summary, what, affected: 0, of: 0, first_at: None, newest: None }
    }

    pub(crate) fn about(self, affected: i64, first_at: Option<Timestamp>) -> Self {
        Self { affected, of: affected, first_at, ..self }
    }
}

/// How the owner is told, by the type of the change: features by e-mail; security by e-mail and
/// bulletin; quality by e-mail; an emergency by page first. What is about no change goes by e-mail.
pub(crate) fn notice(record: Option<&ChangeRecord>, at: Timestamp) -> Notice {
    let channels = match record.map(|record| record.change_type) {
        Some(ChangeType::Emergency) => vec![Channel::Page, Channel::Email],
        Some(ChangeType::Security) => vec![Channel::Email, Channel::Bulletin],
        Some(ChangeType::Feature | ChangeType::Quality | ChangeType::Unknown) | None => {
            vec![Channel::Email]
        }
    };
    Notice { channels, when: record.map(|record| when(record, at)) }
}

/// Before its first ring starts, until it is completed or taken back, or after that.
fn when(record: &ChangeRecord, at: Timestamp) -> When {
    if rules::is_over(record) {
        When::After
    } else if rules::first_start(record).is_some_and(|start| start > at) {
        When::Before
    } else {
        When::During
    }
}
