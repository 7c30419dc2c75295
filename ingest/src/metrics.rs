//! Every metric of this crate, declared once. No label comes from a record.

use metrics::{Counter, Unit, counter, describe_counter};
use schemas::{Stage, entry::StreamKind};

const RECORDS: &str = "ringwatch_ingest_records_total";
const BYTES: &str = "ringwatch_ingest_bytes_total";
const DECODED: &str = "ringwatch_ingest_decoded_total";
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
    describe_counter!(DECODED, "Telemetry records looked at, by path: known shape, or parser");
    describe_counter!(REJECTED, "Records refused, by stage");
    describe_counter!(DOWN, "Reports that no broker answers or a connection was lost");
    describe_counter!(COMMIT_FAILED, "Offset commits to Kafka that failed; a courtesy only");
    describe_counter!(REBALANCES, "Assignments and revocations by the consumer group");
    describe_counter!(REJECTED_TOPIC_WAITS, "Waits for room in the queue to the rejected topic");
    describe_counter!(REJECTED_TOPIC_FAILED, "Records that the rejected topic did not take");
    // There from the start: what appears with its first event shows no increase by it.
    for failure in [DOWN, COMMIT_FAILED, REJECTED_TOPIC_WAITS, REJECTED_TOPIC_FAILED] {
        counter!(failure).increment(0);
    }
    for stage in [Stage::Frame, Stage::Decode, Stage::Validate] {
        counter!(REJECTED, "stage" => stage.name()).increment(0);
    }
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

    pub(crate) fn add(&self, kind: StreamKind, records: usize, bytes: usize) {
        self.records[kind as usize].increment(records as u64);
        self.bytes[kind as usize].increment(bytes as u64);
    }
}

/// Which way records were decoded; told every so many records, and at the end.
pub(crate) struct Paths {
    by_shape: u64,
    by_parser: u64,
    told: [u64; 2],
    counters: [Counter; 2],
}

/// A second or less at any rate that matters, and no counter shared with others for each record.
const PATHS_TOLD_EVERY: u64 = 4_096;

impl Paths {
    pub(crate) fn new() -> Self {
        let counters = ["shape", "parser"].map(|path| counter!(DECODED, "path" => path));
        Self { by_shape: 0, by_parser: 0, told: [0; 2], counters }
    }

    #[inline]
    pub(crate) fn shape(&mut self) {
        self.by_shape += 1;
        if self.by_shape.is_multiple_of(PATHS_TOLD_EVERY) {
            self.tell();
        }
    }

    #[inline]
    pub(crate) fn parser(&mut self) {
        self.by_parser += 1;
        if self.by_parser.is_multiple_of(PATHS_TOLD_EVERY) {
            self.tell();
        }
    }

    pub(crate) const fn by_shape(&self) -> u64 {
        self.by_shape
    }

    fn tell(&mut self) {
        let counts = [self.by_shape, self.by_parser];
        for ((counter, told), count) in self.counters.iter().zip(&mut self.told).zip(counts) {
            counter.increment(count - *told);
            *told = count;
        }
    }
}

impl Drop for Paths {
    fn drop(&mut self) {
        self.tell();
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
