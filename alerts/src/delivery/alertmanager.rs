//! Alertmanager, API v2: alerts with labels, annotations and an end that is renewed while firing.
//!
//! Source: <https://prometheus.io/docs/alerting/latest/clients/> and the description of its API:
//! labels name an alert; one whose `endsAt` has passed is resolved; annotations of the last post
//! replace those before, so every post holds them in full. `silences.rs`: what is acknowledged.

use std::cell::RefCell;
use std::time::Duration;

use schemas::{Alert, AlertState, Decision, Span, Timestamp};
use serde_json::{Value, json};
use ureq::http::Uri;

use super::http::{HttpClient, Request};
use super::repeat::Item;
use super::retry::Outcome;
use super::state::span;
use super::{heartbeat, limited};

mod silences;

use silences::Silences;

/// Where alerts are posted, below the configured address.
const PATH: &str = "/api/v2/alerts";

/// 4 min: what Prometheus uses for a repeat each minute; a sender that died is noticed then.
const FIRING_FOR: Span = Span::minutes(4);

/// Labels are kept in memory for each alert and compared often; our keys have 128 bytes at most.
const LABEL_BYTES_MAX: usize = 256;

/// Room for every summary and all evidence; a page with more is not read.
const ANNOTATION_BYTES_MAX: usize = 4_096;

#[derive(Debug)]
pub(crate) struct Alertmanager {
    url: String,
    silences: RefCell<Silences>,
    /// How long a sign of life stands: the next one comes before its end.
    alive_for: Span,
}

impl Alertmanager {
    /// `address` with or without the path of the API; `heartbeat` as it is configured.
    pub(crate) fn new(address: &str, heartbeat: Option<Duration>) -> Self {
        let base = address.trim_end_matches('/').trim_end_matches(PATH);
        let silences = RefCell::new(Silences::new(base));
        let alive_for = FIRING_FOR.max(span(heartbeat.unwrap_or_default() * 2));
        Self { url: format!("{base}{PATH}"), silences, alive_for }
    }

    /// First the silences, so that nobody is told of what is cared for already and everybody of
    /// what is over; they get half of the time at most.
    pub(crate) fn send(
        &self,
        http: &dyn HttpClient,
        items: &[Item],
        wall: Timestamp,
        at_most: Duration,
    ) -> Outcome {
        self.silences.borrow_mut().follow(http, items, wall, at_most / 2);
        Outcome::of(http.post(&self.request(items, wall), at_most / 2), wall)
    }

    fn request(&self, items: &[Item], wall: Timestamp) -> Request {
        let alerts: Vec<Value> = items.iter().map(|item| self.posted(item, wall)).collect();
        Request { url: self.url.clone(), headers: Vec::new(), body: super::http::json(&alerts) }
    }

    fn posted(&self, item: &Item, wall: Timestamp) -> Value {
        let alert = &item.alert;
        let ends_at = match alert.state {
            AlertState::Resolved => item.resolved_at.unwrap_or(wall),
            // Nothing repeats it but the next one.
            _ if alert.fingerprint == heartbeat::FINGERPRINT => wall.saturating_add(self.alive_for),
            _ => wall.saturating_add(FIRING_FOR),
        };
        // A start after its end is refused; event time may run ahead of our clock.
        let mut posted = json!({
            "labels": labels(alert),
            "annotations": annotations(alert),
            "startsAt": alert.starts_at.min(ends_at.saturating_add(Span::seconds(-1))),
            "endsAt": ends_at,
        });
        if let Some(dashboard) = alert.links.dashboard.as_ref().filter(|link| is_web_address(link))
        {
            posted["generatorURL"] = json!(dashboard);
        }
        posted
    }
}

fn labels(alert: &Alert) -> Value {
    json!({
        "alertname": name(alert.decision),
        "change": limited(&alert.change, LABEL_BYTES_MAX),
        "ring": limited(&alert.ring, LABEL_BYTES_MAX),
        "signal": limited(&alert.signal, LABEL_BYTES_MAX),
        "decision": alert.decision.name(),
        "severity": alert.severity.name(),
        "fingerprint": label_of_fingerprint(alert),
    })
}

fn label_of_fingerprint(alert: &Alert) -> String {
    limited(&alert.fingerprint, LABEL_BYTES_MAX)
}

fn annotations(alert: &Alert) -> Value {
    let evidence = super::http::json(&alert.evidence);
    let mut annotations = json!({
        "summary": limited(&alert.summary, ANNOTATION_BYTES_MAX),
        "action": limited(&alert.action.what, ANNOTATION_BYTES_MAX),
        "owner": alert.action.owner.name(),
        "evidence": limited(&String::from_utf8_lossy(&evidence), ANNOTATION_BYTES_MAX),
        "id": alert.id,
        "transition": alert.transition.to_string(),
        "state": alert.state.name(),
        "change_type": alert.change_type.name(),
    });
    if let Some(escalation) = alert.escalation {
        annotations["escalation"] = json!(escalation.name());
    }
    if let Some(cohort) = &alert.cohort {
        let text = format!("{}={} ({:.0} %)", cohort.key, cohort.value, cohort.share * 100.0);
        annotations["cohort"] = json!(limited(&text, ANNOTATION_BYTES_MAX));
    }
    if let Some(runbook) = &alert.links.runbook {
        annotations["runbook_url"] = json!(limited(runbook, ANNOTATION_BYTES_MAX));
    }
    annotations
}

const fn name(decision: Decision) -> &'static str {
    match decision {
        Decision::Clear => "RingwatchClear",
        Decision::Watch => "RingwatchWatch",
        Decision::Hold => "RingwatchHold",
        Decision::Rollback => "RingwatchRollback",
        Decision::Escalate => "RingwatchEscalate",
    }
}

/// Alertmanager refuses the whole post for one `generatorURL` that is no URI.
fn is_web_address(link: &str) -> bool {
    link.parse().is_ok_and(|uri: Uri| matches!(uri.scheme_str(), Some("http" | "https")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::delivery::examples::{firing, resolved};
    use crate::delivery::heartbeat::Heartbeat;
    use crate::delivery::hostile::{assert_nothing_misleads, hostile};

    const WALL: Timestamp = Timestamp(1_784_434_152_000_000); // 2026-07-19T04:09:12Z

    fn post(alert: Alert, resolved_at: Option<Timestamp>) -> Value {
        let items = [Item { resolved_at, ..Item::new(Arc::new(alert)) }];
        let request = Alertmanager::new("http://a:9093/", None).request(&items, WALL);
        serde_json::from_slice::<Value>(&request.body).expect("JSON")[0].clone()
    }

    #[test]
    fn no_label_and_no_annotation_misleads() {
        assert_nothing_misleads(&post(hostile(), None));
    }

    #[test]
    fn the_path_is_added_once() {
        for address in ["http://a:9093", "http://a:9093/", "http://a:9093/api/v2/alerts"] {
            assert_eq!(Alertmanager::new(address, None).url, "http://a:9093/api/v2/alerts");
        }
    }

    #[test]
    fn a_firing_alert_ends_four_minutes_from_now() {
        let posted = post(firing("kb1"), None);
        assert_eq!(posted["labels"]["alertname"], "RingwatchRollback");
        assert_eq!(posted["labels"]["change"], "kb1");
        assert_eq!(posted["endsAt"], "2026-07-19T04:13:12Z");
        let evidence: Value =
            serde_json::from_str(posted["annotations"]["evidence"].as_str().expect("text"))
                .expect("JSON in an annotation");
        assert_eq!(evidence["treated"]["affected"], 8);
    }

    #[test]
    fn a_sign_of_life_stands_until_the_next_but_one_is_due() {
        let ends_after = |every: Duration| {
            let alertmanager = Alertmanager::new("http://a:9093/", Some(every));
            let posted = alertmanager.posted(&Heartbeat::new(every).item(WALL), WALL);
            posted["endsAt"].as_str().expect("text").to_owned()
        };
        assert_eq!(ends_after(Duration::from_mins(5)), "2026-07-19T04:19:12Z");
        assert_eq!(ends_after(Duration::from_mins(1)), "2026-07-19T04:13:12Z");
        let alertmanager = Alertmanager::new("http://a:9093/", Some(Duration::from_hours(1)));
        let alert = alertmanager.posted(&Item::new(Arc::new(firing("kb1"))), WALL);
        assert_eq!(alert["endsAt"], "2026-07-19T04:13:12Z", "alerts are repeated each minute");
    }

    #[test]
    fn a_resolved_alert_keeps_the_end_it_was_first_posted_with() {
        assert_eq!(post(resolved("kb1"), None)["endsAt"], "2026-07-19T04:09:12Z");
        let earlier = Some(WALL - Span::minutes(3));
        assert_eq!(post(resolved("kb1"), earlier)["endsAt"], "2026-07-19T04:06:12Z");
    }

    #[test]
    fn an_alert_of_the_future_does_not_start_after_its_end() {
        let alert = Alert { starts_at: WALL + Span::hours(1), ..resolved("kb1") };
        assert_eq!(post(alert, None)["startsAt"], "2026-07-19T04:09:11Z");
    }

    #[test]
    fn long_and_hostile_values_are_limited_and_stay_values() {
        let alert = Alert {
            change: "x\"}],\n<script>".repeat(100),
            summary: "s".repeat(10_000),
            links: schemas::alert::Links {
                dashboard: Some("javascript:alert(1)".to_owned()),
                runbook: None,
            },
            ..firing("kb1")
        };
        let posted = post(alert, None);
        let change = posted["labels"]["change"].as_str().expect("text");
        assert!(change.len() <= LABEL_BYTES_MAX && change.starts_with("x\"}], <script>"));
        assert!(posted["annotations"]["summary"].as_str().expect("text").len() <= 4_096);
        assert_eq!(posted.get("generatorURL"), None);
    }
}
