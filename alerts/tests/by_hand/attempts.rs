//! Failed installs: against an earlier change of the same type, or the bound where there is none;
//! and devices that do not come back.

use std::sync::Arc;

use alerts::Engine;
use schemas::delta::Scope;
use schemas::totals::{ChangeTotals, Returns};
use schemas::{Alert, Escalation, Signal, WindowTotals};

use crate::windows::{engine, register, row, set, start, window};

/// A window in which attempts of a change end in ring `first`.
fn attempts(number: i64, change: &str, failed: i64, succeeded: i64) -> WindowTotals {
    let groups = [("first", &[change][..], 500, &[][..]), ("last", &[], 5_000, &[])];
    let mut totals = window(number, &groups);
    let counts = ChangeTotals {
        attempts_failed: failed,
        attempts_succeeded: succeeded,
        first_failed_at: Some(start(number)),
        ..ChangeTotals::default()
    };
    totals.changes.insert((Arc::from("first"), Arc::from(change)), counts);
    totals
}

/// What is told of `kb2`, of this type, after `kb1` whose attempts ended like that.
fn after(kb1: (i64, i64), kb2: (i64, i64), kb2_type: &str) -> (Engine, Vec<Alert>) {
    let mut engine = engine(9);
    let facts = |of: &str| format!(r#""type":"{of}","reversible":true,"rings":[]"#);
    register(&mut engine, "kb1", &facts("quality"));
    engine.evaluate(&attempts(0, "kb1", kb1.0, kb1.1));
    register(&mut engine, "kb2", &facts(kb2_type));
    let told = engine.evaluate(&attempts(1, "kb2", kb2.0, kb2.1));
    (engine, told)
}

#[test]
fn attempts_are_held_against_the_earlier_change_of_the_same_type() {
    let (_, told) = after((50, 4_950), (18, 82), "quality");
    let alert = told.first().expect("eighteen times as many fail");
    let said = "kb2 makes install_failure more likely in ring first than kb1 did \
                (18 of 100 attempts; 50 of 5000)";
    assert_eq!((&*alert.signal, &*alert.summary), ("install_failure", said));
    let evidence = &alert.evidence;
    assert_eq!((evidence.r0, evidence.ratio), (1.25, Some(18.0)));
    assert_eq!((evidence.control.devices, evidence.control.affected), (5_000, 50));
    // 18 % is not far above the bound, and the bound is all there is for another type.
    assert!(after((50, 4_950), (18, 82), "security").1.is_empty());
    // What the bound would not excuse, an earlier change that failed often does.
    assert_eq!(after((70, 430), (28, 72), "security").1.len(), 1);
    assert!(after((70, 430), (28, 72), "quality").1.is_empty());
}

#[test]
fn an_earlier_change_with_few_attempts_or_with_an_alert_says_nothing() {
    let (_, told) = after((1, 28), (40, 60), "quality");
    assert!(told[0].summary.contains("as allowed"), "{}", told[0].summary);
    let (_, told) = after((300, 200), (40, 60), "quality");
    assert!(told[0].summary.contains("as allowed"), "{}", told[0].summary);
}

#[test]
fn a_test_of_attempts_says_how_many_more_it_needs() {
    let (engine, told) = after((50, 4_950), (0, 3), "quality");
    assert!(told.is_empty());
    let mut rows = engine.verdicts().into_iter();
    let of_kb2 = |row: &alerts::VerdictRow| {
        row.change == "kb2" && row.ring == "first" && row.signal == Signal::InstallFailure
    };
    let missing = rows.find(of_kb2).and_then(|row| row.missing).expect("three are not enough");
    assert!(missing.ends_with(" more attempts to see a ratio of 5"), "{missing}");
    let (engine, _) = after((50, 4_950), (0, 0), "quality");
    let missing = row(&engine, "last", Signal::InstallFailure).missing;
    assert_eq!(missing.as_deref(), Some("the change has not reached this ring"));
}

/// A window in which trials of coming back are decided: of kb1's attempts, and of others.
fn returns(number: i64, failed: i64, trials: i64) -> WindowTotals {
    let groups = [("first", &["kb1"][..], 500, &[][..]), ("last", &[], 5_000, &[])];
    let mut totals = window(number, &groups);
    let first = Arc::from("first");
    let of = |failed, trials| Returns { trials, failed, first_failed_at: Some(start(number)) };
    let scopes = [
        (Arc::clone(&first), Scope::Change(Arc::from("kb1")), of(failed, trials)),
        (Arc::clone(&first), Scope::Set(set(&[])), of(1, 50)),
        (first, Scope::Set(set(&["kb1"])), of(50, 50)),
        (Arc::from("last"), Scope::Set(set(&[])), of(10, 500)),
    ];
    totals.returns = scopes.map(|(ring, scope, returns)| ((ring, scope), returns)).into();
    totals
}

#[test]
fn devices_that_do_not_come_back_after_an_attempt_are_a_severe_regression() {
    let mut engine = engine(9);
    assert!(engine.evaluate(&returns(0, 1, 40)).is_empty());
    let alert = engine.evaluate(&returns(1, 20, 40)).pop().expect("half of them are gone");
    assert_eq!((&*alert.signal, alert.evidence.kind.name()), ("no_return", "attempt"));
    assert_eq!(alert.escalation.map(Escalation::name), Some("A"));
    let evidence = &alert.evidence;
    let arms = [evidence.treated, evidence.control].map(|arm| (arm.affected, arm.devices));
    assert!(arms == [(21, 80), (20, 1_000)] || arms == [(21, 80), (2, 100)], "{arms:?}");
    assert!(alert.summary.contains("(21 of 80 attempts; expected"), "{}", alert.summary);
    assert_eq!(evidence.first_affected_at, Some(start(0)));
}

#[test]
fn not_coming_back_may_be_twice_as_frequent() {
    let mut engine = engine(9);
    for number in 0..500 {
        let failed = if number % 5 == 0 { 8 } else { 0 };
        assert!(engine.evaluate(&returns(number, failed, 40)).is_empty(), "window {number}");
    }
}
