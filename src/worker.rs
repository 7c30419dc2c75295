//! One partition: records and inputs in, journal entries out.
//!
//! ```text
//!            ┌ Recovering: the entries after the snapshot say where each ends; the fold must
//! records ──►│             give the same rows again, or the worlds differ and we stop
//!            ├ Live: rows gather until the interval or a bound; then one durable entry goes on
//!            └ Waiting: the entry is made, but the store did not take it: no record is taken
//! ```
//! A worker owns its partition alone: it holds no lock, and its time comes as an argument.

use std::sync::Arc;
use std::time::Duration;

use aggregate::FoldConfig;
use ingest::Start;
use schemas::entry::{EntryHeader, Input};
use schemas::{Entry, Gap, Grown, Named, Span, Stream, Timestamp};
use store::{EntryParts, Journal, Prepared, StoreError};
use tracing::debug_span;

mod fold;
mod recovery;
mod run;
mod snapshot;

pub use fold::Fold;
pub use recovery::{PartitionCounts, Recovered, recover};
pub use run::Ran;
pub use snapshot::SnapshotOf;

use snapshot::{QUIET_ENTRIES_MAX, SinceSnapshot};

use crate::config::{EntryLimits, IdleRule, SnapshotRule};
use crate::pipeline::PipelineError;

/// What a worker needs of the world around it, the same for all partitions.
#[derive(Clone, Debug)]
pub struct WorkerRules {
    pub entry: EntryLimits,
    pub idle: IdleRule,
    pub lateness: Span,
    /// `None`: never (`replay`).
    pub snapshot: Option<SnapshotRule>,
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

impl Heard {
    /// The newer of two.
    pub fn newer(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) if one.arrival >= other.arrival => Some(one),
            (one, other) => other.or(one),
        }
    }
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
    /// The entry that is being gathered.
    open: OpenEntry,
    /// An entry that the store may or may not have taken.
    waiting: Option<Prepared>,
    /// See [`schemas::entry::EntryHeader::partition_count`].
    partition_count: Option<i32>,
    /// The topic has grown to so many partitions: the next entry says so.
    grown: Option<i32>,
    /// What later entries name to recover from.
    snapshot: Option<Named>,
    since_snapshot: SinceSnapshot,
    /// The entry after which the snapshot was taken that was last named.
    named_after: u64,
    /// Last offset delivered + 1, or the offset of the end-of-partition event.
    position: i64,
    quiet: Quiet,
    target: Target,
}

/// What became of an entry.
#[derive(Debug)]
pub enum Cut {
    /// There was nothing to write.
    Nothing,
    /// It is durable.
    Durable(Arc<Entry>),
    /// The store did not take it yet: the worker takes no record before [`Worker::write`] has
    /// succeeded.
    Waiting(StoreError),
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
    /// The header of this index is that of the entry being folded again.
    Recovering(usize),
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
    /// Takes over a partition: what its journal holds beyond the snapshot is folded again first.
    pub fn open(
        recovered: Recovered,
        rules: WorkerRules,
        target: Target,
        now: Now,
    ) -> Result<Self, PipelineError> {
        let Recovered { journal, fold, first, position, snapshot, grown, .. } = recovered;
        let again = fold.needs_records() && first < journal.headers().len();
        let mut worker = Self {
            stream: journal.stream(),
            phase: if again { Phase::Recovering(first) } else { Phase::Live },
            fold,
            rules,
            open: OpenEntry { start: position, ..OpenEntry::default() },
            waiting: None,
            partition_count: journal.headers().last().and_then(|last| last.partition_count),
            grown,
            snapshot,
            journal,
            since_snapshot: SinceSnapshot { at: now.monotonic, ..SinceSnapshot::default() },
            named_after: 0,
            position,
            quiet: Quiet::default(),
            target,
        };
        worker.begin_recovered_entry();
        worker.recover_to(position)?;
        Ok(worker)
    }

    pub const fn stream(&self) -> Stream {
        self.stream
    }

    /// Where the partition has to be read from.
    pub fn start(&self) -> Start {
        let is_new = self.journal.next_offset().is_none() && self.position == 0;
        if is_new { Start::Earliest } else { Start::At(self.position) }
    }

    /// Whether the journal has been folded again, so that new entries follow.
    pub fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }

    /// The end of what is durable.
    pub fn durable_end(&self) -> i64 {
        self.journal.next_offset().unwrap_or(0)
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

    /// Whether an entry waits for the store.
    pub const fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Goes on without records that are gone, as the operator has accepted: from the first that is
    /// still there. A state that they would have given begins afresh.
    pub fn accept_gap(
        &mut self,
        earliest: i64,
        config: &FoldConfig,
        now: Now,
    ) -> Result<Cut, PipelineError> {
        let from = self.journal.next_offset().unwrap_or(0);
        let state_after = match self.journal.headers().last() {
            Some(last) if !self.is_live() => {
                self.fold = Fold::after_gap(config, last);
                self.phase = Phase::Live;
                None
            }
            _ => self.journal.next_number().checked_sub(1),
        };
        let to = earliest.max(from);
        tracing::warn!(stream = %self.stream, from, to, "going on without records that are gone");
        self.journal.forget_headers();
        self.open = OpenEntry { start: from, ..OpenEntry::default() };
        self.position = to;
        self.begin_entry(now);
        self.input(Input::Gap(Gap { from, to, state_after }));
        self.cut()
    }

    /// Writes down that the topic has grown, if the journal does not say so: without its devices
    /// the partition goes on from there. One that is new says so with its first record or end.
    pub fn take_up_growth(&mut self, now: Now) -> Result<Cut, PipelineError> {
        if self.grown.is_none() || self.journal.next_number() == 0 {
            return Ok(Cut::Nothing);
        }
        self.begin_entry(now);
        self.cut()
    }

    /// The broker was out of reach and is back: how long the partition has been quiet is unknown.
    pub fn restart_idle(&mut self, now: Now) {
        if let Some(at_end) = &mut self.quiet.at_end {
            *at_end = now.monotonic;
        }
    }

    /// The partition has been read to its end at `offset`.
    pub fn at_end(&mut self, offset: i64, now: Now) -> Result<(), PipelineError> {
        if self.has_reached_target() {
            // What lies behind the target was skipped: its offsets are not ours to journal.
            return Ok(());
        }
        self.recover_to(offset)?;
        if !self.is_waiting() {
            self.fix_first_offset(offset);
            self.position = self.position.max(offset);
        }
        if let Phase::Recovering(number) = self.phase {
            let wanted = self.journal.headers()[number].end;
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
    pub fn cut_if_old(&mut self, now: Now) -> Result<Cut, PipelineError> {
        match (self.rules.entry.interval, self.open.since) {
            (Some(interval), Some(since)) if now.monotonic.saturating_sub(since) >= interval => {
                self.cut()
            }
            _ => Ok(Cut::Nothing),
        }
    }

    /// Takes a step towards the end of the partition's input: what is open is written, then an
    /// entry that says END, by which open windows close. [`Worker::has_reached_target`] says when
    /// all of it is durable.
    pub fn end(&mut self, now: Now) -> Result<Cut, PipelineError> {
        if self.open.since.is_some() {
            return self.cut();
        }
        if !self.fold.ended() && !self.is_waiting() {
            self.begin_entry(now);
            self.input(Input::End);
        }
        let cut = self.cut()?;
        if self.fold.ended() && !self.is_waiting() {
            self.target = Target::Reached;
        }
        Ok(cut)
    }

    /// Makes one entry of what has gathered, if anything, and writes it.
    pub fn cut(&mut self) -> Result<Cut, PipelineError> {
        if self.waiting.is_none() {
            if !self.is_live() || self.open.since.is_none() {
                return Ok(Cut::Nothing);
            }
            self.waiting = Some(self.prepare()?);
        }
        self.write()
    }

    /// Writes the entry that waits, if there is one; the same bytes as often as needed.
    pub fn write(&mut self) -> Result<Cut, PipelineError> {
        let Some(prepared) = &self.waiting else { return Ok(Cut::Nothing) };
        let EntryHeader { stream, number, start, end, .. } = &prepared.entry.header;
        let span = debug_span!(target: "spans", "journal entry", %stream, number, start, end);
        let _entered = span.enter();
        match self.journal.write(prepared) {
            Ok(()) => {
                let entry = Arc::clone(&prepared.entry);
                self.waiting = None;
                self.since_snapshot.entries += 1;
                if let Some(named) = &entry.header.snapshot {
                    self.named_after = named.after;
                }
                Ok(Cut::Durable(entry))
            }
            Err(error) if error.is_transient() => Ok(Cut::Waiting(error)),
            Err(error) => Err(error.into()),
        }
    }

    fn prepare(&mut self) -> Result<Prepared, PipelineError> {
        let (delta, counts) = self.fold.take();
        let digest = self.fold.take_digest();
        self.fold.tell();
        let parts = EntryParts {
            start: self.open.start,
            end: self.position.max(self.open.start),
            counts,
            inputs: std::mem::take(&mut self.open.inputs),
            watermark: self.fold.watermark(),
            closed_until: self.fold.closed_until(),
            ended: self.fold.ended(),
            partition_count: self.partition_count,
            digest,
            snapshot: self.snapshot.clone().filter(|named| {
                let quiet = named.after.saturating_sub(self.named_after) >= QUIET_ENTRIES_MAX;
                counts.received > 0 || quiet
            }),
        };
        self.open = OpenEntry { start: parts.end, ..OpenEntry::default() };
        Ok(self.journal.prepare(parts, delta)?)
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
            if let Some(partition_count) = self.grown.take() {
                tracing::warn!(stream = %self.stream, partition_count, "the topic has grown");
                self.partition_count = Some(partition_count);
                self.input(Input::Grown(Grown { partition_count, at: wall }));
            }
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
    pub fn fall_idle(&mut self, now: Now, heard: Option<Heard>) -> Result<Cut, PipelineError> {
        if !self.is_live() || self.has_reached_target() || self.is_waiting() {
            return Ok(Cut::Nothing);
        }
        let after = self.fold.idle_after(&self.rules.idle);
        let (Some(at_end), Some(wall)) = (self.quiet.at_end, now.wall) else {
            return Ok(Cut::Nothing);
        };
        let spacing = self.rules.idle.log_after;
        let moved_lately =
            self.quiet.idle_at.is_some_and(|at| now.monotonic.saturating_sub(at) < spacing);
        if now.monotonic.saturating_sub(at_end) < after || moved_lately {
            return Ok(Cut::Nothing);
        }
        let moved = heard.map_or(wall, |heard| {
            let passed = now.monotonic.saturating_sub(heard.at);
            heard.arrival.saturating_add(Span(passed.as_micros() as i64)).min(wall)
        });
        let to = moved - self.rules.lateness;
        if !self.fold.idle_would_close(to) {
            return Ok(Cut::Nothing);
        }
        if self.open.since.is_some() {
            // What is open first: inputs stand at the start of an entry. The next tick goes on.
            return self.cut();
        }
        self.begin_entry(now);
        self.input(Input::Idle(to));
        self.quiet.idle_at = Some(now.monotonic);
        self.cut()
    }

    /// Ends every recovered entry that ends at or before `offset`.
    fn recover_to(&mut self, offset: i64) -> Result<(), PipelineError> {
        while let Phase::Recovering(index) = self.phase {
            let header = &self.journal.headers()[index];
            if header.end > offset {
                return Ok(());
            }
            let (delta, counts) = self.fold.take();
            let digest = self.fold.take_digest();
            let same = counts == header.counts
                && (header.digest.is_none() || header.digest == digest)
                && self.journal.checksum(header.number) == Some(&*store::delta_checksum(&delta));
            if !same {
                let (stream, number) = (self.stream, header.number);
                return Err(PipelineError::Diverged { stream, number });
            }
            self.open = OpenEntry { start: header.end, ..OpenEntry::default() };
            self.position = header.end;
            if index + 1 < self.journal.headers().len() {
                self.phase = Phase::Recovering(index + 1);
            } else {
                self.phase = Phase::Live;
                self.journal.forget_headers();
                tracing::info!(stream = %self.stream, entries = index + 1, "partition recovered");
            }
            self.begin_recovered_entry();
        }
        Ok(())
    }

    fn begin_recovered_entry(&mut self) {
        if let Phase::Recovering(index) = self.phase {
            for input in self.journal.headers()[index].inputs.clone() {
                self.input(input);
            }
        }
    }
}
