//! Every formula against `tests/oracle/statistics.py`, which writes `statistics.json`: to 1e-9.
//!
//! The script computes with 50 digits and shares nothing with the product. The test of the
//! repository that runs it again, and asks other packages, is `tests/statistics.rs` at the root.

#![expect(clippy::expect_used, reason = "a case that cannot be read must fail the test")]

use alerts::detector::attempt::Against;
use alerts::detector::baseline::Baseline;
use alerts::detector::compared::{self, Ended};
use alerts::detector::quantile::boundary;
use alerts::detector::rate::{Exposure, RateProcess};
use alerts::detector::tally::Sum;
use alerts::detector::{Arms, ONSETS, log_sum_exp};
use schemas::{Span, Timestamp};
use serde_json::Value;

/// Margin of the rate tests; the script's r0 is this times the baseline's ratio.
const MARGIN: f64 = 1.25;
const ALPHA: f64 = 0.01;

fn float(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn count(value: &Value) -> i64 {
    value.as_i64().expect("a count")
}

fn ended(value: &Value) -> Ended {
    Ended { failed: count(&value[0]), succeeded: count(&value[1]) }
}

fn rate(given: &Value) -> RateProcess {
    let mut process = RateProcess::new(MARGIN, float(&given[0]));
    for term in given[1].as_array().expect("terms") {
        let [x, y, treated, control] = [0, 1, 2, 3].map(|at| count(&term[at]));
        let exposure = Exposure::new(Arms { treated, control }).expect("both arms");
        process.add(Arms { treated: x, control: y }, &exposure);
    }
    process
}

fn with_ends(ratio: Option<f64>, (low, high): (Option<f64>, Option<f64>)) -> Vec<f64> {
    [ratio, low, high].map(|value| value.expect("both arms have some")).to_vec()
}

fn baseline(given: &Value) -> f64 {
    let [x0, y0, t0, c0] = [0, 1, 2, 3].map(|at| count(&given[at]));
    let sum = |at_risk_ms, onsets| Sum { at_risk_ms, onsets: [onsets; ONSETS], ..Sum::default() };
    let mut baseline = Baseline::new(Span::days(14), 2);
    baseline.add(Timestamp::YEAR_2000, &[sum(t0, x0), sum(c0, y0)]);
    baseline.ratio(0, 0)
}

/// ln(n over k), and E[e] over n attempts of which the share `p` fails.
fn bounded_mean(p: f64) -> f64 {
    let against = Against::Bound { share: 0.05 };
    let ln_choose = |k: f64| libm::lgamma(201.0) - libm::lgamma(k + 1.0) - libm::lgamma(201.0 - k);
    let value = |failed: i64| {
        let ended = Ended { failed, succeeded: 200 - failed };
        libm::exp(ln_choose(failed as f64) + ended.log_likelihood(p) + against.log_e(ended))
    };
    (0..=200).map(value).sum()
}

/// E[e] of the 2x2 block (20, 180, 0.05, 0.005) when the share `theta` fails in both arms. The
/// product compares totals (docs/decisions/0013); this value of the design holds all the same.
fn block_mean(theta: f64) -> f64 {
    let (sizes, guesses) = ([20.0, 180.0], [0.05, 0.005]);
    let pooled = (sizes[0] * guesses[0] + sizes[1] * guesses[1]) / 200.0;
    let of = |(size, guess): (f64, f64)| {
        let mean = theta * guess / pooled + (1.0 - theta) * (1.0 - guess) / (1.0 - pooled);
        libm::pow(mean, size)
    };
    sizes.into_iter().zip(guesses).map(of).product()
}

fn found(formula: &str, given: &Value) -> Vec<f64> {
    match formula {
        "rate" => vec![rate(given).log_e(), rate(given).log_e_watch()],
        "rate_interval" => with_ends(rate(given).ratio(), rate(given).interval(ALPHA)),
        "baseline" => vec![baseline(given)],
        "bounded" => {
            let (failed, succeeded) = (count(&given[1]), count(&given[2]));
            let against = Against::Bound { share: float(&given[0]) };
            vec![against.log_e(Ended { failed, succeeded })]
        }
        "compared" => vec![compared::log_e(ended(&given[1]), ended(&given[2]), float(&given[0]))],
        "compared_interval" => {
            let (treated, control) = (ended(&given[0]), ended(&given[1]));
            let interval = compared::interval(treated, control, ALPHA);
            with_ends(compared::ratio(treated, control), interval)
        }
        "mean" => {
            let floats = |at: usize| given[at].as_array().expect("a list").iter().map(float);
            let parts: Vec<f64> =
                floats(0).zip(floats(1)).map(|(weight, value)| libm::log(weight) + value).collect();
            vec![log_sum_exp(&parts)]
        }
        "boundary" => vec![boundary(count(&given[0]), float(&given[1]))],
        "bounded_mean" => vec![bounded_mean(float(&given[0]))],
        "block_mean" => vec![block_mean(float(&given[0]))],
        other => panic!("no formula {other}"),
    }
}

fn cases() -> Vec<Value> {
    serde_json::from_str(include_str!("statistics.json")).expect("the script writes JSON")
}

#[test]
fn every_formula_is_that_of_the_script() {
    let cases = cases();
    assert!(cases.len() > 40, "only {} cases", cases.len());
    for case in cases {
        let formula = case["formula"].as_str().expect("a name");
        let found = found(formula, &case["in"]);
        let expected: Vec<f64> =
            case["out"].as_array().expect("a list").iter().map(float).collect();
        assert_eq!(found.len(), expected.len(), "{case}");
        for (found, expected) in found.into_iter().zip(expected) {
            let miss = (found - expected).abs();
            assert!(miss <= 1e-9 * expected.abs().max(1.0), "{found} for {case}");
        }
    }
}

/// Detection 7, to the digits given there.
#[test]
fn the_golden_values_are_those_of_the_design() {
    for (p, expected) in [(0.01, 0.0062), (0.03, 0.0124), (0.05, 1.0)] {
        assert!((bounded_mean(p) - expected).abs() < 5e-5, "{p}: {}", bounded_mean(p));
    }
    let blocks = [(0.0005, 0.983, 5e-4), (0.005, 0.996, 5e-4), (0.01, 0.99995, 5e-6)];
    for (theta, expected, digits) in blocks.into_iter().chain([(0.05, 0.736, 5e-4)]) {
        assert!((block_mean(theta) - expected).abs() < digits, "{theta}: {}", block_mean(theta));
    }
}
