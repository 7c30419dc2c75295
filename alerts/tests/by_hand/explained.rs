//! An alert explained from the windows it came from: the same numbers, and the arithmetic.

use std::collections::BTreeMap;

use alerts::detector::Arms;
use alerts::explain::{Counted, Explanation, explain, needs_windows};
use schemas::{Alert, Signal, Timestamp};

use crate::windows::{Onset, engine, start, window};

/// An alert, and the windows that a reader of the tables would see of both comparisons.
fn harmed(signal: Signal, control: i64) -> (Alert, [BTreeMap<Timestamp, Counted>; 2]) {
    let mut engine = engine(9);
    let mut windows = [BTreeMap::new(), BTreeMap::new()];
    for number in 0..500 {
        let onset = |every: i64| i64::from(number % every == 0);
        let treated: [Onset; 1] = [(signal, onset(7))];
        let within: [Onset; 1] = [(signal, control * onset(90))];
        let later: [Onset; 1] = [(signal, control * onset(11))];
        let groups = [
            ("first", &["kb1"][..], 400 + number, &treated[..]),
            ("first", &[], 600 - number, &within[..]),
            ("last", &[], 9_000, &later[..]),
        ];
        for (windows, (devices, hit)) in
            windows.iter_mut().zip([(600 - number, within[0].1), (9_000, later[0].1)])
        {
            let seconds = Arms { treated: (400 + number) * 60, control: devices * 60 };
            let affected = Arms { treated: treated[0].1, control: hit };
            windows.insert(start(number), Counted { seconds, affected });
        }
        if let Some(alert) = engine.evaluate(&window(number, &groups)).pop() {
            return (alert, windows);
        }
    }
    panic!("nothing was found");
}

fn explained(signal: Signal) -> Explanation {
    let (alert, [within, later]) = harmed(signal, 1);
    assert!(needs_windows(&alert));
    let windows = if alert.evidence.baseline_ratio.is_some() { later } else { within };
    explain(&alert, &windows)
}

#[test]
fn the_evidence_is_found_again_from_the_counts() {
    let explanation = explained(Signal::OsCrash);
    let evidence = &explanation.alert.evidence;
    let close = |one: f64, other: f64| (one - other).abs() <= 1e-5 * other.abs();
    let both = |one: Option<f64>, other: Option<f64>| match (one, other) {
        (Some(one), Some(other)) => close(one, other),
        (one, other) => one == other,
    };
    assert!(both(explanation.ratio, evidence.ratio), "{explanation:?}");
    assert!(both(explanation.ratio_low, evidence.ratio_low), "{explanation:?}");
    assert!(both(explanation.ratio_high, evidence.ratio_high), "{explanation:?}");
    assert_eq!(explanation.counted.affected.treated, evidence.treated.affected);
    assert_eq!(explanation.counted.seconds.control, evidence.control.device_seconds);
    assert_eq!(explanation.windows as u64, evidence.windows);
    // One comparison, weighted, is at most the mean of all, and here it makes most of it.
    let weighted = explanation.weighted.expect("a rate");
    assert!(weighted <= evidence.log_e + 1e-4 && weighted > evidence.log_e - 1.0, "{weighted}");
    let mean: f64 = explanation.mixture.iter().map(|each| each.log_likelihood.exp()).sum();
    assert!((libm::log(mean / 24.0) - explanation.log_e.expect("a rate")).abs() < 1e-3);
}

#[test]
fn the_text_has_every_step() {
    let lines = explained(Signal::OsCrash).lines();
    let text = lines.join("\n");
    for step in ["Counted in", "expected:", "r0 = 1.250 x", "x ln(r/r0)", "log E = ", "its line is"]
    {
        assert!(text.contains(step), "no `{step}` in\n{text}");
    }
    assert!(lines.iter().all(|line| line.chars().count() <= 110), "{text}");
}

#[test]
fn rare_harm_is_explained_by_its_devices() {
    let (alert, [_, later]) = harmed(Signal::DataLoss, 0);
    assert_eq!(alert.evidence.kind.name(), "rare");
    let lines = explain(&alert, &later).lines().join("\n");
    assert!(lines.contains("treated        3 newly hit"), "{lines}");
    assert!(lines.contains("control        0 newly hit"), "{lines}");
}
