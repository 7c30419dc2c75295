//! A look at the newest records of a topic, for `check --connect --sample`.
//!
//! In: how many. Out: up to so many records, spread over the partitions. Partitions are assigned
//! by hand: no group is joined, nothing is committed, nothing is written.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};
use schemas::{Stream, StreamKind};

use super::client::ANSWER_TIMEOUT;
use super::config::KafkaConfig;
use super::lane::record;
use super::native::{Kind, Queue};
use super::rebalance::Context;
use super::{client, no_queue, partition_counts, serve};
use crate::source::{Record, SourceError};

/// Reads up to `count` of the newest records of a topic, `timeout` at most, and hands them to
/// `visit`; returns how many there were.
pub fn sample(
    config: &KafkaConfig,
    kind: StreamKind,
    count: usize,
    timeout: Duration,
    visit: &mut dyn FnMut(&Record<'_>),
) -> Result<usize, SourceError> {
    let consumer = config.member()?;
    let partitions = partition_counts(&consumer, config, timeout)?[kind as usize];
    let (list, mut left) = newest(&consumer, config.topics.name(kind), partitions, count)?;
    let queue = Queue::of(&consumer).ok_or_else(no_queue)?;
    consumer.assign(&list).map_err(|source| client("assign partitions", source))?;
    let deadline = Instant::now() + timeout;
    let mut seen = 0;
    while left.iter().any(|&left| left > 0) && Instant::now() < deadline {
        let wait = deadline.saturating_duration_since(Instant::now());
        let Some(event) = queue.poll(wait) else { break };
        match event.kind() {
            Kind::Fetch => {
                let Some(fetched) = event.fetched() else { continue };
                let message = fetched.message();
                let left = &mut left[message.partition() as usize];
                if message.failure().is_none() && *left > 0 {
                    visit(&record(message, Stream { kind, partition: message.partition() }));
                    *left -= 1;
                    seen += 1;
                }
            }
            Kind::Error => {
                let failure = event.failure();
                match failure.place {
                    // A hole of the log at its end: fewer records than offsets.
                    Some(place) if failure.code == Code::PartitionEOF => {
                        left[place.partition as usize] = 0;
                    }
                    Some(_) => return Err(SourceError::Fatal { reason: failure.reason }),
                    None => tracing::warn!(reason = failure.reason, "kafka client"),
                }
            }
            _ => serve(&event),
        }
    }
    Ok(seen)
}

/// The newest stretch of each partition, `count` in all, and how many records each may give.
fn newest(
    consumer: &BaseConsumer<Context>,
    topic: &str,
    partitions: i32,
    count: usize,
) -> Result<(TopicPartitionList, Vec<i64>), SourceError> {
    let mut list = TopicPartitionList::new();
    let mut left = Vec::with_capacity(partitions as usize);
    // What one partition cannot give, those after it are asked for.
    let mut wanted = count as i64;
    for partition in 0..partitions {
        let sharing = i64::from(partitions - partition);
        let share = (wanted + sharing - 1) / sharing;
        let (low, high) = consumer
            .fetch_watermarks(topic, partition, ANSWER_TIMEOUT)
            .map_err(|source| client("ask for the ends of a partition", source))?;
        let taken = share.min(high - low);
        list.add_partition_offset(topic, partition, Offset::Offset(high - taken))
            .map_err(|source| client("choose an offset", source))?;
        left.push(taken);
        wanted -= taken;
    }
    Ok((list, left))
}
