//! Delta rows in the making: sums by small numbers, spelled out and sorted when they are taken.

use std::sync::Arc;

use schemas::delta::{
    ChangeDelta, Delta, HealthDelta, Place, RegistryDelta, Scope, SignalDelta, SupportDelta,
    Transition,
};
use schemas::reject::RejectedRow;
use schemas::{ChangeSet, Counts, Signal, Timestamp};

use crate::device::{Device, Group};
use crate::hash::NumberHash;
use crate::intern::{NameId, Names};
use crate::measures::Measures;
use crate::recent::{self, Recent};
use crate::returns::Who;
use crate::sets::{SetId, Sets};
use crate::state::{Reader, StateError, Writer};

/// Sums of one window, ring and set of changes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Health {
    pub(crate) at_risk_ms: i64,
    pub(crate) devices_active: i64,
    pub(crate) devices_silent: i64,
    pub(crate) heartbeats: i64,
    pub(crate) boots: i64,
    pub(crate) records: i64,
    pub(crate) duplicates: i64,
}

/// Sums of one change in one window and ring.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ChangeSums {
    pub(crate) devices_exposed: i64,
    pub(crate) installs_started: i64,
    pub(crate) installs_succeeded: i64,
    pub(crate) installs_failed: i64,
    pub(crate) rollbacks: i64,
    pub(crate) attempts_succeeded: i64,
    pub(crate) attempts_failed: i64,
}

/// [`Scope`] in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ScopeId {
    Set(SetId),
    Change(NameId),
}

impl ScopeId {
    pub(crate) const fn number(self) -> u16 {
        match self {
            Self::Set(set) => set.0,
            Self::Change(change) => change.0,
        }
    }
}

/// A cohort dimension (its slot) and one of its values.
pub(crate) type CohortId = Option<(u8, NameId)>;

/// Whose signal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Onset {
    pub(crate) place: Place,
    pub(crate) ring: u8,
    pub(crate) scope: ScopeId,
    pub(crate) signal: Signal,
}

impl recent::Key for (Place, Group) {
    #[inline]
    fn word(&self) -> u64 {
        let Group { ring, set } = self.1;
        word(self.0, ring, set.0)
    }
}

impl recent::Key for (Place, u8, NameId) {
    #[inline]
    fn word(&self) -> u64 {
        word(self.0, self.1, self.2.0)
    }
}

impl recent::Key for (Onset, CohortId) {
    /// By signal and cohort, too: some 2,500 rows a window of the canonical fleet, in 32 KiB.
    const REMEMBERED: usize = 8_192;

    #[inline]
    fn word(&self) -> u64 {
        let (Onset { place, ring, scope, signal }, cohort) = *self;
        let (slot, value) = cohort.map_or((0, 0), |(slot, value)| (u64::from(slot) + 1, value.0));
        let cohort = slot << 40 | u64::from(value) << 24;
        word(place, ring, scope.number()) ^ cohort ^ (signal as u64) << 48
    }
}

/// A window, ring, and set or change in one word; windows are whole seconds, in microseconds.
#[inline]
pub(crate) fn word(place: Place, ring: u8, number: u16) -> u64 {
    (place.window.0 as u64).wrapping_add(u64::from(ring) | u64::from(number) << 8)
}

/// What one record adds to a signal.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SignalSums {
    pub(crate) affected: i64,
    pub(crate) events: i64,
    pub(crate) first_affected_at: Option<Timestamp>,
}

impl SignalSums {
    pub(crate) fn add(&mut self, more: Self) {
        self.affected += more.affected;
        self.events += more.events;
        self.first_affected_at = match (self.first_affected_at, more.first_affected_at) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    /// `affected` (0 or 1) devices and `events` events at one time.
    pub(crate) fn one(affected: i64, events: i64, time: Timestamp) -> Self {
        Self { affected, events, first_affected_at: (affected > 0).then_some(time) }
    }
}

/// The names behind the numbers of one partition.
#[derive(Clone, Debug)]
pub(crate) struct Labels {
    pub(crate) rings: Vec<Arc<str>>,
    pub(crate) changes: Names,
    pub(crate) sets: Sets,
    pub(crate) signatures: Names,
    /// Names of the cohort dimensions, and behind them the slots for `build` and `model`.
    pub(crate) slots: Vec<Arc<str>>,
    /// Known values, by slot.
    pub(crate) values: Vec<Names>,
}

/// All rows since the last take.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    health: Recent<(Place, Group), Health>,
    changes: Recent<(Place, u8, NameId), ChangeSums>,
    signals: Recent<(Onset, CohortId), SignalSums>,
    pub(crate) measures: Measures,
    pub(crate) transitions: Vec<Transition>,
    pub(crate) rejected: Vec<RejectedRow>,
    pub(crate) registry: Vec<RegistryDelta>,
    pub(crate) support: Vec<SupportDelta>,
    pub(crate) counts: Counts,
}

impl Rows {
    pub(crate) fn new(hash: NumberHash) -> Self {
        Self {
            health: Recent::new(hash),
            changes: Recent::new(hash),
            signals: Recent::new(hash),
            measures: Measures::new(hash),
            transitions: Vec::new(),
            rejected: Vec::new(),
            registry: Vec::new(),
            support: Vec::new(),
            counts: Counts::default(),
        }
    }

    #[inline]
    pub(crate) fn health(&mut self, place: Place, group: Group) -> &mut Health {
        self.health.row((place, group))
    }

    pub(crate) fn change(&mut self, place: Place, ring: u8, change: NameId) -> &mut ChangeSums {
        self.changes.row((place, ring, change))
    }

    /// Adds to a signal as a whole and to each cohort that the device is known to be in.
    pub(crate) fn signal(&mut self, onset: Onset, cohorts: &[NameId], sums: SignalSums) {
        let whole = std::iter::once(None);
        let values = (0_u8..).zip(cohorts).filter(|(_, value)| value.is_some());
        for cohort in whole.chain(values.map(|(slot, &value)| Some((slot, value)))) {
            self.signals.row((onset, cohort)).add(sums);
        }
    }

    pub(crate) fn reject(&mut self, row: RejectedRow) {
        self.counts.received += 1;
        self.counts.rejected += 1;
        self.rejected.push(row);
    }

    pub(crate) fn len(&self) -> usize {
        self.health.len()
            + self.changes.len()
            + self.signals.len()
            + self.measures.len()
            + self.transitions.len()
            + self.rejected.len()
            + self.registry.len()
            + self.support.len()
    }

    /// Whether nothing has happened since the last take.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0 && self.counts == Counts::default()
    }

    /// Takes everything out, by name and in key order.
    pub(crate) fn take(&mut self, labels: &Labels) -> (Delta, Counts) {
        let mut delta = Delta {
            health: sorted(
                self.health.drain(),
                |row| labels.health(row),
                |row| (row.place, Arc::clone(&row.ring), Arc::clone(&row.set)),
            ),
            changes: sorted(
                self.changes.drain(),
                |row| labels.change(row),
                |row| (row.place, Arc::clone(&row.ring), Arc::clone(&row.change)),
            ),
            signals: self.take_signals(labels),
            transitions: std::mem::take(&mut self.transitions),
            rejected: std::mem::take(&mut self.rejected),
            registry: std::mem::take(&mut self.registry),
            support: std::mem::take(&mut self.support),
            ..Delta::default()
        };
        self.measures.take(labels, &mut delta);
        (delta, std::mem::take(&mut self.counts))
    }

    /// The signals, by far the most rows, in the order of their names without comparing these for
    /// each row.
    fn take_signals(&mut self, labels: &Labels) -> Vec<SignalDelta> {
        let order = labels.order(self.signals.iter().map(|((_, cohort), _)| *cohort));
        let mut rows: Vec<_> = self.signals.drain().collect();
        rows.sort_by_cached_key(|((onset, cohort), _)| {
            let Onset { place, ring, scope, signal } = *onset;
            (place, order.ring(ring), order.scope(scope), signal, order.cohort(*cohort))
        });
        rows.into_iter().map(|row| labels.signal(row)).collect()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let sums = self.health.memory_bytes() + self.changes.memory_bytes();
        let sums = sums + self.signals.memory_bytes() + self.measures.memory_bytes();
        sums + self.transitions.capacity() * 200
    }
}

/// Sums as rows in key order.
pub(crate) fn sorted<K, V, R, O: Ord>(
    sums: impl Iterator<Item = (K, V)>,
    row: impl FnMut((K, V)) -> R,
    order: impl Fn(&R) -> O,
) -> Vec<R> {
    let mut rows: Vec<R> = sums.map(row).collect();
    rows.sort_by_cached_key(order);
    rows
}

impl Labels {
    /// Stores the names that were learned.
    pub(crate) fn save(&self, out: &mut Writer) {
        self.changes.save(out);
        self.sets.save(out);
        self.signatures.save(out);
        out.put(&self.values.len());
        self.values.iter().for_each(|values| values.save(out));
    }

    pub(crate) fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        self.changes.load(from)?;
        self.sets.load(from, &self.changes)?;
        self.signatures.load(from)?;
        if from.take::<usize>()? != self.values.len() {
            return Err(StateError::Settings);
        }
        self.values.iter_mut().try_for_each(|values| values.load(from))
    }

    /// Whether every number that a device holds has a name.
    pub(crate) fn name_all_of(&self, device: &Device) -> bool {
        let Group { ring, set } = device.group();
        let (values, unused) = device.names.split_at(self.values.len());
        usize::from(ring) < self.rings.len()
            && self.sets.has(set)
            && self.changes.has(device.attempt.change())
            && self.changes.has(device.tried)
            && self.values.iter().zip(values).all(|(names, &id)| names.has(id))
            && unused.iter().all(|id| !id.is_some())
    }

    /// Whether a group and a cohort of it have names.
    pub(crate) fn cohort_named(&self, (group, cohort): (Group, CohortId)) -> bool {
        let value = |(slot, value): (u8, NameId)| {
            self.values.get(usize::from(slot)).is_some_and(|names| names.has(value))
        };
        self.name(Who::Devices(group)) && cohort.is_none_or(value)
    }

    /// Whether the ring and the set or change of a trial have names.
    pub(crate) fn name(&self, who: Who) -> bool {
        match who {
            Who::Devices(Group { ring, set }) => {
                usize::from(ring) < self.rings.len() && self.sets.has(set)
            }
            Who::Attempts(ring, change) => {
                usize::from(ring) < self.rings.len() && self.changes.has(change)
            }
        }
    }

    pub(crate) fn ring(&self, ring: u8) -> Arc<str> {
        Arc::clone(&self.rings[usize::from(ring)])
    }

    pub(crate) fn set(&self, set: SetId) -> ChangeSet {
        Arc::clone(self.sets.names(set))
    }

    pub(crate) fn scope(&self, scope: ScopeId) -> Scope {
        match scope {
            ScopeId::Set(set) => Scope::Set(self.set(set)),
            ScopeId::Change(change) => Scope::Change(Arc::clone(self.changes.text(change))),
        }
    }

    /// Key and value of a cohort.
    pub(crate) fn cohort(&self, (slot, value): (u8, NameId)) -> (Arc<str>, Arc<str>) {
        let slot = usize::from(slot);
        (Arc::clone(&self.slots[slot]), Arc::clone(self.values[slot].text(value)))
    }

    fn health(&self, ((place, group), sums): ((Place, Group), Health)) -> HealthDelta {
        HealthDelta {
            place,
            ring: self.ring(group.ring),
            set: self.set(group.set),
            at_risk_ms: sums.at_risk_ms,
            devices_active: sums.devices_active,
            devices_silent: sums.devices_silent,
            heartbeats: sums.heartbeats,
            boots: sums.boots,
            records: sums.records,
            duplicates: sums.duplicates,
        }
    }

    fn change(
        &self,
        ((place, ring, change), sums): ((Place, u8, NameId), ChangeSums),
    ) -> ChangeDelta {
        ChangeDelta {
            place,
            ring: self.ring(ring),
            change: Arc::clone(self.changes.text(change)),
            devices_exposed: sums.devices_exposed,
            installs_started: sums.installs_started,
            installs_succeeded: sums.installs_succeeded,
            installs_failed: sums.installs_failed,
            rollbacks: sums.rollbacks,
            attempts_succeeded: sums.attempts_succeeded,
            attempts_failed: sums.attempts_failed,
        }
    }

    fn signal(&self, ((onset, cohort), sums): ((Onset, CohortId), SignalSums)) -> SignalDelta {
        SignalDelta {
            place: onset.place,
            ring: self.ring(onset.ring),
            scope: self.scope(onset.scope),
            signal: onset.signal,
            cohort: cohort.map(|cohort| self.cohort(cohort)),
            affected_devices: sums.affected,
            events: sums.events,
            first_affected_at: sums.first_affected_at,
        }
    }
}
