//! What is said of a test that has not fired: what is missing, and when a ring is clear.

use alerts::{Clearing, Engine, Verdict};
use schemas::{Signal, Span};

use crate::windows::{Onset, engine, row, start, window};

type Groups<'a> = &'a [(&'a str, &'a [&'a str], i64, &'a [Onset])];

const CRASH: &[Onset] = &[(Signal::OsCrash, 1)];

/// Windows all alike; the verdict on `os_crash` in ring `first`, and what is missing.
#[track_caller]
fn check(windows: i64, groups: Groups<'_>, verdict: Verdict, missing: Option<&str>) {
    let mut engine = engine(9);
    for number in 0..windows {
        assert!(engine.evaluate(&window(number, groups)).is_empty(), "window {number}");
    }
    let row = row(&engine, "first", Signal::OsCrash);
    assert_eq!((row.verdict, row.missing.as_deref()), (verdict, missing), "{row:?}");
}

#[test]
fn nothing_at_all_is_no_data() {
    let mut engine = engine(9);
    engine.evaluate(&window(0, &[]));
    assert!(engine.verdicts().is_empty(), "no change, no verdict");
    engine.evaluate(&window(1, &[("test", &["kb1"], 5, &[])]));
    let row = row(&engine, "first", Signal::OsCrash);
    assert_eq!(row.verdict, Verdict::NoData);
    assert_eq!(row.missing.as_deref(), Some("the change has not reached this ring"));
}

#[test]
fn one_arm_empty_is_no_data_after_three_windows() {
    let treated = ("first", &["kb1"][..], 500, CRASH);
    let unknown = Some("too few of the control were hit to know the usual rate");
    check(2, &[treated], Verdict::Insufficient, unknown);
    let missing = Some("no control device was at risk in 3 windows");
    check(3, &[treated], Verdict::NoData, missing);
    let mut engine = engine(9);
    engine.evaluate(&window(0, &[treated, ("last", &[], 5_000, &[])]));
    for number in 1..4 {
        engine.evaluate(&window(number, &[("last", &[], 5_000, CRASH)]));
    }
    let row = row(&engine, "first", Signal::OsCrash);
    assert_eq!(row.verdict, Verdict::NoData);
    assert_eq!(row.missing.as_deref(), Some("no treated device was at risk in 3 windows"));
}

#[test]
fn a_control_without_events_is_insufficient() {
    let groups: Groups<'_> = &[("first", &["kb1"], 500, &[]), ("last", &[], 5_000, &[])];
    let missing = Some("too few of the control were hit to know the usual rate");
    check(2_000, groups, Verdict::Insufficient, missing);
}

#[test]
fn treated_without_events_are_healthy_once_a_ratio_of_five_would_have_been_seen() {
    let groups: Groups<'_> = &[("first", &["kb1"], 500, &[]), ("last", &[], 5_000, CRASH)];
    let missing = Some("needs 467 more device-hours to see a ratio of 5");
    check(20, groups, Verdict::Insufficient, missing);
    check(200, groups, Verdict::Healthy, None);
}

#[test]
fn counts_of_one_alarm_nowhere() {
    let (treated, control) =
        (("first", &["kb1"][..], 1, CRASH), ("last", &[][..], 100_000, &[][..]));
    let missing = Some("too few of the control were hit to know the usual rate");
    check(1, &[treated, control], Verdict::Insufficient, missing);
    let mut engine = engine(9);
    for signal in Signal::ALL.into_iter().filter(|signal| signal.is_onset()) {
        let onset = [(signal, 1)];
        let treated = ("test", &["kb1"][..], 1, &onset[..]);
        let told = engine.evaluate(&window(signal as i64, &[treated, control]));
        assert!(told.is_empty(), "{}", signal.name());
    }
}

/// An engine after so many hours of ring `first`, one window each, with this harm to the treated.
fn soaked(hours: i64, harm: &[Onset]) -> Engine {
    let usual = [Signal::OsCrash, Signal::AppCrash].map(|signal| (signal, 9));
    let mut engine = engine(9);
    for number in 0..hours {
        let treated: Vec<Onset> = usual.iter().chain(harm).copied().collect();
        let groups =
            [("first", &["kb1"][..], 5_000, &treated[..]), ("last", &[][..], 5_000, &usual[..])];
        engine.evaluate(&window(60 * number + 59, &groups));
    }
    engine
}

#[test]
fn a_ring_is_clear_after_its_soak_and_names_what_it_could_not_have_seen() {
    let clearance = |hours| soaked(hours, &[]).clearances().remove(0);
    let early = clearance(71);
    assert_eq!((early.clearing, early.since), (Clearing::Soaking, None));
    assert_eq!(early.soaks_until, start(59) + Span::days(3));
    let clear = clearance(80);
    assert_eq!((&*clear.change, &*clear.ring, clear.clearing), ("kb1", "first", Clearing::Clear));
    assert!(clear.waits_for.is_empty() && clear.since.is_some(), "{clear:?}");
    assert!(clear.unseen.contains(&Signal::DataLoss), "{clear:?}");
    assert!(!clear.unseen.contains(&Signal::OsCrash), "{clear:?}");
}

#[test]
fn a_ring_is_not_clear_while_a_severe_signal_is_open_or_anything_regressed() {
    let waiting = soaked(80, &[(Signal::BootLoop, 1)]).clearances().remove(0);
    assert_ne!(waiting.clearing, Clearing::Clear);
    let engine = soaked(80, &[(Signal::AppHang, 9)]);
    let blocked = engine.clearances().remove(0);
    assert_eq!((blocked.clearing, blocked.since), (Clearing::Blocked, None));
}

#[test]
fn watch_is_shown_without_an_alert_and_gives_way_to_one() {
    let mut engine = engine(9);
    let mut shown = None;
    for number in 0..4_000 {
        let treated: &[Onset] = if number % 40 == 0 { CRASH } else { &[] };
        let control: &[Onset] = if number % 10 == 0 { CRASH } else { &[] };
        let groups = [("first", &["kb1"][..], 500, treated), ("last", &[][..], 5_000, control)];
        let told = engine.evaluate(&window(number, &groups));
        let watch = row(&engine, "first", Signal::OsCrash).watch;
        if let Some(alert) = told.first() {
            assert_eq!(alert.signal, "os_crash");
            assert!(!watch, "the alert says more");
            assert!(shown.is_some_and(|shown| shown < number), "{shown:?} {number}");
            return;
        }
        if watch && shown.is_none() {
            shown = Some(number);
        }
    }
    panic!("two and a half times the rate was never found; watched from {shown:?}");
}
