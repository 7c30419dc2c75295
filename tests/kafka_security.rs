//! Brokers that want TLS and a login: what docs/kafka-security.md says, against a real one.

#![expect(clippy::expect_used, reason = "a test that cannot set up its world must fail")]

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use tempfile::TempDir;
use xtask::fixture::{Finished, Program};
use xtask::kafka::{PASSWORD, Secured, USER};
use xtask::produce::{Producer, Record};

const RECORDS: i64 = 20;

/// What must never be printed.
const SECRET: &str = "a-client-secret-of-nobody";

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
                "time": "2026-07-19T04:09:12Z", "uptime_s": 7});
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
        for secret in [PASSWORD, SECRET, "wrong-password"] {
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

/// Hands out tokens that name `USER` to whoever knows the secret; says what it was asked with.
fn tokens() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/token", listener.local_addr().expect("an address"));
    let (told, asked) = channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
            let (mut login, mut length) = (String::new(), 0);
            let lines = reader.by_ref().lines().map_while(Result::ok);
            for line in lines.take_while(|line| !line.is_empty()) {
                match line.split_once(": ") {
                    Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                        value.clone_into(&mut login);
                    }
                    Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                        length = value.parse().unwrap_or_default();
                    }
                    Some(_) | None => {}
                }
            }
            reader.read_exact(&mut vec![0; length]).ok();
            let body = json!({"access_token": token(), "token_type": "Bearer", "expires_in": 600});
            let body = body.to_string();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
            write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).ok();
            told.send(login).ok();
        }
    });
    (url, asked)
}

/// An unsigned JSON web token for ten minutes.
fn token() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({"sub": USER, "iat": now, "exp": now + 600});
    format!("{}.{}.", part(json!({"alg": "none"})), part(claims))
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

    let (url, asked) = tokens();
    world.reads(
        "OAUTHBEARER",
        &sasl,
        &[
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanisms", "OAUTHBEARER"),
            ("sasl.oauthbearer.method", "oidc"),
            ("sasl.oauthbearer.client.id", "ringwatch"),
            ("sasl.oauthbearer.client.secret", SECRET),
            ("sasl.oauthbearer.token.endpoint.url", &url),
        ],
    );
    let login = format!("Basic {}", STANDARD.encode(format!("ringwatch:{SECRET}")));
    assert_eq!(asked.try_recv().expect("a token was asked for"), login);
}
