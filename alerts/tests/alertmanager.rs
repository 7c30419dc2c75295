//! The real Alertmanager takes what is posted, forgets nothing while it is repeated, is silent
//! about what is acknowledged or muted, and notifies once when an alert fires and once when it
//! is over.
//!
//! Needs `prometheus-alertmanager` (Debian: `apt-get install prometheus-alertmanager`). Without it
//! this fails: a test that can be skipped is a claim without proof.

#![allow(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use alerts::delivery::{Committed, Running, Stopped};
use schemas::alert::{Cohort, Escalation, Links};
use schemas::{Alert, AlertState, Decision, Span};
use serde_json::{Value, json};

#[path = "delivery_support/chain.rs"]
mod chain;
#[path = "../src/delivery/examples.rs"]
mod examples;
#[path = "delivery_support/receiver.rs"]
mod receiver;

use chain::Setup;
use examples::{firing, resolved};
use receiver::{Received, Receiver, answer, eventually};

const BINARY: &str = "prometheus-alertmanager";

/// How often it tells people of what still fires: at each chance, to see silences and inhibition;
/// or once, so that whatever else is told is told by mistake.
const OFTEN: &str = "1s";
const SELDOM: &str = "1h";

/// Longer than it needs to tell of anything more.
const QUIET: std::time::Duration = std::time::Duration::from_secs(3);

/// A running Alertmanager; killed and removed at the end.
struct Alertmanager {
    process: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Alertmanager {
    /// `repeat_interval`: after how long it tells people again of what still fires.
    fn start(notify: SocketAddr, repeat_interval: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        drop(listener);
        let name = format!("ringwatch-am-{}-{}", std::process::id(), address.port());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("created");
        let config = folder.join("alertmanager.yml");
        std::fs::write(&config, configuration(notify, repeat_interval)).expect("written");
        let process = spawn(&config, &folder, address);
        eventually(|| TcpStream::connect(address).ok());
        Self { process, address, folder }
    }

    /// All alerts it holds.
    fn alerts(&self) -> Vec<Value> {
        self.get("alerts?active=true")
    }

    /// All silences that last.
    fn silences(&self) -> Vec<Value> {
        let all = self.get("silences").into_iter();
        all.filter(|one| one["status"]["state"] != "expired").collect()
    }

    fn get(&self, path: &str) -> Vec<Value> {
        let url = format!("http://{}/api/v2/{path}", self.address);
        let mut answer = ureq::get(&url).call().expect("answered");
        let text = answer.body_mut().read_to_string().expect("text");
        serde_json::from_str(&text).expect("JSON")
    }

    /// The keys of a `[[destination]]` that posts to it.
    fn keys(&self) -> String {
        format!("\"type\":\"alertmanager\",\"url\":\"http://{}\"", self.address)
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

fn spawn(config: &Path, folder: &Path, address: SocketAddr) -> Child {
    let started = Command::new(BINARY)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.path={}", folder.join("storage").display()))
        .arg(format!("--web.listen-address={address}"))
        .arg("--cluster.listen-address=")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    started.unwrap_or_else(|error| {
        panic!("cannot start {BINARY} ({error}); install it: apt-get install {BINARY}")
    })
}

/// The rule that inhibits is the one of `deploy/`.
fn configuration(notify: SocketAddr, repeat_interval: &str) -> String {
    let deployed = include_str!("../../deploy/alertmanager.yml");
    let (_, rules) = deployed.split_once("inhibit_rules:").expect("a rule that inhibits");
    format!(
        "route: {{receiver: hook, group_by: [fingerprint], group_wait: 0s, \
         group_interval: 1s, repeat_interval: {repeat_interval}}}\n\
         receivers: [{{name: hook, webhook_configs: [{{url: 'http://{notify}/', \
         send_resolved: true}}]}}]\n\
         inhibit_rules:{rules}"
    )
}

/// What was notified, in order: state and id of each alert.
fn told(receiver: &Receiver) -> Vec<(String, String)> {
    let mut told = Vec::new();
    for notification in receiver.received() {
        let body: Value = serde_json::from_slice(&notification.body).expect("JSON");
        for alert in body["alerts"].as_array().expect("alerts") {
            let text = |value: &Value| value.as_str().expect("text").to_owned();
            told.push((text(&alert["status"]), text(&alert["annotations"]["id"])));
        }
    }
    told
}

/// An alert that has everything that an annotation can say.
fn full(alert: Alert) -> Alert {
    let runbook = Some("https://example.com/runbook/os_crash".to_owned());
    let cohort = Cohort { key: "model".to_owned(), value: "x1".to_owned(), share: 0.8 };
    Alert {
        escalation: Some(Escalation::B),
        cohort: Some(cohort),
        links: Links { runbook, ..Links::default() },
        ..alert
    }
}

/// All annotations of such an alert.
fn annotations(alert: &Alert) -> Value {
    json!({
        "summary": alert.summary,
        "action": alert.action.what,
        "owner": "service",
        "evidence": serde_json::to_string(&alert.evidence).expect("JSON"),
        "id": alert.id,
        "transition": alert.transition.to_string(),
        "state": alert.state.name(),
        "change_type": "quality",
        "escalation": "B",
        "cohort": "model=x1 (80 %)",
        "runbook_url": "https://example.com/runbook/os_crash",
    })
}

fn count(receiver: &Receiver, state: &str, id: &str) -> usize {
    let told = told(receiver);
    told.iter().filter(|(one, about)| one == state && about == id).count()
}

#[test]
fn an_alert_fires_is_repeated_and_resolves_with_one_notification_each() {
    let notified = Receiver::start(Box::new(|_, stream| answer(stream, 200, "")));
    let alertmanager = Alertmanager::start(notified.address, SELDOM);
    let setup = Setup { speed: 600, ..Setup::default() };
    let running = setup.start(&alertmanager.keys());

    let (begun, over) = (full(firing("kb\"1\"")), full(resolved("kb\"1\"")));
    running.feed.offer(setup.chain.commit(std::slice::from_ref(&begun)));
    let held = eventually(|| alertmanager.alerts().pop());
    assert_eq!(held["labels"]["alertname"], "RingwatchRollback");
    assert_eq!(held["labels"]["change"], "kb\"1\"");
    assert_eq!(held["labels"]["severity"], "critical");
    assert_eq!(held["status"]["state"], "active");
    assert_eq!(held["annotations"]["action"], "roll back kb\"1\"");
    let evidence = held["annotations"]["evidence"].as_str().expect("text");
    let evidence: Value = serde_json::from_str(evidence).expect("JSON");
    assert_eq!(evidence["treated"]["affected"], 8);

    // Its clock runs 600 times as fast: a tenth of a second between repeats.
    let renewed = |alerts: Vec<Value>| {
        alerts.into_iter().find(|alert| alert["updatedAt"] != held["updatedAt"])
    };
    let later = eventually(|| renewed(alertmanager.alerts()));
    assert!(later["endsAt"].as_str() > held["endsAt"].as_str(), "the end moves on");
    assert_eq!(later["fingerprint"], held["fingerprint"]);
    assert_eq!(later["annotations"], held["annotations"]);

    running.feed.offer(setup.chain.commit(std::slice::from_ref(&over)));
    eventually(|| alertmanager.alerts().is_empty().then_some(()));
    notified.wait_for(2);
    // Further posts of the resolved alert, a tenth of a second apart, are no news either.
    std::thread::sleep(QUIET);
    let notifications = notified.received();
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);
    let said = |one: &Received| serde_json::from_slice::<Value>(&one.body).expect("JSON");
    let said: Vec<Value> = notifications.iter().map(said).collect();
    assert_eq!([&said[0]["status"], &said[1]["status"]], ["firing", "resolved"]);
    assert_eq!(said.len(), 2);
    for (said, alert) in said.iter().zip([&begun, &over]) {
        assert_eq!(said["alerts"][0]["annotations"], annotations(alert), "in full");
    }
    assert_eq!(notifications[0].headers["content-type"], "application/json");
    assert!(notifications[0].at < notifications[1].at);
}

#[test]
fn what_is_acknowledged_is_silent_until_it_is_over_and_a_restart_makes_no_second_silence() {
    let notified = Receiver::start(Box::new(|_, stream| answer(stream, 200, "")));
    let alertmanager = Alertmanager::start(notified.address, OFTEN);
    let setup = Setup { speed: 600, ..Setup::default() };
    let running = setup.start(&alertmanager.keys());
    running.feed.offer(setup.chain.commit(&[firing("kb1")]));
    eventually(|| (count(&notified, "firing", "rw-kb1") >= 2).then_some(()));

    let state = AlertState::Acknowledged;
    running.feed.offer(setup.chain.commit(&[Alert { state, transition: 2, ..firing("kb1") }]));
    let silence = eventually(|| alertmanager.silences().pop());
    assert_eq!(silence["createdBy"], "ringwatch");
    assert_eq!(silence["matchers"][0]["value"], "fingerprint-kb1");
    assert!(silence["comment"].as_str().expect("text").contains("rw-kb1"));
    eventually(|| (alertmanager.get("alerts?silenced=false").is_empty()).then_some(()));
    std::thread::sleep(std::time::Duration::from_millis(1_200));
    let heard = count(&notified, "firing", "rw-kb1");
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(count(&notified, "firing", "rw-kb1"), heard, "it was told again");
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);

    let running = setup.start(&alertmanager.keys());
    running.feed.offer(setup.chain.commit(&[firing("kb2")]));
    eventually(|| (count(&notified, "firing", "rw-kb2") > 0).then_some(()));
    let silences = alertmanager.silences();
    assert_eq!(silences.len(), 1, "{silences:?}");
    assert_eq!(silences[0]["id"], silence["id"]);

    running.feed.offer(setup.chain.commit(&[Alert { transition: 3, ..resolved("kb1") }]));
    eventually(|| alertmanager.silences().is_empty().then_some(()));
    eventually(|| (count(&notified, "resolved", "rw-kb1") > 0).then_some(()));
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);
    assert_eq!(count(&notified, "resolved", "rw-kb1"), 1);
    assert_eq!(count(&notified, "firing", "rw-kb1"), heard);
}

#[test]
fn what_is_muted_is_silent_until_that_ends_and_a_restart_makes_no_second_silence() {
    let notified = Receiver::start(Box::new(|_, stream| answer(stream, 200, "")));
    let alertmanager = Alertmanager::start(notified.address, OFTEN);
    let setup = Setup { speed: 600, ..Setup::default() };
    let running = setup.start(&alertmanager.keys());
    running.feed.offer(setup.chain.commit(&[firing("kb1"), firing("kb2")]));
    for id in ["rw-kb1", "rw-kb2"] {
        eventually(|| (count(&notified, "firing", id) >= 2).then_some(()));
    }

    let muted = vec!["rw-kb1".to_owned()];
    running.feed.offer(setup.chain.push(Committed { muted, ..Committed::default() }));
    let silence = eventually(|| alertmanager.silences().pop());
    assert_eq!(silence["createdBy"], "ringwatch");
    assert_eq!(silence["matchers"][0]["value"], "fingerprint-kb1");
    assert!(silence["comment"].as_str().expect("text").contains("rw-kb1 is muted"));
    eventually(|| (alertmanager.get("alerts?silenced=false").len() == 1).then_some(()));
    std::thread::sleep(std::time::Duration::from_millis(1_200));
    let heard = ["rw-kb1", "rw-kb2"].map(|id| count(&notified, "firing", id));
    let posted = alertmanager.get("alerts?filter=change=kb1").pop().expect("it stands");
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);

    let running = setup.start(&alertmanager.keys());
    std::thread::sleep(QUIET);
    let later = alertmanager.get("alerts?filter=change=kb1").pop().expect("it stands");
    assert!(later["updatedAt"].as_str() > posted["updatedAt"].as_str(), "and is repeated");
    assert_eq!(count(&notified, "firing", "rw-kb1"), heard[0], "it was told again");
    assert!(count(&notified, "firing", "rw-kb2") > heard[1], "nobody was told anything");
    let silences = alertmanager.silences();
    assert_eq!(silences.len(), 1, "{silences:?}");
    assert_eq!(silences[0]["id"], silence["id"]);
    assert_eq!(count(&notified, "resolved", "rw-kb1"), 0);

    // What still fires when a silence ends is told anew.
    running.feed.offer(setup.chain.commit(&[Alert { transition: 2, ..firing("kb1") }]));
    eventually(|| alertmanager.silences().is_empty().then_some(()));
    eventually(|| (count(&notified, "firing", "rw-kb1") > heard[0]).then_some(()));
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);
}

#[test]
fn a_rollback_inhibits_the_hold_of_the_same_change_and_ring_and_no_other() {
    let notified = Receiver::start(Box::new(|_, stream| answer(stream, 200, "")));
    let alertmanager = Alertmanager::start(notified.address, OFTEN);
    let setup = Setup { speed: 600, ..Setup::default() };
    let running = setup.start(&alertmanager.keys());
    let hold = |id: &str, ring: &str| Alert {
        id: id.to_owned(),
        fingerprint: id.to_owned(),
        decision: Decision::Hold,
        ring: ring.to_owned(),
        ..firing("kb1")
    };
    running.feed.offer(setup.chain.commit(&[firing("kb1")]));
    eventually(|| (count(&notified, "firing", "rw-kb1") > 0).then_some(()));
    let holds = [hold("rw-here", "first"), hold("rw-elsewhere", "last")];
    running.feed.offer(setup.chain.commit(&holds));
    eventually(|| (count(&notified, "firing", "rw-elsewhere") >= 2).then_some(()));
    assert_eq!(count(&notified, "firing", "rw-here"), 0);
    let inhibited = alertmanager.get("alerts?active=false&inhibited=true");
    assert_eq!(inhibited.len(), 1, "{inhibited:?}");
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);
}

/// Its clock on the wall is behind ours, so that the four minutes until an alert ends by itself
/// are a few seconds here.
#[test]
fn an_alert_whose_sender_died_ends_by_itself_and_is_the_same_one_after_a_restart() {
    let notified = Receiver::start(Box::new(|_, stream| answer(stream, 200, "")));
    let alertmanager = Alertmanager::start(notified.address, SELDOM);
    let behind = Span::seconds(4 * 60 - 5);
    let setup = Setup { speed: 600, behind, ..Setup::default() };
    let running = setup.start(&alertmanager.keys());
    running.feed.offer(setup.chain.commit(&[firing("kb1")]));
    let held = eventually(|| alertmanager.alerts().pop());
    eventually(|| (count(&notified, "firing", "rw-kb1") > 0).then_some(()));
    // A quick restart: it has not ended, and is not told of as over.
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);
    let running = setup.start(&alertmanager.keys());
    std::thread::sleep(std::time::Duration::from_secs(6));
    assert_eq!(count(&notified, "resolved", "rw-kb1"), 0);
    let renewed = alertmanager.alerts();
    assert_eq!(renewed.len(), 1);
    assert_eq!(renewed[0]["fingerprint"], held["fingerprint"]);

    assert_eq!(Running::stop(vec![running]), Stopped::Finished);
    eventually(|| (count(&notified, "resolved", "rw-kb1") > 0).then_some(()));
    assert!(alertmanager.alerts().is_empty());
    let running = setup.start(&alertmanager.keys());
    let again = eventually(|| alertmanager.alerts().pop());
    assert_eq!(again["fingerprint"], held["fingerprint"], "the same alert");
    assert_eq!(again["annotations"], held["annotations"]);
    eventually(|| (told(&notified).len() == 3).then_some(()));
    std::thread::sleep(QUIET);
    let told = told(&notified).into_iter().map(|(state, _)| state).collect::<Vec<_>>();
    assert_eq!(told, ["firing", "resolved", "firing"], "one notification each");
    assert_eq!(Running::stop(vec![running]), Stopped::Finished);
}
