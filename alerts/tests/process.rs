//! The change process through the engine: each rule with a scenario that fires it and one that
//! just does not. Time is stream time, in hours of a story that begins with 2000.

#![allow(clippy::expect_used, reason = "a test without its alert must fail")]

use std::sync::Arc;

use alerts::{DetectionConfig, Engine};
use schemas::delta::{ChangeSet, RegistryDelta, SupportDelta};
use schemas::totals::{ChangeTotals, GroupTotals, Onsets};
use schemas::{Alert, Fact, Signal, Span, Timestamp, WindowTotals};

const RINGS: [&str; 3] = ["test", "first", "last"];
const EARLY: [&str; 1] = ["process.early_exposure firing"];
/// The usual plan: a ring every four days from day 10 on.
const PLAN: [(&str, i64); 3] = [("test", 240), ("first", 336), ("last", 432)];

fn hour(hour: i64) -> Timestamp {
    Timestamp::YEAR_2000 + Span::hours(hour)
}

fn config() -> DetectionConfig {
    DetectionConfig::new(RINGS.map(str::to_owned).to_vec())
}

fn engine() -> Engine {
    Engine::new(config())
}

fn plan(rings: &[(&str, i64)]) -> String {
    let rings = rings.iter().map(|(ring, at)| {
        let starts = hour(*at);
        format!(r#"{{"ring":"{ring}","starts":"{starts}"}}"#)
    });
    rings.collect::<Vec<_>>().join(",")
}

/// Registers `kb1` with these facts, and the usual plan unless they have one.
fn register(engine: &mut Engine, facts: &str) {
    let usual = format!(r#","rings":[{}]"#, plan(&PLAN));
    let rings = if facts.contains("\"rings\"") { "" } else { &usual };
    let record = format!(r#"{{"change":"kb1","reversible":true,{facts}{rings}}}"#);
    let (change, takes_effect) = ("kb1".to_owned(), Timestamp::YEAR_2000);
    engine.register(&RegistryDelta { offset: 0, takes_effect, change, record: Some(record) });
}

/// The window that ends at this hour.
fn window(end: Timestamp) -> WindowTotals {
    WindowTotals { start: end - Span::minutes(1), end, ..WindowTotals::default() }
}

fn group(totals: &mut WindowTotals, ring: &str, names: &[&str], devices: i64) {
    let set: ChangeSet = names.iter().map(|&name| Arc::from(name)).collect();
    let at_risk_ms = devices * 60_000;
    let group = GroupTotals { at_risk_ms, devices_active: devices, ..GroupTotals::default() };
    totals.groups.insert((Arc::from(ring), set), group);
}

fn exposed(end: Timestamp, ring: &str, devices: i64) -> WindowTotals {
    let mut totals = window(end);
    let counts = ChangeTotals { devices_exposed: devices, ..ChangeTotals::default() };
    totals.changes.insert((Arc::from(ring), Arc::from("kb1")), counts);
    group(&mut totals, ring, &["kb1"], devices);
    totals
}

/// A window in which something was noted in ring `first`.
fn noted(end: Timestamp, fact: Fact, count: i64, first_at: Option<Timestamp>) -> WindowTotals {
    let mut totals = window(end);
    let onsets = Onsets { affected: count, first_at };
    totals.facts.insert((Arc::from("first"), fact), onsets);
    group(&mut totals, "first", &[], 100);
    totals
}

fn signals(told: &[Alert]) -> Vec<String> {
    told.iter().map(|alert| format!("{} {}", alert.signal, alert.state.name())).collect()
}

/// What is told at the end of a window at this hour of a change with these facts.
fn told_of(facts: &str, at: Timestamp) -> Vec<Alert> {
    let mut engine = engine();
    register(&mut engine, facts);
    engine.evaluate(&window(at))
}

#[track_caller]
fn check(facts: &str, at: Timestamp, expected: &[&str]) {
    let signals: Vec<_> = told_of(facts, at).into_iter().map(|alert| alert.signal).collect();
    assert_eq!(signals, expected, "{facts}");
}

#[test]
fn a_change_that_asks_to_act_needs_five_days_of_notice() {
    let facts = |announced: i64, rest: &str| {
        let announced = hour(announced);
        format!(r#""type":"feature","status":"announced","announced":"{announced}"{rest}"#)
    };
    let asks = r#","requires_action":true"#;
    check(&facts(121, asks), hour(122), &["process.short_notice"]);
    check(&facts(120, asks), hour(122), &[]);
    check(&facts(121, ""), hour(122), &[]);
    let alert = told_of(&facts(121, asks), hour(122)).remove(0);
    let said = "kb1 asks administrators to act and starts 4 d after it was announced \
                (2000-01-06T01:00:00Z); 5 days are due";
    assert_eq!(alert.summary, said);
    let action = serde_json::to_value(&alert.action).expect("JSON");
    let notice = serde_json::json!({"channels": ["email"], "when": "before"});
    assert_eq!((&action["owner"], &action["notice"]), (&"service".into(), &notice));
    assert_eq!((alert.decision.name(), alert.severity.name()), ("hold", "warning"));
    assert_eq!((&*alert.ring, alert.change_type.name()), ("", "feature"));
}

/// Time does not run backwards in what people are told.
#[test]
fn notice_that_comes_after_the_start_or_never_is_told_as_that() {
    let told = |announced: &str| {
        let facts = r#""type":"feature","status":"deploying","requires_action":true"#;
        let rings = plan(&PLAN[..1]);
        let told = told_of(&format!(r#"{facts}{announced},"rings":[{rings}]"#), hour(300));
        told.into_iter().map(|alert| (alert.summary, alert.action.what)).collect::<Vec<_>>()
    };
    let asks = "kb1 asks administrators to act and";
    let pause = "pause kb1 until its administrators have acted".to_owned();
    let never = format!("{asks} was never announced; 5 days are due");
    assert_eq!(told(""), [(never, pause.clone())]);
    let after = format!(
        "{asks} is announced 10 h after the start of its first ring ({}); 5 days are due",
        hour(250)
    );
    assert_eq!(told(&format!(r#","announced":"{}""#, hour(250))), [(after, pause)]);
}

#[test]
fn an_action_due_within_two_days_must_be_acknowledged() {
    let facts = |rest: &str| {
        format!(r#""type":"security","status":"announced","action_due":"{}"{rest}"#, hour(100))
    };
    check(&facts(""), hour(53), &["process.action_due_soon"]);
    check(&facts(""), hour(52), &[]);
    let seen = format!(r#","acknowledged_at":"{}""#, hour(51));
    check(&facts(&seen), hour(53), &[]);
    let mut engine = engine();
    register(&mut engine, &facts(""));
    let late = engine.evaluate(&window(hour(103))).remove(0);
    assert!(late.summary.contains("has been overdue for 3 h"), "{}", late.summary);
    let action = serde_json::to_value(&late.action).expect("JSON");
    let channels = serde_json::json!(["email", "bulletin"]);
    assert_eq!((&action["owner"], &action["notice"]["channels"]), (&"customer".into(), &channels));
    register(&mut engine, &facts(&seen));
    let told = engine.evaluate(&window(hour(104)));
    assert_eq!(signals(&told), ["process.action_due_soon resolved"]);
    assert_eq!((&told[0].id, told[0].transition), (&late.id, 2));
}

#[test]
fn an_emergency_is_mitigated_within_an_hour_and_told_after_that() {
    let facts = |rest: &str| {
        let reason = r#""reason":"data_loss""#;
        format!(r#""type":"emergency","status":"deploying",{reason}{rest}"#)
    };
    check(&facts(""), hour(241), &["process.emergency_unmitigated"]);
    check(&facts(""), hour(241) - Span::minutes(1), &[]);
    let mitigated = |at| format!(r#","mitigated_at":"{}""#, hour(at));
    check(&facts(&mitigated(241)), hour(241), &[]);
    let told = |at| format!(r#"{},"announced":"{}""#, mitigated(240), hour(at));
    check(&facts(&told(239)), hour(241), &["process.told_before_mitigated"]);
    check(&facts(&told(240)), hour(241), &[]);
    let page = told_of(&facts(""), hour(241)).remove(0);
    let notice = serde_json::to_value(&page.action.notice).expect("JSON");
    assert_eq!(notice, serde_json::json!({"channels": ["page", "email"], "when": "during"}));
    assert_eq!(
        (page.escalation.map(schemas::Escalation::name), page.severity.name()),
        (Some("A"), "critical")
    );
}

#[test]
fn rings_start_in_rollout_order() {
    let facts = |starts: &[(&str, i64)]| {
        format!(r#""type":"quality","status":"announced","rings":[{}]"#, plan(starts))
    };
    let order = ["process.ring_out_of_order"];
    check(&facts(&[("test", 100), ("last", 101), ("first", 102)]), hour(1), &order);
    check(&facts(&[("last", 102), ("first", 102), ("test", 100)]), hour(1), &[]);
}

/// An engine in which ring `test` was exposed for so many days, on time, and then `first` started.
fn rolled_out(days: i64) -> (Engine, Vec<Alert>) {
    let mut engine = engine();
    register(&mut engine, r#""type":"quality","status":"deploying""#);
    let usual = [Signal::OsCrash, Signal::AppCrash].map(|signal| (signal, 9));
    let mut told = Vec::new();
    for number in (336 - 24 * days)..=336 {
        let mut totals = window(hour(number));
        // At 240 the ring starts: nobody has it before.
        group(&mut totals, "test", if number > 240 { &["kb1"] } else { &[] }, 5_000);
        group(&mut totals, "last", &[], 5_000);
        for group in totals.groups.values_mut() {
            let hit = |(signal, affected)| (signal, Onsets { affected, first_at: None });
            group.onsets = usual.map(hit).into();
        }
        told.extend(engine.evaluate(&totals));
    }
    (engine, told)
}

#[test]
fn a_ring_waits_until_the_one_ahead_is_clear() {
    let (engine, told) = rolled_out(2);
    assert_eq!(signals(&told), ["process.ring_before_clear firing"]);
    assert_eq!((&*told[0].ring, told[0].starts_at), ("first", hour(336)));
    assert_eq!(told[0].summary, "kb1 started in ring first before ring test was clear");
    assert_eq!(engine.clearances()[0].clearing, alerts::Clearing::Soaking);
    let (mut engine, told) = rolled_out(4);
    assert_eq!(signals(&told), [""; 0]);
    // What was let pass stays so, also after the engine was stored and loaded, and when the ring
    // ahead is no longer clear.
    engine = restarted(&engine);
    let mut totals = exposed(hour(337), "test", 5_000);
    for ring in ["test", "last"] {
        group(&mut totals, ring, &[], 5_000);
    }
    let hit = Onsets { affected: 300, first_at: None };
    let treated = (Arc::from("test"), [Arc::from("kb1")].into_iter().collect());
    totals.groups.get_mut(&treated).expect("it is there").onsets = [(Signal::DataLoss, hit)].into();
    assert_eq!(signals(&engine.evaluate(&totals)), ["data_loss firing"]);
    assert_eq!(signals(&engine.evaluate(&window(hour(338)))), [""; 0]);
}

/// Whoever begins to watch in the middle of a rollout has not seen whether rings were clear.
#[test]
fn a_ring_that_started_before_the_first_window_is_let_pass() {
    let facts = r#""type":"quality","status":"deploying""#;
    assert_eq!(signals(&told_of(facts, hour(400))), [""; 0]);
    let mut watched = engine();
    register(&mut watched, facts);
    assert_eq!(signals(&watched.evaluate(&window(hour(330)))), [""; 0]);
    assert_eq!(
        signals(&watched.evaluate(&window(hour(400)))),
        ["process.ring_before_clear firing"]
    );
}

#[test]
fn devices_are_exposed_only_in_rings_that_have_started() {
    let told = |end, ring, facts: &str| {
        let mut engine = engine();
        register(&mut engine, facts);
        let told = engine.evaluate(&exposed(end, ring, 3));
        (engine, signals(&told))
    };
    let facts = r#""type":"quality","status":"deploying""#;
    assert_eq!(told(hour(240), "test", facts).1, EARLY);
    assert_eq!(told(hour(240) + Span::minutes(1), "test", facts).1, [""; 0]);
    let one_ring = format!(r#"{facts},"rings":[{}]"#, plan(&PLAN[..1]));
    assert_eq!(told(hour(300), "last", &one_ring).1, EARLY);
    let no_plan = format!(r#"{facts},"rings":[]"#);
    assert_eq!(told(hour(300), "last", &no_plan).1, [""; 0]);
    // It is over when the ring starts.
    let (mut engine, _) = told(hour(240), "test", facts);
    let over = engine.evaluate(&window(hour(240) + Span::minutes(1)));
    assert_eq!(signals(&over), ["process.early_exposure resolved"]);
    assert_eq!(
        over[0].summary,
        "kb1 reached 3 devices in ring test, which starts at 2000-01-11T00:00:00Z"
    );
}

/// A window at whose end this many devices of ring `test` have `kb1`, and nobody newly.
fn held(end: Timestamp, devices: i64) -> WindowTotals {
    let mut totals = window(end);
    group(&mut totals, "test", &["kb1"], devices);
    totals
}

/// The engine as a restart finds it.
fn restarted(engine: &Engine) -> Engine {
    Engine::load(config(), &engine.save()).expect("its own bytes")
}

#[test]
fn devices_exposed_before_the_record_or_a_postponement_came_are_early_too() {
    let facts = r#""type":"quality","status":"deploying""#;
    let mut late = engine();
    assert_eq!(signals(&late.evaluate(&exposed(hour(100), "test", 3))), [""; 0]);
    register(&mut late, facts);
    // That there are none is not known of a window in which a partition was left out.
    let partial = WindowTotals { partial: true, ..window(hour(101)) };
    assert_eq!(signals(&late.evaluate(&partial)), [""; 0]);
    let told = late.evaluate(&held(hour(102), 3));
    assert_eq!(signals(&told), EARLY);
    let said = &told[0].summary;
    assert!(said.starts_with("kb1 reached 3 devices in ring test"), "{said}");
    let mut postponed = engine();
    register(&mut postponed, facts);
    assert_eq!(signals(&postponed.evaluate(&exposed(hour(300), "test", 2))), [""; 0]);
    register(&mut postponed, &format!(r#"{facts},"rings":[{}]"#, plan(&[("test", 400)])));
    assert_eq!(signals(&postponed.evaluate(&held(hour(301), 2))), EARLY);
}

#[test]
fn state_of_a_version_that_counted_new_exposures_goes_on_so_for_rings_that_wait() {
    let mut engine = engine();
    register(&mut engine, r#""type":"quality","status":"deploying""#);
    let mut before = engine.save();
    before[0] = 3;
    let mut engine = restarted(&Engine::load(config(), &before).expect("the format before"));
    assert_eq!(signals(&engine.evaluate(&held(hour(101), 3))), [""; 0]);
    assert_eq!(signals(&restarted(&engine).evaluate(&held(hour(102), 3))), [""; 0]);
    assert_eq!(signals(&engine.evaluate(&exposed(hour(102), "test", 2))), EARLY);
}

#[test]
fn a_device_that_is_moved_with_its_change_to_a_ring_that_waits_is_not_early() {
    let mut engine = engine();
    register(&mut engine, r#""type":"quality","status":"deploying""#);
    assert_eq!(signals(&engine.evaluate(&window(hour(100)))), [""; 0]);
    assert_eq!(signals(&restarted(&engine).evaluate(&held(hour(101), 1))), [""; 0]);
    assert_eq!(signals(&engine.evaluate(&held(hour(101), 1))), [""; 0]);
}

#[test]
fn a_change_on_devices_of_a_foreign_group_is_told_until_it_is_gone() {
    let mut engine = engine();
    let mut step = |count: i64, partial| {
        let mut totals = WindowTotals { partial, ..window(hour(1)) };
        totals.foreign = [(Arc::from("kb9"), count)].into();
        engine.evaluate(&totals)
    };
    assert_eq!(signals(&step(0, false)), [""; 0]);
    let told = step(4, false);
    assert_eq!(signals(&told), ["process.foreign_group firing"]);
    assert_eq!((&*told[0].change, &*told[0].ring), ("kb9", "unmanaged"));
    assert!(told[0].unregistered && told[0].evidence.treated.affected == 4);
    assert_eq!(signals(&step(0, true)), [""; 0], "a partition was left out");
    assert_eq!(signals(&step(0, false)), ["process.foreign_group resolved"]);
}

#[test]
fn what_only_the_service_may_do_is_news_for_a_day() {
    for (fact, signal) in [
        (Fact::RingDrift, "process.ring_drift"),
        (Fact::ServiceAccount, "process.service_account"),
        (Fact::GroupChange, "process.group_change"),
        (Fact::PolicyEdit, "process.policy_edit"),
    ] {
        let mut engine = engine();
        assert_eq!(signals(&engine.evaluate(&window(hour(1)))), [""; 0]);
        let told = engine.evaluate(&noted(hour(2), fact, 2, Some(hour(1))));
        assert_eq!(signals(&told), [format!("{signal} firing")]);
        assert_eq!(told[0].escalation.map(schemas::Escalation::name), Some("C"));
        assert_eq!((&*told[0].change, &*told[0].ring, told[0].unregistered), ("", "first", false));
        assert_eq!(told[0].evidence.first_affected_at, Some(hour(1)));
        assert_eq!(signals(&engine.evaluate(&noted(hour(25), fact, 1, None))), [""; 0]);
        assert_eq!(signals(&engine.evaluate(&window(hour(48)))), [""; 0]);
        let over = engine.evaluate(&window(hour(49)));
        assert_eq!(signals(&over), [format!("{signal} resolved")]);
    }
}

#[test]
fn what_goes_on_for_more_than_a_day_is_told_once_a_day() {
    let mut engine = engine();
    let mut told = |at| {
        let totals = noted(hour(at), Fact::ServiceAccount, 1, None);
        engine.evaluate(&totals)
    };
    assert_eq!(told(2).len(), 1);
    assert!((3..=26).all(|at| told(at).is_empty()));
    let again = told(27);
    let both = ["process.service_account resolved", "process.service_account firing"];
    assert_eq!(signals(&again), both);
    assert_ne!(again[0].id, again[1].id);
    assert_eq!(again[1].evidence.treated.affected, 26);
    assert!(told(28).is_empty());
}

fn ticket(engine: &mut Engine, severity: &str, status: &str) {
    ticket_of(engine, "T-1", severity, status, 0);
}

/// A ticket of which we hear at this hour.
fn ticket_of(engine: &mut Engine, name: &str, severity: &str, status: &str, at: i64) {
    let facts = r#""time":"2000-01-01T00:00:00Z","ring":"first","change":"kb1""#;
    let record =
        format!(r#"{{"ticket":"{name}","severity":"{severity}","status":"{status}",{facts}}}"#);
    engine.support(&SupportDelta { offset: 0, takes_effect: hour(at), record });
}

#[test]
fn each_further_ticket_of_severity_a_is_told_as_well_however_many_were_closed_meanwhile() {
    const SIGNAL: &str = "process.severity_a_ticket";
    let both = [format!("{SIGNAL} resolved"), format!("{SIGNAL} firing")];
    let mut engine = engine();
    ticket_of(&mut engine, "T-1", "A", "open", 1);
    ticket_of(&mut engine, "T-2", "A", "open", 1);
    assert_eq!(signals(&engine.evaluate(&window(hour(2)))), [format!("{SIGNAL} firing")]);
    ticket_of(&mut engine, "T-2", "A", "in work", 3);
    assert_eq!(signals(&engine.evaluate(&window(hour(3)))), [""; 0], "heard of before");
    ticket_of(&mut engine, "T-1", "A", "closed", 4);
    assert_eq!(signals(&engine.evaluate(&window(hour(4)))), [""; 0], "one is open yet");
    ticket_of(&mut engine, "T-3", "A", "open", 5);
    let told = engine.evaluate(&window(hour(5)));
    assert_eq!(signals(&told), both);
    assert_eq!(told[1].summary, "2 tickets of severity A on kb1 in ring first: T-3, T-2");
    assert_ne!(told[0].id, told[1].id);
    assert_eq!(signals(&engine.evaluate(&window(hour(6)))), [""; 0]);
}

#[test]
fn the_newest_tickets_are_named_and_the_others_counted() {
    let mut engine = engine();
    for number in 1..=7 {
        ticket_of(&mut engine, &format!("T-{number}"), "A", "open", number);
    }
    let said = "7 tickets of severity A on kb1 in ring first: T-7, T-6, T-5, T-4, T-3 and 2 more";
    assert_eq!(engine.evaluate(&window(hour(8)))[0].summary, said);
}

#[test]
fn a_ticket_of_severity_a_is_told_until_it_is_closed() {
    let mut engine = engine();
    ticket(&mut engine, "B", "opened");
    assert_eq!(signals(&engine.evaluate(&window(hour(1)))), [""; 0]);
    ticket(&mut engine, "A", "opened");
    let told = engine.evaluate(&window(hour(2)));
    assert_eq!(signals(&told), ["process.severity_a_ticket firing"]);
    assert_eq!(told[0].summary, "1 ticket of severity A on kb1 in ring first: T-1");
    ticket(&mut engine, "A", "Closed");
    let over = engine.evaluate(&window(hour(3)));
    assert_eq!(signals(&over), ["process.severity_a_ticket resolved"]);
    ticket(&mut engine, "A", "opened");
    assert_eq!(engine.evaluate(&window(hour(4))).len(), 1);
    assert_eq!(engine.evaluate(&window(hour(14 * 24) - Span::minutes(1))).len(), 0);
    assert_eq!(engine.evaluate(&window(hour(14 * 24))).len(), 1, "nobody touched it for 14 days");
    let told = engine.evaluate(&noted(hour(400), Fact::SeverityATicket, 1, None));
    assert_eq!(told[0].summary, "1 ticket of severity A in ring first");
}

#[test]
fn certificates_are_told_of_and_more_urgently_where_a_ring_would_stand_still() {
    const FACT: Fact = Fact::CertificateExpiry;
    let mut engine = engine();
    assert_eq!(signals(&engine.evaluate(&noted(hour(1), FACT, 0, None))), [""; 0]);
    let told = engine.evaluate(&noted(hour(2), FACT, 4, Some(hour(26 * 24))));
    assert_eq!(signals(&told), ["process.certificate_expiry firing"]);
    let said = "certificates of 4 devices in ring first expire within 60 days, the first in 25 d \
                (2000-01-27T00:00:00Z)";
    assert_eq!((&*told[0].summary, told[0].severity.name()), (said, "info"));
    let told = engine.evaluate(&noted(hour(3), FACT, 1, Some(hour(30 * 24))));
    let both = ["process.certificate_expiry resolved", "process.certificate_expiry firing"];
    assert_eq!(signals(&told), both, "5 of 100");
    assert_ne!(told[0].fingerprint, told[1].fingerprint);
    assert_eq!(told[1].escalation.map(schemas::Escalation::name), Some("B"));
    let told = engine.evaluate(&noted(hour(4), FACT, -5, None));
    assert_eq!(signals(&told), ["process.certificate_expiry resolved"]);
}

#[test]
fn urgent_certificates_stay_urgent_until_they_are_fewer_than_4_percent() {
    let mut engine = engine();
    let mut told = |at: i64, devices: i64, expiring: i64| {
        let mut totals = noted(hour(at), Fact::CertificateExpiry, expiring, None);
        group(&mut totals, "first", &[], devices);
        engine = restarted(&engine);
        let told = engine.evaluate(&totals);
        told.iter().map(|alert| (alert.decision.name(), alert.state.name())).collect::<Vec<_>>()
    };
    assert_eq!(told(1, 21, 1), [("watch", "firing")], "1 of 21");
    assert_eq!(told(2, 20, 0), [("watch", "resolved"), ("escalate", "firing")]);
    for (at, devices) in [(3, 21), (4, 20), (5, 25)] {
        assert_eq!(told(at, devices, 0), [], "1 of {devices}, after 1 of 20");
    }
    assert_eq!(told(6, 26, 0), [("escalate", "resolved"), ("watch", "firing")]);
    assert_eq!(told(7, 21, 0), [], "1 of 21, after 1 of 26");
}

#[test]
fn what_is_over_is_resolved_and_never_told_again() {
    let facts = |status: &str| {
        let announced = hour(200);
        let asks = r#""requires_action":true"#;
        format!(r#""type":"feature","status":"{status}",{asks},"announced":"{announced}""#)
    };
    let mut engine = engine();
    register(&mut engine, &facts("announced"));
    assert_eq!(engine.open_alerts().len(), 0);
    assert_eq!(engine.evaluate(&window(hour(201))).len(), 1);
    assert_eq!(engine.open_alerts().len(), 1);
    assert_eq!(engine.evaluate(&window(hour(202))).len(), 0);
    for status in ["completed", "cancelled"] {
        register(&mut engine, &facts(status));
        let told = signals(&engine.evaluate(&window(hour(203))));
        let expected: &[&str] = &["process.short_notice resolved"];
        assert_eq!(told, if status == "completed" { expected } else { &[] });
    }
}
