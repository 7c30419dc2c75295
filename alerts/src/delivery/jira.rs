//! Jira Service Management: alerts of its operations, by the integration API of an API integration.
//!
//! Source: <https://developer.atlassian.com/cloud/jira/service-desk-ops/rest/v2>, integration
//! events: created, then closed or acknowledged by `alias`. Lengths: message 130, alias 512,
//! description 15,000, entity 512, a tag 50, all details 8,000.

use schemas::{Alert, AlertState, Severity};
use serde_json::json;

use super::http::Request;
use super::limited;
use super::message::facts;
use super::secret::Token;

/// Where alerts go, unless configured.
pub(super) const URL: &str = "https://api.atlassian.com/jsm/ops/integration/v2/alerts";
const MESSAGE_BYTES_MAX: usize = 130;
const ALIAS_BYTES_MAX: usize = 512;
const TAG_BYTES_MAX: usize = 50;
const DETAIL_BYTES_MAX: usize = 256;
const DESCRIPTION_BYTES_MAX: usize = 15_000;

#[derive(Debug)]
pub(crate) struct Jira {
    url: String,
    key: Token,
}

impl Jira {
    pub(crate) fn new(url: &str, key: &Token) -> Self {
        Self { url: url.trim_end_matches('/').to_owned(), key: key.clone() }
    }

    pub(crate) fn request(&self, alert: &Alert) -> Request {
        let step = match alert.state {
            AlertState::Resolved => Some("close"),
            AlertState::Acknowledged => Some("acknowledge"),
            AlertState::Pending | AlertState::Firing => None,
        };
        let (url, body) = match step {
            None => (self.url.clone(), created(alert)),
            Some(step) => {
                // Our ids have letters, digits and hyphens only; others are made so.
                let plain = |one: char| one.is_ascii_alphanumeric() || one == '-';
                let alias: String = alert.id.chars().filter(|&one| plain(one)).collect();
                let url = format!("{}/{alias}/{step}?identifierType=alias", self.url);
                let note = limited(&alert.summary, DESCRIPTION_BYTES_MAX);
                (url, json!({"source": "ringwatch", "user": "ringwatch", "note": note}))
            }
        };
        let headers = vec![("authorization", format!("GenieKey {}", self.key.expose()))];
        Request { url, headers, body: super::http::json(&body) }
    }
}

fn created(alert: &Alert) -> serde_json::Value {
    let priority = match alert.severity {
        Severity::Critical => "P1",
        Severity::Warning => "P3",
        Severity::Info => "P5",
    };
    let details: serde_json::Map<_, _> = facts(alert)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), json!(limited(&value, DETAIL_BYTES_MAX))))
        .collect();
    let description = format!("{}. {}", alert.summary, alert.action.what);
    let tags = [alert.decision.name(), alert.change_type.name(), &alert.signal];
    json!({
        "message": limited(&alert.summary, MESSAGE_BYTES_MAX),
        "alias": limited(&alert.id, ALIAS_BYTES_MAX),
        "description": limited(&description, DESCRIPTION_BYTES_MAX),
        "entity": limited(&alert.change, ALIAS_BYTES_MAX),
        "source": "ringwatch",
        "priority": priority,
        "tags": tags.map(|tag| limited(tag, TAG_BYTES_MAX)),
        "details": details,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::delivery::examples::{firing, resolved};
    use crate::delivery::hostile::{assert_nothing_misleads, hostile};

    fn request(alert: &Alert) -> (String, Value) {
        let request = Jira::new(URL, &Token::new("k3y").expect("a key")).request(alert);
        assert_eq!(request.headers, [("authorization", "GenieKey k3y".to_owned())]);
        (request.url.clone(), serde_json::from_slice(&request.body).expect("JSON"))
    }

    #[test]
    fn an_alert_is_created_under_its_alias_and_closed_by_it() {
        let (url, created) = request(&firing("kb1"));
        assert_eq!(url, URL);
        let text = "kb1 makes os_crash 6.1x as likely in ring first";
        let evidence =
            "8 of 500 devices with it, 25 of 9500 without; 6.1x as likely (at least 2.4)";
        let expected = json!({
            "message": text,
            "alias": "rw-kb1",
            "description": format!("{text}. roll back kb1"),
            "entity": "kb1",
            "source": "ringwatch",
            "priority": "P1",
            "tags": ["rollback", "quality", "os_crash"],
            "details": {
                "Action": "roll back kb1", "Owner": "service", "Signal": "os_crash",
                "Change": "kb1 (quality)", "Ring": "first", "Evidence": evidence,
                "Since": "2026-07-19T04:00:00Z", "Alert": "rw-kb1 (1)",
            },
        });
        assert_eq!(created, expected);
        let (url, closed) = request(&resolved("kb1"));
        assert_eq!(url, format!("{URL}/rw-kb1/close?identifierType=alias"));
        assert_eq!(closed, json!({"source": "ringwatch", "user": "ringwatch", "note": text}));
        let seen = Alert { state: AlertState::Acknowledged, ..firing("kb1") };
        assert_eq!(request(&seen).0, format!("{URL}/rw-kb1/acknowledge?identifierType=alias"));
    }

    #[test]
    fn lengths_are_those_published_and_no_id_leaves_its_path() {
        let (_, created) = request(&hostile());
        assert_nothing_misleads(&created);
        let lengths = [("message", 130), ("alias", 512), ("entity", 512), ("description", 15_000)];
        for (key, max) in lengths {
            assert!(created[key].as_str().expect("text").chars().count() <= max, "{key}");
        }
        let tags = created["tags"].as_array().expect("tags");
        assert!(tags.len() <= 20, "{tags:?}");
        assert!(tags.iter().all(|tag| tag.as_str().expect("text").chars().count() <= 50));
        assert!(created["details"].to_string().len() <= 8_000);
        let strange = Alert { id: "../x?y#z".to_owned(), ..resolved("kb1") };
        assert!(request(&strange).0.ends_with("/alerts/xyz/close?identifierType=alias"));
    }
}
