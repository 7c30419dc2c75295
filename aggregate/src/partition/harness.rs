//! What the tests of the fold share: records in seconds, deltas as sums by key.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use schemas::delta::{Place, Scope};
use schemas::event::{BootReason, Lifecycle, UpdateState};
use schemas::{
    Body, COHORTS_MAX, Counts, Delta, DurationSignal, Event, Fact, Histogram, Signal, Span,
    Timestamp,
};

use super::{Applied, Arrived, Partition};
use crate::config::{FoldConfig, tests::config};

/// The start of every test, and of a window.
pub(crate) const START: Timestamp = Timestamp::YEAR_2000;

pub(crate) fn second(second: i64) -> Timestamp {
    START + Span::seconds(second)
}

pub(crate) fn event<'a>(device: &'a str, time: Timestamp, body: Body<'a>) -> Event<'a> {
    Event {
        device,
        ring: "first",
        time,
        seq: None,
        build: None,
        model: None,
        cohorts: [None; COHORTS_MAX],
        body,
    }
}

pub(crate) const fn heartbeat<'a>(interval_s: u32) -> Body<'a> {
    Body::Heartbeat { interval_s, uptime_s: 1, cert_expires: None }
}

/// A heartbeat of a device of which a certificate expires so many days after [`START`].
pub(crate) fn certificate<'a>(days: i64) -> Body<'a> {
    let cert_expires = Some(START + Span::days(days));
    Body::Heartbeat { interval_s: 3_600, uptime_s: 1, cert_expires }
}

pub(crate) const fn boot<'a>(reason: BootReason) -> Body<'a> {
    Body::Boot { boot_ms: 1, signin_ms: 1, reason }
}

pub(crate) const fn update(change: &str, state: UpdateState) -> Body<'_> {
    Body::Update { change, state, code: None, duration_ms: None }
}

pub(crate) const fn fault<'a>(kind: Signal, count: u32) -> Body<'a> {
    Body::Fault { kind, signature: None, count }
}

pub(crate) const fn lifecycle(state: Lifecycle<'_>) -> Body<'_> {
    Body::Lifecycle(state)
}

/// A partition, and all that was taken from it.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) partition: Partition,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(&config())
    }

    pub(crate) fn with(config: &FoldConfig) -> Self {
        Self { partition: Partition::new(config) }
    }

    /// A record that arrives when it happens.
    pub(crate) fn send(&mut self, device: &str, at_s: i64, body: Body<'_>) -> Applied {
        self.offer(&event(device, second(at_s), body))
    }

    pub(crate) fn offer(&mut self, event: &Event<'_>) -> Applied {
        self.partition.apply(event, Arrived { at: event.time, key: None })
    }

    /// Moves the watermark with a device of a ring that no test looks at.
    pub(crate) fn pass(&mut self, until_s: i64) {
        let clock = event("clock", second(until_s + 10), heartbeat(2_592_000));
        self.offer(&Event { ring: "elsewhere", ..clock });
    }

    pub(crate) fn take(&mut self) -> Sums {
        let mut sums = Sums::default();
        sums.add(&self.partition.take());
        sums
    }
}

type HealthKey = (Place, String, Vec<String>);
type SignalKey = (Place, String, Scope, Signal, Option<(String, String)>);

/// Deltas, added up by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// `at_risk_ms`, active, silent, heartbeats, boots, records, duplicates.
    pub(crate) health: BTreeMap<HealthKey, [i64; 7]>,
    /// exposed, started, succeeded, failed, rollbacks, attempts succeeded, attempts failed.
    pub(crate) changes: BTreeMap<(Place, String, String), [i64; 7]>,
    /// affected, events, seconds from [`START`] to the first affected (`i64::MAX`: none).
    pub(crate) signals: BTreeMap<SignalKey, [i64; 3]>,
    pub(crate) durations: BTreeMap<(Place, String, Scope, DurationSignal), Histogram>,
    /// Affected devices by ring, signal and signature.
    pub(crate) signatures: BTreeMap<(String, Signal, String), i64>,
    /// Trials and failures by ring and scope.
    pub(crate) returns: BTreeMap<(String, Scope), [i64; 2]>,
    /// Devices there by seconds to the hour, ring, set and cohort value.
    pub(crate) hours: BTreeMap<(i64, String, Vec<String>, Option<String>), i64>,
    /// Devices heard by seconds to the hour, ring and set, each once.
    pub(crate) heard: BTreeMap<(i64, String, Vec<String>), BTreeSet<u32>>,
    /// By place, ring and fact: the count.
    pub(crate) facts: BTreeMap<(Place, String, Fact), i64>,
    pub(crate) pseudonyms: Vec<String>,
    pub(crate) counts: Counts,
}

/// The rows of every kind ascend: no key stands twice.
fn check_order(delta: &Delta) {
    ascending(delta.health.iter().map(|row| (row.place, &row.ring, &row.set)));
    ascending(delta.changes.iter().map(|row| (row.place, &row.ring, &row.change)));
    ascending(
        delta.signals.iter().map(|row| (row.place, &row.ring, &row.scope, row.signal, &row.cohort)),
    );
    ascending(delta.durations.iter().map(|row| (row.place, &row.ring, &row.scope, row.signal)));
    ascending(delta.returns.iter().map(|row| (row.place, &row.ring, &row.scope)));
    ascending(delta.cohorts.iter().map(|row| (row.hour, &row.ring, &row.set, &row.cohort)));
    ascending(delta.sketches.iter().map(|row| (row.hour, &row.ring, &row.set)));
    ascending(delta.facts.iter().map(|row| (row.place, &row.ring, row.fact)));
    ascending(
        delta
            .signatures
            .iter()
            .map(|row| (row.place, &row.ring, &row.set, row.signal, &row.signature)),
    );
}

impl Sums {
    pub(crate) fn add(&mut self, (delta, counts): &(Delta, Counts)) {
        assert!(counts.balance(), "{counts:?}");
        self.counts.add(counts);
        for row in &delta.health {
            let set = row.set.iter().map(ToString::to_string).collect();
            let sums = self.health.entry((row.place, row.ring.to_string(), set)).or_default();
            let values = [row.at_risk_ms, row.devices_active, row.devices_silent, row.heartbeats];
            plus(sums, &[&values[..], &[row.boots, row.records, row.duplicates]].concat());
        }
        for row in &delta.changes {
            let key = (row.place, row.ring.to_string(), row.change.to_string());
            let records = [row.installs_started, row.installs_succeeded, row.installs_failed];
            let attempts = [row.rollbacks, row.attempts_succeeded, row.attempts_failed];
            let values = [&[row.devices_exposed][..], &records, &attempts].concat();
            plus(self.changes.entry(key).or_default(), &values);
        }
        for row in &delta.signals {
            let cohort =
                row.cohort.as_ref().map(|(key, value)| (key.to_string(), value.to_string()));
            let key = (row.place, row.ring.to_string(), row.scope.clone(), row.signal, cohort);
            let sums = self.signals.entry(key).or_insert([0, 0, i64::MAX]);
            sums[0] += row.affected_devices;
            sums[1] += row.events;
            let first_s = row.first_affected_at.map(|at| (at - START).0 / 1_000_000);
            sums[2] = sums[2].min(first_s.unwrap_or(i64::MAX));
        }
        for row in &delta.durations {
            let key = (row.place, row.ring.to_string(), row.scope.clone(), row.signal);
            self.durations.entry(key).or_default().add(&row.histogram);
        }
        for row in &delta.returns {
            assert!(row.failed <= row.trials && row.trials > 0, "{row:?}");
            let key = (row.ring.to_string(), row.scope.clone());
            plus(self.returns.entry(key).or_default(), &[row.trials, row.failed]);
        }
        let since_s = |at: Timestamp| (at - START).0 / 1_000_000;
        let names = |set: &schemas::ChangeSet| set.iter().map(ToString::to_string).collect();
        for row in &delta.cohorts {
            let value = row.cohort.as_ref().map(|(_, value)| value.to_string());
            let key = (since_s(row.hour), row.ring.to_string(), names(&row.set), value);
            *self.hours.entry(key).or_default() += row.devices_active;
        }
        for row in &delta.sketches {
            let key = (since_s(row.hour), row.ring.to_string(), names(&row.set));
            self.heard.entry(key).or_default().extend(&row.coupons);
        }
        for row in &delta.facts {
            let key = (row.place, row.ring.to_string(), row.fact);
            *self.facts.entry(key).or_default() += row.count;
        }
        for row in &delta.signatures {
            let key = (row.ring.to_string(), row.signal, row.signature.to_string());
            *self.signatures.entry(key).or_default() += row.affected_devices;
        }
        self.pseudonyms.extend(delta.transitions.iter().map(|row| row.device.to_string()));
        check_order(delta);
    }

    /// Health sums of one column, ring and set, over all places.
    pub(crate) fn health(&self, column: usize, ring: &str, set: &[&str]) -> i64 {
        let same = |key: &&HealthKey| key.1 == ring && key.2 == set;
        self.health.iter().filter(|(key, _)| same(key)).map(|(_, sums)| sums[column]).sum()
    }

    /// `(affected, events)` of a signal over all places and scopes, all devices together.
    pub(crate) fn signal(&self, signal: Signal) -> (i64, i64) {
        let rows = self.signals.iter().filter(|(key, _)| key.3 == signal && key.4.is_none());
        rows.fold((0, 0), |(affected, events), (_, sums)| (affected + sums[0], events + sums[1]))
    }
}

fn plus<const N: usize>(sums: &mut [i64; N], values: &[i64]) {
    assert_eq!(values.len(), N);
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}

fn ascending<K: Ord + Debug>(keys: impl Iterator<Item = K>) {
    let keys: Vec<K> = keys.collect();
    assert!(keys.is_sorted_by(|one, next| one < next), "sorted, no key twice: {keys:?}");
}
