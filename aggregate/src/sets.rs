//! The sets of changes that devices are exposed to, each with a small number.

use std::sync::Arc;

use schemas::ChangeSet;
use serde::{Deserialize, Serialize};

use crate::config::FoldLimits;
use crate::intern::{NameId, Names};
use crate::state::{Reader, StateError, Writer};

/// The number of a set of changes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub(crate) struct SetId(pub(crate) u16);

impl SetId {
    /// Exposed to nothing.
    pub(crate) const EMPTY: Self = Self(0);
}

/// Every set that some device was exposed to; never forgets one.
#[derive(Clone, Debug)]
pub(crate) struct Sets {
    /// Change numbers of each set, ascending.
    members: Vec<Box<[NameId]>>,
    /// The same by name, in the order of the names.
    names: Vec<ChangeSet>,
    ids: std::collections::BTreeMap<Box<[NameId]>, SetId>,
    /// Where the members of a set that is looked for are put together.
    wanted: Vec<NameId>,
    limits: FoldLimits,
    refused: u64,
}

impl Sets {
    pub(crate) fn new(limits: FoldLimits) -> Self {
        Self {
            members: vec![Box::default()],
            names: vec![Arc::from([])],
            ids: [(Box::default(), SetId::EMPTY)].into(),
            wanted: Vec::new(),
            limits,
            refused: 0,
        }
    }

    /// Stores the sets in the order of their numbers, but for the empty one.
    pub(crate) fn save(&self, out: &mut Writer) {
        out.put(&self.refused);
        out.put_all(self.members[1..].iter());
    }

    /// Restores what was stored into sets that are new.
    pub(crate) fn load(
        &mut self,
        from: &mut Reader<'_>,
        changes: &Names,
    ) -> Result<(), StateError> {
        self.refused = from.take()?;
        let sets: Vec<Vec<NameId>> = from.take_all(Reader::take)?;
        let known = |members: &[NameId]| members.iter().all(|&id| changes.has(id));
        if sets.len() > usize::from(u16::MAX) || !sets.iter().all(|members| known(members)) {
            return Err(StateError::Damaged);
        }
        for members in sets {
            self.add(members, changes);
        }
        Ok(())
    }

    /// Whether `id` is the number of a set.
    pub(crate) fn has(&self, id: SetId) -> bool {
        usize::from(id.0) < self.members.len()
    }

    pub(crate) fn contains(&self, set: SetId, change: NameId) -> bool {
        self.members(set).binary_search(&change).is_ok()
    }

    /// The set with `change` added; the same set where a bound refuses it.
    pub(crate) fn with(&mut self, set: SetId, change: NameId, changes: &Names) -> SetId {
        let Err(at) = self.members(set).binary_search(&change) else { return set };
        let (before, after) = self.members[usize::from(set.0)].split_at(at);
        self.wanted.clear();
        self.wanted.extend(before.iter().chain([&change]).chain(after));
        self.id(changes).unwrap_or(set)
    }

    /// The set without `change`; the same set where a bound refuses it.
    pub(crate) fn without(&mut self, set: SetId, change: NameId, changes: &Names) -> SetId {
        self.wanted.clear();
        let members = &self.members[usize::from(set.0)];
        self.wanted.extend(members.iter().filter(|&&member| member != change));
        self.id(changes).unwrap_or(set)
    }

    fn members(&self, set: SetId) -> &[NameId] {
        &self.members[usize::from(set.0)]
    }

    /// The number of the set that is wanted.
    fn id(&mut self, changes: &Names) -> Option<SetId> {
        if let Some(&id) = self.ids.get(self.wanted.as_slice()) {
            return Some(id);
        }
        let full = self.members.len() > usize::from(self.limits.sets_max);
        if full || self.wanted.len() > self.limits.set_length_max {
            self.refused += 1;
            return None;
        }
        Some(self.add(self.wanted.clone(), changes))
    }

    fn add(&mut self, members: Vec<NameId>, changes: &Names) -> SetId {
        let id = SetId(self.members.len() as u16);
        let mut names: Vec<_> = members.iter().map(|&id| Arc::clone(changes.text(id))).collect();
        names.sort_unstable();
        self.names.push(names.into());
        self.ids.insert(members.clone().into(), id);
        self.members.push(members.into());
        id
    }

    pub(crate) fn names(&self, set: SetId) -> &ChangeSet {
        &self.names[usize::from(set.0)]
    }

    /// The names of every set, by its number.
    pub(crate) fn all(&self) -> &[ChangeSet] {
        &self.names
    }

    pub(crate) const fn refused(&self) -> u64 {
        self.refused
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.members.iter().map(|members| 128 + members.len() * 20).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(sets: &Sets, set: SetId) -> Vec<&str> {
        sets.names(set).iter().map(|name| &**name).collect()
    }

    #[test]
    fn a_set_is_the_same_whatever_the_order_of_its_changes() {
        let mut changes = Names::new([1, 2], 10);
        let [b, a] = ["b", "a"].map(|name| changes.id(name, NameId::NONE));
        let mut sets = Sets::new(FoldLimits::default());
        let just_b = sets.with(SetId::EMPTY, b, &changes);
        let both = sets.with(just_b, a, &changes);
        let just_a = sets.with(SetId::EMPTY, a, &changes);
        assert_eq!(sets.with(just_a, b, &changes), both);
        assert_eq!(names(&sets, both), ["a", "b"]);
        assert_eq!(sets.without(both, a, &changes), just_b);
        assert_eq!(sets.without(just_b, b, &changes), SetId::EMPTY);
    }

    #[test]
    fn a_bound_leaves_the_device_in_its_set_and_counts() {
        let mut changes = Names::new([1, 2], 10);
        let [a, b] = ["a", "b"].map(|name| changes.id(name, NameId::NONE));
        let mut sets = Sets::new(FoldLimits { sets_max: 1, ..FoldLimits::default() });
        let just_a = sets.with(SetId::EMPTY, a, &changes);
        assert!(sets.contains(just_a, a));
        assert_eq!(sets.with(just_a, b, &changes), just_a);
        assert_eq!(sets.refused(), 1);
    }
}
