//! Whether a broker answers and the topics are there.
//!
//! In: a consumer that has joined nothing yet. Out: partitions of each topic, or what is missing.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode as Code;
use schemas::StreamKind;

use super::config::KafkaConfig;
use super::native::{Failure, Kind, Queue};
use crate::source::SourceError;

/// Partitions of each input topic; an error that names what is missing.
pub(super) fn partition_counts<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    config: &KafkaConfig,
    timeout: Duration,
) -> Result<[i32; StreamKind::ALL.len()], SourceError> {
    let mut counts = [0; StreamKind::ALL.len()];
    for &kind in StreamKind::ALL {
        let topic = config.topics.name(kind);
        counts[kind as usize] = partition_count(consumer, &config.brokers, topic, timeout)?;
    }
    Ok(counts)
}

/// Partitions of one topic, at least 1.
pub(super) fn partition_count<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    brokers: &str,
    topic: &str,
    timeout: Duration,
) -> Result<i32, SourceError> {
    let brokers = brokers.to_owned();
    let Ok(metadata) = consumer.fetch_metadata(Some(topic), timeout) else {
        let (timeout_s, detail) = (timeout.as_secs(), refusal_detail(consumer));
        return Err(SourceError::Unreachable { brokers, timeout_s, detail });
    };
    let found = metadata.topics().iter().find(|it| it.name() == topic && it.error().is_none());
    match found.map_or(0, |it| it.partitions().len() as i32) {
        0 => Err(SourceError::TopicMissing { topic: topic.to_owned(), brokers }),
        count => Ok(count),
    }
}

/// What a broker said that is there but will not have us, for the message; empty if nobody is
/// there at all. Without it a wrong password looks like a wrong address.
fn refusal_detail<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> String {
    let queue = Queue::of(consumer);
    let events = std::iter::from_fn(|| queue.as_ref()?.poll(Duration::ZERO));
    let failures = events.filter(|it| matches!(it.kind(), Kind::Error)).map(|it| it.failure());
    let says_why =
        |it: &Failure| matches!(it.code, Code::Authentication | Code::SSL | Code::Resolve);
    failures.filter(says_why).last().map_or(String::new(), |it| format!(" ({})", it.reason))
}
