//! Every metric of this crate, declared once. No label comes from a record.

use metrics::{Counter, Unit, counter, describe_counter};
use schemas::{Stage, entry::StreamKind};

const RECORDS: &str = "ringwatch_ingest_records_total";
const BYTES: &str = "ringwatch_ingest_bytes_total";
const REJECTED: &str = "ringwatch_ingest_rejected_total";
const DOWN: &str = "ringwatch_ingest_broker_down_total";
const COMMIT_FAILED: &str = "ringwatch_ingest_offset_commit_failed_total";
const REBALANCES: &str = "ringwatch_ingest_rebalances_total";
const REJECTED_TOPIC_WAITS: &str = "ringwatch_ingest_rejected_topic_waits_total";
const REJECTED_TOPIC_FAILED: &str = "ringwatch_ingest_rejected_topic_failed_total";

/// Describes every metric of this crate to the recorder in place.
pub fn describe() {
    describe_counter!(RECORDS, "Records handed out, by stream");
    describe_counter!(BYTES, Unit::Bytes, "Bytes of the values handed out, by stream");
    describe_counter!(REJECTED, "Records refused, by stage");
    describe_counter!(DOWN, "Reports that no broker answers or a connection was lost");
    describe_counter!(COMMIT_FAILED, "Offset commits to Kafka that failed; a courtesy only");
    describe_counter!(REBALANCES, "Assignments and revocations by the consumer group");
    describe_counter!(REJECTED_TOPIC_WAITS, "Waits for room in the queue to the rejected topic");
    describe_counter!(REJECTED_TOPIC_FAILED, "Records that the rejected topic did not take");
}

/// The counters of what a source hands out, looked up once.
pub(crate) struct Received {
    records: [Counter; StreamKind::ALL.len()],
    bytes: [Counter; StreamKind::ALL.len()],
}

impl Received {
    pub(crate) fn new() -> Self {
        let by_stream = |metric: &'static str| {
            [StreamKind::Telemetry, StreamKind::Changes, StreamKind::Support]
                .map(|kind| counter!(metric, "stream" => kind.name()))
        };
        Self { records: by_stream(RECORDS), bytes: by_stream(BYTES) }
    }

    pub(crate) fn add(&self, kind: StreamKind, bytes: usize) {
        self.records[kind as usize].increment(1);
        self.bytes[kind as usize].increment(bytes as u64);
    }
}

pub(crate) fn rejected(stage: Stage) {
    counter!(REJECTED, "stage" => stage.name()).increment(1);
}

pub(crate) fn down() {
    counter!(DOWN).increment(1);
}

pub(crate) fn commit_failed() {
    counter!(COMMIT_FAILED).increment(1);
}

pub(crate) fn rebalanced() {
    counter!(REBALANCES).increment(1);
}

pub(crate) fn rejected_topic_waited() {
    counter!(REJECTED_TOPIC_WAITS).increment(1);
}

pub(crate) fn rejected_topic_failed() {
    counter!(REJECTED_TOPIC_FAILED).increment(1);
}
