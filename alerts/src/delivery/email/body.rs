//! The two bodies of a mail: plain text, and HTML that mail programs of all ages show alike.
//!
//! Tables and inline styles only, no image, no script, no address that anything is loaded from.

use std::fmt::Write as _;

use schemas::{Alert, AlertState, Severity};

use super::super::limited;
use super::super::message::{facts, state};
use super::super::repeat::Item;

const SUMMARY_BYTES_MAX: usize = 2_000;

pub(super) fn text(items: &[Item]) -> String {
    let mut text = String::new();
    for item in items {
        let alert = &item.alert;
        let summary = limited(&alert.summary, SUMMARY_BYTES_MAX);
        // Writing to a String cannot fail.
        let _written = writeln!(text, "{}: {summary}\n", state(alert));
        for (name, value) in facts(alert) {
            let _written = writeln!(text, "{:<14}{value}", format!("{name}:"));
        }
        text.push('\n');
    }
    text.push_str("-- \nringwatch\n");
    text
}

pub(super) fn html(items: &[Item]) -> String {
    let parts: String = items.iter().map(|item| card(&item.alert)).collect();
    format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>ringwatch</title></head>\
         <body style=\"margin:0;padding:16px;background:#f2f3f5;color:#1b1f23;\
         font:15px/1.45 -apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif\">{parts}\
         <p style=\"color:#6a737d;font-size:12px\">ringwatch</p></body></html>"
    )
}

fn card(alert: &Alert) -> String {
    let color = color(alert);
    let summary = escaped(&limited(&alert.summary, SUMMARY_BYTES_MAX));
    let mut rows = String::new();
    for (name, value) in facts(alert) {
        let value = escaped(&value);
        let _written = write!(
            rows,
            "<tr><td style=\"padding:4px 16px 4px 0;color:#57606a;white-space:nowrap;\
             vertical-align:top\">{name}</td>\
             <td style=\"padding:4px 0;word-break:break-word\">{value}</td></tr>"
        );
    }
    format!(
        "<table role=\"presentation\" width=\"100%\" cellspacing=\"0\" style=\"max-width:640px;\
         margin:0 0 16px;background:#ffffff;border-left:6px solid {color};\
         border-collapse:separate\"><tr><td style=\"padding:16px 20px\">\
         <div style=\"color:{color};font-weight:700;letter-spacing:.04em\">{}</div>\
         <div style=\"font-size:18px;font-weight:600;margin:4px 0 12px\">{summary}</div>\
         <table role=\"presentation\" cellspacing=\"0\">{rows}</table></td></tr></table>",
        state(alert)
    )
}

/// Dark enough on white for everybody to read (WCAG AA).
const fn color(alert: &Alert) -> &'static str {
    match (alert.state, alert.severity) {
        (AlertState::Resolved, _) => "#1a7f37",
        (_, Severity::Critical) => "#b3261e",
        (_, Severity::Warning) => "#8a5a00",
        (_, Severity::Info) => "#0a5ea8",
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for one in text.chars() {
        match one {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::delivery::examples::firing;
    use crate::delivery::hostile::{assert_nothing_misleads, hostile};

    #[test]
    fn the_plain_body_reads_as_it_stands() {
        let items = [Item::new(Arc::new(firing("kb1")))];
        let expected = "\
CRITICAL: kb1 makes os_crash 6.1x as likely in ring first

Action:       roll back kb1
Owner:        service
Signal:       os_crash
Change:       kb1 (quality)
Ring:         first
Evidence:     8 of 500 devices with it, 25 of 9500 without; 6.1x as likely (at least 2.4)
Since:        2026-07-19T04:00:00Z
Alert:        rw-kb1 (1)

-- \nringwatch
";
        assert_eq!(text(&items), expected);
    }

    #[test]
    fn what_devices_say_is_text_in_html() {
        let items = [Item::new(Arc::new(hostile()))];
        let html = html(&items);
        assert!(!html.contains("<script"), "{html}");
        assert!(html.contains("&lt;script&gt;") && html.contains("&quot;"));
        assert_nothing_misleads(&html.into());
        assert_nothing_misleads(&text(&items).into());
    }
}
