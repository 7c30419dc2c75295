//! The detector on simulated fleets, window by window: what it must find, and what it must not.
//!
//! Onsets are Poisson, independent; the fleets are those of the design (detection 7): 10,000
//! devices, `os_crash` 0.5 % a day, 500 of them treated within 2 h.

#![expect(clippy::expect_used, reason = "a scenario that cannot be built must fail the test")]

use std::sync::Arc;

use alerts::{DetectionConfig, Engine, Verdict};
use schemas::delta::{ChangeSet, RegistryDelta};
use schemas::totals::{GroupTotals, Onsets};
use schemas::{Alert, AlertState, Signal, Span, Timestamp, WindowTotals};

const RINGS: [(&str, i64); 5] =
    [("test", 100), ("first", 500), ("fast", 1_400), ("broad", 3_000), ("last", 5_000)];
const WINDOW: Span = Span::minutes(1);
const ROLLOUT_WINDOWS: i64 = 120;
const DAY_S: f64 = 86_400.0;

/// xorshift64*: G. Marsaglia 2003, S. Vigna 2016.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Uniform in [0, 1).
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Poisson by Knuth's product: the means here are far below 1.
    fn poisson(&mut self, mean: f64) -> i64 {
        let (floor, mut product, mut count) = (libm::exp(-mean), self.uniform(), 0);
        while product > floor {
            product *= self.uniform();
            count += 1;
        }
        count
    }
}

/// A fleet in which the change comes to ring `first` at `begins`.
struct Fleet {
    engine: Engine,
    random: Random,
    /// Hazard of each signal for the treated, as a multiple of that for the others.
    factor: f64,
    signals: &'static [Signal],
    begins: i64,
    window: i64,
}

impl Fleet {
    fn new(seed: u64, factor: f64, signals: &'static [Signal]) -> Self {
        let rings = RINGS.map(|(ring, _)| ring.to_owned()).to_vec();
        let config = DetectionConfig::new(rings);
        config.check().expect("the defaults are valid");
        let (engine, random) = (Engine::new(config), Random::new(seed));
        Self { engine, random, factor, signals, begins: 24 * 60, window: 0 }
    }

    fn register(&mut self, status: &str) {
        let facts = r#""change":"kb1","type":"quality","reversible":true,"rings":[]"#;
        let record = format!(r#"{{{facts},"status":"{status}"}}"#);
        let takes_effect = Timestamp::YEAR_2000;
        let change = "kb1".to_owned();
        self.engine.register(&RegistryDelta {
            offset: 0,
            takes_effect,
            change,
            record: Some(record),
        });
    }

    fn group(&mut self, devices: i64, factor: f64) -> GroupTotals {
        let rate = 0.005 / DAY_S * factor * WINDOW.as_secs_f64();
        let random = &mut self.random;
        let onsets = self.signals.iter().filter_map(|&signal| {
            let affected = random.poisson(rate * devices as f64);
            (affected > 0).then_some((signal, Onsets { affected, first_at: None }))
        });
        GroupTotals {
            onsets: onsets.collect(),
            at_risk_ms: devices * WINDOW.as_millis(),
            devices_active: devices,
            ..GroupTotals::default()
        }
    }

    fn step(&mut self) -> Vec<Alert> {
        let start = Timestamp::YEAR_2000 + Span(self.window * WINDOW.0);
        let mut totals = WindowTotals { start, end: start + WINDOW, ..WindowTotals::default() };
        let (none, with): (ChangeSet, ChangeSet) = (Arc::from([]), Arc::from([Arc::from("kb1")]));
        let rolled_out = (self.window - self.begins).clamp(0, ROLLOUT_WINDOWS);
        for (ring, devices) in RINGS {
            let treated = if ring == "first" { devices * rolled_out / ROLLOUT_WINDOWS } else { 0 };
            for (set, devices, factor) in
                [(&none, devices - treated, 1.0), (&with, treated, self.factor)]
            {
                if devices > 0 {
                    let group = self.group(devices, factor);
                    totals.groups.insert((Arc::from(ring), Arc::clone(set)), group);
                }
            }
        }
        self.window += 1;
        self.engine.evaluate(&totals)
    }

    /// Steps until a transition is told, for at most `limit`.
    fn next_alert(&mut self, limit: Span) -> Option<Alert> {
        (0..limit.0 / WINDOW.0).find_map(|_| self.step().into_iter().next())
    }
}

#[test]
fn ten_times_as_many_crashes_are_named_within_ten_hours_in_the_median() {
    let mut delays: Vec<f64> = (1..=10)
        .map(|seed| {
            let mut fleet = Fleet::new(seed, 10.0, &[Signal::OsCrash]);
            fleet.register("deploying");
            let alert = fleet.next_alert(Span::days(4)).expect("it is found");
            let named = [&*alert.change, &*alert.ring, &*alert.signal, alert.decision.name()];
            assert_eq!(named, ["kb1", "first", "os_crash", "rollback"]);
            let evidence = &alert.evidence;
            let (low, high) = (evidence.ratio_low.expect("hit"), evidence.ratio_high.expect("hit"));
            assert!(low < 10.0 && high > 10.0, "{low}..{high}");
            assert!(evidence.log_e >= evidence.line - 0.1, "{} {}", evidence.log_e, evidence.line);
            (fleet.window - fleet.begins) as f64 / 60.0
        })
        .collect();
    delays.sort_by(f64::total_cmp);
    let median = f64::midpoint(delays[4], delays[5]);
    assert!(median <= 10.0, "{delays:?}");
}

#[test]
fn a_change_that_does_nothing_raises_no_alert_in_three_days() {
    const SIGNALS: &[Signal] =
        &[Signal::OsCrash, Signal::AppCrash, Signal::BootLoop, Signal::Silence, Signal::AppHang];
    for seed in 1..=10 {
        let mut fleet = Fleet::new(100 + seed, 1.0, SIGNALS);
        assert_eq!(fleet.next_alert(Span::days(4)), None, "seed {seed}");
        let rows = fleet.engine.verdicts();
        assert!(rows.iter().all(|row| row.verdict != Verdict::Regressed));
        let silent = |row: &&alerts::VerdictRow| row.ring == "last";
        assert!(rows.iter().filter(silent).all(|row| row.verdict == Verdict::NoData));
    }
}

#[test]
fn a_change_that_is_rolled_back_resolves_its_alert_and_fires_anew_only_if_it_returns() {
    let mut fleet = Fleet::new(7, 30.0, &[Signal::OsCrash]);
    fleet.register("deploying");
    let fired = fleet.next_alert(Span::days(3)).expect("it is found");
    assert_eq!(fleet.engine.open_alerts(), [&fired]);
    fleet.register("rolled_back");
    let resolved = fleet.next_alert(Span::minutes(1)).expect("it resolves at once");
    assert_eq!((resolved.state, resolved.transition), (AlertState::Resolved, 2));
    assert_eq!((&resolved.id, resolved.ends_at), (&fired.id, Some(resolved.updated_at)));
    assert_eq!(fleet.next_alert(Span::hours(12)), None);
    assert!(fleet.engine.open_alerts().is_empty() && fleet.engine.verdicts().is_empty());
    fleet.register("deploying");
    let again = fleet.next_alert(Span::minutes(1)).expect("the evidence still stands");
    assert_ne!(again.id, fired.id);
}

#[test]
fn the_same_windows_give_the_same_bytes() {
    let run = || {
        let mut fleet = Fleet::new(3, 30.0, &[Signal::OsCrash, Signal::AppCrash]);
        let alerts: Vec<Alert> = (0..3 * 24 * 60).flat_map(|_| fleet.step()).collect();
        assert!(!alerts.is_empty() && alerts.iter().all(|alert| alert.unregistered));
        serde_json::to_string(&alerts).expect("alerts are JSON")
    };
    assert_eq!(run(), run());
}
