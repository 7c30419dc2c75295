//! Questions to a broker that join no group and move nothing: for `check` and `verify`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};
use schemas::{Stream, StreamKind};

use super::client::ANSWER_TIMEOUT;
use super::config::KafkaConfig;
use super::native::{Kind, Queue};
use super::rebalance::Context;
use super::{client, no_queue, partition_counts, serve};
use crate::source::SourceError;

/// Partitions of each input topic; an error that names what is missing.
pub fn partitions(
    config: &KafkaConfig,
    timeout: Duration,
) -> Result<BTreeMap<StreamKind, i32>, SourceError> {
    let consumer: BaseConsumer = config.consumer()?.create().map_err(SourceError::Configuration)?;
    let counts = partition_counts(&consumer, config, timeout)?;
    Ok(StreamKind::ALL.iter().map(|&kind| (kind, counts[kind as usize])).collect())
}

/// Where each partition of the input topics ends now: the offset of its next record.
pub fn ends(config: &KafkaConfig, timeout: Duration) -> Result<BTreeMap<Stream, i64>, SourceError> {
    let consumer: BaseConsumer = config.consumer()?.create().map_err(SourceError::Configuration)?;
    let counts = partition_counts(&consumer, config, timeout)?;
    let mut ends = BTreeMap::new();
    for &kind in StreamKind::ALL {
        let topic = config.topics.name(kind);
        for partition in 0..counts[kind as usize] {
            let (_, end) = consumer
                .fetch_watermarks(topic, partition, timeout)
                .map_err(|source| client("ask for the ends of a partition", source))?;
            ends.insert(Stream { kind, partition }, end);
        }
    }
    Ok(ends)
}

/// One partition's log at the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionLog {
    /// Offsets `[start, end)`; not every one of them is a record.
    pub start: i64,
    pub end: i64,
    /// The first record at or after the offset asked for.
    pub first_record: Option<i64>,
}

/// The log of every partition of the input topics, and its first record from `covered` on.
///
/// An offset need not be a record: transactions leave markers, compaction leaves holes. So what
/// lies between `covered` and the end is read, at most up to the first record.
pub fn logs(
    config: &KafkaConfig,
    covered: &BTreeMap<Stream, i64>,
    timeout: Duration,
) -> Result<BTreeMap<Stream, PartitionLog>, SourceError> {
    let consumer = config.member()?;
    let counts = partition_counts(&consumer, config, timeout)?;
    let (mut logs, mut list) = (BTreeMap::new(), TopicPartitionList::new());
    for &kind in StreamKind::ALL {
        let topic = config.topics.name(kind);
        for partition in 0..counts[kind as usize] {
            let stream = Stream { kind, partition };
            let (start, end) = consumer
                .fetch_watermarks(topic, partition, ANSWER_TIMEOUT)
                .map_err(|source| client("ask for the ends of a partition", source))?;
            logs.insert(stream, PartitionLog { start, end, first_record: None });
            let from = covered.get(&stream).map_or(start, |covered| start.max(*covered));
            if from < end {
                list.add_partition_offset(topic, partition, Offset::Offset(from))
                    .map_err(|source| client("choose an offset", source))?;
            }
        }
    }
    find_first_records(&consumer, config, &list, timeout, &mut logs)?;
    Ok(logs)
}

/// Reads each partition of the list up to its first record, or to its end.
fn find_first_records(
    consumer: &BaseConsumer<Context>,
    config: &KafkaConfig,
    list: &TopicPartitionList,
    timeout: Duration,
    logs: &mut BTreeMap<Stream, PartitionLog>,
) -> Result<(), SourceError> {
    let queue = Queue::of(consumer).ok_or_else(no_queue)?;
    consumer.assign(list).map_err(|source| client("assign partitions", source))?;
    let stream_of =
        |topic: &[u8], partition| config.topics.kind(topic).map(|kind| Stream { kind, partition });
    let mut open: Vec<Stream> = list
        .elements()
        .iter()
        .filter_map(|element| stream_of(element.topic().as_bytes(), element.partition()))
        .collect();
    let deadline = Instant::now() + timeout;
    while !open.is_empty() {
        let wait = deadline.saturating_duration_since(Instant::now());
        let Some(event) = queue.poll(wait) else {
            let (brokers, timeout_s) = (config.brokers.clone(), timeout.as_secs());
            let detail = format!(" (it gave neither a record nor an end of {})", open[0]);
            return Err(SourceError::Unreachable { brokers, timeout_s, detail });
        };
        match event.kind() {
            Kind::Fetch => {
                let Some(fetched) = event.fetched() else { continue };
                let message = fetched.message();
                let Some(stream) = stream_of(message.topic().to_bytes(), message.partition())
                else {
                    continue;
                };
                if let Some(failure) = message.failure() {
                    return Err(SourceError::Fatal { reason: failure.reason });
                }
                if let Some(log) = logs.get_mut(&stream) {
                    log.first_record.get_or_insert(message.offset());
                }
                open.retain(|other| *other != stream);
            }
            Kind::Error => {
                let failure = event.failure();
                match failure.place {
                    Some(place) if failure.code == Code::PartitionEOF => {
                        let ended = stream_of(place.topic.as_bytes(), place.partition);
                        open.retain(|other| Some(*other) != ended);
                    }
                    Some(_) => return Err(SourceError::Fatal { reason: failure.reason }),
                    None => tracing::warn!(reason = failure.reason, "kafka client"),
                }
            }
            _ => serve(&event),
        }
    }
    Ok(())
}
