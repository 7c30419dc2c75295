//! Reads published tables back, row by row, as any reader would: from the files alone.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schemas::Dataset;

use crate::blobs::Blobs;
use crate::error::StoreError;
use crate::key;

/// One row; columns are numbered as they were asked for.
#[derive(Debug)]
pub struct Row<'a> {
    columns: &'a [Column],
    index: usize,
}

#[derive(Debug)]
enum Column {
    Text(StringArray),
    Count(Int64Array),
}

impl Row<'_> {
    /// The text in a column; `None` for NULL, and in a column of counts.
    pub fn text(&self, column: usize) -> Option<&str> {
        match &self.columns[column] {
            Column::Text(values) => values.is_valid(self.index).then(|| values.value(self.index)),
            Column::Count(_) => None,
        }
    }

    /// The number in a column, microseconds of a time; 0 for NULL, and in a column of text.
    pub fn count(&self, column: usize) -> i64 {
        match &self.columns[column] {
            Column::Count(values) if values.is_valid(self.index) => values.value(self.index),
            Column::Count(_) | Column::Text(_) => 0,
        }
    }
}

/// Hands every row of a dataset to `visit`, file by file in name order.
pub fn read_rows(
    blobs: &dyn Blobs,
    dataset: Dataset,
    columns: &[&str],
    visit: &mut dyn FnMut(&Row<'_>),
) -> Result<(), StoreError> {
    for file in blobs.list(&format!("{}/{}", key::TABLES, dataset.name()))? {
        let Some(bytes) = blobs.get(&file)? else { continue };
        let unreadable =
            |error: &dyn std::fmt::Display| StoreError::damaged(&file, error.to_string());
        let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes))
            .map_err(|error| unreadable(&error))?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
        let batches = builder.with_projection(mask).build().map_err(|error| unreadable(&error))?;
        for batch in batches {
            let batch = batch.map_err(|error| unreadable(&error))?;
            let found = columns_of(&batch, columns).map_err(|error| unreadable(&error))?;
            for index in 0..batch.num_rows() {
                visit(&Row { columns: &found, index });
            }
        }
    }
    Ok(())
}

/// The columns in the order asked for, text out of its dictionaries.
fn columns_of(batch: &RecordBatch, names: &[&str]) -> Result<Vec<Column>, String> {
    let schema = batch.schema();
    let places: HashMap<&str, usize> =
        schema.fields().iter().enumerate().map(|(at, field)| (field.name().as_str(), at)).collect();
    let column = |name: &&str| {
        let at = places.get(name).ok_or_else(|| format!("it has no column `{name}`"))?;
        let values = batch.column(*at);
        if matches!(values.data_type(), DataType::Int64 | DataType::Timestamp(..)) {
            let counts = cast(values, &DataType::Int64).map_err(|error| error.to_string())?;
            return Ok(Column::Count(counts.as_primitive().clone()));
        }
        let text = cast(values, &DataType::Utf8).map_err(|error| error.to_string())?;
        Ok(Column::Text(text.as_string().clone()))
    };
    names.iter().map(column).collect()
}
