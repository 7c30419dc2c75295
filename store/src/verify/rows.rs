//! What the rows of a file say: the sums that its commit counts, and a print of every value.

use std::hash::{DefaultHasher, Hasher};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::row::{RowConverter, SortField};
use schemas::{Dataset, StreamKind};

use super::chain::Cut;
use super::tables::Depth;
use crate::tables::Opened;

/// What files and entries must agree on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    records: i64,
    duplicates: i64,
    rejected: i64,
    alerts: i64,
}

/// What one or several files hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) rows: u64,
    pub(super) sums: Sums,
    /// The sum of a hash of each row: the same rows give the same in any order.
    print: u64,
}

impl Contents {
    pub(super) fn of(opened: &Opened, dataset: Dataset, depth: Depth) -> Result<Self, String> {
        let rows = opened.footer.rows;
        let mut contents = Self { rows, ..Self::default() };
        match dataset {
            Dataset::Rejected => contents.sums.rejected = rows as i64,
            Dataset::Alerts => contents.sums.alerts = rows as i64,
            _ => {}
        }
        for batch in opened.batches()? {
            let batch = batch?;
            if dataset == Dataset::RingHealth {
                contents.sums.records += whole_ring_sum(&batch, "records")?;
                contents.sums.duplicates += whole_ring_sum(&batch, "duplicates")?;
            }
            if depth == Depth::Rows {
                contents.print = contents.print.wrapping_add(print(&batch)?);
            }
        }
        Ok(contents)
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.sums.add(&other.sums);
        self.print = self.print.wrapping_add(other.print);
    }
}

/// The sum of a column over the rows of whole rings (change NULL).
fn whole_ring_sum(batch: &RecordBatch, column: &str) -> Result<i64, String> {
    let found = |name: &str| {
        batch.column_by_name(name).ok_or_else(|| format!("its column {name} is missing"))
    };
    let (change, values) = (found("change")?, found(column)?.as_primitive::<Int64Type>());
    let rows = (0..batch.num_rows()).filter(|row| change.is_null(*row));
    Ok(rows.map(|row| values.value(row)).sum())
}

/// Compared within one process only, so any hash that mixes well will do.
fn print(batch: &RecordBatch) -> Result<u64, String> {
    let fault = |error: &dyn std::fmt::Display| format!("its rows cannot be read: {error}");
    let schema = batch.schema();
    let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone()));
    let converter = RowConverter::new(fields.collect()).map_err(|error| fault(&error))?;
    let rows = converter.convert_columns(batch.columns()).map_err(|error| fault(&error))?;
    let hash = |row: arrow::row::Row<'_>| {
        let mut hasher = DefaultHasher::new();
        hasher.write(row.data());
        hasher.finish()
    };
    Ok(rows.iter().map(hash).fold(0, u64::wrapping_add))
}

impl Sums {
    /// What the files of a cut have to hold.
    pub(super) fn of_entries(cut: &Cut) -> Self {
        let mut sums = Self { alerts: cut.alert_count as i64, ..Self::default() };
        for range in &cut.merged {
            if range.stream.kind == StreamKind::Telemetry {
                sums.records += range.counts.applied as i64;
                sums.duplicates += range.counts.duplicates as i64;
            }
            sums.rejected += range.counts.rejected as i64;
        }
        sums
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.duplicates += other.duplicates;
        self.rejected += other.rejected;
        self.alerts += other.alerts;
    }
}

impl std::fmt::Display for Sums {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { records, duplicates, rejected, alerts } = self;
        write!(
            formatter,
            "{records} records, {duplicates} duplicates, {rejected} rejected, {alerts} alerts"
        )
    }
}
