//! What the decoder takes and refuses, record by record.

use proptest::prelude::*;
use schemas::event::{AuditKind, BootReason, Lifecycle, TicketSeverity, UpdateState};
use schemas::{Body, ChangeType, Signal, Stage};

use super::*;

/// 2026-07-19T05:00:00Z.
const ARRIVAL: Timestamp = Timestamp(1_784_437_200_000_000);

fn decoder() -> Decoder {
    let cohorts = ["model", "build", "driver", "region"].map(str::to_owned).to_vec();
    Decoder::new(DecodeConfig { cohorts, ..DecodeConfig::default() })
}

/// A record with the fields that every record needs, and `rest`.
fn with(rest: &str) -> String {
    format!(r#"{{"device":"d-1","ring":"fast","time":"2026-07-19T04:09:12.345Z",{rest}}}"#)
}

fn check_body(rest: &str, expected: Body<'_>) {
    let mut decoder = decoder();
    let json = with(rest);
    let found = decoder.telemetry(json.as_bytes(), Arrival::At(ARRIVAL)).expect(rest);
    assert_eq!(found.event.body, expected, "{rest}");
    assert_eq!((found.event.device, found.event.ring), ("d-1", "fast"));
    assert_eq!(found.event.time.to_string(), "2026-07-19T04:09:12.345Z");
}

#[track_caller]
fn check_refused(
    result: Result<impl std::fmt::Debug, Rejection>,
    stage: Stage,
    field: Option<&str>,
    fragment: &str,
) {
    let rejection = result.expect_err(fragment);
    assert_eq!((rejection.stage, rejection.field), (stage, field), "{}", rejection.error);
    assert!(rejection.error.contains(fragment), "`{}` lacks `{fragment}`", rejection.error);
}

#[test]
fn every_type_is_decoded() {
    check_body(
        r#""type":"heartbeat","uptime_s":86211,"cert_expires":1893456000000"#,
        Body::Heartbeat {
            interval_s: 3_600,
            uptime_s: 86_211,
            cert_expires: Some(Timestamp(1_893_456_000_000_000)),
        },
    );
    check_body(
        r#""type":"boot","boot_ms":18230,"signin_ms":0,"reason":"update""#,
        Body::Boot { boot_ms: 18_230, signin_ms: 0, reason: BootReason::Update },
    );
    check_body(
        r#""type":"update","change":"kb1","state":"installed","code":"",
           "duration_ms":1099511627776"#,
        Body::Update {
            change: "kb1",
            state: UpdateState::Installed,
            code: Some(""),
            duration_ms: Some(1 << 40),
        },
    );
    check_body(
        r#""type":"ticket","ticket":"T-1","severity":"informational","category":"printing""#,
        Body::Ticket {
            ticket: "T-1",
            severity: TicketSeverity::Informational,
            category: Some("printing"),
        },
    );
    check_body(
        r#""type":"audit","kind":"group_change","actor":"svc""#,
        Body::Audit { kind: AuditKind::GroupChange, actor: "svc", detail: None },
    );
    check_body(
        r#""type":"lifecycle","state":"moved","from":"broad""#,
        Body::Lifecycle(Lifecycle::Moved { from: "broad" }),
    );
}

#[test]
fn an_unknown_fault_is_other_and_keeps_its_kind_as_signature() {
    let fault = |kind, signature, count| Body::Fault { kind, signature, count };
    check_body(r#""type":"fault","kind":"os_crash""#, fault(Signal::OsCrash, None, 1));
    check_body(
        r#""type":"fault","kind":"app_crash","signature":"outlook.exe!0xc0000005","count":1000000"#,
        fault(Signal::AppCrash, Some("outlook.exe!0xc0000005"), 1_000_000),
    );
    for kind in ["gremlins", "silence", "other", "ring_drift"] {
        let rest = format!(r#""type":"fault","kind":"{kind}","signature":"x""#);
        check_body(&rest, fault(Signal::Other, Some(kind), 1));
    }
}

#[test]
fn cohorts_come_from_fields_and_attrs_in_configured_order() {
    let json = with(
        r#""type":"heartbeat","uptime_s":1,"build":"b","model":"m","seq":18446744073709551615,
           "attrs":{"region":"eu","other":"x","other":"y","driver":"nv\u002d1"}"#,
    );
    let mut decoder = decoder();
    let event = decoder.telemetry(json.as_bytes(), Arrival::At(ARRIVAL)).expect("valid").event;
    let expected = [Some("m"), Some("b"), Some("nv-1"), Some("eu"), None, None, None, None];
    assert_eq!(event.cohorts, expected);
    assert_eq!(event.seq, Some(u64::MAX));
}

#[test]
fn what_another_type_or_nobody_knows_is_ignored() {
    check_body(
        r#""type":"lifecycle","state":"reset","boot_ms":"x","boot_ms":null,"kind":[],"_ts":{},
           "deep":{"v":2,"device":1,"device":2},"big":123456789012345678901234567890,"f":1.5e300"#,
        Body::Lifecycle(Lifecycle::Reset),
    );
}

#[test]
fn malformed_records_are_refused_with_stage_field_and_reason() {
    let table = include_str!("../../tests/malformed.txt");
    let mut kinds = 0;
    for line in table.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let [name, stage, field, fragment, json] =
            line.splitn(5, " | ").collect::<Vec<_>>().try_into().expect(line);
        let mut decoder = decoder();
        let result = decoder.telemetry(json.as_bytes(), Arrival::At(ARRIVAL));
        let stage = Stage::from_name(stage).expect(name);
        check_refused(result, stage, Some(field).filter(|field| *field != "-"), fragment);
        kinds += 1;
    }
    assert!(kinds >= 60, "{kinds} kinds");
}

#[test]
fn bytes_that_are_no_text_are_refused_by_the_decode_stage() {
    for bytes in [&b"{\"device\":\"\xff\"}"[..], b"{\"x\":\"\xed\xa0\x80\"}", b"\xef\xbb\xbf{}"] {
        let mut decoder = decoder();
        let result = decoder.telemetry(bytes, Arrival::At(ARRIVAL));
        check_refused(result, Stage::Decode, None, "not valid");
    }
}

#[test]
fn depth_is_bounded_without_recursion() {
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
        with(&format!(r#""type":"lifecycle","state":"reset","x":{open}{close}"#))
    };
    let mut decoder = decoder();
    assert!(decoder.telemetry(nested(64).as_bytes(), Arrival::At(ARRIVAL)).is_ok());
    let deeper = nested(65);
    let result = decoder.telemetry(deeper.as_bytes(), Arrival::At(ARRIVAL));
    check_refused(result, Stage::Decode, None, "deeper than 64");
    for bomb in ["[".repeat(100_000), "{\"a\":".repeat(100_000)] {
        let result = decoder.telemetry(bomb.as_bytes(), Arrival::At(ARRIVAL));
        check_refused(result, Stage::Decode, None, "deeper than 64");
    }
}

#[test]
fn size_is_bounded_and_a_giant_leaves_no_large_buffers() {
    let mut decoder = decoder();
    let filled = |bytes: usize| {
        let empty = with(r#""type":"lifecycle","state":"reset","x":"""#).len();
        with(&format!(r#""type":"lifecycle","state":"reset","x":"{}""#, "y".repeat(bytes - empty)))
    };
    let largest = filled(crate::RECORD_BYTES_MAX);
    assert_eq!(largest.len(), crate::RECORD_BYTES_MAX);
    assert!(decoder.telemetry(largest.as_bytes(), Arrival::At(ARRIVAL)).is_ok());
    let larger = filled(largest.len() + 1);
    let result = decoder.telemetry(larger.as_bytes(), Arrival::At(ARRIVAL));
    check_refused(result, Stage::Frame, None, "larger than 1048576 bytes");
    let giant = vec![b'"'; 20 << 20];
    let result = decoder.telemetry(&giant, Arrival::At(ARRIVAL));
    check_refused(result, Stage::Frame, None, "larger than 1048576 bytes");
    assert!(decoder.telemetry(filled(300).as_bytes(), Arrival::At(ARRIVAL)).is_ok());
}

#[test]
fn time_is_bounded_by_the_year_2000_and_a_day_after_arrival() {
    let at = |time: &str| {
        let rest = r#""type":"lifecycle","state":"reset""#;
        let json = format!(r#"{{"device":"d","ring":"r","time":{time},{rest}}}"#);
        let result =
            decoder().telemetry(json.as_bytes(), Arrival::At(ARRIVAL)).map(|it| it.event.time);
        result.map(|time| time.to_string()).map_err(|rejection| rejection.error)
    };
    assert_eq!(at("946684800000").as_deref(), Ok("2000-01-01T00:00:00Z"));
    assert_eq!(at("\"2026-07-20T05:00:00Z\"").as_deref(), Ok("2026-07-20T05:00:00Z"));
    for (time, fragment) in [
        ("946684799999", "years 2000"),
        ("-1", "years 2000"),
        ("\"1970-01-01T00:00:00Z\"", "years 2000"),
        ("\"2026-07-20T05:00:00.000001Z\"", "more than 24 h"),
        ("\"2099-01-01T00:00:00Z\"", "more than 24 h"),
        ("253402300800000", "years 2000"),
        ("9223372036854775807", "RFC 3339"),
        ("1784437200000.0", "RFC 3339"),
        ("\"yesterday\"", "RFC 3339"),
    ] {
        let error = at(time).expect_err(time);
        assert!(error.contains(fragment), "{time}: {error}");
    }
}

#[test]
fn arrival_in_the_record_is_ts_or_the_event_time() {
    let mut decoder = decoder();
    let rest = r#""type":"lifecycle","state":"reset""#;
    let json = with(&format!(r#"{rest},"_ts":1784437200000"#));
    let found = decoder.telemetry(json.as_bytes(), Arrival::InRecord).expect("valid");
    assert_eq!(found.arrival, ARRIVAL);
    assert_eq!(decoder.last_ts(), Some(ARRIVAL));
    let json = with(rest);
    let found = decoder.telemetry(json.as_bytes(), Arrival::InRecord).expect("valid");
    assert_eq!(found.arrival, found.event.time);
    assert_eq!(decoder.last_ts(), None);
    let late = r#"{"_ts":1784437200000,"device":7}"#;
    let result = decoder.telemetry(late.as_bytes(), Arrival::InRecord).map(|_| ());
    check_refused(result, Stage::Validate, Some("time"), "missing");
    assert_eq!(decoder.last_ts(), Some(ARRIVAL));
    let result = decoder.telemetry(with("\"_ts\":\"x\"").as_bytes(), Arrival::InRecord).map(|_| ());
    check_refused(result, Stage::Validate, Some("_ts"), "RFC 3339");
}

const CHANGE: &str = r#"{"v":1,"change":"kb5040442","title":"2026-07 cumulative update",
 "type":"quality","reversible":true,"status":"deploying","announced":"2026-07-08T09:00:00Z",
 "requires_action":false,"rings":[{"ring":"test","starts":"2026-07-14T17:00:00Z"},
 {"ring":"first","starts":1784437200000}]}"#;

fn change(json: &str) -> Result<ChangeMessage, Rejection> {
    decoder().change(Some(b"kb5040442"), Some(json.as_bytes()), Arrival::At(ARRIVAL))
}

#[test]
fn a_change_is_decoded_whole() {
    let message = change(CHANGE).expect("valid");
    let record = message.record.expect("not deleted");
    assert_eq!((message.change.as_str(), message.arrival), ("kb5040442", Some(ARRIVAL)));
    assert_eq!((record.change_type, record.reversible), (ChangeType::Quality, true));
    assert_eq!(record.rings.len(), 2);
    assert_eq!((record.rings[1].ring.as_str(), record.rings[1].starts), ("first", ARRIVAL));
    assert_eq!(record.title.as_deref(), Some("2026-07 cumulative update"));
    let message = decoder().change(None, Some(CHANGE.as_bytes()), Arrival::InRecord);
    assert_eq!(message.expect("valid").arrival, None);
}

#[test]
fn a_change_with_a_fault_is_refused() {
    for (from, to, field, fragment) in [
        ("quality", "unknown", "type", "one of feature, security, quality, emergency"),
        ("deploying", "done", "status", "one of announced"),
        ("\"reversible\":true,", "", "reversible", "missing"),
        ("\"title\":\"2026-07 cumulative update\",", "", "title", "missing"),
        ("\"requires_action\":false", "\"requires_action\":0", "requires_action", "true or false"),
        ("[{\"ring\":\"test\"", "[{\"ring\":\"\"", "ring", "1..=128"),
        ("\"starts\":1784437200000", "\"start\":1", "starts", "missing"),
        ("[{", "[7,{", "rings", "array of objects"),
        ("\"v\":1", "\"v\":2", "v", "must be the integer 1"),
        ("\"v\":1", "\"supersedes\":null", "supersedes", "must be a string"),
        ("\"v\":1", "\"reason\":\"boredom\"", "reason", "one of critical_security_risk"),
        ("\"v\":1", "\"deleted\":\"yes\"", "deleted", "true or false"),
        ("\"v\":1", "\"time\":1", "time", "years 2000"),
        ("\"v\":1", "\"status\":\"paused\"", "status", "more than once"),
    ] {
        assert!(CHANGE.contains(from), "{from}");
        check_refused(
            change(&CHANGE.replacen(from, to, 1)),
            Stage::Validate,
            Some(field),
            fragment,
        );
    }
}

#[test]
fn a_tombstone_removes_a_change() {
    let removed = |change: &str, arrival| {
        Ok(ChangeMessage { change: change.to_owned(), record: None, arrival })
    };
    assert_eq!(change(r#"{"change":"kb1","deleted":true}"#), removed("kb1", Some(ARRIVAL)));
    let null = |key: Option<&[u8]>| decoder().change(key, None, Arrival::At(ARRIVAL));
    assert_eq!(null(Some(b"kb1")), removed("kb1", Some(ARRIVAL)));
    check_refused(null(None), Stage::Frame, None, "no key");
    check_refused(null(Some(b"\xff")), Stage::Validate, Some("change"), "UTF-8");
    check_refused(null(Some(b"")), Stage::Validate, Some("change"), "1..=128");
}

#[test]
fn a_support_case_is_decoded_with_or_without_what_it_is_about() {
    let support = |json: &str| decoder().support(json.as_bytes(), Arrival::At(ARRIVAL));
    let whole = r#"{"v":1,"ticket":"T-1","time":"2026-07-19T04:00:00Z","severity":"B",
        "status":"opened","device":"d","ring":"first","category":"printing","change":"kb"}"#;
    let message = support(whole).expect("valid");
    assert_eq!(message.record.change.as_deref(), Some("kb"));
    assert_eq!((message.record.severity, message.arrival), (TicketSeverity::B, ARRIVAL));
    let short = r#"{"ticket":"T-1","time":1784437200000,"severity":"C","status":"closed"}"#;
    assert_eq!(support(short).expect("valid").record.device, None);
    let result = support(&whole.replace("\"B\"", "\"D\""));
    check_refused(result, Stage::Validate, Some("severity"), "one of A, B, C, informational");
    let result = support(&whole.replace("\"status\":\"opened\",", ""));
    check_refused(result, Stage::Validate, Some("status"), "missing");
}

/// Any JSON, as `serde_json` would write it.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::btree_map(".{0,6}", inner, 0..5)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The same JSON with every character beyond ASCII, which only strings have, as an escape.
fn escaped(json: &str) -> String {
    let escape = |char: char| {
        if char.is_ascii() {
            return char.to_string().replace('/', "\\/");
        }
        let halves: Vec<_> =
            char.encode_utf16(&mut [0; 2]).iter().map(|half| format!("\\u{half:04x}")).collect();
        halves.concat()
    };
    json.chars().map(escape).collect()
}

proptest! {
    /// Against an independent parser: unknown fields of any shape change nothing, and every text
    /// comes out as it went in, whatever of it was escaped.
    #[test]
    fn valid_records_read_the_same_as_by_another_parser(
        device in "[^\\p{Cc}]{1,30}", driver in "[^\\p{Cc}]{1,30}", signature in ".{0,60}",
        seq in any::<u64>(), count in 1_u32..=1_000_000,
        unknown in any_json(), escape in any::<bool>(),
    ) {
        let value = serde_json::json!({
            "a": unknown, "type": "fault", "device": device, "ring": "fast", "seq": seq,
            "time": 1_784_437_200_123_i64, "kind": "app_hang", "signature": signature,
            "count": count, "attrs": {"driver": driver, "z": ""}, "zz": unknown,
        });
        let plain = value.to_string();
        let json = if escape { escaped(&plain) } else { plain };
        let mut decoder = decoder();
        let event = decoder.telemetry(json.as_bytes(), Arrival::At(ARRIVAL)).expect("valid").event;
        prop_assert_eq!((event.device, event.seq), (device.as_str(), Some(seq)));
        prop_assert_eq!(event.cohorts[2], Some(driver.as_str()));
        let (kind, signature) = (Signal::AppHang, Some(signature.as_str()));
        prop_assert_eq!(event.body, Body::Fault { kind, signature, count });
    }

    /// Whatever the bytes: an answer, and the decoder is as good as new after it.
    #[test]
    fn any_bytes_get_an_answer(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "[\\[\\]{}:,\"\\\\a-f0-9. \\-]{0,200}".prop_map(String::into_bytes),
        ],
    ) {
        let mut decoder = decoder();
        let is_json = serde_json::from_slice::<serde_json::Value>(&bytes).is_ok();
        if let Err(rejection) = decoder.telemetry(&bytes, Arrival::At(ARRIVAL)) {
            prop_assert!(is_json || rejection.stage == Stage::Decode, "{}", rejection.error);
        } else {
            prop_assert!(is_json);
        }
        let good = with(r#""type":"lifecycle","state":"offline""#);
        prop_assert!(decoder.telemetry(good.as_bytes(), Arrival::At(ARRIVAL)).is_ok());
    }
}

/// A literal is compared in parts of 31 bytes: one may end where another goes on.
#[test]
fn a_number_and_a_string_behind_the_same_key_are_two_shapes_whatever_its_length() {
    for length in 0..70 {
        let key = "k".repeat(length);
        let values = ["7", "\"s\"", "true"];
        let records = values.map(|value| {
            with(&format!(
                r#""type":"boot","boot_ms":1,"signin_ms":1,"reason":"user","{key}":{value}"#
            ))
        });
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
            let mut decoder = decoder();
            for at in order {
                decoder.telemetry(records[at].as_bytes(), Arrival::At(ARRIVAL)).expect("valid");
            }
            let before = decoder.decoded_by_shape();
            for record in &records {
                decoder.telemetry(record.as_bytes(), Arrival::At(ARRIVAL)).expect("valid");
            }
            assert_eq!(decoder.decoded_by_shape() - before, 3, "{length} {order:?}");
        }
    }
}

/// Whether a shape is known that fits a record.
fn fits(decoder: &mut Decoder, record: &str) -> bool {
    let mut place = [None];
    let one = std::iter::once(Some((record.as_bytes(), Arrival::At(ARRIVAL))));
    decoder.by_shape(one, &mut place, |_, _| {});
    place[0].is_some()
}

/// A worker looks at a run of records before it hands those to the parser that no shape fits.
#[test]
fn a_shape_is_learned_from_the_first_run_that_has_it() {
    let mut decoder = decoder();
    for run in 0..5 {
        let record = |at: i32| {
            with(&format!(r#""type":"boot","boot_ms":{at},"signin_ms":{run},"reason":"user""#))
        };
        let records: Vec<_> = (0..32).map(record).collect();
        let looked_at = records.iter().map(|it| fits(&mut decoder, it));
        let known = looked_at.filter(|known| *known).count();
        assert_eq!(known, if run == 0 { 0 } else { 32 }, "run {run}");
        if run == 0 {
            for record in &records {
                decoder.parsed(record.as_bytes(), Arrival::At(ARRIVAL)).expect("valid");
            }
        }
    }
}

/// Only headers say whether it is one, and they are not asked for where a shape fits.
#[test]
fn no_shape_is_learned_from_what_may_be_an_envelope() {
    let boot = r#""type":"boot","boot_ms":1,"signin_ms":1,"reason":"user""#;
    for key in ["data", "data_base64", "specversion"] {
        let mut decoder = decoder();
        let record = with(&format!(r#"{boot},"{key}":7"#));
        for _ in 0..3 {
            decoder.parsed(record.as_bytes(), Arrival::At(ARRIVAL)).expect("valid");
            assert!(!fits(&mut decoder, &record), "{key}");
        }
        let inside = with(&format!(r#"{boot},"in":{{"{key}":7}}"#));
        decoder.parsed(inside.as_bytes(), Arrival::At(ARRIVAL)).expect("valid");
        assert!(fits(&mut decoder, &inside), "in {key}");
    }
}

#[test]
fn what_comes_in_envelopes_is_decoded_by_shape_too() {
    let mut decoder = decoder();
    let record = with(r#""type":"boot","boot_ms":1,"signin_ms":1,"reason":"user""#);
    let envelope = format!(r#"{{"specversion":"1.0","data":{record}}}"#);
    for run in 0..3 {
        let before = decoder.decoded_by_shape();
        for _ in 0..32 {
            assert!(!fits(&mut decoder, &envelope));
        }
        for _ in 0..32 {
            decoder.unwrapped(record.as_bytes(), Arrival::At(ARRIVAL)).expect("valid");
        }
        let known = decoder.decoded_by_shape() - before;
        assert_eq!(known, if run == 0 { 31 } else { 32 }, "run {run}");
    }
}
