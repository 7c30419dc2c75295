//! The real Alertmanager takes what is posted, forgets nothing while it is repeated, notifies
//! once when it fires and once when it is over.
//!
//! Needs `prometheus-alertmanager` (Debian: `apt-get install prometheus-alertmanager`). Without it
//! this fails: a test that can be skipped is a claim without proof.

#![allow(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use alerts::delivery::Stopped;
use serde_json::Value;

#[path = "delivery_support/chain.rs"]
mod chain;
#[path = "../src/delivery/examples.rs"]
mod examples;
#[path = "delivery_support/receiver.rs"]
mod receiver;

use chain::Setup;
use examples::{firing, resolved};
use receiver::{Receiver, answer, eventually};

const BINARY: &str = "prometheus-alertmanager";

/// A running Alertmanager; killed and removed at the end.
struct Alertmanager {
    process: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Alertmanager {
    fn start(notify: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        drop(listener);
        let folder = std::env::temp_dir().join(format!("ringwatch-am-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("created");
        let config = folder.join("alertmanager.yml");
        std::fs::write(&config, configuration(notify)).expect("written");
        let process = spawn(&config, &folder, address);
        eventually(|| TcpStream::connect(address).ok());
        Self { process, address, folder }
    }

    /// All alerts it holds, by `GET /api/v2/alerts`.
    fn alerts(&self) -> Vec<Value> {
        let url = format!("http://{}/api/v2/alerts?active=true", self.address);
        let mut answer = ureq::get(&url).call().expect("answered");
        let text = answer.body_mut().read_to_string().expect("text");
        serde_json::from_str(&text).expect("JSON")
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

fn configuration(notify: SocketAddr) -> String {
    format!(
        "route: {{receiver: hook, group_by: [fingerprint], group_wait: 0s, \
         group_interval: 1s, repeat_interval: 4h}}\n\
         receivers: [{{name: hook, webhook_configs: [{{url: 'http://{notify}/', \
         send_resolved: true}}]}}]\n"
    )
}

#[test]
fn an_alert_fires_is_repeated_and_resolves_with_one_notification_each() {
    let notified = Receiver::start(Box::new(|_, stream| answer(stream, 200, "")));
    let alertmanager = Alertmanager::start(notified.address);
    let keys = format!("\"type\":\"alertmanager\",\"url\":\"http://{}\"", alertmanager.address);
    let setup = Setup { speed: 600, ..Setup::default() };
    let running = setup.start(&keys);

    running.feed.offer(setup.chain.commit(&[firing("kb\"1\"")]));
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

    running.feed.offer(setup.chain.commit(&[resolved("kb\"1\"")]));
    eventually(|| alertmanager.alerts().is_empty().then_some(()));
    let notifications = notified.wait_for(2);
    assert_eq!(running.wait(), Stopped::Finished);
    let states: Vec<Value> = notifications
        .iter()
        .map(|one| serde_json::from_slice::<Value>(&one.body).expect("JSON")["status"].clone())
        .collect();
    assert_eq!(states, ["firing", "resolved"]);
    assert_eq!(notifications[0].headers["content-type"], "application/json");
    assert!(notifications[0].at < notifications[1].at);
}
