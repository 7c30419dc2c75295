//! Slack: a message of blocks through an incoming webhook.
//!
//! Source: <https://docs.slack.dev/reference/block-kit/blocks>: at most 50 blocks, 150 characters
//! in a header, 3,000 in a section, 10 fields of 2,000. What comes from devices or the registry
//! stands in `plain_text` only, in which nothing is markup; the fallback escapes `&`, `<` and `>`.

use serde_json::{Value, json};

use super::http::Request;
use super::limited;
use super::message::{facts, loudest_first, title};
use super::repeat::Item;

const HEADER_BYTES_MAX: usize = 150;
const SECTION_BYTES_MAX: usize = 3_000;
const FIELDS_MAX: usize = 10;
/// Room for the fallback that notifications show.
const TEXT_BYTES_MAX: usize = 1_000;

#[derive(Debug)]
pub(crate) struct Slack(Hidden);

/// The address, which is the secret.
struct Hidden(String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Hidden")
    }
}

impl Slack {
    pub(crate) fn new(url: String) -> Self {
        Self(Hidden(url))
    }

    pub(crate) fn request(&self, items: &[Item]) -> Request {
        let items = &loudest_first(items);
        let mut blocks =
            vec![json!({"type": "header", "text": plain(&title(items, HEADER_BYTES_MAX))})];
        for item in items {
            let summary = limited(&item.alert.summary, SECTION_BYTES_MAX);
            let field = |(name, value): (&str, String)| plain(&format!("{name}\n{value}"));
            let fields: Vec<Value> = facts(&item.alert).into_iter().map(field).collect();
            blocks.push(json!({"type": "section", "text": plain(&summary)}));
            let fields = fields.chunks(FIELDS_MAX);
            blocks.extend(fields.map(|fields| json!({"type": "section", "fields": fields})));
            blocks.push(json!({"type": "divider"}));
        }
        let fallback = format!("{}: {}", title(items, HEADER_BYTES_MAX), items[0].alert.summary);
        let text = escaped(&limited(&fallback, TEXT_BYTES_MAX));
        let message = json!({"text": text, "blocks": blocks});
        Request { url: self.0.0.clone(), headers: Vec::new(), body: super::http::json(&message) }
    }
}

/// Text in which nothing is markup, an emoji or a mention.
fn plain(text: &str) -> Value {
    json!({"type": "plain_text", "text": text, "emoji": false})
}

/// Source: <https://docs.slack.dev/messaging/formatting-message-text>, "Escaping text".
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use schemas::Alert;

    use super::*;
    use crate::delivery::examples::{firing, resolved};
    use crate::delivery::hostile::{assert_nothing_misleads, hostile};
    use crate::delivery::message::ALERTS_MAX;

    fn message(items: &[Item]) -> Value {
        let request =
            Slack::new("https://hooks.slack.com/services/T/B/X".to_owned()).request(items);
        serde_json::from_slice(&request.body).expect("JSON")
    }

    #[test]
    fn an_alert_is_a_header_a_sentence_and_its_facts() {
        let items = [Item::new(Arc::new(firing("kb1")))];
        let summary = "kb1 makes os_crash 6.1x as likely in ring first";
        let plain = |text: &str| json!({"type": "plain_text", "text": text, "emoji": false});
        let evidence =
            "Evidence\n8 of 500 devices with it, 25 of 9500 without; 6.1x as likely (at least 2.4)";
        let expected = json!({
            "text": format!("[CRITICAL] rollback: kb1 in ring first: {summary}"),
            "blocks": [
                {"type": "header", "text": plain("[CRITICAL] rollback: kb1 in ring first")},
                {"type": "section", "text": plain(summary)},
                {"type": "section", "fields": [
                    plain("Action\nroll back kb1"), plain("Owner\nservice"),
                    plain("Signal\nos_crash"), plain("Change\nkb1 (quality)"), plain("Ring\nfirst"),
                    plain(evidence), plain("Since\n2026-07-19T04:00:00Z"),
                    plain("Alert\nrw-kb1 (1)"),
                ]},
                {"type": "divider"},
            ],
        });
        assert_eq!(message(&items), expected);
    }

    #[test]
    fn what_fires_makes_the_title_and_every_alert_of_a_group_is_named() {
        let items: Vec<Item> = (1..ALERTS_MAX)
            .map(|number| Item::new(Arc::new(resolved(&format!("kb{number}")))))
            .chain([Item::new(Arc::new(firing("loud")))])
            .collect();
        let message = message(&items);
        let title = "[CRITICAL] rollback: loud in ring first (and 9 more)";
        assert_eq!(message["blocks"][0]["text"]["text"], title);
        let said = message["blocks"].to_string();
        assert!(items.iter().all(|item| said.contains(&format!("{} (", item.alert.id))), "{said}");
    }

    #[test]
    fn many_hostile_alerts_stay_within_the_limits_of_blocks_and_mention_nobody() {
        let named = |number: usize| Alert { id: format!("rw-{number}"), ..hostile() };
        let items: Vec<Item> =
            (0..ALERTS_MAX).map(|number| Item::new(Arc::new(named(number)))).collect();
        let message = message(&items);
        assert_nothing_misleads(&message);
        let blocks = message["blocks"].as_array().expect("a list");
        assert!(blocks.len() <= 50, "{}", blocks.len());
        assert!(!message["text"].as_str().expect("text").contains("<!channel>"));
        let said = message["blocks"].to_string();
        assert!(items.iter().all(|item| said.contains(&format!("{} (", item.alert.id))), "{said}");
        for block in blocks {
            let length = |text: &Value| text["text"].as_str().expect("text").chars().count();
            let header_max = if block["type"] == "header" { 150 } else { 3_000 };
            assert!(block.get("text").is_none_or(|text| (1..=header_max).contains(&length(text))));
            let fields = block["fields"].as_array().cloned().unwrap_or_default();
            assert!(fields.len() <= 10 && fields.iter().all(|field| length(field) <= 2_000));
            let texts = block.get("text").into_iter().chain(&fields);
            assert!(texts.into_iter().all(|text| text["type"] == "plain_text"));
        }
    }
}
