//! Partitions whose number another process took: dropped, and recovered after a while.
//!
//! ```text
//! number taken ─► state dropped, partition paused ─► wait ─► still in the group? ─► recover, go on
//!                                                             └ no: the group will say so
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use ingest::{Membership, Source};
use schemas::Stream;
use store::StoreError;

use super::Reader;
use super::group::Opened;
use crate::patience::Losses;
use crate::pipeline::{PipelineError, Until};
use crate::worker::Now;

/// Between two questions to the group whether a lost partition is ours.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// What was lost, and when.
#[derive(Debug, Default)]
pub(super) struct LostStreams {
    losses: BTreeMap<Stream, Losses>,
    waiting: BTreeMap<Stream, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    /// When to look again.
    at: Duration,
    /// The offset that was durable when it was lost.
    end: i64,
    /// What it was lost by.
    error: StoreError,
}

impl LostStreams {
    /// The partition is somebody else's: there is nothing to wait for. Whether it was waited for.
    pub(super) fn forget(&mut self, stream: Stream) -> bool {
        let was_lost = self.waiting.remove(&stream).is_some();
        if was_lost && let Some(losses) = self.losses.get_mut(&stream) {
            losses.forgive();
        }
        was_lost
    }
}

impl<S: Source> Reader<'_, S> {
    /// Another process wrote the number: what this one knows of the partition is worth nothing.
    pub(super) fn lose(&mut self, stream: Stream, error: StoreError) -> Result<(), PipelineError> {
        if self.parts.until == Until::InputEnds {
            // Files have no group that says whose turn it is.
            return Err(PipelineError::NotAlone(error));
        }
        let now = self.now().monotonic;
        let end = self.parts.lanes.remove(&stream).map_or(0, |worker| worker.durable_end());
        let wait = self.lost.losses.entry(stream).or_default().note(now);
        tracing::warn!(%stream, %error, "another process writes this partition; recovering");
        self.lost.waiting.insert(stream, Waiting { at: now + wait, end, error });
        self.heard = None;
        self.tell_owned();
        self.pause(&[stream])
    }

    /// Takes lost partitions up again that the group still calls ours.
    pub(super) fn recover_lost(&mut self, now: Now) -> Result<(), PipelineError> {
        let due = |(_, waiting): &(&Stream, &Waiting)| waiting.at <= now.monotonic;
        let Some(stream) = self.lost.waiting.iter().find(due).map(|(stream, _)| *stream) else {
            return Ok(());
        };
        let Some(mut waiting) = self.lost.waiting.remove(&stream) else { return Ok(()) };
        waiting.at = now.monotonic + ASK_EVERY;
        if self.parts.source.confirm(stream, waiting.end) == Membership::Doubtful {
            self.lost.waiting.insert(stream, waiting);
            return Ok(());
        }
        // It is ours, and yet another writes it.
        if self.lost.losses.get(&stream).is_some_and(Losses::are_too_many) {
            return Err(PipelineError::LostAgain { stream, source: waiting.error });
        }
        if self.open(stream)? == Opened::StoreAway {
            self.lost.waiting.insert(stream, waiting);
            return Ok(());
        }
        self.tell_owned();
        self.restart(&[stream])?;
        self.take_up_growth(stream)
    }
}
