//! The lines of a Delta log, as its protocol spells them.
//!
//! The protocol asks of whoever writes to a table that it knows every writer feature that the table
//! names. Ours names one that nobody else has, so others refuse to write, to compact and to
//! vacuum, which would delete files of ours; reading asks for nothing beyond version 1.

use std::collections::BTreeMap;

use schemas::tables::{Column, Kind};
use schemas::{Commit, Dataset};
use serde::Serialize;
use serde_json::{Value, json};

use super::File;
use crate::error::StoreError;
use crate::hash::sha256;
use crate::key;

/// `invariants` is what columns that are never NULL ask of a table with named features: without it
/// Spark refuses to read. The other is the one that only ringwatch has.
const WRITER_FEATURES: [&str; 2] = ["invariants", "ringwatch"];

/// Names our commits in the table's transactions: version = sequence in the chain.
const APP_ID: &str = "ringwatch";

/// From `delta/<dataset>` back to the data folder.
const TO_DATA: &str = "../../";

/// What a version is for, in the words of the format's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Write,
    Optimize,
    Delete,
}

impl Operation {
    const fn name(self) -> &'static str {
        match self {
            Self::Write => "WRITE",
            Self::Optimize => "OPTIMIZE",
            Self::Delete => "DELETE",
        }
    }
}

/// One line of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct Action(Value);

impl Action {
    pub(super) fn commit_info(operation: Operation, at_ms: i64) -> Self {
        let (operation, engine) = (operation.name(), APP_ID);
        Self(json!({ "commitInfo": {
            "timestamp": at_ms, "operation": operation, "operationParameters": {},
            "engineInfo": engine,
        } }))
    }

    pub(super) fn txn(sequence: u64) -> Self {
        Self(json!({ "txn": { "appId": APP_ID, "version": sequence } }))
    }

    /// A file that readers see from this version on. What is settled holds no new rows.
    pub(super) fn add(path: &str, file: File) -> Self {
        let stats = json!({ "numRecords": file.rows }).to_string();
        let is_new = !path.starts_with(key::SETTLED);
        Self(json!({ "add": {
            "path": format!("{TO_DATA}{path}"), "partitionValues": partition_values(path),
            "size": file.bytes, "modificationTime": file.added_at_ms, "dataChange": is_new,
            "stats": stats,
        } }))
    }

    pub(super) fn remove(path: &str, bytes: u64, operation: Operation, at_ms: i64) -> Self {
        let is_loss = operation == Operation::Delete;
        Self(json!({ "remove": {
            "path": format!("{TO_DATA}{path}"), "deletionTimestamp": at_ms, "dataChange": is_loss,
            "extendedFileMetadata": true, "partitionValues": partition_values(path),
            "size": bytes,
        } }))
    }
}

fn partition_values(path: &str) -> BTreeMap<&'static str, &str> {
    key::parse_day(path).map(|(_, date)| ("date", date)).into_iter().collect()
}

/// What version 0 says: who may read and write, and the columns.
pub(super) fn of_table(dataset: Dataset, seed: [u64; 2]) -> Vec<Action> {
    let protocol = json!({ "protocol": {
        "minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": WRITER_FEATURES,
    } });
    let metadata = json!({ "metaData": {
        "id": id(dataset, seed), "name": dataset.name(), "description": dataset.row(),
        "format": { "provider": "parquet", "options": {} },
        "schemaString": schema(dataset).to_string(), "partitionColumns": ["date"],
        "configuration": {},
    } });
    vec![Action(protocol), Action(metadata)]
}

/// A UUID of version 8 that is the table's own: other data folders' have others.
fn id(dataset: Dataset, seed: [u64; 2]) -> String {
    let digits = sha256(format!("{seed:?} {}", dataset.name()).as_bytes());
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    let (one, two, three) = (part(0, 8), part(8, 12), part(13, 16));
    format!("{one}-{two}-8{three}-8{}-{}", part(17, 20), part(20, 32))
}

fn schema(dataset: Dataset) -> Value {
    let mut fields: Vec<Value> = dataset.columns().iter().map(field).collect();
    fields.push(json!({
        "name": "date", "type": "date", "nullable": false,
        "metadata": { "comment": "day of the row's time, UTC" },
    }));
    json!({ "type": "struct", "fields": fields })
}

fn field(column: &Column) -> Value {
    let of_kind = match column.kind {
        Kind::Count => json!("long"),
        Kind::Real => json!("double"),
        Kind::Time => json!("timestamp"),
        Kind::Name | Kind::Text => json!("string"),
        Kind::Bytes => json!("binary"),
        Kind::Truth => json!("boolean"),
        Kind::Counts => json!({ "type": "array", "elementType": "long", "containsNull": false }),
    };
    // `comment` is what Spark shows of a column.
    let comment = match column.unit {
        "" => column.meaning.to_owned(),
        unit => format!("{} [{unit}]", column.meaning),
    };
    json!({
        "name": column.name, "type": of_kind, "nullable": column.nullable,
        "metadata": { "comment": comment },
    })
}

/// When a commit was, by event time, in Unix milliseconds: 0 while nothing is evaluated.
pub(super) fn event_time_ms(commit: &Commit) -> i64 {
    commit.evaluated_until.map_or(0, |until| until.0.div_euclid(1_000))
}

/// One action a line, as a version holds them.
pub(super) fn lines(actions: &[Action]) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    for action in actions {
        serde_json::to_writer(&mut bytes, action)
            .map_err(|error| StoreError::encode("a version of a Delta log")(error.into()))?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// The pointer to the newest checkpoint.
pub(super) fn last_checkpoint(version: u64, actions: usize) -> String {
    json!({ "version": version, "size": actions }).to_string()
}
