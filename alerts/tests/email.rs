//! Mail through a real SMTP server (`aiosmtpd`), parsed by Python's own mail parser; TLS that
//! nobody vouches for. The mails lie in `target/tmp/mails/` afterwards, to be looked at.
//!
//! Needs the project's `.venv` (`./dev setup`) and `openssl`. Without them this fails: a test that
//! can be skipped is a claim without proof.

#![allow(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::io::{BufRead, Read};
use std::path::PathBuf;

use alerts::delivery::{DestinationConfig, Outcome, UreqClient};
use schemas::{Alert, Timestamp};
use serde_json::{Value, json};

#[path = "../src/delivery/examples.rs"]
mod examples;
#[path = "../src/delivery/hostile.rs"]
mod hostile;
#[path = "delivery_support/server.rs"]
mod server;

use examples::{firing, resolved};
use hostile::{assert_nothing_misleads, hostile};
use server::Server;

const WALL: Timestamp = Timestamp(1_784_434_152_000_000);

impl Server {
    /// The next mail that it took.
    fn mail(&mut self) -> Value {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).expect("JSON")
    }

    /// Sends one alert with these further keys.
    fn send(&self, secret: &str, keys: &Value, alert: &Alert) -> Outcome {
        let file = self.folder.join("secret");
        std::fs::write(&file, secret).expect("written");
        let mut config = json!({
            "name": "mail", "type": "email", "url": format!("smtp://localhost:{}", self.port),
            "from": "ringwatch@example.com", "to": ["ops@example.com", "duty@example.com"],
            "secret_file": file, "request_timeout": "5s",
        });
        for (key, value) in keys.as_object().expect("keys") {
            config[key] = value.clone();
        }
        let config: DestinationConfig = serde_json::from_value(config).expect("keys");
        let destination = config.open().expect("usable");
        destination.send_once(&UreqClient::new(&destination), alert, WALL)
    }

    fn trusted(&self) -> Value {
        json!({"ca_file": self.folder.join("ca.pem")})
    }
}

/// Keeps the HTML of a mail for who wants to see it.
fn keep(name: &str, html: &Value) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("mails");
    std::fs::create_dir_all(&folder).expect("created");
    let text = html.as_str().expect("text");
    std::fs::write(folder.join(name).with_extension("html"), text).expect("written");
}

#[test]
fn a_mail_goes_over_tls_after_a_login_and_reads_the_same_in_both_bodies() {
    let mut server = Server::start("smtp.py", "mail", &[]);
    let trusted = server.trusted();
    let sent = server.send("ringwatch:correct-horse\n", &trusted, &firing("kb1"));
    assert_eq!(sent, Outcome::Accepted);
    let mail = server.mail();
    assert_eq!((&mail["tls"], &mail["login"]), (&json!(true), &json!("ringwatch")));
    assert_eq!(mail["to"], json!(["ops@example.com", "duty@example.com"]));
    let headers = &mail["headers"];
    assert_eq!(headers["subject"], "[CRITICAL] rollback: kb1 in ring first");
    assert_eq!(headers["message-id"], "<rw-kb1.1@example.com>");
    let (plain, html) = (&mail["bodies"]["text/plain"], &mail["bodies"]["text/html"]);
    keep("firing", html);
    for text in ["kb1 makes os_crash 6.1x as likely in ring first", "roll back kb1", "rw-kb1 (1)"] {
        for body in [plain, html] {
            assert!(body.as_str().expect("text").contains(text), "{text} in {body}");
        }
    }
    assert_eq!(
        server.send("ringwatch:correct-horse", &trusted, &resolved("kb1")),
        Outcome::Accepted
    );
    let over = server.mail();
    keep("resolved", &over["bodies"]["text/html"]);
    assert_eq!(over["headers"]["message-id"], "<rw-kb1.2@example.com>");
    assert_eq!(over["headers"]["references"], headers["references"], "one thread");
    assert_eq!(server.send("ringwatch:correct-horse", &trusted, &hostile()), Outcome::Accepted);
    let mail = server.mail();
    keep("hostile", &mail["bodies"]["text/html"]);
    assert_nothing_misleads(&mail["headers"]["subject"]);
    assert_eq!(mail["headers"].get("bcc"), None);
    assert_eq!(mail["to"].as_array().map(Vec::len), Some(2), "nobody was added");
}

#[test]
fn a_wrong_certificate_password_or_a_server_without_tls_gets_nothing() {
    let server = Server::start("smtp.py", "refused", &[]);
    let strange = server.send("ringwatch:correct-horse", &json!({}), &firing("kb1"));
    assert_eq!(strange.label(), "retried", "nobody signed for that certificate: {strange:?}");
    let wrong = server.send("ringwatch:wrong", &server.trusted(), &firing("kb1"));
    assert_eq!(wrong.label(), "gave_up", "{wrong:?}");
    assert!(!format!("{wrong:?}").contains("wrong"), "{wrong:?}");
    let plain = Server::start("smtp.py", "plain", &["plain"]);
    let refused = plain.send("ringwatch:correct-horse", &json!({}), &firing("kb1"));
    assert_eq!(refused.label(), "retried", "{refused:?}");
}

/// Its certificate is for the right name and still valid, but no authority of the web signed it.
#[test]
fn a_webhook_whose_certificate_nobody_vouches_for_gets_nothing() {
    let mut server = Server::start("https.py", "https", &[]);
    let config = json!({
        "name": "hook", "type": "webhook", "url": format!("https://localhost:{}/x", server.port),
        "request_timeout": "5s",
    });
    let config: DestinationConfig = serde_json::from_value(config).expect("keys");
    let destination = config.open().expect("usable");
    let http = UreqClient::new(&destination);
    let outcome = destination.send_once(&http, &firing("kb1"), WALL);
    assert_eq!(outcome.label(), "retried", "{outcome:?}");
    drop(server.process.stdin.take());
    let mut taken = String::new();
    server.said.read_to_string(&mut taken).expect("text");
    assert_eq!(taken, "", "a request went to somebody unknown");
}
