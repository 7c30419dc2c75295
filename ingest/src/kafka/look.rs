//! Questions to a broker that join no group and move nothing: for `check` and `verify`.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use schemas::{Stream, StreamKind};

use super::config::KafkaConfig;
use super::{ANSWER_TIMEOUT, client, partition_counts};
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

/// The offset after the newest readable record of every partition of the input topics.
pub fn end_offsets(
    config: &KafkaConfig,
    timeout: Duration,
) -> Result<BTreeMap<Stream, i64>, SourceError> {
    let consumer: BaseConsumer = config.consumer()?.create().map_err(SourceError::Configuration)?;
    let counts = partition_counts(&consumer, config, timeout)?;
    let mut ends = BTreeMap::new();
    for &kind in StreamKind::ALL {
        for partition in 0..counts[kind as usize] {
            let (_, end) = consumer
                .fetch_watermarks(config.topics.name(kind), partition, ANSWER_TIMEOUT)
                .map_err(|source| client("ask for the end of a partition", source))?;
            ends.insert(Stream { kind, partition }, end);
        }
    }
    Ok(ends)
}
