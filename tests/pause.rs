//! Who may act, and when: a pause given while nothing runs, and what outlasts a stop.
//!
//! ```text
//! simulate ─► replay ─► chain with a rollback ─► publisher of this process ─► two receivers
//!                       ringwatch pause, resume ──────────┘                   acting, people
//! ```
//! The rollback stands at the end of the chain, so that no broker is needed. The clock is that of
//! the test: the rollback is a minute old at the start, and a minute of waiting is a word.

#![allow(clippy::expect_used, reason = "a test that cannot set up its world must fail")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ingest::NdjsonSource;
use ringwatch::clock::{Clock, SystemClock};
use ringwatch::config::Config;
use ringwatch::deliveries::Deliveries;
use ringwatch::orders::Orders;
use ringwatch::publisher::{Publisher, PublisherParts};
use ringwatch::shutdown::Stop;
use ringwatch::view::SharedView;
use schemas::{Commit, Decision, Order, Span, Stream, Timestamp};
use store::served::{self, Served};
use store::{Blobs, Chain, LocalStore, TopicNames, cursor};
use xtask::fixture::Program;

#[path = "../alerts/tests/delivery_support/receiver.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod receiver;

use receiver::{Receiver, answer};

/// How long a successor waits, and a little more.
const A_MINUTE: Duration = Duration::from_secs(61);

/// A status that is never sent: the receiver holds the request open instead.
const HANGS: u16 = 0;

struct TestClock {
    system: SystemClock,
    ahead_ms: AtomicU64,
    start: Timestamp,
}

impl TestClock {
    fn advance(&self, time: Duration) {
        self.ahead_ms.fetch_add(time.as_millis() as u64, Ordering::AcqRel);
    }
}

impl Clock for TestClock {
    fn wall(&self) -> Option<Timestamp> {
        Some(self.start + Span(self.monotonic().as_micros() as i64))
    }

    fn monotonic(&self) -> Duration {
        self.system.monotonic() + Duration::from_millis(self.ahead_ms.load(Ordering::Acquire))
    }
}

/// A folder whose chain ends with a rollback that fires, and who is to hear of it.
struct World {
    folder: tempfile::TempDir,
    store: Arc<dyn Blobs>,
    config: Config,
    clock: Arc<TestClock>,
    streams: Vec<Stream>,
    leads: Arc<AtomicBool>,
    stop: Stop,
    /// What both receivers answer.
    status: Arc<AtomicU16>,
    acting: Receiver,
    people: Receiver,
}

fn ringwatch(arguments: &[&str], code: i32) {
    Program::new(env!("CARGO_BIN_EXE_ringwatch")).run(arguments).with_code(code);
}

fn receiver(status: &Arc<AtomicU16>) -> Receiver {
    let status = Arc::clone(status);
    Receiver::start(Box::new(move |_, stream| match status.load(Ordering::Acquire) {
        HANGS => sleep(Duration::from_secs(20)),
        status => answer(stream, status, ""),
    }))
}

impl World {
    fn begin(status: u16) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [input, data] = ["input", "data"].map(|name| folder.path().join(name));
        let [from, to] = [&input, &data].map(|path| path.to_str().expect("UTF-8"));
        ringwatch(&["simulate", "--scenario", "os-crash-10x", "--seed", "1", "--out", from], 0);
        ringwatch(&["replay", "--input", from, "--data", to], 3);
        let store: Arc<dyn Blobs> = Arc::new(LocalStore::open(data).expect("a data folder"));
        let status = Arc::new(AtomicU16::new(status));
        let [acting, people] = [receiver(&status), receiver(&status)];
        let destination = |name: &str, receiver: &Receiver| {
            // What stood in the chain before a destination was new is not told.
            cursor::write(&*store, name, 0).expect("written");
            let url = format!("http://{}/", receiver.address);
            let times = "request_timeout = \"20s\"";
            format!(
                "[[destination]]\nname = \"{name}\"\ntype = \"webhook\"\nurl = \"{url}\"\n{times}\n"
            )
        };
        let text = format!(
            "{}{}acts = true\n",
            destination("people", &people),
            destination("acting", &acting)
        );
        let mut config = Config::parse(&text, std::iter::empty()).expect("a valid one");
        config.housekeeping = None;
        let commits = commits(&store);
        let mut told = commits.iter().flat_map(|commit| &commit.alerts);
        let rollback = told.find(|alert| alert.decision == Decision::Rollback);
        let start = rollback.expect("a rollback").updated_at + Span::minutes(1);
        let (system, ahead_ms) = (SystemClock::start(), AtomicU64::new(0));
        Self {
            folder,
            store,
            config,
            clock: Arc::new(TestClock { system, ahead_ms, start }),
            streams: NdjsonSource::open(&input).expect("the records").streams(),
            leads: Arc::new(AtomicBool::new(true)),
            stop: Stop::default(),
            status,
            acting,
            people,
        }
    }

    fn start(&self) -> Publisher {
        let clock: Arc<dyn Clock> = self.clock.clone();
        Publisher::new(PublisherParts {
            deliveries: Deliveries::new(&self.config, &self.store, &clock).expect("destinations"),
            store: Arc::clone(&self.store),
            leads: Arc::clone(&self.leads),
            clock,
            stop: self.stop.clone(),
            streams: self.streams.clone(),
            streams_begun: self.streams.clone(),
            topics: TopicNames::default(),
            config: &self.config,
            writer: ringwatch::nonce::fresh(),
            view: SharedView::default(),
        })
    }

    /// Starts one that has waited for whoever was before it.
    fn start_and_wait(&self) -> Publisher {
        let mut publisher = self.start();
        publisher.take(None).expect("published");
        self.clock.advance(A_MINUTE);
        publisher
    }

    /// What people do at the command line.
    fn command(&self, verb: &str) {
        let data: PathBuf = self.folder.path().join("data");
        let data = data.to_str().expect("UTF-8");
        ringwatch(&[verb, "--data", data, "--author", "ana", "--reason", "mine"], 0);
    }

    fn answer(&self, status: u16) {
        self.status.store(status, Ordering::Release);
    }

    fn last(&self) -> Commit {
        commits(&self.store).pop().expect("a commit")
    }

    fn received(&self) -> usize {
        self.acting.received().len() + self.people.received().len()
    }

    /// Both receivers are sent something by a publisher that is killed, and have not answered.
    fn is_left_hanging(&self) {
        let mut killed = self.start_and_wait();
        let both = || !self.acting.received().is_empty() && !self.people.received().is_empty();
        assert!(publish(&mut killed, &both), "two requests hang");
        std::mem::forget(killed);
        self.answer(200);
    }
}

fn commits(store: &Arc<dyn Blobs>) -> Vec<Commit> {
    Chain::open(Arc::clone(store)).expect("a chain").read_all().expect("commits")
}

/// Lets it publish until something holds, or for a second after its first step, which may recover.
fn publish(publisher: &mut Publisher, holds: &dyn Fn() -> bool) -> bool {
    publisher.take(None).expect("published");
    let begun = Instant::now();
    while !holds() && begun.elapsed() < Duration::from_secs(1) {
        publisher.take(None).expect("published");
        sleep(Duration::from_millis(10));
    }
    holds()
}

#[test]
fn what_acts_is_asked_nothing_after_a_pause_that_was_given_while_nothing_ran() {
    let world = World::begin(503);
    let mut publisher = world.start_and_wait();
    assert!(publish(&mut publisher, &|| !world.acting.received().is_empty()), "it is asked");
    publisher.finish().expect("finished");
    assert!(world.last().released, "a destination that refuses holds up no successor");

    // More than are obeyed at once come before it.
    let clock: Arc<dyn Clock> = world.clock.clone();
    let orders = Orders::new(&world.store, &clock);
    for _ in 0..100 {
        let order = Order::Retry { destination: "nobody".to_owned() };
        orders.give(order, "ana".to_owned(), None).expect("given");
    }
    world.command("pause");
    world.answer(200);
    let (asked, told) = (world.acting.received().len(), world.people.received().len());
    let mut publisher = world.start();
    assert!(publish(&mut publisher, &|| world.people.received().len() > told), "people are told");
    assert!(!publish(&mut publisher, &|| world.acting.received().len() > asked), "it is paused");

    world.command("resume");
    // Until the next look for commands.
    world.clock.advance(Duration::from_secs(5));
    assert!(publish(&mut publisher, &|| world.acting.received().len() > asked), "it may act");
    let received = world.acting.received();
    let keys = received.iter().map(|request| &request.headers["idempotency-key"]);
    assert!(keys.clone().all(|key| key == &received[0].headers["idempotency-key"]));
    publisher.finish().expect("finished");
    assert_eq!(world.acting.received().len(), asked + 1, "once");
}

#[test]
fn after_a_stop_that_requests_outlast_nobody_sends_for_a_minute() {
    let world = World::begin(HANGS);
    let mut publisher = world.start_and_wait();
    let both = || !world.acting.received().is_empty() && !world.people.received().is_empty();
    assert!(publish(&mut publisher, &both), "two requests hang");
    world.answer(200);
    let begun = Instant::now();
    world.leads.store(false, Ordering::Release);
    publisher.take(None).expect("stood by");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(9), "{took:?}: they are waited for together");
    assert!(!world.last().released, "a successor waits");

    let (before, mut successor) = (world.received(), world.start());
    world.leads.store(true, Ordering::Release);
    assert!(!publish(&mut publisher, &|| world.received() > before), "nor does it send itself");
    drop(publisher);
    assert!(!publish(&mut successor, &|| world.received() > before), "nobody sends beside them");
    world.clock.advance(A_MINUTE);
    assert!(publish(&mut successor, &|| world.acting.received().len() == 2), "then it is asked");
    successor.finish().expect("finished");
    assert!(world.last().released);
}

#[test]
fn whoever_leaves_while_it_waits_for_another_lets_its_successor_wait_too() {
    let world = World::begin(HANGS);
    world.is_left_hanging();
    let before = world.received();
    let mut waiting = world.start();
    waiting.take(None).expect("published");
    world.leads.store(false, Ordering::Release);
    waiting.take(None).expect("stood by");
    assert!(!world.last().released, "the first may be sending");
    world.leads.store(true, Ordering::Release);
    world.stop.ask();
    world.start().finish().expect("finished");
    assert!(!world.last().released, "nor does one say so that ends at once");
    assert_eq!(world.received(), before, "neither sends anything");
}

#[test]
fn a_run_that_is_at_its_end_sends_once_it_has_waited_for_whoever_was_killed() {
    let world = World::begin(HANGS);
    world.is_left_hanging();
    let (before, mut batch) = (world.received(), world.start());
    batch.take(None).expect("published");
    std::thread::scope(|scope| {
        let batch = scope.spawn(|| batch.finish());
        sleep(Duration::from_secs(1));
        assert_eq!(world.received(), before, "the other may be sending");
        world.clock.advance(A_MINUTE);
        batch.join().expect("no panic").expect("finished");
    });
    assert_eq!(world.acting.received().len(), 2, "once more");
    assert!(world.last().released);
}

#[test]
fn a_pause_that_was_given_late_in_the_minute_holds_before_anything_is_sent() {
    let mut world = World::begin(200);
    world.config.publish.poll_interval = Some(Duration::from_secs(30));
    let mut publisher = world.start();
    publisher.take(None).expect("published");
    // The last look for commands before the minute is over.
    world.clock.advance(Duration::from_secs(45));
    publisher.take(None).expect("published");
    world.command("pause");
    assert_eq!(world.received(), 0, "the minute is not over");
    world.clock.advance(Duration::from_secs(16));
    let told = || !world.people.received().is_empty();
    assert!(publish(&mut publisher, &told), "people are told");
    assert!(!publish(&mut publisher, &|| !world.acting.received().is_empty()), "it is paused");
}

#[test]
fn a_destination_whose_cursor_cannot_be_read_keeps_nobody_else_from_sending() {
    let world = World::begin(503);
    // Of the first of both; no file can be read where a folder is.
    let cursor = world.folder.path().join("data/system/cursors/people");
    std::fs::remove_file(&cursor).expect("removed");
    std::fs::create_dir(&cursor).expect("made");
    let mut publisher = world.start_and_wait();
    assert!(publish(&mut publisher, &|| !world.acting.received().is_empty()), "it is asked");
    // Longer than anything is sent after a commit.
    world.clock.advance(Duration::from_secs(40));
    publisher.take(None).expect("published");
    let asked = world.acting.received().len();
    world.clock.advance(Duration::from_secs(40));
    assert!(publish(&mut publisher, &|| world.acting.received().len() > asked), "and again");
    assert!(world.people.received().is_empty());

    std::fs::remove_dir(&cursor).expect("removed");
    cursor::write(&*world.store, "people", 0).expect("written");
    world.clock.advance(Duration::from_secs(5));
    let told = || !world.people.received().is_empty();
    assert!(publish(&mut publisher, &told), "it is tried again");
}

#[test]
fn the_failure_of_a_destination_ends_with_it_also_where_none_is_left() {
    let mut world = World::begin(200);
    world.config.destinations.clear();
    let served = Served { given_up: true, ..Served::default() };
    served::write(&*world.store, "gone", &served).expect("written");
    let key = world.store.list("system/served").expect("listed").remove(0);
    let standing = world.store.get(&key).expect("read").expect("it is there");
    world.store.replace(&key, b"{").expect("written");
    let mut publisher = world.start_and_wait();
    publisher.take(None).expect("published");

    world.store.replace(&key, &standing).expect("written");
    world.clock.advance(A_MINUTE);
    let is_over = || !served::read(&*world.store, "gone").expect("read").given_up;
    assert!(publish(&mut publisher, &is_over), "it is looked for again");
    publisher.finish().expect("finished");
    world.start().finish().expect("finished");
    let works = Order::DeliveryWorks { destination: "gone".to_owned() };
    let commits = commits(&world.store);
    let obeyed = commits.iter().flat_map(|commit| &commit.commands);
    assert_eq!(obeyed.filter(|command| command.order == works).count(), 1);
}
