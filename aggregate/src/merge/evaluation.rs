//! Windows on their way to the detector: the rows *evaluated* in each, and the registry and support
//! records that take effect by its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemas::delta::{
    ChangeDelta, ChangeSet, HealthDelta, RegistryDelta, Scope, SignalDelta, SupportDelta,
};
use schemas::totals::GroupTotals;
use schemas::{Signal, Span, Stream, Timestamp, WindowTotals};

use crate::state::{Reader, StateError, Writer};

/// A window's totals, and the records of the other two topics that come before it.
pub type Evaluable = (WindowTotals, Vec<RegistryDelta>, Vec<SupportDelta>);

/// Order of records of one topic: when they take effect, then offset, then stream.
type RecordKey = (Timestamp, i64, Stream);

#[derive(Debug)]
pub(super) struct Evaluation {
    pending: BTreeMap<Timestamp, WindowTotals>,
    registry: BTreeMap<RecordKey, RegistryDelta>,
    support: BTreeMap<RecordKey, SupportDelta>,
    length: Span,
    /// End of the last window handed out; rows for an earlier one count as late.
    pub(super) until: Timestamp,
    /// The next window handed out says so: see [`WindowTotals::repartitioned`].
    pub(super) repartitioned: bool,
}

impl Evaluation {
    pub(super) const fn new(length: Span) -> Self {
        Self {
            pending: BTreeMap::new(),
            registry: BTreeMap::new(),
            support: BTreeMap::new(),
            length,
            until: Timestamp::MIN,
            repartitioned: false,
        }
    }

    pub(super) fn save(&self, out: &mut Writer) {
        let Self { pending, registry, support, until, repartitioned, .. } = self;
        out.put(&(pending, registry, support, until, repartitioned));
    }

    pub(super) fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        (self.pending, self.registry, self.support, self.until, self.repartitioned) =
            from.take()?;
        Ok(())
    }

    /// The totals of the window that starts at `start`, for adding to.
    pub(super) fn window(&mut self, start: Timestamp) -> &mut WindowTotals {
        let end = start + self.length;
        let new = || WindowTotals { start, end, ..WindowTotals::default() };
        self.pending.entry(start).or_insert_with(new)
    }

    pub(super) fn register(&mut self, stream: Stream, delta: &RegistryDelta) {
        self.registry.insert((delta.takes_effect, delta.offset, stream), delta.clone());
    }

    pub(super) fn support(&mut self, stream: Stream, delta: &SupportDelta) {
        self.support.insert((delta.takes_effect, delta.offset, stream), delta.clone());
    }

    /// The next window in time order that ends by `ready_until`.
    ///
    /// A window without rows is passed over, unless a registry or support record takes effect in
    /// it; those before the first rows of all wait for these.
    pub(super) fn next(&mut self, ready_until: Timestamp) -> Option<Evaluable> {
        let start = self.next_start()?;
        if start + self.length > ready_until {
            return None;
        }
        self.window(start);
        let mut totals = self.pending.remove(&start)?;
        totals.repartitioned = std::mem::take(&mut self.repartitioned);
        self.until = totals.end;
        let registry = split_before(&mut self.registry, totals.end);
        let support = split_before(&mut self.support, totals.end);
        Some((totals, registry, support))
    }

    fn next_start(&self) -> Option<Timestamp> {
        let rows = self.pending.first_key_value().map(|(start, _)| *start);
        if self.until == Timestamp::MIN {
            return rows;
        }
        let registry = self.registry.first_key_value().map(|(key, _)| key.0);
        let support = self.support.first_key_value().map(|(key, _)| key.0);
        let records = [registry, support].into_iter().flatten().min();
        let records = records.map(|at| at.window_start(self.length).max(self.until));
        [rows, records].into_iter().flatten().min()
    }

    /// Start of the first window with rows that was not handed out.
    pub(super) fn first_pending(&self) -> Option<Timestamp> {
        self.pending.first_key_value().map(|(start, _)| *start)
    }

    /// Windows with rows that some stream has not closed yet, or that were not asked for.
    pub(super) fn pending_count(&self) -> usize {
        self.pending.len()
    }
}

/// Takes out what takes effect before `end`, in order.
fn split_before<T>(records: &mut BTreeMap<RecordKey, T>, end: Timestamp) -> Vec<T> {
    let due = |key: &RecordKey| key.0 < end;
    let mut taken = Vec::new();
    while let Some(first) = records.first_entry().filter(|first| due(first.key())) {
        taken.push(first.remove());
    }
    taken
}

/// Whether a row is evaluated in the window of its event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timing {
    OnTime,
    Late,
}

/// Adds exposure; that of late records is too late to be weighed and stands in the tables only.
pub(super) fn add_health(
    totals: &mut WindowTotals,
    group: (Arc<str>, ChangeSet),
    row: &HealthDelta,
) {
    let group = totals.groups.entry(group).or_default();
    group.at_risk_ms += row.at_risk_ms;
    group.devices_active += row.devices_active;
    group.devices_silent += row.devices_silent;
}

/// Devices that have a change in a ring that is not configured.
pub(super) fn add_foreign(totals: &mut WindowTotals, set: &ChangeSet, row: &HealthDelta) {
    for change in set.iter().filter(|_| row.devices_active != 0) {
        *totals.foreign.entry(Arc::clone(change)).or_default() += row.devices_active;
    }
}

pub(super) fn add_change(totals: &mut WindowTotals, key: (Arc<str>, Arc<str>), row: &ChangeDelta) {
    let change = totals.changes.entry(key).or_default();
    change.devices_exposed += row.devices_exposed;
    change.installs_started += row.installs_started;
    change.installs_succeeded += row.installs_succeeded;
    change.installs_failed += row.installs_failed;
    change.rollbacks += row.rollbacks;
    change.attempts_succeeded += row.attempts_succeeded;
    change.attempts_failed += row.attempts_failed;
}

/// Adds onsets of one ring and scope: to their group, to `late`, or as the first failed attempt of
/// a change.
pub(super) fn add_signals(
    totals: &mut WindowTotals,
    timing: Timing,
    (ring, scope): (&Arc<str>, &Scope),
    rows: &[SignalDelta],
) {
    let rows = rows.iter().filter(|row| row.affected_devices != 0);
    match scope {
        Scope::Set(set) => {
            // Where harm sits asks for no exposure beside it: late rows count like all others.
            let is_late = |row: &SignalDelta| timing == Timing::Late && row.cohort.is_none();
            let (late, on_time): (Vec<_>, Vec<_>) = rows.partition(|row| is_late(row));
            for row in late {
                let key = (row.place.window, Arc::clone(ring), Arc::clone(set), row.signal);
                let onsets = totals.late.entry(key).or_default();
                onsets.add(row.affected_devices, row.first_affected_at);
            }
            if !on_time.is_empty() {
                let group = totals.groups.entry((Arc::clone(ring), Arc::clone(set))).or_default();
                for row in on_time {
                    add_onset(group, row);
                }
            }
        }
        Scope::Change(change) => {
            let is_attempt =
                |row: &&SignalDelta| row.signal == Signal::InstallFailure && row.cohort.is_none();
            for row in rows.filter(is_attempt) {
                let key = (Arc::clone(ring), Arc::clone(change));
                let change = totals.changes.entry(key).or_default();
                let first = [change.first_failed_at, row.first_affected_at].into_iter().flatten();
                change.first_failed_at = first.min();
            }
        }
    }
}

fn add_onset(group: &mut GroupTotals, row: &SignalDelta) {
    if let Some((key, value)) = &row.cohort {
        let key = (row.signal, Arc::clone(key), Arc::clone(value));
        *group.cohort_onsets.entry(key).or_default() += row.affected_devices;
    } else {
        let onsets = group.onsets.entry(row.signal).or_default();
        onsets.add(row.affected_devices, row.first_affected_at);
    }
}
