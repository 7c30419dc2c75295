//! Round trips, damage and ownership of journal entries.

use proptest::prelude::*;
use schemas::delta::{Place, Scope, SignalDelta};
use schemas::reject::{RejectedRow, Stage};
use schemas::{Signal, StreamKind};

use super::*;
use crate::blobs::MemoryStore;
use crate::testing::{delta, parts};

const STREAM: Stream = Stream { kind: StreamKind::Telemetry, partition: 3 };

fn open(blobs: &Arc<MemoryStore>, writer: &str) -> Result<Journal, StoreError> {
    Journal::open(Arc::<MemoryStore>::clone(blobs), STREAM, writer.to_owned())
}

/// A journal of three entries: [10, 13), inputs only, [13, 20).
fn three_entries() -> Arc<MemoryStore> {
    let blobs = Arc::new(MemoryStore::new());
    let mut journal = open(&blobs, "a").unwrap();
    for (start, end) in [(10, 13), (13, 13), (13, 20)] {
        journal.append(parts(start, end), Delta::default()).unwrap();
    }
    blobs
}

fn entry_key(number: u64) -> String {
    key::journal_entry(STREAM, number)
}

fn check_broken(blobs: &Arc<MemoryStore>, expected: &str) {
    let error = open(blobs, "b").unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn a_journal_opens_where_it_was_left() {
    let blobs = three_entries();
    let journal = open(&blobs, "b").unwrap();
    assert_eq!((journal.next_number(), journal.next_offset()), (3, Some(20)));
    let ranges: Vec<_> =
        journal.headers().iter().map(|header| (header.start, header.end)).collect();
    assert_eq!(ranges, [(10, 13), (13, 13), (13, 20)]);
    assert_eq!(journal.checksum(0), Some(&*delta_checksum(&Delta::default())));
    assert_eq!(journal.read(2).unwrap().header, journal.headers()[2]);
    assert!(matches!(journal.read(3), Err(StoreError::Missing { .. })));
}

#[test]
fn a_number_taken_by_another_writer_is_lost_and_names_it() {
    let blobs = three_entries();
    let (mut one, mut other) = (open(&blobs, "b").unwrap(), open(&blobs, "c").unwrap());
    one.append(parts(20, 21), Delta::default()).unwrap();
    let lost = other.append(parts(20, 21), Delta::default()).unwrap_err();
    assert!(matches!(&lost, StoreError::Lost { number: 3, writer, .. } if writer == "b"), "{lost}");
}

#[test]
fn an_entry_already_written_by_us_counts_as_written() {
    let blobs = three_entries();
    let (mut one, mut again) = (open(&blobs, "b").unwrap(), open(&blobs, "b").unwrap());
    let first = one.append(parts(20, 21), Delta::default()).unwrap();
    assert_eq!(again.append(parts(20, 21), Delta::default()).unwrap(), first);
    assert_eq!(again.next_number(), 4);
}

#[test]
fn a_missing_entry_is_named() {
    let blobs = three_entries();
    blobs.delete(&entry_key(1)).unwrap();
    check_broken(&blobs, "entry 1 is missing before entry 2");
    blobs.delete(&entry_key(0)).unwrap();
    check_broken(&blobs, "entry 0 is missing before entry 2");
}

#[test]
fn a_foreign_object_and_an_entry_of_another_place_are_named() {
    let blobs = three_entries();
    let bytes = blobs.get(&entry_key(2)).unwrap().unwrap();
    blobs.replace(&entry_key(3), &bytes).unwrap();
    check_broken(&blobs, "entry 3 is entry 2 of telemetry/3");
    blobs.delete(&entry_key(3)).unwrap();
    blobs.replace("system/journal/telemetry/3/notes", &bytes).unwrap();
    check_broken(&blobs, "notes` is no entry of it");
}

#[test]
fn offsets_that_do_not_follow_are_named() {
    let blobs = three_entries();
    let mut elsewhere = open(&Arc::new(MemoryStore::new()), "a").unwrap();
    for end in [1, 1, 1] {
        elsewhere
            .append(parts(elsewhere.next_offset().unwrap_or(0), end), Delta::default())
            .unwrap();
    }
    let overlapping = elsewhere.blobs.get(&entry_key(2)).unwrap().unwrap();
    blobs.replace(&entry_key(2), &overlapping).unwrap();
    check_broken(&blobs, "entry 2 is of [1, 1), not from offset 13 on");
}

#[test]
#[should_panic(expected = "A5")]
fn an_entry_that_leaves_a_gap_is_a_bug() {
    let blobs = three_entries();
    let _never = open(&blobs, "b").unwrap().append(parts(21, 22), Delta::default());
}

#[test]
#[should_panic(expected = "A6")]
fn counts_that_do_not_add_up_are_a_bug() {
    let blobs = three_entries();
    let mut wrong = parts(20, 22);
    wrong.counts.rejected += 1;
    let _never = open(&blobs, "b").unwrap().append(wrong, Delta::default());
}

#[test]
fn a_header_longer_than_the_first_read_is_read_whole() {
    let blobs = three_entries();
    let mut long = parts(20, 21);
    long.inputs = vec![Input::Clock(Timestamp(1)); 1_000];
    let entry = open(&blobs, "b").unwrap().append(long, Delta::default()).unwrap();
    assert_eq!(open(&blobs, "c").unwrap().headers()[3], entry.header);
}

/// Bytes of an entry that has one row in most sections.
fn full_entry() -> Vec<u8> {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let rows = delta().new_tree(&mut TestRunner::deterministic()).unwrap().current();
    let blobs = Arc::new(MemoryStore::new());
    open(&blobs, "a").unwrap().append(parts(0, 5), rows).unwrap();
    blobs.get(&entry_key(0)).unwrap().unwrap()
}

#[test]
fn every_flipped_byte_and_every_cut_is_noticed() {
    let sound = full_entry();
    assert!(decode(&sound).is_ok());
    for at in 0..sound.len() {
        let mut flipped = sound.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(decode(&flipped).is_err(), "byte {at} flipped");
        assert!(decode(&sound[..at]).is_err(), "cut to {at} bytes");
    }
    let longer = [&sound[..], &[0]].concat();
    assert!(decode(&longer).is_err());
}

#[test]
fn a_flipped_byte_of_the_header_is_noticed_at_the_opening() {
    let sound = full_entry();
    for at in 0..entry::header_end(&sound).unwrap() {
        let mut flipped = sound.clone();
        flipped[at] ^= 0x10;
        let blobs = Arc::new(MemoryStore::new());
        blobs.replace(&entry_key(0), &flipped).unwrap();
        let noticed = open(&blobs, "b");
        assert!(matches!(noticed, Err(StoreError::Damaged { .. })), "byte {at}: {noticed:?}");
    }
}

#[test]
fn a_checksum_tells_where_a_value_is_missing() {
    let rows = |fields: [Option<&str>; 2]| {
        let row = |field: Option<&str>| RejectedRow {
            offset: 0,
            time: None,
            stage: Stage::Decode,
            error: String::new(),
            field: field.map(str::to_owned),
            value: Vec::new(),
            size: 0,
        };
        Delta { rejected: fields.map(row).to_vec(), ..Delta::default() }
    };
    let (first, second) = (rows([Some("a"), None]), rows([None, Some("a")]));
    assert_ne!(delta_checksum(&first), delta_checksum(&second));
}

#[test]
fn a_checksum_is_that_of_the_bytes_written_down_here() {
    let row = SignalDelta {
        place: Place { window: Timestamp(60_000_000), evaluated: Timestamp(120_000_000) },
        ring: "fast".into(),
        scope: Scope::Set(["kb1".into(), "kb2".into()].into()),
        signal: Signal::OsCrash,
        cohort: None,
        affected_devices: 1,
        events: -2,
        first_affected_at: None,
    };
    let delta = Delta { signals: vec![row], ..Delta::default() };
    // python3: from hashlib import sha256; from struct import pack
    // n = lambda n: pack("<q", n); i = lambda v: b"\1" + n(v); t = lambda s: b"\1" + n(len(s)) + s
    // sha256(b"\3" + n(1) + i(60_000_000) + i(120_000_000) + t(b"fast") + b"\1" + n(2) + t(b"kb1")
    //     + t(b"kb2") + b"\0" + t(b"os_crash") + b"\0\0" + i(1) + i(-2) + b"\0").hexdigest()
    let expected = "9384d709ddcb8918a2218c4092355e7c0fccf6b1a07007502a636fddc073887f";
    assert_eq!(delta_checksum(&delta), expected);
}

proptest! {
    #[test]
    fn entries_are_read_back_as_they_were_written(
        rows in delta(), end in 0_i64..9, writer in "[0-9a-f]{32}",
    ) {
        let blobs = Arc::new(MemoryStore::new());
        let mut header = parts(0, end);
        header.closed_until = Timestamp::MIN;
        let written = open(&blobs, &writer).unwrap().append(header, rows.clone()).unwrap();
        let journal = open(&blobs, "another").unwrap();
        prop_assert_eq!(&journal.read(0).unwrap(), &*written);
        prop_assert_eq!(journal.checksum(0).unwrap(), delta_checksum(&rows));
    }

    #[test]
    fn checksums_are_equal_exactly_where_the_rows_are(one in delta(), other in delta()) {
        prop_assert_eq!(delta_checksum(&one) == delta_checksum(&other), one == other);
        prop_assert_eq!(delta_checksum(&one), delta_checksum(&one.clone()));
    }
}

/// Six entries of one offset each; entry 2 names the snapshot after 0, entries 4 and 5 that after
/// 3 (5 has inputs only and names none).
fn six_entries() -> Arc<MemoryStore> {
    let blobs = Arc::new(MemoryStore::new());
    let mut journal = open(&blobs, "a").unwrap();
    for (start, end, after) in [
        (0, 1, None),
        (1, 2, None),
        (2, 3, Some(0)),
        (3, 4, Some(0)),
        (4, 5, Some(3)),
        (5, 5, None),
    ] {
        let snapshot = after.map(named);
        let parts = EntryParts { snapshot, ..parts(start, end) };
        journal.append(parts, Delta::default()).unwrap();
    }
    blobs
}

fn named(after: u64) -> Named {
    let path = format!("system/snapshots/telemetry/3/{after:020}-a");
    Named { after, path, bytes: 1, sha256: String::new() }
}

#[track_caller]
fn check_opened(
    blobs: &Arc<MemoryStore>,
    snapshots: SnapshotChoice,
    after: Option<u64>,
    read: &[u64],
) {
    let store: Arc<dyn Blobs> = Arc::<MemoryStore>::clone(blobs);
    let journal = Journal::open_with(store, STREAM, "b".to_owned(), snapshots).unwrap();
    assert_eq!(journal.snapshot(), after.map(named).as_ref());
    let numbers: Vec<u64> = journal.headers().iter().map(|header| header.number).collect();
    assert_eq!(numbers, read);
    assert_eq!((journal.next_number(), journal.next_offset()), (6, Some(5)));
    for number in 0..7 {
        assert_eq!(journal.checksum(number).is_some(), read.contains(&number));
    }
}

#[test]
fn an_opening_reads_what_the_snapshot_does_not_stand_for() {
    let blobs = six_entries();
    check_opened(&blobs, SnapshotChoice::Use, Some(3), &[4, 5]);
    check_opened(&blobs, SnapshotChoice::Before(3), Some(0), &[1, 2, 3, 4, 5]);
    check_opened(&blobs, SnapshotChoice::Before(0), None, &[0, 1, 2, 3, 4, 5]);
    check_opened(&blobs, SnapshotChoice::Ignore, None, &[0, 1, 2, 3, 4, 5]);
}

#[test]
fn entries_that_a_snapshot_stands_for_may_be_gone_and_others_may_not() {
    let blobs = six_entries();
    for gone in [0, 1, 2, 3] {
        blobs.delete(&entry_key(gone)).unwrap();
        check_opened(&blobs, SnapshotChoice::Use, Some(3), &[4, 5]);
        let journal = open(&blobs, "b").unwrap();
        assert_eq!(journal.first_number(), gone + 1);
    }
    let store = || -> Arc<dyn Blobs> { Arc::<MemoryStore>::clone(&blobs) };
    for (snapshots, first) in
        [(SnapshotChoice::Before(3), "entry 0"), (SnapshotChoice::Ignore, "entry 0")]
    {
        let error = Journal::open_with(store(), STREAM, "b".to_owned(), snapshots).unwrap_err();
        assert!(error.to_string().contains(&format!("{first} is missing before")), "{error}");
    }
    blobs.delete(&entry_key(4)).unwrap();
    check_broken(&blobs, "entry 0 is missing before entry 5");
}

#[test]
fn a_snapshot_named_by_the_entry_that_it_would_stand_for_is_refused() {
    let blobs = six_entries();
    let snapshot = Some(named(6));
    let parts = EntryParts { snapshot, ..parts(5, 6) };
    open(&blobs, "a").unwrap().append(parts, Delta::default()).unwrap();
    check_broken(&blobs, "entry 6 names a snapshot after entry 6");
}

#[test]
fn the_next_entry_is_there_or_not_yet() {
    let blobs = six_entries();
    let next = |number| Journal::read_next(&*blobs, STREAM, number).unwrap();
    assert_eq!(next(5).unwrap().header.number, 5);
    assert_eq!(next(6), None);
    blobs.replace(&entry_key(6), &blobs.get(&entry_key(5)).unwrap().unwrap()).unwrap();
    let misplaced = Journal::read_next(&*blobs, STREAM, 6);
    assert!(matches!(misplaced, Err(StoreError::Damaged { .. })), "{misplaced:?}");
}
