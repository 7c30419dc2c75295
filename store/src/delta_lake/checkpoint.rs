//! A checkpoint of a Delta log: every action that holds at a version, as rows of one Parquet file.

use std::error::Error;
use std::io::Cursor;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema};
use arrow::json::ReaderBuilder;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

/// As in the tables: bytes follow from the rows.
const CREATED_BY: &str = "ringwatch";

/// Encodes actions, one a line as versions have them.
pub(super) fn encode(lines: &[u8]) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let schema = Arc::new(schema());
    let properties = WriterProperties::builder().set_created_by(CREATED_BY.to_owned()).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties))?;
    for batch in ReaderBuilder::new(schema).build(Cursor::new(lines))? {
        writer.write(&batch?)?;
    }
    Ok(writer.into_inner()?)
}

/// One nullable struct for each kind of action; a row fills one of them.
fn schema() -> Schema {
    let fields: Fields = vec![
        action("txn", vec![text("appId"), long("version")]),
        action(
            "add",
            vec![
                text("path"),
                texts_by_text("partitionValues"),
                long("size"),
                long("modificationTime"),
                Field::new("dataChange", DataType::Boolean, true),
                text("stats"),
            ],
        ),
        action(
            "remove",
            vec![
                text("path"),
                long("deletionTimestamp"),
                Field::new("dataChange", DataType::Boolean, true),
            ],
        ),
        action(
            "metaData",
            vec![
                text("id"),
                text("name"),
                text("description"),
                action("format", vec![text("provider"), texts_by_text("options")]),
                text("schemaString"),
                texts("partitionColumns"),
                texts_by_text("configuration"),
            ],
        ),
        action(
            "protocol",
            vec![
                Field::new("minReaderVersion", DataType::Int32, true),
                Field::new("minWriterVersion", DataType::Int32, true),
                texts("writerFeatures"),
            ],
        ),
    ]
    .into();
    Schema::new(fields)
}

fn action(name: &str, fields: Vec<Field>) -> Field {
    Field::new(name, DataType::Struct(fields.into()), true)
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

fn long(name: &str) -> Field {
    Field::new(name, DataType::Int64, true)
}

fn texts(name: &str) -> Field {
    Field::new_list(name, Field::new("element", DataType::Utf8, true), true)
}

fn texts_by_text(name: &str) -> Field {
    let (key, value) = (Field::new("key", DataType::Utf8, false), text("value"));
    Field::new_map(name, "key_value", key, value, false, true)
}
