//! Whole stories through `simulate` and `replay`: harm is found in time, and nothing else.

#![expect(clippy::expect_used, reason = "a test that cannot set up its world must fail")]

use schemas::Timestamp;
use serde_json::Value;
use xtask::fixture::Program;

/// Seeds of each family; the issue asks for ten.
const SEEDS: u64 = 10;

/// Replays one scenario with a seed; the detector's alerts. These rollouts do not wait until a ring
/// is clear, and the change process says so, rightly.
fn alerts(scenario: &str, seed: u64) -> Vec<Value> {
    let ringwatch = Program::new(env!("CARGO_BIN_EXE_ringwatch"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (input, data) = (folder.path().join("input"), folder.path().join("data"));
    let seed = seed.to_string();
    let simulate = [
        "simulate".as_ref(),
        "--scenario".as_ref(),
        scenario.as_ref(),
        "--seed".as_ref(),
        seed.as_ref(),
        "--out".as_ref(),
        input.as_os_str(),
    ];
    ringwatch.run(simulate).with_code(0);
    let replay = [
        "replay".as_ref(),
        "--json".as_ref(),
        "--input".as_ref(),
        input.as_os_str(),
        "--data".as_ref(),
        data.as_os_str(),
    ];
    let summary = ringwatch.run(replay).json();
    let alerts = summary["alerts"].as_array().expect("a list of alerts").iter();
    alerts.filter(|alert| alert["evidence"]["kind"] != "process").cloned().collect()
}

fn time(value: &Value) -> Timestamp {
    Timestamp::parse_rfc3339(value.as_str().expect("a time").as_bytes()).expect("RFC 3339")
}

#[test]
fn ten_times_as_many_crashes_are_found_within_ten_hours() {
    let mut delays_h: Vec<f64> = Vec::new();
    for seed in 1..=SEEDS {
        let alerts = alerts("os-crash-10x", seed);
        let found: Vec<&Value> =
            alerts.iter().filter(|alert| alert["signal"] == "os_crash").collect();
        assert!(alerts.iter().all(|alert| alert["ring"] == "first"), "seed {seed}: {alerts:?}");
        let Some(alert) = found.first() else {
            delays_h.push(f64::INFINITY);
            continue;
        };
        assert_eq!(alert["decision"], "rollback", "seed {seed}");
        check_evidence(alert);
        let start = sim_start();
        delays_h.push((time(&alert["starts_at"]) - start).as_secs_f64() / 3_600.0);
    }
    delays_h.sort_by(f64::total_cmp);
    let median = delays_h[delays_h.len() / 2];
    assert!(median <= 10.0, "median {median} h of {delays_h:?}");
}

/// When ring first begins to take the change.
fn sim_start() -> Timestamp {
    let text = include_str!("../sim/scenarios/os-crash-10x.toml");
    let scenario = sim::Scenario::parse(text).expect("a valid scenario");
    let plan = &scenario.changes[0].rings;
    let starts = plan.iter().find(|ring| ring.ring == "first").expect("ring first");
    scenario.at(starts.starts_h)
}

/// The numbers of the evidence belong together.
fn check_evidence(alert: &Value) {
    let found = &alert["evidence"];
    let number = |value: &Value| value.as_f64().expect("a number");
    assert!(number(&found["log_e"]) >= number(&found["line"]), "{found}");
    let rate = |arm: &str| number(&found[arm]["affected"]) / number(&found[arm]["device_seconds"]);
    let (ratio, low, high) =
        (number(&found["ratio"]), number(&found["ratio_low"]), number(&found["ratio_high"]));
    // The ratio is the likelihood's, window by window; that of the sums differs a little from it
    // while the treated arm grows.
    let of_sums = rate("treated") / rate("control");
    assert!((ratio / of_sums).ln().abs() < 0.25, "{found}");
    assert!(low <= ratio && ratio <= high, "{found}");
    assert!(low > number(&found["r0"]), "{found}");
}

#[test]
fn a_change_that_does_nothing_raises_no_alert() {
    for seed in 1..=SEEDS {
        assert_eq!(alerts("no-op", seed), Vec::<Value>::new(), "seed {seed}");
    }
}
