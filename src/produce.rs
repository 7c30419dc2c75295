//! Sends a made-up fleet's records to a broker, for `simulate` and `demo`.

use std::time::Duration;

use ingest::Topics;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use schemas::StreamKind;
use sim::SimRecord;

use crate::config::Config;

/// How long the last records may take to be acknowledged.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait for room in the client's queue before trying again.
const ROOM_WAIT: Duration = Duration::from_millis(10);

/// Why records could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    #[error("cannot start a producer for {brokers}")]
    Start { brokers: String, source: KafkaError },
    #[error("cannot send to topic {topic}")]
    Send { topic: String, source: KafkaError },
    #[error("the broker did not acknowledge everything within 30 s")]
    Flush(#[source] KafkaError),
}

/// A producer that keeps the order of each partition.
#[expect(missing_debug_implementations, reason = "made of parts that have none")]
pub struct Producer {
    client: BaseProducer,
    topics: Topics,
}

impl Producer {
    /// A producer with the connection settings of `config`.
    pub fn connect(config: &Config, brokers: &str) -> Result<Self, ProduceError> {
        let mut client = ClientConfig::new();
        for (name, value) in &config.kafka.properties {
            client.set(name, value);
        }
        client
            .set("bootstrap.servers", brokers)
            .set("client.id", "ringwatch-simulate")
            .set("compression.type", "lz4")
            .set("linger.ms", "20")
            .set("enable.idempotence", "true");
        let client = client
            .create()
            .map_err(|source| ProduceError::Start { brokers: brokers.to_owned(), source })?;
        Ok(Self { client, topics: config.kafka.topics.clone() })
    }

    /// Queues one record, waiting for room; its arrival becomes the Kafka timestamp.
    pub fn send(&self, record: &SimRecord) -> Result<(), ProduceError> {
        let topic = match record.stream.kind {
            StreamKind::Telemetry => &self.topics.telemetry,
            StreamKind::Changes => &self.topics.changes,
            StreamKind::Support => &self.topics.support,
        };
        let mut message = BaseRecord::to(topic)
            .partition(record.stream.partition)
            .key(&record.key)
            .payload(&record.value)
            .timestamp(record.arrival.as_millis());
        loop {
            match self.client.send(message) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned)) => {
                    message = returned;
                    self.client.poll(ROOM_WAIT);
                }
                Err((source, _)) => {
                    return Err(ProduceError::Send { topic: topic.clone(), source });
                }
            }
        }
    }

    /// Lets the client handle its acknowledgements.
    pub fn poll(&self) {
        self.client.poll(Duration::ZERO);
    }

    /// Waits until everything sent is acknowledged.
    pub fn flush(&self) -> Result<(), ProduceError> {
        self.client.flush(FLUSH_TIMEOUT).map_err(ProduceError::Flush)
    }
}
