//! What the consumer group decides, and our answers: partitions come with the offset that the
//! journal names, and go once what was read of them is durable.
//!
//! ```text
//! event ─► Assigned ─► the journal is opened ─► take     (nothing is fetched before)
//!       ─► Revoked ──► the entry is written ──► give     (nobody else is assigned before)
//!       ─► Lost ─────► the state is dropped ──► give     (somebody else has it already)
//! ```
//! Whoever closes a client must know what is answered. librdkafka waits for an answer without an
//! end, and while it closes, calls that come too late wait for it without an end
//! (<https://github.com/confluentinc/librdkafka/issues/4884>).

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use schemas::Stream;

use crate::source::SourceEvent;

/// How long a client that closes may take to say that it has closed by itself. That is the next
/// step of a thread which has nothing else to do: this is for a machine that is busy.
const CLOSED_WITHIN: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What librdkafka calls back with.
#[derive(Default)]
pub(super) struct Context {
    /// Whether the client that closes has been told to let everything go.
    has_let_go: AtomicBool,
}

/// What the group waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Question {
    /// Until partitions are taken up.
    Take,
    /// Until they are given back.
    Give,
}

impl Question {
    pub(super) fn of(code: RDKafkaRespErr) -> Self {
        match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Self::Take,
            _ => Self::Give,
        }
    }

    /// Answers with no partition at all: nobody takes up or gives back any more.
    pub(super) fn decline<C: ConsumerContext>(self, consumer: &BaseConsumer<C>) -> KafkaResult<()> {
        let none = TopicPartitionList::new();
        match self {
            Self::Take => take(consumer, &none),
            Self::Give => give(consumer, &none),
        }
    }
}

/// What an event of the group means.
pub(super) fn moved<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    question: Question,
    streams: Vec<Stream>,
) -> SourceEvent {
    crate::metrics::rebalanced();
    match question {
        Question::Take => SourceEvent::Assigned(streams),
        Question::Give if consumer.assignment_lost() => SourceEvent::Lost(streams),
        Question::Give => SourceEvent::Revoked(streams),
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
    ///
    /// A client that closes takes every answer as "let all partitions go", so that one is enough
    /// however many questions there are. The answer of the group to a client that was joining can
    /// still come when it has closed; by then there is nobody to take ours.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        _: &mut TopicPartitionList,
    ) {
        if self.has_let_go.load(Ordering::Relaxed) {
            return;
        }
        // Partitions that we hold keep it from closing: then it waits for us.
        if Question::of(code) == Question::Take && closes_by_itself(consumer) {
            return;
        }
        self.has_let_go.store(true, Ordering::Relaxed);
        if let Err(error) = consumer.unassign() {
            tracing::debug!(%error, "partitions given back at the end");
        }
    }
}

fn closes_by_itself<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> bool {
    let asked = Instant::now();
    while !consumer.closed() {
        if asked.elapsed() >= CLOSED_WITHIN {
            return false;
        }
        thread::sleep(LOOK_EVERY);
    }
    true
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
