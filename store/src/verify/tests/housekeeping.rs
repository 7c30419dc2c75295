//! What settling, retention, collection and accepted losses leave is proven as well.

use schemas::commit::DroppedDay;
use schemas::entry::Gap;
use schemas::{Input, Named};

use super::*;
use crate::settle::{SettleRule, days_due, settle};
use crate::states::{self, Holder};
use crate::{key, retention};

const SETTLED_KEY: &str = "settled/ring_health/date=1970-01-01/00000000000000000004-0.parquet";

/// As `sound`, then: [13, 20) and [20, 24) in tables by commit 3; commit 4 settles the day.
fn settled() -> Fixture {
    let mut fixture = sound();
    let merged = vec![fixture.merge(TELEMETRY, 4, 4)];
    let files = [
        fixture.stage(0, Dataset::RingHealth, &ring_health(5 + 2, 2)),
        fixture.stage(1, Dataset::Rejected, &rejected_batch("fleet", 4..6)),
    ];
    fixture.commit(merged, files.to_vec());
    fixture.publish(&files);
    fixture.settle();
    fixture
}

impl Fixture {
    fn settle(&mut self) {
        let rule = SettleRule { files_min: 1, files_again_min: 1, ..SettleRule::default() };
        let mut files = Vec::new();
        for day in days_due(&*self.blobs, "1970-01-02", rule).unwrap() {
            files.extend(settle(&self.tables, &self.chain, &day, rule).unwrap());
        }
        self.append(Commit { settled: files.clone(), ..Commit::default() });
        self.publish(&files);
    }

    fn publish(&self, files: &[FileRecord]) {
        for file in files {
            self.tables.publish(file).unwrap();
        }
    }

    fn drop_day(&mut self, dataset: &str) -> (Vec<DroppedDay>, u64) {
        let day = DroppedDay { dataset: dataset.to_owned(), date: "1970-01-01".to_owned() };
        let (dropped, sequence) = (vec![day], self.chain.next_sequence());
        self.append(Commit { dropped: dropped.clone(), ..Commit::default() });
        (dropped, sequence)
    }

    fn append_entry(&self, parts: EntryParts, delta: Delta) {
        self.journal(TELEMETRY).append(parts, delta).unwrap();
    }

    /// An entry of [24, 30) that names a snapshot after entry `after`.
    fn name_snapshot(&self, after: u64) -> Named {
        let holder = Holder::Worker(TELEMETRY);
        let named = states::write(&*self.blobs, holder, after, "a", b"state").unwrap();
        let (parts, delta) = entry(24, 30);
        self.append_entry(EntryParts { snapshot: Some(named.clone()), ..parts }, delta);
        named
    }

    fn delete_entries(&self, count: u64) {
        for number in 0..count {
            self.blobs.delete(&key::journal_entry(TELEMETRY, number)).unwrap();
        }
    }
}

#[track_caller]
fn clean(fixture: &Fixture) -> VerifyReport {
    let report = fixture.verify(Extent::Committed);
    assert_eq!(report.problems, Vec::<String>::new());
    report
}

#[track_caller]
fn check_settled(change: impl FnOnce(&mut Fixture), expected: &str) {
    let mut fixture = settled();
    change(&mut fixture);
    let problems = fixture.verify(Extent::Committed).problems;
    assert!(problems.iter().any(|it| it.contains(expected)), "{problems:#?}");
}

#[test]
fn a_settled_day_is_proven_to_hold_the_rows_of_its_table_files() {
    let report = clean(&settled());
    assert_eq!((report.settled["ring_health"].rows, report.settled["rejected"].rows), (4, 6));
    assert_eq!(report.tables["ring_health"].rows, 4);
    // Once more, with a day's late rows.
    let mut fixture = settled();
    let (parts, delta) = entry(24, 30);
    fixture.append_entry(parts, delta);
    let merged = vec![fixture.merge(TELEMETRY, 5, 5)];
    let files = [
        fixture.stage(0, Dataset::RingHealth, &ring_health(4, 1)),
        fixture.stage(1, Dataset::Rejected, &rejected_batch("fleet", 6..7)),
    ];
    fixture.commit(merged, files.to_vec());
    fixture.publish(&files);
    fixture.settle();
    assert_eq!(clean(&fixture).settled["rejected"].rows, 7);
}

#[test]
fn a_settled_file_that_is_gone_changed_or_of_other_rows_is_found() {
    check_settled(|it| it.blobs.delete(SETTLED_KEY).unwrap(), "parquet`: it is missing");
    check_settled(|it| flip_last_byte(&it.blobs, SETTLED_KEY), "it has changed since its commit");
    let foreign = SETTLED_KEY.replace("-0.", "-1.");
    check_settled(|it| it.blobs.replace(&foreign, b"x").unwrap(), "is named by no commit");
    // It covers what another covers already.
    check_settled(
        |fixture| {
            let covers = (0, fixture.chain.next_sequence() - 1);
            let batch = rejected_batch("fleet", 0..6);
            let day = (Dataset::Rejected, "1970-01-01");
            let file = fixture.tables.stage_settled(0, day, &batch, &[], covers).unwrap();
            fixture.append(Commit { settled: vec![file.clone()], ..Commit::default() });
            fixture.tables.publish(&file).unwrap();
        },
        "its footer does not say what its commit says (",
    );
}

#[test]
fn settled_rows_with_the_same_sums_and_other_values_are_found() {
    let mut fixture = sound();
    let batch = rejected_batch("another", 0..4);
    let day = (Dataset::Rejected, "1970-01-01");
    let file = fixture.tables.stage_settled(0, day, &batch, &[], (0, 2)).unwrap();
    fixture.append(Commit { settled: vec![file.clone()], ..Commit::default() });
    fixture.tables.publish(&file).unwrap();
    let problems = fixture.verify(Extent::Committed).problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("hold 4 rows with 0 records, 0 duplicates, 4 rejected"));
}

#[test]
fn a_dropped_day_may_be_there_half_there_or_gone() {
    let mut fixture = settled();
    let (dropped, sequence) = fixture.drop_day("ring_health");
    assert_eq!(clean(&fixture).days_dropped, dropped);
    fixture.blobs.delete(HEALTH_KEY).unwrap();
    clean(&fixture);
    let deleted = retention::delete_days(&*fixture.blobs, &dropped, sequence).unwrap();
    assert_eq!(deleted.objects, 2);
    let report = clean(&fixture);
    assert!(!report.tables.contains_key("ring_health"));
    assert_eq!(report.tables["rejected"].rows, 6);
}

#[test]
fn a_file_of_a_day_dropped_before_has_to_stand() {
    let mut fixture = settled();
    fixture.drop_day("ring_health");
    let (parts, delta) = entry(24, 30);
    fixture.append_entry(parts, delta);
    let merged = vec![fixture.merge(TELEMETRY, 5, 5)];
    let late = fixture.stage(0, Dataset::RingHealth, &ring_health(4, 1));
    let rejected = fixture.stage(1, Dataset::Rejected, &rejected_batch("fleet", 6..7));
    fixture.commit(merged, vec![late.clone(), rejected.clone()]);
    fixture.publish(&[late.clone(), rejected]);
    assert_eq!(clean(&fixture).tables["ring_health"].rows, 2);
    fixture.append(Commit::default());
    fixture.blobs.delete(&late.path).unwrap();
    // Only the newest commit with files may lag, and then its staged files stand.
    let problems = fixture.verify(Extent::Committed).problems;
    assert_eq!(problems, [format!("`{}`: it is missing", late.path)]);
}

#[test]
fn collected_entries_are_proven_by_the_chain() {
    let whole = {
        let fixture = settled();
        fixture.name_snapshot(3);
        clean(&fixture).partitions.remove(0)
    };
    for count in 1..=3 {
        let fixture = settled();
        fixture.name_snapshot(3);
        fixture.delete_entries(count);
        let report = clean(&fixture);
        let collected = &report.partitions[0];
        assert_eq!((collected.entries_collected, collected.entries), (count, 6 - count));
        let rest = PartitionReport { entries: 6, entries_collected: 0, ..collected.clone() };
        assert_eq!(rest, whole, "{count} collected");
    }
}

#[test]
fn entries_that_nothing_stands_for_are_found_missing() {
    let without_snapshot = settled();
    without_snapshot.delete_entries(2);
    let problems = without_snapshot.verify(Extent::Committed).problems;
    assert!(problems[0].contains("begins at entry 2, and it names no snapshot"), "{problems:?}");

    let not_merged = settled();
    not_merged.name_snapshot(3);
    not_merged.delete_entries(6);
    let (parts, delta) = entry(30, 34);
    not_merged.append_entry(parts, delta);
    let problems = not_merged.verify(Extent::Committed).problems;
    assert!(problems.iter().any(|it| it.contains("which the journal lacks")), "{problems:?}");

    let mut early = sound();
    early.name_snapshot(3);
    early.delete_entries(4);
    early.append(Commit::default());
    let problems = early.verify(Extent::Committed).problems;
    assert!(problems[0].contains("collected before their rows had files"), "{problems:?}");
}

#[test]
fn a_damaged_state_is_a_problem_if_it_is_the_newest() {
    let fixture = settled();
    let named = fixture.name_snapshot(3);
    flip_last_byte(&fixture.blobs, &named.path);
    let problems = fixture.verify(Extent::Committed).problems;
    assert!(problems[0].contains("it is not the state that the log names"), "{problems:?}");
    let newest = states::write(&*fixture.blobs, Holder::Worker(TELEMETRY), 4, "a", b"s").unwrap();
    let (parts, delta) = entry(30, 34);
    fixture.append_entry(EntryParts { snapshot: Some(newest), ..parts }, delta);
    clean(&fixture);

    let mut fixture = settled();
    let named = states::write(&*fixture.blobs, Holder::Publisher, 4, "a", b"state").unwrap();
    fixture.append(Commit { checkpoint: Some(named.clone()), ..Commit::default() });
    clean(&fixture);
    fixture.blobs.delete(&named.path).unwrap();
    let problems = fixture.verify(Extent::Committed).problems;
    assert_eq!(problems, [format!("`{}` is missing", named.path)]);
}

#[test]
fn an_accepted_gap_is_listed_and_no_problem() {
    let fixture = sound();
    let mut lost = parts(24, 90);
    lost.counts = Counts::default();
    lost.inputs = vec![Input::Gap(Gap { from: 24, to: 90, state_after: None })];
    fixture.append_entry(lost, Delta::default());
    let report = clean(&fixture);
    assert_eq!(report.partitions[0].gaps_accepted, [(24, 90)]);
    assert_eq!(report.partitions[0].gaps, []);
}

#[test]
fn an_order_of_merging_that_does_not_fit_is_found() {
    check(
        |fixture| {
            let merged = vec![fixture.merge(TELEMETRY, 4, 4)];
            fixture.append(Commit { merged, order: vec![0, 0], ..Commit::default() });
        },
        "the order of commit 3 does not fit",
    );
}

/// A folder that is collected while it is read: the first look at `at` deletes the entries before
/// `until`.
#[derive(Debug)]
struct Collecting {
    blobs: Arc<MemoryStore>,
    at: u64,
    until: u64,
}

impl Blobs for Collecting {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if key == key::journal_entry(TELEMETRY, self.at) {
            for number in 0..self.until {
                self.blobs.delete(&key::journal_entry(TELEMETRY, number))?;
            }
        }
        self.blobs.get(key)
    }

    fn get_start(&self, key: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, StoreError> {
        self.blobs.get_start(key, bytes_max)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.blobs.list(prefix)
    }

    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<crate::Put, StoreError> {
        self.blobs.put_if_absent(key, bytes)
    }

    fn replace(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.blobs.replace(key, bytes)
    }

    fn publish(&self, staged: &str, key: &str) -> Result<(), StoreError> {
        self.blobs.publish(staged, key)
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.blobs.delete(key)
    }

    fn sync(&self, prefix: &str) -> Result<(), StoreError> {
        self.blobs.sync(prefix)
    }
}

#[test]
fn a_journal_may_be_collected_while_it_is_proven() {
    for at in 0..6 {
        for until in 0..=4 {
            let fixture = settled();
            fixture.name_snapshot(3);
            let blobs = Collecting { blobs: Arc::clone(&fixture.blobs), at, until };
            let report = verify(&blobs).unwrap();
            assert_eq!(report.problems, Vec::<String>::new(), "{until} gone at {at}");
            assert_eq!(report.partitions[0].records, 30);
        }
    }
}
