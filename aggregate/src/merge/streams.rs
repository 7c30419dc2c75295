//! How far each stream has been merged, and so which windows are finished.

use std::collections::BTreeMap;

use schemas::entry::EntryHeader;
use schemas::{Stream, Timestamp};

#[derive(Debug)]
pub(super) struct Streams(BTreeMap<Stream, Progress>);

#[derive(Clone, Copy, Debug)]
struct Progress {
    entries: u64,
    end: i64,
    closed_until: Timestamp,
    ended: bool,
}

impl Streams {
    pub(super) fn new(streams: &[Stream]) -> Self {
        let start = Progress { entries: 0, end: 0, closed_until: Timestamp::MIN, ended: false };
        Self(streams.iter().map(|stream| (*stream, start)).collect())
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
