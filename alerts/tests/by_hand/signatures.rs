//! Fault signatures that come after a change: its own, and those of unrelated programs.

use std::sync::Arc;

use alerts::Engine;
use schemas::totals::Onsets;
use schemas::{Alert, Signal};

use crate::windows::{engine, set, start, window};

/// A window in which devices are newly hit by a signature, treated and not.
fn step(
    engine: &mut Engine,
    number: i64,
    signature: &str,
    treated: i64,
    control: i64,
) -> Vec<Alert> {
    let groups = [("first", &["kb1"][..], 500, &[][..]), ("last", &[], 9_500, &[])];
    let mut totals = window(number, &groups);
    for (ring, names, affected) in [("first", &["kb1"][..], treated), ("last", &[], control)] {
        if affected > 0 {
            let key = (Signal::AppCrash, Arc::from(signature), Arc::from(ring), set(names));
            let first_at = Some(start(number));
            totals.signatures.insert(key, Onsets { affected, first_at });
        }
    }
    engine.evaluate(&totals)
}

#[test]
fn a_new_signature_that_hits_the_treated_only_is_named() {
    let mut engine = engine(9);
    let mut told = Vec::new();
    for number in 0..20 {
        told.extend(step(&mut engine, number, "vpn.sys+0x1f", i64::from(number % 4 == 0), 0));
        if !told.is_empty() {
            break;
        }
    }
    let alert = told.pop().expect("four treated devices of five in a hundred");
    let said = "kb1 brings app_crash vpn.sys+0x1f, never seen before, most of it in ring first \
                (3 of 500 devices with the change, 0 of 9500 without)";
    assert_eq!(alert.summary, said);
    assert_eq!((&*alert.signal, alert.evidence.kind.name()), ("app_crash", "rare"));
    let evidence = &alert.evidence;
    // The first new signature has half of alpha: ln(2/0.01).
    assert!((evidence.line - libm::log(200.0)).abs() < 1e-4 && evidence.log_e >= evidence.line);
    assert_eq!(evidence.first_affected_at, Some(start(0)));
    assert_eq!(evidence.treated.device_seconds, 500 * 60 * evidence.windows as i64);
}

#[test]
fn a_signature_from_before_the_change_and_one_device_alone_say_nothing() {
    let mut engine = engine(9);
    let mut before = window(0, &[("first", &[], 500, &[]), ("last", &[], 9_500, &[])]);
    let key = (Signal::AppCrash, Arc::from("old.exe"), Arc::from("last"), set(&[]));
    before.signatures.insert(key, Onsets { affected: 1, first_at: None });
    engine.evaluate(&before);
    for number in 1..30 {
        assert!(step(&mut engine, number, "old.exe", 1, 0).is_empty(), "window {number}");
    }
    for number in 30..60 {
        let signature = format!("own-{number}.exe");
        assert!(step(&mut engine, number, &signature, 1, 0).is_empty(), "window {number}");
    }
}

#[test]
fn new_signatures_of_unrelated_programs_alarm_nowhere() {
    let mut engine = engine(9);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut chance = |of: u64| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % of
    };
    for number in 0..3_000 {
        // Thirty programs appear one by one, and hit anybody: one in twenty is treated.
        let program = format!("program-{}.exe", chance(1 + number / 100));
        let treated = i64::from(chance(20) == 0);
        let told = step(&mut engine, number as i64, &program, treated, 1 - treated);
        assert!(told.is_empty(), "window {number}: {told:?}");
    }
}
