//! The order of names as numbers, so that rows are sorted by name without comparing texts.

use std::collections::{BTreeMap, BTreeSet};

use crate::accumulate::{CohortId, Labels, ScopeId};

/// Where each name stands among those of its kind; equal names stand at the same place.
#[derive(Debug)]
pub(crate) struct Order {
    rings: Vec<u32>,
    sets: Vec<u32>,
    changes: Vec<u32>,
    cohorts: BTreeMap<CohortId, u32>,
}

impl Labels {
    /// The order of rings, sets and changes, and that of these cohorts.
    pub(crate) fn order(&self, cohorts: impl Iterator<Item = CohortId>) -> Order {
        let cohorts: BTreeSet<CohortId> = cohorts.collect();
        let names: Vec<_> =
            cohorts.iter().map(|cohort| cohort.map(|cohort| self.cohort(cohort))).collect();
        Order {
            rings: places(&self.rings),
            sets: places(self.sets.all()),
            changes: places(self.changes.all()),
            cohorts: cohorts.into_iter().zip(places(&names)).collect(),
        }
    }
}

impl Order {
    pub(crate) fn ring(&self, ring: u8) -> u32 {
        self.rings[usize::from(ring)]
    }

    /// As `Scope` is ordered: sets before changes.
    pub(crate) fn scope(&self, scope: ScopeId) -> (bool, u32) {
        match scope {
            ScopeId::Set(set) => (false, self.sets[usize::from(set.0)]),
            ScopeId::Change(change) => (true, self.changes[usize::from(change.0)]),
        }
    }

    /// Of a cohort that was named when the order was made.
    pub(crate) fn cohort(&self, cohort: CohortId) -> u32 {
        self.cohorts[&cohort]
    }
}

/// For each name how many different ones stand before it.
pub(crate) fn places<T: Ord>(names: &[T]) -> Vec<u32> {
    let sorted: BTreeSet<&T> = names.iter().collect();
    let place_of: BTreeMap<&T, u32> = sorted.into_iter().zip(0..).collect();
    names.iter().map(|name| place_of[name]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_ordered_as_the_names_are() {
        let names = ["fast", "broad", "test", "broad", ""];
        let places = places(&names);
        for (one, place) in names.iter().zip(&places) {
            for (other, other_place) in names.iter().zip(&places) {
                assert_eq!(one.cmp(other), place.cmp(other_place), "{one} {other}");
            }
        }
    }
}
