//! `ServiceNow`: events of event management (`em_event`), in the list form of the inbound API.
//!
//! Source: "Event Management", `em_event` and `/api/global/em/jsonv2`: `message_key` names the
//! alert that events belong to; severity 1 to 5, and 0 clears it; columns of 100 characters, 1,024
//! of the key and 4,000 of the description; `additional_info` is JSON as a string, for which no
//! width is published.

use schemas::alert::{Action, Cohort};
use schemas::{Alert, AlertState, Severity, Timestamp};
use serde_json::json;

use super::http::Request;
use super::limited;
use super::secret::Token;

/// Where events go, below the address of the instance.
const PATH: &str = "/api/global/em/jsonv2";
const COLUMN_BYTES_MAX: usize = 100;
const KEY_BYTES_MAX: usize = 1_024;
const DESCRIPTION_BYTES_MAX: usize = 4_000;
/// 500 bytes of each longer text in `additional_info`: all of it stays below 4,000, as wide as a
/// description, and no JSON is cut.
const INFO_TEXT_BYTES_MAX: usize = 500;

#[derive(Debug)]
pub(crate) struct ServiceNow {
    url: String,
    token: Token,
}

impl ServiceNow {
    /// `address` with or without the path of the API.
    pub(crate) fn new(address: &str, token: &Token) -> Self {
        let base = address.trim_end_matches('/').trim_end_matches(PATH);
        Self { url: format!("{base}{PATH}"), token: token.clone() }
    }

    pub(crate) fn request(&self, alert: &Alert) -> Request {
        let body = super::http::json(&json!({"records": [event(alert)]}));
        let headers = vec![("authorization", self.token.authorization())];
        Request { url: self.url.clone(), headers, body }
    }
}

fn event(alert: &Alert) -> serde_json::Value {
    let severity = match (alert.state, alert.severity) {
        (AlertState::Resolved, _) => "0",
        (_, Severity::Critical) => "1",
        (_, Severity::Warning) => "3",
        (_, Severity::Info) => "5",
    };
    let column = |text: &str| limited(text, COLUMN_BYTES_MAX);
    json!({
        "source": "ringwatch",
        "event_class": "ringwatch",
        "node": column(if alert.ring.is_empty() { "fleet" } else { &alert.ring }),
        "resource": column(&alert.change),
        "type": column(&alert.signal),
        "metric_name": column(alert.decision.name()),
        "message_key": limited(&alert.id, KEY_BYTES_MAX),
        "severity": severity,
        "time_of_event": time_of_event(alert.updated_at),
        "description": limited(&alert.summary, DESCRIPTION_BYTES_MAX),
        "additional_info": additional_info(alert).to_string(),
    })
}

fn additional_info(alert: &Alert) -> serde_json::Value {
    let column = |text: &str| limited(text, COLUMN_BYTES_MAX);
    let what = limited(&alert.action.what, INFO_TEXT_BYTES_MAX);
    let cohort = alert.cohort.as_ref().map(|cohort| {
        let (key, value) = (column(&cohort.key), column(&cohort.value));
        Cohort { key, value, ..cohort.clone() }
    });
    json!({
        "decision": alert.decision, "escalation": alert.escalation, "state": alert.state,
        "change": column(&alert.change), "change_type": alert.change_type,
        "ring": column(&alert.ring), "action": Action { what, ..alert.action.clone() },
        "cohort": cohort, "evidence": alert.evidence, "id": column(&alert.id),
        "transition": alert.transition,
    })
}

/// `yyyy-MM-dd HH:mm:ss` in UTC.
fn time_of_event(at: Timestamp) -> String {
    let text = at.to_string();
    text.chars().take(19).collect::<String>().replace('T', " ")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::delivery::examples::{firing, resolved};
    use crate::delivery::hostile::{assert_nothing_misleads, hostile};

    fn record(alert: &Alert) -> Value {
        let token = Token::new("user:word").expect("a secret");
        let request = ServiceNow::new("https://x.service-now.com/", &token).request(alert);
        assert_eq!(request.url, "https://x.service-now.com/api/global/em/jsonv2");
        assert_eq!(request.headers, [("authorization", "Basic dXNlcjp3b3Jk".to_owned())]);
        serde_json::from_slice::<Value>(&request.body).expect("JSON")["records"][0].clone()
    }

    #[test]
    fn an_event_opens_an_alert_by_its_key_and_another_clears_it() {
        let mut found = record(&firing("kb1"));
        let info = found["additional_info"].take();
        let info: Value = serde_json::from_str(info.as_str().expect("text")).expect("JSON");
        assert_eq!(info["evidence"]["treated"]["affected"], 8);
        let expected = json!({
            "source": "ringwatch", "event_class": "ringwatch", "node": "first", "resource": "kb1",
            "type": "os_crash", "metric_name": "rollback", "message_key": "rw-kb1", "severity": "1",
            "time_of_event": "2026-07-19 04:00:00", "additional_info": null,
            "description": "kb1 makes os_crash 6.1x as likely in ring first",
        });
        assert_eq!(found, expected);
        let cleared = record(&resolved("kb1"));
        assert_eq!(
            (&cleared["severity"], &cleared["message_key"]),
            (&"0".into(), &"rw-kb1".into())
        );
    }

    #[test]
    fn columns_are_as_wide_as_published_and_the_rest_is_json_of_that_width() {
        let mut alert = hostile();
        let (key, value) = ("\"".repeat(4_000), alert.summary.clone());
        alert.cohort = Some(Cohort { key, value, share: 0.93 });
        let record = record(&alert);
        assert_nothing_misleads(&record);
        let info = record["additional_info"].as_str().expect("text");
        assert!(info.len() <= 4_000, "{} bytes", info.len());
        let info: Value = serde_json::from_str(info).expect("JSON that was not cut");
        assert_nothing_misleads(&info);
        assert!(info["action"]["what"].as_str().expect("text").starts_with("<!channel> *x*"));
        let columns = ["source", "event_class", "node", "resource", "type", "metric_name"];
        let longer = [("message_key", 1_024), ("description", 4_000)];
        for (key, max) in columns.map(|key| (key, 100)).into_iter().chain(longer) {
            assert!(record[key].as_str().expect("text").len() <= max, "{key}");
        }
    }
}
