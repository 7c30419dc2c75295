//! Records from a folder of NDJSON files, for `replay`: a file is a partition, a line a record.
//!
//! ```text
//! changes.ndjson ─► support.ndjson ─► telemetry*.ndjson, in runs, the one furthest behind first
//! ```
//! In: a folder. Out: [`SourceEvent`], and records by [`NdjsonLane`], in an order that depends on
//! nothing but the files, the number of lanes and the times that the caller reports. The registry
//! comes first and whole, so that every change is known before its telemetry; telemetry comes in
//! runs by event time, so that windows close evenly over the partitions. Lanes learn of each other
//! between rounds only: how far one is when another looks must not decide anything.

mod lines;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use schemas::{Span, Stream, StreamKind, Timestamp};

use crate::metrics::Received;
use crate::source::{
    Headers, Lane, Membership, Next, Record, Run, Source, SourceError, SourceEvent, Start,
};
use lines::Lines;

/// Lines handed out of one file before another may be chosen, at least: long enough that choosing
/// costs nothing.
const RUN_LINES_MIN: usize = 1_024;

/// Lines handed out of one file before another is chosen, at most: long enough that what is known
/// of one partition's devices comes near, and stays there for a while.
const RUN_LINES_MAX: usize = 32_768;

/// Event time behind which a run of more than [`RUN_LINES_MIN`] ends: windows between partitions
/// stay open, and are held in memory.
const RUN_SPAN_MAX: Span = Span::minutes(1);

/// How far one lane may be ahead of the one furthest behind, in event time: windows between them
/// stay open, and are held in memory.
const AHEAD_MAX: Span = Span::minutes(30);

/// How far one lane is.
#[derive(Debug)]
struct Told {
    /// Its files of the registry that have not been read to their end.
    registry_left: AtomicUsize,
    /// Newest event time of its telemetry file furthest behind, in microseconds.
    newest: AtomicI64,
}

/// What the lanes know of each other, as it stood between two rounds.
#[derive(Debug, Default)]
struct Common {
    told: Vec<Told>,
    /// Whether telemetry may be read.
    is_open: AtomicBool,
    /// Up to where lanes may go on.
    until: AtomicI64,
    bytes_read: Arc<AtomicU64>,
}

/// The source of `replay`.
#[derive(Debug)]
pub struct NdjsonSource {
    files: Arc<BTreeMap<Stream, PathBuf>>,
    /// `None` until the lanes are made.
    common: Option<Arc<Common>>,
    is_assigned: bool,
    identity: String,
    bytes_total: u64,
    bytes_read: Arc<AtomicU64>,
}

impl NdjsonSource {
    /// Looks at `changes.ndjson` and `support.ndjson`, if they are there, and every
    /// `telemetry*.ndjson` of `folder`, of which there must be one; other files are ignored.
    pub fn open(folder: &Path) -> Result<Self, SourceError> {
        let mut files = BTreeMap::new();
        let mut bytes_total = 0;
        let mut identity = vec!["ndjson".to_owned()];
        for (stream, name) in streams(folder)? {
            let path = folder.join(&name);
            let mut lines = Lines::open(&path)?;
            let first = lines.first()?;
            identity.push(format!("{name}, {} bytes, {first}", lines.length()));
            bytes_total += lines.length();
            files.insert(stream, path);
        }
        Ok(Self {
            files: Arc::new(files),
            common: None,
            is_assigned: false,
            identity: identity.join("; "),
            bytes_total,
            bytes_read: Arc::default(),
        })
    }

    /// Number of telemetry files.
    pub fn telemetry_partitions(&self) -> i32 {
        self.files.keys().filter(|stream| stream.kind == StreamKind::Telemetry).count() as i32
    }

    /// Bytes of all files together.
    pub const fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    /// Bytes handed out so far, for whoever shows progress.
    pub fn bytes_read(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.bytes_read)
    }

    /// Every file's stream: those of the registry first.
    pub fn streams(&self) -> Vec<Stream> {
        let mut streams: Vec<Stream> = self.files.keys().copied().collect();
        streams.sort_by_key(|stream| stream.kind == StreamKind::Telemetry);
        streams
    }
}

impl Source for NdjsonSource {
    type Lane = NdjsonLane;

    fn lanes(&mut self, count: usize) -> Result<Vec<NdjsonLane>, SourceError> {
        let told = |_| Told { registry_left: 0.into(), newest: i64::MAX.into() };
        let common = Arc::new(Common {
            told: (0..count).map(told).collect(),
            bytes_read: Arc::clone(&self.bytes_read),
            ..Common::default()
        });
        let lane = |number| NdjsonLane {
            number,
            files: Arc::clone(&self.files),
            common: Arc::clone(&common),
            parts: Vec::new(),
            turn: Turn::default(),
            held: Vec::new(),
            received: Received::new(),
        };
        self.common = Some(Arc::clone(&common));
        Ok((0..count).map(lane).collect())
    }

    fn next(&mut self) -> Result<Option<SourceEvent>, SourceError> {
        if let Some(common) = &self.common {
            let has_registry = |lane: &Told| lane.registry_left.load(Ordering::Relaxed) > 0;
            let is_open = !common.told.iter().any(has_registry);
            common.is_open.store(is_open, Ordering::Relaxed);
            let newest = common.told.iter().map(|lane| lane.newest.load(Ordering::Relaxed)).min();
            // Nobody is behind a lane that has not begun.
            let newest = newest.filter(|newest| *newest > Timestamp::MIN.0);
            let until = newest.map_or(i64::MAX, |newest| newest.saturating_add(AHEAD_MAX.0));
            common.until.store(until, Ordering::Relaxed);
        }
        let is_assigned = std::mem::replace(&mut self.is_assigned, true);
        Ok((!is_assigned).then(|| SourceEvent::Assigned(self.streams())))
    }

    /// Not known before the files have been read.
    fn end_offsets(&self) -> Result<BTreeMap<Stream, i64>, SourceError> {
        Ok(BTreeMap::new())
    }

    /// Kind, names, lengths and first lines: enough to tell one input from another.
    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn start(&mut self, _starts: &[(Stream, Start)]) -> Result<(), SourceError> {
        Ok(())
    }

    fn release(&mut self, _streams: &[Stream]) -> Result<(), SourceError> {
        Ok(())
    }

    fn pause(&mut self, _streams: &[Stream]) -> Result<(), SourceError> {
        Ok(())
    }

    fn restart(&mut self, _starts: &[(Stream, Start)]) -> Result<(), SourceError> {
        Ok(())
    }

    /// Files have no group.
    fn confirm(&mut self, _stream: Stream, _offset: i64) -> Membership {
        Membership::Confirmed
    }

    fn commit(&mut self, _offsets: &[(Stream, i64)]) {}
}

/// One file that a lane reads.
struct Part {
    stream: Stream,
    lines: Lines,
    /// Newest event time reported of it.
    newest: Timestamp,
    /// Read to its end, and that has been said.
    has_ended: bool,
}

/// A line that was named, by bytes behind what is dealt with: where it starts and ends.
#[derive(Clone, Copy, Debug)]
struct Held {
    start: usize,
    end: usize,
    /// Bytes of the line that are kept.
    kept: usize,
    /// Bytes of the line.
    size: usize,
}

/// Which part is being read, and for how long.
#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    part: usize,
    /// Lines that may be handed out before another is chosen.
    left: usize,
    /// Where it ends once [`RUN_LINES_MIN`] are handed out.
    until: Timestamp,
}

impl Turn {
    fn goes_on(self, newest: Timestamp) -> bool {
        let is_short = self.left > RUN_LINES_MAX - RUN_LINES_MIN;
        is_short || self.left > 0 && newest <= self.until
    }
}

/// The files of one worker.
pub struct NdjsonLane {
    number: usize,
    files: Arc<BTreeMap<Stream, PathBuf>>,
    common: Arc<Common>,
    /// In the order of their streams.
    parts: Vec<Part>,
    turn: Turn,
    /// Lines of that part that [`Lane::next`] has named.
    held: Vec<Held>,
    received: Received,
}

impl std::fmt::Debug for NdjsonLane {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("NdjsonLane").field("number", &self.number).finish_non_exhaustive()
    }
}

impl NdjsonLane {
    /// The part to read from next: the one of the run, else a file of the registry, else the
    /// telemetry file furthest behind.
    fn choose(&mut self) -> Option<usize> {
        let is_open = self.common.is_open.load(Ordering::Relaxed);
        let until = Timestamp(self.common.until.load(Ordering::Relaxed));
        let can_read = |part: &Part| {
            let is_turn =
                part.stream.kind != StreamKind::Telemetry || is_open && part.newest <= until;
            !part.has_ended && is_turn
        };
        let goes_on = |part| can_read(part) && self.turn.goes_on(part.newest);
        if self.parts.get(self.turn.part).is_some_and(goes_on) {
            return Some(self.turn.part);
        }
        let order = |&index: &usize| {
            let part = &self.parts[index];
            (part.stream.kind == StreamKind::Telemetry, part.newest, index)
        };
        let chosen =
            (0..self.parts.len()).filter(|&it| can_read(&self.parts[it])).min_by_key(order)?;
        let until = self.parts[chosen].newest.saturating_add(RUN_SPAN_MAX);
        self.turn = Turn { part: chosen, left: RUN_LINES_MAX, until };
        Some(chosen)
    }

    /// Tells the others how far this lane is.
    fn tell(&self) {
        let (mut registry_left, mut newest) = (0, i64::MAX);
        for part in self.parts.iter().filter(|part| !part.has_ended) {
            match part.stream.kind {
                StreamKind::Telemetry => newest = newest.min(part.newest.0),
                StreamKind::Changes | StreamKind::Support => registry_left += 1,
            }
        }
        let told = &self.common.told[self.number];
        told.newest.store(newest, Ordering::Relaxed);
        told.registry_left.store(registry_left, Ordering::Relaxed);
    }
}

impl Lane for NdjsonLane {
    fn next(&mut self, _timeout: Duration) -> Result<Next, SourceError> {
        let Some(index) = self.choose() else { return Ok(Next::Quiet) };
        let left = self.turn.left.min(crate::RUN_RECORDS_MAX);
        let Part { stream, lines, has_ended, .. } = &mut self.parts[index];
        let stream = *stream;
        lines.fill()?;
        self.held.clear();
        let mut start = 0;
        while self.held.len() < left
            && let Some(line) = lines.at(start)
        {
            let end = start + line.taken;
            self.held.push(Held { start, kept: line.kept.len(), size: line.size, end });
            start = end;
        }
        if !self.held.is_empty() {
            return Ok(Next::Run(stream));
        }
        *has_ended = true;
        let offset = lines.number();
        self.tell();
        Ok(Next::EndOfPartition { stream, offset })
    }

    fn run(&self) -> Run<'_> {
        let mut run = Run::new();
        let Some(Part { stream, lines, .. }) = self.parts.get(self.turn.part) else { return run };
        for (offset, held) in (lines.number()..).zip(&self.held) {
            run.push(Record {
                stream: *stream,
                offset,
                timestamp: None,
                key: None,
                value: Some(lines.kept(held.start, held.kept)),
                size: held.size,
                headers: Headers::None,
            });
        }
        run
    }

    fn done(&mut self, count: usize) {
        let Some(Part { stream, lines, .. }) = self.parts.get_mut(self.turn.part) else { return };
        let done = &self.held[..count.min(self.held.len())];
        let taken = done.last().map_or(0, |held| held.end);
        let size: usize = done.iter().map(|held| held.size).sum();
        lines.done(done.len(), taken);
        self.turn.left -= done.len().min(self.turn.left);
        self.received.add(stream.kind, done.len(), size);
        self.common.bytes_read.fetch_add((size + done.len()) as u64, Ordering::Relaxed);
        self.held.clear();
    }

    /// Opens the file and passes over what lies before the start.
    fn begin(&mut self, stream: Stream, start: Start) -> Result<(), SourceError> {
        self.stop(&[stream]);
        let Some(path) = self.files.get(&stream) else { return Ok(()) };
        let mut lines = Lines::open(path)?;
        if let Start::At(offset) = start {
            lines.skip_to(offset)?;
        }
        self.parts.push(Part { stream, lines, newest: Timestamp::MIN, has_ended: false });
        self.parts.sort_by_key(|part| part.stream);
        self.tell();
        Ok(())
    }

    fn stop(&mut self, streams: &[Stream]) {
        self.parts.retain(|part| !streams.contains(&part.stream));
        self.turn = Turn::default();
        self.held.clear();
        self.tell();
    }

    fn progress(&mut self, stream: Stream, newest: Timestamp) {
        if let Some(part) = self.parts.iter_mut().find(|part| part.stream == stream) {
            part.newest = part.newest.max(newest);
        }
        self.tell();
    }
}

/// The streams of a folder and their file names, in the order in which they are opened.
fn streams(folder: &Path) -> Result<Vec<(Stream, String)>, SourceError> {
    let failed = |source| SourceError::File { file: folder.display().to_string(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    names.sort_unstable();
    let is_telemetry = |name: &&String| name.starts_with("telemetry") && name.ends_with(".ndjson");
    let telemetry: Vec<_> = names.iter().filter(is_telemetry).cloned().collect();
    if telemetry.is_empty() {
        return Err(SourceError::NoInput { folder: folder.display().to_string() });
    }
    let stream = |kind, partition| Stream { kind, partition };
    let registry =
        [(StreamKind::Changes, "changes.ndjson"), (StreamKind::Support, "support.ndjson")]
            .into_iter()
            .filter(|(_, name)| names.iter().any(|found| found == name))
            .map(|(kind, name)| (stream(kind, 0), name.to_owned()));
    let numbered = (0..).zip(telemetry);
    let telemetry = numbered.map(|(number, name)| (stream(StreamKind::Telemetry, number), name));
    Ok(registry.chain(telemetry).collect())
}
