//! What the detector sees of one window once every partition has closed it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::delta::{ChangeSet, Scope};
use crate::fact::Fact;
use crate::histogram::Histogram;
use crate::signal::{DurationSignal, Signal};
use crate::time::Timestamp;

/// The sums over all partitions of the rows *evaluated* in one window, in key order.
///
/// Rows of late records stand in `late`, with the window of their event time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowTotals {
    pub start: Timestamp,
    pub end: Timestamp,
    /// On-time rows by ring (configured rings only) and set of changes.
    pub groups: BTreeMap<(Arc<str>, ChangeSet), GroupTotals>,
    /// On-time and late counts of single changes by ring.
    pub changes: BTreeMap<(Arc<str>, Arc<str>), ChangeTotals>,
    /// Onsets of late records: window start of the event time, ring, set, signal.
    pub late: BTreeMap<(Timestamp, Arc<str>, ChangeSet, Signal), Onsets>,
    /// Durations by ring and scope, on time and late: `install_ms` by change, the others by set.
    pub durations: BTreeMap<(Arc<str>, Scope, DurationSignal), Histogram>,
    /// Trials of coming back by ring and scope, all of those decided here: [`Scope::Change`] holds
    /// the attempts of the change (treated), [`Scope::Set`] heartbeats and boots of devices exposed
    /// to exactly that set (control of each change that is not in it). Each partition decides the
    /// trials of a moment of all arms at once, so arms are comparable within a window.
    pub returns: BTreeMap<(Arc<str>, Scope), Returns>,
    /// Newly hit devices by fault signature, ring and set, on time and late.
    pub signatures: BTreeMap<(Signal, Arc<str>, Arc<str>, ChangeSet), Onsets>,
    /// Devices at risk by ring, set, dimension and value, where this window is the first of an
    /// hour; else empty. Values beyond a bound stand as `__other__`.
    pub cohorts: BTreeMap<CohortKey, i64>,
    /// What was noted of the change process by ring, also `unmanaged`, on time and late.
    pub facts: BTreeMap<(Arc<str>, Fact), Onsets>,
    /// Devices at risk at the window's start that have a change in a ring that is not configured.
    pub foreign: BTreeMap<Arc<str>, i64>,
    /// Whether a partition was left out (a straggler), so that verdicts are partial.
    pub partial: bool,
    /// Whether devices have moved between partitions since the window before: what is known of
    /// them, their exposure to changes too, began afresh, so that open tests cannot go on.
    pub repartitioned: bool,
}

/// Ring, set of changes, cohort dimension and value.
pub type CohortKey = (Arc<str>, ChangeSet, Arc<str>, Arc<str>);

/// One ring x set of changes in one window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupTotals {
    /// Device-milliseconds at risk.
    pub at_risk_ms: i64,
    /// Devices at risk at the window's start.
    pub devices_active: i64,
    /// Devices silent at the window's start.
    pub devices_silent: i64,
    pub onsets: BTreeMap<Signal, Onsets>,
    /// Onsets by cohort dimension and value, for localisation.
    pub cohort_onsets: BTreeMap<(Signal, Arc<str>, Arc<str>), i64>,
}

/// Newly hit devices of one signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Onsets {
    pub affected: i64,
    pub first_at: Option<Timestamp>,
}

impl Onsets {
    /// Adds more onsets of the same signal.
    pub fn add(&mut self, affected: i64, first_at: Option<Timestamp>) {
        self.affected += affected;
        self.first_at = match (self.first_at, first_at) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
}

/// Trials of coming back, and those that failed (`no_return`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returns {
    pub trials: i64,
    /// At most `trials`.
    pub failed: i64,
    /// Start of the window of the first deadline that was missed.
    pub first_failed_at: Option<Timestamp>,
}

/// One change in one ring in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeTotals {
    pub devices_exposed: i64,
    pub installs_started: i64,
    pub installs_succeeded: i64,
    pub installs_failed: i64,
    pub rollbacks: i64,
    pub attempts_succeeded: i64,
    pub attempts_failed: i64,
    /// Event time of the first failed attempt.
    pub first_failed_at: Option<Timestamp>,
}
