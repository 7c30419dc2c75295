//! The whole flow, top to bottom. `run`, `replay` and `demo` all go through here; only the
//! source, the clock and the rules differ.
//!
//! ```text
//! Source ─► Lanes ─► Worker of the partition ─► journal (log 1) ──┐ Arc<Entry>, bounded queue
//!   ▲                 frame, decode, fold ─► snapshots            ▼
//!   └─ end offsets, stop                 Publisher: merge ─► detect ─► chain (log 2) ─► tables
//!                                            ▲                  └► View (HTTP, demo), deliveries
//!                 journals of other processes┘
//! ```
//! This thread decides what is read; it and those of the other lanes read and journal. One more
//! publishes, if this process owns partition 0; one writes snapshots down. Nothing else holds
//! state, and all of it can be derived again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::sync_channel;
use std::thread;

use ingest::{RejectedTopic, Source};
use schemas::{Stream, StreamKind};
use store::{Blobs, World};

use crate::clock::Clock;
use crate::config::Config;
use crate::deliveries::{Deliveries, DeliveryError};
use crate::lanes::{RoundRule, Tools, lanes_of};
use crate::publisher::{Publisher, PublisherParts};
use crate::reader::{Reached, Reader, ReaderParts};
use crate::shutdown::Stop;
use crate::snapshots::Snapshots;
use crate::summary::Summary;
use crate::view::SharedView;
use crate::worker::{PartitionCounts, Target};

/// Entries between the reader and the publisher: beyond it reading waits for publishing.
const ENTRIES_QUEUED_MAX: usize = 64;

/// Why a pipeline stopped before its end.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    #[error("cannot read the input")]
    Source(#[from] ingest::SourceError),
    #[error("cannot use the data folder")]
    Store(#[from] store::StoreError),
    #[error(
        "{stream}: the records end at offset {offset}, but the journal covers them up to {wanted}; \
         the topic was cut or made anew: use a new data folder, or bring the records back"
    )]
    RecordsGone { stream: Stream, offset: i64, wanted: i64 },
    #[error(
        "offset {wanted} of {stream} is no longer in its topic, which begins at {earliest} and \
         ends at {end}; it is journalled up to {journalled}; bring the records back, or go on \
         without them with --accept-gap"
    )]
    Gap { stream: Stream, wanted: i64, earliest: i64, end: i64, journalled: i64 },
    #[error(
        "{stream}: the records of journal entry {number} no longer give the rows it holds; \
         the topic or the settings differ from when it was written: use a new data folder"
    )]
    Diverged { stream: Stream, number: u64 },
    #[error(
        "commit {sequence} of the chain holds other alerts than its entries give now; \
         it was written by another version or with other settings: go on with those, or use a \
         new data folder"
    )]
    ChainDiverged { sequence: u64 },
    #[error(
        "{stream} belongs to another member of the group, and this run needs it; stop the other, \
         or use another kafka.group and data folder"
    )]
    Foreign { stream: Stream },
    #[error(
        "three times within five minutes another process wrote {stream}; is another group on this \
         data folder, or a second process under the same group.instance.id?"
    )]
    LostAgain { stream: Stream, source: store::StoreError },
    #[error("another replay writes into this data folder; when it has ended, start this one again")]
    NotAlone(#[source] store::StoreError),
    #[error("three times within five minutes another process published into this data folder")]
    ChainLostAgain(#[source] store::StoreError),
    #[error(
        "{stream} is new: the topic has grown, and devices have moved between its partitions; \
         start again with --accept-growth, by which what is known of each device begins afresh, \
         or use a new data folder"
    )]
    MorePartitions { stream: Stream },
    #[error("{stream} is new: only `telemetry` may grow; use a new data folder")]
    MoreOfRegistry { stream: Stream },
    #[error(
        "the topic has grown from {known} to {found} partitions, and another process has taken \
         that up; start again"
    )]
    Grown { known: i32, found: i32 },
    #[error("cannot deliver alerts")]
    Delivery(#[from] DeliveryError),
    #[error("stopped before the end of the input; start it again to go on")]
    StoppedBefore,
    #[error("the publisher stopped")]
    PublisherGone,
    #[error("the publisher failed on a broken invariant; see the log")]
    PublisherPanicked,
    #[error("a worker failed on a broken invariant; see the log")]
    WorkerPanicked,
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

/// When the pipeline stops by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// Only when told to; what is open then goes on at the next start.
    Stopped,
    /// When told to, and then as if the input ended there: open windows are closed.
    Finished,
    /// When everything that was there at the start is in the tables.
    End,
    /// When every partition has been read to its end once: files.
    InputEnds,
}

impl Until {
    /// Files are read so that two runs do the same; a service, so that its lanes end together.
    const fn round(self) -> RoundRule {
        match self {
            Self::InputEnds => RoundRule::BY_RECORDS,
            Self::Stopped | Self::Finished | Self::End => RoundRule::BY_TIME,
        }
    }
}

/// What to do about records that the journal needs and the topic no longer has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gaps {
    /// Stop, and name them.
    Refused,
    /// Go on without them, and write down which they were.
    Accepted,
}

/// Everything a pipeline is made of.
#[expect(missing_debug_implementations, reason = "made of parts that have none")]
pub struct Parts<'a, S> {
    pub source: S,
    pub store: Arc<dyn Blobs>,
    pub clock: Arc<dyn Clock>,
    pub config: &'a Config,
    /// Every partition of every stream, whether this process owns it or not.
    pub streams: Vec<Stream>,
    pub world: World,
    pub until: Until,
    pub gaps: Gaps,
    pub view: SharedView,
    pub stop: Stop,
    pub rejected: Option<RejectedTopic>,
    pub deliveries: Deliveries,
}

/// Runs until the end, a stop, or an error. Everything durable is in the tables afterwards.
pub fn run<S>(mut parts: Parts<'_, S>) -> Result<Summary, PipelineError>
where
    S: Source<Lane: Send + 'static>,
{
    let config = parts.config;
    let writer = crate::nonce::fresh();
    let (out, entries) = sync_channel(ENTRIES_QUEUED_MAX);
    let leads = Arc::new(AtomicBool::new(false));
    let publisher = Publisher::new(PublisherParts {
        store: Arc::clone(&parts.store),
        leads: Arc::clone(&leads),
        clock: Arc::clone(&parts.clock),
        stop: parts.stop.clone(),
        streams: parts.streams.clone(),
        streams_begun: begun(&parts.streams, parts.world.partition_count),
        topics: parts.world.topics.clone(),
        config,
        writer: writer.clone(),
        view: parts.view.clone(),
        deliveries: parts.deliveries,
    });
    let (stop, told) = (parts.stop.clone(), AskOnDrop(parts.stop.clone()));
    let publishing = thread::Builder::new()
        .name("publisher".to_owned())
        .spawn(move || {
            // However it ends, without a publisher there is nothing to read for.
            let _told = told;
            publisher.follow(&entries)
        })
        .map_err(PipelineError::Thread)?;
    let snapshots = config.snapshot.map(|_| Snapshots::start(Arc::clone(&parts.store), &writer));
    let rejected = parts.rejected.map(Arc::new);
    let tools = Tools {
        clock: Arc::clone(&parts.clock),
        stop: parts.stop.clone(),
        rejected: rejected.clone(),
        decode: config.decode.clone(),
    };
    let lanes = lanes_of(&mut parts.source, config.workers, &tools, parts.until.round())?;
    let reader = Reader::new(ReaderParts {
        targets: match parts.until {
            Until::Stopped | Until::Finished => BTreeMap::new(),
            Until::End => at_offsets(parts.source.end_offsets()?),
            Until::InputEnds => {
                parts.streams.iter().map(|stream| (*stream, Target::FirstEnd)).collect()
            }
        },
        source: parts.source,
        store: parts.store,
        clock: parts.clock,
        lanes,
        config,
        writer,
        out,
        leads,
        rejected,
        counts: PartitionCounts {
            begun: parts.world.partition_count,
            now: parts.streams.iter().filter(|stream| is_telemetry(**stream)).count() as i32,
        },
        streams: parts.streams,
        until: parts.until,
        gaps: parts.gaps,
        stop: parts.stop,
        view: parts.view,
        snapshots: snapshots.transpose().map_err(PipelineError::Thread)?,
    });
    // Whoever is to hear of an error does not wait until alerts may be sent.
    let read = reader.read().inspect_err(|_| stop.ask());
    let outcome = publishing.join().map_err(|_| PipelineError::PublisherPanicked)?;
    match read {
        // Then the publisher's own error says why.
        Ok(Reached::All) | Err(PipelineError::PublisherGone) => outcome,
        Ok(Reached::StoppedBefore) => outcome.and(Err(PipelineError::StoppedBefore)),
        Err(error) => Err(error),
    }
}

/// Asks everyone to stop when its thread ends, also by a panic.
struct AskOnDrop(Stop);

impl Drop for AskOnDrop {
    fn drop(&mut self) {
        self.0.ask();
    }
}

/// The streams that were there when the data folder was made.
fn begun(streams: &[Stream], partition_count: i32) -> Vec<Stream> {
    let is_begun = |stream: &&Stream| !is_telemetry(**stream) || stream.partition < partition_count;
    streams.iter().filter(is_begun).copied().collect()
}

fn is_telemetry(stream: Stream) -> bool {
    stream.kind == StreamKind::Telemetry
}

fn at_offsets(ends: BTreeMap<Stream, i64>) -> BTreeMap<Stream, Target> {
    ends.into_iter().map(|(stream, end)| (stream, Target::At(end))).collect()
}
