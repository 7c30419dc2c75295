//! The windows as they stand in the tables: what was written of each, and what has come since.
//!
//! ```text
//! open ──every stream has closed it, and a cut──► settled ──beyond `windows_max`──► forgotten
//! all sums kept          time at risk and revision kept          revision 1 if it returns
//! ```

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemas::delta::ChangeSet;
use schemas::{Signal, Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::cells::{HealthCells, SignalCells};
use super::changes::Changes;
use super::stored::{self, Known};
use super::sums::{Arm, RowKey, Sheet, View};
use crate::batches::Tables;
use crate::batches::rows::{WindowRow, health_row, signal_row};
use crate::state::{Reader, StateError, Writer};

/// A signal, and key and value of a cohort.
pub(super) type Detail = (ByName, Option<(Arc<str>, Arc<str>)>);

/// A signal in the order of the file, which is by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ByName(pub(super) Signal);

impl Ord for ByName {
    fn cmp(&self, other: &Self) -> Ordering {
        if self == other {
            return Ordering::Equal;
        }
        self.0.name().cmp(other.0.name())
    }
}

impl PartialOrd for ByName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

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
    pub(super) signals: Sheet<Detail, SignalCells>,
    /// Changes with arms in it at its last cut.
    tracked: ChangeSet,
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
    pub(super) fn save(&self, out: &mut Writer) {
        let (mut health, mut signals) = (Known::default(), Known::default());
        let mut tracked = Known::default();
        out.put(&self.by_start.len());
        for (start, window) in &self.by_start {
            out.put(start);
            tracked.save(&window.tracked, out);
            window.health.save(&mut health, out);
            window.signals.save(&mut signals, out);
        }
        out.put(&(&self.dirty, &self.open, self.forgotten, self.forgotten_until));
    }

    pub(super) fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        let (mut health, mut signals, mut tracked) = (Vec::new(), Vec::new(), Vec::new());
        self.by_start = from.take_all(|from| {
            let start = from.take()?;
            let tracked = stored::load_key(&mut tracked, from)?;
            let health = Sheet::load(&mut health, from)?;
            Ok((start, Window { health, signals: Sheet::load(&mut signals, from)?, tracked }))
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
            tracked: ChangeSet::from([]),
        })
    }

    /// Has the next cut look at every window from `start` on: a change got arms in them.
    pub(super) fn touch_from(&mut self, start: Timestamp) {
        self.dirty.extend(self.by_start.range(start..).map(|(start, _)| *start));
    }

    /// Writes what came since the last cut; windows that end by `finished_until` are settled.
    pub(super) fn cut(
        &mut self,
        rings: &BTreeSet<Arc<str>>,
        changes: &mut Changes,
        finished_until: Timestamp,
        tables: &mut Tables,
    ) {
        for start in std::mem::take(&mut self.dirty) {
            if let Some(window) = self.by_start.get_mut(&start) {
                window.cut((start, start + self.length), rings, changes, tables);
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
        rings: &BTreeSet<Arc<str>>,
        changes: &Changes,
        tables: &mut Tables,
    ) {
        let tracked = changes.tracked(span.0);
        let view = View { rings, tracked: &tracked, tracked_before: &self.tracked };
        self.health.cut(view, |key, revision, HealthCells { counts, durations }| {
            health_row(tables, &window_row(span, key, changes, revision, counts), &durations);
        });
        self.signals.cut(view, |key, revision, cells| {
            let (ByName(signal), cohort) = key.detail;
            let cohort = cohort.as_ref().map(|(key, value)| (key.as_ref(), value.as_ref()));
            signal_row(
                tables,
                &window_row(span, key, changes, revision, cells),
                signal.name(),
                cohort,
            );
        });
        if *tracked != *self.tracked {
            self.tracked = tracked.into();
        }
    }
}

fn window_row<'a, D, const N: usize>(
    span: (Timestamp, Timestamp),
    key: &RowKey<'a, D>,
    changes: &Changes,
    revision: i64,
    cells: [i64; N],
) -> WindowRow<'a, N> {
    let change_type = key.change.map(|change| changes.change_type(change).name());
    let (change, ring, arm) = (key.change, key.ring, key.arm.map(Arm::name));
    WindowRow { span, change, change_type, ring, arm, cells, revision }
}
