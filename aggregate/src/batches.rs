//! From values to Arrow record batches, one per dataset and day, as `schemas::Dataset` lays out.
//!
//! In: rows as cells in column order, pushed in the order of the file. Out: [`TableRows`].

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder, ListBuilder,
    RecordBatch, StringBuilder, StringDictionaryBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Int32Type};
use schemas::tables::Kind;
use schemas::time::SECOND_US;
use schemas::{Alert, Dataset, Timestamp};

pub(crate) mod rows;

/// Microseconds in a day.
const DAY_US: i64 = 86_400 * SECOND_US;

/// Rows of one dataset that belong into one folder `date=…`.
#[derive(Clone, Debug, PartialEq)]
pub struct TableRows {
    pub dataset: Dataset,
    /// `YYYY-MM-DD`.
    pub date: String,
    pub batch: RecordBatch,
}

/// The rows of alert transitions.
pub fn alert_rows(alerts: &[Alert]) -> Vec<TableRows> {
    let mut sorted: Vec<&Alert> = alerts.iter().collect();
    sorted.sort_by_key(|alert| (alert.updated_at, &alert.id, alert.transition));
    let mut tables = Tables::default();
    for alert in sorted {
        rows::alert_row(&mut tables, alert);
    }
    tables.finish()
}

/// One value of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell<'a> {
    Null,
    Count(i64),
    Time(Timestamp),
    Text(&'a str),
    Bytes(&'a [u8]),
    Truth(bool),
    Counts(&'a [i64]),
}

impl<'a> Cell<'a> {
    pub(crate) fn text(value: Option<&'a str>) -> Self {
        value.map_or(Self::Null, Self::Text)
    }

    pub(crate) fn count(value: Option<i64>) -> Self {
        value.map_or(Self::Null, Self::Count)
    }

    pub(crate) fn time(value: Option<Timestamp>) -> Self {
        value.map_or(Self::Null, Self::Time)
    }
}

/// Batches under construction, by dataset and day.
#[derive(Default)]
pub(crate) struct Tables {
    days: BTreeMap<(Dataset, i64), Vec<Column>>,
}

impl Tables {
    /// Appends a row to the day that holds `at`.
    pub(crate) fn push<'a>(
        &mut self,
        dataset: Dataset,
        at: Timestamp,
        row: impl IntoIterator<Item = Cell<'a>>,
    ) {
        let columns = self.days.entry((dataset, at.day())).or_insert_with(|| {
            dataset.columns().iter().map(|column| Column::of(column.kind)).collect()
        });
        let mut cells = row.into_iter();
        for (column, description) in columns.iter_mut().zip(dataset.columns()) {
            let cell = cells.next();
            assert!(
                cell.is_some_and(|cell| column.push(cell)),
                "cell {cell:?} does not fit {}.{}",
                dataset.name(),
                description.name
            );
        }
        assert!(cells.next().is_none(), "more cells than {} has columns", dataset.name());
    }

    /// The finished batches, by dataset and day.
    pub(crate) fn finish(self) -> Vec<TableRows> {
        let finish = |((dataset, day), columns): ((Dataset, i64), Vec<Column>)| TableRows {
            dataset,
            date: Timestamp(day * DAY_US).date(),
            batch: batch(dataset, columns),
        };
        self.days.into_iter().map(finish).collect()
    }
}

#[expect(clippy::expect_used, reason = "columns are built from the schema they are checked with")]
fn batch(dataset: Dataset, columns: Vec<Column>) -> RecordBatch {
    let arrays = columns.into_iter().map(Column::finish).collect();
    RecordBatch::try_new(dataset.schema(), arrays)
        .expect("every column has the kind and the NULLs that its schema allows")
}

enum Column {
    Count(Int64Builder),
    Real(Float64Builder),
    Time(TimestampMicrosecondBuilder),
    Name(StringDictionaryBuilder<Int32Type>),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Truth(BooleanBuilder),
    Counts(ListBuilder<Int64Builder>),
}

impl Column {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Count => Self::Count(Int64Builder::new()),
            Kind::Real => Self::Real(Float64Builder::new()),
            Kind::Time => Self::Time(TimestampMicrosecondBuilder::new().with_timezone("UTC")),
            Kind::Name => Self::Name(StringDictionaryBuilder::new()),
            Kind::Text => Self::Text(StringBuilder::new()),
            Kind::Bytes => Self::Bytes(BinaryBuilder::new()),
            Kind::Truth => Self::Truth(BooleanBuilder::new()),
            Kind::Counts => {
                let item = Field::new("item", DataType::Int64, false);
                Self::Counts(ListBuilder::new(Int64Builder::new()).with_field(item))
            }
        }
    }

    /// Whether the cell is of the column's kind, and now stands in it.
    #[must_use]
    fn push(&mut self, cell: Cell<'_>) -> bool {
        match (self, cell) {
            (Self::Count(column), Cell::Count(value)) => column.append_value(value),
            (Self::Time(column), Cell::Time(value)) => column.append_value(value.0),
            (Self::Name(column), Cell::Text(value)) => column.append_value(value),
            (Self::Text(column), Cell::Text(value)) => column.append_value(value),
            (Self::Bytes(column), Cell::Bytes(value)) => column.append_value(value),
            (Self::Truth(column), Cell::Truth(value)) => column.append_value(value),
            (Self::Counts(column), Cell::Counts(values)) => {
                column.append_value(values.iter().copied().map(Some));
            }
            (Self::Count(column), Cell::Null) => column.append_null(),
            (Self::Real(column), Cell::Null) => column.append_null(),
            (Self::Time(column), Cell::Null) => column.append_null(),
            (Self::Name(column), Cell::Null) => column.append_null(),
            (Self::Text(column), Cell::Null) => column.append_null(),
            (Self::Bytes(column), Cell::Null) => column.append_null(),
            (Self::Truth(column), Cell::Null) => column.append_null(),
            (Self::Counts(column), Cell::Null) => column.append_null(),
            _ => return false,
        }
        true
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Count(mut column) => Arc::new(column.finish()),
            Self::Real(mut column) => Arc::new(column.finish()),
            Self::Time(mut column) => Arc::new(column.finish()),
            Self::Name(mut column) => Arc::new(column.finish()),
            Self::Text(mut column) => Arc::new(column.finish()),
            Self::Bytes(mut column) => Arc::new(column.finish()),
            Self::Truth(mut column) => Arc::new(column.finish()),
            Self::Counts(mut column) => Arc::new(column.finish()),
        }
    }
}
