//! Exposure of past windows, so that a late onset counts against its own window's exposure.
//!
//! In: each window's groups. Out: the groups of the window that a late onset names. Sets of
//! changes are kept once, as numbers of changes; a set that no kept window has is forgotten.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use schemas::delta::ChangeSet;
use schemas::{Span, Timestamp};

use super::tally::{ChangeNumber, Tally};

/// The tracked changes of a set.
pub type Members = Arc<[ChangeNumber]>;

/// Sets with their members; windows with ring, place of the set and time at risk of each group.
pub(crate) type StoredWindows =
    (Vec<(ChangeSet, Members)>, Vec<(Timestamp, Vec<(usize, usize, i64)>)>);

/// One ring x set of changes in one window.
#[derive(Clone, Debug)]
pub struct Group {
    pub ring: usize,
    pub members: Members,
    pub at_risk_ms: i64,
}

/// Groups of the windows of the last 73 h, the oldest first.
#[derive(Clone, Debug)]
pub struct PastWindows {
    keep: Span,
    sets_max: usize,
    sets: BTreeMap<ChangeSet, Members>,
    windows: VecDeque<(Timestamp, Vec<Group>)>,
}

impl PastWindows {
    pub const fn new(keep: Span, sets_max: usize) -> Self {
        Self { keep, sets_max, sets: BTreeMap::new(), windows: VecDeque::new() }
    }

    /// What it has seen, to be stored: each group names its set by its place.
    pub(crate) fn stored(&self) -> StoredWindows {
        let places: BTreeMap<_, usize> = self.sets.values().map(Arc::as_ptr).zip(0..).collect();
        let group =
            |group: &Group| (group.ring, places[&Arc::as_ptr(&group.members)], group.at_risk_ms);
        let window = |(start, groups): &(Timestamp, Vec<Group>)| {
            (*start, groups.iter().map(group).collect())
        };
        let sets = self.sets.iter().map(|(set, members)| (Arc::clone(set), Arc::clone(members)));
        (sets.collect(), self.windows.iter().map(window).collect())
    }

    /// Goes on from what was stored, each set of changes shared by its groups as it was: one that
    /// no group has gives way when there are too many. `None` if a group has no set.
    pub(crate) fn with(self, (sets, windows): StoredWindows) -> Option<Self> {
        let group = |(ring, place, at_risk_ms): (usize, usize, i64)| {
            let members = Arc::clone(&sets.get(place)?.1);
            Some(Group { ring, members, at_risk_ms })
        };
        let window = |(start, groups): (Timestamp, Vec<_>)| {
            Some((start, groups.into_iter().map(group).collect::<Option<_>>()?))
        };
        let windows = windows.into_iter().map(window).collect::<Option<_>>()?;
        Some(Self { windows, sets: sets.into_iter().collect(), ..self })
    }

    /// The members of a set; `None` where the bound on sets refuses it.
    pub fn members(
        &mut self,
        set: &ChangeSet,
        number: impl Fn(&str) -> Option<ChangeNumber>,
    ) -> Option<Members> {
        if let Some(members) = self.sets.get(set) {
            return Some(Arc::clone(members));
        }
        if self.sets.len() >= self.sets_max {
            self.sets.retain(|_, members| Arc::strong_count(members) > 1);
        }
        if self.sets.len() >= self.sets_max {
            return None;
        }
        let members: Members = set.iter().filter_map(|change| number(change)).collect();
        self.sets.insert(Arc::clone(set), Arc::clone(&members));
        Some(members)
    }

    /// Remembers a window; windows come in order.
    pub fn push(&mut self, start: Timestamp, groups: Vec<Group>) {
        self.windows.push_back((start, groups));
        while self.windows.front().is_some_and(|(oldest, _)| *oldest < start - self.keep) {
            self.windows.pop_front();
        }
    }

    /// Exposure of the window that starts at `start`, else of the nearest before it, else of the
    /// oldest known; and whether it is that window.
    pub fn exposure(&self, start: Timestamp, ring_count: usize) -> (Tally, Found) {
        let mut tally = Tally::new(ring_count);
        let after = self.windows.partition_point(|(window, _)| *window <= start);
        let nearest = self.windows.get(after.saturating_sub(1));
        let Some((window, groups)) = nearest else { return (tally, Found::Elsewhere) };
        for group in groups {
            tally.add_exposure(group.ring, &group.members, group.at_risk_ms, 0);
        }
        let found = if *window == start { Found::Own } else { Found::Elsewhere };
        (tally, found)
    }
}

/// Whether a late onset's own window is still known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Own,
    Elsewhere,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> ChangeSet {
        names.iter().map(|&name| Arc::from(name)).collect()
    }

    fn number(name: &str) -> Option<usize> {
        ["a", "b"].iter().position(|&known| known == name)
    }

    #[test]
    fn a_late_onset_finds_its_own_window_or_the_nearest_before() {
        let mut past = PastWindows::new(Span(100), 10);
        let members = past.members(&set(&["a", "unknown"]), number).unwrap();
        assert_eq!(members[..], [0]);
        for start in [0, 50, 60, 120] {
            let group = Group { ring: 0, members: Arc::clone(&members), at_risk_ms: start + 1 };
            past.push(Timestamp(start), vec![group]);
        }
        let check = |start, expected: i64, found| {
            let (tally, was) = past.exposure(Timestamp(start), 1);
            assert_eq!((tally.rings()[0].at_risk_ms, was), (expected, found), "{start}");
        };
        check(50, 51, Found::Own);
        check(119, 61, Found::Elsewhere);
        check(0, 51, Found::Elsewhere);
        check(120, 121, Found::Own);
    }

    #[test]
    fn sets_are_bounded_and_unused_ones_give_way() {
        let mut past = PastWindows::new(Span(100), 2);
        let kept = past.members(&set(&["a"]), number).unwrap();
        past.push(Timestamp(0), vec![Group { ring: 0, members: kept, at_risk_ms: 1 }]);
        assert!(past.members(&set(&["b"]), number).is_some());
        let held = past.members(&set(&["a", "b"]), number);
        assert!(held.is_some(), "the unused set gives way");
        assert!(past.members(&set(&[]), number).is_none(), "both are in use");
    }
}
