//! Which changes have arms, from which window on, and of which type they are.
//!
//! A change is tracked from the first window in which a row that names it is evaluated, or in which
//! a registry record that says it is under way takes effect. All such rows are merged before that
//! window is finished, so the answer for a finished window never changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemas::delta::RegistryDelta;
use schemas::{ChangeRecord, ChangeStatus, ChangeType, Timestamp};
use serde::{Deserialize, Serialize};

use super::names::{Names, ScopeNumber};
use crate::state::{Reader, StateError, Writer};

#[derive(Debug)]
pub(super) struct Changes {
    /// By number.
    known: BTreeMap<u32, Known>,
    count_max: usize,
    refused: u64,
    /// No change is tracked in windows before this: they are finished.
    floor: Timestamp,
    /// First window that has gained a change since [`Changes::take_lowered`].
    lowered: Option<Timestamp>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Known {
    /// `None` while only the registry knows it, as something over or taken back.
    tracked_from: Option<Timestamp>,
    change_type: ChangeType,
}

impl Changes {
    pub(super) const fn new(count_max: usize) -> Self {
        let known = BTreeMap::new();
        Self { known, count_max, refused: 0, floor: Timestamp::MIN, lowered: None }
    }

    pub(super) fn save(&self, names: &Names, out: &mut Writer) {
        assert!(self.lowered.is_none(), "the windows know of every change");
        let known = self.known.iter().map(|(&change, known)| (names.change_name(change), known));
        out.put(&(known.collect::<BTreeMap<_, _>>(), self.refused, self.floor));
    }

    pub(super) fn load(
        &mut self,
        names: &mut Names,
        from: &mut Reader<'_>,
    ) -> Result<(), StateError> {
        let known: BTreeMap<Arc<str>, Known>;
        (known, self.refused, self.floor) = from.take()?;
        self.known = known.into_iter().map(|(name, known)| (names.change(&name), known)).collect();
        Ok(())
    }

    /// Takes up that a row evaluated in the window that starts at `window` names the change.
    pub(super) fn seen(&mut self, change: u32, window: Timestamp) {
        let window = window.max(self.floor);
        let Some(known) = self.known_mut(change) else { return };
        if known.tracked_from.is_none_or(|from| window < from) {
            known.tracked_from = Some(window);
            self.lowered = Some(self.lowered.map_or(window, |lowered| lowered.min(window)));
        }
    }

    /// The same for every change that a row's scope names.
    pub(super) fn seen_in(&mut self, names: &Names, scope: ScopeNumber, window: Timestamp) {
        match scope {
            ScopeNumber::Change(change) => self.seen(change, window),
            ScopeNumber::Set(set) => {
                names.members(set).iter().for_each(|&change| self.seen(change, window));
            }
        }
    }

    /// Takes up a registry record that takes effect in the window that starts at `window`.
    ///
    /// One that is withdrawn or deleted later keeps its arms: the devices still have it, and when
    /// to stop expanding it is decided elsewhere. One over before it was ever seen starts none: a
    /// compacted topic holds every change of years, and each would double the rows of every ring.
    pub(super) fn register(&mut self, names: &mut Names, delta: &RegistryDelta, window: Timestamp) {
        let record = delta.record.as_deref().map(serde_json::from_str::<ChangeRecord>);
        let Some(Ok(record)) = record else { return };
        let name = Arc::from(delta.change.as_str());
        // The topic may name any number of changes: only those that are kept get a number.
        let is_known = names.known_change(&name).is_some_and(|it| self.known.contains_key(&it));
        if !is_known && self.known.len() >= self.count_max {
            self.refused += 1;
            return;
        }
        let change = names.change(&name);
        if let Some(known) = self.known_mut(change) {
            known.change_type = record.change_type;
        }
        if !record.status.is_withdrawn() && record.status != ChangeStatus::Completed {
            self.seen(change, window);
        }
    }

    fn known_mut(&mut self, change: u32) -> Option<&mut Known> {
        if !self.known.contains_key(&change) {
            if self.known.len() >= self.count_max {
                self.refused += 1;
                return None;
            }
            let known = Known { tracked_from: None, change_type: ChangeType::Unknown };
            self.known.insert(change, known);
        }
        self.known.get_mut(&change)
    }

    /// Changes with arms in the window that starts at `window`.
    pub(super) fn tracked(&self, window: Timestamp) -> Vec<u32> {
        let tracked = |known: &Known| known.tracked_from.is_some_and(|from| from <= window);
        let known = self.known.iter().filter(|(_, known)| tracked(known));
        known.map(|(&change, _)| change).collect()
    }

    /// The type last announced.
    pub(super) fn change_type(&self, change: u32) -> ChangeType {
        self.known.get(&change).map_or(ChangeType::Unknown, |known| known.change_type)
    }

    pub(super) const fn take_lowered(&mut self) -> Option<Timestamp> {
        self.lowered.take()
    }

    /// Takes up that the windows before `until` are finished.
    pub(super) fn finish(&mut self, until: Timestamp) {
        self.floor = self.floor.max(until);
    }

    /// How often a change was met beyond the bound: its treated rows are written, its control not.
    pub(super) const fn refused(&self) -> u64 {
        self.refused
    }
}
