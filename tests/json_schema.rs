//! The published JSON Schemas, the decoder and the alerts agree on what is valid.
//!
//! The examples of the contracts, each with one field changed, go through the schema (checked by
//! an independent validator) and through the decoder: both must give the expected answer.

#![expect(clippy::expect_used, reason = "a test that cannot set up its world must fail")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use ingest::{Arrival, DecodeConfig, Decoder};
use schemas::alert::{
    Action, Alert, AlertState, ArmEvidence, Cohort, Decision, Evidence, EvidenceKind, Links, Owner,
    Severity,
};
use schemas::{ChangeType, Timestamp, json_schema};
use serde_json::{Value, json};

const HEARTBEAT: &str = r#"{"v":1,"type":"heartbeat","device":"d-0000123456","ring":"fast",
    "time":"2026-07-19T04:09:12.345Z","seq":18231,"build":"10.0.22631.3880",
    "model":"Latitude-5440","interval_s":3600,"uptime_s":86211,
    "attrs":{"driver":"nv-551.23","region":"eu-west"}}"#;
const BOOT: &str = r#"{"v":1,"type":"boot","device":"d-0000123457","ring":"broad",
    "time":"2026-07-19T04:09:13.345Z","seq":18,"build":"10.0.22631.3880","boot_ms":18230,
    "signin_ms":2210,"reason":"update"}"#;
const UPDATE: &str = r#"{"v":1,"type":"update","device":"d-0000000457","ring":"first",
    "time":"2026-07-19T04:09:13.345Z","seq":19,"change":"kb5040442","state":"installed",
    "code":"0x0","duration_ms":812233}"#;
const FAULT: &str = r#"{"v":1,"type":"fault","device":"d-0000000457","ring":"first",
    "time":"2026-07-19T04:09:13.345Z","seq":20,"kind":"app_crash",
    "signature":"outlook.exe!0xc0000005","count":1}"#;
const TICKET: &str = r#"{"v":1,"type":"ticket","device":"d-0000000457","ring":"first",
    "time":"2026-07-19T10:00:00Z","ticket":"T-18231","severity":"B","category":"printing"}"#;
const AUDIT: &str = r#"{"v":1,"type":"audit","device":"d-0000000457","ring":"first",
    "time":"2026-07-19T10:00:00Z","kind":"service_account","actor":"svc-update"}"#;
const LIFECYCLE: &str = r#"{"v":1,"type":"lifecycle","device":"d-0000000457","ring":"first",
    "time":"2026-07-19T04:09:13Z","state":"reset"}"#;
const CHANGE: &str = r#"{"v":1,"change":"kb5040442","title":"2026-07 cumulative update",
    "type":"quality","reversible":true,"status":"deploying","announced":"2026-07-08T09:00:00Z",
    "requires_action":false,"rings":[{"ring":"test","starts":"2026-07-14T17:00:00Z"},
    {"ring":"first","starts":"2026-07-15T17:00:00Z"}]}"#;
const SUPPORT: &str = r#"{"v":1,"ticket":"T-18231","time":"2026-07-19T10:00:00Z","severity":"B",
    "status":"opened","device":"d-0000000457","ring":"first","category":"printing",
    "change":"kb5040442"}"#;
const TELEMETRY: [&str; 7] = [HEARTBEAT, BOOT, UPDATE, FAULT, TICKET, AUDIT, LIFECYCLE];

/// Fields that each example must have, besides those of all telemetry.
const REQUIRED: &[(&str, &[&str])] = &[
    (HEARTBEAT, &["uptime_s"]),
    (BOOT, &["boot_ms", "signin_ms", "reason"]),
    (UPDATE, &["change", "state"]),
    (FAULT, &["kind"]),
    (TICKET, &["ticket", "severity"]),
    (AUDIT, &["kind", "actor"]),
    (LIFECYCLE, &["state"]),
    (CHANGE, &["change", "title", "type", "reversible", "status", "announced", "rings"]),
    (SUPPORT, &["ticket", "time", "severity", "status"]),
];

const OPTIONAL: &[(&str, &[&str])] = &[
    (HEARTBEAT, &["v", "seq", "build", "model", "interval_s", "attrs"]),
    (UPDATE, &["code", "duration_ms"]),
    (FAULT, &["signature", "count"]),
    (TICKET, &["category"]),
    (CHANGE, &["v", "requires_action"]),
    (SUPPORT, &["v", "device", "ring", "category", "change"]),
];

/// Example, field, its value in JSON, and whether the record is valid with it.
const VALUES: &[(&str, &str, &str, bool)] = &[
    (HEARTBEAT, "v", "2", false),
    (HEARTBEAT, "type", r#""hello""#, false),
    (HEARTBEAT, "device", r#""""#, false),
    (HEARTBEAT, "device", r#""a\u0007""#, false),
    (HEARTBEAT, "device", r#""a\u0085""#, false),
    (HEARTBEAT, "device", r#""Gerät 7""#, true),
    (HEARTBEAT, "build", "null", false),
    (HEARTBEAT, "interval_s", "0", false),
    (HEARTBEAT, "interval_s", "2592000", true),
    (HEARTBEAT, "interval_s", "2592001", false),
    (HEARTBEAT, "seq", "-1", false),
    (HEARTBEAT, "seq", "18446744073709551615", true),
    (HEARTBEAT, "time", "946684799999", false),
    (HEARTBEAT, "time", "946684800000", true),
    (HEARTBEAT, "time", r#""2026-07-19T04:09:12+02:00""#, true),
    (HEARTBEAT, "cert_expires", r#""2031-01-01T00:00:00Z""#, true),
    (HEARTBEAT, "attrs", r#"{"driver":1}"#, false),
    (HEARTBEAT, "attrs", "[]", false),
    (HEARTBEAT, "boot_ms", r#""of another type, so unknown here""#, true),
    (BOOT, "boot_ms", "1099511627776", true),
    (BOOT, "boot_ms", "1099511627777", false),
    (BOOT, "reason", r#""boredom""#, false),
    (UPDATE, "state", r#""installed_twice""#, false),
    (FAULT, "count", "0", false),
    (FAULT, "count", "1000001", false),
    (FAULT, "kind", r#""never_heard_of""#, true),
    (TICKET, "severity", r#""D""#, false),
    (AUDIT, "kind", r#""hello""#, false),
    (LIFECYCLE, "state", r#""moved""#, false),
    (CHANGE, "type", r#""unknown""#, false),
    (CHANGE, "rings", r#"[{"ring":"test"}]"#, false),
    (CHANGE, "rings", "[]", true),
    (CHANGE, "reason", r#""data_loss""#, true),
    (CHANGE, "action_due", r#""2031-01-01T00:00:00Z""#, true),
    (CHANGE, "deleted", "true", true),
    (SUPPORT, "severity", r#""informational""#, true),
    (SUPPORT, "ring", "7", false),
];

/// One record, and what must be said of it.
struct Case {
    topic: &'static str,
    record: Value,
    valid: bool,
}

fn topic(example: &str) -> &'static str {
    match example {
        CHANGE => "changes",
        SUPPORT => "support",
        _ => "telemetry",
    }
}

/// An example with a field set, or taken off where there is no value.
fn case(example: &str, field: &str, value: Option<&str>, valid: bool) -> Case {
    let mut record: Value = serde_json::from_str(example).expect("an example");
    let fields = record.as_object_mut().expect("an object");
    match value {
        Some(value) => {
            fields.insert(field.to_owned(), serde_json::from_str(value).expect("a value"));
        }
        None => assert!(fields.remove(field).is_some(), "no `{field}` in {example}"),
    }
    Case { topic: topic(example), record, valid }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for example in TELEMETRY.into_iter().chain([CHANGE, SUPPORT]) {
        cases.push(case(example, "a_field_of_theirs", Some("{}"), true));
    }
    for example in TELEMETRY {
        for field in ["type", "device", "ring", "time"] {
            cases.push(case(example, field, None, false));
        }
    }
    for (list, valid) in [(REQUIRED, false), (OPTIONAL, true)] {
        for (example, fields) in list {
            cases.extend(fields.iter().map(|field| case(example, field, None, valid)));
        }
    }
    cases.extend(
        VALUES
            .iter()
            .map(|(example, field, value, valid)| case(example, field, Some(value), *valid)),
    );
    let long = format!("\"{}\"", "d".repeat(129));
    cases.push(case(HEARTBEAT, "device", Some(&long), false));
    let removal = json!({"change": "kb5040442", "deleted": true});
    cases.push(Case { topic: "changes", record: removal, valid: true });
    cases
}

fn schema(name: &str) -> Value {
    let found = json_schema::all().into_iter().find(|(known, _)| *known == name);
    found.expect("a schema of that name").1
}

/// What the independent validator says of each record: `true`, or its fault.
fn validated<'a>(records: impl Iterator<Item = (&'static str, &'a Value)>) -> Vec<String> {
    let lines: Vec<String> = records
        .map(|(name, record)| {
            json!({"schema": schema(name), "record": record.to_string()}).to_string()
        })
        .collect();
    let lines = lines.join("\n") + "\n";
    let mut child = Command::new(xtask::fixture::python())
        .arg(xtask::repository().join("tests/oracle/json_schema.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python");
    let mut input = child.stdin.take().expect("its standard input");
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output().expect("its answer");
    writer.join().expect("no panic").expect("its input is read");
    assert!(output.status.success(), "the validator failed");
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

/// What the decoder says of a record.
fn decoded(topic: &str, record: &Value) -> Result<(), String> {
    let cohorts = vec!["driver".to_owned(), "region".to_owned()];
    let config = DecodeConfig {
        cohorts,
        record_bytes_max: 1 << 20,
        depth_max: 64,
        attrs_max: 32,
        ..DecodeConfig::default()
    };
    let mut decoder = Decoder::new(config);
    let value = record.to_string().into_bytes();
    let arrival =
        || Arrival::At(Timestamp::parse_rfc3339(b"2026-07-19T12:00:00Z").expect("a time"));
    let answer = match topic {
        "changes" => decoder.change(None, Some(&value), arrival()).map(drop),
        "support" => decoder.support(&value, arrival()).map(drop),
        _ => decoder.telemetry(&value, arrival()).map(drop),
    };
    answer.map_err(|rejection| format!("{:?} {}", rejection.field, rejection.error))
}

#[test]
fn schema_and_decoder_accept_and_refuse_the_same_records() {
    let cases = cases();
    let answers = validated(cases.iter().map(|case| (case.topic, &case.record)));
    assert_eq!(answers.len(), cases.len());
    let mut wrong = Vec::new();
    for (case, answer) in cases.iter().zip(answers) {
        let Case { topic, record, valid } = case;
        if (answer == "true") != *valid {
            wrong.push(format!("the schema `{topic}` says {answer}: {record}"));
        }
        let decoded = decoded(topic, record);
        if decoded.is_ok() != *valid {
            wrong.push(format!("the decoder of `{topic}` says {decoded:?}: {record}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn alert() -> Alert {
    let moment = Timestamp::parse_rfc3339(b"2026-07-19T10:00:00Z").expect("a time");
    let treated = ArmEvidence { devices: 500, device_seconds: 1_800_000, affected: 8 };
    Alert {
        v: schemas::SCHEMA_VERSION,
        id: "rw-5k2n8".to_owned(),
        fingerprint: "0".repeat(32),
        state: AlertState::Firing,
        decision: Decision::Rollback,
        escalation: None,
        severity: Severity::Critical,
        change: "kb5040442".to_owned(),
        change_type: ChangeType::Quality,
        unregistered: true,
        ring: "first".to_owned(),
        signal: "os_crash".to_owned(),
        transition: 1,
        starts_at: moment,
        updated_at: moment,
        ends_at: None,
        summary: "kb5040442 makes os_crash 6.1x as likely in ring first".to_owned(),
        evidence: Evidence {
            kind: EvidenceKind::Rate,
            log_e: 7.4,
            line: 7.1,
            alpha: 0.01,
            r0: 1.25,
            treated,
            control: ArmEvidence { devices: 9_500, device_seconds: 34_200_000, affected: 25 },
            ratio: Some(6.1),
            ratio_low: Some(2.4),
            ratio_high: None,
            windows: 213,
            first_affected_at: Some(moment),
            baseline_ratio: None,
            comparison_weight: None,
        },
        cohort: Some(Cohort { key: "driver".to_owned(), value: "nv".to_owned(), share: 0.93 }),
        action: Action { what: "roll back".to_owned(), owner: Owner::Service, notice: None },
        links: Links::default(),
    }
}

/// The schema is closed: a field that only one of the two knows is a fault.
#[test]
fn an_alert_as_it_is_written_is_what_its_schema_says() {
    let good = serde_json::to_value(alert()).expect("an alert");
    let mut foreign = good.clone();
    foreign["evidence"]["mood"] = json!("bad");
    let mut incomplete = good.clone();
    incomplete["evidence"].as_object_mut().expect("an object").remove("r0");
    let answers = validated([&good, &foreign, &incomplete].into_iter().map(|one| ("alert", one)));
    assert_eq!(answers[0], "true");
    assert!(answers[1].contains("mood"), "{}", answers[1]);
    assert!(answers[2].contains("r0"), "{}", answers[2]);
}
