//! The client that the source and its lanes share: what it is called with, and what its errors
//! mean.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode as Code;
use schemas::Stream;

use super::KafkaConfig;
use super::native::{Failure, Message};
use super::rebalance::{self, Context};
use crate::metrics;
use crate::source::{SourceError, Start};

/// How long one question to a broker that has answered before may take.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// One consumer, whoever reads from it.
pub(super) struct Client {
    pub(super) consumer: BaseConsumer<Context>,
    pub(super) config: KafkaConfig,
    /// Where each partition was last started, to name it when it is gone.
    starts: Mutex<BTreeMap<Stream, Start>>,
    /// Whether anything came since that was last asked.
    heard: AtomicBool,
}

/// What an error means for whoever reads on.
pub(super) enum Trouble {
    /// None: a partition has been read to its end.
    End { stream: Stream, offset: i64 },
    /// The broker, or one of its partitions, is away.
    Down(String),
}

impl Client {
    pub(super) fn new(consumer: BaseConsumer<Context>, config: KafkaConfig) -> Self {
        Self { consumer, config, starts: Mutex::default(), heard: AtomicBool::new(false) }
    }

    /// Where each partition was last started.
    pub(super) fn starts(&self) -> MutexGuard<'_, BTreeMap<Stream, Start>> {
        // Only whole values are written: those of a thread that panicked are sound.
        self.starts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something came: the broker is there.
    pub(super) fn hear(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    /// Whether something has come since the last call.
    pub(super) fn take_heard(&self) -> bool {
        self.heard.swap(false, Ordering::Relaxed)
    }

    pub(super) fn stream_of(&self, message: Message<'_>) -> Option<Stream> {
        let kind = self.config.topics.kind(message.topic().to_bytes())?;
        Some(Stream { kind, partition: message.partition() })
    }

    /// What an error means for the caller; `None` if it is nothing to tell.
    pub(super) fn failed(&self, failure: Failure) -> Result<Option<Trouble>, SourceError> {
        let Failure { code, reason, is_fatal, place } = failure;
        if is_fatal {
            let instance = self.config.properties.get("group.instance.id");
            return Err(match instance.filter(|_| reason.contains("fenced")) {
                Some(instance) => SourceError::Fenced { instance: instance.clone() },
                None => SourceError::Fatal { reason },
            });
        }
        let place = place.and_then(|place| {
            let kind = self.config.topics.kind(place.topic.as_bytes())?;
            Some((Stream { kind, partition: place.partition }, place.offset))
        });
        match (code, place) {
            (Code::PartitionEOF, Some((stream, offset))) => {
                Ok(Some(Trouble::End { stream, offset }))
            }
            (Code::PartitionEOF, None) => Ok(None),
            (Code::AutoOffsetReset | Code::OffsetOutOfRange, Some((stream, offset))) => {
                Err(self.offset_gone(stream, offset))
            }
            (Code::BadCompression | Code::BadMessage, Some((stream, offset))) => {
                Err(SourceError::BadBatch { stream, offset, reason })
            }
            (
                Code::TopicAuthorizationFailed
                | Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::UnknownPartition
                | Code::UnsupportedCompressionType,
                Some((stream, _)),
            ) => {
                let topic = self.config.topics.name(stream.kind).to_owned();
                Err(SourceError::Refused { stream, topic, reason })
            }
            (Code::GroupAuthorizationFailed | Code::ClusterAuthorizationFailed, _) => {
                Err(SourceError::Fatal { reason })
            }
            _ => {
                metrics::down();
                Ok(Some(Trouble::Down(reason)))
            }
        }
    }

    /// Names the offset, what is still there, and the way out.
    fn offset_gone(&self, stream: Stream, reported: i64) -> SourceError {
        let topic = self.config.topics.name(stream.kind).to_owned();
        let (earliest, end) = self
            .consumer
            .fetch_watermarks(&topic, stream.partition, ANSWER_TIMEOUT)
            .unwrap_or((-1, -1));
        let wanted = match (self.starts().get(&stream), reported) {
            (_, reported) if reported >= 0 => reported,
            (Some(Start::At(offset)), _) => *offset,
            (Some(Start::Earliest) | None, _) => earliest,
        };
        SourceError::OffsetGone { stream, topic, wanted, earliest, end }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        rebalance::close(&self.consumer);
    }
}
