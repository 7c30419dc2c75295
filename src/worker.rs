//! One partition: records and inputs in, journal entries out.
//!
//! ```text
//!            ┌ Recovering: the entries of the journal say where each ends; the fold must give
//! records ──►│             the same rows again, or the worlds differ and we stop
//!            └ Live: rows gather until the interval or a bound; then one durable entry goes on
//! ```
//! A worker owns its partition alone: it holds no lock, and its time comes as an argument.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use ingest::{Decoder, Record};
use schemas::entry::Input;
use schemas::{Entry, Span, Stream, StreamKind, Timestamp};
use store::{EntryParts, Journal};

mod fold;

pub use fold::{Fold, Folded};

use crate::config::{EntryLimits, IdleRule};
use crate::pipeline::PipelineError;

/// What a worker needs of the world around it, the same for all partitions.
#[derive(Clone, Debug)]
pub struct WorkerRules {
    pub entry: EntryLimits,
    pub idle: IdleRule,
    pub lateness: Span,
}

/// The readings of both clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// `None` in `replay`.
    pub wall: Option<Timestamp>,
    pub monotonic: Duration,
}

/// The newest arrival that this process has seen in any partition, and when it saw it.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    pub arrival: Timestamp,
    pub at: Duration,
}

/// Rows gathered for one entry at most: late buffers can touch thousands of windows each, and an
/// entry is held in memory as a whole; 500,000 rows are some 100 MB.
const ENTRY_ROWS_MAX: usize = 500_000;

/// One partition of one stream, owned by this process.
#[derive(Debug)]
pub struct Worker {
    stream: Stream,
    journal: Journal,
    fold: Fold,
    phase: Phase,
    rules: WorkerRules,
    out: SyncSender<Arc<Entry>>,
    /// The entry that is being gathered.
    open: OpenEntry,
    /// Last offset delivered + 1, or the offset of the end-of-partition event.
    position: i64,
    quiet: Quiet,
    target: Target,
}

/// Where the input of this run ends, and whether that has been reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    None,
    At(i64),
    /// The first end of the partition, wherever it is: files do not grow.
    FirstEnd,
    /// Everything up to the target is durable; what follows is left for another run.
    Reached,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// The entry of this number is being folded again.
    Recovering(u64),
    Live,
}

/// The entry that is being gathered: nothing of it is durable yet.
#[derive(Debug, Default)]
struct OpenEntry {
    start: i64,
    inputs: Vec<Input>,
    /// The clock reading at its start; arrivals are at most this.
    clock: Option<Timestamp>,
    /// Monotonic time of its first record or input; `None` while it holds nothing.
    since: Option<Duration>,
    records: u64,
    bytes: usize,
}

/// Whether the partition has been read to its end, and since when nothing came.
#[derive(Clone, Copy, Debug, Default)]
struct Quiet {
    at_end: Option<Duration>,
    /// When the watermark was last moved for it.
    idle_at: Option<Duration>,
}

impl Worker {
    /// Takes over a partition: what its journal holds is folded again first.
    pub fn open(
        stream: Stream,
        journal: Journal,
        fold: Fold,
        rules: WorkerRules,
        target: Target,
        out: SyncSender<Arc<Entry>>,
    ) -> Result<Self, PipelineError> {
        let mut worker_phase = Phase::Live;
        let mut position = 0;
        if let (Some(first), Some(last)) = (journal.headers().first(), journal.headers().last()) {
            if fold.needs_records() {
                worker_phase = Phase::Recovering(0);
                position = first.start;
            } else {
                position = last.end;
            }
        }
        let open = OpenEntry { start: position, ..OpenEntry::default() };
        let quiet = Quiet::default();
        let phase = worker_phase;
        let mut worker =
            Self { stream, journal, fold, phase, rules, out, open, position, quiet, target };
        worker.begin_recovered_entry();
        worker.recover_to(position)?;
        Ok(worker)
    }

    /// Whether the journal has been folded again, so that new entries follow.
    pub fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }

    /// The end of what is durable.
    pub fn durable_end(&self) -> i64 {
        self.open.start
    }

    /// Whether everything up to the target is durable.
    pub fn has_reached_target(&self) -> bool {
        self.target == Target::Reached
    }

    /// Whether the open entry has reached a bound and should be cut now.
    pub fn is_full(&self) -> bool {
        let limits = &self.rules.entry;
        self.open.records >= limits.records_max
            || self.open.bytes >= limits.bytes_max
            || self.fold.rows_pending() >= ENTRY_ROWS_MAX
    }

    /// Every window that ends at or before this is closed; `None` where it holds nobody back.
    pub fn event_progress(&self) -> Option<Timestamp> {
        let waits = self.stream.kind == StreamKind::Telemetry
            && self.quiet.at_end.is_none()
            && !self.has_reached_target();
        (waits && self.fold.watermark().is_some()).then(|| self.fold.closed_until())
    }

    /// The broker was out of reach and is back: how long the partition has been quiet is unknown.
    pub fn restart_idle(&mut self, now: Now) {
        if let Some(at_end) = &mut self.quiet.at_end {
            *at_end = now.monotonic;
        }
    }

    /// Folds one record, delivered in offset order.
    pub fn record(
        &mut self,
        decoder: &mut Decoder,
        record: &Record<'_>,
        now: impl FnOnce() -> Now,
    ) -> Result<Folded, PipelineError> {
        if !self.is_live() {
            self.recover_to(record.offset)?;
        }
        if self.is_live() && self.open.since.is_none() {
            self.begin_entry(now());
        }
        self.fix_first_offset(record.offset);
        let folded = self.fold.record(decoder, record, self.open.clock);
        self.position = record.offset + 1;
        self.open.records += 1;
        self.open.bytes += record.value.map_or(0, <[u8]>::len);
        self.quiet.at_end = None;
        Ok(folded)
    }

    /// The partition has been read to its end at `offset`.
    pub fn at_end(&mut self, offset: i64, now: Now) -> Result<(), PipelineError> {
        if self.has_reached_target() {
            // What lies behind the target was skipped: its offsets are not ours to journal.
            return Ok(());
        }
        self.recover_to(offset)?;
        self.fix_first_offset(offset);
        self.position = self.position.max(offset);
        if let Phase::Recovering(number) = self.phase {
            let wanted = self.journal.headers()[number as usize].end;
            return Err(PipelineError::RecordsGone { stream: self.stream, offset, wanted });
        }
        self.quiet.at_end.get_or_insert(now.monotonic);
        Ok(())
    }

    /// Whether the target lies at or before what has been read.
    pub fn is_at_target(&self) -> bool {
        self.is_live()
            && match self.target {
                Target::At(end) => self.position >= end,
                Target::FirstEnd => self.quiet.at_end.is_some(),
                Target::None | Target::Reached => false,
            }
    }

    /// Cuts the open entry once its interval is over.
    pub fn cut_if_old(&mut self, now: Now) -> Result<(), PipelineError> {
        if let (Some(interval), Some(since)) = (self.rules.entry.interval, self.open.since)
            && now.monotonic.saturating_sub(since) >= interval
        {
            self.cut()?;
        }
        Ok(())
    }

    /// Ends the partition's input: open windows close, and everything becomes durable.
    pub fn end(&mut self, now: Now) -> Result<(), PipelineError> {
        self.target = Target::Reached;
        if self.fold.ended() && self.open.since.is_none() {
            return Ok(());
        }
        self.cut()?;
        self.begin_entry(now);
        self.input(Input::End);
        self.cut()
    }

    /// Writes what has gathered, if anything, as one durable entry, and sends it on.
    pub fn cut(&mut self) -> Result<(), PipelineError> {
        if !self.is_live() || self.open.since.is_none() {
            return Ok(());
        }
        let (delta, counts) = self.fold.take();
        self.fold.publish_refused();
        let parts = EntryParts {
            start: self.open.start,
            end: self.position.max(self.open.start),
            counts,
            inputs: std::mem::take(&mut self.open.inputs),
            watermark: self.fold.watermark(),
            closed_until: self.fold.closed_until(),
            ended: self.fold.ended(),
            snapshot: None,
        };
        let end = parts.end;
        let entry = self.journal.append(parts, delta)?;
        self.open = OpenEntry { start: end, ..OpenEntry::default() };
        self.out.send(entry).map_err(|_| PipelineError::PublisherGone)
    }

    /// The first entry of a journal begins where the first record or the end stands.
    fn fix_first_offset(&mut self, offset: i64) {
        if self.journal.next_offset().is_none() && self.open.records == 0 {
            self.open.start = offset;
            self.position = offset;
        }
    }

    fn begin_entry(&mut self, now: Now) {
        self.open.since = Some(now.monotonic);
        if let Some(wall) = now.wall {
            self.input(Input::Clock(wall));
        }
    }

    fn input(&mut self, input: Input) {
        if let Input::Clock(reading) = input {
            self.open.clock = Some(reading);
        }
        self.fold.input(&input);
        self.open.inputs.push(input);
    }

    /// Moves the watermark of a quiet partition, but only if that lets a window close.
    ///
    /// Not to be called while the broker is out of reach: an outage is no quiet fleet.
    pub fn fall_idle(&mut self, now: Now, heard: Option<Heard>) -> Result<(), PipelineError> {
        if !self.is_live() || self.has_reached_target() {
            return Ok(());
        }
        let after = self.fold.idle_after(&self.rules.idle);
        let (Some(at_end), Some(wall)) = (self.quiet.at_end, now.wall) else { return Ok(()) };
        let spacing = self.rules.idle.log_after;
        let moved_lately =
            self.quiet.idle_at.is_some_and(|at| now.monotonic.saturating_sub(at) < spacing);
        if now.monotonic.saturating_sub(at_end) < after || moved_lately {
            return Ok(());
        }
        let moved = heard.map_or(wall, |heard| {
            let passed = now.monotonic.saturating_sub(heard.at);
            heard.arrival.saturating_add(Span(passed.as_micros() as i64)).min(wall)
        });
        let to = moved - self.rules.lateness;
        if self.fold.idle_would_close(to) {
            self.cut()?;
            self.begin_entry(now);
            self.input(Input::Idle(to));
            self.cut()?;
            self.quiet.idle_at = Some(now.monotonic);
        }
        Ok(())
    }

    /// Ends every recovered entry that ends at or before `offset`.
    fn recover_to(&mut self, offset: i64) -> Result<(), PipelineError> {
        while let Phase::Recovering(number) = self.phase {
            let header = &self.journal.headers()[number as usize];
            if header.end > offset {
                return Ok(());
            }
            let (delta, counts) = self.fold.take();
            let same = counts == header.counts
                && self.journal.checksum(number) == Some(&*store::delta_checksum(&delta));
            if !same {
                return Err(PipelineError::Diverged { stream: self.stream, number });
            }
            self.open = OpenEntry { start: header.end, ..OpenEntry::default() };
            self.position = header.end;
            if number + 1 < self.journal.next_number() {
                self.phase = Phase::Recovering(number + 1);
            } else {
                self.phase = Phase::Live;
                self.journal.forget_headers();
                tracing::info!(stream = %self.stream, entries = number + 1, "partition recovered");
            }
            self.begin_recovered_entry();
        }
        Ok(())
    }

    fn begin_recovered_entry(&mut self) {
        if let Phase::Recovering(number) = self.phase {
            for input in self.journal.headers()[number as usize].inputs.clone() {
                self.input(input);
            }
        }
    }
}
