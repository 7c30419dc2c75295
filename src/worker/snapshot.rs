//! When the state of a partition is written down, and which snapshot later entries name.

use std::time::Duration;

use schemas::{Named, Stream};

use super::{Now, Worker};

/// What has been folded since the last snapshot was taken, or since it was loaded.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SinceSnapshot {
    pub(super) records: u64,
    pub(super) entries: u64,
    pub(super) at: Duration,
}

/// Entries without records after which a snapshot is taken and named all the same: what a start
/// reads stays bounded where a partition is quiet for days.
pub(super) const QUIET_ENTRIES_MAX: u64 = 512;

/// A state on its way to a snapshot.
#[derive(Debug)]
pub struct SnapshotOf {
    pub stream: Stream,
    /// It is the state after this entry.
    pub after: u64,
    pub state: Box<aggregate::Partition>,
}

impl Worker {
    /// The state after the newest own entry, if it is time to write it down.
    pub fn snapshot_due(&mut self, now: Now) -> Option<SnapshotOf> {
        let rule = self.rules.snapshot.as_ref()?;
        let since = self.since_snapshot;
        let many = since.records >= rule.records_min.max(self.fold.device_count() as u64);
        let has_news = since.records > 0 || since.entries >= QUIET_ENTRIES_MAX;
        let old = now.monotonic.saturating_sub(since.at) >= rule.interval && has_news;
        // Between two entries only: then the state is that after the newest one.
        let between = self.is_live() && self.open.since.is_none() && !self.is_waiting();
        if !between || !(many || old) {
            return None;
        }
        let after = self.journal.next_number().checked_sub(1)?;
        let state = self.fold.state()?;
        self.since_snapshot = SinceSnapshot { at: now.monotonic, ..SinceSnapshot::default() };
        Some(SnapshotOf { stream: self.stream, after, state })
    }

    /// Has later entries name a snapshot that is durable by now.
    pub fn adopt(&mut self, snapshot: Named) {
        let newer = self.snapshot.as_ref().is_none_or(|named| named.after < snapshot.after);
        if newer && snapshot.after < self.journal.next_number() {
            self.snapshot = Some(snapshot);
        }
    }
}
