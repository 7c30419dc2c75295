//! Canonical records as a fleet without shapes would send them, each kind of trouble by itself.
//!
//! In: a record. Out: one of the same meaning that no earlier one is like.

use sim::Rng;

/// What keeps a record from having a known shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Hostile {
    /// The first key is one of its own.
    Keys,
    /// Fields in any order.
    Shuffled,
    /// One to three unknown fields of many kinds, anywhere.
    Extra,
    /// One to three characters of texts as escapes.
    Escapes,
    /// Spaces, tabs and line breaks between tokens, or none.
    Whitespace,
    /// A tenth of the records with a key of its own at the end, up to which every shape fitted.
    Late,
}

const VALUES: [&str; 8] =
    ["1", "-1.25", "\"text\"", "true", "null", "[1,2]", "{\"a\":{\"b\":\"c\"}}", "\"\""];
const SPACES: [&str; 4] = ["", " ", "\n  ", "\t"];

/// Writes `record` to `out` with that trouble.
pub fn write(kind: Hostile, record: &[u8], rng: &mut Rng, out: &mut Vec<u8>) {
    out.clear();
    let inside = record.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}"));
    // A reject of the canonical workload: as it is.
    let Some(inside) = inside else { return out.extend_from_slice(record) };
    match kind {
        Hostile::Keys => write_fields(&[&own_field(rng), inside], out),
        Hostile::Late if rng.below(10) == 0 => write_fields(&[inside, &own_field(rng)], out),
        Hostile::Late => out.extend_from_slice(record),
        Hostile::Shuffled => {
            let mut fields = fields(inside);
            for at in (1..fields.len()).rev() {
                fields.swap(at, rng.below(at as u32 + 1) as usize);
            }
            write_fields(&fields, out);
        }
        Hostile::Extra => {
            let extra: Vec<_> = (0..=rng.below(3)).map(|_| own_field(rng)).collect();
            let mut fields = fields(inside);
            for field in &extra {
                fields.insert(rng.below(fields.len() as u32 + 1) as usize, field);
            }
            write_fields(&fields, out);
        }
        Hostile::Escapes => write_escaped(record, rng, out),
        Hostile::Whitespace => {
            for &byte in record {
                out.push(byte);
                // Texts hold neither comma nor brace, and of colons only those of times.
                if b"{,".contains(&byte) || out.ends_with(b"\":") {
                    let space = SPACES[rng.below(SPACES.len() as u32) as usize];
                    out.extend_from_slice(space.as_bytes());
                }
            }
        }
    }
}

fn own_field(rng: &mut Rng) -> Vec<u8> {
    let value = VALUES[rng.below(VALUES.len() as u32) as usize];
    format!("\"k{}\":{value}", rng.below(1 << 30)).into_bytes()
}

/// The fields of an object as they stand there.
fn fields(inside: &[u8]) -> Vec<&[u8]> {
    let (mut depth, mut in_text) = (0, false);
    let splits = |&byte: &u8| {
        match byte {
            b'"' => in_text = !in_text,
            b'{' if !in_text => depth += 1,
            b'}' if !in_text => depth -= 1,
            _ => {}
        }
        byte == b',' && depth == 0 && !in_text
    };
    inside.split(splits).collect()
}

fn write_fields(fields: &[impl AsRef<[u8]>], out: &mut Vec<u8>) {
    for (number, field) in fields.iter().enumerate() {
        out.push(if number == 0 { b'{' } else { b',' });
        out.extend_from_slice(field.as_ref());
    }
    out.push(b'}');
}

/// Letters and digits of the device's name and of what stands last, which are values.
fn write_escaped(record: &[u8], rng: &mut Rng, out: &mut Vec<u8>) {
    let start = record.windows(10).position(|it| it == b"\"device\":\"").map_or(0, |at| at + 10);
    let last = record.iter().rposition(u8::is_ascii_alphanumeric).unwrap_or(0);
    let places = [start, start + 2, last];
    let count = 1 + rng.below(3) as usize;
    for (at, &byte) in record.iter().enumerate() {
        if places[3 - count..].contains(&at) && byte.is_ascii_alphanumeric() {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
        } else {
            out.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::canonical::{Canonical, CanonicalConfig};
    use crate::settings::decoder;
    use ingest::Arrival;

    #[test]
    fn trouble_leaves_what_a_record_means_and_keeps_it_from_being_alike() {
        for kind in Hostile::value_variants() {
            let config = CanonicalConfig { messages: 2_000, devices: 200, ..Default::default() };
            let (mut source, mut rng) = (Canonical::new(config), Rng::new(1));
            let (mut as_it_is, mut seasoned, mut record) = (decoder(), decoder(), Vec::new());
            let (mut accepted, mut same) = (0, 0);
            while let Some(message) = source.next_message() {
                let arrival = Arrival::At(message.arrival);
                write(*kind, message.value, &mut rng, &mut record);
                same += u32::from(record == message.value);
                let expected = as_it_is.telemetry(message.value, arrival);
                let found = seasoned.telemetry(&record, arrival);
                accepted += u32::from(expected.is_ok());
                if expected.is_ok() {
                    assert_eq!(found, expected, "{}", String::from_utf8_lossy(&record));
                }
            }
            assert!(accepted > 1_900, "{kind:?}: {accepted}");
            let most_same = if *kind == Hostile::Late { 1_900 } else { 20 };
            assert!(same <= most_same, "{kind:?}: {same}");
        }
    }
}
