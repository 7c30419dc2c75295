//! One telemetry record as JSON text, fields in the order of the contract's examples.
//!
//! In: values. Out: the bytes of the record, in a buffer that is used again for the next one.

use schemas::time::SECOND_US;
use schemas::{SCHEMA_VERSION, Timestamp};

/// `YYYY-MM-DDTHH:MM:` is written once for all records of a minute.
const MINUTE_BYTES: usize = 17;
const MINUTE_US: i64 = 60 * SECOND_US;

/// A writer of records; `begin`, then fields, then `end`.
#[derive(Debug, Default)]
pub struct Line {
    bytes: Vec<u8>,
    /// The minute whose text stands in `minute_text`, in microseconds since 1970.
    minute: Option<i64>,
    minute_text: [u8; MINUTE_BYTES],
}

impl Line {
    /// Starts a record with the common fields.
    pub fn begin(&mut self, kind: &str, device: &str, ring: &str, time: Timestamp) -> &mut Self {
        self.bytes.clear();
        self.bytes.extend_from_slice(b"{\"v\":");
        push_number(&mut self.bytes, u64::from(SCHEMA_VERSION));
        self.text("type", kind).text("device", device).text("ring", ring).time("time", time)
    }

    /// Adds a text field.
    pub fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.name(name);
        push_text(&mut self.bytes, value);
        self
    }

    /// Adds a whole number.
    pub fn number(&mut self, name: &str, value: u64) -> &mut Self {
        self.name(name);
        push_number(&mut self.bytes, value);
        self
    }

    /// Adds a time as RFC 3339 in UTC with milliseconds.
    pub fn time(&mut self, name: &str, time: Timestamp) -> &mut Self {
        let minute = time.0.div_euclid(MINUTE_US) * MINUTE_US;
        if self.minute != Some(minute) {
            let text = Timestamp(minute).to_string();
            self.minute_text.copy_from_slice(&text.as_bytes()[..MINUTE_BYTES]);
            self.minute = Some(minute);
        }
        self.name(name);
        self.bytes.push(b'"');
        self.bytes.extend_from_slice(&self.minute_text);
        let millis = (time.0 - minute) as u64 / 1_000;
        push_padded(&mut self.bytes, millis / 1_000, 2);
        self.bytes.push(b'.');
        push_padded(&mut self.bytes, millis % 1_000, 3);
        self.bytes.extend_from_slice(b"Z\"");
        self
    }

    /// Adds `attrs`.
    pub fn attrs(&mut self, pairs: &[(&str, &str)]) -> &mut Self {
        self.name("attrs");
        self.bytes.push(b'{');
        for (position, (name, value)) in pairs.iter().enumerate() {
            if position > 0 {
                self.bytes.push(b',');
            }
            push_text(&mut self.bytes, name);
            self.bytes.push(b':');
            push_text(&mut self.bytes, value);
        }
        self.bytes.push(b'}');
        self
    }

    /// Ends the record: its bytes, until the next `begin`.
    pub fn end(&mut self) -> &[u8] {
        self.bytes.push(b'}');
        &self.bytes
    }

    /// The bytes written since `begin`.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn name(&mut self, name: &str) {
        self.bytes.extend_from_slice(b",\"");
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b"\":");
    }
}

/// Writes one line of an NDJSON file: the record with its arrival as last field, `_ts`.
///
/// A record that is no JSON object stays as it is: what is malformed has no place for a field.
pub fn write_ndjson(value: &[u8], arrival: Timestamp, out: &mut Vec<u8>) {
    match value.split_last() {
        Some((b'}', head)) if value.first() == Some(&b'{') && head.len() > 1 => {
            out.extend_from_slice(head);
            out.extend_from_slice(b",\"_ts\":");
            push_number(out, arrival.as_millis().max(0) as u64);
            out.push(b'}');
        }
        _ => out.extend_from_slice(value),
    }
    out.push(b'\n');
}

fn push_number(bytes: &mut Vec<u8>, value: u64) {
    let digits = value.checked_ilog10().map_or(1, |power| power as usize + 1);
    push_padded(bytes, value, digits);
}

/// Appends exactly `digits` decimal digits.
fn push_padded(bytes: &mut Vec<u8>, value: u64, digits: usize) {
    let start = bytes.len();
    bytes.resize(start + digits, b'0');
    let mut rest = value;
    for slot in bytes[start..].iter_mut().rev() {
        *slot = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(b'"');
    if text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        for character in text.chars() {
            push_escaped(bytes, character);
        }
    } else {
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes.push(b'"');
}

fn push_escaped(bytes: &mut Vec<u8>, character: char) {
    match character {
        '"' | '\\' => bytes.extend([b'\\', character as u8]),
        '\u{0}'..='\u{1f}' => {
            bytes.extend_from_slice(format!("\\u{:04x}", u32::from(character)).as_bytes());
        }
        _ => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_record_reads_like_the_example_of_the_contract() {
        let time = Timestamp::parse_rfc3339(b"2026-07-19T04:09:12.345Z").unwrap();
        let mut line = Line::default();
        line.begin("heartbeat", "d-0000123456", "fast", time)
            .number("seq", 18_231)
            .text("build", "10.0.22631.3880")
            .text("model", "Latitude-5440")
            .number("interval_s", 3_600)
            .number("uptime_s", 86_211)
            .attrs(&[("driver", "nv-551.23"), ("region", "eu-west")]);
        let expected = concat!(
            r#"{"v":1,"type":"heartbeat","device":"d-0000123456","ring":"fast","#,
            r#""time":"2026-07-19T04:09:12.345Z","seq":18231,"build":"10.0.22631.3880","#,
            r#""model":"Latitude-5440","interval_s":3600,"uptime_s":86211,"#,
            r#""attrs":{"driver":"nv-551.23","region":"eu-west"}}"#
        );
        assert_eq!(std::str::from_utf8(line.end()).unwrap(), expected);
    }

    #[test]
    fn arrival_is_added_to_objects_and_to_nothing_else() {
        let check = |value: &str, expected: &str| {
            let mut out = Vec::new();
            write_ndjson(value.as_bytes(), Timestamp(5_000), &mut out);
            assert_eq!(std::str::from_utf8(&out).unwrap(), expected);
        };
        check(r#"{"v":1}"#, "{\"v\":1,\"_ts\":5}\n");
        check(r#"{"v":1"#, "{\"v\":1\n");
        check("", "\n");
        check("{}", "{}\n");
    }

    proptest! {
        #[test]
        fn any_text_and_number_survive(text in ".*", number: u64, us in 0..4_000_000_000_000_i64) {
            let mut line = Line::default();
            line.begin("fault", &text, &text, Timestamp(us)).number("seq", number);
            let value: serde_json::Value = serde_json::from_slice(line.end()).unwrap();
            prop_assert_eq!(value["device"].as_str(), Some(text.as_str()));
            prop_assert_eq!(value["seq"].as_u64(), Some(number));
            let time = value["time"].as_str().unwrap();
            let time = Timestamp::parse_rfc3339(time.as_bytes()).unwrap();
            prop_assert_eq!(time.as_millis(), Timestamp(us).as_millis());
        }
    }
}
