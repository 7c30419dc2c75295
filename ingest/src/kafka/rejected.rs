//! The topic of rejected records (contracts.md 2.5): as they came, and why.
//!
//! In: a record and its rejection. Out: the same key, value and headers with six more headers, at
//! least once: an entry is journalled only after [`RejectedTopic::flush`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use schemas::Rejection;

use super::config::KafkaConfig;
use crate::metrics;
use crate::source::{Record, SourceError};

/// Most records waiting for the broker: a topic full of foreign records must not fill memory.
const QUEUED_RECORDS_MAX: &str = "10000";
/// Most bytes waiting for the broker, KiB.
const QUEUED_KBYTES_MAX: &str = "32768";
/// Largest record handed on, bytes: whatever the inputs could hold, larger than their limit too.
const RECORD_BYTES_MAX: &str = "1000000000";
/// Wait for room between two attempts.
const ROOM_WAIT: Duration = Duration::from_millis(50);

/// Counts what the broker did not take.
struct Failures(Arc<AtomicU64>);

impl ClientContext for Failures {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "kafka client of the rejected topic");
    }
}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge) {
                return too_large();
            }
            tracing::warn!(%error, "a rejected record was not taken by its topic");
            metrics::rejected_topic_failed();
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The broker takes no record of that size: its row in the dataset has to do.
fn too_large() {
    tracing::warn!("a rejected record is too large for its topic; its row is in the dataset");
    metrics::rejected_topic_failed();
}

/// A producer to the topic of rejected records.
pub struct RejectedTopic {
    producer: BaseProducer<Failures>,
    topic: String,
    brokers: String,
    /// Names of the input topics, for the header.
    inputs: super::Topics,
    failed: Arc<AtomicU64>,
}

impl std::fmt::Debug for RejectedTopic {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RejectedTopic").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl RejectedTopic {
    /// The producer; `None` if no topic is configured for rejected records.
    pub fn open(config: &KafkaConfig) -> Result<Option<Self>, SourceError> {
        let Some(topic) = config.topics.rejected.clone() else { return Ok(None) };
        let failed = Arc::new(AtomicU64::new(0));
        let mut client = config.producer()?;
        client
            .set("enable.idempotence", "true")
            .set("message.max.bytes", RECORD_BYTES_MAX)
            // An outage is waited out by `flush`; nothing is given up meanwhile.
            .set("message.timeout.ms", "0")
            .set("queue.buffering.max.messages", QUEUED_RECORDS_MAX)
            .set("queue.buffering.max.kbytes", QUEUED_KBYTES_MAX);
        let producer = client
            .create_with_context(Failures(Arc::clone(&failed)))
            .map_err(SourceError::Configuration)?;
        let (brokers, inputs) = (config.brokers.clone(), config.topics.clone());
        Ok(Some(Self { producer, topic, brokers, inputs, failed }))
    }

    /// Queues one record; waits up to `timeout` for room.
    pub fn send(
        &self,
        record: &Record<'_>,
        rejection: &Rejection,
        timeout: Duration,
    ) -> Result<(), SourceError> {
        let mut queued =
            BaseRecord::<[u8], [u8]>::to(&self.topic).headers(self.headers(record, rejection));
        queued.key = record.key;
        queued.payload = record.value;
        let mut waited = Duration::ZERO;
        loop {
            let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            let large = KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge);
            match self.producer.send(queued) {
                Ok(()) => {
                    self.producer.poll(Duration::ZERO);
                    return Ok(());
                }
                Err((error, back)) if error == full && waited < timeout => queued = back,
                Err((error, _)) if error == large => {
                    too_large();
                    return Ok(());
                }
                Err((error, _)) if error == full => return Err(self.late(1, timeout)),
                Err((source, _)) => {
                    let action = "queue a record for the rejected topic";
                    return Err(SourceError::Client { action, source });
                }
            }
            metrics::rejected_topic_waited();
            self.producer.poll(ROOM_WAIT);
            waited += ROOM_WAIT;
        }
    }

    /// Waits up to `timeout` until the broker has everything; an error says how much it has not.
    /// Call it before the entry is journalled; after an error the entry is not to be written.
    pub fn flush(&self, timeout: Duration) -> Result<(), SourceError> {
        let flushed = self.producer.flush(timeout);
        // Never taken back: each worker that waits here must hear of it.
        let failed = self.failed.load(Ordering::Relaxed);
        match (flushed, failed) {
            (Ok(()), 0) => Ok(()),
            // Refused for good: trying again would forget it.
            (Ok(()), failed) => Err(SourceError::Fatal {
                reason: format!("topic {} refused {failed} rejected records", self.topic),
            }),
            (Err(_), failed) => {
                let waiting = self.producer.in_flight_count().max(0) as u64;
                Err(self.late(failed + waiting, timeout))
            }
        }
    }

    /// The broker is slow, or out of reach.
    fn late(&self, count: u64, timeout: Duration) -> SourceError {
        super::native::rebootstrap(self.producer.client(), &self.brokers);
        let (topic, timeout_s) = (self.topic.clone(), timeout.as_secs());
        SourceError::RejectedTopic { topic, count, timeout_s }
    }

    /// The record's own headers, then ours. A name that is not UTF-8 is written with replacement
    /// characters: the producer takes text only.
    fn headers(&self, record: &Record<'_>, rejection: &Rejection) -> OwnedHeaders {
        let mut headers = Some(OwnedHeaders::new());
        let mut add = |key: &str, value: Option<&[u8]>| {
            headers = headers.take().map(|headers| headers.insert(Header { key, value }));
        };
        record.headers.each(&mut |name, value| add(&String::from_utf8_lossy(name), value));
        let (partition, offset) = (record.stream.partition.to_string(), record.offset.to_string());
        for (name, value) in [
            ("ringwatch.topic", self.inputs.name(record.stream.kind)),
            ("ringwatch.partition", &partition),
            ("ringwatch.offset", &offset),
            ("ringwatch.stage", rejection.stage.name()),
            ("ringwatch.error", &rejection.error),
            ("ringwatch.field", rejection.field.unwrap_or_default()),
        ] {
            add(name, Some(value.as_bytes()));
        }
        headers.unwrap_or_default()
    }
}
