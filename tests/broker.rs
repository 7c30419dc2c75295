//! What a user meets at a real broker: a first look, missing topics, alerts that reach a receiver.

#![expect(clippy::expect_used, reason = "a test that cannot set up its world must fail")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use ingest::{KafkaConfig, Topics};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use schemas::{Stream, StreamKind};
use serde_json::{Value, json};
use tempfile::TempDir;
use xtask::fixture::Program;
use xtask::kafka::Broker;
use xtask::produce::{self, Producer, Record};

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

fn ringwatch() -> Program {
    Program::new(env!("CARGO_BIN_EXE_ringwatch"))
}

fn broker() -> (Broker, TempDir) {
    let broker = Broker::start().expect("a broker");
    (broker, tempfile::tempdir().expect("a temporary folder"))
}

fn configure(broker: &Broker, folder: &TempDir, more: &str) -> PathBuf {
    let path = folder.path().join("ringwatch.toml");
    let text = format!(
        "[kafka]\nbrokers = \"{}\"\n[store]\ndata = \"{}\"\n[http]\nlisten = \"\"\n{more}\n",
        broker.bootstrap(),
        folder.path().join("data").display()
    );
    fs::write(&path, text).expect("a configuration file");
    path
}

#[test]
fn a_first_look_at_half_foreign_records_joins_no_group_and_writes_nothing() {
    let (broker, folder) = broker();
    broker.create_topics(2).expect("the topics");
    let mut producer = Producer::connect(broker.bootstrap()).expect("a producer");
    for number in 0..600 {
        let device = format!("d-{number}");
        let value = if number % 2 == 0 {
            json!({"type": "heartbeat", "device": device, "ring": "lab", "uptime_s": 5,
                "time": "2026-07-19T04:09:12Z"})
        } else {
            json!({"level": "info", "message": "of somebody else", "number": number})
        };
        let (key, value) = (device.into_bytes(), value.to_string().into_bytes());
        let record = Record { key: Some(&key), value: Some(&value), ..Record::default() };
        producer.send("telemetry", number % 4 / 2, record).expect("sent");
    }
    assert_eq!(producer.finish().expect("acknowledged"), 600);
    let config = configure(&broker, &folder, "");
    let arguments = ["check", "--connect", "--sample", "1000", "--config"];
    let text =
        || ringwatch().run(arguments.map(OsStr::new).into_iter().chain([config.as_os_str()]));
    let said = text().with_code(0).stdout;
    for expected in [
        "600 records: 300 accepted (50.0 %), 300 rejected",
        "rejected  300  VALIDATE time: `time` is missing",
        "rings seen     lab (not configured: counted as unmanaged)",
        "changes seen   none",
        "next: ringwatch run --config ",
    ] {
        assert!(said.contains(expected), "{expected:?} is not in\n{said}");
    }
    assert!(!folder.path().join("data").exists(), "a check wrote");
    assert_eq!(broker.groups().expect("the groups of the broker"), Vec::<String>::new());
}

#[test]
fn a_missing_topic_is_named() {
    let (broker, folder) = broker();
    let config = configure(&broker, &folder, "");
    let arguments = ["run".as_ref(), "--config".as_ref(), config.as_os_str()];
    let finished = ringwatch().run(arguments).with_code(1);
    let expected = "topic telemetry does not exist at";
    assert!(finished.stderr.contains(expected), "{finished}");
}

#[test]
fn an_alert_of_a_running_service_reaches_its_webhook_once_and_equals_that_of_replay() {
    let (broker, folder) = broker();
    let input = folder.path().join("input");
    let simulate = ["simulate", "--scenario", "os-crash-10x", "--out"].map(OsStr::new);
    ringwatch().run(simulate.into_iter().chain([input.as_os_str()])).with_code(0);
    broker.create_topics(4).expect("the topics");
    produce::ndjson_folder(broker.bootstrap(), &input).expect("records in the broker");
    // The registry's last record is days older than the telemetry: it must hold nothing back.
    let (url, bodies) = receiver();
    let more = format!(
        "[windows]\nidle_after = \"2s\"\nlog_idle_after = \"1s\"\n\
         [[destination]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"{url}\"\n\
         decisions = [\"rollback\"]"
    );
    let config = configure(&broker, &folder, &more);
    let service = ringwatch().spawn(["run".as_ref(), "--config".as_ref(), config.as_os_str()]);
    let received = bodies.recv_timeout(PATIENCE).expect("an alert at the webhook");
    service.terminate(PATIENCE).with_code(0);
    assert_eq!(bodies.try_iter().count(), 0, "delivered twice");

    let replayed = folder.path().join("replayed");
    let replay = ["replay".as_ref(), "--json".as_ref(), "--input".as_ref(), input.as_os_str()];
    let data = ["--data".as_ref(), replayed.as_os_str()];
    let replayed = ringwatch().run(replay.into_iter().chain(data)).with_code(3).json();
    let alerts = replayed["alerts"].as_array().expect("a list").iter();
    let rollbacks: Vec<&Value> = alerts.filter(|one| one["decision"] == "rollback").collect();
    assert_eq!(rollbacks, [&received]);
}

#[test]
fn what_comes_after_the_end_of_a_run_is_read_by_the_next() {
    let (broker, folder) = broker();
    broker.create_topics(2).expect("the topics");
    let heartbeat = |partition: i32, second: u32| {
        let device = format!("d-{partition}").into_bytes();
        let value = json!({"type": "heartbeat", "device": format!("d-{partition}"),
            "ring": "first", "uptime_s": 5, "time": format!("2026-07-19T04:00:{second:02}Z")});
        let mut producer = Producer::connect(broker.bootstrap()).expect("a producer");
        let value = value.to_string().into_bytes();
        let record = Record { key: Some(&device), value: Some(&value), ..Record::default() };
        producer.send("telemetry", partition, record).expect("sent");
        producer.finish().expect("acknowledged");
    };
    let config = configure(&broker, &folder, "");
    let run = || {
        let arguments = ["run", "--until-end", "--json", "--config"].map(OsStr::new);
        let arguments = arguments.into_iter().chain([config.as_os_str()]);
        ringwatch().spawn(arguments).finish(PATIENCE).with_code(0).json()["records"].clone()
    };
    assert_eq!(run(), 0, "an empty topic");
    for (second, expected) in [(0, 2), (10, 4), (20, 6)] {
        heartbeat(0, second);
        heartbeat(1, second);
        assert_eq!(run(), expected);
    }
    let verify = ["verify".as_ref(), "--kafka".as_ref(), "--config".as_ref(), config.as_os_str()];
    ringwatch().run(verify).with_code(0);
}

/// The marker after a transaction is no record missed, and what we read may expire; a record that
/// the journal lacks is named, and so is one that expired unread.
#[test]
fn verify_counts_records_and_not_offsets() {
    let (broker, folder) = broker();
    broker.create_topics(3).expect("the topics");
    transaction(&broker, 0);
    let config = configure(&broker, &folder, "");
    let arguments = ["run", "--until-end", "--config"].map(OsStr::new);
    let arguments = arguments.into_iter().chain([config.as_os_str()]);
    ringwatch().spawn(arguments).finish(PATIENCE).with_code(0);
    let verify = |code: i32| {
        let verify = ["verify".as_ref(), "--kafka".as_ref(), "--config".as_ref()];
        let arguments = verify.into_iter().chain([config.as_os_str()]);
        ringwatch().run(arguments).with_code(code).stdout
    };
    let said = verify(0);
    assert!(said.contains("the broker holds [0, 2)"), "{said}");
    let stream = Stream { kind: StreamKind::Telemetry, partition: 0 };
    let first_record = |covered| {
        let covered = BTreeMap::from([(stream, covered)]);
        let logs = ingest::logs(&kafka(&broker), &covered, PATIENCE).expect("an answer");
        logs[&stream].first_record
    };
    assert_eq!((first_record(0), first_record(1), first_record(2)), (Some(0), None, None));
    broker.delete_records("telemetry", 0, 1).expect("deleted");
    let said = verify(0);
    assert!(said.contains("offsets before 1 are no longer at the broker"), "{said}");
    transaction(&broker, 1);
    transaction(&broker, 2);
    broker.delete_records("telemetry", 2, 2).expect("deleted");
    let said = verify(1);
    assert!(said.contains("PROBLEM: telemetry/1: the broker holds a record at offset 0"), "{said}");
    assert!(said.contains("PROBLEM: telemetry/2: offsets 0 to 2 are gone"), "{said}");
    assert!(!said.contains("PROBLEM: telemetry/0"), "{said}");
}

fn kafka(broker: &Broker) -> KafkaConfig {
    let [telemetry, changes, support] = ["telemetry", "changes", "support"].map(str::to_owned);
    KafkaConfig {
        brokers: broker.bootstrap().to_owned(),
        group: "look".to_owned(),
        topics: Topics { telemetry, changes, support, rejected: None },
        properties: BTreeMap::new(),
        prefetch_bytes_max: 1 << 20,
    }
}

/// One heartbeat in a transaction of its own: two offsets, the second a marker.
fn transaction(broker: &Broker, partition: i32) {
    let value = json!({"type": "heartbeat", "device": format!("d-{partition}"), "ring": "first",
        "time": "2026-07-19T04:00:00Z"})
    .to_string();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .set("transactional.id", format!("t-{partition}"))
        .create()
        .expect("a producer");
    producer.init_transactions(PATIENCE).expect("a transactional producer");
    producer.begin_transaction().expect("a transaction");
    let key = format!("d-{partition}");
    let record = BaseRecord::to("telemetry").partition(partition).key(&key).payload(&value);
    producer.send(record).expect("sent");
    producer.commit_transaction(PATIENCE).expect("committed");
}

/// A receiver of webhooks: its address, and the bodies in the order in which they came.
fn receiver() -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    let (sender, bodies) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let mut length = 0;
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|bytes| bytes > 2) {
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a length");
                }
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("a body");
            sender.send(serde_json::from_slice(&body).expect("JSON")).ok();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            reader.into_inner().write_all(answer).ok();
        }
    });
    (url, bodies)
}
