//! Rows in the making of what is measured beside counts: durations, returns, signatures, hours.

use std::sync::Arc;

use schemas::delta::{
    CohortDelta, Delta, DurationDelta, FactDelta, Place, ReturnDelta, SignatureDelta, SketchDelta,
};
use schemas::totals::Onsets;
use schemas::{DurationSignal, Fact, Histogram, Signal, Timestamp};

use crate::accumulate::{CohortId, Labels, ScopeId, SignalSums, sorted};
use crate::device::Group;
use crate::hash::{Map, NumberHash};
use crate::intern::NameId;

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
    durations: Map<(Scoped, DurationSignal), Histogram>,
    returns: Map<Scoped, ReturnSums>,
    signatures: Map<(Place, Group, Fault), SignalSums>,
    /// Devices at risk when the hour began.
    hours: Map<HourKey, i64>,
    coupons: Map<(Timestamp, Group), Vec<u32>>,
    /// By ring.
    facts: Map<(Place, u8, Fact), Onsets>,
}

impl Measures {
    pub(crate) fn new(hash: NumberHash) -> Self {
        Self {
            durations: Map::with_hasher(hash),
            returns: Map::with_hasher(hash),
            signatures: Map::with_hasher(hash),
            hours: Map::with_hasher(hash),
            coupons: Map::with_hasher(hash),
            facts: Map::with_hasher(hash),
        }
    }

    pub(crate) fn duration(&mut self, scoped: Scoped, signal: DurationSignal, value_ms: u64) {
        self.durations.entry((scoped, signal)).or_default().record(value_ms);
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
        self.coupons.entry((hour, group)).or_default().push(coupon);
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
        let duration = |((scoped, signal), histogram): ((Scoped, DurationSignal), Histogram)| {
            let (place, ring, scope) = labels.scoped(scoped);
            DurationDelta { place, ring, scope, signal, histogram }
        };
        delta.durations = sorted(&mut self.durations, duration, |row| {
            (row.place, Arc::clone(&row.ring), row.scope.clone(), row.signal)
        });
        let returns = |(scoped, sums): (Scoped, ReturnSums)| {
            let (place, ring, scope) = labels.scoped(scoped);
            ReturnDelta { place, ring, scope, trials: sums.trials, failed: sums.failed }
        };
        delta.returns = sorted(&mut self.returns, returns, |row| {
            (row.place, Arc::clone(&row.ring), row.scope.clone())
        });
        delta.signatures = sorted(
            &mut self.signatures,
            |row| labels.signature(row),
            |row| {
                let group = (Arc::clone(&row.ring), Arc::clone(&row.set));
                (row.place, group, row.signal, Arc::clone(&row.signature))
            },
        );
        delta.cohorts = sorted(
            &mut self.hours,
            |row| labels.hour(row),
            |row| {
                let group = (Arc::clone(&row.ring), Arc::clone(&row.set));
                (row.hour, row.evaluated, group, row.cohort.clone())
            },
        );
        let sketch = |((hour, group), mut coupons): ((Timestamp, Group), Vec<u32>)| {
            coupons.sort_unstable();
            coupons.dedup();
            SketchDelta { hour, ring: labels.ring(group.ring), set: labels.set(group.set), coupons }
        };
        delta.sketches = sorted(&mut self.coupons, sketch, |row| {
            (row.hour, Arc::clone(&row.ring), Arc::clone(&row.set))
        });
        let fact = |((place, ring, fact), Onsets { affected, first_at }): ((_, u8, _), _)| {
            FactDelta { place, ring: labels.ring(ring), fact, count: affected, first_at }
        };
        delta.facts =
            sorted(&mut self.facts, fact, |row| (row.place, Arc::clone(&row.ring), row.fact));
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let buckets: usize = self.durations.values().map(|sums| 16 * sums.le().len()).sum();
        let coupons: usize = self.coupons.values().map(|list| 4 * list.capacity()).sum();
        let keys = self.durations.capacity() * 100 + self.coupons.capacity() * 40;
        let sums = (self.returns.capacity() + self.signatures.capacity()) * 64;
        buckets + coupons + keys + sums + (self.hours.capacity() + self.facts.capacity()) * 48
    }
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
