//! The hot path: each lane has some partitions, and takes their records from source to fold.
//!
//! ```text
//!             ┌ lane 0, on the reader's own thread ┐
//! a round ────┤ lane 1, on a thread of its own     ├──► reports ──► the reader decides
//!             └ …  runs of records: decode, fold   ┘
//! ```
//! Between two rounds every lane is back with the reader, so all decisions (the group, outages,
//! losses, ends) are taken by one thread with everything in its hands, and nothing is locked. In a
//! round the lanes share nothing. A round is short, and all of its lanes end at about the same
//! moment, by the clock; or, where the same must come out of the same files, after as many records.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use ingest::{
    DecodeConfig, Decoder, Lane as Input, Next, Record, RejectedTopic, Source, SourceError,
};
use schemas::{Rejection, Stream};

use crate::clock::Clock;
use crate::pipeline::PipelineError;
use crate::rejected;
use crate::shutdown::Stop;
use crate::worker::{Cut, Heard, Now, Worker};

/// When a round ends, if nothing ends it before.
#[derive(Clone, Copy, Debug)]
pub struct RoundRule {
    /// Records of each lane.
    pub records_max: u64,
    /// Time since its start; `None`: by records alone, so that two runs do the same.
    pub time_max: Option<Duration>,
}

impl RoundRule {
    /// Long enough that starting it costs nothing, short beside every interval that the reader
    /// keeps; one lane that has nothing to do delays the others by no more.
    pub const BY_TIME: Self =
        Self { records_max: u64::MAX, time_max: Some(Duration::from_millis(5)) };
    /// Some 5 ms of work.
    pub const BY_RECORDS: Self = Self { records_max: 16_384, time_max: None };
}

/// What every lane needs beside its records.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "made of parts that have none")]
pub struct Tools {
    pub clock: Arc<dyn Clock>,
    pub stop: Stop,
    pub rejected: Option<Arc<RejectedTopic>>,
    pub decode: DecodeConfig,
}

/// Some partitions, and what reads and folds them.
struct Lane<L> {
    input: L,
    workers: BTreeMap<Stream, Worker>,
    decoder: Decoder,
    tools: Tools,
}

/// What came of a lane's round.
#[derive(Debug, Default)]
pub struct Report {
    /// Records and ends that it came upon.
    pub events: u64,
    /// The newest arrival in it.
    pub heard: Option<Heard>,
    /// A partition that is at its end, or at its target.
    pub due: Option<Stream>,
    /// What became of an entry that was full.
    pub cut: Option<(Stream, Result<Cut, PipelineError>)>,
    /// Why a partition cannot be read for now.
    pub down: Option<String>,
    pub failed: Option<Failed>,
}

/// Why a lane cannot go on.
#[derive(Debug)]
pub enum Failed {
    Source(SourceError),
    Pipeline(PipelineError),
}

/// One round: how long it may last, and how long a lane waits where nothing comes.
#[derive(Clone, Copy, Debug)]
struct Round {
    rule: RoundRule,
    patience: Duration,
}

impl Round {
    /// The round of one lane: without partitions there is nothing to wait for, if others have some.
    fn of<L>(self, lane: &Lane<L>, has_any: bool) -> Self {
        let waits = !lane.workers.is_empty() || !has_any;
        Self { patience: if waits { self.patience } else { Duration::ZERO }, ..self }
    }
}

impl<L: Input> Lane<L> {
    fn round(&mut self, round: Round) -> Report {
        let mut report = Report::default();
        if let Err(failed) = self.go(round, &mut report) {
            report.failed = Some(failed);
        }
        report
    }

    fn go(&mut self, Round { rule, patience }: Round, report: &mut Report) -> Result<(), Failed> {
        let start = self.tools.now();
        let (mut now, mut records) = (start, 0);
        while records < rule.records_max {
            // Whoever has had something to do does not wait: the others may have more.
            let patience = if report.events == 0 { patience } else { Duration::ZERO };
            let left = rule.records_max - records;
            let next = self.input.next(patience).map_err(Failed::Source)?;
            if records == 0 {
                now = self.tools.now();
            }
            match next {
                Next::Quiet => return Ok(()),
                Next::Down(reason) => {
                    report.down = Some(reason);
                    return Ok(());
                }
                Next::EndOfPartition { stream, offset } => {
                    report.events += 1;
                    if let Some(worker) = self.workers.get_mut(&stream) {
                        worker.at_end(offset, self.tools.now()).map_err(Failed::Pipeline)?;
                        if worker.is_at_target() {
                            report.due = Some(stream);
                            return Ok(());
                        }
                    }
                }
                Next::Run(stream) => {
                    records += self.run(stream, left, now, report)?;
                    if report.cut.is_some() || report.due.is_some() {
                        return Ok(());
                    }
                }
            }
            if let Some(time_max) = rule.time_max {
                now = self.tools.now();
                if now.monotonic.saturating_sub(start.monotonic) >= time_max {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Folds the records of a run, or as many as fit; returns how many are dealt with.
    fn run(
        &mut self,
        stream: Stream,
        count_max: u64,
        now: Now,
        report: &mut Report,
    ) -> Result<u64, Failed> {
        let Self { input, workers, decoder, tools } = self;
        let run = input.run();
        let records = &run.records()[..run.records().len().min(count_max as usize)];
        let takes = |worker: &&mut Worker| !worker.has_reached_target() && !worker.is_waiting();
        let Some(worker) = workers.get_mut(&stream).filter(takes) else {
            // Nobody's any more, or behind the target; or fetched before a pause took hold, to be
            // read again when that is over.
            let count = records.len();
            input.done(count);
            return Ok(count as u64);
        };
        let (rejected, stop) = (tools.rejected.as_deref(), &tools.stop);
        let mut hand_on = |record: &Record<'_>, rejection: &Rejection| {
            rejected::hand_on(rejected, stop, record, rejection)
        };
        let ran = worker.records(decoder, records, now, &mut hand_on).map_err(Failed::Pipeline)?;
        report.events += ran.count as u64;
        if let Some(arrival) = ran.arrival {
            let heard = Heard { arrival, at: now.monotonic };
            report.heard = Heard::newer(report.heard, Some(heard));
        }
        if worker.is_live() && worker.is_full() {
            rejected::flush(rejected, stop).map_err(Failed::Pipeline)?;
            report.cut = Some((stream, worker.cut()));
        }
        if worker.is_at_target() && !worker.is_waiting() {
            report.due = Some(stream);
        }
        input.done(ran.count);
        if let Some(time) = ran.event_time {
            input.progress(stream, time);
        }
        Ok(ran.count as u64)
    }
}

impl Tools {
    fn now(&self) -> Now {
        Now { wall: self.clock.wall(), monotonic: self.clock.monotonic() }
    }
}

/// A lane on a thread of its own, between two rounds.
struct Remote<L> {
    to: SyncSender<(Box<Lane<L>>, Round)>,
    back: Receiver<(Box<Lane<L>>, Report)>,
    thread: Option<thread::JoinHandle<()>>,
}

/// All lanes of a process.
#[expect(missing_debug_implementations, reason = "made of parts that have none")]
pub struct Lanes<L> {
    all: Vec<Box<Lane<L>>>,
    /// For each lane but the first; none: rounds go one after the other.
    remotes: Vec<Remote<L>>,
    of: BTreeMap<Stream, usize>,
    rule: RoundRule,
    /// Whether no lane came upon anything in the last round.
    is_quiet: bool,
}

impl<L: Input> Lanes<L> {
    /// Lanes that all run on the caller's thread.
    pub fn inline(inputs: Vec<L>, tools: &Tools, rule: RoundRule) -> Self {
        let lane = |input| {
            let decoder = Decoder::new(tools.decode.clone());
            Box::new(Lane { input, workers: BTreeMap::new(), decoder, tools: tools.clone() })
        };
        Self {
            all: inputs.into_iter().map(lane).collect(),
            remotes: Vec::new(),
            of: BTreeMap::new(),
            rule,
            is_quiet: true,
        }
    }

    /// Lanes each of which but the first has a thread of its own.
    pub fn on_threads(inputs: Vec<L>, tools: &Tools, rule: RoundRule) -> std::io::Result<Self>
    where
        L: Send + 'static,
    {
        let mut lanes = Self::inline(inputs, tools, rule);
        for number in 1..lanes.all.len() {
            let (to, rounds) = sync_channel::<(Box<Lane<L>>, Round)>(1);
            let (done, back) = sync_channel(1);
            let thread =
                thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                    for (mut lane, round) in rounds {
                        let report = lane.round(round);
                        if done.send((lane, report)).is_err() {
                            return;
                        }
                    }
                })?;
            lanes.remotes.push(Remote { to, back, thread: Some(thread) });
        }
        Ok(lanes)
    }

    /// Lets every lane go on for a while. `patience`: how long to wait where nothing comes.
    pub fn round(&mut self, patience: Duration) -> Result<Vec<Report>, PipelineError> {
        let (rule, count) = (self.rule, self.all.len());
        // A lane that waits would hold up those that have something to do.
        let short = rule.time_max.unwrap_or_default();
        let patience = if count > 1 && !self.is_quiet { patience.min(short) } else { patience };
        let round = Round { rule, patience };
        let has_any = !self.of.is_empty();
        let reports = if self.remotes.is_empty() {
            self.all.iter_mut().map(|lane| lane.round(round.of(lane, has_any))).collect()
        } else {
            self.on_all_threads(round, has_any)?
        };
        self.is_quiet = reports.iter().all(|report: &Report| report.events == 0);
        Ok(reports)
    }

    fn on_all_threads(
        &mut self,
        round: Round,
        has_any: bool,
    ) -> Result<Vec<Report>, PipelineError> {
        let away = self.all.split_off(1);
        for (lane, remote) in away.into_iter().zip(&self.remotes) {
            let round = round.of(&lane, has_any);
            remote.to.send((lane, round)).map_err(|_| PipelineError::WorkerPanicked)?;
        }
        let mut reports: Vec<Report> =
            self.all.iter_mut().map(|lane| lane.round(round.of(lane, has_any))).collect();
        for remote in &self.remotes {
            let (lane, report) = remote.back.recv().map_err(|_| PipelineError::WorkerPanicked)?;
            self.all.push(lane);
            reports.push(report);
        }
        Ok(reports)
    }

    /// Takes a partition in: a new one goes to the lane that has the fewest of its kind.
    pub fn insert(&mut self, stream: Stream, worker: Worker) {
        let number = self.number(stream);
        self.all[number].workers.insert(stream, worker);
    }

    /// Reads a partition that was taken in, from where its worker is.
    pub fn begin(&mut self, stream: Stream) -> Result<Option<ingest::Start>, SourceError> {
        let Some(&number) = self.of.get(&stream) else { return Ok(None) };
        let Lane { input, workers, .. } = &mut *self.all[number];
        let Some(start) = workers.get(&stream).map(Worker::start) else { return Ok(None) };
        input.begin(stream, start)?;
        Ok(Some(start))
    }

    /// Hands out nothing of these until they begin again.
    pub fn stop(&mut self, streams: &[Stream]) {
        for lane in &mut self.all {
            lane.input.stop(streams);
        }
    }

    /// Partitions that are taken in and whose place the client may have lost.
    pub fn unsettled(&self) -> Vec<Stream> {
        let unsettled = self.all.iter().flat_map(|lane| lane.input.unsettled());
        unsettled.filter(|stream| self.has(*stream)).collect()
    }

    pub fn remove(&mut self, stream: &Stream) -> Option<Worker> {
        let number = self.of.remove(stream)?;
        self.all[number].workers.remove(stream)
    }

    pub fn get(&self, stream: &Stream) -> Option<&Worker> {
        self.all[*self.of.get(stream)?].workers.get(stream)
    }

    pub fn get_mut(&mut self, stream: &Stream) -> Option<&mut Worker> {
        self.all[*self.of.get(stream)?].workers.get_mut(stream)
    }

    pub fn values(&self) -> impl Iterator<Item = &Worker> {
        self.all.iter().flat_map(|lane| lane.workers.values())
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Worker> {
        self.all.iter_mut().flat_map(|lane| lane.workers.values_mut())
    }

    /// Every partition that was taken in, in order.
    pub fn streams(&self) -> Vec<Stream> {
        self.of.keys().copied().collect()
    }

    pub fn has(&self, stream: Stream) -> bool {
        self.of.contains_key(&stream)
    }

    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    fn number(&mut self, stream: Stream) -> usize {
        if let Some(number) = self.of.get(&stream) {
            return *number;
        }
        let mut counts = vec![(0, 0); self.all.len()];
        for (other, number) in &self.of {
            counts[*number].0 += u32::from(other.kind == stream.kind);
            counts[*number].1 += 1_u32;
        }
        let fewest = (0..counts.len()).min_by_key(|&number| counts[number]).unwrap_or(0);
        self.of.insert(stream, fewest);
        fewest
    }
}

impl<L> Drop for Remote<L> {
    fn drop(&mut self) {
        // The thread ends when nothing more can come.
        let (closed, _) = sync_channel(0);
        self.to = closed;
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed, and ended the round.
            thread.join().ok();
        }
    }
}

/// Lanes for so many workers.
pub fn lanes_of<S>(
    source: &mut S,
    count: NonZeroUsize,
    tools: &Tools,
    rule: RoundRule,
) -> Result<Lanes<S::Lane>, PipelineError>
where
    S: Source<Lane: Send + 'static>,
{
    let inputs = source.lanes(count.get())?;
    Lanes::on_threads(inputs, tools, rule).map_err(PipelineError::Thread)
}
