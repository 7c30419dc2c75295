//! Microsoft Teams: an adaptive card through a workflow ("when a webhook request is received").
//!
//! Source: learn.microsoft.com, "Create incoming webhooks with Workflows", "Use connectors and
//! webhooks" and <https://adaptivecards.io/explorer>: a message has 28 KB at most. Text blocks and fact sets
//! read Markdown; the runs of a rich text block do not, so that everything stands in these.

use serde_json::{Value, json};

use super::http::Request;
use super::limited;
use super::message::{facts, title};
use super::repeat::Item;

/// Below 28 KB with the frame around it.
const BODY_BYTES_MAX: usize = 24_000;
const TITLE_BYTES_MAX: usize = 200;
const SUMMARY_BYTES_MAX: usize = 1_000;

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
        let large = json!({"size": "Large", "weight": "Bolder"});
        let mut body = vec![rich(&[run(&title(items, TITLE_BYTES_MAX), &large)])];
        let mut bytes = 0;
        for item in items {
            let blocks = spelled_out(item);
            bytes += blocks.iter().map(|block| block.to_string().len()).sum::<usize>();
            // The first always fits; the title says how many there are.
            if bytes <= BODY_BYTES_MAX {
                body.extend(blocks);
            }
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
    use crate::delivery::examples::firing;
    use crate::delivery::hostile::hostile;

    fn message(items: &[Item]) -> Value {
        let request = Teams::new("https://prod.logic.azure.com/x".to_owned()).request(items);
        assert!(request.body.len() < 28_000, "{} bytes", request.body.len());
        serde_json::from_slice(&request.body).expect("JSON")
    }

    #[test]
    fn an_alert_is_a_card_of_a_title_a_sentence_and_its_facts() {
        let message = message(&[Item { alert: Arc::new(firing("kb1")), resolved_at: None }]);
        assert_eq!(message["type"], "message");
        let attachment = &message["attachments"][0];
        assert_eq!(attachment["contentType"], "application/vnd.microsoft.card.adaptive");
        let card = &attachment["content"];
        assert_eq!((&card["type"], &card["version"]), (&"AdaptiveCard".into(), &"1.4".into()));
        let title = "[CRITICAL] rollback: kb1 in ring first";
        let expected = json!({"type": "RichTextBlock", "inlines": [
            {"type": "TextRun", "text": title, "size": "Large", "weight": "Bolder"}]});
        assert_eq!(card["body"][0], expected);
        let expected = json!({"type": "RichTextBlock", "inlines": [
            {"type": "TextRun", "text": "Action: ", "weight": "Bolder"},
            {"type": "TextRun", "text": "roll back kb1"}]});
        assert_eq!(card["body"][2], expected);
    }

    #[test]
    fn many_hostile_alerts_fit_and_are_never_read_as_markdown() {
        let items = vec![Item { alert: Arc::new(hostile()), resolved_at: None }; 40];
        let message = message(&items);
        let body = message["attachments"][0]["content"]["body"].as_array().expect("blocks").clone();
        assert!(body.len() > 10 && body.iter().all(|block| block["type"] == "RichTextBlock"));
    }
}
