//! An alert whose every text is what a device or the registry could make of it at worst.

use schemas::Alert;
use schemas::text::misleads;
use serde_json::Value;

use super::examples::firing;

/// What a device or the registry could make of every text that it controls.
pub(crate) fn hostile() -> Alert {
    let bad = "<!channel> *x* [a](http://b) </p><script>alert(1)</script> \"\\\r\nBcc: x@y \
               \u{202e}ä\u{2028}";
    let long = bad.repeat(400);
    let change = limited_to(&long, 128);
    let mut alert = firing(&change);
    // Follows from a digest, whatever they say: only its length is theirs to imagine.
    alert.id = "rw-".repeat(100);
    alert.summary.clone_from(&long);
    alert.action.what.clone_from(&long);
    alert.ring = limited_to(&long, 128);
    alert.signal = limited_to(&long, 256);
    alert.links.runbook = Some(long);
    alert
}

fn limited_to(text: &str, count: usize) -> String {
    text.chars().take(count).collect()
}

/// Fails where a text of a body holds what misleads; line ends are the body's own.
pub(crate) fn assert_nothing_misleads(body: &Value) {
    match body {
        Value::String(text) => {
            let found = text.chars().find(|&letter| misleads(letter) && letter != '\n');
            assert_eq!(found, None, "{text}");
        }
        Value::Array(values) => values.iter().for_each(assert_nothing_misleads),
        Value::Object(fields) => fields.values().for_each(assert_nothing_misleads),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
