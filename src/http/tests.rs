//! The interface over real sockets.

use std::io::{Read, Write};
use std::net::TcpStream;

use alerts::{Verdict, VerdictRow};
use schemas::{Signal, Timestamp};
use serde_json::Value;

use super::*;

struct Fixture {
    serving: Serving,
    view: SharedView,
    stop: Stop,
}

impl Fixture {
    fn start() -> Self {
        let config = HttpConfig {
            listen: Some("127.0.0.1:0".parse().expect("an address")),
            hosts: vec!["rings.example.com".to_owned()],
        };
        let (view, stop) = (SharedView::default(), Stop::default());
        let serving = start(&config, view.clone(), &stop).expect("started").expect("configured");
        Self { serving, view, stop }
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

fn row(change: &str, ring: &str) -> VerdictRow {
    VerdictRow {
        change: change.to_owned(),
        ring: ring.to_owned(),
        signal: Signal::OsCrash,
        verdict: Verdict::Insufficient,
        log_e: 0.5,
        line: Some(7.3),
        treated: schemas::alert::ArmEvidence::default(),
        control: schemas::alert::ArmEvidence::default(),
        ratio: None,
        missing_device_hours: Some(12.0),
        partial: false,
        repartitioned: false,
    }
}

#[test]
fn it_is_ready_once_recovered_and_as_long_as_the_broker_is_there() {
    let fixture = Fixture::start();
    assert_eq!(fixture.ask("GET", "/livez", "localhost").0, 200);
    let (status, body) = fixture.json("/readyz");
    assert_eq!((status, &body["reasons"][0]), (503, &json!("recovering")));
    fixture.view.lock().recovered = true;
    fixture.view.lock().is_live = true;
    assert_eq!(fixture.json("/readyz"), (200, json!({ "ready": true, "reasons": [] })));
    fixture.view.lock().down = Some("connection refused".to_owned());
    fixture.stop.ask();
    let reasons = json!(["broker out of reach: connection refused", "stopping"]);
    assert_eq!(fixture.json("/readyz").1["reasons"], reasons);
    fixture.serving.finish();
}

#[test]
fn rings_and_changes_show_their_verdicts_in_the_order_of_the_rollout() {
    let fixture = Fixture::start();
    {
        let mut view = fixture.view.lock();
        view.evaluated_until = Some(Timestamp(0));
        view.verdicts = vec![row("kb2", "test"), row("kb2", "first"), row("kb1", "test")];
    }
    let (_, rings) = fixture.json("/api/v1/rings");
    assert_eq!(rings["evaluated_until"], "1970-01-01T00:00:00Z");
    assert_eq!(rings["rings"][0]["ring"], "test");
    assert_eq!(rings["rings"][0]["verdicts"][1]["change"], "kb1");
    assert_eq!(rings["rings"][1]["verdicts"][0]["verdict"], "insufficient");
    let (_, changes) = fixture.json("/api/v1/changes");
    assert_eq!(changes["changes"][0]["change"], "kb2");
    assert_eq!(changes["changes"][0]["verdicts"].as_array().map(Vec::len), Some(2));
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
        assert_eq!(fixture.ask(method, "/api/v1/alerts", "localhost").0, 405, "{method}");
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
    let config = HttpConfig { listen: Some(fixture.serving.address), hosts: Vec::new() };
    let error = start(&config, SharedView::default(), &Stop::default()).expect_err("in use");
    assert!(error.line().starts_with(&format!("cannot listen on {}", fixture.serving.address)));
    fixture.serving.finish();
}
