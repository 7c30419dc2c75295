//! What a log says of a chain, and that it says the same wherever its writer was stopped.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::Array;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schemas::Timestamp;
use schemas::commit::DroppedDay;
use serde_json::{Value, json};

use super::*;
use crate::blobs::{MemoryStore, Put};

const SEED: [u64; 2] = [1, 2];

fn store_of(blobs: &Arc<MemoryStore>) -> Arc<dyn Blobs> {
    Arc::<MemoryStore>::clone(blobs)
}

fn file(path: String, rows: u64) -> FileRecord {
    let dataset = path.split('/').nth(1).unwrap().to_owned();
    FileRecord { dataset, path, bytes: 100 * rows, rows, sha256: String::new() }
}

fn table(dataset: Dataset, date: &str, sequence: u64) -> FileRecord {
    file(key::table_file(dataset, date, sequence, 0), 3)
}

/// Commits: two files; none; another day; the first day settled; late rows of it; the first day
/// dropped.
fn commits() -> Vec<Commit> {
    let (alerts, rejected) = (Dataset::Alerts, Dataset::Rejected);
    let [one, two] = ["2026-07-18", "2026-07-19"];
    let files = |files: Vec<FileRecord>| Commit { files, ..Commit::default() };
    let settled = vec![file(key::settled_file(rejected, one, 4, 0), 6)];
    let dropped = vec![DroppedDay { dataset: "rejected".to_owned(), date: one.to_owned() }];
    let commits = vec![
        files(vec![table(rejected, one, 0), table(alerts, two, 0)]),
        Commit::default(),
        files(vec![table(rejected, one, 2)]),
        files(vec![table(rejected, two, 3)]),
        Commit { settled, ..Commit::default() },
        files(vec![table(rejected, one, 5)]),
        Commit { dropped, ..Commit::default() },
    ];
    let numbered = (0..).zip(commits).map(|(sequence, commit)| Commit {
        sequence,
        evaluated_until: Some(Timestamp(1_000_000 * sequence as i64)),
        ..commit
    });
    numbered.collect()
}

fn chain_of(blobs: &Arc<MemoryStore>, commits: &[Commit]) -> Chain {
    let mut chain = Chain::open(store_of(blobs)).unwrap();
    for commit in commits {
        chain.append(commit).unwrap();
    }
    chain
}

/// Every object of the logs.
fn logs(blobs: &dyn Blobs) -> BTreeMap<String, Vec<u8>> {
    let keys = blobs.list(key::DELTA).unwrap();
    keys.into_iter().map(|key| (key.clone(), blobs.get(&key).unwrap().unwrap())).collect()
}

/// The actions of one version.
fn version(blobs: &dyn Blobs, dataset: Dataset, version: u64) -> Vec<Value> {
    let bytes = blobs.get(&key::delta_version(dataset, version)).unwrap().unwrap();
    let lines = String::from_utf8(bytes).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What the actions of a version add and remove: file names.
fn changes(actions: &[Value]) -> (Vec<&str>, Vec<&str>) {
    let named = |kind: &str| {
        let paths = actions.iter().filter_map(|action| action[kind]["path"].as_str());
        paths.map(|path| path.strip_prefix("../../").unwrap()).collect()
    };
    (named("add"), named("remove"))
}

fn followed(blobs: &Arc<MemoryStore>, chain: &Chain) -> DeltaLake {
    let mut lake = DeltaLake::open(store_of(blobs), SEED).unwrap();
    lake.follow(chain, u64::MAX).unwrap();
    lake
}

#[test]
fn the_first_version_says_the_columns_and_each_later_one_what_one_commit_changed() {
    let blobs = Arc::new(MemoryStore::new());
    let chain = chain_of(&blobs, &commits()[..3]);
    followed(&blobs, &chain);
    let begun = version(&*blobs, Dataset::Rejected, 0);
    assert_eq!(
        begun[0]["protocol"],
        json!({ "minReaderVersion": 1, "minWriterVersion": 7,
            "writerFeatures": ["invariants", "ringwatch"] })
    );
    let schema: Value =
        serde_json::from_str(begun[1]["metaData"]["schemaString"].as_str().unwrap()).unwrap();
    let names = schema["fields"].as_array().unwrap().iter().map(|field| field["name"].as_str());
    let columns = Dataset::Rejected.columns().iter().map(|column| Some(column.name));
    assert!(names.eq(columns.chain([Some("date")])), "{schema}");
    let path = "../../tables/rejected/date=2026-07-18/00000000000000000002-0.parquet";
    let expected = [
        json!({ "commitInfo": { "timestamp": 2_000, "operation": "WRITE",
            "operationParameters": {}, "engineInfo": "ringwatch" } }),
        json!({ "txn": { "appId": "ringwatch", "version": 2 } }),
        json!({ "add": { "path": path, "partitionValues": { "date": "2026-07-18" }, "size": 300,
            "modificationTime": 2_000, "dataChange": true, "stats": "{\"numRecords\":3}" } }),
    ];
    assert_eq!(version(&*blobs, Dataset::Rejected, 2), expected);
    let versions: Vec<usize> = [Dataset::Rejected, Dataset::Alerts, Dataset::RingHealth]
        .map(|dataset| blobs.list(&format!("delta/{}", dataset.name())).unwrap().len())
        .into();
    assert_eq!(versions, [3, 2, 1], "a commit without files makes no version");
}

#[test]
fn a_settled_file_replaces_those_it_repeats_and_a_drop_removes_all_of_its_day() {
    let blobs = Arc::new(MemoryStore::new());
    let chain = chain_of(&blobs, &commits());
    let lake = followed(&blobs, &chain);
    assert!(lake.has_all_of(&chain));
    let first = "tables/rejected/date=2026-07-18/00000000000000000000-0.parquet";
    let second = "tables/rejected/date=2026-07-18/00000000000000000002-0.parquet";
    let belated = "tables/rejected/date=2026-07-18/00000000000000000005-0.parquet";
    let settled = "settled/rejected/date=2026-07-18/00000000000000000004-0.parquet";
    let settling = version(&*blobs, Dataset::Rejected, 4);
    assert_eq!(changes(&settling), (vec![settled], vec![first, second]));
    let is_new = settling.iter().filter_map(|action| {
        action["add"]["dataChange"].as_bool().or(action["remove"]["dataChange"].as_bool())
    });
    assert!(is_new.eq([false; 3]), "no row comes or goes: {settling:?}");
    let dropping = version(&*blobs, Dataset::Rejected, 6);
    assert_eq!(changes(&dropping), (vec![], vec![settled, belated]));
    assert_eq!(dropping[0]["commitInfo"]["operation"], "DELETE");
    let left = &lake.state.tables[&Dataset::Rejected].files;
    let other_day = "tables/rejected/date=2026-07-19/00000000000000000003-0.parquet";
    assert!(left.keys().eq([other_day]), "{left:?}");
}

/// A store that fails from some write on.
#[derive(Debug)]
struct Failing {
    inner: Arc<MemoryStore>,
    writes_left: AtomicU64,
}

impl Failing {
    fn allow(&self, key: &str) -> Result<(), StoreError> {
        let left = self.writes_left.load(Ordering::Relaxed);
        let Some(rest) = left.checked_sub(1) else {
            let (key, source) = (key.to_owned(), "no more".into());
            return Err(StoreError::Unavailable { action: "write", key, source });
        };
        self.writes_left.store(rest, Ordering::Relaxed);
        Ok(())
    }
}

impl Blobs for Failing {
    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        self.allow(key)?;
        self.inner.put_if_absent(key, bytes)
    }
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(key)
    }
    fn get_start(&self, key: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get_start(key, bytes_max)
    }
    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.inner.list(prefix)
    }
    fn replace(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.allow(key)?;
        self.inner.replace(key, bytes)
    }
    fn publish(&self, staged: &str, key: &str) -> Result<(), StoreError> {
        self.inner.publish(staged, key)
    }
    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.inner.delete(key)
    }
    fn sync(&self, prefix: &str) -> Result<(), StoreError> {
        self.inner.sync(prefix)
    }
}

/// Commits of one file each: enough for a checkpoint.
fn many() -> Vec<Commit> {
    let commit = |sequence| Commit {
        sequence,
        files: vec![table(Dataset::Rejected, "2026-07-18", sequence)],
        ..Commit::default()
    };
    (0..CHECKPOINT_EVERY + 5).map(commit).collect()
}

/// Who goes on where a writer failed: itself, or another that knows what was written down.
#[derive(Clone, Copy, Debug)]
enum Next {
    Itself,
    Another,
}

/// Fails after so many writes and goes on; returns whether it failed, and the logs at the end.
fn interrupted(commits: &[Commit], writes: u64, next: Next) -> (bool, BTreeMap<String, Vec<u8>>) {
    let inner = Arc::new(MemoryStore::new());
    let chain = chain_of(&inner, commits);
    let failing = Failing { inner: Arc::clone(&inner), writes_left: AtomicU64::new(writes) };
    let failing = Arc::new(failing);
    let mut lake = DeltaLake::open(Arc::<Failing>::clone(&failing), SEED).unwrap();
    let has_failed = lake.follow(&chain, u64::MAX).and_then(|()| lake.keep()).is_err();
    failing.writes_left.store(u64::MAX, Ordering::Relaxed);
    match next {
        Next::Itself => lake.follow(&chain, u64::MAX).unwrap(),
        Next::Another => drop(followed(&inner, &chain)),
    }
    (has_failed, logs(&*inner))
}

#[test]
fn wherever_a_writer_fails_or_dies_the_next_gives_the_same_bytes() {
    // Six first versions, seven more, the state. And with a checkpoint, which is two objects.
    let stories = [(commits(), 0, 6 + 7 + 1), (many(), 100, 6 + CHECKPOINT_EVERY + 5 + 2 + 1)];
    for (commits, from, total) in stories {
        let whole = Arc::new(MemoryStore::new());
        followed(&whole, &chain_of(&whole, &commits));
        let expected = logs(&*whole);
        for writes in from..=total {
            for next in [Next::Itself, Next::Another] {
                let (has_failed, found) = interrupted(&commits, writes, next);
                assert_eq!(has_failed, writes < total, "{writes} writes");
                assert!(found == expected, "{next:?} after {writes} writes");
            }
        }
    }
}

#[test]
fn a_state_that_is_lost_is_derived_again_and_one_of_another_schema_is_refused() {
    let blobs = Arc::new(MemoryStore::new());
    let chain = chain_of(&blobs, &many());
    followed(&blobs, &chain).keep().unwrap();
    let before = logs(&*blobs);
    for damage in [None, Some(&b"{\"tables\":"[..])] {
        match damage {
            None => blobs.delete(key::DELTA_STATE).unwrap(),
            Some(bytes) => blobs.replace(key::DELTA_STATE, bytes).unwrap(),
        }
        followed(&blobs, &chain).keep().unwrap();
        assert_eq!(logs(&*blobs), before);
    }
    let other = State { schema_version: SCHEMA_VERSION + 1, ..State::empty() };
    blobs.replace(key::DELTA_STATE, &serde_json::to_vec(&other).unwrap()).unwrap();
    let refused = DeltaLake::open(store_of(&blobs), SEED).unwrap_err().to_string();
    assert!(refused.contains("delete `delta`"), "{refused}");
}

#[test]
fn a_checkpoint_holds_all_that_a_reader_needs() {
    let blobs = Arc::new(MemoryStore::new());
    let chain = chain_of(&blobs, &many());
    followed(&blobs, &chain);
    let bytes = blobs.get(&key::delta_checkpoint(Dataset::Rejected, 100)).unwrap().unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap();
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    let filled = |column: &str| -> usize {
        let arrays = batches.iter().map(|batch| batch.column_by_name(column).unwrap());
        arrays.map(|array| array.len() - array.null_count()).sum()
    };
    let kinds = ["protocol", "metaData", "txn", "add", "remove"].map(filled);
    assert_eq!(kinds, [1, 1, 1, 100, 0]);
    let newest = blobs.get(&key::delta_last_checkpoint(Dataset::Rejected)).unwrap().unwrap();
    let newest: Value = serde_json::from_slice(&newest).unwrap();
    assert_eq!(newest, json!({ "version": 100, "size": 103 }));
    assert_eq!(blobs.get(&key::delta_last_checkpoint(Dataset::Alerts)).unwrap(), None);
}

#[test]
fn a_version_that_somebody_else_wrote_is_an_error_and_stays() {
    let blobs = Arc::new(MemoryStore::new());
    let chain = chain_of(&blobs, &commits());
    let foreign = key::delta_version(Dataset::Rejected, 1);
    blobs.replace(&foreign, b"{}\n").unwrap();
    let mut lake = DeltaLake::open(store_of(&blobs), SEED).unwrap();
    let refused = lake.follow(&chain, u64::MAX).unwrap_err();
    assert!(matches!(&refused, StoreError::Damaged { key, .. } if *key == foreign), "{refused}");
    assert_eq!(blobs.get(&foreign).unwrap().unwrap(), b"{}\n");
}
