//! Update records: the row of the transition, the counts of its change, the attempt, the exposure.
//!
//! A device is exposed to a change from its first `installing` or `installed` until `rolled_back`
//! or `uninstalled`. An attempt begins at `installing` (or with an `installed` that exposes the
//! device without one) and ends at the first `installed`, `failed` or `rolled_back`. A device that
//! tries the same change again is not counted again: one that fails for ever is one device.

use std::sync::Arc;

use schemas::delta::Transition;
use schemas::event::{Body, UpdateState};
use schemas::{DurationSignal, Signal};

use crate::accumulate::{Onset, ScopeId, SignalSums};
use crate::device::{Device, SlotNames, Tried};
use crate::fold::{Fold, Record};
use crate::intern::NameId;
use crate::sets::SetId;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    Succeeded,
    Failed,
}

impl Fold {
    /// Counts an update record: the device's set of changes after it.
    pub(crate) fn update(
        &mut self,
        (device, at): (&mut Device, u32),
        record: &Record<'_>,
        names: &SlotNames,
        (text, state, duration_ms): (&str, UpdateState, Option<u64>),
    ) -> SetId {
        let change = self.labels.changes.id(text, NameId::NONE);
        self.transition((at, change), record, names);
        let before = device.group().set;
        let set = self.set_after(before, change, state);
        let newly_exposed = set != before && exposes(state);
        let at_once = newly_exposed && state == UpdateState::Installed;
        let ended = end_attempt(device, change, (state, at_once));
        let sums = self.rows.change(record.place, record.ring, change);
        sums.devices_exposed += i64::from(newly_exposed);
        match state {
            UpdateState::Installing => sums.installs_started += 1,
            UpdateState::Installed => sums.installs_succeeded += 1,
            UpdateState::Failed => sums.installs_failed += 1,
            UpdateState::RolledBack => sums.rollbacks += 1,
            _ => {}
        }
        if let (UpdateState::Installed, Some(duration_ms)) = (state, duration_ms) {
            let scoped = (record.place, record.ring, ScopeId::Change(change));
            self.rows.measures.duration(scoped, DurationSignal::Install, duration_ms);
        }
        let sums = self.rows.change(record.place, record.ring, change);
        match ended {
            Some(Attempt::Succeeded) => sums.attempts_succeeded += 1,
            Some(Attempt::Failed) => {
                sums.attempts_failed += 1;
                let onset = Onset {
                    place: record.place,
                    ring: record.ring,
                    scope: ScopeId::Change(change),
                    signal: Signal::InstallFailure,
                };
                let sums = SignalSums::one(1, 1, record.event.time);
                self.rows.signal(onset, &names[..self.cohort_count], sums);
            }
            None => {}
        }
        set
    }

    /// Changes beyond the bound are counted together, and expose nobody.
    fn set_after(&mut self, set: SetId, change: NameId, state: UpdateState) -> SetId {
        match state {
            _ if change == NameId::OTHER => set,
            _ if exposes(state) => self.labels.sets.with(set, change, &self.labels.changes),
            UpdateState::RolledBack | UpdateState::Uninstalled
                if self.labels.sets.contains(set, change) =>
            {
                self.labels.sets.without(set, change, &self.labels.changes)
            }
            _ => set,
        }
    }

    /// The row of `device_updates`, with the change's own name whatever the bound says.
    fn transition(&mut self, (at, id): (u32, NameId), record: &Record<'_>, names: &SlotNames) {
        let Body::Update { change, state, code, duration_ms } = record.event.body else { return };
        let [build, model] = self.build_and_model(names);
        let known = id != NameId::OTHER;
        self.rows.transitions.push(Transition {
            event_time: record.event.time,
            device: self.pseudonym(record.event.device, at),
            ring: Arc::clone(&self.labels.rings[usize::from(record.ring)]),
            change: if known { Arc::clone(self.labels.changes.text(id)) } else { change.into() },
            state,
            code: code.map(|code| self.codes.shared(code)),
            duration_ms: duration_ms.map(|duration_ms| duration_ms as i64),
            build,
            model,
        });
    }
}

/// What an update record means to the attempt that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempts {
    Begins,
    Ends,
}

/// An attempt, for coming back, is an update record from `installing` on, until a newer one.
pub(crate) const fn attempt(state: UpdateState) -> Option<Attempts> {
    use UpdateState as S;
    match state {
        S::Offered | S::Downloading | S::Downloaded => None,
        S::Installing | S::RestartPending | S::Installed | S::Failed => Some(Attempts::Begins),
        S::RolledBack | S::Uninstalled => Some(Attempts::Ends),
    }
}

const fn exposes(state: UpdateState) -> bool {
    matches!(state, UpdateState::Installing | UpdateState::Installed)
}

/// Begins or ends the device's attempt; one at another change takes the place of one that never
/// ended.
fn end_attempt(
    device: &mut Device,
    change: NameId,
    (state, at_once): (UpdateState, bool),
) -> Option<Attempt> {
    let (open, over) = (Tried::open(change), Tried::ended(change));
    if (state == UpdateState::Installing || at_once) && device.attempt != over {
        device.attempt = open;
    }
    let ended = match state {
        UpdateState::Installed => Attempt::Succeeded,
        UpdateState::Failed | UpdateState::RolledBack => Attempt::Failed,
        _ => return None,
    };
    if device.attempt != open {
        return None;
    }
    device.attempt = over;
    Some(ended)
}
