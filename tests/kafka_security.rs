//! Brokers that want TLS and a login: what docs/kafka-security.md says, against a real one.

#![expect(clippy::expect_used, reason = "a test that cannot set up its world must fail")]

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use serde_json::json;
use tempfile::TempDir;
use xtask::fixture::{Finished, Program};
use xtask::kafka::{PASSWORD, Secured, USER};
use xtask::produce::{Producer, Record};

const RECORDS: i64 = 20;

struct World {
    broker: Secured,
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        let broker = Secured::start().expect("a broker");
        broker.broker.create_topics(1).expect("the topics");
        let mut producer = Producer::connect(broker.broker.bootstrap()).expect("a producer");
        for number in 0..RECORDS {
            let device = format!("d-{number}");
            let value = json!({"type": "heartbeat", "device": device, "ring": "test",
                "time": "2026-07-19T04:09:12Z"});
            let (key, value) = (device.into_bytes(), value.to_string().into_bytes());
            let record = Record { key: Some(&key), value: Some(&value), ..Record::default() };
            producer.send("telemetry", 0, record).expect("sent");
        }
        producer.finish().expect("acknowledged");
        Self { broker, folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// The configuration of a service of its own with these properties.
    fn configure(&self, name: &str, address: &str, properties: &[(&str, &str)]) -> PathBuf {
        let path = self.folder.path().join(name).with_extension("toml");
        let data = self.folder.path().join(name);
        let mut text = format!(
            "[kafka]\nbrokers = \"{address}\"\ngroup = \"{name}\"\nconnect_timeout = \"10s\"\n\
             [store]\ndata = \"{}\"\n[http]\nlisten = \"\"\n[kafka.properties]\n",
            data.display()
        );
        let authority = self.broker.file("ca.pem").display().to_string();
        for (name, value) in [("ssl.ca.location", &*authority)].iter().chain(properties) {
            writeln!(text, "\"{name}\" = \"{value}\"").expect("text");
        }
        fs::write(&path, text).expect("a configuration");
        path
    }

    /// Everything is read, or the reason why not is told without a secret.
    fn run(&self, name: &str, address: &str, properties: &[(&str, &str)]) -> Finished {
        let config = self.configure(name, address, properties);
        let flags = ["run", "--until-end", "--config"].map(std::ffi::OsStr::new);
        let ringwatch = Program::new(env!("CARGO_BIN_EXE_ringwatch"));
        let finished = ringwatch.run(flags.into_iter().chain([config.as_os_str()]));
        for secret in [PASSWORD, "wrong-password"] {
            assert!(!format!("{finished}").contains(secret), "{finished}");
        }
        finished
    }

    #[track_caller]
    fn reads(&self, name: &str, address: &str, properties: &[(&str, &str)]) {
        self.run(name, address, properties).with_code(0);
        let data = self.folder.path().join(name);
        let arguments = ["verify".as_ref(), "--json".as_ref(), "--data".as_ref(), data.as_os_str()];
        let report = Program::new(env!("CARGO_BIN_EXE_ringwatch")).run(arguments).with_code(0);
        assert_eq!(report.json()["partitions"][0]["applied"], RECORDS, "{report}");
    }
}

#[test]
fn every_way_to_log_in_that_the_document_names_reads_a_real_broker() {
    let world = World::new();
    let (tls, sasl) = (world.broker.tls.clone(), world.broker.sasl.clone());
    let [certificate, key] =
        ["client.pem", "client.key"].map(|name| world.broker.file(name).display().to_string());
    let mutual = [
        ("security.protocol", "SSL"),
        ("ssl.certificate.location", &*certificate),
        ("ssl.key.location", &*key),
    ];
    world.reads("mutual-tls", &tls, &mutual);
    world.run("no-certificate", &tls, &mutual[..1]).with_code(1);

    let password = |mechanism, password| {
        [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanisms", mechanism),
            ("sasl.username", USER),
            ("sasl.password", password),
        ]
    };
    for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
        world.reads(mechanism, &sasl, &password(mechanism, PASSWORD));
    }
    let refused = world.run("wrong", &sasl, &password("SCRAM-SHA-512", "wrong-password"));
    let said = refused.with_code(1).stderr;
    assert!(said.to_lowercase().contains("authentication"), "{said}");
}
