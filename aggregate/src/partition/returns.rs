//! Who comes back, one scenario each. On the first day the lag is two hours.

use proptest::prelude::*;
use schemas::delta::Scope;
use schemas::event::{BootReason, Lifecycle, UpdateState};
use schemas::{ChangeSet, Event};

use super::harness::*;
use super::{Applied, Arrived};

const HOUR: i64 = 3_600;
/// An hour, 75 minutes of interval, two hours of lag and a window.
const DECIDED: i64 = 5 * HOUR;

fn none() -> Scope {
    Scope::Set(ChangeSet::from([]))
}

fn kb1() -> Scope {
    Scope::Change("kb1".into())
}

fn installing<'a>() -> schemas::Body<'a> {
    update("kb1", UpdateState::Installing)
}

impl Rig {
    /// Trials and failures of a scope in the ring of the tests.
    fn returns(&mut self, scope: &Scope) -> [i64; 2] {
        let key = ("first".to_owned(), scope.clone());
        self.take().returns.get(&key).copied().unwrap_or_default()
    }
}

#[test]
fn heartbeats_and_boots_are_trials_decided_at_once_when_the_lag_is_over() {
    let mut rig = Rig::new();
    for at_s in [0, 10, 20, 30] {
        let body = if at_s == 10 { boot(BootReason::User) } else { heartbeat(600) };
        rig.send("d-1", at_s, body);
    }
    rig.pass(HOUR + 30 + 2 * HOUR - 1);
    assert_eq!(rig.returns(&none()), [0, 0]);
    rig.pass(HOUR + 60 + 2 * HOUR);
    assert_eq!(rig.returns(&none()), [4, 1], "nothing followed the last");
    rig.pass(24 * HOUR);
    assert_eq!(rig.returns(&none()), [0, 0], "one that is gone is tried once");
}

#[test]
fn a_device_has_an_hour_or_five_quarters_of_its_interval() {
    for (interval_s, after_s, failed) in
        [(600, HOUR, 0), (600, HOUR + 1, 1), (HOUR, 4_500, 0), (HOUR, 4_501, 1)]
    {
        let mut rig = Rig::new();
        rig.send("d-1", 0, heartbeat(interval_s as u32));
        rig.send("d-1", after_s, heartbeat(interval_s as u32));
        rig.pass(4_560 + 2 * HOUR);
        assert_eq!(rig.returns(&none()), [1, failed], "{interval_s} {after_s}");
    }
}

#[test]
fn an_attempt_fails_unless_a_heartbeat_or_boot_follows() {
    for (next, expected) in [
        (Some(heartbeat(600)), [1, 0]),
        (Some(boot(BootReason::Update)), [1, 0]),
        (Some(fault(schemas::Signal::AppCrash, 1)), [1, 1]),
        (None, [1, 1]),
    ] {
        let mut rig = Rig::new();
        rig.send("d-1", 0, heartbeat(600));
        rig.send("d-1", 60, installing());
        if let Some(body) = next {
            rig.send("d-1", 120, body);
        }
        rig.pass(DECIDED);
        let sums = rig.take();
        let of = |scope| sums.returns.get(&("first".to_owned(), scope)).copied();
        assert_eq!(of(kb1()), Some(expected), "{next:?}");
        assert_eq!(of(none()), None, "the heartbeat before was exposed before its deadline");
    }
}

#[test]
fn an_attempt_lasts_until_a_newer_update_record() {
    use UpdateState::{Downloading, Failed, Installed, Installing, RestartPending, RolledBack};
    for (states, expected) in [
        (&[Installing, RestartPending, Installed][..], [1, 1]),
        (&[Installing, Failed], [1, 1]),
        (&[Installing, Downloading], [1, 1]),
        (&[Installing, RolledBack], [0, 0]),
        (&[Downloading, Failed], [0, 0]),
    ] {
        // Two hours apart: a newer one shows that the device lived beyond the deadline.
        let mut rig = Rig::new();
        for (number, &state) in states.iter().enumerate() {
            rig.send("d-1", number as i64 * 2 * HOUR, update("kb1", state));
        }
        rig.pass(4 * HOUR + DECIDED);
        assert_eq!(rig.returns(&kb1()), expected, "{states:?}");
    }
}

#[test]
fn who_goes_offline_moves_or_is_reset_by_the_deadline_is_no_trial() {
    let moved = Lifecycle::Moved { from: "fast" };
    for (state, at_s, expected) in [
        (Lifecycle::Offline, HOUR, [0, 0]),
        (Lifecycle::Offline, HOUR + 1, [1, 1]),
        (Lifecycle::Retired, 60, [0, 0]),
        (Lifecycle::Reset, 60, [0, 0]),
        (moved, 60, [0, 0]),
    ] {
        let mut rig = Rig::new();
        let at_first = event("d-1", second(0), heartbeat(600));
        let before = if state == moved { "fast" } else { "first" };
        rig.offer(&Event { ring: before, ..at_first });
        rig.send("d-1", at_s, lifecycle(state));
        rig.pass(DECIDED);
        let sums = rig.take();
        let of = |ring: &str| sums.returns.get(&(ring.to_owned(), none())).copied();
        assert_eq!(of(before).unwrap_or_default(), expected, "{state:?}");
        assert_eq!(if state == moved { of("first") } else { None }, None);
    }
}

#[test]
fn what_comes_after_its_own_deadline_is_left_out_and_still_shows_who_came_back() {
    let mut rig = Rig::new();
    rig.send("d-1", 0, heartbeat(600));
    rig.pass(2 * HOUR);
    // The buffer of two hours: each but the last comes after its own deadline.
    for at_s in [1_800, 3_000, 2 * HOUR] {
        rig.send("d-1", at_s, heartbeat(600));
    }
    rig.pass(2 * HOUR + DECIDED);
    assert_eq!(rig.returns(&none()), [2, 1], "that at 0 came back, that at 2 h did not");
}

#[test]
fn an_older_heartbeat_than_the_last_is_no_trial_and_brings_nobody_back() {
    let mut rig = Rig::new();
    rig.send("d-1", 600, heartbeat(600));
    assert_eq!(rig.send("d-1", 300, heartbeat(600)), Applied::Late);
    rig.pass(DECIDED);
    assert_eq!(rig.returns(&none()), [1, 1]);
}

proptest! {
    /// Every heartbeat in order of one device, told by looking at the next.
    #[test]
    fn trials_are_what_a_look_at_the_next_heartbeat_says(
        steps in prop::collection::vec((1_i64..9_000, 1_u32..8_000), 1..40)
    ) {
        let mut rig = Rig::new();
        let (mut at_s, mut beats) = (0, Vec::new());
        for (after_s, interval_s) in steps {
            at_s += after_s;
            beats.push((at_s, at_s + (i64::from(interval_s) * 5 / 4).max(HOUR)));
            let event = event("d-1", second(at_s), heartbeat(interval_s));
            rig.partition.apply(&event, Arrived { at: event.time, key: None });
        }
        rig.pass(at_s + 12 * HOUR);
        let next = beats.iter().skip(1).map(|beat| beat.0).chain([i64::MAX]);
        let failed = beats.iter().zip(next).filter(|&(beat, next)| next > beat.1).count();
        prop_assert_eq!(rig.returns(&none()), [beats.len() as i64, failed as i64]);
    }
}
