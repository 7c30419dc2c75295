//! The schemas against the examples of the contracts, and against what the code writes.

use super::*;
use crate::alert::{Action, Alert, ArmEvidence, Cohort, Evidence, Links};

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

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Whether a record passes a schema with `field` set to `value` (JSON), or taken off by `""`.
#[track_caller]
fn check(schema: &Value, example: &str, field: &str, value: &str, expected: bool) {
    let mut record = parsed(example);
    let fields = record.as_object_mut().unwrap();
    if value.is_empty() {
        assert!(fields.remove(field).is_some(), "the example has no `{field}`");
    } else {
        fields.insert(field.to_owned(), parsed(value));
    }
    let valid = jsonschema::validator_for(schema).unwrap().is_valid(&record);
    assert_eq!(valid, expected, "{field} = {value} in {example}");
}

#[test]
fn the_contracts_examples_pass() {
    for example in TELEMETRY {
        check(&telemetry(), example, "unknown_field", "{}", true);
    }
    check(&changes(), CHANGE, "unknown_field", "1", true);
    check(&support(), SUPPORT, "unknown_field", "1", true);
}

#[test]
fn a_record_without_a_required_field_fails() {
    for example in TELEMETRY {
        for field in ["type", "device", "ring", "time"] {
            check(&telemetry(), example, field, "", false);
        }
    }
    let required = [
        (HEARTBEAT, "uptime_s"),
        (BOOT, "boot_ms"),
        (BOOT, "signin_ms"),
        (BOOT, "reason"),
        (UPDATE, "change"),
        (UPDATE, "state"),
        (FAULT, "kind"),
        (TICKET, "ticket"),
        (TICKET, "severity"),
        (AUDIT, "kind"),
        (AUDIT, "actor"),
        (LIFECYCLE, "state"),
    ];
    for (example, field) in required {
        check(&telemetry(), example, field, "", false);
    }
    for field in ["change", "type", "status", "rings"] {
        check(&changes(), CHANGE, field, "", false);
    }
    for field in ["ticket", "time", "severity", "status"] {
        check(&support(), SUPPORT, field, "", false);
    }
}

#[test]
fn an_optional_field_may_be_missing() {
    let optional = [
        (HEARTBEAT, "v"),
        (HEARTBEAT, "seq"),
        (HEARTBEAT, "interval_s"),
        (HEARTBEAT, "attrs"),
        (UPDATE, "code"),
        (UPDATE, "duration_ms"),
        (FAULT, "signature"),
        (FAULT, "count"),
        (TICKET, "category"),
    ];
    for (example, field) in optional {
        check(&telemetry(), example, field, "", true);
    }
    check(&changes(), CHANGE, "requires_action", "", true);
    check(&support(), SUPPORT, "device", "", true);
}

#[test]
fn values_out_of_range_fail() {
    let telemetry = telemetry();
    check(&telemetry, HEARTBEAT, "v", "2", false);
    check(&telemetry, HEARTBEAT, "type", "\"hello\"", false);
    check(&telemetry, HEARTBEAT, "device", "\"\"", false);
    check(&telemetry, HEARTBEAT, "device", &format!("\"{}\"", "d".repeat(129)), false);
    check(&telemetry, HEARTBEAT, "device", r#""a\u0007""#, false);
    check(&telemetry, HEARTBEAT, "interval_s", "0", false);
    check(&telemetry, HEARTBEAT, "interval_s", "2592000", true);
    check(&telemetry, HEARTBEAT, "interval_s", "2592001", false);
    check(&telemetry, HEARTBEAT, "seq", "-1", false);
    check(&telemetry, HEARTBEAT, "seq", "18446744073709551615", true);
    check(&telemetry, HEARTBEAT, "time", "946684799999", false);
    check(&telemetry, HEARTBEAT, "time", "946684800000", true);
    check(&telemetry, HEARTBEAT, "attrs", r#"{"driver":1}"#, false);
    check(&telemetry, BOOT, "boot_ms", "1099511627776", true);
    check(&telemetry, BOOT, "boot_ms", "1099511627777", false);
    check(&telemetry, BOOT, "reason", "\"boredom\"", false);
    check(&telemetry, FAULT, "count", "0", false);
    check(&telemetry, FAULT, "count", "1000001", false);
    check(&telemetry, FAULT, "kind", "\"never_heard_of\"", true);
    check(&telemetry, LIFECYCLE, "state", "\"moved\"", false);
    check(&changes(), CHANGE, "type", "\"unknown\"", false);
    check(&changes(), CHANGE, "rings", r#"[{"ring":"test"}]"#, false);
}

#[test]
fn a_tombstone_in_ndjson_passes() {
    let removal = parsed(r#"{"change":"kb5040442","deleted":true}"#);
    assert!(jsonschema::validator_for(&changes()).unwrap().is_valid(&removal));
}

fn example_alert() -> Alert {
    let moment = Timestamp::parse_rfc3339(b"2026-07-19T10:00:00Z").unwrap();
    Alert {
        v: SCHEMA_VERSION,
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
            treated: ArmEvidence { devices: 500, device_seconds: 1, affected: 8 },
            control: ArmEvidence { devices: 9_500, device_seconds: 1, affected: 25 },
            ratio: Some(6.1),
            ratio_low: Some(2.4),
            ratio_high: None,
            windows: 213,
            first_affected_at: Some(moment),
            baseline_ratio: None,
        },
        cohort: Some(Cohort { key: "driver".to_owned(), value: "nv".to_owned(), share: 0.93 }),
        action: Action { what: "roll back".to_owned(), owner: Owner::Service },
        links: Links::default(),
    }
}

/// Closed objects: a field that the code writes and the schema does not know fails, and so does
/// one that only the schema knows.
#[test]
fn an_alert_as_the_code_writes_it_passes() {
    let mut alert = serde_json::to_value(example_alert()).unwrap();
    let validator = jsonschema::validator_for(&super::alert()).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(&alert).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    alert["evidence"]["log_e"] = json!("high");
    assert!(!validator.is_valid(&alert));
}

#[test]
fn the_schemas_are_schemas() {
    for (name, schema) in all() {
        assert!(jsonschema::meta::is_valid(&schema), "{name}");
    }
}
