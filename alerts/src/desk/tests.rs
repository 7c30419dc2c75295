//! What enters the chain of alerts, commands and time, in that order.

use proptest::prelude::*;
use schemas::Span;

use super::*;
use crate::delivery::examples::{firing, resolved};

fn minute(at: i64) -> Timestamp {
    Timestamp(1_784_433_600_000_000).saturating_add(Span::minutes(at))
}

fn hold(change: &str) -> Alert {
    Alert { id: format!("rw-hold-{change}"), decision: Decision::Hold, ..firing(change) }
}

fn over(alert: Alert, at: Timestamp) -> Alert {
    Alert { state: AlertState::Resolved, transition: 2, updated_at: at, ends_at: Some(at), ..alert }
}

fn command(number: u64, order: Order) -> Command {
    Command {
        v: 1,
        number,
        nonce: number.to_string(),
        at: minute(number as i64),
        author: "ana".to_owned(),
        reason: Some("because".to_owned()),
        order,
    }
}

fn acknowledge(alert: &str) -> Order {
    Order::Acknowledge { alert: alert.to_owned() }
}

fn silence(change: &str, until: i64) -> Order {
    let matcher = Matcher { change: Some(change.to_owned()), ..Matcher::default() };
    Order::Silence { matcher, until: minute(until) }
}

/// A desk and what it says: `id state transition`, quiet ones in brackets.
#[derive(Default)]
struct Told {
    desk: Desk,
    commands: u64,
}

impl Told {
    fn said(said: &Said) -> Vec<String> {
        let line = |(at, alert): (u32, &Alert)| {
            let line = format!("{} {} {}", alert.id, alert.state.name(), alert.transition);
            if said.quiet.contains(&at) { format!("({line})") } else { line }
        };
        (0..).zip(&said.alerts).map(line).collect()
    }

    fn take(&mut self, at: i64, raised: &[Alert]) -> Vec<String> {
        let mut said = Said::default();
        self.desk.take(raised.to_vec(), minute(at), &mut said);
        Self::said(&said)
    }

    fn obey(&mut self, at: i64, order: Order) -> Vec<String> {
        let mut said = Said::default();
        self.desk.obey(&command(self.commands, order), Some(minute(at)), &mut said);
        self.commands += 1;
        Self::said(&said)
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn an_acknowledged_alert_says_so_once_and_its_end_counts_on() {
    let mut told = Told::default();
    assert_eq!(told.take(0, &[firing("kb1")]), ["rw-kb1 firing 1"]);
    assert_eq!(told.obey(1, acknowledge("rw-kb1")), ["rw-kb1 acknowledged 2"]);
    assert_eq!(told.obey(2, acknowledge("rw-kb1")), NOTHING);
    assert_eq!(told.obey(2, acknowledge("rw-other")), NOTHING);
    assert_eq!(told.take(3, &[resolved("kb1")]), ["rw-kb1 resolved 3"]);
    assert_eq!(told.obey(4, acknowledge("rw-kb1")), NOTHING);
    assert_eq!(told.desk.next_command(), 4);
}

#[test]
fn a_rollback_mutes_holds_of_its_change_and_ring_whichever_was_raised_first() {
    let mut told = Told::default();
    let elsewhere = Alert { ring: "fast".to_owned(), id: "rw-fast".to_owned(), ..hold("kb1") };
    let raised = [hold("kb1"), firing("kb1"), elsewhere];
    assert_eq!(
        told.take(0, &raised),
        ["(rw-hold-kb1 firing 1)", "rw-kb1 firing 1", "rw-fast firing 1"]
    );
    assert_eq!(told.desk.muted()["rw-hold-kb1"], "rw-kb1");
    let ended = told.take(9, &[over(firing("kb1"), minute(9))]);
    assert_eq!(ended, ["rw-kb1 resolved 2", "rw-hold-kb1 firing 2"]);
    assert_eq!(told.take(10, &[over(hold("kb1"), minute(10))]), ["rw-hold-kb1 resolved 3"]);
}

#[test]
fn nobody_hears_of_the_end_of_a_muted_alert_that_ends_first() {
    let mut told = Told::default();
    told.take(0, &[firing("kb1"), hold("kb1")]);
    let ended = [over(hold("kb1"), minute(1)), over(firing("kb1"), minute(1))];
    assert_eq!(told.take(1, &ended), ["(rw-hold-kb1 resolved 2)", "rw-kb1 resolved 2"]);
}

#[test]
fn a_silence_lasts_until_its_time_and_what_still_fires_is_told_then() {
    let mut told = Told::default();
    assert_eq!(told.obey(0, silence("kb1", 10)), NOTHING);
    assert_eq!(
        told.take(1, &[firing("kb1"), firing("kb2")]),
        ["(rw-kb1 firing 1)", "rw-kb2 firing 1"]
    );
    assert_eq!(told.take(9, &[]), NOTHING);
    assert_eq!(told.take(10, &[]), ["rw-kb1 firing 2"]);
    assert!(told.desk.silences().is_empty());
    assert_eq!(told.obey(11, silence("kb2", 60)), NOTHING, "it was told before");
    assert_eq!(told.desk.muted()["rw-kb2"], "silence-1");
    let end = Order::EndSilence { silence: "silence-1".to_owned() };
    assert_eq!(told.obey(12, end), ["rw-kb2 firing 2"]);
}

#[test]
fn what_is_muted_and_told_again_in_one_commit_is_not_muted_after_it() {
    let (mut desk, mut said) = (Desk::default(), Said::default());
    desk.take(vec![hold("kb1")], minute(1), &mut said);
    let mut said = Said::default();
    let quiet = command(0, silence("kb1", 90));
    desk.obey(&quiet, Some(minute(2)), &mut said);
    assert_eq!(said.muted.len(), 1);
    let end = Order::EndSilence { silence: quiet.silence_id() };
    desk.obey(&command(1, end), Some(minute(2)), &mut said);
    assert_eq!((said.alerts.len(), &said.muted[..]), (1, &[][..]), "told, and quiet no more");
    desk.obey(&command(2, silence("kb1", 90)), Some(minute(2)), &mut said);
    assert_eq!(said.muted.len(), 1, "and quiet again");
}

#[test]
fn a_silence_of_everything_is_refused() {
    let mut told = Told::default();
    told.obey(0, Order::Silence { matcher: Matcher::default(), until: minute(100) });
    assert_eq!(told.take(1, &[firing("kb1")]), ["rw-kb1 firing 1"]);
}

#[test]
fn a_destination_that_fails_is_one_alert_until_it_works() {
    let mut told = Told::default();
    let failing = || Order::DeliveryFailing { destination: "chat".to_owned() };
    let works = || Order::DeliveryWorks { destination: "chat".to_owned() };
    assert_eq!(told.obey(0, works()), NOTHING);
    let first = told.obey(1, failing());
    assert!(first[0].ends_with(" firing 1") && first.len() == 1, "{first:?}");
    assert_eq!(told.obey(2, failing()), NOTHING);
    assert!(told.obey(3, works())[0].ends_with(" resolved 2"));
    assert_ne!(told.obey(4, failing()), first, "another episode");
}

#[test]
fn what_was_not_done_is_escalated_and_ends_with_its_alert() {
    let mut told = Told::default();
    told.take(0, &[firing("kb1")]);
    let late = || Order::NotActed { alert: "rw-kb1".to_owned(), destination: "mdm".to_owned() };
    assert_eq!(told.obey(1, late()).len(), 1);
    assert_eq!(told.obey(2, late()), NOTHING);
    let ended = told.take(3, &[resolved("kb1")]);
    assert_eq!(ended.len(), 2);
    assert!(ended.iter().all(|line| line.ends_with(" resolved 2")), "{ended:?}");
    assert_eq!(told.obey(4, late()), NOTHING, "there is nothing left to do");
}

#[test]
fn what_was_not_done_is_no_news_to_who_takes_care_of_it() {
    let mut told = Told::default();
    let late = |alert: &str| Order::NotActed { alert: alert.to_owned(), destination: "a".into() };
    told.take(0, &[firing("kb1"), firing("kb2")]);
    told.obey(1, Order::Pause);
    assert_eq!(told.obey(2, acknowledge("rw-kb1")), ["rw-kb1 acknowledged 2"]);
    assert_eq!(told.obey(11, late("rw-kb1")), NOTHING);
    assert_eq!(told.obey(11, late("rw-kb2")).len(), 1, "nobody has seen it");
}

/// Contract 4: the fingerprint stays from episode to episode, the id follows from it and the start.
#[test]
fn alerts_about_ringwatch_itself_keep_their_fingerprint_and_are_named_by_their_start() {
    let mut told = Told::default();
    let mut fired = |at: i64, order: Order| {
        let mut said = Said::default();
        told.desk.obey(&command(told.commands, order), Some(minute(at)), &mut said);
        told.commands += 1;
        said.alerts.pop().filter(|alert| alert.state == AlertState::Firing)
    };
    let failing = || Order::DeliveryFailing { destination: "chat".to_owned() };
    let works = || Order::DeliveryWorks { destination: "chat".to_owned() };
    // All of it between two windows.
    let first = fired(9, failing()).expect("it fires");
    assert_eq!(fired(9, works()), None);
    let again = fired(9, failing()).expect("it fires again");
    let mut told = Told::default();
    let mut undone = |at: i64| {
        let of = |id: &str| Order::NotActed { alert: id.to_owned(), destination: "mdm".to_owned() };
        let episode = Alert { id: format!("rw-{at}"), ..firing("kb1") };
        told.take(at, std::slice::from_ref(&episode));
        let mut said = Said::default();
        told.desk.obey(&command(at as u64, of(&episode.id)), Some(minute(at)), &mut said);
        told.take(at + 1, &[over(episode, minute(at + 1))]);
        said.alerts.remove(0)
    };
    let [undone, undone_again] = [undone(1), undone(5)];
    assert!(undone.summary.ends_with("(because); rw-1 asks for it"), "{}", undone.summary);
    for [one, other] in [[first, again], [undone, undone_again]] {
        assert_eq!(one.fingerprint, other.fingerprint, "{}", one.signal);
        assert_ne!(one.id, other.id);
        for alert in [one, other] {
            assert_eq!(alert.id, crate::book::episode_id(&alert.fingerprint, alert.starts_at));
        }
    }
}

#[test]
fn pause_lasts_until_resume() {
    let mut told = Told::default();
    told.obey(0, Order::Pause);
    assert_eq!(told.desk.paused().map(|paused| &*paused.author), Some("ana"));
    told.obey(1, Order::Resume);
    assert_eq!(told.desk.paused(), None);
}

/// Something that happens in a minute, by number.
fn happen(desk: &mut Desk, (minute_now, what): (i64, u8), next: &mut u64) -> Said {
    let mut said = Said::default();
    let at = minute(minute_now);
    let mut obey = |order| {
        desk.obey(&command(*next, order), Some(at), &mut said);
        *next += 1;
    };
    match what {
        0 => desk.take(vec![hold("kb1"), firing("kb1")], at, &mut said),
        1 => desk.take(vec![over(firing("kb1"), at)], at, &mut said),
        2 => desk.take(vec![over(hold("kb1"), at), firing("kb2")], at, &mut said),
        3 => obey(acknowledge("rw-kb1")),
        4 => obey(silence("kb1", minute_now + 2)),
        5 => obey(Order::EndSilence { silence: "silence-1".to_owned() }),
        6 => obey(Order::NotActed { alert: "rw-kb1".to_owned(), destination: "a".to_owned() }),
        7 => obey(Order::DeliveryFailing { destination: "a".to_owned() }),
        8 => obey(Order::Pause),
        _ => desk.take(Vec::new(), at, &mut said),
    }
    said
}

proptest! {
    #[test]
    fn a_desk_that_was_stored_and_loaded_says_the_same(
        happenings in proptest::collection::vec(0_u8..10, 1..30), cut in 0_usize..30,
    ) {
        let (mut straight, mut stored) = (Desk::default(), Desk::default());
        let (mut one, mut other) = (0, 0);
        for (at, &what) in (0..).zip(&happenings) {
            if at as usize == cut {
                let json = serde_json::to_vec(&stored).expect("JSON");
                stored = serde_json::from_slice(&json).expect("a desk");
            }
            let said = happen(&mut straight, (at, what), &mut one);
            prop_assert_eq!(&said, &happen(&mut stored, (at, what), &mut other));
            let transitions = said.alerts.iter().map(|alert| (&alert.id, alert.transition));
            let distinct: BTreeSet<_> = transitions.collect();
            prop_assert_eq!(distinct.len(), said.alerts.len(), "no transition twice");
        }
        prop_assert_eq!(straight, stored);
    }
}
