//! The reading half: one thread that takes events from the source and journals them.
//!
//! ```text
//! SourceEvent ─► record: fold it      end: recovered? idle? at the target?     tick: commit, idle
//!                moved: take over, hand over      down: wait, and trust no idleness
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use ingest::{Decoder, Record, RejectedTopic, Source, SourceError, SourceEvent};
use schemas::{Entry, Stream};
use store::{Blobs, Journal};

use crate::clock::Clock;
use crate::config::Config;
use crate::pipeline::{PipelineError, Until};
use crate::shutdown::Stop;
use crate::view::SharedView;
use crate::worker::{Fold, Heard, Now, Target, Worker, WorkerRules};

mod pace;
mod workers;

use pace::Pace;
use workers::Workers;

/// How long one wait for records may last, so that time is noticed when none come.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// One wait for the topic of rejected records; it is repeated while the broker is out of reach.
const REJECTED_TIMEOUT: Duration = Duration::from_secs(5);

/// How long another member of the group may hold partitions that a run to the end needs.
const FOREIGN_MAX: Duration = Duration::from_mins(1);

/// Source to journal.
#[expect(missing_debug_implementations, reason = "made of parts that have none")]
pub struct Reader<'a, S> {
    pub source: S,
    pub store: Arc<dyn Blobs>,
    pub clock: Arc<dyn Clock>,
    pub decoder: Decoder,
    pub config: &'a Config,
    pub writer: String,
    pub out: SyncSender<Arc<Entry>>,
    pub rejected: Option<RejectedTopic>,
    /// Where to stop, by partition; empty = never.
    pub targets: BTreeMap<Stream, Target>,
    pub until: Until,
    pub stop: Stop,
    pub view: SharedView,
}

/// How far a reader came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reached {
    All,
    /// It was told to stop before the targets; the next run goes on from there.
    StoppedBefore,
}

/// What the reader knows besides its parts.
struct State {
    workers: Workers,
    pace: Pace,
    heard: Option<Heard>,
    is_down: bool,
    /// Offsets last told to Kafka.
    told: Vec<(Stream, i64)>,
    /// Since when a partition that this run needs is not ours.
    foreign_since: Option<Duration>,
    ticked_at: Duration,
}

impl<S: Source> Reader<'_, S> {
    /// Reads until the end, a stop, or an error; what was read is durable afterwards.
    pub fn read(mut self) -> Result<Reached, PipelineError> {
        let start = self.now();
        let mut state = State {
            workers: Workers::new(self.config),
            pace: Pace::new(start.monotonic),
            heard: None,
            is_down: false,
            told: Vec::new(),
            foreign_since: None,
            ticked_at: start.monotonic,
        };
        while !self.stop.is_asked() && !self.has_reached_targets(&state) {
            let is_quiet = self.step(&mut state)?;
            let clock = &*self.clock;
            if state.pace.is_due(is_quiet, || clock.monotonic()) {
                self.tick(&mut state)?;
            }
        }
        self.flush_rejected()?;
        let now = self.now();
        for worker in state.workers.iter_mut() {
            match self.until {
                Until::Finished if worker.is_live() => worker.end(now)?,
                _ => worker.cut()?,
            }
        }
        self.source.commit(&state.workers.durable_ends());
        let is_short = !self.targets.is_empty() && !self.has_reached_targets(&state);
        Ok(if is_short { Reached::StoppedBefore } else { Reached::All })
    }

    /// Takes one event of the source; true if there was nothing to do.
    fn step(&mut self, state: &mut State) -> Result<bool, PipelineError> {
        let due = match self.source.next(POLL_TIMEOUT)? {
            SourceEvent::Quiet => return Ok(true),
            SourceEvent::Down(reason) => {
                state.is_down = true;
                self.view.note_down(reason);
                return Ok(true);
            }
            SourceEvent::Assigned(streams) => {
                self.take_over(state, &streams)?;
                None
            }
            SourceEvent::Revoked(streams) => {
                self.hand_over(state, &streams)?;
                None
            }
            SourceEvent::EndOfPartition { stream, offset } => {
                if let Some(worker) = state.workers.get_mut(stream) {
                    worker.at_end(offset, now(&*self.clock))?;
                }
                Some(stream)
            }
            SourceEvent::Record(record) => {
                let clock = &*self.clock;
                let Some(worker) = state.workers.get_mut(record.stream) else { return Ok(false) };
                if worker.has_reached_target() {
                    return Ok(false);
                }
                let folded = worker.record(&mut self.decoder, &record, || now(clock))?;
                if let Some(rejection) = folded.rejection.as_ref().filter(|_| worker.is_live()) {
                    hand_on(self.rejected.as_ref(), &self.stop, &record, rejection)?;
                }
                let due = worker.is_full() || worker.is_at_target();
                state.heard = state.pace.hear(state.heard, folded.arrival);
                let stream = record.stream;
                if let Some(time) = folded.event_time {
                    self.source.progress(stream, time);
                }
                due.then_some(stream)
            }
        };
        if let Some(stream) = due {
            self.cut_if_due(state, stream)?;
        }
        Ok(false)
    }

    /// Cuts an entry that has reached a bound, and ends a partition that has reached its target.
    fn cut_if_due(&mut self, state: &mut State, stream: Stream) -> Result<(), PipelineError> {
        // Refused records reach their topic before the entry that counts them is durable.
        self.flush_rejected()?;
        let now = self.now();
        let Some(worker) = state.workers.get_mut(stream) else { return Ok(()) };
        if worker.is_at_target() {
            return worker.end(now);
        }
        if worker.is_full() { worker.cut() } else { Ok(()) }
    }

    /// What time alone brings.
    fn tick(&mut self, state: &mut State) -> Result<(), PipelineError> {
        self.flush_rejected()?;
        let now = self.now();
        let is_back = state.is_down && state.pace.took_events();
        let stalled = now.monotonic.saturating_sub(state.ticked_at) >= self.config.idle.log_after;
        if is_back || stalled {
            // What came while the broker, or we, were away follows within moments.
            state.workers.iter_mut().for_each(|worker| worker.restart_idle(now));
        }
        if is_back {
            state.is_down = false;
            self.view.note_up();
        }
        state.ticked_at = now.monotonic;
        for worker in state.workers.iter_mut() {
            worker.cut_if_old(now)?;
            if !state.is_down {
                worker.fall_idle(now, state.heard)?;
            }
        }
        state.workers.keep_together(&mut self.source)?;
        self.view.lock().is_live = state.workers.are_live();
        let ends = state.workers.durable_ends();
        if ends != state.told {
            self.source.commit(&ends);
            state.told = ends;
        }
        self.miss_foreign(state, now)
    }

    /// Gives up a run to the end that waits for partitions of another member of the group.
    fn miss_foreign(&self, state: &mut State, now: Now) -> Result<(), PipelineError> {
        let foreign = self.targets.keys().find(|stream| state.workers.get(**stream).is_none());
        let Some(&stream) = foreign.filter(|_| !state.is_down) else {
            state.foreign_since = None;
            return Ok(());
        };
        let since = *state.foreign_since.get_or_insert(now.monotonic);
        if now.monotonic.saturating_sub(since) >= FOREIGN_MAX {
            return Err(PipelineError::Foreign { stream });
        }
        Ok(())
    }

    fn take_over(&mut self, state: &mut State, streams: &[Stream]) -> Result<(), PipelineError> {
        let rules = WorkerRules {
            entry: self.config.entry,
            idle: self.config.idle,
            lateness: self.config.fold.lateness,
        };
        for &stream in streams {
            let journal = Journal::open(Arc::clone(&self.store), stream, self.writer.clone())?;
            let fold = Fold::new(stream, &self.config.fold, journal.headers().last());
            let entries = journal.headers().len();
            tracing::info!(%stream, entries, "partition taken over");
            let target = self.targets.get(&stream).copied().unwrap_or(Target::None);
            let out = self.out.clone();
            let worker = Worker::open(stream, journal, fold, rules.clone(), target, out)?;
            state.workers.insert(stream, worker);
        }
        Ok(())
    }

    fn hand_over(&mut self, state: &mut State, streams: &[Stream]) -> Result<(), PipelineError> {
        self.flush_rejected()?;
        for &stream in streams {
            if let Some(mut worker) = state.workers.remove(stream) {
                worker.cut()?;
                tracing::info!(%stream, "partition handed over");
            }
        }
        Ok(())
    }

    /// Waits until the topic of rejected records has everything, however long its broker is away.
    fn flush_rejected(&self) -> Result<(), PipelineError> {
        let Some(topic) = &self.rejected else { return Ok(()) };
        patiently(&self.stop, || topic.flush(REJECTED_TIMEOUT))
    }

    fn has_reached_targets(&self, state: &State) -> bool {
        let reached = |stream| state.workers.get(stream).is_some_and(Worker::has_reached_target);
        !self.targets.is_empty() && self.targets.keys().all(|stream| reached(*stream))
    }

    fn now(&self) -> Now {
        now(&*self.clock)
    }
}

fn now(clock: &dyn Clock) -> Now {
    Now { wall: clock.wall(), monotonic: clock.monotonic() }
}

/// Hands a refused record to its topic, if there is one.
fn hand_on(
    topic: Option<&RejectedTopic>,
    stop: &Stop,
    record: &Record<'_>,
    rejection: &schemas::Rejection,
) -> Result<(), PipelineError> {
    let (stage, error) = (rejection.stage.name(), &rejection.error);
    let (stream, offset) = (record.stream, record.offset);
    tracing::debug!(%stream, offset, stage, error, "record rejected");
    let Some(topic) = topic else { return Ok(()) };
    patiently(stop, || topic.send(record, rejection, REJECTED_TIMEOUT))
}

/// Repeats what an outage of the topic of rejected records holds up.
fn patiently(
    stop: &Stop,
    attempt: impl Fn() -> Result<(), SourceError>,
) -> Result<(), PipelineError> {
    loop {
        match attempt() {
            Err(error @ SourceError::RejectedTopic { .. }) if !stop.is_asked() => {
                tracing::warn!(%error, "waiting for the topic of rejected records");
            }
            outcome => return Ok(outcome?),
        }
    }
}
