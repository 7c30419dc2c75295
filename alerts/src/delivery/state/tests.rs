//! The decisions of one destination under virtual time.

use proptest::prelude::*;
use schemas::{AlertState, Decision};

use super::*;
use crate::delivery::DestinationConfig;
use crate::delivery::examples::{firing, resolved};
use crate::delivery::repeat::Listener;

mod together;

fn at(seconds: u64) -> Now {
    let wall = Timestamp(1_784_433_600_000_000 + seconds as i64 * 1_000_000);
    Now { wall, elapsed: Duration::from_secs(seconds) }
}

fn commit(sequence: u64, alerts: &[Alert]) -> Committed {
    let alerts = alerts.iter().cloned().map(Arc::new).collect();
    Committed { sequence, alerts, ..Committed::default() }
}

/// A destination with these keys, as JSON, and the cursor.
fn with(keys: &str, cursor: u64, standing: Standing) -> State {
    let text = format!("{{\"name\":\"a\",\"type\":\"webhook\",\"url\":\"https://a/\"{keys}}}");
    let config: DestinationConfig = serde_json::from_str(&text).expect("keys");
    let people = config.repeat_interval.map(|every| Book::new(Listener::People { every }));
    let terms = Terms {
        route: Route::new(&config),
        book: people,
        together: Together::One,
        backoff: Backoff::default(),
        heartbeat: config.heartbeat_interval.map(Heartbeat::new),
        act_timeout: config.act_timeout,
    };
    State::new("a", terms, cursor, standing)
}

fn plain(cursor: u64) -> State {
    with("", cursor, Standing::default())
}

fn forgetful(keys: &str, cursor: u64) -> State {
    let mut state = with(keys, cursor, Standing::default());
    state.terms.book = Some(Book::new(Listener::Forgetful));
    state
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
    let mut state = plain(0);
    state.accept(commit(0, &[firing("kb1"), firing("kb2")]), at(0));
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
    let mut state = plain(0);
    state.accept(commit(0, &[firing("kb1"), firing("kb2")]), at(0));
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
    let mut state = plain(0);
    state.accept(commit(0, &[firing("kb1")]), at(0));
    state.step(at(0));
    let step = state.decide(&busy(Some(40)), at(0), 0);
    assert_eq!(step, Step::Wait(Some(Duration::from_secs(40))));
    assert_eq!(sent(&state.step(at(39))), [""; 0]);
    assert_eq!(sent(&state.step(at(40))), ["kb1"]);
}

#[test]
fn what_is_refused_for_good_does_not_hold_up_the_next() {
    let mut state = plain(0);
    state.accept(commit(0, &[firing("kb1"), firing("kb2")]), at(0));
    state.step(at(0));
    assert_eq!(sent(&state.decide(&refused(), at(0), 0)), ["kb2"]);
}

#[test]
fn the_cursor_moves_only_past_what_is_handled_whole() {
    let mut state = plain(7);
    state.accept(commit(7, &[firing("kb1"), firing("kb2")]), at(0));
    state.accept(commit(8, &[]), at(0));
    state.step(at(0));
    state.decide(&Outcome::Accepted, at(0), 0);
    assert_eq!(state.cursor_to_save(Duration::ZERO), None);
    state.decide(&Outcome::Accepted, at(0), 0);
    assert_eq!(state.cursor_to_save(Duration::ZERO), Some(9));
    assert_eq!(state.cursor_to_save(Duration::ZERO), None);
    state.accept(commit(9, &[]), at(0));
    assert_eq!(state.cursor_to_save(CURSOR_IDLE / 2), None, "not worth a write yet");
    assert_eq!(state.cursor_to_save(CURSOR_IDLE), Some(10));
    state.accept(commit(10, &[]), at(0));
    assert_eq!(state.last_cursor(CURSOR_IDLE), Some(11));
}

#[test]
fn a_commit_that_comes_twice_is_sent_once() {
    let mut state = plain(0);
    for _ in 0..2 {
        state.accept(commit(0, &[firing("kb1")]), at(0));
    }
    state.step(at(0));
    assert_eq!(state.decide(&Outcome::Accepted, at(0), 0), Step::Wait(None));
    state.accept(commit(0, &[firing("kb1")]), at(0));
    assert!(state.is_done());
}

#[test]
fn only_the_decisions_asked_for_are_sent_and_nothing_pending() {
    let mut state = with(",\"decisions\":[\"hold\"]", 0, Standing::default());
    let pending =
        Alert { state: AlertState::Pending, decision: Decision::Hold, ..firing("pending") };
    let hold = Alert { decision: Decision::Hold, ..firing("hold") };
    state.accept(commit(0, &[firing("rollback"), pending, hold]), at(0));
    assert_eq!(sent(&state.step(at(0))), ["hold"]);
    assert_eq!(state.decide(&Outcome::Accepted, at(0), 0), Step::Wait(None));
}

#[test]
fn repeats_go_on_while_it_stands_and_end_after_it_is_resolved() {
    let mut state = forgetful("", 0);
    state.accept(commit(0, &[firing("kb1")]), at(0));
    let mut times = Vec::new();
    for second in 0..3_600 {
        if second == 300 {
            state.accept(commit(1, &[resolved("kb1")]), at(0));
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
    assert_eq!(firing_at, [0, 60, 120, 180, 240], "news goes before the repeat of 300 s");
    let over: Vec<u64> = times[firing_at.len()..].iter().map(|(second, _)| *second).collect();
    assert_eq!((over.first(), over.last(), over.len()), (Some(&300), Some(&1_140), 15));
}

#[test]
fn what_stood_at_the_start_is_repeated_at_once() {
    let mut state = forgetful(",\"decisions\":[\"rollback\"]", 5);
    state.seed(Arc::new(firing("kb1")), at(100));
    let hold = Alert { decision: Decision::Hold, ..firing("hold") };
    state.seed(Arc::new(hold), at(100));
    assert_eq!(sent(&state.step(at(100))), ["kb1"]);
}

#[test]
fn a_busy_receiver_is_not_repeated_to_either() {
    let mut state = forgetful("", 0);
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
        let mut state = plain(0);
        let (mut expected, mut settled) = (Vec::new(), Vec::new());
        for (sequence, size) in sizes.iter().enumerate() {
            let alerts: Vec<Alert> =
                (0..*size).map(|number| firing(&format!("{sequence}-{number}"))).collect();
            expected.extend(alerts.iter().map(|alert| alert.change.clone()));
            state.accept(commit(sequence as u64, &alerts), at(0));
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
                    while state.notice().is_some() {
                        state.gave_notice();
                    }
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

#[test]
fn people_hear_of_the_first_refusal_and_of_its_end() {
    let mut state = plain(0);
    state.accept(commit(0, &[firing("kb1"), firing("kb2"), firing("kb3")]), at(0));
    state.step(at(0));
    state.decide(&refused(), at(0), 0);
    let failing = Notice::Failing { reason: "status 400".to_owned() };
    assert_eq!(state.notice(), Some(&failing));
    state.gave_notice();
    state.decide(&refused(), at(0), 0);
    assert_eq!(state.notice(), None, "told once");
    state.decide(&Outcome::Accepted, at(0), 0);
    assert_eq!(state.notice(), Some(&Notice::Works));
}

#[test]
fn people_hear_in_time_of_a_destination_that_asks_to_wait_for_long() {
    let mut state = plain(0);
    state.accept(commit(0, &[firing("kb1")]), at(0));
    state.step(at(0));
    let step = state.decide(&busy(Some(86_400)), at(0), 0);
    let Step::Wait(Some(wake)) = step else { panic!("{step:?}") };
    assert_eq!(wake, Duration::from_mins(15));
    state.step(at(wake.as_secs()));
    let failing = Notice::Failing { reason: "status 503".to_owned() };
    assert_eq!(state.notice(), Some(&failing));
}

/// A commit whose alerts were raised at this second of the clock of [`at`].
fn raised_at(seconds: u64, alert: Alert) -> Alert {
    Alert { updated_at: at(seconds).wall, ..alert }
}

#[test]
fn office_hours_hold_alerts_back_and_nothing_is_lost() {
    // The clock of these tests begins on a Sunday at 04:00 UTC.
    let mut state = with(",\"hours\":\"mon-fri 08:00-18:00\"", 0, Standing::default());
    state.accept(commit(0, &[firing("kb1")]), at(0));
    let monday = Duration::from_hours(28);
    assert_eq!(state.step(at(0)), Step::Wait(Some(monday)));
    assert_eq!(sent(&state.step(at(monday.as_secs()))), ["kb1"]);
}

#[test]
fn what_was_refused_is_told_again_in_its_last_state_when_an_operator_asks() {
    let mut state = plain(0);
    state.accept(commit(0, &[firing("kb1"), firing("kb2")]), at(0));
    state.step(at(0));
    state.decide(&refused(), at(0), 0);
    state.decide(&Outcome::Accepted, at(0), 0);
    assert_eq!(state.standing().refused[0].alert, "rw-kb1");
    let mut restarted = with("", 1, state.standing());
    assert_eq!(restarted.take_retry(), None);
    let retries = vec!["a".to_owned()];
    restarted.accept(Committed { retries, ..commit(1, &[]) }, at(5));
    let ids = restarted.take_retry().expect("asked for");
    assert_eq!(ids, ["rw-kb1"]);
    restarted.resend(vec![Arc::new(resolved("kb1"))]);
    assert_eq!(sent(&restarted.step(at(5))), ["kb1"]);
    restarted.decide(&refused(), at(5), 0);
    assert_eq!(restarted.standing().refused[0].transition, 2);
}

#[test]
fn a_retry_ends_the_waiting() {
    let mut state = plain(0);
    state.accept(commit(0, &[firing("kb1")]), at(0));
    state.step(at(0));
    state.decide(&busy(Some(3_600)), at(0), 0);
    state.hurry(at(10));
    assert_eq!(sent(&state.step(at(10))), ["kb1"]);
}

#[test]
fn a_destination_dead_for_a_day_is_told_of_once_and_then_gets_everything_in_order() {
    let mut state = plain(0);
    let changes: Vec<String> = (0..50).map(|number| format!("kb{number}")).collect();
    for (sequence, change) in (0..).zip(&changes) {
        state.accept(commit(sequence, &[firing(change)]), at(0));
    }
    let (mut now, day) = (at(0), Duration::from_hours(24));
    let (mut attempts, mut told, mut delivered) = (0, Vec::new(), Vec::new());
    let mut step = state.step(now);
    while now.elapsed < day * 2 {
        step = match step {
            Step::Wait(None) => break,
            Step::Wait(Some(until)) => {
                now.elapsed = until;
                state.step(now)
            }
            Step::Send(items) if now.elapsed < day => {
                attempts += 1;
                assert_eq!(items[0].alert.change, "kb0");
                state.decide(&busy(None), now, 1 << 63)
            }
            Step::Send(items) => {
                delivered.extend(items.iter().map(|item| item.alert.change.clone()));
                state.decide(&Outcome::Accepted, now, 0)
            }
        };
        while let Some(notice) = state.notice().cloned() {
            assert_eq!(state.last_cursor(now.elapsed), None, "the notice comes first");
            told.push((now.elapsed.as_secs() / 60, notice));
            state.gave_notice();
        }
    }
    let failing = Notice::Failing { reason: "status 503".to_owned() };
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0], (15, failing));
    assert_eq!(told[1].1, Notice::Works);
    assert_eq!(delivered, changes);
    assert!((1_400..2_900).contains(&attempts), "{attempts} attempts in a day");
}

#[test]
fn a_sign_of_life_comes_at_intervals_and_says_nothing_twice() {
    let mut state = with(",\"heartbeat_interval\":\"5m\"", 0, Standing::default());
    let mut numbers = Vec::new();
    for second in 0..1_000 {
        if let Step::Send(items) = state.step(at(second)) {
            assert_eq!(items[0].alert.signal, "process.heartbeat");
            numbers.push((second, items[0].alert.transition));
            state.decide(&Outcome::Accepted, at(second), 0);
        }
    }
    let seconds: Vec<u64> = numbers.iter().map(|(second, _)| *second).collect();
    assert_eq!(seconds, [0, 300, 600, 900]);
    assert!(numbers.windows(2).all(|pair| pair[0].1 + 1 == pair[1].1));
}

const ACTS: &str = ",\"acts\":true,\"act_timeout\":\"10m\"";

#[test]
fn an_action_is_acknowledged_once_it_is_taken_and_the_cursor_waits_for_that() {
    let mut state = with(ACTS, 0, Standing::default());
    state.accept(commit(0, &[raised_at(0, firing("kb1")), resolved("kb0")]), at(0));
    assert_eq!(sent(&state.step(at(60))), ["kb1"]);
    state.decide(&Outcome::Accepted, at(60), 0);
    assert_eq!(state.last_cursor(Duration::ZERO), None);
    assert_eq!(state.notice(), Some(&Notice::Acted { alert: "rw-kb1".to_owned() }));
    state.gave_notice();
    assert_eq!(state.last_cursor(Duration::ZERO), Some(1));
}

#[test]
fn an_action_that_is_refused_or_too_late_is_never_taken_but_told() {
    let not_acted =
        |reason: &str| Notice::NotActed { alert: "rw-kb1".to_owned(), reason: reason.to_owned() };
    let begin = || {
        let mut state = with(ACTS, 0, Standing::default());
        state.accept(commit(0, &[raised_at(0, firing("kb1"))]), at(0));
        state
    };
    let mut state = begin();
    state.step(at(0));
    state.decide(&refused(), at(0), 0);
    assert_eq!(state.notice(), Some(&not_acted("status 400")));
    state.hurry(at(0));
    assert_eq!(state.take_retry(), None, "an action is never sent again by hand");

    let mut state = begin();
    assert_eq!(sent(&state.step(at(599))), ["kb1"]);
    state.decide(&busy(None), at(599), 0);
    assert_eq!(sent(&state.step(at(600))), [""; 0]);
    assert_eq!(state.notice(), Some(&not_acted("status 503")));

    let mut state = begin();
    state.set_acting(Acting::Paused);
    assert_eq!(state.step(at(5)), Step::Wait(Some(Duration::from_mins(10))));
    state.set_acting(Acting::Allowed);
    assert_eq!(sent(&state.step(at(6))), ["kb1"], "resumed in time");

    let mut state = begin();
    state.set_acting(Acting::Paused);
    assert_eq!(state.step(at(600)), Step::Wait(None));
    assert_eq!(state.notice(), Some(&not_acted("acting is paused")));
    assert!(state.is_done());
}

#[test]
fn people_are_reminded_of_what_nobody_cares_for() {
    let mut state = with(",\"repeat_interval\":\"10m\"", 0, Standing::default());
    state.accept(commit(0, &[firing("kb1"), firing("kb2"), firing("kb3"), firing("kb4")]), at(0));
    state.accept(Committed { muted: vec!["rw-kb4".to_owned()], ..commit(1, &[]) }, at(0));
    let mut told = Vec::new();
    for second in 0..2_000 {
        if second == 700 {
            let cared = Alert { state: AlertState::Acknowledged, ..firing("kb1") };
            let muted = vec!["rw-kb2".to_owned()];
            state.accept(Committed { muted, ..commit(2, &[cared]) }, at(second));
        }
        if let Step::Send(items) = state.step(at(second)) {
            told.extend(items.iter().map(|item| (second, item.alert.change.clone())));
            state.decide(&Outcome::Accepted, at(second), 0);
        }
    }
    let of = |change: &str| -> Vec<u64> {
        told.iter().filter(|(_, told)| told == change).map(|(second, _)| second / 100).collect()
    };
    assert_eq!(of("kb1"), [0, 6, 7]);
    assert_eq!(of("kb2"), [0, 6]);
    assert_eq!(of("kb3"), [0, 6, 12, 18]);
    assert_eq!(of("kb4"), [0], "muted while it waited");
}

#[test]
fn what_is_muted_stays_so_when_it_is_told_once_more() {
    let mut state = forgetful("", 0);
    state.accept(commit(0, &[firing("kb1")]), at(0));
    state.step(at(0));
    state.decide(&refused(), at(0), 0);
    state.mute("rw-kb1");
    let repeat = state.step(at(0));
    state.resend(vec![Arc::new(firing("kb1"))]);
    let silent = |step: &Step| matches!(step, Step::Send(items) if items[0].is_silent());
    assert!(silent(&repeat) && silent(&state.decide(&Outcome::Accepted, at(0), 0)));
}
