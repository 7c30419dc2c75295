//! The short way of a heartbeat does what the general way does.

use proptest::prelude::*;
use schemas::event::{BootReason, Lifecycle, UpdateState};
use schemas::{Body, COHORTS_MAX, Event, Signal};

use super::harness::*;
use super::restart::tight_config;
use super::*;
use crate::config::tests::config;

/// What a device may do instead of going on as it was.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Seq(i64),
    NoSeq,
    Ring(&'static str),
    Build(&'static str),
    Model(&'static str),
    Driver(&'static str),
    Interval(u32),
    /// It arrives so many seconds later than it happened.
    Arrival(i64),
    /// Nothing comes, and the clock has moved by so many seconds.
    Idle(i64),
    Other(Body<'static>),
}

fn turn() -> impl Strategy<Value = Turn> {
    let long = "a name of more than 24 bytes, which is not short";
    let bodies = vec![
        boot(BootReason::User),
        fault(Signal::AppCrash, 2),
        update("kb1", UpdateState::Installing),
        update("kb1", UpdateState::Installed),
        lifecycle(Lifecycle::Offline),
        lifecycle(Lifecycle::Reset),
        lifecycle(Lifecycle::Moved { from: "test" }),
        certificate(3),
    ];
    prop_oneof![
        (-70_i64..140).prop_map(Turn::Seq),
        Just(Turn::NoSeq),
        prop::sample::select(vec!["first", "fast", "unknown"]).prop_map(Turn::Ring),
        prop::sample::select(vec!["b-1", "b-22", "", long]).prop_map(Turn::Build),
        prop::sample::select(vec!["m-1", "model-of-16-byte", long]).prop_map(Turn::Model),
        prop::sample::select(vec!["", "d", "driver-3", long]).prop_map(Turn::Driver),
        (-900_i64..900).prop_map(Turn::Arrival),
        (0_i64..900).prop_map(Turn::Idle),
        prop::sample::select(vec![60, 600, 3_600, 86_400]).prop_map(Turn::Interval),
        prop::sample::select(bodies).prop_map(Turn::Other),
    ]
}

/// Of three devices, seconds after the step before.
type Step = (usize, i64, Option<Turn>);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let after_s = prop_oneof![20 => 0_i64..60, 2 => -300_i64..900, 1 => 0_i64..100_000];
    let turn = prop_oneof![6 => Just(None), 1 => turn().prop_map(Some)];
    prop::collection::vec((0_usize..3, after_s, turn), 1..200)
}

/// What a device sends, and goes on to send.
#[derive(Clone, Copy, Debug)]
struct Sender {
    seq: u64,
    ring: &'static str,
    build: Option<&'static str>,
    model: Option<&'static str>,
    driver: Option<&'static str>,
    interval_s: u32,
}

const NEW: Sender = Sender {
    seq: 100,
    ring: "first",
    build: None,
    model: Some("m-1"),
    driver: None,
    interval_s: 600,
};

/// Both ways, record by record: how many took the short one.
fn compare(config: &FoldConfig, steps: &[Step]) -> usize {
    let [mut short, mut general] = [Partition::new(config), Partition::new(config)];
    let mut senders = [NEW; 3];
    let (mut at_s, mut count) = (0, 0);
    for (number, &(device, after_s, turn)) in steps.iter().enumerate() {
        at_s = (at_s + after_s).max(0);
        let sender = &mut senders[device];
        let (mut body, mut arrives_s) = (None, at_s);
        sender.seq += 1;
        match turn {
            Some(Turn::Seq(more)) => sender.seq = sender.seq.saturating_add_signed(more),
            Some(Turn::Ring(ring)) => sender.ring = ring,
            Some(Turn::Build(build)) => sender.build = Some(build),
            Some(Turn::Model(model)) => sender.model = Some(model),
            Some(Turn::Driver(driver)) => sender.driver = Some(driver),
            Some(Turn::Arrival(after_s)) => arrives_s += after_s,
            Some(Turn::Idle(after_s)) => {
                for partition in [&mut short, &mut general] {
                    partition.input(&Input::Idle(second(at_s + after_s)));
                }
            }
            Some(Turn::Interval(interval_s)) => sender.interval_s = interval_s,
            Some(Turn::Other(other)) => body = Some(other),
            Some(Turn::NoSeq) | None => {}
        }
        let mut cohorts = [None; COHORTS_MAX];
        (cohorts[0], cohorts[1]) = (sender.model, sender.driver);
        let event = Event {
            ring: sender.ring,
            seq: (!matches!(turn, Some(Turn::NoSeq))).then_some(sender.seq),
            build: sender.build,
            model: sender.model,
            cohorts,
            ..event(
                ["d-0", "d-1", "d-2"][device],
                second(at_s),
                body.unwrap_or(heartbeat(sender.interval_s)),
            )
        };
        let identity = short.identity(event.device.as_bytes());
        let arrived = Arrived { at: second(arrives_s), key: None };
        let one = short.apply_by(identity, &event, arrived, |fold, (device, at), record| {
            let applied = fold.steady(device, record);
            count += usize::from(applied.is_some());
            applied.unwrap_or_else(|| fold.general((device, at), record))
        });
        let other = general.apply_by(identity, &event, arrived, Fold::general);
        assert_eq!(one, other, "step {number}");
        if number % 10 == 0 || number + 1 == steps.len() {
            assert_eq!(short.take(), general.take(), "step {number}");
            let stored = short.save();
            assert_eq!(stored, general.save(), "step {number}");
            assert_eq!(short.refused(), general.refused(), "step {number}");
            if number % 30 == 0 {
                short = Partition::load(config, &stored).expect("as it was saved");
            }
        }
    }
    count
}

proptest! {
    #[test]
    fn both_ways_leave_the_same_state_and_rows(steps in steps()) {
        compare(&config(), &steps);
        compare(&tight_config(), &steps);
    }
}

#[test]
fn a_ring_is_the_same_whichever_it_probably_is() {
    let long = ["a ring of more than 24 bytes, one", "a ring of more than 24 bytes, two"];
    let rings = ["t", "eight-by", "sixteen-bytes-of", "twenty-four-bytes-of-it-", long[0], long[1]];
    let others = ["", "u", "eight-bx", "a ring of more than 24 bytes, oxe"];
    let config = FoldConfig { rings: rings.map(String::from).to_vec(), ..config() };
    let fold = Partition::new(&config).fold;
    for name in rings.into_iter().chain(others) {
        let found = rings.iter().position(|ring| *ring == name).unwrap_or(rings.len()) as u8;
        for hint in 0..=rings.len() as u8 {
            assert_eq!(fold.ring(name, hint), found, "{name}, probably {hint}");
        }
    }
}

#[test]
fn a_device_that_goes_on_as_it_was_takes_the_short_way() {
    let steps: Vec<Step> = (0..300).map(|number| (number % 3, 10, None)).collect();
    let count = |steps: &[Step]| compare(&config(), steps);
    assert!(count(&steps) > 280, "{}", count(&steps));
    let turns = [Turn::Seq(1), Turn::Ring("fast"), Turn::Build("b"), Turn::Model("m")];
    for turn in turns.into_iter().chain([Turn::Driver("d"), Turn::Other(boot(BootReason::User))]) {
        let one = |number: usize| (0, 10, (number == 50).then_some(turn));
        let steps: Vec<Step> = (0..60).map(one).collect();
        let plain: Vec<Step> =
            steps.iter().map(|&(device, after_s, _)| (device, after_s, None)).collect();
        assert!(count(&steps) < count(&plain), "{turn:?}");
    }
}
