//! The decisions of one destination under virtual time.

use proptest::prelude::*;
use schemas::Timestamp;

use super::*;
use crate::delivery::examples::{firing, resolved};

fn at(seconds: u64) -> Now {
    let wall = Timestamp(1_784_433_600_000_000 + seconds as i64 * 1_000_000);
    Now { wall, elapsed: Duration::from_secs(seconds) }
}

fn commit(sequence: u64, alerts: &[Alert]) -> Committed {
    Committed { sequence, alerts: alerts.iter().cloned().map(Arc::new).collect() }
}

fn busy(retry_after: Option<u64>) -> Outcome {
    let retry_after = retry_after.map(Duration::from_secs);
    Outcome::Busy { reason: "status 503".to_owned(), retry_after }
}

fn refused() -> Outcome {
    Outcome::Refused { reason: "status 400".to_owned() }
}

fn sent(step: &Step) -> Vec<&str> {
    match step {
        Step::Send(items) => items.iter().map(|item| item.alert.change.as_str()).collect(),
        Step::Wait(_) => Vec::new(),
    }
}

#[test]
fn a_transition_stays_first_until_it_is_accepted() {
    let mut state = State::new(None, None, 0);
    state.accept(commit(0, &[firing("kb1"), firing("kb2")]));
    assert_eq!(sent(&state.step(at(0))), ["kb1"]);
    let step = state.decide(&busy(None), at(0), u64::MAX);
    assert_eq!(step, Step::Wait(Some(Duration::from_secs(1))));
    assert_eq!(sent(&state.step(at(1))), ["kb1"]);
    let step = state.decide(&busy(None), at(1), u64::MAX);
    assert_eq!(step, Step::Wait(Some(Duration::from_secs(3))), "the range has doubled");
    assert_eq!(sent(&state.step(at(3))), ["kb1"]);
    assert_eq!(sent(&state.decide(&Outcome::Accepted, at(3), 0)), ["kb2"]);
    assert_eq!(state.decide(&Outcome::Accepted, at(3), 0), Step::Wait(None));
    assert!(state.is_done());
}

#[test]
fn an_accepted_request_ends_the_back_off() {
    let mut state = State::new(None, None, 0);
    state.accept(commit(0, &[firing("kb1"), firing("kb2")]));
    for second in [0, 100, 200, 300] {
        state.step(at(second));
        state.decide(&busy(None), at(second), u64::MAX);
    }
    state.step(at(400));
    state.decide(&Outcome::Accepted, at(400), 0);
    let step = state.decide(&busy(None), at(401), u64::MAX);
    assert_eq!(step, Step::Wait(Some(Duration::from_secs(402))));
}

#[test]
fn retry_after_is_waited_for() {
    let mut state = State::new(None, None, 0);
    state.accept(commit(0, &[firing("kb1")]));
    state.step(at(0));
    let step = state.decide(&busy(Some(40)), at(0), 0);
    assert_eq!(step, Step::Wait(Some(Duration::from_secs(40))));
    assert_eq!(sent(&state.step(at(39))), [""; 0]);
    assert_eq!(sent(&state.step(at(40))), ["kb1"]);
}

#[test]
fn what_is_refused_for_good_does_not_hold_up_the_next() {
    let mut state = State::new(None, None, 0);
    state.accept(commit(0, &[firing("kb1"), firing("kb2")]));
    state.step(at(0));
    assert_eq!(sent(&state.decide(&refused(), at(0), 0)), ["kb2"]);
}

#[test]
fn the_cursor_moves_only_past_what_is_handled_whole() {
    let mut state = State::new(None, None, 7);
    state.accept(commit(7, &[firing("kb1"), firing("kb2")]));
    state.accept(commit(8, &[]));
    state.step(at(0));
    state.decide(&Outcome::Accepted, at(0), 0);
    assert_eq!(state.cursor_to_save(Duration::ZERO), None);
    state.decide(&Outcome::Accepted, at(0), 0);
    assert_eq!(state.cursor_to_save(Duration::ZERO), Some(9));
    assert_eq!(state.cursor_to_save(Duration::ZERO), None);
    state.accept(commit(9, &[]));
    assert_eq!(state.cursor_to_save(CURSOR_IDLE / 2), None, "not worth a write yet");
    assert_eq!(state.cursor_to_save(CURSOR_IDLE), Some(10));
    state.accept(commit(10, &[]));
    assert_eq!(state.last_cursor(CURSOR_IDLE), Some(11));
}

#[test]
fn a_commit_that_comes_twice_is_sent_once() {
    let mut state = State::new(None, None, 0);
    for _ in 0..2 {
        state.accept(commit(0, &[firing("kb1")]));
    }
    state.step(at(0));
    assert_eq!(state.decide(&Outcome::Accepted, at(0), 0), Step::Wait(None));
    state.accept(commit(0, &[firing("kb1")]));
    assert!(state.is_done());
}

#[test]
fn only_the_decisions_asked_for_are_sent_and_nothing_pending() {
    let mut state = State::new(Some(vec![Decision::Hold]), None, 0);
    let pending =
        Alert { state: AlertState::Pending, decision: Decision::Hold, ..firing("pending") };
    let hold = Alert { decision: Decision::Hold, ..firing("hold") };
    state.accept(commit(0, &[firing("rollback"), pending, hold]));
    assert_eq!(sent(&state.step(at(0))), ["hold"]);
    assert_eq!(state.decide(&Outcome::Accepted, at(0), 0), Step::Wait(None));
}

#[test]
fn repeats_go_on_while_it_stands_and_end_after_it_is_resolved() {
    let mut state = State::new(None, Some(Book::default()), 0);
    state.accept(commit(0, &[firing("kb1")]));
    let mut times = Vec::new();
    for second in 0..3_600 {
        if second == 300 {
            state.accept(commit(1, &[resolved("kb1")]));
        }
        if let Step::Send(items) = state.step(at(second)) {
            times.push((second, items[0].alert.state));
            state.decide(&Outcome::Accepted, at(second), 0);
            state.decide(&Outcome::Accepted, at(second), 0);
        }
    }
    let firing_at: Vec<u64> = times
        .iter()
        .filter(|(_, state)| *state == AlertState::Firing)
        .map(|(second, _)| *second)
        .collect();
    assert_eq!(firing_at, [0, 60, 120, 180, 240, 300]);
    let over: Vec<u64> = times[firing_at.len()..].iter().map(|(second, _)| *second).collect();
    assert_eq!((over.first(), over.last(), over.len()), (Some(&360), Some(&1_140), 14));
}

#[test]
fn what_stood_at_the_start_is_repeated_at_once() {
    let mut state = State::new(Some(vec![Decision::Rollback]), Some(Book::default()), 5);
    state.seed(Arc::new(firing("kb1")), at(100));
    let hold = Alert { decision: Decision::Hold, ..firing("hold") };
    state.seed(Arc::new(hold), at(100));
    assert_eq!(sent(&state.step(at(100))), ["kb1"]);
}

#[test]
fn a_busy_receiver_is_not_repeated_to_either() {
    let mut state = State::new(None, Some(Book::default()), 0);
    state.seed(Arc::new(firing("kb1")), at(0));
    assert_eq!(sent(&state.step(at(0))), ["kb1"]);
    state.decide(&busy(Some(90)), at(0), 0);
    assert_eq!(state.step(at(89)), Step::Wait(Some(Duration::from_secs(90))));
    assert_eq!(sent(&state.step(at(90))), ["kb1"]);
}

proptest! {
    /// Whatever a receiver answers, in the end it accepted or refused each transition once, in
    /// the order of the chain, and the cursor stands behind the last and never went back.
    #[test]
    fn order_is_kept_whatever_is_answered(
        sizes in prop::collection::vec(0_usize..4, 1..8),
        answers in prop::collection::vec(0_u8..4, 0..60),
        randoms in prop::collection::vec(any::<u64>(), 60),
    ) {
        let mut state = State::new(None, None, 0);
        let (mut expected, mut settled) = (Vec::new(), Vec::new());
        for (sequence, size) in sizes.iter().enumerate() {
            let alerts: Vec<Alert> =
                (0..*size).map(|number| firing(&format!("{sequence}-{number}"))).collect();
            expected.extend(alerts.iter().map(|alert| alert.change.clone()));
            state.accept(commit(sequence as u64, &alerts));
        }
        let (mut now, mut cursor) = (at(0), 0);
        let mut script = answers.into_iter().zip(randoms);
        let mut step = state.step(now);
        loop {
            match step {
                Step::Wait(None) => break,
                Step::Wait(Some(until)) => {
                    now.elapsed = until;
                    step = state.step(now);
                }
                Step::Send(items) => {
                    let (answer, random) = script.next().unwrap_or((3, 0));
                    let outcome = match answer {
                        0 => busy(None),
                        1 => busy(Some(5)),
                        2 => refused(),
                        _ => Outcome::Accepted,
                    };
                    if answer >= 2 {
                        settled.push(items[0].alert.change.clone());
                    }
                    step = state.decide(&outcome, now, random);
                    if let Some(next) = state.cursor_to_save(now.elapsed) {
                        prop_assert!(next > cursor);
                        cursor = next;
                    }
                }
            }
        }
        prop_assert_eq!(settled, expected);
        let last = state.last_cursor(now.elapsed).unwrap_or(cursor);
        prop_assert_eq!(last, sizes.len() as u64);
    }
}
