//! What is measured beside counts, one scenario each.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use schemas::delta::Scope;
use schemas::event::{BootReason, Lifecycle, UpdateState};
use schemas::{Body, ChangeSet, DurationSignal, Event, Histogram, Signal};

use super::harness::*;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

fn signed(kind: Signal, signature: &str) -> Body<'_> {
    Body::Fault { kind, signature: Some(signature), count: 1 }
}

#[test]
fn boots_and_sign_ins_count_for_the_set_of_the_device_and_installs_for_their_change() {
    let mut rig = Rig::new();
    let boot = Body::Boot { boot_ms: 18_230, signin_ms: 7, reason: BootReason::Update };
    rig.send("d-1", 0, boot);
    rig.send("d-1", 5, update("kb1", UpdateState::Installing));
    let installed = |duration_ms| Body::Update {
        change: "kb1",
        state: UpdateState::Installed,
        code: None,
        duration_ms,
    };
    rig.send("d-1", 6, installed(Some(1_000)));
    rig.send("d-2", 7, installed(None));
    rig.send("d-1", 8, boot);
    let sums = rig.take();
    let row = |((_, _, scope, signal), histogram): (&(_, _, Scope, _), &Histogram)| {
        (scope.clone(), *signal, histogram.buckets().collect::<Vec<_>>())
    };
    let found: Vec<_> = sums.durations.iter().map(row).collect();
    let (none, kb1) = (Scope::Set(ChangeSet::from([])), Scope::Set(["kb1".into()].into()));
    let boots = |scope: &Scope| {
        [
            (scope.clone(), DurationSignal::Boot, vec![(18_431, 1)]),
            (scope.clone(), DurationSignal::Signin, vec![(7, 1)]),
        ]
    };
    let install = (Scope::Change("kb1".into()), DurationSignal::Install, vec![(1_023, 1)]);
    assert_eq!(found, [&boots(&none)[..], &boots(&kb1), &[install]].concat());
}

#[test]
fn a_signature_has_a_quiet_period_of_its_own_by_device() {
    let mut rig = Rig::new();
    for (device, at_s, signature) in [
        ("d-1", 0, "a.exe"),
        ("d-1", DAY, "a.exe"),
        ("d-1", DAY, "b.exe"),
        ("d-2", DAY, "b.exe"),
        ("d-1", 8 * DAY, "a.exe"),
    ] {
        rig.send(device, at_s, signed(Signal::AppCrash, signature));
    }
    rig.send("d-1", 8 * DAY, signed(Signal::AppHang, "a.exe"));
    rig.send("d-1", 8 * DAY + 1, lifecycle(Lifecycle::Reset));
    rig.send("d-1", 8 * DAY + 2, signed(Signal::AppHang, "a.exe"));
    let sums = rig.take();
    let count = |signal, signature: &str| {
        sums.signatures.get(&("first".to_owned(), signal, signature.to_owned())).copied()
    };
    assert_eq!(count(Signal::AppCrash, "a.exe"), Some(2));
    assert_eq!(count(Signal::AppCrash, "b.exe"), Some(2));
    assert_eq!(count(Signal::AppHang, "a.exe"), Some(2), "another user after the reset");
}

#[test]
fn a_fault_without_signature_or_with_an_empty_one_has_no_row() {
    let mut rig = Rig::new();
    rig.send("d-1", 0, fault(Signal::OsCrash, 1));
    rig.offer(&Event { ring: "fast", ..event("d-2", second(1), signed(Signal::OsCrash, "")) });
    let sums = rig.take();
    assert_eq!((sums.signal(Signal::OsCrash), sums.signatures.len()), ((2, 2), 0));
}

/// `(device, ring, second, body, model)`.
type Said<'a> = (&'a str, &'a str, i64, Body<'a>, Option<&'a str>);

fn hours_of(said: &[Said<'_>], until_s: i64) -> Sums {
    let mut rig = Rig::new();
    for &(device, ring, at_s, body, model) in said {
        let mut event = Event { ring, ..event(device, second(at_s), body) };
        event.cohorts[0] = model;
        rig.offer(&event);
    }
    rig.pass(until_s);
    rig.take()
}

#[test]
fn who_is_at_risk_when_an_hour_begins_stands_in_it_by_group_and_cohort() {
    let sums = hours_of(
        &[
            ("d-1", "first", 0, heartbeat(3_600), Some("m1")),
            ("d-2", "first", HOUR, heartbeat(3_600), Some("m1")),
            ("d-2", "first", HOUR + 60, update("kb1", UpdateState::Installing), None),
            ("d-1", "first", HOUR + 90, heartbeat(3_600), Some("m2")),
            ("d-1", "first", 2 * HOUR, lifecycle(Lifecycle::Offline), None),
        ],
        3 * HOUR,
    );
    let at = |hour: i64, set: &[&str], value: Option<&str>| {
        let set = set.iter().map(ToString::to_string).collect();
        let key = (hour * HOUR, "first".to_owned(), set, value.map(str::to_owned));
        sums.hours.get(&key).copied().unwrap_or(0)
    };
    assert_eq!([None, Some("m1"), Some("m2")].map(|value| at(0, &[], value)), [1, 1, 0]);
    assert_eq!([None, Some("m1"), Some("m2")].map(|value| at(1, &[], value)), [2, 2, 0]);
    assert_eq!([None, Some("m1"), Some("m2")].map(|value| at(2, &[], value)), [0, 0, 0]);
    assert_eq!([None, Some("m1"), Some("m2")].map(|value| at(2, &["kb1"], value)), [1, 1, 0]);
}

#[test]
fn a_device_is_heard_once_an_hour_in_every_group_it_is_in() {
    let sums = hours_of(
        &[
            ("d-1", "first", 10, heartbeat(600), None),
            ("d-1", "first", 20, update("kb1", UpdateState::Installing), None),
            ("d-2", "first", 30, heartbeat(600), None),
            ("d-1", "first", HOUR + 5, heartbeat(600), None),
            ("d-2", "first", HOUR + 5, lifecycle(Lifecycle::Reset), None),
            ("d-2", "first", 40, fault(Signal::OsCrash, 1), None),
        ],
        2 * HOUR,
    );
    let heard = |hour: i64, set: &[&str]| {
        let set = set.iter().map(ToString::to_string).collect();
        sums.heard.get(&(hour * HOUR, "first".to_owned(), set)).map_or(0, BTreeSet::len)
    };
    assert_eq!([heard(0, &[]), heard(0, &["kb1"])], [2, 1]);
    assert_eq!([heard(1, &[]), heard(1, &["kb1"])], [1, 1]);
}

/// Device, kind of record, seconds to the next, model.
type Step = (usize, usize, i64, usize);

fn steps(after_s: std::ops::Range<i64>) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0_usize..3, 0_usize..6, after_s, 0_usize..3), 1..60)
}

/// Devices at risk by second, ring and set.
type Levels = BTreeMap<(i64, String, Vec<String>), i64>;

/// At the start of each hour: the levels of its first window, of all devices, and by model.
fn levels(steps: Vec<Step>) -> (Levels, Levels, Levels) {
    let mut rig = Rig::new();
    let mut at_s = 1_800;
    for (device, kind, after_s, name) in steps {
        at_s = (at_s + after_s).max(0);
        let body = match kind {
            0..3 => heartbeat(120 + 600 * name as u32),
            3 => lifecycle([Lifecycle::Offline, Lifecycle::Reset, Lifecycle::Retired][name]),
            4 => update("kb1", UpdateState::Installing),
            _ => update("kb1", UpdateState::RolledBack),
        };
        let mut event = event(["d-0", "d-1", "d-2"][device], second(at_s), body);
        event.cohorts[0] = Some(["m1", "m2", "m3"][name]);
        rig.offer(&Event { ring: ["first", "fast", "broad"][device], ..event });
    }
    rig.pass(at_s + 3 * HOUR);
    let mut sums = rig.take();
    // The clock says no model.
    sums.hours.retain(|key, _| key.1 != "unmanaged");
    let (mut levels, mut whole, mut parts) = (Levels::new(), Levels::new(), Levels::new());
    for ((place, ring, set), row) in sums.health {
        let at_s = (place.window - START).0 / 1_000_000;
        if row[1] > 0 && at_s % HOUR == 0 && ring != "unmanaged" {
            levels.insert((at_s, ring, set), row[1]);
        }
    }
    for ((at_s, ring, set, value), devices) in sums.hours {
        assert!(devices > 0, "{value:?} in {ring} {set:?} at {at_s}: {devices}");
        let sums = if value.is_none() { &mut whole } else { &mut parts };
        *sums.entry((at_s, ring, set)).or_default() += devices;
    }
    (levels, whole, parts)
}

proptest! {
    #[test]
    fn in_order_an_hour_begins_with_the_levels_of_its_first_window(steps in steps(0..1_500)) {
        let (levels, whole, parts) = levels(steps);
        prop_assert_eq!(&whole, &levels);
        prop_assert_eq!(parts, whole);
    }

    #[test]
    fn out_of_order_it_does_so_for_all_devices_together(steps in steps(-900..1_500)) {
        let (levels, whole, _) = levels(steps);
        prop_assert_eq!(whole, levels);
    }
}
