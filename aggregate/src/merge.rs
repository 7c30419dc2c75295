//! The merge: journal entries of every stream in, windows for the detector and table rows out.
//!
//! ```text
//! Entry ─► add ─┬─► Evaluation ─► next_window   totals of the rows evaluated in a window
//!               └─► Windows ────► cut           what the tables lack, by change x arm
//! ```
//! Pure. Streams interleave as they like and entries may be split anywhere: what `next_window`
//! yields, and the sums over all that `cut` hands out, are the same. A cut takes everything merged
//! since the cut before, finished windows or not; evaluation follows the streams' watermarks.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemas::delta::{Delta, Place, SignalDelta};
use schemas::entry::EntryHeader;
use schemas::{Entry, Input, Span, Stream, StreamKind, Timestamp, UNMANAGED};

mod cells;
mod changes;
mod evaluation;
mod hours;
mod measures;
mod names;
mod records;
mod stored;
mod streams;
mod sums;
mod windows;

#[cfg(test)]
mod tests;

pub use crate::batches::{TableRows, alert_rows};
pub use evaluation::Evaluable;
pub use hours::SKETCHES_MAX;

use crate::batches::Tables;
use crate::batches::rows::health;
use crate::state::{Reader, StateError, Writer};
use cells::HealthCells;
use changes::Changes;
use evaluation::{Evaluation, Timing};
use hours::Hours;
use names::{ByName, Names, ScopeNumber};
use records::Records;
use streams::Streams;
use windows::Windows;

/// Windows kept in memory: a week of minutes, so that a device's buffer uploaded after a weekend
/// away still meets its window; some 2 KB each with five rings and four sets.
pub const WINDOWS_MAX: usize = 10_080;

/// Changes with arms: what one partition can name. Each adds a row per ring to every window.
pub const CHANGES_MAX: usize = 4_096;

/// What the merge has to know beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeConfig {
    pub window_length: Span,
    /// Configured rings; every other is written as it is named, without arms.
    pub rings: Vec<String>,
    /// Names of the topics for the dataset `rejected`; one that is absent goes by its kind's name.
    pub topics: BTreeMap<StreamKind, String>,
    /// See [`WINDOWS_MAX`]. Finished windows beyond are forgotten, open ones never: see
    /// [`Merge::is_full`].
    pub windows_max: usize,
    /// See [`CHANGES_MAX`]. A change beyond has treated rows but no control.
    pub changes_max: usize,
    /// See [`SKETCHES_MAX`]. Devices heard in a group beyond are in no sketch.
    pub sketches_max: usize,
}

/// What the bounds of the merge refused so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MergeRefused {
    /// Finished windows dropped from memory: late rows for one start at revision 1.
    pub windows_forgotten: u64,
    /// Groups of rows, and records, that named a change beyond the bound.
    pub changes_untracked: u64,
    /// Rows of sketches of a ring, set and hour beyond the bound.
    pub sketches_refused: u64,
}

impl MergeRefused {
    /// Adds what was refused since `before` to the counters.
    pub fn publish_since(&self, before: &Self) {
        let windows = self.windows_forgotten - before.windows_forgotten;
        let changes = self.changes_untracked - before.changes_untracked;
        crate::metrics::merge_refused("windows_max", windows);
        crate::metrics::merge_refused("changes_max", changes);
        let sketches = self.sketches_refused - before.sketches_refused;
        crate::metrics::merge_refused("sketches_max", sketches);
    }
}

/// Of a merge's stored state: to be raised whenever what is stored, or its order, changes.
const FORMAT: u8 = 3;

/// See the module.
#[derive(Debug)]
pub struct Merge {
    streams: Streams,
    names: Names,
    changes: Changes,
    evaluation: Evaluation,
    windows: Windows,
    hours: Hours,
    records: Records,
    length: Span,
    windows_max: usize,
}

impl Merge {
    /// A merge of these streams, from entry 0 of each; more join where an entry says that the
    /// topic has grown.
    pub fn new(config: MergeConfig, streams: &[Stream]) -> Self {
        let managed = config.rings.iter().filter(|&ring| ring != UNMANAGED);
        Self {
            streams: Streams::new(streams),
            names: Names::new(managed.map(|ring| Arc::from(ring.as_str()))),
            changes: Changes::new(config.changes_max),
            evaluation: Evaluation::new(config.window_length),
            windows: Windows::new(config.window_length, config.windows_max),
            hours: Hours::new(config.window_length, config.windows_max, config.sketches_max),
            records: Records::new(config.topics),
            length: config.window_length,
            windows_max: config.windows_max,
        }
    }

    /// The state as bytes; whoever stores them stores their SHA-256, too. See [`Merge::load`].
    pub fn save(&self) -> Vec<u8> {
        let mut out = Writer::new(FORMAT);
        self.streams.save(&mut out);
        self.changes.save(&self.names, &mut out);
        self.evaluation.save(&mut out);
        let order = self.names.order();
        self.windows.save((&self.names, &order), &mut out);
        self.hours.save((&self.names, &order), &mut out);
        self.records.save(&mut out);
        out.finish()
    }

    /// The merge as it was when it was saved, under the same configuration.
    ///
    /// The caller has checked the bytes against their SHA-256: what is not state gives an error or
    /// a merge that means nothing.
    pub fn load(config: MergeConfig, streams: &[Stream], bytes: &[u8]) -> Result<Self, StateError> {
        let mut from = Reader::new(bytes, FORMAT)?;
        let mut merge = Self::new(config, streams);
        merge.streams.load(&mut from)?;
        merge.changes.load(&mut merge.names, &mut from)?;
        merge.evaluation.load(&mut from)?;
        merge.windows.load(&mut merge.names, &mut from)?;
        merge.hours.load(&mut merge.names, &mut from)?;
        merge.records.load(&mut from)?;
        from.end()?;
        Ok(merge)
    }

    /// Takes up the next entry of its stream.
    ///
    /// # Panics
    /// On a stream not named at the start, and on an entry out of order (A5): whoever reads a
    /// journal has made sure of both.
    pub fn add(&mut self, entry: &Entry) {
        let (header, delta) = (&entry.header, &entry.delta);
        self.add_growth(header);
        self.streams.follow(header, self.evaluation.until);
        self.add_health(delta);
        self.add_changes(delta);
        self.add_signals(delta);
        self.add_measures(delta);
        self.add_records(header.stream, delta);
        if let Some(start) = self.changes.take_lowered() {
            self.windows.touch_from(start);
        }
        self.records.add(header.stream, delta);
    }

    /// Devices have moved: the new streams are waited for from now on, and open tests end.
    fn add_growth(&mut self, header: &EntryHeader) {
        for input in &header.inputs {
            if let Input::Grown(grown) = input {
                self.streams.grow(grown.partition_count);
                self.evaluation.repartitioned = true;
            }
        }
    }

    fn add_health(&mut self, delta: &Delta) {
        for rows in delta.health.chunk_by(|a, b| a.place == b.place) {
            let (evaluated, timing) = self.evaluation_of(rows[0].place);
            let totals = self.evaluation.window(evaluated);
            let sheet = &mut self.windows.touch(rows[0].place.window).health;
            for row in rows {
                let (ring, set) = (self.names.ring(&row.ring), self.names.set(&row.set));
                self.changes.seen_in(&self.names, ScopeNumber::Set(set), evaluated);
                match (timing, self.names.is_configured(ring)) {
                    (Timing::OnTime, true) => {
                        evaluation::add_health(totals, self.names.group(ring, set), row);
                    }
                    (Timing::OnTime, false) => {
                        evaluation::add_foreign(totals, self.names.set_name(set), row);
                    }
                    (Timing::Late, _) => {}
                }
                let mut cells = [0; health::CELLS];
                cells[health::DEVICES_ACTIVE] = row.devices_active;
                cells[health::AT_RISK_MS] = row.at_risk_ms;
                cells[health::DEVICES_SILENT] = row.devices_silent;
                cells[health::HEARTBEATS] = row.heartbeats;
                cells[health::BOOTS] = row.boots;
                cells[health::RECORDS] = row.records;
                cells[health::DUPLICATES] = row.duplicates;
                sheet.add((ring, ScopeNumber::Set(set), ()), &HealthCells::of_counts(cells));
            }
        }
    }

    fn add_changes(&mut self, delta: &Delta) {
        for rows in delta.changes.chunk_by(|a, b| a.place == b.place) {
            let (evaluated, _) = self.evaluation_of(rows[0].place);
            let totals = self.evaluation.window(evaluated);
            let sheet = &mut self.windows.touch(rows[0].place.window).health;
            for row in rows {
                let (ring, change) = (self.names.ring(&row.ring), self.names.change(&row.change));
                self.changes.seen(change, evaluated);
                if self.names.is_configured(ring) {
                    let key = (self.names.ring_name(ring), self.names.change_name(change));
                    evaluation::add_change(totals, (key.0.clone(), key.1.clone()), row);
                }
                let mut cells = [0; health::CELLS];
                cells[health::DEVICES_EXPOSED] = row.devices_exposed;
                cells[health::INSTALLS_STARTED] = row.installs_started;
                cells[health::INSTALLS_SUCCEEDED] = row.installs_succeeded;
                cells[health::INSTALLS_FAILED] = row.installs_failed;
                cells[health::ROLLBACKS] = row.rollbacks;
                sheet.add((ring, ScopeNumber::Change(change), ()), &HealthCells::of_counts(cells));
            }
        }
    }

    /// By far the most rows: what those of one group share is looked up once.
    fn add_signals(&mut self, delta: &Delta) {
        let is_same = |a: &SignalDelta, b: &SignalDelta| {
            (a.place, &a.ring, &a.scope) == (b.place, &b.ring, &b.scope)
        };
        for rows in delta.signals.chunk_by(is_same) {
            let SignalDelta { place, ring, scope, .. } = &rows[0];
            let (evaluated, timing) = self.evaluation_of(*place);
            let (ring, scope) = (self.names.ring(ring), self.names.scope(scope));
            self.changes.seen_in(&self.names, scope, evaluated);
            let totals = self.evaluation.window(evaluated);
            if self.names.is_configured(ring) {
                let (ring, scope) = (self.names.ring_name(ring), self.names.scope_name(scope));
                evaluation::add_signals(totals, timing, (ring, &scope), rows);
            }
            let sheet = &mut self.windows.touch(place.window).signals;
            for row in rows {
                let detail = (ByName::of(row.signal), self.names.cohort(&row.cohort));
                sheet.add((ring, scope, detail), &[row.affected_devices, row.events]);
            }
        }
    }

    fn add_records(&mut self, stream: Stream, delta: &Delta) {
        for record in &delta.registry {
            let window = record.takes_effect.window_start(self.length);
            self.changes.register(&mut self.names, record, window);
            self.evaluation.register(stream, record);
        }
        delta.support.iter().for_each(|record| self.evaluation.support(stream, record));
    }

    /// Where a row is evaluated. A stream that comes back after the end of its input may name a
    /// window already handed out: its rows then count as late in the next one.
    fn evaluation_of(&self, place: Place) -> (Timestamp, Timing) {
        let evaluated = place.evaluated.max(self.evaluation.until);
        let on_time = evaluated == place.window;
        (evaluated, if on_time { Timing::OnTime } else { Timing::Late })
    }

    /// The next window that every stream has closed, with the registry and support records that
    /// take effect before its end, each once, by (`takes_effect`, offset).
    ///
    /// A window in which nothing is evaluated and nothing takes effect is passed over.
    pub fn next_window(&mut self) -> Option<Evaluable> {
        let is_partial = !self.streams.left_out().is_empty();
        let (mut totals, registry, support) = self.evaluation.next(self.ready_until())?;
        totals.partial = is_partial;
        Some((totals, registry, support))
    }

    /// Every window that ends at or before this is closed in every stream.
    pub fn ready_until(&self) -> Timestamp {
        self.streams.ready_until()
    }

    /// From now on windows do not wait for this stream; what it brings for windows that were
    /// evaluated without it counts as late. Once it has caught up it is waited for again.
    pub fn leave_out(&mut self, stream: Stream) {
        self.streams.leave_out(stream);
    }

    /// How many streams windows do not wait for.
    pub fn left_out_count(&self) -> usize {
        self.streams.left_out().len()
    }

    /// Streams that are waited for although more than half of the telemetry partitions beside them
    /// are further on by more than `span`.
    pub fn behind(&self, span: Span) -> Vec<Stream> {
        self.streams.behind(span)
    }

    /// About how many rows the next cut hands out; too many rather than too few.
    pub fn rows_pending(&self) -> usize {
        let rows_per_sum = 1 + self.changes.tracked(Timestamp(i64::MAX)).len();
        let sums = self.windows.sums_pending() + self.hours.sums_pending(self.ready_until());
        let sums = sums.saturating_mul(rows_per_sum);
        sums.saturating_add(self.records.pending_count())
    }

    /// The rows of everything merged since the last cut, by dataset and day, each batch sorted.
    pub fn cut(&mut self) -> Vec<TableRows> {
        let mut tables = Tables::default();
        let finished_until = self.ready_until();
        let order = self.names.order();
        let names = (&self.names, &order);
        self.windows.cut(names, &mut self.changes, finished_until, &mut tables);
        self.hours.cut(names, &self.changes, finished_until, &mut tables);
        self.records.cut(&mut tables);
        if self.names.are_too_many() {
            self.number_anew();
        }
        tables.finish()
    }

    /// Forgets the names that nothing is summed under any more: as by a restart.
    fn number_anew(&mut self) {
        let mut out = Writer::new(FORMAT);
        let order = self.names.order();
        self.changes.save(&self.names, &mut out);
        self.windows.save((&self.names, &order), &mut out);
        self.hours.save((&self.names, &order), &mut out);
        let stored = out.finish();
        let mut names = self.names.emptied();
        let mut load = || {
            let mut from = Reader::new(&stored, FORMAT)?;
            self.changes.load(&mut names, &mut from)?;
            self.windows.load(&mut names, &mut from)?;
            self.hours.load(&mut names, &mut from)
        };
        assert_eq!(load(), Ok(()), "what was just stored is state");
        names.settle();
        self.names = names;
    }

    /// Whether more windows are open than `windows_max`: a stream is far behind the others.
    ///
    /// Nothing is refused or lost; whoever reads the journals should read that stream before it
    /// goes on with those ahead, so that memory stays bounded.
    pub fn is_full(&self) -> bool {
        self.windows_open() > self.windows_max
    }

    /// Number of the entry that the stream goes on with: of how many were added.
    pub fn next_number(&self, stream: Stream) -> u64 {
        self.streams.next_number(stream)
    }

    /// Whether the stream has closed more than `windows_max` windows that the slowest has not,
    /// counted from the first that holds rows.
    ///
    /// Its next entries can wait where they are, so that memory stays bounded and nobody is
    /// stopped. The slowest stream is never ahead, and one that has ended holds up nobody.
    pub fn is_ahead(&self, stream: Stream) -> bool {
        let Some(first) = self.evaluation.first_pending() else { return false };
        let windows_max = i64::try_from(self.windows_max).unwrap_or(i64::MAX);
        let slowest = self.ready_until().max(first);
        let closed = self.streams.closed_until(stream).0.saturating_sub(slowest.0);
        closed / self.length.0 > windows_max
    }

    /// Windows in memory that are not finished or not yet cut.
    pub fn windows_open(&self) -> usize {
        self.windows.open_count().max(self.evaluation.pending_count())
    }

    /// What the bounds refused so far, for the counters of the process.
    pub fn refused(&self) -> MergeRefused {
        MergeRefused {
            windows_forgotten: self.windows.forgotten(),
            changes_untracked: self.changes.refused(),
            sketches_refused: self.hours.refused(),
        }
    }
}
