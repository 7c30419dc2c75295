//! Microsoft Teams: an adaptive card through a workflow ("when a webhook request is received").
//!
//! Source: learn.microsoft.com, "Create incoming webhooks with Workflows", "Use connectors and
//! webhooks" and <https://adaptivecards.io/explorer>: a message has 28 KB at most. Text blocks and fact sets
//! read Markdown; the runs of a rich text block do not, so that everything stands in these.

use serde_json::{Value, json};

use super::http::Request;
use super::limited;
use super::message::{facts, loudest_first, state, title};
use super::repeat::Item;

/// 19,000 for alerts that are told with all their facts, loudest first. The rest has a line each:
/// ten of these (`ALERTS_MAX`) take 5,000 at most, and with the frame it stays below 28 KB.
const WHOLE_BYTES_MAX: usize = 19_000;
const TITLE_BYTES_MAX: usize = 200;
const SUMMARY_BYTES_MAX: usize = 1_000;
const LINE_BYTES_MAX: usize = 200;

pub(crate) struct Teams(String);

impl std::fmt::Debug for Teams {
    /// The address is the secret.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Teams")
    }
}

impl Teams {
    pub(crate) fn new(url: String) -> Self {
        Self(url)
    }

    pub(crate) fn request(&self, items: &[Item]) -> Request {
        let items = &loudest_first(items);
        let large = json!({"size": "Large", "weight": "Bolder"});
        let mut body = vec![rich(&[run(&title(items, TITLE_BYTES_MAX), &large)])];
        let mut bytes = 0;
        for item in items {
            let whole = spelled_out(item);
            let fits = bytes + size(&whole) <= WHOLE_BYTES_MAX;
            let blocks = if fits { whole } else { vec![in_short(item)] };
            bytes += size(&blocks);
            body.extend(blocks);
        }
        let card = json!({
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard", "version": "1.4", "body": body,
        });
        let content_type = "application/vnd.microsoft.card.adaptive";
        let attachment = json!({"contentType": content_type, "contentUrl": null, "content": card});
        let message = json!({"type": "message", "attachments": [attachment]});
        Request { url: self.0.clone(), headers: Vec::new(), body: super::http::json(&message) }
    }
}

fn spelled_out(item: &Item) -> Vec<Value> {
    let (plain, bold) = (json!({}), json!({"weight": "Bolder"}));
    let summary = limited(&item.alert.summary, SUMMARY_BYTES_MAX);
    let fact = |(name, value): (&str, String)| {
        rich(&[run(&format!("{name}: "), &bold), run(&value, &plain)])
    };
    let facts = facts(&item.alert).into_iter().map(fact);
    std::iter::once(rich(&[run(&summary, &plain)])).chain(facts).collect()
}

/// An alert for whose facts there is no room.
fn in_short(item: &Item) -> Value {
    let line = format!("{}: {}", state(&item.alert), item.alert.summary);
    rich(&[run(&limited(&line, LINE_BYTES_MAX), &json!({}))])
}

fn size(blocks: &[Value]) -> usize {
    blocks.iter().map(|block| block.to_string().len()).sum()
}

fn rich(runs: &[Value]) -> Value {
    json!({"type": "RichTextBlock", "inlines": runs})
}

fn run(text: &str, style: &Value) -> Value {
    let mut run = json!({"type": "TextRun", "text": text});
    for (key, value) in style.as_object().into_iter().flatten() {
        run[key] = value.clone();
    }
    run
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::delivery::examples::{firing, resolved};
    use crate::delivery::hostile::{assert_nothing_misleads, hostile};
    use crate::delivery::message::ALERTS_MAX;

    fn message(items: &[Item]) -> Value {
        let request = Teams::new("https://prod.logic.azure.com/x".to_owned()).request(items);
        assert!(request.body.len() < 28_000, "{} bytes", request.body.len());
        serde_json::from_slice(&request.body).expect("JSON")
    }

    #[test]
    fn an_alert_is_a_card_of_a_title_a_sentence_and_its_facts() {
        let message = message(&[Item::new(Arc::new(firing("kb1")))]);
        let rich = |runs: Value| json!({"type": "RichTextBlock", "inlines": runs});
        let fact = |name: &str, value: &str| {
            let name = format!("{name}: ");
            rich(json!([
                {"type": "TextRun", "text": name, "weight": "Bolder"},
                {"type": "TextRun", "text": value},
            ]))
        };
        let title = "[CRITICAL] rollback: kb1 in ring first";
        let evidence =
            "8 of 500 devices with it, 25 of 9500 without; 6.1x as likely (at least 2.4)";
        let summary = "kb1 makes os_crash 6.1x as likely in ring first";
        let card = json!({
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard", "version": "1.4", "body": [
                rich(json!([
                    {"type": "TextRun", "text": title, "size": "Large", "weight": "Bolder"},
                ])),
                rich(json!([{"type": "TextRun", "text": summary}])),
                fact("Action", "roll back kb1"), fact("Owner", "service"),
                fact("Signal", "os_crash"), fact("Change", "kb1 (quality)"), fact("Ring", "first"),
                fact("Evidence", evidence), fact("Since", "2026-07-19T04:00:00Z"),
                fact("Alert", "rw-kb1 (1)"),
            ],
        });
        let content_type = "application/vnd.microsoft.card.adaptive";
        let attachment = json!({"contentType": content_type, "contentUrl": null, "content": card});
        assert_eq!(message, json!({"type": "message", "attachments": [attachment]}));
    }

    /// The texts of a card, in order.
    fn texts(items: &[Item]) -> Vec<String> {
        let message = message(items);
        let body = message["attachments"][0]["content"]["body"].as_array().expect("blocks").clone();
        let text = |block: &Value| block["inlines"][0]["text"].as_str().expect("text").to_owned();
        body.iter().map(text).collect()
    }

    #[test]
    fn the_loudest_comes_first_and_what_has_no_room_is_named_in_short() {
        let usual: Vec<Item> = (0..ALERTS_MAX)
            .map(|number| Item::new(Arc::new(resolved(&format!("kb{number}")))))
            .chain([Item::new(Arc::new(firing("loud")))])
            .skip(1)
            .collect();
        let said = texts(&usual);
        assert!(said[0].starts_with("[CRITICAL] rollback: loud in ring first"), "{}", said[0]);
        let named = |text: &&String| text.contains(" makes os_crash ");
        assert_eq!(said.iter().filter(named).count(), ALERTS_MAX, "a full group is named");

        let said = texts(&vec![Item::new(Arc::new(hostile())); ALERTS_MAX]);
        let whole = said.iter().filter(|text| text.starts_with("Action")).count();
        let in_short = said.iter().filter(|text| text.starts_with("CRITICAL: ")).count();
        assert!(whole > 0 && in_short > 0, "{whole} and {in_short}");
        assert_eq!(whole + in_short, ALERTS_MAX, "each is named");
    }

    #[test]
    fn many_hostile_alerts_fit_and_are_never_read_as_markdown() {
        let items = vec![Item::new(Arc::new(hostile())); ALERTS_MAX];
        let message = message(&items);
        assert_nothing_misleads(&message);
        let body = message["attachments"][0]["content"]["body"].as_array().expect("blocks").clone();
        assert!(body.len() > 10 && body.iter().all(|block| block["type"] == "RichTextBlock"));
    }
}
