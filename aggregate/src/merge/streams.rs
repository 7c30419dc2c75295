//! How far each stream has been merged, and so which windows are finished.

use std::collections::{BTreeMap, BTreeSet};

use schemas::entry::EntryHeader;
use schemas::{Span, Stream, StreamKind, Timestamp};
use serde::{Deserialize, Serialize};

use crate::state::{Reader, StateError, Writer};

#[derive(Debug)]
pub(super) struct Streams {
    all: BTreeMap<Stream, Progress>,
    /// Stragglers, for which nothing waits.
    left_out: BTreeSet<Stream>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Progress {
    entries: u64,
    end: i64,
    closed_until: Timestamp,
    ended: bool,
}

impl Progress {
    const START: Self = Self { entries: 0, end: 0, closed_until: Timestamp::MIN, ended: false };

    /// Windows up to here are closed; a stream that has ended closes all.
    const fn until(&self) -> Timestamp {
        if self.ended { Timestamp(i64::MAX) } else { self.closed_until }
    }
}

impl Streams {
    pub(super) fn new(streams: &[Stream]) -> Self {
        let all = streams.iter().map(|stream| (*stream, Progress::START)).collect();
        Self { all, left_out: BTreeSet::new() }
    }

    /// Telemetry has so many partitions from now on; the new ones are followed from entry 0.
    pub(super) fn grow(&mut self, partition_count: i32) {
        for partition in 0..partition_count {
            let stream = Stream { kind: StreamKind::Telemetry, partition };
            self.all.entry(stream).or_insert(Progress::START);
        }
    }

    pub(super) fn save(&self, out: &mut Writer) {
        out.put(&(&self.all, &self.left_out));
    }

    /// Restores the streams that were stored: those given at the start, and what has grown since.
    pub(super) fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        let (all, left_out): (BTreeMap<Stream, Progress>, BTreeSet<Stream>) = from.take()?;
        if !self.all.keys().all(|stream| all.contains_key(stream)) {
            return Err(StateError::Settings);
        }
        *self = Self { all, left_out };
        Ok(())
    }

    /// Takes up the next entry of its stream. One that was left out is waited for again once it
    /// has closed all that was evaluated without it.
    pub(super) fn follow(&mut self, header: &EntryHeader, evaluated_until: Timestamp) {
        let stream = header.stream;
        let progress = self.all.get_mut(&stream);
        assert!(progress.is_some(), "{stream} is not among the streams of this merge");
        let Some(progress) = progress else { return };
        assert_eq!(header.number, progress.entries, "A5: entry of {stream} out of order");
        let gapless = header.number == 0 || header.start == progress.end;
        assert!(gapless, "A5: entry {} of {stream} leaves a gap", header.number);
        progress.entries += 1;
        progress.end = header.end;
        progress.closed_until = progress.closed_until.max(header.closed_until);
        progress.ended = header.ended;
        if progress.until() >= evaluated_until {
            self.left_out.remove(&stream);
        }
    }

    /// Windows do not wait for this stream from now on.
    pub(super) fn leave_out(&mut self, stream: Stream) {
        self.left_out.insert(stream);
    }

    /// Streams for which windows do not wait.
    pub(super) const fn left_out(&self) -> &BTreeSet<Stream> {
        &self.left_out
    }

    /// Streams that are waited for while more than half of the telemetry partitions beside them
    /// are further on by more than `span`.
    pub(super) fn behind(&self, span: Span) -> Vec<Stream> {
        let waited = || self.all.iter().filter(|(stream, _)| !self.left_out.contains(stream));
        let is_behind = |stream: Stream, progress: &Progress| {
            let beside = |(other, _): &(&Stream, &Progress)| {
                **other != stream && other.kind == StreamKind::Telemetry
            };
            let others: Vec<_> = waited().filter(beside).map(|(_, other)| other.until()).collect();
            let passed = progress.until().saturating_add(span);
            others.iter().filter(|until| **until > passed).count() * 2 > others.len()
        };
        let behind = waited().filter(|(stream, progress)| is_behind(**stream, progress));
        behind.map(|(stream, _)| *stream).collect()
    }

    /// Number of the entry that the stream goes on with.
    pub(super) fn next_number(&self, stream: Stream) -> u64 {
        self.all.get(&stream).map_or(0, |progress| progress.entries)
    }

    /// Every window that ends at or before this is closed in the stream.
    pub(super) fn closed_until(&self, stream: Stream) -> Timestamp {
        self.all.get(&stream).map_or(Timestamp::MIN, |progress| progress.closed_until)
    }

    /// Every window that ends at or before this is closed in every stream that is waited for.
    pub(super) fn ready_until(&self) -> Timestamp {
        let waited = self.all.iter().filter(|(stream, _)| !self.left_out.contains(stream));
        waited.map(|(_, progress)| progress.until()).min().unwrap_or(Timestamp::MIN)
    }
}
