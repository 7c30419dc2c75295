//! An engine that was stored and loaded tells the same from then on, byte by byte.

#![expect(clippy::expect_used, reason = "a test without its state must fail")]

use std::sync::Arc;

use alerts::{DetectionConfig, Engine, StateError};
use proptest::prelude::*;
use schemas::delta::{ChangeSet, RegistryDelta, Scope, SupportDelta};
use schemas::totals::{ChangeTotals, GroupTotals, Onsets, Returns};
use schemas::{DurationSignal, Fact, Histogram, Signal, Span, Timestamp, WindowTotals};

const RINGS: [&str; 3] = ["test", "first", "last"];
const CHANGES: [&str; 4] = ["kb1", "kb2", "kb3", "kb4"];
const STATUSES: [&str; 4] = ["deploying", "announced", "rolled_back", ""];

/// Bounds so small that histories meet them; an alpha that no short decimal is.
fn config() -> DetectionConfig {
    let rings = RINGS.map(str::to_owned).to_vec();
    DetectionConfig {
        alpha: 0.1 / 3.0,
        baseline: Span::hours(3),
        late_max: Span::minutes(90),
        soak: Span::hours(1),
        pending_for: Span::minutes(10),
        resolve_after: Span::minutes(30),
        changes_max: 3,
        sets_max: 4,
        ..DetectionConfig::new(rings)
    }
}

/// One window, and a registry record before it, from eight numbers.
type Draw = [u8; 8];

fn step(engine: &mut Engine, number: usize, draw: Draw) -> String {
    let [kind, ring, set, devices, onsets, signal, late, change] = draw.map(usize::from);
    let at = |window: usize| Timestamp::YEAR_2000 + Span::minutes(10 * window as i64);
    if kind.is_multiple_of(7) {
        register(engine, CHANGES[change % 4], STATUSES[late % 4], at(number));
    }
    let (start, end) = (at(number), at(number + 1));
    let mut totals = WindowTotals { start, end, partial: kind == 1, ..WindowTotals::default() };
    let signal = Signal::ALL[signal % Signal::ALL.len()];
    let named = |bits: usize| -> ChangeSet {
        (0..4).filter(|at| bits >> at & 1 == 1).map(|at| Arc::from(CHANGES[at])).collect()
    };
    for (ring_number, ring) in RINGS.into_iter().enumerate() {
        for bits in [0, set % 16] {
            let hit = if bits == 0 { ring_number } else { onsets % 40 };
            let affected = Onsets { affected: hit as i64, first_at: Some(start) };
            let devices_active = 10 * devices as i64 + 5;
            let group = GroupTotals {
                at_risk_ms: devices_active * 600_000,
                devices_active,
                onsets: [(signal, affected), (Signal::OsCrash, affected)].into(),
                ..GroupTotals::default()
            };
            totals.groups.insert((Arc::from(ring), named(bits)), group);
        }
    }
    let (ring, change) = (RINGS[ring % 3], CHANGES[change % 4]);
    let attempts = ChangeTotals {
        attempts_failed: onsets as i64 % 9,
        attempts_succeeded: devices as i64,
        first_failed_at: Some(start),
        ..ChangeTotals::default()
    };
    totals.changes.insert((Arc::from(ring), Arc::from(change)), attempts);
    let own = at(number.saturating_sub(late % 20));
    let late = Onsets { affected: late as i64 % 5, first_at: Some(own) };
    totals.late.insert((own, Arc::from(ring), named(set % 16), Signal::OsCrash), late);
    add_process(engine, &mut totals, [onsets, devices, kind], ring, change);
    add_measures(&mut totals, [set % 16, onsets, signal as usize, devices], named);
    let told = engine.evaluate(&totals);
    let rows =
        (told, engine.open_alerts(), engine.verdicts(), engine.clearances(), engine.durations());
    serde_json::to_string(&rows).expect("JSON")
}

/// Trials of coming back, fault signatures and cohorts, beside the counts.
fn add_measures(
    totals: &mut WindowTotals,
    [bits, onsets, signal, devices]: [usize; 4],
    named: impl Fn(usize) -> ChangeSet,
) {
    let (signal, first) = (Signal::ALL[signal], Some(totals.start));
    for ring in RINGS.map(Arc::from) {
        for (bits, scope) in [
            (bits, Scope::Change(Arc::from(CHANGES[bits % 4]))),
            (0, Scope::Set(named(0))),
            (bits, Scope::Set(named(bits))),
        ] {
            let failed = (onsets % 5 * usize::from(bits > 0)) as i64;
            let mut durations = Histogram::default();
            durations.record(100 * onsets as u64);
            let kind = if bits == 0 { DurationSignal::Boot } else { DurationSignal::Install };
            totals.durations.insert((Arc::clone(&ring), scope.clone(), kind), durations);
            let returns = Returns { trials: failed + 9, failed, first_failed_at: first };
            totals.returns.insert((Arc::clone(&ring), scope), returns);
            let signature = Arc::from(format!("program-{}", onsets % 3 + devices / 64));
            let hit = Onsets { affected: failed, first_at: first };
            let key = (Signal::AppCrash, signature, Arc::clone(&ring), named(bits));
            totals.signatures.insert(key, hit);
            for model in ["a", "b"].map(Arc::from) {
                let key = (Arc::clone(&ring), named(bits), Arc::from("model"), Arc::clone(&model));
                totals.cohorts.insert(key, devices as i64);
                let key = (Arc::clone(&ring), named(bits));
                if let (Some(group), "a") = (totals.groups.get_mut(&key), &*model) {
                    let key = (signal, Arc::from("model"), model);
                    group.cohort_onsets.insert(key, onsets as i64);
                }
            }
        }
    }
}

/// What the change process lives on: facts, exposure, a ticket, a change in a foreign group.
fn add_process(
    engine: &mut Engine,
    totals: &mut WindowTotals,
    [onsets, devices, kind]: [usize; 3],
    ring: &str,
    change: &str,
) {
    let (fact, first_at) = (Fact::ALL[onsets % Fact::ALL.len()], Some(totals.start));
    let noted = Onsets { affected: devices as i64 % 7, first_at };
    totals.facts.insert((Arc::from(ring), fact), noted);
    totals.foreign.insert(Arc::from(change), devices as i64 % 2);
    if let Some(counts) = totals.changes.get_mut(&(Arc::from(ring), Arc::from(change))) {
        counts.devices_exposed = onsets as i64 % 3;
    }
    let status = ["opened", "closed"][kind % 2];
    let rest = format!(r#""time":"2000-01-01T00:00:00Z","change":"{change}","status":"{status}""#);
    let record = format!(r#"{{"ticket":"T-{}","severity":"A",{rest}}}"#, devices % 4);
    engine.support(&SupportDelta { offset: 0, takes_effect: totals.start, record });
}

fn register(engine: &mut Engine, change: &str, status: &str, takes_effect: Timestamp) {
    let rings = r#""rings":[{"ring":"test","starts":"1999-12-01T00:00:00Z"},
                  {"ring":"first","starts":"2000-01-01T03:00:00Z"}]"#;
    let facts = format!(r#""status":"{status}","type":"quality","reversible":true,{rings}"#);
    let record = (!status.is_empty()).then(|| format!(r#"{{"change":"{change}",{facts}}}"#));
    engine.register(&RegistryDelta { offset: 0, takes_effect, change: change.to_owned(), record });
}

fn after(draws: &[Draw]) -> Engine {
    let mut engine = Engine::new(config());
    for (number, &draw) in draws.iter().enumerate() {
        step(&mut engine, number, draw);
    }
    engine
}

fn draws() -> impl Strategy<Value = Vec<Draw>> {
    prop::collection::vec(any::<Draw>(), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn stored_and_loaded_anywhere_it_tells_the_same(draws in draws(), cut in 0_usize..60) {
        let (before, rest) = draws.split_at(cut.min(draws.len()));
        let mut one = after(before);
        let stored = one.save();
        let mut other = Engine::load(config(), &stored).expect("it was stored just now");
        prop_assert_eq!(&other.save(), &stored, "loading loses nothing");
        for (number, &draw) in (before.len()..).zip(rest) {
            prop_assert_eq!(step(&mut one, number, draw), step(&mut other, number, draw));
        }
        prop_assert_eq!(one.save(), other.save());
    }

    #[test]
    fn bytes_that_are_not_state_are_an_error_or_load_without_a_panic(
        draws in draws(), at in any::<prop::sample::Index>(), bit in 0_u8..8,
    ) {
        let mut stored = after(&draws).save();
        // Some thirty places, whatever the length.
        let apart = (stored.len() / 31).max(97);
        for length in (0..stored.len()).rev().step_by(apart).chain(0..20) {
            let cut = Engine::load(config(), &stored[..length]);
            prop_assert!(cut.is_err(), "{length} of {} bytes", stored.len());
        }
        let at = at.index(stored.len());
        stored[at] ^= 1 << bit;
        let _either = Engine::load(config(), &stored);
    }
}

/// The worlds above reach alerts that open and resolve, or they show nothing.
#[test]
fn alerts_are_open_across_a_restart() {
    let harm = |number: u8| [1, 1, 1, 20, 39, 0, number, 0];
    let mut engine = after(&(0..9).map(harm).collect::<Vec<_>>());
    assert!(!engine.open_alerts().is_empty());
    let mut loaded = Engine::load(config(), &engine.save()).expect("it was stored just now");
    for engine in [&mut engine, &mut loaded] {
        register(engine, "kb1", "rolled_back", Timestamp::YEAR_2000);
    }
    let told = [&mut engine, &mut loaded].map(|engine| step(engine, 9, harm(9)));
    assert_eq!(told[0], told[1]);
    assert!(told[0].contains(r#""state":"resolved""#), "{}", told[0]);
}

#[test]
fn state_of_another_version_or_of_other_rings_is_refused_by_name() {
    let mut stored = after(&[[9; 8]; 3]).save();
    let refused = |rings: &[&str], stored: &[u8]| {
        let rings = rings.iter().map(|&ring| ring.to_owned()).collect();
        Engine::load(DetectionConfig { rings, ..config() }, stored).expect_err("it must not load")
    };
    assert_eq!(refused(&RINGS[..2], &stored), StateError::Settings);
    stored.push(0);
    assert_eq!(refused(&RINGS, &stored), StateError::Damaged);
    stored[0] = 200;
    assert_eq!(refused(&RINGS, &stored), StateError::Format { found: 200 });
}
