//! The rules of the fold, one scenario each.

use schemas::event::{BootReason, Lifecycle, TicketSeverity, UpdateState};
use schemas::{Body, Event, Input, OTHER, Signal, Span, Timestamp};

use super::harness::*;
use super::*;
use crate::config::{FoldLimits, tests::config};

const HOUR: i64 = 3_600;

fn ticket<'a>() -> Body<'a> {
    Body::Ticket { ticket: "T-1", severity: TicketSeverity::B, category: None }
}

#[test]
fn a_timer_fires_before_the_record_that_passes_it() {
    let mut rig = Rig::new();
    rig.send("d-1", 0, heartbeat(60));
    assert_eq!(rig.partition.closed_until(), second(-60));
    rig.send("d-1", 70, fault(Signal::OsCrash, 1));
    assert_eq!(rig.partition.closed_until(), second(60));
    let sums = rig.take();
    let place = Place { window: second(0), evaluated: second(0) };
    let first = sums.health[&(place, "first".to_owned(), vec![])];
    assert_eq!(first[..4], [60_000, 1, 0, 1], "its first window is closed, with all its time");
}

#[test]
fn late_records_count_in_their_own_window_and_are_evaluated_in_the_open_one() {
    let mut rig = Rig::new();
    rig.send("d-1", 600, heartbeat(60));
    assert_eq!(rig.send("d-2", 600, heartbeat(60)), Applied::OnTime);
    assert_eq!(rig.send("d-3", 100, fault(Signal::DataLoss, 3)), Applied::Late);
    let sums = rig.take();
    let (place, _) = sums.signals.iter().map(|(key, sums)| (key.0, sums)).next().unwrap();
    assert_eq!(place, Place { window: second(60), evaluated: second(540) });
    assert_eq!((sums.counts.applied, sums.counts.late), (3, 1));
}

#[test]
fn one_fast_clock_moves_no_watermark() {
    let mut rig = Rig::new();
    let ahead = event("d-1", second(HOUR), heartbeat(60));
    rig.partition.apply(&ahead, Arrived { at: second(100), key: Some(b"d-1") });
    assert_eq!(rig.partition.watermark(), Some(second(90)));
    rig.partition.input(&Input::End);
    assert_eq!(rig.partition.closed_until(), second(120), "nor what the end closes");
    assert_eq!(rig.send("d-2", 130, heartbeat(60)), Applied::OnTime);
}

#[test]
fn a_quarter_of_a_century_without_records_is_skipped() {
    let mut rig = Rig::new();
    rig.send("d-1", 0, heartbeat(60));
    rig.send("d-1", 25 * 365 * 24 * HOUR, heartbeat(60));
    let sums = rig.take();
    assert!(sums.health.len() < 10, "{} rows", sums.health.len());
    assert_eq!(sums.health(0, "first", &[]), 180_000);
}

#[test]
fn idle_input_closes_windows_and_fires_no_silence() {
    let mut rig = Rig::new();
    rig.send("d-1", 0, heartbeat(60));
    assert!(
        rig.partition.idle_would_close(second(0)) && !rig.partition.idle_would_close(second(-1))
    );
    rig.partition.input(&Input::Idle(second(9 * HOUR)));
    assert_eq!(rig.partition.closed_until(), second(9 * HOUR));
    let sums = rig.take();
    assert_eq!((sums.health(0, "first", &[]), sums.signal(Signal::Silence)), (180_000, (0, 0)));
    rig.pass(HOUR);
    assert_eq!(rig.take().signal(Signal::Silence), (0, 0), "records say it is one o'clock");
    rig.pass(3 * HOUR);
    assert_eq!(rig.take().signal(Signal::Silence), (1, 1));
}

#[test]
fn the_end_closes_the_last_window_fires_nothing_and_is_taken_back_by_a_record() {
    let mut rig = Rig::new();
    rig.send("d-1", 0, heartbeat(1));
    rig.send("d-2", 3 * HOUR, heartbeat(60));
    rig.take();
    let watermark = rig.partition.watermark();
    rig.partition.input(&Input::End);
    assert!(rig.partition.ended());
    assert_eq!(rig.partition.watermark(), watermark);
    let sums = rig.take();
    assert_eq!((sums.signal(Signal::Silence), sums.health(0, "first", &[])), ((0, 0), 60_000));
    assert_eq!(rig.send("d-2", 3 * HOUR + 1, heartbeat(60)), Applied::Late);
    assert!(!rig.partition.ended());
}

#[test]
fn silence_counts_where_the_time_at_risk_ended_once_the_lag_is_over() {
    let mut rig = Rig::new();
    rig.send("d-1", 0, heartbeat(600));
    rig.send("d-1", 60, update("kb1", UpdateState::Installing));
    rig.pass(1_860 + 2 * HOUR - 1);
    assert_eq!(rig.take().signal(Signal::Silence), (0, 0));
    rig.send("d-1", 5_000, heartbeat(600));
    rig.pass(1_860 + 2 * HOUR);
    let sums = rig.take();
    let (key, row) = sums.signals.iter().next().unwrap();
    assert_eq!(key.0, Place { window: second(1_860), evaluated: second(9_060) });
    let set: schemas::ChangeSet = ["kb1".into()].into();
    assert_eq!((&key.2, row), (&schemas::delta::Scope::Set(set), &[1, 1, 1_860]));
}

#[test]
fn a_record_from_before_the_expiry_cancels_the_silence_and_adds_the_time() {
    let mut rig = Rig::new();
    rig.send("d-1", 0, heartbeat(600));
    rig.pass(HOUR);
    rig.take();
    assert_eq!(rig.send("d-1", 1_700, heartbeat(600)), Applied::Late);
    let sums = rig.take();
    assert_eq!(sums.health(0, "first", &[]), 1_700_000, "from 1800 to 3500, in closed windows");
    rig.pass(3_500 + 2 * HOUR - 1);
    assert_eq!(rig.take().signal(Signal::Silence), (0, 0));
    rig.pass(3_500 + 2 * HOUR);
    assert_eq!(rig.take().signal(Signal::Silence), (1, 1), "its end has moved, and stays an end");
}

#[test]
fn who_says_offline_or_retires_is_neither_at_risk_nor_silent() {
    for state in [Lifecycle::Offline, Lifecycle::Retired] {
        let mut rig = Rig::new();
        rig.send("other", 0, heartbeat(24 * 3_600));
        rig.send("d-1", 0, heartbeat(600));
        rig.send("d-1", 90, lifecycle(state));
        rig.pass(10 * HOUR);
        let sums = rig.take();
        assert_eq!(sums.health(0, "first", &[]), 10 * HOUR * 1_000 + 90_000);
        assert_eq!((sums.health(2, "first", &[]), sums.signal(Signal::Silence)), (0, (0, 0)));
    }
}

#[test]
fn a_ticket_is_no_sign_of_life() {
    let mut rig = Rig::new();
    rig.send("d-1", 0, heartbeat(60));
    rig.send("d-1", 100, ticket());
    rig.pass(HOUR);
    let sums = rig.take();
    assert_eq!(sums.health(0, "first", &[]), 180_000);
    assert_eq!(sums.signal(Signal::SupportTicket), (1, 1));
}

#[test]
fn treated_is_from_installing_until_rolled_back() {
    let mut rig = Rig::new();
    for (at_s, state) in [
        (0, UpdateState::Offered),
        (10, UpdateState::Installing),
        (30, UpdateState::Installed),
        (50, UpdateState::RolledBack),
    ] {
        rig.send("d-1", at_s, update("kb1", state));
    }
    rig.pass(60);
    let sums = rig.take();
    assert_eq!(sums.health(0, "first", &[]), 20_000);
    assert_eq!(sums.health(0, "first", &["kb1"]), 40_000);
    assert_eq!(sums.changes.values().next().unwrap(), &[1, 1, 1, 0, 1, 1, 0]);
    assert_eq!(sums.signal(Signal::InstallFailure), (0, 0), "rolled back after its success");
}

#[test]
fn an_attempt_ends_once() {
    use UpdateState::{Failed, Installed, Installing, RolledBack};
    for (states, succeeded, failed) in [
        (&[Installing, Failed, RolledBack][..], 0, 1),
        (&[Installing, Installing, Installed, Failed], 1, 0),
        (&[Installed, Installed], 1, 0),
        (&[Failed, RolledBack], 0, 0),
        (&[Installing, RolledBack, Installing, Installed], 0, 1),
    ] {
        let mut rig = Rig::new();
        for (at_s, &state) in states.iter().enumerate() {
            rig.send("d-1", at_s as i64, update("kb1", state));
        }
        let sums = rig.take();
        let row = sums.changes.values().next().unwrap();
        assert_eq!(row[5..], [succeeded, failed], "{states:?}");
        assert_eq!(sums.signal(Signal::InstallFailure), (failed, failed), "{states:?}");
    }
}

#[test]
fn the_quiet_period_counts_an_incident_once_and_all_its_events() {
    let mut rig = Rig::new();
    let day = 24 * HOUR;
    for at_s in [0, day, 7 * day, 14 * day] {
        rig.send("d-1", at_s, fault(Signal::AppCrash, 2));
    }
    rig.send("d-1", 14 * day, fault(Signal::AppHang, 1));
    let sums = rig.take();
    assert_eq!(sums.signal(Signal::AppCrash), (2, 8));
    assert_eq!(sums.signal(Signal::AppHang), (1, 1));
}

#[test]
fn cohort_rows_carry_what_the_record_or_the_device_last_said() {
    let mut rig = Rig::new();
    let mut named = event("d-1", second(0), heartbeat(60));
    (named.cohorts[0], named.cohorts[1]) = (Some("Latitude"), Some("nv-1"));
    rig.offer(&named);
    let mut crash = event("d-1", second(5), fault(Signal::OsCrash, 1));
    crash.cohorts[1] = Some("nv-2");
    rig.offer(&crash);
    let sums = rig.take();
    let cohorts: Vec<_> = sums.signals.keys().map(|key| key.4.clone()).collect();
    let pair = |key: &str, value: &str| Some((key.to_owned(), value.to_owned()));
    assert_eq!(cohorts, [None, pair("driver", "nv-2"), pair("model", "Latitude")]);
}

#[test]
fn three_boots_in_half_an_hour_are_a_loop_updates_not_counted() {
    let user = BootReason::User;
    for (boots, events) in [
        (&[(0, user), (900, user), (1_800, user)][..], 1),
        (&[(0, user), (900, user), (1_801, user)], 0),
        (&[(0, user), (900, BootReason::Update), (1_800, user)], 0),
        (&[(0, user), (60, user), (120, user), (180, user), (240, user), (300, user)], 2),
    ] {
        let mut rig = Rig::new();
        for &(at_s, reason) in boots {
            rig.send("d-1", at_s, boot(reason));
        }
        assert_eq!(rig.take().signal(Signal::BootLoop).1, events, "{boots:?}");
    }
}

#[test]
fn another_ring_without_moved_is_drift_and_the_device_goes_there() {
    let mut rig = Rig::new();
    let mut in_ring = |ring, at_s, body| {
        rig.offer(&Event { ring, ..event("d-1", second(at_s), body) });
    };
    in_ring("first", 0, heartbeat(600));
    in_ring("fast", 20, lifecycle(Lifecycle::Moved { from: "first" }));
    in_ring("broad", 30, heartbeat(600));
    in_ring("first", 5, heartbeat(600));
    rig.pass(60);
    let sums = rig.take();
    let at_risk = ["first", "fast", "broad"].map(|ring| sums.health(0, ring, &[]));
    assert_eq!(at_risk, [20_000, 10_000, 30_000]);
    assert_eq!((sums.signal(Signal::RingDrift), sums.counts.ring_drift), ((1, 1), 1));
}

#[test]
fn a_ring_that_is_not_configured_is_counted_as_unmanaged() {
    let mut rig = Rig::new();
    rig.offer(&Event { ring: "lab", ..event("d-1", second(0), heartbeat(60)) });
    rig.offer(&Event { ring: "lab2", ..event("d-1", second(1), heartbeat(60)) });
    let sums = rig.take();
    assert_eq!((sums.health(5, "unmanaged", &[]), sums.counts.ring_drift), (2, 0));
}

#[test]
fn a_factory_reset_forgets_the_device_and_changes_its_pseudonym() {
    let mut rig = Rig::new();
    let mut numbered = |seq, at_s, body| {
        let event = Event { seq: Some(seq), ..event("d-1", second(at_s), body) };
        rig.offer(&event)
    };
    numbered(40, 0, update("kb1", UpdateState::Installing));
    numbered(41, 10, fault(Signal::OsCrash, 1));
    assert_eq!(numbered(1, 30, lifecycle(Lifecycle::Reset)), Applied::OnTime);
    assert_eq!(numbered(1, 30, lifecycle(Lifecycle::Reset)), Applied::Duplicate);
    numbered(2, 40, fault(Signal::OsCrash, 1));
    assert_eq!(numbered(41, 50, update("kb2", UpdateState::Offered)), Applied::OnTime);
    rig.pass(60);
    let sums = rig.take();
    assert_eq!(sums.signal(Signal::OsCrash), (2, 2), "no quiet period of the user before");
    assert_eq!(sums.health(0, "first", &["kb1"]), 30_000);
    assert_eq!(sums.health(0, "first", &[]), 30_000);
    assert_ne!(sums.pseudonyms[0], sums.pseudonyms[1]);
}

#[test]
fn duplicates_and_stale_records_are_counted_and_do_nothing() {
    let mut rig = Rig::new();
    let mut numbered = |seq, at_s| {
        let event =
            Event { seq: Some(seq), ..event("d-1", second(at_s), fault(Signal::AppCrash, 1)) };
        rig.offer(&event)
    };
    assert_eq!(numbered(500, 10), Applied::OnTime);
    assert_eq!(numbered(500, 10), Applied::Duplicate);
    assert_eq!(numbered(3, 10), Applied::Stale);
    assert_eq!(numbered(3, 11), Applied::OnTime);
    let sums = rig.take();
    let counts = sums.counts;
    assert_eq!((counts.received, counts.applied, counts.duplicates), (4, 2, 2));
    assert_eq!((counts.stale, counts.seq_restarts), (1, 1));
    assert_eq!((sums.health(6, "first", &[]), sums.signal(Signal::AppCrash).1), (2, 2));
}

#[test]
fn a_record_under_a_foreign_key_is_counted() {
    let mut rig = Rig::new();
    let event = event("d-1", second(0), heartbeat(60));
    for key in [None, Some(&b"d-1"[..]), Some(b"d-2")] {
        rig.partition.apply(&event, Arrived { at: event.time, key });
    }
    assert_eq!(rig.take().counts.key_mismatch, 1);
}

#[test]
fn every_bound_refuses_counts_and_loses_no_record() {
    let limits = FoldLimits {
        devices_max: 2,
        names_max: 1,
        changes_max: 2,
        sets_max: 1,
        missing_ranges_max: 1,
        late_windows_max: 2,
        onsets_max: 1,
        signatures_max: 1,
        signature_onsets_max: 1,
        cohort_values_max: 1,
        ..FoldLimits::default()
    };
    let mut rig = Rig::with(&FoldConfig { limits, ..config() });
    let (installing, offered) = (UpdateState::Installing, UpdateState::Offered);
    for (device, change, state, seq) in [
        ("d-1", "a", installing, 1),
        ("d-1", "b", installing, 200),
        ("d-1", "c", installing, 300),
        ("d-2", "a", offered, 1),
        ("d-3", "a", installing, 1),
    ] {
        let event = event(device, second(9 * HOUR), update(change, state));
        rig.offer(&Event { seq: Some(seq), build: Some(change), ..event });
    }
    let signed =
        |signature| Body::Fault { kind: Signal::OsCrash, signature: Some(signature), count: 1 };
    rig.send("d-1", 9 * HOUR, signed("one"));
    rig.send("d-2", 100, signed("one"));
    rig.send("d-1", 9 * HOUR, signed("two"));
    let refused = Refused {
        devices: 1,
        names: 2,
        changes: 1,
        sets: 1,
        missing_ranges: 1,
        late_windows: 1,
        onsets: 1,
        signatures: 1,
        signature_onsets: 1,
        cohort_values: 0,
        certificates: 0,
    };
    assert_eq!(rig.partition.refused(), refused);
    let (delta, counts) = rig.partition.take();
    assert_eq!((counts.applied, delta.transitions.len()), (8, 4));
    assert!(delta.changes.iter().any(|row| *row.change == *OTHER));
    assert_eq!(&*delta.transitions[2].change, "c", "the row keeps the name");
}

#[test]
fn the_lag_of_the_day_before_decides_when_silence_is_certain() {
    let mut rig = Rig::new();
    let day = 24 * HOUR;
    // A day in which every record is a minute late, then a device that falls silent.
    for minute in 0..=24 * 60 {
        rig.pass(minute * 60 - 10);
        rig.partition.apply(
            &Event { ring: "fast", ..event("late", second(minute * 60 - 60), heartbeat(600)) },
            Arrived { at: second(minute * 60), key: None },
        );
    }
    rig.send("d-1", day, heartbeat(60));
    rig.pass(day + 180 + 59);
    assert_eq!(rig.take().signal(Signal::Silence), (0, 0));
    rig.pass(day + 180 + 64);
    let sums = rig.take();
    let short = sums.signals.keys().filter(|key| key.3 == Signal::Silence);
    assert_eq!(short.map(|key| key.1.as_str()).collect::<Vec<_>>(), ["first"]);
}

#[test]
fn a_device_takes_at_most_128_bytes_with_its_index_and_timer_once_there_are_many() {
    let mut rig = Rig::new();
    let empty = rig.partition.memory_bytes();
    let count = 1 << 16;
    for number in 0..count {
        rig.send(&format!("d-{number}"), 0, heartbeat(60));
    }
    assert_eq!(rig.partition.device_count(), count);
    rig.take();
    // Without the room that rows had, which is an entry's and not the devices'.
    let partition = Partition::load(&config(), &rig.partition.save()).unwrap();
    let bytes = partition.memory_bytes() - empty;
    assert!(bytes / count <= 128, "{} bytes a device", bytes / count);
}

#[test]
fn rejected_records_keep_their_rows_and_move_nothing() {
    let mut rig = Rig::new();
    let row = RejectedRow {
        offset: 4,
        time: None,
        stage: schemas::Stage::Decode,
        error: "not an object".to_owned(),
        field: None,
        value: b"[]".to_vec(),
        size: 2,
    };
    rig.partition.reject(row.clone(), Some(second(500)));
    assert_eq!((rig.partition.watermark(), rig.partition.closed_until()), (None, Timestamp(0)));
    let (delta, counts) = rig.partition.take();
    assert_eq!((delta.rejected, counts.rejected, counts.received), (vec![row], 1, 1));
}

#[test]
fn first_affected_is_the_earliest_whatever_the_order() {
    let mut rig = Rig::new();
    rig.send("d-1", 55, fault(Signal::OsCrash, 1));
    rig.send("d-2", 50, fault(Signal::OsCrash, 1));
    let sums = rig.take();
    assert_eq!(sums.signals.values().next().unwrap(), &[2, 2, 50]);
    assert_eq!(Span::seconds(50), second(50) - START);
}
