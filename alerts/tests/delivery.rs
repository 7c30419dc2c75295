//! Delivery to real sockets: what is sent, repeated, given up, and in which order.

#![allow(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use alerts::delivery::{Committed, Notice, Running, Stopped};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use schemas::{Alert, AlertState, ChangeType, Span};

#[path = "delivery_support/chain.rs"]
mod chain;
#[path = "../src/delivery/examples.rs"]
mod examples;
#[path = "delivery_support/receiver.rs"]
mod receiver;

use chain::Setup;
use examples::{firing, resolved};
use receiver::{Received, Receiver, Script, answer, eventually};

fn always(status: u16) -> Script {
    Box::new(move |_, stream| answer(stream, status, ""))
}

fn webhook(receiver: &Receiver) -> String {
    format!("\"type\":\"webhook\",\"url\":\"http://{}/hook\"", receiver.address)
}

fn changes(requests: &[Received]) -> Vec<String> {
    let alerts = requests.iter().map(|one| serde_json::from_slice::<Alert>(&one.body));
    alerts.map(|alert| alert.expect("an alert").change).collect()
}

fn names(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("kb{number}")).collect()
}

#[test]
fn a_signed_webhook_can_be_verified_by_its_receiver() {
    let receiver = Receiver::start(always(204));
    let setup = Setup::default();
    let path = std::env::temp_dir().join(format!("ringwatch-secret-{}", std::process::id()));
    std::fs::write(&path, "first-secret-of-24-bytes\nother-secret-of-24-bytes\n").expect("written");
    let keys = format!("{},\"secret_file\":{:?}", webhook(&receiver), path);
    let running = setup.start(&keys);
    running.feed.offer(setup.chain.commit(&[firing("kb0")]));
    let requests = receiver.wait_for(1);
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);
    std::fs::remove_file(path).expect("removed");

    let header = |name: &str| requests[0].headers.get(name).expect("there").clone();
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("webhook-id"), "rw-kb0.1");
    let mut signed = format!("{}.{}.", header("webhook-id"), header("webhook-timestamp"));
    signed.push_str(std::str::from_utf8(&requests[0].body).expect("text"));
    let signatures = ["first-secret-of-24-bytes", "other-secret-of-24-bytes"].map(|secret| {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
        mac.update(signed.as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    });
    assert_eq!(header("webhook-signature"), signatures.join(" "));
}

#[test]
fn what_fails_is_sent_again_with_the_same_id_and_then_the_next() {
    let receiver = Receiver::start(Box::new(|number, stream| match number {
        0 => answer(stream, 500, ""),
        1 => answer(stream, 408, ""),
        2 => {} // closed before the answer
        _ => answer(stream, 200, ""),
    }));
    let setup = Setup::default();
    let running = setup.start(&webhook(&receiver));
    running.feed.offer(setup.chain.commit(&[firing("kb0"), firing("kb1")]));
    let requests = receiver.wait_for(5);
    assert_eq!(changes(&requests), ["kb0", "kb0", "kb0", "kb0", "kb1"]);
    assert!(requests[..4].iter().all(|one| one.headers["webhook-id"] == "rw-kb0.1"));
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);
    assert_eq!(setup.cursor(), Some(1));
    assert_eq!(receiver.received().len(), 5);
}

#[test]
fn retry_after_is_honoured() {
    let receiver = Receiver::start(Box::new(|number, stream| match number {
        0 => answer(stream, 429, "retry-after: 1\r\n"),
        _ => answer(stream, 200, ""),
    }));
    let setup = Setup::default();
    let running = setup.start(&webhook(&receiver));
    running.feed.offer(setup.chain.commit(&[firing("kb0")]));
    let requests = receiver.wait_for(2);
    assert!(requests[1].at - requests[0].at >= Duration::from_millis(990));
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);
}

#[test]
fn a_refused_alert_is_given_up_and_the_cursor_passes_it() {
    let receiver = Receiver::start(Box::new(|number, stream| match number {
        0 => answer(stream, 400, ""),
        _ => answer(stream, 200, ""),
    }));
    let setup = Setup::default();
    let running = setup.start(&webhook(&receiver));
    running.feed.offer(setup.chain.commit(&[firing("kb0")]));
    running.feed.offer(setup.chain.commit(&[firing("kb1")]));
    assert_eq!(changes(&receiver.wait_for(2)), ["kb0", "kb1"]);
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);
    assert_eq!(setup.cursor(), Some(2));
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Receiver::start(always(200));
    let location = format!("location: http://{}/\r\n", elsewhere.address);
    let receiver = Receiver::start(Box::new(move |_, stream| answer(stream, 307, &location)));
    let setup = Setup::default();
    let running = setup.start(&webhook(&receiver));
    running.feed.offer(setup.chain.commit(&[firing("kb0"), firing("kb1")]));
    assert_eq!(changes(&receiver.wait_for(2)), ["kb0", "kb1"]);
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);
    assert!(elsewhere.received().is_empty());
}

#[test]
fn a_destination_that_was_dead_gets_everything_in_order_once_it_lives() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let setup = Setup::default();
    let running = setup.start(&format!("\"type\":\"webhook\",\"url\":\"http://{address}/\""));
    for change in names(0..20) {
        running.feed.offer(setup.chain.commit(&[firing(&change)]));
    }
    thread::sleep(Duration::from_millis(300));
    let listener = TcpListener::bind(address).expect("the same port");
    let receiver = Receiver::on(listener, always(200));
    assert_eq!(changes(&receiver.wait_for(20)), names(0..20));
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);
    assert_eq!(receiver.received().len(), 20);
}

#[test]
fn what_does_not_fit_the_queue_is_read_from_the_chain_and_nobody_waits() {
    let receiver = Receiver::start(Box::new(|number, stream| {
        thread::sleep(Duration::from_millis(5));
        answer(stream, if number % 7 == 3 { 503 } else { 200 }, "");
    }));
    let setup = Setup { queued_max: 2, ..Setup::default() };
    let running = setup.start(&webhook(&receiver));
    let start = Instant::now();
    for change in names(0..100) {
        running.feed.offer(setup.chain.commit(&[firing(&change)]));
    }
    assert!(start.elapsed() < Duration::from_millis(250), "offering took {:?}", start.elapsed());
    eventually(|| setup.cursor().filter(|cursor| *cursor == 100));
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);
    let mut all = changes(&receiver.received());
    assert!(all.len() > 100, "some were sent again");
    all.dedup();
    assert_eq!(all, names(0..100));
    let cursors = setup.cursors.lock().expect("not poisoned").clone();
    assert!(cursors.is_sorted_by(|one, next| one < next), "{cursors:?}");
}

#[test]
fn after_a_restart_it_goes_on_where_it_stood() {
    let receiver = Receiver::start(always(200));
    let setup = Setup::default();
    let running = setup.start(&webhook(&receiver));
    running.feed.offer(setup.chain.commit(&[firing("kb0")]));
    receiver.wait_for(1);
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);
    setup.chain.commit(&[firing("kb1")]);
    setup.chain.commit(&[]);
    setup.chain.commit(&[firing("kb2"), resolved("kb0")]);
    let running = setup.start(&webhook(&receiver));
    assert_eq!(changes(&receiver.wait_for(4)), ["kb0", "kb1", "kb2", "kb0"]);
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);
    assert_eq!((receiver.received().len(), setup.cursor()), (4, Some(4)));
}

#[test]
fn an_answer_without_end_and_one_that_never_comes_hold_nothing_up() {
    let receiver = Receiver::start(Box::new(|number, stream| match number {
        0 => thread::sleep(Duration::from_secs(30)),
        1 => {
            stream.write_all(b"HTTP/1.1 200 x\r\nconnection: close\r\n\r\n").ok();
            while stream.write_all(&[b'x'; 8_192]).is_ok() {}
        }
        _ => answer(stream, 200, ""),
    }));
    let setup = Setup::default();
    let keys = format!("{},\"request_timeout\":\"300ms\"", webhook(&receiver));
    let running = setup.start(&keys);
    running.feed.offer(setup.chain.commit(&[firing("kb0"), firing("kb1")]));
    assert_eq!(changes(&receiver.wait_for(3)), ["kb0", "kb0", "kb1"]);
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);
}

#[test]
fn a_stop_does_not_wait_for_a_receiver_that_hangs_and_nothing_is_lost() {
    let hanging = Receiver::start(Box::new(|_, _| thread::sleep(Duration::from_secs(30))));
    let setup = Setup::default();
    let running = setup.start(&webhook(&hanging));
    running.feed.offer(setup.chain.commit(&[firing("kb0")]));
    hanging.wait_for(1);
    let start = Instant::now();
    assert_eq!(Running::stop(vec![running]), Stopped::Abandoned);
    assert!(start.elapsed() < Duration::from_secs(6));
    assert_eq!(setup.cursor(), None);
    let receiver = Receiver::start(always(200));
    let running = setup.start(&webhook(&receiver));
    assert_eq!(changes(&receiver.wait_for(1)), ["kb0"]);
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);
}

#[test]
fn a_stop_brings_out_all_that_can_be_sent_before_its_end() {
    let receiver = Receiver::start(Box::new(|_, stream| {
        thread::sleep(Duration::from_millis(50));
        answer(stream, 200, "");
    }));
    let setup = Setup::default();
    // Of the chain, which is read three commits at a time, and of the queue.
    let names = ["kb0", "kb1", "kb2", "kb3", "kb4", "kb5", "kb6"];
    let commits = names.map(|name| setup.chain.commit(&[firing(name)]));
    assert_eq!(Running::stop(vec![setup.start(&webhook(&receiver))]), Stopped::Finished);
    assert_eq!(changes(&receiver.received()), names);
    setup.cursors.lock().expect("not poisoned").clear();
    let offered = Setup { chain: Setup::default().chain, ..setup };
    let running = offered.start(&webhook(&receiver));
    for commit in commits {
        running.feed.offer(commit);
    }
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);
    assert_eq!(changes(&receiver.received()[names.len()..]), names);
}

#[test]
fn a_stop_does_not_wait_for_what_cannot_be_sent_before_its_end() {
    let receiver =
        Receiver::start(Box::new(|_, stream| answer(stream, 503, "retry-after: 60\r\n")));
    let setup = Setup::default();
    let running = setup.start(&webhook(&receiver));
    running.feed.offer(setup.chain.commit(&[firing("kb0")]));
    receiver.wait_for(1);
    let begun = Instant::now();
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);
    assert!(begun.elapsed() < Duration::from_secs(1), "it took {:?}", begun.elapsed());
    assert_eq!(setup.cursor(), None, "the next start sends it");
}

#[test]
fn alertmanager_is_told_again_each_minute_also_after_a_restart() {
    let receiver = Receiver::start(always(200));
    let keys = format!("\"type\":\"alertmanager\",\"url\":\"http://{}\"", receiver.address);
    let setup = Setup { speed: 600, ..Setup::default() };
    let running = setup.start(&keys);
    running.feed.offer(setup.chain.commit(&[firing("kb0")]));
    let requests = receiver.wait_for(4);
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);
    let minute = Duration::from_millis(100);
    assert!(requests[3].at - requests[0].at >= minute * 3);
    let before = receiver.received().len();
    let running = setup.start(&keys);
    let requests = receiver.wait_for(before + 1);
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);
    for one in &requests {
        let posted: serde_json::Value = serde_json::from_slice(&one.body).expect("JSON");
        assert_eq!(posted[0]["labels"]["change"], "kb0");
        assert_eq!(posted[0]["annotations"]["action"], "roll back kb0");
    }
}

/// An answer of a gigabyte, of which the sender reads the beginning.
fn gigabyte(stream: &mut std::net::TcpStream) {
    let head = "HTTP/1.1 500 x\r\ncontent-length: 1073741824\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).ok();
    let block = vec![b'x'; 1 << 20];
    for _ in 0..1_024 {
        if stream.write_all(&block).is_err() {
            break;
        }
    }
}

/// What can be wrong with a receiver before it is right again.
fn faults() -> Vec<(&'static str, Script)> {
    let in_two_seconds = "date: Wed, 21 Oct 2026 07:28:00 GMT\r\n\
                          retry-after: Wed, 21 Oct 2026 07:28:02 GMT\r\n";
    let hang = || thread::sleep(Duration::from_secs(30));
    vec![
        (
            "500 nine times",
            Box::new(|number, stream| {
                answer(stream, if number < 9 { 500 } else { 200 }, "");
            }),
        ),
        (
            "429 in seconds",
            Box::new(|number, stream| match number {
                3 => answer(stream, 429, "retry-after: 2\r\n"),
                _ => answer(stream, 200, ""),
            }),
        ),
        (
            "429 with a date",
            Box::new(move |number, stream| match number {
                3 => answer(stream, 429, in_two_seconds),
                _ => answer(stream, 200, ""),
            }),
        ),
        (
            "hangs",
            Box::new(move |number, stream| match number {
                2 => hang(),
                _ => answer(stream, 200, ""),
            }),
        ),
        (
            "a gigabyte",
            Box::new(|number, stream| match number {
                1 => gigabyte(stream),
                _ => answer(stream, 200, ""),
            }),
        ),
        (
            "closed before the answer",
            Box::new(|number, stream| {
                if number % 4 != 1 {
                    answer(stream, 200, "");
                }
            }),
        ),
    ]
}

/// Each destination has a loop of its own: what one receiver does is nothing to the others.
#[test]
fn whatever_receivers_do_each_gets_what_it_should_in_order_and_the_healthy_at_once() {
    let healthy = Receiver::start(always(200));
    let setup = Setup::default();
    let feed = setup.start(&webhook(&healthy));
    let memory_mib = memory_mib_max();
    let rough: Vec<_> = faults()
        .into_iter()
        .map(|(name, script)| {
            let receiver = Receiver::start(script);
            let keys = format!("{},\"request_timeout\":\"1s\"", webhook(&receiver));
            let setup = Setup { chain: setup.chain.clone(), ..Setup::default() };
            let running = setup.start(&keys);
            (name, receiver, setup, running)
        })
        .collect();
    let begun = Instant::now();
    for change in names(0..20) {
        let commit = setup.chain.commit(&[firing(&change)]);
        feed.feed.offer(commit.clone());
        for (_, _, _, running) in &rough {
            running.feed.offer(commit.clone());
        }
    }
    assert_eq!(changes(&healthy.wait_for(20)), names(0..20));
    assert!(begun.elapsed() < Duration::from_secs(1), "it took {:?}", begun.elapsed());
    assert_eq!(Running::stop(vec![feed]), Stopped::Finished);
    for (name, receiver, setup, running) in rough {
        eventually(|| setup.cursor().filter(|cursor| *cursor == 20));
        assert_eq!(Running::stop(vec![running]), Stopped::Finished, "{name}");
        let requests = receiver.received();
        let mut all = changes(&requests);
        assert!(all.len() > 20, "{name}: something was sent again");
        all.dedup();
        assert_eq!(all, names(0..20), "{name}");
        let ids = requests.iter().map(|one| one.headers["webhook-id"].clone());
        let expected = changes(&requests).into_iter().map(|change| format!("rw-{change}.1"));
        assert!(ids.eq(expected), "{name}: every repeat has its id");
        if name.starts_with("429") {
            let waited = requests[4].at - requests[3].at;
            assert!(waited >= Duration::from_millis(1_990), "{name}: waited {waited:?}");
        }
    }
    let grown = memory_mib_max() - memory_mib;
    assert!(grown < 64, "a gigabyte was answered, and {grown} MiB were taken for it");
}

/// The most that this process has had in memory.
fn memory_mib_max() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1_024
}

#[test]
fn a_redirect_to_where_secrets_are_is_refused_kept_and_told_again_when_asked() {
    let location = "location: http://169.254.169.254/latest/meta-data/\r\n";
    let receiver = Receiver::start(Box::new(move |number, stream| match number {
        0 => answer(stream, 301, location),
        _ => answer(stream, 200, ""),
    }));
    let setup = Setup::default();
    let running = setup.start(&webhook(&receiver));
    running.feed.offer(setup.chain.commit(&[firing("kb0"), firing("kb1")]));
    receiver.wait_for(2);
    eventually(|| setup.cursor());
    let refused = setup.standing.lock().expect("not poisoned").refused.clone();
    assert_eq!((refused.len(), &*refused[0].alert), (1, "rw-kb0"));
    assert!(refused[0].reason.starts_with("status 301"), "{}", refused[0].reason);
    let mut commit = setup.chain.commit(&[]);
    commit.retries = vec!["test".to_owned()];
    running.feed.offer(commit);
    assert_eq!(changes(&receiver.wait_for(3)), ["kb0", "kb1", "kb0"]);
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);
    assert_eq!(setup.standing.lock().expect("not poisoned").refused.len(), 0);
}

#[test]
fn what_was_refused_is_told_again_in_its_order_and_not_before_what_waits() {
    let lives = Arc::new(AtomicBool::new(false));
    let down = Arc::clone(&lives);
    let receiver = Receiver::start(Box::new(move |number, stream| {
        let busy = if down.load(Ordering::Acquire) { 200 } else { 503 };
        answer(stream, if number < 3 { 400 } else { busy }, "");
    }));
    let setup = Setup::default();
    let running = setup.start(&webhook(&receiver));
    let later = |state, transition| Alert { state, transition, ..firing("goes-on") };
    let alerts = ["goes-on", "ends", "stays", "waits"].map(firing);
    let alerts = [&alerts[..], &[resolved("ends")]].concat();
    running.feed.offer(setup.chain.commit(&alerts));
    receiver.wait_for(4);
    // It is busy, so that these are not accepted yet, though they stand in the chain.
    for alert in [later(AlertState::Acknowledged, 2), later(AlertState::Resolved, 3)] {
        running.feed.offer(setup.chain.commit(&[alert]));
    }
    let retries = vec!["test".to_owned()];
    running.feed.offer(setup.chain.push(Committed { retries, ..Committed::default() }));
    eventually(|| {
        let again = |one: &Received| one.headers["webhook-id"] == "rw-stays.1";
        receiver.received().iter().skip(3).any(again).then_some(())
    });
    lives.store(true, Ordering::Release);
    eventually(|| setup.cursor().filter(|cursor| *cursor >= 3));
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);
    let ids = receiver.received().into_iter().map(|one| one.headers["webhook-id"].clone());
    let mut ids: Vec<String> = ids.collect();
    ids.dedup();
    let refused = ["rw-goes-on.1", "rw-ends.1", "rw-stays.1", "rw-waits.1"];
    let rest = ["rw-stays.1", "rw-waits.1", "rw-ends.2", "rw-goes-on.2", "rw-goes-on.3"];
    assert_eq!(ids, [&refused[..], &rest[..]].concat());
    assert_eq!(setup.standing.lock().expect("not poisoned").refused.len(), 0);
}

#[test]
fn an_action_is_asked_for_with_a_key_and_an_end_and_its_answer_acknowledges() {
    let receiver = Receiver::start(Box::new(|number, stream| {
        answer(stream, if number == 0 { 503 } else { 200 }, "");
    }));
    let setup = Setup::default();
    let running = setup.start(&format!("{},\"acts\":true", webhook(&receiver)));
    let now = chain::wall();
    let rollback = Alert { updated_at: now, ..firing("kb0") };
    let security = Alert { change_type: ChangeType::Security, ..rollback.clone() };
    let stale = Alert { updated_at: now - Span::minutes(11), ..firing("kb2") };
    running.feed.offer(setup.chain.commit(&[security, rollback, stale]));
    eventually(|| setup.cursor());
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);
    let requests = receiver.received();
    assert_eq!(changes(&requests), ["kb0", "kb0"]);
    for request in &requests {
        assert_eq!(request.headers["idempotency-key"], "rw-kb0");
        let before = (now + Span::minutes(10)).to_string();
        assert_eq!(request.headers["ringwatch-act-before"], before);
    }
    let notices = setup.notices.lock().expect("not poisoned").clone();
    let reason = "it came too late to be sent".to_owned();
    let late = Notice::NotActed { alert: "rw-kb2".to_owned(), reason };
    assert_eq!(notices, [Notice::Acted { alert: "rw-kb0".to_owned() }, late]);
}
