//! How far each stream has been merged, and so which windows are finished.

use std::collections::BTreeMap;

use schemas::entry::EntryHeader;
use schemas::{Stream, StreamKind, Timestamp};
use serde::{Deserialize, Serialize};

use crate::state::{Reader, StateError, Writer};

#[derive(Debug)]
pub(super) struct Streams(BTreeMap<Stream, Progress>);

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Progress {
    entries: u64,
    end: i64,
    closed_until: Timestamp,
    ended: bool,
}

impl Progress {
    const START: Self = Self { entries: 0, end: 0, closed_until: Timestamp::MIN, ended: false };
}

impl Streams {
    pub(super) fn new(streams: &[Stream]) -> Self {
        Self(streams.iter().map(|stream| (*stream, Progress::START)).collect())
    }

    /// Telemetry has so many partitions from now on; the new ones are followed from entry 0.
    pub(super) fn grow(&mut self, partition_count: i32) {
        for partition in 0..partition_count {
            let stream = Stream { kind: StreamKind::Telemetry, partition };
            self.0.entry(stream).or_insert(Progress::START);
        }
    }

    pub(super) fn save(&self, out: &mut Writer) {
        out.put(&self.0);
    }

    /// Restores the streams that were stored: those given at the start, and what has grown since.
    pub(super) fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        let stored: BTreeMap<Stream, Progress> = from.take()?;
        if !self.0.keys().all(|stream| stored.contains_key(stream)) {
            return Err(StateError::Settings);
        }
        self.0 = stored;
        Ok(())
    }

    /// Takes up the next entry of its stream.
    pub(super) fn follow(&mut self, header: &EntryHeader) {
        let stream = header.stream;
        let progress = self.0.get_mut(&stream);
        assert!(progress.is_some(), "{stream} is not among the streams of this merge");
        let Some(progress) = progress else { return };
        assert_eq!(header.number, progress.entries, "A5: entry of {stream} out of order");
        let gapless = header.number == 0 || header.start == progress.end;
        assert!(gapless, "A5: entry {} of {stream} leaves a gap", header.number);
        progress.entries += 1;
        progress.end = header.end;
        progress.closed_until = progress.closed_until.max(header.closed_until);
        progress.ended = header.ended;
    }

    /// Number of the entry that the stream goes on with.
    pub(super) fn next_number(&self, stream: Stream) -> u64 {
        self.0.get(&stream).map_or(0, |progress| progress.entries)
    }

    /// Every window that ends at or before this is closed in the stream.
    pub(super) fn closed_until(&self, stream: Stream) -> Timestamp {
        self.0.get(&stream).map_or(Timestamp::MIN, |progress| progress.closed_until)
    }

    /// Every window that ends at or before this is closed in every stream; a stream that has ended
    /// closes all.
    pub(super) fn ready_until(&self) -> Timestamp {
        let until = |progress: &Progress| match progress {
            Progress { ended: true, .. } => Timestamp(i64::MAX),
            Progress { closed_until, .. } => *closed_until,
        };
        self.0.values().map(until).min().unwrap_or(Timestamp::MIN)
    }
}
