//! What the consumer group decides, and our answers: partitions come with the offset that the
//! journal names, and go once what was read of them is durable.
//!
//! ```text
//! event ─► Assigned ─► the journal is opened ─► take     (nothing is fetched before)
//!       ─► Revoked ──► the entry is written ──► give     (nobody else is assigned before)
//!       ─► Lost ─────► the state is dropped ──► give     (somebody else has it already)
//! ```

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use schemas::Stream;

use crate::source::SourceEvent;

/// What librdkafka calls back with.
pub(super) struct Context;

/// What an event of the group means.
pub(super) fn moved<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    code: RDKafkaRespErr,
    streams: Vec<Stream>,
) -> SourceEvent {
    crate::metrics::rebalanced();
    if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
        SourceEvent::Assigned(streams)
    } else if consumer.assignment_lost() {
        SourceEvent::Lost(streams)
    } else {
        SourceEvent::Revoked(streams)
    }
}

/// Takes partitions up, each from its offset.
pub(super) fn take<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    list: &TopicPartitionList,
) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(list),
    }
}

/// Gives partitions back.
pub(super) fn give<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    list: &TopicPartitionList,
) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
    }
}

impl ConsumerContext for Context {
    /// Called while the client closes only: before that we answer the events ourselves.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        _code: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        if let Err(error) = give(consumer, list) {
            tracing::debug!(%error, "partitions given back at the end");
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
