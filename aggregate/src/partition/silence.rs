//! The learned form of silence, one scenario each. On the first day the lag is two hours.

use schemas::Signal;
use schemas::delta::Place;
use schemas::event::Lifecycle;

use super::harness::*;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const INTERVAL: u32 = 3_600;

/// A device with hourly heartbeats that was away for ten hours, as it said; last heard at
/// `10 * HOUR`.
fn usual() -> Rig {
    let mut rig = Rig::new();
    rig.send("d-1", 0, lifecycle(Lifecycle::Offline));
    rig.send("d-1", 10 * HOUR, heartbeat(INTERVAL));
    rig
}

impl Rig {
    fn silences(&mut self) -> [i64; 2] {
        let sums = self.take();
        [Signal::Silence, Signal::SilenceLearned].map(|signal| sums.signal(signal).0)
    }
}

#[test]
fn the_learned_form_waits_for_half_as_long_again_as_the_longest_gap_of_late() {
    let mut rig = usual();
    rig.pass(13 * HOUR + 2 * HOUR);
    assert_eq!(rig.silences(), [1, 0]);
    // On the second day the lag is that of the first, in which no record was late.
    rig.pass(10 * HOUR + 15 * HOUR - 1);
    assert_eq!(rig.silences(), [0, 0]);
    rig.pass(10 * HOUR + 16 * HOUR);
    let sums = rig.take();
    let (key, _) = sums.signals.iter().next().unwrap();
    assert_eq!((key.3, key.0.window), (Signal::SilenceLearned, second(13 * HOUR)));
    assert_eq!(sums.signals.len(), 1);
}

#[test]
fn who_comes_back_before_that_is_not_missed_and_who_comes_after_it_is() {
    for (back_h, learned) in [(24, 0), (27, 1)] {
        let mut rig = usual();
        rig.send("d-1", back_h * HOUR, heartbeat(INTERVAL));
        rig.pass(29 * HOUR - 1);
        assert_eq!(rig.silences()[1], learned, "back after {back_h} h");
    }
}

#[test]
fn a_device_without_a_history_is_missed_after_three_intervals() {
    let mut rig = Rig::new();
    rig.send("d-1", 0, heartbeat(INTERVAL));
    rig.pass(5 * HOUR);
    assert_eq!(rig.silences(), [1, 1]);
}

#[test]
fn each_form_has_a_quiet_period_of_its_own() {
    // Gone for five days, five and eight: both forms hold each time.
    let mut rig = Rig::new();
    for day in [0, 5, 10, 18] {
        rig.send("d-1", day * DAY, heartbeat(INTERVAL));
    }
    rig.pass(25 * DAY);
    assert_eq!(rig.silences(), [4, 2], "12 h and 7 days");
}

#[test]
fn a_late_record_from_before_the_limit_takes_the_silence_back() {
    let mut rig = usual();
    rig.pass(20 * HOUR);
    rig.take();
    rig.send("d-1", 12 * HOUR, heartbeat(INTERVAL));
    rig.pass(12 * HOUR + 15 * HOUR);
    assert_eq!(rig.silences()[1], 0);
    // The lag of the first day is that of the late record.
    rig.pass(12 * HOUR + 16 * HOUR + 9 * HOUR);
    let sums = rig.take();
    let place = sums.signals.keys().find(|key| key.3 == Signal::SilenceLearned).map(|key| key.0);
    assert_eq!(place.map(|Place { window, .. }| window), Some(second(15 * HOUR)));
}

#[test]
fn a_buffer_that_comes_after_a_live_record_takes_the_silence_back() {
    let mut rig = Rig::new();
    rig.send("d-1", 0, heartbeat(INTERVAL));
    rig.send("d-1", 4 * HOUR, heartbeat(INTERVAL));
    for hour in 1..4 {
        rig.send("d-1", hour * HOUR, heartbeat(INTERVAL));
    }
    rig.pass(6 * HOUR);
    assert_eq!(rig.silences(), [0, 0]);
}

#[test]
fn who_said_offline_is_not_missed() {
    for at_s in [600, 4 * HOUR] {
        let mut rig = usual();
        rig.send("d-1", 10 * HOUR + at_s, lifecycle(Lifecycle::Offline));
        rig.pass(5 * DAY);
        assert_eq!(rig.silences()[1], 0, "offline after {at_s} s");
    }
}

#[test]
fn the_learned_form_waits_for_the_p99_of_all_records() {
    let mut rig = Rig::new();
    // A day in which one record of 20 is four hours late, in a ring in which few are.
    for minute in 0..=24 * 60 {
        rig.pass(minute * 60 - 10);
        if minute % 19 == 0 {
            rig.send("late", (minute - 240) * 60, heartbeat(2_592_000));
        } else {
            rig.send("prompt", minute * 60, heartbeat(2_592_000));
        }
    }
    rig.send("d-1", DAY, heartbeat(60));
    rig.pass(DAY + 180 + 60);
    assert_eq!(rig.silences(), [1, 0]);
    rig.pass(DAY + 180 + 4 * HOUR - 60);
    assert_eq!(rig.silences(), [0, 0]);
    rig.pass(DAY + 180 + 4 * HOUR + 1_000);
    assert_eq!(rig.silences(), [0, 1]);
}
