//! What every source hands out: records, ends of partitions, assignments, silence.
//!
//! ```text
//! Source ─ decisions of the group, outages ─► reader     (one for the process)
//!   └─► Lane ─ runs of records, ends ───────► worker     (one for each core)
//! ```
//! In: nothing but time-outs. Out: [`SourceEvent`], and [`Run`], which borrows from its lane.
//! [`crate::KafkaSource`] and [`crate::NdjsonSource`] are the two there are.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::time::Duration;

use schemas::reject::{RejectedRow, VALUE_BYTES_MAX};
use schemas::{Rejection, Stream, StreamKind, Timestamp};

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
    /// Stands where there is none.
    const NONE: Self = Self {
        stream: Stream { kind: StreamKind::Telemetry, partition: 0 },
        offset: 0,
        timestamp: None,
        key: None,
        value: None,
        size: 0,
        headers: Headers::None,
    };

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

/// What happened to the whole source: decisions of the group, and whether the broker is there.
#[derive(Debug)]
pub enum SourceEvent {
    /// The group gives us these, maybe none. Answered by [`Source::start`], which says from where;
    /// nothing of them is read before.
    Assigned(Vec<Stream>),
    /// The group takes these back. They are ours until [`Source::release`] answers, so what was
    /// read can still be made durable.
    Revoked(Vec<Stream>),
    /// The group gave these to others while we were away: what is not durable belongs to them.
    /// Answered by [`Source::release`].
    Lost(Vec<Stream>),
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

/// Records of a run at most: as many as are looked up ahead at once, and few enough that all of
/// them stay in the cache's first level.
pub const RUN_RECORDS_MAX: usize = 32;

/// Records of one partition in the order of their offsets, at most [`RUN_RECORDS_MAX`].
#[derive(Debug)]
pub struct Run<'a> {
    records: [Record<'a>; RUN_RECORDS_MAX],
    count: usize,
}

impl<'a> Run<'a> {
    pub const fn new() -> Self {
        Self { records: [Record::NONE; RUN_RECORDS_MAX], count: 0 }
    }

    pub const fn is_full(&self) -> bool {
        self.count == RUN_RECORDS_MAX
    }

    /// # Panics
    /// If it is full, or of another partition.
    pub fn push(&mut self, record: Record<'a>) {
        assert!(self.count == 0 || self.records[0].stream == record.stream, "of one partition");
        self.records[self.count] = record;
        self.count += 1;
    }

    pub fn records(&self) -> &[Record<'a>] {
        &self.records[..self.count]
    }
}

impl Default for Run<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// What one lane comes upon next.
#[derive(Debug)]
pub enum Next {
    /// Records of this partition: [`Lane::run`] shows them, [`Lane::done`] goes on behind them.
    Run(Stream),
    /// Everything before `offset` has been handed out and nothing is there yet.
    EndOfPartition { stream: Stream, offset: i64 },
    /// A partition cannot be read for now; the client goes on trying.
    Down(String),
    /// Nothing within the time-out.
    Quiet,
}

/// The partitions of one worker: their records, and nothing else. A partition is in one lane only,
/// so lanes share nothing and each may have a thread of its own.
pub trait Lane {
    /// What comes next, within `timeout`; the same again while records of a run are left.
    fn next(&mut self, timeout: Duration) -> Result<Next, SourceError>;

    /// The records that [`Lane::next`] has named.
    fn run(&self) -> Run<'_>;

    /// The first `count` records of the run have been dealt with.
    fn done(&mut self, count: usize);

    /// Reads a partition, which is in no other lane, from there on; what it holds of it is dropped.
    /// Goes before [`Source::start`] and [`Source::restart`].
    fn begin(&mut self, stream: Stream, start: Start) -> Result<(), SourceError>;

    /// Hands out nothing of these until they begin again; what it holds of them is dropped.
    fn stop(&mut self, streams: &[Stream]);

    /// Partitions whose place the client may have lost, should it stop and go on by itself.
    fn unsettled(&self) -> Vec<Stream> {
        Vec::new()
    }

    /// Is told the newest event time seen of a stream: files are read so that their times stay
    /// together. Kafka orders nothing by it.
    fn progress(&mut self, _stream: Stream, _newest: Timestamp) {}
}

/// Where records come from.
pub trait Source {
    type Lane: Lane;

    /// So many lanes, for as many workers; asked once, before anything else.
    fn lanes(&mut self, count: usize) -> Result<Vec<Self::Lane>, SourceError>;

    /// What has happened, without waiting; `None` if nothing has. Called between any two rounds
    /// of the lanes, while none of them reads.
    fn next(&mut self) -> Result<Option<SourceEvent>, SourceError>;

    /// The offset after the newest readable record of every partition, as of now.
    fn end_offsets(&self) -> Result<BTreeMap<Stream, i64>, SourceError>;

    /// What this input is, so that another is not written into the same data folder.
    fn identity(&self) -> String;

    /// Takes up an assignment: each partition of it from where the journal says. Kafka's own
    /// committed offsets are never asked.
    fn start(&mut self, starts: &[(Stream, Start)]) -> Result<(), SourceError>;

    /// Gives back what was revoked or lost.
    fn release(&mut self, streams: &[Stream]) -> Result<(), SourceError>;

    /// Fetches nothing of these until [`Source::restart`].
    fn pause(&mut self, streams: &[Stream]) -> Result<(), SourceError>;

    /// Reads partitions that are ours from another place, or goes on after a pause.
    fn restart(&mut self, starts: &[(Stream, Start)]) -> Result<(), SourceError>;

    /// Goes on with partitions from here, whatever place the client takes them to be at: it stops
    /// them by itself while the group decides.
    fn settle(&mut self, _starts: &[(Stream, Start)]) -> Result<(), SourceError> {
        Ok(())
    }

    /// Asks the group whether we are still in it, by committing an offset and waiting.
    fn confirm(&mut self, stream: Stream, offset: i64) -> Membership;

    /// Tells Kafka how far we are, as a courtesy to lag tools; a failure is counted, not returned.
    fn commit(&mut self, offsets: &[(Stream, i64)]);
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
    use schemas::Stage;

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
