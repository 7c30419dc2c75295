//! Rare harm, and changes that overlap: which one is named.

use std::sync::Arc;

use schemas::{Alert, Escalation, Signal};

use crate::windows::{Onset, engine, set, start, window};

const LOST: &[Onset] = &[(Signal::DataLoss, 1)];

#[test]
fn data_lost_on_a_second_device_is_severe_at_once() {
    let groups =
        |treated| [("first", &["kb1"][..], 500, treated), ("last", &[][..], 9_500, &[][..])];
    let mut engine = engine(9);
    for number in -200..0 {
        let before = [("first", &[][..], 500, &[][..]), ("last", &[][..], 9_500, &[][..])];
        assert!(engine.evaluate(&window(number, &before)).is_empty());
    }
    assert!(engine.evaluate(&window(0, &groups(LOST))).is_empty());
    for number in 1..100 {
        assert!(engine.evaluate(&window(number, &groups(&[]))).is_empty());
    }
    let alert = engine.evaluate(&window(100, &groups(LOST))).pop().expect("the second device");
    assert_eq!((&*alert.signal, alert.evidence.kind.name()), ("data_loss", "rare"));
    assert_eq!(alert.escalation.map(Escalation::name), Some("A"));
    let said = "kb1 causes data_loss in ring first (2 of 500 devices; none of the control)";
    assert_eq!(alert.summary, said);
    let evidence = &alert.evidence;
    assert_eq!((evidence.treated.affected, evidence.control.affected), (2, 0));
    assert_eq!(evidence.first_affected_at, Some(start(0)));
}

#[test]
fn data_lost_in_the_control_too_is_no_proof() {
    let mut engine = engine(9);
    let control = |lost| ("last", &[][..], 9_500, lost);
    engine.evaluate(&window(0, &[("first", &["kb1"], 500, LOST), control(LOST)]));
    let both: &[Onset] = &[(Signal::DataLoss, 1)];
    for number in 1..3 {
        let groups = [("first", &["kb1"][..], 500, both), control(&[])];
        assert!(engine.evaluate(&window(number, &groups)).is_empty());
    }
}

#[test]
fn data_lost_where_there_is_no_control_is_held_against_the_time_before() {
    for (windows_before, lost_before, expected) in [(0, 0, 0), (40, 0, 1), (40, 2, 0)] {
        let mut engine = engine(9);
        for number in -windows_before..0 {
            let lost = if number == -1 { lost_before } else { 0 };
            let before = [("last", &[][..], 500, &[(Signal::DataLoss, lost)][..])];
            engine.evaluate(&window(number, &before));
        }
        let groups = [("last", &["kb1"][..], 500, &[(Signal::DataLoss, 2)][..])];
        let told = engine.evaluate(&window(0, &groups)).len();
        assert_eq!(told, expected, "{windows_before} {lost_before}");
    }
}

/// xorshift64*, as in `scenarios.rs`.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Devices hit within a window, each with this chance.
    fn hit(&mut self, devices: i64, chance: f64) -> i64 {
        (0..devices).filter(|_| self.uniform() < chance).count() as i64
    }
}

/// What is named within 200 windows, where many devices of one change have the other too, and
/// those with `guilty` crash 20 times as often.
fn named(seed: u64, guilty: &str) -> Vec<Alert> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut engine = engine(9);
    let sets: [(&str, &[&str], i64); 5] = [
        ("first", &["kb1", "kb2"], 200),
        ("first", &["kb1"], 150),
        ("first", &["kb2"], 150),
        ("first", &[], 80),
        ("last", &[], 2_000),
    ];
    let mut told = Vec::new();
    for number in 0..200 {
        let hits = sets.map(|(_, set, devices)| {
            let chance = if set.contains(&guilty) { 2e-3 } else { 1e-4 };
            [(Signal::OsCrash, random.hit(devices, chance))]
        });
        let groups: Vec<_> = sets
            .iter()
            .zip(&hits)
            .map(|(&(ring, set, devices), hits)| (ring, set, devices, &hits[..]))
            .collect();
        told.extend(engine.evaluate(&window(number, &groups)));
    }
    told
}

#[test]
fn of_two_overlapping_changes_only_the_guilty_one_is_named() {
    for seed in 1..=30 {
        let guilty = if seed % 2 == 0 { "kb1" } else { "kb2" };
        let told = named(seed, guilty);
        assert!(!told.is_empty(), "seed {seed}: nothing was found");
        for alert in told {
            assert_eq!(alert.change, guilty, "seed {seed}: {}", alert.summary);
        }
    }
}

#[test]
fn two_changes_on_the_same_devices_are_both_named_though_later() {
    let mut engine = engine(9);
    let mut told = Vec::new();
    let mut alone = None;
    for number in 0..60 {
        let hit: &[Onset] = if number % 3 == 0 { &[(Signal::OsCrash, 1)] } else { &[] };
        let groups = [("first", &["kb1", "kb2"][..], 500, hit), ("last", &[][..], 9_500, &[][..])];
        told.extend(engine.evaluate(&window(number, &groups)));
        let row = engine.verdicts().into_iter().find(|row| row.change == "kb1");
        let crossed = row.is_some_and(|row| row.line.is_some_and(|line| row.log_e > line));
        alone = alone.or(crossed.then_some(number));
    }
    let named: Vec<&str> = told.iter().map(|alert| alert.change.as_str()).collect();
    assert_eq!(named, ["kb1", "kb2"]);
    assert!(alone.is_none_or(|alone| told[0].starts_at >= start(alone)), "{alone:?}");
}

#[test]
fn harm_to_one_driver_names_it_and_holds_the_change_for_it() {
    let mut engine = engine(9);
    let mut before = window(0, &[("first", &[], 500, &[]), ("last", &[], 9_500, &[])]);
    for (value, devices_active) in [("nv-551.23", 40), ("amd-9", 460)] {
        let exposure = devices_active;
        let key = (Arc::from("first"), set(&[]), Arc::from("driver"), Arc::from(value));
        before.cohorts.insert(key, exposure);
    }
    assert!(engine.evaluate(&before).is_empty());
    let hit: &[Onset] = &[(Signal::OsCrash, 12)];
    let mut harm = window(1, &[("first", &["kb1"], 500, hit), ("last", &[], 9_500, &[])]);
    for group in harm.groups.values_mut().filter(|group| !group.onsets.is_empty()) {
        for (value, onsets) in [("nv-551.23", 11), ("amd-9", 1)] {
            let key = (Signal::OsCrash, Arc::from("driver"), Arc::from(value));
            group.cohort_onsets.insert(key, onsets);
        }
    }
    let alert = engine.evaluate(&harm).pop().expect("twelve devices are enough");
    let cohort = alert.cohort.expect("eleven of them have one driver");
    assert_eq!((&*cohort.key, &*cohort.value), ("driver", "nv-551.23"));
    assert!((cohort.share - 11.0 / 12.0).abs() < 1e-5, "{}", cohort.share);
    assert_eq!(alert.decision.name(), "hold");
    assert!(alert.action.what.contains("on driver nv-551.23 in ring first"), "{:?}", alert.action);
}
