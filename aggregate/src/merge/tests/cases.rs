//! Single cases, each a sentence.

use schemas::ChangeType;
use schemas::alert::{
    Action, Alert, AlertState, ArmEvidence, Cohort, Decision, Evidence, EvidenceKind, Links, Owner,
    Severity,
};
use schemas::delta::{ChangeDelta, HealthDelta, RegistryDelta, SignalDelta, Transition};
use schemas::event::UpdateState;
use schemas::pseudonym::PSEUDONYM_BYTES;
use schemas::reject::{RejectedRow, Stage};
use schemas::tables::Adds;
use schemas::{Dataset, Pseudonym, Signal};

use super::run::{text, value};
use super::world::{config, entry, minute, record, set_of, stream};
use super::*;

/// A merge of telemetry/0 and changes/0, entry after entry.
struct Bench {
    merge: Merge,
    numbers: [u64; 4],
}

const TELEMETRY: usize = 0;
const CHANGES: usize = 3;

impl Bench {
    fn new(config: MergeConfig) -> Self {
        let merge = Merge::new(config, &[stream(TELEMETRY), stream(CHANGES)]);
        Self { merge, numbers: [0; 4] }
    }

    /// Adds an entry after which the stream has closed all before the minute.
    fn add(&mut self, index: usize, closed_until: i64, delta: Delta) -> &mut Self {
        let mut entry = entry(stream(index), self.numbers[index]);
        self.numbers[index] += 1;
        entry.header.closed_until = minute(closed_until);
        entry.delta = delta;
        self.merge.add(&entry);
        self
    }

    fn end(&mut self) -> &mut Self {
        for index in [TELEMETRY, CHANGES] {
            let mut entry = entry(stream(index), self.numbers[index]);
            self.numbers[index] += 1;
            entry.header.ended = true;
            self.merge.add(&entry);
        }
        self
    }

    /// Cuts, and compares the rows of a dataset.
    #[track_caller]
    fn check_cut(&mut self, dataset: Dataset, expected: &[&str]) -> &mut Self {
        assert_eq!(rows(&self.merge.cut(), dataset), expected);
        self
    }

    fn starts(&mut self) -> Vec<i64> {
        let windows = std::iter::from_fn(|| self.merge.next_window());
        windows.map(|(totals, ..)| totals.start.0 / minute(1).0).collect()
    }
}

/// Each row as its key and the counts that are not 0.
fn rows(tables: &[TableRows], dataset: Dataset) -> Vec<String> {
    let mut lines = Vec::new();
    for TableRows { batch, .. } in tables.iter().filter(|rows| rows.dataset == dataset) {
        for row in 0..batch.num_rows() {
            let window = value(batch, "window_start", row) / minute(1).0;
            let mut line = format!("{window} r{}", value(batch, "revision", row));
            for name in ["change", "change_type", "ring", "arm", "signal"] {
                let known = batch.column_by_name(name).and_then(|_| text(batch, name, row));
                line.extend(known.map(|text| format!(" {text}")));
            }
            for column in dataset.columns().iter().filter(|column| column.adds != Adds::No) {
                let cell = value(batch, column.name, row);
                if cell != 0 {
                    line.extend([" ", column.name, "=", &cell.to_string()]);
                }
            }
            lines.push(line);
        }
    }
    lines
}

pub(super) fn health(window: i64, evaluated: i64, ring: &str, bits: u8, at_risk_ms: i64) -> Delta {
    let row = HealthDelta {
        place: Place { window: minute(window), evaluated: minute(evaluated) },
        ring: Arc::from(ring),
        set: set_of(bits),
        at_risk_ms,
        devices_active: 0,
        devices_silent: 0,
        heartbeats: 0,
        boots: 0,
        records: 1,
        duplicates: 0,
    };
    Delta { health: vec![row], ..Delta::default() }
}

fn registry(at: Timestamp, change: &str, status: &str) -> Delta {
    let record = Some(record(change, status));
    let row = RegistryDelta { offset: 0, takes_effect: at, change: change.to_owned(), record };
    Delta { registry: vec![row], ..Delta::default() }
}

#[test]
fn milliseconds_left_over_by_a_row_count_in_a_later_one() {
    Bench::new(config(WINDOWS_MAX))
        .add(CHANGES, 20, Delta::default())
        .add(TELEMETRY, 10, health(10, 10, "test", 0, 1_600))
        .check_cut(Dataset::RingHealth, &["10 r0 test device_seconds=1 records=1"])
        .add(TELEMETRY, 11, health(10, 10, "test", 0, 600))
        .check_cut(Dataset::RingHealth, &["10 r1 test device_seconds=1 records=1"])
        .add(TELEMETRY, 12, health(10, 11, "test", 0, 700))
        .check_cut(Dataset::RingHealth, &["10 r2 test records=1"])
        .add(TELEMETRY, 12, health(10, 12, "test", 0, 100))
        .check_cut(Dataset::RingHealth, &["10 r3 test device_seconds=1 records=1"]);
}

#[test]
fn a_change_that_becomes_known_gets_its_control_share_of_what_was_written() {
    Bench::new(config(WINDOWS_MAX))
        .add(TELEMETRY, 10, health(10, 10, "test", 0, 5_000))
        .check_cut(Dataset::RingHealth, &["10 r0 test device_seconds=5 records=1"])
        .add(CHANGES, 10, registry(minute(10), "a", "deploying"))
        .check_cut(Dataset::RingHealth, &["10 r1 a quality test control device_seconds=5"])
        .check_cut(Dataset::RingHealth, &[]);
}

#[test]
fn a_change_seen_in_telemetry_alone_is_of_unknown_type() {
    Bench::new(config(WINDOWS_MAX)).add(TELEMETRY, 10, health(10, 10, "test", 1, 2_000)).check_cut(
        Dataset::RingHealth,
        &["10 r0 test device_seconds=2 records=1", "10 r0 a unknown test treated device_seconds=2"],
    );
}

#[test]
fn a_change_over_before_it_was_seen_has_no_arms() {
    for (status, rows) in [("completed", 1), ("cancelled", 1), ("paused", 2)] {
        let mut bench = Bench::new(config(WINDOWS_MAX));
        bench.add(CHANGES, 10, registry(minute(9), "a", status));
        let tables = bench.add(TELEMETRY, 10, health(10, 10, "test", 0, 9_000)).merge.cut();
        assert_eq!(tables[0].batch.num_rows(), rows, "{status}");
    }
}

#[test]
fn a_ring_that_is_not_configured_has_no_arms_and_no_part_in_totals() {
    let mut bench = Bench::new(config(WINDOWS_MAX));
    bench.add(TELEMETRY, 10, health(10, 10, UNMANAGED, 1, 2_000)).end();
    let (totals, ..) = bench.merge.next_window().unwrap();
    assert!(totals.groups.is_empty(), "{totals:?}");
    bench.check_cut(Dataset::RingHealth, &["10 r0 unmanaged device_seconds=2 records=1"]);
}

#[test]
fn a_change_beyond_the_bound_has_treated_rows_but_no_control() {
    let mut bench = Bench::new(MergeConfig { changes_max: 1, ..config(WINDOWS_MAX) });
    bench
        .add(TELEMETRY, 10, health(10, 10, "test", 1, 0))
        .add(TELEMETRY, 10, health(10, 10, "test", 2, 3_000))
        .check_cut(
            Dataset::RingHealth,
            &[
                "10 r0 test device_seconds=3 records=2",
                "10 r0 a unknown test control device_seconds=3",
                "10 r0 b unknown test treated device_seconds=3",
            ],
        );
    assert_eq!(bench.merge.refused().changes_untracked, 1);
    // By the registry once each, whether a row has named it or not; what is tracked is not refused.
    for (change, refused) in [("b", 2), ("c", 3), ("c", 4), ("a", 4)] {
        bench.add(CHANGES, 20, registry(minute(12), change, "deploying"));
        assert_eq!(bench.merge.refused().changes_untracked, refused, "{change}");
    }
}

#[test]
fn a_failed_attempt_counts_for_its_change_alone() {
    let place = Place { window: minute(10), evaluated: minute(10) };
    let (ring, change): (Arc<str>, Arc<str>) = (Arc::from("first"), Arc::from("a"));
    let signal = SignalDelta {
        place,
        ring: ring.clone(),
        scope: Scope::Change(change.clone()),
        signal: Signal::InstallFailure,
        cohort: None,
        affected_devices: 1,
        events: 1,
        first_affected_at: Some(Timestamp(minute(10).0 + 7)),
    };
    let counts = ChangeDelta {
        place,
        ring: ring.clone(),
        change: change.clone(),
        devices_exposed: 0,
        installs_started: 2,
        installs_succeeded: 1,
        installs_failed: 1,
        rollbacks: 0,
        attempts_succeeded: 1,
        attempts_failed: 1,
    };
    let delta = Delta { signals: vec![signal], changes: vec![counts], ..Delta::default() };
    let mut bench = Bench::new(config(WINDOWS_MAX));
    bench.add(CHANGES, 10, registry(minute(9), "b", "deploying")).add(TELEMETRY, 10, delta).end();
    let (totals, ..) = bench.merge.next_window().unwrap();
    let change = totals.changes[&(ring, change)];
    assert_eq!(change.first_failed_at, Some(Timestamp(minute(10).0 + 7)));
    assert_eq!((change.attempts_succeeded, change.attempts_failed), (1, 1));
    bench.check_cut(
        Dataset::RingSignals,
        &[
            "10 r0 first install_failure affected_devices=1 events=1",
            "10 r0 a unknown first treated install_failure affected_devices=1 events=1",
        ],
    );
}

#[test]
fn a_quiet_window_is_handed_out_only_where_a_record_takes_effect() {
    let mut bench = Bench::new(config(WINDOWS_MAX));
    bench
        .add(CHANGES, 9, registry(Timestamp(0), "a", "deploying"))
        .add(CHANGES, 30, registry(minute(20), "a", "cancelled"))
        .add(TELEMETRY, 19, health(10, 10, "test", 0, 1))
        .add(TELEMETRY, 30, health(25, 25, "test", 0, 1));
    assert_eq!(bench.starts(), [10, 20, 25]);
}

#[test]
fn a_window_waits_for_every_stream() {
    let mut bench = Bench::new(config(WINDOWS_MAX));
    bench.add(TELEMETRY, 12, health(10, 10, "test", 0, 1));
    assert!(bench.starts().is_empty());
    bench.add(CHANGES, 10, Delta::default());
    assert!(bench.starts().is_empty());
    bench.add(CHANGES, 11, Delta::default());
    assert_eq!(bench.starts(), [10]);
}

#[test]
fn late_onsets_stand_apart_with_their_own_window() {
    let row = |window, affected_devices| SignalDelta {
        place: Place { window: minute(window), evaluated: minute(12) },
        ring: Arc::from("test"),
        scope: Scope::Set(set_of(1)),
        signal: Signal::OsCrash,
        cohort: None,
        affected_devices,
        events: 4,
        first_affected_at: Some(minute(window)),
    };
    let delta = Delta { signals: vec![row(11, 2), row(12, 3)], ..Delta::default() };
    let mut bench = Bench::new(config(WINDOWS_MAX));
    bench.add(TELEMETRY, 12, delta).end();
    let (totals, ..) = bench.merge.next_window().unwrap();
    let key = (Arc::from("test"), set_of(1));
    assert_eq!(totals.groups[&key].onsets[&Signal::OsCrash].affected, 3);
    assert_eq!(totals.late[&(minute(11), key.0, key.1, Signal::OsCrash)].affected, 2);
}

#[test]
fn rows_after_the_end_for_a_window_handed_out_count_as_late_in_the_next() {
    let mut bench = Bench::new(config(WINDOWS_MAX));
    bench.add(TELEMETRY, 10, health(12, 12, "test", 0, 1)).end();
    assert_eq!(bench.starts(), [12]);
    bench.add(TELEMETRY, 11, health(11, 11, "test", 0, 1)).end();
    assert_eq!(bench.starts(), [13]);
}

#[test]
fn memory_is_full_when_a_stream_stays_behind() {
    let mut bench = Bench::new(config(1));
    bench.add(TELEMETRY, 11, health(10, 10, "test", 0, 1));
    assert!(!bench.merge.is_full());
    bench.add(TELEMETRY, 12, health(11, 11, "test", 0, 1));
    bench.merge.cut();
    assert!(bench.merge.is_full());
    assert_eq!(bench.end().starts(), [10, 11]);
    bench.merge.cut();
    assert!(!bench.merge.is_full());
    assert_eq!(bench.merge.refused().windows_forgotten, 1);
}

#[test]
#[should_panic(expected = "A5: entry of telemetry/0 out of order")]
fn an_entry_out_of_order_is_a_bug() {
    Merge::new(config(WINDOWS_MAX), &[stream(0)]).add(&entry(stream(0), 1));
}

#[test]
fn rejected_records_go_by_their_topic_and_those_without_time_to_1970() {
    let row = |offset, time| RejectedRow {
        offset,
        time,
        stage: Stage::Decode,
        error: "not a JSON object".to_owned(),
        field: None,
        value: b"\xff{".to_vec(),
        size: 2,
    };
    let rejected = vec![row(7, None), row(3, None), row(5, Some(minute(1_440)))];
    let topics = BTreeMap::from([(StreamKind::Telemetry, "fleet".to_owned())]);
    let mut bench = Bench::new(MergeConfig { topics, ..config(WINDOWS_MAX) });
    let tables = bench.add(TELEMETRY, 10, Delta { rejected, ..Delta::default() }).merge.cut();
    let dates: Vec<&str> = tables.iter().map(|rows| rows.date.as_str()).collect();
    assert_eq!(dates, ["1970-01-01", "1970-01-02"]);
    let batch = &tables[0].batch;
    assert_eq!([value(batch, "offset", 0), value(batch, "offset", 1)], [3, 7]);
    assert_eq!(text(batch, "topic", 0).as_deref(), Some("fleet"));
    assert_eq!(
        (text(batch, "stage", 0).as_deref(), text(batch, "field", 0)),
        (Some("DECODE"), None)
    );
}

#[test]
fn transitions_stand_in_the_order_of_time_and_device() {
    let device = |byte| Pseudonym::of([byte; PSEUDONYM_BYTES]);
    let row = |at, byte| Transition {
        event_time: minute(at),
        device: device(byte),
        ring: Arc::from("test"),
        change: Arc::from("a"),
        state: UpdateState::Installed,
        code: None,
        duration_ms: Some(5),
        build: Some(Arc::from("b1")),
        model: None,
    };
    let transitions = vec![row(20, 1), row(10, 3), row(10, 2)];
    let mut bench = Bench::new(config(WINDOWS_MAX));
    let tables = bench.add(TELEMETRY, 10, Delta { transitions, ..Delta::default() }).merge.cut();
    let batch = &tables[0].batch;
    let devices: Vec<_> = (0..3).filter_map(|row| text(batch, "device", row)).collect();
    assert_eq!(devices, [2, 3, 1].map(|byte| device(byte).to_string()));
    assert_eq!(text(batch, "state", 0).as_deref(), Some("installed"));
    assert_eq!((value(batch, "duration_ms", 0), text(batch, "model", 0)), (5, None));
}

#[test]
fn an_alert_is_a_row_with_its_objects_as_json() {
    let arm = ArmEvidence { devices: 500, device_seconds: 9, affected: 8 };
    let evidence = Evidence {
        kind: EvidenceKind::Rate,
        log_e: 7.4,
        line: 7.1,
        alpha: 0.01,
        r0: 1.25,
        treated: arm,
        control: arm,
        ratio: Some(6.1),
        ratio_low: None,
        ratio_high: None,
        windows: 213,
        first_affected_at: None,
        baseline_ratio: None,
        comparison_weight: None,
    };
    let alert = Alert {
        v: 1,
        id: "rw-1".to_owned(),
        fingerprint: "f".to_owned(),
        state: AlertState::Firing,
        decision: Decision::Rollback,
        escalation: None,
        severity: Severity::Critical,
        change: "a".to_owned(),
        change_type: ChangeType::Quality,
        unregistered: false,
        ring: "first".to_owned(),
        signal: "os_crash".to_owned(),
        transition: 1,
        starts_at: minute(11),
        updated_at: minute(11),
        ends_at: None,
        summary: "a makes os_crash likely".to_owned(),
        evidence,
        cohort: Some(Cohort { key: "model".to_owned(), value: "m1".to_owned(), share: 0.9 }),
        action: Action { what: "roll back a".to_owned(), owner: Owner::Service, notice: None },
        links: Links::default(),
    };
    let resolved = Alert { transition: 2, updated_at: minute(1_440), ..alert.clone() };
    let tables = alert_rows(&[resolved, alert.clone()]);
    assert_eq!(
        tables.iter().map(|rows| &rows.date).collect::<Vec<_>>(),
        ["1970-01-01", "1970-01-02"]
    );
    let batch = &tables[0].batch;
    let read: Evidence = serde_json::from_str(&text(batch, "evidence", 0).unwrap()).unwrap();
    assert_eq!(read, alert.evidence);
    let cohort = text(batch, "cohort", 0);
    assert_eq!(cohort.as_deref(), Some(r#"{"key":"model","value":"m1","share":0.9}"#));
    assert_eq!((text(batch, "escalation", 0), value(batch, "starts_at", 0)), (None, minute(11).0));
}

#[test]
fn a_change_on_devices_of_a_ring_that_is_not_configured_is_told_beside_the_arms() {
    let mut bench = Bench::new(config(100));
    for (ring, change_bits, devices) in [("first", 1, 5), ("unmanaged", 3, 7), ("unmanaged", 0, 9)]
    {
        let mut rows = health(500, 500, ring, change_bits, 60);
        rows.health.iter_mut().for_each(|row| row.devices_active = devices);
        bench.add(TELEMETRY, 500, rows);
    }
    bench.end();
    let (totals, ..) = bench.merge.next_window().unwrap();
    let foreign: Vec<_> = totals.foreign.iter().map(|(name, count)| (&**name, *count)).collect();
    assert_eq!(foreign, [("a", 7), ("b", 7)]);
    assert_eq!(totals.groups.len(), 1);
}
