//! Partitions that everybody else waits for: after a while windows go on without them.
//!
//! ```text
//! behind more than half of the others ─► no step for `straggler_after` ─► a commit says: left out
//!                                                                       └► caught up: waited for
//! ```
//! Its rows then count as late, verdicts are partial, and nothing of it is lost. One that comes
//! closer, however slowly, is waited for: it only has more to read.

use std::collections::BTreeMap;
use std::time::Duration;

use schemas::{Span, Stream};

use super::leader::{Leader, Leave, Publishing};
use crate::metrics;
use crate::pipeline::PipelineError;

/// Time between two looks that counts at most: while we were stopped ourselves, or the store was
/// away, nobody could make a step.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// Streams behind the others, as of the last look.
#[derive(Debug, Default)]
pub(super) struct Stragglers {
    behind: BTreeMap<Stream, Still>,
    looked_at: Duration,
    /// Entries of all streams merged.
    merged: u64,
}

/// How a stream behind the others stands still.
#[derive(Clone, Copy, Debug, Default)]
struct Still {
    merged: u64,
    /// For how long others have made steps and it has not.
    time: Duration,
}

impl Leader {
    /// Goes on without what has held everybody up for too long.
    pub(super) fn leave_out_stragglers(&mut self, now: Duration) -> Result<(), PipelineError> {
        let Some(after) = self.setting.rule.straggler_after else { return Ok(()) };
        let behind = self.merge.behind(Span(after.as_micros() as i64));
        let all = self.setting.streams.iter().map(|stream| self.merge.next_number(*stream)).sum();
        let known = &mut self.stragglers;
        let has_passed = now.saturating_sub(known.looked_at).min(LOOK_MAX);
        // While nobody moves nobody is held up: the broker or the store is away.
        let passed = if all > known.merged { has_passed } else { Duration::ZERO };
        (known.looked_at, known.merged) = (now, all);
        known.behind.retain(|stream, _| behind.contains(stream));
        let mut stuck = Vec::new();
        for stream in behind {
            let merged = self.merge.next_number(stream);
            let still = known.behind.entry(stream).or_insert(Still { merged, ..Still::default() });
            if still.merged == merged {
                still.time += passed;
            } else {
                *still = Still { merged, ..Still::default() };
            }
            if still.time >= after {
                stuck.push(stream);
            }
        }
        if !stuck.is_empty() {
            self.leave_out(stuck)?;
        }
        metrics::stragglers().set(self.merge.left_out_count() as f64);
        Ok(())
    }

    fn leave_out(&mut self, stuck: Vec<Stream>) -> Result<(), PipelineError> {
        // What was merged before was evaluated with them.
        if !self.uncommitted.is_empty() {
            self.commit(Publishing::Nothing, Leave::No)?;
        }
        for stream in &stuck {
            tracing::warn!(%stream, "windows go on without a partition that has made no step");
            self.merge.leave_out(*stream);
        }
        self.left_out = stuck;
        self.evaluate_ready();
        self.commit(Publishing::Nothing, Leave::No)
    }
}
