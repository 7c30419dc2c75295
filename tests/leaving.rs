//! A member that is told to go ends at once, whatever the group has just decided of it and whether
//! that was answered.

#![expect(clippy::expect_used, reason = "a test that cannot set its scene fails")]

use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use ingest::{KafkaConfig, KafkaSource, Source, SourceEvent, Start, Topics};
use xtask::kafka::Broker;

const TIMEOUT: Duration = Duration::from_secs(20);

const PARTITIONS: i32 = 8;

/// A member joins within ten milliseconds or so; somewhere in it is the moment in which it has been
/// asked and has not looked, and a second question comes with its end. Not every run hits it.
const MOMENTS: u64 = 240;
const MOMENT: Duration = Duration::from_micros(50);

/// How long the group waits for a silent member.
const SESSION: Duration = Duration::from_secs(6);

/// Long enough to join, and to hear of whatever happened to the group.
const HEARTBEATS: Duration = Duration::from_secs(5);

/// Nothing is to be waited for: this is for a machine that is busy.
const LEFT_WITHIN: Duration = Duration::from_secs(10);

fn broker() -> Broker {
    let broker = Broker::start().expect("a broker");
    broker.create_topics(PARTITIONS).expect("the topics");
    broker
}

fn join(broker: &Broker, instance: &str) -> KafkaSource {
    let [telemetry, changes, support] = ["telemetry", "changes", "support"].map(str::to_owned);
    let config = KafkaConfig {
        brokers: broker.bootstrap().to_owned(),
        group: "leaving".to_owned(),
        topics: Topics { telemetry, changes, support, rejected: None },
        properties: [
            ("group.instance.id", instance.to_owned()),
            ("session.timeout.ms", SESSION.as_millis().to_string()),
            ("max.poll.interval.ms", SESSION.as_millis().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into(),
        prefetch_bytes_max: 1 << 20,
    };
    KafkaSource::connect(config, TIMEOUT).expect("connected")
}

/// What the group says next.
fn told(source: &mut KafkaSource) -> SourceEvent {
    let deadline = Instant::now() + TIMEOUT;
    while Instant::now() < deadline {
        match source.next().expect("up") {
            Some(
                event @ (SourceEvent::Assigned(_) | SourceEvent::Revoked(_) | SourceEvent::Lost(_)),
            ) => {
                return event;
            }
            _ => thread::sleep(Duration::from_millis(5)),
        }
    }
    panic!("the group said nothing")
}

/// Leaves, in time.
fn leave(source: KafkaSource) {
    let (left, gone) = channel();
    thread::spawn(move || {
        drop(source);
        left.send(()).expect("somebody waits");
    });
    assert_eq!(gone.recv_timeout(LEFT_WITHIN), Ok(()), "it did not leave");
}

#[test]
fn whoever_is_about_to_join_is_held_by_nothing() {
    let broker = broker();
    for moment in 0..MOMENTS {
        let source = join(&broker, "one");
        thread::sleep(MOMENT * moment as u32);
        leave(source);
    }
}

#[test]
fn an_assignment_that_was_not_taken_up_holds_nobody() {
    let broker = broker();
    let mut source = join(&broker, "one");
    let event = told(&mut source);
    assert!(matches!(&event, SourceEvent::Assigned(streams) if streams.len() == 10), "{event:?}");
    leave(source);
}

/// Joins, and takes up whatever it is given.
fn owner(broker: &Broker, instance: &str) -> KafkaSource {
    let mut source = join(broker, instance);
    let SourceEvent::Assigned(streams) = told(&mut source) else { panic!("not assigned") };
    let starts: Vec<_> = streams.into_iter().map(|stream| (stream, Start::Earliest)).collect();
    source.start(&starts).expect("assigned");
    source
}

#[test]
fn partitions_that_were_asked_back_and_not_given_hold_nobody() {
    let broker = broker();
    let mut source = owner(&broker, "one");
    let second = join(&broker, "two");
    let event = told(&mut source);
    assert!(matches!(&event, SourceEvent::Revoked(streams) if streams.len() == 5), "{event:?}");
    leave(source);
    leave(second);
}

#[test]
fn partitions_that_were_lost_and_not_given_up_hold_nobody() {
    let broker = broker();
    let mut source = owner(&broker, "one");
    // Nobody looks for longer than the group waits.
    thread::sleep(SESSION + Duration::from_secs(2));
    let event = told(&mut source);
    assert!(matches!(&event, SourceEvent::Lost(streams) if streams.len() == 10), "{event:?}");
    leave(source);
}

#[test]
fn one_whose_place_another_took_while_it_was_asked_is_held_by_nothing() {
    let broker = broker();
    let first = join(&broker, "one");
    // It is asked to take everything up.
    thread::sleep(HEARTBEATS);
    let second = join(&broker, "one");
    // It hears that it is fenced.
    thread::sleep(HEARTBEATS);
    leave(first);
    leave(second);
}
