//! Records from a folder of NDJSON files, for `replay`: a file is a partition, a line a record.
//!
//! ```text
//! changes.ndjson ─► support.ndjson ─► telemetry*.ndjson, in runs, the one furthest behind first
//! ```
//! In: a folder. Out: [`SourceEvent`], in an order that depends on nothing but
//! the files and the times that the caller reports. The registry comes first and whole, so that
//! every change is known before its telemetry; telemetry comes in runs by event time, so that
//! windows close evenly over the partitions.

mod lines;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use schemas::{Stream, StreamKind, Timestamp};

use crate::metrics::Received;
use crate::source::{Headers, Membership, Record, Source, SourceError, SourceEvent, Start};
use lines::Lines;

/// Lines handed out of one telemetry file before another may be chosen: long enough that choosing
/// costs nothing, short enough that partitions stay within minutes of each other.
const RUN_LINES: u32 = 1_024;

/// One file.
struct Part {
    stream: Stream,
    path: PathBuf,
    lines: Lines,
    /// Newest event time reported of it.
    newest: Timestamp,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    Paused,
    /// Read to its end, and that has been said.
    Ended,
}

/// The source of `replay`.
pub struct NdjsonSource {
    parts: Vec<Part>,
    /// Which part the run under way is of, and how many lines are left of it.
    run: (usize, u32),
    assigned: Option<Vec<Stream>>,
    identity: String,
    bytes_total: u64,
    bytes_read: Arc<AtomicU64>,
    received: Received,
}

impl std::fmt::Debug for NdjsonSource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("NdjsonSource")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl NdjsonSource {
    /// Opens `changes.ndjson` and `support.ndjson`, if they are there, and every
    /// `telemetry*.ndjson` of `folder`, of which there must be one; other files are ignored.
    pub fn open(folder: &Path) -> Result<Self, SourceError> {
        let mut parts = Vec::new();
        let mut bytes_total = 0;
        let mut identity = vec!["ndjson".to_owned()];
        for (stream, name) in streams(folder)? {
            let path = folder.join(&name);
            let mut lines = Lines::open(&path)?;
            let first = lines.first()?;
            identity.push(format!("{name}, {} bytes, {first}", lines.length()));
            bytes_total += lines.length();
            let newest = Timestamp::MIN;
            parts.push(Part { stream, path, lines, newest, state: State::Reading });
        }
        let assigned = Some(parts.iter().map(|part| part.stream).collect());
        Ok(Self {
            parts,
            run: (0, 0),
            assigned,
            identity: identity.join("; "),
            bytes_total,
            bytes_read: Arc::default(),
            received: Received::new(),
        })
    }

    /// Number of telemetry files.
    pub fn telemetry_partitions(&self) -> i32 {
        let is_telemetry = |part: &&Part| part.stream.kind == StreamKind::Telemetry;
        self.parts.iter().filter(is_telemetry).count() as i32
    }

    /// Bytes of all files together.
    pub const fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    /// Bytes handed out so far, for whoever shows progress.
    pub fn bytes_read(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.bytes_read)
    }

    /// Every file's stream.
    pub fn streams(&self) -> Vec<Stream> {
        self.parts.iter().map(|part| part.stream).collect()
    }

    /// The part to read from next: the one of the run, else a file of the registry, else the
    /// telemetry file furthest behind.
    fn choose(&mut self) -> Option<usize> {
        let can_read = |part: &Part| part.state == State::Reading;
        let (index, left) = self.run;
        if left > 0 && self.parts.get(index).is_some_and(can_read) {
            self.run.1 -= 1;
            return Some(index);
        }
        let order = |&index: &usize| {
            let part = &self.parts[index];
            (part.stream.kind == StreamKind::Telemetry, part.newest, index)
        };
        let chosen =
            (0..self.parts.len()).filter(|&it| can_read(&self.parts[it])).min_by_key(order)?;
        self.run = (chosen, RUN_LINES - 1);
        Some(chosen)
    }

    /// Opens the file again and passes over what lies before the start.
    fn rewind(&mut self, stream: Stream, start: Start) -> Result<(), SourceError> {
        let Some(part) = self.parts.iter_mut().find(|part| part.stream == stream) else {
            return Ok(());
        };
        part.lines = Lines::open(&part.path)?;
        part.state = State::Reading;
        match start {
            Start::Earliest => Ok(()),
            Start::At(offset) => part.lines.skip_to(offset),
        }
    }

    /// Moves the given streams from one state to another.
    fn turn(&mut self, streams: &[Stream], from: State, to: State) {
        for part in &mut self.parts {
            if part.state == from && streams.contains(&part.stream) {
                part.state = to;
            }
        }
    }
}

impl Source for NdjsonSource {
    fn next(&mut self, _timeout: Duration) -> Result<SourceEvent<'_>, SourceError> {
        if let Some(streams) = self.assigned.take() {
            return Ok(SourceEvent::Assigned(streams));
        }
        let Some(index) = self.choose() else { return Ok(SourceEvent::Quiet) };
        let Part { stream, lines, state, .. } = &mut self.parts[index];
        let (stream, offset) = (*stream, lines.next_number());
        let Some(line) = lines.next()? else {
            *state = State::Ended;
            return Ok(SourceEvent::EndOfPartition { stream, offset });
        };
        self.received.add(stream.kind, line.size);
        self.bytes_read.fetch_add(line.size as u64 + 1, Ordering::Relaxed);
        Ok(SourceEvent::Record(Record {
            stream,
            offset,
            timestamp: None,
            key: None,
            value: Some(line.kept),
            size: line.size,
            headers: Headers::None,
        }))
    }

    fn end_offsets(&self) -> Result<BTreeMap<Stream, i64>, SourceError> {
        let ended = self.parts.iter().filter(|part| part.state == State::Ended);
        Ok(ended.map(|part| (part.stream, part.lines.next_number())).collect())
    }

    /// Kind, names, lengths and first lines: enough to tell one input from another.
    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn start(&mut self, starts: &[(Stream, Start)]) -> Result<(), SourceError> {
        starts.iter().try_for_each(|(stream, start)| self.rewind(*stream, *start))
    }

    fn release(&mut self, streams: &[Stream]) -> Result<(), SourceError> {
        self.turn(streams, State::Reading, State::Paused);
        Ok(())
    }

    fn restart(&mut self, stream: Stream, start: Start) -> Result<(), SourceError> {
        self.rewind(stream, start)
    }

    /// Files have no group.
    fn confirm(&mut self, _stream: Stream, _offset: i64) -> Membership {
        Membership::Confirmed
    }

    fn commit(&mut self, _offsets: &[(Stream, i64)]) {}

    fn pause(&mut self, streams: &[Stream]) -> Result<(), SourceError> {
        self.turn(streams, State::Reading, State::Paused);
        Ok(())
    }

    fn resume(&mut self, streams: &[Stream]) -> Result<(), SourceError> {
        self.turn(streams, State::Paused, State::Reading);
        Ok(())
    }

    fn progress(&mut self, stream: Stream, newest: Timestamp) {
        if let Some(part) = self.parts.iter_mut().find(|part| part.stream == stream) {
            part.newest = part.newest.max(newest);
        }
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
