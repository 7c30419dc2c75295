//! What the consumer group decides, and our answers: partitions come with the offset that the
//! journal names, and go once what was read of them is durable.
//!
//! ```text
//! event ─► Assigned ─► the journal is opened ─► take     (nothing is fetched before)
//!       ─► Revoked ──► the entry is written ──► give     (nobody else is assigned before)
//!       ─► Lost ─────► the state is dropped ──► give     (somebody else has it already)
//! ```
//! A client that closes waits until the last question of the group is answered, and takes every
//! answer as "let all partitions go". One is enough, then; a second that comes while it ends would
//! wait without an end (<https://github.com/confluentinc/librdkafka/issues/4884>).

use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use schemas::Stream;

use crate::source::SourceEvent;

/// What librdkafka calls back with.
#[derive(Default)]
pub(super) struct Context {
    /// Whether the group has asked something that has no answer yet.
    is_asked: AtomicBool,
    /// Whether the client that closes has been told to let all partitions go.
    has_let_go: AtomicBool,
}

impl Context {
    fn let_go(&self, consumer: &BaseConsumer<Self>) {
        if self.has_let_go.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Err(error) = consumer.unassign() {
            tracing::debug!(%error, "partitions given back at the end");
        }
    }
}

/// What an event of the group means. It must be answered, by [`take`] or [`give`].
pub(super) fn asked(
    consumer: &BaseConsumer<Context>,
    code: RDKafkaRespErr,
    streams: Vec<Stream>,
) -> SourceEvent {
    crate::metrics::rebalanced();
    consumer.context().is_asked.store(true, Ordering::Relaxed);
    if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
        SourceEvent::Assigned(streams)
    } else if consumer.assignment_lost() {
        SourceEvent::Lost(streams)
    } else {
        SourceEvent::Revoked(streams)
    }
}

/// Takes partitions up, each from its offset.
pub(super) fn take(consumer: &BaseConsumer<Context>, list: &TopicPartitionList) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(list),
    }?;
    consumer.context().is_asked.store(false, Ordering::Relaxed);
    Ok(())
}

/// Gives partitions back.
pub(super) fn give(consumer: &BaseConsumer<Context>, list: &TopicPartitionList) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
    }?;
    consumer.context().is_asked.store(false, Ordering::Relaxed);
    Ok(())
}

/// To be called before a client is dropped: gives the answer that nobody would give after that, and
/// that it would wait for without an end.
pub(super) fn close(consumer: &BaseConsumer<Context>) {
    let is_asked = consumer.context().is_asked.load(Ordering::Relaxed);
    // One that has failed tells us nothing any more, and waits for an answer all the same.
    let has_failed = consumer.client().fatal_error().is_some();
    if has_failed || (is_asked && consumer.close_queue().is_ok()) {
        consumer.context().let_go(consumer);
    }
}

impl ConsumerContext for Context {
    /// Called while the client closes only: before that we answer the events ourselves.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        _: RDKafkaRespErr,
        _: &mut TopicPartitionList,
    ) {
        self.let_go(consumer);
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
