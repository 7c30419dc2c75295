//! kill -9 while alerts storm: none is lost, a repeated one has its id, the order is kept.
//!
//! ```text
//! commands ─► data folder ─► publisher in a process that is killed ─► chain ─► two receivers
//! ```
//! The alerts come of commands, so that the chain can be derived again without a broker. Clocks run
//! 60 times as fast, or each successor would wait a minute before it sends. Every second alert ends
//! a while after it began, and now and then one is acknowledged: an alert has up to three
//! transitions. A short form of 8 kills during 160 alerts; `cargo xtask soak storm` kills 200 times
//! during 2,000.

#![allow(clippy::expect_used, reason = "a test that cannot set up its world must fail")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::sync_channel;
use std::thread::sleep;
use std::time::{Duration, Instant};

use alerts::LinkRule;
use alerts::delivery::Committed;
use ringwatch::clock::{Clock, SystemClock};
use ringwatch::config::Config;
use ringwatch::deliveries::Deliveries;
use ringwatch::orders::Orders;
use ringwatch::publisher::{Publisher, PublisherParts};
use ringwatch::shutdown::Stop;
use ringwatch::view::SharedView;
use schemas::{Alert, AlertState, Order, Span, Stream, StreamKind, Timestamp};
use sim::Rng;
use store::served::{self, Served};
use store::{Blobs, Chain, Growth, LocalStore, TopicNames, World, WorldInput};
use xtask::fixture::Program;

#[path = "../alerts/tests/delivery_support/receiver.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod receiver;

use receiver::{Receiver, answer};

/// Where the process that is killed finds its configuration.
const FOLDER: &str = "STORM_FOLDER";

/// 60: the minute that a successor waits becomes a second.
const SPEED: u32 = 60;

/// An alert ends once so many have been raised after it.
const ENDS_AFTER: usize = 7;

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

struct FastClock(SystemClock);

impl Clock for FastClock {
    fn wall(&self) -> Option<Timestamp> {
        self.0.wall()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic() * SPEED
    }
}

fn config(folder: &Path) -> Config {
    let text = std::fs::read_to_string(folder.join("storm.toml")).expect("a configuration");
    let mut config = Config::parse(&text, std::iter::empty()).expect("a valid one");
    config.housekeeping = None;
    config.fold.hash_seed = [1, 2];
    config
}

fn open(folder: &Path) -> Arc<dyn Blobs> {
    Arc::new(LocalStore::open(folder.join("data")).expect("a data folder"))
}

/// The process that the storm kills; by itself it has nothing to do.
#[test]
fn process() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let (config, store) = (config(&folder), open(&folder));
    let clock: Arc<dyn Clock> = Arc::new(FastClock(SystemClock::start()));
    let streams = vec![Stream { kind: StreamKind::Telemetry, partition: 0 }];
    let publisher = Publisher::new(PublisherParts {
        deliveries: Deliveries::new(&config, &store, &clock).expect("destinations"),
        store,
        leads: Arc::new(AtomicBool::new(true)),
        clock,
        stop: Stop::default(),
        streams_begun: streams.clone(),
        streams,
        topics: TopicNames::default(),
        config: &config,
        writer: ringwatch::nonce::fresh(),
        view: SharedView::default(),
    });
    let (_sender, entries) = sync_channel(1);
    publisher.follow(&entries).expect("published");
}

struct Storm {
    folder: tempfile::TempDir,
    store: Arc<dyn Blobs>,
    orders: Orders,
    receivers: [Receiver; 2],
    given: usize,
}

impl Storm {
    fn begin() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // Slow enough that now and then a kill falls between the request and its answer.
        let healthy = Receiver::start(Box::new(|_, stream| {
            sleep(Duration::from_millis(20));
            answer(stream, 200, "");
        }));
        let rough = Receiver::start(Box::new(|number, stream| match number % 7 {
            2 => answer(stream, 500, ""),
            4 => answer(stream, 429, "retry-after: 1\r\n"),
            5 => {} // closed before the answer
            _ => answer(stream, 200, ""),
        }));
        let receivers = [healthy, rough];
        let destinations = ["healthy", "rough"].iter().zip(&receivers).map(|(name, receiver)| {
            let address = receiver.address;
            let url = format!("http://{address}/");
            format!("[[destination]]\nname = \"{name}\"\ntype = \"webhook\"\nurl = \"{url}\"\n")
        });
        let text = format!(
            "[store]\ndata = \"{}\"\npublish_interval = \"1m\"\n\
             checkpoint_interval = \"1m\"\n{}",
            folder.path().join("data").display(),
            destinations.collect::<String>()
        );
        std::fs::write(folder.path().join("storm.toml"), text).expect("written");
        let store = open(folder.path());
        let world = World {
            layout: store::world::LAYOUT,
            input: WorldInput::Kafka { cluster: "c".to_owned(), group: "g".to_owned() },
            topics: TopicNames::default(),
            partition_count: 1,
            partition_counts_other: Some([1, 1]),
            window_length: Span::seconds(60),
            hash_seed: [1, 2],
        };
        World::claim(&*store, world, Growth::Refused).expect("an empty folder");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let orders = Orders::new(&store, &clock);
        Self { folder, store, orders, receivers, given: 0 }
    }

    /// Gives commands of which as many alerts come.
    fn raise(&mut self, count: usize) {
        for _ in 0..count {
            let destination = format!("d{}", self.given);
            self.give(Order::DeliveryFailing { destination });
            self.given += 1;
        }
    }

    /// Raises alerts, ends every second of those that were raised some time ago, and acknowledges
    /// the one that was told last: how many end.
    fn raise_and_end(&mut self, count: usize) -> usize {
        let ends =
            self.given.saturating_sub(ENDS_AFTER)..(self.given + count).saturating_sub(ENDS_AFTER);
        self.raise(count);
        let ends: Vec<_> = ends.filter(|number| number % 2 == 0).collect();
        for number in &ends {
            self.give(Order::DeliveryWorks { destination: format!("d{number}") });
        }
        if let Some(alert) = self.told().last().and_then(|last| last.strip_suffix(".1")) {
            self.give(Order::Acknowledge { alert: alert.to_owned() });
        }
        ends.len()
    }

    fn give(&self, order: Order) {
        self.orders.give(order, "storm".to_owned(), None).expect("given");
    }

    fn start(&self) -> Child {
        let program = std::env::current_exe().expect("this test");
        let mut command = Command::new(program);
        command.args(["--exact", "process", "--nocapture"]);
        command.env(FOLDER, self.folder.path());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started")
    }

    /// Ids of transitions as the chain tells them.
    fn told(&self) -> Vec<String> {
        self.transitions()
            .iter()
            .map(|alert| format!("{}.{}", alert.id, alert.transition))
            .collect()
    }

    fn transitions(&self) -> Vec<Arc<Alert>> {
        let chain = Chain::open(Arc::clone(&self.store)).expect("a chain");
        let told = |commit| Committed::of(commit, &LinkRule::default());
        let commits = chain.read_all().expect("commits").into_iter().map(told);
        commits.flat_map(|commit| commit.alerts).collect()
    }

    /// Ids as a receiver has them, each where it came first.
    fn first_seen(receiver: &Receiver) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let ids = receiver.received().into_iter().map(|one| one.headers["webhook-id"].clone());
        ids.filter(|id| seen.insert(id.clone())).collect()
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the long form takes minutes, and is watched")]
fn no_alert_is_lost_and_their_order_is_kept_whenever_the_publisher_is_killed() {
    let full = std::env::var_os("FAULTS_FULL").is_some();
    let (kills, alerts) = if full { (200_usize, 2_000) } else { (8, 160) };
    let seed = std::env::var("FAULTS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(6);
    let (mut rng, mut storm) = (Rng::new(seed), Storm::begin());
    let mut ended = 0;
    for _ in 0..kills {
        let mut process = storm.start();
        ended += storm.raise_and_end(alerts / kills / 2);
        sleep(Duration::from_millis(u64::from(rng.below(2_000))));
        ended += storm.raise_and_end(alerts / kills - alerts / kills / 2);
        sleep(Duration::from_millis(u64::from(rng.below(1_000))));
        process.kill().expect("killed");
        process.wait().expect("gone");
    }
    let mut process = storm.start();
    let (mut progress, mut before) = (Instant::now(), [0; 2]);
    let told = loop {
        let states: Vec<_> = storm.transitions().iter().map(|alert| alert.state).collect();
        let count = |state| states.iter().filter(|one| **one == state).count();
        let all = [count(AlertState::Firing), count(AlertState::Resolved)] == [alerts, ended];
        let told = storm.told();
        let has_all = |receiver| Storm::first_seen(receiver).len() >= told.len();
        // How many were acknowledged before they ended is left to chance.
        if all && storm.receivers.iter().all(has_all) {
            break told;
        }
        let received = storm.receivers.each_ref().map(|receiver| Storm::first_seen(receiver).len());
        if received != before {
            (progress, before) = (Instant::now(), received);
        }
        let count = told.len();
        let stands = progress.elapsed() >= PATIENCE;
        assert!(!stands, "{count} are told of {alerts} + {ended}, received: {received:?}");
        sleep(Duration::from_millis(200));
    };
    process.kill().expect("killed");
    process.wait().expect("gone");
    assert_eq!(told.iter().collect::<BTreeSet<_>>().len(), told.len(), "each is told once");
    for receiver in &storm.receivers {
        assert_eq!(Storm::first_seen(receiver), told);
        let (all, once) = (receiver.received().len(), told.len());
        println!("{once} transitions, {} came again under their ids", all - once);
    }
    let data = storm.folder.path().join("data");
    let ringwatch = Program::new(env!("CARGO_BIN_EXE_ringwatch"));
    ringwatch.run(["verify".as_ref(), "--data".as_ref(), data.as_os_str()]).with_code(0);
}

fn wait_for(what: &str, holds: &dyn Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited for {what}");
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_damaged_command_is_left_out_and_what_a_removed_destination_said_comes_to_an_end() {
    let storm = Storm::begin();
    storm.orders.give(Order::Pause, "storm".to_owned(), None).expect("given");
    let first = storm.store.list("system/commands").expect("listed").remove(0);
    storm.store.replace(&first, b"{\"v\":1").expect("written");
    let failing = Order::DeliveryFailing { destination: "gone.1".to_owned() };
    storm.orders.give(failing, "destination:gone.1".to_owned(), None).expect("given");
    let served = Served { given_up: true, ..Served::default() };
    served::write(&*storm.store, "gone.1", &served).expect("written");
    let mut process = storm.start();
    wait_for("an alert and its end", &|| storm.told().len() == 2);
    process.kill().expect("killed");
    process.wait().expect("gone");
    let chain = Chain::open(Arc::clone(&storm.store)).expect("a chain");
    let commits = chain.read_all().expect("commits");
    let orders = commits.iter().flat_map(|commit| &commit.commands).map(|command| &command.order);
    let works = Order::DeliveryWorks { destination: "gone.1".to_owned() };
    let orders: Vec<_> = orders.collect();
    assert_eq!((orders[0], orders.last()), (&Order::Unreadable, Some(&&works)));
    let (first, last) = (&storm.told()[0], &storm.told()[1]);
    assert_eq!(first.replace(".1", ".2"), *last);
    assert!(!served::read(&*storm.store, "gone.1").expect("read").given_up);
}

/// What a verb prints about this folder.
fn ringwatch(storm: &Storm, arguments: &[&str], code: i32) -> String {
    let config = storm.folder.path().join("storm.toml");
    let config = ["--config".to_owned(), config.display().to_string()];
    let arguments = arguments.iter().map(|argument| (*argument).to_owned()).chain(config);
    Program::new(env!("CARGO_BIN_EXE_ringwatch")).run(arguments).with_code(code).stdout
}

#[test]
fn what_people_say_is_obeyed_told_and_shown() {
    let mut storm = Storm::begin();
    let mut process = storm.start();
    storm.raise(1);
    wait_for("an alert", &|| !storm.told().is_empty());
    let id = storm.told()[0].trim_end_matches(".1").to_owned();
    let author = ["--author", "ana", "--reason", "mine"];
    let verb = |storm: &Storm, words: &[&str]| ringwatch(storm, &[words, &author].concat(), 0);
    let given = verb(&storm, &["alerts", "ack", &id[..12]]);
    assert!(given.starts_with("command 1 is given (acknowledged)"), "{given}");
    let acknowledged = format!("{id}.2");
    let healthy = |id: &String| Storm::first_seen(&storm.receivers[0]).contains(id);
    wait_for("the acknowledgement", &|| healthy(&acknowledged));
    assert!(ringwatch(&storm, &["alerts", "list"], 3).contains("acknowledged"));
    let shown = ringwatch(&storm, &["alerts", "show", &id], 0);
    assert!(shown.contains("2  acknowledged") && shown.contains("by ana at"), "{shown}");
    assert!(shown.contains("escalate (warning), acknowledged since"), "{shown}");
    ringwatch(&storm, &["alerts", "silence", "--alert", "nobody", "--for", "1h"], 2);
    ringwatch(&storm, &["alerts", "silence", "--end", "silence-99"], 2);

    verb(&storm, &["alerts", "silence", "--change", "ringwatch", "--for", "1h"]);
    storm.raise(1);
    wait_for("a muted alert", &|| ringwatch(&storm, &["alerts", "list"], 3).contains("muted by"));
    assert!(ringwatch(&storm, &["alerts", "silence", "--list"], 0).contains("by ana: mine"));
    assert_eq!(storm.told().len(), 2, "nobody is told of it");
    verb(&storm, &["alerts", "silence", "--end", "silence-2"]);
    wait_for("the end of the silence", &|| storm.told().len() == 3);
    let last = storm.told()[2].clone();
    assert!(last.ends_with(".2"), "told for the first time, as its second transition: {last}");
    wait_for("the alert", &|| Storm::first_seen(&storm.receivers[1]).contains(&last));

    assert!(ringwatch(&storm, &["deliveries", "list"], 0).contains("healthy  fine"));
    verb(&storm, &["deliveries", "retry", "rough"]);
    verb(&storm, &["pause"]);
    verb(&storm, &["resume"]);
    ringwatch(&storm, &["alerts", "silence", "--for", "1h"], 2);
    let explained = ringwatch(&storm, &["alerts", "test", "--explain"], 0);
    assert_eq!(explained, "healthy  goes there\nrough  goes there\n");
    let sent = ringwatch(&storm, &["alerts", "test", "--destination", "healthy"], 0);
    assert_eq!(sent, "healthy  sent, and accepted\n");
    process.kill().expect("killed");
    process.wait().expect("gone");
}
