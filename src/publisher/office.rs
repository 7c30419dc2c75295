//! How a lead begins and how it ends, and who may send when.
//!
//! ```text
//! recover ─► deliver_after ─► take_office ─► … ─► commit_rest ─► deliveries end ─► resign
//! ```
//! One process at a time sends. Whoever leaves says so once nothing of it is under way, and its
//! successor sends at once; after whoever was killed, or hangs in a request, it waits.

use std::time::Duration;

use schemas::Commit;

use super::FOREIGN_COMMIT_PATIENCE;
use super::leader::{Leader, Leave, Publishing};
use crate::pipeline::PipelineError;

impl Leader {
    /// When alerts may first be sent, given the last commit that was found.
    pub(super) fn deliver_after(&mut self, last: Option<&Commit>) {
        let ours = last.is_none_or(|last| last.released || last.publisher == self.setting.writer);
        let wait = if ours { Duration::ZERO } else { FOREIGN_COMMIT_PATIENCE };
        self.deliver_from = self.setting.clock.monotonic() + wait;
    }

    /// The first steps after recovery: a commit of our own ends the time of every other leader.
    pub(super) fn take_office(&mut self) -> Result<(), PipelineError> {
        self.catch_up()?;
        let is_first = self.chain.next_sequence() == 0;
        if !self.uncommitted.is_empty() || (self.setting.rule.lease.is_some() && !is_first) {
            // What was evaluated while catching up must be evaluated alike at the next start.
            self.commit(Publishing::Nothing, Leave::No)?;
        }
        // Before anything is sent: a pause that was given while nobody published holds already.
        self.obey_waiting_commands()?;
        self.show();
        self.start_housekeeping()
    }

    /// Merges whatever stands in the journals, and commits it and all rows.
    pub(super) fn commit_rest(&mut self) -> Result<(), PipelineError> {
        self.catch_up()?;
        if !self.uncommitted.is_empty() || self.has_rows() {
            self.commit(Publishing::Tables, Leave::No)?;
        }
        Ok(())
    }

    /// Says that a successor need not wait, once nothing of ours is under way.
    ///
    /// Nothing was merged since [`Self::commit_rest`]: this commit tells nobody anything.
    pub(super) fn resign(&mut self) -> Result<(), PipelineError> {
        let is_leased = self.setting.rule.lease.is_some() && self.chain.next_sequence() > 0;
        // Until then, whoever published before us may be sending.
        let has_waited = self.setting.clock.monotonic() >= self.deliver_from;
        if is_leased && has_waited {
            self.commit(Publishing::Nothing, Leave::Yes)?;
        }
        Ok(())
    }
}
