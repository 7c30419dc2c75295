//! Exact device time at risk by group and window, in O(1) per change of a device's standing.
//!
//! A device that comes to be at risk at moment x of window w adds `w.end - x` to w and one device
//! from the next window on; one that ceases takes the same away. So a window costs its groups,
//! not its devices:
//! ```text
//! at risk in w = devices at its start x length + partial        devices at start += joined
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::device::Group;
use crate::state::{Reader, StateError, Writer};

/// What happens to a group at one moment, in devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) active: i64,
    pub(crate) silent: i64,
}

/// One group in one closed window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) at_risk_ms: i64,
    /// At the window's start.
    pub(crate) active: i64,
    pub(crate) silent: i64,
}

/// The steps of one group within one open window.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Open {
    step: Step,
    partial_ms: i64,
}

/// Devices at risk and silent by group, now (at the end of the last closed window) and to come.
#[derive(Clone, Debug)]
pub(crate) struct Levels {
    window_ms: i64,
    /// End of the last closed window.
    closed_ms: i64,
    now: BTreeMap<Group, Step>,
    at_risk: i64,
    open: BTreeMap<(i64, Group), Open>,
}

impl Levels {
    pub(crate) const fn new(window_ms: i64) -> Self {
        Self { window_ms, closed_ms: 0, now: BTreeMap::new(), at_risk: 0, open: BTreeMap::new() }
    }

    pub(crate) fn save(&self, out: &mut Writer) {
        out.put(&(self.closed_ms, &self.now, self.at_risk, &self.open));
    }

    pub(crate) fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        (self.closed_ms, self.now, self.at_risk, self.open) = from.take()?;
        Ok(())
    }

    pub(crate) const fn closed_ms(&self) -> i64 {
        self.closed_ms
    }

    /// The window that has a moment inside or at its end: whose close must know of it.
    pub(crate) const fn bucket(&self, at_ms: i64) -> i64 {
        (at_ms - 1).div_euclid(self.window_ms) * self.window_ms
    }

    /// Adds a step at a moment that is not in a closed window.
    pub(crate) fn post(&mut self, group: Group, at_ms: i64, step: Step) {
        assert!(at_ms >= self.closed_ms, "time at risk of a closed window never changes");
        if at_ms == self.closed_ms {
            return self.apply(group, step);
        }
        let window = self.bucket(at_ms);
        let open = self.open.entry((window, group)).or_default();
        open.step.active += step.active;
        open.step.silent += step.silent;
        open.partial_ms += step.active * (window + self.window_ms - at_ms);
    }

    fn apply(&mut self, group: Group, step: Step) {
        let level = self.now.entry(group).or_default();
        level.active += step.active;
        level.silent += step.silent;
        self.at_risk += step.active;
        if *level == Step::default() {
            self.now.remove(&group);
        }
    }

    /// Moves over windows before `target_ms` in which nobody is at risk: they have no rows, and
    /// years of them may lie between two records.
    pub(crate) fn skip_empty(&mut self, target_ms: i64) {
        if self.at_risk == 0 {
            let next = self.open.first_key_value().map_or(target_ms, |((window, _), _)| *window);
            self.closed_ms = self.closed_ms.max(next.min(target_ms));
        }
    }

    /// Closes the next window: its rows, unless nobody was at risk in it.
    ///
    /// A level of silent devices says nothing without active ones beside it.
    pub(crate) fn close(&mut self, mut row: impl FnMut(Group, Closed)) {
        let window = self.closed_ms;
        self.closed_ms += self.window_ms;
        let mut steps = Vec::new();
        while let Some(entry) = self.open.first_entry().filter(|entry| entry.key().0 == window) {
            let ((_, group), open) = entry.remove_entry();
            self.now.entry(group).or_default();
            steps.push((group, open));
        }
        let anybody = self.at_risk > 0 || steps.iter().any(|(_, open)| open.partial_ms > 0);
        let mut steps_left = steps.iter().peekable();
        for (&group, level) in &self.now {
            let partial = steps_left.next_if(|(of, _)| *of == group);
            let closed = Closed {
                at_risk_ms: level.active * self.window_ms + partial.map_or(0, |p| p.1.partial_ms),
                active: level.active,
                silent: level.silent,
            };
            assert!(closed.at_risk_ms >= 0, "no group has less than no time at risk");
            if anybody && closed != Closed::default() {
                row(group, closed);
            }
        }
        for (group, open) in steps {
            self.apply(group, open.step);
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        (self.now.len() + self.open.len()) * 96
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(levels: &mut Levels) -> Vec<(u8, i64, i64, i64)> {
        let mut rows = Vec::new();
        levels.close(|group, row| rows.push((group.ring, row.at_risk_ms, row.active, row.silent)));
        rows
    }

    fn group(ring: u8) -> Group {
        Group { ring, ..Group::default() }
    }

    #[test]
    fn time_at_risk_is_exact_within_a_window_and_levels_stand_at_its_start() {
        let mut levels = Levels::new(100);
        levels.post(group(1), 30, Step { active: 1, silent: 0 });
        levels.post(group(1), 100, Step { active: 1, silent: 0 });
        levels.post(group(1), 160, Step { active: -1, silent: 1 });
        assert_eq!(close(&mut levels), [(1, 70, 0, 0)]);
        assert_eq!(close(&mut levels), [(1, 160, 2, 0)]);
        assert_eq!(close(&mut levels), [(1, 100, 1, 1)]);
    }

    #[test]
    fn windows_without_anybody_at_risk_are_skipped_and_have_no_rows() {
        let mut levels = Levels::new(100);
        levels.post(group(1), 50, Step { active: 0, silent: 1 });
        assert_eq!(close(&mut levels), []);
        levels.post(group(2), 9_999_950, Step { active: 1, silent: 0 });
        levels.skip_empty(20_000_000);
        assert_eq!(levels.closed_ms(), 9_999_900);
        assert_eq!(close(&mut levels), [(1, 0, 0, 1), (2, 50, 0, 0)]);
    }
}
