//! `PagerDuty`, Events API v2: an incident by its `dedup_key`, triggered, acknowledged, resolved.
//!
//! Source: <https://developer.pagerduty.com/docs/events-api-v2-overview> and "Send an Alert Event":
//! a request has 512 KB at most, a summary 1,024 characters, a `dedup_key` 255.

use schemas::{Alert, AlertState, Severity};
use serde_json::json;

use super::http::Request;
use super::limited;
use super::secret::Token;

/// Where events go, unless configured (the European service region has its own).
pub(super) const URL: &str = "https://events.pagerduty.com/v2/enqueue";
const SUMMARY_BYTES_MAX: usize = 1_024;
const KEY_BYTES_MAX: usize = 255;
/// Of each other text; all of them together stay far below 512 KB.
const TEXT_BYTES_MAX: usize = 4_096;

#[derive(Debug)]
pub(crate) struct PagerDuty {
    url: String,
    routing_key: Token,
}

impl PagerDuty {
    pub(crate) fn new(url: String, routing_key: Token) -> Self {
        Self { url, routing_key }
    }

    pub(crate) fn request(&self, alert: &Alert) -> Request {
        let action = match alert.state {
            AlertState::Resolved => "resolve",
            AlertState::Acknowledged => "acknowledge",
            AlertState::Pending | AlertState::Firing => "trigger",
        };
        let mut event = json!({
            "routing_key": self.routing_key.expose(),
            "event_action": action,
            "dedup_key": limited(&alert.id, KEY_BYTES_MAX),
            "client": "ringwatch",
            "payload": payload(alert),
        });
        if let Some(dashboard) = &alert.links.dashboard {
            event["client_url"] = json!(limited(dashboard, TEXT_BYTES_MAX));
        }
        if let Some(runbook) = &alert.links.runbook {
            let href = limited(runbook, TEXT_BYTES_MAX);
            event["links"] = json!([{"href": href, "text": "Runbook"}]);
        }
        Request { url: self.url.clone(), headers: Vec::new(), body: super::http::json(&event) }
    }
}

fn payload(alert: &Alert) -> serde_json::Value {
    let severity = match alert.severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Info => "info",
    };
    let text = |text: &str| limited(text, TEXT_BYTES_MAX);
    json!({
        "summary": limited(&alert.summary, SUMMARY_BYTES_MAX),
        "source": "ringwatch",
        "severity": severity,
        "timestamp": alert.updated_at,
        "component": text(&alert.ring),
        "group": text(&alert.change),
        "class": text(&alert.signal),
        "custom_details": {
            "action": text(&alert.action.what),
            "owner": alert.action.owner.name(),
            "decision": alert.decision.name(),
            "escalation": alert.escalation,
            "change_type": alert.change_type.name(),
            "cohort": alert.cohort.as_ref().map(|one| text(&format!("{}={}", one.key, one.value))),
            "evidence": alert.evidence,
            "id": alert.id,
            "transition": alert.transition,
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::delivery::examples::{firing, resolved};
    use crate::delivery::hostile::{assert_nothing_misleads, hostile};

    fn event(alert: &Alert) -> Value {
        let token = Token::new("R0UTINGKEY\n").expect("a key");
        let request = PagerDuty::new(URL.to_owned(), token).request(alert);
        assert!(request.body.len() < 512_000);
        serde_json::from_slice(&request.body).expect("JSON")
    }

    #[test]
    fn a_firing_alert_triggers_an_incident_with_all_that_is_known() {
        let expected = json!({
            "routing_key": "R0UTINGKEY",
            "event_action": "trigger",
            "dedup_key": "rw-kb1",
            "client": "ringwatch",
            "payload": {
                "summary": "kb1 makes os_crash 6.1x as likely in ring first",
                "source": "ringwatch",
                "severity": "critical",
                "timestamp": "2026-07-19T04:00:00Z",
                "component": "first",
                "group": "kb1",
                "class": "os_crash",
                "custom_details": {
                    "action": "roll back kb1", "owner": "service", "decision": "rollback",
                    "escalation": null, "change_type": "quality", "cohort": null,
                    "evidence": firing("kb1").evidence, "id": "rw-kb1", "transition": 1,
                },
            },
        });
        assert_eq!(event(&firing("kb1")), expected);
    }

    #[test]
    fn the_same_incident_is_acknowledged_and_resolved() {
        let acknowledged = Alert { state: AlertState::Acknowledged, ..firing("kb1") };
        for (alert, action) in [(acknowledged, "acknowledge"), (resolved("kb1"), "resolve")] {
            let event = event(&alert);
            assert_eq!(
                (&event["event_action"], &event["dedup_key"]),
                (&action.into(), &"rw-kb1".into())
            );
        }
    }

    #[test]
    fn texts_stay_within_the_published_limits() {
        let event = event(&hostile());
        assert_nothing_misleads(&event);
        assert!(event["payload"]["summary"].as_str().expect("text").chars().count() <= 1_024);
        assert!(event["dedup_key"].as_str().expect("text").len() <= 255);
    }
}
