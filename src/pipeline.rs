//! The whole flow, top to bottom. `run`, `replay` and `demo` all go through here; only the
//! source, the clock and the rules differ.
//!
//! ```text
//! Source ─► Worker of the partition ─► journal (log 1) ──┐ Arc<Entry>, bounded channel
//!   ▲          frame, decode, fold                       ▼
//!   └─ end offsets, stop                 Publisher: merge ─► detect ─► chain (log 2) ─► tables
//!                                                               └► View (HTTP, demo), deliveries
//! ```
//! This thread reads and journals; one more publishes. Nothing else holds state.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use ingest::{Decoder, RejectedTopic, Source, SourceEvent};
use schemas::{Entry, Stream};
use store::{Blobs, Journal, World};

use crate::clock::Clock;
use crate::config::Config;
use crate::publisher::{Publisher, PublisherParts};
use crate::shutdown::Stop;
use crate::summary::Summary;
use crate::view::SharedView;
use crate::worker::{Fold, Now, Target, Worker, WorkerRules};

/// Entries between the workers and the publisher: beyond it reading waits for publishing.
const ENTRIES_QUEUED_MAX: usize = 64;

/// Records between two looks at the clock: a look costs 25 ns, a record about 1 us.
const RECORDS_PER_TICK: u64 = 256;

/// How long one wait for records may last, so that time is noticed when none come.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// How long the topic of rejected records may hold up the journal before the run ends.
const REJECTED_TIMEOUT: Duration = Duration::from_secs(30);

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
        "{stream}: the records of journal entry {number} no longer give the rows it holds; \
         the topic or the settings differ from when it was written: use a new data folder"
    )]
    Diverged { stream: Stream, number: u64 },
    #[error(
        "commit {sequence} of the chain holds other alerts than its entries give now; \
         it was written by another version or with other settings: use a new data folder"
    )]
    ChainDiverged { sequence: u64 },
    #[error("the publisher stopped")]
    PublisherGone,
    #[error("the publisher failed on a broken invariant; see the log")]
    PublisherPanicked,
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
    pub view: SharedView,
    pub stop: Stop,
    pub rejected: Option<RejectedTopic>,
    pub deliveries: Vec<crate::deliveries::Outbox>,
}

/// Runs until the end, a stop, or an error. Everything durable is in the tables afterwards.
pub fn run<S: Source>(parts: Parts<'_, S>) -> Result<Summary, PipelineError> {
    let config = parts.config;
    let writer = crate::nonce::fresh();
    let (out, entries) = sync_channel(ENTRIES_QUEUED_MAX);
    let publisher = Publisher::recover(PublisherParts {
        store: Arc::clone(&parts.store),
        streams: parts.streams.clone(),
        topics: parts.world.topics.clone(),
        config,
        writer: writer.clone(),
        view: parts.view.clone(),
        deliveries: parts.deliveries,
    })?;
    let clock = Arc::clone(&parts.clock);
    let publishing = thread::Builder::new()
        .name("publisher".to_owned())
        .spawn(move || publisher.follow(&entries, &*clock))
        .map_err(PipelineError::Thread)?;
    let mut reader = Reader {
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
        decoder: Decoder::new(config.decode.clone()),
        workers: Workers::default(),
        rules: WorkerRules {
            entry: config.entry,
            idle: config.idle,
            lateness: config.fold.lateness,
        },
        config,
        writer,
        out,
        rejected: parts.rejected,
        until: parts.until,
        stop: parts.stop,
        view: parts.view,
    };
    let read = reader.read();
    drop(reader);
    let outcome = publishing.join().map_err(|_| PipelineError::PublisherPanicked)?;
    match read {
        // Then the publisher's own error says why.
        Ok(()) | Err(PipelineError::PublisherGone) => outcome,
        Err(error) => Err(error),
    }
}

/// The reading half: source to journal.
struct Reader<'a, S> {
    source: S,
    store: Arc<dyn Blobs>,
    clock: Arc<dyn Clock>,
    decoder: Decoder,
    workers: Workers,
    rules: WorkerRules,
    config: &'a Config,
    writer: String,
    out: SyncSender<Arc<Entry>>,
    rejected: Option<RejectedTopic>,
    /// Where to stop, by partition; empty = never.
    targets: BTreeMap<Stream, Target>,
    until: Until,
    stop: Stop,
    view: SharedView,
}

impl<S: Source> Reader<'_, S> {
    fn read(&mut self) -> Result<(), PipelineError> {
        let mut since_tick = 0_u64;
        while !self.stop.is_asked() && !self.has_reached_targets() {
            let quiet = self.step()?;
            since_tick += 1;
            if quiet || since_tick >= RECORDS_PER_TICK {
                since_tick = 0;
                self.tick()?;
            }
            if !quiet && since_tick == 0 {
                self.view.note_up();
            }
        }
        self.flush_rejected()?;
        for worker in self.workers.iter_mut() {
            match self.until {
                Until::Finished if worker.is_live() => worker.end(now(&*self.clock))?,
                _ => worker.cut()?,
            }
        }
        self.source.commit(&self.workers.durable_ends());
        Ok(())
    }

    /// Takes one event of the source; true if there was nothing to do.
    fn step(&mut self) -> Result<bool, PipelineError> {
        match self.source.next(POLL_TIMEOUT)? {
            SourceEvent::Quiet => return Ok(true),
            SourceEvent::Down(reason) => self.view.note_down(reason),
            SourceEvent::Assigned(streams) => self.take_over(&streams)?,
            SourceEvent::Revoked(streams) => self.hand_over(&streams)?,
            SourceEvent::EndOfPartition { stream, offset } => {
                if let Some(worker) = self.workers.get_mut(stream) {
                    worker.at_end(offset, now(&*self.clock))?;
                    self.cut_if_due(stream)?;
                }
            }
            SourceEvent::Record(record) => {
                let (stream, clock) = (record.stream, &*self.clock);
                let Some(worker) = self.workers.get_mut(stream) else { return Ok(false) };
                if worker.has_reached_target() {
                    return Ok(false);
                }
                let folded = worker.record(&mut self.decoder, &record, || now(clock))?;
                let due = worker.is_full() || worker.is_at_target();
                if let (Some(rejection), true) = (&folded.rejection, worker.is_live()) {
                    tracing::debug!(%stream, offset = record.offset,
                        stage = rejection.stage.name(), error = rejection.error, "record rejected");
                    if let Some(topic) = &mut self.rejected {
                        topic.send(&record, rejection, REJECTED_TIMEOUT)?;
                    }
                }
                if let Some(time) = folded.event_time {
                    self.source.progress(stream, time);
                }
                if due {
                    self.cut_if_due(stream)?;
                }
            }
        }
        Ok(false)
    }

    /// Cuts an entry that has reached a bound, and ends a partition that has reached its target.
    fn cut_if_due(&mut self, stream: Stream) -> Result<(), PipelineError> {
        // Refused records reach their topic before the entry that counts them is durable.
        self.flush_rejected()?;
        let Some(worker) = self.workers.get_mut(stream) else { return Ok(()) };
        if worker.is_at_target() {
            return worker.end(now(&*self.clock));
        }
        if worker.is_full() { worker.cut() } else { Ok(()) }
    }

    fn tick(&mut self) -> Result<(), PipelineError> {
        let now = now(&*self.clock);
        self.flush_rejected()?;
        let before = self.workers.durable_ends();
        for worker in self.workers.iter_mut() {
            worker.tick(now)?;
        }
        let after = self.workers.durable_ends();
        if before != after {
            self.source.commit(&after);
        }
        Ok(())
    }

    fn take_over(&mut self, streams: &[Stream]) -> Result<(), PipelineError> {
        for &stream in streams {
            let journal = Journal::open(Arc::clone(&self.store), stream, self.writer.clone())?;
            let fold = Fold::new(stream, &self.config.fold, journal.headers().last());
            let entries = journal.headers().len();
            tracing::info!(%stream, entries, "partition taken over");
            let target = self.targets.get(&stream).copied().unwrap_or(Target::None);
            let rules = self.rules.clone();
            let worker = Worker::open(stream, journal, fold, rules, target, self.out.clone())?;
            self.workers.insert(stream, worker);
        }
        Ok(())
    }

    fn hand_over(&mut self, streams: &[Stream]) -> Result<(), PipelineError> {
        self.flush_rejected()?;
        for &stream in streams {
            if let Some(mut worker) = self.workers.remove(stream) {
                worker.cut()?;
                tracing::info!(%stream, "partition handed over");
            }
        }
        Ok(())
    }

    fn flush_rejected(&mut self) -> Result<(), PipelineError> {
        match &mut self.rejected {
            Some(topic) => Ok(topic.flush(REJECTED_TIMEOUT)?),
            None => Ok(()),
        }
    }

    fn has_reached_targets(&self) -> bool {
        let reached = |stream| self.workers.get(stream).is_some_and(Worker::has_reached_target);
        !self.targets.is_empty() && self.targets.keys().all(|stream| reached(*stream))
    }
}

fn at_offsets(ends: BTreeMap<Stream, i64>) -> BTreeMap<Stream, Target> {
    ends.into_iter().map(|(stream, end)| (stream, Target::At(end))).collect()
}

fn now(clock: &dyn Clock) -> Now {
    Now { wall: clock.wall(), monotonic: clock.monotonic() }
}

/// The workers of the partitions that this process owns.
#[derive(Debug, Default)]
struct Workers(BTreeMap<Stream, Worker>);

impl Workers {
    fn get(&self, stream: Stream) -> Option<&Worker> {
        self.0.get(&stream)
    }

    fn get_mut(&mut self, stream: Stream) -> Option<&mut Worker> {
        self.0.get_mut(&stream)
    }

    fn insert(&mut self, stream: Stream, worker: Worker) {
        self.0.insert(stream, worker);
    }

    fn remove(&mut self, stream: Stream) -> Option<Worker> {
        self.0.remove(&stream)
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Worker> {
        self.0.values_mut()
    }

    fn durable_ends(&self) -> Vec<(Stream, i64)> {
        self.0.iter().map(|(stream, worker)| (*stream, worker.durable_end())).collect()
    }
}
