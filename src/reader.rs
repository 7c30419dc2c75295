//! The reading half: takes events from the source and journals them.
//!
//! ```text
//! Lanes  ─► reports: an entry was full, a partition is at its end     tick: cut, idle, snapshot
//! Source ─► group: take over, hand over, drop       down: wait, and trust no idleness
//! entry ─► durable: to the publisher
//!      └─► the store is away: every partition pauses until it has taken what waits (Outage)
//!      └─► its number is taken: the state is dropped and recovered after a while (lost)
//! ```
//! One thread decides, one step at a time, between two rounds of the lanes: time and chance come
//! from outside.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use ingest::{RejectedTopic, Source, SourceError, SourceEvent, Start};
use schemas::{Entry, Stream, StreamKind};
use store::{Blobs, StoreError};

use crate::clock::Clock;
use crate::config::Config;
use crate::lanes::{Failed, Lanes, Report};
use crate::metrics;
use crate::patience::{Outage, STOP_PATIENCE};
use crate::pipeline::{Gaps, PipelineError, Until};
use crate::rejected;
use crate::shutdown::Stop;
use crate::snapshots::Snapshots;
use crate::view::SharedView;
use crate::worker::{Cut, Heard, Now, PartitionCounts, Target, Worker};
use group::Missing;

mod group;
mod lost;
mod outage;
mod pace;

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
pub struct ReaderParts<'a, S: Source> {
    pub source: S,
    pub store: Arc<dyn Blobs>,
    pub clock: Arc<dyn Clock>,
    pub lanes: Lanes<S::Lane>,
    pub config: &'a Config,
    pub writer: String,
    pub out: SyncSender<Arc<Entry>>,
    /// Told to the publisher: whether [`LEADING_STREAM`] is ours.
    pub leads: Arc<AtomicBool>,
    pub rejected: Option<Arc<RejectedTopic>>,
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
pub struct Reader<'a, S: Source> {
    parts: ReaderParts<'a, S>,
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
        if self.pace.is_due(is_quiet, self.parts.clock.monotonic()) {
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
                let Some(worker) = self.parts.lanes.get_mut(&stream) else { break };
                let finishes = self.parts.until == Until::Finished && worker.is_live();
                let cut = if finishes { worker.end(now) } else { worker.cut() };
                let is_away = matches!(cut, Ok(Cut::Waiting(_)));
                self.take_cut(stream, cut)?;
                let Some(worker) = self.parts.lanes.get(&stream) else { break };
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
        self.parts.lanes.streams()
    }

    /// Takes what has happened, or lets the lanes go on; true if there was nothing to do.
    fn step(&mut self) -> Result<bool, PipelineError> {
        if let Some(event) = self.parts.source.next()? {
            return self.obey(event);
        }
        let mut is_quiet = true;
        for report in self.parts.lanes.round(POLL_TIMEOUT)? {
            is_quiet &= report.events == 0;
            self.hear(report)?;
        }
        Ok(is_quiet)
    }

    /// What the source says of itself; true if that is no sign of the broker.
    fn obey(&mut self, event: SourceEvent) -> Result<bool, PipelineError> {
        match event {
            SourceEvent::Alive => self.come_back(),
            SourceEvent::Down(reason) => self.go_down(reason),
            SourceEvent::Assigned(streams) => {
                self.come_back();
                self.take_over(&streams)?;
                self.settle()?;
                return Ok(false);
            }
            // Not a sign of the broker: a client gives up what it cannot reach, too.
            SourceEvent::Revoked(streams) => {
                self.hand_over(&streams)?;
                self.settle()?;
            }
            SourceEvent::Lost(streams) => {
                self.give_up(&streams)?;
                self.settle()?;
            }
        }
        Ok(true)
    }

    /// What came of a lane's round.
    fn hear(&mut self, report: Report) -> Result<(), PipelineError> {
        self.pace.count(report.events);
        self.heard = Heard::newer(self.heard, report.heard);
        if let Some(reason) = report.down {
            self.go_down(reason);
        }
        if let Some((stream, cut)) = report.cut {
            self.take_cut(stream, cut)?;
        }
        if let Some(stream) = report.due {
            self.cut_if_due(stream)?;
        }
        match report.failed {
            None => Ok(()),
            Some(Failed::Pipeline(error)) => Err(error),
            Some(Failed::Source(SourceError::OffsetGone {
                stream, wanted, earliest, end, ..
            })) => self.miss_records(stream, Missing { wanted, earliest, end }),
            Some(Failed::Source(error)) => Err(error.into()),
        }
    }

    fn go_down(&mut self, reason: String) {
        let clock = &self.parts.clock;
        self.down_since.get_or_insert_with(|| clock.monotonic());
        self.parts.view.note_down(reason);
    }

    /// Reads partitions that are ours from where their workers are, paused or not.
    fn restart(&mut self, streams: &[Stream]) -> Result<(), PipelineError> {
        let starts = self.begin(streams)?;
        if starts.is_empty() {
            return Ok(());
        }
        Ok(self.parts.source.restart(&starts)?)
    }

    /// While the group decided, the client had stopped all partitions, and takes some of them to be
    /// elsewhere than they are. What is paused by us is started anew later anyway.
    fn settle(&mut self) -> Result<(), PipelineError> {
        if self.outage.is_some() {
            return Ok(());
        }
        let streams = self.parts.lanes.unsettled();
        if streams.is_empty() {
            return Ok(());
        }
        let starts = self.begin(&streams)?;
        Ok(self.parts.source.settle(&starts)?)
    }

    /// Has the lanes read partitions from where their workers are; where that is.
    fn begin(&mut self, streams: &[Stream]) -> Result<Vec<(Stream, Start)>, PipelineError> {
        let mut starts = Vec::with_capacity(streams.len());
        for &stream in streams {
            let start = self.parts.lanes.begin(stream)?;
            starts.extend(start.map(|start| (stream, start)));
        }
        Ok(starts)
    }

    fn pause(&mut self, streams: &[Stream]) -> Result<(), PipelineError> {
        self.parts.lanes.stop(streams);
        Ok(self.parts.source.pause(streams)?)
    }

    /// Cuts an entry that has reached a bound, and ends a partition that has reached its target.
    fn cut_if_due(&mut self, stream: Stream) -> Result<(), PipelineError> {
        // Refused records reach their topic before the entry that counts them is durable.
        self.flush_rejected()?;
        let now = self.now();
        while let Some(worker) = self.parts.lanes.get_mut(&stream) {
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
        let waits = self.parts.lanes.values().any(Worker::is_waiting);
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
            && let Some(worker) = self.parts.lanes.get_mut(&stream)
        {
            worker.adopt(named);
        }
        let lanes = &self.parts.lanes;
        let is_live = !lanes.is_empty() && lanes.values().all(Worker::is_live);
        self.parts.view.lock().is_live = is_live;
        let ends = self.durable_ends();
        if ends != self.told {
            self.parts.source.commit(&ends);
            self.told = ends;
        }
        self.miss_foreign(now)
    }

    fn tick_worker(&mut self, stream: Stream, now: Now) -> Result<(), PipelineError> {
        let Some(worker) = self.parts.lanes.get_mut(&stream) else { return Ok(()) };
        if worker.is_at_target() {
            return self.cut_if_due(stream);
        }
        let cut = worker.cut_if_old(now);
        self.take_cut(stream, cut)?;
        if let Some(worker) = self.parts.lanes.get_mut(&stream)
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
            self.parts.lanes.values_mut().for_each(|worker| worker.restart_idle(now));
        }
        self.ticked_at = now.monotonic;
    }

    /// The broker is there, if it was away: from now on quiet partitions may be idle again.
    fn come_back(&mut self) {
        if self.down_since.take().is_none() {
            return;
        }
        let now = self.now();
        self.parts.lanes.values_mut().for_each(|worker| worker.restart_idle(now));
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
        let (Some(snapshots), Some(worker)) = (snapshots, self.parts.lanes.get_mut(&stream)) else {
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
        let reached = |stream| self.parts.lanes.get(stream).is_some_and(Worker::has_reached_target);
        !self.parts.targets.is_empty() && self.parts.targets.keys().all(reached)
    }

    /// What is durable, by partition; those without an entry are left out.
    fn durable_ends(&self) -> Vec<(Stream, i64)> {
        let ends = self.parts.lanes.values().map(|it| (it.stream(), it.durable_end()));
        ends.filter(|(_, end)| *end > 0).collect()
    }

    /// Waits until the topic of rejected records has everything, however long its broker is away.
    fn flush_rejected(&self) -> Result<(), PipelineError> {
        rejected::flush(self.parts.rejected.as_deref(), &self.parts.stop)
    }

    fn now(&self) -> Now {
        now(&*self.parts.clock)
    }
}

fn now(clock: &dyn Clock) -> Now {
    Now { wall: clock.wall(), monotonic: clock.monotonic() }
}
