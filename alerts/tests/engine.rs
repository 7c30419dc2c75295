//! The engine on windows written by hand: registry, late onsets, attempts, naming, bounds.

#![expect(clippy::expect_used, reason = "a test without its alert or row must fail")]

use std::sync::Arc;

use alerts::{Engine, Verdict};
use schemas::delta::{ChangeSet, RegistryDelta};
use schemas::totals::{ChangeTotals, Onsets};
use schemas::{Alert, Signal, WindowTotals};

use windows::{Onset, engine, register, row, start, window};

#[path = "by_hand/attempts.rs"]
mod attempts;
#[path = "by_hand/durations.rs"]
mod durations;
#[path = "by_hand/explained.rs"]
mod explained;
#[path = "by_hand/invariance.rs"]
mod invariance;
#[path = "by_hand/overlap.rs"]
mod overlap;
#[path = "by_hand/signatures.rs"]
mod signatures;
#[path = "by_hand/verdicts.rs"]
mod verdicts;
#[path = "by_hand/windows.rs"]
mod windows;

/// A regression in ring `first`: 30 of 500 treated devices, 3 of 5,500 others.
const HARM: &[(&str, &[&str], i64, &[Onset])] = &[
    ("first", &["kb1"], 500, &[(Signal::OsCrash, 30)]),
    ("first", &[], 500, &[]),
    ("last", &[], 5_000, &[(Signal::OsCrash, 3)]),
];

#[test]
fn the_decision_follows_the_registry_and_names_the_rings_that_wait() {
    let check = |facts: &str, expected: [&str; 3]| {
        let mut engine = engine(9);
        if !facts.is_empty() {
            register(&mut engine, "kb1", facts);
        }
        // A ring that has the change before its start is told of as well.
        let told = engine.evaluate(&window(0, HARM));
        let mut of_harm = told.into_iter().filter(|alert| alert.signal == "os_crash");
        let alert = of_harm.next().expect("thirty devices are enough");
        let unregistered = if alert.unregistered { "unregistered" } else { "registered" };
        assert_eq!([alert.change_type.name(), &alert.action.what, unregistered], expected);
        assert_eq!(alert.starts_at, start(1));
        assert_eq!(alert.evidence.first_affected_at, Some(start(0)));
    };
    let undo = "roll back kb1 in ring first; open a support case of severity A; hold last";
    check("", ["unknown", undo, "unregistered"]);
    let facts = r#""type":"quality","reversible":true,"rings":[]"#;
    check(facts, ["quality", undo, "registered"]);
    let plan = r#""rings":[{"ring":"first","starts":"2026-07-14T17:00:00Z"}]"#;
    let what = "open a support case of severity A for kb1 in ring first";
    let facts = format!(r#""type":"security","reversible":true,{plan}"#);
    check(&facts, ["security", what, "registered"]);
}

#[test]
fn evidence_and_summary_add_up_with_the_windows() {
    let mut engine = engine(9);
    assert!(
        engine.evaluate(&window(0, &[("first", &["kb1"], 500, &[]), HARM[1], HARM[2]])).is_empty()
    );
    let alert = engine.evaluate(&window(1, HARM)).pop().expect("thirty devices are enough");
    let evidence = &alert.evidence;
    let arms =
        [evidence.treated, evidence.control].map(|a| (a.devices, a.device_seconds, a.affected));
    assert_eq!(arms, [(500, 60_000, 30), (5_000, 600_000, 6)]);
    assert_eq!((evidence.windows, evidence.ratio), (2, Some(50.0)));
    let said = "kb1 makes os_crash 50.0x as likely in ring first (30 of 500 devices; expected 0.6)";
    assert_eq!(alert.summary, said);
}

#[test]
fn late_onsets_count_as_if_they_had_come_in_their_own_window() {
    let calm = |number| {
        let treated = ("first", &["kb1"][..], 40 + 7 * number, &[][..]);
        window(number, &[treated, ("first", &[], 500, &[]), ("last", &[], 5_000, &[])])
    };
    let affected = |set: &ChangeSet| if set.is_empty() { 1 } else { 2 };
    let mut on_time = engine(9);
    let mut late = engine(9);
    for number in 0..5 {
        let mut with = calm(number);
        for ((_, set), group) in &mut with.groups {
            let onsets = Onsets { affected: affected(set), first_at: None };
            group.onsets.insert(Signal::AppHang, onsets);
        }
        on_time.evaluate(&with);
        late.evaluate(&calm(number));
    }
    let mut after = calm(5);
    on_time.evaluate(&after);
    for own in (0..5).rev() {
        for (ring, set) in calm(own).groups.into_keys() {
            let onsets = Onsets { affected: affected(&set), first_at: None };
            after.late.insert((start(own), ring, set, Signal::AppHang), onsets);
        }
    }
    late.evaluate(&after);
    let (one, other) =
        (row(&on_time, "first", Signal::AppHang), row(&late, "first", Signal::AppHang));
    assert!(one.log_e > 1.0, "{one:?}");
    assert_eq!(one, other);
}

#[test]
fn failing_attempts_are_held_against_the_bound() {
    let attempts = |failed: i64, succeeded: i64| -> Vec<Alert> {
        let mut engine = engine(9);
        let mut totals = window(0, &[("first", &["kb1"], 500, &[]), ("last", &[], 5_000, &[])]);
        let counts = ChangeTotals {
            attempts_failed: failed,
            attempts_succeeded: succeeded,
            first_failed_at: Some(start(0)),
            ..ChangeTotals::default()
        };
        totals.changes.insert((Arc::from("first"), Arc::from("kb1")), counts);
        engine.evaluate(&totals)
    };
    assert!(attempts(8, 92).is_empty());
    let alert = attempts(40, 60).pop().expect("four times the bound");
    assert_eq!((&*alert.signal, alert.evidence.kind.name()), ("install_failure", "attempt"));
    let said = "kb1 makes install_failure 4.0x as likely as allowed in ring first \
                (40 of 100 attempts; allowed 10.0)";
    assert_eq!(alert.summary, said);
}

#[test]
fn many_weak_tests_cross_together_and_the_strongest_is_named() {
    let signals = [
        Signal::OsCrash,
        Signal::BootLoop,
        Signal::Silence,
        Signal::UnexpectedReboot,
        Signal::AppCrash,
    ];
    let mut engine = engine(9);
    let mut named = Vec::new();
    for number in 0..2_000 {
        let hit: Vec<Onset> = signals[..3].iter().map(|&signal| (signal, 1)).collect();
        let treated: &[Onset] = if number % 20 == 0 { &hit } else { &[] };
        let control: Vec<Onset> =
            signals.iter().map(|&signal| (signal, i64::from(number % 6 == 0))).collect();
        let groups =
            [("first", &["kb1"][..], 500, treated), ("last", &[][..], 5_000, &control[..])];
        named.extend(engine.evaluate(&window(number, &groups)));
        if !named.is_empty() {
            break;
        }
    }
    assert_eq!(named.len(), 1, "one is named at the crossing");
    let evidence = &named[0].evidence;
    assert!(evidence.log_e < evidence.line, "none crossed alone: {evidence:?}");
    assert!(evidence.log_e > evidence.line - libm::log(3.0) - 0.1);
}

#[test]
fn verdicts_tell_no_data_from_insufficient_from_healthy() {
    let mut engine = engine(9);
    let verdict = |engine: &Engine, ring| row(engine, ring, Signal::OsCrash).verdict;
    let both = [
        ("first", &["kb1"][..], 5_000, &[(Signal::OsCrash, 1)][..]),
        ("last", &[][..], 5_000, &[(Signal::OsCrash, 1)][..]),
    ];
    engine.evaluate(&window(0, &both));
    assert_eq!(verdict(&engine, "first"), Verdict::Insufficient);
    assert_eq!(verdict(&engine, "last"), Verdict::NoData);
    for number in 1..60 {
        assert!(engine.evaluate(&window(number, &both)).is_empty());
    }
    assert_eq!(verdict(&engine, "first"), Verdict::Healthy);
    assert_eq!(row(&engine, "first", Signal::OsCrash).missing_device_hours, Some(0.0));
    assert_eq!(verdict(&engine, "last"), Verdict::NoData);
    for number in 60..63 {
        assert_eq!(verdict(&engine, "first"), Verdict::Healthy, "window {number}");
        engine.evaluate(&window(number, &both[..1]));
    }
    assert_eq!(verdict(&engine, "first"), Verdict::NoData);
}

#[test]
fn a_removed_change_resolves_and_a_change_beyond_the_bound_is_not_tracked() {
    let mut engine = engine(1);
    assert_eq!(engine.evaluate(&window(0, HARM)).len(), 1);
    let (change, takes_effect) = ("kb1".to_owned(), start(1));
    engine.register(&RegistryDelta { offset: 1, takes_effect, change, record: None });
    let resolved = engine.evaluate(&window(1, HARM)).pop().expect("the change is gone");
    assert_eq!((resolved.state.name(), resolved.ends_at), ("resolved", Some(start(2))));
    let other = [("first", &["kb2"][..], 500, &[(Signal::OsCrash, 90)][..]), HARM[1], HARM[2]];
    assert!(engine.evaluate(&window(2, &other)).is_empty());
    assert!(engine.verdicts().is_empty());
}

#[test]
fn a_ring_that_is_not_configured_is_in_no_arm() {
    let mut engine = engine(9);
    let stray = [("unmanaged", &["kb1"][..], 500, &[(Signal::OsCrash, 90)][..]), HARM[1], HARM[2]];
    assert!(engine.evaluate(&window(0, &stray)).is_empty());
    assert!(engine.verdicts().iter().all(|row| row.verdict == Verdict::NoData));
}

#[test]
fn devices_that_moved_between_partitions_end_open_tests_and_no_alert_goes_away() {
    let crashes: &[Onset] = &[(Signal::OsCrash, 30)];
    let bad =
        [("test", &["kb1"][..], 100, crashes), ("test", &[], 900, &[]), ("first", &[], 900, &[])];
    let mut engine = engine(10);
    register(&mut engine, "kb1", r#""type":"quality","reversible":true"#);
    assert_eq!(engine.evaluate(&window(0, &bad)).len(), 1, "it fires");
    let (before, quiet) =
        (row(&engine, "test", Signal::OsCrash), row(&engine, "test", Signal::AppHang));
    assert_eq!((before.verdict, quiet.repartitioned), (Verdict::Regressed, false));
    let moved = WindowTotals { repartitioned: true, ..window(1, &bad) };
    assert_eq!(engine.evaluate(&moved), []);
    // Hours without harm, and hours with another harm: neither says anything of this ring now.
    for number in 2..600 {
        let hangs: &[Onset] = &[(Signal::AppHang, 30)];
        let other =
            [("test", &["kb1"][..], 100, hangs), ("test", &[], 900, &[]), ("first", &[], 900, &[])];
        assert_eq!(engine.evaluate(&window(number, &other)), []);
    }
    let (after, quiet) =
        (row(&engine, "test", Signal::OsCrash), row(&engine, "test", Signal::AppHang));
    assert_eq!((after.verdict, after.log_e), (Verdict::Regressed, before.log_e));
    assert_eq!((quiet.verdict, quiet.repartitioned), (Verdict::Insufficient, true));
    // A ring that is reached afterwards is tested as ever.
    let next =
        [("first", &["kb1"][..], 100, crashes), ("first", &[], 900, &[]), ("last", &[], 900, &[])];
    assert_eq!(engine.evaluate(&window(600, &next)).len(), 1);
}
