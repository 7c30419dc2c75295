//! Alerts as records of a topic at a real broker: in order, by key, as JSON and as CloudEvents.

#![expect(clippy::expect_used, reason = "a test that cannot set up its world must fail")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use alerts::delivery::{Destination, DestinationConfig, Outcome, UreqClient};
use alerts::no_evidence;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Headers as _;
use rdkafka::{ClientConfig, Message as _};
use schemas::alert::{Action, Links, Owner};
use schemas::{Alert, AlertState, ChangeType, Decision, SCHEMA_VERSION, Severity, Timestamp};
use serde_json::json;
use xtask::kafka::Broker;

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

const TOPIC: &str = "ringwatch-alerts";

fn alert(name: &str, transition: u32) -> Alert {
    let at = Timestamp(1_784_433_600_000_000);
    Alert {
        v: SCHEMA_VERSION,
        id: format!("rw-{name}"),
        fingerprint: format!("fingerprint-{name}"),
        state: AlertState::Firing,
        decision: Decision::Rollback,
        escalation: None,
        severity: Severity::Critical,
        change: name.to_owned(),
        change_type: ChangeType::Quality,
        unregistered: false,
        ring: "first".to_owned(),
        signal: "os_crash".to_owned(),
        transition,
        starts_at: at,
        updated_at: at,
        ends_at: None,
        summary: format!("{name} makes os_crash 6.1x as likely in ring first"),
        evidence: no_evidence(),
        cohort: None,
        action: Action { what: "roll back".to_owned(), owner: Owner::Service, notice: None },
        links: Links::default(),
    }
}

fn destination(brokers: &str, more: &serde_json::Value) -> Destination {
    let mut keys = json!({"name": "bus", "type": "kafka", "brokers": brokers, "topic": TOPIC});
    let more = more.as_object().expect("keys").clone();
    keys.as_object_mut().expect("keys").extend(more);
    let config: DestinationConfig = serde_json::from_value(keys).expect("keys");
    config.open().expect("a usable destination")
}

fn send(destination: &Destination, alert: &Alert) -> Outcome {
    destination.send_once(&UreqClient::new(destination), alert, Timestamp(0))
}

struct Taken {
    partition: i32,
    key: String,
    headers: BTreeMap<String, String>,
    alert: Alert,
}

fn records(broker: &Broker, count: usize) -> Vec<Taken> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .set("group.id", "look")
        .set("auto.offset.reset", "earliest")
        .create()
        .expect("a consumer");
    consumer.subscribe(&[TOPIC]).expect("subscribed");
    let (began, mut taken) = (Instant::now(), Vec::new());
    while taken.len() < count {
        assert!(began.elapsed() < PATIENCE, "{} of {count} records", taken.len());
        let Some(record) = consumer.poll(Duration::from_millis(100)) else { continue };
        let record = record.expect("a record");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        let headers = record.headers().expect("headers").iter();
        taken.push(Taken {
            partition: record.partition(),
            key: text(record.key().expect("a key")),
            headers: headers
                .map(|one| (one.key.to_owned(), text(one.value.expect("a value"))))
                .collect(),
            alert: serde_json::from_slice(record.payload().expect("a value")).expect("an alert"),
        });
    }
    taken
}

#[test]
fn alerts_come_in_order_with_their_ids_and_what_is_too_large_is_refused() {
    let broker = Broker::start().expect("a broker");
    broker.create_topic(TOPIC, 3, &[]).expect("a topic");
    let bus = destination(broker.bootstrap(), &json!({}));
    bus.reach().expect("somebody listens");
    for transition in 1..=3 {
        for name in ["kb1", "kb2"] {
            assert_eq!(send(&bus, &alert(name, transition)), Outcome::Accepted);
        }
    }
    let events = destination(broker.bootstrap(), &json!({"format": "cloudevents"}));
    assert_eq!(send(&events, &alert("kb1", 4)), Outcome::Accepted);
    let small = json!({"properties": {"message.max.bytes": "1000"}});
    let outcome = send(&destination(broker.bootstrap(), &small), &alert(&"x".repeat(2_000), 1));
    assert!(matches!(outcome, Outcome::Refused { .. }), "{outcome:?}");

    let taken = records(&broker, 7);
    for name in ["kb1", "kb2"] {
        let key = format!("fingerprint-{name}");
        let of: Vec<&Taken> = taken.iter().filter(|one| one.key == key).collect();
        let transitions: Vec<u32> = of.iter().map(|one| one.alert.transition).collect();
        let expected: &[u32] = if name == "kb1" { &[1, 2, 3, 4] } else { &[1, 2, 3] };
        assert_eq!(transitions, expected);
        assert!(of.iter().all(|one| one.partition == of[0].partition), "one partition");
        assert_eq!(of[0].alert, alert(name, 1));
        assert_eq!(of[0].headers["ringwatch-id"], format!("rw-{name}.1"));
    }
    let event = taken.iter().find(|one| one.alert.transition == 4).expect("the event");
    assert_eq!(event.headers["ce_id"], "rw-kb1.4");
    assert_eq!(event.headers["ce_specversion"], "1.0");
    assert_eq!(event.headers["content-type"], "application/json");
}

#[test]
fn brokers_that_are_not_there_hold_nobody_up_and_get_the_same_id_later() {
    let began = Instant::now();
    let nobody = destination("127.0.0.1:1", &json!({"request_timeout": "2s"}));
    assert!(nobody.reach().is_err());
    let outcome = send(&nobody, &alert("kb1", 1));
    assert!(matches!(outcome, Outcome::Busy { .. }), "{outcome:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());

    let mut broker = Broker::start().expect("a broker");
    broker.create_topic(TOPIC, 1, &[]).expect("a topic");
    let bus = destination(broker.bootstrap(), &json!({"request_timeout": "2s"}));
    assert_eq!(send(&bus, &alert("kb1", 1)), Outcome::Accepted);
    broker.stop();
    let outcome = send(&bus, &alert("kb1", 2));
    assert!(matches!(outcome, Outcome::Busy { .. }), "{outcome:?}");
    broker.resume().expect("started again");
    let again = Instant::now();
    while send(&bus, &alert("kb1", 2)) != Outcome::Accepted {
        assert!(again.elapsed() < PATIENCE, "it never came");
    }
    let taken = records(&broker, 2);
    assert_eq!(taken[1].headers["ringwatch-id"], "rw-kb1.2");
}
