//! A partition that was stored and loaded goes on as if nothing had been.

use proptest::prelude::*;
use schemas::event::{AuditKind, BootReason, Lifecycle, TicketSeverity, UpdateState};
use schemas::{Body, Event, Input, Signal};

use super::harness::*;
use super::*;
use crate::config::{FoldLimits, tests::config};
use crate::state::StateError;

const DEVICES: [&str; 5] = ["d-0", "d-1", "d-2", "d-3", "d-4"];
const NAMES: [&str; 4] = ["kb1", "kb2", "kb3", "kb4"];
const RINGS: [&str; 3] = ["first", "fast", "unknown"];

/// A record, or an idle input; numbers choose among few, so that every bound is met.
#[derive(Clone, Copy, Debug)]
struct Step {
    device: usize,
    ring: usize,
    name: usize,
    kind: u8,
    /// Seconds after the step before; may be negative: late records.
    after_s: i64,
    seq: Option<u64>,
}

/// Bounds so small that histories meet them.
fn tight_config() -> FoldConfig {
    let limits = FoldLimits {
        devices_max: 4,
        names_max: 2,
        changes_max: 3,
        sets_max: 3,
        missing_ranges_max: 2,
        late_windows_max: 5,
        onsets_max: 6,
        signatures_max: 2,
        cohort_values_max: 1,
        signature_onsets_max: 3,
        certificates_max: 2,
        ..FoldLimits::default()
    };
    FoldConfig { limits, ..config() }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let seq = prop_oneof![1 => Just(None), 3 => (0_u64..400).prop_map(Some)];
    let after_s = prop_oneof![8 => -300_i64..900, 1 => 0_i64..100_000];
    let step = (0..DEVICES.len(), 0..RINGS.len(), 0..NAMES.len(), 0_u8..17, after_s, seq);
    let step = step.prop_map(|(device, ring, name, kind, after_s, seq)| Step {
        device,
        ring,
        name,
        kind,
        after_s,
        seq,
    });
    prop::collection::vec(step, 1..120)
}

fn body<'a>(step: &Step) -> Body<'a> {
    let change = NAMES[step.name];
    match step.kind {
        0..=2 => heartbeat(60 + 200 * step.name as u32),
        3 => boot(BootReason::Crash),
        4 => fault(Signal::OsCrash, 2),
        5 => Body::Fault { kind: Signal::AppHang, signature: Some(change), count: 1 },
        6 | 7 => update(change, UpdateState::Installing),
        8 => update(change, UpdateState::Installed),
        9 => update(change, UpdateState::RolledBack),
        10 => lifecycle(Lifecycle::Offline),
        11 => lifecycle(Lifecycle::Reset),
        14 => certificate(30 * (1 + step.name as i64)),
        15 => Body::Audit { kind: AuditKind::PolicyEdit, actor: "a", detail: None },
        16 => Body::Ticket { ticket: "T", severity: TicketSeverity::A, category: None },
        _ => Body::Ticket { ticket: "T", severity: TicketSeverity::B, category: None },
    }
}

/// Folds one step in; says what became of its record.
fn fold(partition: &mut Partition, step: &Step, at_s: i64) -> Option<Applied> {
    if step.kind == 13 {
        partition.input(&Input::Idle(second(at_s)));
        return None;
    }
    let mut event = event(DEVICES[step.device], second(at_s), body(step));
    event.cohorts[1] = Some(NAMES[step.name]);
    let event =
        Event { ring: RINGS[step.ring], seq: step.seq, build: Some(NAMES[step.name]), ..event };
    Some(partition.apply(&event, Arrived { at: event.time, key: None }))
}

/// The partition after these steps, nothing left to take.
fn folded(steps: &[Step], at_s: &mut i64) -> Partition {
    let mut partition = Partition::new(&tight_config());
    for step in steps {
        *at_s += step.after_s;
        fold(&mut partition, step, *at_s);
    }
    partition.take();
    partition
}

proptest! {
    #[test]
    fn stored_and_loaded_anywhere_it_goes_on_as_before(steps in steps(), cut in 0_usize..120) {
        let (before, after) = steps.split_at(cut.min(steps.len()));
        let mut at_s = 0;
        let mut one = folded(before, &mut at_s);
        let stored = one.save();
        let mut other = Partition::load(&tight_config(), &stored).unwrap();
        prop_assert_eq!(&other.save(), &stored, "loading loses nothing");
        prop_assert_eq!(other.device_count(), one.device_count());
        for step in after {
            at_s += step.after_s;
            prop_assert_eq!(fold(&mut one, step, at_s), fold(&mut other, step, at_s));
            prop_assert_eq!(one.watermark(), other.watermark());
            prop_assert_eq!(one.closed_until(), other.closed_until());
        }
        let far = Step { device: 0, ring: 0, name: 0, kind: 0, after_s: 0, seq: None };
        for partition in [&mut one, &mut other] {
            fold(partition, &far, at_s + 200_000);
            partition.input(&Input::End);
        }
        prop_assert_eq!(one.take(), other.take());
        prop_assert_eq!(one.refused(), other.refused());
        prop_assert_eq!(one.save(), other.save());
    }

    #[test]
    fn bytes_that_are_not_state_are_an_error_or_load_without_a_panic(
        steps in steps(), at in any::<prop::sample::Index>(), bit in 0_u8..8,
    ) {
        let mut stored = folded(&steps, &mut 0).save();
        for length in 0..stored.len() {
            let cut = Partition::load(&tight_config(), &stored[..length]);
            prop_assert!(cut.is_err(), "{length} of {} bytes", stored.len());
        }
        let at = at.index(stored.len());
        stored[at] ^= 1 << bit;
        let _either = Partition::load(&tight_config(), &stored);
    }
}

#[test]
fn state_of_another_version_or_of_other_settings_is_refused_by_name() {
    let mut stored = Partition::new(&config()).save();
    let refused = |config: &FoldConfig, stored: &[u8]| Partition::load(config, stored).unwrap_err();
    let fewer = FoldConfig { rings: vec!["first".to_owned()], ..config() };
    let other_seed = FoldConfig { hash_seed: [77, 78], ..config() };
    assert_eq!(refused(&fewer, &stored), StateError::Settings);
    assert_eq!(refused(&other_seed, &stored), StateError::Settings);
    stored.push(0);
    assert_eq!(refused(&config(), &stored), StateError::Damaged);
    stored[0] = 200;
    assert_eq!(refused(&config(), &stored), StateError::Format { found: 200, known: FORMAT });
}

#[test]
#[should_panic(expected = "taken")]
fn rows_that_were_not_taken_are_no_part_of_the_state() {
    let mut rig = Rig::new();
    rig.send("d-1", 0, heartbeat(60));
    rig.partition.save();
}
