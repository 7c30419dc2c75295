//! What one destination suffers is nothing to its neighbours, and they hear of it.
//!
//! Needs the project's `.venv` (`./dev setup`) and `openssl`. Without them this fails: a test that
//! can be skipped is a claim without proof.

#![allow(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use alerts::delivery::{Notice, Running, Stopped};
use alerts::{Desk, Said};
use metrics::{Counter, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder};
use metrics::{SharedString, Unit};
use schemas::{Alert, AlertState, Command, SCHEMA_VERSION};
use serde_json::Value;

#[path = "delivery_support/chain.rs"]
mod chain;
#[path = "../src/delivery/examples.rs"]
mod examples;
#[path = "delivery_support/receiver.rs"]
mod receiver;
#[path = "delivery_support/server.rs"]
mod server;

use chain::Setup;
use examples::{firing, resolved};
use receiver::{Receiver, Script, answer, eventually};
use server::Server;

fn always(status: u16) -> Script {
    Box::new(move |_, stream| answer(stream, status, ""))
}

/// A receiver that is down until `lives` is set.
fn down_until(lives: &Arc<AtomicBool>) -> Receiver {
    let lives = Arc::clone(lives);
    Receiver::start(Box::new(move |_, stream| {
        answer(stream, if lives.load(Ordering::Acquire) { 200 } else { 503 }, "");
    }))
}

fn webhook(receiver: &Receiver) -> String {
    format!("\"type\":\"webhook\",\"url\":\"http://{}/hook\"", receiver.address)
}

fn alerts_of(receiver: &Receiver) -> Vec<Alert> {
    let alert = |body: &[u8]| serde_json::from_slice(body).expect("an alert");
    receiver.received().iter().map(|one| alert(&one.body)).collect()
}

fn ids_of(receiver: &Receiver) -> Vec<String> {
    receiver.received().iter().map(|one| one.headers["webhook-id"].clone()).collect()
}

fn changes(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("kb{number}")).collect()
}

fn ids(changes: &[String]) -> Vec<String> {
    changes.iter().map(|change| format!("rw-{change}.1")).collect()
}

/// What the desk makes of a notice that a destination gave.
fn told(desk: &mut Desk, notice: &Notice, destination: &str) -> Vec<Alert> {
    let (order, reason) = notice.order(destination);
    let command = Command {
        v: SCHEMA_VERSION,
        number: desk.next_command(),
        nonce: "n".to_owned(),
        at: chain::wall(),
        author: format!("destination:{destination}"),
        reason: reason.map(str::to_owned),
        order,
    };
    let mut said = Said::default();
    desk.obey(&command, None, &mut said);
    said.alerts
}

/// Its clock runs 3,600 times as fast: a quarter of an hour in a quarter of a second.
#[test]
fn a_destination_that_is_given_up_is_told_of_at_the_others_and_so_is_its_return() {
    let lives = Arc::new(AtomicBool::new(false));
    let (dead, healthy) = (down_until(&lives), Receiver::start(always(200)));
    let dead_setup = Setup { name: "dead", speed: 3_600, ..Setup::default() };
    let chain = dead_setup.chain.clone();
    let healthy_setup = Setup { name: "healthy", chain: chain.clone(), ..Setup::default() };
    let running = [dead_setup.start(&webhook(&dead)), healthy_setup.start(&webhook(&healthy))];
    let commit = |alerts: &[Alert]| {
        let commit = chain.commit(alerts);
        for one in &running {
            one.feed.offer(commit.clone());
        }
    };
    let notice = |number: usize| {
        eventually(|| dead_setup.notices.lock().expect("not poisoned").get(number).cloned())
    };
    let mut desk = Desk::default();

    commit(&[firing("kb0")]);
    let failing = notice(0);
    assert_eq!(failing, Notice::Failing { reason: "status 503".to_owned() });
    commit(&told(&mut desk, &failing, "dead"));
    healthy.wait_for(2);
    lives.store(true, Ordering::Release);
    let works = notice(1);
    assert_eq!(works, Notice::Works);
    commit(&told(&mut desk, &works, "dead"));
    commit(&[resolved("kb0")]);
    healthy.wait_for(4);
    for one in running {
        assert_eq!(Running::stop(vec![one]), Stopped::Finished);
    }

    let heard = alerts_of(&healthy);
    assert_eq!(heard.len(), 4);
    assert_eq!(heard[0].change, "kb0");
    assert_eq!(heard[1].signal, "process.delivery_failing");
    assert_eq!(heard[1].summary, "destination dead does not take alerts (status 503)");
    assert_eq!((heard[2].state, &heard[2].id), (AlertState::Resolved, &heard[1].id));
    assert_eq!(heard[3], resolved("kb0"));
    let mut taken = alerts_of(&dead);
    taken.dedup();
    assert_eq!(taken, [firing("kb0"), resolved("kb0")], "not that it takes nothing");
}

#[test]
fn a_redirect_and_a_certificate_that_nobody_vouches_for_hold_up_nobody_else() {
    let location = "location: http://169.254.169.254/latest/meta-data/\r\n";
    let moved = Receiver::start(Box::new(move |_, stream| answer(stream, 301, location)));
    let healthy = Receiver::start(always(200));
    let mut strange = Server::start("https.py", "neighbour", &[]);
    let keys = [
        ("healthy", webhook(&healthy)),
        ("moved", webhook(&moved)),
        (
            "strange",
            format!("\"type\":\"webhook\",\"url\":\"https://localhost:{}/\"", strange.port),
        ),
    ];
    let first = Setup::default();
    let setups = keys
        .map(|(name, keys)| (Setup { name, chain: first.chain.clone(), ..Setup::default() }, keys));
    let running = setups.each_ref().map(|(setup, keys)| setup.start(keys));
    let begun = Instant::now();
    for change in changes(20) {
        let commit = first.chain.commit(&[firing(&change)]);
        for one in &running {
            one.feed.offer(commit.clone());
        }
    }
    let took = healthy.wait_for(20)[19].at - begun;
    assert!(took < Duration::from_secs(1), "it took {took:?}");
    assert_eq!(ids_of(&healthy), ids(&changes(20)));

    moved.wait_for(20);
    assert_eq!(ids_of(&moved), ids(&changes(20)), "each was refused once");
    let [_, moved, strange_setup] = setups.map(|(setup, _)| setup);
    eventually(|| moved.cursor().filter(|cursor| *cursor == 20));
    let refused = moved.standing.lock().expect("not poisoned").refused.len();
    assert_eq!(refused, 20, "and is kept until an operator asks");
    eventually(|| strange_setup.standing.lock().expect("not poisoned").failing.clone());
    assert_eq!(strange_setup.cursor(), None, "nothing of it is passed over");
    drop(running);
    drop(strange.process.stdin.take());
    let mut taken = String::new();
    strange.said.read_to_string(&mut taken).expect("text");
    assert_eq!(taken, "", "a request went to somebody unknown");
}

/// The most alerts that waited in memory for any destination, as its gauge says.
#[derive(Default)]
struct QueuedMax(Arc<Max>);

#[derive(Default)]
struct Max(AtomicUsize);

impl GaugeFn for Max {
    fn increment(&self, _: f64) {}

    fn decrement(&self, _: f64) {}

    fn set(&self, value: f64) {
        self.0.fetch_max(value as usize, Ordering::AcqRel);
    }
}

impl Recorder for QueuedMax {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let queued = key.name() == "ringwatch_delivery_queued_alerts";
        if queued { Gauge::from_arc(Arc::clone(&self.0)) } else { Gauge::noop() }
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// Its clock runs 43,200 times as fast: a day in two seconds.
#[test]
fn a_destination_dead_for_a_day_and_its_neighbour_get_all_of_it_once_and_in_order() {
    const DAY: Duration = Duration::from_hours(24);
    const SPEED: u32 = 43_200;
    const QUEUED_MAX: usize = 5;
    let lives = Arc::new(AtomicBool::new(false));
    let (dead, healthy) = (down_until(&lives), Receiver::start(always(200)));
    let queued_max = QUEUED_MAX;
    let setup = Setup { name: "dead", speed: SPEED, queued_max, ..Setup::default() };
    let chain = setup.chain.clone();
    let beside = Setup { name: "healthy", chain: chain.clone(), queued_max, ..Setup::default() };
    let running = [setup.start(&webhook(&dead)), beside.start(&webhook(&healthy))];
    let (begun, all) = (Instant::now(), changes(50));
    let queued = QueuedMax::default();
    metrics::with_local_recorder(&queued, || {
        for (number, change) in (1..).zip(&all) {
            let commit = chain.commit(&[firing(change)]);
            for one in &running {
                one.feed.offer(commit.clone());
            }
            let due = DAY / SPEED * u32::try_from(number).expect("few") / 50;
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
    });
    let day_over = Instant::now();
    assert!((day_over - begun) * SPEED >= DAY);
    let took = healthy.wait_for(50)[49].at.saturating_duration_since(day_over);
    assert!(took < Duration::from_secs(1), "the last took {took:?}");
    assert_eq!(ids_of(&healthy), ids(&all));
    let most = queued.0.0.load(Ordering::Acquire);
    assert!((1..=QUEUED_MAX + 1).contains(&most), "{most} waited, with the one that came");

    lives.store(true, Ordering::Release);
    eventually(|| setup.cursor().filter(|cursor| *cursor == 50));
    for one in running {
        assert_eq!(Running::stop(vec![one]), Stopped::Finished);
    }
    let taken = ids_of(&dead);
    let attempts = taken.iter().take_while(|id| *id == "rw-kb0.1").count();
    assert!(attempts > 5, "{attempts} attempts in a day");
    assert_eq!(taken[attempts..], ids(&all)[1..]);
    let notices = setup.notices.lock().expect("not poisoned").clone();
    assert_eq!(notices.len(), 2, "given up once, and back: {notices:?}");
}

/// Its clock runs 600 times as fast: what was not kept is offered again at once.
#[test]
fn what_was_refused_is_kept_before_the_place_in_the_chain_moves_past_it() {
    let receiver = Receiver::start(always(400));
    let setup = Setup { speed: 600, ..Setup::default() };
    let refused = || setup.standing.lock().expect("not poisoned").refused.len();
    setup.keeps_standing.store(false, Ordering::Release);
    let running = setup.start(&webhook(&receiver));
    running.feed.offer(setup.chain.commit(&[firing("kb0")]));
    receiver.wait_for(1);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!((setup.cursor(), refused()), (None, 0), "a kill would forget it");
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);
    assert_eq!(setup.cursor(), None, "nor does a stop");

    let running = setup.start(&webhook(&receiver));
    receiver.wait_for(2);
    setup.keeps_standing.store(true, Ordering::Release);
    eventually(|| setup.cursor());
    assert_eq!((setup.cursor(), refused()), (Some(1), 1));
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);
}

#[test]
fn what_stood_open_at_the_start_is_repeated_after_what_led_to_it() {
    let receiver = Receiver::start(Box::new(|_, stream| answer(stream, 200, "")));
    // The chain is read three commits at a time: across the start.
    let setup = Setup { started_at: 2, ..Setup::default() };
    let acknowledged = |alert| Alert { state: AlertState::Acknowledged, transition: 2, ..alert };
    for alert in [firing("kb1"), acknowledged(firing("kb1")), firing("kb2")] {
        setup.chain.commit(&[alert]);
    }
    let url = receiver.address;
    let running = setup.start(&format!(
        r#""type":"alertmanager","url":"http://{url}","allow_http":true,"allow_private":true"#
    ));
    let posted = eventually(|| {
        let bodies = receiver.received().into_iter().map(|one| one.body);
        let alerts = bodies.filter_map(|body| serde_json::from_slice::<Value>(&body).ok());
        let ids = alerts.filter_map(|alerts| {
            let annotations = &alerts.get(0)?["annotations"];
            Some(format!("{}.{}", annotations["id"].as_str()?, annotations["transition"].as_str()?))
        });
        Some(ids.collect::<Vec<_>>()).filter(|ids| ids.len() >= 3)
    });
    assert_eq!(posted[..2], ["rw-kb1.1", "rw-kb1.2"]);
    assert!(posted.contains(&"rw-kb2.1".to_owned()), "{posted:?}");
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);
}
