//! One row of each dataset, as cells in column order.

use schemas::delta::Transition;
use schemas::reject::RejectedRow;
use schemas::{Alert, Dataset, DurationSignal, Histogram, Stream, Timestamp};
use serde::Serialize;

use super::{Cell, Tables};

/// Cells of a row of `ring_health`, in the order of its columns.
pub(crate) mod health {
    pub(crate) const CELLS: usize = 12;
    pub(crate) const DEVICES_ACTIVE: usize = 0;
    /// Milliseconds in the merge, seconds in the table.
    pub(crate) const AT_RISK_MS: usize = 1;
    pub(crate) const DEVICES_SILENT: usize = 2;
    pub(crate) const DEVICES_EXPOSED: usize = 3;
    pub(crate) const INSTALLS_STARTED: usize = 4;
    pub(crate) const INSTALLS_SUCCEEDED: usize = 5;
    pub(crate) const INSTALLS_FAILED: usize = 6;
    pub(crate) const ROLLBACKS: usize = 7;
    pub(crate) const HEARTBEATS: usize = 8;
    pub(crate) const BOOTS: usize = 9;
    pub(crate) const RECORDS: usize = 10;
    pub(crate) const DUPLICATES: usize = 11;
}

/// One row of a dataset of windows: its key but for the signal, and its `N` counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowRow<'a, const N: usize> {
    /// Start and end.
    pub span: (Timestamp, Timestamp),
    pub change: Option<&'a str>,
    pub change_type: Option<&'a str>,
    pub ring: &'a str,
    pub arm: Option<&'a str>,
    pub cells: [i64; N],
    pub revision: i64,
}

impl<'a, const N: usize> WindowRow<'a, N> {
    fn key(&self) -> [Cell<'a>; 6] {
        [
            Cell::Time(self.span.0),
            Cell::Time(self.span.1),
            Cell::text(self.change),
            Cell::text(self.change_type),
            Cell::Text(self.ring),
            Cell::text(self.arm),
        ]
    }

    fn counts(&self) -> [Cell<'a>; N] {
        self.cells.map(Cell::Count)
    }
}

/// `durations` in the order of the columns: `install_ms`, `boot_ms`, `signin_ms`.
pub(crate) fn health_row(
    tables: &mut Tables,
    row: &WindowRow<'_, { health::CELLS }>,
    durations: &[Histogram; DurationSignal::ALL.len()],
) {
    let lists = durations.iter().flat_map(|histogram| {
        [histogram.le(), histogram.n()].map(|list| match list {
            [] => Cell::Null,
            list => Cell::Counts(list),
        })
    });
    let cells = row.key().into_iter().chain(row.counts()).chain(lists);
    tables.push(Dataset::RingHealth, row.span.0, cells.chain([Cell::Count(row.revision)]));
}

pub(crate) fn signal_row(
    tables: &mut Tables,
    row: &WindowRow<'_, 2>,
    signal: &str,
    cohort: Option<(&str, &str)>,
) {
    let (cohort_key, cohort_value) = cohort.unzip();
    let what = [Cell::Text(signal), Cell::text(cohort_key), Cell::text(cohort_value)];
    let cells = row.key().into_iter().chain(what).chain(row.counts());
    tables.push(Dataset::RingSignals, row.span.0, cells.chain([Cell::Count(row.revision)]));
}

/// One row of `ring_devices` but for its sketch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HourRow<'a> {
    pub start: Timestamp,
    pub change: Option<&'a str>,
    pub ring: &'a str,
    pub arm: Option<&'a str>,
    pub cohort: Option<(&'a str, &'a str)>,
    pub devices_active: i64,
    pub revision: i64,
}

pub(crate) fn hour_row(tables: &mut Tables, row: &HourRow<'_>, sketch: Option<&[u8]>) {
    let (cohort_key, cohort_value) = row.cohort.unzip();
    let cells = [
        Cell::Time(row.start),
        Cell::text(row.change),
        Cell::Text(row.ring),
        Cell::text(row.arm),
        Cell::text(cohort_key),
        Cell::text(cohort_value),
        Cell::Count(row.devices_active),
        sketch.map_or(Cell::Null, Cell::Bytes),
        Cell::Count(row.revision),
    ];
    tables.push(Dataset::RingDevices, row.start, cells);
}

pub(crate) fn transition_row(tables: &mut Tables, row: &Transition) {
    let cells = [
        Cell::Time(row.event_time),
        Cell::Text(row.device.as_str()),
        Cell::Text(&row.ring),
        Cell::Text(&row.change),
        Cell::Text(row.state.name()),
        Cell::text(row.code.as_deref()),
        Cell::count(row.duration_ms),
        Cell::text(row.build.as_deref()),
        Cell::text(row.model.as_deref()),
    ];
    tables.push(Dataset::DeviceUpdates, row.event_time, cells);
}

/// A record without a time stands under `date=1970-01-01`.
pub(crate) fn rejected_row(tables: &mut Tables, topic: &str, stream: Stream, row: &RejectedRow) {
    let cells = [
        Cell::Text(topic),
        Cell::Count(i64::from(stream.partition)),
        Cell::Count(row.offset),
        Cell::time(row.time),
        Cell::Text(row.stage.name()),
        Cell::Text(&row.error),
        Cell::text(row.field.as_deref()),
        Cell::Bytes(&row.value),
        Cell::Count(row.size),
    ];
    tables.push(Dataset::Rejected, row.time.unwrap_or_default(), cells);
}

pub(crate) fn alert_row(tables: &mut Tables, alert: &Alert) {
    let (evidence, action) = (json(&alert.evidence), json(&alert.action));
    let (cohort, links) = (alert.cohort.as_ref().map(json), json(&alert.links));
    let cells = [
        Cell::Text(&alert.id),
        Cell::Text(&alert.fingerprint),
        Cell::Text(alert.state.name()),
        Cell::Text(alert.decision.name()),
        Cell::text(alert.escalation.map(schemas::Escalation::name)),
        Cell::Text(alert.severity.name()),
        Cell::Text(&alert.change),
        Cell::Text(alert.change_type.name()),
        Cell::Truth(alert.unregistered),
        Cell::Text(&alert.ring),
        Cell::Text(&alert.signal),
        Cell::Count(i64::from(alert.transition)),
        Cell::Time(alert.starts_at),
        Cell::Time(alert.updated_at),
        Cell::time(alert.ends_at),
        Cell::Text(&alert.summary),
        Cell::Text(&evidence),
        Cell::text(cohort.as_deref()),
        Cell::Text(&action),
        Cell::Text(&links),
    ];
    tables.push(Dataset::Alerts, alert.updated_at, cells);
}

#[expect(clippy::expect_used, reason = "serialising to a string fails on odd map keys only")]
fn json<T: Serialize>(part: &T) -> String {
    serde_json::to_string(part).expect("a part of an alert holds plain fields only")
}
