//! What the consumer group decides: partitions come with the offset the journal names, and go.
//!
//! In: librdkafka's rebalance events. Out: assignments made at librdkafka, and [`Moved`], which
//! [`super::KafkaSource`] hands on in order.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use schemas::Stream;

use super::config::Topics;
use crate::source::{Resume, Start};

/// A partition set that came or went.
#[derive(Debug)]
pub(super) enum Moved {
    Assigned(Vec<Stream>),
    Revoked(Vec<Stream>),
    /// librdkafka did not take what the group decided.
    Failed(KafkaError),
}

/// What librdkafka calls back with.
pub(super) struct Context {
    topics: Topics,
    resume: Resume,
    moved: Mutex<VecDeque<Moved>>,
}

impl Context {
    pub(super) fn new(topics: Topics, resume: Resume) -> Self {
        Self { topics, resume, moved: Mutex::default() }
    }

    /// The oldest move that has not been handed on.
    pub(super) fn take_moved(&self) -> Option<Moved> {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Where the journal says that a partition begins.
    pub(super) fn start(&self, stream: Stream) -> Start {
        (self.resume)(stream)
    }

    fn push(&self, moved: Moved) {
        crate::metrics::rebalanced();
        self.moved.lock().unwrap_or_else(PoisonError::into_inner).push_back(moved);
    }

    fn streams(&self, list: &TopicPartitionList) -> Vec<Stream> {
        let stream = |topic: &str, partition| {
            self.topics.kind(topic.as_bytes()).map(|kind| Stream { kind, partition })
        };
        list.elements().iter().filter_map(|it| stream(it.topic(), it.partition())).collect()
    }

    /// The same partitions, each with the offset to begin at.
    fn with_offsets(&self, list: &TopicPartitionList) -> KafkaResult<TopicPartitionList> {
        let mut assignment = TopicPartitionList::new();
        for stream in self.streams(list) {
            let offset = match self.start(stream) {
                Start::Earliest => Offset::Beginning,
                Start::At(offset) => Offset::Offset(offset),
            };
            let topic = self.topics.name(stream.kind);
            assignment.add_partition_offset(topic, stream.partition, offset)?;
        }
        Ok(assignment)
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> KafkaResult<()> {
        let assignment = self.with_offsets(list)?;
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(&assignment),
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(&assignment),
        }
    }

    fn revoke(consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> KafkaResult<()> {
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let is_assignment = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let done =
            if is_assignment { self.assign(consumer, list) } else { Self::revoke(consumer, list) };
        let streams = self.streams(list);
        match done {
            Ok(()) if is_assignment => self.push(Moved::Assigned(streams)),
            Ok(()) => self.push(Moved::Revoked(streams)),
            Err(error) => self.push(Moved::Failed(error)),
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        log(level as i32, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "kafka client");
    }
}

/// Hands on a line of librdkafka's log. Its errors are warnings here: it goes on trying, and
/// whoever must act is told by an event.
pub(super) fn log(level: i32, facility: &str, text: &str) {
    match level {
        ..=4 => tracing::warn!(target: "librdkafka", facility, "{text}"),
        5 | 6 => tracing::info!(target: "librdkafka", facility, "{text}"),
        _ => tracing::debug!(target: "librdkafka", facility, "{text}"),
    }
}
