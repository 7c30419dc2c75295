//! Partitions whose number another process took: dropped, and recovered after a while.
//!
//! ```text
//! number taken ─► state dropped, partition paused ─► wait ─► still in the group? ─► recover, go on
//!                                                             └ no: the group will say so
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ingest::{Membership, Source};
use schemas::Stream;
use store::StoreError;

use super::Reader;
use crate::patience::Losses;
use crate::pipeline::PipelineError;
use crate::worker::Now;

/// Between two questions to the group whether a lost partition is ours.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// What was lost, and when.
#[derive(Debug, Default)]
pub(super) struct LostStreams {
    losses: BTreeMap<Stream, Losses>,
    /// When to look again, and the offset that was durable when it was lost.
    waiting: BTreeMap<Stream, (Duration, i64)>,
    /// Of these, records were passed over while the store was away.
    skipped: BTreeSet<Stream>,
}

impl LostStreams {
    /// The partition is somebody else's: there is nothing to wait for.
    pub(super) fn forget(&mut self, stream: Stream) {
        self.waiting.remove(&stream);
        self.skipped.remove(&stream);
    }

    /// A record of the partition was passed over.
    pub(super) fn skip(&mut self, stream: Stream) {
        self.skipped.insert(stream);
    }

    /// Partitions of which records were passed over.
    pub(super) fn take_skipped(&mut self) -> BTreeSet<Stream> {
        std::mem::take(&mut self.skipped)
    }
}

impl<S: Source> Reader<'_, S> {
    /// Another process wrote the number: what this one knows of the partition is worth nothing.
    pub(super) fn lose(&mut self, stream: Stream, error: StoreError) -> Result<(), PipelineError> {
        let now = self.now().monotonic;
        let end = self.workers.remove(&stream).map_or(0, |worker| worker.durable_end());
        let Some(wait) = self.lost.losses.entry(stream).or_default().note(now) else {
            return Err(PipelineError::LostAgain { stream, source: error });
        };
        tracing::warn!(%stream, %error, "another process writes this partition; recovering");
        self.lost.waiting.insert(stream, (now + wait, end));
        self.heard = None;
        self.tell_owned();
        Ok(self.parts.source.pause(&[stream])?)
    }

    /// Takes lost partitions up again that the group still calls ours.
    pub(super) fn recover_lost(&mut self, now: Now) -> Result<(), PipelineError> {
        let due = |(_, (at, _)): &(&Stream, &(Duration, i64))| *at <= now.monotonic;
        let due = self.lost.waiting.iter().find(due).map(|(stream, (_, end))| (*stream, *end));
        let Some((stream, end)) = due else { return Ok(()) };
        if self.parts.source.confirm(stream, end) == Membership::Doubtful {
            self.lost.waiting.insert(stream, (now.monotonic + ASK_EVERY, end));
            return Ok(());
        }
        self.lost.waiting.remove(&stream);
        let Some(start) = self.open(stream)? else {
            self.lost.waiting.insert(stream, (now.monotonic + ASK_EVERY, end));
            return Ok(());
        };
        self.tell_owned();
        self.parts.source.restart(stream, start)?;
        self.take_up_growth(stream)
    }
}
