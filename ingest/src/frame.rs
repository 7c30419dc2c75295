//! The stage FRAME: takes a record out of what it was wrapped in (contracts.md 2.4).
//!
//! In: the Kafka value and headers. Out: the bytes of the JSON record, borrowed wherever that can
//! be, or a [`Rejection`] that names the frame. `CloudEvents` in binary mode needs nothing: there
//! the value is the record and the headers say the rest.
//!
//! Headers cost, so a record that has a known shape is taken without a look at them: what could be
//! an envelope has none ([`is_of_envelope`]), and what could not is the record itself.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use schemas::{Rejection, Stage};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::RECORD_BYTES_MAX;
use crate::source::Headers;

/// First byte of the Confluent wire format; four bytes of schema id follow, big-endian.
const SCHEMA_REGISTRY_MAGIC: u8 = 0x00;
/// The media type of `CloudEvents` in structured mode, before its parameters.
const STRUCTURED_TYPE: &[u8] = b"application/cloudevents+json";

/// What of a structured `CloudEvent` matters here; its other attributes are ignored.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    data: Attribute<&'a RawValue>,
    #[serde(borrow, default)]
    data_base64: Attribute<Cow<'a, str>>,
    #[serde(borrow, default)]
    specversion: Attribute<&'a RawValue>,
}

/// An attribute of an envelope.
#[derive(Default)]
enum Attribute<T> {
    #[default]
    Missing,
    Null,
    Is(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Attribute<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(from)?.map_or(Self::Null, Self::Is))
    }
}

/// Whether a key at the top of a value makes an envelope of it, under the content type of one.
pub(crate) const fn is_of_envelope(key: &[u8]) -> bool {
    matches!(key, b"data" | b"data_base64" | b"specversion")
}

/// The bytes of the record itself. A null value is refused: a tombstone of `changes` goes to
/// [`crate::Decoder::change`] without coming here.
pub fn unframe<'a>(
    value: Option<&'a [u8]>,
    headers: &Headers<'_>,
) -> Result<Cow<'a, [u8]>, Rejection> {
    let value = value.ok_or_else(|| refused("the value is null"))?;
    match value.first() {
        None => return Err(refused("the value is empty")),
        Some(&SCHEMA_REGISTRY_MAGIC) => return Err(schema_registry(value)),
        Some(_) => {}
    }
    if headers.last(c"content-type").is_some_and(is_structured) {
        return from_envelope(value);
    }
    Ok(Cow::Borrowed(value))
}

fn refused(error: impl Into<String>) -> Rejection {
    Rejection { stage: Stage::Frame, field: None, error: error.into() }
}

fn schema_registry(value: &[u8]) -> Rejection {
    refused(match value {
        [_, a, b, c, d, ..] => {
            let id = u32::from_be_bytes([*a, *b, *c, *d]);
            format!("the value is in a Schema Registry frame with schema id {id}, not plain JSON")
        }
        _ => "the value begins with a zero byte and is not JSON".to_owned(),
    })
}

fn is_structured(content_type: &[u8]) -> bool {
    content_type.get(..STRUCTURED_TYPE.len()).is_some_and(|start| {
        start.eq_ignore_ascii_case(STRUCTURED_TYPE)
            && matches!(content_type.get(STRUCTURED_TYPE.len()), None | Some(b';' | b' '))
    })
}

fn from_envelope(value: &[u8]) -> Result<Cow<'_, [u8]>, Rejection> {
    if value.len() > RECORD_BYTES_MAX {
        return Err(refused(format!("the record is larger than {RECORD_BYTES_MAX} bytes")));
    }
    let envelope: Envelope<'_> = serde_json::from_slice(value).map_err(|error| {
        let column = error.column();
        refused(format!("the CloudEvents envelope is not valid JSON near byte {column}"))
    })?;
    match (envelope.data, envelope.data_base64, envelope.specversion) {
        (Attribute::Missing, Attribute::Missing, Attribute::Missing) => Ok(Cow::Borrowed(value)),
        (Attribute::Is(_), Attribute::Is(_), _) => {
            Err(refused("the CloudEvents envelope has both `data` and `data_base64`"))
        }
        (Attribute::Is(data), ..) => Ok(Cow::Borrowed(data.get().as_bytes())),
        (_, Attribute::Is(text), _) => BASE64_STANDARD
            .decode(text.as_bytes())
            .map(Cow::Owned)
            .map_err(|_| refused("`data_base64` of the CloudEvents envelope is not base64")),
        _ => Err(refused("the CloudEvents envelope has no `data`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRUCTURED: &[(&str, &[u8])] =
        &[("content-type", b"application/cloudevents+json; charset=UTF-8")];

    fn check(headers: &[(&str, &[u8])], value: &[u8], expected: &str) {
        let found = unframe(Some(value), &Headers::Listed(headers));
        assert_eq!(found.as_deref(), Ok(expected.as_bytes()));
    }

    fn check_refused(headers: &[(&str, &[u8])], value: Option<&[u8]>, fragment: &str) {
        let rejection = unframe(value, &Headers::Listed(headers)).expect_err(fragment);
        assert_eq!((rejection.stage, rejection.field), (Stage::Frame, None));
        assert!(rejection.error.contains(fragment), "{} / {fragment}", rejection.error);
    }

    #[test]
    fn plain_json_and_binary_cloudevents_pass_as_they_are() {
        check(&[], b"{\"a\":1}", "{\"a\":1}");
        let binary: &[(&str, &[u8])] =
            &[("ce_specversion", b"1.0"), ("content-type", b"application/json")];
        check(binary, b"{\"data\":1}", "{\"data\":1}");
        check(
            &[("content-type", b"application/cloudevents+jsonx")],
            b"{\"data\":1}",
            "{\"data\":1}",
        );
    }

    #[test]
    fn structured_cloudevents_are_unwrapped() {
        let event = br#"{"specversion":"1.0","id":"1","data": {"a":{"b":[1,"}"]}} ,"source":"s"}"#;
        check(STRUCTURED, event, r#"{"a":{"b":[1,"}"]}}"#);
        check(STRUCTURED, br#"{"data_base64":"eyJhIjoxfQ=="}"#, r#"{"a":1}"#);
    }

    #[test]
    fn an_envelope_that_says_nothing_or_two_things_is_refused() {
        check_refused(STRUCTURED, Some(b"{\"specversion\":\"1.0\"}"), "has no `data`");
        check_refused(STRUCTURED, Some(b"{\"data\":null}"), "has no `data`");
        check_refused(STRUCTURED, Some(b"{\"specversion\":null}"), "has no `data`");
        check_refused(STRUCTURED, Some(b"{\"data\":{},\"data_base64\":\"\"}"), "both");
        check_refused(STRUCTURED, Some(b"{\"data_base64\":\"*\"}"), "not base64");
        check_refused(STRUCTURED, Some(b"{\"data\":{}"), "not valid JSON");
        check_refused(STRUCTURED, Some(&vec![b'['; 100_000]), "not valid JSON");
    }

    #[test]
    fn a_record_that_only_claims_to_be_an_envelope_is_the_record() {
        check(STRUCTURED, b"{\"id\":\"1\"}", "{\"id\":\"1\"}");
    }

    #[test]
    fn empty_null_and_schema_registry_values_are_refused_by_name() {
        check_refused(&[], None, "null");
        check_refused(&[], Some(b""), "empty");
        check_refused(&[], Some(&[0, 0, 0, 1, 4, b'{']), "schema id 260");
        check_refused(&[], Some(&[0, 1]), "zero byte");
    }
}
