//! Durations of both arms: shown and watched, never an alert.

use std::sync::Arc;

use alerts::{DurationRow, Engine};
use schemas::delta::Scope;
use schemas::totals::ChangeTotals;
use schemas::{DurationSignal, Histogram};

use crate::windows::{engine, register, set, window};

/// Durations around this many milliseconds.
fn around(middle_ms: u64) -> Histogram {
    let mut histogram = Histogram::default();
    (0..40).for_each(|at| histogram.record(middle_ms + 7 * at));
    histogram
}

fn rows(engine: &Engine, change: &str) -> Vec<DurationRow> {
    engine.durations().into_iter().filter(|row| row.change == change).collect()
}

#[test]
fn boots_that_take_twice_as_long_are_watched() {
    let mut engine = engine(9);
    for number in 0..20 {
        let groups = [("first", &["kb1"][..], 500, &[][..]), ("first", &[], 500, &[])];
        let mut totals = window(number, &groups);
        for (names, boot_ms) in [(&["kb1"][..], 40_000), (&[], 20_000)] {
            for (signal, times) in [(DurationSignal::Boot, 1), (DurationSignal::Signin, 0)] {
                let ms = if times == 1 { boot_ms } else { 3_000 };
                let key = (Arc::from("first"), Scope::Set(set(names)), signal);
                totals.durations.insert(key, around(ms));
            }
        }
        assert!(engine.evaluate(&totals).is_empty());
    }
    let rows = rows(&engine, "kb1");
    let watched: Vec<_> =
        rows.iter().map(|row| (row.signal, row.quantiles.map(|each| each.watch))).collect();
    let expected = [(DurationSignal::Boot, [true, true]), (DurationSignal::Signin, [false, false])];
    assert_eq!(watched, expected);
    let median = rows[0].quantiles[0];
    let (low, high) = (median.treated.low_ms, median.control.high_ms);
    assert!(low > Some(38_000) && high < Some(21_000), "{median:?}");
}

#[test]
fn installs_are_compared_with_those_of_the_earlier_change() {
    let mut engine = engine(9);
    for (number, (change, install_ms)) in
        [("kb1", 60_000), ("kb2", 200_000)].into_iter().enumerate()
    {
        register(&mut engine, change, r#""type":"quality","reversible":true,"rings":[]"#);
        for part in 0..20 {
            let groups = [("first", &[change][..], 500, &[][..])];
            let mut totals = window(20 * number as i64 + part, &groups);
            let first: Arc<str> = Arc::from("first");
            let ended = ChangeTotals { attempts_succeeded: 40, ..ChangeTotals::default() };
            totals.changes.insert((Arc::clone(&first), Arc::from(change)), ended);
            let key = (first, Scope::Change(Arc::from(change)), DurationSignal::Install);
            totals.durations.insert(key, around(install_ms));
            engine.evaluate(&totals);
        }
    }
    let watch = |change| rows(&engine, change)[0].quantiles.map(|each| each.watch);
    assert_eq!((watch("kb1"), watch("kb2")), ([false, false], [true, true]));
}
