//! One process of the group: a reader and a publisher, stepped by the run.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use ingest::Source as _;
use ringwatch::config::Config;
use ringwatch::deliveries::Deliveries;
use ringwatch::lanes::{Lanes, RoundRule, Tools};
use ringwatch::pipeline::{Gaps, PipelineError, Until};
use ringwatch::publisher::{Publisher, PublisherParts};
use ringwatch::reader::{Reader, ReaderParts};
use ringwatch::shutdown::Stop;
use ringwatch::snapshots::Snapshots;
use ringwatch::view::SharedView;
use ringwatch::worker::{PartitionCounts, Target};
use schemas::{Entry, Stream};
use store::{Blobs, TopicNames};

use super::clock::ProcessClock;
use super::cluster::{Cluster, ScriptedSource};
use super::faults::{FaultyStore, Shared};
use super::rng::Rng;
use super::world::streams;

/// Entries between reader and publisher: few, so that a full queue is met too.
const ENTRIES_QUEUED_MAX: usize = 4;

/// Workers of a process at most.
const LANES_MAX: usize = 3;

/// One record of each worker, so that anything can happen between two.
const ROUND: RoundRule = RoundRule { records_max: 1, time_max: None };

/// A process that is there.
pub(super) struct Process<'a> {
    pub(super) number: usize,
    pub(super) writer: String,
    pub(super) clock: ProcessClock,
    pub(super) blobs: Arc<dyn Blobs>,
    is_dead: Arc<AtomicBool>,
    reader: Option<Reader<'a, ScriptedSource>>,
    publisher: Option<Publisher>,
    entries: Receiver<Arc<Entry>>,
    /// Stopped until then.
    pub(super) asleep_until: Option<Duration>,
}

/// Where a run to the end stops.
fn targets(source: &ScriptedSource, until: Until) -> BTreeMap<Stream, Target> {
    if until != Until::End {
        return BTreeMap::new();
    }
    let ends = source.end_offsets().unwrap_or_default();
    ends.into_iter().map(|(stream, end)| (stream, Target::At(end))).collect()
}

/// How a step of a process ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Goes,
    /// It has nothing more to do.
    Done,
    Died,
    /// It stopped by itself, for a reason that a supervisor answers with a restart.
    GaveUp,
}

impl<'a> Process<'a> {
    pub(super) fn start(
        number: usize,
        config: &'a Config,
        cluster: &Rc<RefCell<Cluster>>,
        shared: &Arc<Shared>,
        rng: &mut Rng,
        until: Until,
        begun: i32,
    ) -> Self {
        let now = cluster.borrow().partitions;
        let clock = ProcessClock { time: shared.time.clone(), ..ProcessClock::default() };
        let is_dead = Arc::new(AtomicBool::new(false));
        let blobs: Arc<dyn Blobs> =
            Arc::new(FaultyStore { shared: Arc::clone(shared), is_dead: Arc::clone(&is_dead) });
        let writer = format!("{:016x}{number:016x}", rng.word());
        let (out, entries) = sync_channel(ENTRIES_QUEUED_MAX);
        let leads = Arc::new(AtomicBool::new(false));
        let (stop, view) = (Stop::default(), SharedView::default());
        let mut source = ScriptedSource {
            cluster: Rc::clone(cluster),
            member: number,
            time: shared.time.clone(),
            rng: Rng::new(rng.word()),
        };
        let targets = targets(&source, until);
        let publisher = Publisher::new(PublisherParts {
            store: Arc::clone(&blobs),
            leads: Arc::clone(&leads),
            clock: Arc::new(clock.clone()),
            stop: stop.clone(),
            streams: streams(now),
            streams_begun: streams(begun),
            topics: TopicNames::default(),
            config,
            writer: writer.clone(),
            view: view.clone(),
            deliveries: Deliveries::default(),
        });
        let tools = Tools {
            clock: Arc::new(clock.clone()),
            stop: stop.clone(),
            rejected: None,
            decode: config.decode.clone(),
        };
        let inputs = source.lanes(1 + rng.below(LANES_MAX)).unwrap_or_default();
        let reader = Reader::new(ReaderParts {
            lanes: Lanes::inline(inputs, &tools, ROUND),
            source,
            store: Arc::clone(&blobs),
            clock: Arc::new(clock.clone()),
            config,
            snapshots: Some(Snapshots::inline(Arc::clone(&blobs), &writer)),
            writer: writer.clone(),
            out,
            leads,
            rejected: None,
            streams: streams(now),
            counts: PartitionCounts { begun, now },
            targets,
            until,
            gaps: Gaps::Refused,
            stop,
            view,
        });
        let (reader, publisher) = (Some(reader), Some(publisher));
        Self {
            number,
            writer,
            clock,
            blobs,
            is_dead,
            reader,
            publisher,
            entries,
            asleep_until: None,
        }
    }

    /// Takes one event of the source, or what time brings.
    pub(super) fn read(&mut self) -> Step {
        let Some(reader) = &mut self.reader else { return Step::Done };
        let turned = reader.turn();
        self.judge(turned.map(|goes| if goes { Step::Goes } else { Step::Done }))
    }

    /// Takes one entry, if there is one, and what time brings.
    pub(super) fn publish(&mut self) -> Step {
        let entry = self.entries.try_recv().ok();
        let Some(publisher) = &mut self.publisher else { return Step::Done };
        let taken = publisher.take(entry.as_deref());
        self.judge(taken.map(|()| Step::Goes))
    }

    /// Ends in good order.
    pub(super) fn finish(mut self) -> Step {
        let closed = self.reader.take().map_or(Ok(()), |reader| reader.close().map(drop));
        match self.judge(closed.map(|()| Step::Goes)) {
            Step::Goes => {}
            other => return other,
        }
        while let Ok(entry) = self.entries.try_recv() {
            let taken = self.publisher.as_mut().map_or(Ok(()), |it| it.take(Some(&entry)));
            match self.judge(taken.map(|()| Step::Goes)) {
                Step::Goes => {}
                other => return other,
            }
        }
        let finished = self.publisher.take().map_or(Ok(()), |it| it.finish().map(drop));
        self.judge(finished.map(|()| Step::Done))
    }

    pub(super) fn is_leading(&self) -> bool {
        self.publisher.as_ref().is_some_and(Publisher::is_leading)
    }

    /// Either of the two.
    pub(super) fn step(&mut self, rng: &mut Rng) -> Step {
        if rng.in_thousand(500) { self.publish() } else { self.read() }
    }

    fn judge(&self, outcome: Result<Step, PipelineError>) -> Step {
        if self.is_dead.load(Ordering::Relaxed) {
            return Step::Died;
        }
        match outcome {
            Ok(step) => step,
            Err(
                PipelineError::LostAgain { .. }
                | PipelineError::ChainLostAgain(_)
                | PipelineError::MorePartitions { .. }
                | PipelineError::Grown { .. },
            ) => Step::GaveUp,
            Err(error) => {
                let mut line = error.to_string();
                let mut cause = std::error::Error::source(&error);
                while let Some(source) = cause {
                    line = format!("{line}: {source}");
                    cause = source.source();
                }
                panic!("process {} stopped: {line}", self.number)
            }
        }
    }
}
