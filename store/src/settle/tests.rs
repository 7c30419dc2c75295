//! Days settled: the same rows, sorted, within the bounds, and again for late ones.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use schemas::Commit;

use super::*;
use crate::blobs::MemoryStore;
use crate::testing::rejected_batch;

const RULE: SettleRule =
    SettleRule { rows_max: 1_000, bytes_max: 1 << 20, files_min: 2, files_again_min: 2 };

struct Fixture {
    blobs: Arc<MemoryStore>,
    tables: Tables,
    chain: Chain,
}

impl Fixture {
    /// A chain that publishes one file of `rejected` of 2026-07-19 for each range of offsets.
    fn new(ranges: &[(i64, i64)]) -> Self {
        let blobs = Arc::new(MemoryStore::new());
        let store = || -> Arc<dyn Blobs> { Arc::<MemoryStore>::clone(&blobs) };
        let (tables, chain) = (Tables::new(store()), Chain::open(store()).unwrap());
        let mut fixture = Self { blobs, tables, chain };
        for range in ranges {
            fixture.publish("2026-07-19", *range);
        }
        fixture
    }

    fn publish(&mut self, date: &str, (start, end): (i64, i64)) {
        let batch = rejected_batch("telemetry", start..end);
        let topic = "telemetry".to_owned();
        let sources = [SourceRange { topic, partition: 0, start, end }];
        let sequence = self.chain.next_sequence();
        let dataset = Dataset::Rejected;
        let file = self.tables.stage(sequence, 0, dataset, date, &batch, &sources).unwrap();
        self.commit(Commit { files: vec![file.clone()], cut: true, ..Commit::default() });
        self.tables.publish(&file).unwrap();
    }

    fn commit(&mut self, commit: Commit) {
        let sequence = self.chain.next_sequence();
        self.chain.append(&Commit { v: 1, sequence, ..commit }).unwrap();
    }

    fn due(&self) -> Vec<Day> {
        days_due(&*self.blobs, "2026-07-20", RULE).unwrap()
    }

    /// Settles the only day that is due.
    fn settle(&mut self, rule: SettleRule) -> Vec<FileRecord> {
        let [day] = &self.due()[..] else { panic!("{:?}", self.due()) };
        let files = settle(&self.tables, &self.chain, day, rule).unwrap();
        assert_eq!(files, settle(&self.tables, &self.chain, day, rule).unwrap(), "the same bytes");
        self.commit(Commit { settled: files.clone(), ..Commit::default() });
        for file in &files {
            self.tables.publish(file).unwrap();
        }
        files
    }

    fn opened(&self, file: &FileRecord) -> Opened {
        open(self.blobs.get(&file.path).unwrap().unwrap()).unwrap()
    }

    fn offsets(&self, file: &FileRecord) -> Vec<i64> {
        let opened = self.opened(file);
        let batches = opened.batches().unwrap().map(Result::unwrap);
        let of = |batch: RecordBatch| {
            batch.column_by_name("offset").unwrap().as_primitive::<Int64Type>().values().to_vec()
        };
        batches.flat_map(of).collect()
    }
}

#[test]
fn a_settled_day_holds_the_rows_of_its_files_sorted_and_says_what_it_covers() {
    let mut fixture = Fixture::new(&[(7, 9), (0, 3), (3, 7)]);
    let files = fixture.settle(RULE);
    let path = "settled/rejected/date=2026-07-19/00000000000000000003-0.parquet";
    assert_eq!(files.iter().map(|file| &*file.path).collect::<Vec<_>>(), [path]);
    assert_eq!(fixture.offsets(&files[0]), (0..9).collect::<Vec<_>>());
    let footer = fixture.opened(&files[0]).footer;
    assert_eq!((footer.covers, footer.sequence), (Some(vec![(0, 2)]), 3));
    let ranges: Vec<_> = footer.sources.iter().map(|it| (it.start, it.end)).collect();
    assert_eq!(ranges, [(0, 9)]);
    assert_eq!(fixture.due(), []);
}

#[test]
fn more_than_the_bounds_gives_several_files() {
    let ranges: Vec<(i64, i64)> = (0..6).map(|file| (file * 10, file * 10 + 10)).collect();
    let rows = |rule| {
        let files = Fixture::new(&ranges).settle(rule);
        files.iter().map(|file| file.rows).collect::<Vec<_>>()
    };
    assert_eq!(rows(RULE), [60]);
    assert_eq!(rows(SettleRule { rows_max: 25, ..RULE }), [20, 20, 20]);
    assert_eq!(rows(SettleRule { rows_max: 5, ..RULE }), [10; 6]);
    assert_eq!(rows(SettleRule { bytes_max: 1, ..RULE }), [10; 6]);
}

#[test]
fn late_rows_of_a_settled_day_are_settled_by_themselves_once_they_are_many() {
    let mut fixture = Fixture::new(&[(0, 3), (3, 7)]);
    fixture.settle(RULE);
    fixture.publish("2026-07-19", (20, 21));
    assert_eq!(fixture.due(), [], "one late file is not worth it");
    fixture.publish("2026-07-19", (10, 12));
    let files = fixture.settle(RULE);
    assert_eq!(fixture.offsets(&files[0]), [10, 11, 20]);
    let footer = fixture.opened(&files[0]).footer;
    assert_eq!(footer.covers, Some(vec![(2, 4)]));
    let ranges: Vec<_> = footer.sources.iter().map(|it| (it.start, it.end)).collect();
    assert_eq!(ranges, [(10, 12), (20, 21)]);
}

#[test]
fn only_days_before_the_given_one_with_enough_files_are_due() {
    let mut fixture = Fixture::new(&[(0, 3), (3, 7)]);
    fixture.publish("2026-07-18", (7, 8));
    fixture.publish("2026-07-20", (8, 9));
    fixture.publish("2026-07-20", (9, 10));
    let due: Vec<_> =
        fixture.due().iter().map(|day| (day.date.clone(), day.file_count())).collect();
    assert_eq!(due, [("2026-07-19".to_owned(), 2)]);
}

#[test]
fn a_table_file_that_is_not_as_its_commit_says_is_not_settled() {
    let fixture = Fixture::new(&[(0, 3), (3, 7)]);
    let path = "tables/rejected/date=2026-07-19/00000000000000000001-0.parquet";
    let fail = || settle(&fixture.tables, &fixture.chain, &fixture.due()[0], RULE).unwrap_err();
    let sound = fixture.blobs.get(path).unwrap().unwrap();
    fixture.blobs.replace(path, b"other").unwrap();
    assert!(fail().to_string().contains("does not match its commit"), "{}", fail());
    fixture.blobs.replace(path, &sound).unwrap();
    fixture.blobs.replace(&path.replace("-0.", "-1."), &sound).unwrap();
    assert!(fail().to_string().contains("no commit names it"), "{}", fail());
}

#[test]
fn every_dataset_is_sorted_by_columns_that_it_has() {
    for dataset in Dataset::ALL {
        for name in order(*dataset) {
            let found = dataset.columns().iter().any(|column| column.name == *name);
            assert!(found, "{}.{name}", dataset.name());
        }
    }
}
