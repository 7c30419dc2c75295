//! Records from Kafka: one consumer of three topics, each partition from where the journal ended.
//!
//! ```text
//! connect: broker there? topics there? ─► subscribe ─► rebalance: taken up from where we say
//! next:    queue (native) ─► record | end of partition | moved | down | error by name
//! ```
//! In: [`KafkaConfig`]. Out: [`SourceEvent`]. Offsets committed to Kafka are a
//! courtesy to lag tools and never read back.

mod ahead;
mod config;
mod look;
mod metadata;
pub(crate) mod native;
mod rebalance;
mod rejected;
mod sample;

pub use config::{KafkaConfig, Topics, forbidden_property};
pub use look::{PartitionLog, ends, logs, partitions};
pub use rejected::RejectedTopic;
pub use sample::sample;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::Offset;
use schemas::{Stream, StreamKind, Timestamp};

use crate::metrics::{self, Received};
use crate::source::{Headers, Membership, Record, Source, SourceError, SourceEvent, Start};
use ahead::{Ahead, RECORDS_MAX, Taken};
use metadata::{partition_count, partition_counts};
use native::{Event, Failure, Fetched, Kind, Message, Queue};
use rebalance::Context;

/// How long one question to a broker that has answered before may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Silence after which the broker is asked for a sign: six times in the minute after which a quiet
/// partition counts as idle.
const QUIET_MAX: Duration = Duration::from_secs(10);
/// How long that may take; reading waits meanwhile.
const SIGN_TIMEOUT: Duration = Duration::from_secs(2);

/// The source of `run`.
pub struct KafkaSource {
    // In this order: what is borrowed from the client is dropped before it.
    current: Option<Fetched>,
    ahead: Ahead,
    queue: Queue,
    consumer: BaseConsumer<Context>,
    config: KafkaConfig,
    /// Partitions of each topic, by [`StreamKind`].
    partitions: [i32; StreamKind::ALL.len()],
    cluster: String,
    received: Received,
    /// Where each partition was last started, to name it when it is gone.
    starts: BTreeMap<Stream, Start>,
    /// When the client last had something to say.
    heard: Instant,
}

impl std::fmt::Debug for KafkaSource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("KafkaSource").field("config", &self.config).finish_non_exhaustive()
    }
}

impl KafkaSource {
    /// Connects within `timeout` and joins the group.
    pub fn connect(config: KafkaConfig, timeout: Duration) -> Result<Self, SourceError> {
        let consumer: BaseConsumer<Context> =
            config.consumer()?.create_with_context(Context).map_err(SourceError::Configuration)?;
        let partitions = partition_counts(&consumer, &config, timeout)?;
        if let Some(topic) = &config.topics.rejected {
            partition_count(&consumer, &config.brokers, topic, timeout)?;
        }
        let queue = Queue::of(&consumer)
            .ok_or_else(|| SourceError::Fatal { reason: "the consumer has no queue".to_owned() })?;
        // It becomes part of the data folder's identity: never guessed.
        let cluster = consumer.client().fetch_cluster_id(timeout).ok_or_else(|| {
            let detail = " (it does not tell its cluster id)".to_owned();
            let (brokers, timeout_s) = (config.brokers.clone(), timeout.as_secs());
            SourceError::Unreachable { brokers, timeout_s, detail }
        })?;
        let topics: Vec<&str> =
            StreamKind::ALL.iter().map(|&kind| config.topics.name(kind)).collect();
        consumer.subscribe(&topics).map_err(|source| client("subscribe to its topics", source))?;
        let received = Received::new();
        let (starts, heard) = (BTreeMap::new(), Instant::now());
        Ok(Self {
            current: None,
            ahead: Ahead::default(),
            queue,
            consumer,
            config,
            partitions,
            cluster,
            received,
            starts,
            heard,
        })
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
        let stream = |topic: &str, partition| {
            self.config.topics.kind(topic.as_bytes()).map(|kind| Stream { kind, partition })
        };
        list.elements().iter().filter_map(|it| stream(it.topic(), it.partition())).collect()
    }

    fn stream_of(&self, message: Message<'_>) -> Option<Stream> {
        let kind = self.config.topics.kind(message.topic().to_bytes())?;
        Some(Stream { kind, partition: message.partition() })
    }

    fn list(&self, streams: &[Stream]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(streams.len());
        for stream in streams {
            list.add_partition(self.config.topics.name(stream.kind), stream.partition);
        }
        list
    }

    /// Nothing was said within the time-out. If that lasts, the broker is asked for a sign: a
    /// connection that hangs says nothing by itself, and a question makes the client connect.
    fn ask_if_quiet(&mut self) -> SourceEvent<'static> {
        if self.heard.elapsed() < QUIET_MAX {
            return SourceEvent::Quiet;
        }
        self.heard = Instant::now();
        let topic = self.config.topics.name(StreamKind::Telemetry);
        match self.consumer.fetch_metadata(Some(topic), SIGN_TIMEOUT) {
            Ok(_) => SourceEvent::Alive,
            Err(error) => SourceEvent::Down(error.to_string()),
        }
    }

    /// What an error event means for the caller; `None` if it is nothing to tell.
    fn failed(&self, failure: Failure) -> Result<Option<SourceEvent<'static>>, SourceError> {
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
                Ok(Some(SourceEvent::EndOfPartition { stream, offset }))
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
                Ok(Some(SourceEvent::Down(reason)))
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
        let wanted = match (self.starts.get(&stream), reported) {
            (_, reported) if reported >= 0 => reported,
            (Some(Start::At(offset)), _) => *offset,
            (Some(Start::Earliest) | None, _) => earliest,
        };
        SourceError::OffsetGone { stream, topic, wanted, earliest, end }
    }
}

impl Source for KafkaSource {
    fn next(&mut self, timeout: Duration) -> Result<SourceEvent<'_>, SourceError> {
        let mut deadline = None;
        self.current = None;
        loop {
            // Under load something is always there, and a look at the clock would cost as much.
            if self.ahead.is_empty() {
                self.ahead.fill(&self.queue);
            }
            let taken = self.ahead.next().or_else(|| {
                let now = Instant::now();
                let deadline = *deadline.get_or_insert(now + timeout);
                self.ahead.push(self.queue.poll(deadline.saturating_duration_since(now))?);
                self.ahead.next()
            });
            let Some(taken) = taken else { return Ok(self.ask_if_quiet()) };
            if deadline.is_some() {
                self.heard = Instant::now();
            }
            let event = match taken {
                Taken::Record(fetched) => {
                    self.current = Some(fetched);
                    break;
                }
                Taken::Other(event) => event,
            };
            match event.kind() {
                Kind::Error => {
                    if let Some(event) = self.failed(event.failure())? {
                        return Ok(event);
                    }
                }
                Kind::Rebalance => {
                    let streams = self.streams_of(&event.partitions());
                    return Ok(rebalance::moved(&self.consumer, event.raw_code(), streams));
                }
                _ => serve(&event),
            }
        }
        self.fetched()
    }

    fn look_ahead(&mut self, see: &mut dyn FnMut(Stream, &[&[u8]])) {
        if !self.ahead.is_empty() {
            return;
        }
        self.ahead.fill(&self.queue);
        let (mut keys, mut count, mut run) = ([&[][..]; RECORDS_MAX], 0, None);
        for message in self.ahead.records().map(Fetched::message) {
            let of = self.stream_of(message);
            if let Some(stream) = run.filter(|_| run != of) {
                see(stream, &keys[..count]);
                count = 0;
            }
            run = of;
            if let Some(key) = message.key().filter(|_| of.is_some()) {
                keys[count] = key;
                count += 1;
            }
        }
        if let Some(stream) = run {
            see(stream, &keys[..count]);
        }
    }

    fn end_offsets(&self) -> Result<BTreeMap<Stream, i64>, SourceError> {
        let end = |stream: Stream| {
            let topic = self.config.topics.name(stream.kind);
            self.consumer
                .fetch_watermarks(topic, stream.partition, ANSWER_TIMEOUT)
                .map(|(_, end)| (stream, end))
                .map_err(|source| client("ask for the end of a partition", source))
        };
        self.streams().into_iter().map(end).collect()
    }

    fn identity(&self) -> String {
        let Topics { telemetry, changes, support, .. } = &self.config.topics;
        format!("kafka cluster {} topics {telemetry},{changes},{support}", self.cluster)
    }

    fn start(&mut self, starts: &[(Stream, Start)]) -> Result<(), SourceError> {
        let failed = |source| client("take an assignment", source);
        let mut list = TopicPartitionList::with_capacity(starts.len());
        for &(stream, start) in starts {
            let offset = match start {
                Start::Earliest => Offset::Beginning,
                Start::At(offset) => Offset::Offset(offset),
            };
            let topic = self.config.topics.name(stream.kind);
            list.add_partition_offset(topic, stream.partition, offset).map_err(failed)?;
            self.starts.insert(stream, start);
        }
        rebalance::take(&self.consumer, &list).map_err(failed)
    }

    fn release(&mut self, streams: &[Stream]) -> Result<(), SourceError> {
        self.ahead.forget(are(&self.config.topics, streams));
        // A pause would outlive the assignment, and the partition come back unread.
        self.resume(streams)?;
        let list = self.list(streams);
        rebalance::give(&self.consumer, &list).map_err(|source| client("give back", source))
    }

    fn restart(&mut self, stream: Stream, start: Start) -> Result<(), SourceError> {
        self.ahead.forget(are(&self.config.topics, &[stream]));
        self.resume(&[stream])?;
        let list = self.list(&[stream]);
        let failed = |source| client("start a partition again", source);
        self.consumer.incremental_unassign(&list).map_err(failed)?;
        self.start(&[(stream, start)])
    }

    fn confirm(&mut self, stream: Stream, offset: i64) -> Membership {
        let list = offset_list(&self.config.topics, &[(stream, offset)]);
        match self.consumer.commit(&list, CommitMode::Sync) {
            Ok(()) => Membership::Confirmed,
            Err(error) => {
                tracing::debug!(%stream, %error, "membership not confirmed");
                Membership::Doubtful
            }
        }
    }

    fn commit(&mut self, offsets: &[(Stream, i64)]) {
        let list = offset_list(&self.config.topics, offsets);
        if let Err(error) = self.consumer.commit(&list, CommitMode::Async) {
            tracing::debug!(%error, "offset commit");
            metrics::commit_failed();
        }
    }

    fn pause(&mut self, streams: &[Stream]) -> Result<(), SourceError> {
        self.ahead.pause(are(&self.config.topics, streams));
        let list = self.list(streams);
        self.consumer.pause(&list).map_err(|source| client("pause partitions", source))
    }

    fn resume(&mut self, streams: &[Stream]) -> Result<(), SourceError> {
        self.ahead.resume(are(&self.config.topics, streams));
        let list = self.list(streams);
        self.consumer.resume(&list).map_err(|source| client("resume partitions", source))
    }
}

impl KafkaSource {
    /// The record that `current` holds.
    fn fetched(&self) -> Result<SourceEvent<'_>, SourceError> {
        let Some(message) = self.current.as_ref().map(Fetched::message) else {
            return Ok(SourceEvent::Quiet);
        };
        if let Some(failure) = message.failure() {
            return Ok(self.failed(failure)?.unwrap_or(SourceEvent::Quiet));
        }
        let Some(kind) = self.config.topics.kind(message.topic().to_bytes()) else {
            return Ok(SourceEvent::Quiet);
        };
        let record = record(message, kind);
        self.received.add(kind, record.size);
        Ok(SourceEvent::Record(record))
    }
}

/// Whether a partition, named by its topic, is one of these.
fn are<'a>(topics: &'a Topics, streams: &'a [Stream]) -> impl Fn(&[u8], i32) -> bool + 'a {
    move |topic, partition| {
        topics.kind(topic).is_some_and(|kind| streams.contains(&Stream { kind, partition }))
    }
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

fn record(message: Message<'_>, kind: StreamKind) -> Record<'_> {
    let value = message.value();
    Record {
        stream: Stream { kind, partition: message.partition() },
        offset: message.offset(),
        timestamp: message.millis().and_then(Timestamp::from_millis),
        key: message.key(),
        value,
        size: value.map_or(0, <[u8]>::len),
        headers: message.headers().map_or(Headers::None, Headers::Native),
    }
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
