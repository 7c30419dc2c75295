//! JSON Schema (2020-12) of what goes in and of the alert, for the tools of those who write or
//! read them.
//!
//! Written to `schemas/json/` by `cargo xtask docs`; a test fails when they are stale. A schema
//! cannot say everything: that a field stands only once, that a time is not more than a day after
//! its arrival, and that lengths count bytes (`maxLength` counts characters) is the decoder's.

use serde_json::{Value, json};

use crate::alert::{
    AlertState, Channel, Decision, Escalation, EvidenceKind, Owner, Severity, When,
};
use crate::event::{AuditKind, BootReason, TicketSeverity, UpdateState};
use crate::registry::{ChangeStatus, ChangeType, EmergencyReason};
use crate::signal::Signal;
use crate::time::Timestamp;
use crate::{KEY_BYTES_MAX, SCHEMA_VERSION};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// Of `code` and `signature`.
const TEXT_BYTES_MAX: u32 = 256;
const COUNT_MAX: u32 = 1_000_000;
/// 30 days.
const INTERVAL_S_MAX: u32 = 2_592_000;
const MILLIS_MAX: u64 = 1 << 40;
const ATTRS_MAX: u32 = 32;

/// Name and schema of each contract in JSON.
pub fn all() -> Vec<(&'static str, Value)> {
    let mut all = vec![
        ("telemetry", telemetry()),
        ("changes", changes()),
        ("support", support()),
        ("alert", alert()),
    ];
    for (name, schema) in &mut all {
        schema["$schema"] = json!(DIALECT);
        schema["$id"] = json!(format!("urn:ringwatch:{name}:{SCHEMA_VERSION}"));
        // Whether a map keeps its order is decided by whoever else uses serde_json in a build.
        schema.sort_all_objects();
    }
    all
}

/// A record of the topic `telemetry`.
pub fn telemetry() -> Value {
    json!({
        "description": "A record of the topic `telemetry`; key = device. Fields not named here \
                        are ignored.",
        "type": "object",
        "properties": {
            "v": version(), "device": key(), "ring": key(), "time": time(),
            "seq": {"type": "integer", "minimum": 0, "maximum": u64::MAX,
                    "description": "increasing per device; what was seen before is a duplicate"},
            "build": key(), "model": key(),
            "attrs": {"type": "object", "maxProperties": ATTRS_MAX,
                      "additionalProperties": {"type": "string"},
                      "description": "only the configured cohort dimensions are kept"},
        },
        "required": ["type", "device", "ring", "time"],
        "oneOf": [heartbeat(), boot(), update(), fault(), ticket(), audit(), lifecycle()],
    })
}

fn heartbeat() -> Value {
    let interval = json!({"type": "integer", "minimum": 1, "maximum": INTERVAL_S_MAX,
                          "default": 3600, "description": "seconds until the next one"});
    kind(
        "heartbeat",
        json!({
            "interval_s": interval, "uptime_s": {"type": "integer", "minimum": 0},
            "cert_expires": expiry(),
        }),
        &["uptime_s"],
    )
}

fn boot() -> Value {
    let reason = one_of(BootReason::ALL.iter().map(|reason| reason.name()));
    kind(
        "boot",
        json!({"boot_ms": millis(), "signin_ms": millis(), "reason": reason}),
        &["boot_ms", "signin_ms", "reason"],
    )
}

fn update() -> Value {
    let state = one_of(UpdateState::ALL.iter().map(|state| state.name()));
    kind(
        "update",
        json!({"change": key(), "state": state, "code": text(), "duration_ms": millis()}),
        &["change", "state"],
    )
}

fn fault() -> Value {
    let known: Vec<&str> = Signal::ALL
        .into_iter()
        .take_while(|signal| *signal != Signal::Other)
        .map(Signal::name)
        .collect();
    let mut fault_kind = key();
    fault_kind["examples"] = json!(known);
    fault_kind["description"] = json!("a kind not among the examples counts as `other`");
    let count = json!({"type": "integer", "minimum": 1, "maximum": COUNT_MAX, "default": 1});
    kind("fault", json!({"kind": fault_kind, "signature": text(), "count": count}), &["kind"])
}

fn ticket() -> Value {
    kind(
        "ticket",
        json!({"ticket": key(), "severity": severity(), "category": plain()}),
        &["ticket", "severity"],
    )
}

fn audit() -> Value {
    let audit_kind = one_of(AuditKind::ALL.iter().map(|kind| kind.name()));
    kind(
        "audit",
        json!({"kind": audit_kind, "actor": plain(), "detail": plain()}),
        &["kind", "actor"],
    )
}

fn lifecycle() -> Value {
    let state = one_of(["enrolled", "moved", "offline", "reset", "retired"].into_iter());
    let mut schema = kind("lifecycle", json!({"state": state, "from": key()}), &["state"]);
    schema["if"] = json!({"properties": {"state": {"const": "moved"}}});
    schema["then"] = json!({"required": ["from"]});
    schema
}

/// A record of the topic `changes`, or what stands for a tombstone in NDJSON.
pub fn changes() -> Value {
    let types = ChangeType::ALL.iter().filter(|kind| **kind != ChangeType::Unknown);
    let removal = json!({
        "properties": {"change": key(), "deleted": {"const": true}},
        "required": ["change", "deleted"],
    });
    let plan = json!({"type": "object", "properties": {"ring": key(), "starts": time()},
                      "required": ["ring", "starts"]});
    let record = json!({
        "properties": {
            "v": version(), "change": key(), "title": plain(),
            "type": one_of(types.map(|kind| kind.name())),
            "reversible": {"type": "boolean"},
            "status": one_of(ChangeStatus::ALL.iter().map(|status| status.name())),
            "announced": time(), "requires_action": {"type": "boolean", "default": false},
            "rings": {"type": "array", "items": plan},
            "acknowledged_at": time(), "action_due": expiry(), "mitigated_at": time(),
            "reason": one_of(EmergencyReason::ALL.iter().map(|reason| reason.name())),
            "supersedes": key(), "time": time(), "deleted": {"const": false},
        },
        "required": ["change", "title", "type", "reversible", "status", "announced", "rings"],
    });
    json!({
        "description": "A record of the topic `changes`; key = change; the latest wins. Takes \
                        effect at `time`, else at the Kafka record's timestamp.",
        "type": "object",
        "anyOf": [record, removal],
    })
}

/// A record of the topic `support`.
pub fn support() -> Value {
    json!({
        "description": "A record of the topic `support`; key = ticket: a case that is not tied \
                        to a device's telemetry.",
        "type": "object",
        "properties": {
            "v": version(), "ticket": key(), "time": time(), "severity": severity(),
            "status": plain(), "device": key(), "ring": key(), "category": plain(),
            "change": key(),
        },
        "required": ["ticket", "time", "severity", "status"],
    })
}

/// One transition of one alert, as webhooks, the API and `alerts list --json` carry it.
pub fn alert() -> Value {
    let names = |names: Vec<&'static str>| one_of(names.into_iter());
    let moment = json!({"type": "string", "format": "date-time"});
    let optional_moment = json!({"type": ["string", "null"], "format": "date-time"});
    let escalations: Vec<Value> = Escalation::ALL
        .iter()
        .map(|escalation| json!(escalation.name()))
        .chain([Value::Null])
        .collect();
    closed(&json!({
        "v": {"const": SCHEMA_VERSION},
        "id": {"type": "string", "description": "names one firing episode"},
        "fingerprint": {"type": "string", "description": "change + ring + signal + decision"},
        "state": names(AlertState::ALL.iter().map(|state| state.name()).collect()),
        "decision": names(Decision::ALL.iter().map(|decision| decision.name()).collect()),
        "escalation": {"enum": escalations},
        "severity": names(Severity::ALL.iter().map(|severity| severity.name()).collect()),
        "change": {"type": "string"},
        "change_type": names(ChangeType::ALL.iter().map(|kind| kind.name()).collect()),
        "unregistered": {"const": true, "description": "the change was never announced"},
        "ring": {"type": "string"},
        "signal": {"type": "string"},
        "transition": {"type": "integer", "minimum": 1},
        "starts_at": moment, "updated_at": moment, "ends_at": optional_moment,
        "summary": {"type": "string", "description": "one sentence for people"},
        "evidence": evidence(),
        "cohort": {"anyOf": [{"type": "null"}, cohort()]},
        "action": action(),
        "links": links(),
    }))
}

fn evidence() -> Value {
    let arm = closed(&json!({
        "devices": count(), "device_seconds": count(), "affected": count(),
    }));
    let number = json!({"type": "number"});
    let optional_number = json!({"type": ["number", "null"]});
    closed(&json!({
        "kind": one_of(EvidenceKind::ALL.iter().map(|kind| kind.name())),
        "log_e": number, "line": number, "alpha": number, "r0": number,
        "treated": arm, "control": arm,
        "ratio": optional_number, "ratio_low": optional_number, "ratio_high": optional_number,
        "windows": count(),
        "first_affected_at": {"type": ["string", "null"], "format": "date-time"},
        "baseline_ratio": optional_number,
        "comparison_weight": optional_number,
    }))
}

fn cohort() -> Value {
    let share = json!({"type": "number", "minimum": 0, "maximum": 1});
    closed(&json!({"key": {"type": "string"}, "value": {"type": "string"}, "share": share}))
}

fn action() -> Value {
    let owner = one_of(Owner::ALL.iter().map(|owner| owner.name()));
    let channels = one_of(Channel::ALL.iter().map(|channel| channel.name()));
    let notice = closed(&json!({
        "channels": {"type": "array", "items": channels},
        "when": one_of(When::ALL.iter().map(|when| when.name())),
    }));
    closed(&json!({"what": {"type": "string"}, "owner": owner, "notice": notice}))
}

fn links() -> Value {
    let link = json!({"type": ["string", "null"]});
    closed(&json!({"dashboard": link, "runbook": link}))
}

/// Fields that stand only where they say something.
const OPTIONAL: [&str; 3] = ["unregistered", "notice", "when"];

/// An object that has all of these fields, but for those in [`OPTIONAL`], and no other.
fn closed(properties: &Value) -> Value {
    let names = properties.as_object().into_iter().flat_map(serde_json::Map::keys);
    let required: Vec<&String> = names.filter(|name| !OPTIONAL.contains(&name.as_str())).collect();
    json!({"type": "object", "required": required, "additionalProperties": false,
           "properties": properties})
}

/// What a telemetry record of one `type` has besides the common fields.
fn kind(name: &str, mut properties: Value, required: &[&str]) -> Value {
    properties["type"] = json!({"const": name});
    json!({"title": name, "properties": properties, "required": required})
}

fn one_of<'a>(names: impl Iterator<Item = &'a str>) -> Value {
    json!({"enum": names.collect::<Vec<_>>()})
}

fn version() -> Value {
    json!({"const": SCHEMA_VERSION})
}

/// A string that becomes a key: 1..=128 bytes, no control characters.
fn key() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": KEY_BYTES_MAX,
           "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$"})
}

fn plain() -> Value {
    json!({"type": "string"})
}

fn text() -> Value {
    json!({"type": "string", "maxLength": TEXT_BYTES_MAX})
}

fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

fn millis() -> Value {
    json!({"type": "integer", "minimum": 0, "maximum": MILLIS_MAX})
}

fn severity() -> Value {
    one_of(TicketSeverity::ALL.iter().map(|severity| severity.name()))
}

/// RFC 3339, or Unix milliseconds from the year 2000 on.
fn time() -> Value {
    moment("RFC 3339 with any offset, or Unix milliseconds; from the year 2000 on")
}

/// A time that may lie in the future.
fn expiry() -> Value {
    moment("RFC 3339 with any offset, or Unix milliseconds; may lie in the future")
}

fn moment(description: &str) -> Value {
    json!({
        "description": description,
        "oneOf": [
            {"type": "string", "format": "date-time"},
            {"type": "integer", "minimum": Timestamp::YEAR_2000.as_millis()},
        ],
    })
}
