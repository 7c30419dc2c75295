//! The truth by brute force: every row of the tables from all deltas at once, by definition.

use schemas::ChangeSet;

use super::run::{DurationKey, HourKey, Key, SignalKey};
use super::world::{CHANGES, LENGTH, RINGS, World};
use super::*;

/// From which window on a change has a control arm.
fn tracked_from(world: &World, change: &str) -> Option<Timestamp> {
    let mut windows = Vec::new();
    for delta in world.deltas() {
        for row in &delta.health {
            windows.extend(row.set.iter().any(|c| **c == *change).then_some(row.place.evaluated));
        }
        for row in &delta.changes {
            windows.extend((*row.change == *change).then_some(row.place.evaluated));
        }
        for row in &delta.signals {
            windows.extend(holds(&row.scope, change).then_some(row.place.evaluated));
        }
        for row in &delta.returns {
            windows.extend(holds(&row.scope, change).then_some(row.place.evaluated));
        }
        for row in &delta.durations {
            windows.extend(holds(&row.scope, change).then_some(row.place.evaluated));
        }
        for row in delta.registry.iter().filter(|row| row.change == change) {
            let record = row.record.as_deref().unwrap_or_default();
            let under_way = record.contains("deploying") || record.contains("announced");
            windows.extend(under_way.then_some(row.takes_effect.window_start(LENGTH)));
        }
    }
    windows.into_iter().min()
}

fn holds(scope: &Scope, change: &str) -> bool {
    match scope {
        Scope::Set(set) => set.iter().any(|c| **c == *change),
        Scope::Change(c) => **c == *change,
    }
}

/// Adds a value to the rows of the whole ring and of each change that it belongs to.
fn spread(world: &World, window: Timestamp, ring: &str, scope: &Scope, mut add: impl FnMut(Key)) {
    add((window, None, ring.to_owned(), None));
    if !RINGS.contains(&ring) {
        return;
    }
    for change in CHANGES {
        let tracked = tracked_from(world, change).is_some_and(|from| from <= window);
        let arm = match scope {
            scope if holds(scope, change) => "treated",
            Scope::Set(_) if tracked => "control",
            _ => continue,
        };
        add((window, Some(change.to_owned()), ring.to_owned(), Some(arm.to_owned())));
    }
}

pub(super) fn health(world: &World) -> BTreeMap<Key, [i64; health::CELLS]> {
    let mut sums: BTreeMap<Key, [i64; health::CELLS]> = BTreeMap::new();
    for delta in world.deltas() {
        for row in &delta.health {
            spread(world, row.place.window, &row.ring, &Scope::Set(row.set.clone()), |key| {
                let whole = i64::from(key.1.is_none());
                let sum = sums.entry(key).or_default();
                sum[0] += row.devices_active;
                sum[1] += row.at_risk_ms;
                sum[2] += row.devices_silent;
                sum[8] += row.heartbeats;
                sum[9] += row.boots;
                sum[10] += row.records * whole;
                sum[11] += row.duplicates * whole;
            });
        }
        for row in &delta.changes {
            let scope = Scope::Change(row.change.clone());
            spread(world, row.place.window, &row.ring, &scope, |key| {
                let sum = sums.entry(key).or_default();
                sum[3] += row.devices_exposed;
                sum[4] += row.installs_started;
                sum[5] += row.installs_succeeded;
                sum[6] += row.installs_failed;
                sum[7] += row.rollbacks;
            });
        }
    }
    sums.retain(|_, sum| {
        sum[1] /= 1_000;
        *sum != [0; health::CELLS]
    });
    sums
}

pub(super) fn durations(world: &World) -> BTreeMap<DurationKey, i64> {
    let mut sums = BTreeMap::new();
    for row in world.deltas().flat_map(|delta| &delta.durations) {
        spread(world, row.place.window, &row.ring, &row.scope, |key| {
            for (le, n) in row.histogram.buckets() {
                *sums.entry((key.clone(), row.signal, le)).or_default() += n;
            }
        });
    }
    sums
}

/// Devices there and heard, by hour.
pub(super) fn hours(world: &World) -> BTreeMap<HourKey, (i64, BTreeSet<u32>)> {
    let mut sums: BTreeMap<HourKey, (i64, BTreeSet<u32>)> = BTreeMap::new();
    // A change has arms in every hour in which it is tracked at the end.
    let spread = |hour: Timestamp, ring: &str, set: &ChangeSet, add: &mut dyn FnMut(Key)| {
        let last = Timestamp(hour.0 + Span::hours(1).0 - LENGTH.0);
        spread(world, last, ring, &Scope::Set(set.clone()), |(_, change, ring, arm)| {
            add((hour, change, ring, arm));
        });
    };
    for delta in world.deltas() {
        for row in &delta.cohorts {
            let cohort = row.cohort.as_ref().map(|(k, v)| (k.to_string(), v.to_string()));
            spread(row.hour, &row.ring, &row.set, &mut |key| {
                sums.entry((key, cohort.clone())).or_default().0 += row.devices_active;
            });
        }
        for row in &delta.sketches {
            spread(row.hour, &row.ring, &row.set, &mut |key| {
                sums.entry((key, None)).or_default().1.extend(&row.coupons);
            });
        }
    }
    sums
}

/// Trials and failures in configured rings.
pub(super) fn returns(world: &World) -> [i64; 2] {
    let rows = world.deltas().flat_map(|delta| &delta.returns);
    let managed = rows.filter(|row| RINGS.contains(&&*row.ring));
    managed.fold([0; 2], |[trials, failed], row| [trials + row.trials, failed + row.failed])
}

/// Durations reported in configured rings.
pub(super) fn reported(world: &World) -> i64 {
    let rows = world.deltas().flat_map(|delta| &delta.durations);
    let managed = rows.filter(|row| RINGS.contains(&&*row.ring));
    managed.map(|row| row.histogram.count()).sum()
}

/// Affected devices over all signatures.
pub(super) fn signatures(world: &World) -> i64 {
    let rows = world.deltas().flat_map(|delta| &delta.signatures);
    let managed = rows.filter(|row| RINGS.contains(&&*row.ring));
    managed.map(|row| row.affected_devices).sum()
}

/// Counts over all facts and rings.
pub(super) fn facts(world: &World) -> i64 {
    world.deltas().flat_map(|delta| &delta.facts).map(|row| row.count).sum()
}

pub(super) fn signals(world: &World) -> BTreeMap<SignalKey, [i64; 2]> {
    let mut sums: BTreeMap<SignalKey, [i64; 2]> = BTreeMap::new();
    let attempts = world.deltas().flat_map(|delta| &delta.returns);
    for row in attempts.filter(|row| matches!(row.scope, Scope::Change(_))) {
        spread(world, row.place.window, &row.ring, &row.scope, |key| {
            let sum = sums.entry((key, "no_return".to_owned(), None, None)).or_default();
            sum[0] += row.failed;
            sum[1] += row.trials;
        });
    }
    for row in world.deltas().flat_map(|delta| &delta.signals) {
        spread(world, row.place.window, &row.ring, &row.scope, |key| {
            let cohort =
                row.cohort.as_ref().map(|(key, value)| (key.to_string(), value.to_string()));
            let (cohort_key, cohort_value) = cohort.unzip();
            let key = (key, row.signal.name().to_owned(), cohort_key, cohort_value);
            let sum = sums.entry(key).or_default();
            sum[0] += row.affected_devices;
            sum[1] += row.events;
        });
    }
    sums
}
