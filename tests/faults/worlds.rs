//! Wrong worlds: what cannot be gone on with is refused by name, in one line, with exit code 1.

use std::ffi::OsStr;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use xtask::faults::settings::Settings;
use xtask::faults::wait_until;
use xtask::fixture::{Finished, Running};
use xtask::kafka::Broker;
use xtask::produce::{Producer, Record};

use crate::ringwatch;

const PATIENCE: Duration = Duration::from_mins(2);

/// A data folder and topics of its own at a broker that others use too.
struct World<'a> {
    broker: &'a Broker,
    folder: TempDir,
    settings: Settings,
}

impl<'a> World<'a> {
    /// A folder that holds a hundred records.
    fn with_records(broker: &'a Broker, name: &str) -> Self {
        let settings =
            Settings { group: name.to_owned(), topics: format!("{name}-"), ..Settings::default() };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let world = Self { broker, folder, settings };
        world.create_topics();
        world.produce("d", 100);
        world.run(&[]).with_code(0);
        world
    }

    fn create_topics(&self) {
        for kind in ["telemetry", "changes", "support"] {
            self.broker.create_topic(&self.settings.topic(kind), 1, &[]).expect("a topic");
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn config(&self, settings: &Settings, instance: &str) -> PathBuf {
        let path = self.folder.path().join("ringwatch.toml");
        let text = settings.toml(self.broker.bootstrap(), &self.data(), instance, None);
        fs::write(&path, text).expect("a configuration file");
        path
    }

    fn produce(&self, prefix: &str, count: u32) {
        self.produce_in("first", prefix, count);
    }

    fn produce_in(&self, ring: &str, prefix: &str, count: u32) {
        self.send(0, ring, prefix, count);
    }

    fn produce_to(&self, partition: i32, prefix: &str, count: u32) {
        self.send(partition, "first", prefix, count);
    }

    fn send(&self, partition: i32, ring: &str, prefix: &str, count: u32) {
        let mut producer = Producer::connect(self.broker.bootstrap()).expect("a producer");
        for number in 0..count {
            let device = format!("{prefix}-{number}");
            let value = json!({"type": "heartbeat", "device": device, "ring": ring,
                "uptime_s": 5, "time": "2026-07-19T04:09:12Z"});
            let (key, value) = (device.into_bytes(), value.to_string().into_bytes());
            let record = Record { key: Some(&key), value: Some(&value), ..Record::default() };
            producer.send(&self.settings.topic("telemetry"), partition, record).expect("sent");
        }
        producer.finish().expect("acknowledged");
    }

    fn run(&self, options: &[&str]) -> Finished {
        self.run_with(&self.settings, options)
    }

    fn run_with(&self, settings: &Settings, options: &[&str]) -> Finished {
        let config = self.config(settings, "");
        let arguments = ["run", "--until-end", "--json"].iter().chain(options).map(OsStr::new);
        let config = ["--config".as_ref(), config.as_os_str()];
        ringwatch().spawn(arguments.chain(config)).finish(PATIENCE)
    }

    fn rebuild(&self) -> Finished {
        let data = self.data();
        let arguments = ["rebuild".as_ref(), "--data".as_ref(), data.as_os_str()];
        ringwatch().spawn(arguments).finish(PATIENCE)
    }

    fn verify(&self) {
        let data = self.data();
        ringwatch().run(["verify".as_ref(), "--data".as_ref(), data.as_os_str()]).with_code(0);
    }
}

/// It ended with 1, and one line that holds all of the words.
#[track_caller]
fn assert_refused(finished: &Finished, words: &[&str]) {
    assert_eq!(finished.status.code(), Some(1), "{finished}");
    let lines: Vec<&str> =
        finished.stderr.lines().filter(|line| line.starts_with("ringwatch: ")).collect();
    assert_eq!(lines.len(), 1, "one line is wanted\n{finished}");
    for word in words {
        assert!(lines[0].contains(word), "{word:?} is not in {:?}", lines[0]);
    }
}

fn topic_made_anew(broker: &Broker) {
    let world = World::with_records(broker, "anew");
    broker.delete_topic("anew-telemetry").expect("deleted");
    broker.create_topic("anew-telemetry", 1, &[]).expect("created again");
    world.produce_in("last", "other", 150);
    assert_refused(&world.run(&[]), &["telemetry", "data folder"]);
}

/// The records differ in nothing that the tables show; they are others all the same.
fn topic_made_anew_alike(broker: &Broker) {
    let world = World::with_records(broker, "alike");
    broker.delete_topic("alike-telemetry").expect("deleted");
    broker.create_topic("alike-telemetry", 1, &[]).expect("created again");
    world.produce("other", 150);
    assert_refused(&world.run(&[]), &["telemetry", "data folder"]);
}

fn offsets_gone(broker: &Broker) {
    let world = World::with_records(broker, "gone");
    world.produce("lost", 50);
    broker.drop_records("gone-telemetry", 0, 150).expect("dropped");
    world.produce("kept", 50);
    assert_refused(&world.run(&[]), &["telemetry/0", "100", "150", "--accept-gap"]);
    let summary = world.run(&["--accept-gap"]).with_code(0).json();
    assert_eq!(summary["records"], 150);
    world.verify();
    // What was accepted once needs no word again.
    world.produce("more", 10);
    assert_eq!(world.run(&[]).with_code(0).json()["records"], 160);
}

/// Refused by name; with the word for it the rest is read, and the tables hold both halves.
fn more_partitions(broker: &Broker) {
    let world = World::with_records(broker, "grown");
    broker.grow_topic("grown-telemetry", 3).expect("grown");
    assert_refused(&world.run(&[]), &["3 partitions", "knows 1", "--accept-growth"]);
    world.produce_to(2, "moved", 50);
    world.produce("stayed", 30);
    let summary = world.run(&["--accept-growth"]).with_code(0).json();
    assert_eq!((summary["records"].as_u64(), summary["applied"].as_u64()), (Some(180), Some(180)));
    world.verify();
    // What was accepted once needs no word again, and each partition goes on by itself.
    world.produce_to(1, "late", 10);
    world.produce_to(2, "more", 10);
    assert_eq!(world.run(&[]).with_code(0).json()["records"], 200);
    world.verify();
}

/// A service that runs while its topic grows ends by name, and goes on once it is told to.
fn growth_while_it_runs(broker: &Broker) {
    let world = World::with_records(broker, "growing");
    let properties = "\"topic.metadata.refresh.interval.ms\" = \"1000\"\n".to_owned();
    let config = world.config(&Settings { properties, ..world.settings.clone() }, "");
    let start = |options: &[&str]| -> Running {
        let arguments = ["run"].iter().chain(options).map(OsStr::new);
        ringwatch().spawn(arguments.chain(["--config".as_ref(), config.as_os_str()]))
    };
    let mut service = start(&[]);
    service.wait_until("it is at work", PATIENCE, |it| it.stderr().contains("partition recovered"));
    broker.grow_topic("growing-telemetry", 2).expect("grown");
    assert_refused(&service.finish(PATIENCE), &["telemetry/1", "--accept-growth"]);
    let mut service = start(&["--accept-growth"]);
    world.produce_to(1, "moved", 50);
    service.wait_until("it reads both", PATIENCE, |it| it.stderr().contains("the topic has grown"));
    service.terminate(PATIENCE).with_code(0);
    assert_eq!(world.run(&[]).with_code(0).json()["records"], 150);
    world.verify();
}

fn another_group(broker: &Broker) {
    let world = World::with_records(broker, "group");
    let settings = Settings { group: "stranger".to_owned(), ..world.settings.clone() };
    assert_refused(&world.run_with(&settings, &[]), &["group", "stranger"]);
}

fn other_settings(broker: &Broker) {
    let world = World::with_records(broker, "settings");
    let more = "[detection]\nquiet_period = \"3d\"\n".to_owned();
    let settings = Settings { more, ..world.settings.clone() };
    assert_refused(&world.run_with(&settings, &[]), &["settings", "quiet_period"]);
}

fn another_cluster(broker: &Broker) {
    let world = World::with_records(broker, "cluster");
    let other = Broker::start().expect("a second broker");
    let moved = World { broker: &other, ..world };
    moved.create_topics();
    assert_refused(&moved.run(&[]), &["cluster"]);
}

fn one_name_for_two(broker: &Broker) {
    let world = World::with_records(broker, "twice");
    let config = world.config(&world.settings, "the-one");
    let start = || -> Running {
        ringwatch().spawn(["run".as_ref(), "--config".as_ref(), config.as_os_str()])
    };
    let is_at_work = |running: &Running| running.stderr().contains("partition recovered");
    let mut older = start();
    older.wait_until("the first is at work", PATIENCE, is_at_work);
    let mut newer = start();
    let fenced = older.finish(PATIENCE);
    assert_refused(&fenced, &["group.instance.id", "the-one"]);
    newer.wait_until("the second is at work", PATIENCE, is_at_work);
    newer.terminate(PATIENCE).with_code(0);
}

fn damaged_journal(broker: &Broker) {
    let world = World::with_records(broker, "damaged");
    let newest = newest_file(&world.data().join("system/journal/telemetry/0"));
    let mut bytes = fs::read(&newest).expect("an entry");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&newest, bytes).expect("written");
    assert_refused(&world.run(&[]), &["system/journal/telemetry/0", "damaged", "rebuild"]);
    // On request everything is made anew from what the topic still holds.
    world.rebuild().with_code(0);
    world.produce("more", 10);
    assert_eq!(world.run(&[]).with_code(0).json()["records"], 110);
    world.verify();
    let kept = world.data().join("set-aside/1/system/journal/telemetry/0");
    assert!(newest_file(&kept).is_file(), "nothing is thrown away");
}

fn rebuilt_under_a_running_service(broker: &Broker) {
    let world = World::with_records(broker, "busy");
    let config = world.config(&world.settings, "");
    let mut service = ringwatch().spawn(["run".as_ref(), "--config".as_ref(), config.as_os_str()]);
    service.wait_until("it is at work", PATIENCE, |it| it.stderr().contains("partition recovered"));
    assert_refused(&world.rebuild(), &["stop"]);
    service.terminate(PATIENCE).with_code(0);
    world.verify();
}

fn newest_file(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    files.max().expect("a file")
}

type Case = (&'static str, fn(&Broker));

const CASES: [Case; 11] = [
    ("topic made anew", topic_made_anew),
    ("topic made anew, alike", topic_made_anew_alike),
    ("offsets gone", offsets_gone),
    ("more partitions", more_partitions),
    ("growth while it runs", growth_while_it_runs),
    ("another group", another_group),
    ("other settings", other_settings),
    ("another cluster", another_cluster),
    ("one name for two", one_name_for_two),
    ("damaged journal", damaged_journal),
    ("rebuilt under a running service", rebuilt_under_a_running_service),
];

#[test]
fn every_wrong_world_is_refused_by_name() {
    let broker = Broker::start().expect("a broker");
    // All are tried, so that one run shows every refusal that is missing.
    let accepted: Vec<&str> = CASES
        .iter()
        .filter(|(_, case)| catch_unwind(AssertUnwindSafe(|| case(&broker))).is_err())
        .map(|(name, _)| *name)
        .collect();
    assert!(accepted.is_empty(), "not as promised: {accepted:?}");
}

/// For the impatient reader of a log: an outage is not a wrong world.
#[test]
fn a_broker_that_is_away_at_the_start_is_named() {
    let mut broker = Broker::start().expect("a broker");
    let folder = tempfile::tempdir().expect("a temporary folder");
    broker.kill();
    let settings = Settings::default();
    let text = settings.toml(broker.bootstrap(), &folder.path().join("data"), "", None);
    let config = folder.path().join("ringwatch.toml");
    fs::write(&config, text).expect("a configuration file");
    let mut running = ringwatch().spawn(["run".as_ref(), "--config".as_ref(), config.as_os_str()]);
    wait_until("it gives up", PATIENCE, || running.ended().is_some());
    assert_refused(&running.finish(PATIENCE), &[broker.bootstrap()]);
}
