//! One Parquet file: the bytes of a batch, and what its footer says of where the rows came from.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use schemas::{Dataset, SCHEMA_VERSION};

use super::SourceRange;
use crate::error::StoreError;

const SCHEMA_VERSION_KEY: &str = "ringwatch.schema_version";
const SOURCES_KEY: &str = "ringwatch.sources";
const SEQUENCE_KEY: &str = "ringwatch.sequence";
const COVERS_KEY: &str = "ringwatch.covers";

/// Level 3 is the default of zstd itself: a tenth smaller than 1 at half its speed, and files are
/// written once in 15 minutes.
const ZSTD_LEVEL: i32 = 3;

/// Fixed, so that a file's bytes follow from its rows and not from the version of a library.
const CREATED_BY: &str = "ringwatch";

/// What a file says of its rows, beside how many there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    pub(super) sequence: u64,
    pub(super) sources: &'a [SourceRange],
    /// Of a settled file: the sequences `[first, last]` whose table files hold the same rows.
    pub(super) covers: Option<(u64, u64)>,
}

/// Encodes the rows of a file; the same arguments give the same bytes.
pub(super) fn encode(
    dataset: Dataset,
    batch: &RecordBatch,
    origin: Origin<'_>,
) -> Result<Vec<u8>, StoreError> {
    assert_eq!(batch.schema().fields(), dataset.schema().fields(), "rows of {}", dataset.name());
    let write = || -> Result<Vec<u8>, ParquetError> {
        let properties = properties(origin)?;
        let mut writer = ArrowWriter::try_new(Vec::new(), dataset.schema(), Some(properties))?;
        writer.write(batch)?;
        writer.into_inner()
    };
    write().map_err(|error| StoreError::encode("a table file")(error.into()))
}

fn properties(origin: Origin<'_>) -> Result<WriterProperties, ParquetError> {
    let sources = serde_json::to_string(origin.sources)
        .map_err(|error| ParquetError::External(Box::new(error)))?;
    let mut footer = vec![
        (SCHEMA_VERSION_KEY, SCHEMA_VERSION.to_string()),
        (SOURCES_KEY, sources),
        (SEQUENCE_KEY, origin.sequence.to_string()),
    ];
    if let Some((first, last)) = origin.covers {
        footer.push((COVERS_KEY, format!("[[{first},{last}]]")));
    }
    let pair = |(key, value): (&str, String)| KeyValue::new(key.to_owned(), value);
    let footer = footer.into_iter().map(pair).collect();
    Ok(WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_dictionary_enabled(true)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_created_by(CREATED_BY.to_owned())
        .set_key_value_metadata(Some(footer))
        .build())
}

/// What the footer of a table file says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) schema_version: u32,
    pub(crate) sequence: u64,
    pub(crate) sources: Vec<SourceRange>,
    /// Ranges `[first, last]` of sequences; in a settled file only.
    pub(crate) covers: Option<Vec<(u64, u64)>>,
    pub(crate) rows: u64,
}

impl Footer {
    /// The names of what it says otherwise.
    pub(crate) fn differing(&self, other: &Self) -> Vec<&'static str> {
        let fields = [
            ("schema_version", self.schema_version == other.schema_version),
            ("sequence", self.sequence == other.sequence),
            ("sources", self.sources == other.sources),
            ("covers", self.covers == other.covers),
            ("rows", self.rows == other.rows),
        ];
        fields.into_iter().filter(|(_, agrees)| !agrees).map(|(name, _)| name).collect()
    }
}

/// A table file whose footer has been read.
pub(crate) struct Opened {
    pub(crate) footer: Footer,
    pub(crate) schema: SchemaRef,
    bytes: Bytes,
    metadata: ArrowReaderMetadata,
}

/// Reads the footer of a table file; the error says what is wrong with it.
pub(crate) fn open(bytes: Vec<u8>) -> Result<Opened, String> {
    let bytes = Bytes::from(bytes);
    let metadata = ArrowReaderMetadata::load(&bytes, <_>::default())
        .map_err(|error| format!("it cannot be read: {error}"))?;
    let file = metadata.metadata().file_metadata();
    let found = |key: &str| {
        let mut pairs = file.key_value_metadata().into_iter().flatten();
        pairs.find(|pair| pair.key == key).and_then(|pair| pair.value.as_deref())
    };
    let value = |key: &str| found(key).ok_or_else(|| format!("its footer lacks {key}"));
    let number = |key: &str| {
        value(key)?.parse::<u64>().map_err(|_| format!("{key} in its footer is no number"))
    };
    let footer = Footer {
        schema_version: number(SCHEMA_VERSION_KEY)? as u32,
        sequence: number(SEQUENCE_KEY)?,
        sources: serde_json::from_str(value(SOURCES_KEY)?)
            .map_err(|error| format!("{SOURCES_KEY} in its footer: {error}"))?,
        covers: found(COVERS_KEY)
            .map(serde_json::from_str)
            .transpose()
            .map_err(|error| format!("{COVERS_KEY} in its footer: {error}"))?,
        rows: file.num_rows() as u64,
    };
    Ok(Opened { footer, schema: Arc::clone(metadata.schema()), bytes, metadata })
}

impl Opened {
    /// Reads all rows, batch by batch.
    pub(crate) fn batches(
        &self,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, String>>, String> {
        let fault = |error: &dyn std::fmt::Display| format!("its rows cannot be read: {error}");
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(
            self.bytes.clone(),
            self.metadata.clone(),
        )
        .build()
        .map_err(|error| fault(&error))?;
        Ok(reader.map(move |batch| batch.map_err(|error| fault(&error))))
    }
}
