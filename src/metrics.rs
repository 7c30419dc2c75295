//! Every metric of the shell, declared once.

use std::time::Duration;

use metrics::{
    Gauge, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

const PARTITIONS_OWNED: &str = "ringwatch_partitions_owned";
const DEVICES: &str = "ringwatch_devices";
const STATE_BYTES: &str = "ringwatch_state_bytes";
const PUBLISHER: &str = "ringwatch_publisher";
const STRAGGLERS: &str = "ringwatch_stragglers";
const LAG_SECONDS: &str = "ringwatch_lag_seconds";
const EVALUATION_LAG_SECONDS: &str = "ringwatch_evaluation_lag_seconds";
const STORE_AWAY: &str = "ringwatch_store_away";
const STORE_AWAY_SECONDS: &str = "ringwatch_store_away_seconds";
const PAUSE_SECONDS: &str = "ringwatch_pause_seconds";
const SNAPSHOTS: &str = "ringwatch_snapshots_total";
const SNAPSHOT_BYTES: &str = "ringwatch_snapshot_bytes_total";
const CHECKPOINTS: &str = "ringwatch_checkpoints_total";
const TRACKS_REFUSED: &str = "ringwatch_history_refused_total";

/// Declares every metric of this crate.
pub fn describe() {
    describe_gauge!(PARTITIONS_OWNED, Unit::Count, "Partitions that this process journals");
    describe_gauge!(
        DEVICES,
        Unit::Count,
        "Devices remembered in this process's partitions, as of their last entries"
    );
    describe_gauge!(
        STATE_BYTES,
        Unit::Bytes,
        "Memory of what is remembered in this process's partitions, as of their last entries"
    );
    describe_gauge!(PUBLISHER, Unit::Count, "1 in the process that publishes, else 0");
    describe_gauge!(STRAGGLERS, Unit::Count, "Partitions that windows do not wait for");
    describe_gauge!(
        LAG_SECONDS,
        Unit::Seconds,
        "Age of the watermark, before which records are complete; of use where this publishes"
    );
    describe_gauge!(
        EVALUATION_LAG_SECONDS,
        Unit::Seconds,
        "Age of the newest window that was evaluated; of use where this publishes"
    );
    describe_gauge!(STORE_AWAY, Unit::Count, "1 while a part waits for the store, by its work");
    describe_histogram!(STORE_AWAY_SECONDS, Unit::Seconds, "Length of each outage of the store");
    describe_histogram!(
        PAUSE_SECONDS,
        Unit::Seconds,
        "How long reading stood still for a copy of the device state, by cause"
    );
    describe_counter!(SNAPSHOTS, Unit::Count, "Device states written down");
    describe_counter!(SNAPSHOT_BYTES, Unit::Bytes, "Bytes of device states written down");
    describe_counter!(CHECKPOINTS, Unit::Count, "States of the publisher written down");
    describe_counter!(
        TRACKS_REFUSED,
        Unit::Count,
        "Windows of a change in a ring whose curves are not kept: too many changes at once"
    );
    // There from the start, so that a rule can tell "not away" from "not known".
    for work in ["journal", "commit"] {
        store_away(work).set(0.0);
    }
}

/// Partitions that this process journals.
pub(crate) fn partitions_owned() -> Gauge {
    gauge!(PARTITIONS_OWNED)
}

/// Devices remembered.
pub(crate) fn devices() -> Gauge {
    gauge!(DEVICES)
}

/// Bytes of what is remembered.
pub(crate) fn state_bytes() -> Gauge {
    gauge!(STATE_BYTES)
}

/// Whether this process publishes.
pub(crate) fn publisher() -> Gauge {
    gauge!(PUBLISHER)
}

/// Partitions left out, in the process that publishes.
pub(crate) fn stragglers() -> Gauge {
    gauge!(STRAGGLERS)
}

/// How far what is complete, and what is evaluated, is behind the clock.
pub(crate) fn lag(watermark_seconds: Option<f64>, evaluation_seconds: Option<f64>) {
    gauge!(LAG_SECONDS).set(watermark_seconds.unwrap_or(f64::NAN));
    gauge!(EVALUATION_LAG_SECONDS).set(evaluation_seconds.unwrap_or(f64::NAN));
}

pub(crate) fn store_away(what: &'static str) -> Gauge {
    gauge!(STORE_AWAY, "work" => what)
}

pub(crate) fn store_away_seconds(what: &'static str, away: Duration) {
    histogram!(STORE_AWAY_SECONDS, "work" => what).record(away);
}

/// Reading stood still for this long.
pub(crate) fn pause(cause: &'static str, length: Duration) {
    histogram!(PAUSE_SECONDS, "cause" => cause).record(length);
}

pub(crate) fn snapshot(bytes: u64) {
    counter!(SNAPSHOTS).increment(1);
    counter!(SNAPSHOT_BYTES).increment(bytes);
}

/// Curves that found no room.
pub(crate) fn tracks_refused() -> metrics::Counter {
    counter!(TRACKS_REFUSED)
}

pub(crate) fn checkpoint() {
    counter!(CHECKPOINTS).increment(1);
}
