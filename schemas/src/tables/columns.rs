//! The columns themselves, dataset by dataset, in file order.

use super::{Adds, Column, Kind};

const fn key(name: &'static str, kind: Kind, meaning: &'static str) -> Column {
    Column { name, kind, nullable: false, adds: Adds::No, unit: "", meaning }
}

const fn optional(name: &'static str, kind: Kind, meaning: &'static str) -> Column {
    Column { name, kind, nullable: true, adds: Adds::No, unit: "", meaning }
}

const fn sum(name: &'static str, unit: &'static str, meaning: &'static str) -> Column {
    Column { name, kind: Kind::Count, nullable: false, adds: Adds::Sum, unit, meaning }
}

const fn level(name: &'static str, meaning: &'static str) -> Column {
    Column { name, kind: Kind::Count, nullable: false, adds: Adds::Level, unit: "devices", meaning }
}

const fn histogram(name: &'static str, unit: &'static str, meaning: &'static str) -> Column {
    Column { name, kind: Kind::Counts, nullable: true, adds: Adds::No, unit, meaning }
}

const WINDOW_START: Column =
    key("window_start", Kind::Time, "start of the event-time window, inclusive");
const WINDOW_END: Column = key("window_end", Kind::Time, "end of the window, exclusive");
const CHANGE: Column = optional("change", Kind::Name, "change id; NULL = the whole ring");
const RING: Column =
    key("ring", Kind::Name, "ring named by the records; `unmanaged` = not configured");
const ARM: Column = optional(
    "arm",
    Kind::Name,
    "treated = devices exposed to the change, control = active devices that are not; \
     NULL where change is NULL",
);
const REVISION: Column = key(
    "revision",
    Kind::Count,
    "0 when the window was first written; higher in rows that add to it later; \
     SUM over all revisions is the answer",
);

const INSTALL_BOUNDS: &str = "duration_ms of update records with state installed: upper bounds of \
     the buckets that are not empty (exact to 16, then 16 equal buckets per power of two), \
     ascending; pairs with install_ms_n; NULL where no record reports one";
const BOOT_BOUNDS: &str = "boot_ms of applied boot records: bounds as in install_ms_le";
const SIGNIN_BOUNDS: &str = "signin_ms of applied boot records: bounds as in install_ms_le";
const HISTOGRAM_COUNTS: &str = "records in each bucket; a bucket's SUM over rows is right";

pub(super) const RING_HEALTH: &[Column] = &[
    WINDOW_START,
    WINDOW_END,
    CHANGE,
    optional("change_type", Kind::Name, "feature, security, quality, emergency or unknown"),
    RING,
    ARM,
    level("devices_active", "devices at risk at the window's start"),
    sum("device_seconds", "s", "device-time at risk in the window, rounded down by row"),
    level("devices_silent", "devices known but not heard for 3 of their intervals, at the start"),
    sum("devices_exposed", "devices", "devices newly exposed (change NULL: over all changes)"),
    sum("installs_started", "records", "update records with state installing"),
    sum("installs_succeeded", "records", "update records with state installed"),
    sum("installs_failed", "records", "update records with state failed"),
    sum("rollbacks", "records", "update records with state rolled_back"),
    sum("heartbeats", "records", "applied heartbeat records"),
    sum("boots", "records", "applied boot records"),
    sum("records", "records", "applied records of any type (change NULL only, else 0)"),
    sum("duplicates", "records", "records dropped as seen before (change NULL only, else 0)"),
    histogram("install_ms_le", "ms", INSTALL_BOUNDS),
    histogram("install_ms_n", "records", HISTOGRAM_COUNTS),
    histogram("boot_ms_le", "ms", BOOT_BOUNDS),
    histogram("boot_ms_n", "records", HISTOGRAM_COUNTS),
    histogram("signin_ms_le", "ms", SIGNIN_BOUNDS),
    histogram("signin_ms_n", "records", HISTOGRAM_COUNTS),
    REVISION,
];

pub(super) const RING_SIGNALS: &[Column] = &[
    WINDOW_START,
    WINDOW_END,
    CHANGE,
    optional("change_type", Kind::Name, "feature, security, quality, emergency or unknown"),
    RING,
    ARM,
    key(
        "signal",
        Kind::Name,
        "kind of harm; silence_learned is the second form of silence (not heard for longer than \
         is usual for the device); a no_return stands in the window of its deadline",
    ),
    optional("cohort_key", Kind::Name, "cohort dimension; NULL = all devices together"),
    optional("cohort_value", Kind::Name, "value of that dimension"),
    sum(
        "affected_devices",
        "devices",
        "devices newly hit after a quiet period; no_return: attempts that nobody came back from",
    ),
    sum(
        "events",
        "events",
        "sum of count over all records, affected or not; no_return: attempts that were decided",
    ),
    REVISION,
];

pub(super) const RING_DEVICES: &[Column] = &[
    key("hour_start", Kind::Time, "start of the hour, inclusive"),
    CHANGE,
    RING,
    ARM,
    optional("cohort_key", Kind::Name, "cohort dimension; NULL = all devices together"),
    optional("cohort_value", Kind::Name, "value of that dimension"),
    level(
        "devices_active",
        "devices at risk at the start of the hour's first window; values of a dimension beyond \
         the first 1024 in a partition stand together as `__other__`",
    ),
    optional(
        "devices_hll",
        Kind::Bytes,
        "devices heard in the hour, in the arm they were in then: Apache DataSketches HLL, lgK 12, \
         type HLL_8; join the sketches of any rows, revisions included; NULL for cohorts, and \
         where nobody was heard",
    ),
    REVISION,
];

pub(super) const DEVICE_UPDATES: &[Column] = &[
    key("event_time", Kind::Time, "when the device reported the transition"),
    key("device", Kind::Text, "pseudonym of the device; another one after a factory reset"),
    RING,
    key("change", Kind::Name, "change id"),
    key("state", Kind::Name, "state reported"),
    optional("code", Kind::Name, "result code, as reported"),
    Column {
        name: "duration_ms",
        kind: Kind::Count,
        nullable: true,
        adds: Adds::Sum,
        unit: "ms",
        meaning: "duration of the step, as reported",
    },
    optional("build", Kind::Name, "build last known of the device"),
    optional("model", Kind::Name, "model last known of the device"),
];

pub(super) const ALERTS: &[Column] = &[
    key("id", Kind::Text, "names one firing episode"),
    key("fingerprint", Kind::Text, "names change + ring + signal + decision"),
    key("state", Kind::Name, "pending, firing, acknowledged or resolved"),
    key("decision", Kind::Name, "clear, watch, hold, rollback or escalate"),
    optional("escalation", Kind::Name, "A, B or C where a support case is opened"),
    key("severity", Kind::Name, "critical, warning or info"),
    key("change", Kind::Name, "change id; empty where it is about none"),
    key("change_type", Kind::Name, "feature, security, quality, emergency or unknown"),
    key("unregistered", Kind::Truth, "the change was never announced, only seen in telemetry"),
    key("ring", Kind::Name, "ring; empty where it is about none"),
    key("signal", Kind::Name, "kind of harm, or `process.` and a rule of the change process"),
    key("transition", Kind::Count, "1, 2, ... within the episode"),
    key("starts_at", Kind::Time, "end of the window in which it began to fire"),
    key("updated_at", Kind::Time, "end of the window of this transition"),
    optional("ends_at", Kind::Time, "end of the episode"),
    key("summary", Kind::Text, "one sentence for people"),
    key("evidence", Kind::Text, "the numbers, JSON"),
    optional("cohort", Kind::Text, "cohort that holds most of the harm, JSON"),
    key("action", Kind::Text, "what should be done and by whom, JSON"),
    key("links", Kind::Text, "where to look further, JSON"),
];

pub(super) const REJECTED: &[Column] = &[
    key("topic", Kind::Name, "topic; in replay the stream's name"),
    key("partition", Kind::Count, "partition"),
    key("offset", Kind::Count, "offset; in replay the line number from 0"),
    optional("time", Kind::Time, "Kafka timestamp or `_ts`; NULL without"),
    key("stage", Kind::Name, "FRAME, DECODE or VALIDATE"),
    key("error", Kind::Text, "why, in one clause"),
    optional("field", Kind::Name, "field at fault; NULL where it is the whole record"),
    key("value", Kind::Bytes, "first 1 KiB of the value"),
    Column {
        name: "size",
        kind: Kind::Count,
        nullable: false,
        adds: Adds::Sum,
        unit: "B",
        meaning: "size of the whole value",
    },
];
