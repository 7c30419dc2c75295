//! Table files from batch to reader, and what a crash in between leaves.

use std::sync::Arc;

use arrow::array::{ArrayRef, new_null_array};
use schemas::{Counts, StreamKind};

use super::*;
use crate::blobs::{LocalStore, MemoryStore};
use crate::testing::{Folder, rejected_batch};

fn sources() -> Vec<SourceRange> {
    vec![SourceRange { topic: "telemetry".to_owned(), partition: 0, start: 5, end: 9 }]
}

fn stage(tables: &Tables, sequence: u64, rows: i64) -> FileRecord {
    let batch = rejected_batch("telemetry", 0..rows);
    tables.stage(sequence, 0, Dataset::Rejected, "2026-07-19", &batch, &sources()).unwrap()
}

fn commit(sequence: u64, files: &[FileRecord]) -> Commit {
    Commit {
        v: 1,
        sequence,
        publisher: "a".to_owned(),
        merged: Vec::new(),
        evaluated_until: None,
        alerts: Vec::new(),
        cut: true,
        files: files.to_vec(),
        ..Commit::default()
    }
}

#[test]
fn a_file_is_seen_only_after_it_is_published_and_says_where_it_comes_from() {
    let folder = Folder::new();
    let blobs = Arc::new(LocalStore::open(folder.path()).unwrap());
    let tables = Tables::new(Arc::<LocalStore>::clone(&blobs));
    let file = stage(&tables, 7, 3);
    assert_eq!(blobs.list("tables").unwrap(), Vec::<String>::new());
    tables.publish(&file).unwrap();
    tables.publish(&file).unwrap();
    let path = "tables/rejected/date=2026-07-19/00000000000000000007-0.parquet";
    assert_eq!(blobs.list("tables").unwrap(), [path]);
    assert_eq!(blobs.list("system/staging").unwrap(), Vec::<String>::new());
    let bytes = blobs.get(path).unwrap().unwrap();
    assert_eq!((file.bytes, file.rows), (bytes.len() as u64, 3));
    assert_eq!(file.sha256, sha256(&bytes));
    let opened = open(bytes).unwrap();
    let expected =
        Footer { schema_version: 1, sequence: 7, sources: sources(), covers: None, rows: 3 };
    assert_eq!(opened.footer, expected);
    let rows: Vec<_> = opened.batches().unwrap().map(Result::unwrap).collect();
    assert_eq!(rows, [rejected_batch("telemetry", 0..3)]);
}

#[test]
fn rows_are_read_from_published_files_only_in_the_columns_asked_for() {
    let blobs = Arc::new(MemoryStore::new());
    let tables = Tables::new(Arc::<MemoryStore>::clone(&blobs));
    for (sequence, rows) in [(0, 2), (1, 3)] {
        tables.publish(&stage(&tables, sequence, rows)).unwrap();
    }
    stage(&tables, 2, 9);
    let mut seen = Vec::new();
    let mut visit = |row: &crate::Row<'_>| {
        seen.push((row.count(0), row.text(1).map(str::to_owned), row.text(0).is_none()));
    };
    crate::read_rows(&*blobs, Dataset::Rejected, &["offset", "topic"], &mut visit).unwrap();
    let expected = [0, 1, 0, 1, 2].map(|offset| (offset, Some("telemetry".to_owned()), true));
    assert_eq!(seen, expected);
    let unknown = crate::read_rows(&*blobs, Dataset::Rejected, &["nothing"], &mut |_| {});
    assert!(matches!(unknown, Err(StoreError::Damaged { .. })), "{unknown:?}");
}

#[test]
fn the_same_rows_give_the_same_bytes() {
    let tables = Tables::new(Arc::new(MemoryStore::new()));
    assert_eq!(stage(&tables, 7, 300), stage(&tables, 7, 300));
}

#[test]
fn a_recovery_publishes_what_was_committed_and_removes_what_was_not() {
    let blobs = Arc::new(MemoryStore::new());
    let tables = Tables::new(Arc::<MemoryStore>::clone(&blobs));
    let (done, left, lost) = (stage(&tables, 0, 1), stage(&tables, 1, 2), stage(&tables, 1, 3));
    let next = stage(&tables, 2, 4);
    tables.publish(&done).unwrap();
    let commits = [commit(0, &[done]), commit(1, std::slice::from_ref(&left))];
    assert_eq!(tables.recover_files(&commits).unwrap(), 1);
    assert_eq!(tables.recover_files(&commits).unwrap(), 0);
    assert_eq!(sha256(&blobs.get(&left.path).unwrap().unwrap()), left.sha256);
    assert_ne!(left.sha256, lost.sha256);
    let waiting = vec![staged_key(&next).unwrap()];
    assert_eq!(blobs.list("system/staging").unwrap(), waiting);
}

#[test]
fn a_recovery_publishes_settled_files_and_deletes_dropped_days_again() {
    let blobs = Arc::new(MemoryStore::new());
    let tables = Tables::new(Arc::<MemoryStore>::clone(&blobs));
    let (gone, kept) = (stage(&tables, 0, 1), stage(&tables, 2, 2));
    tables.publish(&gone).unwrap();
    let batch = rejected_batch("telemetry", 0..1);
    let place = (Dataset::Rejected, "2026-07-18");
    let settled = tables.stage_settled(0, place, &batch, &[], (0, 0)).unwrap();
    let day = schemas::commit::DroppedDay {
        dataset: "rejected".to_owned(),
        date: "2026-07-19".to_owned(),
    };
    let commits = [
        commit(0, std::slice::from_ref(&gone)),
        Commit { settled: vec![settled.clone()], dropped: vec![day], ..commit(1, &[]) },
        commit(2, std::slice::from_ref(&kept)),
    ];
    assert_eq!(tables.recover_files(&commits).unwrap(), 2);
    assert_eq!(tables.recover_files(&commits).unwrap(), 0);
    assert_eq!(blobs.list("tables").unwrap(), [kept.path]);
    assert_eq!(blobs.list("settled").unwrap(), [settled.path]);
    assert_eq!(blobs.list("system").unwrap(), Vec::<String>::new());
}

#[test]
fn a_committed_file_that_is_nowhere_or_changed_is_an_error() {
    let blobs = Arc::new(MemoryStore::new());
    let tables = Tables::new(Arc::<MemoryStore>::clone(&blobs));
    let file = stage(&tables, 0, 1);
    blobs.delete(&staged_key(&file).unwrap()).unwrap();
    let missing = tables.recover_files(&[commit(0, std::slice::from_ref(&file))]).unwrap_err();
    assert!(matches!(missing, StoreError::Missing { key } if key == file.path));
    blobs.replace(&file.path, b"other").unwrap();
    let changed = tables.publish(&file).unwrap_err();
    assert!(matches!(changed, StoreError::Damaged { .. }), "{changed}");
}

#[test]
fn a_commit_cannot_make_us_write_elsewhere() {
    let tables = Tables::new(Arc::new(MemoryStore::new()));
    let file = stage(&tables, 0, 1);
    for path in ["system/identity.json", "tables/../x/00000000000000000000-0.parquet"] {
        let forged = FileRecord { path: path.to_owned(), ..file.clone() };
        assert!(matches!(tables.publish(&forged), Err(StoreError::Damaged { .. })), "{path}");
    }
    let forged = FileRecord { sha256: "../".to_owned(), ..file };
    assert!(matches!(tables.publish(&forged), Err(StoreError::Damaged { .. })));
}

#[test]
fn sources_are_joined_by_partition_and_empty_ones_left_out() {
    let range = |kind, partition, start, end| MergedRange {
        stream: Stream { kind, partition },
        first: 0,
        last: 0,
        start,
        end,
        counts: Counts::default(),
    };
    let merged = [
        range(StreamKind::Changes, 0, 4, 4),
        range(StreamKind::Telemetry, 1, 0, 2),
        range(StreamKind::Telemetry, 0, 7, 8),
        range(StreamKind::Telemetry, 1, 2, 5),
    ];
    let topics = TopicNames { telemetry: "fleet".to_owned(), ..TopicNames::default() };
    let source =
        |partition, start, end| SourceRange { topic: "fleet".to_owned(), partition, start, end };
    assert_eq!(SourceRange::of(&merged, &topics), [source(0, 7, 8), source(1, 0, 5)]);
}

#[test]
fn every_dataset_can_be_written() {
    let tables = Tables::new(Arc::new(MemoryStore::new()));
    for dataset in Dataset::ALL {
        let schema = dataset.schema();
        let column = |field: &Arc<arrow::datatypes::Field>| -> ArrayRef {
            new_null_array(field.data_type(), 0)
        };
        let columns = schema.fields().iter().map(column).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
        let file = tables.stage(0, 0, *dataset, "2026-07-19", &batch, &[]).unwrap();
        let bytes = tables.blobs.get(&staged_key(&file).unwrap()).unwrap().unwrap();
        assert_eq!(open(bytes).unwrap().schema.fields(), schema.fields(), "{}", file.dataset);
    }
}

#[test]
#[should_panic(expected = "A10")]
fn a_date_that_is_none_is_a_bug() {
    let tables = Tables::new(Arc::new(MemoryStore::new()));
    let batch = rejected_batch("telemetry", 0..1);
    let _never = tables.stage(0, 0, Dataset::Rejected, "../../../x", &batch, &[]);
}
