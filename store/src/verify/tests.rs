//! A small sound folder, and what verify says when one thing in it is changed.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Int64Array, RecordBatch, TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::Int32Type;
use schemas::commit::MergedRange;
use schemas::delta::{HealthDelta, Place};
use schemas::reject::{RejectedRow, Stage};
use schemas::tables::Kind;
use schemas::{Commit, Dataset, Delta, FileRecord, Span, Timestamp};

use super::*;
use crate::blobs::MemoryStore;
use crate::testing::{parts, rejected_batch};
use crate::world::{Growth, LAYOUT, WorldInput};
use crate::{Chain, EntryParts, Journal, SourceRange, Tables};

mod housekeeping;

const TELEMETRY: Stream = Stream { kind: StreamKind::Telemetry, partition: 0 };
const CHANGES: Stream = Stream { kind: StreamKind::Changes, partition: 0 };

const HEALTH_KEY: &str = "tables/ring_health/date=1970-01-01/00000000000000000001-0.parquet";

/// An entry of `[start, end)` of which the first record is a duplicate and the last rejected.
fn entry(start: i64, end: i64) -> (EntryParts, Delta) {
    let mut parts = parts(start, end);
    parts.counts.applied -= 2;
    (parts.counts.duplicates, parts.counts.rejected) = (1, 1);
    let place = Place { window: Timestamp(0), evaluated: Timestamp(0) };
    let health = HealthDelta {
        place,
        ring: Arc::from("first"),
        set: Arc::from([]),
        at_risk_ms: 5,
        devices_active: 1,
        devices_silent: 0,
        heartbeats: 0,
        boots: 0,
        records: end - start - 2,
        duplicates: 1,
    };
    (parts, Delta { health: vec![health], rejected: vec![rejected(end - 1)], ..Delta::default() })
}

fn rejected(offset: i64) -> RejectedRow {
    let (stage, error) = (Stage::Decode, "not JSON".to_owned());
    RejectedRow { offset, time: None, stage, error, field: None, value: vec![1], size: 1 }
}

/// A row of the whole ring with these counts, and one of a change with others.
fn ring_health(records: i64, duplicates: i64) -> RecordBatch {
    let column = |column: &schemas::tables::Column| -> ArrayRef {
        match (column.kind, column.name) {
            (Kind::Count, "records") => Arc::new(Int64Array::from(vec![records, 1_000])),
            (Kind::Count, "duplicates") => Arc::new(Int64Array::from(vec![duplicates, 1_000])),
            (Kind::Count, _) => Arc::new(Int64Array::from(vec![0, 0])),
            (Kind::Time, _) => {
                Arc::new(TimestampMicrosecondArray::from(vec![0, 0]).with_timezone("UTC"))
            }
            (Kind::Name, "ring") => names([Some("first"), Some("first")]),
            (Kind::Name, _) => names([None, Some("kb1")]),
            (kind, _) => new_null_array(&kind.data_type(), 2),
        }
    };
    let columns = Dataset::RingHealth.columns().iter().map(column).collect();
    RecordBatch::try_new(Dataset::RingHealth.schema(), columns).unwrap()
}

fn names(values: [Option<&str>; 2]) -> ArrayRef {
    Arc::new(values.into_iter().collect::<DictionaryArray<Int32Type>>())
}

/// One data folder under construction.
struct Fixture {
    blobs: Arc<MemoryStore>,
    chain: Chain,
    tables: Tables,
    /// Merged since the last commit with files.
    open: Vec<MergedRange>,
}

impl Fixture {
    fn new() -> Self {
        let blobs = Arc::new(MemoryStore::new());
        let world = World {
            layout: LAYOUT,
            input: WorldInput::Replay { files: "a".to_owned() },
            topics: TopicNames { telemetry: "fleet".to_owned(), ..TopicNames::default() },
            partition_count: 1,
            partition_counts_other: Some([1, 1]),
            window_length: Span::seconds(60),
            hash_seed: [1, 2],
        };
        World::claim(&*blobs, world, Growth::Refused).unwrap();
        let store = || -> Arc<dyn Blobs> { Arc::<MemoryStore>::clone(&blobs) };
        let (chain, tables) = (Chain::open(store()).unwrap(), Tables::new(store()));
        Self { chain, tables, open: Vec::new(), blobs }
    }

    fn journal(&self, stream: Stream) -> Journal {
        let blobs: Arc<dyn Blobs> = Arc::<MemoryStore>::clone(&self.blobs);
        Journal::open(blobs, stream, "a".to_owned()).unwrap()
    }

    fn merge(&mut self, stream: Stream, first: u64, last: u64) -> MergedRange {
        let journal = self.journal(stream);
        let headers = &journal.headers()[first as usize..=last as usize];
        let mut counts = Counts::default();
        for header in headers {
            counts.add(&header.counts);
        }
        let (start, end) = (headers[0].start, headers[headers.len() - 1].end);
        let range = MergedRange { stream, first, last, start, end, counts };
        self.open.push(range.clone());
        range
    }

    fn stage(&self, n: u32, dataset: Dataset, batch: &RecordBatch) -> FileRecord {
        let topics = World::read(&*self.blobs).unwrap().unwrap().topics;
        let sources = SourceRange::of(&self.open, &topics);
        let sequence = self.chain.next_sequence();
        self.tables.stage(sequence, n, dataset, "1970-01-01", batch, &sources).unwrap()
    }

    fn commit(&mut self, merged: Vec<MergedRange>, files: Vec<FileRecord>) {
        if !files.is_empty() {
            self.open.clear();
        }
        self.append(Commit { merged, cut: true, files, ..Commit::default() });
    }

    fn append(&mut self, commit: Commit) {
        let (sequence, publisher) = (self.chain.next_sequence(), "a".to_owned());
        self.chain.append(&Commit { v: 1, sequence, publisher, ..commit }).unwrap();
    }

    fn verify(&self, extent: Extent) -> VerifyReport {
        verify_with(&*self.blobs, extent, &mut |_| {}).unwrap()
    }
}

/// Entries [0, 5), [5, 9), [9, 13) of telemetry in tables by commit 1; [13, 20) merged by commit
/// 2 without files; [20, 24) journalled only. One record of changes, rejected.
fn sound() -> Fixture {
    let mut fixture = Fixture::new();
    let mut telemetry = fixture.journal(TELEMETRY);
    for (start, end) in [(0, 5), (5, 9), (9, 13), (13, 20), (20, 24)] {
        let (parts, delta) = entry(start, end);
        telemetry.append(parts, delta).unwrap();
    }
    let mut of_changes = parts(40, 41);
    (of_changes.counts.applied, of_changes.counts.rejected) = (0, 1);
    let delta = Delta { rejected: vec![rejected(40)], ..Delta::default() };
    fixture.journal(CHANGES).append(of_changes, delta).unwrap();

    let merged = vec![fixture.merge(TELEMETRY, 0, 1)];
    fixture.commit(merged, Vec::new());
    let merged = vec![fixture.merge(TELEMETRY, 2, 2), fixture.merge(CHANGES, 0, 0)];
    let health = fixture.stage(0, Dataset::RingHealth, &ring_health(3 + 2 + 2, 3));
    let rejected = fixture.stage(1, Dataset::Rejected, &rejected_batch("fleet", 0..4));
    fixture.commit(merged, vec![health.clone(), rejected.clone()]);
    fixture.tables.publish(&health).unwrap();
    fixture.tables.publish(&rejected).unwrap();
    let merged = vec![fixture.merge(TELEMETRY, 3, 3)];
    fixture.commit(merged, Vec::new());
    fixture
}

/// Changes one thing in a sound folder: the report must say that, and be unclean.
#[track_caller]
fn check(change: impl FnOnce(&mut Fixture), expected: &str) {
    let mut fixture = sound();
    change(&mut fixture);
    let report = fixture.verify(Extent::Committed);
    assert!(!report.is_clean());
    assert!(report.problems.iter().any(|it| it.contains(expected)), "{:#?}", report.problems);
}

fn flip_last_byte(blobs: &MemoryStore, key: &str) {
    let mut bytes = blobs.get(key).unwrap().unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    blobs.replace(key, &bytes).unwrap();
}

#[test]
fn a_sound_folder_is_clean_and_the_report_says_how_far_it_is() {
    let report = sound().verify(Extent::Committed);
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!((report.commits, report.files_unpublished), (3, 0));
    let telemetry = PartitionReport {
        topic: "fleet".to_owned(),
        stream: StreamKind::Telemetry,
        partition: 0,
        entries: 5,
        entries_collected: 0,
        start: 0,
        end: 24,
        records: 24,
        applied: 14,
        duplicates: 5,
        rejected: 5,
        gaps: Vec::new(),
        overlaps: Vec::new(),
        gaps_accepted: Vec::new(),
        covered_until_in_tables: Some(13),
        records_not_in_tables: 11,
        broker: None,
    };
    assert_eq!(report.partitions[0], telemetry);
    assert_eq!(report.partitions[1].covered_until_in_tables, Some(41));
    assert_eq!(report.records_not_in_tables, 11);
    assert_eq!((report.tables["ring_health"].rows, report.tables["rejected"].rows), (2, 4));
}

#[test]
fn records_not_yet_in_tables_are_a_problem_only_where_all_should_be() {
    let problems = sound().verify(Extent::Complete).problems;
    assert_eq!(problems, ["11 records are journalled, but not yet in the tables"]);
}

#[test]
fn an_empty_folder_is_no_data_folder() {
    let report = verify(&MemoryStore::new()).unwrap();
    assert!(report.problems[0].contains("identity.json` is missing"), "{:?}", report.problems);
}

#[test]
fn damage_anywhere_is_found() {
    let entry = "system/journal/telemetry/0/00000000000000000001";
    check(|fixture| flip_last_byte(&fixture.blobs, entry), "0001` is damaged");
    let commit = "system/chain/00000000000000000001";
    check(|fixture| flip_last_byte(&fixture.blobs, commit), "0001` is damaged");
    check(|fixture| flip_last_byte(&fixture.blobs, HEALTH_KEY), "it has changed since its commit");
}

#[test]
fn what_is_missing_is_found() {
    let delete =
        |key: &'static str| move |fixture: &mut Fixture| fixture.blobs.delete(key).unwrap();
    let entry = "system/journal/telemetry/0/00000000000000000002";
    check(delete(entry), "entry 2 is missing before entry 3");
    check(delete(entry), "commit 1 merged entries 2 to 2 of telemetry/0, which the journal lacks");
    let last = "system/journal/changes/0/00000000000000000000";
    check(delete(last), "entries 0 to 0 of changes/0, which the journal lacks");
    check(delete("system/chain/00000000000000000000"), "chain/00000000000000000000` is missing");
    check(|fixture| fixture.blobs.delete(HEALTH_KEY).unwrap(), "it is missing");
}

#[test]
fn a_gap_is_reported_with_its_offsets() {
    let fixture = sound();
    fixture.blobs.delete("system/journal/telemetry/0/00000000000000000001").unwrap();
    let report = fixture.verify(Extent::Committed);
    assert_eq!(report.partitions[0].gaps, [(5, 9)]);
}

#[test]
fn what_does_not_belong_is_found() {
    let put =
        |key: &'static str| move |fixture: &mut Fixture| fixture.blobs.replace(key, b"x").unwrap();
    check(put("tables/ring_health/date=1970-01-01/x.parquet"), "is named by no commit");
    check(put("tables/ring_health/date=1970-01-01/00000000000000000009-0.parquet"), "by no commit");
    check(put("system/journal/telemetry/0/x"), "is no journal entry");
    check(put("system/chain/x"), "is no commit");
}

#[test]
fn a_file_that_holds_other_sums_than_its_entries_is_found() {
    for (records, duplicates) in [(9, 1), (10, 2)] {
        check(
            |fixture| {
                let merged = vec![fixture.merge(TELEMETRY, 4, 4)];
                let health =
                    fixture.stage(0, Dataset::RingHealth, &ring_health(records, duplicates));
                let rejected = fixture.stage(1, Dataset::Rejected, &rejected_batch("fleet", 0..2));
                fixture.commit(merged, vec![health, rejected]);
            },
            "the entries that they cover 7 records, 2 duplicates, 2 rejected, 0 alerts",
        );
    }
}

#[test]
fn a_footer_of_other_offsets_is_found() {
    check(
        |fixture| {
            let health = fixture.stage(0, Dataset::RingHealth, &ring_health(7, 2));
            let merged = vec![fixture.merge(TELEMETRY, 4, 4)];
            fixture.commit(merged, vec![health]);
        },
        "its footer does not say what its commit says (sources)",
    );
}

#[test]
fn a_commit_that_says_other_counts_or_entries_is_found() {
    check(
        |fixture| {
            let mut range = fixture.merge(TELEMETRY, 4, 4);
            (range.counts.applied, range.counts.duplicates) = (3, 0);
            fixture.commit(vec![range], Vec::new());
        },
        "commit 3 says other offsets or counts of entries 4 to 4 of telemetry/0",
    );
    check(
        |fixture| {
            let again = fixture.merge(TELEMETRY, 3, 3);
            fixture.commit(vec![again], Vec::new());
        },
        "commit 3 merges entries 3 to 3, offsets [13, 20), of telemetry/0, where entry 4",
    );
}

#[test]
fn the_newest_files_may_be_staged_only_and_older_ones_may_not() {
    let mut fixture = sound();
    let merged = vec![fixture.merge(TELEMETRY, 4, 4)];
    let health = fixture.stage(0, Dataset::RingHealth, &ring_health(7, 2));
    let rejected = fixture.stage(1, Dataset::Rejected, &rejected_batch("fleet", 0..2));
    fixture.commit(merged, vec![health, rejected]);
    let report = fixture.verify(Extent::Committed);
    assert_eq!((report.problems.len(), report.files_unpublished), (0, 2));
    assert_eq!(report.records_not_in_tables, 0);
    let complete = fixture.verify(Extent::Complete);
    assert_eq!(complete.problems, ["2 files are committed, but not yet shown to readers"]);

    let (mut empty, mut telemetry) = (Vec::new(), fixture.journal(TELEMETRY));
    telemetry.append(parts(24, 24), Delta::default()).unwrap();
    empty.push(fixture.merge(TELEMETRY, 5, 5));
    let health = fixture.stage(0, Dataset::RingHealth, &ring_health(0, 0));
    fixture.commit(empty, vec![health]);
    let problems = fixture.verify(Extent::Committed).problems;
    assert_eq!(problems.iter().filter(|it| it.contains("it is missing")).count(), 2);
}

#[test]
fn rows_that_do_not_agree_with_the_counts_are_found() {
    check(
        |fixture| {
            let (parts, mut delta) = entry(24, 29);
            delta.health[0].records += 1;
            fixture.journal(TELEMETRY).append(parts, delta).unwrap();
        },
        "the rows of `system/journal/telemetry/0/00000000000000000005` do not agree",
    );
}
