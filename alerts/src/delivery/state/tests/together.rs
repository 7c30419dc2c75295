//! What shares a message.

use super::*;

#[test]
fn signals_of_one_change_and_ring_are_one_message_for_people() {
    let mut state = plain(0);
    state.terms.together = Together::ChangeAndRing;
    let signal = |number: u32, change: &str| Alert { id: format!("rw-{number}"), ..firing(change) };
    let again = Alert { id: "rw-2".to_owned(), ..resolved("kb1") };
    state.accept(commit(0, &[signal(1, "kb1"), signal(2, "kb1")]), at(0));
    state.accept(commit(1, &[signal(3, "kb1"), again, signal(4, "kb2")]), at(0));
    assert_eq!(sent(&state.step(at(0))), ["kb1"; 3], "also from the next commit");
    state.decide(&busy(None), at(0), 0);
    assert_eq!(state.last_cursor(Duration::ZERO), None);
    assert_eq!(sent(&state.step(at(1))), ["kb1"; 3]);
    assert_eq!(sent(&state.decide(&Outcome::Accepted, at(1), 0)), ["kb1"], "a later transition");
    assert_eq!(sent(&state.decide(&Outcome::Accepted, at(1), 0)), ["kb2"]);
    state.decide(&Outcome::Accepted, at(1), 0);
    assert_eq!(state.last_cursor(Duration::ZERO), Some(2));
}

#[test]
fn a_message_holds_no_more_than_it_spells_out() {
    let mut state = plain(0);
    state.terms.together = Together::ChangeAndRing;
    let signal = |number: u32| Alert { id: format!("rw-{number}"), ..firing("kb1") };
    state.accept(commit(0, &(0..25).map(signal).collect::<Vec<_>>()), at(0));
    let mut sizes = Vec::new();
    while let Step::Send(items) = state.step(at(0)) {
        sizes.push(items.len());
        state.decide(&Outcome::Accepted, at(0), 0);
    }
    assert_eq!(sizes, [ALERTS_MAX, ALERTS_MAX, 5]);
}

#[test]
fn what_was_muted_before_it_was_told_anew_is_repeated() {
    let mut state = with(",\"repeat_interval\":\"1h\"", 0, Standing::default());
    state.terms.together = Together::ChangeAndRing;
    let (id, fingerprint) = ("rw-other".to_owned(), "other".to_owned());
    let other = Alert { id, fingerprint, ..firing("kb1") };
    let anew = Alert { transition: 2, ..firing("kb1") };
    let muted = Committed { muted: vec![anew.id.clone()], ..commit(1, &[]) };
    state.accept(commit(0, &[other]), at(0));
    state.accept(muted, at(0));
    state.accept(commit(2, &[anew]), at(0));
    assert_eq!(sent(&state.step(at(0))), ["kb1"; 2]);
    state.decide(&Outcome::Accepted, at(0), 0);
    assert_eq!(sent(&state.step(at(3_600))), ["kb1"; 2], "nobody is quiet now");
}
