//! What a stretch of records of one partition adds: the rows of a journal entry.
//!
//! All values are additive integers. Rows are keyed by the *set* of changes their devices are
//! exposed to; treated and control of any change follow from that by addition (`Merge`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::UpdateState;
use crate::fact::Fact;
use crate::histogram::Histogram;
use crate::pseudonym::Pseudonym;
use crate::reject::RejectedRow;
use crate::signal::{DurationSignal, Signal};
use crate::time::Timestamp;

/// The changes a device is exposed to: names, sorted, each once.
pub type ChangeSet = Arc<[Arc<str>]>;

/// The rows of one entry. Each list is sorted by its key, and no key stands twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    pub health: Vec<HealthDelta>,
    pub changes: Vec<ChangeDelta>,
    pub signals: Vec<SignalDelta>,
    pub durations: Vec<DurationDelta>,
    pub returns: Vec<ReturnDelta>,
    pub signatures: Vec<SignatureDelta>,
    pub cohorts: Vec<CohortDelta>,
    pub sketches: Vec<SketchDelta>,
    pub facts: Vec<FactDelta>,
    /// In the order of the records.
    pub transitions: Vec<Transition>,
    /// In the order of the records.
    pub rejected: Vec<RejectedRow>,
    /// Records of the topic `changes`, whole, in their order; empty for other topics.
    pub registry: Vec<RegistryDelta>,
    /// Records of the topic `support`, whole, in their order; empty for other topics.
    pub support: Vec<SupportDelta>,
}

/// Where a row counts: the window of its event time, and the window it is evaluated in.
///
/// They differ for late records only: those are evaluated in the first window still open for
/// their partition when they arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Start of the window of the event time.
    pub window: Timestamp,
    /// Start of the window in which it is evaluated; never before `window`.
    pub evaluated: Timestamp,
}

/// Counts by window, ring and set of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthDelta {
    pub place: Place,
    /// A configured ring, or `unmanaged`.
    pub ring: Arc<str>,
    pub set: ChangeSet,
    /// Device-milliseconds at risk in the window.
    pub at_risk_ms: i64,
    /// Devices at risk at the window's start: a level, added once when the partition closes it.
    pub devices_active: i64,
    /// Devices known and silent at the window's start: a level, as above.
    pub devices_silent: i64,
    pub heartbeats: i64,
    pub boots: i64,
    /// Applied records.
    pub records: i64,
    pub duplicates: i64,
}

/// Counts of one change by window and ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeDelta {
    pub place: Place,
    pub ring: Arc<str>,
    pub change: Arc<str>,
    /// Devices newly exposed to the change.
    pub devices_exposed: i64,
    /// Update records by state: installing, installed, failed, `rolled_back`.
    pub installs_started: i64,
    pub installs_succeeded: i64,
    pub installs_failed: i64,
    pub rollbacks: i64,
    /// Attempts that ended in `installed`, and in `failed` or `rolled_back`.
    pub attempts_succeeded: i64,
    pub attempts_failed: i64,
}

/// What a signal's rows belong to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Devices exposed to exactly this set: counts for the ring, and for each change by arm.
    Set(ChangeSet),
    /// One change alone (`install_failure`): treated devices of that change.
    Change(Arc<str>),
}

/// Counts of one signal, whole (`cohort` = `None`) or for one value of a cohort dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalDelta {
    pub place: Place,
    pub ring: Arc<str>,
    pub scope: Scope,
    pub signal: Signal,
    /// Key and value of the cohort; `None` for all devices together.
    pub cohort: Option<(Arc<str>, Arc<str>)>,
    /// Devices newly hit after a quiet period.
    pub affected_devices: i64,
    /// Sum of `count` over all records, affected or not.
    pub events: i64,
    /// Event time of the earliest affected device in this row.
    pub first_affected_at: Option<Timestamp>,
}

/// Durations of one kind, as reported in applied records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurationDelta {
    pub place: Place,
    pub ring: Arc<str>,
    /// `install_ms`: the change alone; boots and sign-ins: the set of the device.
    pub scope: Scope,
    pub signal: DurationSignal,
    pub histogram: Histogram,
}

/// Who came back in time, counted when it is certain (`no_return`, detection 1).
///
/// A trial is a moment after which the device should be heard: an attempt of a change, or a
/// heartbeat or boot. It counts in the window of its deadline, whatever came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnDelta {
    pub place: Place,
    pub ring: Arc<str>,
    /// Attempts of one change, or heartbeats and boots of devices exposed to exactly a set.
    pub scope: Scope,
    pub trials: i64,
    /// Trials without heartbeat or boot by their deadline; at most `trials`.
    pub failed: i64,
}

/// What was noted of the change process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactDelta {
    pub place: Place,
    /// A configured ring, or `unmanaged`.
    pub ring: Arc<str>,
    pub fact: Fact,
    /// How often; for a level what it rises by, or falls by if negative.
    pub count: i64,
    /// Event time of the first; for certificates the earliest expiry among those that came soon.
    pub first_at: Option<Timestamp>,
}

/// Devices newly hit by one fault signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureDelta {
    pub place: Place,
    pub ring: Arc<str>,
    pub set: ChangeSet,
    pub signal: Signal,
    pub signature: Arc<str>,
    /// Devices without this signature in the quiet period before.
    pub affected_devices: i64,
    pub first_affected_at: Option<Timestamp>,
}

/// Devices of one ring and set when an hour began: all of them, or those with one value of a cohort
/// dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CohortDelta {
    /// Start of the hour.
    pub hour: Timestamp,
    /// Start of the window in which it is evaluated, the first of the hour.
    pub evaluated: Timestamp,
    pub ring: Arc<str>,
    pub set: ChangeSet,
    /// Key and value of the cohort; `None` for all devices together.
    pub cohort: Option<(Arc<str>, Arc<str>)>,
    /// Devices at risk at the start of that window: a level.
    pub devices_active: i64,
}

/// Devices heard in one hour, as what a sketch keeps of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SketchDelta {
    /// Start of the hour.
    pub hour: Timestamp,
    pub ring: Arc<str>,
    pub set: ChangeSet,
    /// Coupons of the `DataSketches` HLL, ascending, each once.
    pub coupons: Vec<u32>,
}

/// One device x change transition: a row of `device_updates`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    pub event_time: Timestamp,
    pub device: Pseudonym,
    pub ring: Arc<str>,
    pub change: Arc<str>,
    pub state: UpdateState,
    pub code: Option<Arc<str>>,
    pub duration_ms: Option<i64>,
    pub build: Option<Arc<str>>,
    pub model: Option<Arc<str>>,
}

/// One valid record of the topic `changes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryDelta {
    pub offset: i64,
    /// max(its time, the watermark of `changes` when it arrived).
    pub takes_effect: Timestamp,
    pub change: String,
    /// The record as canonical JSON of `ChangeRecord`; `None` for a tombstone.
    pub record: Option<String>,
}

/// One valid record of the topic `support`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupportDelta {
    pub offset: i64,
    pub takes_effect: Timestamp,
    /// The record as canonical JSON of `SupportRecord`.
    pub record: String,
}
