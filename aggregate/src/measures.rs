//! Rows in the making of what is measured beside counts: durations, returns, signatures, hours.

use std::sync::Arc;

use schemas::delta::{
    CohortDelta, Delta, DurationDelta, FactDelta, Place, ReturnDelta, SignatureDelta, SketchDelta,
};
use schemas::totals::Onsets;
use schemas::{DurationSignal, Fact, Histogram, Signal, Timestamp};

use crate::accumulate::{CohortId, Labels, ScopeId, SignalSums, sorted, word};
use crate::device::Group;
use crate::hash::{Map, NumberHash};
use crate::intern::NameId;
use crate::lag;
use crate::recent::{self, Recent};

/// Whose duration or return it is.
pub(crate) type Scoped = (Place, u8, ScopeId);

/// A fault of one kind with one signature.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub(crate) struct Fault {
    pub(crate) signal: Signal,
    pub(crate) signature: NameId,
}

/// Trials of coming back, and those that failed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReturnSums {
    pub(crate) trials: i64,
    pub(crate) failed: i64,
}

/// An hour that has begun: where it is evaluated, and who was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HourKey {
    pub(crate) hour: Timestamp,
    pub(crate) evaluated: Timestamp,
    pub(crate) group: Group,
    pub(crate) cohort: CohortId,
}

/// All of it since the last take.
#[derive(Clone, Debug)]
pub(crate) struct Measures {
    durations: Recent<(Scoped, DurationSignal), ()>,
    /// By number of the row, the bucket of a duration.
    duration_log: Vec<(u32, u16)>,
    returns: Map<Scoped, ReturnSums>,
    signatures: Map<(Place, Group, Fault), SignalSums>,
    /// Devices at risk when the hour began.
    hours: Map<HourKey, i64>,
    coupons: Recent<(Timestamp, Group), ()>,
    /// By number of the row, a device that was heard.
    coupon_log: Vec<(u32, u32)>,
    /// By ring.
    facts: Map<(Place, u8, Fact), Onsets>,
}

impl Measures {
    pub(crate) fn new(hash: NumberHash) -> Self {
        Self {
            durations: Recent::new(hash),
            duration_log: Vec::new(),
            returns: Map::with_hasher(hash),
            signatures: Map::with_hasher(hash),
            hours: Map::with_hasher(hash),
            coupons: Recent::new(hash),
            coupon_log: Vec::new(),
            facts: Map::with_hasher(hash),
        }
    }

    pub(crate) fn duration(&mut self, scoped: Scoped, signal: DurationSignal, value_ms: u64) {
        let row = self.durations.place((scoped, signal)) as u32;
        self.duration_log.push((row, lag::bucket(value_ms) as u16));
    }

    pub(crate) fn returns(&mut self, scoped: Scoped, sums: ReturnSums) {
        let row = self.returns.entry(scoped).or_default();
        row.trials += sums.trials;
        row.failed += sums.failed;
    }

    /// A device newly hit by a signature.
    pub(crate) fn signature(&mut self, place: Place, group: Group, fault: Fault, time: Timestamp) {
        let row = self.signatures.entry((place, group, fault)).or_default();
        row.add(SignalSums::one(1, 1, time));
    }

    pub(crate) fn hour(&mut self, key: HourKey, devices: i64) {
        *self.hours.entry(key).or_default() += devices;
    }

    /// A device heard in an hour.
    pub(crate) fn coupon(&mut self, hour: Timestamp, group: Group, coupon: u32) {
        let row = self.coupons.place((hour, group)) as u32;
        self.coupon_log.push((row, coupon));
    }

    /// Something to be noted of the change process in a ring.
    pub(crate) fn fact(
        &mut self,
        (place, ring): (Place, u8),
        fact: Fact,
        count: i64,
        first_at: Option<Timestamp>,
    ) {
        self.facts.entry((place, ring, fact)).or_default().add(count, first_at);
    }

    pub(crate) fn len(&self) -> usize {
        let hours = self.hours.len() + self.coupons.len() + self.facts.len();
        self.durations.len() + self.returns.len() + self.signatures.len() + hours
    }

    /// Moves everything into the delta, by name and in key order.
    pub(crate) fn take(&mut self, labels: &Labels, delta: &mut Delta) {
        let mut buckets = by_row(self.durations.len(), &mut self.duration_log).into_iter();
        let duration = |((scoped, signal), ()): ((Scoped, DurationSignal), ())| {
            let (place, ring, scope) = labels.scoped(scoped);
            let histogram = histogram(&buckets.next().unwrap_or_default());
            DurationDelta { place, ring, scope, signal, histogram }
        };
        delta.durations = sorted(self.durations.drain(), duration, |row| {
            (row.place, Arc::clone(&row.ring), row.scope.clone(), row.signal)
        });
        let returns = |(scoped, sums): (Scoped, ReturnSums)| {
            let (place, ring, scope) = labels.scoped(scoped);
            ReturnDelta { place, ring, scope, trials: sums.trials, failed: sums.failed }
        };
        delta.returns = sorted(self.returns.drain(), returns, |row| {
            (row.place, Arc::clone(&row.ring), row.scope.clone())
        });
        delta.signatures = sorted(
            self.signatures.drain(),
            |row| labels.signature(row),
            |row| {
                let group = (Arc::clone(&row.ring), Arc::clone(&row.set));
                (row.place, group, row.signal, Arc::clone(&row.signature))
            },
        );
        delta.cohorts = sorted(
            self.hours.drain(),
            |row| labels.hour(row),
            |row| {
                let group = (Arc::clone(&row.ring), Arc::clone(&row.set));
                (row.hour, row.evaluated, group, row.cohort.clone())
            },
        );
        let mut coupons = by_row(self.coupons.len(), &mut self.coupon_log).into_iter();
        let sketch = |((hour, group), ()): ((Timestamp, Group), ())| {
            let mut coupons = coupons.next().unwrap_or_default();
            coupons.sort_unstable();
            coupons.dedup();
            SketchDelta { hour, ring: labels.ring(group.ring), set: labels.set(group.set), coupons }
        };
        delta.sketches = sorted(self.coupons.drain(), sketch, |row| {
            (row.hour, Arc::clone(&row.ring), Arc::clone(&row.set))
        });
        let fact = |((place, ring, fact), Onsets { affected, first_at }): ((_, u8, _), _)| {
            FactDelta { place, ring: labels.ring(ring), fact, count: affected, first_at }
        };
        delta.facts =
            sorted(self.facts.drain(), fact, |row| (row.place, Arc::clone(&row.ring), row.fact));
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let keys = self.durations.memory_bytes() + self.coupons.memory_bytes();
        let logs = (self.duration_log.capacity() + self.coupon_log.capacity()) * 8;
        let sums = (self.returns.capacity() + self.signatures.capacity()) * 64;
        keys + logs + sums + (self.hours.capacity() + self.facts.capacity()) * 48
    }
}

impl recent::Key for (Scoped, DurationSignal) {
    #[inline]
    fn word(&self) -> u64 {
        let ((place, ring, scope), signal) = *self;
        word(place, ring, scope.number()) ^ (signal as u64) << 24
    }
}

impl recent::Key for (Timestamp, Group) {
    #[inline]
    fn word(&self) -> u64 {
        let Group { ring, set } = self.1;
        word(Place { window: self.0, evaluated: self.0 }, ring, set.0)
    }
}

/// What was noted of each row, in its order; the room of the log is kept.
fn by_row<T: Copy>(rows: usize, log: &mut Vec<(u32, T)>) -> Vec<Vec<T>> {
    let mut counts = vec![0; rows];
    for &(row, _) in &*log {
        counts[row as usize] += 1;
    }
    let mut lists: Vec<_> = counts.into_iter().map(Vec::with_capacity).collect();
    log.drain(..).for_each(|(row, value)| lists[row as usize].push(value));
    lists
}

/// How often each bucket was noted.
fn histogram(buckets: &[u16]) -> Histogram {
    let length = buckets.iter().max().map_or(0, |&last| usize::from(last) + 1);
    let mut counts = vec![0; length];
    for &bucket in buckets {
        counts[usize::from(bucket)] += 1;
    }
    let noted = counts.into_iter().enumerate().filter(|&(_, count)| count > 0);
    let (le, n): (Vec<i64>, Vec<i64>) =
        noted.map(|(bucket, count)| (lag::bucket_max(bucket), count)).unzip();
    #[expect(clippy::expect_used, reason = "a test compares the buckets of both")]
    let histogram = Histogram::new(&le, &n).expect("buckets ascend and hold something");
    histogram
}

impl Labels {
    fn scoped(&self, (place, ring, scope): Scoped) -> (Place, Arc<str>, schemas::delta::Scope) {
        (place, self.ring(ring), self.scope(scope))
    }

    fn signature(
        &self,
        ((place, group, fault), sums): ((Place, Group, Fault), SignalSums),
    ) -> SignatureDelta {
        SignatureDelta {
            place,
            ring: self.ring(group.ring),
            set: self.set(group.set),
            signal: fault.signal,
            signature: Arc::clone(self.signatures.text(fault.signature)),
            affected_devices: sums.affected,
            first_affected_at: sums.first_affected_at,
        }
    }

    fn hour(&self, (key, devices_active): (HourKey, i64)) -> CohortDelta {
        CohortDelta {
            hour: key.hour,
            evaluated: key.evaluated,
            ring: self.ring(key.group.ring),
            set: self.set(key.group.set),
            cohort: key.cohort.map(|cohort| self.cohort(cohort)),
            devices_active,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_noted_are_those_of_the_histogram() {
        let values =
            (0..62).flat_map(|power| [0, 1, 7, 15, 16].map(|more| (1_u64 << power) + more));
        let values: Vec<u64> = values.chain(0..100).collect();
        let mut direct = Histogram::default();
        for &value in &values {
            direct.record(value);
        }
        let noted: Vec<u16> = values.iter().map(|&value| lag::bucket(value) as u16).collect();
        assert_eq!(histogram(&noted), direct);
        assert_eq!(histogram(&[]), Histogram::EMPTY);
    }
}
