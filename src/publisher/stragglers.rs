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

/// Streams behind the others: how many entries of each were merged, and since when no more.
#[derive(Debug, Default)]
pub(super) struct Stragglers(BTreeMap<Stream, (u64, Duration)>);

impl Leader {
    /// Goes on without what has held everybody up for too long.
    pub(super) fn leave_out_stragglers(&mut self, now: Duration) -> Result<(), PipelineError> {
        let Some(after) = self.setting.rule.straggler_after else { return Ok(()) };
        let behind = self.merge.behind(Span(after.as_micros() as i64));
        self.stragglers.0.retain(|stream, _| behind.contains(stream));
        let mut stuck = Vec::new();
        for stream in behind {
            let merged = self.merge.next_number(stream);
            let (known, since) = self.stragglers.0.entry(stream).or_insert((merged, now));
            if *known != merged {
                (*known, *since) = (merged, now);
            } else if now.saturating_sub(*since) >= after {
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
