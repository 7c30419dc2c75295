//! The interface over real sockets.

use std::io::{Read, Write};
use std::net::TcpStream;

use alerts::{Clearance, Clearing, Verdict, VerdictRow};
use schemas::{Order, Signal, Timestamp};
use serde_json::Value;
use store::{Blobs, MemoryStore, commands};

use super::*;
use crate::config::Token;
use crate::orders::Orders;
use crate::view::PublisherRole;

mod dashboard;

const TOKEN: &str = "correct-horse-battery-staple";

struct Fixture {
    serving: Serving,
    store: Arc<dyn Blobs>,
    view: SharedView,
    stop: Stop,
}

impl Fixture {
    fn start() -> Self {
        let config = HttpConfig {
            listen: Some("127.0.0.1:0".parse().expect("an address")),
            hosts: vec!["rings.example.com".to_owned()],
            token: token(),
        };
        let (view, stop) = (SharedView::default(), Stop::default());
        let store: Arc<dyn Blobs> = Arc::new(MemoryStore::new());
        let serving = start(&config, view.clone(), gate(&store), behind(&store), &stop);
        let serving = serving.expect("started").expect("configured");
        Self { serving, store, view, stop }
    }

    /// Status and body of a command.
    fn order(&self, path: &str, token: &str, body: &str) -> (u16, Value) {
        self.order_with(path, &format!("authorization: Bearer {token}\r\n"), body)
    }

    /// The same with any headers, or none.
    fn order_with(&self, path: &str, headers: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(self.serving.address).expect("connected");
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             {headers}content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("answered");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), serde_json::from_str(body).unwrap_or_default())
    }

    /// Status, headers and body of a request as it stands.
    fn ask(&self, method: &str, path: &str, host: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.serving.address).expect("connected");
        let request =
            format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("answered");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), head.to_owned(), body.to_owned())
    }

    fn json(&self, path: &str) -> (u16, Value) {
        let (status, _, body) = self.ask("GET", path, "localhost");
        (status, serde_json::from_str(&body).expect("JSON"))
    }
}

fn token() -> Option<Token> {
    Token::parse(TOKEN).ok()
}

fn behind(store: &Arc<dyn Blobs>) -> Behind {
    let clock: Arc<dyn crate::clock::Clock> = Arc::new(crate::clock::SystemClock::start());
    let config = crate::config::Config::parse("", std::iter::empty()).expect("the defaults");
    Behind::new(&config, store, &clock)
}

fn gate(store: &Arc<dyn Blobs>) -> Gate {
    let clock: Arc<dyn crate::clock::Clock> = Arc::new(crate::clock::SystemClock::start());
    Gate { token: token(), orders: Orders::new(store, &clock) }
}

#[test]
fn commands_need_the_token_and_stand_in_the_data_folder_before_the_answer() {
    let fixture = Fixture::start();
    let said = "{\"author\":\"ana\",\"reason\":\"mine\"}";
    let paths = ["alerts/rw-1/ack", "silences", "silences/1/end", "pause", "resume"];
    for path in paths.map(|path| format!("/api/v1/{path}")) {
        for wrong in ["", "correct-horse-battery-stapler"] {
            assert_eq!(fixture.order(&path, wrong, said).0, 401, "{path}");
        }
        for header in ["", "authorization: Basic YW5hOmFuYQ==\r\n"] {
            assert_eq!(fixture.order_with(&path, header, said).0, 401, "{path} {header}");
        }
        let bare = format!("authorization: {TOKEN}\r\n");
        assert_eq!(fixture.order_with(&path, &bare, said).0, 401, "{path} without Bearer");
    }
    assert_eq!(commands::read(&*fixture.store, 0).expect("read"), None);
    let (status, answer) = fixture.order("/api/v1/alerts/rw-1/ack", TOKEN, said);
    assert_eq!((status, &answer["number"]), (202, &json!(0)));
    let silence = "{\"author\":\"ana\",\"reason\":\"mine\",\"matcher\":{\"change\":\"kb1\"},\
                   \"until\":\"2026-07-19T10:00:00Z\"}";
    assert_eq!(fixture.order("/api/v1/silences", TOKEN, silence).0, 202);
    assert_eq!(fixture.order("/api/v1/pause", TOKEN, said).0, 202);
    assert_eq!(fixture.order("/api/v1/resume", TOKEN, said).0, 202);
    let given: Vec<Order> = (0..4)
        .map(|number| commands::read(&*fixture.store, number).expect("read").expect("there").order)
        .collect();
    assert_eq!(given[0], Order::Acknowledge { alert: "rw-1".to_owned() });
    assert!(matches!(given[1..], [Order::Silence { .. }, Order::Pause, Order::Resume]));
    for wrong in ["", "{}", "{\"author\":\" \"}", "{\"author\":\"a\",\"x\":1}"] {
        assert_eq!(fixture.order("/api/v1/alerts/rw-1/ack", TOKEN, wrong).0, 400, "{wrong}");
    }
    for wrong in [
        r#""reason":"mine","matcher":{}"#,
        // It would be all without a change.
        r#""reason":"mine","matcher":{"change":""}"#,
        r#""matcher":{"change":"kb1"}"#,
        r#""reason":" ","matcher":{"change":"kb1"}"#,
    ] {
        let said = format!(r#"{{"author":"ada","until":"2026-07-14T12:00:00Z",{wrong}}}"#);
        assert_eq!(fixture.order("/api/v1/silences", TOKEN, &said).0, 400, "{wrong}");
    }
    let long = format!("{{\"author\":\"{}\"}}", "a".repeat(20_000));
    assert_eq!(fixture.order("/api/v1/pause", TOKEN, &long).0, 413);
    assert_eq!(fixture.json("/api/v1/silences").1["silences"], json!({}));
    fixture.serving.finish();
}

fn row(change: &str, ring: &str) -> VerdictRow {
    VerdictRow {
        verdict: Verdict::Insufficient,
        log_e: 0.5,
        line: Some(7.3),
        missing_device_hours: Some(12.0),
        ..VerdictRow::unexposed(change, ring, Signal::OsCrash)
    }
}

#[test]
fn it_is_ready_once_recovered_and_as_long_as_the_broker_is_there() {
    let fixture = Fixture::start();
    assert_eq!(fixture.ask("GET", "/livez", "localhost").0, 200);
    let (status, body) = fixture.json("/readyz");
    assert_eq!((status, &body["reasons"][0]), (503, &json!("recovering")));
    fixture.view.lock().publisher = PublisherRole::Leading;
    fixture.view.lock().is_live = true;
    assert_eq!(fixture.json("/readyz"), (200, json!({ "ready": true, "reasons": [] })));
    fixture.view.note_down("connection refused".to_owned());
    assert_eq!(fixture.json("/readyz").0, 200, "a lost connection is no outage");
    fixture.view.note_away();
    fixture.stop.ask();
    let reasons = json!(["broker out of reach: connection refused", "stopping"]);
    assert_eq!(fixture.json("/readyz").1["reasons"], reasons);
    fixture.view.note_up();
    assert_eq!(fixture.json("/readyz").1["reasons"], json!(["stopping"]));
    fixture.serving.finish();
}

#[test]
fn rings_and_changes_show_their_verdicts_in_the_order_of_the_rollout() {
    let fixture = Fixture::start();
    {
        let mut view = fixture.view.lock();
        view.evaluated_until = Some(Timestamp(0));
        view.verdicts = Arc::new(vec![row("kb2", "test"), row("kb2", "first"), row("kb1", "test")]);
        view.clearances = Arc::new(vec![Clearance {
            change: "kb2".to_owned(),
            ring: "test".to_owned(),
            clearing: Clearing::Soaking,
            since: None,
            soaks_until: Timestamp(0),
            waits_for: vec![Signal::OsCrash],
            unseen: Vec::new(),
        }]);
    }
    let (_, rings) = fixture.json("/api/v1/rings");
    assert_eq!(rings["evaluated_until"], "1970-01-01T00:00:00Z");
    assert_eq!(rings["rings"][0]["ring"], "test");
    assert_eq!(rings["rings"][0]["verdicts"][1]["change"], "kb1");
    assert_eq!(rings["rings"][1]["verdicts"][0]["verdict"], "insufficient");
    let (_, changes) = fixture.json("/api/v1/changes");
    assert_eq!(changes["changes"][0]["change"], "kb2");
    assert_eq!(changes["changes"][0]["verdicts"].as_array().map(Vec::len), Some(2));
    let clearance = &changes["changes"][0]["clearances"][0];
    assert_eq!(
        (&clearance["clearing"], &clearance["waits_for"][0]),
        (&json!("soaking"), &json!("os_crash"))
    );
    assert_eq!(changes["changes"][1]["clearances"], json!([]));
    assert_eq!(fixture.json("/api/v1/alerts").1["alerts"], json!([]));
    fixture.serving.finish();
}

#[test]
fn a_name_that_is_not_ours_learns_nothing() {
    let fixture = Fixture::start();
    for path in ["/api/v1/alerts", "/metrics", "/readyz", "/nowhere"] {
        assert_eq!(fixture.ask("GET", path, "evil.example").0, 421, "{path}");
    }
    let (status, head, _) = fixture.ask("GET", "/api/v1/alerts", "rings.example.com:8080");
    assert_eq!(status, 200);
    assert!(head.contains("cache-control: no-store") && head.contains("nosniff"), "{head}");
    fixture.serving.finish();
}

#[test]
fn nothing_can_be_changed_and_what_is_not_there_is_said_so() {
    let fixture = Fixture::start();
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        for path in ["/", "/api/v1/alerts", "/api/v1/fleet", "/api/v1/pipeline", "/assets/app.js"] {
            assert_eq!(fixture.ask(method, path, "localhost").0, 405, "{method} {path}");
        }
    }
    let (status, body) = fixture.json("/nowhere");
    assert_eq!((status, body), (404, json!({ "error": "there is no such page" })));
    fixture.serving.finish();
}

#[test]
fn metrics_are_shown_with_their_descriptions() {
    metrics::install().expect("installed");
    metrics::install().expect("a second time changes nothing");
    ::metrics::histogram!("ringwatch_delivery_seconds", "destination" => "a\"b").record(0.3);
    let fixture = Fixture::start();
    let (status, head, body) = fixture.ask("GET", "/metrics", "localhost");
    assert_eq!(status, 200);
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(body.contains("# HELP ringwatch_delivery_seconds "), "{body}");
    let bucket = "ringwatch_delivery_seconds_bucket{destination=\"a\\\"b\",le=\"0.5\"} 1";
    assert!(body.contains(bucket), "{body}");
    fixture.serving.finish();
}

#[test]
fn a_connection_that_says_nothing_does_not_hold_up_the_end() {
    let fixture = Fixture::start();
    let mut silent = TcpStream::connect(fixture.serving.address).expect("connected");
    assert_eq!(fixture.ask("GET", "/livez", "localhost").0, 200);
    fixture.serving.finish();
    assert_eq!(silent.read(&mut [0; 8]).unwrap_or(0), 0, "it was closed");
}

#[test]
fn an_address_in_use_is_named() {
    let fixture = Fixture::start();
    let listen = Some(fixture.serving.address);
    let config = HttpConfig { listen, hosts: Vec::new(), token: None };
    let gate = gate(&fixture.store);
    let behind = behind(&fixture.store);
    let started = start(&config, SharedView::default(), gate, behind, &Stop::default());
    let error = started.expect_err("in use");
    assert!(error.line().starts_with(&format!("cannot listen on {}", fixture.serving.address)));
    fixture.serving.finish();
}
