//! The reading half: takes events from the source and journals them.
//!
//! ```text
//! SourceEvent ─► record: fold it      end: recovered? at the target?     tick: cut, idle, snapshot
//!                group: take over, hand over, drop       down: wait, and trust no idleness
//! entry ─► durable: to the publisher
//!      └─► the store is away: every partition pauses until it has taken what waits (Outage)
//!      └─► its number is taken: the state is dropped and recovered after a while (lost)
//! ```
//! One thread, one step at a time: time and chance come from outside.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use ingest::{Decoder, RejectedTopic, Source, SourceError, SourceEvent};
use schemas::{Entry, Stream, StreamKind};
use store::{Blobs, StoreError};

use crate::clock::Clock;
use crate::config::Config;
use crate::metrics;
use crate::patience::{Outage, STOP_PATIENCE};
use crate::pipeline::{Gaps, PipelineError, Until};
use crate::shutdown::Stop;
use crate::snapshots::Snapshots;
use crate::view::SharedView;
use crate::worker::{Cut, Heard, Now, PartitionCounts, Target, Worker};
use group::Missing;

mod group;
mod lost;
mod outage;
mod pace;
mod rejected;

use lost::LostStreams;
use pace::Pace;

/// How long one wait for records may last, so that time is noticed when none come.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// How long another member of the group may hold partitions that a run to the end needs.
const FOREIGN_MAX: Duration = Duration::from_mins(1);

/// How long an entry waits for room in the publisher's queue. What finds none is read from the
/// journal by the publisher itself.
const QUEUE_PATIENCE: Duration = Duration::from_secs(1);
const QUEUE_WAIT: Duration = Duration::from_millis(5);

/// How long a broker is out of reach before probes hear of it: a broker that is restarted, or a
/// connection that it closes, is back sooner.
const AWAY_AFTER: Duration = Duration::from_secs(15);

/// Whose owner publishes.
pub const LEADING_STREAM: Stream = Stream { kind: StreamKind::Telemetry, partition: 0 };

/// What a reader is made of.
#[expect(missing_debug_implementations, reason = "made of parts that have none")]
pub struct ReaderParts<'a, S> {
    pub source: S,
    pub store: Arc<dyn Blobs>,
    pub clock: Arc<dyn Clock>,
    pub decoder: Decoder,
    pub config: &'a Config,
    pub writer: String,
    pub out: SyncSender<Arc<Entry>>,
    /// Told to the publisher: whether [`LEADING_STREAM`] is ours.
    pub leads: Arc<AtomicBool>,
    pub rejected: Option<RejectedTopic>,
    /// Every partition that the data folder knows.
    pub streams: Vec<Stream>,
    /// Those of telemetry.
    pub counts: PartitionCounts,
    /// Where to stop, by partition; empty = never.
    pub targets: BTreeMap<Stream, Target>,
    pub until: Until,
    pub gaps: Gaps,
    pub stop: Stop,
    pub view: SharedView,
    /// `None`: no snapshot is taken.
    pub snapshots: Option<Snapshots>,
}

/// Source to journal.
#[expect(missing_debug_implementations, reason = "made of parts that have none")]
pub struct Reader<'a, S> {
    parts: ReaderParts<'a, S>,
    workers: BTreeMap<Stream, Worker>,
    /// Partitions whose number another process took.
    lost: LostStreams,
    /// While an entry waits for the store.
    outage: Option<Outage>,
    /// An assignment that waits for the store.
    unopened: Option<Vec<Stream>>,
    pace: Pace,
    heard: Option<Heard>,
    /// Since when no broker answers.
    down_since: Option<Duration>,
    /// Offsets last told to Kafka.
    told: Vec<(Stream, i64)>,
    /// Since when a partition that this run needs is not ours.
    foreign_since: Option<Duration>,
    ticked_at: Duration,
    /// Every target is reached.
    is_done: bool,
    folder_seen_at: Duration,
}

/// How far a reader came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reached {
    All,
    /// It was told to stop before the targets; the next run goes on from there.
    StoppedBefore,
}

impl<'a, S: Source> Reader<'a, S> {
    pub fn new(parts: ReaderParts<'a, S>) -> Self {
        let start = parts.clock.monotonic();
        Self {
            workers: BTreeMap::new(),
            lost: LostStreams::default(),
            outage: None,
            unopened: None,
            pace: Pace::new(start),
            heard: None,
            down_since: None,
            told: Vec::new(),
            foreign_since: None,
            ticked_at: start,
            is_done: false,
            folder_seen_at: start,
            parts,
        }
    }

    /// Reads until the end, a stop, or an error; what was read is durable afterwards.
    pub fn read(mut self) -> Result<Reached, PipelineError> {
        while self.turn()? {}
        self.close()
    }

    /// Takes one event, and what time brings if that is due; false once there is nothing to go
    /// on for.
    pub fn turn(&mut self) -> Result<bool, PipelineError> {
        if self.parts.stop.is_asked() || self.is_done {
            return Ok(false);
        }
        let is_quiet = self.step()?;
        let Self { pace, parts, .. } = self;
        if pace.is_due(is_quiet, || parts.clock.monotonic()) {
            self.tick()?;
        }
        Ok(true)
    }

    /// Makes durable what was read, as far as the store takes it within [`STOP_PATIENCE`].
    pub fn close(mut self) -> Result<Reached, PipelineError> {
        self.flush_rejected()?;
        let start = self.now();
        'streams: for stream in self.owned() {
            loop {
                let now = self.now();
                let Some(worker) = self.workers.get_mut(&stream) else { break };
                let finishes = self.parts.until == Until::Finished && worker.is_live();
                let cut = if finishes { worker.end(now) } else { worker.cut() };
                let is_away = matches!(cut, Ok(Cut::Waiting(_)));
                self.take_cut(stream, cut)?;
                let Some(worker) = self.workers.get(&stream) else { break };
                if !is_away && (!finishes || worker.has_reached_target()) {
                    break;
                }
                if now.monotonic.saturating_sub(start.monotonic) >= STOP_PATIENCE {
                    // The others would each wait as long; the next start reads all of it again.
                    tracing::warn!(%stream, "stopped while the store is away");
                    break 'streams;
                }
                if is_away {
                    self.parts.clock.sleep(POLL_TIMEOUT);
                }
            }
        }
        let ends = self.durable_ends();
        self.parts.source.commit(&ends);
        let is_short = !self.parts.targets.is_empty() && !self.has_reached_targets();
        Ok(if is_short { Reached::StoppedBefore } else { Reached::All })
    }

    /// Partitions that are ours and journalled, for whoever looks.
    pub fn owned(&self) -> Vec<Stream> {
        self.workers.keys().copied().collect()
    }

    /// Makes ready for the records that come next.
    fn look_ahead(&mut self) {
        let workers = &self.workers;
        self.parts.source.look_ahead(&mut |stream, keys| {
            if let Some(worker) = workers.get(&stream) {
                worker.look_ahead(keys);
            }
        });
    }

    /// Takes one event of the source; true if there was nothing to do.
    fn step(&mut self) -> Result<bool, PipelineError> {
        self.look_ahead();
        let event = match self.parts.source.next(POLL_TIMEOUT) {
            Err(SourceError::OffsetGone { stream, wanted, earliest, end, .. }) => {
                self.miss_records(stream, Missing { wanted, earliest, end })?;
                return Ok(false);
            }
            event => event?,
        };
        let due = match event {
            SourceEvent::Quiet => return Ok(true),
            SourceEvent::Alive => {
                self.come_back();
                return Ok(true);
            }
            SourceEvent::Down(reason) => {
                let clock = &self.parts.clock;
                self.down_since.get_or_insert_with(|| clock.monotonic());
                self.parts.view.note_down(reason);
                return Ok(true);
            }
            SourceEvent::Assigned(streams) => {
                self.take_over(&streams)?;
                None
            }
            SourceEvent::Revoked(streams) => {
                self.hand_over(&streams)?;
                // Not a sign of the broker: a client gives up what it cannot reach, too.
                return Ok(true);
            }
            SourceEvent::Lost(streams) => {
                self.give_up(&streams)?;
                return Ok(true);
            }
            SourceEvent::EndOfPartition { stream, offset } => {
                if let Some(worker) = self.workers.get_mut(&stream) {
                    worker.at_end(offset, now(&*self.parts.clock))?;
                }
                Some(stream)
            }
            SourceEvent::Record(record) => {
                let stream = record.stream;
                let clock = &*self.parts.clock;
                let Some(worker) = self.workers.get_mut(&stream) else { return Ok(false) };
                if worker.has_reached_target() {
                    return Ok(false);
                }
                if worker.is_waiting() {
                    // Fetched before the pause took hold: read again afterwards.
                    self.lost.skip(stream);
                    return Ok(false);
                }
                let folded = worker.record(&mut self.parts.decoder, &record, || now(clock))?;
                let Some(folded) = folded else { return Ok(false) };
                if let Some(rejection) = folded.rejection.as_ref().filter(|_| worker.is_live()) {
                    let topic = self.parts.rejected.as_ref();
                    rejected::hand_on(topic, &self.parts.stop, &record, rejection)?;
                }
                let due = worker.is_full() || worker.is_at_target();
                self.heard = self.pace.hear(self.heard, folded.arrival);
                if let Some(time) = folded.event_time {
                    self.parts.source.progress(stream, time);
                }
                due.then_some(stream)
            }
        };
        if let Some(stream) = due {
            self.cut_if_due(stream)?;
        }
        Ok(false)
    }

    /// Cuts an entry that has reached a bound, and ends a partition that has reached its target.
    fn cut_if_due(&mut self, stream: Stream) -> Result<(), PipelineError> {
        // Refused records reach their topic before the entry that counts them is durable.
        self.flush_rejected()?;
        let now = self.now();
        while let Some(worker) = self.workers.get_mut(&stream) {
            let is_ending = worker.is_at_target();
            let cut = match () {
                () if is_ending => worker.end(now),
                () if worker.is_full() => worker.cut(),
                () => break,
            };
            let is_away = matches!(cut, Ok(Cut::Waiting(_)));
            self.take_cut(stream, cut)?;
            if is_away || !is_ending {
                break;
            }
        }
        // Here alone a target is reached; to look at all of them costs as much as a record.
        self.is_done = self.has_reached_targets();
        Ok(())
    }

    /// What time alone brings.
    fn tick(&mut self) -> Result<(), PipelineError> {
        self.flush_rejected()?;
        let now = self.now();
        let away = |since| now.monotonic.saturating_sub(since) >= AWAY_AFTER;
        if self.down_since.is_some_and(away) {
            self.parts.view.note_away();
        }
        self.look_at_folder(now)?;
        let waits = self.workers.values().any(Worker::is_waiting);
        assert!(!waits || self.outage.is_some(), "an entry waits, and nobody asks the store");
        if self.outage.is_some() {
            return self.ask_store(now);
        }
        self.restart_idle(now);
        for stream in self.owned() {
            self.tick_worker(stream, now)?;
            if self.outage.is_some() {
                // Each further attempt may take seconds, and the group is waiting.
                return Ok(());
            }
        }
        self.recover_lost(now)?;
        if let Some((stream, named)) = self.parts.snapshots.as_mut().and_then(Snapshots::take_done)
            && let Some(worker) = self.workers.get_mut(&stream)
        {
            worker.adopt(named);
        }
        let is_live = !self.workers.is_empty() && self.workers.values().all(Worker::is_live);
        self.parts.view.lock().is_live = is_live;
        let ends = self.durable_ends();
        if ends != self.told {
            self.parts.source.commit(&ends);
            self.told = ends;
        }
        self.miss_foreign(now)
    }

    fn tick_worker(&mut self, stream: Stream, now: Now) -> Result<(), PipelineError> {
        let Some(worker) = self.workers.get_mut(&stream) else { return Ok(()) };
        if worker.is_at_target() {
            return self.cut_if_due(stream);
        }
        let cut = worker.cut_if_old(now);
        self.take_cut(stream, cut)?;
        if let Some(worker) = self.workers.get_mut(&stream)
            && self.down_since.is_none()
        {
            let cut = worker.fall_idle(now, self.heard);
            self.take_cut(stream, cut)?;
        }
        Ok(())
    }

    /// What came while the broker, or we, were away follows within moments: nothing is idle yet.
    fn restart_idle(&mut self, now: Now) {
        if self.pace.took_events() {
            self.come_back();
        }
        if now.monotonic.saturating_sub(self.ticked_at) >= self.parts.config.idle.log_after {
            self.workers.values_mut().for_each(|worker| worker.restart_idle(now));
        }
        self.ticked_at = now.monotonic;
    }

    /// The broker is there, if it was away: from now on quiet partitions may be idle again.
    fn come_back(&mut self) {
        if self.down_since.take().is_none() {
            return;
        }
        let now = self.now();
        self.workers.values_mut().for_each(|worker| worker.restart_idle(now));
        self.parts.view.note_up();
    }

    /// Passes on what became of an entry.
    fn take_cut(
        &mut self,
        stream: Stream,
        cut: Result<Cut, PipelineError>,
    ) -> Result<(), PipelineError> {
        match cut {
            Ok(Cut::Nothing) => Ok(()),
            Ok(Cut::Durable(entry)) => {
                self.offer_snapshot(stream);
                self.send(entry)
            }
            Ok(Cut::Waiting(error)) => self.pause_all(&error),
            Err(PipelineError::Store(error @ StoreError::Lost { .. })) => self.lose(stream, error),
            Err(error) => Err(error),
        }
    }

    /// Hands a copy of the state over, if that is due and nobody else's is being written.
    fn offer_snapshot(&mut self, stream: Stream) {
        let now = self.now();
        let snapshots = self.parts.snapshots.as_mut().filter(|snapshots| snapshots.is_free());
        let (Some(snapshots), Some(worker)) = (snapshots, self.workers.get_mut(&stream)) else {
            return;
        };
        if let Some(state) = worker.snapshot_due(now) {
            let paused = self.parts.clock.monotonic().saturating_sub(now.monotonic);
            metrics::pause("snapshot", paused);
            snapshots.offer(state);
        }
    }

    /// Tells the publisher; waits for room, but not for ever: it finds every entry in the journal.
    fn send(&self, mut entry: Arc<Entry>) -> Result<(), PipelineError> {
        let start = self.parts.clock.monotonic();
        loop {
            match self.parts.out.try_send(entry) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Disconnected(_)) => return Err(PipelineError::PublisherGone),
                Err(TrySendError::Full(back)) => entry = back,
            }
            let waited = self.parts.clock.monotonic().saturating_sub(start);
            if self.parts.until != Until::InputEnds && waited >= QUEUE_PATIENCE {
                return Ok(());
            }
            self.parts.clock.sleep(QUEUE_WAIT);
        }
    }

    fn has_reached_targets(&self) -> bool {
        let reached = |stream| self.workers.get(stream).is_some_and(Worker::has_reached_target);
        !self.parts.targets.is_empty() && self.parts.targets.keys().all(reached)
    }

    /// What is durable, by partition; those without an entry are left out.
    fn durable_ends(&self) -> Vec<(Stream, i64)> {
        let ends = self.workers.iter().map(|(stream, worker)| (*stream, worker.durable_end()));
        ends.filter(|(_, end)| *end > 0).collect()
    }

    /// Waits until the topic of rejected records has everything, however long its broker is away.
    fn flush_rejected(&self) -> Result<(), PipelineError> {
        rejected::flush(self.parts.rejected.as_ref(), &self.parts.stop)
    }

    fn now(&self) -> Now {
        now(&*self.parts.clock)
    }
}

fn now(clock: &dyn Clock) -> Now {
    Now { wall: clock.wall(), monotonic: clock.monotonic() }
}
