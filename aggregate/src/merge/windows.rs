//! The windows as they stand in the tables: what was written of each, and what has come since.
//!
//! ```text
//! open ──every stream has closed it, and a cut──► settled ──beyond `windows_max`──► forgotten
//! all sums kept          time at risk and revision kept          revision 1 if it returns
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemas::{Span, Timestamp};

use super::cells::{HealthCells, SignalCells};
use super::changes::Changes;
use super::names::{ByName, Cohort, Names, Order};
use super::stored::{self, Known};
use super::sums::{Arm, RowName, Sheet, View};
use crate::batches::Tables;
use crate::batches::rows::{WindowRow, health_row, signal_row};
use crate::state::{Reader, StateError, Writer};

#[derive(Debug)]
pub(super) struct Windows {
    by_start: BTreeMap<Timestamp, Window>,
    /// Starts of the windows that the next cut has to look at.
    dirty: BTreeSet<Timestamp>,
    /// Starts of the windows not settled.
    open: BTreeSet<Timestamp>,
    length: Span,
    count_max: usize,
    forgotten: u64,
    forgotten_until: Timestamp,
}

#[derive(Debug)]
pub(super) struct Window {
    pub(super) health: Sheet<(), HealthCells>,
    pub(super) signals: Sheet<(ByName, Cohort), SignalCells>,
    /// Changes with arms in it at its last cut.
    tracked: Vec<u32>,
}

impl Windows {
    pub(super) const fn new(length: Span, count_max: usize) -> Self {
        Self {
            by_start: BTreeMap::new(),
            dirty: BTreeSet::new(),
            open: BTreeSet::new(),
            length,
            count_max,
            forgotten: 0,
            forgotten_until: Timestamp::MIN,
        }
    }

    /// Stores the windows, names and sets once each: a week of windows names the same few.
    pub(super) fn save(&self, (names, order): (&Names, &Order), out: &mut Writer) {
        let (mut health, mut signals) = (Known::default(), Known::default());
        let mut tracked = Known::default();
        out.put(&self.by_start.len());
        for (start, window) in &self.by_start {
            out.put(start);
            save_changes(names, &mut tracked, &window.tracked, out);
            window.health.save((names, order), &mut health, out);
            window.signals.save((names, order), &mut signals, out);
        }
        out.put(&(&self.dirty, &self.open, self.forgotten, self.forgotten_until));
    }

    pub(super) fn load(
        &mut self,
        names: &mut Names,
        from: &mut Reader<'_>,
    ) -> Result<(), StateError> {
        let (mut health, mut signals, mut tracked) = (Vec::new(), Vec::new(), Vec::new());
        self.by_start = from.take_all(|from| {
            let start = from.take()?;
            let tracked = load_changes(names, &mut tracked, from)?;
            let health = Sheet::load(names, &mut health, from)?;
            let signals = Sheet::load(names, &mut signals, from)?;
            Ok((start, Window { health, signals, tracked }))
        })?;
        (self.dirty, self.open, self.forgotten, self.forgotten_until) = from.take()?;
        Ok(())
    }

    /// The window that starts at `start`, for adding to.
    pub(super) fn touch(&mut self, start: Timestamp) -> &mut Window {
        self.dirty.insert(start);
        self.open.insert(start);
        let revision = i64::from(start <= self.forgotten_until);
        self.by_start.entry(start).or_insert_with(|| Window {
            health: Sheet::new(revision),
            signals: Sheet::new(revision),
            tracked: Vec::new(),
        })
    }

    /// Has the next cut look at every window from `start` on: a change got arms in them.
    pub(super) fn touch_from(&mut self, start: Timestamp) {
        self.dirty.extend(self.by_start.range(start..).map(|(start, _)| *start));
    }

    /// Writes what came since the last cut; windows that end by `finished_until` are settled.
    pub(super) fn cut(
        &mut self,
        (names, order): (&Names, &Order),
        changes: &mut Changes,
        finished_until: Timestamp,
        tables: &mut Tables,
    ) {
        for start in std::mem::take(&mut self.dirty) {
            if let Some(window) = self.by_start.get_mut(&start) {
                let span = (start, start + self.length);
                window.cut(span, (names, order), changes, tables);
            }
        }
        while let Some(start) = self.open.first().copied() {
            let end = start + self.length;
            if end > finished_until {
                break;
            }
            self.open.pop_first();
            changes.finish(end);
            if let Some(window) = self.by_start.get_mut(&start) {
                window.health.settle();
                window.signals.settle();
            }
        }
        self.forget();
    }

    /// Drops the oldest settled windows beyond the bound; open ones are never dropped.
    fn forget(&mut self) {
        while self.by_start.len() > self.count_max.max(self.open.len()) {
            let oldest = self.by_start.keys().find(|start| !self.open.contains(start)).copied();
            let Some(start) = oldest else { break };
            self.by_start.remove(&start);
            self.forgotten += 1;
            self.forgotten_until = self.forgotten_until.max(start);
        }
    }

    /// Sums that the next cut will look at.
    pub(super) fn sums_pending(&self) -> usize {
        let windows = self.dirty.iter().filter_map(|start| self.by_start.get(start));
        windows.map(|window| window.health.len() + window.signals.len()).sum()
    }

    /// Windows that some stream may still add to on time, or that wait for their cut.
    pub(super) fn open_count(&self) -> usize {
        self.open.len()
    }

    /// Settled windows dropped: what returns to one starts at revision 1, its seconds rounded anew.
    pub(super) const fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

impl Window {
    fn cut(
        &mut self,
        span: (Timestamp, Timestamp),
        (names, order): (&Names, &Order),
        changes: &Changes,
        tables: &mut Tables,
    ) {
        let tracked = changes.tracked(span.0);
        let view = View { names, order, tracked: &tracked, tracked_before: &self.tracked };
        self.health.cut(view, |key, revision, HealthCells { counts, durations }| {
            health_row(tables, &window_row(span, key, changes, revision, counts), &durations);
        });
        self.signals.cut(view, |key, revision, cells| {
            let (signal, cohort) = key.detail;
            let cohort = names.cohort_name(cohort).as_ref().map(|(key, value)| (&**key, &**value));
            let row = window_row(span, key, changes, revision, cells);
            signal_row(tables, &row, signal.signal().name(), cohort);
        });
        self.tracked = tracked;
    }
}

fn window_row<'a, D, const N: usize>(
    span: (Timestamp, Timestamp),
    key: &RowName<'a, D>,
    changes: &Changes,
    revision: i64,
    cells: [i64; N],
) -> WindowRow<'a, N> {
    let change_type = key.change.map(|(change, _)| changes.change_type(change).name());
    let change = key.change.map(|(_, name)| name);
    let (ring, arm) = (key.ring, key.arm.map(Arm::name));
    WindowRow { span, change, change_type, ring, arm, cells, revision }
}

/// Stores changes in the order of their names, the same ones once.
pub(super) fn save_changes<'a>(
    names: &Names,
    known: &mut Known<&'a [u32]>,
    changes: &'a [u32],
    out: &mut Writer,
) {
    let in_full = || changes.iter().map(|&it| names.change_name(it)).collect::<BTreeSet<_>>();
    known.save(&changes, in_full, out);
}

pub(super) fn load_changes(
    names: &mut Names,
    known: &mut Vec<Vec<u32>>,
    from: &mut Reader<'_>,
) -> Result<Vec<u32>, StateError> {
    let key = |changes: Vec<Arc<str>>| {
        changes.iter().map(|it| names.change(it)).collect::<BTreeSet<_>>().into_iter().collect()
    };
    stored::load_key(known, key, from)
}
