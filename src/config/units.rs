//! Values that carry their unit in the text: `"5s"`, `"7d"`, `"64 MiB"`.

use std::time::Duration;

use schemas::Span;
use serde::{Deserialize, Deserializer, de::Error};

/// A duration written as `"15m"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DurationText(pub(super) Duration);

/// A duration, or `"auto"`: the one that suits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AutoDurationText(pub(super) Option<Duration>);

/// A number of bytes written as `"64 MiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BytesText(pub(super) usize);

impl DurationText {
    /// The same as a span of event time.
    pub(super) fn span(self) -> Span {
        Span(i64::try_from(self.0.as_micros()).unwrap_or(i64::MAX))
    }
}

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_duration(&text).map(Self).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for AutoDurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "auto" => Ok(Self(None)),
            text => parse_duration(text).map(|given| Self(Some(given))).map_err(D::Error::custom),
        }
    }
}

impl<'de> Deserialize<'de> for BytesText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_bytes(&text)
            .map(Self)
            .ok_or_else(|| D::Error::custom(format!("`{text}` is no size; write it as \"64 MiB\"")))
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| format!("`{text}` is no duration; write it as \"5s\""))
}

fn parse_bytes(text: &str) -> Option<usize> {
    let digits =
        text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic() || letter == ' ');
    let unit = match text[digits.len()..].trim() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_need_a_unit() {
        assert_eq!(parse_bytes("64 MiB"), Some(64 << 20));
        assert_eq!(parse_bytes("1GB"), Some(1_000_000_000));
        for wrong in ["64", "MiB", "6 4 MiB", "64 mib", "-1 B", "99999999999999999999 B"] {
            assert_eq!(parse_bytes(wrong), None, "{wrong}");
        }
    }
}
