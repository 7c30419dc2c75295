//! Records from Kafka: one consumer of three topics, each partition from where the journal ended.
//!
//! ```text
//! connect: broker there? topics there? ─► subscribe ─► rebalance: taken up from where we say
//! next:    the consumer's queue (native) ─► moved | down | error by name
//! lanes:   a queue for each worker ─► records | end of partition
//! ```
//! In: [`KafkaConfig`]. Out: [`SourceEvent`], and records by [`KafkaLane`]. Offsets committed to
//! Kafka are a courtesy to lag tools and never read back.

mod client;
mod config;
mod lane;
mod look;
mod metadata;
pub(crate) mod native;
mod rebalance;
mod rejected;
mod sample;

pub use config::{KafkaConfig, Topics, forbidden_property};
pub use lane::KafkaLane;
pub use look::{PartitionLog, ends, logs, partitions};
pub use native::rebootstrap;
pub use rejected::RejectedTopic;
pub use sample::sample;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::Offset;
use schemas::{Stream, StreamKind};

use crate::metrics;
use crate::source::{Membership, Source, SourceError, SourceEvent, Start};
use client::{ANSWER_TIMEOUT, Client, Trouble};
use metadata::{partition_count, partition_counts};
use native::{Event, Kind, Queue};

/// Silence after which the broker is asked for a sign: six times in the minute after which a quiet
/// partition counts as idle.
const QUIET_MAX: Duration = Duration::from_secs(10);
/// How long that may take; reading waits meanwhile.
const SIGN_TIMEOUT: Duration = Duration::from_secs(2);

/// The source of `run`.
pub struct KafkaSource {
    // In this order: the queue is the client's and dropped before it.
    queue: Queue,
    client: Arc<Client>,
    /// Partitions of each topic, by [`StreamKind`].
    partitions: [i32; StreamKind::ALL.len()],
    cluster: String,
    /// When the client last had something to say.
    heard: Instant,
}

impl std::fmt::Debug for KafkaSource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let config = &self.client.config;
        formatter.debug_struct("KafkaSource").field("config", config).finish_non_exhaustive()
    }
}

impl KafkaSource {
    /// Connects within `timeout` and joins the group.
    pub fn connect(config: KafkaConfig, timeout: Duration) -> Result<Self, SourceError> {
        let consumer = config.member()?;
        let partitions = partition_counts(&consumer, &config, timeout)?;
        if let Some(topic) = &config.topics.rejected {
            partition_count(&consumer, &config.brokers, topic, timeout)?;
        }
        let queue = Queue::of(&consumer).ok_or_else(no_queue)?;
        // It becomes part of the data folder's identity: never guessed.
        let cluster = consumer.client().fetch_cluster_id(timeout).ok_or_else(|| {
            let detail = " (it does not tell its cluster id)".to_owned();
            let (brokers, timeout_s) = (config.brokers.clone(), timeout.as_secs());
            SourceError::Unreachable { brokers, timeout_s, detail }
        })?;
        let topics: Vec<&str> =
            StreamKind::ALL.iter().map(|&kind| config.topics.name(kind)).collect();
        consumer.subscribe(&topics).map_err(|source| client("subscribe to its topics", source))?;
        let client = Arc::new(Client::new(consumer, config));
        Ok(Self { queue, client, partitions, cluster, heard: Instant::now() })
    }

    /// Partitions of a topic, as of the start.
    pub const fn partition_count(&self, kind: StreamKind) -> i32 {
        self.partitions[kind as usize]
    }

    /// Every partition of the three topics, as of the start.
    pub fn streams(&self) -> Vec<Stream> {
        let of = |&kind: &StreamKind| {
            (0..self.partitions[kind as usize]).map(move |partition| Stream { kind, partition })
        };
        StreamKind::ALL.iter().flat_map(of).collect()
    }

    fn streams_of(&self, list: &TopicPartitionList) -> Vec<Stream> {
        let topics = &self.client.config.topics;
        let stream = |topic: &str, partition| {
            topics.kind(topic.as_bytes()).map(|kind| Stream { kind, partition })
        };
        list.elements().iter().filter_map(|it| stream(it.topic(), it.partition())).collect()
    }

    fn list(&self, streams: &[Stream]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(streams.len());
        for stream in streams {
            list.add_partition(self.client.config.topics.name(stream.kind), stream.partition);
        }
        list
    }

    /// Nothing is to be told. If that lasts, the broker is asked for a sign: a connection that
    /// hangs says nothing by itself, and a question makes the client connect.
    fn ask_if_quiet(&mut self) -> Option<SourceEvent> {
        if self.client.take_heard() {
            self.heard = Instant::now();
            return None;
        }
        if self.heard.elapsed() < QUIET_MAX {
            return None;
        }
        self.heard = Instant::now();
        let Client { consumer, config, .. } = &*self.client;
        let topic = config.topics.name(StreamKind::Telemetry);
        Some(match consumer.fetch_metadata(Some(topic), SIGN_TIMEOUT) {
            Ok(_) => SourceEvent::Alive,
            Err(error) => {
                native::rebootstrap(consumer.client(), &config.brokers);
                SourceEvent::Down(error.to_string())
            }
        })
    }

    /// Each partition with its place, to be handed to the client.
    fn places(&self, starts: &[(Stream, Start)]) -> Result<TopicPartitionList, SourceError> {
        let failed = |source| client("take an assignment", source);
        let mut list = TopicPartitionList::with_capacity(starts.len());
        for &(stream, start) in starts {
            let offset = match start {
                Start::Earliest => Offset::Beginning,
                Start::At(offset) => Offset::Offset(offset),
            };
            let topic = self.client.config.topics.name(stream.kind);
            list.add_partition_offset(topic, stream.partition, offset).map_err(failed)?;
        }
        Ok(list)
    }

    /// Ends a pause, which outlives the assignment it was made in.
    fn resume(&self, list: &TopicPartitionList) -> Result<(), SourceError> {
        self.client.consumer.resume(list).map_err(|source| client("resume partitions", source))
    }
}

impl Source for KafkaSource {
    type Lane = KafkaLane;

    fn lanes(&mut self, count: usize) -> Result<Vec<KafkaLane>, SourceError> {
        let lane = || KafkaLane::new(&self.client).ok_or_else(no_queue);
        (0..count).map(|_| lane()).collect()
    }

    fn next(&mut self) -> Result<Option<SourceEvent>, SourceError> {
        while let Some(event) = self.queue.poll(Duration::ZERO) {
            self.client.hear();
            match event.kind() {
                Kind::Error => match self.client.failed(event.failure())? {
                    Some(Trouble::Down(reason)) => return Ok(Some(SourceEvent::Down(reason))),
                    // Ends come by the lanes.
                    Some(Trouble::End { .. }) | None => {}
                },
                Kind::Rebalance => {
                    let streams = self.streams_of(&event.partitions());
                    let consumer = &self.client.consumer;
                    return Ok(Some(rebalance::asked(consumer, event.raw_code(), streams)));
                }
                // Else records would be missing without a word; a restart reads them again.
                Kind::Fetch => return Err(SourceError::Fatal { reason: MISLED.to_owned() }),
                _ => serve(&event),
            }
        }
        Ok(self.ask_if_quiet())
    }

    fn end_offsets(&self) -> Result<BTreeMap<Stream, i64>, SourceError> {
        let Client { consumer, config, .. } = &*self.client;
        let end = |stream: Stream| {
            let topic = config.topics.name(stream.kind);
            consumer
                .fetch_watermarks(topic, stream.partition, ANSWER_TIMEOUT)
                .map(|(_, end)| (stream, end))
                .map_err(|source| client("ask for the end of a partition", source))
        };
        self.streams().into_iter().map(end).collect()
    }

    fn identity(&self) -> String {
        let Topics { telemetry, changes, support, .. } = &self.client.config.topics;
        format!("kafka cluster {} topics {telemetry},{changes},{support}", self.cluster)
    }

    fn start(&mut self, starts: &[(Stream, Start)]) -> Result<(), SourceError> {
        let list = self.places(starts)?;
        rebalance::take(&self.client.consumer, &list)
            .map_err(|source| client("take an assignment", source))
    }

    fn release(&mut self, streams: &[Stream]) -> Result<(), SourceError> {
        let list = self.list(streams);
        // Else the partition would come back paused.
        self.resume(&list)?;
        rebalance::give(&self.client.consumer, &list).map_err(|source| client("give back", source))
    }

    fn pause(&mut self, streams: &[Stream]) -> Result<(), SourceError> {
        let list = self.list(streams);
        self.client.consumer.pause(&list).map_err(|source| client("pause partitions", source))
    }

    fn restart(&mut self, starts: &[(Stream, Start)]) -> Result<(), SourceError> {
        let streams: Vec<Stream> = starts.iter().map(|(stream, _)| *stream).collect();
        let list = self.list(&streams);
        self.resume(&list)?;
        let failed = |source| client("start partitions again", source);
        self.client.consumer.incremental_unassign(&list).map_err(failed)?;
        self.start(starts)
    }

    fn settle(&mut self, starts: &[(Stream, Start)]) -> Result<(), SourceError> {
        let list = self.places(starts)?;
        // Not waited for: what was fetched for the place before is outdated from now on.
        let sought = self.client.consumer.seek_partitions(list, Duration::ZERO);
        sought.map(drop).map_err(|source| client("find the place of partitions again", source))
    }

    fn confirm(&mut self, stream: Stream, offset: i64) -> Membership {
        let list = offset_list(&self.client.config.topics, &[(stream, offset)]);
        match self.client.consumer.commit(&list, CommitMode::Sync) {
            Ok(()) => Membership::Confirmed,
            Err(error) => {
                tracing::debug!(%stream, %error, "membership not confirmed");
                Membership::Doubtful
            }
        }
    }

    fn commit(&mut self, offsets: &[(Stream, i64)]) {
        let list = offset_list(&self.client.config.topics, offsets);
        if let Err(error) = self.client.consumer.commit(&list, CommitMode::Async) {
            tracing::debug!(%error, "offset commit");
            metrics::commit_failed();
        }
    }
}

/// Records come by the lanes alone.
const MISLED: &str = "records came by the queue of the group";

fn no_queue() -> SourceError {
    SourceError::Fatal { reason: "the consumer has no queue".to_owned() }
}

fn offset_list(topics: &Topics, offsets: &[(Stream, i64)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for &(stream, offset) in offsets {
        let topic = topics.name(stream.kind);
        if list.add_partition_offset(topic, stream.partition, Offset::Offset(offset)).is_err() {
            metrics::commit_failed();
        }
    }
    list
}

/// Serves the events that are no record, no error and no decision of the group.
fn serve(event: &Event) {
    match event.kind() {
        Kind::Log => {
            if let Some((level, facility, text)) = event.log() {
                rebalance::log(level, &facility, &text);
            }
        }
        Kind::Commit if event.failure().code != Code::NoError => metrics::commit_failed(),
        Kind::Commit | Kind::Fetch | Kind::Error | Kind::Rebalance | Kind::Other => {}
    }
}

fn client(action: &'static str, source: KafkaError) -> SourceError {
    SourceError::Client { action, source }
}
