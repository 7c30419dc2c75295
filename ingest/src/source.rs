//! What every source hands out: records, ends of partitions, assignments, silence.
//!
//! In: nothing but time-outs. Out: [`SourceEvent`], which borrows from the source until the next
//! call. [`crate::KafkaSource`] and [`crate::NdjsonSource`] are the two there are.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::time::Duration;

use schemas::reject::{RejectedRow, VALUE_BYTES_MAX};
use schemas::{Rejection, Stream, Timestamp};

use crate::kafka::native::NativeHeaders;

/// One record as it came.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub stream: Stream,
    /// Kafka offset; of an NDJSON file the line number from 0.
    pub offset: i64,
    /// Kafka timestamp; `None` for a record without, and for every line of a file.
    pub timestamp: Option<Timestamp>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    /// Bytes of the whole value: more than `value` holds for a line too long to be kept.
    pub size: usize,
    pub headers: Headers<'a>,
}

impl Record<'_> {
    /// The row of the dataset `rejected`; counts the rejection. `last_ts` is that of the decoder.
    pub fn rejected(&self, rejection: &Rejection, last_ts: Option<Timestamp>) -> RejectedRow {
        crate::metrics::rejected(rejection.stage);
        let value = self.value.unwrap_or_default();
        RejectedRow {
            offset: self.offset,
            time: self.timestamp.or(last_ts).filter(|time| DATES.contains(time)),
            stage: rejection.stage,
            error: rejection.error.clone(),
            field: rejection.field.map(str::to_owned),
            value: value[..value.len().min(VALUE_BYTES_MAX)].to_vec(),
            size: self.size as i64,
        }
    }
}

/// The years that a folder `date=` can be named for; any producer can claim any other.
const DATES: std::ops::Range<Timestamp> = Timestamp::YEAR_2000..Timestamp(253_402_300_800_000_000);

/// The headers of a record.
#[derive(Clone, Copy, Debug)]
pub enum Headers<'a> {
    None,
    /// Names and values, in order.
    Listed(&'a [(&'a str, &'a [u8])]),
    /// As the Kafka client holds them.
    Native(NativeHeaders<'a>),
}

impl<'a> Headers<'a> {
    /// The value of the last header of that name; `None` also for one without a value.
    pub fn last(&self, name: &CStr) -> Option<&'a [u8]> {
        match self {
            Self::None => None,
            Self::Listed(headers) => {
                let named = |header: &&(&str, &[u8])| header.0.as_bytes() == name.to_bytes();
                headers.iter().rev().find(named).map(|header| header.1)
            }
            Self::Native(headers) => headers.last(name),
        }
    }

    /// Hands every header to `visit`, in order. Names are whatever bytes the sender chose.
    pub fn each(&self, visit: &mut dyn FnMut(&'a [u8], Option<&'a [u8]>)) {
        match self {
            Self::None => {}
            Self::Listed(headers) => {
                for (name, value) in *headers {
                    visit(name.as_bytes(), Some(value));
                }
            }
            Self::Native(headers) => headers.each(visit),
        }
    }
}

/// What a source has to say next.
#[derive(Debug)]
pub enum SourceEvent<'a> {
    Record(Record<'a>),
    /// Everything before `offset` has been handed out and nothing is there yet.
    EndOfPartition {
        stream: Stream,
        offset: i64,
    },
    /// The group gives us these, maybe none. Answered by [`Source::start`], which says from where;
    /// nothing of them is read before.
    Assigned(Vec<Stream>),
    /// The group takes these back. They are ours until [`Source::release`] answers, so what was
    /// read can still be made durable.
    Revoked(Vec<Stream>),
    /// The group gave these to others while we were away: what is not durable belongs to them.
    /// Answered by [`Source::release`].
    Lost(Vec<Stream>),
    /// Nothing within the time-out.
    Quiet,
    /// Nothing for a while, and the broker answers.
    Alive,
    /// No broker answers, or a connection was lost; the client goes on trying.
    Down(String),
}

/// Where to begin a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the first record that is still there.
    Earliest,
    /// At this offset, which must still be there.
    At(i64),
}

/// What the group says of a partition that we take for ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    Confirmed,
    /// The group has moved on, or does not answer: an event will say what became of it.
    Doubtful,
}

/// Where records come from.
pub trait Source {
    /// The next event, within `timeout`.
    fn next(&mut self, timeout: Duration) -> Result<SourceEvent<'_>, SourceError>;

    /// Shows the keys of records that [`Source::next`] hands out soon, each once, as runs of one
    /// partition. A source that cannot know them shows none.
    fn look_ahead(&mut self, _see: &mut dyn FnMut(Stream, &[&[u8]])) {}

    /// The offset after the newest readable record of every partition, as of now. Of files: of
    /// those that have been read to their end.
    fn end_offsets(&self) -> Result<BTreeMap<Stream, i64>, SourceError>;

    /// What this input is, so that another is not written into the same data folder.
    fn identity(&self) -> String;

    /// Takes up an assignment: each partition of it from where the journal says. Kafka's own
    /// committed offsets are never asked.
    fn start(&mut self, starts: &[(Stream, Start)]) -> Result<(), SourceError>;

    /// Gives back what was revoked or lost.
    fn release(&mut self, streams: &[Stream]) -> Result<(), SourceError>;

    /// Reads a partition that is ours from another place; what was fetched of it is dropped.
    fn restart(&mut self, stream: Stream, start: Start) -> Result<(), SourceError>;

    /// Asks the group whether we are still in it, by committing an offset and waiting.
    fn confirm(&mut self, stream: Stream, offset: i64) -> Membership;

    /// Tells Kafka how far we are, as a courtesy to lag tools; a failure is counted, not returned.
    fn commit(&mut self, offsets: &[(Stream, i64)]);

    /// Stops handing out records of these until [`Source::resume`].
    fn pause(&mut self, streams: &[Stream]) -> Result<(), SourceError>;

    fn resume(&mut self, streams: &[Stream]) -> Result<(), SourceError>;

    /// Tells the source the newest event time seen of a stream: files are read so that their
    /// times stay together. Kafka orders nothing by it.
    fn progress(&mut self, _stream: Stream, _newest: Timestamp) {}
}

/// Why a source cannot go on. An outage is none: it is [`SourceEvent::Down`].
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("cannot reach a broker at {brokers} within {timeout_s} s{detail}; check kafka.brokers")]
    Unreachable { brokers: String, timeout_s: u64, detail: String },
    #[error("topic {topic} does not exist at {brokers}; create it or set kafka.topics")]
    TopicMissing { topic: String, brokers: String },
    #[error(
        "offset {wanted} of {stream} is no longer in topic {topic}, which begins at {earliest} \
         and ends at {end}"
    )]
    OffsetGone { stream: Stream, topic: String, wanted: i64, earliest: i64, end: i64 },
    #[error(
        "the batch at offset {offset} of {stream} cannot be read ({reason}); it is damaged, or \
         inflates beyond receive.message.max.bytes"
    )]
    BadBatch { stream: Stream, offset: i64, reason: String },
    #[error("the broker refuses {stream} of topic {topic}: {reason}")]
    Refused { stream: Stream, topic: String, reason: String },
    #[error(
        "another process has joined the group as group.instance.id {instance}; give each process a \
         name of its own"
    )]
    Fenced { instance: String },
    #[error("the Kafka client cannot go on: {reason}")]
    Fatal { reason: String },
    #[error("kafka.properties holds {name}, which ringwatch sets itself: {why}")]
    ForbiddenProperty { name: String, why: &'static str },
    #[error("the Kafka client refuses its configuration; check kafka.properties")]
    Configuration(#[source] rdkafka::error::KafkaError),
    #[error("the Kafka client could not {action}")]
    Client {
        action: &'static str,
        #[source]
        source: rdkafka::error::KafkaError,
    },
    #[error("{count} rejected records did not reach topic {topic} within {timeout_s} s")]
    RejectedTopic { topic: String, count: u64, timeout_s: u64 },
    #[error("no file telemetry*.ndjson in {folder}; --input names the folder to replay")]
    NoInput { folder: String },
    #[error("{file} has {lines} lines, and line {wanted} was to be read next; the input changed")]
    FileShorter { file: String, lines: i64, wanted: i64 },
    #[error("cannot read {file}")]
    File {
        file: String,
        #[source]
        source: std::io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::{Stage, StreamKind};

    #[test]
    fn a_rejected_row_keeps_the_first_bytes_and_the_true_size() {
        let value = vec![b'x'; 5_000];
        let record = Record {
            stream: Stream { kind: StreamKind::Telemetry, partition: 3 },
            offset: 41,
            timestamp: None,
            key: None,
            value: Some(&value),
            size: 2_000_000,
            headers: Headers::None,
        };
        let rejection =
            Rejection { stage: Stage::Decode, field: Some("time"), error: "bad".to_owned() };
        let time = Some(Timestamp::YEAR_2000);
        let row = record.rejected(&rejection, time);
        assert_eq!((row.offset, row.time, row.size), (41, time, 2_000_000));
        // A producer can claim any time; no folder is named for the year 10000.
        let far = Some(Timestamp(i64::MAX));
        assert_eq!(record.rejected(&rejection, far).time, None);
        assert_eq!((row.value.len(), row.field.as_deref()), (1_024, Some("time")));
    }

    #[test]
    fn the_last_header_of_a_name_counts() {
        let headers: &[(&str, &[u8])] = &[("a", b"1"), ("b", b"2"), ("a", b"3")];
        assert_eq!(Headers::Listed(headers).last(c"a"), Some(&b"3"[..]));
        assert_eq!(Headers::Listed(headers).last(c"c"), None);
    }
}
