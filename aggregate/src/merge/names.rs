//! Every ring, change, set of changes and cohort that entries name, by small numbers.
//!
//! ```text
//! names of an entry ─► numbers, the keys of sums ─► places in the order of the file ─► names
//! ```
//! Texts are compared where an entry comes in and where an order is made, and nowhere else. Numbers
//! are given anew once there are [`NAMES_MAX`], to those that sums still name.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use schemas::Signal;
use schemas::delta::{ChangeSet, Scope};

use crate::order::places;

/// Names that have numbers before these are given anew: far above what a fleet names at once; some
/// 10 MB. Where more are in use, twice as many as are.
const NAMES_MAX: usize = 65_536;

/// Key and value of a cohort; `None`: all devices together.
pub(super) type CohortName = Option<(Arc<str>, Arc<str>)>;

/// A cohort, or 0 for all devices together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cohort(u32);

impl Cohort {
    /// All devices together.
    pub(super) const ALL: Self = Self(0);
}

/// [`Scope`] in numbers, or in places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ScopeNumber {
    Set(u32),
    Change(u32),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Names {
    /// Those that are configured first.
    rings: Numbered<Arc<str>>,
    configured: u32,
    changes: Numbered<Arc<str>>,
    sets: Numbered<ChangeSet>,
    /// The changes of each set.
    members: Vec<Vec<u32>>,
    cohorts: Numbered<CohortName>,
    count_max: usize,
}

impl Names {
    pub(super) fn new(configured: impl Iterator<Item = Arc<str>>) -> Self {
        let mut rings = Numbered::new();
        configured.for_each(|ring| _ = rings.number(&ring));
        let mut cohorts = Numbered::new();
        cohorts.number(&None);
        Self {
            configured: rings.names.len() as u32,
            rings,
            changes: Numbered::new(),
            sets: Numbered::new(),
            members: Vec::new(),
            cohorts,
            count_max: NAMES_MAX,
        }
    }

    /// No names but the configured rings: what goes on from here is numbered anew.
    pub(super) fn emptied(&self) -> Self {
        let configured = self.rings.names.iter().take(self.configured as usize).cloned();
        Self { count_max: self.count_max, ..Self::new(configured) }
    }

    /// Whether there are too many to keep those that nothing names any more.
    pub(super) fn are_too_many(&self) -> bool {
        self.count() > self.count_max
    }

    /// Takes up that all of these are in use.
    pub(super) fn settle(&mut self) {
        self.count_max = self.count_max.max(2 * self.count());
    }

    pub(super) fn count(&self) -> usize {
        let texts = self.rings.names.len() + self.changes.names.len() + self.cohorts.names.len();
        texts + self.sets.names.len()
    }

    /// From now on numbers are given anew beyond `count_max`.
    #[cfg(test)]
    pub(super) const fn bound(&mut self, count_max: usize) {
        self.count_max = count_max;
    }

    pub(super) fn ring(&mut self, name: &Arc<str>) -> u32 {
        self.rings.number(name)
    }

    pub(super) fn change(&mut self, name: &Arc<str>) -> u32 {
        self.changes.number(name)
    }

    /// The number of a change that has one.
    pub(super) fn known_change(&self, name: &Arc<str>) -> Option<u32> {
        self.changes.numbers.get(name).copied()
    }

    pub(super) fn set(&mut self, set: &ChangeSet) -> u32 {
        let number = self.sets.number(set);
        if number as usize == self.members.len() {
            self.members.push(set.iter().map(|change| self.changes.number(change)).collect());
        }
        number
    }

    pub(super) fn scope(&mut self, scope: &Scope) -> ScopeNumber {
        match scope {
            Scope::Set(set) => ScopeNumber::Set(self.set(set)),
            Scope::Change(change) => ScopeNumber::Change(self.change(change)),
        }
    }

    pub(super) fn cohort(&mut self, cohort: &CohortName) -> Cohort {
        Cohort(self.cohorts.number(cohort))
    }

    /// Whether the ring is configured: only those have arms.
    pub(super) const fn is_configured(&self, ring: u32) -> bool {
        ring < self.configured
    }

    /// The changes of a set.
    pub(super) fn members(&self, set: u32) -> &[u32] {
        &self.members[set as usize]
    }

    pub(super) fn ring_name(&self, ring: u32) -> &Arc<str> {
        self.rings.name(ring)
    }

    pub(super) fn change_name(&self, change: u32) -> &Arc<str> {
        self.changes.name(change)
    }

    pub(super) fn set_name(&self, set: u32) -> &ChangeSet {
        self.sets.name(set)
    }

    /// The devices of a ring that are exposed to a set, as the detector names them.
    pub(super) fn group(&self, ring: u32, set: u32) -> (Arc<str>, ChangeSet) {
        (self.ring_name(ring).clone(), self.set_name(set).clone())
    }

    pub(super) fn scope_name(&self, scope: ScopeNumber) -> Scope {
        match scope {
            ScopeNumber::Set(set) => Scope::Set(self.set_name(set).clone()),
            ScopeNumber::Change(change) => Scope::Change(self.change_name(change).clone()),
        }
    }

    pub(super) fn cohort_name(&self, cohort: Cohort) -> &CohortName {
        self.cohorts.name(cohort.0)
    }

    /// The order of all that have a number now.
    pub(super) fn order(&self) -> Order {
        Order {
            rings: self.rings.order(),
            changes: self.changes.order(),
            sets: self.sets.order(),
            cohorts: self.cohorts.order(),
        }
    }
}

/// Names of one kind.
#[derive(Debug)]
struct Numbered<T> {
    numbers: HashMap<T, u32>,
    names: Vec<T>,
    /// Rows are sorted, so a row's name is mostly that of the row before.
    last: u32,
}

impl<T: Clone + Eq + Hash + Ord> Numbered<T> {
    fn new() -> Self {
        Self { numbers: HashMap::new(), names: Vec::new(), last: 0 }
    }

    /// The number of a name; a new one takes the next.
    fn number(&mut self, wanted: &T) -> u32 {
        if self.names.get(self.last as usize).is_some_and(|last| last == wanted) {
            return self.last;
        }
        self.last = self.numbers.get(wanted).copied().unwrap_or_else(|| {
            let number = self.names.len() as u32;
            self.numbers.insert(wanted.clone(), number);
            self.names.push(wanted.clone());
            number
        });
        self.last
    }

    fn name(&self, number: u32) -> &T {
        &self.names[number as usize]
    }

    fn order(&self) -> Places {
        let of = places(&self.names);
        let mut at = vec![0; of.len()];
        for (number, &place) in (0..).zip(&of) {
            at[place as usize] = number;
        }
        Places { of, at }
    }
}

/// Places by number, and numbers by place.
#[derive(Debug)]
pub(super) struct Places {
    of: Vec<u32>,
    at: Vec<u32>,
}

impl Places {
    pub(super) fn of(&self, number: u32) -> u32 {
        self.of[number as usize]
    }

    pub(super) fn at(&self, place: u32) -> u32 {
        self.at[place as usize]
    }
}

/// Where names stand among those of their kind: numbers are given as names come up.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) rings: Places,
    pub(super) changes: Places,
    sets: Places,
    cohorts: Places,
}

impl Order {
    /// As [`Scope`] is ordered: sets before changes.
    pub(super) fn scope(&self, scope: ScopeNumber) -> ScopeNumber {
        match scope {
            ScopeNumber::Set(set) => ScopeNumber::Set(self.sets.of(set)),
            ScopeNumber::Change(change) => ScopeNumber::Change(self.changes.of(change)),
        }
    }
}

/// What a dataset is keyed by beside ring and scope, in numbers; in the order of the file once it
/// is [`Detail::placed`].
pub(super) trait Detail: Copy + Ord {
    /// The same in names.
    type Name;

    fn of(name: &Self::Name, names: &mut Names) -> Self;

    fn name(self, names: &Names) -> Self::Name;

    /// With the place of the cohort for its number.
    fn placed(self, order: &Order) -> Self;

    /// With the number of the cohort for its place.
    fn numbered(self, order: &Order) -> Self;
}

impl Detail for () {
    type Name = ();

    fn of((): &(), _: &mut Names) {}

    fn name(self, _: &Names) {}

    fn placed(self, _: &Order) {}

    fn numbered(self, _: &Order) {}
}

impl Detail for Cohort {
    type Name = CohortName;

    fn of(name: &CohortName, names: &mut Names) -> Self {
        names.cohort(name)
    }

    fn name(self, names: &Names) -> CohortName {
        names.cohort_name(self).clone()
    }

    fn placed(self, order: &Order) -> Self {
        Self(order.cohorts.of(self.0))
    }

    fn numbered(self, order: &Order) -> Self {
        Self(order.cohorts.at(self.0))
    }
}

impl Detail for (ByName, Cohort) {
    type Name = (Signal, CohortName);

    fn of((signal, cohort): &Self::Name, names: &mut Names) -> Self {
        (ByName::of(*signal), names.cohort(cohort))
    }

    fn name(self, names: &Names) -> Self::Name {
        (self.0.signal(), self.1.name(names))
    }

    fn placed(self, order: &Order) -> Self {
        (self.0, self.1.placed(order))
    }

    fn numbered(self, order: &Order) -> Self {
        (self.0, self.1.numbered(order))
    }
}

/// A signal by its place in the order of the file, which is by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ByName(u8);

const SIGNALS: usize = Signal::ALL.len();

/// By signal, how many names stand before its own.
const PLACES: [u8; SIGNALS] = {
    let mut places = [0; SIGNALS];
    let mut pair = 0;
    while pair < SIGNALS * SIGNALS {
        let (one, other) = (Signal::ALL[pair / SIGNALS], Signal::ALL[pair % SIGNALS]);
        places[one as usize] += precedes(other.name().as_bytes(), one.name().as_bytes()) as u8;
        pair += 1;
    }
    places
};

/// Signals in the order of their names.
const BY_NAME: [Signal; SIGNALS] = {
    let mut by_name = Signal::ALL;
    let mut at = 0;
    while at < SIGNALS {
        let signal = Signal::ALL[at];
        by_name[PLACES[signal as usize] as usize] = signal;
        at += 1;
    }
    by_name
};

const fn precedes(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() {
        if one[at] != other[at] {
            return one[at] < other[at];
        }
        at += 1;
    }
    one.len() < other.len()
}

impl ByName {
    pub(super) const fn of(signal: Signal) -> Self {
        Self(PLACES[signal as usize])
    }

    pub(super) const fn signal(self) -> Signal {
        BY_NAME[self.0 as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_in_the_order_of_their_names() {
        assert!(BY_NAME.windows(2).all(|pair| pair[0].name() < pair[1].name()));
        for signal in Signal::ALL {
            assert_eq!(ByName::of(signal).signal(), signal);
        }
    }

    #[test]
    fn numbers_stand_for_names_in_any_order_and_places_sort_them() {
        let mut names = Names::new(["fast".into(), "broad".into()].into_iter());
        let rings = ["fast", "other", "broad", "fast", ""].map(|name| names.ring(&name.into()));
        assert_eq!(rings.map(|ring| names.is_configured(ring)), [true, false, true, true, false]);
        let order = names.order();
        for (one, other) in rings.into_iter().flat_map(|one| rings.map(|other| (one, other))) {
            let by_place = order.rings.of(one).cmp(&order.rings.of(other));
            assert_eq!(by_place, names.ring_name(one).cmp(names.ring_name(other)));
            assert_eq!(order.rings.at(order.rings.of(one)), one);
        }
        let cohort =
            |names: &mut Names, value: &str| names.cohort(&Some(("model".into(), value.into())));
        let [late, early] = ["m2", "m1"].map(|value| cohort(&mut names, value));
        let [whole, again] = [names.cohort(&None), cohort(&mut names, "m2")];
        let order = names.order();
        assert_eq!(late, again);
        assert!(whole.placed(&order) < early.placed(&order));
        assert!(early.placed(&order) < late.placed(&order));
        assert_eq!(late.placed(&order).numbered(&order), late);
    }
}
