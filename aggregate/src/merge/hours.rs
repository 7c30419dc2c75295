//! The hours as they stand in `ring_devices`: who was there when each began, who was heard in it.
//!
//! ```text
//! open ──every stream has closed it, and a cut──► written, revision 0 ──late──► revision 1, 2, ...
//! levels and sketches kept                         revision kept, for as long as windows are
//! ```
//! A row carries a sketch of some kilobytes, so an hour is written when it is over and not with
//! every cut. Sketches of revisions join to that of the hour, as counts add up.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{Span, Timestamp};

use super::cells::HourCells;
use super::changes::Changes;
use super::names::{Cohort, Names, Order, ScopeNumber};
use super::stored::Known;
use super::sums::{Arm, Key, Sheet, View};
use super::windows::{load_changes, save_changes};
use crate::batches::Tables;
use crate::batches::rows::{HourRow, hour_row};
use crate::hll::Sketch;
use crate::state::{Reader, StateError, Writer};

const HOUR: Span = Span::hours(1);

/// Sketches of hours that are not written yet, by ring and set of changes: 4 KB each where more
/// than 384 devices were heard, else a few bytes a device.
pub const SKETCHES_MAX: usize = 65_536;

#[derive(Debug)]
pub(super) struct Hours {
    by_start: BTreeMap<Timestamp, Hour>,
    /// Starts of the hours that have something to be written.
    dirty: BTreeSet<Timestamp>,
    count_max: usize,
    /// Hours dropped from memory: what returns to one starts at revision 1.
    forgotten_until: Timestamp,
    sketches_max: usize,
    sketch_count: usize,
    refused: u64,
}

#[derive(Debug)]
struct Hour {
    sheet: Sheet<Cohort, HourCells>,
    /// Changes with arms in it at its last cut.
    tracked: Vec<u32>,
}

impl Hours {
    /// Keeps the hours that `windows_max` windows of `length` touch, two at least.
    pub(super) fn new(length: Span, windows_max: usize, sketches_max: usize) -> Self {
        let reach = i64::try_from(windows_max).unwrap_or(i64::MAX).saturating_mul(length.0);
        Self {
            by_start: BTreeMap::new(),
            dirty: BTreeSet::new(),
            count_max: usize::try_from(reach / HOUR.0).unwrap_or(usize::MAX).max(2),
            forgotten_until: Timestamp::MIN,
            sketches_max,
            sketch_count: 0,
            refused: 0,
        }
    }

    pub(super) fn save(&self, (names, order): (&Names, &Order), out: &mut Writer) {
        let (mut sums, mut tracked) = (Known::default(), Known::default());
        out.put(&self.by_start.len());
        for (start, hour) in &self.by_start {
            out.put(start);
            save_changes(names, &mut tracked, &hour.tracked, out);
            hour.sheet.save((names, order), &mut sums, out);
        }
        out.put(&(&self.dirty, self.forgotten_until, self.sketch_count, self.refused));
    }

    pub(super) fn load(
        &mut self,
        names: &mut Names,
        from: &mut Reader<'_>,
    ) -> Result<(), StateError> {
        let (mut sums, mut tracked) = (Vec::new(), Vec::new());
        self.by_start = from.take_all(|from| {
            let start = from.take()?;
            let tracked = load_changes(names, &mut tracked, from)?;
            Ok((start, Hour { sheet: Sheet::load(names, &mut sums, from)?, tracked }))
        })?;
        (self.dirty, self.forgotten_until, self.sketch_count, self.refused) = from.take()?;
        Ok(())
    }

    /// Adds devices that were there when the hour began.
    pub(super) fn add_devices(&mut self, start: Timestamp, key: Key<Cohort>, devices_active: i64) {
        let cells = HourCells { devices_active, sketch: Sketch::default() };
        self.touch(start).sheet.add(key, &cells);
    }

    /// Adds devices of a ring and set that were heard in the hour.
    pub(super) fn add_sketch(
        &mut self,
        start: Timestamp,
        (ring, set): (u32, ScopeNumber),
        coupons: &[u32],
    ) {
        let is_full = self.sketch_count >= self.sketches_max;
        let sheet = &mut self.touch(start).sheet;
        let key = (ring, set, Cohort::ALL);
        let is_new = sheet.fresh(&key).is_none_or(|cells| cells.sketch == Sketch::default());
        if is_new && is_full {
            self.refused += 1;
            return;
        }
        let cells = HourCells { devices_active: 0, sketch: Sketch::of(coupons) };
        sheet.add(key, &cells);
        self.sketch_count += usize::from(is_new);
    }

    fn touch(&mut self, start: Timestamp) -> &mut Hour {
        self.dirty.insert(start);
        let revision = i64::from(start <= self.forgotten_until);
        self.by_start
            .entry(start)
            .or_insert_with(|| Hour { sheet: Sheet::new(revision), tracked: Vec::new() })
    }

    /// Writes the hours that are over and what has come to them since.
    pub(super) fn cut(
        &mut self,
        (names, order): (&Names, &Order),
        changes: &Changes,
        finished_until: Timestamp,
        tables: &mut Tables,
    ) {
        let over: Vec<Timestamp> = self.over(finished_until).collect();
        for start in over {
            self.dirty.remove(&start);
            if let Some(hour) = self.by_start.get_mut(&start) {
                self.sketch_count -=
                    hour.sheet.fresh_count(|cells| cells.sketch != Sketch::default());
                hour.cut(start, (names, order), changes, tables);
            }
        }
        while self.by_start.len() > self.count_max.max(self.dirty.len()) {
            let oldest = self.by_start.keys().find(|start| !self.dirty.contains(start)).copied();
            let Some(start) = oldest else { break };
            self.by_start.remove(&start);
            self.forgotten_until = self.forgotten_until.max(start);
        }
    }

    /// Hours that are over and have something to be written.
    fn over(&self, finished_until: Timestamp) -> impl Iterator<Item = Timestamp> {
        let is_over = move |start: &Timestamp| *start + HOUR <= finished_until;
        self.dirty.iter().copied().take_while(is_over)
    }

    /// Sums that the next cut looks at.
    pub(super) fn sums_pending(&self, finished_until: Timestamp) -> usize {
        let hours = self.over(finished_until).filter_map(|start| self.by_start.get(&start));
        hours.map(|hour| hour.sheet.len()).sum()
    }

    /// Sketches that the bound refused.
    pub(super) const fn refused(&self) -> u64 {
        self.refused
    }
}

impl Hour {
    fn cut(
        &mut self,
        start: Timestamp,
        (names, order): (&Names, &Order),
        changes: &Changes,
        tables: &mut Tables,
    ) {
        let tracked = changes.tracked(Timestamp(start.0 + HOUR.0 - 1));
        let view = View { names, order, tracked: &tracked, tracked_before: &self.tracked };
        self.sheet.cut(view, |key, revision, cells| {
            let cohort = names.cohort_name(key.detail).as_ref();
            let cohort = cohort.map(|(key, value)| (&**key, &**value));
            let sketch = cells.sketch.bytes();
            let change = key.change.map(|(_, name)| name);
            let (ring, arm) = (key.ring, key.arm.map(Arm::name));
            let devices_active = cells.devices_active;
            let row = HourRow { start, change, ring, arm, cohort, devices_active, revision };
            hour_row(tables, &row, sketch.as_deref());
        });
        self.sheet.settle();
        self.tracked = tracked;
    }
}
